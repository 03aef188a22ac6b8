import { z } from 'zod'
import { trailEnd } from './trail.ts'

/** Grows when an older program could misread what a newer one writes. */
export const pointFormat = 1

const tableFile = z.object({
  /** Of a table, or of the list of blobs. */
  file: z.string().regex(/^[a-z0-9_.-]+$/u),
  rows: z.number().int().nonnegative(),
  sizeBytes: z.number().int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/u),
})

const missingBlob = z.object({
  digest: z.string(),
  sizeBytes: z.number(),
  key: z.string(),
  reason: z.enum(['missing', 'damaged', 'unreadable']),
})

const pointDocument = z.object({
  format: z.number().int(),
  id: z.string(),
  /** The moment that the point shows, in ISO 8601. */
  takenAt: z.iso.datetime(),
  completedAt: z.iso.datetime(),
  /** The version that wrote it. */
  stowage: z.string(),
  database: z.enum(['sqlite', 'postgres']),
  /** The data folder it was made of, and the host: for people. */
  source: z.string(),
  migrations: z.array(z.string()).min(1),
  givenIds: z.record(z.string(), z.number().int().nonnegative()),
  tables: z.array(tableFile.extend({ name: z.string().regex(/^[a-z0-9_]+$/u) })),
  blobs: tableFile.extend({ contentBytes: z.number().int().nonnegative() }),
  /** Blobs that the metadata names and of which no good copy could be had. */
  missing: z.array(missingBlob),
  /** Ids of the keys that secrets in the metadata were sealed with. */
  keyIds: z.array(z.string()),
  includesKeyring: z.boolean(),
  /** Absent where there was no trail, and in points of older programs; `records` only where they were to be in it. */
  audit: trailEnd.extend({ records: tableFile.optional() }).optional(),
})

export type PointDocument = z.infer<typeof pointDocument>
export type TableFile = z.infer<typeof tableFile>
export type MissingBlob = z.infer<typeof missingBlob>

/** Undefined for what is no such document. `format` may be one that this program does not know. */
export function parsePoint(text: string): PointDocument | { readonly format: number; readonly id: string } | undefined {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return undefined
  }
  const { success, data } = z.looseObject({ format: z.number().int(), id: z.string() }).safeParse(json)
  if (!success) return undefined
  if (data.format > pointFormat) return { format: data.format, id: data.id }
  return pointDocument.safeParse(json).data
}

/** Sorts by time, to the millisecond: small backups follow each other within a second. */
export function newPointId(nowMs: number, uuid: string): string {
  const time = new Date(nowMs).toISOString().replaceAll(/[-:.]/g, '')
  return `${time}-${uuid.slice(0, 6)}`
}

export function isPointId(text: string): boolean {
  return /^\d{8}T\d{9}Z-[0-9a-f]{6}$/u.test(text)
}

import { z } from 'zod'
import type { RawRow } from '../storage/metadata/transfer/index.ts'

/** Where the audit trail ended when a point was made: who has the point can tell later whether a trail goes on from it. */
export const trailEnd = z.object({
  /** The number of the last record; 0: there was none. */
  record: z.number().int().nonnegative(),
  /** Of all records up to it, in hexadecimal. */
  hash: z.string().regex(/^[0-9a-f]{64}$/u),
  /** The last record that had been removed for its age, and the hash up to it. */
  cutRecord: z.number().int().nonnegative(),
  cutHash: z.string().regex(/^[0-9a-f]{64}$/u),
  cutAt: z.number().int().nonnegative(),
})

export type TrailEnd = z.infer<typeof trailEnd>

/** The trail of an installation, as a backup reads it. */
export interface TrailToBackUp {
  readonly end: TrailEnd
  /** Numbers and texts of the records up to the end. */
  readonly rows: () => AsyncIterable<RawRow[]>
}

/**
 * What became of the trail in a restore. `put-back`: it is that of the backup; `records` were brought back. `kept`: the trail that was
 * there stays, and goes on from the backup's or is another. `anew`: the backup has no records, and there were none.
 */
export type RestoredTrail =
  | { readonly kind: 'put-back'; readonly records: number }
  | { readonly kind: 'kept'; readonly goesOn: boolean }
  | { readonly kind: 'anew' }

/** Puts records back behind those that are there, as far as these are the same. Undefined rows: the backup has none. */
export type BringBackTrail = (end: TrailEnd, rows: AsyncIterable<RawRow[]> | undefined) => Promise<RestoredTrail>

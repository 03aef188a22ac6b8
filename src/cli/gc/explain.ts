import { exitCodes } from '../../config/exit-codes.ts'
import { connectToStowage, isoTime, jsonText, tableText } from '../aws/stowage-calls.ts'
import type { CommandIo } from '../command-io.ts'
import { sizeText } from '../long-work.ts'
import type { GcOptions } from './pause.ts'

/** As the service answers it. */
interface Blob {
  readonly digest: string
  readonly domain: string
  readonly sizeBytes: number
  readonly createdAt: number
  readonly verdict: 'KEPT' | 'WAITING' | 'GOING' | 'FORGOTTEN'
  readonly goesAfter?: number
  readonly reasons: readonly string[]
  readonly places: readonly { readonly store: string; readonly key: string; readonly state: string; readonly createdAt: number; readonly storedBytes: number; readonly reviewDueAt?: number }[]
  readonly namedBy: readonly { readonly registryId: string; readonly region: string; readonly repositoryName: string; readonly imageDigest: string; readonly imageStatus: string; readonly purgeAfter?: number }[]
  readonly hasMoreNamers: boolean
  readonly seenIn: readonly { readonly registryId: string; readonly region: string; readonly repositoryName: string; readonly since: number; readonly reviewDueAt?: number }[]
  readonly hasMoreSeers: boolean
  readonly reviews: readonly { readonly kind: string; readonly dueAt: number; readonly reason: string; readonly attemptCount: number; readonly leasedUntil?: number }[]
}

/** Ends with 1 where there is no such blob. */
export async function explainBlob(io: CommandIo, options: GcOptions & { readonly digest: string }): Promise<number> {
  const call = await connectToStowage(options)
  const { blobs } = await call<{ blobs: readonly Blob[] }>('ExplainBlob', { digest: options.digest })
  if (blobs.length === 0) {
    io.stderr.write(`error: there is no layer or config ${options.digest}, and so no bytes of it. Of an image stowage lifecycle explain tells.\n`)
    return exitCodes.failed.code
  }
  io.stdout.write(options.json ? jsonText(blobs.map((blob) => withTimes(blob))) : blobs.map(textOf).join('\n'))
  return exitCodes.ok.code
}

const verdicts = {
  KEPT: 'is kept',
  WAITING: 'is kept for now',
  GOING: 'is being deleted',
  FORGOTTEN: 'is needed by nothing, and nothing is going to look at it until store and database are compared (stowage gc reconcile)',
} as const

function textOf(blob: Blob): string {
  const { digest, sizeBytes, createdAt, verdict, goesAfter, reasons, places, namedBy, hasMoreNamers } = blob
  const lines = [
    `${digest} (${sizeText(sizeBytes)}, stored ${isoTime(createdAt)}) ${verdicts[verdict]}.`,
    ...(goesAfter === undefined ? [] : [`Its bytes go after ${isoTime(goesAfter)}, if nobody comes to need it.`]),
    ...reasons.map((reason) => `  - ${reason}`),
    ...places.map(({ store, key, state, storedBytes }) => `  ${state} in ${store}, ${sizeText(storedBytes)}: ${key}`),
  ]
  if (namedBy.length === 0) return `${lines.join('\n')}\n`
  const rows = namedBy.map(({ registryId, repositoryName, imageDigest, imageStatus, purgeAfter }) => [
    registryId,
    `${repositoryName}@${imageDigest}`,
    imageStatus.toLowerCase(),
    purgeAfter === undefined ? '' : isoTime(purgeAfter).slice(0, 16),
  ])
  return `${lines.join('\n')}\n\n${tableText(['account', 'named by', 'state', 'until'], rows)}${hasMoreNamers ? 'and more\n' : ''}`
}

/** Members that are times, wherever they are. */
const times = new Set(['createdAt', 'goesAfter', 'reviewDueAt', 'purgeAfter', 'since', 'dueAt', 'leasedUntil'])

function withTimes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withTimes)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, times.has(name) && typeof each === 'number' ? isoTime(each) : withTimes(each)]))
}

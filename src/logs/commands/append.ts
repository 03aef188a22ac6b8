import { defineCommand } from '../../storage/metadata/command.ts'
import { countLogStreams, growLogGroup, lockLogGroup, storedBytesOf, type LogGroupRow, type LogPlace } from '../../storage/metadata/logs/group-store.ts'
import { insertLines } from '../../storage/metadata/logs/line-store.ts'
import { findLogStream, insertLogStream, noteLines, type LogStreamRow } from '../../storage/metadata/logs/stream-store.ts'
import type { Session } from '../../storage/metadata/session.ts'

/** Lines for a stream, in the order of their times. */
export interface LineBatch {
  readonly place: LogPlace
  readonly group: string
  readonly stream: string
  /** JSON: `[[time, message], …]`, at least one. */
  readonly lines: string
  readonly count: number
  readonly firstAt: number
  readonly lastAt: number
  /** Of the messages, and 26 for each line. */
  readonly bytes: number
  /** Makes the stream where there is none, and takes lines of any age: for what the server writes itself. */
  readonly isOwn?: true
}

export type AppendResult =
  | { readonly kind: 'taken'; readonly expiredCount: number; readonly lastNumber: number }
  | { readonly kind: 'refused'; readonly code: 'log-group-unknown' | 'log-stream-unknown' | 'log-limit-exceeded' }

interface AppendInput {
  readonly batches: readonly LineBatch[]
  /** Of an account in a region. */
  readonly mostBytes: number
}

const dayMs = 24 * 60 * 60 * 1000

/** Adds lines of several calls, each of which is taken or refused by itself; answers in their order. */
export const appendLines = defineCommand({
  name: 'append-log-lines',
  durability: 'durable',
  async run(tx, { batches, mostBytes }: AppendInput, { nowMs }): Promise<AppendResult[]> {
    const results: AppendResult[] = batches.map(() => ({ kind: 'refused', code: 'log-group-unknown' }))
    const order = [...batches.keys()].toSorted((a, b) => compare(groupKey(batches[a]!), groupKey(batches[b]!)) || a - b)
    const rooms = new Map<string, number>()
    let at = 0
    while (at < order.length) {
      const key = groupKey(batches[order[at]!]!)
      let end = at + 1
      while (end < order.length && groupKey(batches[order[end]!]!) === key) end += 1
      const indexes = order.slice(at, end)
      const outcomes = await appendToGroup(tx, indexes.map((index) => batches[index]!), { mostBytes, rooms, now: nowMs })
      for (const [n, index] of indexes.entries()) results[index] = outcomes[n]!
      at = end
    }
    return results
  },
})

interface Bounds {
  readonly mostBytes: number
  /** What there is room for, by account and region: an account may have very many groups to be summed up. */
  readonly rooms: Map<string, number>
  readonly now: number
}

/** The batches are all for one group. */
async function appendToGroup(tx: Session, batches: readonly LineBatch[], { mostBytes, rooms, now }: Bounds): Promise<AppendResult[]> {
  const { place, group: groupName } = batches[0]!
  const group = await lockLogGroup(tx, place, groupName)
  if (group === undefined) return batches.map(() => ({ kind: 'refused', code: 'log-group-unknown' }))
  const results: AppendResult[] = []
  const streams = new Map<string, LogStreamRow>()
  let { nextLine } = group
  let bytes = 0
  const placeKey = `${place.accountId} ${place.region}`
  let roomBytes = rooms.get(placeKey) ?? mostBytes - (await storedBytesOf(tx, place))
  for (const batch of batches) {
    const stream = streams.get(batch.stream) ?? (await findLogStream(tx, group.id, batch.stream)) ?? (batch.isOwn === true ? await makeStream(tx, group.id, batch.stream, now) : undefined)
    if (stream === undefined) {
      results.push({ kind: 'refused', code: 'log-stream-unknown' })
      continue
    }
    const { expiredCount, ...kept } = batch.isOwn === true ? { ...batch, expiredCount: 0 } : withoutExpired(batch, group, now)
    if (kept.bytes > roomBytes) {
      results.push({ kind: 'refused', code: 'log-limit-exceeded' })
      continue
    }
    if (kept.count > 0) {
      await insertLines(tx, { groupId: group.id, streamId: stream.id, firstNumber: nextLine, now, lines: kept.lines })
      const firstLineAt = stream.firstLineAt === 0 ? kept.firstAt : Math.min(stream.firstLineAt, kept.firstAt)
      const lastLineAt = Math.max(stream.lastLineAt, kept.lastAt)
      streams.set(batch.stream, { ...stream, firstLineAt, lastLineAt, lastPutAt: now })
      nextLine += kept.count
      bytes += kept.bytes
      roomBytes -= kept.bytes
    }
    results.push({ kind: 'taken', expiredCount, lastNumber: nextLine - 1 })
  }
  for (const { id, firstLineAt, lastLineAt } of streams.values()) await noteLines(tx, { id, firstAt: firstLineAt, lastAt: lastLineAt, now })
  rooms.set(placeKey, roomBytes)
  if (bytes > 0) await growLogGroup(tx, { id: group.id, bytes, nextLine })
  return results
}

async function makeStream(tx: Session, groupId: number, name: string, now: number): Promise<LogStreamRow> {
  const id = await insertLogStream(tx, groupId, name, now)
  await countLogStreams(tx, groupId, 1)
  return { id, name, createdAt: now, firstLineAt: 0, lastLineAt: 0, lastPutAt: 0 }
}

/** Lines that the group's retention would remove at once are not kept. */
function withoutExpired(batch: LineBatch, { retentionDays }: LogGroupRow, now: number): LineBatch & { readonly expiredCount: number } {
  const cutoff = retentionDays === null ? 0 : now - retentionDays * dayMs
  if (batch.firstAt >= cutoff) return { ...batch, expiredCount: 0 }
  const lines = JSON.parse(batch.lines) as readonly (readonly [at: number, message: string])[]
  const kept = lines.filter(([at]) => at >= cutoff)
  const gone = lines.slice(0, lines.length - kept.length)
  return {
    ...batch,
    expiredCount: gone.length,
    lines: JSON.stringify(kept),
    count: kept.length,
    firstAt: kept[0]?.[0] ?? 0,
    bytes: batch.bytes - gone.reduce((sum, [, message]) => sum + lineBytes(message), 0),
  }
}

/** https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html */
const bytesBesideMessage = 26

/** What a line counts as. */
export function lineBytes(message: string): number {
  return Buffer.byteLength(message) + bytesBesideMessage
}

function groupKey({ place: { accountId, region }, group }: LineBatch): string {
  return `${accountId} ${region} ${group}`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

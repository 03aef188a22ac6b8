import { setImmediate as nextTurn } from 'node:timers/promises'
import { listLineKeys, readLines, type LineKey, type LinePosition, type LinesOf, type LogLine } from '../storage/metadata/logs/line-store.ts'
import type { Session } from '../storage/metadata/session.ts'

/** Lines that are looked at in one statement. */
export const keysAtOnce = 1_000
/** Messages that are fetched in one statement; one that is longer comes alone. */
const bytesAtOnce = 1024 * 1024

/** What times to look at: `from` included, `until` not. */
export interface TimeRange {
  readonly from: number
  readonly until: number
}

/** The lines of a page, and whether it is as full as it may be. */
export interface LinePage {
  readonly lines: readonly LogLine[]
  readonly isFull: boolean
}

interface PageRequest extends TimeRange {
  readonly of: LinesOf
  readonly after: LinePosition | undefined
  readonly descending: boolean
  readonly mostLines: number
  readonly mostBytes: number
}

/** Lines in the order of their times, whichever end they are read from. The first one comes however long it is. */
export async function readPage(session: Session, { of, from, until, after, descending, mostLines, mostBytes }: PageRequest): Promise<LinePage> {
  const pieces: (readonly LogLine[])[] = []
  let position = after
  let count = 0
  let bytes = 0
  let isFull = false
  while (!isFull) {
    const wanted = Math.min(keysAtOnce, mostLines - count)
    const keys = await listLineKeys(session, { of, from, until, after: position, descending, limit: wanted })
    const taken: LineKey[] = []
    for (const key of keys) {
      if (count + taken.length > 0 && bytes + key.bytes > mostBytes) {
        isFull = true
        break
      }
      bytes += key.bytes
      taken.push(key)
    }
    if (taken.length > 0) pieces.push(await readLines(session, of, ...endsOf(taken)))
    position = taken.at(-1) ?? position
    count += taken.length
    if (keys.length < wanted) break
    if (count >= mostLines) isFull = true
    // A page may be long: other requests have their turns.
    await nextTurn()
  }
  return { lines: (descending ? pieces.toReversed() : pieces).flat(), isFull }
}

/** The earliest and the latest of keys that are in one order or the other. */
function endsOf(keys: readonly LineKey[]): [LinePosition, LinePosition] {
  const [first, last] = [keys[0]!, keys.at(-1)!]
  return comparePositions(first, last) <= 0 ? [first, last] : [last, first]
}

export function comparePositions(a: LinePosition, b: LinePosition): number {
  return a.at - b.at || a.number - b.number
}

/** What is searched: all of a group, or some of its streams. */
export type SearchedLines = { readonly groupId: number } | { readonly groupId: number; readonly streamIds: readonly number[] }

interface SearchRequest extends TimeRange {
  readonly searched: SearchedLines
  readonly after: LinePosition | undefined
}

/** A piece of what is searched: lines in order, and how far was looked; undefined: to the end. */
export interface SearchPiece {
  readonly lines: readonly LogLine[]
  readonly lookedTo: LinePosition | undefined
}

/** The next lines behind a position: as many as are quickly read, all of one order, also out of several streams. */
export async function readPiece(session: Session, { searched, from, until, after }: SearchRequest): Promise<SearchPiece> {
  const { keys, isLast } = await nextKeys(session, { searched, from, until, after })
  const taken: LineKey[] = []
  let bytes = 0
  for (const key of keys) {
    bytes += key.bytes
    if (taken.length > 0 && bytes > bytesAtOnce) break
    taken.push(key)
  }
  const last = taken.at(-1)
  if (last === undefined) return { lines: [], lookedTo: undefined }
  const lookedTo = isLast && taken.length === keys.length ? undefined : last
  const ends = endsOf(taken)
  if (!('streamIds' in searched)) return { lines: await readLines(session, { groupId: searched.groupId }, ...ends), lookedTo }
  const lines: LogLine[] = []
  for (const streamId of new Set(taken.map((key) => key.streamId))) lines.push(...(await readLines(session, { streamId }, ...ends)))
  return { lines: lines.toSorted(comparePositions), lookedTo }
}

async function nextKeys(session: Session, { searched, ...range }: SearchRequest): Promise<{ keys: readonly LineKey[]; isLast: boolean }> {
  if (!('streamIds' in searched)) {
    const keys = await listLineKeys(session, { ...range, of: { groupId: searched.groupId }, limit: keysAtOnce })
    return { keys, isLast: keys.length < keysAtOnce }
  }
  const ofEach = Math.ceil(keysAtOnce / Math.max(1, searched.streamIds.length))
  const found: LineKey[] = []
  // Behind the end of a stream's piece there may be more of it, which lines of others may come after.
  let end: LinePosition | undefined
  for (const streamId of searched.streamIds) {
    const keys = await listLineKeys(session, { ...range, of: { streamId }, limit: ofEach })
    found.push(...keys)
    const last = keys.at(-1)
    if (keys.length === ofEach && last !== undefined && (end === undefined || comparePositions(last, end) < 0)) end = last
  }
  const reach = end
  const keys = reach === undefined ? found : found.filter((key) => comparePositions(key, reach) <= 0)
  return { keys: keys.toSorted(comparePositions), isLast: reach === undefined }
}

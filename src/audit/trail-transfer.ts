import { beginChain, insertEvents, lockHead, readChainHash, readHead, setHead, type NewEvent, type RememberedTerms } from '../storage/metadata/observe/audit-store.ts'
import { readRecords } from '../storage/metadata/observe/cursor-store.ts'
import type { ObserveStore } from '../storage/metadata/observe/store.ts'
import { insertTagMoves, type TagMove } from '../storage/metadata/observe/tag-move-store.ts'
import type { Session } from '../storage/metadata/session.ts'
import { tagMovesOf } from './tag-moves.ts'
import { chainHash, indexOf, uuidBytes, type TrailBody } from './trail-record.ts'

/** Where a trail begins and ends, with hashes in hexadecimal. */
export interface TrailBounds {
  readonly record: number
  readonly hash: string
  readonly cutRecord: number
  readonly cutHash: string
  readonly cutAt: number
}

const pageSize = 1_000

export async function trailBounds(session: Session): Promise<TrailBounds> {
  const { seq, hash, cutSeq, cutHash, cutAt } = await readHead(session)
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  return { record: seq, hash: hex(hash), cutRecord: cutSeq, cutHash: hex(cutHash), cutAt }
}

/** The numbers and texts of all records up to an end. */
export async function* trailRows(session: Session, { record, cutRecord }: TrailBounds): AsyncGenerator<(number | string)[][]> {
  for (let after = cutRecord; after < record; ) {
    const rows = await readRecords(session, { after, until: record, limit: pageSize })
    if (rows.length === 0) return
    yield rows.map(({ seq, body }) => [seq, body])
    after = rows.at(-1)!.seq
  }
}

/** Whether the record of an end is in a trail, with the same hash. */
export async function goesOnFrom(session: Session, { record, hash }: Pick<TrailBounds, 'record' | 'hash'>): Promise<boolean> {
  if (record === 0) return true
  const head = await readHead(session)
  if (record === head.seq) return Buffer.from(head.hash).toString('hex') === hash
  const found = await readChainHash(session, record)
  return found !== undefined && Buffer.from(found).toString('hex') === hash
}

/**
 * Adds records to a trail that has none, or a beginning of them: one that was cut short goes on. Answers how many; undefined, and
 * nothing is added, where the trail is another. Throws where they do not come to the end's hash.
 */
export async function putTrailBack(store: ObserveStore, end: TrailBounds, batches: AsyncIterable<readonly (readonly unknown[])[]>): Promise<number | undefined> {
  const terms: RememberedTerms = new Map()
  const present = await readHead(store.reader)
  let seq = end.cutRecord
  let hash: Uint8Array = Buffer.from(end.cutHash, 'hex')
  const isEmpty = present.seq === 0
  if (!isEmpty && (present.cutSeq !== end.cutRecord || present.seq > end.record)) return undefined
  if (isEmpty && end.record > 0) await store.transaction((tx) => beginChain(tx, { seq, hash, cutAt: end.cutAt }))
  let added = 0
  for await (const batch of batches) {
    const events: NewEvent[] = []
    const moves: TagMove[] = []
    for (const [number, text] of batch) {
      const body = JSON.parse(String(text)) as TrailBody
      seq += 1
      hash = chainHash(hash, seq, String(text))
      if (Number(number) !== seq) throw new Error(`the backup lacks record ${seq} of the audit trail`)
      if (seq === present.seq && !Buffer.from(present.hash).equals(hash)) return undefined
      if (seq <= present.seq) continue
      events.push({ seq, eventId: uuidBytes(body.id), occurredAt: body.at, body: String(text), hash, index: indexOf(body) })
      moves.push(...tagMovesOf(seq, body))
    }
    if (events.length === 0) continue
    await store.transaction(async (tx) => {
      await lockHead(tx)
      await insertEvents(tx, terms, events)
      await insertTagMoves(tx, terms, moves)
      await setHead(tx, seq, hash)
    })
    added += events.length
  }
  if (seq !== end.record || Buffer.from(hash).toString('hex') !== end.hash) throw new Error('the audit trail of the backup does not come to the end that it had')
  return added
}

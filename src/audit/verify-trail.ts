import { readChain, readHead, type EventIndex } from '../storage/metadata/observe/audit-store.ts'
import { tagMovesOfRecords } from '../storage/metadata/observe/tag-move-store.ts'
import type { Session } from '../storage/metadata/session.ts'
import { tagMovesOf } from './tag-moves.ts'
import { chainHash, indexOf, uuidBytes, type TrailBody } from './trail-record.ts'

/** The end of the chain at some moment. */
export interface ChainEnd {
  readonly seq: number
  /** In hexadecimal. */
  readonly hash: string
}

export interface TrailFinding {
  /** The first record that it concerns. */
  readonly seq: number
  /**
   * `missing`: records were removed. `changed`: a record is not the one that was sealed in its place, be it changed or moved.
   * `index`: look-ups find it by something else than it says. `end`: the chain ends elsewhere than it did.
   */
  readonly kind: 'missing' | 'changed' | 'index' | 'end'
  readonly text: string
}

export interface TrailVerification {
  readonly records: number
  /** The chain begins behind this one: what was before was removed for its age. */
  readonly cutSeq: number
  readonly end: ChainEnd
  readonly findings: readonly TrailFinding[]
  /** Findings beyond those that are listed. */
  readonly more: number
}

const pageSize = 1_000
const maxFindings = 100

/**
 * Walks the chain from its beginning to its end. Whoever can write to the store could also compute a whole new chain: that, and the
 * removal of the newest records, is found by comparing with an end that was kept elsewhere.
 */
export async function verifyTrail(session: Session, options: { readonly kept?: ChainEnd | undefined; readonly signal?: AbortSignal | undefined } = {}): Promise<TrailVerification> {
  const head = await readHead(session)
  const { kept } = options
  const findings: TrailFinding[] = []
  let more = 0
  const find = (finding: TrailFinding): void => {
    if (findings.length < maxFindings) findings.push(finding)
    else more += 1
  }
  let records = 0
  let last = { seq: head.cutSeq, hash: Buffer.from(head.cutHash) }
  let isKeptSeen = kept === undefined
  const compareKept = (): void => {
    if (kept === undefined || last.seq !== kept.seq) return
    isKeptSeen = true
    if (last.hash.toString('hex') !== kept.hash) find({ seq: last.seq, kind: 'changed', text: 'the chain up to here is not the one that the checkpoint was made of' })
  }
  compareKept()
  for (;;) {
    options.signal?.throwIfAborted()
    const rows = await readChain(session, last.seq, pageSize)
    const moves = Map.groupBy(rows.length === 0 ? [] : await tagMovesOfRecords(session, rows[0]!.seq, rows.at(-1)!.seq), ({ seq }) => seq)
    for (const row of rows) {
      // What a running server adds meanwhile is for the next time.
      if (row.seq > head.seq) break
      records += 1
      const stored = Buffer.from(row.hash)
      if (row.seq !== last.seq + 1) {
        find({ seq: last.seq + 1, kind: 'missing', text: row.seq - last.seq === 2 ? 'a record was removed' : `${row.seq - last.seq - 1} records were removed` })
      } else if (!chainHash(last.hash, row.seq, row.body).equals(stored)) {
        find({ seq: row.seq, kind: 'changed', text: 'this is not the record that was sealed here: it was changed or moved' })
      }
      const wrong = wrongIndex(row) ?? (haveSameMoves(row, moves.get(row.seq) ?? []) ? undefined : 'history of tags')
      if (wrong !== undefined) find({ seq: row.seq, kind: 'index', text: `its ${wrong} is not what look-ups find it by` })
      last = { seq: row.seq, hash: stored }
      compareKept()
    }
    if (rows.length < pageSize || last.seq >= head.seq) break
  }
  const headHash = Buffer.from(head.hash)
  if (last.seq !== head.seq || !last.hash.equals(headHash)) {
    find({ seq: last.seq + 1, kind: 'end', text: `the chain should end with record ${head.seq}, and ends with ${last.seq}` })
  }
  if (!isKeptSeen && kept !== undefined) {
    find(
      kept.seq < head.cutSeq
        ? { seq: kept.seq, kind: 'missing', text: `the checkpoint is of record ${kept.seq}, which was removed for its age: use a younger one` }
        : { seq: kept.seq, kind: 'end', text: `the checkpoint is of record ${kept.seq}, and the chain ends before it` },
    )
  }
  return { records, cutSeq: head.cutSeq, end: { seq: last.seq, hash: last.hash.toString('hex') }, findings, more }
}

function haveSameMoves({ seq, body }: ChainRow, found: Awaited<ReturnType<typeof tagMovesOfRecords>>): boolean {
  const told = tagMovesOf(seq, JSON.parse(body) as TrailBody)
  const textOf = (move: (typeof found)[number] | (typeof told)[number]): string =>
    JSON.stringify([move.trail, move.repository, move.tag, move.at, move.changeId, move.digest ?? null, move.previous ?? null, move.batch ?? null])
  const texts = new Set(told.map(textOf))
  return texts.size === found.length && found.every((move) => texts.has(textOf(move)))
}

type ChainRow = Awaited<ReturnType<typeof readChain>>[number]

function wrongIndex(row: ChainRow): string | undefined {
  let body: TrailBody
  let index: EventIndex
  try {
    body = JSON.parse(row.body) as TrailBody
    index = indexOf(body)
  } catch {
    return 'text'
  }
  if (!uuidBytes(body.id).equals(Buffer.from(row.eventId))) return 'id'
  if (index.occurredAt !== row.occurredAt) return 'time'
  if (index.reads !== (row.reads === 1)) return 'read-only mark'
  const texts = ['trail', 'name', 'source', 'user', 'keyId', 'resource', 'resourceType'] as const
  return texts.find((name) => (index[name] ?? null) !== row[name])
}

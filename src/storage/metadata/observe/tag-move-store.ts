import type { Session } from '../session.ts'
import { rememberTerms, type RememberedTerms } from './audit-store.ts'
import { observeBuilder, observeStatement } from './schema.ts'

/** A change of a tag, as a record of the trail tells it. */
export interface TagMove {
  /** Of the record. */
  readonly seq: number
  /** Account and region. */
  readonly trail: string
  readonly repository: string
  /** Empty: of the whole repository. */
  readonly tag: string
  readonly at: number
  readonly changeId: number
  readonly digest: string | undefined
  readonly previous: string | undefined
  readonly batch: string | undefined
}

/** In one statement. */
const maxRowsAtOnce = 200

export async function insertTagMoves(tx: Session, terms: RememberedTerms, moves: readonly TagMove[]): Promise<void> {
  if (moves.length === 0) return
  await rememberTerms(tx, terms, new Set(moves.flatMap(({ trail, repository }) => [trail, repository])))
  for (let at = 0; at < moves.length; at += maxRowsAtOnce) {
    const rows = moves.slice(at, at + maxRowsAtOnce).map((move) => ({
      trail_id: terms.get(move.trail)!,
      repository_id: terms.get(move.repository)!,
      tag: move.tag,
      occurred_at: move.at,
      change_id: move.changeId,
      seq: move.seq,
      digest: move.digest ?? null,
      previous: move.previous ?? null,
      batch: move.batch ?? null,
    }))
    await tx.query(observeBuilder(tx).insertInto('audit_tag_move').values(rows).onConflict((conflict) => conflict.doNothing()))
  }
}

export type TagMoveRow = Omit<TagMove, 'trail' | 'repository' | 'digest' | 'previous' | 'batch'> & {
  readonly digest: string | null
  readonly previous: string | null
  readonly batch: string | null
}

export interface TagMoveQuery {
  readonly trail: string
  readonly repository: string
  readonly tag: string
  /** Before this place; undefined: the newest. */
  readonly before?: { readonly at: number; readonly changeId: number } | undefined
  /** At this time or earlier. */
  readonly until: number
  readonly limit: number
}

const columns = ['seq', 'tag', 'occurred_at as at', 'change_id as changeId', 'digest', 'previous', 'batch'] as const
const idOf = observeStatement<{ text: string }>()((db, p) => db.selectFrom('audit_term').select('id').where('text', '=', p.text))

/** Changes of a tag, the newest first: a page costs the page. */
export async function findTagMoves(session: Session, { trail, repository, tag, before, until, limit }: TagMoveQuery): Promise<TagMoveRow[]> {
  const place = await placeOf(session, trail, repository)
  if (place === undefined) return []
  let select = observeBuilder(session)
    .selectFrom('audit_tag_move')
    .select(columns)
    .where('trail_id', '=', place.trailId)
    .where('repository_id', '=', place.repositoryId)
    .where('tag', '=', tag)
    .where('occurred_at', '<=', until)
    .orderBy('occurred_at', 'desc')
    .orderBy('change_id', 'desc')
    .limit(limit)
  if (before !== undefined) select = select.where((eb) => eb(eb.refTuple('occurred_at', 'change_id'), '<', eb.tuple(before.at, before.changeId)))
  return session.query(select)
}

/** The first change of a tag after a time. */
export async function findNextTagMove(session: Session, { trail, repository, tag, after }: { readonly trail: string; readonly repository: string; readonly tag: string; readonly after: number }): Promise<TagMoveRow | undefined> {
  const place = await placeOf(session, trail, repository)
  if (place === undefined) return undefined
  const [row] = await session.query(
    observeBuilder(session)
      .selectFrom('audit_tag_move')
      .select(columns)
      .where('trail_id', '=', place.trailId)
      .where('repository_id', '=', place.repositoryId)
      .where('tag', '=', tag)
      .where('occurred_at', '>', after)
      .orderBy('occurred_at')
      .orderBy('change_id')
      .limit(1),
  )
  return row
}

async function placeOf(session: Session, trail: string, repository: string): Promise<{ readonly trailId: number; readonly repositoryId: number } | undefined> {
  const [trailTerm, repositoryTerm] = [await session.first(idOf, { text: trail }), await session.first(idOf, { text: repository })]
  return trailTerm === undefined || repositoryTerm === undefined ? undefined : { trailId: trailTerm.id, repositoryId: repositoryTerm.id }
}

const ofRecords = observeStatement<{ from: number; until: number }>()((db, p) =>
  db
    .selectFrom('audit_tag_move as move')
    .innerJoin('audit_term as trail', 'trail.id', 'move.trail_id')
    .innerJoin('audit_term as repository', 'repository.id', 'move.repository_id')
    .select(['move.seq', 'move.tag', 'move.occurred_at as at', 'move.change_id as changeId', 'move.digest', 'move.previous', 'move.batch'])
    .select(['trail.text as trail', 'repository.text as repository'])
    .where('move.seq', '>=', p.from)
    .where('move.seq', '<=', p.until),
)

/** What is kept of some records, for comparing it with them. */
export function tagMovesOfRecords(session: Session, from: number, until: number) {
  return session.all(ofRecords, { from, until })
}

/** The bodies of records, by their numbers. */
export async function findBodiesBySeq(session: Session, seqs: readonly number[]): Promise<Map<number, string>> {
  if (seqs.length === 0) return new Map()
  const rows = await session.query(observeBuilder(session).selectFrom('audit_event').select(['seq', 'body']).where('seq', 'in', [...new Set(seqs)]))
  return new Map(rows.map(({ seq, body }) => [seq, body]))
}

const oldest = observeStatement()((db) => db.selectFrom('audit_event').select('occurred_at as at').orderBy('seq').limit(1))

/** When the oldest record came that the trail still has. */
export async function oldestRecordAt(session: Session): Promise<number | undefined> {
  return (await session.first(oldest, {}))?.at
}

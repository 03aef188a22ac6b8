import type { Session } from '../session.ts'
import { logsBuilder, logsStatement } from './schema.ts'

/** Times of lines are 0 while there are none. */
export interface LogStreamRow {
  readonly id: number
  readonly name: string
  readonly createdAt: number
  readonly firstLineAt: number
  readonly lastLineAt: number
  readonly lastPutAt: number
}

const columns = ['id', 'name', 'created_at as createdAt', 'first_line_at as firstLineAt', 'last_line_at as lastLineAt', 'last_put_at as lastPutAt'] as const

const stream = logsStatement<{ groupId: number; name: string }>()((db, p) =>
  db.selectFrom('log_stream').select(columns).where('group_id', '=', p.groupId).where('name', '=', p.name).where('deleted_at', 'is', null),
)

export function findLogStream(session: Session, groupId: number, name: string): Promise<LogStreamRow | undefined> {
  return session.first(stream, { groupId, name })
}

const addStream = logsStatement<{ groupId: number; name: string; now: number }>()((db, p) =>
  db
    .insertInto('log_stream')
    .values({ group_id: p.groupId, name: p.name, created_at: p.now, first_line_at: 0, last_line_at: 0, last_put_at: 0 })
    .returning('id'),
)

/** The caller has locked the group, and knows that it has none of this name. */
export async function insertLogStream(tx: Session, groupId: number, name: string, now: number): Promise<number> {
  return (await tx.first(addStream, { groupId, name, now }))!.id
}

const put = logsStatement<{ id: number; firstAt: number; lastAt: number; now: number }>()((db, p) =>
  db.updateTable('log_stream').set({ first_line_at: p.firstAt, last_line_at: p.lastAt, last_put_at: p.now }).where('id', '=', p.id),
)

export async function noteLines(tx: Session, noted: { id: number; firstAt: number; lastAt: number; now: number }): Promise<void> {
  await tx.change(put, noted)
}

const condemn = logsStatement<{ id: number; now: number }>()((db, p) => db.updateTable('log_stream').set({ deleted_at: p.now }).where('id', '=', p.id))

export async function condemnLogStream(tx: Session, id: number, now: number): Promise<void> {
  await tx.change(condemn, { id, now })
}

const condemned = logsStatement()((db) => db.selectFrom('log_stream').select(['id', 'group_id as groupId']).where('deleted_at', 'is not', null).orderBy('id').limit(1))
const drop = logsStatement<{ id: number }>()((db, p) => db.deleteFrom('log_stream').where('id', '=', p.id))

/** A stream that was deleted and is still there. */
export function findCondemnedStream(session: Session): Promise<{ id: number; groupId: number } | undefined> {
  return session.first(condemned, {})
}

/** The caller knows that no line of it is left. */
export async function deleteLogStream(tx: Session, id: number): Promise<void> {
  await tx.change(drop, { id })
}

const dropSome = logsStatement<{ groupId: number; limit: number }>()((db, p) =>
  db.deleteFrom('log_stream').where('id', 'in', (eb) => eb.selectFrom('log_stream as some').select('some.id').where('some.group_id', '=', p.groupId).limit(p.limit)),
)

/** Answers how many went. */
export function deleteStreamsOf(tx: Session, groupId: number, limit: number): Promise<number> {
  return tx.change(dropSome, { groupId, limit })
}

export interface LogStreamQuery {
  readonly groupId: number
  readonly prefix: string
  readonly descending: boolean
  /** The name of the last one of the page before. */
  readonly after: string | undefined
  readonly limit: number
}

/** Streams of a group by name. */
export async function listLogStreams(session: Session, { groupId, prefix, descending, after, limit }: LogStreamQuery): Promise<LogStreamRow[]> {
  let query = logsBuilder(session).selectFrom('log_stream').select(columns).where('group_id', '=', groupId).where('deleted_at', 'is', null).limit(limit)
  if (prefix !== '') query = query.where('name', '>=', prefix).where('name', '<', endOfPrefix(prefix))
  if (after !== undefined) query = query.where('name', descending ? '<' : '>', after)
  return session.query(query.orderBy('name', descending ? 'desc' : 'asc'))
}

/** Names that begin with a prefix sort before it. */
export function endOfPrefix(prefix: string): string {
  return `${prefix}\u{10ffff}`
}

export interface RecentStreamQuery {
  readonly groupId: number
  readonly descending: boolean
  readonly after: { readonly lastLineAt: number; readonly name: string } | undefined
  readonly limit: number
}

/** Streams of a group by the time of their last lines. */
export async function listRecentStreams(session: Session, { groupId, descending, after, limit }: RecentStreamQuery): Promise<LogStreamRow[]> {
  const direction = descending ? 'desc' : 'asc'
  let query = logsBuilder(session).selectFrom('log_stream').select(columns).where('group_id', '=', groupId).where('deleted_at', 'is', null).limit(limit)
  if (after !== undefined) query = query.where((eb) => eb(eb.refTuple('last_line_at', 'name'), descending ? '<' : '>', eb.tuple(after.lastLineAt, after.name)))
  return session.query(query.orderBy('last_line_at', direction).orderBy('name', direction))
}

/** The names of streams that are there, by their numbers. */
export async function namesOfStreams(session: Session, ids: readonly number[]): Promise<Map<number, string>> {
  if (ids.length === 0) return new Map()
  const rows = await session.query(logsBuilder(session).selectFrom('log_stream').select(['id', 'name']).where('id', 'in', ids).where('deleted_at', 'is', null))
  return new Map(rows.map(({ id, name }) => [id, name]))
}

/** The numbers of streams that are there, of these names. */
export async function findLogStreams(session: Session, groupId: number, names: readonly string[]): Promise<{ id: number; name: string }[]> {
  if (names.length === 0) return []
  return session.query(logsBuilder(session).selectFrom('log_stream').select(['id', 'name']).where('group_id', '=', groupId).where('name', 'in', names).where('deleted_at', 'is', null))
}

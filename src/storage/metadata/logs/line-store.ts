import { sql } from 'kysely'
import type { Session } from '../session.ts'
import { logsBuilder, logsStatement } from './schema.ts'

/** Where a line stands among those of its group or stream: by time, and where times are the same as they arrived. */
export interface LinePosition {
  readonly at: number
  readonly number: number
}

export interface LineKey extends LinePosition {
  readonly streamId: number
  readonly bytes: number
}

export interface LogLine extends LinePosition {
  readonly streamId: number
  readonly putAt: number
  readonly message: string
}

interface NewLines {
  readonly groupId: number
  readonly streamId: number
  /** The number of the first; the others follow. */
  readonly firstNumber: number
  readonly now: number
  /** JSON: `[[time, message], …]`. One statement writes them all. */
  readonly lines: string
}

const add = logsStatement<NewLines>()((db, p, dialect) => {
  const columns = ['group_id', 'occurred_at', 'number', 'stream_id', 'put_at', 'message'] as const
  // A placeholder of PostgreSQL has to be told its type where nothing else tells it.
  const whole = (value: number) => (dialect === 'postgres' ? sql<number>`${value}::bigint` : sql<number>`${value}`)
  const each =
    dialect === 'postgres'
      ? sql<object>`json_array_elements(${p.lines}::json) with ordinality`.as<'line'>(sql`line(value, position)`)
      : sql<object>`json_each(${p.lines})`.as('line')
  const index = dialect === 'postgres' ? sql<number>`line.position - 1` : sql<number>`line.key`
  const at = dialect === 'postgres' ? sql<number>`(line.value->>0)::bigint` : sql<number>`line.value->>0`
  return db
    .insertInto('log_line')
    .columns(columns)
    .expression(
      db.selectFrom(each).select([
        whole(p.groupId).as('group_id'),
        at.as('occurred_at'),
        sql<number>`${whole(p.firstNumber)} + ${index}`.as('number'),
        whole(p.streamId).as('stream_id'),
        whole(p.now).as('put_at'),
        sql<string>`line.value->>1`.as('message'),
      ]),
    )
})

/** The caller has locked the group. */
export async function insertLines(tx: Session, lines: NewLines): Promise<void> {
  await tx.change(add, lines)
}

/** What is looked at: lines of a group, or of one of its streams. */
export type LinesOf = { readonly groupId: number } | { readonly streamId: number }

export interface KeyQuery {
  readonly of: LinesOf
  /** Included. */
  readonly from: number
  /** Not included. */
  readonly until: number
  /** Lines behind it, or before it where they are asked for in descending order. */
  readonly after: LinePosition | undefined
  readonly descending?: boolean
  readonly limit: number
}

/** Which lines there are, and how long they are: a line may have a megabyte. */
export async function listLineKeys(session: Session, { of, from, until, after, descending = false, limit }: KeyQuery): Promise<LineKey[]> {
  const direction = descending ? 'desc' : 'asc'
  let query = logsBuilder(session)
    .selectFrom('log_line')
    .select(['occurred_at as at', 'number', 'stream_id as streamId'])
    .select(sql<number>`octet_length(message)`.as('bytes'))
    .orderBy('occurred_at', direction)
    .orderBy('number', direction)
    .limit(limit)
  query = 'groupId' in of ? query.where('group_id', '=', of.groupId) : query.where('stream_id', '=', of.streamId)
  // One bound at each end: of two, SQLite might begin at the one that has more lines behind it.
  const isBound = after !== undefined && (descending ? after.at < until : after.at >= from)
  if (descending || !isBound) query = query.where('occurred_at', '>=', from)
  if (!descending || !isBound) query = query.where('occurred_at', '<', until)
  if (isBound) query = query.where((eb) => eb(eb.refTuple('occurred_at', 'number'), descending ? '<' : '>', eb.tuple(after.at, after.number)))
  return session.query(query)
}

/** Lines from one position to another, both included, in ascending order. */
export async function readLines(session: Session, of: LinesOf, first: LinePosition, last: LinePosition): Promise<LogLine[]> {
  let query = logsBuilder(session)
    .selectFrom('log_line')
    .select(['occurred_at as at', 'number', 'stream_id as streamId', 'put_at as putAt', 'message'])
    .where((eb) => eb(eb.refTuple('occurred_at', 'number'), '>=', eb.tuple(first.at, first.number)))
    .where((eb) => eb(eb.refTuple('occurred_at', 'number'), '<=', eb.tuple(last.at, last.number)))
    .orderBy('occurred_at')
    .orderBy('number')
  query = 'groupId' in of ? query.where('group_id', '=', of.groupId) : query.where('stream_id', '=', of.streamId)
  return session.query(query)
}

/** Removes the oldest lines before a time; answers how many, and the bytes of their messages. */
export async function deleteOldestLines(tx: Session, of: LinesOf, before: number, limit: number): Promise<{ count: number; bytes: number }> {
  const builder = logsBuilder(tx)
  const oldest = builder.selectFrom('log_line').select(['group_id', 'occurred_at', 'number']).where('occurred_at', '<', before).orderBy('occurred_at').orderBy('number').limit(limit)
  const some = 'groupId' in of ? oldest.where('group_id', '=', of.groupId) : oldest.where('stream_id', '=', of.streamId)
  const rows = await tx.query(
    builder
      .deleteFrom('log_line')
      .where((eb) => eb(eb.refTuple('group_id', 'occurred_at', 'number'), 'in', some.$asTuple('group_id', 'occurred_at', 'number')))
      .returning(sql<number>`octet_length(message)`.as('bytes')),
  )
  return { count: rows.length, bytes: rows.reduce((sum, { bytes }) => sum + bytes, 0) }
}

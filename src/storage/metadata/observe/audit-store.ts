import { sql } from 'kysely'
import type { Session } from '../session.ts'
import { observeBuilder, observeStatement, type AuditEventRow } from './schema.ts'

/** A record of the trail as it is stored, with its terms as texts. */
export interface StoredEvent {
  readonly seq: number
  readonly eventId: Uint8Array
  readonly occurredAt: number
  readonly body: string
  readonly hash: Uint8Array
}

/** What look-ups find a record by. */
export interface EventIndex {
  readonly occurredAt: number
  readonly trail: string
  readonly name: string
  readonly source: string
  readonly user: string | undefined
  readonly keyId: string | undefined
  readonly resource: string | undefined
  readonly resourceType: string | undefined
  readonly reads: boolean
}

export interface ChainHead {
  /** Of the last record; 0 where there is none. */
  readonly seq: number
  readonly hash: Uint8Array
  readonly cutSeq: number
  readonly cutHash: Uint8Array
  readonly cutAt: number
}

/** The chain begins with it. */
export const emptyHash = new Uint8Array(32)

const headColumns = ['seq', 'hash', 'cut_seq as cutSeq', 'cut_hash as cutHash', 'cut_at as cutAt'] as const

const head = observeStatement()((db) => db.selectFrom('audit_head').select(headColumns).where('id', '=', 1))

const lockedHead = observeStatement()((db, _, dialect) => {
  const query = db.selectFrom('audit_head').select(headColumns).where('id', '=', 1)
  return dialect === 'postgres' ? query.forUpdate() : query
})

const firstHead = observeStatement<{ hash: Uint8Array }>()((db, p) =>
  db
    .insertInto('audit_head')
    .values({ id: 1, seq: 0, hash: p.hash, cut_seq: 0, cut_hash: p.hash, cut_at: 0 })
    .onConflict((conflict) => conflict.column('id').doNothing()),
)

const moveHead = observeStatement<{ seq: number; hash: Uint8Array }>()((db, p) => db.updateTable('audit_head').set({ seq: p.seq, hash: p.hash }).where('id', '=', 1))

export async function readHead(session: Session): Promise<ChainHead> {
  const found = await session.first(head, {})
  return found ?? { seq: 0, hash: emptyHash, cutSeq: 0, cutHash: emptyHash, cutAt: 0 }
}

/** The end of the chain, held until the transaction ends: whoever adds to it does so alone. */
export async function lockHead(tx: Session): Promise<ChainHead> {
  const found = await tx.first(lockedHead, {})
  if (found !== undefined) return found
  await tx.change(firstHead, { hash: emptyHash })
  return (await tx.first(lockedHead, {}))!
}

export async function setHead(tx: Session, seq: number, hash: Uint8Array): Promise<void> {
  await tx.change(moveHead, { seq, hash })
}

const beginAt = observeStatement<{ seq: number; hash: Uint8Array; cutAt: number }>()((db, p) =>
  db
    .insertInto('audit_head')
    .values({ id: 1, seq: p.seq, hash: p.hash, cut_seq: p.seq, cut_hash: p.hash, cut_at: p.cutAt })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ seq: p.seq, hash: p.hash, cut_seq: p.seq, cut_hash: p.hash, cut_at: p.cutAt })),
)

/** Lets a trail without records begin behind one that was removed for its age. */
export async function beginChain(tx: Session, begin: { readonly seq: number; readonly hash: Uint8Array; readonly cutAt: number }): Promise<void> {
  await tx.change(beginAt, begin)
}

const hashOf = observeStatement<{ seq: number }>()((db, p) => db.selectFrom('audit_event').select('hash').where('seq', '=', p.seq))

/** The hash of a record and of all before it; undefined where it is not there. */
export async function readChainHash(session: Session, seq: number): Promise<Uint8Array | undefined> {
  return (await session.first(hashOf, { seq }))?.hash
}

/** In one statement; SQLite takes 32,766 parameters. */
const maxRowsAtOnce = 200

/** Compiled for one number of ids: compiling takes longer than asking. */
const bodiesByIds = observeStatement<Record<string, Uint8Array>>()((db, p) =>
  db.selectFrom('audit_event').select(['event_id as eventId', 'body']).where('event_id', 'in', Array.from({ length: maxRowsAtOnce }, (_, n) => p[`id${n}`]!)),
)

/** The bodies of the records that are there already, by their ids in hexadecimal. */
export async function findBodies(session: Session, eventIds: readonly Uint8Array[]): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (let at = 0; at < eventIds.length; at += maxRowsAtOnce) {
    const last = Math.min(eventIds.length, at + maxRowsAtOnce) - 1
    // The last one again and again where there are fewer.
    const ids = Array.from({ length: maxRowsAtOnce }, (_, n) => [`id${n}`, eventIds[Math.min(at + n, last)]!] as const)
    for (const { eventId, body } of await session.all(bodiesByIds, Object.fromEntries(ids))) found.set(Buffer.from(eventId).toString('hex'), body)
  }
  return found
}

export interface NewEvent extends StoredEvent {
  readonly index: EventIndex
}

/** Names that are remembered with their ids; the busiest come again at once. */
const maxRemembered = 20_000

/** The ids of names, which never change and never go. Remembered over transactions: to be emptied where one fails. */
export type RememberedTerms = Map<string, number>

/** Makes those that are not there. */
export async function rememberTerms(tx: Session, terms: RememberedTerms, texts: ReadonlySet<string>): Promise<void> {
  if (terms.size > maxRemembered) terms.clear()
  const wanted = [...texts].filter((text) => !terms.has(text)).sort()
  for (let at = 0; at < wanted.length; at += maxRowsAtOnce) {
    const part = wanted.slice(at, at + maxRowsAtOnce)
    const builder = observeBuilder(tx)
    await tx.query(
      builder
        .insertInto('audit_term')
        .values(part.map((text) => ({ text })))
        .onConflict((conflict) => conflict.column('text').doNothing()),
    )
    for (const { id, text } of await tx.query(builder.selectFrom('audit_term').select(['id', 'text']).where('text', 'in', part))) terms.set(text, id)
  }
}

type EventValue = number | string | Uint8Array | null

const eventColumns = ['seq', 'event_id', 'occurred_at', 'trail_id', 'name_id', 'source_id', 'user_id', 'key_id', 'resource_id', 'type_id', 'read_only', 'body', 'hash'] as const

/** The names of parameters, by column and row. */
const eventValueNames = eventColumns.map((column) => Array.from({ length: maxRowsAtOnce }, (_, n) => `${column}${n}`))

/** Compiled for some numbers of rows, the largest first: compiling takes longer than inserting. */
const eventInserts = [maxRowsAtOnce, 20, 1].map((rows) => ({
  rows,
  insert: observeStatement<Record<string, EventValue>>()((db, p) =>
    db
      .insertInto('audit_event')
      .columns(eventColumns)
      .values(Array.from({ length: rows }, (_, n) => Object.fromEntries(eventColumns.map((column, at) => [column, p[eventValueNames[at]![n]!]])) as unknown as AuditEventRow)),
  ),
}))

/** Adds records, whose numbers follow the head's. */
export async function insertEvents(tx: Session, terms: RememberedTerms, events: readonly NewEvent[]): Promise<void> {
  const texts = new Set<string>()
  for (const { index } of events) {
    for (const text of [index.trail, index.name, index.source, index.user, index.keyId, index.resource, index.resourceType]) if (text !== undefined) texts.add(text)
  }
  await rememberTerms(tx, terms, texts)
  const idOrNull = (text: string | undefined): number | null => (text === undefined ? null : terms.get(text)!)
  let at = 0
  for (const { rows, insert } of eventInserts) {
    for (; at + rows <= events.length; at += rows) {
      const values: Record<string, EventValue> = {}
      for (let n = 0; n < rows; n += 1) {
        const { seq, eventId, body, hash, index } = events[at + n]!
        const row = [seq, eventId, index.occurredAt, idOrNull(index.trail), idOrNull(index.name), idOrNull(index.source), idOrNull(index.user), idOrNull(index.keyId), idOrNull(index.resource), idOrNull(index.resourceType), index.reads ? 1 : 0, body, hash]
        for (const [column, value] of row.entries()) values[eventValueNames[column]![n]!] = value
      }
      await tx.change(insert, values)
    }
  }
}

export type LookupColumn = 'name_id' | 'source_id' | 'user_id' | 'key_id' | 'resource_id' | 'type_id'

export interface EventQuery {
  readonly trail: string
  /** Both included, in milliseconds. */
  readonly from: number
  readonly until: number
  readonly where?: { readonly column: LookupColumn; readonly text: string } | { readonly reads: boolean } | { readonly eventId: Uint8Array } | undefined
  /** The last one of the page before. */
  readonly after?: { readonly occurredAt: number; readonly seq: number } | undefined
  readonly limit: number
}

/** The index that has a look-up's records in their order. */
const indexes: Readonly<Record<LookupColumn | 'trail_id' | 'read_only' | 'event_id', string>> = {
  trail_id: 'audit_event_trail',
  name_id: 'audit_event_name',
  source_id: 'audit_event_source',
  user_id: 'audit_event_user',
  key_id: 'audit_event_key',
  resource_id: 'audit_event_resource',
  type_id: 'audit_event_type',
  read_only: 'audit_event_reads',
  event_id: 'audit_event_id',
}

/**
 * The records, read by the index of a column. SQLite keeps no statistics, and would rather read all records of a time than those of
 * a name in it: it is told. https://sqlite.org/lang_indexedby.html
 */
function eventsBy(session: Session, column: keyof typeof indexes) {
  const builder = observeBuilder(session)
  if (session.dialect === 'postgres') return builder.selectFrom('audit_event')
  return builder.selectFrom(sql<AuditEventRow>`audit_event`.as<'audit_event'>(sql`audit_event indexed by ${sql.ref(indexes[column])}`))
}

/** Records of a trail, the newest first. */
export async function lookUpEvents(session: Session, query: EventQuery): Promise<StoredEvent[]> {
  const termId = async (text: string): Promise<number | undefined> => (await session.first(termByText, { text }))?.id
  const trail = await termId(query.trail)
  if (trail === undefined) return []
  const condition = await conditionOf(query.where, termId)
  if (condition === 'unknown') return []
  let select = eventsBy(session, condition?.column ?? 'trail_id')
    .select(['seq', 'event_id as eventId', 'occurred_at as occurredAt', 'body', 'hash'])
    .where('trail_id', '=', trail)
    .where('occurred_at', '>=', query.from)
    .where('occurred_at', '<=', query.until)
    .orderBy('occurred_at', 'desc')
    .orderBy('seq', 'desc')
    .limit(query.limit)
  if (condition !== undefined) select = select.where(condition.column, '=', condition.value)
  const { after } = query
  if (after !== undefined) {
    select = select.where((eb) => eb(eb.refTuple('occurred_at', 'seq'), '<', eb.tuple(after.occurredAt, after.seq)))
  }
  return session.query(select)
}

interface Condition {
  readonly column: LookupColumn | 'read_only' | 'event_id'
  readonly value: number | Uint8Array
}

/** `unknown`: of a name that no record has. */
async function conditionOf(where: EventQuery['where'], termId: (text: string) => Promise<number | undefined>): Promise<Condition | 'unknown' | undefined> {
  if (where === undefined) return undefined
  if ('reads' in where) return { column: 'read_only', value: where.reads ? 1 : 0 }
  if ('eventId' in where) return { column: 'event_id', value: where.eventId }
  const value = await termId(where.text)
  return value === undefined ? 'unknown' : { column: where.column, value }
}

const termByText = observeStatement<{ text: string }>()((db, p) => db.selectFrom('audit_term').select('id').where('text', '=', p.text))

const chainPage = observeStatement<{ after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('audit_event as event')
    .innerJoin('audit_term as trail', 'trail.id', 'event.trail_id')
    .innerJoin('audit_term as name', 'name.id', 'event.name_id')
    .innerJoin('audit_term as source', 'source.id', 'event.source_id')
    .leftJoin('audit_term as user', 'user.id', 'event.user_id')
    .leftJoin('audit_term as key', 'key.id', 'event.key_id')
    .leftJoin('audit_term as resource', 'resource.id', 'event.resource_id')
    .leftJoin('audit_term as type', 'type.id', 'event.type_id')
    .select(['event.seq', 'event.event_id as eventId', 'event.occurred_at as occurredAt', 'event.body', 'event.hash', 'event.read_only as reads'])
    .select(['trail.text as trail', 'name.text as name', 'source.text as source', 'user.text as user', 'key.text as keyId', 'resource.text as resource', 'type.text as resourceType'])
    .where('event.seq', '>', p.after)
    .orderBy('event.seq')
    .limit(p.limit),
)

/** Records in the order of the chain, with what stands beside their bodies. */
export function readChain(session: Session, after: number, limit: number) {
  return session.all(chainPage, { after, limit })
}

const oldestEvents = observeStatement<{ limit: number }>()((db, p) => db.selectFrom('audit_event').select(['seq', 'occurred_at as occurredAt', 'hash']).orderBy('seq').limit(p.limit))
const deleteUpTo = observeStatement<{ seq: number }>()((db, p) => db.deleteFrom('audit_event').where('seq', '<=', p.seq))
const deleteMovesUpTo = observeStatement<{ seq: number }>()((db, p) => db.deleteFrom('audit_tag_move').where('seq', '<=', p.seq))
const noteCut = observeStatement<{ seq: number; hash: Uint8Array; now: number }>()((db, p) => db.updateTable('audit_head').set({ cut_seq: p.seq, cut_hash: p.hash, cut_at: p.now }).where('id', '=', 1))

/** Removes the beginning of the chain as far as it came before a time; answers how many records. */
export async function cutChain(tx: Session, { before, now, limit }: { readonly before: number; readonly now: number; readonly limit: number }): Promise<number> {
  await lockHead(tx)
  const oldest = await tx.all(oldestEvents, { limit })
  const firstKept = oldest.findIndex(({ occurredAt }) => occurredAt >= before)
  const cut = firstKept === -1 ? oldest : oldest.slice(0, firstKept)
  const last = cut.at(-1)
  if (last === undefined) return 0
  await tx.change(deleteUpTo, { seq: last.seq })
  await tx.change(deleteMovesUpTo, { seq: last.seq })
  await tx.change(noteCut, { seq: last.seq, hash: last.hash, now })
  return cut.length
}

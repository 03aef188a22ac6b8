import type { Session } from '../session.ts'
import { observeStatement } from './schema.ts'

/** How far a reader of the trail has come. */
export interface CursorRow {
  readonly seq: number
  readonly untilSeq: number
}

const columns = ['seq', 'until_seq as untilSeq'] as const

const insert = observeStatement<{ name: string; seq: number }>()((db, p) =>
  db.insertInto('audit_cursor').values({ name: p.name, seq: p.seq, until_seq: p.seq }).onConflict((conflict) => conflict.column('name').doNothing()),
)

const claim = observeStatement<{ name: string; owner: string; now: number; until: number }>()((db, p) =>
  db
    .updateTable('audit_cursor')
    .set({ leased_by: p.owner, leased_until: p.until })
    .where('name', '=', p.name)
    .where((or) => or.or([or('leased_by', 'is', null), or('leased_by', '=', p.owner), or('leased_until', '<', p.now)]))
    .returning(columns),
)

/** Takes the lease of a cursor, made at `begin` where there is none, or renews it. Undefined: another server has it. */
export async function claimCursor(tx: Session, { name, begin, owner, now, until }: { readonly name: string; readonly begin: number; readonly owner: string; readonly now: number; readonly until: number }): Promise<CursorRow | undefined> {
  await tx.change(insert, { name, seq: begin })
  return tx.first(claim, { name, owner, now, until })
}

const move = observeStatement<{ name: string; owner: string; seq: number; untilSeq: number }>()((db, p) =>
  db.updateTable('audit_cursor').set({ seq: p.seq, until_seq: p.untilSeq }).where('name', '=', p.name).where('leased_by', '=', p.owner),
)

/** Notes how far its holder has come, and is about to come. False: another server has it by now. */
export async function moveCursor(tx: Session, cursor: { readonly name: string; readonly owner: string; readonly seq: number; readonly untilSeq: number }): Promise<boolean> {
  return (await tx.change(move, cursor)) > 0
}

const release = observeStatement<{ name: string; owner: string }>()((db, p) =>
  db.updateTable('audit_cursor').set({ leased_by: null, leased_until: null }).where('name', '=', p.name).where('leased_by', '=', p.owner),
)

export async function releaseCursor(tx: Session, cursor: { readonly name: string; readonly owner: string }): Promise<void> {
  await tx.change(release, cursor)
}

const free = observeStatement()((db) => db.updateTable('audit_cursor').set({ leased_by: null, leased_until: null }).where('leased_by', 'is not', null))

/** At the start of the only server of a store: whoever had one is gone. */
export async function freeCursors(tx: Session): Promise<void> {
  await tx.change(free, {})
}

const records = observeStatement<{ after: number; until: number; limit: number }>()((db, p) =>
  db
    .selectFrom('audit_event')
    .select(['seq', 'occurred_at as at', 'body', 'hash'])
    .where('seq', '>', p.after)
    .where('seq', '<=', p.until)
    .orderBy('seq')
    .limit(p.limit),
)

export interface RecordRow {
  readonly seq: number
  readonly at: number
  readonly body: string
  readonly hash: Uint8Array
}

/** Records in the order of the chain. */
export function readRecords(session: Session, range: { readonly after: number; readonly until: number; readonly limit: number }): Promise<RecordRow[]> {
  return session.all(records, range)
}

const writes = observeStatement<{ after: number; until: number; limit: number }>()((db, p) =>
  db
    .selectFrom('audit_event')
    .select(['seq', 'occurred_at as at', 'body', 'hash'])
    .where('seq', '>', p.after)
    .where('seq', '<=', p.until)
    .where('read_only', '=', 0)
    .orderBy('seq')
    .limit(p.limit),
)

/** As `readRecords`, those that may have changed something. */
export function readWrites(session: Session, range: { readonly after: number; readonly until: number; readonly limit: number }): Promise<RecordRow[]> {
  return session.all(writes, range)
}

const since = observeStatement<{ trail: string; at: number }>()((db, p) =>
  db
    .selectFrom('audit_event')
    .select('seq')
    .where('trail_id', '=', (eb) => eb.selectFrom('audit_term').select('id').where('text', '=', p.trail))
    .where('occurred_at', '>=', p.at)
    .orderBy('occurred_at')
    .orderBy('seq')
    .limit(1),
)

/** The number of the first record of a trail at a time or later. */
export async function firstRecordSince(session: Session, trail: string, at: number): Promise<number | undefined> {
  return (await session.first(since, { trail, at }))?.seq
}

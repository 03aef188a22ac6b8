import { sql } from 'kysely'
import type { Session } from '../session.ts'
import { logsBuilder, logsStatement } from './schema.ts'

/** Whose groups they are. */
export interface LogPlace {
  readonly accountId: string
  readonly region: string
}

export interface LogGroupRow {
  readonly id: number
  readonly name: string
  readonly createdAt: number
  readonly retentionDays: number | null
  readonly isProtected: number
  readonly streamCount: number
  readonly storedBytes: number
  readonly nextLine: number
}

const columns = [
  'id',
  'name',
  'created_at as createdAt',
  'retention_days as retentionDays',
  'is_protected as isProtected',
  'stream_count as streamCount',
  'stored_bytes as storedBytes',
  'next_line as nextLine',
] as const

type Named = LogPlace & { readonly name: string }

const group = logsStatement<Named>()((db, p) =>
  db.selectFrom('log_group').select(columns).where('account_id', '=', p.accountId).where('region', '=', p.region).where('name', '=', p.name).where('deleted_at', 'is', null),
)

export function findLogGroup(session: Session, { accountId, region }: LogPlace, name: string): Promise<LogGroupRow | undefined> {
  return session.first(group, { accountId, region, name })
}

const lockedGroup = logsStatement<Named>()((db, p, dialect) =>
  db
    .selectFrom('log_group')
    .select(columns)
    .where('account_id', '=', p.accountId)
    .where('region', '=', p.region)
    .where('name', '=', p.name)
    .where('deleted_at', 'is', null)
    .$if(dialect === 'postgres', (query) => query.forUpdate()),
)

/** The group, as it stays until the transaction ends. Who locks several does so in the order of account, region and name. */
export function lockLogGroup(tx: Session, { accountId, region }: LogPlace, name: string): Promise<LogGroupRow | undefined> {
  return tx.first(lockedGroup, { accountId, region, name })
}

const lockedById = logsStatement<{ id: number }>()((db, p, dialect) =>
  db
    .selectFrom('log_group')
    .select('id')
    .where('id', '=', p.id)
    .$if(dialect === 'postgres', (query) => query.forUpdate()),
)

/** False where it is gone. Deleted ones are locked as well. */
export async function lockLogGroupById(tx: Session, id: number): Promise<boolean> {
  return (await tx.first(lockedById, { id })) !== undefined
}

const lockPlace = logsStatement<{ place: string }>()((db, p) => db.selectNoFrom(sql`pg_advisory_xact_lock(hashtextextended(${p.place}, 0))`.as('locked')))

const groupCount = logsStatement<LogPlace>()((db, p) =>
  db.selectFrom('log_group').select((eb) => eb.fn.countAll<number | string>().as('count')).where('account_id', '=', p.accountId).where('region', '=', p.region).where('deleted_at', 'is', null),
)

/** How many there are; nobody makes another one until the transaction ends. */
export async function lockLogGroupCount(tx: Session, { accountId, region }: LogPlace): Promise<number> {
  if (tx.dialect === 'postgres') await tx.all(lockPlace, { place: `stowage_logs ${accountId} ${region}` })
  return Number((await tx.first(groupCount, { accountId, region }))?.count ?? 0)
}

const addGroup = logsStatement<Named & { now: number; isProtected: number }>()((db, p) =>
  db
    .insertInto('log_group')
    .values({
      account_id: p.accountId,
      region: p.region,
      name: p.name,
      created_at: p.now,
      is_protected: p.isProtected,
      stream_count: 0,
      stored_bytes: 0,
      next_line: 1,
    })
    .returning('id'),
)

export async function insertLogGroup(tx: Session, { accountId, region }: LogPlace, { name, now, isProtected }: { name: string; now: number; isProtected: boolean }): Promise<number> {
  return (await tx.first(addGroup, { accountId, region, name, now, isProtected: isProtected ? 1 : 0 }))!.id
}

export interface LogGroupQuery extends LogPlace {
  readonly prefix: string
  /** Undefined: any. */
  readonly containing?: string | undefined
  readonly after: string
  readonly limit: number
}

/** Groups by name. */
export async function listLogGroups(session: Session, { accountId, region, prefix, containing, after, limit }: LogGroupQuery): Promise<LogGroupRow[]> {
  let query = logsBuilder(session)
    .selectFrom('log_group')
    .select(columns)
    .where('account_id', '=', accountId)
    .where('region', '=', region)
    .where('deleted_at', 'is', null)
    .where('name', '>', after)
    .where('name', '>=', prefix)
    .orderBy('name')
    .limit(limit)
  if (containing !== undefined) {
    query = query.where(session.dialect === 'sqlite' ? sql<boolean>`instr(name, ${containing}) > 0` : sql<boolean>`strpos(name, ${containing}) > 0`)
  }
  const rows = await session.query(query)
  return rows.filter(({ name }) => name.startsWith(prefix))
}

const bytesOfPlace = logsStatement<LogPlace>()((db, p) =>
  db.selectFrom('log_group').select((eb) => eb.fn.sum<number | string | null>('stored_bytes').as('bytes')).where('account_id', '=', p.accountId).where('region', '=', p.region).where('deleted_at', 'is', null),
)

export async function storedBytesOf(session: Session, { accountId, region }: LogPlace): Promise<number> {
  return Number((await session.first(bytesOfPlace, { accountId, region }))?.bytes ?? 0)
}

const retain = logsStatement<{ id: number; days: number | null }>()((db, p) => db.updateTable('log_group').set({ retention_days: p.days }).where('id', '=', p.id))
const protect = logsStatement<{ id: number; isProtected: number }>()((db, p) => db.updateTable('log_group').set({ is_protected: p.isProtected }).where('id', '=', p.id))
const condemn = logsStatement<{ id: number; now: number }>()((db, p) => db.updateTable('log_group').set({ deleted_at: p.now }).where('id', '=', p.id))
const grow = logsStatement<{ id: number; bytes: number; nextLine: number }>()((db, p) =>
  db.updateTable('log_group').set((eb) => ({ stored_bytes: eb('stored_bytes', '+', p.bytes), next_line: p.nextLine })).where('id', '=', p.id),
)
const shrink = logsStatement<{ id: number; bytes: number }>()((db, p) => db.updateTable('log_group').set((eb) => ({ stored_bytes: eb('stored_bytes', '-', p.bytes) })).where('id', '=', p.id))
const countStreams = logsStatement<{ id: number; by: number }>()((db, p) => db.updateTable('log_group').set((eb) => ({ stream_count: eb('stream_count', '+', p.by) })).where('id', '=', p.id))

export async function setLogRetention(tx: Session, id: number, days: number | null): Promise<void> {
  await tx.change(retain, { id, days })
}

export async function setLogProtection(tx: Session, id: number, isProtected: boolean): Promise<void> {
  await tx.change(protect, { id, isProtected: isProtected ? 1 : 0 })
}

/** Nobody finds the group from then on, and its name is free. */
export async function condemnLogGroup(tx: Session, id: number, now: number): Promise<void> {
  await tx.change(condemn, { id, now })
}

export async function growLogGroup(tx: Session, grown: { id: number; bytes: number; nextLine: number }): Promise<void> {
  await tx.change(grow, grown)
}

export async function shrinkLogGroup(tx: Session, id: number, bytes: number): Promise<void> {
  await tx.change(shrink, { id, bytes })
}

export async function countLogStreams(tx: Session, id: number, by: number): Promise<void> {
  await tx.change(countStreams, { id, by })
}

const tags = logsStatement<{ groupId: number }>()((db, p) => db.selectFrom('log_group_tag').select(['key', 'value']).where('group_id', '=', p.groupId).orderBy('key'))
const putTag = logsStatement<{ groupId: number; key: string; value: string }>()((db, p) =>
  db
    .insertInto('log_group_tag')
    .values({ group_id: p.groupId, key: p.key, value: p.value })
    .onConflict((conflict) => conflict.columns(['group_id', 'key']).doUpdateSet({ value: p.value })),
)
const dropTag = logsStatement<{ groupId: number; key: string }>()((db, p) => db.deleteFrom('log_group_tag').where('group_id', '=', p.groupId).where('key', '=', p.key))
const dropTags = logsStatement<{ groupId: number }>()((db, p) => db.deleteFrom('log_group_tag').where('group_id', '=', p.groupId))
const dropGroup = logsStatement<{ id: number }>()((db, p) => db.deleteFrom('log_group').where('id', '=', p.id))

/** By key. */
export function tagsOfLogGroup(session: Session, groupId: number): Promise<{ key: string; value: string }[]> {
  return session.all(tags, { groupId })
}

export async function putLogGroupTag(tx: Session, groupId: number, key: string, value: string): Promise<void> {
  await tx.change(putTag, { groupId, key, value })
}

export async function deleteLogGroupTag(tx: Session, groupId: number, key: string): Promise<void> {
  await tx.change(dropTag, { groupId, key })
}

/** The caller knows that no stream and no line is left of it. */
export async function deleteLogGroup(tx: Session, id: number): Promise<void> {
  await tx.change(dropTags, { groupId: id })
  await tx.change(dropGroup, { id })
}

const condemned = logsStatement()((db) => db.selectFrom('log_group').select('id').where('deleted_at', 'is not', null).orderBy('id').limit(1))
const retaining = logsStatement<{ after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('log_group')
    .select(['id', 'retention_days as retentionDays'])
    .where('retention_days', 'is not', null)
    .where('deleted_at', 'is', null)
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit),
)

/** A group that was deleted and is still there. */
export async function findCondemnedGroup(session: Session): Promise<number | undefined> {
  return (await session.first(condemned, {}))?.id
}

/** Groups whose lines go at an age. */
export async function listRetainingGroups(session: Session, after: number, limit: number): Promise<{ id: number; retentionDays: number }[]> {
  const rows = await session.all(retaining, { after, limit })
  return rows.map(({ id, retentionDays }) => ({ id, retentionDays: retentionDays! }))
}

import { sql, type Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { Statement, type Compilable, type DialectName, type QueryBuilder } from '../statement.ts'
import { statement } from '../statement.ts'

/** What has a name, a path and an ARN in an account. */
export const namedKinds = ['user', 'group', 'role', 'policy'] as const

export type NamedKind = (typeof namedKinds)[number]

export type UserRow = Selectable<Schema['iam_user']>
export type GroupRow = Selectable<Schema['iam_group']>
export type RoleRow = Selectable<Schema['iam_role']>
export type PolicyRow = Selectable<Schema['iam_policy']>

export interface NamedRows {
  readonly user: UserRow
  readonly group: GroupRow
  readonly role: RoleRow
  readonly policy: PolicyRow
}

const tables = { user: 'iam_user', group: 'iam_group', role: 'iam_role', policy: 'iam_policy' } as const

/** The same statement for each kind: the tables have the columns of groups in common, and the builder sees those. */
export function forEachKind<Parameters extends object, Row>(
  build: (db: QueryBuilder, parameters: Parameters, table: 'iam_group', dialect: DialectName) => Compilable<Row>,
): Record<NamedKind, Statement<Parameters, Row>> {
  const of = (kind: NamedKind) =>
    new Statement<Parameters, Row>((db, p, dialect) => build(db, p, tables[kind] as 'iam_group', dialect))
  return { user: of('user'), group: of('group'), role: of('role'), policy: of('policy') }
}

/** How names are compared. */
export function nameKey(name: string): string {
  return name.toLowerCase()
}

const named = (db: QueryBuilder, table: 'iam_group', p: { accountId: string; nameKey: string }) =>
  db.selectFrom(table).selectAll().where('account_id', '=', p.accountId).where('name_key', '=', p.nameKey)

const byName = forEachKind<{ accountId: string; nameKey: string }, GroupRow>((db, p, table) => named(db, table, p))

const lockedByName = forEachKind<{ accountId: string; nameKey: string }, GroupRow>((db, p, table, dialect) =>
  named(db, table, p).$if(dialect === 'postgres', (query) => query.forNoKeyUpdate()),
)

const sharedByName = forEachKind<{ accountId: string; nameKey: string }, GroupRow>((db, p, table, dialect) =>
  named(db, table, p).$if(dialect === 'postgres', (query) => query.forShare()),
)

/** Waits for sessions that are being begun, which hold the row by its key. */
const doomedByName = forEachKind<{ accountId: string; nameKey: string }, GroupRow>((db, p, table, dialect) =>
  named(db, table, p).$if(dialect === 'postgres', (query) => query.forUpdate()),
)

const lockedByMode = { change: lockedByName, share: sharedByName, delete: doomedByName } as const

/** A name in any spelling of its letters. */
export async function findNamed<Kind extends NamedKind>(
  session: Session,
  kind: Kind,
  accountId: string,
  name: string,
): Promise<NamedRows[Kind] | undefined> {
  return (await session.first(byName[kind], { accountId, nameKey: nameKey(name) })) as NamedRows[Kind] | undefined
}

/**
 * The first lock of every change of a thing with a name: on PostgreSQL its changes run one after another. `share` only
 * keeps it from being changed, for others that refer to it; `delete` also lets no new row refer to it.
 */
export async function lockNamed<Kind extends NamedKind>(
  tx: Session,
  kind: Kind,
  accountId: string,
  name: string,
  mode: keyof typeof lockedByMode = 'change',
): Promise<NamedRows[Kind] | undefined> {
  return (await tx.first(lockedByMode[mode][kind], { accountId, nameKey: nameKey(name) })) as NamedRows[Kind] | undefined
}

const byId = forEachKind<{ id: number }, GroupRow>((db, p, table) => db.selectFrom(table).selectAll().where('id', '=', p.id))

export async function findNamedById<Kind extends NamedKind>(
  session: Session,
  kind: Kind,
  id: number,
): Promise<NamedRows[Kind] | undefined> {
  return (await session.first(byId[kind], { id })) as NamedRows[Kind] | undefined
}

const page = forEachKind<{ accountId: string; prefix: string; after: string; limit: number }, GroupRow>((db, p, table) =>
  db
    .selectFrom(table)
    .selectAll()
    .where('account_id', '=', p.accountId)
    .where('name_key', '>', p.after)
    .where(sql<boolean>`substr(path, 1, length(cast(${p.prefix} as text))) = ${p.prefix}`)
    .orderBy('name_key')
    .limit(p.limit),
)

/** In the order of `name_key`, after `after`, of those whose path begins with `pathPrefix`. */
export async function listNamed<Kind extends NamedKind>(
  session: Session,
  kind: Kind,
  accountId: string,
  { pathPrefix, after, limit }: { pathPrefix: string; after: string; limit: number },
): Promise<NamedRows[Kind][]> {
  return (await session.all(page[kind], { accountId, prefix: pathPrefix, after, limit })) as NamedRows[Kind][]
}

const count = forEachKind<{ accountId: string }, { count: number | string }>((db, p, table) =>
  db
    .selectFrom(table)
    .select((eb) => eb.fn.countAll<number | string>().as('count'))
    .where('account_id', '=', p.accountId),
)

export async function countNamed(session: Session, kind: NamedKind, accountId: string): Promise<number> {
  return Number((await session.first(count[kind], { accountId }))?.count ?? 0)
}

const rename = forEachKind<{ id: number; name: string; nameKey: string; path: string }, unknown>((db, p, table) =>
  db.updateTable(table).set({ name: p.name, name_key: p.nameKey, path: p.path }).where('id', '=', p.id),
)

/** Nothing else may have the name. */
export async function renameNamed(
  tx: Session,
  kind: NamedKind,
  id: number,
  { name, path }: { name: string; path: string },
): Promise<void> {
  await tx.change(rename[kind], { id, name, nameKey: nameKey(name), path })
}

const remove = forEachKind<{ id: number }, unknown>((db, p, table) => db.deleteFrom(table).where('id', '=', p.id))

/** What refers to it has to be gone. */
export async function deleteNamed(tx: Session, kind: NamedKind, id: number): Promise<void> {
  await tx.change(remove[kind], { id })
}

export type NewUser = Omit<UserRow, 'id' | 'name_key'>
export type NewGroup = Omit<GroupRow, 'id' | 'name_key'>
export type NewRole = Omit<RoleRow, 'id' | 'name_key' | 'last_used_at' | 'last_used_region'>
export type NewPolicy = Omit<PolicyRow, 'id' | 'name_key' | 'default_version' | 'last_version' | 'updated_at'>

type Keyed<Row> = Row & { readonly name_key: string }

const common = (p: Keyed<NewGroup>) => ({
  account_id: p.account_id,
  name: p.name,
  name_key: p.name_key,
  path: p.path,
  unique_id: p.unique_id,
  created_at: p.created_at,
})

const addUser = statement<Keyed<NewUser>>()((db, p) =>
  db
    .insertInto('iam_user')
    .values({ ...common(p), boundary_arn: p.boundary_arn })
    .onConflict((conflict) => conflict.columns(['account_id', 'name_key']).doNothing())
    .returningAll(),
)

/** Undefined where a user has the name. */
export function insertUser(tx: Session, row: NewUser): Promise<UserRow | undefined> {
  return tx.first(addUser, { ...row, name_key: nameKey(row.name) })
}

const addGroup = statement<Keyed<NewGroup>>()((db, p) =>
  db
    .insertInto('iam_group')
    .values(common(p))
    .onConflict((conflict) => conflict.columns(['account_id', 'name_key']).doNothing())
    .returningAll(),
)

/** Undefined where a group has the name. */
export function insertGroup(tx: Session, row: NewGroup): Promise<GroupRow | undefined> {
  return tx.first(addGroup, { ...row, name_key: nameKey(row.name) })
}

const addRole = statement<Keyed<NewRole>>()((db, p) =>
  db
    .insertInto('iam_role')
    .values({
      ...common(p),
      description: p.description,
      trust_policy: p.trust_policy,
      max_session_seconds: p.max_session_seconds,
      boundary_arn: p.boundary_arn,
    })
    .onConflict((conflict) => conflict.columns(['account_id', 'name_key']).doNothing())
    .returningAll(),
)

/** Undefined where a role has the name. */
export function insertRole(tx: Session, row: NewRole): Promise<RoleRow | undefined> {
  return tx.first(addRole, { ...row, name_key: nameKey(row.name) })
}

const addPolicy = statement<Keyed<NewPolicy>>()((db, p) =>
  db
    .insertInto('iam_policy')
    .values({
      ...common(p),
      description: p.description,
      default_version: 1,
      last_version: 1,
      updated_at: p.created_at,
    })
    .onConflict((conflict) => conflict.columns(['account_id', 'name_key']).doNothing())
    .returningAll(),
)

/** With the numbers of a policy whose first version is about to be inserted. Undefined where a policy has the name. */
export function insertPolicy(tx: Session, row: NewPolicy): Promise<PolicyRow | undefined> {
  return tx.first(addPolicy, { ...row, name_key: nameKey(row.name) })
}

const setRole = statement<{ id: number; description: string | null; maxSessionSeconds: number; trustPolicy: string }>()(
  (db, p) =>
    db
      .updateTable('iam_role')
      .set({ description: p.description, max_session_seconds: p.maxSessionSeconds, trust_policy: p.trustPolicy })
      .where('id', '=', p.id)
      .returningAll(),
)

export async function updateRoleRow(
  tx: Session,
  id: number,
  role: { description: string | null; maxSessionSeconds: number; trustPolicy: string },
): Promise<RoleRow> {
  const row = await tx.first(setRole, { id, ...role })
  if (!row) throw new Error('the role was locked and is gone')
  return row
}

const setUserBoundary = statement<{ id: number; arn: string | null }>()((db, p) =>
  db.updateTable('iam_user').set({ boundary_arn: p.arn }).where('id', '=', p.id),
)

const setRoleBoundary = statement<{ id: number; arn: string | null }>()((db, p) =>
  db.updateTable('iam_role').set({ boundary_arn: p.arn }).where('id', '=', p.id),
)

export async function setBoundary(tx: Session, kind: 'user' | 'role', id: number, arn: string | null): Promise<void> {
  await tx.change(kind === 'user' ? setUserBoundary : setRoleBoundary, { id, arn })
}

const lockedAccount = statement<{ accountId: string }>()((db, p, dialect) =>
  db
    .selectFrom('account')
    .selectAll()
    .where('account_id', '=', p.accountId)
    .$if(dialect === 'postgres', (query) => query.forNoKeyUpdate()),
)

export type AccountRow = Selectable<Schema['account']>

/** Locked by whatever an account has a bounded number of: what was counted holds until the commit. */
export function lockAccount(tx: Session, accountId: string): Promise<AccountRow | undefined> {
  return tx.first(lockedAccount, { accountId })
}

const account = statement<{ accountId: string }>()((db, p) =>
  db.selectFrom('account').selectAll().where('account_id', '=', p.accountId),
)

export function findAccount(session: Session, accountId: string): Promise<AccountRow | undefined> {
  return session.first(account, { accountId })
}

const othersAlias = statement<{ accountId: string; alias: string }>()((db, p) =>
  db.selectFrom('account').select('account_id').where('alias', '=', p.alias).where('account_id', '!=', p.accountId),
)

const setAlias = statement<{ accountId: string; alias: string | null }>()((db, p) =>
  db.updateTable('account').set({ alias: p.alias }).where('account_id', '=', p.accountId),
)

/** Gives the account another alias, or none. False, and nothing changed, where another account has it. */
export async function setAccountAlias(tx: Session, accountId: string, alias: string | null): Promise<boolean> {
  if (alias !== null && (await tx.first(othersAlias, { accountId, alias }))) return false
  await tx.change(setAlias, { accountId, alias })
  return true
}

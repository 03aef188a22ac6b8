import type { Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

export type AccessKeyRow = Selectable<Schema['access_key']>

const generation = statement()((db) => db.selectFrom('iam_generation').select(['value', 'accounted']).where('id', '=', 1))

/** The number that every change of who-may-what increments, and how many of these changes nobody said the account of. */
export async function iamGeneration(session: Session): Promise<{ readonly value: number; readonly unaccounted: number }> {
  const { value = 0, accounted = 0 } = (await session.first(generation, {})) ?? {}
  return { value, unaccounted: value - accounted }
}

const changedAfter = statement<{ value: number }>()((db, p) =>
  db.selectFrom('iam_account_generation').select(['account_id', 'value']).where('value', '>', p.value),
)

/** The accounts in which who-may-what changed after a value of the generation, with the value of the last change. */
export function accountsChangedAfter(session: Session, value: number): Promise<{ account_id: string; value: number }[]> {
  return session.all(changedAfter, { value })
}

const increment = statement()((db) =>
  db
    .updateTable('iam_generation')
    .set((eb) => ({ value: eb('value', '+', 1), accounted: eb('accounted', '+', 1) }))
    .where('id', '=', 1)
    .returning('value'),
)

const noteAccount = statement<{ accountId: string; value: number }>()((db, p) =>
  db
    .insertInto('iam_account_generation')
    .values({ account_id: p.accountId, value: p.value })
    .onConflict((conflict) => conflict.column('account_id').doUpdateSet({ value: p.value })),
)

/**
 * Part of every command that changes who may what, with the account in which it does: the one that has the users and roles, the
 * keys, or the registry. Everything that is remembered of that account is forgotten, on every server, with the next request.
 */
export async function advanceIamGeneration(tx: Session, accountId: string): Promise<void> {
  const row = await tx.first(increment, {})
  if (row === undefined) throw new Error('the database has no IAM generation')
  await tx.change(noteAccount, { accountId, value: row.value })
}

const byId = statement<{ accessKeyId: string }>()((db, p) =>
  db.selectFrom('access_key').selectAll().where('access_key_id', '=', p.accessKeyId),
)

export function findAccessKeyRow(session: Session, accessKeyId: string): Promise<AccessKeyRow | undefined> {
  return session.first(byId, { accessKeyId })
}

const ofPrincipal = statement<{ principalArn: string }>()((db, p) =>
  db.selectFrom('access_key').selectAll().where('principal_arn', '=', p.principalArn).orderBy('access_key_id'),
)

export function accessKeysOf(session: Session, principalArn: string): Promise<AccessKeyRow[]> {
  return session.all(ofPrincipal, { principalArn })
}

const anyKey = statement()((db) => db.selectFrom('access_key').select('access_key_id').limit(1))

/** True when there are secrets that some keyring has sealed. */
export async function holdsAccessKeys(session: Session): Promise<boolean> {
  return (await session.first(anyKey, {})) !== undefined
}

const upsert = statement<AccessKeyRow>()((db, p) =>
  db
    .insertInto('access_key')
    .values({
      access_key_id: p.access_key_id,
      account_id: p.account_id,
      principal_arn: p.principal_arn,
      principal_kind: p.principal_kind,
      principal_user_id: p.principal_user_id,
      secret_sealed: p.secret_sealed,
      status: p.status,
      created_at: p.created_at,
      user_id: p.user_id,
    })
    .onConflict((conflict) =>
      conflict.column('access_key_id').doUpdateSet({
        account_id: p.account_id,
        principal_arn: p.principal_arn,
        principal_kind: p.principal_kind,
        principal_user_id: p.principal_user_id,
        secret_sealed: p.secret_sealed,
        status: p.status,
        user_id: p.user_id,
      }),
    ),
)

export async function upsertAccessKey(tx: Session, row: AccessKeyRow): Promise<void> {
  await tx.change(upsert, row)
}

const remove = statement<{ accessKeyId: string }>()((db, p) =>
  db.deleteFrom('access_key').where('access_key_id', '=', p.accessKeyId),
)

export async function deleteAccessKey(tx: Session, accessKeyId: string): Promise<void> {
  await tx.change(remove, { accessKeyId })
}

const ofUser = statement<{ userId: number }>()((db, p) =>
  db.selectFrom('access_key').selectAll().where('user_id', '=', p.userId).orderBy('created_at').orderBy('access_key_id'),
)

/** The oldest first. */
export function accessKeysOfUser(session: Session, userId: number): Promise<AccessKeyRow[]> {
  return session.all(ofUser, { userId })
}

const setStatus = statement<{ accessKeyId: string; status: string }>()((db, p) =>
  db.updateTable('access_key').set({ status: p.status }).where('access_key_id', '=', p.accessKeyId),
)

export async function setAccessKeyStatus(tx: Session, accessKeyId: string, status: 'active' | 'inactive'): Promise<void> {
  await tx.change(setStatus, { accessKeyId, status })
}

const setPrincipal = statement<{ userId: number; arn: string }>()((db, p) =>
  db.updateTable('access_key').set({ principal_arn: p.arn }).where('user_id', '=', p.userId),
)

/** Part of the command that gives a user another name or path. */
export async function renamePrincipalOfKeys(tx: Session, userId: number, arn: string): Promise<void> {
  await tx.change(setPrincipal, { userId, arn })
}

/** The last time that a key signed something that was taken. */
export type AccessKeyUse = Selectable<Schema['access_key_use']>

const uses = statement<{ accessKeyId: string }>()((db, p) =>
  db.selectFrom('access_key_use').selectAll().where('access_key_id', '=', p.accessKeyId),
)

export function findAccessKeyUse(session: Session, accessKeyId: string): Promise<AccessKeyUse | undefined> {
  return session.first(uses, { accessKeyId })
}

const noteUse = statement<AccessKeyUse>()((db, p) =>
  db
    .insertInto('access_key_use')
    .columns(['access_key_id', 'last_used_at', 'region', 'service'])
    .expression(
      // Only of a key that is still there: its use would outlive it otherwise.
      db
        .selectFrom('access_key')
        .select((eb) => [
          'access_key_id',
          eb.cast<number>(eb.val(p.last_used_at), 'bigint').as('last_used_at'),
          eb.cast<string>(eb.val(p.region), 'text').as('region'),
          eb.cast<string>(eb.val(p.service), 'text').as('service'),
        ])
        .where('access_key_id', '=', p.access_key_id),
    )
    .onConflict((conflict) =>
      conflict
        .column('access_key_id')
        .doUpdateSet({ last_used_at: p.last_used_at, region: p.region, service: p.service })
        .where('access_key_use.last_used_at', '<', p.last_used_at),
    ),
)

export async function noteAccessKeyUse(tx: Session, use: AccessKeyUse): Promise<void> {
  await tx.change(noteUse, use)
}

const removeUse = statement<{ accessKeyId: string }>()((db, p) =>
  db.deleteFrom('access_key_use').where('access_key_id', '=', p.accessKeyId),
)

/** Part of the command that deletes the key. */
export async function deleteAccessKeyUse(tx: Session, accessKeyId: string): Promise<void> {
  await tx.change(removeUse, { accessKeyId })
}

/** A user with one of its keys, or without any. */
export interface UserKeyRow {
  readonly user_name: string
  readonly path: string
  readonly user_created_at: number
  readonly access_key_id: string | null
  readonly status: string | null
  readonly created_at: number | null
  readonly last_used_at: number | null
  readonly region: string | null
  readonly service: string | null
}

const keysOfUsers = statement<{ accountId: string }>()((db, p) =>
  db
    .selectFrom('iam_user')
    .leftJoin('access_key', 'access_key.user_id', 'iam_user.id')
    .leftJoin('access_key_use', 'access_key_use.access_key_id', 'access_key.access_key_id')
    .select([
      'iam_user.name as user_name',
      'iam_user.path',
      'iam_user.created_at as user_created_at',
      'access_key.access_key_id',
      'access_key.status',
      'access_key.created_at',
      'access_key_use.last_used_at',
      'access_key_use.region',
      'access_key_use.service',
    ])
    .where('iam_user.account_id', '=', p.accountId)
    .orderBy('iam_user.name_key')
    .orderBy('access_key.created_at')
    .orderBy('access_key.access_key_id'),
)

/** All users of an account with their keys and the last use of each, by name: as many rows as there may be keys. */
export function userKeyRows(session: Session, accountId: string): Promise<UserKeyRow[]> {
  return session.all(keysOfUsers, { accountId })
}

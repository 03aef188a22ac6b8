import type { Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

export type StsSessionRow = Selectable<Schema['sts_session']>

/** A session with what its user is called today; a role keeps its name for life. */
export interface LivingSession extends StsSessionRow {
  readonly user_name: string | null
  readonly user_path: string | null
}

const byAccessKey = statement<{ accessKeyId: string }>()((db, p) =>
  db
    .selectFrom('sts_session')
    .leftJoin('iam_user', 'iam_user.id', 'sts_session.user_id')
    .selectAll('sts_session')
    .select(['iam_user.name as user_name', 'iam_user.path as user_path'])
    .where('sts_session.access_key_id', '=', p.accessKeyId),
)

/** The temporary credentials with this access key id, ended ones too until they are swept. */
export function findStsSession(session: Session, accessKeyId: string): Promise<LivingSession | undefined> {
  return session.first(byAccessKey, { accessKeyId })
}

const insert = statement<StsSessionRow>()((db, p) =>
  db.insertInto('sts_session').values({
    access_key_id: p.access_key_id,
    account_id: p.account_id,
    principal_arn: p.principal_arn,
    principal_kind: p.principal_kind,
    principal_user_id: p.principal_user_id,
    user_id: p.user_id,
    role_id: p.role_id,
    secret_sealed: p.secret_sealed,
    token_sha256: p.token_sha256,
    policies: p.policies,
    tags: p.tags,
    transitive_tag_keys: p.transitive_tag_keys,
    source_identity: p.source_identity,
    provider: p.provider,
    context: p.context,
    issued_at: p.issued_at,
    expires_at: p.expires_at,
  }),
)

export async function insertStsSession(tx: Session, row: StsSessionRow): Promise<void> {
  await tx.change(insert, row)
}

const anyEnded = statement<{ before: number }>()((db, p) =>
  db.selectFrom('sts_session').select('access_key_id').where('expires_at', '<=', p.before).limit(1),
)

/** True where a session ended at or before this time and is still there. */
export async function holdsEndedSessions(session: Session, before: number): Promise<boolean> {
  return (await session.first(anyEnded, { before })) !== undefined
}

const removeEnded = statement<{ before: number; limit: number }>()((db, p) =>
  db
    .deleteFrom('sts_session')
    .where('access_key_id', 'in', (eb) =>
      eb.selectFrom('sts_session').select('access_key_id').where('expires_at', '<=', p.before).orderBy('expires_at').limit(p.limit),
    ),
)

/** Removes sessions that ended at or before this time, the oldest first; answers how many. */
export function deleteEndedSessions(tx: Session, before: number, limit: number): Promise<number> {
  return tx.change(removeEnded, { before, limit })
}

const removeOfRole = statement<{ roleId: number }>()((db, p) => db.deleteFrom('sts_session').where('role_id', '=', p.roleId))

/** Part of the command that deletes a role, before the role's row goes. */
export async function deleteSessionsOfRole(tx: Session, roleId: number): Promise<void> {
  await tx.change(removeOfRole, { roleId })
}

const removeOfUser = statement<{ userId: number }>()((db, p) => db.deleteFrom('sts_session').where('user_id', '=', p.userId))

/** Part of the command that deletes a user, before the user's row goes. */
export async function deleteSessionsOfUser(tx: Session, userId: number): Promise<void> {
  await tx.change(removeOfUser, { userId })
}

const removeOfRoot = statement<{ accountId: string }>()((db, p) =>
  db.deleteFrom('sts_session').where('user_id', 'is', null).where('role_id', 'is', null).where('account_id', '=', p.accountId),
)

/** Part of the command that replaces the key of an account's root. */
export async function deleteSessionsOfRoot(tx: Session, accountId: string): Promise<void> {
  await tx.change(removeOfRoot, { accountId })
}

const roleToAssume = statement<{ accountId: string; nameKey: string }>()((db, p) =>
  db
    .selectFrom('iam_role')
    .select(['id', 'name', 'path', 'unique_id', 'trust_policy', 'max_session_seconds', 'last_used_at'])
    .where('account_id', '=', p.accountId)
    .where('name_key', '=', p.nameKey),
)

/** What assuming a role depends on. */
export type AssumableRole = Pick<
  Selectable<Schema['iam_role']>,
  'id' | 'name' | 'path' | 'unique_id' | 'trust_policy' | 'max_session_seconds' | 'last_used_at'
>

/** Names are unique without regard to case; compare `name` and `path` where the exact ARN matters. */
export function findAssumableRole(session: Session, accountId: string, name: string): Promise<AssumableRole | undefined> {
  return session.first(roleToAssume, { accountId, nameKey: name.toLowerCase() })
}

const lockRole = statement<{ id: number }>()((db, p, dialect) => {
  const query = db.selectFrom('iam_role').select('unique_id').where('id', '=', p.id)
  return dialect === 'postgres' ? query.forShare() : query
})

const lockUser = statement<{ id: number }>()((db, p, dialect) => {
  const query = db.selectFrom('iam_user').select('unique_id').where('id', '=', p.id)
  return dialect === 'postgres' ? query.forShare() : query
})

/** Whether a role is still there, and so stays for as long as the transaction runs: who deletes it waits, or was waited for. */
export async function holdRole(tx: Session, id: number): Promise<boolean> {
  return (await tx.first(lockRole, { id })) !== undefined
}

/** As `holdRole`, for a user. */
export async function holdUser(tx: Session, id: number): Promise<boolean> {
  return (await tx.first(lockUser, { id })) !== undefined
}

const touchRole = statement<{ id: number; now: number; region: string; unlessSince: number }>()((db, p) =>
  db
    .updateTable('iam_role')
    .set({ last_used_at: p.now, last_used_region: p.region })
    .where('id', '=', p.id)
    .where((eb) => eb.or([eb('last_used_at', 'is', null), eb('last_used_at', '<', p.unlessSince)])),
)

/** Notes when a role was used last, unless that was noted since `unlessSince`. */
export async function noteRoleUse(
  tx: Session,
  use: { id: number; now: number; region: string; unlessSince: number },
): Promise<void> {
  await tx.change(touchRole, use)
}

const providerOf = statement<{ accountId: string; url: string }>()((db, p) =>
  db
    .selectFrom('iam_oidc_provider')
    .select(['url', 'client_ids'])
    .where('account_id', '=', p.accountId)
    .where('url', '=', p.url),
)

/** The OpenID Connect provider of an account by its issuer without scheme. */
export function findOidcProvider(
  session: Session,
  accountId: string,
  url: string,
): Promise<{ readonly url: string; readonly client_ids: string } | undefined> {
  return session.first(providerOf, { accountId, url })
}

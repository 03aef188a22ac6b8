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

const beginCount = statement<{ accountId: string }>()((db, p) =>
  db
    .insertInto('sts_session_count')
    .values({ account_id: p.accountId, sessions: 0, counted_at: 0 })
    .onConflict((conflict) => conflict.doNothing()),
)

const lockedCount = statement<{ accountId: string }>()((db, p, dialect) => {
  const query = db.selectFrom('sts_session_count').select(['sessions', 'counted_at']).where('account_id', '=', p.accountId)
  return dialect === 'postgres' ? query.forUpdate() : query
})

/**
 * How many sessions an account has, ended ones too until they are swept, and when they were last counted one by one. Locks
 * the number until the end: after the role's or user's row and after sessions, before the IAM generation.
 */
export async function lockSessionCount(tx: Session, accountId: string): Promise<{ sessions: number; countedAt: number }> {
  const row = await tx.first(lockedCount, { accountId })
  if (row !== undefined) return { sessions: row.sessions, countedAt: row.counted_at }
  await tx.change(beginCount, { accountId })
  return lockSessionCount(tx, accountId)
}

const sessionsOfAccount = statement<{ accountId: string }>()((db, p) =>
  db
    .selectFrom('sts_session')
    .select((eb) => eb.fn.countAll<number>().as('sessions'))
    .where('account_id', '=', p.accountId),
)

const setCount = statement<{ accountId: string; sessions: number; now: number }>()((db, p) =>
  db.updateTable('sts_session_count').set({ sessions: p.sessions, counted_at: p.now }).where('account_id', '=', p.accountId),
)

/** Counts an account's sessions one by one, whose number the caller has locked; answers how many. */
export async function recountSessions(tx: Session, accountId: string, now: number): Promise<number> {
  const { sessions } = (await tx.first(sessionsOfAccount, { accountId })) ?? { sessions: 0 }
  await tx.change(setCount, { accountId, sessions, now })
  return sessions
}

const raise = statement<{ accountId: string }>()((db, p) =>
  db
    .updateTable('sts_session_count')
    .set((eb) => ({ sessions: eb('sessions', '+', 1) }))
    .where('account_id', '=', p.accountId),
)

/** One session more, of an account whose number the caller has locked. */
export async function raiseSessionCount(tx: Session, accountId: string): Promise<void> {
  await tx.change(raise, { accountId })
}

// Never below nothing: sessions that a server of an earlier version began were not counted.
const lower = statement<{ accountId: string; by: number }>()((db, p) =>
  db
    .updateTable('sts_session_count')
    .set((eb) => ({ sessions: eb.case().when('sessions', '>', p.by).then(eb('sessions', '-', p.by)).else(0).end() }))
    .where('account_id', '=', p.accountId),
)

async function lowerSessionCount(tx: Session, accountId: string, by: number): Promise<void> {
  if (by > 0) await tx.change(lower, { accountId, by })
}

const removeEnded = statement<{ before: number; limit: number }>()((db, p) =>
  db
    .deleteFrom('sts_session')
    .where('access_key_id', 'in', (eb) =>
      eb.selectFrom('sts_session').select('access_key_id').where('expires_at', '<=', p.before).orderBy('expires_at').limit(p.limit),
    )
    .returning('account_id'),
)

/** Removes sessions that ended at or before this time, the oldest first; answers how many. */
export async function deleteEndedSessions(tx: Session, before: number, limit: number): Promise<number> {
  const removed = await tx.all(removeEnded, { before, limit })
  const byAccount = new Map<string, number>()
  for (const { account_id: accountId } of removed) byAccount.set(accountId, (byAccount.get(accountId) ?? 0) + 1)
  // In one order, since two servers may sweep at once.
  for (const accountId of [...byAccount.keys()].sort()) await lowerSessionCount(tx, accountId, byAccount.get(accountId) ?? 0)
  return removed.length
}

const removeOfRole = statement<{ roleId: number }>()((db, p) => db.deleteFrom('sts_session').where('role_id', '=', p.roleId))

/** Part of the command that deletes a role, before the role's row goes. */
export async function deleteSessionsOfRole(tx: Session, role: { readonly id: number; readonly account_id: string }): Promise<void> {
  await lowerSessionCount(tx, role.account_id, await tx.change(removeOfRole, { roleId: role.id }))
}

const removeOfUser = statement<{ userId: number }>()((db, p) => db.deleteFrom('sts_session').where('user_id', '=', p.userId))

/** Part of the command that deletes a user, before the user's row goes. */
export async function deleteSessionsOfUser(tx: Session, user: { readonly id: number; readonly account_id: string }): Promise<void> {
  await lowerSessionCount(tx, user.account_id, await tx.change(removeOfUser, { userId: user.id }))
}

const removeOfRoot = statement<{ accountId: string }>()((db, p) =>
  db.deleteFrom('sts_session').where('user_id', 'is', null).where('role_id', 'is', null).where('account_id', '=', p.accountId),
)

/** Part of the command that replaces the key of an account's root. */
export async function deleteSessionsOfRoot(tx: Session, accountId: string): Promise<void> {
  await lowerSessionCount(tx, accountId, await tx.change(removeOfRoot, { accountId }))
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

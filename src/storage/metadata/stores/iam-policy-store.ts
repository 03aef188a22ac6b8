import { sql, type Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/** What policies hang from. */
export const policyOwnerKinds = ['user', 'group', 'role'] as const

export type PolicyOwnerKind = (typeof policyOwnerKinds)[number]

export type PolicyVersionRow = Selectable<Schema['iam_policy_version']>

interface Owner {
  readonly kind: PolicyOwnerKind
  readonly id: number
}

const addVersion = statement<PolicyVersionRow>()((db, p) =>
  db.insertInto('iam_policy_version').values({
    policy_id: p.policy_id,
    version: p.version,
    document: p.document,
    created_at: p.created_at,
  }),
)

export async function insertPolicyVersion(tx: Session, row: PolicyVersionRow): Promise<void> {
  await tx.change(addVersion, row)
}

const versions = statement<{ policyId: number }>()((db, p) =>
  db.selectFrom('iam_policy_version').selectAll().where('policy_id', '=', p.policyId).orderBy('version', 'desc'),
)

/** The newest first. There are five at most. */
export function policyVersions(session: Session, policyId: number): Promise<PolicyVersionRow[]> {
  return session.all(versions, { policyId })
}

const removeVersion = statement<{ policyId: number; version: number }>()((db, p) =>
  db.deleteFrom('iam_policy_version').where('policy_id', '=', p.policyId).where('version', '=', p.version),
)

export async function deletePolicyVersionRow(tx: Session, policyId: number, version: number): Promise<void> {
  await tx.change(removeVersion, { policyId, version })
}

const setVersions = statement<{ id: number; defaultVersion: number; lastVersion: number; now: number }>()((db, p) =>
  db
    .updateTable('iam_policy')
    .set({ default_version: p.defaultVersion, last_version: p.lastVersion, updated_at: p.now })
    .where('id', '=', p.id),
)

export async function setPolicyVersions(
  tx: Session,
  id: number,
  numbers: { defaultVersion: number; lastVersion: number; now: number },
): Promise<void> {
  await tx.change(setVersions, { id, ...numbers })
}

const attach = statement<{ kind: string; id: number; arn: string }>()((db, p) =>
  db
    .insertInto('iam_attached_policy')
    .values({ owner_kind: p.kind, owner_id: p.id, policy_arn: p.arn })
    .onConflict((conflict) => conflict.doNothing()),
)

/** Idempotent. */
export async function insertAttachment(tx: Session, owner: Owner, arn: string): Promise<void> {
  await tx.change(attach, { ...owner, arn })
}

const detach = statement<{ kind: string; id: number; arn: string }>()((db, p) =>
  db
    .deleteFrom('iam_attached_policy')
    .where('owner_kind', '=', p.kind)
    .where('owner_id', '=', p.id)
    .where('policy_arn', '=', p.arn),
)

/** False where it was not attached. */
export async function deleteAttachment(tx: Session, owner: Owner, arn: string): Promise<boolean> {
  return (await tx.change(detach, { ...owner, arn })) > 0
}

const attached = statement<{ kind: string; id: number }>()((db, p) =>
  db
    .selectFrom('iam_attached_policy')
    .select('policy_arn')
    .where('owner_kind', '=', p.kind)
    .where('owner_id', '=', p.id)
    .orderBy('policy_arn'),
)

/** The ARNs of the managed policies of a user, group or role: ten at most. */
export async function attachedPolicyArns(session: Session, owner: Owner): Promise<string[]> {
  return (await session.all(attached, owner)).map((row) => row.policy_arn)
}

const putInline = statement<{ kind: string; id: number; name: string; document: string }>()((db, p) =>
  db
    .insertInto('iam_inline_policy')
    .values({ owner_kind: p.kind, owner_id: p.id, name: p.name, document: p.document })
    .onConflict((conflict) => conflict.columns(['owner_kind', 'owner_id', 'name']).doUpdateSet({ document: p.document })),
)

export async function upsertInlinePolicy(
  tx: Session,
  owner: Owner,
  policy: { name: string; document: string },
): Promise<void> {
  await tx.change(putInline, { ...owner, ...policy })
}

const removeInline = statement<{ kind: string; id: number; name: string }>()((db, p) =>
  db
    .deleteFrom('iam_inline_policy')
    .where('owner_kind', '=', p.kind)
    .where('owner_id', '=', p.id)
    .where('name', '=', p.name),
)

/** False where there was none of this name. */
export async function deleteInlinePolicyRow(tx: Session, owner: Owner, name: string): Promise<boolean> {
  return (await tx.change(removeInline, { ...owner, name })) > 0
}

const inline = statement<{ kind: string; id: number }>()((db, p) =>
  db
    .selectFrom('iam_inline_policy')
    .select(['name', 'document'])
    .where('owner_kind', '=', p.kind)
    .where('owner_id', '=', p.id)
    .orderBy('name'),
)

/** All of them: their sizes together are bounded. */
export function inlinePolicies(session: Session, owner: Owner): Promise<{ name: string; document: string }[]> {
  return session.all(inline, owner)
}

const boundaryUsers = statement<{ accountId: string; arn: string }>()((db, p) =>
  db
    .selectFrom('iam_user')
    .select(['name', 'unique_id', 'path'])
    .where('account_id', '=', p.accountId)
    .where('boundary_arn', '=', p.arn)
    .orderBy('name_key'),
)

const boundaryRoles = statement<{ accountId: string; arn: string }>()((db, p) =>
  db
    .selectFrom('iam_role')
    .select(['name', 'unique_id', 'path'])
    .where('account_id', '=', p.accountId)
    .where('boundary_arn', '=', p.arn)
    .orderBy('name_key'),
)

const attachedUsers = statement<{ accountId: string; arn: string }>()((db, p) =>
  db
    .selectFrom('iam_attached_policy')
    .innerJoin('iam_user', 'iam_user.id', 'iam_attached_policy.owner_id')
    .select(['iam_user.name', 'iam_user.unique_id', 'iam_user.path'])
    .where('policy_arn', '=', p.arn)
    .where('owner_kind', '=', 'user')
    .where('account_id', '=', p.accountId)
    .orderBy('name_key'),
)

const attachedGroups = statement<{ accountId: string; arn: string }>()((db, p) =>
  db
    .selectFrom('iam_attached_policy')
    .innerJoin('iam_group', 'iam_group.id', 'iam_attached_policy.owner_id')
    .select(['iam_group.name', 'iam_group.unique_id', 'iam_group.path'])
    .where('policy_arn', '=', p.arn)
    .where('owner_kind', '=', 'group')
    .where('account_id', '=', p.accountId)
    .orderBy('name_key'),
)

const attachedRoles = statement<{ accountId: string; arn: string }>()((db, p) =>
  db
    .selectFrom('iam_attached_policy')
    .innerJoin('iam_role', 'iam_role.id', 'iam_attached_policy.owner_id')
    .select(['iam_role.name', 'iam_role.unique_id', 'iam_role.path'])
    .where('policy_arn', '=', p.arn)
    .where('owner_kind', '=', 'role')
    .where('account_id', '=', p.accountId)
    .orderBy('name_key'),
)

/** Who has a managed policy, of one account, by name. */
export interface PolicyHolder {
  readonly name: string
  readonly unique_id: string
  readonly path: string
}

/** The users, groups or roles of an account that a managed policy is attached to. */
export function policyHolders(
  session: Session,
  kind: PolicyOwnerKind,
  accountId: string,
  arn: string,
): Promise<PolicyHolder[]> {
  const statements = { user: attachedUsers, group: attachedGroups, role: attachedRoles }
  return session.all(statements[kind], { accountId, arn })
}

/** The users or roles of an account that a managed policy bounds. */
export function boundaryHolders(
  session: Session,
  kind: 'user' | 'role',
  accountId: string,
  arn: string,
): Promise<PolicyHolder[]> {
  return session.all(kind === 'user' ? boundaryUsers : boundaryRoles, { accountId, arn })
}

/** How often a policy is used in an account. */
export interface PolicyUsage {
  readonly attachmentCount: number
  readonly boundaryCount: number
}

/** Of each of these policies; those that nobody has are not in the answer. */
export async function policyUsages(
  session: Session,
  accountId: string,
  arns: readonly string[],
): Promise<ReadonlyMap<string, PolicyUsage>> {
  if (arns.length === 0) return new Map()
  const db = session.builder
  const attachedTo = (kind: PolicyOwnerKind, owners: 'iam_user' | 'iam_group' | 'iam_role') =>
    db
      .selectFrom('iam_attached_policy')
      .select((eb) => ['policy_arn as arn', sql<number>`0`.as('bounds'), eb.fn.countAll<number | string>().as('count')])
      .where('policy_arn', 'in', arns)
      .where('owner_kind', '=', kind)
      .where('owner_id', 'in', db.selectFrom(owners as 'iam_group').select('id').where('account_id', '=', accountId))
      .groupBy('policy_arn')
  const boundariesOf = (owners: 'iam_user' | 'iam_role') =>
    db
      .selectFrom(owners as 'iam_user')
      .select((eb) => [
        sql<string>`boundary_arn`.as('arn'),
        sql<number>`1`.as('bounds'),
        eb.fn.countAll<number | string>().as('count'),
      ])
      .where('boundary_arn', 'in', arns)
      .where('account_id', '=', accountId)
      .groupBy('boundary_arn')
  const rows = await session.query(
    attachedTo('user', 'iam_user')
      .unionAll(attachedTo('group', 'iam_group'))
      .unionAll(attachedTo('role', 'iam_role'))
      .unionAll(boundariesOf('iam_user'))
      .unionAll(boundariesOf('iam_role')),
  )
  const usages = new Map<string, PolicyUsage>()
  for (const { arn, bounds, count } of rows) {
    const { attachmentCount, boundaryCount } = usages.get(arn) ?? { attachmentCount: 0, boundaryCount: 0 }
    usages.set(arn, {
      attachmentCount: attachmentCount + (bounds === 0 ? Number(count) : 0),
      boundaryCount: boundaryCount + (bounds === 1 ? Number(count) : 0),
    })
  }
  return usages
}

const versionCount = statement<{ accountId: string }>()((db, p) =>
  db
    .selectFrom('iam_policy')
    .innerJoin('iam_policy_version', 'iam_policy_version.policy_id', 'iam_policy.id')
    .select((eb) => eb.fn.countAll<number | string>().as('count'))
    .where('account_id', '=', p.accountId),
)

/** All versions of all policies of an account. */
export async function countPolicyVersions(session: Session, accountId: string): Promise<number> {
  return Number((await session.first(versionCount, { accountId }))?.count ?? 0)
}

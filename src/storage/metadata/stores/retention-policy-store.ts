import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/*
 * Retention policies of a registry as a list, and how those of prefixes and of the whole registry reach the repositories that
 * are under them: each such repository has a row that says when it is next evaluated.
 */

export interface RetentionPolicyRow {
  readonly id: number
  readonly scope: string
  readonly scopeKey: string
  readonly repositoryName: string | null
  readonly document: string
  readonly version: number
  readonly updatedAt: number
  readonly updatedBy: string
}

const page = statement<{ registryId: number; after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_policy as policy')
    .leftJoin('repository', 'repository.id', 'policy.repository_id')
    .select([
      'policy.id',
      'policy.scope',
      'policy.scope_key as scopeKey',
      'repository.name as repositoryName',
      'policy.document',
      'policy.version',
      'policy.updated_at as updatedAt',
      'policy.updated_by as updatedBy',
    ])
    .where('policy.registry_id', '=', p.registryId)
    .where('policy.grammar', '=', 'retention')
    .where('policy.id', '>', p.after)
    .where('policy.document', 'is not', null)
    .where('repository.trashed_at', 'is', null)
    .orderBy('policy.id')
    .limit(p.limit)
    .$narrowType<{ document: string }>(),
)

/** The retention policies of a registry in the order in which their places first had one. */
export function listRetentionPolicies(
  session: Session,
  registryId: number,
  after: number,
  limit: number,
): Promise<RetentionPolicyRow[]> {
  return session.all(page, { registryId, after, limit })
}

const prefixCount = statement<{ registryId: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_policy')
    .select((eb) => eb.fn.countAll<number | string>().as('count'))
    .where('registry_id', '=', p.registryId)
    .where('grammar', '=', 'retention')
    .where('scope', '=', 'prefix')
    .where('document', 'is not', null),
)

/** Prefixes of a registry that have a policy. */
export async function countPrefixPolicies(session: Session, registryId: number): Promise<number> {
  return Number((await session.first(prefixCount, { registryId }))?.count ?? 0)
}

export interface PolicyToPlan {
  readonly id: number
  readonly updatedAt: number
  readonly registryId: number
  readonly accountId: string
  readonly region: string
}

const toPlan = statement<{ changedBefore: number; after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_policy as policy')
    .innerJoin('registry', 'registry.id', 'policy.registry_id')
    .select(['policy.id', 'policy.updated_at as updatedAt', 'registry.id as registryId', 'registry.account_id as accountId', 'registry.region'])
    .where('policy.planned_to', 'is not', null)
    .where('policy.id', '>', p.after)
    .where('policy.updated_at', '<=', p.changedBefore)
    .orderBy('policy.id')
    .limit(p.limit),
)

/** Policies of prefixes and registries, last changed before then, of which some repositories have yet to hear. */
export function policiesToPlan(session: Session, page: { changedBefore: number; after: number; limit: number }): Promise<PolicyToPlan[]> {
  return session.all(toPlan, page)
}

const planning = statement<{ id: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_policy')
    .select(['registry_id as registryId', 'scope', 'scope_key as scopeKey', 'updated_at as updatedAt', 'planned_to as plannedTo'])
    .where('id', '=', p.id)
    .where('planned_to', 'is not', null)
    .$narrowType<{ plannedTo: number }>(),
)

const underPrefix = statement<{ registryId: number; after: number; from: string; to: string; limit: number }>()((db, p) =>
  db
    .selectFrom('repository')
    .select('id')
    .where('registry_id', '=', p.registryId)
    .where('id', '>', p.after)
    .where('name', '>=', p.from)
    .where('name', '<', p.to)
    .orderBy('id')
    .limit(p.limit),
)

const underRegistry = statement<{ registryId: number; after: number; limit: number }>()((db, p) =>
  db.selectFrom('repository').select('id').where('registry_id', '=', p.registryId).where('id', '>', p.after).orderBy('id').limit(p.limit),
)

const setPlannedTo = statement<{ id: number; from: number; to: number | null }>()((db, p) =>
  db.updateTable('lifecycle_policy').set({ planned_to: p.to }).where('id', '=', p.id).where('planned_to', '=', p.from),
)

/**
 * Has the next repositories that are under a policy evaluated at `dueAt`, or when they are anyway if that is sooner. False:
 * there are no more, or the policy was changed meanwhile and is planned anew.
 */
export async function planUnderPolicy(tx: Session, input: { policyId: number; dueAt: number; limit: number }): Promise<boolean> {
  const { policyId, dueAt, limit } = input
  const policy = await tx.first(planning, { id: policyId })
  if (policy === undefined) return false
  const { registryId, plannedTo: after, scope, scopeKey } = policy
  const rows =
    scope === 'registry'
      ? await tx.all(underRegistry, { registryId, after, limit })
      : // The character behind the slash: every name with the prefix and a slash lies between.
        await tx.all(underPrefix, { registryId, after, from: `${scopeKey}/`, to: `${scopeKey}0`, limit })
  if (rows.length > 0) {
    await tx.query(
      tx.builder
        .insertInto('lifecycle_state')
        .values(rows.map(({ id }) => ({ repository_id: id, due_at: dueAt })))
        .onConflict((conflict) =>
          conflict
            .column('repository_id')
            .doUpdateSet({ due_at: dueAt })
            .where('lifecycle_state.due_at', '>', dueAt),
        ),
    )
  }
  const isLast = rows.length < limit
  const isPlanned = (await tx.change(setPlannedTo, { id: policyId, from: after, to: isLast ? null : rows.at(-1)!.id })) > 0
  return isPlanned && !isLast
}

const planNew = statement<{ registryId: number; repositoryId: number; dueAt: number }>()((db, p) =>
  db
    .insertInto('lifecycle_state')
    .columns(['repository_id', 'due_at'])
    .expression((eb) =>
      eb
        .selectFrom('repository')
        .select((of) => ['repository.id', of.val(p.dueAt).as('due_at')])
        .where('repository.id', '=', p.repositoryId)
        .where((of) =>
          of.exists(
            of
              .selectFrom('lifecycle_policy')
              .select('lifecycle_policy.id')
              .where('lifecycle_policy.registry_id', '=', p.registryId)
              .where('lifecycle_policy.grammar', '=', 'retention')
              .where('lifecycle_policy.scope', 'in', ['prefix', 'registry'])
              .where('lifecycle_policy.document', 'is not', null),
          ),
        ),
    )
    .onConflict((conflict) => conflict.column('repository_id').doNothing()),
)

/** Sees to it that a repository that was just made is evaluated where its registry has policies that it may be under. */
export async function planNewRepository(tx: Session, repository: { registryId: number; repositoryId: number; dueAt: number }): Promise<void> {
  await tx.change(planNew, repository)
}

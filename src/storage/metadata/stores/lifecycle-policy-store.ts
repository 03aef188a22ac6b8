import { prefixesOf, type RepositoryName } from '../../../values/index.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/*
 * Policies that say when images go. One that was taken away keeps its row, without a document, and goes on counting versions.
 */

export interface LifecyclePolicyRow {
  readonly id: number
  readonly grammar: string
  readonly scope: string
  readonly scopeKey: string
  readonly document: string | null
  readonly version: number
  readonly updatedAt: number
  readonly updatedBy: string
}

/** Which policy: `scopeKey` is the repository's number, the prefix, or nothing. */
export interface PolicyPlace {
  readonly registryId: number
  readonly grammar: 'ecr' | 'retention'
  readonly scope: 'repository' | 'prefix' | 'registry'
  readonly scopeKey: string
}

const policyColumns = ['id', 'grammar', 'scope', 'scope_key as scopeKey', 'document', 'version', 'updated_at as updatedAt', 'updated_by as updatedBy'] as const

const byPlace = statement<PolicyPlace>()((db, p) =>
  db
    .selectFrom('lifecycle_policy')
    .select(policyColumns)
    .where('registry_id', '=', p.registryId)
    .where('grammar', '=', p.grammar)
    .where('scope', '=', p.scope)
    .where('scope_key', '=', p.scopeKey),
)

/** The policy of a place; undefined where there never was one. */
export function findPolicyAt(session: Session, place: PolicyPlace): Promise<LifecyclePolicyRow | undefined> {
  return session.first(byPlace, { ...place })
}

const put = statement<PolicyPlace & { repositoryId: number | null; document: string | null; now: number; by: string; plannedTo: number | null }>()((db, p) =>
  db
    .insertInto('lifecycle_policy')
    .values({
      registry_id: p.registryId,
      grammar: p.grammar,
      scope: p.scope,
      scope_key: p.scopeKey,
      repository_id: p.repositoryId,
      document: p.document,
      version: 1,
      updated_at: p.now,
      updated_by: p.by,
      planned_to: p.plannedTo,
    })
    .onConflict((conflict) =>
      conflict.columns(['registry_id', 'grammar', 'scope', 'scope_key']).doUpdateSet((eb) => ({
        document: eb.ref('excluded.document'),
        version: eb('lifecycle_policy.version', '+', 1),
        updated_at: eb.ref('excluded.updated_at'),
        updated_by: eb.ref('excluded.updated_by'),
        planned_to: eb.ref('excluded.planned_to'),
      })),
    )
    .returning(['id', 'version']),
)

const keepVersion = statement<{ policyId: number; version: number; document: string | null; now: number; by: string }>()((db, p) =>
  db
    .insertInto('lifecycle_policy_version')
    .values({ policy_id: p.policyId, version: p.version, document: p.document, changed_at: p.now, changed_by: p.by }),
)

/** Sets a place's policy, or takes it away (`document` null), as its next version. */
export async function putPolicyAt(
  tx: Session,
  place: PolicyPlace,
  change: { repositoryId: number | null; document: string | null; now: number; by: string },
): Promise<{ id: number; version: number }> {
  // What a prefix or a registry has is told to its repositories bit by bit: there may be very many.
  const plannedTo = place.scope === 'repository' ? null : 0
  const row = await tx.first(put, { ...place, ...change, plannedTo })
  if (!row) throw new Error('putting a policy returned no row')
  const { document, now, by } = change
  await tx.change(keepVersion, { policyId: row.id, version: row.version, document, now, by })
  return row
}

const versionOf = statement<{ policyId: number; version: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_policy_version as version')
    .innerJoin('lifecycle_policy as policy', 'policy.id', 'version.policy_id')
    .select(['policy.grammar', 'version.document'])
    .where('version.policy_id', '=', p.policyId)
    .where('version.version', '=', p.version),
)

/** A policy as it was in a version: without a document where that took it away. */
export function findPolicyVersion(
  session: Session,
  policyId: number,
  version: number,
): Promise<{ grammar: string; document: string | null } | undefined> {
  return session.first(versionOf, { policyId, version })
}

const versions = statement<{ policyId: number; before: number; limit: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_policy_version')
    .select(['version', 'document', 'changed_at as changedAt', 'changed_by as changedBy'])
    .where('policy_id', '=', p.policyId)
    .where('version', '<', p.before)
    .orderBy('version', 'desc')
    .limit(p.limit),
)

export interface PolicyVersionRow {
  readonly version: number
  /** Null: this version took the policy away. */
  readonly document: string | null
  readonly changedAt: number
  readonly changedBy: string
}

/** A policy's versions, newest first, before `before`. */
export function listPolicyVersions(session: Session, policyId: number, before: number, limit: number): Promise<PolicyVersionRow[]> {
  return session.all(versions, { policyId, before, limit })
}

/**
 * Every policy that a repository is under: its own, of both grammars, and those of the prefixes and the registry that take it
 * in. A prefix takes in names that begin with it and a slash.
 */
export function policiesInForce(
  session: Session,
  repository: { readonly id: number; readonly name: string; readonly registry_id: number },
): Promise<LifecyclePolicyRow[]> {
  const { id, name, registry_id: registryId } = repository
  const prefixes = prefixesOf(name as RepositoryName)
  return session.query(
    session.builder
      .selectFrom('lifecycle_policy')
      .select(policyColumns)
      .where('registry_id', '=', registryId)
      .where('grammar', 'in', ['ecr', 'retention'])
      .where((eb) =>
        eb.or([
          eb.and([eb('scope', '=', 'repository'), eb('scope_key', '=', String(id))]),
          eb.and([eb('scope', '=', 'registry'), eb('scope_key', '=', '')]),
          eb.and([eb('scope', '=', 'prefix'), eb('scope_key', 'in', prefixes)]),
        ]),
      )
      .where('document', 'is not', null)
      .orderBy('id'),
  )
}

const planned = statement<{ repositoryId: number; dueAt: number }>()((db, p) =>
  db
    .insertInto('lifecycle_state')
    .values({ repository_id: p.repositoryId, due_at: p.dueAt })
    .onConflict((conflict) =>
      conflict.column('repository_id').doUpdateSet((eb) => ({
        due_at: eb
          .case()
          .when('lifecycle_state.due_at', '=', eb.ref('excluded.due_at'))
          .then(eb('excluded.due_at', '-', 1))
          .else(eb.ref('excluded.due_at'))
          .end(),
      })),
    ),
)

/**
 * Sees to it that a repository is evaluated then, whatever was planned before. The time changes by it in any case, if only by a
 * millisecond: so whoever evaluates meanwhile sees that it was planned.
 */
export async function planEvaluation(tx: Session, repositoryId: number, dueAt: number): Promise<void> {
  await tx.change(planned, { repositoryId, dueAt })
}

const rest = statement<{ repositoryId: number; dueAt: number }>()((db, p) =>
  db
    .updateTable('lifecycle_state')
    .set((eb) => ({ due_at: p.dueAt, evaluated_seq: eb.selectFrom('repository').select('event_seq').where('id', '=', p.repositoryId) }))
    .where('repository_id', '=', p.repositoryId),
)

/** Sees to it that a repository is evaluated then, or when something of it changes; what happened so far is no such change. */
export async function restEvaluation(tx: Session, repositoryId: number, dueAt: number): Promise<void> {
  await tx.change(rest, { repositoryId, dueAt })
}

const stateOf = statement<{ repositoryId: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_state')
    .select(['evaluated_at as evaluatedAt', 'policies_seen as policiesSeen', 'due_at as dueAt'])
    .where('repository_id', '=', p.repositoryId),
)

export function findLifecycleState(
  session: Session,
  repositoryId: number,
): Promise<{ evaluatedAt: number | null; policiesSeen: string | null; dueAt: number } | undefined> {
  return session.first(stateOf, { repositoryId })
}

const due = statement<{ now: number; quietSince: number; after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_state as state')
    .innerJoin('repository', 'repository.id', 'state.repository_id')
    .select('state.repository_id as id')
    .where('state.repository_id', '>', p.after)
    .where('repository.trashed_at', 'is', null)
    .where((eb) => eb.or([eb('state.leased_until', 'is', null), eb('state.leased_until', '<', p.now)]))
    .where((eb) =>
      eb.or([
        eb('state.due_at', '<=', p.now),
        // Something changed since, and the last look was long enough ago.
        eb.and([eb('state.evaluated_at', '<=', p.quietSince), eb('state.evaluated_seq', '!=', eb.ref('repository.event_seq'))]),
      ]),
    )
    .orderBy('state.repository_id')
    .limit(p.limit),
)

/** Repositories to evaluate: their time has come, or they changed and were last looked at before `quietSince`. */
export async function dueRepositories(
  session: Session,
  page: { now: number; quietSince: number; after: number; limit: number },
): Promise<number[]> {
  return (await session.all(due, page)).map(({ id }) => id)
}

const claim = statement<{ repositoryId: number; owner: string; now: number; until: number }>()((db, p) =>
  db
    .updateTable('lifecycle_state')
    .set({ leased_by: p.owner, leased_until: p.until })
    .where('repository_id', '=', p.repositoryId)
    .where((eb) => eb.or([eb('leased_until', 'is', null), eb('leased_until', '<', p.now), eb('leased_by', '=', p.owner)])),
)

/** Takes the lease of a repository's evaluation. False: it is somebody else's. */
export async function claimEvaluation(
  tx: Session,
  lease: { repositoryId: number; owner: string; now: number; until: number },
): Promise<boolean> {
  return (await tx.change(claim, lease)) > 0
}

const renew = statement<{ repositoryId: number; owner: string; until: number }>()((db, p) =>
  db.updateTable('lifecycle_state').set({ leased_until: p.until }).where('repository_id', '=', p.repositoryId).where('leased_by', '=', p.owner),
)

/** Renews a lease. False: it was given back, or somebody else has it by now. */
export async function renewEvaluation(tx: Session, lease: { repositoryId: number; owner: string; until: number }): Promise<boolean> {
  return (await tx.change(renew, lease)) > 0
}

const endLeases = statement()((db) => db.updateTable('lifecycle_state').set({ leased_by: null, leased_until: null }).where('leased_by', 'is not', null))

/** Takes every evaluation from whoever has it. */
export async function endEvaluationLeases(tx: Session): Promise<void> {
  await tx.change(endLeases, {})
}

const finish = statement<{
  repositoryId: number
  owner: string
  evaluatedAt: number
  evaluatedSeq: number
  policiesSeen: string
  plannedAt: number
  dueAt: number
}>()((db, p) =>
  db
    .updateTable('lifecycle_state')
    .set((eb) => ({
      evaluated_at: p.evaluatedAt,
      evaluated_seq: p.evaluatedSeq,
      policies_seen: p.policiesSeen,
      // What was planned meanwhile, as a policy's change does, still stands.
      due_at: eb.case().when(eb.and([eb('due_at', '!=', p.plannedAt), eb('due_at', '<', p.dueAt)])).then(eb.ref('due_at')).else(p.dueAt).end(),
      leased_by: null,
      leased_until: null,
    }))
    .where('repository_id', '=', p.repositoryId)
    .where('leased_by', '=', p.owner),
)

/** What came of an evaluation. */
export interface FinishedEvaluation {
  readonly repositoryId: number
  readonly owner: string
  readonly evaluatedAt: number
  readonly evaluatedSeq: number
  readonly policiesSeen: string
  /** When it was due, before anything was read: clocks of servers differ, and do not tell what came after. */
  readonly plannedAt: number
  /** When the next one is. */
  readonly dueAt: number
}

/** Notes what an evaluation saw, and when the next is due (sooner where that was planned meanwhile), and gives its lease back. */
export async function finishEvaluation(
  tx: Session,
  done: FinishedEvaluation,
): Promise<void> {
  await tx.change(finish, done)
}

const giveBack = statement<{ repositoryId: number; owner: string; dueAt: number }>()((db, p) =>
  db
    .updateTable('lifecycle_state')
    .set({ leased_by: null, leased_until: null, due_at: p.dueAt })
    .where('repository_id', '=', p.repositoryId)
    .where('leased_by', '=', p.owner),
)

/** Gives the lease of an evaluation back that came to nothing. */
export async function giveEvaluationBack(tx: Session, lease: { repositoryId: number; owner: string; dueAt: number }): Promise<void> {
  await tx.change(giveBack, lease)
}

import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/* Policies that hang from a resource: one of a repository, one of a registry. */

const ofRepository = statement<{ repositoryId: number }>()((db, p) =>
  db.selectFrom('repository_policy').select('document').where('repository_id', '=', p.repositoryId),
)

/** A repository's policy as it was set. */
export async function findRepositoryPolicy(session: Session, repositoryId: number): Promise<string | undefined> {
  return (await session.first(ofRepository, { repositoryId }))?.document
}

const putOfRepository = statement<{ repositoryId: number; document: string; now: number }>()((db, p) =>
  db
    .insertInto('repository_policy')
    .values({ repository_id: p.repositoryId, document: p.document, updated_at: p.now })
    .onConflict((conflict) => conflict.column('repository_id').doUpdateSet({ document: p.document, updated_at: p.now })),
)

export async function upsertRepositoryPolicy(tx: Session, repositoryId: number, document: string, now: number): Promise<void> {
  await tx.change(putOfRepository, { repositoryId, document, now })
}

const dropOfRepository = statement<{ repositoryId: number }>()((db, p) =>
  db.deleteFrom('repository_policy').where('repository_id', '=', p.repositoryId),
)

export async function deleteRepositoryPolicyRow(tx: Session, repositoryId: number): Promise<void> {
  await tx.change(dropOfRepository, { repositoryId })
}

const ofRegistry = statement<{ registryId: number }>()((db, p) =>
  db.selectFrom('registry_policy').select('document').where('registry_id', '=', p.registryId),
)

/** A registry's policy as it was put. */
export async function findRegistryPolicy(session: Session, registryId: number): Promise<string | undefined> {
  return (await session.first(ofRegistry, { registryId }))?.document
}

const putOfRegistry = statement<{ registryId: number; document: string; now: number }>()((db, p) =>
  db
    .insertInto('registry_policy')
    .values({ registry_id: p.registryId, document: p.document, updated_at: p.now })
    .onConflict((conflict) => conflict.column('registry_id').doUpdateSet({ document: p.document, updated_at: p.now })),
)

export async function upsertRegistryPolicy(tx: Session, registryId: number, document: string, now: number): Promise<void> {
  await tx.change(putOfRegistry, { registryId, document, now })
}

const dropOfRegistry = statement<{ registryId: number }>()((db, p) =>
  db.deleteFrom('registry_policy').where('registry_id', '=', p.registryId).returning('document'),
)

/** What the policy was; undefined where there was none. */
export async function deleteRegistryPolicyRow(tx: Session, registryId: number): Promise<string | undefined> {
  return (await tx.first(dropOfRegistry, { registryId }))?.document
}

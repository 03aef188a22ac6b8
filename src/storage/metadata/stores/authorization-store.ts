import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/*
 * What a decision about a right is made of: read together when somebody asks for the first time after a change, and kept
 * by whoever decides for as long as the IAM generation stands.
 */

export type IdentityKind = 'user' | 'role'

/** Who a policy hangs from. */
export interface IdentityRow {
  readonly account_id: string
  readonly name: string
  readonly path: string
  readonly boundary_arn: string | null
}

const user = statement<{ id: number }>()((db, p) =>
  db.selectFrom('iam_user').select(['account_id', 'name', 'path', 'boundary_arn']).where('id', '=', p.id),
)

const role = statement<{ id: number }>()((db, p) =>
  db.selectFrom('iam_role').select(['account_id', 'name', 'path', 'boundary_arn']).where('id', '=', p.id),
)

export function findIdentity(session: Session, kind: IdentityKind, id: number): Promise<IdentityRow | undefined> {
  return session.first(kind === 'user' ? user : role, { id })
}

const inlineOfRole = statement<{ id: number }>()((db, p) =>
  db.selectFrom('iam_inline_policy').select('document').where('owner_kind', '=', 'role').where('owner_id', '=', p.id),
)

const inlineOfUser = statement<{ id: number }>()((db, p) =>
  db
    .selectFrom('iam_inline_policy')
    .select('document')
    .where('owner_kind', '=', 'user')
    .where('owner_id', '=', p.id)
    .unionAll(
      db
        .selectFrom('iam_group_member')
        .innerJoin('iam_inline_policy', 'iam_inline_policy.owner_id', 'iam_group_member.group_id')
        .select('iam_inline_policy.document')
        .where('iam_inline_policy.owner_kind', '=', 'group')
        .where('iam_group_member.user_id', '=', p.id),
    ),
)

/** The documents of an identity's own inline policies, and of those of a user's groups. */
export async function inlineDocumentsOf(session: Session, kind: IdentityKind, id: number): Promise<string[]> {
  return (await session.all(kind === 'user' ? inlineOfUser : inlineOfRole, { id })).map(({ document }) => document)
}

const attachedToRole = statement<{ id: number }>()((db, p) =>
  db.selectFrom('iam_attached_policy').select('policy_arn').where('owner_kind', '=', 'role').where('owner_id', '=', p.id),
)

const attachedToUser = statement<{ id: number }>()((db, p) =>
  db
    .selectFrom('iam_attached_policy')
    .select('policy_arn')
    .where('owner_kind', '=', 'user')
    .where('owner_id', '=', p.id)
    .union(
      db
        .selectFrom('iam_group_member')
        .innerJoin('iam_attached_policy', 'iam_attached_policy.owner_id', 'iam_group_member.group_id')
        .select('iam_attached_policy.policy_arn')
        .where('iam_attached_policy.owner_kind', '=', 'group')
        .where('iam_group_member.user_id', '=', p.id),
    ),
)

/** The ARNs of the managed policies of an identity, and of a user's groups. */
export async function attachedPolicyArnsOf(session: Session, kind: IdentityKind, id: number): Promise<string[]> {
  return (await session.all(kind === 'user' ? attachedToUser : attachedToRole, { id })).map((row) => row.policy_arn)
}

const defaultVersion = statement<{ accountId: string; nameKey: string }>()((db, p) =>
  db
    .selectFrom('iam_policy')
    .innerJoin('iam_policy_version', (join) =>
      join
        .onRef('iam_policy_version.policy_id', '=', 'iam_policy.id')
        .onRef('iam_policy_version.version', '=', 'iam_policy.default_version'),
    )
    .select('iam_policy_version.document')
    .where('iam_policy.account_id', '=', p.accountId)
    .where('iam_policy.name_key', '=', p.nameKey),
)

/** The default version of an account's managed policy. */
export async function managedDocument(session: Session, accountId: string, name: string): Promise<string | undefined> {
  return (await session.first(defaultVersion, { accountId, nameKey: name.toLowerCase() }))?.document
}

const identityTags = statement<{ kind: string; id: number }>()((db, p) =>
  db.selectFrom('iam_tag').select(['key', 'value']).where('owner_kind', '=', p.kind).where('owner_id', '=', p.id),
)

export function identityTagsOf(session: Session, kind: IdentityKind, id: number): Promise<{ key: string; value: string }[]> {
  return session.all(identityTags, { kind, id })
}

const registryPolicy = statement<{ accountId: string; region: string }>()((db, p) =>
  db
    .selectFrom('registry')
    .leftJoin('registry_policy', 'registry_policy.registry_id', 'registry.id')
    .leftJoin('registry_setting', (join) =>
      join.onRef('registry_setting.registry_id', '=', 'registry.id').on('registry_setting.name', '=', 'REGISTRY_POLICY_SCOPE'),
    )
    .select(['registry_policy.document', 'registry_setting.value as scope'])
    .where('registry.account_id', '=', p.accountId)
    .where('registry.region', '=', p.region),
)

/** A registry's policy, and the scope that is set for it; undefined where there is no such registry. */
export function registryPolicyOf(
  session: Session,
  accountId: string,
  region: string,
): Promise<{ document: string | null; scope: string | null } | undefined> {
  return session.first(registryPolicy, { accountId, region })
}

const repositoryPolicy = statement<{ accountId: string; region: string; name: string }>()((db, p) =>
  db
    .selectFrom('registry')
    .innerJoin('repository', 'repository.registry_id', 'registry.id')
    .leftJoin('repository_policy', 'repository_policy.repository_id', 'repository.id')
    .select(['repository.id', 'repository_policy.document'])
    .where('registry.account_id', '=', p.accountId)
    .where('registry.region', '=', p.region)
    .where('repository.name', '=', p.name)
    .where('repository.trashed_at', 'is', null),
)

/** A living repository's policy; undefined where there is no such repository. */
export function repositoryPolicyOf(
  session: Session,
  accountId: string,
  region: string,
  name: string,
): Promise<{ id: number; document: string | null } | undefined> {
  return session.first(repositoryPolicy, { accountId, region, name })
}

/** The first row of the key's index: numbers of repositories begin at 1. */
const anyRepositoryPolicy = statement()((db) =>
  db.selectFrom('repository_policy').select('repository_id').where('repository_id', '>', 0).limit(1),
)

/** True where any repository of the installation has a policy. */
export async function holdsRepositoryPolicies(session: Session): Promise<boolean> {
  return (await session.first(anyRepositoryPolicy, {})) !== undefined
}

interface NamesWithin {
  readonly accountId: string
  readonly region: string
  readonly first: string
  readonly last: string
}

const policiesWithin = statement<NamesWithin>()((db, p) =>
  db
    .selectFrom('registry')
    .innerJoin('repository', 'repository.registry_id', 'registry.id')
    .innerJoin('repository_policy', 'repository_policy.repository_id', 'repository.id')
    .select(['repository.name', 'repository_policy.document'])
    .where('registry.account_id', '=', p.accountId)
    .where('registry.region', '=', p.region)
    .where('repository.trashed_at', 'is', null)
    .where('repository.name', '>=', p.first)
    .where('repository.name', '<=', p.last),
)

const tagsWithin = statement<NamesWithin>()((db, p) =>
  db
    .selectFrom('registry')
    .innerJoin('repository', 'repository.registry_id', 'registry.id')
    .innerJoin('resource_tag', 'resource_tag.repository_id', 'repository.id')
    .select(['repository.name', 'resource_tag.key', 'resource_tag.value'])
    .where('registry.account_id', '=', p.accountId)
    .where('registry.region', '=', p.region)
    .where('repository.trashed_at', 'is', null)
    .where('repository.name', '>=', p.first)
    .where('repository.name', '<=', p.last),
)

/** The policies of the living repositories from `first` to `last`, both included. */
export function repositoryPoliciesWithin(session: Session, within: NamesWithin): Promise<{ name: string; document: string }[]> {
  return session.all(policiesWithin, within)
}

/** Their resource tags. */
export function resourceTagsWithin(session: Session, within: NamesWithin): Promise<{ name: string; key: string; value: string }[]> {
  return session.all(tagsWithin, within)
}

import { commandContext, type RequestContext } from '../registry/context.ts'
import { readRepository } from '../registry/change.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import type { Session } from '../storage/metadata/session.ts'
import { findLifecycleState, findPolicyAt, listPolicyVersions, policiesInForce, type PolicyVersionRow } from '../storage/metadata/stores/lifecycle-policy-store.ts'
import type { RepositoryName } from '../values/index.ts'
import { deleteLifecyclePolicy, ecrPolicyOf, policyUnknown, putLifecyclePolicy } from './commands/policies.ts'
import { parseEcrPolicy, parseRetentionPolicy, type CompiledPolicy, type ParsedPolicy } from './policy/index.ts'

export interface LifecycleSettings {
  /** Take and do only what ECR does. */
  readonly strict: boolean
  /** How long after a change of policies or images they are acted by. */
  readonly intervalMs: number
  /** Rules may not delete sooner after archiving than this; undefined: 90 in strict mode, else none. */
  readonly minimumArchiveDays?: number | undefined
}

/** A policy that a repository is under. */
export interface PolicyInForce {
  readonly id: number
  readonly version: number
  readonly grammar: 'ecr' | 'retention'
  /** Whose it is, in words: the repository's, a prefix's, the registry's. */
  readonly from: string
  readonly scope: string
  readonly scopeKey: string
  readonly document: string
  readonly compiled: CompiledPolicy
}

/** Lifecycle policies: what they say, and under which a repository is. */
export class LifecyclePolicies {
  readonly #database: MetadataDatabase
  readonly #settings: LifecycleSettings

  constructor(database: MetadataDatabase, settings: LifecycleSettings) {
    this.#database = database
    this.#settings = settings
  }

  /** Reads a policy as `put` does, changing nothing. Throws `policy-invalid`. */
  parse(text: string): ParsedPolicy {
    const { strict, minimumArchiveDays } = this.#settings
    return parseEcrPolicy(text, { strict, ...(minimumArchiveDays === undefined ? {} : { minimumArchiveDays }) })
  }

  /** The normal form of a policy that would be carried out. Throws `policy-invalid`. */
  check(text: string): string {
    return this.parse(text).text
  }

  /** The policy in its normal form, as it is kept. Throws `repository-unknown`, `policy-invalid`. */
  async put(context: RequestContext, name: RepositoryName, text: string): Promise<string> {
    const document = this.check(text)
    const evaluateAt = context.clock.now() + this.#settings.intervalMs
    await this.#database.execute(putLifecyclePolicy, { name, document, evaluateAt }, commandContext(context))
    return document
  }

  /** Throws `repository-unknown`, `lifecycle-policy-unknown`. */
  async get(context: RequestContext, name: RepositoryName): Promise<{ document: string; lastEvaluatedAt: number | null }> {
    const { reader } = this.#database
    const { id } = await readRepository(reader, { registryId: context.registry.id, accountId: context.registry.accountId }, name)
    const document = (await findPolicyAt(reader, ecrPolicyOf(context.registry.id, id)))?.document
    if (document === undefined || document === null) throw policyUnknown(name, context.registry.accountId)
    return { document, lastEvaluatedAt: (await findLifecycleState(reader, id))?.evaluatedAt ?? null }
  }

  /** What the policy was. Throws `repository-unknown`, `lifecycle-policy-unknown`. */
  delete(context: RequestContext, name: RepositoryName): Promise<{ document: string; lastEvaluatedAt: number | null }> {
    return this.#database.execute(deleteLifecyclePolicy, { name }, commandContext(context))
  }

  /** Versions of a repository's policy in ECR's grammar, newest first, before `before`. Throws `repository-unknown`. */
  async versions(
    context: RequestContext,
    name: RepositoryName,
    page: { before: number; limit: number },
  ): Promise<PolicyVersionRow[]> {
    const { reader } = this.#database
    const { id } = await readRepository(reader, { registryId: context.registry.id, accountId: context.registry.accountId }, name)
    const policy = await findPolicyAt(reader, ecrPolicyOf(context.registry.id, id))
    return policy === undefined ? [] : listPolicyVersions(reader, policy.id, page.before, page.limit)
  }
}

/** Every policy that a repository is under, ready to be evaluated. */
export async function policiesOf(
  session: Session,
  repository: { readonly id: number; readonly name: string; readonly registry_id: number },
): Promise<PolicyInForce[]> {
  const rows = await policiesInForce(session, repository)
  return rows.map(({ id, version, grammar, document, scope, scopeKey }) => ({
    id,
    version,
    grammar: grammar as PolicyInForce['grammar'],
    from: scope === 'repository' ? `the repository '${repository.name}'` : scope === 'prefix' ? `the prefix '${scopeKey}'` : 'the registry',
    scope,
    scopeKey,
    document: document ?? '',
    compiled: readStored(grammar, document ?? ''),
  }))
}

/** A stored policy was checked when it was put, perhaps by other settings. */
export function readStored(grammar: string, document: string): CompiledPolicy {
  if (grammar === 'retention') return parseRetentionPolicy(document).policy
  return parseEcrPolicy(document, { strict: false, checkLength: false }).policy
}

import { readRepository } from '../registry/change.ts'
import { commandContext, type RequestContext } from '../registry/context.ts'
import { parseIdPosition, toPage } from '../registry/paging.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { findPolicyAt, listPolicyVersions, type PolicyPlace, type PolicyVersionRow } from '../storage/metadata/stores/lifecycle-policy-store.ts'
import { listRetentionPolicies, type RetentionPolicyRow } from '../storage/metadata/stores/retention-policy-store.ts'
import { ecrPolicyOf } from './commands/policies.ts'
import {
  deleteRetentionPolicy,
  placeWords,
  putRetentionPolicy,
  retentionPolicyAt,
  retentionPolicyUnknown,
  type RetentionPlace,
  type SavedPolicy,
} from './commands/retention-policies.ts'
import { lifecycleError } from './errors.ts'
import type { LifecycleSettings } from './policies.ts'
import { parseRetentionPolicy, type ParsedPolicy } from './policy/index.ts'

/** A policy and where it holds. Times are milliseconds since 1970. */
export interface RetentionPolicy extends SavedPolicy {
  readonly place: RetentionPlace
}

/**
 * Retention policies: rules of the second grammar for a repository, for all whose names have a prefix, or for a whole registry.
 * A repository is under all that take it in at once, and under its policy in ECR's grammar; what any of them keeps stays.
 * docs/operations/retention-policies.md
 */
export class RetentionPolicies {
  readonly #database: MetadataDatabase
  readonly #settings: Pick<LifecycleSettings, 'intervalMs'>

  constructor(database: MetadataDatabase, settings: Pick<LifecycleSettings, 'intervalMs'>) {
    this.#database = database
    this.#settings = settings
  }

  /** Reads a policy as `put` does, changing nothing. Throws `policy-invalid`. */
  parse(text: string): ParsedPolicy {
    return parseRetentionPolicy(text)
  }

  /** Throws `policy-invalid`, `repository-unknown`, `limit-exceeded`. */
  async put(context: RequestContext, place: RetentionPlace, text: string): Promise<RetentionPolicy> {
    const { text: document } = this.parse(text)
    const evaluateAt = context.clock.now() + this.#settings.intervalMs
    const saved = await this.#database.execute(putRetentionPolicy, { place, document, evaluateAt }, commandContext(context))
    return { place, ...saved }
  }

  /** Throws `repository-unknown`, `lifecycle-policy-unknown`. */
  async get(context: RequestContext, place: RetentionPlace): Promise<RetentionPolicy> {
    const found = await findPolicyAt(this.#database.reader, await this.#at(context, place))
    if (typeof found?.document !== 'string') throw retentionPolicyUnknown(place, context.registry.accountId)
    const { version, document, updatedAt, updatedBy } = found
    return { place, version, document, updatedAt, updatedBy }
  }

  /** What the policy was. Throws `repository-unknown`, `lifecycle-policy-unknown`. */
  async delete(context: RequestContext, place: RetentionPlace): Promise<RetentionPolicy> {
    const evaluateAt = context.clock.now() + this.#settings.intervalMs
    return { place, ...(await this.#database.execute(deleteRetentionPolicy, { place, evaluateAt }, commandContext(context))) }
  }

  /** Every retention policy of the registry. Throws `page-invalid`. */
  async list(context: RequestContext, page: { limit: number; after?: string | undefined }): Promise<{ items: readonly RetentionPolicy[]; next: string | undefined }> {
    const rows = await listRetentionPolicies(this.#database.reader, context.registry.id, parseIdPosition(page.after), page.limit + 1)
    return toPage(rows, page.limit, toPolicy, ({ id }) => String(id))
  }

  /**
   * What a place's policy was, version after version, newest first; in ECR's grammar only repositories have one. Throws
   * `repository-unknown`, `lifecycle-policy-unknown` where there never was one, `page-invalid`.
   */
  async versions(
    context: RequestContext,
    place: RetentionPlace,
    page: { grammar: PolicyPlace['grammar']; limit: number; after?: string | undefined },
  ): Promise<{ items: readonly PolicyVersionRow[]; next: string | undefined }> {
    const { grammar, limit, after } = page
    const at = await this.#at(context, place)
    const policy = await findPolicyAt(this.#database.reader, grammar === 'ecr' ? ecrPolicyOf(at.registryId, Number(at.scopeKey)) : at)
    if (policy === undefined) {
      throw lifecycleError('lifecycle-policy-unknown', `There never was such a policy for ${placeWords(place)} in the registry with id '${context.registry.accountId}'`)
    }
    const before = after === undefined ? Number.MAX_SAFE_INTEGER : parseIdPosition(after)
    const rows = await listPolicyVersions(this.#database.reader, policy.id, before, limit + 1)
    return toPage(rows, limit, (row) => row, ({ version }) => String(version))
  }

  async #at(context: RequestContext, place: RetentionPlace): Promise<PolicyPlace> {
    const { id: registryId, accountId } = context.registry
    const repositoryId =
      place.scope === 'repository' ? (await readRepository(this.#database.reader, { registryId, accountId }, place.name)).id : undefined
    return retentionPolicyAt(registryId, place, repositoryId)
  }
}

function toPolicy({ scope, scopeKey, repositoryName, document, version, updatedAt, updatedBy }: RetentionPolicyRow): RetentionPolicy {
  const place: RetentionPlace =
    scope === 'repository' ? { scope, name: repositoryName ?? '' } : scope === 'prefix' ? { scope, prefix: scopeKey } : { scope: 'registry' }
  return { place, version, document, updatedAt, updatedBy }
}

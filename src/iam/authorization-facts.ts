import { isPlatformError } from '../internal/platform-error.ts'
import type { Session } from '../storage/metadata/session.ts'
import {
  attachedPolicyArnsOf,
  findIdentity,
  holdsRepositoryPolicies,
  identityTagsOf,
  inlineDocumentsOf,
  managedDocument,
  registryPolicyOf,
  repositoryPoliciesWithin,
  repositoryPolicyOf,
  resourceTagsWithin,
} from '../storage/metadata/stores/authorization-store.ts'
import { resourceTagsOf } from '../storage/metadata/stores/repository-store.ts'
import { conditionValues, noValues, type ConditionValues } from './condition-keys.ts'
import { managedPolicy } from './managed-policies.ts'
import { AmbiguousValue, parsePolicy, type ContextValue, type Policy, type PolicyKind } from './policy/index.ts'
import type { Principal, PrincipalSession } from './principal.ts'

/** Of a user or a role: everything its rights depend on but its sessions. */
export interface IdentityFacts {
  readonly policies: readonly Policy[]
  readonly boundary: Policy | undefined
  /** `aws:PrincipalTag/<key>` by keys in lower case. */
  readonly tags: ConditionValues
  /** As `aws:PrincipalArn` names it. */
  readonly arn: string | undefined
  /** A policy that cannot be read might deny: with it, nothing is allowed. */
  readonly isReadable: boolean
}

export interface SessionFacts {
  /** Absent: no bound. */
  readonly policies: readonly Policy[] | undefined
  readonly tags: ConditionValues
  readonly context: ConditionValues
  readonly isReadable: boolean
}

export interface RegistryFacts {
  readonly policy: Policy | undefined
  /** V1: the policy is asked about a few actions only. */
  readonly scope: 'V1' | 'V2'
  /** False where no repository of the installation has a policy. */
  readonly hasRepositoryPolicies: boolean
  readonly isReadable: boolean
}

export interface RepositoryFacts {
  readonly policy: Policy | undefined
  /** `aws:ResourceTag/<key>` and `ecr:ResourceTag/<key>`. */
  readonly tags: ConditionValues
  readonly isReadable: boolean
}

/** A root has its account's rights and no policy of its own. */
export const rootFacts: IdentityFacts = { policies: [], boundary: undefined, tags: noValues, arn: undefined, isReadable: true }

const noSession: SessionFacts = { policies: undefined, tags: noValues, context: noValues, isReadable: true }

/** Of what is no repository, or of one that has neither policy nor tags, there or not. */
export const plainRepository: RepositoryFacts = { policy: undefined, tags: noValues, isReadable: true }

/** An entry of a map, with its strings' heads: a text takes two bytes a character at most. */
const bytesOfValue = 200

function textLength(value: ContextValue | AmbiguousValue): number {
  if (typeof value === 'string') return value.length
  const parts: readonly ContextValue[] = value instanceof AmbiguousValue ? value.choices : value
  return parts.reduce<number>((sum, part) => sum + bytesOfValue / 2 + textLength(part), 0)
}

/** Told of a stored policy that cannot be read: what it hangs from, and why. */
export type UnreadablePolicyHandler = (problem: { readonly owner: string; readonly reason: string }) => void

/**
 * Reads policies and tags from the database. A document that does not parse is told of and makes its facts unreadable,
 * since nobody knows what it was meant to deny.
 */
export class FactReader {
  readonly #session: Session
  readonly #onUnreadable: UnreadablePolicyHandler
  /** By kind and text: many users and roles have the same managed policies, and many sessions the same bounds. */
  readonly #compiled = new Map<string, Policy>()
  #heldBytes = 0

  constructor(session: Session, onUnreadable: UnreadablePolicyHandler) {
    this.#session = session
    this.#onUnreadable = onUnreadable
  }

  /** What everything takes that was read so far, in bytes and rather too much: what caches of it hold at most. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  async identity({ kind, id }: NonNullable<Principal['identity']>): Promise<IdentityFacts> {
    const session = this.#session
    const row = await findIdentity(session, kind, id)
    // Gone meanwhile, and its rights with it.
    if (row === undefined) return rootFacts
    const arn = `arn:aws:iam::${row.account_id}:${kind}${row.path}${row.name}`
    const documents: (string | undefined)[] = await inlineDocumentsOf(session, kind, id)
    for (const policyArn of await attachedPolicyArnsOf(session, kind, id)) {
      documents.push(await this.#managed(row.account_id, policyArn))
    }
    const policies = documents.map((document) => this.#parse(document, 'identity', arn))
    const boundary = row.boundary_arn === null ? undefined : this.#parse(await this.#managed(row.account_id, row.boundary_arn), 'identity', arn)
    const tags = (await identityTagsOf(session, kind, id)).map(({ key, value }) => [key, value] as const)
    return {
      policies: policies.filter((policy) => policy !== undefined),
      boundary,
      tags: this.#held(conditionValues(tags, 'aws:principaltag/')),
      arn,
      isReadable: !policies.includes(undefined) && (row.boundary_arn === null || boundary !== undefined),
    }
  }

  session(session: PrincipalSession | undefined, arn: string): SessionFacts {
    if (session === undefined) return noSession
    const policies = session.policies.map((document) => this.#parse(document, 'session', arn))
    return {
      policies: policies.length === 0 ? undefined : policies.filter((policy) => policy !== undefined),
      tags: this.#held(conditionValues(Object.entries(session.tags), 'aws:principaltag/')),
      context: this.#held(conditionValues(Object.entries(session.context))),
      isReadable: !policies.includes(undefined),
    }
  }

  async registry(accountId: string, region: string): Promise<RegistryFacts> {
    const row = await registryPolicyOf(this.#session, accountId, region)
    const document = row?.document ?? null
    const policy = document === null ? undefined : this.#parse(document, 'resource', `registry ${accountId} in ${region}`)
    return {
      policy,
      scope: row?.scope === 'V1' ? 'V1' : 'V2',
      hasRepositoryPolicies: await holdsRepositoryPolicies(this.#session),
      isReadable: document === null || policy !== undefined,
    }
  }

  async repository(arn: string, place: { accountId: string; region: string; name: string }): Promise<RepositoryFacts> {
    const row = await repositoryPolicyOf(this.#session, place.accountId, place.region, place.name)
    if (row === undefined) return plainRepository
    const tags = Object.entries(await resourceTagsOf(this.#session, row.id))
    if (tags.length === 0 && row.document === null) return plainRepository
    return this.#repositoryFacts(arn, row.document, tags)
  }

  /** Of several repositories of a registry at once, in the order of their names, which `names` have. */
  async repositoriesWithin(
    arnPrefix: string,
    { accountId, region }: { readonly accountId: string; readonly region: string },
    names: readonly string[],
    hasPolicies: boolean,
  ): Promise<RepositoryFacts[]> {
    const [first = '', last = ''] = [names[0], names.at(-1)]
    const within = { accountId, region, first, last }
    const documents = new Map<string, string>()
    if (hasPolicies) for (const { name, document } of await repositoryPoliciesWithin(this.#session, within)) documents.set(name, document)
    const tags = new Map<string, [string, string][]>()
    for (const { name, key, value } of await resourceTagsWithin(this.#session, within)) {
      const held = tags.get(name)
      if (held === undefined) tags.set(name, [[key, value]])
      else held.push([key, value])
    }
    return names.map((name) => {
      const document = documents.get(name) ?? null
      const held = tags.get(name) ?? []
      return document === null && held.length === 0 ? plainRepository : this.#repositoryFacts(arnPrefix + name, document, held)
    })
  }

  #repositoryFacts(arn: string, document: string | null, tags: readonly (readonly [string, string])[]): RepositoryFacts {
    const policy = document === null ? undefined : this.#parse(document, 'resource', arn)
    return {
      policy,
      tags: this.#held(
        conditionValues(
          tags.flatMap(([key, value]) => [[`aws:ResourceTag/${key}`, value] as const, [`ecr:ResourceTag/${key}`, value] as const]),
        ),
      ),
      isReadable: document === null || policy !== undefined,
    }
  }

  /** The trust policy of a role; undefined where it cannot be read. */
  trust(document: string, roleArn: string): Policy | undefined {
    return this.#parse(document, 'trust', roleArn)
  }

  #held(values: ConditionValues): ConditionValues {
    for (const [key, value] of values) this.#heldBytes += bytesOfValue + 2 * (key.length + textLength(value))
    return values
  }

  /** The document of a managed policy of the account, or of one that every account has. */
  async #managed(accountId: string, policyArn: string): Promise<string | undefined> {
    const everybodys = managedPolicy(policyArn)
    if (everybodys !== undefined) return everybodys.document
    return managedDocument(this.#session, accountId, policyArn.slice(policyArn.lastIndexOf('/') + 1))
  }

  #parse(document: string | undefined, kind: PolicyKind, owner: string): Policy | undefined {
    try {
      if (document === undefined) throw new Error('a policy that is attached is not there')
      const key = `${kind} ${document}`
      const known = this.#compiled.get(key)
      if (known !== undefined) return known
      const policy = parsePolicy(document, kind, (bytes) => {
        this.#heldBytes += bytes
      })
      this.#compiled.set(key, policy)
      return policy
    } catch (error) {
      if (document !== undefined && !isPlatformError(error, 'policy-malformed')) throw error
      this.#onUnreadable({ owner, reason: error instanceof Error ? error.message : String(error) })
      return undefined
    }
  }
}

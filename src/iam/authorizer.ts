import type { MetadataDatabase } from '../storage/metadata/database.ts'
import type { AccessRequest } from './access-request.ts'
import {
  FactReader,
  plainRepository,
  rootFacts,
  type IdentityFacts,
  type RegistryFacts,
  type RepositoryFacts,
  type SessionFacts,
  type UnreadablePolicyHandler,
} from './authorization-facts.ts'
import { BoundedMap } from './bounded-map.ts'
import { ConditionKeys, type ConditionFacts, type OwnSets } from './condition-keys.ts'
import type { IamGeneration } from './generation.ts'
import { evaluate, parsePolicy, repositoryNameRanges, type Evaluation, type NameRange, type Policy } from './policy/index.ts'
import type { PrincipalSession } from './principal.ts'

/** `message` is the text AWS gives its callers, fit for every protocol's answer. */
export type Decision = { readonly allowed: true } | Refusal

export interface Refusal {
  readonly allowed: false
  readonly message: string
  /** A policy says so, rather than that none says otherwise. */
  readonly isExplicit: boolean
}

/** What of a registry's repositories a principal may see, in the form in which the registry lists them. */
export interface VisibleRepositories {
  /** Names from `from` on and before `to`: outside of these there is nothing to see. In order. */
  readonly ranges: readonly { readonly from: string; readonly to: string | undefined }[]
  readonly filter: (names: readonly string[]) => Promise<readonly boolean[]>
}

export interface AuthorizerOptions {
  readonly database: MetadataDatabase
  readonly generation: IamGeneration
  /** Told of stored policies that cannot be read: they deny everything that they might have denied. */
  readonly onUnreadablePolicy: UnreadablePolicyHandler
  /** What may be remembered, in bytes as they are estimated; absent: 128 MiB. */
  readonly maxHeldBytes?: number | undefined
}

/** Identities and registries in use at one time; a few hundred bytes each beside their policies and tags. */
const maxCachedIdentities = 10_000
const maxCachedRegistries = 1_000
/** Most repositories have neither policy nor tags, and share what is remembered of them. */
const maxCachedRepositories = 50_000

/**
 * What policies and tags may take all together before they are forgotten. It is estimated, and rather too much: the heap grows by
 * half of it to all of it.
 */
const defaultMaxHeldBytes = 128 * 1024 * 1024

/** ECR user guide, "Private registry permissions": what a registry policy of scope V1 is asked about. */
const actionsOfScopeV1: ReadonlySet<string> = new Set([
  'ecr:replicateimage',
  'ecr:batchimportupstreamimage',
  'ecr:createrepository',
])

/**
 * What the owner's root may do whatever a policy says, so that nobody can lock an account out of its own things: there is
 * no support to call. As with S3's bucket policies at AWS.
 */
const actionsOfOwner: ReadonlySet<string> = new Set([
  'ecr:getrepositorypolicy',
  'ecr:setrepositorypolicy',
  'ecr:deleterepositorypolicy',
  'ecr:getregistrypolicy',
  'ecr:putregistrypolicy',
  'ecr:deleteregistrypolicy',
])

const allowed: Decision = Object.freeze({ allowed: true })

interface Known<Facts> {
  readonly facts: Facts | Promise<Facts>
  /** The IAM generation when they were read. */
  readonly readAt: number
}

/** What was read since there was too much of it the last time. */
class FactCache {
  readonly reader: FactReader
  readonly identities = new BoundedMap<Known<IdentityFacts>>(maxCachedIdentities)
  readonly registries = new BoundedMap<Known<RegistryFacts>>(maxCachedRegistries)
  readonly repositories = new BoundedMap<Known<RepositoryFacts>>(maxCachedRepositories)
  readonly sessions = new WeakMap<PrincipalSession, SessionFacts>()

  constructor(reader: FactReader) {
    this.reader = reader
  }
}

/** Everything a decision depends on beside the request. */
interface Facts {
  readonly identity: IdentityFacts
  readonly session: SessionFacts
  readonly registry: RegistryFacts | undefined
  readonly repository: RepositoryFacts
  /** Of a role that is to be assumed. */
  readonly trust: TrustFacts | undefined
}

interface TrustFacts {
  /** Undefined where it cannot be read. */
  readonly policy: Policy | undefined
}

/**
 * Whether a principal may do something: the one place where this is decided, for every protocol.
 *
 * Policies and tags are remembered until something changes in their account, which the IAM generation tells, and whoever
 * authenticated the caller has just looked at that. What is remembered is decided at once, without a promise.
 */
export class Authorizer {
  readonly #options: AuthorizerOptions
  #cache: FactCache

  constructor(options: AuthorizerOptions) {
    this.#options = options
    this.#cache = this.#newCache()
  }

  authorize(request: AccessRequest): Decision | Promise<Decision> {
    const cache = this.#currentCache()
    const isByOwner = isOwner(request)
    if (isByOwner && actionsOfOwner.has(request.action.toLowerCase())) return allowed
    const place = registryPlaceOf(request)
    const identity = this.#identity(cache, request)
    const registry = place && this.#registry(cache, place)
    if (identity instanceof Promise || registry instanceof Promise) return this.#decideLater(cache, request, place, identity, registry)
    // The usual case of small installations and of owners: nothing to weigh.
    if (isByOwner && isUnconditional(request) && registry?.hasRepositoryPolicies !== true && registry?.policy === undefined) {
      if (registry?.isReadable !== false) return allowed
    }
    const repository = this.#repository(cache, place, request.resource)
    if (repository instanceof Promise) return this.#decideLater(cache, request, place, identity, registry)
    return decide(request, this.#facts(cache, request, identity, registry, repository))
  }

  /**
   * Which repositories a listing may show: a question about `arn:…:repository/*`, answered with a refusal where there is
   * nothing to see. Undefined: all of them, without a look at each.
   *
   * Names are allowed one by one, as if each had been asked for. Where not every repository is allowed, the identity's
   * own policies say where to look; another account's registry shows something only to whom its policy opens it as a
   * whole.
   */
  async visibleRepositories(request: AccessRequest): Promise<Refusal | VisibleRepositories | undefined> {
    const { principal, action, resource, accountId } = request
    const cache = this.#currentCache()
    const decision = await this.authorize(request)
    const place = registryPlaceOf(request)
    if (place === undefined) throw new Error('only repositories of a registry are listed')
    const [identity, registry] = await Promise.all([this.#identity(cache, request), this.#registry(cache, place)])
    const isForeign = principal.accountId !== accountId
    if (!decision.allowed && (decision.isExplicit || isForeign)) return decision
    if (isOwner(request) && registry.policy === undefined && !registry.hasRepositoryPolicies) return undefined

    const arnPrefix = resource.slice(0, resource.indexOf('*'))
    const facts = this.#facts(cache, request, identity, registry, plainRepository)
    const rangesOf = (policies: readonly Policy[]): VisibleRepositories['ranges'] => repositoryNameRanges(policies, action, arnPrefix).flatMap(toRange)
    const ranges = decision.allowed ? [everything] : rangesOf(identity.policies)
    // Every policy that has to allow as well can leave nothing to see.
    const bounds = [identity.boundary === undefined ? undefined : [identity.boundary], facts.session.policies]
    const isNothing = [ranges, ...bounds.map((policies) => policies && rangesOf(policies))].some((seen) => seen?.length === 0)
    if (isNothing && !decision.allowed) return decision
    const filter = async (names: readonly string[]): Promise<boolean[]> => {
      const repositories = await this.#repositoriesNamed(cache, place, registry, arnPrefix, names)
      const flags: boolean[] = []
      for (const [index, name] of names.entries()) {
        const question = { ...request, resource: arnPrefix + name }
        flags.push((await decide(question, { ...facts, repository: repositories[index]! })).allowed)
      }
      return flags
    }
    return { ranges, filter }
  }

  async #repositoriesNamed(
    cache: FactCache,
    place: RegistryPlace,
    registry: RegistryFacts,
    arnPrefix: string,
    names: readonly string[],
  ): Promise<readonly RepositoryFacts[]> {
    const known = names.map((name) => this.#known(cache.repositories, arnPrefix + name, place.accountId))
    if (known.every((facts) => facts !== undefined && !(facts instanceof Promise))) return known as readonly RepositoryFacts[]
    const readAt = this.#options.generation.value
    const read = await cache.reader.repositoriesWithin(arnPrefix, place, names, registry.hasRepositoryPolicies)
    for (const [index, facts] of read.entries()) cache.repositories.set(arnPrefix + names[index]!, { facts, readAt })
    return read
  }

  async #decideLater(
    cache: FactCache,
    request: AccessRequest,
    place: RegistryPlace | undefined,
    identity: IdentityFacts | Promise<IdentityFacts>,
    registry: RegistryFacts | undefined | Promise<RegistryFacts>,
  ): Promise<Decision> {
    // Started together, so that one failure leaves no other unheard.
    const [readIdentity, readRegistry, repository] = await Promise.all([identity, registry, this.#repository(cache, place, request.resource)])
    return decide(request, this.#facts(cache, request, readIdentity, readRegistry, repository))
  }

  #currentCache(): FactCache {
    const { maxHeldBytes = defaultMaxHeldBytes } = this.#options
    if (this.#cache.reader.heldBytes > maxHeldBytes) this.#cache = this.#newCache()
    return this.#cache
  }

  #newCache(): FactCache {
    const { database, onUnreadablePolicy } = this.#options
    return new FactCache(new FactReader(database.reader, onUnreadablePolicy))
  }

  #identity(cache: FactCache, { principal }: AccessRequest): IdentityFacts | Promise<IdentityFacts> {
    const { identity } = principal
    if (identity === undefined) return rootFacts
    return this.#remembered(cache.identities, `${identity.kind}:${identity.id}`, principal.accountId, () => cache.reader.identity(identity))
  }

  #session(cache: FactCache, { principal }: AccessRequest): SessionFacts {
    const { session } = principal
    if (session === undefined) return cache.reader.session(undefined, principal.arn)
    let facts = cache.sessions.get(session)
    if (facts === undefined) {
      facts = cache.reader.session(session, principal.arn)
      cache.sessions.set(session, facts)
    }
    return facts
  }

  #registry(cache: FactCache, { accountId, region }: RegistryPlace): RegistryFacts | Promise<RegistryFacts> {
    return this.#remembered(cache.registries, `${accountId}/${region}`, accountId, () => cache.reader.registry(accountId, region))
  }

  #repository(cache: FactCache, place: RegistryPlace | undefined, arn: string): RepositoryFacts | Promise<RepositoryFacts> {
    if (place?.repository === undefined) return plainRepository
    const { accountId, region, repository: name } = place
    return this.#remembered(cache.repositories, arn, accountId, () => cache.reader.repository(arn, { accountId, region, name }))
  }

  /** What is remembered of a thing of the account, where it is still so. */
  #known<Facts>(map: BoundedMap<Known<Facts>>, key: string, accountId: string): Facts | Promise<Facts> | undefined {
    const known = map.get(key)
    return known !== undefined && this.#options.generation.holds(known.readAt, accountId) ? known.facts : undefined
  }

  /** A value that is there, or is being read: whoever asks meanwhile waits for the same reading. */
  #remembered<Facts>(map: BoundedMap<Known<Facts>>, key: string, accountId: string, read: () => Promise<Facts>): Facts | Promise<Facts> {
    const known = this.#known(map, key, accountId)
    if (known !== undefined) return known
    const readAt = this.#options.generation.value
    const reading = read().then(
      (facts) => {
        if (map.get(key)?.facts === reading) map.set(key, { facts, readAt })
        return facts
      },
      (error: unknown) => {
        if (map.get(key)?.facts === reading) map.delete(key)
        throw error
      },
    )
    map.set(key, { facts: reading, readAt })
    return reading
  }

  #facts(
    cache: FactCache,
    request: AccessRequest,
    identity: IdentityFacts,
    registry: RegistryFacts | undefined,
    repository: RepositoryFacts,
  ): Facts {
    const session = this.#session(cache, request)
    return { identity, session, registry, repository: this.#assumed(request, repository), trust: this.#trust(cache, request) }
  }

  #trust(cache: FactCache, { trustPolicy, resource }: AccessRequest): TrustFacts | undefined {
    return trustPolicy === undefined ? undefined : { policy: cache.reader.trust(trustPolicy, resource) }
  }

  /** The repository as it would be with another policy. */
  #assumed({ repositoryPolicy }: AccessRequest, repository: RepositoryFacts): RepositoryFacts {
    if (repositoryPolicy === undefined) return repository
    return { ...repository, policy: parsePolicy(repositoryPolicy, 'resource'), isReadable: true }
  }
}

interface RegistryPlace {
  readonly accountId: string
  readonly region: string
  /** The name of one repository; undefined for all of them, and for what is none. */
  readonly repository: string | undefined
}

function isOwner({ principal, accountId }: AccessRequest): boolean {
  return principal.kind === 'root' && principal.accountId === accountId
}

/** Nothing comes with the request that could bound what a root may do. */
function isUnconditional({ principal, repositoryPolicy, trustPolicy }: AccessRequest): boolean {
  return principal.session === undefined && repositoryPolicy === undefined && trustPolicy === undefined
}

const everything = { from: '', to: undefined }

/** A policy's pattern may begin as no name does: then there is nothing to look for. */
function toRange({ prefix, isExact }: NameRange): VisibleRepositories['ranges'][number][] {
  if (prefix === '') return [everything]
  if (!/^[a-z0-9._/-]{1,256}$/.test(prefix)) return []
  // `!` comes before every character of a name, and `~` after.
  return [{ from: prefix, to: prefix + (isExact ? '!' : '~') }]
}

const repositoryArnPattern = /^arn:aws:ecr:([^:]*):(\d{12}):repository\/(.+)$/

/** The registry that a request for an action of ECR works on. */
function registryPlaceOf({ action, resource, accountId, origin }: AccessRequest): RegistryPlace | undefined {
  if (!action.startsWith('ecr:')) return undefined
  const match = repositoryArnPattern.exec(resource)
  if (match === null) return { accountId, region: origin.region, repository: undefined }
  const [, region = '', owner = '', name = ''] = match
  return { accountId: owner, region, repository: name.includes('*') ? undefined : name }
}

function decide(request: AccessRequest, facts: Facts): Decision | Promise<Decision> {
  const { identity, session, registry, repository, trust } = facts
  const isTrustReadable = trust === undefined || trust.policy !== undefined
  if (!identity.isReadable || !session.isReadable || registry?.isReadable === false || !repository.isReadable || !isTrustReadable) {
    return { allowed: false, isExplicit: true, message: refusal(request, 'a policy that applies to it cannot be read') }
  }
  const keys = new ConditionKeys(request, conditionFacts(request, facts))
  const decision = decideWith(request, facts, keys)
  // The usual case: no policy asked for a key that only the operation knows, or there is one value for it.
  return keys.ownSets === undefined ? decision : decideForEach(request, facts, keys.ownSets)
}

/** What is allowed has to be allowed with every set of the operation's own keys. */
function decideForEach(request: AccessRequest, facts: Facts, sets: OwnSets): Decision | Promise<Decision> {
  if (sets instanceof Promise) return sets.then((read) => decideForEach(request, facts, read))
  for (const own of sets.length === 0 ? [{}] : sets) {
    const decision = decideWith(request, facts, new ConditionKeys(request, conditionFacts(request, facts), own))
    if (!decision.allowed) return decision
  }
  return allowed
}

function decideWith(request: AccessRequest, facts: Facts, keys: ConditionKeys): Decision {
  const { identity, session, registry, repository, trust } = facts
  const { action, resource, resourceText, accountId } = request
  const question = { principal: policyPrincipal(request, identity), action, resource, resourceText, accountId, context: keys.valueOf }
  const own = { identity: identity.policies, boundary: identity.boundary, session: session.policies, trust: trust?.policy }
  const evaluation = evaluate(question, { ...own, resource: repository.policy, registry: policyInScope(action, registry) })
  if (evaluation.allowed) return allowed
  if (isSaidByOwner(evaluation)) {
    // Who has no right here learns nothing from how he is refused: not that there is a repository whose policy names him.
    const without = evaluate(question, own)
    if (!without.allowed) return { allowed: false, isExplicit: true, message: without.message }
  }
  return { allowed: false, isExplicit: evaluation.kind === 'explicit-deny', message: evaluation.message }
}

function isSaidByOwner(evaluation: Evaluation & { readonly allowed: false }): boolean {
  return evaluation.kind === 'explicit-deny' && (evaluation.by === 'resource' || evaluation.by === 'registry')
}

function policyInScope(action: string, registry: RegistryFacts | undefined): Policy | undefined {
  if (registry?.policy === undefined) return undefined
  return registry.scope === 'V2' || actionsOfScopeV1.has(action.toLowerCase()) ? registry.policy : undefined
}

function policyPrincipal({ principal }: AccessRequest, identity: IdentityFacts): Parameters<typeof evaluate>[0]['principal'] {
  return principal.kind === 'assumed-role' ? { ...principal, roleArn: identity.arn } : principal
}

function conditionFacts({ principal }: AccessRequest, { identity, session, repository }: Facts): ConditionFacts {
  return {
    principalArn: principal.kind === 'assumed-role' ? (identity.arn ?? principal.arn) : principal.arn,
    sessionTags: session.tags,
    identityTags: identity.tags,
    session: session.context,
    resourceTags: repository.tags,
  }
}

function refusal({ principal, action, resource, resourceText = resource }: AccessRequest, reason: string): string {
  return `User: ${principal.arn} is not authorized to perform: ${action} on resource: ${resourceText} because ${reason}`
}

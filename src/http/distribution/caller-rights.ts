import { iamError, type AccessRequest, type AuthorizationContext, type Authorizer, type Decision, type Principal, type RequestOrigin } from '../../iam/index.ts'
import type { RequestContext } from '../../registry/context.ts'
import type { Registry, RepositoryVisibility } from '../../registry/types.ts'
import type { Tag } from '../../values/reference.ts'
import type { RepositoryName } from '../../values/repository-name.ts'
import { createAction, operationResource, tagAction, type OperationName } from './operations.ts'
import type { DistributionRoute } from './path.ts'
import { tagParameters, type Query } from './query.ts'

type Conditions = AccessRequest['conditions']

/** What the caller of one request may do in the registry that it works on. */
export class CallerRights {
  readonly #authorizer: Pick<Authorizer, 'authorize' | 'visibleRepositories'>
  readonly #context: RequestContext
  readonly #origin: RequestOrigin

  constructor(authorizer: Pick<Authorizer, 'authorize' | 'visibleRepositories'>, context: RequestContext, secure: boolean) {
    const { sourceIp, userAgent, registry, clock } = context
    this.#authorizer = authorizer
    this.#context = context
    this.#origin = { sourceIp, secure, userAgent, region: registry.region, nowMs: clock.now() }
  }

  /**
   * Requires all of the actions on the repository, or without one on the whole registry.
   * @throws `access-denied`
   */
  async require(actions: readonly string[], repository: RepositoryName | undefined, conditions: Conditions): Promise<void> {
    for (const action of actions) {
      const answer = this.#ask(action, repository, conditions)
      // What is decided at once needs no turn of the event loop.
      const decision = answer instanceof Promise ? await answer : answer
      if (!decision.allowed) throw iamError('access-denied', decision.message)
    }
  }

  async has(action: string, repository: RepositoryName): Promise<boolean> {
    return (await this.#ask(action, repository, undefined)).allowed
  }

  /** Whether a push may make a repository with these tags, as the caller and, where there is one, as a template's role. */
  async mayCreate(
    repository: RepositoryName,
    tags: Readonly<Record<string, string>>,
    role: Principal | undefined,
  ): Promise<boolean> {
    const conditions = (): readonly AuthorizationContext[] => requestTagConditions(tags)
    if (!(await this.#ask(createAction, repository, conditions)).allowed) return false
    if (role === undefined) return true
    for (const action of Object.keys(tags).length > 0 ? [createAction, tagAction] : [createAction]) {
      const request = { ...this.#request(action, repository, conditions), principal: role }
      if (!(await this.#authorizer.authorize(request)).allowed) return false
    }
    return true
  }

  /**
   * The repositories that a listing may show; undefined: all of them.
   * @throws `access-denied` where there is nothing to see
   */
  async visibleRepositories(action: string): Promise<RepositoryVisibility | undefined> {
    const visible = await this.#authorizer.visibleRepositories(this.#request(action, undefined, undefined))
    if (visible !== undefined && 'allowed' in visible) throw iamError('access-denied', visible.message)
    return visible
  }

  #ask(action: string, repository: RepositoryName | undefined, conditions: Conditions): Decision | Promise<Decision> {
    return this.#authorizer.authorize(this.#request(action, repository, conditions))
  }

  #request(action: string, repository: RepositoryName | undefined, conditions: Conditions): AccessRequest {
    const { actor: principal, registry } = this.#context
    const resource = operationResource(registry, repository)
    return { principal, action, resource, accountId: registry.accountId, origin: this.#origin, conditions }
  }
}

/** The tag that a request reads, sets or removes. Each one is asked for by itself: see `AccessRequest.conditions`. */
const imageTagKey = 'stowage:ImageTag'

/**
 * Condition keys of an operation. Nothing but the tags: by its digest an image is read and pushed without one.
 * @param onTagsRead told of the tags that an image to delete has, which it may only be deleted with
 */
export function conditionsOf(
  operation: OperationName,
  route: DistributionRoute,
  query: Query,
  {
    registry,
    context,
    onTagsRead,
  }: { readonly registry: Registry; readonly context: RequestContext; readonly onTagsRead: (tags: readonly Tag[]) => void },
): readonly AuthorizationContext[] | Promise<readonly AuthorizationContext[]> {
  if (route.kind !== 'manifest') return []
  const { repository, reference } = route
  if (operation === 'deleteManifest' && reference.kind === 'digest') {
    return registry.tagsOfImages(context, repository, [reference.digest]).then(([tags = []]) => {
      onTagsRead(tags)
      return tags.map(ofTag)
    })
  }
  const named = reference.kind === 'tag' ? [ofTag(reference.tag)] : []
  if (operation !== 'putManifest') return named
  const further = tagParameters(query).map(ofTag)
  // A push by digest alone sets no tag; with tags beside it, the right to push them is what counts.
  return [...named, ...further]
}

function ofTag(tag: string): AuthorizationContext {
  return { [imageTagKey]: tag }
}

/** `aws:RequestTag/<key>` and `aws:TagKeys` of a push that makes a repository with tags. */
function requestTagConditions(tags: Readonly<Record<string, string>>): readonly AuthorizationContext[] {
  const entries = Object.entries(tags)
  if (entries.length === 0) return []
  const requested = entries.map(([key, value]): [string, string] => [`aws:RequestTag/${key}`, value])
  return [{ ...Object.fromEntries(requested), 'aws:TagKeys': Object.keys(tags) }]
}

import { iamError, type AccessRequest, type Authorizer, type Principal, type RequestOrigin } from '../../iam/index.ts'
import type { RepositoryVisibility, RequestContext } from '../../registry/index.ts'
import { parseAccountId, type AccountId } from '../../values/account.ts'

/** As `AccessRequest.resourceText`, of what one request asks about. */
type ResourceText = (action: string, resource: string) => string | undefined

/** What the caller of one request may do. */
export class CallRights {
  readonly #authorizer: Pick<Authorizer, 'authorize' | 'visibleRepositories'>
  readonly #context: RequestContext
  readonly #origin: RequestOrigin
  readonly #resourceText: ResourceText

  constructor(
    authorizer: Pick<Authorizer, 'authorize' | 'visibleRepositories'>,
    context: RequestContext,
    origin: RequestOrigin,
    resourceText: ResourceText,
  ) {
    this.#authorizer = authorizer
    this.#context = context
    this.#origin = origin
    this.#resourceText = resourceText
  }

  /** @throws `access-denied` */
  async require(action: string, resource: string, conditions: AccessRequest['conditions']): Promise<void> {
    const decision = await this.#authorizer.authorize(this.#request(action, resource, { conditions }))
    if (!decision.allowed) throw iamError('access-denied', decision.message)
  }

  /** @param asked `as`: for whom, where it is not the caller */
  async has(
    action: string,
    resource: string,
    { as, ...asked }: Pick<AccessRequest, 'conditions' | 'repositoryPolicy'> & { readonly as?: Principal } = {},
  ): Promise<boolean> {
    const request = this.#request(action, resource, asked)
    return (await this.#authorizer.authorize(as === undefined ? request : { ...request, principal: as })).allowed
  }

  /** @throws `access-denied` where there is nothing to see */
  async visibleRepositories(action: string, resource: string): Promise<RepositoryVisibility | undefined> {
    const visible = await this.#authorizer.visibleRepositories(this.#request(action, resource, {}))
    if (visible !== undefined && 'allowed' in visible) throw iamError('access-denied', visible.message)
    return visible
  }

  #request(action: string, resource: string, more: Pick<AccessRequest, 'conditions' | 'repositoryPolicy'>): AccessRequest {
    const { actor: principal, registry } = this.#context
    const accountId = ownerOf(resource) ?? registry.accountId
    return { principal, action, resource, resourceText: this.#resourceText(action, resource), accountId, origin: this.#origin, ...more }
  }
}

/** The account in an ARN; undefined for `*` and for ARNs without one. */
function ownerOf(resource: string): AccountId | undefined {
  const account = resource.split(':', 5)[4] ?? ''
  return /^\d{12}$/.test(account) ? parseAccountId(account) : undefined
}

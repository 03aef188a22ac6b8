import type { AccountId } from '../values/account.ts'
import type { AccessRequest, AuthorizationContext } from './access-request.ts'
import type { Principal } from './principal.ts'

export type { AuthorizationContext } from './access-request.ts'

export interface AuthorizationRequest {
  readonly principal: Principal
  /** The IAM action, such as `ecr:PutImage`. */
  readonly action: string
  /** The resource's ARN, or `*` for an action that has none. */
  readonly resource: string
  /** The account that owns the resource; for `*`, the account whose registry is asked. */
  readonly accountId: AccountId
  readonly context: AuthorizationContext
}

/** `message` is the text AWS gives its callers, fit for every protocol's answer. */
export type Decision = { readonly allowed: true } | { readonly allowed: false; readonly message: string }

const allowed: Decision = Object.freeze({ allowed: true })

/**
 * Whether a principal may do something. The one place where this is decided, for every edge.
 *
 * An account's root may do everything in its own account; everything else is denied.
 */
export function authorize(request: Pick<AccessRequest, 'principal' | 'action' | 'resource' | 'accountId'>): Decision {
  const { principal, action, accountId } = request
  if (principal.kind !== 'root') return denied(request, `no identity-based policy allows the ${action} action`)
  if (principal.accountId === accountId) return allowed
  // A root has every right its own account can give; what is missing is the word of the resource's owner.
  return denied(request, `no resource-based policy allows the ${action} action`)
}

function denied(request: Pick<AccessRequest, 'principal' | 'action' | 'resource'>, reason: string): Decision {
  const { principal, action, resource } = request
  return {
    allowed: false,
    message: `User: ${principal.arn} is not authorized to perform: ${action} on resource: ${resource} because ${reason}`,
  }
}

import type { AccountId, Region } from '../values/account.ts'
import type { Principal } from './principal.ts'

/** Condition keys of a request with their values, such as `aws:RequestTag/team`. */
export type AuthorizationContext = Readonly<Record<string, string | readonly string[]>>

/** How a request reached the server: what the global condition keys tell of it. */
export interface RequestOrigin {
  readonly sourceIp: string
  /** True if the client's own connection is encrypted. */
  readonly secure: boolean
  readonly userAgent: string
  /** The region that was asked: of the signature, of the host or of the token. */
  readonly region: Region
  readonly nowMs: number
}

/** A question for the authorizer: may this principal do that? */
export interface AccessRequest {
  readonly principal: Principal
  /** The IAM action, such as `ecr:PutImage`. */
  readonly action: string
  /** The resource's ARN, or `*` for an action that has none. */
  readonly resource: string
  /**
   * How a refusal names the resource where it is not by its ARN, which may tell more than the request did: a user's has
   * the path that only those know who may look at the user.
   */
  readonly resourceText?: string | undefined
  /** The account that owns the resource; for `*`, the account whose registry is asked. */
  readonly accountId: AccountId
  readonly origin: RequestOrigin
  /**
   * Condition keys that only the operation knows. The action has to be allowed with each member of the list, or without
   * any where it is empty. Called only where a policy has conditions.
   */
  readonly conditions?: (() => readonly AuthorizationContext[] | Promise<readonly AuthorizationContext[]>) | undefined
  /** A policy that the repository is taken to have, whichever it has: for the question what would be if it had that one. */
  readonly repositoryPolicy?: string | undefined
  /** Of the role that is the resource, for the question whether it may be assumed: it has to allow that as well. */
  readonly trustPolicy?: string | undefined
}

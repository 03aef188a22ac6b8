import { isPlatformError } from '../internal/platform-error.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { AccountId, Region } from '../values/index.ts'
import type { RequestOrigin } from './access-request.ts'
import {
  assumeRole,
  assumeRoleWithWebIdentity,
  type AssumedRole,
  type AssumedWebIdentityRole,
  type AssumeRoleRequest,
  type RoleAssumptionDependencies,
  type RoleRequest,
} from './assume-role.ts'
import type { AccessKeys } from './credentials.ts'
import { iamError } from './errors.ts'
import type { Principal } from './principal.ts'
import { beginSession, type TemporaryCredentials } from './sessions.ts'
import type { CredentialThrottle } from './throttle.ts'

export interface SecurityTokenDependencies extends RoleAssumptionDependencies {
  readonly accessKeys: AccessKeys
  readonly throttle: Pick<CredentialThrottle, 'check' | 'recordFailure'>
  /** For what is written about a call that nobody signed. */
  readonly unsignedContext: (call: UnsignedRequest, account: AccountId, actorArn: string) => Promise<CommandContext>
  /** The region of calls that name none. */
  readonly region: Region
}

/** A request that nobody signed, as far as its head tells. */
export interface UnsignedRequest {
  readonly requestId: string
  readonly sourceIp: string
  readonly secure: boolean
  readonly userAgent: string
}

/** https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html: 12 hours, and one for a root. */
const userSessionSeconds = 12 * 60 * 60
const rootSessionSeconds = 60 * 60

/** What wrong tokens count under, as wrong secrets do under their access key. */
const webIdentityKeyId = 'AssumeRoleWithWebIdentity'

/** The rules of the AWS Security Token Service: who gets temporary credentials, for what and for how long. */
export class SecurityTokens {
  readonly #deps: SecurityTokenDependencies

  constructor(deps: SecurityTokenDependencies) {
    this.#deps = deps
  }

  /**
   * Temporary credentials of the caller itself. A root's last an hour at most, whatever it asks for.
   *
   * @throws `access-denied` for a caller that uses temporary credentials already
   */
  async getSessionToken(
    caller: Principal,
    { durationSeconds, minimumTokenBytes }: { readonly durationSeconds?: number | undefined; readonly minimumTokenBytes?: number | undefined },
    context: CommandContext,
  ): Promise<TemporaryCredentials> {
    if (caller.session !== undefined) {
      throw iamError('access-denied', 'Cannot call GetSessionToken with session credentials')
    }
    const duration =
      caller.kind === 'root'
        ? Math.min(durationSeconds ?? rootSessionSeconds, rootSessionSeconds)
        : (durationSeconds ?? userSessionSeconds)
    return beginSession(
      this.#deps,
      {
        action: 'GetSessionToken',
        resource: caller.arn,
        principal: caller,
        durationSeconds: duration,
        minimumTokenBytes,
        session: { policies: [], tags: {}, transitiveTagKeys: [], sourceIdentity: undefined, provider: undefined, context: {} },
      },
      context,
    )
  }

  /** As `assumeRole`. */
  assumeRole(
    request: AssumeRoleRequest,
    caller: Principal,
    origin: RequestOrigin,
    context: CommandContext,
  ): Promise<AssumedRole> {
    return assumeRole(this.#deps, request, caller, origin, context)
  }

  /**
   * As `assumeRoleWithWebIdentity`, for anybody who can reach the server. A genuine token passes however many others came
   * from the same place, since nobody can guess one; whoever sends tokens that are not genuine is slowed down.
   *
   * @throws `throttled` too
   */
  async assumeRoleWithWebIdentity(request: RoleRequest, token: string, call: UnsignedRequest): Promise<AssumedWebIdentityRole> {
    const { throttle, clock, region } = this.#deps
    const { sourceIp, secure, userAgent } = call
    try {
      return await assumeRoleWithWebIdentity(
        this.#deps,
        request,
        token,
        { sourceIp, secure, userAgent, region, nowMs: clock.now() },
        (account, actorArn) => this.#deps.unsignedContext(call, account, actorArn),
      )
    } catch (error) {
      if (!isPlatformError(error, 'identity-token-invalid') || error.detail['genuine'] !== false) throw error
      const decision = throttle.check(sourceIp, webIdentityKeyId)
      if (!decision.allowed) throw iamError('throttled', 'Too many wrong tokens.', { retryAfterMs: decision.retryAfterMs })
      throttle.recordFailure(sourceIp, webIdentityKeyId)
      throw error
    }
  }

  /** The account that an access key belongs to, ended ones too for a while; undefined for an unknown key. */
  async accountOfAccessKey(accessKeyId: string): Promise<AccountId | undefined> {
    return (await this.#deps.accessKeys.findAccessKey(accessKeyId))?.principal.accountId
  }
}

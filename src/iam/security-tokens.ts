import type { IdSource } from '../internal/ids.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import type { AccountId } from '../values/index.ts'
import type { AccessKeys } from './credentials.ts'
import { iamError } from './errors.ts'
import type { Keyring } from './keyring.ts'
import type { Principal } from './principal.ts'
import { beginSession, type TemporaryCredentials } from './sessions.ts'

export interface SecurityTokenDependencies {
  readonly database: MetadataDatabase
  readonly keyring: Keyring
  readonly ids: IdSource
  readonly accessKeys: AccessKeys
}

/** https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html: 12 hours, and one for a root. */
const userSessionSeconds = 12 * 60 * 60
const rootSessionSeconds = 60 * 60

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
    durationSeconds: number | undefined,
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
        session: { policies: [], tags: {}, transitiveTagKeys: [], sourceIdentity: undefined, provider: undefined, context: {} },
      },
      context,
    )
  }

  /** The account that an access key belongs to, ended ones too for a while; undefined for an unknown key. */
  async accountOfAccessKey(accessKeyId: string): Promise<AccountId | undefined> {
    return (await this.#deps.accessKeys.findAccessKey(accessKeyId))?.principal.accountId
  }
}

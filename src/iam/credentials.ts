import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { accessKeysOf, findAccessKeyRow } from '../storage/metadata/stores/access-key-store.ts'
import { findStsSession } from '../storage/metadata/stores/session-store.ts'
import { rootArn, type AccountId } from '../values/index.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import { BoundedMap } from './bounded-map.ts'
import { replaceRootAccessKey } from './commands/root-access-key.ts'
import { iamSetupError } from './errors.ts'
import type { IamGeneration } from './generation.ts'
import type { Keyring } from './keyring.ts'
import type { Principal, PrincipalKind } from './principal.ts'
import { isEndedSessionToken, isTemporaryKeyId, secretPurpose, sessionPrincipal } from './sessions.ts'

/** An access key with its secret in the clear: never logged, never sent. */
export interface AccessKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Of temporary credentials, whose `principal.session` says when they end: the hash of what every request has to show. */
  readonly sessionTokenSha256?: Uint8Array | undefined
  readonly principal: Principal
  readonly status: 'active' | 'inactive'
}

/** Unsealed secrets are kept for this many keys: a table of a few hundred bytes each. */
const maxCachedKeys = 10_000

/** Temporary ones carry policies, tags and claims: this many of the largest take 32 MB. */
const maxCachedSessions = 2_000

/** Characters of policies and claims; sessions with more are read anew each time. AWS's own limits allow 60,000. */
const maxCachedSessionSize = 16_000

/**
 * Finds access keys. What was found is kept for as long as the IAM generation stands, which every look-up reads unless
 * nothing at all was written since the last one: a key that is taken away is gone for the next request, on every server.
 */
export class AccessKeys {
  readonly #database: MetadataDatabase
  readonly #keyring: Keyring
  readonly #generation: IamGeneration
  #cache = new BoundedMap<AccessKey>(maxCachedKeys)
  #sessions = new BoundedMap<AccessKey>(maxCachedSessions)
  #cachedGeneration = -1

  constructor(database: MetadataDatabase, keyring: Keyring, generation: IamGeneration) {
    this.#database = database
    this.#keyring = keyring
    this.#generation = generation
  }

  /** The key with this id. Temporary ones are found for a while after their end: whoever asks looks at the time. */
  async findAccessKey(accessKeyId: string): Promise<AccessKey | undefined> {
    await this.#forgetWhatChanged()
    if (isTemporaryKeyId(accessKeyId)) {
      const session = await this.#findSession(accessKeyId)
      if (session) return session
    }
    const cached = this.#cache.get(accessKeyId)
    if (cached) return cached
    const cache = this.#cache
    const row = await findAccessKeyRow(this.#database.reader, accessKeyId)
    if (!row) return undefined
    const key: AccessKey = {
      accessKeyId,
      secretAccessKey: unsealSecret(this.#keyring, accessKeyId, row.secret_sealed),
      principal: {
        arn: row.principal_arn,
        accountId: row.account_id as AccountId,
        kind: row.principal_kind as PrincipalKind,
        userId: row.principal_user_id,
        accessKeyId,
        identity: row.user_id === null ? undefined : { kind: 'user', id: row.user_id },
      },
      status: row.status === 'active' ? 'active' : 'inactive',
    }
    cache.set(accessKeyId, key)
    return key
  }

  /** True for the session token of temporary credentials that are over, whether they are still known or not. */
  isEndedSession(accessKeyId: string, sessionToken: string, now: number): boolean {
    return isEndedSessionToken(this.#keyring, accessKeyId, sessionToken, now)
  }

  async #findSession(accessKeyId: string): Promise<AccessKey | undefined> {
    const cached = this.#sessions.get(accessKeyId)
    if (cached) return cached
    const cache = this.#sessions
    const row = await findStsSession(this.#database.reader, accessKeyId)
    if (!row) return undefined
    const key: AccessKey = {
      accessKeyId,
      secretAccessKey: unsealSecret(this.#keyring, accessKeyId, row.secret_sealed),
      sessionTokenSha256: row.token_sha256,
      principal: sessionPrincipal(row),
      status: 'active',
    }
    if (row.policies.length + row.context.length <= maxCachedSessionSize) cache.set(accessKeyId, key)
    return key
  }

  async #forgetWhatChanged(): Promise<void> {
    const reading = this.#generation.refresh()
    if (reading !== undefined) await reading
    const generation = this.#generation.value
    if (generation === this.#cachedGeneration) return
    this.#cache = new BoundedMap(maxCachedKeys)
    this.#sessions = new BoundedMap(maxCachedSessions)
    this.#cachedGeneration = generation
  }
}

/** A secret that the keyring cannot open is the installation's fault, not the caller's. */
function unsealSecret(keyring: Keyring, accessKeyId: string, sealed: string): string {
  try {
    return keyring.unseal(sealed, secretPurpose(accessKeyId)).toString('utf8')
  } catch (error) {
    if (!isPlatformError(error, 'token-invalid')) throw error
    throw iamSetupError(
      'keyring-mismatch',
      `The keyring cannot open the secret of access key ${accessKeyId}: it is not the keyring this database was written with. Restore that one.`,
      { accessKeyId },
      error,
    )
  }
}

/**
 * Makes the credential the one of the account's root. Changes nothing when it already is.
 *
 * @throws `keyring-mismatch`
 */
export async function installRootCredential(
  deps: { database: MetadataDatabase; keyring: Keyring; context: CommandContext },
  accountId: AccountId,
  credential: { readonly accessKeyId: string; readonly secretAccessKey: string },
): Promise<void> {
  const { database, keyring, context } = deps
  const { accessKeyId, secretAccessKey } = credential
  const principalArn = rootArn(accountId)
  const keys = await accessKeysOf(database.reader, principalArn)
  const [key] = keys
  const isInstalled =
    key !== undefined &&
    keys.length === 1 &&
    key.access_key_id === accessKeyId &&
    unsealSecret(keyring, accessKeyId, key.secret_sealed) === secretAccessKey
  if (isInstalled) return
  const secretSealed = keyring.seal(Buffer.from(secretAccessKey, 'utf8'), secretPurpose(accessKeyId))
  await database.execute(replaceRootAccessKey, { accountId, principalArn, accessKeyId, secretSealed }, context)
}

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

interface KnownKey {
  readonly key: AccessKey
  /** The IAM generation when it was read. */
  readonly readAt: number
}

/**
 * Finds access keys. What was found is kept until something changes in the key's account, which every look-up finds out unless
 * nothing at all was written since the last one: a key that is taken away is gone for the next request, on every server.
 */
export class AccessKeys {
  readonly #database: MetadataDatabase
  readonly #keyring: Keyring
  readonly #generation: IamGeneration
  readonly #keys = new BoundedMap<KnownKey>(maxCachedKeys)
  readonly #sessions = new BoundedMap<KnownKey>(maxCachedSessions)

  constructor(database: MetadataDatabase, keyring: Keyring, generation: IamGeneration) {
    this.#database = database
    this.#keyring = keyring
    this.#generation = generation
  }

  /** The key with this id. Temporary ones are found for a while after their end: whoever asks looks at the time. */
  async findAccessKey(accessKeyId: string): Promise<AccessKey | undefined> {
    const refreshing = this.#generation.refresh()
    if (refreshing !== undefined) await refreshing
    if (isTemporaryKeyId(accessKeyId)) {
      const session = await this.#findSession(accessKeyId)
      if (session) return session
    }
    const known = this.#known(this.#keys, accessKeyId)
    if (known) return known
    const readAt = this.#generation.value
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
    this.#keys.set(accessKeyId, { key, readAt })
    return key
  }

  /** True for the session token of temporary credentials that are over, whether they are still known or not. */
  isEndedSession(accessKeyId: string, sessionToken: string, now: number): boolean {
    return isEndedSessionToken(this.#keyring, accessKeyId, sessionToken, now)
  }

  async #findSession(accessKeyId: string): Promise<AccessKey | undefined> {
    const known = this.#known(this.#sessions, accessKeyId)
    if (known) return known
    const readAt = this.#generation.value
    const row = await findStsSession(this.#database.reader, accessKeyId)
    if (!row) return undefined
    const key: AccessKey = {
      accessKeyId,
      secretAccessKey: unsealSecret(this.#keyring, accessKeyId, row.secret_sealed),
      sessionTokenSha256: row.token_sha256,
      principal: sessionPrincipal(row),
      status: 'active',
    }
    if (row.policies.length + row.context.length <= maxCachedSessionSize) this.#sessions.set(accessKeyId, { key, readAt })
    return key
  }

  #known(keys: BoundedMap<KnownKey>, accessKeyId: string): AccessKey | undefined {
    const known = keys.get(accessKeyId)
    if (known === undefined) return undefined
    if (this.#generation.holds(known.readAt, known.key.principal.accountId)) return known.key
    keys.delete(accessKeyId)
    return undefined
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

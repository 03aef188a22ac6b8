import { hash } from 'node:crypto'
import { isPlatformError } from '../internal/platform-error.ts'
import { parseAccountId, parseRegion, type Region } from '../values/account.ts'
import { BoundedMap } from './bounded-map.ts'
import { iamError } from './errors.ts'
import type { Keyring } from './keyring.ts'
import { principalKinds, type Principal } from './principal.ts'

/** How long a docker password lives: what ECR gives its own. */
export const ecrTokenLifetimeMs = 12 * 60 * 60 * 1000

/** Who a docker password stands for. Times are in milliseconds since the Unix epoch. */
export interface EcrTokenClaims {
  readonly principal: Principal
  /** The region whose registries the token opens. */
  readonly region: Region
  readonly issuedAt: number
  readonly expiresAt: number
}

const purpose = 'ecr-token'

// Docker and its credential helpers carry passwords of a few kilobytes; the longest principal IAM allows needs 1.3.
const maxTokenLength = 2_000

// The first element of the sealed list, for the day when a token has to say more.
const claimsVersion = 1

/**
 * A password for `docker login -u AWS`. It cannot be read or changed without the keyring, contains no colon and is
 * shorter than 2 KB. It names the access key it came from: whoever reads it checks that this key is still active.
 */
export function issueEcrToken(keyring: Keyring, claims: EcrTokenClaims): string {
  const { principal, region, issuedAt, expiresAt } = claims
  const { kind, accountId, arn, userId, accessKeyId } = principal
  const sealed = JSON.stringify([claimsVersion, kind, accountId, region, arn, userId, accessKeyId, issuedAt, expiresAt])
  const token = keyring.seal(Buffer.from(sealed), purpose)
  if (token.length > maxTokenLength) throw new RangeError('the principal is too long for a registry token')
  return token
}

/**
 * Reads a token that `issueEcrToken` made. `now` is in milliseconds since the Unix epoch.
 *
 * @throws `token-invalid` for what this installation never issued; `token-expired` for what it did issue, with the
 *   token's `accessKeyId` and `expiresAt` as detail: a sign of a slow client, not of an attack.
 */
export function readEcrToken(keyring: Keyring, token: string, now: number): EcrTokenClaims {
  if (token.length > maxTokenLength) throw notIssuedHere()
  return unexpired(unsealClaims(keyring, token), now)
}

/**
 * Reads tokens as `readEcrToken` does and remembers the good ones: a docker client sends its token with every request.
 * What is remembered is the token's hash; expiry is looked at every time, and a change of the keyring forgets all.
 */
export class EcrTokenReader {
  readonly #keyring: Keyring
  readonly #claims: BoundedMap<EcrTokenClaims>
  #revision: number

  /** An entry takes half a KiB, or 2 KiB for the longest principals: the default stays within 2 MiB. */
  constructor(keyring: Keyring, options: { readonly maxEntries?: number } = {}) {
    this.#keyring = keyring
    this.#claims = new BoundedMap(options.maxEntries ?? 1_000)
    this.#revision = keyring.revision
  }

  /** How many tokens are remembered. */
  get size(): number {
    return this.#claims.size
  }

  /** @throws `token-invalid` and `token-expired`, as `readEcrToken` does */
  read(token: string, now: number): EcrTokenClaims {
    if (token.length > maxTokenLength) throw notIssuedHere()
    if (this.#revision !== this.#keyring.revision) {
      this.#claims.clear()
      this.#revision = this.#keyring.revision
    }
    const key = hash('sha256', token, 'base64url')
    const claims = this.#claims.get(key) ?? unsealClaims(this.#keyring, token)
    // Expired ones leave: they must not push out live ones.
    if (now >= claims.expiresAt) this.#claims.delete(key)
    const live = unexpired(claims, now)
    this.#claims.set(key, live)
    return live
  }
}

function unexpired(claims: EcrTokenClaims, now: number): EcrTokenClaims {
  if (now < claims.expiresAt) return claims
  const { expiresAt, principal } = claims
  throw iamError('token-expired', 'Your authorization token has expired. Reauthenticate and try again.', {
    accessKeyId: principal.accessKeyId,
    expiresAt,
  })
}

function unsealClaims(keyring: Keyring, token: string): EcrTokenClaims {
  let sealed: Buffer
  try {
    sealed = keyring.unseal(token, purpose)
  } catch (error) {
    if (isPlatformError(error, 'token-invalid')) throw notIssuedHere(error.detail['reason'])
    throw error
  }
  // The seal vouches that we wrote this; what can still differ is the version that wrote it.
  const list: unknown = JSON.parse(sealed.toString())
  if (!Array.isArray(list) || list[0] !== claimsVersion) throw notIssuedHere('version-unknown')
  const [, kindText, accountId, region, arn, userId, accessKeyId, issuedAt, expiresAt] = list as readonly unknown[]
  const kind = principalKinds.find((name) => name === kindText)
  if (kind === undefined) throw notIssuedHere('version-unknown')
  return Object.freeze({
    principal: Object.freeze({
      arn: String(arn),
      accountId: parseAccountId(String(accountId)),
      kind,
      userId: String(userId),
      accessKeyId: String(accessKeyId),
    }),
    region: parseRegion(String(region)),
    issuedAt: Number(issuedAt),
    expiresAt: Number(expiresAt),
  })
}

function notIssuedHere(reason: unknown = 'malformed'): Error {
  return iamError('token-invalid', 'The authorization token is not one of this registry.', { reason })
}

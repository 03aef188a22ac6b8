import { hash, timingSafeEqual } from 'node:crypto'
import { iamError, type EcrTokenClaims, type Principal, type ThrottleDecision } from '../../iam/index.ts'
import type { Clock } from '../../internal/clock.ts'
import { isPlatformError } from '../../internal/platform-error.ts'
import type { Region } from '../../values/account.ts'

/** What of an access key a login is checked against. */
export interface LoginKey {
  readonly secretAccessKey: string
  /** Temporary keys have one; Basic has no place for it, so they log in with a registry token only. */
  readonly sessionTokenSha256?: Uint8Array | undefined
  readonly principal: Principal
  readonly status: 'active' | 'inactive'
}

export interface Authentication {
  readonly clock: Clock
  /** Throws `token-invalid`, `token-expired`. */
  readonly tokens: { read(token: string, nowMs: number): EcrTokenClaims }
  readonly credentials: { findAccessKey(accessKeyId: string): Promise<LoginKey | undefined> }
  readonly throttle: {
    check(sourceIp: string, keyId: string): ThrottleDecision
    recordFailure(sourceIp: string, keyId: string): void
    recordSuccess(sourceIp: string, keyId: string): void
  }
}

/** Who sends a request. */
export interface Caller {
  readonly principal: Principal
  /** The region that a registry token was issued for; absent for a login with an access key. */
  readonly region: Region | undefined
}

interface BasicCredentials {
  readonly username: string
  readonly password: string
}

/** The user name of a login with a token from GetAuthorizationToken. */
const tokenUsername = 'AWS'

/** A registry token is below 2,000 characters, 2,700 in Base64; what is much longer need not be decoded. */
const maxHeaderLength = 8192

/**
 * Who a request is from: user `AWS` with a registry token, or an access key id with its secret.
 *
 * @throws `unauthenticated` without usable credentials, `token-invalid`, `token-expired`, `access-key-unknown` (also
 * for a wrong secret: the two are not told apart), `throttled`
 */
export async function authenticate(
  { clock, tokens, credentials, throttle }: Authentication,
  authorization: string | undefined,
  sourceIp: string,
): Promise<Caller> {
  const given = parseBasic(authorization)
  if (given === undefined) throw iamError('unauthenticated', 'Not Authorized')
  const { username, password } = given

  if (username === tokenUsername) {
    const { principal, region } = readToken(password)
    const key = await credentials.findAccessKey(principal.accessKeyId)
    // A genuine token of a key that was taken away is no attempt at guessing, so the throttle does not count it.
    if (key?.status !== 'active') throw iamError('access-key-unknown', 'The access key of the token is not active.')
    return { principal: key.principal, region }
  }

  assertNotThrottled(username)
  const key = await credentials.findAccessKey(username)
  const isRight = isSameSecret(password, key?.secretAccessKey ?? '') && key !== undefined
  if (!isRight || key.sessionTokenSha256 !== undefined) {
    throttle.recordFailure(sourceIp, username)
    throw iamError('access-key-unknown', 'The access key is unknown, or the secret is not its own.')
  }
  if (key.status !== 'active') throw iamError('access-key-unknown', 'The access key is not active.')
  throttle.recordSuccess(sourceIp, username)
  return { principal: key.principal, region: undefined }

  /** A genuine token passes however many forged ones came from the same place: nobody can guess one. */
  function readToken(token: string): EcrTokenClaims {
    try {
      return tokens.read(token, clock.now())
    } catch (error) {
      if (isPlatformError(error, 'token-invalid')) {
        assertNotThrottled(tokenUsername)
        throttle.recordFailure(sourceIp, tokenUsername)
      }
      throw error
    }
  }

  function assertNotThrottled(keyId: string): void {
    const decision = throttle.check(sourceIp, keyId)
    if (decision.allowed) return
    throw iamError('throttled', 'Too many wrong credentials. Wait and try again.', {
      retryAfterMs: decision.retryAfterMs,
    })
  }
}

function parseBasic(authorization: string | undefined): BasicCredentials | undefined {
  if (authorization === undefined || authorization.length > maxHeaderLength) return undefined
  const space = authorization.indexOf(' ')
  if (space === -1 || authorization.slice(0, space).toLowerCase() !== 'basic') return undefined
  const encoded = authorization.slice(space + 1)
  // Memory of its own, which goes with the next small collection. A piece of Node's pool of buffers would keep 8 KiB for
  // the requests to come, which by then is counted as old, and stays until the whole heap is collected.
  const decoded = Buffer.allocUnsafeSlow(Buffer.byteLength(encoded, 'base64'))
  const text = decoded.toString('utf8', 0, decoded.write(encoded, 'base64'))
  const colon = text.indexOf(':')
  if (colon <= 0 || colon === text.length - 1) return undefined
  return { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

/** Compares hashes, so that neither the time nor the lengths tell anything about the secret. */
function isSameSecret(given: string, secret: string): boolean {
  return timingSafeEqual(hash('sha256', given, 'buffer'), hash('sha256', secret, 'buffer'))
}

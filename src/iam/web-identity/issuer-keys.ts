import { createLocalJWKSet, type JWK } from 'jose'
import type { Clock } from '../../internal/clock.ts'
import { isPlatformError } from '../../internal/platform-error.ts'
import { BoundedMap } from '../bounded-map.ts'
import { unusable, type IssuerFetch } from './issuer-fetch.ts'

/** Finds the key of a token by its header. */
export type VerificationKeys = ReturnType<typeof createLocalJWKSet>

export interface IssuerKeysOptions {
  readonly fetch: IssuerFetch
  readonly clock: Clock
  /** Told why keys could not be fetched; `stale` where those fetched before are used in their place. */
  readonly onFailure: (failure: { readonly issuer: string; readonly url: unknown; readonly reason: unknown; readonly stale: boolean }) => void
}

const hourMs = 60 * 60 * 1000

/** What an issuer says of caching counts within these: a key that it withdraws is refused within a day at most. */
const shortestFreshMs = hourMs
const longestFreshMs = 24 * hourMs

/** How long keys that cannot be renewed are used on, so that an issuer's bad day does not stop everybody's builds. */
const longestStaleMs = 24 * hourMs

/** How often keys are fetched anew because a token names one that is not among them. */
const unknownKeyIntervalMs = 60_000

/** How often an issuer is tried again that did not answer, or not as it should. */
const retryIntervalMs = 10_000

/** Of this many accounts, and of each of this many issuers, keys are remembered: nobody's issuers push out another's. */
const mostAccounts = 200
const mostIssuersOfAccount = 20

/** Issuers have two to ten. */
const mostKeys = 200

interface Known {
  keys: VerificationKeys | undefined
  fetchedAt: number
  freshUntil: number
  attemptedAt: number
  failure: Error | undefined
  underWay: Promise<void> | undefined
}

/**
 * The keys that identity providers sign with: found by OpenID Connect Discovery, remembered as long as their issuers
 * say, within bounds. However many of an account ask, an issuer is asked once at a time.
 *
 * Each account has its own, since it may reach private hosts that others may not: what one of them was told is of no
 * use to another, and does not show.
 */
export class IssuerKeys {
  readonly #options: IssuerKeysOptions
  readonly #known = new BoundedMap<BoundedMap<Known>>(mostAccounts)

  constructor(options: IssuerKeysOptions) {
    this.#options = options
  }

  /**
   * @param askedBy the account: each has keys of its own, and a few look-ups at a time
   * @throws `identity-provider-unreachable`, `identity-token-invalid` (the issuer's documents are of no use)
   */
  async keysOf(issuer: string, askedBy: string): Promise<VerificationKeys> {
    const known = this.#entry(issuer, askedBy)
    const now = this.#options.clock.now()
    // A clock that was set back must not make keys fresh for longer.
    const isFresh = known.keys !== undefined && now < known.freshUntil && now >= known.fetchedAt - hourMs
    if (!isFresh && (known.underWay !== undefined || known.failure === undefined || now >= known.attemptedAt + retryIntervalMs)) {
      await this.#fetchOnce(issuer, known, askedBy)
    }
    return this.#usable(issuer, known)
  }

  /** The keys fetched anew, for a token whose key is not among them; undefined where that was done a moment ago. */
  async newerKeysOf(issuer: string, askedBy: string): Promise<VerificationKeys | undefined> {
    const known = this.#entry(issuer, askedBy)
    const before = known.keys
    if (known.underWay === undefined && this.#options.clock.now() < known.attemptedAt + unknownKeyIntervalMs) return undefined
    await this.#fetchOnce(issuer, known, askedBy)
    return known.keys === before ? undefined : known.keys
  }

  #entry(issuer: string, askedBy: string): Known {
    let ofAccount = this.#known.get(askedBy)
    if (ofAccount === undefined) {
      ofAccount = new BoundedMap(mostIssuersOfAccount)
      this.#known.set(askedBy, ofAccount)
    }
    const known = ofAccount.get(issuer)
    if (known !== undefined) return known
    const created: Known = {
      keys: undefined,
      fetchedAt: 0,
      freshUntil: 0,
      attemptedAt: Number.NEGATIVE_INFINITY,
      failure: undefined,
      underWay: undefined,
    }
    ofAccount.set(issuer, created)
    return created
  }

  #usable(issuer: string, known: Known): VerificationKeys {
    const now = this.#options.clock.now()
    if (known.keys !== undefined && (known.failure === undefined || now < known.freshUntil + longestStaleMs)) return known.keys
    throw known.failure ?? unusable(issuer, 'no keys')
  }

  async #fetchOnce(issuer: string, known: Known, askedBy: string): Promise<void> {
    known.underWay ??= this.#fetch(issuer, known, askedBy).finally(() => {
      known.underWay = undefined
    })
    await known.underWay
  }

  async #fetch(issuer: string, known: Known, askedBy: string): Promise<void> {
    const { clock, onFailure } = this.#options
    known.attemptedAt = clock.now()
    try {
      const { keys, maxAgeMs } = await this.#discover(issuer, askedBy)
      known.keys = keys
      known.failure = undefined
      known.fetchedAt = clock.now()
      known.freshUntil = known.fetchedAt + Math.min(Math.max(maxAgeMs ?? 0, shortestFreshMs), longestFreshMs)
    } catch (error) {
      if (!isPlatformError(error)) throw error
      known.failure = error
      const stale = known.keys !== undefined && clock.now() < known.freshUntil + longestStaleMs
      onFailure({ issuer, url: error.detail['url'], reason: error.detail['reason'], stale })
    }
  }

  /** https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig */
  async #discover(issuer: string, askedBy: string): Promise<{ keys: VerificationKeys; maxAgeMs: number | undefined }> {
    const { fetch } = this.#options
    const discoveryUrl = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
    const { content: configuration } = await fetch(discoveryUrl, askedBy)
    // Without this a page that anybody may write could speak for another issuer.
    if (memberOf(configuration, 'issuer') !== issuer) throw unusable(discoveryUrl, 'it is another issuer’s')
    const jwksUrl = memberOf(configuration, 'jwks_uri')
    if (typeof jwksUrl !== 'string') throw unusable(discoveryUrl, 'it has no jwks_uri')
    const { content, maxAgeMs } = await fetch(jwksUrl, askedBy)
    const list = memberOf(content, 'keys')
    if (!Array.isArray(list) || list.length > mostKeys) throw unusable(jwksUrl, `it has no list of at most ${mostKeys} keys`)
    const keys = list.flatMap(publicKey)
    if (keys.length === 0) throw unusable(jwksUrl, 'it has no key that signatures are verified with')
    return { keys: createLocalJWKSet({ keys }), maxAgeMs }
  }
}

const keyTypes: readonly unknown[] = ['RSA', 'EC', 'OKP']
const publicMembers = ['kty', 'kid', 'alg', 'crv', 'n', 'e', 'x', 'y'] as const

/** What of a key is needed; nothing of one that is for something else. Symmetric ones are never taken from a public page. */
function publicKey(key: unknown): JWK[] {
  if (!keyTypes.includes(memberOf(key, 'kty'))) return []
  const use = memberOf(key, 'use')
  if (use !== undefined && use !== 'sig') return []
  const members = publicMembers.map((name) => [name, memberOf(key, name)] as const).filter(([, value]) => typeof value === 'string')
  return [Object.fromEntries(members)]
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined
}

import type { Clock } from '../../internal/clock.ts'
import { claimedIssuer, notGenuine, verifyIdentityToken, type WebIdentity } from './identity-token.ts'
import type { IssuerKeys } from './issuer-keys.ts'

export { createIssuerFetch, type IssuerFetchOptions } from './issuer-fetch.ts'
export { IssuerKeys, type IssuerKeysOptions } from './issuer-keys.ts'
export type { WebIdentity } from './identity-token.ts'

/** An OpenID Connect provider as an account registered it. */
export interface OidcProvider {
  /** The issuer without its scheme, as in the provider's ARN. */
  readonly url: string
  readonly clientIds: readonly string[]
}

/** A verified web identity and the provider that vouches for it. */
export interface VerifiedWebIdentity extends WebIdentity {
  readonly provider: OidcProvider
}

const scheme = 'https://'

/**
 * Verifies a token against the account's provider for its issuer. Issuers are compared as they are written: another
 * scheme, case or a slash more is another issuer.
 *
 * @throws `identity-token-invalid` (with `detail.genuine` false where no provider of the account can have signed it), `identity-token-expired`, `identity-token-rejected`, `identity-provider-unreachable`
 */
export async function verifyWebIdentity(
  deps: {
    readonly keys: IssuerKeys
    readonly clock: Clock
    /** The account whose role is asked for. */
    readonly accountId: string
    /** The provider of the account whose role is asked for. */
    findProvider(url: string): Promise<OidcProvider | undefined>
  },
  token: string,
): Promise<VerifiedWebIdentity> {
  const { keys, clock, accountId } = deps
  const issuer = claimedIssuer(token)
  const provider = issuer.startsWith(scheme) ? await deps.findProvider(issuer.slice(scheme.length)) : undefined
  if (provider === undefined) {
    throw notGenuine(`No OpenIDConnect provider found in your account for ${shown(issuer)}`)
  }
  let identity = await verifyIdentityToken(token, await keys.keysOf(issuer, accountId), provider, clock.now())
  if (identity === undefined) {
    const newer = await keys.newerKeysOf(issuer, accountId)
    identity = newer && (await verifyIdentityToken(token, newer, provider, clock.now()))
  }
  if (identity === undefined) {
    throw notGenuine('The ID token was signed with a key that its issuer does not publish.')
  }
  return { ...identity, provider }
}

/** Anybody may send an issuer of any length; the beginning tells which it is. */
function shown(issuer: string): string {
  return issuer.length > 255 ? `${issuer.slice(0, 255)}…` : issuer
}

import { compactVerify, decodeJwt, errors, type JWTPayload } from 'jose'
import { isPlatformError, type ErrorDetail } from '../../internal/platform-error.ts'
import { iamError } from '../errors.ts'
import type { VerificationKeys } from './issuer-keys.ts'

/** What a verified token says of its bearer. */
export interface WebIdentity {
  readonly subject: string
  /** What `<issuer>:aud` holds: the authorized party where the token names one, else its audiences. */
  readonly audiences: readonly [string, ...string[]]
  /** Condition keys: `<issuer without scheme>:<claim>` for every simple claim. */
  readonly conditions: Readonly<Record<string, string | readonly string[]>>
  /** Session tags and source identity that the issuer put into the token. */
  readonly tags: Readonly<Record<string, string>>
  readonly transitiveTagKeys: readonly string[]
  readonly sourceIdentity: string | undefined
}

/** Asymmetric ones only: an issuer's public key is everybody's, and must never be taken for a shared secret. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']

/** How far an issuer's clock may be ahead of ours: as far as the clocks of those who sign requests. */
const clockSkewMs = 5 * 60 * 1000

/** How long a token is taken after its end. The issuers of build systems give five minutes, in which clocks differ little. */
const expiryLeewayMs = 60 * 1000

/** Longer names and subjects than any issuer has, and short enough for audit records. */
const longestClaimName = 256
const longestSubject = 1024

const tagsClaim = 'https://aws.amazon.com/tags'
const sourceIdentityClaim = 'https://aws.amazon.com/source_identity'

/**
 * The issuer that a token says it is from, before anything of it is verified.
 *
 * @throws `identity-token-invalid`
 */
export function claimedIssuer(token: string): string {
  const issuer = unverifiedClaims(token).iss
  if (typeof issuer !== 'string' || issuer === '') throw missingClaim('iss')
  return issuer
}

/**
 * Verifies a token's signature, audience and times, and reads its claims. What its header says of keys beside a `kid`
 * (`jwk`, `jku`, `x5c`, `x5u`) is not looked at. `now` is in milliseconds since the Unix epoch.
 *
 * @param provider the issuer without its scheme, as in its ARN, and the audiences that it was registered with
 * @returns undefined where the keys have not got the one that the token names: they may be out of date
 * @throws `identity-token-invalid`, `identity-token-expired`, `identity-token-rejected`
 */
export async function verifyIdentityToken(
  token: string,
  keys: VerificationKeys,
  provider: { readonly url: string; readonly clientIds: readonly string[] },
  now: number,
): Promise<WebIdentity | undefined> {
  let payload: Uint8Array
  try {
    const verified = await compactVerify(token, keys, { algorithms })
    // RFC 7797 would have the payload unencoded, which no token of this kind is.
    if (verified.protectedHeader.b64 !== undefined) throw malformed()
    payload = verified.payload
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return undefined
    if (isPlatformError(error)) throw error
    // A wrong signature, another algorithm, a key that is none: whatever it is, it is the token's or its issuer's fault.
    throw notGenuine('The signature of the ID token is not valid.', { reason: String(error) }, error)
  }
  const claims = claimsOf(payload)
  if (claims.iss !== `https://${provider.url}`) throw malformed()
  const subject = claims.sub
  if (typeof subject !== 'string' || subject === '' || subject.length > longestSubject) throw missingClaim('sub')
  requireCurrent(claims, now)
  const audiences = audiencesOf(claims)
  if (!audiences.some((audience) => provider.clientIds.includes(audience))) {
    throw iamError('identity-token-invalid', 'Incorrect token audience')
  }
  return { subject, audiences, conditions: conditionsOf(claims, provider.url, audiences), ...sessionTagsOf(claims) }
}

function unverifiedClaims(token: string): JWTPayload {
  try {
    return decodeJwt(token)
  } catch {
    throw malformed()
  }
}

function claimsOf(payload: Uint8Array): JWTPayload {
  const claims = jsonOf(payload)
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) throw malformed()
  return claims as JWTPayload
}

function jsonOf(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))
  } catch {
    throw malformed()
  }
}

function requireCurrent({ exp, iat, nbf }: JWTPayload, now: number): void {
  if (!isTime(exp)) throw missingClaim('exp')
  if (!isTime(iat)) throw missingClaim('iat')
  if (now >= exp * 1000 + expiryLeewayMs) {
    const seconds = Math.floor(now / 1000)
    throw iamError(
      'identity-token-expired',
      `Token expired: current date/time ${seconds} must be before the expiration date/time ${exp}`,
    )
  }
  const validFrom = Math.max(iat, isTime(nbf) ? nbf : iat)
  if ((nbf !== undefined && !isTime(nbf)) || validFrom * 1000 > now + clockSkewMs) {
    throw iamError('identity-token-rejected', 'The ID token is not yet valid.')
  }
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html, "aud": `azp` comes first. */
function audiencesOf({ aud, azp }: JWTPayload): [string, ...string[]] {
  if (typeof azp === 'string' && azp !== '') return [azp]
  const [first, ...rest] = (Array.isArray(aud) ? aud : [aud]).filter((each): each is string => typeof each === 'string' && each !== '')
  if (first === undefined) throw missingClaim('aud')
  return [first, ...rest]
}

/**
 * Texts, numbers, booleans and lists of them, under the issuer's name; objects have no form in a condition. Keys of
 * conditions are compared without regard to case, so that two claims that differ in it alone would be one.
 */
function conditionsOf(claims: JWTPayload, url: string, audiences: readonly string[]): Record<string, string | readonly string[]> {
  const conditions = new Map<string, string | readonly string[]>()
  const seen = new Set<string>()
  for (const [name, value] of Object.entries(claims)) {
    const folded = name.toLowerCase()
    if (seen.has(folded)) throw malformed()
    seen.add(folded)
    const simple = simpleValue(value)
    if (simple !== undefined && name.length <= longestClaimName && name !== '__proto__') conditions.set(`${url}:${name}`, simple)
  }
  if (claims.aud !== undefined && typeof claims['azp'] === 'string') {
    const original = simpleValue(claims.aud)
    if (original !== undefined) conditions.set(`${url}:oaud`, original)
  }
  const [audience] = audiences
  conditions.set(`${url}:aud`, audiences.length === 1 && audience !== undefined ? audience : audiences)
  return Object.fromEntries(conditions)
}

function simpleValue(value: unknown): string | readonly string[] | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (!Array.isArray(value)) return undefined
  const values = value.map((each: unknown) => (Array.isArray(each) ? undefined : simpleValue(each)))
  return values.every((each) => typeof each === 'string') ? values : undefined
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_adding-assume-role-idp */
function sessionTagsOf(claims: JWTPayload): Pick<WebIdentity, 'tags' | 'transitiveTagKeys' | 'sourceIdentity'> {
  const sourceIdentity = claims[sourceIdentityClaim]
  if (sourceIdentity !== undefined && typeof sourceIdentity !== 'string') throw malformedTags()
  const nested: unknown = claims[tagsClaim]
  if (nested === undefined) return { tags: {}, transitiveTagKeys: [], sourceIdentity }
  const principalTags = memberOf(nested, 'principal_tags') ?? {}
  const transitive = memberOf(nested, 'transitive_tag_keys') ?? []
  if (typeof principalTags !== 'object' || Array.isArray(principalTags)) throw malformedTags()
  if (!Array.isArray(transitive) || !transitive.every((key) => typeof key === 'string')) throw malformedTags()
  const tags = Object.entries(principalTags).map(([key, values]): [string, string] => {
    const list: unknown[] = Array.isArray(values) ? values : [values]
    const [value] = list
    if (list.length !== 1 || typeof value !== 'string') throw malformedTags()
    return [key, value]
  })
  return { tags: Object.fromEntries(tags), transitiveTagKeys: transitive, sourceIdentity }
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformedTags()
  return Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined
}

/** A token that no registered provider can have signed; `detail.genuine` is false. */
export function notGenuine(message: string, detail: ErrorDetail = {}, cause?: unknown): Error {
  return iamError('identity-token-invalid', message, { ...detail, genuine: false }, cause)
}

function malformed(): Error {
  return notGenuine('The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)')
}

function missingClaim(name: string): Error {
  return iamError('identity-token-invalid', `Missing a required claim: ${name}`)
}

function malformedTags(): Error {
  return iamError('identity-token-invalid', 'The session tags or the source identity of the ID token are malformed.')
}

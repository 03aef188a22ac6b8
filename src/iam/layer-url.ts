import { isDigest, type Digest } from '../values/digest.ts'
import type { AccessKeys } from './credentials.ts'
import { iamError } from './errors.ts'
import type { Keyring } from './keyring.ts'

/** What a download link opens: one blob, as seen from one repository, until a time. */
export interface LayerUrlClaims {
  readonly registryId: number
  readonly repositoryId: number
  readonly digest: Digest
  /** Of whoever asked for the link: whose turn a download by it is. Empty in links of earlier versions. */
  readonly accountId: string
  /** That the link was asked for with: it opens nothing once the key is gone. Empty in links of earlier versions. */
  readonly accessKeyId: string
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number
}

const purpose = 'layer-url'

// The longest real one, with two 16-digit ids, a sha512 digest and a key id of 128 characters, has 488.
const maxTokenLength = 512

const separator = '.'

/**
 * The token of a download URL (GetDownloadUrlForLayer): whoever holds it may fetch that blob without further
 * credentials until it expires, or the access key that it was asked for with is gone, which the caller finds out. Letters, digits, `.`, `-` and `_` only. Signed, not secret: its claims can be read.
 */
export function signLayerUrl(keyring: Keyring, claims: LayerUrlClaims): string {
  const { registryId, repositoryId, digest, expiresAt, accountId, accessKeyId } = claims
  const payload = Buffer.from(JSON.stringify([registryId, repositoryId, digest, expiresAt, accountId, accessKeyId])).toString('base64url')
  return payload + separator + keyring.mac(Buffer.from(payload), purpose)
}

/**
 * Reads a token that `signLayerUrl` made. `now` is in milliseconds since the Unix epoch.
 *
 * @throws `token-invalid`, or `token-expired` for one that was good once
 */
export function verifyLayerUrl(keyring: Keyring, token: string, now: number): LayerUrlClaims {
  const end = token.indexOf(separator)
  if (end === -1 || token.length > maxTokenLength) throw notSignedHere()
  const payload = token.slice(0, end)
  // The MAC is over the text as it stands, so that nothing unsigned is ever decoded.
  if (!keyring.verifyMac(Buffer.from(payload), token.slice(end + 1), purpose)) throw notSignedHere()
  const claims = readClaims(payload)
  if (now >= claims.expiresAt) {
    throw iamError('token-expired', 'The download link has expired.', { expiresAt: claims.expiresAt })
  }
  return claims
}

/**
 * A link of `verifyLayerUrl` lives no longer than the access key that it was asked for with: taken away, made inactive, deleted
 * with its user, or a session that is over.
 *
 * @throws `token-expired`
 */
export async function requireLiveKey(keys: Pick<AccessKeys, 'findAccessKey'>, { accessKeyId }: LayerUrlClaims, now: number): Promise<void> {
  if (accessKeyId === '') return
  const key = await keys.findAccessKey(accessKeyId)
  if (key?.status === 'active' && now < (key.principal.session?.expiresAt ?? Number.POSITIVE_INFINITY)) return
  throw iamError('token-expired', 'The download link has ended with the access key that it was asked for with.', {})
}

function readClaims(payload: string): LayerUrlClaims {
  const list: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())
  const [registryId, repositoryId, digest, expiresAt, accountId = '', accessKeyId = ''] = list as readonly unknown[]
  if (typeof digest !== 'string' || !isDigest(digest)) throw notSignedHere()
  return {
    registryId: Number(registryId),
    repositoryId: Number(repositoryId),
    digest,
    accountId: String(accountId),
    accessKeyId: String(accessKeyId),
    expiresAt: Number(expiresAt),
  }
}

function notSignedHere(): Error {
  return iamError('token-invalid', 'The download link is not one of this registry.')
}

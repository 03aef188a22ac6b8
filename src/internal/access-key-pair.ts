import type { IdSource } from './ids.ts'

/** What AWS puts in front of access key ids: of lasting keys, and of temporary ones. */
export type AccessKeyPrefix = 'AKIA' | 'ASIA'

const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** The form that AWS gives its own: the prefix and 16 letters and digits, and a secret of 40 characters. */
export function newAccessKeyPair(
  prefix: AccessKeyPrefix,
  ids: IdSource,
): { readonly accessKeyId: string; readonly secretAccessKey: string } {
  const suffix = Array.from(ids.bytes(16), (byte) => base32[byte % base32.length]!).join('')
  return { accessKeyId: prefix + suffix, secretAccessKey: ids.bytes(30).toString('base64') }
}

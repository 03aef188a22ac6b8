import { randomBase32 } from './base32.ts'
import type { IdSource } from './ids.ts'

/** What AWS puts in front of access key ids: of lasting keys, and of temporary ones. */
export type AccessKeyPrefix = 'AKIA' | 'ASIA'

/** The form that AWS gives its own: the prefix and 16 letters and digits, and a secret of 40 characters. */
export function newAccessKeyPair(
  prefix: AccessKeyPrefix,
  ids: IdSource,
): { readonly accessKeyId: string; readonly secretAccessKey: string } {
  return { accessKeyId: prefix + randomBase32(16, ids), secretAccessKey: ids.bytes(30).toString('base64') }
}

import type { IdSource } from './ids.ts'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** Random letters and digits of the kind that AWS makes its identifiers of. Five bits of chance in each. */
export function randomBase32(length: number, ids: IdSource): string {
  return Array.from(ids.bytes(length), (byte) => alphabet[byte % alphabet.length]!).join('')
}

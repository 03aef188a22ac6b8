import { randomBase32 } from '../../internal/base32.ts'
import type { IdSource } from '../../internal/ids.ts'

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids */
const prefixes = { user: 'AIDA', group: 'AGPA', role: 'AROA', policy: 'ANPA' } as const

/** An id that nothing had before and nothing will have after it, whatever becomes of its name. */
export function newUniqueId(kind: keyof typeof prefixes, ids: IdSource): string {
  return prefixes[kind] + randomBase32(17, ids)
}

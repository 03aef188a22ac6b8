import fc, { type Arbitrary } from 'fast-check'

/** Pieces that parsers of paths, headers, queries and JSON have stumbled over. */
export const hostilePieces = [
  '%2e%2e', '%2E%2E%2F', '%00', '%0d%0a', '%', '%zz', '%c0%af', '%25', '%3a', '%3A', '%2f', '..', '../', '/..', '.', '/', '//', '\\',
  '\0', '\r\n', '\n', '\t', ' ', ':', '@', ';', ',', '=', '&', '+', '#', '?', '*', '~', '"', "'", "' OR 1=1--", '-', '_', '__',
  'sha256:', 'sha512:', 'md5:', 'blobs', 'uploads', 'manifests', 'tags', 'list', 'referrers', '_catalog', 'v2', 'v1',
  '0', '-1', '1e9', '9007199254740993', '18446744073709551616', 'NaN', 'Infinity', '0x10', '00', 'bytes=', '0-', '-0',
  '{', '}', '[', ']', 'null', 'true', '"a":1', '\\u0000', '\\ud800', '__proto__', 'constructor', 'é', 'ſ', '\u212a', '\u2028', '\ud800',
  'a'.repeat(300), '/'.repeat(300), '%41'.repeat(100), '['.repeat(100), '0'.repeat(40), 'A=b&'.repeat(50),
] as const

type Edit =
  | { readonly kind: 'insert'; readonly at: number; readonly text: string }
  | { readonly kind: 'remove' | 'repeat'; readonly at: number; readonly length: number }
  | { readonly kind: 'case'; readonly at: number }
  | { readonly kind: 'cut'; readonly at: number }

/** Positions are fractions of a text's length, so that an edit fits every text. */
const position = fc.double({ min: 0, max: 1, noNaN: true })
const length = fc.integer({ min: 1, max: 12 })

const anyUnit = fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit))

const edit: Arbitrary<Edit> = fc.oneof(
  fc.record({ kind: fc.constant('insert' as const), at: position, text: fc.oneof(fc.constantFrom(...hostilePieces), anyUnit) }),
  fc.record({ kind: fc.constantFrom('remove' as const, 'repeat' as const), at: position, length }),
  fc.record({ kind: fc.constant('case' as const), at: position }),
  fc.record({ kind: fc.constant('cut' as const), at: position }),
)

/** Good texts with up to four edits; some are left as they were, so that the good way stays in sight. */
export function mutated(samples: readonly string[]): Arbitrary<string> {
  return fc
    .tuple(fc.constantFrom(...samples), fc.array(edit, { maxLength: 4 }))
    .map(([sample, edits]) => edits.reduce(applied, sample))
}

function applied(text: string, change: Edit): string {
  const at = Math.floor(change.at * text.length)
  switch (change.kind) {
    case 'insert':
      return text.slice(0, at) + change.text + text.slice(at)
    case 'remove':
      return text.slice(0, at) + text.slice(at + change.length)
    case 'repeat':
      return text.slice(0, at + change.length) + text.slice(at)
    case 'case': {
      const unit = text.charAt(at)
      return text.slice(0, at) + (unit === unit.toLowerCase() ? unit.toUpperCase() : unit.toLowerCase()) + text.slice(at + 1)
    }
    case 'cut':
      return text.slice(0, at)
  }
}

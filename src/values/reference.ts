import type { Brand } from './brand.ts'
import { every, isAlphanumeric } from './characters.ts'
import { parseDigest, type Digest } from './digest.ts'
import { quoted, valueError } from './errors.ts'

/** A name for a manifest in its repository: 1 to 128 characters. OCI distribution-spec, "Pulling manifests". */
export type Tag = Brand<string, 'Tag'>

/** What a client names a manifest by. */
export type Reference =
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'digest'; readonly digest: Digest }

const maxTagLength = 128

const underscore = 0x5f
const dot = 0x2e
const dash = 0x2d

/** @throws `tag-invalid` */
export function parseTag(text: string): Tag {
  if (text.length === 0 || text.length > maxTagLength) {
    throw invalid(text, `A tag has 1 to ${maxTagLength} characters.`)
  }
  if (!every(text, isTagCharacter)) {
    throw invalid(text, 'A tag consists of letters, digits, "_", "." and "-".')
  }
  if (text.charCodeAt(0) === dot || text.charCodeAt(0) === dash) {
    throw invalid(text, 'A tag starts with a letter, a digit or "_".')
  }
  return text as Tag
}

/**
 * A text with a colon is a digest, since no tag has one.
 *
 * @throws `digest-invalid`, `tag-invalid`
 */
export function parseReference(text: string): Reference {
  return text.includes(':') ? { kind: 'digest', digest: parseDigest(text) } : { kind: 'tag', tag: parseTag(text) }
}

function isTagCharacter(unit: number): boolean {
  return isAlphanumeric(unit) || unit === underscore || unit === dot || unit === dash
}

function invalid(text: string, message: string): Error {
  return valueError('tag-invalid', message, { tag: quoted(text) })
}

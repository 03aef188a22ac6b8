import { parseDigest, type Digest, type DigestAlgorithm } from '../../values/digest.ts'
import { quoted, valueError } from '../../values/errors.ts'
import { parseTag, type Tag } from '../../values/reference.ts'
import { distributionError } from './errors.ts'

/** The parameters of a request by name, values decoded and in the order they came. */
export type Query = ReadonlyMap<string, readonly string[]>

/** Names and values of the longest legal request (a manifest with a hundred tags) fit; a header line would not hold more. */
const maxQueryLength = 16_384

/** A push names up to `maxTagsPerPush` tags; the rest leaves room for what mirrors and proxies add. */
const maxParameters = 128

/** The specification asks for at least 10 tags in one push; a header has to name each of them. */
const maxTagsPerPush = 100

/** The largest page that is served, and what a request without `n` gets. */
export const maxPageSize = 1000

/** Longest key of a listing (a repository name or a digest) with room to spare; `last` need not be one that exists. */
const maxCursorLength = 512

/** RFC 6838 §4.2: two names of at most 127 characters and a slash. */
const maxArtifactTypeLength = 255

const noParameters: Query = new Map()

/**
 * A `+` stays a `+`: no parameter of this API can hold a space, while media types (`…+json`) are commonly sent unescaped.
 *
 * @throws `query-invalid`
 */
export function parseQuery(text: string): Query {
  if (text === '') return noParameters
  if (text.length > maxQueryLength) throw invalidQuery('The query is too long.')
  const query = new Map<string, string[]>()
  let count = 0
  for (const pair of text.split('&')) {
    if (pair === '') continue
    if (++count > maxParameters) throw invalidQuery('The query has too many parameters.')
    const equals = pair.indexOf('=')
    const name = decoded(equals === -1 ? pair : pair.slice(0, equals))
    const value = equals === -1 ? '' : decoded(pair.slice(equals + 1))
    const values = query.get(name)
    if (values === undefined) query.set(name, [value])
    else values.push(value)
  }
  return query
}

function decoded(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalidQuery('The query holds an escape that is not one.')
  }
}

/**
 * A parameter that makes sense once.
 *
 * @throws `query-invalid` where it comes twice with different values, since client and registry would read it differently
 */
export function singleParameter(query: Query, name: string): string | undefined {
  const values = query.get(name)
  if (values === undefined) return undefined
  const [value] = values
  if (values.some((other) => other !== value)) throw invalidQuery(`The parameter '${name}' may be given once.`)
  return value
}

/** @throws `digest-invalid`, `query-invalid` */
export function digestParameter(query: Query, name: 'digest' | 'mount'): Digest | undefined {
  const text = singleParameter(query, name)
  return text === undefined ? undefined : parseDigest(text)
}

/**
 * The algorithm announced for an upload. It binds nobody: the digest at the end decides.
 *
 * @throws `digest-invalid` for one that the closing request could not use either
 */
export function digestAlgorithmParameter(query: Query): DigestAlgorithm | undefined {
  const text = singleParameter(query, 'digest-algorithm')
  if (text === undefined || text === 'sha256' || text === 'sha512') return text
  throw valueError('digest-invalid', 'The digest algorithm is not supported: it has to be sha256 or sha512.', {
    algorithm: quoted(text),
  })
}

/** @throws `tag-invalid`, `too-many-tags` */
export function tagParameters(query: Query): Tag[] {
  const texts = query.get('tag') ?? []
  if (texts.length > maxTagsPerPush) {
    throw distributionError('too-many-tags-in-query', `One request sets at most ${maxTagsPerPush} tags.`)
  }
  return [...new Set(texts.map(parseTag))]
}

/** @throws `query-invalid` */
export function artifactTypeParameter(query: Query): string | undefined {
  const text = singleParameter(query, 'artifactType')
  if (text === undefined || text === '') return undefined
  if (text.length > maxArtifactTypeLength || !isPrintable(text)) {
    throw invalidQuery(`The parameter 'artifactType' is not a media type.`)
  }
  return text
}

/** A listing's window: up to `limit` items behind `after`. */
export interface Window {
  /** 0 to `maxPageSize`. */
  readonly limit: number
  readonly after: string | undefined
}

/**
 * `n` and `last` of a listing.
 *
 * ECR answers an error where `n` is above 1000. A page of 1000 with a `Link` to the next one is within the
 * specification and breaks nobody, so `n` is cut down instead.
 *
 * @throws `page-number-invalid`, `query-invalid`
 */
export function pageParameters(query: Query): Window {
  const count = singleParameter(query, 'n')
  const after = singleParameter(query, 'last')
  if (count !== undefined && !/^[0-9]+$/.test(count)) {
    throw distributionError('page-number-invalid', `The parameter 'n' has to be a whole number, 0 or more.`, {
      n: quoted(count),
    })
  }
  if (after !== undefined && (after.length > maxCursorLength || !isPrintable(after))) {
    throw invalidQuery(`The parameter 'last' is not the name of anything listed here.`)
  }
  return {
    limit: count === undefined ? maxPageSize : Math.min(Number(count), maxPageSize),
    after: after === '' ? undefined : after,
  }
}

/** Printable ASCII: what names, tags, digests and media types consist of. Keeps NUL, which no database column takes, out. */
function isPrintable(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text)
}

function invalidQuery(message: string): Error {
  return distributionError('query-invalid', message)
}

import { parseDigest, type Digest } from '../../values/digest.ts'
import { parseReference, type Reference } from '../../values/reference.ts'
import { parseRepositoryName, type RepositoryName } from '../../values/repository-name.ts'
import { distributionError } from './errors.ts'

/** What a path of the distribution API names. OCI distribution-spec, "Endpoints". */
export type DistributionRoute =
  | { readonly kind: 'ping' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'tags'; readonly repository: RepositoryName }
  | { readonly kind: 'manifest'; readonly repository: RepositoryName; readonly reference: Reference }
  | { readonly kind: 'blob'; readonly repository: RepositoryName; readonly digest: Digest }
  | { readonly kind: 'uploadStart'; readonly repository: RepositoryName }
  | { readonly kind: 'upload'; readonly repository: RepositoryName; readonly uploadId: string }
  | { readonly kind: 'referrers'; readonly repository: RepositoryName; readonly digest: Digest }

export type RouteKind = DistributionRoute['kind']

export interface ParsedPath {
  readonly route: DistributionRoute
  /** Everything behind the first `?`, undecoded; empty where there is none. */
  readonly query: string
}

/** The methods of each kind of path, as its `Allow` header lists them. */
export const routeMethods = {
  ping: ['GET', 'HEAD'],
  catalog: ['GET', 'HEAD'],
  tags: ['GET', 'HEAD'],
  manifest: ['GET', 'HEAD', 'PUT', 'DELETE'],
  blob: ['GET', 'HEAD', 'DELETE'],
  uploadStart: ['POST'],
  upload: ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'],
  referrers: ['GET', 'HEAD'],
} as const satisfies Record<RouteKind, readonly string[]>

const prefix = '/v2/'

/** Upload ids are UUIDs; anything longer is not one of ours, and need not be looked up. */
const maxUploadIdLength = 64

/**
 * Reads a request target from its tail, since a repository name may itself hold segments such as `blobs`,
 * `manifests` or `tags`: the last two or three segments decide, the rest is the name. Linear in the path.
 *
 * @throws `endpoint-unknown`, `path-invalid`, `method-not-allowed` (with detail.allow), and the errors of the values
 * in the path: `repository-name-invalid`, `tag-invalid`, `digest-invalid`.
 */
export function parseDistributionPath(method: string, url: string): ParsedPath {
  const mark = url.indexOf('?')
  const path = mark === -1 ? url : url.slice(0, mark)
  const route = parseRoute(path)
  const allow: readonly string[] = routeMethods[route.kind]
  if (!allow.includes(method)) {
    throw distributionError('method-not-allowed', 'The operation is not supported.', { allow })
  }
  return { route, query: mark === -1 ? '' : url.slice(mark + 1) }
}

function parseRoute(path: string): DistributionRoute {
  if (path === prefix || path === '/v2') return { kind: 'ping' }
  if (!path.startsWith(prefix)) throw unknownEndpoint()
  const segments = path.slice(prefix.length).split('/')
  const last = segments.pop() ?? ''
  const parent = segments.pop()
  if (parent === undefined) {
    if (last === '_catalog') return { kind: 'catalog' }
    throw unknownEndpoint()
  }
  if (last === '') {
    // The one path that ends with a slash: `<name>/blobs/uploads/`.
    if (parent === 'uploads' && segments.pop() === 'blobs') return { kind: 'uploadStart', repository: nameOf(segments) }
    throw unknownEndpoint()
  }
  switch (parent) {
    case 'manifests':
      return { kind: 'manifest', repository: nameOf(segments), reference: parseReference(decodedColon(last)) }
    case 'blobs':
      return last === 'uploads'
        ? { kind: 'uploadStart', repository: nameOf(segments) }
        : { kind: 'blob', repository: nameOf(segments), digest: parseDigest(decodedColon(last)) }
    case 'uploads':
      if (segments.pop() !== 'blobs') throw unknownEndpoint()
      return { kind: 'upload', repository: nameOf(segments), uploadId: parseUploadId(last) }
    case 'tags':
      if (last !== 'list') throw unknownEndpoint()
      return { kind: 'tags', repository: nameOf(segments) }
    case 'referrers':
      return { kind: 'referrers', repository: nameOf(segments), digest: parseDigest(decodedColon(last)) }
    default:
      throw unknownEndpoint()
  }
}

function nameOf(segments: readonly string[]): RepositoryName {
  if (segments.length === 0) throw unknownEndpoint()
  return parseRepositoryName(segments.join('/'))
}

/**
 * Some HTTP libraries escape the colon of a digest. Nothing else in a path of this API ever needs escaping, so no
 * other escape is decoded: what holds one fails the grammar of its value (`%2e%2e`, `%00`, `%2f`).
 */
function decodedColon(segment: string): string {
  return segment.includes('%') ? segment.replace(/%3a/i, ':') : segment
}

function parseUploadId(text: string): string {
  if (text.length > maxUploadIdLength || !/^[0-9A-Za-z-]+$/.test(text)) {
    throw distributionError('path-invalid', 'The path does not name an upload.')
  }
  return text
}

function unknownEndpoint(): Error {
  return distributionError('endpoint-unknown', 'The path is not one of the distribution API.')
}

export function manifestPath(repository: RepositoryName, digest: Digest): string {
  return `${prefix}${repository}/manifests/${digest}`
}

export function blobPath(repository: RepositoryName, digest: Digest): string {
  return `${prefix}${repository}/blobs/${digest}`
}

export function uploadPath(repository: RepositoryName, uploadId: string): string {
  return `${prefix}${repository}/blobs/uploads/${uploadId}`
}

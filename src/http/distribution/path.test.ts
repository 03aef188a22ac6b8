import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isPlatformError } from '../../internal/platform-error.ts'
import { blobPath, manifestPath, parseDistributionPath, routeMethods, uploadPath } from './path.ts'
import type { Digest } from '../../values/digest.ts'
import type { RepositoryName } from '../../values/repository-name.ts'

const hex = '0123456789abcdef'.repeat(4)
const digest = `sha256:${hex}` as Digest
const sha512 = `sha512:${hex}${hex}`
const uploadId = '7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00'
const tag = (name: string) => ({ kind: 'tag', tag: name })
const byDigest = (text: string) => ({ kind: 'digest', digest: text })

function routeOf(path: string, method = 'GET') {
  return parseDistributionPath(method, path).route
}

function codeOf(path: string, method = 'GET'): string {
  try {
    parseDistributionPath(method, path)
    return 'accepted'
  } catch (error) {
    return isPlatformError(error) ? error.code : String(error)
  }
}

/** Half of them ASCII, since that is where the grammar is. */
const codeUnit = fc.oneof(fc.nat(0x7f), fc.nat(0xffff)).map((unit) => String.fromCharCode(unit))

describe('the paths of the API', () => {
  it.each([
    ['GET', '/v2/', { kind: 'ping' }],
    ['GET', '/v2', { kind: 'ping' }],
    ['GET', '/v2/_catalog', { kind: 'catalog' }],
    ['GET', '/v2/app/tags/list', { kind: 'tags', repository: 'app' }],
    ['GET', '/v2/team/app/manifests/1.0', { kind: 'manifest', repository: 'team/app', reference: tag('1.0') }],
    ['PUT', `/v2/app/manifests/${digest}`, { kind: 'manifest', repository: 'app', reference: byDigest(digest) }],
    ['HEAD', `/v2/app/manifests/${sha512}`, { kind: 'manifest', repository: 'app', reference: byDigest(sha512) }],
    ['GET', `/v2/a/b/c/d/blobs/${digest}`, { kind: 'blob', repository: 'a/b/c/d', digest }],
    ['POST', '/v2/app/blobs/uploads/', { kind: 'uploadStart', repository: 'app' }],
    ['POST', '/v2/app/blobs/uploads', { kind: 'uploadStart', repository: 'app' }],
    ['PATCH', `/v2/app/blobs/uploads/${uploadId}`, { kind: 'upload', repository: 'app', uploadId }],
    ['GET', `/v2/app/referrers/${digest}`, { kind: 'referrers', repository: 'app', digest }],
  ])('%s %s', (method, path, expected) => {
    expect(routeOf(path, method)).toEqual(expected)
  })

  it.each([
    ['GET', '/v2/tags/list/tags/list', { kind: 'tags', repository: 'tags/list' }],
    ['GET', '/v2/blobs/manifests/latest', { kind: 'manifest', repository: 'blobs', reference: tag('latest') }],
    ['GET', '/v2/manifests/manifests/manifests', { kind: 'manifest', repository: 'manifests', reference: tag('manifests') }],
    ['GET', `/v2/a/blobs/b/manifests/c/blobs/${digest}`, { kind: 'blob', repository: 'a/blobs/b/manifests/c', digest }],
    ['GET', `/v2/a/manifests/x/blobs/uploads/${uploadId}`, { kind: 'upload', repository: 'a/manifests/x', uploadId }],
    ['POST', '/v2/a/blobs/uploads/b/blobs/uploads/', { kind: 'uploadStart', repository: 'a/blobs/uploads/b' }],
    ['GET', '/v2/a/blobs/uploads/manifests/list', { kind: 'manifest', repository: 'a/blobs/uploads', reference: tag('list') }],
    ['GET', `/v2/referrers/tags/referrers/${digest}`, { kind: 'referrers', repository: 'referrers/tags', digest }],
    ['GET', '/v2/v2/v2/tags/list', { kind: 'tags', repository: 'v2/v2' }],
  ])('are read from the tail: %s %s', (method, path, expected) => {
    expect(routeOf(path, method)).toEqual(expected)
  })

  it('may have the colon of a digest escaped', () => {
    expect(routeOf(`/v2/app/blobs/sha256%3A${hex}`)).toEqual({ kind: 'blob', repository: 'app', digest })
    expect(routeOf(`/v2/app/manifests/sha256%3a${hex}`)).toMatchObject({ reference: byDigest(digest) })
  })

  it('end at the first question mark', () => {
    expect(parseDistributionPath('GET', '/v2/app/tags/list?n=5&last=a/b?c')).toEqual({
      route: { kind: 'tags', repository: 'app' },
      query: 'n=5&last=a/b?c',
    })
  })
})

describe('paths that are refused', () => {
  it.each([
    ['/', 'endpoint-unknown'],
    ['', 'endpoint-unknown'],
    ['/v1/', 'endpoint-unknown'],
    ['/v22/app/tags/list', 'endpoint-unknown'],
    ['/v2//', 'endpoint-unknown'],
    ['/v2//_catalog', 'endpoint-unknown'],
    ['/v2/%5fcatalog', 'endpoint-unknown'],
    ['/v2/_catalog/', 'endpoint-unknown'],
    ['/v2/app', 'endpoint-unknown'],
    ['/v2/app/', 'endpoint-unknown'],
    ['/v2/app/tags', 'endpoint-unknown'],
    ['/v2/app/tags/', 'endpoint-unknown'],
    ['/v2/app/tags/list/', 'endpoint-unknown'],
    ['/v2/app/tags/other', 'endpoint-unknown'],
    ['/v2/tags/list', 'endpoint-unknown'],
    ['/v2/manifests/latest', 'endpoint-unknown'],
    ['/v2/app/manifests/', 'endpoint-unknown'],
    [`/v2/app/uploads/${uploadId}`, 'endpoint-unknown'],
    [`/v2/blobs/uploads/${uploadId}`, 'endpoint-unknown'],
    ['/v2//app/tags/list', 'repository-name-invalid'],
    ['/v2/a//b/tags/list', 'repository-name-invalid'],
    ['/v2/a/../b/tags/list', 'repository-name-invalid'],
    ['/v2/a/./b/tags/list', 'repository-name-invalid'],
    ['/v2/%2e%2e/b/tags/list', 'repository-name-invalid'],
    ['/v2/a%2fb/tags/list', 'repository-name-invalid'],
    ['/v2/app%00/tags/list', 'repository-name-invalid'],
    ['/v2/app\0/tags/list', 'repository-name-invalid'],
    ['/v2/App/tags/list', 'repository-name-invalid'],
    ['/v2/a\\b/tags/list', 'repository-name-invalid'],
    [`/v2/${'a'.repeat(257)}/tags/list`, 'repository-name-invalid'],
    ['/v2/app/manifests/..', 'tag-invalid'],
    ['/v2/app/manifests/%2e%2e', 'tag-invalid'],
    ['/v2/app/manifests/a%00', 'tag-invalid'],
    ['/v2/app/manifests/a b', 'tag-invalid'],
    [`/v2/app/manifests/${'a'.repeat(129)}`, 'tag-invalid'],
    ['/v2/app/manifests/sha256:baddigeststring', 'digest-invalid'],
    [`/v2/app/manifests/sha256:${hex.toUpperCase()}`, 'digest-invalid'],
    [`/v2/app/manifests/md5:${hex}`, 'digest-invalid'],
    [`/v2/app/manifests/sha256%3A%3A${hex}`, 'digest-invalid'],
    ['/v2/app/blobs/latest', 'digest-invalid'],
    [`/v2/app/blobs/../../${digest}`, 'endpoint-unknown'],
    ['/v2/app/referrers/latest', 'digest-invalid'],
    ['/v2/app/blobs/uploads/..', 'path-invalid'],
    ['/v2/app/blobs/uploads/%2e%2e', 'path-invalid'],
    [`/v2/app/blobs/uploads/${'a'.repeat(65)}`, 'path-invalid'],
  ])('%s', (path, code) => {
    expect(codeOf(path)).toBe(code)
  })

  it.each(['POST', 'PATCH', 'CONNECT', 'PROPFIND', 'get', ''])('have a method that the path lacks: %s', (method) => {
    expect(() => parseDistributionPath(method, '/v2/app/tags/list')).toThrow(
      expect.objectContaining({ code: 'method-not-allowed', detail: { allow: routeMethods.tags } }),
    )
  })
})

describe('any path', () => {
  const segment = fc.constantFrom(
    'blobs', 'manifests', 'tags', 'list', 'uploads', 'referrers', '_catalog', 'app', '', '..', '.', '%2e', '%00', 'A', digest, uploadId,
  )

  it('is read or refused, never anything else', () => {
    const path = fc.oneof(
      fc.array(segment, { maxLength: 9 }).map((segments) => `/v2/${segments.join('/')}`),
      fc.string({ unit: codeUnit, maxLength: 300 }).map((text) => `/v2/${text}`),
      fc.webPath().map((text) => `/v2${text}`),
    )
    fc.assert(
      fc.property(path, (text) => {
        expect(codeOf(text)).toMatch(
          /^(accepted|endpoint-unknown|path-invalid|repository-name-invalid|tag-invalid|digest-invalid|method-not-allowed)$/,
        )
      }),
      { numRuns: 2_000 },
    )
  })

  it('that was accepted means one thing: writing it again gives the same route', () => {
    const name = fc
      .array(fc.constantFrom('blobs', 'manifests', 'tags', 'list', 'uploads', 'referrers', 'a', 'v2'), { minLength: 1, maxLength: 6 })
      .map((parts) => parts.join('/'))
      .filter((text) => text.length > 1)
    fc.assert(
      fc.property(name, (text) => {
        const repository = text as RepositoryName
        expect(routeOf(`/v2/${repository}/tags/list`)).toEqual({ kind: 'tags', repository })
        expect(routeOf(manifestPath(repository, digest))).toEqual({ kind: 'manifest', repository, reference: byDigest(digest) })
        expect(routeOf(`/v2/${repository}/manifests/list`)).toEqual({ kind: 'manifest', repository, reference: tag('list') })
        expect(routeOf(blobPath(repository, digest))).toEqual({ kind: 'blob', repository, digest })
        expect(routeOf(uploadPath(repository, uploadId))).toEqual({ kind: 'upload', repository, uploadId })
        expect(routeOf(`/v2/${repository}/blobs/uploads/`, 'POST')).toEqual({ kind: 'uploadStart', repository })
        expect(routeOf(`/v2/${repository}/referrers/${digest}`)).toEqual({ kind: 'referrers', repository, digest })
      }),
    )
  })

  it('takes time in proportion to its length', () => {
    const long = `/v2/${'a/'.repeat(100_000)}tags/list`
    const startedAt = performance.now()
    for (let run = 0; run < 10; run++) codeOf(long)
    expect(performance.now() - startedAt).toBeLessThan(2_000)
  })
})

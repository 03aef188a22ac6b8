import fc from 'fast-check'
import { selectRanges, maxRangeCount } from '../../src/http/distribution/byte-ranges.ts'
import { isNotModified, isRangeCurrent } from '../../src/http/distribution/conditional.ts'
import { parseContentRange } from '../../src/http/distribution/content-range.ts'
import { operationOf, operations } from '../../src/http/distribution/operations.ts'
import { parseDistributionPath, routeMethods, type DistributionRoute } from '../../src/http/distribution/path.ts'
import {
  artifactTypeParameter,
  digestAlgorithmParameter,
  digestParameter,
  maxPageSize,
  pageParameters,
  parseQuery,
  singleParameter,
  tagParameters,
} from '../../src/http/distribution/query.ts'
import { registryOfHost } from '../../src/http/distribution/registry-selection.ts'
import { mutated } from './mutation.ts'
import { parsedOrRefused, parserProperty, require, requireEqual, type ParserProperty } from './parser-property.ts'

const digest = `sha256:${'ab'.repeat(32)}`
const paths = [
  '/v2/', '/v2', '/v2/_catalog?n=10&last=a', '/v2/app/tags/list?n=1', '/v2/team/app/manifests/latest', `/v2/team/app/manifests/${digest}`,
  `/v2/team/app/blobs/${digest}`, '/v2/team/app/blobs/uploads/', '/v2/team/app/blobs/uploads', `/v2/a/b/c/referrers/${digest}?artifactType=a/b`,
  '/v2/blobs/uploads/blobs/uploads/7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00', `/v2/manifests/manifests/manifests/tags`,
  `/v2/app/blobs/uploads/?mount=${digest}&from=team/app`, `/v2/app/blobs/uploads/7f1f9a0e?_state=x&digest=${encodeURIComponent(digest)}`,
]
const pathErrors = [
  'endpoint-unknown', 'path-invalid', 'method-not-allowed', 'repository-name-invalid', 'tag-invalid', 'digest-invalid',
]
const methods = fc.constantFrom('GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', '', 'get')

function pathOf(route: DistributionRoute): string {
  switch (route.kind) {
    case 'ping':
      return '/v2/'
    case 'catalog':
      return '/v2/_catalog'
    case 'tags':
      return `/v2/${route.repository}/tags/list`
    case 'manifest':
      return `/v2/${route.repository}/manifests/${route.reference.kind === 'tag' ? route.reference.tag : route.reference.digest}`
    case 'blob':
      return `/v2/${route.repository}/blobs/${route.digest}`
    case 'uploadStart':
      return `/v2/${route.repository}/blobs/uploads/`
    case 'upload':
      return `/v2/${route.repository}/blobs/uploads/${route.uploadId}`
    case 'referrers':
      return `/v2/${route.repository}/referrers/${route.digest}`
  }
}

const queries = [
  'n=10&last=a', `digest=${digest}`, `digest=${encodeURIComponent(digest)}&digest=${digest}`, `mount=${digest}&from=team/app`, 'tag=a&tag=b&tag=a',
  'artifactType=application/vnd.example+json', 'digest-algorithm=sha512', 'n=18446744073709551616', 'n=-1', 'last=%00', 'n&last', '&&=&=x',
]
const queryErrors = ['query-invalid', 'page-number-invalid', 'digest-invalid', 'tag-invalid', 'too-many-tags-in-query']

const sizes = fc.oneof(fc.constantFrom(0, 1, 2, 1000, 2 ** 31, 2 ** 40), fc.nat(2000))
const rangeHeaders = ['bytes=0-', 'bytes=0-499', 'bytes=-500', 'bytes=500-0', 'bytes=0-0,2-3,-1', 'BYTES=1-2', `bytes=${'0-0,'.repeat(70)}1-1`, 'items=0-1']
const smallRange = fc.tuple(fc.nat(99), fc.nat(99))

export const distributionProperties: readonly ParserProperty[] = [
  parserProperty('a path', fc.tuple(methods, mutated(paths)), ([method, target]) => {
    const parsed = parsedOrRefused(pathErrors, () => parseDistributionPath(method, target))
    if (parsed === undefined) return
    const { route } = parsed
    require((routeMethods[route.kind] as readonly string[]).includes(method), 'the method is one of the path')
    const path = pathOf(route)
    require(!/%|\.\.|\/\/|\\|[^\x21-\x7e]/.test(path), 'what it names is spelt in one way only')
    requireEqual(parseDistributionPath(method, path).route, route, 'written anew it names the same')
  }),

  parserProperty('a query', mutated(queries), (text) => {
    // A target has one character for each byte, so halves of surrogate pairs never come.
    const query = parsedOrRefused(['query-invalid'], () => parseQuery(text.toWellFormed()))
    if (query === undefined) return
    const pairs = [...query].flatMap(([name, values]) => values.map((value) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`))
    requireEqual([...parseQuery(pairs.join('&'))], [...query], 'written anew it is read the same')
    const window = parsedOrRefused(queryErrors, () => pageParameters(query))
    if (window !== undefined) {
      require(Number.isInteger(window.limit) && window.limit >= 0 && window.limit <= maxPageSize, 'a page has a bound')
      require(window.after === undefined || /^[\x20-\x7e]{1,512}$/.test(window.after), 'a position is printable')
    }
    const readers: readonly (() => unknown)[] = [
      () => digestParameter(query, 'digest'),
      () => digestParameter(query, 'mount'),
      () => digestAlgorithmParameter(query),
      () => tagParameters(query),
      () => artifactTypeParameter(query),
      () => singleParameter(query, 'from'),
    ]
    for (const read of readers) parsedOrRefused(queryErrors, read)
  }),

  parserProperty('the operation of a request', fc.tuple(methods, mutated(paths)), ([method, target]) => {
    const parsed = parsedOrRefused(pathErrors, () => parseDistributionPath(method, target))
    const query = parsed && parsedOrRefused(['query-invalid'], () => parseQuery(parsed.query))
    if (parsed === undefined || query === undefined) return
    const operation = operations[operationOf(method, parsed.route, query)]
    requireEqual(operation.route, parsed.route.kind, 'it belongs to the path')
    require((operation.methods as readonly string[]).includes(method), 'it belongs to the method')
    require(operation.scope === 'credentials' || operation.actions.length > 0, 'it needs a right')
  }),

  parserProperty('the ranges of a download', fc.tuple(mutated(rangeHeaders), sizes), ([header, sizeBytes]) => {
    const selection = selectRanges(header, sizeBytes)
    if (selection.kind !== 'partial') return
    const { ranges } = selection
    require(ranges.length >= 1 && ranges.length <= maxRangeCount, 'there are few')
    for (const { start, endExclusive } of ranges) {
      require(Number.isSafeInteger(start) && start >= 0 && start < endExclusive && endExclusive <= sizeBytes, 'each lies within the content')
    }
    const total = ranges.reduce((sum, { start, endExclusive }) => sum + endExclusive - start, 0)
    require(total <= sizeBytes, 'together they ask for no more than there is')
  }),

  parserProperty('ranges that are right', fc.tuple(fc.array(smallRange, { minLength: 1, maxLength: 3 }), fc.nat(100)), ([pairs, more]) => {
    const wanted = pairs.map(([start, length]) => ({ start, endExclusive: start + length + 1 }))
    const sizeBytes = Math.max(...wanted.map(({ endExclusive }) => endExclusive)) + more
    const header = `bytes=${wanted.map(({ start, endExclusive }) => `${start}-${endExclusive - 1}`).join(', ')}`
    const total = wanted.reduce((sum, { start, endExclusive }) => sum + endExclusive - start, 0)
    const expected = wanted.length > 1 && total > sizeBytes ? { kind: 'excessive' } : { kind: 'partial', ranges: wanted }
    requireEqual(selectRanges(header, sizeBytes), expected, header)
  }),

  parserProperty('the place of a chunk', mutated(['0-99', 'bytes 0-99/200', 'bytes=5-5', '0-9007199254740991', '10-5', '0-99/*']), (header) => {
    const chunk = parsedOrRefused(['header-invalid'], () => parseContentRange(header))
    if (chunk === undefined) return
    const { offset, lengthBytes } = chunk
    require(Number.isSafeInteger(offset) && offset >= 0, 'it has a place')
    require(Number.isSafeInteger(offset + lengthBytes) && lengthBytes >= 1, 'it has an end')
    requireEqual(parseContentRange(`${offset}-${offset + lengthBytes - 1}`), chunk, 'written anew it is read the same')
  }),

  parserProperty('the conditions of a request', mutated([`"${digest}"`, digest, `W/"${digest}"`, '*', 'Tue, 01 Jan 2030 00:00:00 GMT', '"a","b"']), (header) => {
    const matches = isNotModified(header, digest)
    if (matches) require(header.includes(digest) || header.trim() === '*', 'only the content itself is unmodified')
    if (isRangeCurrent(header, digest)) require(header.includes(`"${digest}"`), 'a range goes on with the content itself only')
  }),

  parserProperty('a host that names a registry', mutated(['000000000000.dkr.ecr.us-east-1.example.com:5050', '123456789012.dkr.ecr.x1.localhost', '[::1]:5']), (host) => {
    const address = registryOfHost(host, undefined)
    if (address === undefined) return
    require(/^\d{12}$/.test(address.accountId) && /^[a-z0-9-]{2,25}$/.test(address.region), 'account and region have their form')
    require(host.toLowerCase().startsWith(`${address.accountId}.dkr.ecr.${address.region}.`), 'it is in the host')
  }),
]

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isPlatformError } from '../../internal/platform-error.ts'
import {
  artifactTypeParameter,
  digestAlgorithmParameter,
  digestParameter,
  maxPageSize,
  pageParameters,
  parseQuery,
  singleParameter,
  tagParameters,
} from './query.ts'

const digest = `sha256:${'ab'.repeat(32)}`

function codeOf(read: () => unknown): string {
  try {
    read()
    return 'accepted'
  } catch (error) {
    return isPlatformError(error) ? error.code : String(error)
  }
}

/** Half of them ASCII, since that is where the grammar is. */
const codeUnit = fc.oneof(fc.nat(0x7f), fc.nat(0xffff)).map((unit) => String.fromCharCode(unit))

describe('parseQuery', () => {
  it('decodes names and values', () => {
    expect(singleParameter(parseQuery('digest=sha256%3Aab&x=1'), 'digest')).toBe('sha256:ab')
    expect(singleParameter(parseQuery('%64igest=a'), 'digest')).toBe('a')
  })

  it('keeps parameters it does not know, such as the state in a Location and the mirror’s ns', () => {
    const query = parseQuery('_state=a%2Bb&ns=docker.io&digest=x')
    expect(singleParameter(query, '_state')).toBe('a+b')
    expect(singleParameter(query, 'ns')).toBe('docker.io')
  })

  it('leaves a plus sign alone', () => {
    const query = parseQuery('artifactType=application/vnd.example.sbom.v1+json')
    expect(artifactTypeParameter(query)).toBe('application/vnd.example.sbom.v1+json')
  })

  it.each([
    ['', []],
    ['&&', []],
    ['a', ['']],
    ['a=', ['']],
    ['a=1=2', ['1=2']],
    ['a=1&a=2', ['1', '2']],
  ])('%j', (text, values) => {
    expect(parseQuery(text).get('a') ?? []).toEqual(values)
  })

  it.each(['a=%', 'a=%zz', 'a=%ff', `a=${'x'.repeat(20_000)}`, 'a&'.repeat(200)])('refuses %.20s', (text) => {
    expect(codeOf(() => parseQuery(text))).toBe('query-invalid')
  })

  it('reads or refuses anything', () => {
    fc.assert(
      fc.property(fc.string({ unit: codeUnit }), (text) => {
        expect(codeOf(() => parseQuery(text))).toMatch(/^(accepted|query-invalid)$/)
      }),
    )
  })
})

describe('a parameter that makes sense once', () => {
  it('may be repeated with the same value', () => {
    expect(singleParameter(parseQuery('a=1&a=1'), 'a')).toBe('1')
  })

  it('is refused with two values', () => {
    expect(codeOf(() => digestParameter(parseQuery(`digest=${digest}&digest=sha256:x`), 'digest'))).toBe('query-invalid')
  })
})

describe('pageParameters', () => {
  it.each([
    ['', { limit: maxPageSize, after: undefined }],
    ['n=0', { limit: 0, after: undefined }],
    ['n=1', { limit: 1, after: undefined }],
    ['n=1000', { limit: 1000, after: undefined }],
    ['n=1001', { limit: 1000, after: undefined }],
    ['n=2147483648', { limit: 1000, after: undefined }],
    ['n=18446744073709551616', { limit: 1000, after: undefined }],
    [`n=${'9'.repeat(400)}`, { limit: 1000, after: undefined }],
    ['n=2&last=v1.0', { limit: 2, after: 'v1.0' }],
    ['last=team%2Fapp', { limit: maxPageSize, after: 'team/app' }],
    ['last=', { limit: maxPageSize, after: undefined }],
  ])('%s', (text, expected) => {
    expect(pageParameters(parseQuery(text))).toEqual(expected)
  })

  it.each(['n=-1', 'n=', 'n', 'n=NaN', 'n=1e3', 'n=1.5', 'n=0x10', 'n=%201', 'n=one', 'n=١'])('refuses %s', (text) => {
    expect(codeOf(() => pageParameters(parseQuery(text)))).toBe('page-number-invalid')
  })

  it.each(['last=%00', 'last=a%0ab', 'last=%C3%A9', `last=${'a'.repeat(513)}`])('refuses %.20s', (text) => {
    expect(codeOf(() => pageParameters(parseQuery(text)))).toBe('query-invalid')
  })
})

describe('tagParameters', () => {
  it('are the tags of a push, each once', () => {
    expect(tagParameters(parseQuery('tag=1.2.3&tag=1&tag=latest&tag=1'))).toEqual(['1.2.3', '1', 'latest'])
  })

  it('are limited in number', () => {
    const tags = (count: number) => Array.from({ length: count }, (_, index) => `tag=t${index}`).join('&')
    expect(tagParameters(parseQuery(tags(100)))).toHaveLength(100)
    expect(codeOf(() => tagParameters(parseQuery(tags(101))))).toBe('too-many-tags-in-query')
  })

  it('have to be tags', () => {
    expect(codeOf(() => tagParameters(parseQuery('tag=a/b')))).toBe('tag-invalid')
    expect(codeOf(() => tagParameters(parseQuery('tag=')))).toBe('tag-invalid')
  })
})

describe('the other parameters', () => {
  it('digest', () => {
    expect(digestParameter(parseQuery(`digest=${encodeURIComponent(digest)}`), 'digest')).toBe(digest)
    expect(digestParameter(parseQuery(''), 'digest')).toBeUndefined()
    expect(codeOf(() => digestParameter(parseQuery('digest='), 'digest'))).toBe('digest-invalid')
  })

  it('digest-algorithm', () => {
    expect(digestAlgorithmParameter(parseQuery('digest-algorithm=sha512'))).toBe('sha512')
    expect(codeOf(() => digestAlgorithmParameter(parseQuery('digest-algorithm=md5')))).toBe('digest-invalid')
  })

  it('artifactType', () => {
    expect(artifactTypeParameter(parseQuery('artifactType='))).toBeUndefined()
    expect(codeOf(() => artifactTypeParameter(parseQuery('artifactType=%00')))).toBe('query-invalid')
    expect(codeOf(() => artifactTypeParameter(parseQuery(`artifactType=${'a'.repeat(256)}`)))).toBe('query-invalid')
  })
})

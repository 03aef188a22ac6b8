import { describe, expect, it } from 'vitest'
import { isNotModified, isRangeCurrent } from './conditional.ts'
import { parseContentRange } from './content-range.ts'
import { nextPage } from './listings.ts'

const digest = `sha256:${'ab'.repeat(32)}`

describe('If-None-Match', () => {
  it.each([`"${digest}"`, `W/"${digest}"`, digest, `"other", "${digest}"`, ` * `, `"a",W/"${digest}" ,"b"`])(
    'matches %s',
    (header) => {
      expect(isNotModified(header, digest)).toBe(true)
    },
  )

  it.each([undefined, '', '"other"', `"${digest}x"`, '""', '"', 'W/'])('does not match %s', (header) => {
    expect(isNotModified(header, digest)).toBe(false)
  })
})

describe('If-Range', () => {
  it.each([
    [undefined, true],
    [`"${digest}"`, true],
    [`W/"${digest}"`, false],
    ['"other"', false],
    ['Wed, 21 Oct 2015 07:28:00 GMT', false],
  ])('%s', (header, expected) => {
    expect(isRangeCurrent(header, digest)).toBe(expected)
  })
})

describe('the Content-Range of a chunk', () => {
  it.each([
    ['0-9', { offset: 0, lengthBytes: 10 }],
    ['10-10', { offset: 10, lengthBytes: 1 }],
    ['bytes 10-19/100', { offset: 10, lengthBytes: 10 }],
    ['bytes 10-19/*', { offset: 10, lengthBytes: 10 }],
    ['bytes=10-19', { offset: 10, lengthBytes: 10 }],
  ])('%s', (header, expected) => {
    expect(parseContentRange(header)).toEqual(expected)
  })

  it('may be absent', () => {
    expect(parseContentRange(undefined)).toBeUndefined()
  })

  it.each(['', '-', '5', '5-', '-5', '9-0', 'a-b', '0-99999999999999999', '0-9007199254740991', 'items 0-1', '0-1,2-3'])('refuses %j', (header) => {
    expect(() => parseContentRange(header)).toThrow(expect.objectContaining({ code: 'header-invalid' }))
  })
})

describe('Link', () => {
  it('is relative and escaped', () => {
    expect(nextPage('/v2/_catalog', 2, 'team/app')).toEqual({ Link: '</v2/_catalog?n=2&last=team%2Fapp>; rel="next"' })
  })

  it('is absent from the last page', () => {
    expect(nextPage('/v2/_catalog', 2, undefined)).toEqual({})
  })

  it('keeps the filter', () => {
    expect(nextPage('/v2/a/referrers/x', 1, 'b', { artifactType: 'a/b+c' })).toEqual({
      Link: '</v2/a/referrers/x?n=1&last=b&artifactType=a%2Fb%2Bc>; rel="next"',
    })
  })
})

import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { anyText } from './any-text.test-support.ts'
import { parseReference, parseTag } from './reference.ts'

const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/

describe('parseTag', () => {
  it.each(['a', 'latest', 'V1.2.3-rc_1', '_', '__', '0', 'a..b', 'a'.repeat(128), `sha256-${'a'.repeat(64)}.sig`])(
    'accepts %j',
    (text) => {
      expect(parseTag(text)).toBe(text)
    },
  )

  it.each([
    '',
    '.',
    '..',
    '-a',
    '.a',
    'a'.repeat(129),
    'a b',
    'a/b',
    '../a',
    'a:b',
    'a+b',
    'a@b',
    'a\n',
    'a\0',
    'ä',
    'a%2e',
    'x'.repeat(1_000_000),
  ])('refuses %.40j', (text) => {
    expect(() => parseTag(text)).toThrow(expect.objectContaining({ code: 'tag-invalid' }))
  })

  test('it accepts what the pattern of the specification matches, and nothing else', () => {
    const near = fc.string({ unit: fc.constantFrom('a', 'Z', '0', '.', '_', '-', '/', ' '), maxLength: 10 })
    fc.assert(
      fc.property(fc.oneof(near, anyText), (text) => {
        let accepted = true
        try {
          parseTag(text)
        } catch (error) {
          expect(error).toMatchObject({ code: 'tag-invalid' })
          accepted = false
        }
        expect(accepted).toBe(tagPattern.test(text))
      }),
      { numRuns: 500 },
    )
  })
})

describe('parseReference', () => {
  it('takes a text with a colon for a digest', () => {
    const digest = `sha256:${'a'.repeat(64)}`
    expect(parseReference(digest)).toEqual({ kind: 'digest', digest })
    expect(parseReference('latest')).toEqual({ kind: 'tag', tag: 'latest' })
  })

  it.each([
    ['sha256:baddigeststring', 'digest-invalid'],
    [`sha256:${'A'.repeat(64)}`, 'digest-invalid'],
    [':', 'digest-invalid'],
    ['a:b', 'digest-invalid'],
    ['', 'tag-invalid'],
    ['a b', 'tag-invalid'],
  ])('refuses %j with %s', (text, code) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code }))
  })
})

import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { anyText } from './any-text.test-support.ts'
import { parseRepositoryName } from './repository-name.ts'

/** ECR's published pattern. Its nested repeats make it unfit for untrusted text of any length. */
const published = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/

function accepts(text: string): boolean {
  try {
    expect(parseRepositoryName(text)).toBe(text)
    return true
  } catch (error) {
    expect(error).toMatchObject({ code: 'repository-name-invalid' })
    return false
  }
}

describe('parseRepositoryName', () => {
  it.each([
    'ab',
    '00',
    'team/app',
    'a/b',
    'a.b',
    'a_b',
    'a__b',
    'a-b',
    'a---b',
    'a/b/blobs/uploads',
    'x/manifests/y',
    '1.2_3__4-5--6/7',
    'a'.repeat(256),
  ])('accepts %j', (text) => {
    expect(accepts(text)).toBe(true)
  })

  it.each([
    '',
    'a',
    'a'.repeat(257),
    'A',
    'Team/app',
    '/ab',
    'ab/',
    'a//b',
    'a/./b',
    'a/../b',
    '..',
    '../etc/passwd',
    'a..b',
    'a___b',
    'a._b',
    'a-_b',
    'a_-b',
    'a.-b',
    '-ab',
    'ab-',
    '_ab',
    'ab_',
    'ab__',
    '.ab',
    'ab.',
    'a-/b',
    'a/-b',
    'a b',
    'ab\n',
    'ab\0',
    'a\\b',
    'a%2fb',
    'a:b',
    'a@b',
    'äb',
    'a\u0661',
  ])('refuses %j', (text) => {
    expect(accepts(text)).toBe(false)
  })

  test('it accepts what the published pattern matches, and nothing else', () => {
    const near = fc.string({ unit: fc.constantFrom('a', '0', '.', '_', '-', '/', 'A'), minLength: 2, maxLength: 16 })
    fc.assert(
      fc.property(near, (text) => {
        expect(accepts(text)).toBe(published.test(text))
      }),
      { numRuns: 2000 },
    )
  })

  test('any text is accepted or refused with the same code', () => {
    fc.assert(fc.property(anyText, (text) => void accepts(text)))
  })
})

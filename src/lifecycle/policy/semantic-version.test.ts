import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareKeys, compareVersions, parseVersion, versionKey, type SemanticVersion } from './semantic-version.ts'
import { parseVersionRange } from './version-range.ts'

function version(text: string): SemanticVersion {
  const parsed = parseVersion(text)
  if (parsed === undefined) throw new Error(`${text} is no version`)
  return parsed
}

describe('a version', () => {
  test.each(['1', '1.2', '1.2.3.4', '01.2.3', '1.2.03', '1.2.x', 'latest', 'v', '1.2.3-', '1.2.3-a..b', '1.2.3-01', '1.2.3-ä', '', '1.2.3456789012345678'])('is not %j', (tag) => {
    expect(parseVersion(tag)).toBeUndefined()
  })

  test.each(['0.0.0', 'v1.2.3', 'V1.2.3', '1.2.3-RC.1', '1.2.3-x-y-z.4', '1.2.3_5'.replace('_', '-b_')])('is %j', (tag) => {
    expect(parseVersion(tag)).toBeDefined()
  })

  const ordered = ['0.0.1', '0.1.0', '1.0.0-0', '1.0.0-2', '1.0.0-10', '1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.beta', '1.0.0-beta', '1.0.0-beta.2', '1.0.0-beta.11', '1.0.0-rc.1', '1.0.0-rc.1.0', '1.0.0', '1.0.1', '1.2.0', '1.10.0', '2.0.0', '131071.0.0', '131072.0.0-a', '131072.0.0', '131072.0.1', '131072.1.0', '9999999.0.0', '10000000.0.0']

  test('comes where semver.org says, by comparison and by key', () => {
    for (const [i, a] of ordered.entries()) {
      for (const [j, b] of ordered.entries()) {
        expect(Math.sign(compareVersions(version(a), version(b))), `${a} ${b}`).toBe(Math.sign(i - j))
        expect(Math.sign(compareKeys(versionKey(version(a)), versionKey(version(b)))), `${a} ${b}`).toBe(Math.sign(i - j))
      }
    }
  })

  test('has keys that compare as the versions do', () => {
    const numbers = fc.oneof(fc.nat({ max: 3 }), fc.constantFrom(131_070, 131_071, 131_072, 10 ** 14))
    const identifiers = fc.oneof(fc.nat({ max: 12 }), fc.constantFrom('a', 'ab', 'rc', 'RC', '-', 'a-b'))
    const versions = fc.record({ major: numbers, minor: numbers, patch: numbers, prerelease: fc.array(identifiers, { maxLength: 3 }) })
    fc.assert(
      fc.property(versions, versions, (a, b) => {
        expect(Math.sign(compareKeys(versionKey(a), versionKey(b)))).toBe(Math.sign(compareVersions(a, b)))
      }),
      { numRuns: 5000, seed: 1 },
    )
  })
})

describe('a range', () => {
  const tags = ['0.0.3', '0.0.4', '0.1.0', '0.1.9', '0.2.0', '1.0.0-rc.1', '1.0.0', '1.2.3', '1.2.4', '1.3.0', '2.0.0-rc.1', '2.0.0', '3.0.0']
  test.each([
    ['*', tags],
    ['>=1.2.4 <2', ['1.2.4', '1.3.0']],
    ['>= 1.3 < 3', ['1.3.0', '2.0.0-rc.1', '2.0.0']],
    ['<1', ['0.0.3', '0.0.4', '0.1.0', '0.1.9', '0.2.0']],
    ['<=1', ['0.0.3', '0.0.4', '0.1.0', '0.1.9', '0.2.0', '1.0.0-rc.1', '1.0.0', '1.2.3', '1.2.4', '1.3.0']],
    ['>1', ['2.0.0-rc.1', '2.0.0', '3.0.0']],
    ['1.2', ['1.2.3', '1.2.4']],
    ['v1.2.x', ['1.2.3', '1.2.4']],
    ['=1.2.3', ['1.2.3']],
    ['2.0.0', ['2.0.0']],
    ['>=2.0.0', ['2.0.0-rc.1', '2.0.0', '3.0.0']],
    ['>2.0.0-rc.1', ['2.0.0', '3.0.0']],
    ['>=2.0.0-rc.2 <3', ['2.0.0']],
    ['~1.2.3', ['1.2.3', '1.2.4']],
    ['~1', ['1.0.0-rc.1', '1.0.0', '1.2.3', '1.2.4', '1.3.0']],
    ['^1.2.4', ['1.2.4', '1.3.0']],
    ['^0.1', ['0.1.0', '0.1.9']],
    ['^0.1.1', ['0.1.9']],
    ['^0.0.3', ['0.0.3']],
    ['^0', ['0.0.3', '0.0.4', '0.1.0', '0.1.9', '0.2.0']],
    ['0.0.3 || >=3', ['0.0.3', '3.0.0']],
    ['<*', []],
  ])('%s', (text, expected) => {
    const isIn = parseVersionRange(text)
    if (typeof isIn === 'string') throw new Error(isIn)
    expect(tags.filter((tag) => isIn(version(tag)))).toEqual(expected)
  })

  test.each(['', '||', '1 ||', 'x.1', '>>1', '1.2.3.4', 'latest', '01', '1 - 2', Array(60).fill('1').join(' ')])('is not %j', (text) => {
    expect(typeof parseVersionRange(text)).toBe('string')
  })
})

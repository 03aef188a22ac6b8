import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isTagImmutable, matchesWildcard } from './tag-mutability.ts'

describe('wildcards', () => {
  it.each([
    ['latest', 'latest', true],
    ['latest', 'latest1', false],
    ['*', '', true],
    ['*', 'anything', true],
    ['dev-*', 'dev-', true],
    ['dev-*', 'dev-1', true],
    ['dev-*', 'xdev-1', false],
    ['v*.beta', 'v1.beta', true],
    ['v*.beta', 'v1.beta2', false],
    ['*prod*', 'my-prod-1', true],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['a*b*c', 'a-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['a.c', 'abc', false],
  ])('%s on %s: %s', (pattern, text, expected) => {
    expect(matchesWildcard(pattern, text)).toBe(expected)
  })

  it('agrees with a regular expression made of the pattern', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.', '-') })
    const patterns = fc.string({ unit: fc.constantFrom('a', 'b', '.', '-', '*'), maxLength: 8 })
    fc.assert(
      fc.property(patterns, letters, (pattern, text) => {
        const source = pattern
          .split('*')
          .map((part) => part.replaceAll('.', '\\.'))
          .join('.*')
        expect(matchesWildcard(pattern, text)).toBe(new RegExp(`^${source}$`).test(text))
      }),
    )
  })
})

describe('tag mutability', () => {
  it.each([
    ['MUTABLE', [], 'v1', false],
    ['IMMUTABLE', [], 'v1', true],
    ['MUTABLE_WITH_EXCLUSION', ['v*'], 'v1', true],
    ['MUTABLE_WITH_EXCLUSION', ['v*'], 'latest', false],
    ['IMMUTABLE_WITH_EXCLUSION', ['latest', 'dev-*'], 'latest', false],
    ['IMMUTABLE_WITH_EXCLUSION', ['latest', 'dev-*'], 'dev-1', false],
    ['IMMUTABLE_WITH_EXCLUSION', ['latest', 'dev-*'], 'v1', true],
  ] as const)('%s %j: %s is immutable: %s', (mode, filters, tag, expected) => {
    expect(isTagImmutable(mode, filters, tag)).toBe(expected)
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { regularExpressionTest } from './regular-expression.ts'
import type { TagTest } from './tag-pattern.ts'

function compiled(source: string, options?: { ignoreCase: boolean }): TagTest {
  const compiledTest = regularExpressionTest(source, options)
  if (typeof compiledTest === 'string') throw new Error(compiledTest)
  return compiledTest
}

const letters = fc.constantFrom('a', 'b', 'A', '1', '.', '-')
const atoms = fc.oneof(
  fc.constantFrom('a', 'b', '1', '.', '\\.', '-', '\\d', '\\w', '\\D', '[ab]', '[^a]', '[a-b1.]', '[\\d-]', '[-a]'),
)
const expressions = fc.letrec<{ whole: string; part: string }>((tie) => ({
  whole: fc.array(tie('part'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
  part: fc.oneof(
    { maxDepth: 3 },
    atoms,
    fc.tuple(atoms, fc.constantFrom('*', '+', '?', '{2}', '{1,3}', '{2,}', '{0}')).map((pair) => pair.join('')),
    fc.tuple(tie('whole'), tie('whole'), fc.constantFrom('', '*', '+', '{2}')).map(([a, b, more]) => `(${a}|${b})${more}`),
    tie('whole').map((whole) => `(?:${whole})?`),
  ),
})).whole

describe('a regular expression', () => {
  test('takes what JavaScript takes', () => {
    const property = fc.property(expressions, fc.array(fc.array(letters, { maxLength: 6 }).map((list) => list.join('')), { minLength: 8, maxLength: 8 }), (source, tags) => {
      const ours = compiled(source)
      const theirs = new RegExp(`^(?:${source})$`)
      for (const tag of tags) expect(ours(tag), `${source} on ${tag}`).toBe(theirs.test(tag))
    })
    fc.assert(property, { numRuns: 2000, seed: 1 })
  })

  test('matches the whole tag, with ^ and $ or without', () => {
    for (const source of ['v1', '^v1', 'v1$', '^v1$']) {
      const isV1 = compiled(source)
      expect(['v1', 'v10', 'xv1'].filter(isV1)).toEqual(['v1'])
    }
    expect(compiled('a\\$')('a$')).toBe(true)
  })

  test('has classes, escapes and letters of either case', () => {
    expect(['PR-1', 'pr-22', 'pr-'].filter(compiled('pr-\\d+', { ignoreCase: true }))).toEqual(['PR-1', 'pr-22'])
    expect(['a', 'B', '-', ']'].filter(compiled('[^A-Z-]', { ignoreCase: true }))).toEqual([']'])
    expect(compiled('a|')('')).toBe(true)
    expect(compiled('a')('ä')).toBe(false)
  })

  // With JavaScript's own each would take longer than anybody lives.
  test.each(['(a+)+b', '(a|a)*b', '(a|aa)+b', '(.*)*x', '(a*)*(a*)*b', '([a-z]+)*1', '(a?){100}a{100}b', '(a|b|ab)*c', '(.*a){20}x', '(a|b)*a(a|b){12}'])('is done with 128 characters at once: %s', (source) => {
    const hostile = compiled(source)
    for (const tag of ['a'.repeat(128), `${'ab'.repeat(63)}!!`]) expect(hostile(tag)).toBe(tag.startsWith('aaa') && source.includes('{12}'))
  })

  test('stays right where its automaton is larger than what is remembered', () => {
    const source = '(a|b)*a(a|b){10}'
    const ours = compiled(source)
    const theirs = new RegExp(`^(?:${source})$`)
    fc.assert(
      fc.property(fc.array(fc.constantFrom('a', 'b'), { minLength: 60, maxLength: 60 }), (list) => {
        const tag = list.join('')
        expect(ours(tag)).toBe(theirs.test(tag))
      }),
      { numRuns: 300, seed: 1 },
    )
  })

  test.each([
    ['', /empty/u],
    ['a)', /no "\("/u],
    ['(a', /no "\)"/u],
    ['[a', /no "\]"/u],
    ['[]', /empty/u],
    ['[b-a]', /lower/u],
    ['*', /repeats nothing/u],
    ['a**', /may not follow/u],
    ['a*?', /may not follow/u],
    ['a{', /begins a repetition/u],
    ['a{3,2}', /smaller/u],
    ['a{5000}', /up to 1000/u],
    ['(?=a)b', /only "\(\?:"/u],
    ['(?<x>a)', /only "\(\?:"/u],
    ['(a)\\1', /not known/u],
    ['\\b', /not known/u],
    ['a^b', /only at the start/u],
    ['a\\', /nothing follows/u],
    ['ä', /a tag has no/u],
    ['((a{100}){100}){100}', /too large/u],
    ['(((){1000}){1000}){1000}', /too large/u],
    [`${'('.repeat(30)}a${')'.repeat(30)}`, /nest deeper/u],
  ])('is refused: %s', (source, problem) => {
    expect(regularExpressionTest(source)).toMatch(problem)
  })
})

import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { anyText } from './any-text.test-support.ts'
import { findStructuralProblem } from './json-structure.ts'

describe('findStructuralProblem', () => {
  it.each([
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    '{"a" \n\t\r :1,"a":2}',
    '{"a":{"b":1,"c":[],"b":2}}',
    '[{"a":1},{"a":1,"a":1}]',
    '{"":1,"":2}',
    '{"__proto__":1,"__proto__":2}',
    '{"x":"}","a":1,"a":2}',
    '{"x":"\\"}","a":1,"a":2}',
    '{"x":"\\\\","a":1,"a":2}',
    '{"a":{},"a":{}}',
  ])('finds the repeated key of %s', (text) => {
    expect(findStructuralProblem(text)).toContain('same key twice')
  })

  it.each([
    '{}',
    '{"a":"a","b":"a"}',
    '{"a":{"a":{"a":1}}}',
    '[{"a":1},{"a":1}]',
    '{"a":"\\"a\\":1","b":"{\\"a\\":1,\\"a\\":2}"}',
    '{"a":["a","a"]}',
    '{"a":1,"A":2}',
    '"a"',
    '',
  ])('finds nothing in %s', (text) => {
    expect(findStructuralProblem(text)).toBeUndefined()
  })

  it('limits depth, keys, containers and strings', () => {
    expect(findStructuralProblem('['.repeat(64) + ']'.repeat(64))).toBeUndefined()
    expect(findStructuralProblem('['.repeat(65))).toContain('deeper')
    expect(findStructuralProblem('{"a":'.repeat(65))).toContain('deeper')
    const object = (keys: number) => `{${Array.from({ length: keys }, (_, n) => `"k${n}":0`).join(',')}}`
    expect(findStructuralProblem(object(10_000))).toBeUndefined()
    expect(findStructuralProblem(object(10_001))).toContain('more than 10000 keys')
    const array = (entries: number) => JSON.stringify(Array(entries).fill({}))
    expect(findStructuralProblem(array(99_999))).toBeUndefined()
    expect(findStructuralProblem(array(100_000))).toContain('more than 100000 objects')
    const objects = (count: number) => `[${Array.from({ length: count }, () => object(1_000)).join(',')}]`
    expect(findStructuralProblem(objects(100))).toBeUndefined()
    expect(findStructuralProblem(objects(101))).toContain('more than 100000 keys together')
    const strings = (count: number) => JSON.stringify(Array(count).fill('a'))
    expect(findStructuralProblem(strings(200_000))).toBeUndefined()
    expect(findStructuralProblem(strings(200_001))).toContain('more than 200000 strings')
  })

  test('a value that a program printed has no problem; one of its members printed twice does', () => {
    const printed = fc.dictionary(anyText, fc.jsonValue({ maxDepth: 5 }), { minKeys: 1 })
    fc.assert(
      fc.property(printed, fc.nat(), (value, pick) => {
        const text = JSON.stringify(value)
        expect(findStructuralProblem(text)).toBeUndefined()
        const keys = Object.keys(value)
        const again = JSON.stringify(keys[pick % keys.length])
        expect(findStructuralProblem(`${text.slice(0, -1)},${again}:null}`)).toContain('same key twice')
      }),
    )
  })

  test('any text has an answer', () => {
    const units = fc.constantFrom('"', '\\', '{', '}', '[', ']', ':', ',', ' ', 'a', 'u')
    const near = fc.string({ unit: units, maxLength: 40 })
    fc.assert(
      fc.property(fc.oneof(near, anyText), (text) => void findStructuralProblem(text)),
      { numRuns: 1000 },
    )
  })
})

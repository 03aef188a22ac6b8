import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { maxPatternLength, parseEventPattern } from './index.ts'

const push = {
  version: '0',
  source: 'aws.ecr',
  'detail-type': 'ECR Image Action',
  account: '123456789012',
  resources: [],
  detail: { 'action-type': 'PUSH', 'repository-name': 'team/app', 'image-tag': 'v1.2', size: 300, none: null, ok: true, ip: '10.1.2.3', tags: ['a', 'b'] },
}

function matches(pattern: object, event: unknown = push): boolean {
  return parseEventPattern(JSON.stringify(pattern)).matches(event)
}

describe('a pattern', () => {
  it.each<[name: string, detail: object]>([
    ['a value', { 'action-type': ['PUSH'] }],
    ['one of several values', { 'action-type': ['DELETE', 'PUSH'] }],
    ['null', { none: [null] }],
    ['a boolean', { ok: [true] }],
    ['a number however it is written', { size: [300.0] }],
    ['one value of a list', { tags: ['b'] }],
    ['a prefix', { 'repository-name': [{ prefix: 'team/' }] }],
    ['a prefix without regard to case', { 'repository-name': [{ prefix: { 'equals-ignore-case': 'TEAM/' } }] }],
    ['a suffix', { 'image-tag': [{ suffix: '.2' }] }],
    ['a suffix without regard to case', { 'repository-name': [{ suffix: { 'equals-ignore-case': 'APP' } }] }],
    ['a text without regard to case', { 'action-type': [{ 'equals-ignore-case': 'push' }] }],
    ['a wildcard', { 'repository-name': [{ wildcard: 't*m/*p' }] }],
    ['a number in a range', { size: [{ numeric: ['>', 0, '<=', 300] }] }],
    ['a number', { size: [{ numeric: ['=', 300] }] }],
    ['an address in a network', { ip: [{ cidr: '10.0.0.0/8' }] }],
    ['what is there', { 'image-tag': [{ exists: true }] }],
    ['null, which is there', { none: [{ exists: true }] }],
    ['what is not there', { absent: [{ exists: false }], deep: { er: [{ exists: false }] } }],
    ['an object, which is no value', { absent: [{ exists: false }, 'x'] }],
    ['anything but a value', { 'action-type': [{ 'anything-but': 'DELETE' }] }],
    ['anything but some values', { 'action-type': [{ 'anything-but': ['DELETE', 'X'] }] }],
    ['anything but numbers', { size: [{ 'anything-but': [1, 2] }] }],
    ['anything but a prefix', { 'image-tag': [{ 'anything-but': { prefix: 'dev' } }] }],
    ['anything but some suffixes', { 'image-tag': [{ 'anything-but': { suffix: ['dev', '.3'] } }] }],
    ['anything but a wildcard', { 'repository-name': [{ 'anything-but': { wildcard: '*/lib' } }] }],
    ['anything but a text of whatever case', { 'action-type': [{ 'anything-but': { 'equals-ignore-case': ['delete'] } }] }],
    ['another value of a list than the one left out', { tags: [{ 'anything-but': 'a' }] }],
    ['one branch of $or', { $or: [{ size: [1] }, { 'action-type': ['PUSH'] }] }],
  ])('takes %s', (_, detail) => {
    expect(matches({ source: ['aws.ecr'], detail })).toBe(true)
  })

  it.each<[name: string, detail: object]>([
    ['another value', { 'action-type': ['DELETE'] }],
    ['a number as a text', { size: ['300'] }],
    ['what is not there', { absent: ['x'] }],
    ['another case', { 'action-type': ['push'] }],
    ['another prefix', { 'repository-name': [{ prefix: 'eam' }] }],
    ['a prefix of a number', { size: [{ prefix: '3' }] }],
    ['another wildcard', { 'repository-name': [{ wildcard: 't*x*p' }] }],
    ['a number at an open bound', { size: [{ numeric: ['>', 0, '<', 300] }] }],
    ['a text as a number', { 'image-tag': [{ numeric: ['>', 0] }] }],
    ['an address of another network', { ip: [{ cidr: '10.1.2.4/31' }] }],
    ['what is no address', { 'image-tag': [{ cidr: '0.0.0.0/0' }] }],
    ['an object as a value', { exists: [{ exists: true }] }],
    ['what is there as absent', { ok: [{ exists: false }] }],
    ['what is left out', { 'action-type': [{ 'anything-but': ['PUSH'] }] }],
    ['a prefix that is left out', { 'image-tag': [{ 'anything-but': { prefix: ['x', 'v1'] } }] }],
    ['nothing, as anything else', { absent: [{ 'anything-but': 'x' }] }],
    ['no branch of $or', { $or: [{ size: [1] }, { size: [2] }] }],
    ['all but one', { 'action-type': ['PUSH'], size: [301] }],
  ])('does not take %s', (_, detail) => {
    expect(matches({ source: ['aws.ecr'], detail })).toBe(false)
  })

  it('asks one object of a list for all that it says of it', () => {
    const pattern = { steps: { state: ['ARCHIVED'], at: ['noon'] } }
    expect(matches(pattern, { steps: [{ state: 'DEPRECATED', at: 'noon' }, { state: 'ARCHIVED', at: 'night' }] })).toBe(false)
    expect(matches(pattern, { steps: [{ state: 'DEPRECATED' }, [{ state: 'ARCHIVED', at: ['dawn', 'noon'] }]] })).toBe(true)
  })

  it('takes an empty list, and an object, for absent', () => {
    expect(matches({ resources: [{ exists: false }] })).toBe(true)
    expect(matches({ resources: [{ exists: true }] })).toBe(false)
    expect(matches({ detail: [{ exists: false }] })).toBe(true)
  })

  it('knows stars that stand for themselves, and networks of IPv6', () => {
    expect(matches({ a: [{ wildcard: String.raw`a\*b\\*` }] }, { a: String.raw`a*b\c` })).toBe(true)
    expect(matches({ a: [{ wildcard: String.raw`a\*b` }] }, { a: 'axb' })).toBe(false)
    expect(matches({ a: [{ cidr: '2001:db8::/32' }] }, { a: '2001:db8:1::7' })).toBe(true)
    expect(matches({ a: [{ cidr: '2001:db8::/32' }] }, { a: '10.0.0.1' })).toBe(false)
  })

  it('knows only what an event says itself, whatever the names', () => {
    expect(matches({ constructor: [{ exists: true }], toString: { name: [{ exists: true }] } }, {})).toBe(false)
    expect(parseEventPattern('{"__proto__":["x"]}').matches(JSON.parse('{"__proto__":"x"}'))).toBe(true)
    expect(parseEventPattern('{"__proto__":["x"]}').matches({})).toBe(false)
  })
})

describe('a pattern that is none', () => {
  it.each([
    ['nonsense', 'Filter is not valid JSON'],
    ['[]', 'Filter is not an object'],
    ['{}', 'Empty objects are not allowed'],
    ['{"a":{}}', 'Empty objects are not allowed at a'],
    ['{"a":"x"}', '"a" must be an object or an array at a'],
    ['{"a":[]}', 'Empty arrays are not allowed at a'],
    ['{"a":[["x"]]}', 'Match value must be String, number, true, false, or null at a'],
    ['{"a":[{}]}', 'Empty objects are not allowed at a'],
    ['{"a":[{"prefix":"x","suffix":"y"}]}', 'Only one key allowed in match expression at a'],
    ['{"a":[{"like":"x"}]}', 'Unrecognized match type like at a'],
    ['{"a":[{"prefix":7}]}', 'prefix match pattern must be a string at a'],
    ['{"a":[{"prefix":""}]}', 'Null prefix/suffix not allowed at a'],
    ['{"a":[{"exists":"true"}]}', 'exists match pattern must be either true or false. at a'],
    ['{"a":[{"wildcard":"a**b"}]}', 'Consecutive wildcard characters in wildcard match pattern at a'],
    ['{"a":[{"wildcard":"a\\\\b"}]}', 'Invalid escape character in wildcard match pattern at a'],
    ['{"a":[{"numeric":[">","1"]}]}', 'Value of numeric expression must be numeric at a'],
    ['{"a":[{"numeric":["<",1,">",0]}]}', 'Bad numeric range operator at a'],
    ['{"a":[{"numeric":[">",1,"<",1]}]}', 'Bottom must be less than top at a'],
    ['{"a":[{"numeric":["=",6e9]}]}', 'Value must be between -5.0E9 and 5.0E9, inclusive at a'],
    ['{"a":[{"cidr":"10.0.0.0/33"}]}', 'Malformed CIDR, one of the forms 10.0.0.0/8 and 2001:db8::/32 is needed at a'],
    ['{"a":[{"anything-but":["x",1]}]}', 'Inside anything but list, either all values are number or string, mixed type is not supported at a'],
    ['{"a":[{"anything-but":{"numeric":1}}]}', 'Unsupported anything-but pattern: numeric at a'],
    ['{"$or":[{"a":["x"]}]}', 'There must have at least 2 Objects in $or relationship at $or'],
    ['{"a":["x"],"a":["y"]}', 'An object in it has the same key twice.'],
  ])('%s is refused', (text, reason) => {
    expect(() => parseEventPattern(text)).toThrow(`Event pattern is not valid. Reason: ${reason}`)
  })

  it('is one of too many characters, or of too many combinations', () => {
    expect(() => parseEventPattern(JSON.stringify({ a: ['x'.repeat(maxPatternLength)] }))).toThrow('more than 4096 characters')
    const or = (key: string) => [0, 1, 2, 3, 4, 5].map((value) => ({ [key]: [value] }))
    const nested = { a: { $or: or('x') }, b: { $or: or('x') }, c: { $or: or('x') }, d: { $or: or('x') } }
    expect(() => parseEventPattern(JSON.stringify(nested))).toThrow('Rule is too complex')
  })
})

it('takes time that grows with the text, not with its powers, for a wildcard of many stars', () => {
  const pattern = parseEventPattern(JSON.stringify({ a: [{ wildcard: `${'a*'.repeat(1_000)}${'a'.repeat(1_000)}b` }] }))
  const started = performance.now()
  expect(pattern.matches({ a: 'a'.repeat(200_000) })).toBe(false)
  const steps = parseEventPattern(JSON.stringify({ a: [{ wildcard: `*${'a'.repeat(2_000)}b*` }] }))
  expect(steps.matches({ a: 'a'.repeat(200_000) })).toBe(false)
  // Some milliseconds; starting over at every character would be 400,000,000 steps, trying all ways more than there are.
  expect(performance.now() - started).toBeLessThan(2_000)
})

/* The same language once more, by what the documentation says, as slowly as it takes. */

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

function flattened(value: Json | undefined): Json[] {
  if (value === undefined) return []
  return Array.isArray(value) ? value.flatMap((each) => flattened(each)) : [value]
}

const isValue = (value: Json): boolean => value === null || typeof value !== 'object'
const isRecord = (value: Json): value is { [key: string]: Json } => typeof value === 'object' && value !== null && !Array.isArray(value)

function plainly(pattern: { [key: string]: Json }, event: { [key: string]: Json }): boolean {
  return Object.entries(pattern).every(([key, wanted]) => {
    if (key === '$or') return (wanted as { [key: string]: Json }[]).some((branch) => plainly(branch, event))
    const found = Object.hasOwn(event, key) ? flattened(event[key]) : []
    if (Array.isArray(wanted)) return wanted.some((alternative) => allows(alternative, found.filter((each) => isValue(each))))
    const records = found.filter((each) => isRecord(each))
    return (records.length === 0 ? [{}] : records).some((each) => plainly(wanted as { [key: string]: Json }, each))
  })
}

function allows(alternative: Json, values: Json[]): boolean {
  if (isRecord(alternative) && 'exists' in alternative) return alternative['exists'] === values.length > 0
  return values.some((value) => isAllowed(alternative, value))
}

function isAllowed(alternative: Json, value: Json): boolean {
  if (!isRecord(alternative)) return alternative === value
  const [[operator, operand]] = Object.entries(alternative) as [[string, Json]]
  if (operator === 'anything-but') {
    if (isRecord(operand)) {
      const [[nested, given]] = Object.entries(operand) as [[string, Json]]
      return !flattened(given).some((each) => isAllowed({ [nested]: each }, value))
    }
    return !flattened(operand).includes(value)
  }
  if (operator === 'numeric') {
    if (typeof value !== 'number') return false
    const terms = operand as (string | number)[]
    const holds = (comparison: unknown, bound: unknown): boolean => {
      if (comparison === '=') return value === bound
      const [a, b] = [value, bound as number]
      return comparison === '<' ? a < b : comparison === '<=' ? a <= b : comparison === '>' ? a > b : a >= b
    }
    return terms.every((term, index) => index % 2 === 1 || holds(term, terms[index + 1]))
  }
  if (typeof value !== 'string') return false
  const ignoresCase = isRecord(operand)
  const text = (ignoresCase ? operand['equals-ignore-case'] : operand) as string
  const [a, b] = ignoresCase ? [value.toLowerCase(), text.toLowerCase()] : [value, text]
  if (operator === 'prefix') return a.slice(0, b.length) === b
  if (operator === 'suffix') return a.length >= b.length && a.slice(a.length - b.length) === b
  if (operator === 'equals-ignore-case') return value.toLowerCase() === text.toLowerCase()
  const source = text.replaceAll(/\\(.)|\*|[^\\*]/gu, (part: string, escaped?: string) => (part === '*' ? '.*' : (escaped ?? part).replaceAll(/[$()*+./?[\\\]^{|}]/gu, String.raw`\$&`)))
  return new RegExp(`^${source}$`, 'su').test(value)
}

describe('against a matcher that is as simple as can be', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'A', '*', '\\'), maxLength: 4 })
  const some = word.filter((text) => text !== '')
  const number = fc.integer({ min: -2, max: 2 })
  const value = fc.oneof(word, number, fc.boolean(), fc.constant(null))
  const key = fc.constantFrom('a', 'b', '__proto__')
  const record = <T>(element: fc.Arbitrary<T>, minKeys: number): fc.Arbitrary<{ [key: string]: T }> =>
    fc.uniqueArray(fc.tuple(key, element), { selector: ([name]) => name, minLength: minKeys, maxLength: 3 }).map((entries) => Object.fromEntries(entries))
  const { event } = fc.letrec<{ event: Json; json: Json }>((tie) => ({
    json: fc.oneof({ depthSize: 'small' }, value, fc.array(tie('json'), { maxLength: 3 }), record(tie('json'), 0)),
    event: record(tie('json'), 0),
  }))
  const wildcard = word.map((text) => text.replaceAll(/\*+/gu, '*').replaceAll('\\', '\\\\'))
  const filter: fc.Arbitrary<Json> = fc.oneof(
    value,
    fc.record({ prefix: fc.oneof(some, some.map((text) => ({ 'equals-ignore-case': text }))) }),
    fc.record({ suffix: fc.oneof(some, some.map((text) => ({ 'equals-ignore-case': text }))) }),
    fc.record({ 'equals-ignore-case': word }),
    fc.record({ wildcard }),
    fc.record({ exists: fc.boolean() }),
    fc.record({ numeric: fc.oneof(fc.tuple(fc.constantFrom('=', '<', '<=', '>', '>='), number), fc.tuple(fc.constantFrom('>', '>='), fc.constantFrom(-2, -1), fc.constantFrom('<', '<='), fc.constantFrom(0, 1))) }) as fc.Arbitrary<Json>,
    fc.record({
      'anything-but': fc.oneof(
        fc.array(word, { minLength: 1, maxLength: 2 }),
        fc.array(number, { minLength: 1, maxLength: 2 }),
        word,
        fc.record({ prefix: fc.array(some, { minLength: 1, maxLength: 2 }) }),
        fc.record({ suffix: some }),
        fc.record({ wildcard: fc.array(wildcard, { minLength: 1, maxLength: 2 }) }),
        fc.record({ 'equals-ignore-case': word }),
      ),
    }) as fc.Arbitrary<Json>,
  )
  const field = fc.array(filter, { minLength: 1, maxLength: 2 })
  type Pattern = { [key: string]: Json }
  const withOr = (members: fc.Arbitrary<Pattern>, branch: fc.Arbitrary<Pattern>): fc.Arbitrary<Pattern> =>
    fc.tuple(members, fc.option(fc.array(branch, { minLength: 2, maxLength: 3 }), { nil: undefined, freq: 1 })).map(([rest, or]) => (or === undefined ? rest : { ...rest, $or: or }))
  const flat = record(field, 1)
  const deeper = withOr(record(fc.oneof({ arbitrary: field, weight: 3 }, { arbitrary: flat, weight: 1 }) as fc.Arbitrary<Json>, 1), flat)
  const pattern = fc.oneof(flat, withOr(record(fc.oneof(field, deeper) as fc.Arbitrary<Json>, 1), fc.oneof(flat, deeper)))

  it('answers the same', () => {
    let taken = 0
    fc.assert(
      fc.property(pattern, event, (written, given) => {
        const expected = plainly(written, given as { [key: string]: Json })
        if (expected) taken++
        expect(parseEventPattern(JSON.stringify(written)).matches(given)).toBe(expected)
      }),
      { numRuns: 5_000, seed: 7 },
    )
    expect(taken).toBeGreaterThan(200)
  })

  it('refuses or takes any JSON, and throws nothing else', () => {
    fc.assert(
      fc.property(fc.json(), event, (text, given) => {
        try {
          expect(typeof parseEventPattern(text).matches(given)).toBe('boolean')
        } catch (error) {
          expect(error).toMatchObject({ code: 'event-pattern-invalid' })
        }
      }),
      { numRuns: 1_000, seed: 7 },
    )
  })
})

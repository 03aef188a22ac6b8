import { describe, expect, test } from 'vitest'
import { isPlatformError } from '../../internal/platform-error.ts'
import { parseEcrPolicy } from './ecr-grammar.ts'

const untagged = { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 30 }
const tagged = { tagStatus: 'tagged', tagPrefixList: ['prod'], countType: 'imageCountMoreThan', countNumber: 3 }
const any = { tagStatus: 'any', countType: 'imageCountMoreThan', countNumber: 3 }
const archived = { tagStatus: 'any', storageClass: 'archive', countType: 'sinceImageTransitioned', countUnit: 'days', countNumber: 365 }
const expire = { type: 'expire' }
const transition = { type: 'transition', targetStorageClass: 'archive' }

function rule(rulePriority: number, selection: object, action: object = expire) {
  return { rulePriority, description: 'long enough a text that the whole is never too short for what ECR wants to have', selection, action }
}

/** What ECR says in detail, or nothing when it takes the policy. */
function refusal(document: unknown, options = { strict: true }): string | undefined {
  const text = typeof document === 'string' ? document : JSON.stringify(document)
  try {
    parseEcrPolicy(text, { ...options, checkLength: false })
    return undefined
  } catch (error) {
    if (!isPlatformError(error, 'policy-invalid')) throw error
    expect(error.message.startsWith(`Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: ${String(error.detail['reason'])}'`)).toBe(true)
    return String(error.detail['reason'])
  }
}

function refusalOf(selection: object, action: object = expire): string | undefined {
  return refusal({ rules: [rule(1, selection, action)] })
}

const noSchema = 'instance failed to match exactly one schema (matched 0 out of 2)'

describe('what is no policy', () => {
  test.each(['', 'x', '[]', 'null', '"rules"', '{"rules":[]', '{"rules":[],"rules":[]}', `${'['.repeat(90)}${']'.repeat(90)}`])('%j', (text) => {
    expect(refusal(text)).toBe('Could not map policyString into LifecyclePolicy.')
  })
})

describe("the schema refuses in ECR's words", () => {
  const missing = (...names: string[]) => `object has missing required properties (${JSON.stringify(names)})`
  const foreign = (...names: string[]) => `object instance has properties which are not allowed by the schema: (${JSON.stringify(names)})`
  test.each([
    [{}, missing('rules')],
    [{ rules: [rule(1, any)], x: 1 }, foreign('x')],
    [{ rules: {} }, 'instance type (object) does not match any allowed primitive type (allowed: ["array"])'],
    [{ rules: [] }, 'array is too short: must have at least 1 elements but instance has 0 elements'],
    [{ rules: ['x'] }, 'instance type (string) does not match any allowed primitive type (allowed: ["object"])'],
    [{ rules: [{ rulePriority: 1, action: expire }] }, missing('selection')],
    [{ rules: [{ rulePriority: 1 }] }, missing('action', 'selection')],
    [{ rules: [{ ...rule(1, any), b: 1, a: 1 }] }, foreign('a', 'b')],
    [{ rules: [rule(1, any, {})] }, missing('type')],
    [{ rules: [rule(1, { ...any, days: 3 })] }, foreign('days')],
    [{ rules: [rule(0, any)] }, 'numeric instance is lower than the required minimum (minimum: 1, found: 0)'],
    [{ rules: [rule(1.5, any)] }, 'instance type (number) does not match any allowed primitive type (allowed: ["integer"])'],
    [{ rules: [{ ...rule(1, any), rulePriority: '1' }] }, 'instance type (string) does not match any allowed primitive type (allowed: ["integer"])'],
    [{ rules: [{ ...rule(1, any), description: null }] }, 'instance type (null) does not match any allowed primitive type (allowed: ["string"])'],
    [{ rules: [rule(1, { ...any, countNumber: 0 })] }, 'numeric instance is lower than the required minimum (minimum: 1, found: 0)'],
    [{ rules: [rule(1, { ...any, countNumber: 1e12 })] }, 'numeric instance is greater than the required maximum (maximum: 2147483647, found: 1000000000000)'],
    [{ rules: [rule(1, { ...any, tagStatus: 'x' })] }, 'instance value (x) not found in enum :(possible values: ["any","tagged","untagged"])'],
    [{ rules: [rule(1, { ...any, storageClass: 'cold' })] }, 'instance value (cold) not found in enum :(possible values: ["archive","standard"])'],
    [{ rules: [rule(1, { ...untagged, countUnit: 'hours' })] }, 'instance value (hours) not found in enum :(possible values: ["days"])'],
    [{ rules: [rule(1, any, { type: 'keep' })] }, 'instance value (keep) not found in enum :(possible values: ["expire","transition"])'],
    [{ rules: [rule(1, { ...tagged, tagPrefixList: 'prod' })] }, 'instance type (string) does not match any allowed primitive type (allowed: ["array"])'],
    [{ rules: [rule(1, { ...tagged, tagPrefixList: [''] })] }, 'string "" is too short (length: 0, required minimum: 1)'],
  ])('%j', (document, reason) => {
    expect(refusal(document)).toBe(reason)
  })

  test('a rule too many', () => {
    const rules = (count: number) => Array.from({ length: count }, (_, index) => rule(index + 1, { ...tagged, tagPrefixList: [`p${index}`] }))
    expect(refusal({ rules: rules(50) })).toBeUndefined()
    expect(refusal({ rules: rules(51) })).toBe('array is too long: must have at most 50 elements but instance has 51 elements')
  })

  test.each([
    ['a count of an unknown type', { ...any, countType: 'olderThan' }, expire],
    ['a unit of a count', { ...any, countUnit: 'days' }, expire],
    ['an age without a unit', { ...untagged, countUnit: undefined }, expire],
    ['deletion by pull', { ...untagged, countType: 'sinceImagePulled' }, expire],
    ['an archive age of standard images', { ...archived, storageClass: 'standard' }, expire],
    ['an archive age without a storage class', { ...archived, storageClass: undefined }, expire],
    ['a push age of archived images', { ...untagged, storageClass: 'archive' }, expire],
    ['archiving archived images', archived, transition],
    ['a transition without a target', any, { type: 'transition' }],
    ['a transition elsewhere', any, { type: 'transition', targetStorageClass: 'standard' }],
    ['an expiry with a target', any, { type: 'expire', targetStorageClass: 'archive' }],
    ['an expiry with a null target', any, { type: 'expire', targetStorageClass: null }],
  ])('%s fits no schema', (_what, selection, action) => {
    expect(refusalOf(selection, action)).toBe(noSchema)
  })

  test.each([
    ['a count', any, expire],
    ['a count that archives', any, transition],
    ['an age', untagged, expire],
    ['an age that archives', untagged, transition],
    ['a pull that archives', { ...untagged, countType: 'sinceImagePulled' }, transition],
    ['an end of what is archived', archived, expire],
    ['the standard class by its name', { ...any, storageClass: 'standard' }, expire],
    ['four wildcards', { ...tagged, tagPrefixList: undefined, tagPatternList: ['*a*b*c*'] }, expire],
  ])('%s is taken', (_what, selection, action) => {
    expect(refusalOf(selection, action)).toBeUndefined()
  })

  test('five wildcards', () => {
    expect(refusalOf({ ...tagged, tagPrefixList: undefined, tagPatternList: ['*a*b*c*d*'] })).toMatch(/at most 4 wildcards/u)
  })
})

describe('rules beside each other', () => {
  test.each([
    ['two of one priority', [rule(1, tagged), rule(1, any)], /^rulePriority must be unique/u],
    ['two of the same prefixes', [rule(1, { ...tagged, tagPrefixList: ['a', 'b'] }), rule(2, { ...tagged, tagPrefixList: ['b', 'a'] })], /unique set of prefixes/u],
    ['two for untagged images', [rule(1, untagged), rule(2, { ...untagged, countNumber: 3 })], /^Only one rule can select Untagged images per storage class\.$/u],
    ['`any` before the last', [rule(1, any), rule(2, tagged)], /^Rule for tagStatus=ANY must have the lowest priority per storage class$/u],
    ['`any` twice', [rule(1, any), rule(2, { ...any, countNumber: 9 })], /^Rule for tagStatus=ANY must have the lowest priority per storage class$/u],
    ['tagged without a list', [rule(1, { ...tagged, tagPrefixList: [] })], /^Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED\.$/u],
    ['untagged with a list', [rule(1, { ...untagged, tagPatternList: ['a*'] })], /only be used when tagStatus=TAGGED/u],
    ['both lists', [rule(1, { ...tagged, tagPatternList: ['a*'] })], /^Only one of/u],
  ])('%s', (_what, rules, reason) => {
    expect(refusal({ rules })).toMatch(reason)
  })

  test('`any` and untagged once for each storage class, in whatever order they are written', () => {
    expect(refusal({ rules: [rule(9, any), rule(8, archived), rule(2, untagged), rule(1, { ...archived, tagStatus: 'untagged' })] })).toBeUndefined()
  })
})

describe('the archive', () => {
  const short = { ...archived, countNumber: 89 }

  test('keeps for ninety days in strict mode', () => {
    expect(refusalOf(short)).toMatch(/^countNumber must be at least 90 /u)
    expect(refusalOf({ ...archived, countNumber: 90 })).toBeUndefined()
  })

  test('keeps for as long as is configured', () => {
    const text = JSON.stringify({ rules: [rule(1, short)] })
    expect(() => parseEcrPolicy(text, { strict: false })).not.toThrow()
    expect(() => parseEcrPolicy(text, { strict: false, minimumArchiveDays: 90 })).toThrow(/at least 90/u)
    expect(() => parseEcrPolicy(text, { strict: true, minimumArchiveDays: 10 })).not.toThrow()
  })
})

describe('the text', () => {
  const text = JSON.stringify({ rules: [{ ...rule(2, any), description: 'x' }, { ...rule(1, tagged), description: 'x' }] }, undefined, 2)

  test('is answered without white space, in the order in which it was written', () => {
    expect(parseEcrPolicy(text, { strict: true }).text).toBe(JSON.stringify(JSON.parse(text)))
  })

  test('is read again as it was answered', () => {
    const once = parseEcrPolicy(text, { strict: true })
    const twice = parseEcrPolicy(once.text, { strict: true, checkLength: false })
    expect(twice.text).toBe(once.text)
    expect(JSON.stringify(twice.policy)).toBe(JSON.stringify(once.policy))
  })

  test('has from 100 to 30,720 characters', () => {
    const padded = (length: number) => `{"rules":[${JSON.stringify(rule(1, any)).replace('long', 'l'.repeat(length))}]}`
    const bare = padded(0).length
    expect(() => parseEcrPolicy(padded(30_720 - bare), { strict: true })).not.toThrow()
    expect(() => parseEcrPolicy(padded(30_721 - bare), { strict: true })).toThrow(
      "Invalid parameter at 'lifecyclePolicyText' failed to satisfy constraint: 'Member must have length less than or equal to 30720'",
    )
    expect(() => parseEcrPolicy('x'.repeat(99), { strict: true })).toThrow(
      "Invalid parameter at 'lifecyclePolicyText' failed to satisfy constraint: 'Member must have length greater than or equal to 100'",
    )
    expect(() => parseEcrPolicy('x'.repeat(100), { strict: true })).toThrow(/Could not map/u)
  })
})

describe('the form that examples copy from each other', () => {
  const copied = {
    rules: [
      {
        rulePriority: 1,
        description: 'Expire untagged images older than 30 days',
        action: { type: 'expire' },
        filter: { tagStatus: 'UNTAGGED', lastModified: { days: 30 } },
      },
    ],
  }

  test('is read as what it means', () => {
    const { text, notes } = parseEcrPolicy(JSON.stringify(copied), { strict: false })
    expect(text).toBe(
      '{"rules":[{"rulePriority":1,"description":"Expire untagged images older than 30 days","selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":30},"action":{"type":"expire"}}]}',
    )
    expect(notes).toHaveLength(1)
    expect(parseEcrPolicy(text, { strict: true }).notes).toEqual([])
  })

  test("has ECR's refusal in strict mode, and a hint behind it", () => {
    expect(refusal(copied)).toBe('object has missing required properties (["selection"])')
    expect(() => parseEcrPolicy(JSON.stringify(copied), { strict: true })).toThrow(
      /^Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: object has missing required properties \(\["selection"\]\)' \(Hint: .*\)$/u,
    )
  })

  test('is not guessed at where it says too little or something else', () => {
    const withFilter = (filter: object) => refusal({ rules: [{ ...copied.rules[0], filter }] }, { strict: false })
    expect(withFilter({ tagStatus: 'UNTAGGED' })).toBe('object has missing required properties (["countNumber","countType"])')
    expect(withFilter({ lastModified: { days: 30 } })).toBe('object has missing required properties (["tagStatus"])')
    expect(withFilter({ tagStatus: 'TAGGED', lastModified: { days: 30 } })).toMatch(/^Must specify tagPrefixList/u)
    expect(withFilter({ tagStatus: 'UNTAGGED', lastModified: { weeks: 3 } })).toMatch(/missing required properties/u)
    expect(withFilter({ tagStatus: 'UNTAGGED', lastModified: { days: 0 } })).toMatch(/lower than the required minimum/u)
    expect(withFilter({ tagStatus: 'TAGGED', tagPrefixList: ['dev'], lastModified: { days: 30 } })).toBeUndefined()
  })

  test('beside a selection is refused as ECR does', () => {
    expect(refusal({ rules: [{ ...rule(1, any), filter: {} }] }, { strict: false })).toBe('object instance has properties which are not allowed by the schema: (["filter"])')
  })
})

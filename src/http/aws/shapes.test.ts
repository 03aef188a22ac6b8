import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AwsError } from './errors.ts'
import {
  blob,
  boolean,
  checkInput,
  enumeration,
  integer,
  invalidParameter,
  list,
  map,
  pattern,
  required,
  simplePattern,
  string,
  structure,
  timestamp,
  validationError,
  type Shape,
} from './shapes.ts'

const shape = structure({
  repositoryName: required(string({ min: 2, max: 256, pattern: simplePattern(/^[a-z]+$/, '[a-z]+') })),
  maxResults: integer({ min: 1, max: 1000 }),
  mutability: enumeration(['MUTABLE', 'IMMUTABLE']),
  force: boolean(),
  since: timestamp(),
  part: blob({ max: 4 }),
  imageIds: list(structure({ imageTag: string({ min: 1 }) }), { min: 1, max: 2 }),
  labels: map(string({ max: 3 }), string()),
})

function constraintsOf(value: unknown, of: Shape = shape): string[] {
  return checkInput(of, value).violations.map(({ field, constraint }) => `${field}: ${constraint}`)
}

function typeErrorOf(value: unknown): string {
  try {
    checkInput(shape, value)
  } catch (error) {
    if (error instanceof AwsError) return `${error.type}: ${error.message}`
    throw error
  }
  return 'none'
}

describe('a checked input', () => {
  it('has what was sent, in the types that handlers take', () => {
    const { input, violations } = checkInput(shape, {
      repositoryName: 'app',
      maxResults: 10,
      mutability: 'IMMUTABLE',
      force: false,
      since: 1_790_856_000.123,
      part: 'AQID',
      imageIds: [{ imageTag: 'v1' }],
      labels: { a: 'b' },
    })

    expect(violations).toEqual([])
    expect(input).toEqual({
      repositoryName: 'app',
      maxResults: 10,
      mutability: 'IMMUTABLE',
      force: false,
      since: new Date(1_790_856_000_123),
      part: Buffer.of(1, 2, 3),
      imageIds: [{ imageTag: 'v1' }],
      labels: { a: 'b' },
    })
  })

  it('ignores unknown members and takes null for absent', () => {
    const { input } = checkInput(shape, { repositoryName: 'app', maxResults: null, color: 'red' })

    expect(Object.keys(input)).toEqual(['repositoryName'])
  })

  it('cannot reach a prototype', () => {
    const sent: unknown = JSON.parse('{"repositoryName":"app","__proto__":{"force":true},"labels":{"__proto__":"x"}}')
    const wide = structure({ repositoryName: string(), labels: map(string(), string()), constructor: string() })

    const { input, violations } = checkInput(wide, sent)

    expect(violations).toEqual([])
    expect(input.constructor).toBe(Object)
    expect(Object.entries(input.labels ?? {})).toEqual([['__proto__', 'x']])
    expect(({} as Record<string, unknown>)['force']).toBeUndefined()
  })
})

describe('broken constraints', () => {
  it.each([
    [{}, 'repositoryName: Member must not be null'],
    [{ repositoryName: 'a' }, 'repositoryName: Member must have length greater than or equal to 2'],
    [{ repositoryName: 'a'.repeat(257) }, 'repositoryName: Member must have length less than or equal to 256'],
    [{ repositoryName: 'App' }, "repositoryName: must satisfy regular expression '[a-z]+'"],
    [{ repositoryName: 'app', maxResults: 0 }, 'maxResults: Member must have value greater than or equal to 1'],
    [{ repositoryName: 'app', maxResults: 1001 }, 'maxResults: Member must have value less than or equal to 1000'],
    [{ repositoryName: 'app', mutability: 'NONE' }, 'mutability: Member must satisfy enum value set: [MUTABLE, IMMUTABLE]'],
    [{ repositoryName: 'app', imageIds: [] }, 'imageIds: Member must have length greater than or equal to 1'],
    [{ repositoryName: 'app', imageIds: [{}, {}, {}] }, 'imageIds: Member must have length less than or equal to 2'],
    [{ repositoryName: 'app', imageIds: [{}, { imageTag: '' }] }, 'imageIds.2.member.imageTag: Member must have length greater than or equal to 1'],
    [{ repositoryName: 'app', imageIds: [null] }, 'imageIds.1.member: Member must not be null'],
    [{ repositoryName: 'app', part: 'AAAAAAAA' }, 'part: Member must have length less than or equal to 4'],
    [{ repositoryName: 'app', labels: { long: 'x' } }, 'labels.key: Member must have length less than or equal to 3'],
    [{ repositoryName: 'app', labels: { a: null } }, 'labels.a.member: Member must not be null'],
    [{ repositoryName: 'app', labels: { a: 'x\0' } }, 'labels.a.member: Member must not contain the null character'],
  ])('%j', (value, violation) => {
    expect(constraintsOf(value)).toEqual([violation])
  })

  it('are all collected, up to a bound', () => {
    expect(constraintsOf({ repositoryName: 'a', maxResults: 0, force: true })).toHaveLength(2)
    expect(constraintsOf(Array.from({ length: 1000 }, () => ''), list(string({ min: 1 })))).toHaveLength(20)
  })

  it('count code points, as AWS does', () => {
    const two = string({ min: 2, max: 2 })

    expect(constraintsOf('😀😀', two)).toEqual([])
    expect(constraintsOf('😀', two)).toHaveLength(1)
    expect(constraintsOf('😀😀😀', two)).toHaveLength(1)
  })

  it('are worded as ECR does', () => {
    const one = checkInput(shape, { repositoryName: 'a' }).violations
    const two = checkInput(shape, { repositoryName: 'a', maxResults: 0 }).violations

    expect(invalidParameter(one)).toMatchObject({
      type: 'InvalidParameterException',
      status: 400,
      message: "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'Member must have length greater than or equal to 2'",
    })
    expect(invalidParameter(two).message).toMatch(/^2 validation errors detected: .*'repositoryName'.*; 'maxResults'/)
    expect(validationError('ValidationError')(one)).toMatchObject({
      type: 'ValidationError',
      message: "1 validation error detected: Value at 'repositoryName' failed to satisfy constraint: Member must have length greater than or equal to 2",
    })
  })
})

describe('values of another type', () => {
  it.each([
    [{ repositoryName: 1 }, "NUMBER_VALUE cannot be converted to String at 'repositoryName'"],
    [{ repositoryName: true }, "TRUE_VALUE cannot be converted to String at 'repositoryName'"],
    [{ repositoryName: ['app'] }, "Start of list found where not expected at 'repositoryName'"],
    [{ repositoryName: {} }, "Start of structure or map found where not expected at 'repositoryName'"],
    [{ repositoryName: 'app', maxResults: '1' }, "STRING_VALUE cannot be converted to Integer at 'maxResults'"],
    [{ repositoryName: 'app', maxResults: 1.5 }, "The number at 'maxResults' is not an integer."],
    [{ repositoryName: 'app', maxResults: 2 ** 53 }, "The number at 'maxResults' is not an integer."],
    [{ repositoryName: 'app', force: 'true' }, "STRING_VALUE cannot be converted to Boolean at 'force'"],
    [{ repositoryName: 'app', since: 1e300 }, "NUMBER_VALUE cannot be converted to Timestamp at 'since'"],
    [{ repositoryName: 'app', imageIds: {} }, "Start of structure or map found where not expected at 'imageIds'"],
    [{ repositoryName: 'app', labels: [] }, "Start of list found where not expected at 'labels'"],
    [{ repositoryName: '\ud800x' }, "The string at 'repositoryName' is not valid Unicode."],
    [[], 'Start of list found where not expected'],
    [null, 'NULL_VALUE cannot be converted to Structure'],
  ])('%j', (value, message) => {
    expect(typeErrorOf(value)).toBe(`SerializationException: ${message}`)
  })

  it.each(['A', 'AQI', 'AQ=I', 'AQ==AQ==', 'A*ID', 'AQI_', ' AQI', 'AQID\n'])('%j is no base64', (text) => {
    expect(typeErrorOf({ repositoryName: 'app', part: text })).toMatch(/not base64/)
  })

  it('takes every base64 there is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
        expect(checkInput(blob(), Buffer.from(bytes).toString('base64')).input).toEqual(Buffer.from(bytes))
      }),
    )
  })

  it('never throws anything but a refusal', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        typeErrorOf(value)
        typeErrorOf({ repositoryName: value, imageIds: value, labels: value })
      }),
    )
  })
})

describe('patterns', () => {
  it('takes no expression that may be slow', () => {
    expect(() => simplePattern(/^(a+)+$/)).toThrow()
    expect(() => simplePattern(/^(a|b){2,}$/)).toThrow()
    expect(() => simplePattern(/^(?=a)a$/)).toThrow()
    expect(() => simplePattern(/^(a)\1$/)).toThrow()
    expect(() => simplePattern(/^a$/g)).toThrow()
    expect(simplePattern(/^[()*+]+:\(+(a|b)$/).matches('(*:((b')).toBe(true)
  })

  it('can be checked by a function', () => {
    const even = string({ pattern: pattern('(..)*', (text) => text.length % 2 === 0) })

    expect(constraintsOf('abc', even)).toEqual([": must satisfy regular expression '(..)*'"])
  })
})

import { AwsError } from './errors.ts'

declare const inputType: unique symbol

/** How a text is checked, and what a refusal shows as the rule. */
export interface Pattern {
  /** The model's regular expression, for the message only: it may be one that must never be run. */
  readonly source: string
  /** Must take time linear in the text. It is called only with texts within the shape's length bounds. */
  readonly matches: (text: string) => boolean
}

interface LengthBounds {
  readonly min?: number
  readonly max?: number
}

interface StringForm extends LengthBounds {
  readonly kind: 'string'
  readonly pattern?: Pattern
  readonly values?: readonly string[]
  /** Takes what is no Unicode and null characters: whoever has it sees to what becomes of them. */
  readonly anyText?: true
}

type Form =
  | StringForm
  | (LengthBounds & { readonly kind: 'integer' })
  | { readonly kind: 'double' }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'timestamp' }
  | (LengthBounds & { readonly kind: 'blob' })
  | (LengthBounds & { readonly kind: 'list'; readonly element: Shape })
  | (LengthBounds & { readonly kind: 'map'; readonly key: Shape<string>; readonly value: Shape })
  | { readonly kind: 'structure'; readonly members: Readonly<Record<string, Member>> }

/** A part of an AWS model: what may be sent, as data. `T` is what a checked input becomes. */
export type Shape<T = unknown> = Form & { readonly [inputType]?: T }

/** A shape inside a structure. */
export type Member<T = unknown> = Shape<T> & { readonly required?: true }

/** The type of a shape's checked input. */
export type Input<S> = S extends { readonly [inputType]?: infer T } ? T : never

type Structure<M> = {
  readonly [K in keyof M as M[K] extends { readonly required: true } ? K : never]: Input<M[K]>
} & {
  readonly [K in keyof M as M[K] extends { readonly required: true } ? never : K]?: Input<M[K]> | undefined
}

/** Lengths are in Unicode code points, as in AWS's models. */
export function string(bounds: LengthBounds & { pattern?: Pattern; anyText?: true } = {}): Shape<string> {
  return { kind: 'string', ...bounds }
}

export function enumeration<const V extends string>(values: readonly V[]): Shape<V> {
  return { kind: 'string', values }
}

/** A whole number that is exact in a double; `min` and `max` bound its value. */
export function integer(bounds: LengthBounds = {}): Shape<number> {
  return { kind: 'integer', ...bounds }
}

/** Any number, also what is none: whoever takes it has to look. */
export function double(): Shape<number> {
  return { kind: 'double' }
}

export function boolean(): Shape<boolean> {
  return { kind: 'boolean' }
}

/** In JSON a number of seconds since the epoch, in a form an ISO 8601 text. */
export function timestamp(): Shape<Date> {
  return { kind: 'timestamp' }
}

/** Bytes, base64 on the wire; lengths are in bytes. */
export function blob(bounds: LengthBounds = {}): Shape<Buffer> {
  return { kind: 'blob', ...bounds }
}

export function list<T>(element: Shape<T>, bounds: LengthBounds = {}): Shape<readonly T[]> {
  return { kind: 'list', element, ...bounds }
}

/** A checked map has no prototype: any key is only a key. */
export function map<T>(
  key: Shape<string>,
  value: Shape<T>,
  bounds: LengthBounds = {},
): Shape<Readonly<Record<string, T>>> {
  return { kind: 'map', key, value, ...bounds }
}

/** Members the model does not have are ignored, as AWS does. */
export function structure<M extends Readonly<Record<string, Member>>>(members: M): Shape<Structure<M>> {
  return { kind: 'structure', members }
}

/** Marks a structure's member as one that must be sent. */
export function required<T>(shape: Shape<T>): Shape<T> & { readonly required: true } {
  return { ...shape, required: true }
}

/** A pattern checked by a function, where the model's expression can take exponential time or another rule is meant. */
export function pattern(source: string, matches: (text: string) => boolean): Pattern {
  return { source, matches }
}

/**
 * A pattern checked by an expression that has no repeated group, the common cause of exponential time. Write
 * it anchored. `source` is what a refusal shows, where AWS shows something else.
 * @throws Error where the expression repeats a group, looks around or refers back: use `pattern` then.
 */
export function simplePattern(expression: RegExp, source = expression.source): Pattern {
  const withoutClasses = expression.source.replace(/\\./g, 'x').replace(/\[[^\]]*\]/g, 'x')
  const risky = /\)[*+{]|\(\?[=!<]/.test(withoutClasses) || /\\[1-9k]/.test(expression.source)
  if (risky || expression.flags.includes('g') || expression.flags.includes('y')) {
    throw new Error(`The pattern ${expression.source} is not simple enough to be checked by an expression.`)
  }
  return { source, matches: (text) => expression.test(text) }
}

/** One broken constraint, as AWS words it. */
export interface Violation {
  /** Where, as AWS writes it: `tags.1.member.Key`. Empty for the input as a whole. */
  readonly field: string
  readonly constraint: string
}

/** More would only make the answer long; a body may hold a million wrong elements. */
const mostViolations = 20

/** AWS's map keys are at most tag keys; of a longer one the beginning tells which it is. */
const longestKeyInPath = 128

/**
 * Checks a decoded input against its shape and turns it into what a handler takes: blobs are bytes,
 * timestamps dates, null members absent, unknown members dropped.
 *
 * @throws AwsError SerializationException where a value has the wrong type altogether.
 */
export function checkInput<T>(
  shape: Shape<T>,
  value: unknown,
): { readonly input: T; readonly violations: readonly Violation[] } {
  const violations: Violation[] = []
  return { input: check(shape, value, '', violations) as T, violations }
}

/** How ECR answers broken constraints. */
export function invalidParameter(violations: readonly Violation[]): AwsError {
  const [first] = violations
  if (first !== undefined && violations.length === 1) {
    return new AwsError(
      'InvalidParameterException',
      `Invalid parameter at '${first.field}' failed to satisfy constraint: '${first.constraint}'`,
    )
  }
  const each = violations.map(({ field, constraint }) => `'${field}' failed to satisfy constraint: '${constraint}'`)
  return new AwsError(
    'InvalidParameterException',
    `${violations.length} validation errors detected: Invalid parameter at ${each.join('; ')}`,
  )
}

/** How most other AWS services answer broken constraints. Values are left out: they may be secrets. */
export function validationError(type: 'ValidationException' | 'ValidationError' | 'InvalidParameterException'): (violations: readonly Violation[]) => AwsError {
  return (violations) => {
    const count = `${violations.length} validation error${violations.length === 1 ? '' : 's'} detected`
    const each = violations.map(({ field, constraint }) => `Value at '${field}' failed to satisfy constraint: ${constraint}`)
    return new AwsError(type, `${count}: ${each.join('; ')}`)
  }
}

/** The error of a request body that does not have the form its operation takes. */
export function serializationError(message: string): AwsError {
  return new AwsError('SerializationException', message)
}

/** As JSON has them, which has no numbers for these. https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html */
const specialNumbers: Readonly<Record<string, number | undefined>> = { NaN: Number.NaN, Infinity: Number.POSITIVE_INFINITY, '-Infinity': Number.NEGATIVE_INFINITY }

function check(shape: Shape, value: unknown, path: string, violations: Violation[]): unknown {
  switch (shape.kind) {
    case 'string':
      return checkString(shape, value, path, violations)
    case 'integer': {
      if (typeof value !== 'number') throw mismatch(value, 'Integer', path)
      if (!Number.isSafeInteger(value)) throw serializationError(`The number at '${path}' is not an integer.`)
      checkRange(shape, value, 'value', path, violations)
      return value
    }
    case 'double': {
      const number = typeof value === 'string' ? specialNumbers[value] : value
      if (typeof number !== 'number') throw mismatch(value, 'Double', path)
      return number
    }
    case 'boolean':
      if (typeof value !== 'boolean') throw mismatch(value, 'Boolean', path)
      return value
    case 'timestamp': {
      const date = typeof value === 'number' ? new Date(value * 1000) : undefined
      if (date === undefined || Number.isNaN(date.getTime())) throw mismatch(value, 'Timestamp', path)
      return date
    }
    case 'blob':
      return checkBlob(shape, value, path, violations)
    case 'list': {
      if (!Array.isArray(value)) throw mismatch(value, 'List', path)
      if (!checkRange(shape, value.length, 'length', path, violations)) return []
      return value.map((element: unknown, index) => {
        const elementPath = `${path}.${index + 1}.member`
        if (element !== null) return check(shape.element, element, elementPath, violations)
        violate(violations, elementPath, 'Member must not be null')
        return null
      })
    }
    case 'map': {
      const entries = Object.entries(plainObject(value, 'Map', path))
      const result = Object.create(null) as Record<string, unknown>
      if (!checkRange(shape, entries.length, 'length', path, violations)) return result
      for (const [key, element] of entries) {
        check(shape.key, key, `${path}.key`, violations)
        const elementPath = `${path}.${key.slice(0, longestKeyInPath)}.member`
        if (element === null) violate(violations, elementPath, 'Member must not be null')
        else result[key] = check(shape.value, element, elementPath, violations)
      }
      return result
    }
    case 'structure': {
      const source = plainObject(value, 'Structure', path)
      const result: Record<string, unknown> = {}
      for (const [name, member] of Object.entries(shape.members)) {
        const memberPath = path === '' ? name : `${path}.${name}`
        const sent = Object.hasOwn(source, name) ? source[name] : undefined
        if (sent !== undefined && sent !== null) result[name] = check(member, sent, memberPath, violations)
        else if (member.required) violate(violations, memberPath, 'Member must not be null')
      }
      return result
    }
  }
}

function checkString(shape: StringForm, value: unknown, path: string, violations: Violation[]): string {
  if (typeof value !== 'string') throw mismatch(value, 'String', path)
  // Half a surrogate pair has no UTF-8 form; it would be stored as something else than was sent.
  if (shape.anyText !== true && !value.isWellFormed()) throw serializationError(`The string at '${path}' is not valid Unicode.`)
  if (!checkRange(shape, lengthInCodePoints(value, shape), 'length', path, violations)) return value
  if (shape.values !== undefined && !shape.values.includes(value)) {
    violate(violations, path, `Member must satisfy enum value set: [${shape.values.join(', ')}]`)
  } else if (shape.pattern !== undefined && !shape.pattern.matches(value)) {
    violate(violations, path, `must satisfy regular expression '${shape.pattern.source}'`)
  } else if (shape.anyText !== true && value.includes('\0')) {
    // PostgreSQL's text holds every character but this one.
    violate(violations, path, 'Member must not contain the null character')
  }
  return value
}

function checkBlob(shape: LengthBounds, value: unknown, path: string, violations: Violation[]): Buffer {
  if (typeof value !== 'string') throw mismatch(value, 'Blob', path)
  const padding = value.endsWith('==') ? 2 : value.endsWith('=') ? 1 : 0
  const bytes = Buffer.from(value, 'base64')
  // The decoder skips what it does not know, so bytes are missing whenever the text is not clean base64.
  if (value.length % 4 !== 0 || bytes.length !== (value.length / 4) * 3 - padding || /[-_]/.test(value)) {
    throw serializationError(`The value at '${path}' is not base64.`)
  }
  checkRange(shape, bytes.length, 'length', path, violations)
  return bytes
}

/** False where the bounds are broken: the content is then not worth looking at. */
function checkRange(
  bounds: LengthBounds,
  amount: number,
  what: 'length' | 'value',
  path: string,
  violations: Violation[],
): boolean {
  const { min, max } = bounds
  if (min !== undefined && amount < min) {
    violate(violations, path, `Member must have ${what} greater than or equal to ${min}`)
    return false
  }
  if (max !== undefined && amount > max) {
    violate(violations, path, `Member must have ${what} less than or equal to ${max}`)
    return false
  }
  return true
}

function violate(violations: Violation[], field: string, constraint: string): void {
  if (violations.length < mostViolations) violations.push({ field, constraint })
}

/** Counts only where surrogate pairs could make a difference to the bounds. */
function lengthInCodePoints(text: string, { min = 0, max = Infinity }: LengthBounds): number {
  if ((text.length <= max && text.length >= 2 * min) || text.length > 2 * max) return text.length
  let length = text.length
  for (let index = 0; index < text.length; index++) {
    if ((text.charCodeAt(index) & 0xfc00) === 0xd800) length--
  }
  return length
}

function plainObject(value: unknown, wanted: string, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw mismatch(value, wanted, path)
  return value as Record<string, unknown>
}

function mismatch(value: unknown, wanted: string, path: string): AwsError {
  const place = path === '' ? '' : ` at '${path}'`
  if (Array.isArray(value)) return serializationError(`Start of list found where not expected${place}`)
  switch (typeof value) {
    case 'string':
      return serializationError(`STRING_VALUE cannot be converted to ${wanted}${place}`)
    case 'number':
      return serializationError(`NUMBER_VALUE cannot be converted to ${wanted}${place}`)
    case 'boolean':
      return serializationError(`${value ? 'TRUE' : 'FALSE'}_VALUE cannot be converted to ${wanted}${place}`)
    default:
      return value === null
        ? serializationError(`NULL_VALUE cannot be converted to ${wanted}${place}`)
        : serializationError(`Start of structure or map found where not expected${place}`)
  }
}

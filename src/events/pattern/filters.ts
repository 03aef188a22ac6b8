import { BlockList, isIP } from 'node:net'
import { patternProblem } from './problem.ts'
import { matchesWildcard, parseWildcard } from './wildcard.ts'

export type Scalar = string | number | boolean | null

/** Whether a value of an event is one that a pattern allows. Pure, and in time linear in the value. */
export type Filter = (value: Scalar) => boolean

type Path = readonly string[]

/** EventBridge compares numbers between these. */
const mostOfNumber = 5_000_000_000

/**
 * Reads one alternative of a list in a pattern; `exists` is not among them, since it is not about a value.
 * https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
 *
 * @throws `event-pattern-invalid`
 */
export function parseFilter(written: unknown, path: Path): Filter {
  if (isScalar(written)) return (value) => value === written
  const [operator, operand] = onlyMember(written, path)
  switch (operator) {
    case 'prefix':
    case 'suffix':
      return ofText(parseEnd(operator, operand, path))
    case 'equals-ignore-case':
      return ofText(ignoringCase(textOf(operator, operand, path)))
    case 'wildcard':
      return ofText(parseWildcardFilter(operand, path))
    case 'numeric':
      return parseNumeric(operand, path)
    case 'cidr':
      return ofText(parseCidr(operand, path))
    case 'anything-but':
      return parseAnythingBut(operand, path)
    default:
      throw patternProblem(`Unrecognized match type ${operator.slice(0, 100)}`, path)
  }
}

export function isScalar(value: unknown): value is Scalar {
  return value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

/** The operator of an alternative and what it is given. */
export function onlyMember(written: unknown, path: Path): readonly [string, unknown] {
  if (Array.isArray(written) || typeof written !== 'object' || written === null) {
    throw patternProblem('Match value must be String, number, true, false, or null', path)
  }
  const members = Object.entries(written)
  const [first] = members
  if (first === undefined) throw patternProblem('Empty objects are not allowed', path)
  if (members.length > 1) throw patternProblem('Only one key allowed in match expression', path)
  return first
}

function ofText(matches: (text: string) => boolean): Filter {
  return (value) => typeof value === 'string' && matches(value)
}

function textOf(operator: string, operand: unknown, path: Path): string {
  if (typeof operand !== 'string') throw patternProblem(`${operator} match pattern must be a string`, path)
  if (operand === '' && (operator === 'prefix' || operator === 'suffix')) throw patternProblem('Null prefix/suffix not allowed', path)
  return operand
}

function parseEnd(operator: 'prefix' | 'suffix', operand: unknown, path: Path): (text: string) => boolean {
  const ends = operator === 'prefix' ? (text: string, end: string) => text.startsWith(end) : (text: string, end: string) => text.endsWith(end)
  if (!isObject(operand)) {
    const end = textOf(operator, operand, path)
    return (text) => ends(text, end)
  }
  const [nested, given] = onlyMember(operand, path)
  if (nested !== 'equals-ignore-case') throw patternProblem(`Unsupported ${operator} pattern: ${nested.slice(0, 100)}`, path)
  const end = folded(textOf(operator, given, path))
  return (text) => ends(folded(text), end)
}

function ignoringCase(wanted: string): (text: string) => boolean {
  const folding = folded(wanted)
  return (text) => text.length === wanted.length && folded(text) === folding
}

/** One character at a time, so that the length stays what it was. */
function folded(text: string): string {
  const lower = text.toLowerCase()
  return lower.length === text.length ? lower : [...text].map((each) => (each.toLowerCase().length === each.length ? each.toLowerCase() : each)).join('')
}

function parseWildcardFilter(operand: unknown, path: Path): (text: string) => boolean {
  const wildcard = parseWildcard(textOf('wildcard', operand, path))
  if (typeof wildcard === 'string') throw patternProblem(`${wildcard} in wildcard match pattern`, path)
  return (text) => matchesWildcard(wildcard, text)
}

function parseCidr(operand: unknown, path: Path): (text: string) => boolean {
  const text = textOf('cidr', operand, path)
  const [address = '', prefix, ...more] = text.split('/')
  const family = isIP(address) === 4 ? 'ipv4' : isIP(address) === 6 && !address.includes('%') ? 'ipv6' : undefined
  const longest = family === 'ipv4' ? 32 : 128
  if (family === undefined || prefix === undefined || more.length > 0 || !/^\d{1,3}$/u.test(prefix) || Number(prefix) > longest) {
    throw patternProblem('Malformed CIDR, one of the forms 10.0.0.0/8 and 2001:db8::/32 is needed', path)
  }
  const network = new BlockList()
  network.addSubnet(address, Number(prefix), family)
  const version = family === 'ipv4' ? 4 : 6
  return (value) => value.length <= 45 && !value.includes('%') && isIP(value) === version && network.check(value, family)
}

const lowerBounds: Readonly<Record<string, (value: number, bound: number) => boolean>> = {
  '>': (value, bound) => value > bound,
  '>=': (value, bound) => value >= bound,
}
const upperBounds: Readonly<Record<string, (value: number, bound: number) => boolean>> = {
  '<': (value, bound) => value < bound,
  '<=': (value, bound) => value <= bound,
}

function parseNumeric(operand: unknown, path: Path): Filter {
  if (!Array.isArray(operand)) throw patternProblem('Value of numeric must be an array.', path)
  const given: readonly unknown[] = operand
  const [operator] = given
  if (given.length === 0 || typeof operator !== 'string') throw patternProblem('Invalid member in numeric match', path)
  const bound = numberOf(given[1], path)
  if (operator === '=') {
    if (given.length > 2) throw patternProblem('Too many elements in numeric expression', path)
    return (value) => value === bound
  }
  const lower = Object.hasOwn(lowerBounds, operator) ? lowerBounds[operator] : undefined
  const upper = Object.hasOwn(upperBounds, operator) ? upperBounds[operator] : undefined
  const only = lower ?? upper
  if (only === undefined) throw patternProblem(`Unrecognized numeric range operator: ${operator.slice(0, 100)}`, path)
  if (given.length === 2) return (value) => typeof value === 'number' && only(value, bound)
  const second = given[2]
  const above = typeof second === 'string' && Object.hasOwn(upperBounds, second) ? upperBounds[second] : undefined
  if (lower === undefined || above === undefined) throw patternProblem('Bad numeric range operator', path)
  if (given.length > 4) throw patternProblem('Too many terms in numeric range expression', path)
  const top = numberOf(given[3], path)
  if (bound >= top) throw patternProblem('Bottom must be less than top', path)
  return (value) => typeof value === 'number' && lower(value, bound) && above(value, top)
}

function numberOf(value: unknown, path: Path): number {
  if (typeof value !== 'number') throw patternProblem('Value of numeric expression must be numeric', path)
  if (Math.abs(value) > mostOfNumber) throw patternProblem('Value must be between -5.0E9 and 5.0E9, inclusive', path)
  return value
}

function parseAnythingBut(operand: unknown, path: Path): Filter {
  if (isObject(operand)) {
    const [operator, given] = onlyMember(operand, path)
    const alternatives: unknown[] = Array.isArray(given) ? given : [given]
    if (alternatives.length === 0) throw patternProblem('Empty arrays are not allowed', path)
    const reads: Readonly<Record<string, (each: unknown) => (text: string) => boolean>> = {
      prefix: (each) => parseEnd('prefix', each, path),
      suffix: (each) => parseEnd('suffix', each, path),
      'equals-ignore-case': (each) => ignoringCase(textOf(operator, each, path)),
      wildcard: (each) => parseWildcardFilter(each, path),
    }
    const read = Object.hasOwn(reads, operator) ? reads[operator] : undefined
    if (read === undefined) throw patternProblem(`Unsupported anything-but pattern: ${operator.slice(0, 100)}`, path)
    const excluded = alternatives.map((each) => read(each))
    return (value) => typeof value !== 'string' || !excluded.some((matches) => matches(value))
  }
  const values: unknown[] = Array.isArray(operand) ? operand : [operand]
  if (values.length === 0) throw patternProblem('Empty arrays are not allowed', path)
  const isText = values.every((value) => typeof value === 'string')
  if (!isText && !values.every((value) => typeof value === 'number')) {
    throw patternProblem('Inside anything but list, either all values are number or string, mixed type is not supported', path)
  }
  const excluded = new Set<unknown>(values)
  return (value) => !excluded.has(value)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

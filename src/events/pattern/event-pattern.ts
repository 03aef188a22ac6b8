import { findStructuralProblem } from '../../values/json-structure.ts'
import { isScalar, onlyMember, parseFilter, type Filter, type Scalar } from './filters.ts'
import { patternProblem } from './problem.ts'

/** What EventBridge takes at most of a pattern, in characters. */
export const maxPatternLength = 4096

/** `$or` within `$or` multiplies; EventBridge has this bound too. */
const mostCombinations = 1000

/** What a field of an event has to be. */
interface FieldMatch {
  /** Values that are taken as they are. */
  readonly exact: ReadonlySet<Scalar>
  readonly filters: readonly Filter[]
  readonly whenPresent: boolean
  readonly whenAbsent: boolean
}

type Member = { readonly key: string; readonly field: FieldMatch } | { readonly key: string; readonly nested: Node }

/** Every member, and of each `$or` one of its nodes. */
interface Node {
  readonly members: readonly Member[]
  readonly choices: readonly (readonly Node[])[]
}

/** A pattern that has been read. */
export interface EventPattern {
  matches(event: unknown): boolean
}

/**
 * Reads a pattern of EventBridge: exact values, prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, cidr,
 * exists and `$or`, in nested objects.
 * https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html
 *
 * A list in an event matches where one of its values does, and a list of objects where one object matches all that the
 * pattern says of it. `exists` asks for a value, not for an object; a list without values is as good as absent.
 *
 * @throws `event-pattern-invalid`
 */
export function parseEventPattern(text: string): EventPattern {
  if (text.length > maxPatternLength) throw patternProblem(`The pattern has more than ${maxPatternLength} characters`)
  let written: unknown
  try {
    written = JSON.parse(text)
  } catch {
    throw patternProblem('Filter is not valid JSON')
  }
  const problem = findStructuralProblem(text)
  if (problem !== undefined) throw patternProblem(problem)
  if (typeof written !== 'object' || written === null || Array.isArray(written)) throw patternProblem('Filter is not an object')
  const node = parseNode(written, [])
  if (combinationsOf(node) > mostCombinations) throw patternProblem(`Rule is too complex: more than ${mostCombinations} combinations of $or`)
  return { matches: (event) => matchesNode(node, [objectOf(event)]) }
}

function parseNode(written: object, path: readonly string[]): Node {
  const members: Member[] = []
  const choices: (readonly Node[])[] = []
  const entries = Object.entries(written)
  if (entries.length === 0) throw patternProblem('Empty objects are not allowed', path)
  for (const [key, value] of entries as [string, unknown][]) {
    const place = [...path, key]
    if (key === '$or') choices.push(parseOr(value, place))
    else if (Array.isArray(value)) members.push({ key, field: parseField(value, place) })
    else if (typeof value === 'object' && value !== null) members.push({ key, nested: parseNode(value, place) })
    else throw patternProblem(`"${key.slice(0, 100)}" must be an object or an array`, place)
  }
  return { members, choices }
}

function parseOr(written: unknown, path: readonly string[]): readonly Node[] {
  if (!Array.isArray(written)) throw patternProblem('"$or" must be an array', path)
  if (written.length < 2) throw patternProblem('There must have at least 2 Objects in $or relationship', path)
  return written.map((each: unknown) => {
    if (typeof each !== 'object' || each === null || Array.isArray(each)) throw patternProblem('Only objects are allowed in $or', path)
    return parseNode(each, path)
  })
}

function parseField(written: readonly unknown[], path: readonly string[]): FieldMatch {
  if (written.length === 0) throw patternProblem('Empty arrays are not allowed', path)
  const exact = new Set<Scalar>()
  const filters: Filter[] = []
  let whenPresent = false
  let whenAbsent = false
  for (const alternative of written) {
    if (isScalar(alternative)) {
      exact.add(alternative)
      continue
    }
    const [operator, operand] = onlyMember(alternative, path)
    if (operator !== 'exists') filters.push(parseFilter(alternative, path))
    else if (typeof operand !== 'boolean') throw patternProblem('exists match pattern must be either true or false.', path)
    else if (operand) whenPresent = true
    else whenAbsent = true
  }
  return { exact, filters, whenPresent, whenAbsent }
}

function combinationsOf({ members, choices }: Node): number {
  let product = 1
  for (const member of members) if ('nested' in member) product *= combinationsOf(member.nested)
  for (const choice of choices) product *= choice.reduce((sum, node) => sum + combinationsOf(node), 0)
  return product
}

type JsonObject = Readonly<Record<string, unknown>>
const nothing: JsonObject = {}

/** Whether one of the objects is as the node says. */
function matchesNode(node: Node, objects: readonly JsonObject[]): boolean {
  return objects.some(
    (object) =>
      node.members.every((member) => {
        const value = Object.hasOwn(object, member.key) ? object[member.key] : undefined
        return 'field' in member ? matchesField(member.field, value) : matchesNode(member.nested, objectsIn(value))
      }) && node.choices.every((choice) => choice.some((each) => matchesNode(each, [object]))),
  )
}

function matchesField({ exact, filters, whenPresent, whenAbsent }: FieldMatch, value: unknown): boolean {
  let isPresent = false
  for (const each of leavesOf(value)) {
    if (!isScalar(each)) continue
    isPresent = true
    if (whenPresent || exact.has(each) || filters.some((matches) => matches(each))) return true
  }
  return whenAbsent && !isPresent
}

/** The objects of a value that is one or a list of some; where there is none, one that has nothing. */
function objectsIn(value: unknown): readonly JsonObject[] {
  if (!Array.isArray(value)) return [objectOf(value)]
  const objects = [...leavesOf(value)].filter((each) => !isScalar(each)) as JsonObject[]
  return objects.length === 0 ? [nothing] : objects
}

function objectOf(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : nothing
}

/** What a value consists of, lists in lists included. Not recursive: an event may nest deeply. */
function* leavesOf(value: unknown): Generator {
  if (value === undefined) return
  if (!Array.isArray(value)) {
    yield value
    return
  }
  const open: Iterator<unknown, undefined>[] = [value.values()]
  for (let current = open.at(-1); current !== undefined; current = open.at(-1)) {
    const { done, value: each } = current.next()
    if (done === true) open.pop()
    else if (Array.isArray(each)) open.push(each.values())
    else yield each
  }
}

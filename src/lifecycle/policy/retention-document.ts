import { lifecycleError } from '../errors.ts'
import { isRecord, type JsonRecord } from './json-text.ts'
import type { ArtifactClass, Clock } from './image-facts.ts'

/** As many as anybody keeps in view; each costs the evaluation a look at every image. */
const maxRules = 100

/** Of patterns in a rule, and of labels. */
const maxEntries = 50

/** As long as a tag can be, and an expression over it needs to be. */
const maxPatternLength = 256

/** A century, in hours. */
const maxHours = 876_600

const maxCount = 1_000_000

const actions = ['delete', 'archive', 'keep'] as const
const classes = ['image', 'index', 'cache', 'chart', 'signature', 'sbom', 'attestation', 'other'] as const satisfies readonly ArtifactClass[]
const storages = ['active', 'archived', 'any'] as const
const tagMatches = ['any', 'all'] as const
const prereleases = ['include', 'exclude', 'only'] as const
const clocks = ['pushed', 'tagged', 'pulled', 'used', 'archived'] as const satisfies readonly Clock[]
const orders = ['pushed', 'tagged', 'pulled', 'used', 'version'] as const
const groups = ['major', 'minor', 'pattern'] as const

/** A rule as it is written; what it leaves out is undefined. docs/reference/retention-policy.md. */
export interface RetentionRule {
  readonly name: string
  readonly description: string | undefined
  readonly action: (typeof actions)[number]
  readonly tags: readonly string[] | undefined
  readonly notTags: readonly string[] | undefined
  readonly tagMatch: (typeof tagMatches)[number] | undefined
  readonly versions: string | undefined
  readonly prereleases: (typeof prereleases)[number] | undefined
  readonly untagged: boolean
  readonly neverPulled: boolean
  readonly labels: Readonly<Record<string, string>> | undefined
  readonly annotations: Readonly<Record<string, string>> | undefined
  readonly classes: readonly ArtifactClass[] | undefined
  readonly storage: (typeof storages)[number] | undefined
  readonly olderThan: Duration | undefined
  readonly youngerThan: Duration | undefined
  readonly since: Clock | undefined
  readonly notice: Duration | undefined
  readonly blockFor: Duration | undefined
  readonly reason: string | undefined
  readonly newest: number | undefined
  readonly exceptNewest: number | undefined
  readonly by: (typeof orders)[number] | undefined
  readonly per: (typeof groups)[number] | undefined
}

export interface Duration {
  readonly ms: number
  /** Such as `30 days`. */
  readonly words: string
}

type Reader<Value> = (value: unknown) => Value | Problem

/** What is wrong with a value, as the end of a sentence that begins with its place. */
class Problem {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** Every member of a rule, and how it is read. */
const members = {
  name: readName,
  description: readText,
  action: oneOf(actions),
  tags: listOf(readPattern),
  notTags: listOf(readPattern),
  tagMatch: oneOf(tagMatches),
  versions: readText,
  prereleases: oneOf(prereleases),
  untagged: readTrue,
  neverPulled: readTrue,
  labels: readLabels,
  annotations: readLabels,
  classes: listOf(oneOf(classes)),
  storage: oneOf(storages),
  olderThan: readDuration,
  youngerThan: readDuration,
  since: oneOf(clocks),
  notice: readDuration,
  blockFor: readDuration,
  reason: readReason,
  newest: readCount,
  exceptNewest: readCount,
  by: oneOf(orders),
  per: oneOf(groups),
} as const satisfies Record<keyof RetentionRule, Reader<unknown>>

/**
 * Reads the rules of a parsed retention policy, each by itself.
 *
 * @throws `policy-invalid`, saying where and what would be right
 */
export function readRetentionDocument(document: unknown): readonly RetentionRule[] {
  if (!isRecord(document)) throw retentionRefusal('The policy', 'is not a JSON object with a list of "rules"')
  for (const name of Object.keys(document)) {
    if (name !== 'rules' && name !== 'description') throw retentionRefusal('The policy', `has the member ${JSON.stringify(name)}; it has only "rules" and "description"`)
  }
  const { rules, description } = document
  if (description !== undefined && typeof description !== 'string') throw retentionRefusal('The policy', 'has a "description" that is not a text')
  if (!Array.isArray(rules) || rules.length === 0) throw retentionRefusal('The policy', 'has no list of "rules" with a rule in it')
  if (rules.length > maxRules) throw retentionRefusal('The policy', `has ${rules.length} rules; it may have ${maxRules}`)
  const read = rules.map(readRule)
  const names = new Set<string>()
  for (const { name } of read) {
    if (names.has(name)) throw retentionRefusal(`Rule "${name}"`, 'has the name of another rule')
    names.add(name)
  }
  return read
}

/** A policy that is refused: where, and what is wrong there. */
export function retentionRefusal(where: string, problem: string): Error {
  return lifecycleError('policy-invalid', `${where} ${problem}.`, { reason: `${where} ${problem}.` })
}

function readRule(value: unknown, index: number): RetentionRule {
  if (!isRecord(value)) throw retentionRefusal(`Rule ${index + 1}`, 'is not a JSON object')
  const where = typeof value['name'] === 'string' ? `Rule ${index + 1} (${JSON.stringify(value['name'])})` : `Rule ${index + 1}`
  for (const member of Object.keys(value)) {
    if (!Object.hasOwn(members, member)) throw retentionRefusal(where, `has the member ${JSON.stringify(member)}, which no rule has${nearest(member)}`)
  }
  if (value['name'] === undefined) throw retentionRefusal(where, 'has no "name"')
  if (value['action'] === undefined) throw retentionRefusal(where, `has no "action": ${either(actions)}`)
  const read = Object.entries(members).map(([member, reader]) => [member, readMember(value, member, reader, where)])
  const rule = Object.fromEntries(read) as Omit<RetentionRule, 'untagged' | 'neverPulled'> & { untagged?: true; neverPulled?: true }
  return { ...rule, untagged: rule.untagged ?? false, neverPulled: rule.neverPulled ?? false }
}

function readMember(rule: JsonRecord, member: string, reader: Reader<unknown>, where: string): unknown {
  if (!Object.hasOwn(rule, member)) return undefined
  const read = reader(rule[member])
  if (read instanceof Problem) throw retentionRefusal(where, `has a wrong "${member}": ${read.text}`)
  return read
}

/** The member that was probably meant. */
function nearest(member: string): string {
  const folded = member.toLowerCase()
  const meant = Object.keys(members).find((known) => known.toLowerCase() === folded || known.toLowerCase() === `${folded}s` || `${known.toLowerCase()}s` === folded)
  return meant === undefined ? `; it may have ${Object.keys(members).join(', ')}` : `; "${meant}" is meant, perhaps`
}

function readName(value: unknown): string | Problem {
  return typeof value === 'string' && /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/u.test(value)
    ? value
    : new Problem('1 to 64 small letters, digits and hyphens, with no hyphen at the ends')
}

function readText(value: unknown): string | Problem {
  return typeof value === 'string' && value !== '' && value.length <= maxPatternLength ? value : new Problem(`a text of 1 to ${maxPatternLength} characters`)
}

/** Shown to whoever pulls, in one line of a header. */
function readReason(value: unknown): string | Problem {
  const text = readText(value)
  return typeof text === 'string' && /\p{Cc}/u.test(text) ? new Problem('a text in one line') : text
}

/** Saying `false` could be taken for the opposite of `true`, and means nothing. */
function readTrue(value: unknown): true | Problem {
  return value === true ? true : new Problem('only true; leave it out otherwise')
}

function readCount(value: unknown): number | Problem {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= maxCount ? (value as number) : new Problem(`a whole number from 1 to ${maxCount}`)
}

const units = { h: { hours: 1, one: 'hour' }, d: { hours: 24, one: 'day' }, w: { hours: 168, one: 'week' } } as const

function readDuration(value: unknown): Duration | Problem {
  const found = typeof value === 'string' ? /^(?<count>[1-9]\d{0,5})(?<unit>[hdw])$/u.exec(value)?.groups : undefined
  if (found === undefined) return new Problem('hours, days or weeks, such as "12h", "30d" or "8w"')
  const { hours, one } = units[found['unit'] as keyof typeof units]
  const count = Number(found['count'])
  if (count * hours > maxHours) return new Problem('at most a hundred years')
  return { ms: count * hours * 3_600_000, words: count === 1 ? `1 ${one}` : `${count} ${one}s` }
}

function readPattern(value: unknown): string | Problem {
  return typeof value === 'string' && value !== '' && value.length <= maxPatternLength
    ? value
    : new Problem(`a pattern such as "v*", or a regular expression between slashes such as "/v\\d+/", of at most ${maxPatternLength} characters`)
}

function readLabels(value: unknown): Readonly<Record<string, string>> | Problem {
  if (!isRecord(value) || Object.keys(value).length === 0) return new Problem('an object of names and patterns of their values')
  if (Object.keys(value).length > maxEntries) return new Problem(`at most ${maxEntries} names`)
  for (const pattern of Object.values(value)) {
    if (typeof pattern !== 'string' || pattern.length > maxPatternLength) return new Problem(`patterns are texts of at most ${maxPatternLength} characters; "*" takes any value`)
  }
  return value as Readonly<Record<string, string>>
}

function listOf<Value>(read: Reader<Value>): Reader<readonly Value[]> {
  return (value) => {
    if (!Array.isArray(value) || value.length === 0 || value.length > maxEntries) return new Problem(`a list of 1 to ${maxEntries}`)
    const entries = value.map(read)
    const problem = entries.find((entry) => entry instanceof Problem)
    return problem ?? (entries as Value[])
  }
}

function oneOf<Word extends string>(words: readonly Word[]): Reader<Word> {
  return (value) => words.find((word) => word === value) ?? new Problem(either(words))
}

function either(words: readonly string[]): string {
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)!}`
}

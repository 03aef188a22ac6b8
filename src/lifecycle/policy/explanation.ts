import type { CompiledPolicy, CompiledRule, RuleAction } from './compiled.ts'
import { timeOf, type ImageFacts } from './image-facts.ts'
import { clockWords, newestWords } from './rule-words.ts'

/**
 * What one rule says about one image:
 * - `acts`: the image goes by this rule.
 * - `announces`: it goes by this rule when its notice is over.
 * - `keeps`: it stays because of this rule.
 * - `overruled`: the rule would act, but another keeps the image or acts on it.
 * - `blocked`: the rule would act, but the image is part of another's unit.
 * - `waits`: the rule is about the image, and does not act now.
 * - `counts`: an earlier rule decides about the image; this one only counts it.
 * - `apart`: the rule is not about the image.
 */
export type VerdictOutcome = 'acts' | 'announces' | 'keeps' | 'overruled' | 'blocked' | 'waits' | 'counts' | 'apart'

export interface RuleVerdict {
  /** The policy's place in the list that was evaluated, from 0. */
  readonly policy: number
  readonly rule: number
  readonly name: string
  readonly action: RuleAction
  readonly outcome: VerdictOutcome
  /** When age alone will let the rule act, or end what it keeps (milliseconds since 1970). */
  readonly atMs: number | undefined
  readonly text: string
}

export interface Explanation {
  readonly action: 'expire' | 'transition' | 'none'
  /** In the order of policies and rules. */
  readonly verdicts: readonly RuleVerdict[]
  /** The whole in one sentence. */
  readonly text: string
}

/** One image, and what the evaluation found out about it. Places count all rules of all policies, from 1; 0 is none. */
export interface ExplainedImage {
  readonly image: ImageFacts
  /** The image's rank, from 0, among those that a rule counts, by the rule's place. */
  readonly ranks: ReadonlyMap<number, number>
  readonly actingPlace: number
  readonly announcingPlace: number
  readonly keptByPlace: number
}

/** A rule by itself, before other rules and the image's unit have their say. */
interface Wish {
  readonly isMet: boolean
  readonly atMs: number | undefined
  /** Why, as an end of a sentence. */
  readonly because: string
}

export function explainImage(policies: readonly CompiledPolicy[], nowMs: number, explained: ExplainedImage): Explanation {
  const verdicts: RuleVerdict[] = []
  const names = placeNames(policies)
  let place = 0
  for (const [index, policy] of policies.entries()) {
    let claimedBy: CompiledRule | undefined
    for (const rule of policy.rules) {
      place++
      const { outcome, atMs, text } = verdict(policy, rule, place, claimedBy, nowMs, explained, names)
      verdicts.push({ policy: index, rule: rule.number, name: rule.name, action: rule.action, outcome, atMs, text })
      if (policy.grammar === 'ecr' && rule.selects(explained.image)) claimedBy ??= rule
    }
  }
  return summary(verdicts)
}

/** Names by place; with their policy where there are several. */
function placeNames(policies: readonly CompiledPolicy[]): readonly string[] {
  const named = policies.flatMap(({ rules, grammar }) => rules.map(({ name }) => (policies.length === 1 ? name : `${name} of ${grammarWords[grammar]}`)))
  return ['', ...named]
}

const grammarWords = { ecr: 'the lifecycle policy', retention: 'a retention policy' } as const

function verdict(
  policy: CompiledPolicy,
  rule: CompiledRule,
  place: number,
  claimedBy: CompiledRule | undefined,
  nowMs: number,
  { image, ranks, actingPlace, announcingPlace, keptByPlace }: ExplainedImage,
  names: readonly string[],
): Pick<RuleVerdict, 'outcome' | 'atMs' | 'text'> {
  const name = capital(rule.name)
  if (policy.grammar === 'retention' && image.isPartOfUnit) {
    return { outcome: 'apart', atMs: undefined, text: `${name} does not see it: it is part of another image, and stays or goes with that.` }
  }
  if (rule.keepsUnread?.(image) === true) {
    const { isMet, atMs, because } = wishOf(rule, image, undefined, nowMs)
    if (isMet) return { outcome: 'keeps', atMs, text: `${name} keeps it${until(atMs)}: its labels could not be read, or are too many.` }
    return { outcome: 'waits', atMs: undefined, text: `${name} does not keep it: ${because}.` }
  }
  if (!rule.selects(image)) return { outcome: 'apart', atMs: undefined, text: `${name} is about ${rule.what}: this is none of them.` }
  if (claimedBy !== undefined) {
    return {
      outcome: 'counts',
      atMs: undefined,
      text: `${name} is about it too, but ${claimedBy.name} comes first, and an image belongs to the first rule that is about it.`,
    }
  }
  const { isMet, atMs, because } = wishOf(rule, image, ranks.get(place), nowMs)
  if (rule.action === 'keep') {
    if (isMet) return { outcome: 'keeps', atMs, text: `${name} keeps it${until(atMs)}: ${because}.` }
    return { outcome: 'waits', atMs: undefined, text: `${name} does not keep it: ${because}.` }
  }
  const would = rule.action === 'expire' ? 'delete' : 'archive'
  if (!isMet) {
    const when = atMs === undefined ? 'does not' : 'will'
    return { outcome: 'waits', atMs, text: `${name} ${when} ${would} it${atMs === undefined ? '' : ` after ${timeWords(atMs)}`}: ${because}.` }
  }
  if (image.isPartOfUnit) {
    return { outcome: 'blocked', atMs: undefined, text: `${name} would ${would} it, but it is part of another image, and goes only with that.` }
  }
  if (place === actingPlace) return { outcome: 'acts', atMs: undefined, text: `${name} ${would}s it: ${because}.` }
  if (place === announcingPlace) {
    const atMs = endOfNotice(rule, image)
    const counted = image.notice?.action === undefined ? 'a notice that counts from its retirement by hand' : 'as whoever pulls it is told'
    const when = atMs === undefined ? `with a notice of ${rule.notice!.words} that is yet to be given` : `after ${timeWords(atMs)}, ${counted}`
    return { outcome: 'announces', atMs, text: `${name} will ${would} it ${when}: ${because}.` }
  }
  const stronger = keptByPlace > 0 ? `${names[keptByPlace]!} keeps it` : `${names[actingPlace || announcingPlace]!} ${actingPlace > 0 ? 'acts on it' : 'has announced its end'}`
  return { outcome: 'overruled', atMs: undefined, text: `${name} would ${would} it, but ${stronger}.` }
}

/** When the notice that an image has been given by or for the rule is over; undefined: it was given none. */
function endOfNotice({ action, notice }: CompiledRule, image: ImageFacts): number | undefined {
  if (image.notice === undefined || (image.notice.action !== undefined && image.notice.action !== action)) return undefined
  return Math.max(image.notice.since + notice!.ms, image.notice.until ?? 0)
}

function wishOf(rule: CompiledRule, image: ImageFacts, rank: number | undefined, nowMs: number): Wish {
  const { action, age, newest } = rule
  const parts: string[] = []
  const isKeep = action === 'keep'
  const spared = rule.sparingTag?.(image)
  if (spared !== undefined) return { isMet: false, atMs: undefined, because: `it also has the tag ${spared}, which the rule is not about` }
  let isMet = true
  let atMs: number | undefined
  let isCountMet = true
  if (newest !== undefined && rank !== undefined) {
    const isAmong = rank < newest.count
    isCountMet = isAmong === isKeep
    isMet &&= isCountMet
    parts.push(isAmong ? `it is number ${rank + 1} of ${newestWords(newest)}` : `it is number ${rank + 1}, beyond ${newestWords(newest)}`)
  }
  if (age !== undefined) {
    const time = timeOf(image, age.clock)
    if (time === undefined) return { isMet: false, atMs: undefined, because: 'it has never been archived' }
    const isOlder = nowMs - time > age.ms
    isMet &&= isOlder !== isKeep
    // Where the count forbids it, age alone changes nothing.
    if (!isOlder && isCountMet) atMs = time + age.ms
    parts.push(`${sinceWords(image, age.clock, time)}${isOlder ? `, more than ${age.words} ago` : `, not more than ${age.words} ago`}`)
  }
  return { isMet, atMs, because: parts.length === 0 ? 'it keeps all of them' : parts.join(', and ') }
}

/** What the clock shows, and from where it has that. */
function sinceWords(image: ImageFacts, clock: keyof typeof clockWords, time: number): string {
  const at = timeWords(time)
  const isNeverPulled = clock === 'pulled' && image.lastPulledAt === undefined
  const isNeverUsed = clock === 'used' && image.lastUsedAt === undefined && image.lastPulledAt === undefined
  if (isNeverPulled || isNeverUsed) return `it was never ${clock}, and pushed on ${at}`
  if (time === image.lastActivatedAt) return `it came back from the archive on ${at}`
  if (clock === 'tagged' && image.tags.length === 0) return `it has no tag, and was pushed on ${at}`
  return `it was ${clockWords[clock]} on ${at}`
}

function summary(verdicts: readonly RuleVerdict[]): Explanation {
  const acting = verdicts.find(({ outcome }) => outcome === 'acts')
  if (acting !== undefined) {
    return { action: acting.action === 'transition' ? 'transition' : 'expire', verdicts, text: acting.text }
  }
  const decisive =
    verdicts.find(({ outcome }) => outcome === 'keeps') ??
    verdicts.find(({ outcome }) => outcome === 'announces') ??
    verdicts.find(({ outcome }) => outcome === 'blocked') ??
    firstWaiting(verdicts) ??
    verdicts.find(({ outcome, action }) => outcome === 'waits' && action !== 'keep')
  return { action: 'none', verdicts, text: decisive?.text ?? 'It stays: no rule is about it.' }
}

function firstWaiting(verdicts: readonly RuleVerdict[]): RuleVerdict | undefined {
  const waiting = verdicts.filter(({ outcome, atMs, action }) => outcome === 'waits' && atMs !== undefined && action !== 'keep')
  return waiting.toSorted((a, b) => a.atMs! - b.atMs!)[0]
}

function until(atMs: number | undefined): string {
  return atMs === undefined ? '' : ` until ${timeWords(atMs)}`
}

/** To the minute: nobody plans an image's end by seconds. */
function timeWords(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

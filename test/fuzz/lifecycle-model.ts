import type { ImageFacts } from '../../src/lifecycle/policy/index.ts'

/*
 * What lifecycle and retention policies do, written from their documentation with plain loops over the documents as people
 * write them: Amazon ECR user guide, "Lifecycle policy evaluation rules", and docs/reference/retention-policy.md. Slow and
 * obvious; shares no code with the evaluation that it judges.
 */

const dayMs = 24 * 60 * 60 * 1000

export interface ModelEcrRule {
  readonly rulePriority: number
  readonly selection: {
    readonly tagStatus: string
    readonly tagPatternList?: readonly string[]
    readonly tagPrefixList?: readonly string[]
    readonly storageClass?: string
    readonly countType: string
    readonly countUnit?: string
    readonly countNumber: number
  }
  readonly action: { readonly type: string; readonly targetStorageClass?: string }
}

export interface ModelRetentionRule {
  readonly name: string
  readonly action: 'delete' | 'archive' | 'keep'
  readonly tags?: readonly string[]
  readonly notTags?: readonly string[]
  readonly tagMatch?: 'any' | 'all'
  readonly versions?: string
  readonly prereleases?: 'include' | 'exclude' | 'only'
  readonly untagged?: true
  readonly neverPulled?: true
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly classes?: readonly string[]
  readonly storage?: 'active' | 'archived' | 'any'
  readonly olderThan?: string
  readonly youngerThan?: string
  readonly since?: string
  readonly newest?: number
  readonly exceptNewest?: number
  readonly by?: string
  readonly per?: 'major' | 'minor' | 'pattern'
  readonly notice?: string
}

export type ModelPolicy =
  | { readonly grammar: 'ecr'; readonly rules: readonly ModelEcrRule[] }
  | { readonly grammar: 'retention'; readonly rules: readonly ModelRetentionRule[] }

export interface ModelDecision {
  readonly manifestId: number
  readonly action: 'expire' | 'transition'
  readonly policy: number
  readonly rule: number
}

export interface ModelOutcome {
  readonly decisions: readonly ModelDecision[]
  /** What ECR's rules would do to images that an index lists, or that refer to another. */
  readonly blocked: readonly ModelDecision[]
  /** What rules will do when their notice is over, and whether whoever pulls the image has been told all of it. */
  readonly announced: readonly (ModelDecision & { readonly isTold: boolean })[]
  /** Images of which something was told that is not to come. */
  readonly withdrawn: readonly number[]
}

interface Wish {
  readonly action: 'expire' | 'transition' | 'keep'
  readonly policy: number
  readonly rule: number
  /** How long it has to be told before. */
  readonly noticeMs?: number | undefined
}

export function evaluateByModel(policies: readonly ModelPolicy[], images: readonly ImageFacts[], nowMs: number): ModelOutcome {
  const wishes = new Map<ImageFacts, Wish[]>(images.map((image) => [image, []]))
  policies.forEach((policy, index) => {
    if (policy.grammar === 'ecr') ecrWishes(policy.rules, index, images, nowMs, wishes)
    else policy.rules.forEach((rule, place) => { retentionWishes(rule, place + 1, index, images, nowMs, wishes) })
  })
  const decisions: ModelDecision[] = []
  const blocked: ModelDecision[] = []
  const announced: (ModelDecision & { isTold: boolean })[] = []
  const withdrawn: number[] = []
  for (const image of images) {
    const all = wishes.get(image)!.some(({ action }) => action === 'keep') ? [] : wishes.get(image)!
    // Of rules that give notice of the same the first one counts.
    const waiting = (['expire', 'transition'] as const).flatMap((action) => all.filter((each) => each.action === action && each.noticeMs !== undefined).slice(0, 1))
    const isOver = (each: Wish): boolean => noticeEnd(image, each) <= nowMs
    const now = [...all.filter(({ noticeMs }) => noticeMs === undefined), ...waiting.filter(isOver)]
    const wish = now.find(({ action }) => action === 'expire') ?? now.find(({ action }) => action === 'transition')
    const coming = wish?.action === 'expire' ? undefined : waiting.find((each) => !isOver(each) && (each.action === 'expire' || wish === undefined))
    if (coming !== undefined) {
      const isTold = image.notice !== undefined && (image.notice.action === undefined || noticeEnd(image, coming) === image.notice.until)
      announced.push({ manifestId: image.manifestId, action: coming.action as 'expire' | 'transition', policy: coming.policy, rule: coming.rule, isTold })
    } else if (image.notice?.action !== undefined && (image.isPartOfUnit || image.notice.action !== wish?.action)) {
      withdrawn.push(image.manifestId)
    }
    if (wish === undefined) continue
    const decision = { manifestId: image.manifestId, action: wish.action as 'expire' | 'transition', policy: wish.policy, rule: wish.rule }
    if (image.isPartOfUnit) blocked.push(decision)
    else decisions.push(decision)
  }
  return { decisions, blocked, announced, withdrawn }
}

function ecrWishes(rules: readonly ModelEcrRule[], policy: number, images: readonly ImageFacts[], nowMs: number, wishes: Map<ImageFacts, Wish[]>): void {
  const seen = new Set<ImageFacts>()
  for (const { rulePriority, selection, action } of [...rules].sort((a, b) => a.rulePriority - b.rulePriority)) {
    const matching = images.filter((image) => ecrSelects(selection, image))
    matching.sort((a, b) => ecrAge(b, selection.countType) - ecrAge(a, selection.countType) || b.manifestId - a.manifestId)
    const marked =
      selection.countType === 'imageCountMoreThan'
        ? matching.slice(selection.countNumber)
        : matching.filter((image) => nowMs - ecrAge(image, selection.countType) > selection.countNumber * dayMs)
    for (const image of marked) {
      if (!seen.has(image)) wishes.get(image)!.push({ action: action.type as 'expire' | 'transition', policy, rule: rulePriority })
    }
    for (const image of matching) seen.add(image)
  }
}

function ecrSelects({ tagStatus, tagPatternList = [], tagPrefixList = [], storageClass = 'standard' }: ModelEcrRule['selection'], image: ImageFacts): boolean {
  const isInClass = storageClass === 'standard' ? image.storageClass === 'active' : image.storageClass === 'archived'
  if (!isInClass) return false
  if (tagStatus === 'any') return true
  const names = image.tags.map(({ name }) => name)
  if (tagStatus === 'untagged') return names.length === 0
  return (
    tagPatternList.every((pattern) => names.some((name) => matchesStars(pattern, name))) &&
    tagPrefixList.every((prefix) => names.some((name) => name.startsWith(prefix)))
  )
}

/** The time that the count of days begins at, and by which images are sorted. */
function ecrAge(image: ImageFacts, countType: string): number {
  if (countType === 'sinceImageTransitioned') return image.lastArchivedAt!
  if (countType === 'sinceImagePulled') {
    const times = [image.lastPulledAt, image.lastActivatedAt].filter((time) => time !== undefined)
    return times.length === 0 ? image.pushedAt : Math.max(...times)
  }
  return image.lastActivatedAt ?? image.pushedAt
}

function matchesStars(pattern: string, name: string): boolean {
  const source = pattern.split('*').map((part) => part.replaceAll(/[.\\^$|?+()[\]{}]/g, '\\$&')).join('.*')
  return new RegExp(`^${source}$`).test(name)
}

function retentionWishes(rule: ModelRetentionRule, number: number, policy: number, images: readonly ImageFacts[], nowMs: number, wishes: Map<ImageFacts, Wish[]>): void {
  const selected = images.filter((image) => !image.isPartOfUnit && retentionSelects(rule, image))
  const count = rule.newest ?? rule.exceptNewest
  const newest = new Set<ImageFacts>()
  if (count !== undefined) {
    const groups = new Map<string, ImageFacts[]>()
    for (const image of selected.filter((each) => !isUnknown(rule, each))) {
      const group = groupOf(rule, image)
      groups.set(group, [...(groups.get(group) ?? []), image])
    }
    for (const group of groups.values()) {
      group.sort((a, b) => -compareForCount(rule, a, b))
      for (const image of group.slice(0, count)) newest.add(image)
    }
  }
  for (const image of selected) {
    const isSpared = asksTags(rule) && matchesAll(rule) && !image.tags.every(({ name }) => isWanted(rule, name))
    if (isSpared) continue
    const duration = rule.olderThan ?? rule.youngerThan
    const begin = clock(rule.since ?? 'pushed', image)
    if (duration !== undefined && begin === undefined) continue
    const isOld = duration !== undefined && nowMs - begin! > durationMs(duration)
    if (rule.action === 'keep') {
      if (duration !== undefined && isOld) continue
      if (count !== undefined && !newest.has(image) && !isUnknown(rule, image)) continue
    } else {
      if (duration !== undefined && !isOld) continue
      if (count !== undefined && newest.has(image)) continue
    }
    wishes.get(image)!.push({ action: ({ delete: 'expire', archive: 'transition', keep: 'keep' } as const)[rule.action], policy, rule: number, noticeMs: rule.notice === undefined ? undefined : durationMs(rule.notice) })
  }
}

/** Never, where the image was told nothing, or something else. */
function noticeEnd({ notice }: ImageFacts, { action, noticeMs }: Wish): number {
  if (notice === undefined || (notice.action !== undefined && notice.action !== action)) return Infinity
  return Math.max(notice.since + noticeMs!, notice.until ?? 0)
}

function matchesAll({ tagMatch, action }: ModelRetentionRule): boolean {
  return tagMatch === undefined ? action !== 'keep' : tagMatch === 'all'
}

function asksVersions({ versions, prereleases, by, per }: ModelRetentionRule): boolean {
  return versions !== undefined || prereleases !== undefined || by === 'version' || per === 'major' || per === 'minor'
}

function asksTags(rule: ModelRetentionRule): boolean {
  return rule.tags !== undefined || asksVersions(rule)
}

function isWanted(rule: ModelRetentionRule, tag: string): boolean {
  if (rule.tags !== undefined && !rule.tags.some((pattern) => matchesPattern(pattern, tag))) return false
  return !asksVersions(rule) || isWantedVersion(rule, tag)
}

function isWantedVersion({ versions, prereleases }: ModelRetentionRule, tag: string): boolean {
  const version = readVersion(tag)
  if (version === undefined) return false
  if (prereleases === 'only' && version.rest === '') return false
  if (prereleases === 'exclude' && version.rest !== '') return false
  // The ranges here have only bounds of whole numbers.
  return versions === undefined || versions.split('||').some((part) => part.trim().split(' ').every((bound) => isWithin(bound, version)))
}

function isWithin(bound: string, { numbers }: ModelVersion): boolean {
  const [, operator = '', text = ''] = /^(>=|<|\^|~)?(.*)$/.exec(bound)!
  const parts = text.split('.').filter((part) => part !== 'x').map(Number)
  const low = [parts[0]!, parts[1] ?? 0, parts[2] ?? 0]
  const isFrom = compareLists(numbers, low) >= 0
  if (operator === '>=') return isFrom
  if (operator === '<') return !isFrom
  if (operator === '^') return isFrom && (low[0]! > 0 ? numbers[0] === low[0] : parts.length === 1 ? numbers[0] === 0 : numbers[0] === 0 && numbers[1] === low[1] && (low[1]! > 0 || parts.length === 2 || numbers[2] === low[2]))
  if (operator === '~') return isFrom && numbers[0] === low[0] && (parts.length === 1 || numbers[1] === low[1])
  return parts.every((part, index) => numbers[index] === part)
}

interface ModelVersion {
  readonly numbers: readonly number[]
  readonly rest: string
}

/** Of semver.org: the expression that it suggests, without build metadata, and with a `v` in front or not. */
function readVersion(tag: string): ModelVersion | undefined {
  const found = /^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?$/.exec(tag)
  return found === null ? undefined : { numbers: [Number(found[1]), Number(found[2]), Number(found[3])], rest: found[4] ?? '' }
}

function compareModelVersions(a: ModelVersion, b: ModelVersion): number {
  const numbers = compareLists(a.numbers, b.numbers)
  if (numbers !== 0) return numbers
  if (a.rest === b.rest) return 0
  if (a.rest === '') return 1
  if (b.rest === '') return -1
  const mine = a.rest.split('.')
  const others = b.rest.split('.')
  for (let index = 0; index < Math.min(mine.length, others.length); index++) {
    const one = mine[index]!
    const other = others[index]!
    if (one === other) continue
    const isNumber = /^\d+$/.test(one)
    const isOtherNumber = /^\d+$/.test(other)
    if (isNumber && isOtherNumber) return Number(one) - Number(other)
    if (isNumber) return -1
    if (isOtherNumber) return 1
    return one < other ? -1 : 1
  }
  return mine.length - others.length
}

function compareLists(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((part, at) => part !== b[at])
  return index < 0 ? 0 : a[index]! - b[index]!
}

function matchesPattern(pattern: string, tag: string): boolean {
  const [, source, flags] = /^\/(.*)\/(i?)$/.exec(pattern) ?? []
  return source === undefined ? matchesStars(pattern, tag) : new RegExp(`^(?:${source})$`, flags).test(tag)
}

/** What cannot be read is kept by each rule that might keep it, and is in no other's way. */
function isUnknown({ labels, annotations }: ModelRetentionRule, image: ImageFacts): boolean {
  return image.isUnread === true && (labels !== undefined || annotations !== undefined)
}

function retentionSelects(rule: ModelRetentionRule, image: ImageFacts): boolean {
  const names = image.tags.map(({ name }) => name)
  if (!(rule.classes ?? ['image', 'index']).includes(image.artifactClass)) return false
  if (rule.untagged === true && names.length > 0) return false
  if (rule.neverPulled === true && image.lastPulledAt !== undefined) return false
  if (asksTags(rule) && !names.some((name) => isWanted(rule, name))) return false
  if (names.some((name) => (rule.notTags ?? []).some((pattern) => matchesPattern(pattern, name)))) return false
  if (isUnknown(rule, image) && rule.action !== 'keep') return false
  for (const [wanted, map] of [[rule.labels, image.labels], [rule.annotations, image.annotations]] as const) {
    for (const [name, pattern] of Object.entries(wanted ?? {})) {
      const value = map?.[name]
      if (isUnknown(rule, image)) continue
      if (value === undefined || !matchesStars(pattern, value)) return false
    }
  }
  if (rule.action === 'archive' || rule.storage === 'active') return image.storageClass === 'active'
  if (rule.storage === 'archived' || (rule.storage === undefined && rule.since === 'archived')) return image.storageClass === 'archived'
  return rule.action === 'keep' || image.storageClass !== 'activating'
}

function groupOf(rule: ModelRetentionRule, image: ImageFacts): string {
  const names = image.tags.map(({ name }) => name)
  switch (rule.per) {
    case undefined:
      return ''
    case 'pattern':
      return rule.tags!.find((pattern) => names.some((name) => matchesPattern(pattern, name)))!
    case 'major':
      return String(highest(rule, image).numbers[0])
    default:
      return highest(rule, image).numbers.slice(0, 2).join('.')
  }
}

function highest(rule: ModelRetentionRule, image: ImageFacts): ModelVersion {
  const versions = image.tags.filter(({ name }) => isWanted(rule, name)).map(({ name }) => readVersion(name)!)
  return versions.sort(compareModelVersions).at(-1)!
}

/** Above 0 where `a` comes before `b` in the count. */
function compareForCount(rule: ModelRetentionRule, a: ImageFacts, b: ImageFacts): number {
  const by = rule.by ?? (rule.per === 'major' || rule.per === 'minor' ? 'version' : 'pushed')
  if (by !== 'version') return clock(by, a)! - clock(by, b)! || a.manifestId - b.manifestId
  return compareModelVersions(highest(rule, a), highest(rule, b)) || clock('pushed', a)! - clock('pushed', b)! || a.manifestId - b.manifestId
}

function clock(name: string, image: ImageFacts): number | undefined {
  const pushed = image.lastActivatedAt ?? image.pushedAt
  switch (name) {
    case 'pushed':
      return pushed
    case 'tagged':
      return image.tags.length === 0 ? pushed : Math.max(...image.tags.map(({ taggedAt }) => taggedAt), image.lastActivatedAt ?? 0)
    case 'pulled':
      return Math.max(pushed, image.lastPulledAt ?? 0)
    case 'used':
      return Math.max(pushed, image.lastPulledAt ?? 0, image.lastUsedAt ?? 0)
    default:
      return image.storageClass === 'archived' ? image.lastArchivedAt : undefined
  }
}

function durationMs(text: string): number {
  const [, count, unit] = /^(\d+)([hdw])$/.exec(text)!
  return Number(count) * { h: dayMs / 24, d: dayMs, w: 7 * dayMs }[unit as 'h' | 'd' | 'w']
}

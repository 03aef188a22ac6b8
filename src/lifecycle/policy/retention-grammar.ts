import type { CompiledPolicy, CompiledRule, CountCondition, ParsedPolicy } from './compiled.ts'
import type { Clock, ImageFacts } from './image-facts.ts'
import { readJson } from './json-text.ts'
import { readRetentionDocument, retentionRefusal, type RetentionRule } from './retention-document.ts'
import { regularExpressionTest } from './regular-expression.ts'
import { compareVersions, parseVersion, versionKey, type SemanticVersion, type VersionKey } from './semantic-version.ts'
import { wildcardTest, type TagTest } from './tag-pattern.ts'
import { parseVersionRange, type VersionTest } from './version-range.ts'

/** As much as ECR's policies may have. */
const maxTextLength = 30_720

/** What counts as an image where a rule does not say otherwise. */
const defaultClasses: ReadonlySet<string> = new Set(['image', 'index'])

/**
 * Reads a retention policy: rules that delete, archive and keep, where keeping always wins. docs/reference/retention-policy.md.
 * The text that it answers is the same document without white space, in the order in which it was written.
 *
 * @throws `policy-invalid`, saying which rule, and what would be right
 */
export function parseRetentionPolicy(text: string): ParsedPolicy {
  if (text.length > maxTextLength) throw retentionRefusal('The policy', `has ${text.length} characters; it may have ${maxTextLength}`)
  const json = readJson(text)
  if (json === undefined) throw retentionRefusal('The policy', 'is not JSON, or has a member twice')
  const rules = readRetentionDocument(json.value)
  const compiled = rules.map(compileRule)
  return { policy: { grammar: 'retention', rules: compiled, needs: needsOf(rules) }, text: JSON.stringify(json.value), notes: [] }
}

function needsOf(rules: readonly RetentionRule[]): CompiledPolicy['needs'] {
  const asks = (clock: Clock): boolean => rules.some(({ since, by }) => since === clock || by === clock)
  return {
    labels: rules.some(({ labels }) => labels !== undefined),
    annotations: rules.some(({ annotations }) => annotations !== undefined),
    tagTimes: asks('tagged'),
    pulls: asks('pulled') || asks('used') || rules.some(({ neverPulled }) => neverPulled),
    uses: asks('used'),
  }
}

const compiledActions = { delete: 'expire', archive: 'transition', keep: 'keep' } as const

function compileRule(rule: RetentionRule, index: number): CompiledRule {
  const where = `Rule ${index + 1} (${JSON.stringify(rule.name)})`
  checkSense(rule, where)
  const tags = compileTags(rule, where)
  const age = rule.olderThan ?? rule.youngerThan
  return {
    number: index + 1,
    name: rule.name,
    action: compiledActions[rule.action],
    ...selectionTests(rule, tags),
    sparingTag: sparingTag(rule, tags),
    age: age === undefined ? undefined : { clock: rule.since ?? 'pushed', ms: age.ms, words: age.words },
    newest: countCondition(rule, tags),
    notice: rule.notice && { ...rule.notice, blockMs: rule.blockFor?.ms, reason: rule.reason },
    what: selectionWords(rule),
  }
}

/** What members may not be together. */
function checkSense(rule: RetentionRule, where: string): void {
  const { action, olderThan, youngerThan, newest, exceptNewest } = rule
  const refuse = (problem: string): void => {
    throw retentionRefusal(where, problem)
  }
  if (action === 'keep') {
    if (olderThan !== undefined) refuse('keeps, and so has "youngerThan", not "olderThan"')
    if (exceptNewest !== undefined) refuse('keeps, and so has "newest", not "exceptNewest"')
    if (rule.notice !== undefined) refuse('keeps, and so gives no "notice"')
  } else {
    if (youngerThan !== undefined) refuse('removes, and so has "olderThan", not "youngerThan"')
    if (newest !== undefined) refuse('removes, and so has "exceptNewest", not "newest"')
    if (olderThan === undefined && exceptNewest === undefined) {
      refuse('says neither "olderThan" nor "exceptNewest": it would remove every image as soon as it is pushed')
    }
  }
  if (rule.blockFor !== undefined && rule.notice === undefined) refuse('has "blockFor" without "notice"')
  if (rule.reason !== undefined && rule.notice === undefined) refuse('has a "reason" without "notice": nobody would be told it')
  if ((rule.blockFor?.ms ?? 0) > (rule.notice?.ms ?? 0)) refuse('has a "blockFor" that is longer than its "notice"')
  const isCounting = newest !== undefined || exceptNewest !== undefined
  if (rule.since !== undefined && olderThan === undefined && youngerThan === undefined) refuse('has "since" without an age')
  if (rule.by !== undefined && !isCounting) refuse('has "by" without a count')
  if (rule.per !== undefined && !isCounting) refuse('has "per" without a count')
  const asksTags = rule.tags !== undefined || wantsVersions(rule)
  if (rule.untagged && (asksTags || rule.notTags !== undefined || rule.tagMatch !== undefined)) refuse('is about untagged images, and so says nothing of tags')
  if (rule.tagMatch !== undefined && !asksTags) refuse('has "tagMatch" without "tags" or "versions"')
  if (rule.per === 'pattern' && (rule.tags?.length ?? 0) < 2) refuse('counts per pattern, and so has several "tags"')
  if (rule.neverPulled && (rule.since === 'pulled' || rule.by === 'pulled')) refuse('is about images that were never pulled, which have no time of a pull')
  if (action === 'archive' && rule.storage !== undefined && rule.storage !== 'active') refuse('archives, and so is about active images')
  if (rule.since === 'archived' && (action !== 'delete' || rule.storage === 'active')) refuse('counts since the archive, and so deletes archived images')
}

function wantsVersions({ versions, prereleases, by, per }: RetentionRule): boolean {
  return versions !== undefined || prereleases !== undefined || by === 'version' || per === 'major' || per === 'minor'
}

/** What a rule says of tags, compiled. */
interface CompiledTags {
  /** Undefined where it does not ask for tags. */
  readonly wanted: TagTest | undefined
  readonly unwanted: TagTest | undefined
  /** The version of a tag that is wanted; undefined where the rule does not ask for versions. */
  readonly versionOf: ((tag: string) => SemanticVersion | undefined) | undefined
  /** One for each pattern. */
  readonly patterns: readonly TagTest[]
}

function compileTags(rule: RetentionRule, where: string): CompiledTags {
  const patterns = (rule.tags ?? []).map((pattern) => compilePattern(pattern, where))
  const unwanted = rule.notTags?.map((pattern) => compilePattern(pattern, where))
  const inPatterns = rule.tags === undefined ? undefined : anyOf(patterns)
  const versionOf = wantsVersions(rule) ? compileVersions(rule, inPatterns, where) : undefined
  return {
    wanted: versionOf === undefined ? inPatterns : (tag) => versionOf(tag) !== undefined,
    unwanted: unwanted === undefined ? undefined : anyOf(unwanted),
    versionOf,
    patterns,
  }
}

function compileVersions(rule: RetentionRule, inPatterns: TagTest | undefined, where: string): (tag: string) => SemanticVersion | undefined {
  const range: VersionTest | string = rule.versions === undefined ? () => true : parseVersionRange(rule.versions)
  if (typeof range === 'string') throw retentionRefusal(where, `has a wrong "versions": ${range}`)
  const { prereleases = 'include' } = rule
  return (tag) => {
    const version = parseVersion(tag)
    if (version === undefined || !range(version) || inPatterns?.(tag) === false) return undefined
    return prereleases === 'include' || (prereleases === 'only') === version.prerelease.length > 0 ? version : undefined
  }
}

/** Between slashes a regular expression, which no pattern over tags could be; otherwise a pattern with stars. */
function compilePattern(pattern: string, where: string): TagTest {
  const expression = /^\/(?<source>.*)\/(?<flags>i?)$/su.exec(pattern)?.groups
  if (expression === undefined) {
    if (!/^[\w.*-]+$/u.test(pattern)) throw retentionRefusal(where, `has the pattern ${JSON.stringify(pattern)}, which fits no tag: a tag has letters, digits, "_", "." and "-"; a regular expression stands between slashes`)
    return wildcardTest(pattern)
  }
  const test = regularExpressionTest(expression['source'] ?? '', { ignoreCase: expression['flags'] === 'i' })
  if (typeof test === 'string') throw retentionRefusal(where, `has the regular expression ${pattern}, which cannot be read: ${test}`)
  return test
}

function anyOf(tests: readonly TagTest[]): TagTest {
  return (tag) => tests.some((test) => test(tag))
}

function selectionTests(rule: RetentionRule, { wanted, unwanted }: CompiledTags): Pick<CompiledRule, 'selects' | 'keepsUnread'> {
  const classes: ReadonlySet<string> = rule.classes === undefined ? defaultClasses : new Set(rule.classes)
  const storage = rule.storage ?? (rule.action === 'archive' ? 'active' : rule.since === 'archived' ? 'archived' : 'any')
  const labels = mapTest(rule.labels)
  const annotations = mapTest(rule.annotations)
  const asksContent = rule.labels !== undefined || rule.annotations !== undefined
  const selectsByRow = (image: ImageFacts): boolean => {
    const { tags } = image
    if (!classes.has(image.artifactClass)) return false
    // What is being fetched from the archive was just asked for: only rules that keep see it.
    if (storage === 'any' ? image.storageClass === 'activating' && rule.action !== 'keep' : image.storageClass !== storage) return false
    if (rule.untagged && tags.length > 0) return false
    if (rule.neverPulled && image.lastPulledAt !== undefined) return false
    if (wanted !== undefined && !tags.some(({ name }) => wanted(name))) return false
    return unwanted === undefined || !tags.some(({ name }) => unwanted(name))
  }
  const isUnread = (image: ImageFacts): boolean => asksContent && image.isUnread === true
  return {
    selects: (image) => selectsByRow(image) && !isUnread(image) && labels(image.labels) && annotations(image.annotations),
    keepsUnread: rule.action === 'keep' && asksContent ? (image) => isUnread(image) && selectsByRow(image) : undefined,
  }
}

function mapTest(wanted: Readonly<Record<string, string>> | undefined): (map: Readonly<Record<string, string>> | undefined) => boolean {
  if (wanted === undefined) return () => true
  const tests = Object.entries(wanted).map(([name, pattern]) => [name, wildcardTest(pattern)] as const)
  return (map = {}) => tests.every(([name, test]) => Object.hasOwn(map, name) && test(map[name]!))
}

/** A rule that removes does so only where it is about all tags of an image, unless it says otherwise. */
function sparingTag({ action, tagMatch }: RetentionRule, { wanted }: CompiledTags): CompiledRule['sparingTag'] {
  const isAll = tagMatch === undefined ? action !== 'keep' : tagMatch === 'all'
  if (wanted === undefined || !isAll) return undefined
  return ({ tags }) => tags.find(({ name }) => !wanted(name))?.name
}

function countCondition(rule: RetentionRule, tags: CompiledTags): CountCondition | undefined {
  const count = rule.newest ?? rule.exceptNewest
  if (count === undefined) return undefined
  const { versionOf } = tags
  const by = rule.by ?? (versionOf !== undefined && rule.per !== 'pattern' && rule.per !== undefined ? 'version' : 'pushed')
  const highest = versionOf === undefined ? undefined : (image: ImageFacts) => highestVersion(image, versionOf)
  return {
    count,
    by,
    versionOf: by === 'version' ? (image) => keyOf(highest?.(image)) : undefined,
    groupOf: groupOf(rule.per, tags, highest),
    per: rule.per === undefined ? undefined : perWords[rule.per],
  }
}

const perWords = { major: 'major version', minor: 'minor version', pattern: 'pattern' } as const

function groupOf(
  per: RetentionRule['per'],
  { patterns }: CompiledTags,
  highest: ((image: ImageFacts) => SemanticVersion | undefined) | undefined,
): CountCondition['groupOf'] {
  switch (per) {
    case undefined:
      return undefined
    case 'major':
      return (image) => String(highest?.(image)?.major)
    case 'minor':
      return (image) => {
        const version = highest?.(image)
        return `${version?.major}.${version?.minor}`
      }
    case 'pattern':
      // The first that fits, in the order in which they are written.
      return ({ tags }) => String(patterns.findIndex((test) => tags.some(({ name }) => test(name))))
  }
}

/** An image with several versions counts as the highest. */
function highestVersion({ tags }: ImageFacts, versionOf: (tag: string) => SemanticVersion | undefined): SemanticVersion | undefined {
  let highest: SemanticVersion | undefined
  for (const { name } of tags) {
    const version = versionOf(name)
    if (version !== undefined && (highest === undefined || compareVersions(version, highest) > 0)) highest = version
  }
  return highest
}

function keyOf(version: SemanticVersion | undefined): VersionKey | undefined {
  return version === undefined ? undefined : versionKey(version)
}

function selectionWords(rule: RetentionRule): string {
  const { tags, notTags, labels, annotations, storage } = rule
  const classes = rule.classes === undefined ? 'images' : rule.classes.map((name) => classWords[name]).join(' and ')
  const kinds = [storage === 'archived' || rule.since === 'archived' ? 'archived' : '', rule.untagged ? 'untagged' : '', rule.neverPulled ? 'never pulled' : '']
  const first = [...kinds.filter((word) => word !== ''), classes].join(' ')
  const details: string[] = []
  if (tags !== undefined) details.push(`tagged ${tags.join(' or ')}`)
  if (wantsVersions(rule)) details.push(versionWords(rule))
  if (notTags !== undefined) details.push(`without a tag ${notTags.join(' or ')}`)
  if (labels !== undefined) details.push(`with ${mapWords('label', labels)}`)
  if (annotations !== undefined) details.push(`with ${mapWords('annotation', annotations)}`)
  return [first, ...details].join(' ')
}

const classWords = {
  image: 'images',
  index: 'indexes',
  cache: 'build caches',
  chart: 'charts',
  signature: 'signatures',
  sbom: 'bills of materials',
  attestation: 'attestations',
  other: 'other artifacts',
} as const

function versionWords({ versions, prereleases = 'include' }: RetentionRule): string {
  const which = prereleases === 'include' ? 'version' : prereleases === 'only' ? 'pre-release' : 'release'
  return versions === undefined ? `tagged with a ${which}` : `tagged with a ${which} in ${versions}`
}

function mapWords(what: string, map: Readonly<Record<string, string>>): string {
  return Object.entries(map)
    .map(([name, pattern]) => `the ${what} ${name}=${pattern}`)
    .join(' and ')
}

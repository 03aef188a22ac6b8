import fc, { type Arbitrary } from 'fast-check'
import type { ArtifactClass, ImageFacts } from '../../src/lifecycle/policy/index.ts'
import type { ModelEcrRule, ModelPolicy, ModelRetentionRule } from './lifecycle-model.ts'

/*
 * Random policies and images that meet: few tags, patterns and ages, so that rules overlap, times are equal, and ages lie on
 * the border to the millisecond.
 */

export const dayMs = 86_400_000
export const nowMs = Date.UTC(2026, 5, 1, 12)

/** Half of the time. */
const maybe = <Value>(value: Arbitrary<Value>): Arbitrary<Value | undefined> => fc.oneof(fc.constant(undefined), value)

/** A quarter of the time. */
const sometimes = <Value>(value: Arbitrary<Value>): Arbitrary<Value | undefined> => fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value })

export interface LifecycleCase {
  readonly policies: readonly ModelPolicy[]
  readonly images: readonly ImageFacts[]
}

const tagNames = ['prod-1', 'prod-2', 'beta-1', 'prod', 'PROD-3', 'latest', '1.0.0', '1.0.1', 'v1.1.0', 'v1.1.0-rc.1', 'v1.1.0-rc.2', '1.1.0-rc.10', '1.1.0-alpha', '2.0.0', '2.0', '1', '0.1.2', '300000.1.0', '1.02.3'] as const
const starPatterns = ['*', 'prod*', 'prod-*', '*-1', 'beta-1', '*o*-*', 'v*', 'x*', '1.*'] as const
const expressions = ['/prod-\\d/', '/(prod|beta)-[12]/', '/v?1\\.\\d+\\.\\d+(-.*)?/', '/prod-\\d/i', '/[^p].*/', '/(.-?)+1/'] as const
const ranges = ['>=1.0.1', '<2', '^1.0.1', '~1.1', '1.x', '>=1 <1.1.0 || 2.0.x', '^0.1.1', '~1'] as const

/** Around the borders of rules of 1, 2 and 3 days. */
const ages = fc.oneof(
  fc.integer({ min: 0, max: 5 }).map((days) => days * dayMs),
  fc.tuple(fc.integer({ min: 1, max: 3 }), fc.constantFrom(-1, 1)).map(([days, more]) => days * dayMs + more),
  fc.integer({ min: 0, max: 6 * dayMs }),
)
const dayCounts = fc.integer({ min: 1, max: 3 })
const counts = fc.integer({ min: 1, max: 4 })

const labelMaps = fc.dictionary(fc.constantFrom('team', 'stage'), fc.constantFrom('shop', 'pay', ''), { maxKeys: 2, noNullPrototype: true })

const artifactClasses: Arbitrary<ArtifactClass> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom<ArtifactClass>('image', 'index') },
  { weight: 1, arbitrary: fc.constantFrom<ArtifactClass>('cache', 'signature', 'chart', 'other') },
)

const imageDetails = fc.record({
  tags: fc.uniqueArray(fc.constantFrom(...tagNames), { maxLength: 3 }),
  storageClass: fc.oneof({ weight: 8, arbitrary: fc.constant('active' as const) }, { weight: 3, arbitrary: fc.constantFrom('archived' as const, 'activating' as const) }),
  pushedAgo: ages,
  taggedAfter: fc.array(fc.nat({ max: 4 * dayMs }), { minLength: 3, maxLength: 3 }),
  pulledAfter: maybe(fc.oneof(fc.nat({ max: 4 * dayMs }), dayCounts.map((count) => count * dayMs))),
  usedAfter: maybe(fc.nat({ max: 4 * dayMs })),
  activatedAfter: sometimes(fc.nat({ max: 4 * dayMs })),
  archivedAgo: ages,
  artifactClass: artifactClasses,
  isPartOfUnit: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  labels: labelMaps,
  annotations: labelMaps,
  notice: sometimes(fc.record({ action: fc.constantFrom('expire' as const, 'transition' as const, undefined), since: ages, lasts: fc.oneof(ages, fc.constantFrom(dayMs, 2 * dayMs)) })),
  isUnread: fc.oneof({ weight: 6, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
})

function imageOf(manifestId: number, details: typeof imageDetails extends Arbitrary<infer Details> ? Details : never): ImageFacts {
  const pushedAt = nowMs - details.pushedAgo
  const after = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : Math.min(nowMs, pushedAt + ms))
  return {
    manifestId,
    tags: details.tags.map((name, index) => ({ name, taggedAt: after(details.taggedAfter[index])! })),
    storageClass: details.storageClass,
    pushedAt,
    lastPulledAt: after(details.pulledAfter),
    lastUsedAt: after(details.usedAfter),
    lastActivatedAt: after(details.activatedAfter),
    lastArchivedAt: details.storageClass === 'archived' ? nowMs - details.archivedAgo : undefined,
    artifactClass: details.artifactClass,
    isPartOfUnit: details.isPartOfUnit,
    labels: details.labels,
    annotations: details.annotations,
    isUnread: details.isUnread,
    notice: details.notice && noticeOf(details.notice),
  }
}

function noticeOf({ action, since, lasts }: { action: 'expire' | 'transition' | undefined; since: number; lasts: number }): ImageFacts['notice'] {
  return { action, since: nowMs - since, until: action === undefined ? undefined : nowMs - since + lasts }
}

/** In an order that has nothing to do with their ids. */
const imageLists = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 40 }), imageDetails), { maxLength: 16, size: 'max' })
  .map((list) => [...new Map(list)].map(([manifestId, details]) => imageOf(manifestId, details)))

const tagLists = fc.uniqueArray(fc.constantFrom(...starPatterns), { minLength: 1, maxLength: 2 })

const standardSelections = fc.oneof(
  { weight: 4, arbitrary: tagLists.map((tagPatternList) => ({ tagStatus: 'tagged', tagPatternList })) },
  { weight: 2, arbitrary: fc.constantFrom('prod', 'v', '1').map((prefix) => ({ tagStatus: 'tagged', tagPrefixList: [prefix] })) },
  { weight: 1, arbitrary: fc.constantFrom({ tagStatus: 'untagged' }, { tagStatus: 'any' }, { tagStatus: 'any', storageClass: 'standard' }) },
)

const archive = { type: 'transition', targetStorageClass: 'archive' } as const
const expire = { type: 'expire' } as const
const days = { countUnit: 'days' } as const

const ecrRules = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(standardSelections, counts, fc.constantFrom(expire, archive)).map(([selection, countNumber, action]) => ({ selection: { ...selection, countType: 'imageCountMoreThan', countNumber }, action })) },
  { weight: 4, arbitrary: fc.tuple(standardSelections, dayCounts, fc.constantFrom(expire, archive)).map(([selection, countNumber, action]) => ({ selection: { ...selection, countType: 'sinceImagePushed', ...days, countNumber }, action })) },
  { weight: 2, arbitrary: fc.tuple(standardSelections, dayCounts).map(([selection, countNumber]) => ({ selection: { ...selection, countType: 'sinceImagePulled', ...days, countNumber }, action: archive })) },
  { weight: 2, arbitrary: fc.tuple(fc.oneof(tagLists.map((tagPatternList) => ({ tagStatus: 'tagged', tagPatternList })), fc.constantFrom({ tagStatus: 'any' }, { tagStatus: 'untagged' })), dayCounts).map(([selection, countNumber]) => ({ selection: { ...selection, storageClass: 'archive', countType: 'sinceImageTransitioned', ...days, countNumber }, action: expire })) },
)

/** Rules with priorities in a random order; `any` last in its class, and nothing twice that may not be. */
const ecrPolicies: Arbitrary<ModelPolicy> = fc.tuple(fc.array(ecrRules, { minLength: 1, maxLength: 5, size: 'max' }), fc.integer()).map(([rules, turn]) => {
  const known = new Set<string>()
  const legal = rules.filter(({ selection }) => {
    const { tagStatus, storageClass = 'standard', tagPatternList, tagPrefixList } = selection as ModelEcrRule['selection']
    const key = JSON.stringify([storageClass, tagStatus, [...(tagPatternList ?? [])].sort(), tagPrefixList])
    if (known.has(key)) return false
    known.add(key)
    return true
  })
  const ordered = legal.toSorted((a, b) => Number(a.selection.tagStatus === 'any') - Number(b.selection.tagStatus === 'any'))
  const numbered = ordered.map((rule, index): ModelEcrRule => ({ rulePriority: index * 3 + 1, ...rule }))
  const at = Math.abs(turn) % numbered.length
  return { grammar: 'ecr' as const, rules: [...numbered.slice(at), ...numbered.slice(0, at)] }
})

const patterns = fc.constantFrom(...starPatterns, ...expressions)

const retentionMembers = fc.record({
  action: fc.constantFrom('delete' as const, 'delete' as const, 'archive' as const, 'keep' as const),
  tags: maybe(fc.uniqueArray(patterns, { minLength: 1, maxLength: 3 })),
  notTags: sometimes(fc.uniqueArray(patterns, { minLength: 1, maxLength: 2 })),
  tagMatch: maybe(fc.constantFrom('any' as const, 'all' as const)),
  versions: sometimes(fc.constantFrom(...ranges)),
  prereleases: sometimes(fc.constantFrom('include' as const, 'exclude' as const, 'only' as const)),
  kind: fc.constantFrom('tags', 'tags', 'tags', 'all', 'untagged'),
  neverPulled: fc.constantFrom(undefined, undefined, undefined, true as const),
  labels: fc.constantFrom(undefined, undefined, undefined, { team: 'sh*' }, { stage: '*', team: 'pay' }),
  annotations: fc.constantFrom(undefined, undefined, undefined, { team: '*' }),
  classes: sometimes(fc.uniqueArray(fc.constantFrom('image', 'index', 'cache', 'signature'), { minLength: 1, maxLength: 3 })),
  storage: fc.constantFrom(undefined, undefined, 'active' as const, 'archived' as const, 'any' as const),
  age: maybe(fc.constantFrom('1d', '2d', '3d', '24h', '36h', '1w')),
  since: maybe(fc.constantFrom('pushed', 'tagged', 'pulled', 'used', 'archived')),
  count: maybe(counts),
  notice: maybe(fc.constantFrom('1d', '2d', '12h')),
  by: maybe(fc.constantFrom('pushed', 'tagged', 'pulled', 'used', 'version')),
  per: maybe(fc.constantFrom('major' as const, 'minor' as const, 'pattern' as const)),
})

/** Leaves out what may not be together; what remains is a rule that the grammar takes. */
const retentionRules = retentionMembers.map((drawn): Omit<ModelRetentionRule, 'name'> => {
  const { action, kind, labels, annotations, classes, neverPulled } = drawn
  const count = drawn.count ?? (action !== 'keep' && drawn.age === undefined ? 2 : undefined)
  const isTagged = kind === 'tags'
  const tags = isTagged ? drawn.tags : undefined
  const per = count === undefined || kind === 'untagged' || (drawn.per === 'pattern' && (tags?.length ?? 0) < 2) ? undefined : drawn.per
  const wantsPulls = (word: string | undefined): boolean => neverPulled === true && word === 'pulled'
  const by = count === undefined || wantsPulls(drawn.by) || (drawn.by === 'version' && kind === 'untagged') ? undefined : drawn.by
  const storage = action === 'archive' && drawn.storage !== 'active' ? undefined : drawn.storage
  const since = drawn.age === undefined || wantsPulls(drawn.since) || (drawn.since === 'archived' && (action !== 'delete' || storage === 'active')) ? undefined : drawn.since
  const versions = isTagged ? drawn.versions : undefined
  const prereleases = isTagged ? drawn.prereleases : undefined
  const asksTags = tags !== undefined || versions !== undefined || prereleases !== undefined || by === 'version' || per === 'major' || per === 'minor'
  const members = {
    action,
    tags,
    notTags: kind === 'untagged' ? undefined : drawn.notTags,
    tagMatch: asksTags ? drawn.tagMatch : undefined,
    versions,
    prereleases,
    untagged: kind === 'untagged' ? true : undefined,
    neverPulled,
    labels,
    annotations,
    classes,
    storage,
    [action === 'keep' ? 'youngerThan' : 'olderThan']: drawn.age,
    since,
    [action === 'keep' ? 'newest' : 'exceptNewest']: count,
    by,
    per,
    notice: action === 'keep' ? undefined : drawn.notice,
  }
  return JSON.parse(JSON.stringify(members)) as Omit<ModelRetentionRule, 'name'>
})

const retentionPolicies: Arbitrary<ModelPolicy> = fc
  .array(retentionRules, { minLength: 1, maxLength: 4, size: 'max' })
  .map((rules) => ({ grammar: 'retention' as const, rules: rules.map((rule, index) => ({ name: `rule-${index}`, ...rule })) }))

/** One ECR policy and several of retention, as of a registry, a prefix and a repository. */
const policySets: Arbitrary<readonly ModelPolicy[]> = fc.oneof(
  { weight: 3, arbitrary: ecrPolicies.map((policy) => [policy]) },
  { weight: 3, arbitrary: retentionPolicies.map((policy) => [policy]) },
  { weight: 2, arbitrary: fc.tuple(maybe(ecrPolicies), fc.array(retentionPolicies, { minLength: 1, maxLength: 3 })).map(([ecr, others]) => (ecr === undefined ? others : [ecr, ...others])) },
)

export const lifecycleCases: Arbitrary<LifecycleCase> = fc.record({ policies: policySets, images: imageLists })

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { ImageFacts } from './image-facts.ts'
import { dayMs, image, nowMs, outcome } from './policy.test-support.ts'
import { parseRetentionPolicy } from './retention-grammar.ts'

const page = readFileSync(join(import.meta.dirname, '../../../docs/reference/retention-policy.md'), 'utf8')
const examples = [...page.matchAll(/```json\n(?<policy>.*?)```/gsu)].map(({ groups }) => parseRetentionPolicy(groups!['policy']!).policy)

function example(name: string) {
  const policy = examples.find(({ rules }) => rules.some((rule) => rule.name === name))
  if (policy === undefined) throw new Error(`the page has no rule ${name}`)
  return policy
}

function removed(name: string, images: readonly ImageFacts[]) {
  return outcome([example(name)], images)
}

function tagged(manifestId: number, pushedDaysAgo: number, ...tags: readonly string[]): ImageFacts {
  return image(manifestId, { pushedDaysAgo, tags })
}

describe('the examples of docs/reference/retention-policy.md', () => {
  test('are eleven', () => {
    expect(examples).toHaveLength(11)
  })

  test('previews: an image that is a release too stays', () => {
    const images = [tagged(1, 15, 'pr-1'), tagged(2, 14, 'pr-2'), tagged(3, 99, 'pr-3', 'v1.4.0'), tagged(4, 99, 'pr-4', 'preview-4'), tagged(5, 99, 'main')]
    expect(removed('previews', images)).toEqual({ 1: 'expire by 1', 4: 'expire by 1' })
  })

  test('overwritten', () => {
    const images = [image(1, { pushedDaysAgo: 8 }), tagged(2, 8, 'a'), image(3, { pushedDaysAgo: 7 }), image(4, { pushedDaysAgo: 9, isPartOfUnit: true }), image(5, { pushedDaysAgo: 9, artifactClass: 'signature' })]
    expect(removed('overwritten', images)).toEqual({ 1: 'expire by 1' })
  })

  test('old: age and count', () => {
    const images = Array.from({ length: 12 }, (_, index) => image(index + 1, { pushedDaysAgo: 100 - index }))
    expect(outcome([examples[2]!], images)).toEqual({ 1: 'expire by 1', 2: 'expire by 1' })
    expect(outcome([examples[2]!], images.map((each) => ({ ...each, pushedAt: nowMs - dayMs })))).toEqual({})
  })

  test('patches and candidates', () => {
    const tags = ['1.4.9', '1.4.10', '1.4.11', '1.4.12', '1.5.0', '1.5.1-rc.1', 'v1.4.8', '0.9.0']
    const images = tags.map((tag, index) => tagged(index + 1, 31, tag))
    // 1.4.10 and above are the newest three, by version and not by name.
    expect(removed('patches', images)).toEqual({ 1: 'expire by 1', 6: 'expire by 2', 7: 'expire by 1' })
  })

  test('patches: the image with the moving tags is counted, and stays', () => {
    const images = [tagged(1, 4, '1.4.1'), tagged(2, 3, '1.4.2'), tagged(3, 2, '1.4.3'), tagged(4, 1, '1.4.4', '1.4', '1', 'latest')]
    expect(removed('patches', images)).toEqual({ 1: 'expire by 1' })
  })

  test('unused, but releases stay', () => {
    const images = [tagged(1, 90, 'abc'), tagged(2, 90, 'v1.0.0', 'abd'), tagged(3, 90, 'release-7'), { ...tagged(4, 90, 'abe'), lastUsedAt: nowMs - dayMs }, { ...tagged(5, 90, 'abf'), lastPulledAt: nowMs - dayMs }]
    expect(removed('unused', images)).toEqual({ 1: 'expire by 1' })
  })

  test('branches: each by itself', () => {
    const images = Array.from({ length: 18 }, (_, index) => tagged(index + 1, 30 - index, `${['main', 'develop', 'feature'][index % 3]!}-${index}`))
    expect(removed('branches', images)).toEqual({ 1: 'expire by 1', 2: 'expire by 1', 3: 'expire by 1' })
  })

  test('cold and forgotten', () => {
    const archived = (manifestId: number, days: number) => image(manifestId, { pushedDaysAgo: 900, storageClass: 'archived', lastArchivedAt: nowMs - days * dayMs })
    const images = [image(1, { pushedDaysAgo: 91 }), image(2, { pushedDaysAgo: 91, lastPulledAt: nowMs - dayMs }), archived(3, 365), archived(4, 366)]
    expect(removed('cold', images)).toEqual({ 1: 'transition by 1', 4: 'expire by 2' })
  })

  test('audited', () => {
    const images = [image(1, { pushedDaysAgo: 31 }), image(2, { pushedDaysAgo: 31, labels: { 'com.example.audit': '2026' } }), image(3, { pushedDaysAgo: 31, labels: { 'com.example.other': '1' } })]
    expect(removed('audited', images)).toEqual({ 1: 'expire by 1', 3: 'expire by 1' })
    expect(example('audited').needs).toEqual({ labels: true, annotations: false, tagTimes: false, pulls: false, uses: false })
  })

  test('unwanted', () => {
    const images = [tagged(1, 31, 'x'), tagged(2, 31, 'v1'), { ...tagged(3, 31, 'x'), lastPulledAt: nowMs - 30 * dayMs }, image(4, { pushedDaysAgo: 31 })]
    expect(removed('unwanted', images)).toEqual({ 1: 'expire by 1', 4: 'expire by 1' })
  })

  test('releases: with notice, and the newest five stay', () => {
    const told = (since: number, until: number): ImageFacts['notice'] => ({ action: 'expire', since: nowMs - since * dayMs, until: nowMs - until * dayMs })
    const old = [{ ...tagged(1, 410, 'v1'), notice: told(31, 1) }, { ...tagged(2, 400, 'v2'), notice: told(29, -1) }, tagged(3, 390, 'v3')]
    const images = [...old, ...Array.from({ length: 5 }, (_, index) => tagged(4 + index, 380, `v${4 + index}`))]
    const policy = [...examples.filter(({ rules: [rule] }) => rule!.notice !== undefined)]
    expect(policy).toMatchObject([{ rules: [{ notice: { words: '30 days', blockMs: 7 * dayMs, reason: 'older than a year' } }] }])
    expect(outcome(policy, images)).toEqual({ 1: 'expire by 1' })
  })

  test('caches', () => {
    const images = [image(1, { pushedDaysAgo: 8, artifactClass: 'cache' }), image(2, { pushedDaysAgo: 8 })]
    expect(removed('caches', images)).toEqual({ 1: 'expire by 1' })
  })
})

describe('a retention policy keeps, whatever a lifecycle policy says', () => {
  test('and another of its kind', async () => {
    const { parseEcrPolicy } = await import('./ecr-grammar.ts')
    const ecr = parseEcrPolicy(JSON.stringify({ rules: [{ rulePriority: 1, selection: { tagStatus: 'any', countType: 'imageCountMoreThan', countNumber: 1 }, action: { type: 'expire' } }] }), { strict: true, checkLength: false }).policy
    const images = [tagged(1, 99, 'v1.0.0'), tagged(2, 98, 'abc'), tagged(3, 1, 'abd')]
    expect(outcome([ecr, example('unused')], images)).toEqual({ 2: 'expire by 1' })
  })
})

describe('is refused', () => {
  const rule = { name: 'a', action: 'delete', olderThan: '1d' }
  test.each<[unknown, RegExp]>([
    ['x', /not JSON/u],
    [{}, /no list of "rules"/u],
    [{ rules: [] }, /no list of "rules"/u],
    [{ rules: [rule], more: 1 }, /has the member "more"/u],
    [{ rules: [rule, rule] }, /name of another/u],
    [{ rules: [{ ...rule, name: undefined }] }, /no "name"/u],
    [{ rules: [{ ...rule, name: 'A b' }] }, /small letters/u],
    [{ rules: [{ ...rule, action: undefined }] }, /no "action"/u],
    [{ rules: [{ ...rule, action: 'expire' }] }, /delete, archive or keep/u],
    [{ rules: [{ ...rule, tag: ['a'] }] }, /"tags" is meant/u],
    [{ rules: [{ ...rule, olderthan: '1d' }] }, /"olderThan" is meant/u],
    [{ rules: [{ ...rule, olderThan: 30 }] }, /such as "12h"/u],
    [{ rules: [{ ...rule, olderThan: '0d' }] }, /such as "12h"/u],
    [{ rules: [{ ...rule, olderThan: '99999w' }] }, /a hundred years/u],
    [{ rules: [{ ...rule, olderThan: undefined }] }, /neither "olderThan" nor "exceptNewest"/u],
    [{ rules: [{ ...rule, untagged: false }] }, /only true/u],
    [{ rules: [{ ...rule, untagged: true, tags: ['a'] }] }, /says nothing of tags/u],
    [{ rules: [{ ...rule, newest: 3 }] }, /has "exceptNewest"/u],
    [{ rules: [{ name: 'a', action: 'keep', olderThan: '3d' }] }, /has "youngerThan"/u],
    [{ rules: [{ ...rule, exceptNewest: 0 }] }, /whole number/u],
    [{ rules: [{ ...rule, by: 'pushed' }] }, /without a count/u],
    [{ rules: [{ ...rule, per: 'minor' }] }, /without a count/u],
    [{ rules: [{ ...rule, exceptNewest: 1, since: 'pulled', olderThan: undefined }] }, /"since" without an age/u],
    [{ rules: [{ ...rule, exceptNewest: 1, per: 'pattern', tags: ['a'] }] }, /several "tags"/u],
    [{ rules: [{ ...rule, tagMatch: 'any' }] }, /without "tags"/u],
    [{ rules: [{ ...rule, neverPulled: true, since: 'pulled' }] }, /never pulled/u],
    [{ rules: [{ ...rule, action: 'archive', storage: 'archived' }] }, /about active images/u],
    [{ rules: [{ ...rule, action: 'archive', since: 'archived' }] }, /deletes archived images/u],
    [{ rules: [{ ...rule, tags: ['a/b'] }] }, /fits no tag/u],
    [{ rules: [{ ...rule, tags: ['/(a/'] }] }, /cannot be read: a "\(" has no "\)"/u],
    [{ rules: [{ ...rule, tags: [] }] }, /a list of 1 to 50/u],
    [{ rules: [{ ...rule, versions: '>>1' }] }, /wrong "versions"/u],
    [{ rules: [{ name: 'a', action: 'keep', newest: 3, notice: '3d' }] }, /gives no "notice"/u],
    [{ rules: [{ ...rule, blockFor: '3d' }] }, /"blockFor" without "notice"/u],
    [{ rules: [{ ...rule, notice: '3d', blockFor: '4d' }] }, /longer than its "notice"/u],
    [{ rules: [{ ...rule, reason: 'old' }] }, /nobody would be told/u],
    [{ rules: [{ ...rule, notice: '3d', reason: 'old\nand more' }] }, /in one line/u],
    [{ rules: [{ ...rule, labels: {} }] }, /an object of names/u],
    [{ rules: [{ ...rule, classes: ['images'] }] }, /image, index, cache/u],
    [{ rules: Array.from({ length: 101 }, (_, index) => ({ ...rule, name: `r${index}` })) }, /it may have 100/u],
    [' '.repeat(30_721), /30720/u],
  ])('%j', (document, problem) => {
    const text = typeof document === 'string' ? document : JSON.stringify(document)
    expect(() => parseRetentionPolicy(text)).toThrow(problem)
  })
})

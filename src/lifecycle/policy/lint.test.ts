import { describe, expect, test } from 'vitest'
import { lintPolicy } from './lint.ts'
import type { MisreadingCode } from './misreading.ts'

const description = 'long enough a text that the whole is never too short for what ECR wants to have, which is a hundred'
const expire = { type: 'expire' }
const byAge = { countType: 'sinceImagePushed', countUnit: 'days', countNumber: 30 }
const byCount = { countType: 'imageCountMoreThan', countNumber: 10 }
const untagged = { tagStatus: 'untagged', ...byAge }

function tagged(patterns: readonly string[], more: object = byCount) {
  return { tagStatus: 'tagged', tagPatternList: patterns, ...more }
}

function ecr(...selections: readonly object[]): string {
  return JSON.stringify({ rules: selections.map((selection, index) => ({ rulePriority: index + 1, description, selection, action: expire })) })
}

function retention(...rules: readonly object[]): string {
  return JSON.stringify({ rules: rules.map((rule, index) => ({ name: `r${index + 1}`, ...rule })) })
}

/** Codes with their rules, such as `never-acts rule 2`. */
function warnings(text: string): readonly string[] {
  return lintPolicy(text).findings.map(({ severity, code, rule }) => (severity === 'error' ? 'refused' : `${code} ${rule ?? ''}`.trim()))
}

describe("a policy in ECR's grammar", () => {
  test('says what each rule does', () => {
    const { rules, findings } = lintPolicy(ecr(untagged, tagged(['prod*'])))
    expect(rules).toEqual([
      { name: 'rule 1', text: 'deletes untagged images pushed more than 30 days ago.' },
      { name: 'rule 2', text: 'deletes images that have a tag matching prod*, but for the newest 10.' },
    ])
    expect(findings).toEqual([])
  })

  test.each<[MisreadingCode, string, string]>([
    ['all-patterns-at-once', 'rule 1', ecr(tagged(['a*', 'b*']))],
    ['exact-pattern', 'rule 1', ecr(tagged(['prod']))],
    ['star-in-prefix', 'rule 1', ecr({ tagStatus: 'tagged', tagPrefixList: ['prod*'], ...byCount })],
    ['fits-no-tag', 'rule 1', ecr(tagged(['team/*']))],
    ['never-acts', 'rule 2', ecr(tagged(['prod*']), tagged(['prod-1*']))],
    ['never-acts', 'rule 2', ecr(tagged(['*']), { tagStatus: 'tagged', tagPrefixList: ['dev'], ...byCount })],
    ['count-keeps-nothing', 'rule 2', ecr(tagged(['*'], byAge), { tagStatus: 'any', ...byCount })],
    ['age-empties', 'rule 1', ecr({ tagStatus: 'any', ...byAge })],
    ['any-takes-the-rest', 'rule 2', ecr(untagged, { tagStatus: 'any', ...byCount })],
    ['counts-everything', 'rule 1', ecr({ tagStatus: 'any', ...byCount })],
    ['nothing-archives', 'rule 1', ecr({ tagStatus: 'any', storageClass: 'archive', countType: 'sinceImageTransitioned', countUnit: 'days', countNumber: 90 })],
  ])('%s of %s', (code, rule, text) => {
    expect(warnings(text)).toContain(`${code} ${rule}`)
  })

  test('has no warning of what is not so', () => {
    expect(warnings(ecr(tagged(['prod-1*']), tagged(['prod*'])))).toEqual([])
    expect(warnings(ecr(untagged, tagged(['dev*'])))).toEqual([])
  })

  test('in the copied form is read, and in strict mode refused with a hint', () => {
    const copied = JSON.stringify({ rules: [{ rulePriority: 1, description, action: expire, filter: { tagStatus: 'UNTAGGED', lastModified: { days: 30 } } }] })
    expect(warnings(copied)).toEqual(['rewritten'])
    expect(lintPolicy(copied, { strict: true }).findings).toMatchObject([{ severity: 'error', code: 'refused', text: expect.stringContaining('Hint: ') }])
  })

  test('that is none is an error', () => {
    expect(warnings('x'.repeat(200))).toEqual(['refused'])
  })

  const refusalOf = (text: string) => lintPolicy(text).findings.map((finding) => finding.text)
  const noSchemaFits = "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: instance failed to match exactly one schema (matched 0 out of 2)'"

  test.each([
    ['has no "countUnit": beside "countType": "sinceImagePushed" stands "countUnit": "days".', { tagStatus: 'any', countType: 'sinceImagePushed', countNumber: 30 }],
    ['counts images, and so must have no "countUnit".', { tagStatus: 'any', ...byCount, countUnit: 'days' }],
    ['deletes by the last pull, by which a rule of ECR can only archive. A retention policy can: "since": "pulled".', { tagStatus: 'any', ...byAge, countType: 'sinceImagePulled' }],
  ])("whose refusal does not say why is told so behind ECR's words: %s", (cause, selection) => {
    expect(refusalOf(ecr(untagged, selection))).toEqual([`${noSchemaFits} Rule 2 ${cause}`])
  })

  test("whose refusal says enough, or nothing that is easily told, is refused in ECR's words alone", () => {
    expect(refusalOf(ecr({ tagStatus: 'any', countType: 'olderThan', countNumber: 30 }))).toEqual([noSchemaFits])
    const both = refusalOf(ecr({ tagStatus: 'any', countNumber: 30 }, { tagStatus: 'any', countType: 'sinceImagePushed', countNumber: 30 }))
    expect(both).toEqual([expect.stringMatching(/has missing required properties \(\["countType"\]\)'$/u)])
  })

  test('behind a byte order mark is refused as where it is put, which is said', () => {
    for (const [grammar, text] of [['ecr', ecr(untagged)], ['retention', retention({ action: 'keep', newest: 5 })]] as const) {
      const report = lintPolicy(`\uFEFF${text}`)
      expect([report.grammar, report.findings]).toEqual([grammar, [expect.objectContaining({ code: 'refused', text: expect.stringContaining('begins with a byte order mark') })]])
    }
  })
})

describe('a retention policy', () => {
  test('says what each rule does', () => {
    const { grammar, rules } = lintPolicy(
      retention(
        { action: 'keep', versions: '>=1', newest: 3, per: 'minor' },
        { action: 'delete', tags: ['pr-*'], olderThan: '2w', since: 'pulled', exceptNewest: 5 },
        { action: 'archive', olderThan: '90d' },
        { action: 'keep', labels: { stage: 'prod' }, youngerThan: '1d' },
      ),
    )
    expect(grammar).toBe('retention')
    expect(rules.map(({ text }) => text)).toEqual([
      'keeps the highest 3 by version of each minor version of images tagged with a version in >=1.',
      'deletes images tagged pr-*, but for the newest 5, when they were last pulled more than 2 weeks ago.',
      'archives images pushed more than 90 days ago.',
      'keeps images with the label stage=prod pushed within the last 1 day.',
    ])
  })

  test.each<[MisreadingCode, string, string]>([
    ['never-acts', 'r1', retention({ action: 'delete', tags: ['v1*'], notTags: ['v*'], olderThan: '1d' })],
    ['never-acts', 'r1', retention({ action: 'delete', tags: ['v1*'], olderThan: '1d' }, { action: 'keep', tags: ['v*'] })],
    ['keeps-everything', 'r1', retention({ action: 'keep' })],
    ['counted-together', 'r1', retention({ action: 'keep', tags: ['a*', 'b*'], newest: 3 })],
    ['age-empties', 'r1', retention({ action: 'delete', olderThan: '30d' })],
    ['takes-untagged', 'r1', retention({ action: 'delete', notTags: ['v*'], olderThan: '30d' })],
    ['other-tags-lost', 'r1', retention({ action: 'delete', tags: ['pr-*'], tagMatch: 'any', olderThan: '30d' })],
  ])('%s of %s', (code, rule, text) => {
    expect(warnings(text)).toContain(`${code} ${rule}`)
  })

  test('has no warning of what is not so', () => {
    expect(warnings(retention({ action: 'delete', olderThan: '30d' }, { action: 'keep', newest: 5 }))).toEqual([])
    expect(warnings(retention({ action: 'delete', tags: ['pr-*'], olderThan: '30d', exceptNewest: 2 }, { action: 'keep', tags: ['v*'] }))).toEqual([])
  })
})

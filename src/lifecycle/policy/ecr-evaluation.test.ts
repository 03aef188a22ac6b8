import { describe, expect, test } from 'vitest'
import { parseEcrPolicy } from './ecr-grammar.ts'
import { Evaluation } from './evaluation.ts'
import type { ImageFacts } from './image-facts.ts'
import { dayMs, image, nowMs, outcome } from './policy.test-support.ts'

interface RuleWords {
  readonly tagStatus?: string
  readonly patterns?: readonly string[]
  readonly storageClass?: string
  readonly more?: number
  readonly pushed?: number
  readonly pulled?: number
  readonly archived?: number
  readonly action?: 'transition'
}

function policyOf(...rules: readonly RuleWords[]) {
  const document = {
    rules: rules.map(({ tagStatus, patterns, storageClass, more, pushed, pulled, archived, action }, index) => ({
      rulePriority: (index + 1) * 10,
      selection: {
        tagStatus: tagStatus ?? 'tagged',
        ...(patterns === undefined ? {} : { tagPatternList: patterns }),
        ...(storageClass === undefined ? {} : { storageClass }),
        ...(more === undefined ? {} : { countType: 'imageCountMoreThan', countNumber: more }),
        ...(pushed === undefined ? {} : { countType: 'sinceImagePushed', countUnit: 'days', countNumber: pushed }),
        ...(pulled === undefined ? {} : { countType: 'sinceImagePulled', countUnit: 'days', countNumber: pulled }),
        ...(archived === undefined ? {} : { countType: 'sinceImageTransitioned', countUnit: 'days', countNumber: archived }),
      },
      action: action === undefined ? { type: 'expire' } : { type: action, targetStorageClass: 'archive' },
    })),
  }
  return parseEcrPolicy(JSON.stringify(document), { strict: true, checkLength: false }).policy
}

const [A, B, C, D, E, F] = [1, 2, 3, 4, 5, 6] as const

/** The images of the user guide's examples: tags, and the age in days. */
function images(...facts: readonly (readonly [tags: readonly string[], pushedDaysAgo: number])[]): readonly ImageFacts[] {
  return facts.map(([tags, pushedDaysAgo], index) => image(index + 1, { tags, pushedDaysAgo }))
}

describe('the examples of the Amazon ECR user guide', () => {
  const multipleRules = images([['beta-1', 'prod-1'], 10], [['beta-2', 'prod-2'], 9], [['beta-3'], 8])

  test('multiple rules, A', () => {
    const policy = policyOf({ patterns: ['prod*'], more: 1 }, { patterns: ['beta*'], more: 1 })
    expect(outcome([policy], multipleRules)).toEqual({ [A]: 'expire by 10' })
  })

  test('multiple rules, B', () => {
    const policy = policyOf({ patterns: ['beta*'], more: 1 }, { patterns: ['prod*'], more: 1 })
    expect(outcome([policy], multipleRules)).toEqual({ [A]: 'expire by 10', [B]: 'expire by 10' })
  })

  test('multiple tags in a single rule, A', () => {
    const policy = policyOf({ patterns: ['alpha*', 'beta*'], pushed: 5 })
    const facts = images([['alpha-1'], 12], [['beta-1'], 11], [['alpha-2', 'beta-2'], 10], [['alpha-3'], 4], [['beta-3'], 3], [['alpha-4', 'beta-4'], 2])
    expect(outcome([policy], facts)).toEqual({ [C]: 'expire by 10' })
    // F comes when it is older than five days.
    expect(outcome([policy], facts, nowMs + 3 * dayMs)).toEqual({ [C]: 'expire by 10' })
    expect(outcome([policy], facts, nowMs + 3 * dayMs + 1)).toEqual({ [C]: 'expire by 10', [F]: 'expire by 10' })
  })

  test('multiple tags in a single rule, B', () => {
    const policy = policyOf({ patterns: ['alpha*', 'beta*'], more: 1 })
    const facts = images([['alpha-1', 'beta-1', 'gamma-1'], 10], [['alpha-2', 'beta-2'], 9], [['alpha-3', 'beta-3', 'gamma-2'], 8])
    expect(outcome([policy], facts)).toEqual({ [A]: 'expire by 10', [B]: 'expire by 10' })
  })

  test('all images, A', () => {
    const policy = policyOf({ tagStatus: 'any', more: 1 })
    const facts = images([['alpha-1'], 4], [['beta-1'], 3], [[], 2], [['alpha-2'], 1])
    expect(outcome([policy], facts)).toEqual({ [A]: 'expire by 10', [B]: 'expire by 10', [C]: 'expire by 10' })
  })

  test('all images, B', () => {
    const policy = policyOf({ patterns: ['alpha*'], more: 1 }, { tagStatus: 'untagged', pushed: 1 }, { tagStatus: 'any', more: 1 })
    const facts = images([['alpha-1', 'beta-1'], 4], [[], 3], [['alpha-2'], 2], [['git-hash'], 1], [[], 1])
    expect(outcome([policy], facts)).toEqual({ [A]: 'expire by 10', [B]: 'expire by 20', [D]: 'expire by 30' })
    expect(E).toBe(5)
  })

  test('by age: older than fourteen days', () => {
    const policy = policyOf({ patterns: ['prod*'], pushed: 14 })
    expect(outcome([policy], images([['prod-1'], 15], [['prod-2'], 14], [['dev'], 99], [['x', 'prod'], 20]))).toEqual({ [A]: 'expire by 10', [D]: 'expire by 10' })
  })

  test('all untagged images but the newest', () => {
    const policy = policyOf({ tagStatus: 'untagged', more: 1 })
    expect(outcome([policy], images([[], 3], [['a'], 4], [[], 1], [[], 2]))).toEqual({ [A]: 'expire by 10', [D]: 'expire by 10' })
  })

  test('archives what nobody has pulled for ninety days', () => {
    const policy = policyOf({ tagStatus: 'any', pulled: 90, action: 'transition' })
    const facts = [
      image(A, { pushedDaysAgo: 100 }),
      image(B, { pushedDaysAgo: 100, lastPulledAt: nowMs - 91 * dayMs }),
      image(C, { pushedDaysAgo: 100, lastPulledAt: nowMs - 90 * dayMs }),
      image(D, { pushedDaysAgo: 300, lastPulledAt: nowMs - 200 * dayMs, lastActivatedAt: nowMs - 10 * dayMs }),
    ]
    expect(outcome([policy], facts)).toEqual({ [A]: 'transition by 10', [B]: 'transition by 10' })
  })

  test('archives after 30 days, and deletes 365 days after that', () => {
    const policy = policyOf({ tagStatus: 'any', pushed: 30, action: 'transition' }, { tagStatus: 'any', storageClass: 'archive', archived: 365 })
    const facts = [
      image(A, { pushedDaysAgo: 31 }),
      image(B, { pushedDaysAgo: 30 }),
      image(C, { pushedDaysAgo: 500, storageClass: 'archived', lastArchivedAt: nowMs - 366 * dayMs }),
      image(D, { pushedDaysAgo: 500, storageClass: 'archived', lastArchivedAt: nowMs - 365 * dayMs }),
      image(E, { pushedDaysAgo: 500, storageClass: 'activating', lastArchivedAt: nowMs - 400 * dayMs }),
    ]
    expect(outcome([policy], facts)).toEqual({ [A]: 'transition by 10', [C]: 'expire by 20' })
  })

  test('both at once: archives what is not pulled, deletes from the archive', () => {
    const policy = policyOf({ tagStatus: 'any', pulled: 90, action: 'transition' }, { tagStatus: 'any', storageClass: 'archive', archived: 365 })
    expect(policy.rules.map(({ number }) => number)).toEqual([10, 20])
  })
})

describe('images', () => {
  test('that came back from the archive are as old as their return', () => {
    const policy = policyOf({ tagStatus: 'any', more: 1 })
    const facts = [image(A, { pushedDaysAgo: 90, lastActivatedAt: nowMs - dayMs }), image(B, { pushedDaysAgo: 2 })]
    expect(outcome([policy], facts)).toEqual({ [B]: 'expire by 10' })
  })

  test('that an index lists are counted, and stay', () => {
    const policy = policyOf({ tagStatus: 'untagged', more: 1 })
    const facts = [image(A, { pushedDaysAgo: 3, isPartOfUnit: true }), image(B, { pushedDaysAgo: 2 }), image(C, { pushedDaysAgo: 1, isPartOfUnit: true })]
    expect(outcome([policy], facts)).toEqual({ [B]: 'expire by 10' })
    const evaluation = new Evaluation([policy], nowMs)
    for (const each of facts) evaluation.add(each)
    expect([...evaluation.decide().blocked()]).toEqual([{ manifestId: A, action: 'expire', policy: 0, rule: 10 }])
  })

  test('pushed in the same millisecond are ordered by their ids, whatever order they are added in', () => {
    const policy = policyOf({ tagStatus: 'any', more: 2 })
    expect(outcome([policy], [image(C), image(A), image(D), image(B)])).toEqual({ [A]: 'expire by 10', [B]: 'expire by 10' })
  })
})

describe('the outcome is due again', () => {
  function dueAtMs(policy: ReturnType<typeof policyOf>, facts: readonly ImageFacts[]): number | undefined {
    const evaluation = new Evaluation([policy], nowMs)
    for (const each of facts) evaluation.add(each)
    return evaluation.decide().dueAtMs
  }

  test('when the first image becomes too old, and not when it is', () => {
    const policy = policyOf({ tagStatus: 'untagged', pushed: 10 }, { tagStatus: 'any', pushed: 20 })
    const facts = [image(A, { pushedDaysAgo: 8 }), image(B, { pushedDaysAgo: 17, tags: ['x'] }), image(C, { pushedDaysAgo: 11 })]
    expect(dueAtMs(policy, facts)).toBe(nowMs + 2 * dayMs + 1)
    expect(outcome([policy], facts, nowMs + 2 * dayMs)).toEqual(outcome([policy], facts))
    expect(outcome([policy], facts, nowMs + 2 * dayMs + 1)).not.toEqual(outcome([policy], facts))
  })

  test('never, where rules only count', () => {
    expect(dueAtMs(policyOf({ tagStatus: 'any', more: 1 }), [image(A), image(B)])).toBeUndefined()
  })

  test('never by a rule that comes behind the one that an image belongs to', () => {
    expect(dueAtMs(policyOf({ patterns: ['prod*'], more: 5 }, { tagStatus: 'any', pushed: 20 }), [image(A, { tags: ['prod-1'] })])).toBeUndefined()
  })
})

import { expect, test } from 'vitest'
import type { EvaluationParts } from './evaluate-repository.ts'
import { Decisions, Evaluation, parseEcrPolicy, parseRetentionPolicy, type CompiledPolicy, type DecidedParts } from './policy/index.ts'
import { dayMs, image, nowMs } from './policy/policy.test-support.ts'
import { withRowsOfInterest } from './rows-of-interest.ts'

const rules = [
  { name: 'old', action: 'delete', olderThan: '300d', since: 'pushed', tags: ['v*'], notice: '30d' },
  { name: 'old-dev', action: 'delete', olderThan: '30d', since: 'pushed', tags: ['dev-*'] },
  { name: 'shelved', action: 'archive', olderThan: '60d', since: 'pushed', tags: ['rc-*'] },
  { name: 'stable', action: 'keep', tags: ['*-stable'] },
]
const ecrRule = { rulePriority: 1, selection: { tagStatus: 'untagged', countType: 'imageCountMoreThan', countNumber: 5 }, action: { type: 'expire' } }
const policies: CompiledPolicy[] = [parseRetentionPolicy(JSON.stringify({ rules })).policy, parseEcrPolicy(JSON.stringify({ rules: [ecrRule] }), { strict: false }).policy]

/** Of every kind some; numbers are three apart. */
const images = Array.from({ length: 400 }, (_, index) => {
  const tag = [`v${index}`, `dev-${index}`, `rc-${index}`, `dev-${index}-stable`, undefined][index % 5]
  const told = { action: 'expire', since: nowMs - (index % 50) * dayMs, until: nowMs + (30 - (index % 50)) * dayMs } as const
  const facts = { pushedDaysAgo: (index * 7) % 400, tags: tag === undefined ? [] : [tag], isPartOfUnit: index % 11 === 0 }
  return image(3 * index + 1, index % 7 === 0 ? { ...facts, notice: told } : facts)
})

function evaluate(watched: readonly number[]): EvaluationParts {
  const evaluation = new Evaluation(policies, nowMs, { watch: new Set(watched) })
  for (const each of images) evaluation.add(each)
  const decided = evaluation.decide().parts
  return { decided, fingerprints: Uint32Array.from(decided.columns.ids, (id) => id * 10), newestId: images.at(-1)!.manifestId, surprising: undefined }
}

function told(decided: DecidedParts, watched: readonly number[]) {
  const decisions = new Decisions(policies, nowMs, decided)
  const { imageCount, counts, dueAtMs } = decisions
  const why = watched.map((id) => decisions.why(id))
  return { imageCount, counts, dueAtMs, acting: [...decisions], blocked: [...decisions.blocked()], announced: [...decisions.announced()], withdrawn: [...decisions.withdrawn()], ends: [...decisions.ends()], why }
}

const watched = [1, 301, 604, 1198]

test('rows of images that nothing is to be done about are left out, and everything else is as it was', () => {
  const whole = evaluate(watched)
  const part = withRowsOfInterest(whole, { isOnlyCounted: false })

  const before = told(whole.decided, watched)
  expect(told(part.decided, watched)).toEqual(before)
  for (const list of [before.acting, before.blocked, before.announced, before.withdrawn, before.ends]) expect(list.length).toBeGreaterThan(3)
  expect(part.decided.columns.size).toBeLessThan(images.length * 0.8)
  expect([...part.fingerprints]).toEqual([...part.decided.columns.ids].map((id) => id * 10))
  expect(part.newestId).toBe(whole.newestId)
})

test('where images are only counted, what is told of them and asked of them is there', () => {
  const whole = evaluate(watched)
  const part = withRowsOfInterest(whole, { isOnlyCounted: true })

  const { acting: _, blocked: __, ends: ___, ...rest } = told(whole.decided, watched)
  expect(told(part.decided, watched)).toMatchObject(rest)
  expect(part.decided.columns.size).toBeLessThan(withRowsOfInterest(whole, { isOnlyCounted: false }).decided.columns.size)
})

test('nothing may be left', () => {
  const evaluation = new Evaluation([], nowMs)
  evaluation.add(image(1))
  const { decided, fingerprints } = withRowsOfInterest({ decided: evaluation.decide().parts, fingerprints: new Uint32Array(1), newestId: 1, surprising: undefined }, { isOnlyCounted: false })
  expect([decided.columns.size, decided.columns.ids.length, fingerprints.length, decided.imageCount]).toEqual([0, 0, 0, 1])
})

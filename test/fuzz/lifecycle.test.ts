import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Evaluation, parseEcrPolicy, parseRetentionPolicy, type Decision, type Decisions } from '../../src/lifecycle/policy/index.ts'
import { fuzzBudget, saveFailure } from './budget.ts'
import { lifecycleCases, nowMs, type LifecycleCase } from './lifecycle-cases.ts'
import { evaluateByModel, type ModelPolicy } from './lifecycle-model.ts'

const { seed, isLong, parserCases } = fuzzBudget()

/** Of `make fuzz` well over a hundred thousand. */
const caseCount = isLong ? Math.round(parserCases / 5) : 10_000

function compiled({ grammar, rules }: ModelPolicy) {
  const text = JSON.stringify({ rules })
  return grammar === 'ecr' ? parseEcrPolicy(text, { strict: false, checkLength: false }).policy : parseRetentionPolicy(text).policy
}

function sorted(decisions: Iterable<Decision>): readonly Decision[] {
  return [...decisions].sort((a, b) => a.manifestId - b.manifestId)
}

function all(decisions: Decisions): unknown {
  return [sorted(decisions), sorted(decisions.announced()), [...decisions.withdrawn()]]
}

function evaluated({ policies, images }: LifecycleCase, atMs = nowMs) {
  const evaluation = new Evaluation(policies.map(compiled), atMs, { watch: new Set(images.map(({ manifestId }) => manifestId)) })
  for (const image of images) evaluation.add(image)
  return evaluation.decide()
}

test(`decide as the documentation says, of ${caseCount} random policies and sets of images (seed ${seed})`, { timeout: 60_000 + caseCount * 10 }, () => {
  let acted = 0
  let kept = 0
  let announced = 0
  const property = fc.property(lifecycleCases, (example) => {
    const decisions = evaluated(example)
    const model = evaluateByModel(example.policies, example.images, nowMs)
    expect(sorted(decisions)).toEqual(sorted(model.decisions))
    expect(sorted(decisions.blocked())).toEqual(sorted(model.blocked))
    expect(sorted(decisions.announced())).toEqual(sorted(model.announced))
    expect([...decisions.withdrawn()].sort()).toEqual([...model.withdrawn].sort())
    announced += model.announced.length
    expect(decisions.expireCount + decisions.transitionCount).toBe(model.decisions.length)
    acted += model.decisions.length
    const actions = new Map(model.decisions.map(({ manifestId, action }) => [manifestId, action]))
    for (const { manifestId } of example.images) {
      const { action, verdicts, text } = decisions.why(manifestId)!
      expect(action, text).toBe(actions.get(manifestId) ?? 'none')
      const isAnnounced = model.announced.some((each) => each.manifestId === manifestId)
      expect(verdicts.filter(({ outcome }) => outcome === 'announces'), text).toHaveLength(isAnnounced ? 1 : 0)
      if (verdicts.some(({ outcome }) => outcome === 'keeps')) {
        kept++
        expect(action).toBe('none')
      }
      expect(verdicts.filter(({ outcome }) => outcome === 'acts')).toHaveLength(action === 'none' ? 0 : 1)
    }
    // Nothing changes before the outcome is due again.
    const { dueAtMs } = decisions
    if (dueAtMs !== undefined) {
      expect(dueAtMs).toBeGreaterThan(nowMs)
      expect(all(evaluated(example, dueAtMs - 1))).toEqual(all(decisions))
    } else {
      expect(all(evaluated(example, nowMs + 10 * 365 * 86_400_000))).toEqual(all(decisions))
    }
  })
  const result = fc.check(property, { numRuns: caseCount, seed, endOnFailure: false })
  if (result.failed) {
    const saved = saveFailure(`lifecycle-${seed}`, { seed, path: result.counterexamplePath, counterexample: result.counterexample })
    throw new Error(`${fc.defaultReportMessage(result) ?? 'failed'}\nkept in ${saved}`)
  }
  // The cases say something: images go, and images are kept.
  expect(acted).toBeGreaterThan(caseCount / 2)
  expect(kept).toBeGreaterThan(caseCount / 20)
  expect(announced).toBeGreaterThan(caseCount / 20)
})

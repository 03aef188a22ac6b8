import { Evaluation } from './evaluation.ts'
import type { ImageFacts } from './image-facts.ts'
import type { CompiledPolicy } from './compiled.ts'

export const dayMs = 86_400_000

/** 1 June 2026, 12:00 UTC. */
export const nowMs = Date.UTC(2026, 5, 1, 12)

/** Facts of an image; what the test does not speak about is as it is for an ordinary one, pushed just now. */
export function image(manifestId: number, facts: Partial<Omit<ImageFacts, 'tags'>> & { tags?: readonly string[]; pushedDaysAgo?: number } = {}): ImageFacts {
  const { tags = [], pushedDaysAgo = 0, ...rest } = facts
  const pushedAt = rest.pushedAt ?? nowMs - pushedDaysAgo * dayMs
  return {
    manifestId,
    tags: tags.map((name) => ({ name, taggedAt: pushedAt })),
    storageClass: 'active',
    artifactClass: 'image',
    isPartOfUnit: false,
    ...rest,
    pushedAt,
  }
}

/** What the policies do, by id: such as `{ 1: 'expire by 10' }`. */
export function outcome(policies: readonly CompiledPolicy[], images: readonly ImageFacts[], atMs = nowMs): Record<number, string> {
  const evaluation = new Evaluation(policies, atMs)
  for (const each of images) evaluation.add(each)
  return Object.fromEntries([...evaluation.decide()].map(({ manifestId, action, rule }) => [manifestId, `${action} by ${rule}`]))
}

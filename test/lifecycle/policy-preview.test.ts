import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { previewPolicy, type PolicyCandidate } from '../../src/lifecycle/index.ts'
import { databases } from '../support/registry.ts'
import { dayMs, policyText, startLifecycle, taggedOlderThan, type LifecycleWorld } from './lifecycle-world.ts'

const policyOf = (...rules: object[]): string => JSON.stringify({ rules })
const deleteAged = { name: 'aged', action: 'delete', olderThan: '10d' }
const keepReleases = { name: 'releases', action: 'keep', tags: ['v*'] }

describe.each(databases)('previews of policies, on %s', (kind) => {
  let world: LifecycleWorld
  let name: Parameters<LifecycleWorld['listed']>[0]
  let digests: Record<'old' | 'release' | 'young', string>
  beforeAll(async () => {
    world = await startLifecycle(kind)
    const made = await world.newRepository('preview')
    name = made.name
    const { one, two, three } = made.images
    await world.push(name, one!, 'dev-1')
    await world.push(name, two!, 'v1')
    world.fixture.clock.advance(20 * dayMs)
    await world.push(name, three!, 'dev-2')
    digests = { old: one!.digest, release: two!.digest, young: three!.digest }
  })
  afterAll(() => world.stop())

  const preview = (candidate: Partial<PolicyCandidate>) => {
    const { fixture, evaluator, policies, retention } = world
    const given = { grammar: 'retention', place: { scope: 'prefix', prefix: 'preview' }, text: undefined, against: undefined, limit: 100, ...candidate } as const
    return previewPolicy({ database: fixture.database, evaluator, policies, retention }, fixture.context, name, given)
  }

  it('tell what would go, by which rule, and change nothing', async () => {
    const seen = await preview({ text: policyOf(deleteAged, keepReleases) })
    expect(seen).toMatchObject({ imageCount: 3, before: { images: 0, sizeBytes: 0 }, after: { images: 1 }, deleted: { images: 1 }, spared: { images: 0 } })
    expect(seen.changes).toMatchObject([{ digest: digests.old, tags: ['dev-1'], change: 'deleted', ruleName: 'aged', policyFrom: 'the policy that is tried' }])
    expect(seen.deleted.sizeBytes).toBe(seen.changes[0]!.sizeBytes)
    expect(seen.deleted.sizeBytes).toBeGreaterThan(0)
    expect((await world.listed(name)).size).toBe(3)
    expect(await world.retention.list(world.fixture.context, { limit: 10 })).toMatchObject({ items: [] })
  })

  it('tell what would go when its notice is over', async () => {
    const seen = await preview({ text: policyOf({ ...deleteAged, notice: '30d' }), against: policyOf({ ...deleteAged, tags: ['dev-*'] }) })
    expect(seen).toMatchObject({ before: { images: 1 }, after: { images: 2 }, deleted: { images: 1 }, spared: { images: 0 } })
    expect(seen.changes).toMatchObject([{ digest: digests.release, change: 'deleted', ruleName: 'aged', isAfterNotice: true }])
  })

  it('tell the difference of two policies', async () => {
    const seen = await preview({ text: policyOf(deleteAged, keepReleases), against: policyOf(deleteAged) })
    expect(seen).toMatchObject({ before: { images: 2 }, after: { images: 1 }, deleted: { images: 0 }, spared: { images: 1 } })
    expect(seen.changes).toMatchObject([{ digest: digests.release, change: 'spared', ruleName: 'aged' }])
  })

  it('count what is in force beside them, and what would be missed', async () => {
    const { context } = world.fixture
    await world.policies.put(context, name, policyText(taggedOlderThan('dev-*', 10)))
    await world.retention.put(context, { scope: 'registry' }, policyOf(keepReleases))
    expect(await preview({ text: policyOf(deleteAged) })).toMatchObject({ before: { images: 1 }, after: { images: 1 }, changes: [] })
    // Without the rule that keeps, the tried one takes the release too.
    await world.retention.put(context, { scope: 'prefix', prefix: 'preview' }, policyOf(deleteAged))
    const without = await preview({ place: { scope: 'registry' } })
    expect(without.changes).toMatchObject([{ digest: digests.release, change: 'deleted', policyFrom: "the prefix 'preview'" }])
    const lifecycle = await preview({ grammar: 'ecr', place: { scope: 'repository', name }, text: policyText(taggedOlderThan('dev-*', 5)) })
    expect(lifecycle).toMatchObject({ before: { images: 1 }, after: { images: 1 }, changes: [] })
    await world.retention.delete(context, { scope: 'registry' })
    await world.retention.delete(context, { scope: 'prefix', prefix: 'preview' })
    await world.policies.delete(context, name)
  })

  it('tell of so many images, and count all', async () => {
    const seen = await preview({ text: policyOf({ name: 'all-but-one', action: 'delete', exceptNewest: 1 }), limit: 1 })
    expect([seen.deleted.images, seen.changes.map(({ digest }) => digest)]).toEqual([2, [digests.old]])
  })

  it('are refused where the policy would be', async () => {
    await expect(preview({ text: '{}' })).rejects.toMatchObject({ code: 'policy-invalid' })
    await expect(preview({ grammar: 'ecr', text: '{}' })).rejects.toMatchObject({ code: 'policy-invalid' })
  })
})

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { previewPolicy, type PolicyCandidate } from '../../src/lifecycle/index.ts'
import { createProtections } from '../../src/registry/protection/protections.ts'
import { mediaTypes, parseTag } from '../../src/values/index.ts'
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

  const preview = (candidate: Partial<PolicyCandidate>, of = name) => {
    const { fixture, evaluator, policies, retention } = world
    const given = { grammar: 'retention', place: { scope: 'prefix', prefix: 'preview' }, text: undefined, against: undefined, limit: 100, ...candidate } as const
    return previewPolicy({ database: fixture.database, evaluator, policies, retention }, fixture.context, of, given)
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

  it('tell what would be archived, and what would not any more', async () => {
    const archiveAged = { ...deleteAged, name: 'cold', action: 'archive' }
    const seen = await preview({ text: policyOf(archiveAged, keepReleases) })
    expect(seen).toMatchObject({ archivedBefore: { images: 0, sizeBytes: 0 }, archivedAfter: { images: 1 }, after: { images: 0 }, deleted: { images: 0 }, spared: { images: 0 } })
    expect(seen.changes).toMatchObject([{ digest: digests.old, change: 'archived', ruleName: 'cold', policyFrom: 'the policy that is tried' }])
    expect(seen.archivedAfter.sizeBytes).toBe(seen.changes[0]!.sizeBytes)

    const back = await preview({ text: policyOf(keepReleases), against: policyOf(archiveAged) })
    expect(back).toMatchObject({ archivedBefore: { images: 2 }, archivedAfter: { images: 0 } })
    expect(back.changes.map(({ change }) => change)).toEqual(['not-archived', 'not-archived'])
    // Instead of being deleted: spared, and counted among what is archived.
    const milder = await preview({ text: policyOf(archiveAged), against: policyOf(deleteAged) })
    expect(milder).toMatchObject({ before: { images: 2 }, after: { images: 0 }, spared: { images: 2 }, archivedAfter: { images: 2 } })
    const harsher = await preview({ text: policyOf(deleteAged), against: policyOf(archiveAged) })
    expect(harsher).toMatchObject({ deleted: { images: 2 }, archivedBefore: { images: 2 }, archivedAfter: { images: 0 } })
  })

  it('tell what forbids that images go, as long as it does', async () => {
    const { fixture } = world
    const protections = createProtections(fixture)
    const target = { kind: 'tag', value: 'v1' } as const
    await protections.put(fixture.context, name, { target, reason: 'of a release', owner: 'o', endsAt: undefined, mayLoosen: true })
    const seen = await preview({ text: policyOf(deleteAged) })
    expect(seen.changes.map(({ digest, vetoes }) => [digest, vetoes])).toEqual([
      [digests.old, []],
      [digests.release, [expect.stringContaining('of a release')]],
    ])
    await protections.delete(fixture.context, name, target)
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

  it('tell what would come back when the images go together, with what goes with them', async () => {
    const made = await world.newRepository('freed')
    const { fixture } = world
    const shared = await fixture.upload(made.name, Buffer.alloc(4000, 's'))
    const layers = { own: await fixture.upload(made.name, Buffer.alloc(2000, 'o')), kept: await fixture.upload(made.name, Buffer.alloc(1000, 'k')), signature: await fixture.upload(made.name, Buffer.alloc(500, 'g')) }
    const sizes: Record<string, number> = { [shared]: 4000, [layers.own]: 2000, [layers.kept]: 1000, [layers.signature]: 500 }
    const put = async (named: readonly string[], tag: string | undefined, more: object = {}) => {
      const [config, ...rest] = named.map((digest, n) => ({ mediaType: n === 0 ? mediaTypes.ociConfig : 'application/vnd.oci.image.layer.v1.tar', digest, size: sizes[digest] }))
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: rest, ...more }))
      const reference = tag === undefined ? undefined : ({ kind: 'tag', tag: parseTag(tag) } as const)
      const { digest } = await fixture.registry.putManifest(fixture.context, made.name, { bytes, declaredMediaType: mediaTypes.ociManifest, reference, via: 'oci' })
      return { mediaType: mediaTypes.ociManifest, digest, size: bytes.length }
    }
    const subject = await put([layers.own, shared], 'dev-1')
    await put([layers.signature], undefined, { subject })
    await put([layers.own, shared], 'dev-2', { annotations: { another: 'image' } })
    await put([layers.kept, shared], 'v1')
    fixture.clock.advance(2 * dayMs)
    const rule = { name: 'some', action: 'delete', olderThan: '1d' }
    const freed = async (...tags: string[]) => (await preview({ place: { scope: 'repository', name: made.name }, text: policyOf({ ...rule, tags }) }, made.name)).after.freedBytes

    // What both have comes back only when both go; what a third has stays, and a signature goes with its image.
    expect([await freed('dev-1'), await freed('dev-2'), await freed('dev-*'), await freed('dev-*', 'v*'), await freed('absent')]).toEqual([500, 0, 2500, 7500, 0])
    const difference = await preview({ place: { scope: 'repository', name: made.name }, text: policyOf({ ...rule, tags: ['*'] }), against: policyOf({ ...rule, tags: ['dev-*'] }) }, made.name)
    expect([difference.before.freedBytes, difference.after.freedBytes]).toEqual([2500, 7500])
    // In the trash it is not free yet.
    await fixture.registry.deleteImages(fixture.context, made.name, [{ tag: parseTag('v1') }])
    expect(await freed('dev-*')).toBe(2500)
  })

  it('are refused where the policy would be', async () => {
    await expect(preview({ text: '{}' })).rejects.toMatchObject({ code: 'policy-invalid' })
    await expect(preview({ grammar: 'ecr', text: '{}' })).rejects.toMatchObject({ code: 'policy-invalid' })
  })
})

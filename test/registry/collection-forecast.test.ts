import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { CollectionControl, Collector } from '../../src/gc/index.ts'
import { simulateCollection } from '../../src/gc/simulate.ts'
import { commandContext } from '../../src/registry/index.ts'
import { createProtections } from '../../src/registry/protection/protections.ts'
import { digestOf, parseRepositoryName, parseTag, type RepositoryName } from '../../src/values/index.ts'
import { catalogueOf, withChildren, type KnownImage } from '../interleavings/images.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs

describe.each(databases)('what collection will do, on %s', (kind) => {
  let fixture: RegistryFixture
  let collector: Collector
  let control: CollectionControl
  let name: RepositoryName
  let images: Record<string, KnownImage>
  let count = 0
  const problems: unknown[] = []

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    const { database, blobStore, clock, context } = fixture
    const logger = { info: () => undefined, error: (problem: unknown) => problems.push(problem) }
    collector = new Collector({ database, blobStore, systemContext: () => commandContext(context), clock, logger, owner: randomUUID() })
    control = new CollectionControl({ database, collector, blobStore, clock, systemContext: () => commandContext(context), intervalMs: 1000 })
  })
  afterAll(async () => {
    await fixture.stop()
    expect(problems).toEqual([])
  })
  beforeEach(async () => {
    // What the tests before have left is gone.
    for (let day = 0; day < 15; day += 1) await aDayPasses()
    count += 1
    const seed = `forecast/${kind}${count}`
    name = parseRepositoryName(seed)
    images = Object.fromEntries(catalogueOf(seed).images.map((image) => [image.name, image]))
    await fixture.registry.createRepository(fixture.context, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
  })

  async function aDayPasses(): Promise<void> {
    fixture.clock.advance(dayMs)
    await collector.collect()
  }

  async function push(image: KnownImage, tag?: string): Promise<void> {
    for (const each of withChildren(image).reverse()) {
      for (const { bytes } of each.blobs) await fixture.upload(name, bytes)
      const reference = each === image && tag !== undefined ? ({ kind: 'tag', tag: parseTag(tag) } as const) : undefined
      await fixture.registry.putManifest(fixture.context, name, { bytes: each.bytes, declaredMediaType: each.mediaType, reference, via: 'oci' })
    }
  }

  const remove = (image: KnownImage) => fixture.registry.deleteImages(fixture.context, name, [{ digest: image.digest }])
  const sizeOf = (image: KnownImage): number => image.blobs.reduce((sum, { bytes }) => sum + bytes.length, 0)
  const within = (days: number) => control.simulate(days * dayMs)

  async function stored(): Promise<{ blobs: number; bytes: number }> {
    let [blobs, bytes] = [0, 0]
    for await (const { sizeBytes } of fixture.blobStore.list()) {
      blobs += 1
      bytes += sizeBytes
    }
    return { blobs, bytes }
  }

  describe('simulated', () => {
    it('foretells to the byte what is then given back, and changes nothing', async () => {
      await push(images.one!, 'v1')
      await push(images.three!, 'v3')
      await fixture.upload(name, Buffer.from(`unused of ${name}`))
      await fixture.registry.createRepository(fixture.context, { name: parseRepositoryName(`${name}-deleted`), tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
      const own = name
      name = parseRepositoryName(`${own}-deleted`)
      await push(images.two!, 'v2')
      await fixture.registry.deleteRepository(fixture.context, name, { force: true })
      name = own
      await remove(images.one!)
      const before = await stored()
      const commits = fixture.database.counters.commits

      expect(await within(0)).toMatchObject({ images: 0, repositories: 0, blobs: 0, bytes: 0, isComplete: true })
      expect(await within(2)).toMatchObject({ images: 0, repositories: 0, blobs: 1 })
      const foretold = await within(8)
      expect(foretold).toMatchObject({ images: 2, repositories: 1, heldBackImages: 0, goingFiles: 0, installationHolds: [] })
      expect(fixture.database.counters.commits).toBe(commits)

      for (let day = 0; day < 9; day += 1) await aDayPasses()
      const after = await stored()
      expect({ blobs: before.blobs - after.blobs, bytes: before.bytes - after.bytes }).toEqual({ blobs: foretold.blobs, bytes: foretold.bytes })
      expect(foretold.bytes).toBeGreaterThan(sizeOf(images.two!))
    })

    it('leaves out what somebody holds back, and what others need', async () => {
      await push(images.one!, 'v1')
      await remove(images.one!)
      name = parseRepositoryName(`${name}-protected`)
      await fixture.registry.createRepository(fixture.context, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
      await push(images.three!, 'v3')
      await remove(images.three!)
      const protections = createProtections({ database: fixture.database })
      const all = await within(8)
      expect(all).toMatchObject({ images: 2, heldBackImages: 0 })
      const target = { kind: 'repository', value: '' } as const
      await protections.put(fixture.context, name, { target, reason: 'r', owner: 'o', endsAt: undefined, mayLoosen: true })

      const less = await within(8)

      expect(less).toMatchObject({ images: 1, heldBackImages: 1 })
      // The one layer that both have stays too, though the other image goes.
      expect(all.bytes - less.bytes).toBe(sizeOf(images.three!))
      await protections.delete(fixture.context, name, target)
      const hold = await protections.placeHold(fixture.context, 'not now')
      const held = await within(8)
      expect(held).toMatchObject({ images: 0, heldBackImages: 2, blobs: 0, bytes: 0, installationHolds: [hold] })
      await protections.releaseHold(fixture.context, hold, 'over')
    })

    it('ends at a limit, and says so', async () => {
      await push(images.one!, 'v1')
      await push(images.three!, 'v3')
      await remove(images.one!)
      await remove(images.three!)
      const { context, database, clock } = fixture
      const at = { now: clock.now(), until: clock.now() + 8 * dayMs, homeRegistryId: context.registry.id }

      expect(await simulateCollection(database.reader, { ...at, maxExamined: 1 })).toMatchObject({ examined: 1, isComplete: false })
      expect(await simulateCollection(database.reader, at)).toMatchObject({ images: 2, isComplete: true })
    })
  })

  describe('explained', () => {
    const explain = async (bytes: Buffer) => {
      const [explanation, ...more] = await control.explain(digestOf(bytes))
      expect(more).toEqual([])
      return explanation
    }

    it('names who needs a blob, until when, and what stands in the way of its end', async () => {
      const { blobs, digest } = images.three!
      const layer = blobs.at(-1)!
      await push(images.three!, 'v3')
      expect(await explain(layer.bytes)).toMatchObject({
        verdict: 'kept',
        goesAfter: undefined,
        reasons: [`${name}@${digest} of account ${fixture.context.registry.accountId} names it`],
        namedBy: [{ repository: name, digest, purgeAfter: null }],
        seenIn: [{ repository: name }],
        places: [{ state: 'active', store: 'filesystem' }],
      })

      const deletedAt = fixture.clock.now()
      await remove(images.three!)
      const trashed = await explain(layer.bytes)
      expect(trashed).toMatchObject({ verdict: 'waiting', goesAfter: deletedAt + 7 * dayMs + hourMs, namedBy: [{ digest, purgeAfter: deletedAt + 7 * dayMs }] })
      expect(trashed!.reasons[0]).toContain('images in the trash name it')

      for (let day = 0; day < 7; day += 1) await aDayPasses()
      const purged = await explain(layer.bytes)
      expect(purged).toMatchObject({ verdict: 'waiting', namedBy: [], seenIn: [], goesAfter: fixture.clock.now() + hourMs, reviews: [{ kind: 'blob', reason: 'image purged' }] })

      const hold = { id: randomUUID(), owner: 'a backup', untilMs: fixture.clock.now() + dayMs }
      await fixture.blobStore.hold(hold)
      fixture.clock.advance(2 * hourMs)
      await collector.collect()
      const going = await explain(layer.bytes)
      expect(going).toMatchObject({ verdict: 'going', places: [{ state: 'deleting' }] })
      expect(going!.reasons).toEqual(['its bytes are being deleted', 'a backup reads: no bytes go until it is done'])
      await fixture.blobStore.releaseHold(hold.id)
      await aDayPasses()
      expect(await explain(layer.bytes)).toBeUndefined()
    })

    it('tells of an upload that nothing has come to use, and of a pause', async () => {
      const bytes = Buffer.from(`unused of ${name}`)
      await fixture.upload(name, bytes)
      const uploadedAt = fixture.clock.now()
      await control.pause(fixture.context, { reason: 'a look', endsAt: undefined })

      const explanation = await explain(bytes)

      expect(explanation).toMatchObject({ verdict: 'waiting', goesAfter: uploadedAt + dayMs + hourMs, namedBy: [], seenIn: [{ repository: name, dueAt: uploadedAt + dayMs }] })
      expect(explanation!.reasons).toEqual([expect.stringContaining('sees it, by a push or a mount that no living image uses'), expect.stringContaining('a look')])
      await control.resume(fixture.context)
    })

    it('says of what nothing is going to look at that it is forgotten', async () => {
      const bytes = Buffer.from(`forgotten of ${name}`)
      await fixture.upload(name, bytes)
      await fixture.tamper('delete from review')
      expect(await explain(bytes)).toMatchObject({ verdict: 'forgotten', goesAfter: undefined })
    })
  })
})

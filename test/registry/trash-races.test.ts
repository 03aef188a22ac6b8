import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Collector } from '../../src/gc/index.ts'
import { commandContext } from '../../src/registry/index.ts'
import { digestOf, parseRepositoryName, parseTag, type Digest, type RepositoryName } from '../../src/values/index.ts'
import { catalogueOf, withChildren, type KnownImage } from '../interleavings/images.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

/*
 * What brings images back, against whatever else happens to them at that moment: whichever comes first, nothing is lost, and
 * the trash tells of every image exactly once.
 */

const dayMs = 24 * 60 * 60 * 1000
/** Each race is run so often: who comes first differs. */
const rounds = Array.from({ length: 8 }, (_, round) => round)

describe.each(databases)('races of the trash on %s', (kind) => {
  let fixture: RegistryFixture
  let name: RepositoryName
  let images: Record<string, KnownImage>
  let count = 0

  beforeAll(async () => {
    fixture = await startRegistry(kind)
  })
  afterAll(() => fixture.stop())
  beforeEach(newRepository)

  async function newRepository(): Promise<void> {
    count += 1
    const seed = `races/${kind}${count}`
    name = parseRepositoryName(seed)
    images = Object.fromEntries(catalogueOf(seed).images.map((image) => [image.name, image]))
    await fixture.registry.createRepository(fixture.context, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
  }

  async function push(image: KnownImage, tag?: string): Promise<void> {
    for (const each of withChildren(image).reverse()) {
      for (const { bytes } of each.blobs) await fixture.upload(name, bytes)
      const reference = each === image && tag !== undefined ? ({ kind: 'tag', tag: parseTag(tag) } as const) : undefined
      await fixture.registry.putManifest(fixture.context, name, { bytes: each.bytes, declaredMediaType: each.mediaType, reference, via: 'oci' })
    }
  }

  const remove = (image: KnownImage) => fixture.registry.deleteImages(fixture.context, name, [{ digest: image.digest }])
  const restore = (batch: string) => fixture.registry.restoreTrash(fixture.context, batch)
  const openBatches = async () => (await fixture.registry.listTrash(fixture.context, name, { limit: 100 })).items
  const holderOf = async (tag: string) =>
    (await fixture.registry.describeImagesById(fixture.context, name, [{ tag: parseTag(tag) }]))[0]?.digest
  /** An outcome, or the code of the error: both are answers that a race may have. */
  const answer = async <Value>(work: Promise<Value>): Promise<Value | { code: string }> => work.catch((error: { code?: string }) => {
    if (error.code === undefined) throw error
    return { code: error.code }
  })

  async function living(): Promise<Map<Digest, readonly string[]>> {
    const { items } = await fixture.registry.describeImages(fixture.context, name, { filter: { tagStatus: 'ANY', imageStatus: 'ANY' }, page: { limit: 100 } })
    return new Map(items.map(({ digest, tags }) => [digest, tags]))
  }

  /** Each batch counts what it has, and each image of `known` is there or in one batch. */
  async function expectEachOnce(...known: readonly KnownImage[]): Promise<void> {
    const places = [...(await living()).keys()]
    for (const batch of await openBatches()) {
      const { images: shown } = await fixture.registry.describeTrash(fixture.context, name, batch.batch, { limit: 100 })
      expect(shown.items).toHaveLength(batch.imageCount)
      expect(shown.items.flatMap(({ tags }) => tags)).toHaveLength(batch.tagCount)
      places.push(...shown.items.map(({ digest }) => digest))
    }
    expect(places.sort()).toEqual(known.map(({ digest }) => digest).sort())
  }

  async function expectReadable(image: KnownImage): Promise<void> {
    for (const each of withChildren(image)) {
      await fixture.registry.getManifest(fixture.context, name, { kind: 'digest', digest: each.digest })
      for (const { digest } of each.blobs) {
        const { content } = await fixture.registry.openBlob(fixture.context, name, digest)
        const chunks: Buffer[] = []
        for await (const chunk of content.read()) chunks.push(chunk)
        await content.close()
        expect(digestOf(Buffer.concat(chunks))).toBe(digest)
      }
    }
  }

  it('a restore and a push of its tag: the push has the tag, the image is back', async () => {
    for (const _ of rounds) {
      await newRepository()
      await push(images.one!, 'latest')
      await push(images.three!)
      await remove(images.one!)
      const [batch] = await openBatches()

      const [outcome] = await Promise.all([restore(batch!.batch), push(images.three!, 'latest')])

      expect(await holderOf('latest')).toBe(images.three!.digest)
      const [image] = outcome.images
      expect([image!.tags, image!.takenTags]).toEqual(image!.tags.length > 0 ? [['latest'], []] : [[], [{ tag: 'latest', by: images.three!.digest }]])
      await expectEachOnce(images.one!, images.three!)
      await expectReadable(images.one!)
    }
  })

  it('a restore and a deletion: the image is there or in the trash, with its tag', async () => {
    for (const _ of rounds) {
      await newRepository()
      await push(images.index!, 'latest')
      await remove(images.index!)
      const [batch] = await openBatches()

      const [, [deleted]] = await Promise.all([restore(batch!.batch), remove(images.index!)])

      await expectEachOnce(...withChildren(images.index!))
      if (deleted!.kind === 'not-found') {
        expect(await holderOf('latest')).toBe(images.index!.digest)
      } else {
        expect(await holderOf('latest')).toBeUndefined()
        await restore((await openBatches())[0]!.batch)
        expect(await holderOf('latest')).toBe(images.index!.digest)
      }
    }
  })

  it('many restores, and a push of the same image: one brings it back', async () => {
    for (const _ of rounds) {
      await newRepository()
      await push(images.three!, 'latest')
      await push(images['signature-of-three']!)
      await remove(images.three!)
      const [batch] = await openBatches()

      const answers = await Promise.all([...Array.from({ length: 4 }, () => answer(restore(batch!.batch))), answer(push(images.three!, 'again'))])

      expect(answers.filter((each) => each !== undefined && 'code' in each).every((each) => 'code' in each && each.code === 'trash-unknown')).toBe(true)
      expect(answers.filter((each) => each !== undefined && 'images' in each).length).toBeLessThanOrEqual(1)
      await expectEachOnce(images.three!, images['signature-of-three']!)
      expect(await holderOf('again')).toBe(images.three!.digest)
      expect(await openBatches()).toEqual([])
    }
  })

  // On SQLite one command ends before the next begins.
  if (kind === 'postgres') {
    it('a purge that waited for a restore sees that the batch is back', async () => {
      await push(images.one!, 'latest')
      await remove(images.one!)
      const [batch] = await openBatches()
      const restorer = new pg.Client({ connectionString: (fixture.target as { url: string }).url })
      await restorer.connect()
      await restorer.query('begin')
      await restorer.query('select id from repository where name = $1 for no key update', [name])

      const purge = answer(fixture.registry.purgeTrash(fixture.context, name, batch!.batch))
      const isWaiting = async () => (await restorer.query(`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)).rowCount
      await expect.poll(isWaiting, { timeout: 10_000 }).toBe(1)
      await restorer.query(`update trash_batch set restored_at = 1, restored_by = 'arn' where id = $1`, [batch!.batch])
      await restorer.query('commit')
      await restorer.end()

      expect(await purge).toEqual({ code: 'trash-unknown' })
    })
  }

  it('an undone move of a tag and another move: the tag names one of them, and the history says how it came to', async () => {
    for (const _ of rounds) {
      await newRepository()
      await push(images.one!, 'latest')
      await push(images.three!, 'latest')
      const [move] = (await fixture.registry.listTagChanges(fixture.context, name, parseTag('latest'), { limit: 1 })).items

      const [undone] = await Promise.all([answer(fixture.registry.undoTagChange(fixture.context, name, move!.id)), push(images.two!, 'latest')])

      // Undone first, it was moved after; moved first, it is not undone.
      expect(await holderOf('latest')).toBe(images.two!.digest)
      const { items } = await fixture.registry.listTagChanges(fixture.context, name, parseTag('latest'), { limit: 100 })
      expect(items.map(({ digest }) => digest)).toEqual(
        'code' in undone
          ? [images.two!.digest, images.three!.digest, images.one!.digest]
          : [images.two!.digest, images.one!.digest, images.three!.digest, images.one!.digest],
      )
      for (const [index, { previousDigest }] of items.entries()) expect(previousDigest).toBe(items[index + 1]?.digest)
    }
  })

  describe('and of collections', () => {
    const problems: unknown[] = []
    const newCollector = (): Collector => {
      const { database, blobStore, clock, context } = fixture
      const logger = { info: () => undefined, error: (problem: unknown) => problems.push(problem) }
      const lookAtClocks = () => Promise.resolve()
      return new Collector({ database, blobStore, systemContext: () => commandContext(context), clock, logger, lookAtClocks, owner: randomUUID() })
    }
    let collectors: readonly Collector[]
    beforeAll(() => {
      collectors = [newCollector(), newCollector()]
    })
    const collect = () => Promise.all(collectors.map((collector) => collector.collect()))

    it('a purge and a push: what was pushed is whole, then and days later', async () => {
      for (const _ of rounds) {
        await newRepository()
        await push(images.index!, 'latest')
        await remove(images.index!)
        await fixture.registry.purgeTrash(fixture.context, name, (await openBatches())[0]!.batch)

        await Promise.all([collect(), push(images.index!, 'latest')])

        await expectReadable(images.index!)
        for (let day = 0; day < 3; day += 1) {
          fixture.clock.advance(dayMs)
          await collect()
        }
        expect(await holderOf('latest')).toBe(images.index!.digest)
        await expectReadable(images.index!)
      }
      expect(problems).toEqual([])
    })

    it('the removal of bytes and a push: the push succeeds, and has its bytes days later', async () => {
      for (const _ of rounds) {
        await newRepository()
        await push(images.three!, 'latest')
        await remove(images.three!)
        await fixture.registry.purgeTrash(fixture.context, name, (await openBatches())[0]!.batch)
        await collect()
        fixture.clock.advance(dayMs)

        await Promise.all([collect(), push(images.three!, 'latest')])

        for (let day = 0; day < 3; day += 1) {
          fixture.clock.advance(dayMs)
          await collect()
        }
        await expectReadable(images.three!)
      }
      expect(problems).toEqual([])
    })

    it('a purge and a restore: all of the batch is back, or all of it is gone', async () => {
      for (const _ of rounds) {
        await newRepository()
        await push(images.index!, 'latest')
        await remove(images.index!)
        const [batch] = await openBatches()
        await fixture.registry.purgeTrash(fixture.context, name, batch!.batch)

        const [outcome] = await Promise.all([answer(restore(batch!.batch)), collect()])

        expect(await openBatches()).toEqual([])
        if ('code' in outcome) {
          expect(outcome.code).toBe('trash-unknown')
          expect((await living()).size).toBe(0)
        } else {
          expect(outcome.notRestored).toEqual([])
          await expectEachOnce(...withChildren(images.index!))
          fixture.clock.advance(dayMs)
          await collect()
          await expectReadable(images.index!)
        }
      }
      expect(problems).toEqual([])
    })
  })
})

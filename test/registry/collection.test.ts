import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Collector } from '../../src/gc/index.ts'
import { commandContext } from '../../src/registry/index.ts'
import { deleteImages } from '../../src/registry/commands/delete-images.ts'
import { raiseClockHold } from '../../src/registry/commands/holds.ts'
import { ensureRegistry } from '../../src/registry/commands/registries.ts'
import { createProtections } from '../../src/registry/protection/protections.ts'
import { parseAccountId, parseRepositoryName, parseTag, type RepositoryName } from '../../src/values/index.ts'
import { catalogueOf, withChildren, type KnownImage } from '../interleavings/images.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs

describe.each(databases)('garbage collection on %s', (kind) => {
  let fixture: RegistryFixture
  let collector: Collector
  let name: RepositoryName
  let images: Record<string, KnownImage>
  let count = 0
  const problems: unknown[] = []

  const newCollector = (): Collector => {
    const { database, blobStore, clock, context } = fixture
    const logger = { info: () => undefined, error: (problem: unknown) => problems.push(problem) }
    return new Collector({ database, blobStore, systemContext: () => commandContext(context), clock, logger, owner: randomUUID() })
  }

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    collector = newCollector()
  })
  afterAll(async () => {
    await fixture.stop()
    expect(problems).toEqual([])
  })
  beforeEach(async () => {
    count += 1
    const seed = `gc/${kind}${count}`
    name = parseRepositoryName(seed)
    images = Object.fromEntries(catalogueOf(seed).images.map((image) => [image.name, image]))
    await fixture.registry.createRepository(fixture.context, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
  })

  async function push(image: KnownImage, tag?: string): Promise<void> {
    for (const each of withChildren(image).reverse()) {
      for (const { bytes } of each.blobs) await fixture.upload(name, bytes)
      const reference = each === image && tag !== undefined ? ({ kind: 'tag', tag: parseTag(tag) } as const) : undefined
      await fixture.registry.putManifest(fixture.context, name, { bytes: each.bytes, declaredMediaType: each.mediaType, reference, via: 'oci' })
    }
  }

  /** Which of an image's blobs have bytes in the store. */
  async function stored(image: KnownImage): Promise<boolean[]> {
    const files: string[] = []
    for await (const { key } of fixture.blobStore.list()) files.push(key)
    return image.blobs.map(({ digest }) => files.some((key) => key.includes(digest.slice('sha256:'.length))))
  }

  const remove = (image: KnownImage) => fixture.registry.deleteImages(fixture.context, name, [{ digest: image.digest }])

  async function daysPass(days: number): Promise<void> {
    for (let day = 0; day < days; day += 1) {
      fixture.clock.advance(dayMs)
      await collector.collect()
    }
  }

  it('gives the space of a deleted image back when its time in the trash is over, and no sooner', async () => {
    await push(images.one!, 'v1')
    await push(images.three!, 'v3')
    await remove(images.one!)
    await daysPass(6)
    expect(await stored(images.one!)).toEqual([true, true, true])

    await daysPass(3)

    // The first layer is the other image's too.
    expect(await stored(images.one!)).toEqual([false, true, false])
    expect(await stored(images.three!)).toEqual([true, true])
    const { reader } = fixture.database
    const [batch] = await reader.query(
      reader.builder.selectFrom('trash_batch').innerJoin('repository', 'repository.id', 'trash_batch.repository_id').select('purged_at').where('repository.name', '=', name),
    )
    expect(batch!.purged_at).not.toBeNull()
  })

  const batches = async () => (await fixture.registry.listTrash(fixture.context, name, { limit: 100 })).items

  it('takes a batch before its time where somebody asks for that, unless a hold forbids it', async () => {
    await push(images.index!, 'latest')
    await push(images.three!, 'v3')
    await remove(images.index!)
    await remove(images.three!)
    const [ofIndex, ofThree] = [(await batches()).find(({ imageCount }) => imageCount === 3)!, (await batches()).find(({ imageCount }) => imageCount === 1)!]
    const protections = createProtections({ database: fixture.database })
    const hold = await protections.placeHold(fixture.context, 'not now')

    await fixture.registry.purgeTrash(fixture.context, name, ofIndex.batch)
    // A push may still count on its layers for an hour: from then on it is the hold alone that keeps it.
    fixture.clock.advance(hourMs)
    await collector.collect()
    expect(await batches()).toHaveLength(2)
    await protections.releaseHold(fixture.context, hold, 'now')
    await daysPass(1)

    expect((await batches()).map(({ batch }) => batch)).toEqual([ofThree.batch])
    await expect(fixture.registry.restoreTrash(fixture.context, ofIndex.batch)).rejects.toMatchObject({ code: 'trash-unknown' })
    await expect(fixture.registry.purgeTrash(fixture.context, name, ofIndex.batch)).rejects.toMatchObject({ code: 'trash-unknown' })
    await fixture.registry.restoreTrash(fixture.context, ofThree.batch)
    await daysPass(30)
    expect(await stored(images.three!)).toEqual([true, true])
    expect((await stored(images.two!)).includes(false)).toBe(true)
  })

  it('keeps what a pusher was told is there for as long as it was promised, though its image is deleted for good', async () => {
    const three = images.three!
    const bare = async () =>
      fixture.registry.putManifest(fixture.context, name, { bytes: three.bytes, declaredMediaType: three.mediaType, reference: undefined, via: 'oci' })
    const promised = () => Promise.all(three.blobs.map(({ digest }) => fixture.registry.statBlob(fixture.context, name, digest)))
    const withoutTrash = () =>
      fixture.database.execute(
        deleteImages,
        { name, identifiers: [{ digest: three.digest }], trashBatch: randomUUID(), retentionMs: 0 },
        commandContext(fixture.context),
      )
    await push(three)

    await promised()
    await withoutTrash()
    await collector.collect()
    fixture.clock.advance(hourMs - 1)
    await collector.collect()
    await bare()

    await promised()
    await remove(three)
    await fixture.registry.purgeTrash(fixture.context, name, (await batches())[0]!.batch)
    await collector.collect()
    await bare()
    await daysPass(9)
    expect(await stored(three)).toEqual([true, true])

    await withoutTrash()
    for (let hour = 0; hour < 3; hour += 1) {
      fixture.clock.advance(hourMs)
      await collector.collect()
    }
    expect(await stored(three)).toEqual([false, false])
  })

  it('leaves what was restored after somebody asked for its end', async () => {
    await push(images.three!, 'v3')
    await remove(images.three!)
    const batch = (await batches())[0]!.batch
    await fixture.registry.purgeTrash(fixture.context, name, batch)
    await fixture.registry.restoreTrash(fixture.context, batch)
    await daysPass(9)

    expect(await stored(images.three!)).toEqual([true, true])
    await expect(fixture.registry.purgeTrash(fixture.context, name, batch)).rejects.toMatchObject({ code: 'trash-unknown' })
  })

  it('takes a deleted repository with all batches of it, when somebody asks for its end', async () => {
    await push(images.three!, 'v3')
    await remove(images.three!)
    await push(images.one!, 'v1')
    await fixture.registry.deleteRepository(fixture.context, name, { force: true })
    expect(await batches()).toHaveLength(2)
    const { batch } = (await batches()).find(({ kind: of }) => of === 'repository')!
    await expect(fixture.registry.purgeTrash(fixture.context, parseRepositoryName('gc/other'), batch)).rejects.toMatchObject({ code: 'trash-unknown' })

    await fixture.registry.purgeTrash(fixture.context, name, batch)
    await daysPass(2)

    expect(await batches()).toEqual([])
    expect(await stored(images.one!)).toEqual([false, false, false])
  })

  it('goes on for all while another account is on hold, and stops while the installation itself is', async () => {
    const { database, context } = fixture
    const command = commandContext(context)
    await database.execute(ensureRegistry, { accountId: parseAccountId('222222222222'), region: context.registry.region }, command)
    const protections = createProtections({ database })
    const leave = async (image: KnownImage): Promise<void> => {
      for (const { bytes } of image.blobs) await fixture.upload(name, bytes)
    }
    await leave(images.three!)
    expect(await database.execute(raiseClockHold, { jumpMs: dayMs }, command)).toBe(2)

    await daysPass(3)
    expect(await stored(images.three!)).toEqual([true, true])
    for (const { id } of (await protections.listHolds(context, { released: false, page: { limit: 10 } })).items) await protections.releaseHold(context, id, 'the clock is right')
    await daysPass(3)

    expect(await stored(images.three!)).toEqual([false, false])
  })

  it('leaves untagged images alone', async () => {
    await push(images.one!)
    await push(images.two!, 'moved')
    await push(images.three!, 'moved')

    await daysPass(30)

    for (const image of ['one', 'two', 'three']) expect(await stored(images[image]!)).not.toContain(false)
  })

  it('takes what was uploaded and never used, after a day', async () => {
    const [config] = images.one!.blobs
    await fixture.upload(name, config!.bytes)
    fixture.clock.advance(dayMs - 1)
    await collector.collect()
    expect((await stored(images.one!))[0]).toBe(true)

    await daysPass(2)

    expect((await stored(images.one!))[0]).toBe(false)
    expect(await fixture.registry.statBlob(fixture.context, name, config!.digest)).toBeUndefined()
  })

  it('empties a deleted repository, whose name was taken meanwhile', async () => {
    await push(images.index!, 'latest')
    await fixture.registry.deleteRepository(fixture.context, name, { force: true })
    await fixture.registry.createRepository(fixture.context, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
    await push(images.three!, 'v3')

    await daysPass(10)

    expect(await stored(images.two!)).toEqual([false, false, false])
    expect(await stored(images.three!)).toEqual([true, true])
  })

  it('takes nothing of a deleted repository while somebody holds a part of it, and gives nothing back of one that it began', async () => {
    await push(images.index!, 'latest')
    await push(images.three!, 'v3')
    const { reader } = fixture.database
    const [{ id } = { id: 0 }] = await reader.query(reader.builder.selectFrom('repository').select('id').where('name', '=', name))
    await fixture.tamper(
      `insert into protection (repository_id, kind, target, reason, owner, created_at, created_by) values (?, 'digest', ?, 'still wanted', 'us', 1, 'arn')`,
      id,
      images.three!.digest,
    )
    await fixture.tamper('update repository set trashed_at = ?, purge_after = ?, trash_batch = ? where id = ?', fixture.clock.now(), fixture.clock.now(), `batch ${id}`, id)
    await fixture.tamper(`insert into review (kind, repository_id, subject_id, due_at, reason, attempt_count) values ('repository', ?, ?, 0, 'deleted', 0)`, id, id)
    // Bytes go a day after their images.
    await daysPass(3)
    expect(await stored(images.one!)).toEqual([true, true, true])

    await fixture.tamper('delete from protection where repository_id = ?', id)
    await daysPass(3)

    expect(await stored(images.one!)).toEqual([false, false, false])
  })

  it('takes no layer while the installation’s clock is doubted', async () => {
    const [config] = images.one!.blobs
    await fixture.upload(name, config!.bytes)
    await fixture.tamper(`insert into registry_hold (registry_id, cause, reason, raised_at, raised_by) select registry_id, 'clock', 'it was set', 1, 'arn' from repository where name = ?`, name)
    await daysPass(3)
    expect((await stored(images.one!))[0]).toBe(true)

    await fixture.tamper('update registry_hold set released_at = 2')
    await daysPass(3)

    expect((await stored(images.one!))[0]).toBe(false)
  })

  it('waits for backups', async () => {
    await push(images.one!, 'v1')
    await remove(images.one!)
    const id = randomUUID()
    await fixture.blobStore.hold({ id, owner: 'a backup', untilMs: fixture.clock.now() + 30 * dayMs })
    await daysPass(9)
    expect(await stored(images.one!)).toEqual([true, true, true])

    await fixture.blobStore.releaseHold(id)
    await daysPass(1)

    expect(await stored(images.one!)).toEqual([false, false, false])
  })

  it('takes a blob that is pushed again while it is being collected for another', async () => {
    await push(images.one!, 'v1')
    await remove(images.one!)
    const id = randomUUID()
    await fixture.blobStore.hold({ id, owner: 'somebody', untilMs: fixture.clock.now() + 30 * dayMs })
    await daysPass(9)
    // The old bytes are given up and still there.
    await push(images.one!, 'v1')
    await fixture.blobStore.releaseHold(id)

    await daysPass(2)

    expect(await stored(images.one!)).toEqual([true, true, true])
    for (const { digest } of images.one!.blobs) await (await fixture.registry.openBlob(fixture.context, name, digest)).content.close()
  })

  it('is shared by two processes, each with reviews of its own', async () => {
    for (const image of ['one', 'two', 'three']) await push(images[image]!, image)
    for (const image of ['one', 'two', 'three']) await remove(images[image]!)
    const others = [newCollector(), newCollector()]
    for (let day = 0; day < 10; day += 1) {
      fixture.clock.advance(dayMs)
      await Promise.all(others.map((other) => other.collect()))
    }

    for (const image of ['one', 'two', 'three']) expect(await stored(images[image]!)).not.toContain(true)
    expect(others.reduce((sum, { counters }) => sum + counters.failures, 0)).toBe(0)
  })
})

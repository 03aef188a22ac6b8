import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { Erasures } from '../../src/gc/erasures.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { putProtection } from '../../src/registry/commands/protections.ts'
import { commandContext } from '../../src/registry/index.ts'
import { digestToBytes, parseReference, parseRepositoryName, parseTag, type Digest, type RepositoryName } from '../../src/values/index.ts'
import { catalogueOf, withChildren, type KnownImage } from '../interleavings/images.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'
import { ArchiveWorld } from './archive-world.ts'

const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const
const reason = 'holds a key'
const here = parseRepositoryName('leaks/here')
const there = parseRepositoryName('leaks/there')

describe.each(databases)('erasing images on %s', (kind) => {
  let fixture: RegistryFixture
  let images: Record<string, KnownImage>
  let erasures: Erasures
  let errors: unknown[]

  beforeEach(async () => {
    fixture = await startRegistry(kind)
    images = Object.fromEntries(catalogueOf('leak').images.map((image) => [image.name, image]))
    errors = []
    erasures = erasuresOver(fixture.blobStore)
    for (const name of [here, there]) await fixture.registry.createRepository(fixture.context, { name, ...settings })
  })
  afterEach(() => fixture.stop())

  const failingStore = { delete: () => Promise.reject(new Error('the disk fails')) }

  function erasuresOver(blobStore: Pick<RegistryFixture['blobStore'], 'delete'>): Erasures {
    const { database, context } = fixture
    return new Erasures({ database, blobStore, ids: systemIds, systemContext: () => commandContext(context), onError: (error) => errors.push(error) })
  }

  async function push(name: RepositoryName, image: KnownImage, tag?: string): Promise<void> {
    for (const each of withChildren(image).reverse()) {
      for (const { bytes } of each.blobs) await fixture.upload(name, bytes)
      const reference = each === image && tag !== undefined ? ({ kind: 'tag', tag: parseTag(tag) } as const) : undefined
      await fixture.registry.putManifest(fixture.context, name, { bytes: each.bytes, declaredMediaType: each.mediaType, reference, via: 'oci' })
    }
  }

  const erase = (what: { images?: readonly Digest[]; layers?: readonly Digest[]; everywhere?: boolean; overrideProtection?: boolean; dryRun?: boolean }) =>
    erasures.erase(fixture.context, { name: here, images: [], layers: [], everywhere: false, overrideProtection: false, dryRun: false, reason, ...what })

  const pull = (name: RepositoryName, digest: string) => fixture.registry.getManifest(fixture.context, name, parseReference(digest))

  /** Everything that the database and the store hold. */
  async function everything(): Promise<Record<string, unknown>> {
    const { reader } = fixture.database
    const held: Record<string, unknown> = {}
    for (const table of ['manifest', 'manifest_payload', 'manifest_reference', 'tag', 'trashed_tag', 'blob', 'blob_location', 'repository_blob', 'repository', 'erasure', 'outbox'] as const) {
      held[table] = await reader.query(reader.builder.selectFrom(table).selectAll())
    }
    return { ...held, files: await files() }
  }

  async function files(): Promise<string[]> {
    const keys: string[] = []
    for await (const { key } of fixture.blobStore.list()) keys.push(key)
    return keys
  }

  /** Whether the bytes of a blob are on the disk, or anything knows its name. */
  async function remains({ digest }: { digest: Digest }): Promise<{ file: boolean; row: boolean }> {
    const { reader } = fixture.database
    const rows = await reader.query(reader.builder.selectFrom('blob').select('id').where('digest', '=', digestToBytes(digest)))
    return { file: (await files()).some((key) => key.includes(digest.slice('sha256:'.length))), row: rows.length > 0 }
  }

  const layersOf = (image: KnownImage) => image.blobs.slice(1)

  it('removes the image, its tags, its signature and the bytes that nothing else needs, and records what has the others', async () => {
    await push(here, images.three!, 'v1')
    await push(here, images['signature-of-three']!)
    await push(here, images.one!, 'v2')
    expect(await remains(images.three!.blobs[0]!)).toEqual({ file: true, row: true })

    const erasure = await erase({ images: [images.three!.digest] })

    expect(erasure).toMatchObject({ status: 'done', reason, requestedBy: fixture.context.actor.arn })
    expect(erasure.images.map(({ digest, tags, state }) => ({ digest, tags, state }))).toEqual([
      { digest: images.three!.digest, tags: ['v1'], state: 'active' },
      { digest: images['signature-of-three']!.digest, tags: [], state: 'active' },
    ])
    const [shared] = layersOf(images.three!)
    expect(erasure.blobs.find(({ digest }) => digest === shared!.digest)).toMatchObject({
      bytes: 'kept',
      namedBy: [{ repositoryName: here, digest: images.one!.digest, isTrashed: false }],
      isNamedElsewhere: false,
    })
    expect(await remains(images.three!.blobs[0]!)).toEqual({ file: false, row: false })
    expect(await remains(shared!)).toEqual({ file: true, row: true })
    await expect(pull(here, images.three!.digest)).rejects.toMatchObject({ code: 'manifest-unknown' })
    expect((await pull(here, 'v2')).digest).toBe(images.one!.digest)
    expect((await erasures.list(fixture.context, { limit: 10 })).items).toEqual([erasure])
  })

  it('notes of a batch in the trash that it is gone, and not that it came back', async () => {
    await push(here, images.one!, 'one')
    await push(here, images.three!, 'three')
    await fixture.registry.deleteImages(fixture.context, here, [{ digest: images.one!.digest }, { digest: images.three!.digest }])
    const { reader } = fixture.database
    const batch = async () => (await reader.query(reader.builder.selectFrom('trash_batch').select(['image_count', 'tag_count', 'restored_at', 'purged_at'])))[0]

    await erase({ images: [images.one!.digest] })
    expect(await batch()).toEqual({ image_count: 1, tag_count: 1, restored_at: null, purged_at: null })
    await erase({ images: [images.three!.digest] })

    expect(await batch()).toEqual({ image_count: 0, tag_count: 0, restored_at: null, purged_at: fixture.clock.now() })
  })

  it('shows what tags lost with an erased image as no change of the tags alone', async () => {
    await push(here, images.three!, 'v1')
    const shown = async () => (await fixture.registry.listTagChanges(fixture.context, here, undefined, { limit: 10 })).items.map(({ digest }) => digest)

    await erase({ images: [images.three!.digest] })

    expect(await shown()).toEqual([images.three!.digest])
  })

  it('changes nothing in a dry run, and foretells exactly what is then done', async () => {
    await push(here, images.index!, 'latest')
    await push(there, images.one!, 'copy')
    const before = await everything()

    const foretold = await erase({ images: [images.one!.digest], everywhere: true, dryRun: true })

    expect(await everything()).toEqual(before)
    const done = await erase({ images: [images.one!.digest], everywhere: true })
    expect(done.images).toEqual(foretold.images)
    expect(done.blobs).toEqual(foretold.blobs.map((blob) => (blob.bytes === 'waiting' ? { ...blob, bytes: 'erased' } : blob)))
    expect(errors).toEqual([])
  })

  it('takes the index with an image that it lists, and leaves what has a tag of its own', async () => {
    await push(here, images.two!, 'two')
    await push(here, images.index!, 'latest')

    await erase({ images: [images.one!.digest] })

    for (const gone of ['latest', images.one!.digest]) await expect(pull(here, gone)).rejects.toMatchObject({ code: 'manifest-unknown' })
    expect((await pull(here, 'two')).digest).toBe(images.two!.digest)
  })

  it('reaches the trash, deleted repositories and every repository that has it', async () => {
    await push(here, images.three!, 'v1')
    await push(there, images.three!, 'v1')
    await fixture.registry.deleteImages(fixture.context, here, [{ digest: images.three!.digest }])
    await fixture.registry.deleteRepository(fixture.context, there, { force: true })

    const erasure = await erase({ images: [images.three!.digest], everywhere: true })

    expect(erasure.images.map(({ repositoryName, state, tags }) => ({ repositoryName, state, tags }))).toEqual([
      { repositoryName: here, state: 'trashed', tags: ['v1'] },
      { repositoryName: there, state: 'trashed', tags: ['v1'] },
    ])
    for (const blob of images.three!.blobs) expect(await remains(blob)).toEqual({ file: false, row: false })
    const { reader } = fixture.database
    const [batch] = await reader.query(reader.builder.selectFrom('trash_batch').selectAll().where('kind', '=', 'images'))
    expect(batch).toMatchObject({ image_count: 0, tag_count: 0 })
    await expect(fixture.registry.restoreTrash(fixture.context, batch!.id)).rejects.toMatchObject({ code: 'trash-unknown' })
  })

  it('erases every image that has a layer, and the layer where no image was made of it yet', async () => {
    const [leaked] = layersOf(images.three!)
    await push(here, images.three!, 'three')
    await push(here, images.one!, 'one')
    await fixture.upload(there, leaked!.bytes)

    const kept = await erase({ layers: [leaked!.digest], dryRun: true })
    expect(kept.images).toHaveLength(2)
    await erase({ layers: [leaked!.digest], everywhere: true })

    expect(await remains(leaked!)).toEqual({ file: false, row: false })
  })

  it('erases nothing of what is protected, unless its caller overrides that', async () => {
    await push(here, images.one!, 'one')
    await push(there, images.one!, 'prod')
    const target = { kind: 'tag', value: 'prod' } as const
    await fixture.database.execute(
      putProtection,
      { name: there, target, reason: 'serves customers', owner: 'sre', endsAt: null, mayLoosen: true },
      commandContext(fixture.context),
    )
    const before = await everything()

    await expect(erase({ images: [images.one!.digest], everywhere: true })).rejects.toMatchObject({
      code: 'image-protected',
      message: expect.stringContaining('serves customers'),
    })

    expect(await everything()).toEqual(before)
    const erasure = await erase({ images: [images.one!.digest], everywhere: true, overrideProtection: true })
    expect(erasure.images.map(({ heldBy }) => heldBy.length)).toEqual([0, 1])
    await expect(pull(there, 'prod')).rejects.toMatchObject({ code: 'manifest-unknown' })
  })

  it('gives the bytes to nobody while a backup keeps them, and removes them after it', async () => {
    await push(here, images.three!, 'v1')
    const hold = { id: randomUUID(), owner: 'backup', untilMs: fixture.clock.now() + 60_000 }
    await fixture.blobStore.hold(hold)

    const erasure = await erase({ images: [images.three!.digest] })

    expect(erasure.status).toBe('running')
    expect(new Set(erasure.blobs.map(({ bytes }) => bytes))).toEqual(new Set(['waiting']))
    expect(await fixture.registry.statBlob(fixture.context, here, images.three!.blobs[0]!.digest)).toBeUndefined()
    await fixture.blobStore.releaseHold(hold.id)
    await Promise.all([erasures.finish(), erasures.finish()])
    const [done] = (await erasures.list(fixture.context, { limit: 1 })).items
    expect(done).toMatchObject({ id: erasure.id, status: 'done' })
    for (const blob of images.three!.blobs) expect(await remains(blob)).toEqual({ file: false, row: false })
  })

  it('goes on where it was stopped between rows and bytes', async () => {
    await push(here, images.three!, 'v1')
    const failing = erasuresOver(failingStore)
    const begun = await failing.erase(fixture.context, { name: here, images: [images.three!.digest], layers: [], everywhere: false, overrideProtection: false, dryRun: false, reason })
    expect(begun.status).toBe('running')
    expect(errors).toHaveLength(1)

    await erasures.finish()

    expect((await erasures.list(fixture.context, { limit: 1 })).items[0]).toMatchObject({ status: 'done' })
    for (const blob of images.three!.blobs) expect(await remains(blob)).toEqual({ file: false, row: false })
  })

  it('leaves what is pushed again meanwhile, and takes it like anything new', async () => {
    await push(here, images.three!, 'v1')
    const failing = erasuresOver(failingStore)
    await failing.erase(fixture.context, { name: here, images: [images.three!.digest], layers: [], everywhere: false, overrideProtection: false, dryRun: false, reason })
    await push(here, images.three!, 'v1')

    await erasures.finish()

    expect((await pull(here, 'v1')).digest).toBe(images.three!.digest)
    expect(await files()).toHaveLength(images.three!.blobs.length)
    for (const { digest, bytes } of images.three!.blobs) {
      const { content } = await fixture.registry.openBlob(fixture.context, here, digest)
      const chunks: Buffer[] = []
      for await (const chunk of content.read()) chunks.push(chunk)
      await content.close()
      expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
    }
  })

  it('says where there is nothing to erase', async () => {
    await expect(erase({ images: [images.one!.digest] })).rejects.toMatchObject({ code: 'manifest-unknown' })
    const nowhere = { name: parseRepositoryName('leaks/nowhere'), images: [images.one!.digest], layers: [], everywhere: false, overrideProtection: false, dryRun: false, reason }
    await expect(erasures.erase(fixture.context, nowhere)).rejects.toMatchObject({ code: 'repository-unknown' })
  })

  it.each(['createUpload', 'hashBlob'] as const)('is not done while a copy is being made for the archive, which nobody knows of yet: stopped in %s', async (call) => {
    const world = new ArchiveWorld(fixture)
    await push(here, images.three!, 'v1')
    await fixture.registry.updateStorageClass(fixture.context, here, { digest: images.three!.digest }, 'ARCHIVE')
    const copied = Promise.withResolvers<undefined>()
    const goesOn = Promise.withResolvers<undefined>()
    const { archive } = fixture.blobStore
    const original = archive[call].bind(archive) as (...given: unknown[]) => Promise<never>
    // Stops the mover before its first byte, whose source is gone then, or between its copy and the moment from which it is known.
    const stopped = vi.spyOn(archive, call).mockImplementation(async (...given: unknown[]) => {
      copied.resolve(undefined)
      await goesOn.promise
      return original(...given)
    })
    onTestFinished(() => {
      stopped.mockRestore()
    })
    const moving = world.move()
    await copied.promise

    const erasure = await erase({ images: [images.three!.digest], layers: images.three!.blobs.map(({ digest }) => digest) })
    expect(erasure.status).toBe('running')
    expect(erasure.blobs.map(({ bytes }) => bytes)).toContain('waiting')
    expect(await pull(here, images.three!.digest).then(() => 'given', () => 'refused')).toBe('refused')
    await erasures.finish()
    expect((await erasures.list(fixture.context, { limit: 1 })).items[0]!.status).toBe('running')

    goesOn.resolve(undefined)
    await moving
    await erasures.finish()
    expect((await erasures.list(fixture.context, { limit: 1 })).items[0]!.status).toBe('done')
    for (const blob of images.three!.blobs) expect(await remains(blob)).toEqual({ file: false, row: false })
    expect(world.problems).toEqual([])
  })
})

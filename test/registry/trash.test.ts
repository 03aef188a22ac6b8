import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { digestOf, mediaTypes, parseRepositoryName, parseTag, type Digest, type RepositoryName } from '../../src/values/index.ts'
import { deleteImages } from '../../src/registry/commands/delete-images.ts'
import { purgeTrash } from '../../src/registry/commands/purge-trash.ts'
import { commandContext } from '../../src/registry/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'
import { catalogueOf, withChildren, type KnownImage } from '../interleavings/images.ts'

const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: { team: 'a' } } as const
const dayMs = 24 * 60 * 60 * 1000

describe.each(databases)('the trash on %s', (kind) => {
  let fixture: RegistryFixture
  let name: RepositoryName
  let images: Record<string, KnownImage>
  let count = 0

  beforeAll(async () => {
    fixture = await startRegistry(kind)
  })
  afterAll(() => fixture.stop())
  beforeEach(async () => {
    count += 1
    const catalogue = catalogueOf(`t${count}`)
    name = parseRepositoryName(`trash/${kind}${count}`)
    images = Object.fromEntries(catalogue.images.map((image) => [image.name, image]))
    await fixture.registry.createRepository(fixture.context, { name, ...settings })
  })

  async function push(image: KnownImage, tag?: string): Promise<void> {
    for (const each of withChildren(image).reverse()) {
      for (const { bytes } of each.blobs) await fixture.upload(name, bytes)
      const reference = each === image && tag !== undefined ? ({ kind: 'tag', tag: parseTag(tag) } as const) : undefined
      await fixture.registry.putManifest(fixture.context, name, { bytes: each.bytes, declaredMediaType: each.mediaType, reference, via: 'oci' })
    }
  }

  async function listed(): Promise<{ digest: Digest; tags: readonly string[]; pushedAt: number }[]> {
    const options = { filter: { tagStatus: 'ANY', imageStatus: 'ANY' }, page: { limit: 100 } } as const
    const { items } = await fixture.registry.describeImages(fixture.context, name, options)
    return items.map(({ digest, tags, pushedAt }) => ({ digest, tags, pushedAt }))
  }

  const there = async (): Promise<string[]> => {
    const digests = new Set((await listed()).map(({ digest }) => digest))
    return Object.values(images).filter(({ digest }) => digests.has(digest)).map((image) => image.name)
  }

  const remove = (image: KnownImage) => fixture.registry.deleteImages(fixture.context, name, [{ digest: image.digest }])

  async function batches(): Promise<{ id: string; imageCount: number; tagCount: number; restoredAt: number | null }[]> {
    const { reader } = fixture.database
    return reader.query(
      reader.builder
        .selectFrom('trash_batch')
        .innerJoin('repository', 'repository.id', 'trash_batch.repository_id')
        .select(['trash_batch.id', 'trash_batch.image_count as imageCount', 'tag_count as tagCount', 'restored_at as restoredAt'])
        .where('repository.name', '=', name)
        .orderBy('trash_batch.created_at'),
    )
  }

  async function readable(image: KnownImage): Promise<boolean> {
    for (const { digest, bytes } of image.blobs) {
      const { content } = await fixture.registry.openBlob(fixture.context, name, digest)
      const chunks: Buffer[] = []
      for await (const chunk of content.read()) chunks.push(chunk)
      await content.close()
      if (digestOf(Buffer.concat(chunks)) !== digestOf(bytes)) return false
    }
    return true
  }

  it('takes an index with its children and their referrers, and gives all of it back as it was', async () => {
    await push(images.index!, 'latest')
    await push(images['signature-of-index']!)
    const before = await listed()
    fixture.clock.advance(dayMs)

    await remove(images.index!)

    expect(await listed()).toEqual([])
    const [batch] = await batches()
    expect(batch).toMatchObject({ imageCount: 4, tagCount: 1, restoredAt: null })
    const outcome = await fixture.registry.restoreTrash(fixture.context, batch!.id)
    expect(outcome.images).toHaveLength(4)
    expect(outcome.notRestored).toEqual([])
    expect(await listed()).toEqual(before)
    for (const image of withChildren(images.index!)) expect(await readable(image)).toBe(true)
    expect((await batches())[0]).toMatchObject({ imageCount: 0, tagCount: 0, restoredAt: fixture.clock.now() })
  })

  it('leaves a child with a tag of its own, and one that another index lists', async () => {
    await push(images.one!, 'one')
    await push(images.index!, 'latest')

    await remove(images.index!)

    expect(await there()).toEqual(['one'])
  })

  it('counts a child that is named beside its index as deleted', async () => {
    await push(images.index!, 'latest')

    const outcomes = await fixture.registry.deleteImages(fixture.context, name, [
      { digest: images.one!.digest },
      { digest: images.index!.digest },
      { digest: images.two!.digest },
    ])

    expect(outcomes.map(({ kind: outcome }) => outcome)).toEqual(['deleted', 'deleted', 'deleted'])
    expect(await batches()).toHaveLength(1)
  })

  it.each([
    ['by each of its tags', [{ tag: 'one' }, { tag: 'two' }, { tag: 'three' }]],
    ['by its digest with each tag', [{ digest: true, tag: 'three' }, { digest: true, tag: 'two' }, { digest: true, tag: 'one' }]],
    ['by a tag and its digest', [{ tag: 'two' }, { digest: true }]],
  ])('gives an image back with all its tags that was deleted %s in one call', async (_, identifiers) => {
    const { digest } = images.one!
    for (const tag of ['one', 'two', 'three']) await push(images.one!, tag)
    const before = await listed()

    const outcomes = await fixture.registry.deleteImages(
      fixture.context,
      name,
      identifiers.map((named: { tag?: string; digest?: boolean }) => ({
        ...(named.tag === undefined ? {} : { tag: parseTag(named.tag) }),
        ...(named.digest === undefined ? {} : { digest }),
      })),
    )

    expect(outcomes.map(({ kind: outcome }) => outcome)).toEqual(identifiers.map(() => 'deleted'))
    // Each tag once, with the identifier that names it.
    expect(outcomes.flatMap((outcome) => (outcome.kind === 'deleted' ? outcome.tags : [])).sort()).toEqual(['one', 'three', 'two'])
    expect(await listed()).toEqual([])
    const [batch] = await batches()
    expect(batch).toMatchObject({ imageCount: 1, tagCount: 3 })
    await fixture.registry.restoreTrash(fixture.context, batch!.id)
    expect(await listed()).toEqual(before)
  })

  it('takes an image with all its named tags where the index that lists it is named after them', async () => {
    for (const tag of ['one', 'two']) await push(images.one!, tag)
    await push(images.index!, 'latest')
    const before = await listed()

    const outcomes = await fixture.registry.deleteImages(fixture.context, name, [{ tag: parseTag('one') }, { tag: parseTag('two') }, { tag: parseTag('latest') }])

    expect(outcomes.map(({ kind: outcome }) => outcome)).toEqual(['deleted', 'deleted', 'deleted'])
    expect(await listed()).toEqual([])
    for (const { id } of await batches()) await fixture.registry.restoreTrash(fixture.context, id)
    expect(await listed()).toEqual(before)
  })

  it('takes the other tags of an image that has to stay, and leaves it the last that was named', async () => {
    for (const tag of ['one', 'two']) await push(images.one!, tag)
    await push(images.index!, 'latest')

    const outcomes = await fixture.registry.deleteImages(fixture.context, name, [{ tag: parseTag('one') }, { tag: parseTag('two') }])

    expect(outcomes).toEqual([
      { kind: 'deleted', digest: images.one!.digest, tags: ['one'] },
      { kind: 'referenced', by: [images.index!.digest] },
    ])
    expect((await listed()).find(({ digest }) => digest === images.one!.digest)?.tags).toEqual(['two'])
  })

  it('finds what went last with a tag, whatever has the tag by now, and says what became of a tag alone', async () => {
    const { registry, context } = fixture
    const found = (tag: string) => registry.findInTrash(context, name, { tag: parseTag(tag) })
    await push(images.one!, 'latest')
    await remove(images.one!)
    await push(images.two!, 'latest')
    await push(images.two!, 'spare')
    expect(await found('latest')).toMatchObject({ digest: images.one!.digest })
    // A living image comes first where anything about an image is asked.
    expect((await registry.describeImageState(context, name, { tag: parseTag('latest') })).image.digest).toBe(images.two!.digest)

    await registry.deleteTag(context, name, parseTag('spare'))
    await expect(found('spare')).rejects.toMatchObject({ code: 'trash-unknown', message: expect.stringContaining('The tag alone was deleted') as string })
    await expect(found('never')).rejects.toMatchObject({ code: 'trash-unknown', message: expect.not.stringContaining('alone') as string })

    await remove(images.two!)
    expect(await registry.describeImageState(context, name, { tag: parseTag('latest') })).toMatchObject({ image: { digest: images.two!.digest }, trash: { tags: ['latest'] } })
  })

  it('says of an image of a deleted repository what brings both back', async () => {
    const { registry, context } = fixture
    await push(images.one!, 'latest')
    await remove(images.one!)
    await registry.deleteRepository(context, name, { force: true })
    const { items } = await registry.listTrash(context, name, { limit: 10 })
    const ofRepository = items.find(({ kind: what }) => what === 'repository')
    const trashed = { code: 'repository-trashed', detail: { trashBatch: ofRepository!.batch } }
    await expect(registry.findInTrash(context, name, { tag: parseTag('latest') })).rejects.toMatchObject(trashed)
    await expect(registry.describeImageState(context, name, { tag: parseTag('latest') })).rejects.toMatchObject(trashed)
    await expect(registry.findInTrash(context, parseRepositoryName('never/there'), { tag: parseTag('latest') })).rejects.toMatchObject({ code: 'repository-unknown' })
  })

  it('leaves a tag to whoever has taken it since, and says so', async () => {
    await push(images.one!, 'latest')
    await push(images.one!, 'v1')
    await remove(images.one!)
    await push(images.two!, 'latest')

    const outcome = await fixture.registry.restoreTrash(fixture.context, (await batches())[0]!.id)

    expect(outcome.images).toEqual([{ digest: images.one!.digest, tags: ['v1'], takenTags: [{ tag: 'latest', by: images.two!.digest }], deletedTags: [] }])
    expect((await listed()).map(({ digest, tags }) => ({ digest, tags }))).toEqual([
      { digest: images.one!.digest, tags: ['v1'] },
      { digest: images.two!.digest, tags: ['latest'] },
    ])
  })

  it('leaves a tag deleted that was given to another image since and deleted from that, and says so', async () => {
    await push(images.one!, 'latest')
    await push(images.one!, 'v1')
    await push(images.one!, 'stable')
    await remove(images.one!)
    await push(images.two!, 'latest')
    await push(images.two!, 'stable')
    await push(images.two!, 'v2')
    await fixture.registry.deleteTag(fixture.context, name, parseTag('latest'))
    fixture.clock.advance(1)
    await remove(images.two!)

    const outcome = await fixture.registry.restoreTrash(fixture.context, (await batches())[0]!.id)

    expect(outcome.images).toEqual([{ digest: images.one!.digest, tags: ['v1'], takenTags: [], deletedTags: ['latest', 'stable'] }])
    expect((await listed()).map(({ tags }) => tags)).toEqual([['v1']])
    expect((await batches())[0]).toMatchObject({ imageCount: 0, tagCount: 0 })
    const later = await fixture.registry.restoreTrash(fixture.context, (await batches())[1]!.id)
    expect(later.images).toEqual([{ digest: images.two!.digest, tags: ['stable', 'v2'], takenTags: [], deletedTags: [] }])
  })

  it('gives back one image of a batch, with what refers to it', async () => {
    await push(images.three!, 'three')
    await push(images['signature-of-three']!)
    await push(images.one!, 'one')
    await fixture.registry.deleteImages(fixture.context, name, [{ digest: images.three!.digest }, { digest: images.one!.digest }])
    const [batch] = await batches()

    await fixture.registry.restoreTrash(fixture.context, batch!.id, [images.three!.digest])

    expect(await there()).toEqual(['three', 'signature-of-three'])
    expect((await batches())[0]).toMatchObject({ imageCount: 1, restoredAt: null })
  })

  it('finds by a tag the image that went last with it, unless the tag alone was deleted since', async () => {
    await push(images.one!, 'v1')
    await remove(images.one!)
    const tag = parseTag('v1')
    expect(await fixture.registry.findInTrash(fixture.context, name, { tag })).toMatchObject({ digest: images.one!.digest })

    await push(images.two!, 'v1')
    await fixture.registry.deleteTag(fixture.context, name, tag)
    await expect(fixture.registry.findInTrash(fixture.context, name, { tag })).rejects.toMatchObject({ code: 'trash-unknown' })

    await push(images.two!, 'v1')
    await remove(images.two!)
    expect(await fixture.registry.findInTrash(fixture.context, name, { tag })).toMatchObject({ digest: images.two!.digest })
  })

  it('shows a batch again to which something is added after all of it had come back', async () => {
    await push(images.one!, 'one')
    await push(images.three!, 'three')
    const trashBatch = randomUUID()
    const add = (image: KnownImage) =>
      fixture.database.execute(deleteImages, { name, identifiers: [{ digest: image.digest }], trashBatch, retentionMs: dayMs }, commandContext(fixture.context))
    await add(images.one!)
    await fixture.registry.restoreTrash(fixture.context, trashBatch)
    expect((await fixture.registry.listTrash(fixture.context, name, { limit: 10 })).items).toEqual([])

    await add(images.three!)

    expect((await fixture.registry.listTrash(fixture.context, name, { limit: 10 })).items).toMatchObject([{ batch: trashBatch, imageCount: 1 }])
  })

  it('tells of which tags a restoration would be: of a batch, or of images with what comes with them', async () => {
    await push(images.three!, 'v1')
    await push(images['signature-of-three']!, 'signature')
    await fixture.registry.deleteTag(fixture.context, name, parseTag('signature'))
    await push(images.one!, 'v2')
    await fixture.registry.deleteImages(fixture.context, name, [{ digest: images.three!.digest }, { digest: images.one!.digest }])
    const [{ id: batch } = { id: '' }] = await batches()
    const tags = (digests?: Digest[], of: string | undefined = batch) => fixture.registry.tagsInTrash(fixture.context, name, { batch: of, digests })

    expect(new Set(await tags())).toEqual(new Set(['v1', 'v2', undefined]))
    expect(new Set(await tags([images.three!.digest]))).toEqual(new Set(['v1', undefined]))
    expect(await tags([images.one!.digest], undefined)).toEqual(['v2'])
  })

  it('brings back with a push of a deleted image what refers to it', async () => {
    await push(images.three!, 'three')
    await push(images['signature-of-three']!)
    await remove(images.three!)

    await push(images.three!, 'again')

    expect(await there()).toEqual(['three', 'signature-of-three'])
    expect((await batches())[0]).toMatchObject({ imageCount: 0, tagCount: 0, restoredAt: fixture.clock.now() })
  })

  it('leaves images in the trash, and what lists them, whose tags the caller was not asked about', async () => {
    await push(images.index!, 'latest')
    await push(images.three!, 'three')
    await push(images.three!, 'prod')
    await fixture.registry.deleteImages(fixture.context, name, [{ digest: images.index!.digest }, { digest: images.three!.digest }])
    const [batch] = await batches()
    const restore = (...known: (string | undefined)[]) => fixture.registry.restoreTrash(fixture.context, batch!.id, undefined, known.map((tag) => (tag === undefined ? tag : parseTag(tag))))

    const first = await restore('latest', 'three')
    expect(first.images).toEqual([])
    expect(first.notRestored).toHaveLength(4)
    const second = await restore('latest', 'three', undefined)
    expect(second.notRestored).toEqual([{ digest: images.three!.digest, reason: 'its tags were changed while its restoration was decided about: try again' }])
    expect(await there()).toEqual(['one', 'two', 'index'])
    await restore('three', 'prod')
    expect(await there()).toEqual(['one', 'two', 'three', 'index'])
  })

  it('counts an image that is pushed again as one that has left its batch', async () => {
    await push(images.one!, 'one')
    await push(images.one!, 'first')
    await push(images.three!, 'three')
    await fixture.registry.deleteImages(fixture.context, name, [{ digest: images.one!.digest }, { digest: images.three!.digest }])

    await push(images.one!, 'again')

    const shown = async () => (await fixture.registry.listTrash(fixture.context, name, { limit: 10 })).items
    expect(await shown()).toMatchObject([{ imageCount: 1, tagCount: 1 }])
    await push(images.three!, 'three')
    expect(await shown()).toEqual([])
  })

  it('does not give back an image whose bytes are gone, nor the index that lists it', async () => {
    await push(images.index!, 'latest')
    await remove(images.index!)
    await fixture.tamper("update blob_location set state = 'quarantined' where blob_id in (select id from blob where digest = ?)", digestBytes(images.one!.blobs[0]!.digest))

    const outcome = await fixture.registry.restoreTrash(fixture.context, (await batches())[0]!.id)

    expect(outcome.images.map(({ digest }) => digest)).toEqual([images.two!.digest])
    expect(outcome.notRestored.map(({ digest }) => digest).sort()).toEqual([images.one!.digest, images.index!.digest].sort())
    expect(await there()).toEqual(['two'])
  })

  it('gives a batch back that is too large for one command', async () => {
    const digests: Digest[] = []
    for (let n = 0; n < 450; n += 1) {
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], annotations: { n: String(n) } }))
      const reference = { kind: 'tag', tag: parseTag(`v${n}`) } as const
      const { digest } = await fixture.registry.putManifest(fixture.context, name, { bytes, declaredMediaType: mediaTypes.ociIndex, reference, via: 'oci' })
      digests.push(digest)
    }
    await fixture.registry.deleteImages(fixture.context, name, digests.map((digest) => ({ digest })))
    const [batch] = await batches()

    const outcome = await fixture.registry.restoreTrash(fixture.context, batch!.id)

    expect(outcome.images.map(({ digest, tags }) => [digest, tags])).toEqual(digests.map((digest, n) => [digest, [`v${n}`]]))
    expect((await batches())[0]).toMatchObject({ imageCount: 0, tagCount: 0, restoredAt: fixture.clock.now() })
  })

  it('ends the time of a batch part by part, and that of all its images', async () => {
    const digests: Digest[] = []
    for (let n = 0; n < 501; n += 1) {
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], annotations: { n: String(n) } }))
      const { digest } = await fixture.registry.putManifest(fixture.context, name, { bytes, declaredMediaType: mediaTypes.ociIndex, reference: undefined, via: 'oci' })
      digests.push(digest)
    }
    await fixture.registry.deleteImages(fixture.context, name, digests.map((digest) => ({ digest })))
    const [batch] = await batches()
    const context = commandContext(fixture.context)

    const next = await fixture.database.execute(purgeTrash, { name, batch: batch!.id, after: 0 }, context)
    expect(await stillToCome()).toEqual({ images: 1, reviews: 1 })
    expect(next).toBeTypeOf('number')
    await fixture.registry.purgeTrash(fixture.context, name, batch!.id)

    expect(await stillToCome()).toEqual({ images: 0, reviews: 0 })

    /** Images of the batch, and reviews of them, whose time is not over. */
    async function stillToCome(): Promise<{ images: number; reviews: number }> {
      const { reader } = fixture.database
      const images = await reader.query(reader.builder.selectFrom('manifest').select('id').where('trash_batch', '=', batch!.id).where('purge_after', '>', fixture.clock.now()))
      const reviews = reader.builder
        .selectFrom('review')
        .innerJoin('manifest', 'manifest.id', 'review.subject_id')
        .select('review.id')
        .where('review.kind', '=', 'manifest')
        .where('trash_batch', '=', batch!.id)
        .where('due_at', '>', fixture.clock.now())
      return { images: images.length, reviews: (await reader.query(reviews)).length }
    }
  })

  it('says which part of an index was deleted by itself, and gives the index back after that', async () => {
    await push(images.index!, 'latest')
    await push(images.one!, 'one')
    await remove(images.index!)
    fixture.clock.advance(dayMs)
    await remove(images.one!)
    const [ofIndex, ofChild] = await batches()

    const early = await fixture.registry.restoreTrash(fixture.context, ofIndex!.id)
    expect(early.images.map(({ digest }) => digest)).toEqual([images.two!.digest])
    expect(early.notRestored).toEqual([{ digest: images.index!.digest, reason: `it lists ${images.one!.digest}, which was deleted by itself: restore that first` }])
    await fixture.registry.restoreTrash(fixture.context, ofChild!.id)
    await fixture.registry.restoreTrash(fixture.context, ofIndex!.id)

    expect(await there()).toEqual(['one', 'two', 'index'])
  })

  it('gives back a repository whole, with its tags and images, unless its name is taken', async () => {
    await push(images.index!, 'latest')
    const before = await listed()
    await fixture.registry.deleteRepository(fixture.context, name, { force: true })
    await fixture.registry.createRepository(fixture.context, { name, ...settings })
    const [batch] = await batches()

    await expect(fixture.registry.restoreTrash(fixture.context, batch!.id)).rejects.toMatchObject({ code: 'repository-exists' })
    await fixture.registry.deleteRepository(fixture.context, name, { force: false })
    const outcome = await fixture.registry.restoreTrash(fixture.context, batch!.id)

    expect(outcome).toMatchObject({ repositoryName: name, repositoryRestored: true })
    expect(await listed()).toEqual(before)
    expect(await fixture.registry.listResourceTags(fixture.context, name)).toEqual({ team: 'a' })
  })

  it('restores nothing twice, nothing of another registry, and nothing beneath a deleted repository', async () => {
    await push(images.one!, 'latest')
    await remove(images.one!)
    const [batch] = await batches()
    const foreign = { ...fixture.context, registry: { ...fixture.context.registry, id: 12345 } }

    await expect(fixture.registry.restoreTrash(foreign, batch!.id)).rejects.toMatchObject({ code: 'trash-unknown' })
    await fixture.registry.deleteRepository(fixture.context, name, { force: true })
    await expect(fixture.registry.restoreTrash(fixture.context, batch!.id)).rejects.toMatchObject({ code: 'repository-trashed' })
    await fixture.registry.restoreTrash(fixture.context, (await batches()).find(({ id }) => id !== batch!.id)!.id)
    await fixture.registry.restoreTrash(fixture.context, batch!.id)
    await expect(fixture.registry.restoreTrash(fixture.context, batch!.id)).rejects.toMatchObject({ code: 'trash-unknown' })
  })

  describe('of tags alone', () => {
    async function changes(): Promise<{ id: number; name: string }[]> {
      const { reader } = fixture.database
      return reader.query(
        reader.builder
          .selectFrom('tag_history')
          .innerJoin('repository', 'repository.id', 'tag_history.repository_id')
          .select(['tag_history.id', 'tag_history.name'])
          .where('repository.name', '=', name)
          .orderBy('tag_history.id', 'desc'),
      )
    }

    it('moves an overwritten tag back, as long as nobody moved it again', async () => {
      await push(images.one!, 'latest')
      await push(images.two!, 'latest')
      const [move] = await changes()

      expect(await fixture.registry.undoTagChange(fixture.context, name, move!.id)).toEqual({ tag: 'latest', digest: images.one!.digest })

      expect((await listed())[0]).toMatchObject({ digest: images.one!.digest, tags: ['latest'] })
      await expect(fixture.registry.undoTagChange(fixture.context, name, move!.id)).rejects.toMatchObject({ code: 'tag-changed-since' })
    })

    it('gives a deleted tag back, unless its image is gone', async () => {
      await push(images.one!, 'latest')
      await fixture.registry.deleteTag(fixture.context, name, parseTag('latest'))
      const [deletion] = await changes()
      await remove(images.one!)

      await expect(fixture.registry.undoTagChange(fixture.context, name, deletion!.id)).rejects.toMatchObject({ code: 'manifest-unknown' })
      await fixture.registry.restoreTrash(fixture.context, (await batches())[0]!.id)
      await fixture.registry.undoTagChange(fixture.context, name, deletion!.id)

      expect((await listed())[0]).toMatchObject({ tags: ['latest'] })
    })

    it('moves no tag back that is immutable by now', async () => {
      await push(images.one!, 'latest')
      await push(images.two!, 'latest')
      const [move] = await changes()
      await fixture.registry.putTagMutability(fixture.context, name, 'IMMUTABLE', [])

      await expect(fixture.registry.undoTagChange(fixture.context, name, move!.id)).rejects.toMatchObject({ code: 'tag-immutable' })
      expect((await listed()).find(({ digest }) => digest === images.two!.digest)).toMatchObject({ tags: ['latest'] })
    })

    it('undoes no change that went with an image', async () => {
      await push(images.one!, 'latest')
      await remove(images.one!)
      const [change] = await changes()

      await expect(fixture.registry.undoTagChange(fixture.context, name, change!.id)).rejects.toMatchObject({ code: 'tag-change-unknown' })
    })
  })
})

function digestBytes(digest: Digest): Uint8Array {
  return Buffer.concat([Buffer.of(1), Buffer.from(digest.slice('sha256:'.length), 'hex')])
}

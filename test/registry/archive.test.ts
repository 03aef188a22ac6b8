import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Erasures } from '../../src/gc/erasures.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { commandContext } from '../../src/registry/index.ts'
import { createProtections } from '../../src/registry/protection/protections.ts'
import { parseTag } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'
import { ArchiveWorld, blobDigest, imageOf, indexOf, packedLayer, textLayer, type TestImage } from './archive-world.ts'

describe.each(databases)('the archive on %s', (kind) => {
  let fixture: RegistryFixture
  let world: ArchiveWorld

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    world = new ArchiveWorld(fixture)
  })
  afterAll(async () => {
    await fixture.stop()
    expect(world.problems).toEqual([])
  })

  const notThere = { code: 'image-archived' }

  async function archived(...layers: Buffer[]) {
    const name = await world.repository('archived')
    const image = imageOf(layers)
    await world.push(name, image, 'v1')
    await world.change(name, image, 'ARCHIVE')
    await world.work()
    return { name, image }
  }

  it('moves an image with its bytes, compressed where that pays, and brings exactly them back', async () => {
    const [text, packed, tiny] = [textLayer(), packedLayer(), Buffer.from('a layer of a few bytes')]
    const { name, image } = await archived(text, packed, tiny)

    expect(await world.status(name, image)).toBe('ARCHIVED')
    expect(await Promise.all([text, packed, tiny].map((layer) => world.files(layer)))).toEqual([['archive zstd'], ['archive'], ['archive']])
    await expect(world.pull(name, image)).rejects.toMatchObject(notThere)
    await expect(world.registry.headManifest(fixture.context, name, { kind: 'tag', tag: parseTag('v1') })).rejects.toMatchObject(notThere)
    await expect(world.read(name, text)).rejects.toMatchObject({ code: 'blob-unknown' })
    expect(await world.registry.statBlob(fixture.context, name, blobDigest(text))).toBeUndefined()
    expect(await world.registry.isBlobArchived(fixture.context, name, blobDigest(text))).toBe(true)

    expect(await world.change(name, image, 'STANDARD')).toBe('ACTIVATING')
    await expect(world.pull(name, image)).rejects.toMatchObject(notThere)
    await world.work()

    expect(await world.status(name, image)).toBe('ACTIVE')
    expect((await world.pull(name, image)).bytes.equals(image.bytes)).toBe(true)
    for (const layer of [text, packed, tiny]) {
      expect((await world.read(name, layer)).equals(layer)).toBe(true)
      expect(await world.files(layer)).toEqual(['filesystem'])
    }
  })

  it('tells when, in the words of ECR, with events and records', async () => {
    const name = await world.repository('told')
    const image = imageOf([textLayer()])
    await world.push(name, image, 'v1')
    const archivedAt = fixture.clock.now()
    await world.change(name, image, 'ARCHIVE')
    await world.work()
    await world.change(name, image, 'STANDARD')
    const activatedAt = fixture.clock.now()
    await world.work()

    const [detail] = await world.registry.describeImagesById(fixture.context, name, [{ tag: parseTag('v1') }])
    expect(detail).toMatchObject({ status: 'ACTIVE', lastArchivedAt: archivedAt, lastActivatedAt: activatedAt })
    const moves = (await world.events(name)).filter((event) => event['action-type'] === 'UPDATE_STORAGE_CLASS')
    expect(moves).toMatchObject([
      { 'target-storage-class': 'ARCHIVE', 'image-digest': image.digest, result: 'SUCCESS' },
      { 'target-storage-class': 'STANDARD', 'image-digest': image.digest, 'last-activated-at': new Date(activatedAt).toISOString() },
    ])
    const { reader } = fixture.database
    const records = await reader.query(reader.builder.selectFrom('audit_record').select(['action', 'detail']).where('action', 'in', ['UpdateImageStorageClass', 'ImageActivationEvent']).orderBy('id'))
    expect(records.map(({ action, detail }): Record<string, unknown> => ({ action, ...(JSON.parse(detail) as object) })).filter((row) => row['repositoryName'] === name)).toMatchObject([
      { targetStorageClass: 'ARCHIVE', imageTags: ['v1'] },
      { targetStorageClass: 'STANDARD', because: 'request' },
      { targetStorageClass: 'STANDARD', action: 'ImageActivationEvent' },
    ])
  })

  it('leaves alone what is so already', async () => {
    const { name, image } = await archived(textLayer())
    expect(await world.change(name, image, 'ARCHIVE')).toBe('ARCHIVED')
    expect(await world.change(name, image, 'STANDARD')).toBe('ACTIVATING')
    expect(await world.change(name, image, 'STANDARD')).toBe('ACTIVATING')
    await expect(world.change(name, image, 'ARCHIVE')).rejects.toMatchObject({ code: 'storage-class-unsupported' })
    await world.work()
    expect(await world.change(name, image, 'STANDARD')).toBe('ACTIVE')
    await expect(world.change(name, imageOf([textLayer()]), 'ARCHIVE')).rejects.toMatchObject({ code: 'manifest-unknown' })
  })

  it('keeps among the active what another image, repository or account still has', async () => {
    const [shared, own] = [textLayer(), textLayer()]
    const [name, other] = [await world.repository('shared'), await world.repository('other')]
    const [going, staying, elsewhere] = [imageOf([shared, own]), imageOf([shared]), imageOf([own])]
    await world.push(name, going)
    await world.push(name, staying)
    await world.push(other, elsewhere)
    await world.change(name, going, 'ARCHIVE')
    await world.work()

    expect([await world.files(shared), await world.files(own)]).toEqual([['filesystem'], ['filesystem']])
    expect((await world.read(name, shared)).equals(shared)).toBe(true)
    await expect(world.read(name, own)).rejects.toMatchObject({ code: 'blob-unknown' })
    expect((await world.read(other, own)).equals(own)).toBe(true)

    await world.change(other, elsewhere, 'ARCHIVE')
    await world.change(name, staying, 'ARCHIVE')
    await world.work()
    expect([await world.files(shared), await world.files(own)]).toEqual([['archive zstd'], ['archive zstd']])

    await world.change(other, elsewhere, 'STANDARD')
    await world.work()
    expect([await world.files(shared), await world.files(own)]).toEqual([['archive zstd'], ['filesystem']])
    await expect(world.pull(name, going)).rejects.toMatchObject(notThere)
  })

  it('moves an index with what it lists and what refers to any of it, and brings all of that back together', async () => {
    const name = await world.repository('index')
    const [one, two, tagged] = [imageOf([textLayer()]), imageOf([textLayer()]), imageOf([textLayer()])]
    const index = indexOf(one, two, tagged)
    await world.push(name, index, 'latest')
    await world.put(name, tagged, 'by-itself')
    const signatures = [imageOf([textLayer()], index), imageOf([textLayer()], one)]
    for (const signature of signatures) await world.push(name, signature)
    const all = [index, one, two, tagged, ...signatures]
    const statuses = async () => Promise.all(all.map((image) => world.status(name, image)))

    await expect(world.change(name, one, 'ARCHIVE')).rejects.toMatchObject({ code: 'storage-class-unsupported', message: expect.stringContaining(index.digest) as string })
    await world.change(name, index, 'ARCHIVE')
    await world.work()
    expect(await statuses()).toEqual(['ARCHIVED', 'ARCHIVED', 'ARCHIVED', 'ACTIVE', 'ARCHIVED', 'ARCHIVED'])
    expect((await world.pull(name, tagged)).digest).toBe(tagged.digest)
    await world.change(name, tagged, 'ARCHIVE')
    await world.work()

    await world.change(name, index, 'STANDARD')
    expect(await statuses()).toEqual(Array.from({ length: 6 }, () => 'ACTIVATING'))
    await world.work()
    expect(await statuses()).toEqual(Array.from({ length: 6 }, () => 'ACTIVE'))
    for (const image of all) for (const blob of image.blobs) expect((await world.read(name, blob)).equals(blob)).toBe(true)
  })

  it('restores at once what is pushed again, before its bytes are back', async () => {
    const [layer, second] = [textLayer(), packedLayer()]
    const { name, image } = await archived(layer, second)

    await world.push(name, image, 'v2')

    expect(await world.status(name, image)).toBe('ACTIVE')
    expect(await world.files(layer)).toEqual(['archive zstd'])
    for (const blob of image.blobs) expect((await world.read(name, blob)).equals(blob)).toBe(true)
    await world.work()
    expect(await Promise.all(image.blobs.map((blob) => world.files(blob)))).toEqual([['filesystem'], ['filesystem'], ['filesystem']])
    expect((await world.read(name, layer)).equals(layer)).toBe(true)
  })

  it('restores what an index lists that is pushed while they are in the archive', async () => {
    const { name, image } = await archived(textLayer())
    const index = indexOf(image)
    await world.put(name, index, 'new')
    expect(await world.status(name, image)).toBe('ACTIVE')
    expect((await world.pull(name, image)).digest).toBe(image.digest)
    await world.work()
    expect(await world.files(image.blobs[1]!)).toEqual(['filesystem'])
  })

  it('keeps the promise to a client that was told of a blob just before its image was archived', async () => {
    const name = await world.repository('promised')
    const [layer, next] = [textLayer(), textLayer()]
    const image = imageOf([layer])
    await world.push(name, image, 'v1')
    expect(await world.registry.statBlob(fixture.context, name, blobDigest(layer))).toBeDefined()
    await world.change(name, image, 'ARCHIVE')
    await world.work()

    const another = imageOf([layer, next])
    for (const blob of [another.blobs[0]!, next]) await fixture.upload(name, blob)
    await world.put(name, another, 'v2')

    expect((await world.read(name, layer)).equals(layer)).toBe(true)
    await world.work()
    expect(await world.files(layer)).toEqual(['filesystem'])
    await expect(world.pull(name, image)).rejects.toMatchObject(notThere)
  })

  it('makes a layer active that is uploaded again, and lets it go when no image comes to use it', async () => {
    const layer = textLayer()
    const { name } = await archived(layer)
    await fixture.upload(name, layer)
    expect(await world.registry.statBlob(fixture.context, name, blobDigest(layer))).toBeDefined()
    await world.work()
    expect(await world.files(layer)).toEqual(['filesystem'])

    for (let hour = 0; hour < 30; hour += 1) {
      fixture.clock.advance(60 * 60_000)
      await world.collect()
    }
    await world.work()

    expect(await world.registry.statBlob(fixture.context, name, blobDigest(layer))).toBeUndefined()
    expect(await world.files(layer)).toEqual(['archive zstd'])
  })

  it('mounts no layer from where only archived images have it', async () => {
    const layer = textLayer()
    const { name } = await archived(layer)
    const target = await world.repository('target')
    expect(await world.registry.mountBlob(fixture.context, target, blobDigest(layer), { from: name })).toBe(false)
    expect(await world.registry.mountBlob(fixture.context, target, blobDigest(layer), { anyReadable: () => Promise.resolve(true) })).toBe(false)
  })

  it('archives nothing that somebody protects', async () => {
    const name = await world.repository('protected')
    const image = imageOf([textLayer()])
    await world.push(name, image, 'v1')
    const protections = createProtections({ database: fixture.database })
    await protections.put(fixture.context, name, { target: { kind: 'tag', value: parseTag('v1') }, owner: 'the owner', reason: 'it is wanted', endsAt: undefined, mayLoosen: false })
    await expect(world.change(name, image, 'ARCHIVE')).rejects.toMatchObject({
      code: 'storage-class-unsupported',
      message: expect.stringContaining('it is wanted') as string,
    })
    expect((await world.pull(name, image)).digest).toBe(image.digest)
  })

  it('deletes an archived image to the trash, restores it as an archived one, and gives its space back when that is over', async () => {
    const layer = textLayer()
    const { name, image } = await archived(layer)
    const remove = () => world.registry.deleteImages(fixture.context, name, [{ digest: image.digest }])
    await remove()
    const [batch] = (await world.registry.listTrash(fixture.context, name, { limit: 1 })).items
    await world.registry.restoreTrash(fixture.context, batch!.batch)
    expect(await world.status(name, image)).toBe('ARCHIVED')
    await expect(world.read(name, layer)).rejects.toMatchObject({ code: 'blob-unknown' })
    await world.work()
    expect(await world.files(layer)).toEqual(['archive zstd'])

    await remove()
    for (let day = 0; day < 9; day += 1) {
      fixture.clock.advance(24 * 60 * 60_000)
      await world.collect()
    }
    expect(await world.files(layer)).toEqual([])
  })

  it('makes what lies in the trash active when it is pushed, also what was archived before', async () => {
    const layer = textLayer()
    const { name, image } = await archived(layer)
    await world.registry.deleteImages(fixture.context, name, [{ digest: image.digest }])
    await world.push(name, image, 'v1')
    expect(await world.status(name, image)).toBe('ACTIVE')
    expect((await world.read(name, layer)).equals(layer)).toBe(true)
  })

  it('goes on with what was being restored when it comes back from the trash', async () => {
    const { name, image } = await archived(textLayer())
    await world.change(name, image, 'STANDARD')
    await world.registry.deleteImages(fixture.context, name, [{ digest: image.digest }])
    await world.work()
    const [batch] = (await world.registry.listTrash(fixture.context, name, { limit: 1 })).items
    await world.registry.restoreTrash(fixture.context, batch!.batch)
    await world.work()
    expect(await world.status(name, image)).toBe('ACTIVE')
  })

  it('archives a layer that an active image leaves to archived ones when that is deleted for good', async () => {
    const shared = textLayer()
    const name = await world.repository('left')
    const [kept, deleted] = [imageOf([shared]), imageOf([shared])]
    await world.push(name, kept)
    await world.push(name, deleted)
    await world.change(name, kept, 'ARCHIVE')
    await world.registry.deleteImages(fixture.context, name, [{ digest: deleted.digest }])
    await world.work()
    // It could come back from the trash.
    expect(await world.files(shared)).toEqual(['filesystem'])
    await expect(world.read(name, shared)).rejects.toMatchObject({ code: 'blob-unknown' })
    for (let day = 0; day < 9; day += 1) {
      fixture.clock.advance(24 * 60 * 60_000)
      await world.work()
    }
    expect(await world.files(shared)).toEqual(['archive zstd'])
  })

  it('archives a layer that an erased image leaves to archived ones', async () => {
    const shared = textLayer()
    const name = await world.repository('left')
    const [kept, erased] = [imageOf([shared]), imageOf([shared])]
    await world.push(name, kept)
    await world.push(name, erased)
    await world.change(name, kept, 'ARCHIVE')
    await world.work()
    expect(await world.files(shared)).toEqual(['filesystem'])
    const { database, blobStore, context } = fixture
    const erasures = new Erasures({ database, blobStore, ids: systemIds, systemContext: () => commandContext(context), onError: (error) => world.problems.push(error) })

    await erasures.erase(context, { name, images: [erased.digest], layers: [], everywhere: false, reason: 'a secret', overrideProtection: false, dryRun: false })
    await world.work()

    expect(await world.files(shared)).toEqual(['archive zstd'])
  })

  it('begins to restore what is pulled, where the settings say so, and tells the client to wait', async () => {
    const eager = new ArchiveWorld(fixture, { restoreOnPull: true })
    const { name, image } = await archived(textLayer())
    await expect(eager.pull(name, image)).rejects.toMatchObject({ code: 'image-archived', detail: { retryAfterMs: expect.any(Number) as number } })
    expect(await world.status(name, image)).toBe('ACTIVATING')
    await world.work()
    expect((await eager.pull(name, image)).digest).toBe(image.digest)
  })

  it('does not restore for whose pulls are no use of an image', async () => {
    const eager = new ArchiveWorld(fixture, { restoreOnPull: true })
    const { name, image } = await archived(textLayer())
    const scanner = 'arn:aws:iam::000000000000:user/scanner'
    await eager.registry.registerPullTimeExclusion(fixture.context, scanner)
    const context = { ...fixture.context, actor: { ...fixture.context.actor, arn: scanner } }
    await expect(eager.registry.getManifest(context, name, { kind: 'digest', digest: image.digest })).rejects.toMatchObject(notThere)
    expect(await world.status(name, image)).toBe('ARCHIVED')
  })

  it('sets damage in the archive aside, so that a push brings the bytes again', async () => {
    const layer = textLayer()
    const { name, image } = await archived(layer)
    const key = await keyOf(layer)
    const file = join(fixture.dataDir, 'archive', 'blobs', key.slice('archive:'.length))
    const bytes = await readFile(file)
    bytes[Math.floor(bytes.length / 2)]! ^= 0xff
    await writeFile(file, bytes)
    await world.change(name, image, 'STANDARD')
    await world.move()
    expect(world.problems.splice(0)).toHaveLength(1)
    fixture.clock.advance(60 * 60_000)
    await world.work()

    // As every image with a damaged blob: there, and mended by a push.
    expect(await world.status(name, image)).toBe('ACTIVE')
    await expect(world.read(name, layer)).rejects.toMatchObject({ code: 'blob-unknown' })
    await world.push(name, image)
    expect((await world.read(name, layer)).equals(layer)).toBe(true)
  })

  it('counts what it holds and what it has moved', async () => {
    const before = await new ArchiveWorld(fixture).contents()
    const layer = textLayer(200_000)
    const { name, image } = await archived(layer)
    await world.change(name, image, 'STANDARD')
    const after = await new ArchiveWorld(fixture).contents()
    expect(after.blobs - before.blobs).toBe(2)
    expect(after.sizeBytes - before.sizeBytes).toBe(200_000 + image.blobs[0]!.length)
    expect(after.storedBytes - before.storedBytes).toBeLessThan(120_000)
    expect(after.activatingImages - before.activatingImages).toBe(1)
    await world.work()
    expect(world.counters).toMatchObject({ failures: expect.any(Number) as number })
    expect(world.counters.archivedBytes).toBeGreaterThan(200_000)
    expect(world.counters.restoredBytes).toBeGreaterThan(200_000)
  })

  it('writes nothing where there is nothing to move', async () => {
    await world.work()
    const { counters } = fixture.database
    const before = counters.commits
    await world.move()
    expect(counters.commits).toBe(before)
  })

  it('moves each blob once, whoever of several processes does it', async () => {
    const name = await world.repository('several')
    const images: TestImage[] = []
    for (let number = 0; number < 6; number += 1) images.push(imageOf([textLayer(), packedLayer()]))
    for (const image of images) await world.push(name, image)
    for (const image of images) await world.change(name, image, 'ARCHIVE')
    const others = [world.newArchivist(), world.newArchivist(), world.newArchivist()]
    await Promise.all(others.map((archivist) => archivist.work()))
    expect(others.reduce((sum, { counters }) => sum + counters.archivedBlobs, 0)).toBe(18)
    for (const image of images) await world.change(name, image, 'STANDARD')
    await Promise.all(others.map((archivist) => archivist.work()))
    await world.work()
    for (const image of images) {
      expect(await world.status(name, image)).toBe('ACTIVE')
      for (const blob of image.blobs) expect(await world.files(blob)).toEqual(['filesystem'])
    }
  })

  it('serves pushes and pulls while blobs move under them', async () => {
    const shared = textLayer()
    const name = await world.repository('busy')
    const images = Array.from({ length: 8 }, () => imageOf([shared, textLayer(20_000)]))
    for (const image of images) await world.push(name, image)
    const movers = [world.newArchivist(), world.newArchivist()]
    await Promise.all([
      ...images.map(async (image, number) => {
        await world.change(name, image, 'ARCHIVE')
        if (number % 2 === 0) await world.push(name, image)
        else await world.change(name, image, 'STANDARD')
      }),
      ...movers.map((archivist) => archivist.work()),
    ])
    await world.work()
    await world.work()
    for (const image of images) {
      expect(await world.status(name, image)).toBe('ACTIVE')
      expect((await world.pull(name, image)).bytes.equals(image.bytes)).toBe(true)
      for (const blob of image.blobs) {
        expect((await world.read(name, blob)).equals(blob)).toBe(true)
        expect(await world.files(blob)).toEqual(['filesystem'])
      }
    }
  })

  async function keyOf(blob: Buffer): Promise<string> {
    for await (const { key } of fixture.blobStore.list()) if (key.includes(blobDigest(blob).slice('sha256:'.length))) return key
    throw new Error('the blob has no file')
  }
})

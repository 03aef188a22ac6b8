import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isPlatformError } from '../../src/internal/platform-error.ts'
import type { NewRepository, TagMutability } from '../../src/registry/index.ts'
import { expireUploads } from '../../src/registry/uploads.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { digestOf, mediaTypes, parseRepositoryName, parseTag, type Digest, type RepositoryName } from '../../src/values/index.ts'
import { bytesOf, databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'no error'
  } catch (error) {
    if (isPlatformError(error)) return error.code
    throw error
  }
}

describe.each(databases)('images on %s', (kind) => {
  let fixture: RegistryFixture
  let serial = 0

  beforeAll(async () => {
    fixture = await startRegistry(kind)
  })
  afterAll(() => fixture.stop())

  async function newRepository(mode: TagMutability = 'MUTABLE', filters: string[] = []): Promise<RepositoryName> {
    serial += 1
    const name = parseRepositoryName(`images/r${serial}`)
    const input: NewRepository = { name, tagMutability: mode, mutabilityFilters: filters, scanOnPush: false, tags: {} }
    await fixture.registry.createRepository(fixture.context, input)
    return name
  }

  function imageManifest(config: Digest, configSize: number, layers: [Digest, number][], extra = {}): Buffer {
    return Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        config: { mediaType: mediaTypes.ociConfig, digest: config, size: configSize },
        layers: layers.map(([digest, size]) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size })),
        ...extra,
      }),
    )
  }

  async function pushImage(name: RepositoryName, tag: string | undefined, seed: string, extra = {}) {
    const config = Buffer.from(`{"seed":"${seed}"}`)
    const layer = Buffer.from(`layer of ${seed}`)
    const configDigest = await fixture.upload(name, config)
    const layerDigest = await fixture.upload(name, layer)
    const bytes = imageManifest(configDigest, config.length, [[layerDigest, layer.length]], extra)
    const { digest } = await fixture.registry.putManifest(fixture.context, name, {
      bytes,
      declaredMediaType: mediaTypes.ociManifest,
      reference: tag === undefined ? { kind: 'digest', digest: digestOf(bytes) } : { kind: 'tag', tag: parseTag(tag) },
      via: 'oci',
    })
    return { digest, bytes, configDigest, layerDigest, layer }
  }

  it('serves exactly the bytes that were pushed, by tag and by digest, and counts the pull', async () => {
    const { registry, context, pullClock, clock } = fixture
    const name = await newRepository()
    const { digest, bytes } = await pushImage(name, 'v1', 'serve')

    const byTag = await registry.getManifest(context, name, { kind: 'tag', tag: parseTag('v1') })
    const byDigest = await registry.getManifest(context, name, { kind: 'digest', digest })
    await pullClock.flush()
    const [detail] = await registry.describeImagesById(context, name, [{ digest }])

    expect(byTag.bytes.equals(bytes)).toBe(true)
    expect(byDigest).toMatchObject({ digest, mediaType: mediaTypes.ociManifest, sizeBytes: bytes.length })
    expect(detail).toMatchObject({ tags: ['v1'], lastPulledAt: clock.now(), status: 'ACTIVE' })
  })

  it('opens the blobs of an image', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    const { layerDigest, layer } = await pushImage(name, 'v1', 'open')

    const { content, sizeBytes } = await registry.openBlob(context, name, layerDigest)
    const chunks: Buffer[] = []
    for await (const chunk of content.read()) chunks.push(Buffer.from(chunk))
    await content.close()

    expect(sizeBytes).toBe(layer.length)
    expect(Buffer.concat(chunks).equals(layer)).toBe(true)
  })

  it('refuses a manifest whose blob is in another repository only', async () => {
    const { registry, context } = fixture
    const [one, other] = [await newRepository(), await newRepository()]
    const { bytes } = await pushImage(one, 'v1', 'elsewhere')

    const code = await codeOf(
      registry.putManifest(context, other, { bytes, declaredMediaType: undefined, via: 'oci' }),
    )

    expect(code).toBe('manifest-blob-unknown')
  })

  it('refuses a size that is not the blob’s', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    const { configDigest } = await pushImage(name, 'v1', 'sizes')

    const bytes = imageManifest(configDigest, 5, [])

    expect(await codeOf(registry.putManifest(context, name, { bytes, declaredMediaType: undefined, via: 'oci' }))).toBe(
      'size-mismatch',
    )
  })

  it('accepts an index of images and of blobs, and refuses one with something missing', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    const { digest, bytes, layerDigest, layer } = await pushImage(name, undefined, 'child')
    const index = (children: object[]): Buffer =>
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: children }))
    const image = { mediaType: mediaTypes.ociManifest, digest, size: bytes.length }
    const cached = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: layerDigest, size: layer.length }
    const missing = { mediaType: mediaTypes.ociManifest, digest: digestOf(Buffer.from('missing')), size: 7 }
    const put = (children: object[]) =>
      registry.putManifest(context, name, {
        bytes: index(children),
        declaredMediaType: mediaTypes.ociIndex,
        reference: { kind: 'tag', tag: parseTag('multi') },
        via: 'oci',
      })

    expect(await codeOf(put([image, missing]))).toBe('manifest-child-unknown')
    expect(await codeOf(put([image, cached]))).toBe('no error')
    expect(await codeOf(registry.deleteManifest(context, name, { digest }))).toBe('manifest-referenced')
    expect(await codeOf(registry.deleteBlob(context, name, layerDigest))).toBe('blob-referenced')
  })

  it('lists referrers by subject, whether or not it exists, and by artifact type', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    const subject = digestOf(Buffer.from('not pushed yet'))
    const descriptor = { mediaType: mediaTypes.ociManifest, digest: subject, size: 14 }
    const first = await pushImage(name, undefined, 'sig', { subject: descriptor, artifactType: 'test/sig', annotations: { a: 'b' } })
    await pushImage(name, undefined, 'sbom', { subject: descriptor, artifactType: 'test/sbom' })

    const all = await registry.listReferrers(context, name, subject, { status: 'ANY', page: { limit: 10 } })
    const page = await registry.listReferrers(context, name, subject, { status: 'ANY', page: { limit: 1 } })
    const rest = await registry.listReferrers(context, name, subject, { status: 'ANY', page: { limit: 1, after: page.next } })
    const typed = await registry.listReferrers(context, name, subject, { artifactTypes: ['test/sig'], status: 'ACTIVE', page: { limit: 10 } })

    expect(all.items).toHaveLength(2)
    expect([...page.items, ...rest.items]).toEqual(all.items)
    expect(rest.next).toBeUndefined()
    expect(typed.items).toMatchObject([{ digest: first.digest, artifactType: 'test/sig', annotations: { a: 'b' } }])
  })

  it('moves a mutable tag and keeps its history', async () => {
    const { registry, context, database } = fixture
    const name = await newRepository()
    const one = await pushImage(name, 'latest', 'one')
    const two = await pushImage(name, 'latest', 'two')

    const { digest } = await registry.headManifest(context, name, { kind: 'tag', tag: parseTag('latest') })
    const { id } = await registry.getRepository(context, name)
    const history = await database.reader.query(
      database.reader.builder.selectFrom('tag_history').selectAll().where('repository_id', '=', id).orderBy('id'),
    )

    expect(digest).toBe(two.digest)
    expect(history).toHaveLength(2)
    expect(one.digest).not.toBe(two.digest)
  })

  it.each([
    ['IMMUTABLE', [], 'v1', 'tag-immutable'],
    ['IMMUTABLE_WITH_EXCLUSION', ['latest'], 'latest', 'no error'],
    ['MUTABLE_WITH_EXCLUSION', ['v*'], 'v1', 'tag-immutable'],
  ] as const)('%s %j: pushing %s again is %s', async (mode, filters, tag, expected) => {
    const name = await newRepository(mode, [...filters])
    await pushImage(name, tag, 'first')

    expect(await codeOf(pushImage(name, tag, 'second'))).toBe(expected)
  })

  it('lets exactly one of fifty first pushes of an immutable tag win', async () => {
    const { registry, context } = fixture
    const name = await newRepository('IMMUTABLE')
    const images = await Promise.all(Array.from({ length: 50 }, (_, n) => pushImage(name, undefined, `racer ${n}`)))

    const codes = await Promise.all(
      images.map(({ bytes }, n) =>
        codeOf(
          registry.putManifest(context, name, {
            bytes,
            declaredMediaType: mediaTypes.ociManifest,
            reference: { kind: 'tag', tag: parseTag('v1.0.0') },
            via: n % 2 === 0 ? 'oci' : 'ecr',
          }),
        ),
      ),
    )

    expect(codes.filter((code) => code === 'no error')).toHaveLength(1)
    expect(codes.filter((code) => code === 'tag-immutable')).toHaveLength(49)
  })

  it('tells an image put again through the API that it is there', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    const { bytes } = await pushImage(name, 'v1', 'again')
    const put = (tag: string) =>
      registry.putManifest(context, name, {
        bytes,
        declaredMediaType: undefined,
        reference: { kind: 'tag', tag: parseTag(tag) },
        via: 'ecr',
      })

    expect(await codeOf(put('v1'))).toBe('image-exists')
    expect(await codeOf(put('v2'))).toBe('no error')
  })

  it('deletes by tag and by digest as ECR does, and a push brings the image back', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    const { digest, bytes, layerDigest } = await pushImage(name, 'v1', 'delete')
    await registry.putManifest(context, name, {
      bytes,
      declaredMediaType: undefined,
      reference: { kind: 'tag', tag: parseTag('v2') },
      via: 'oci',
    })

    const outcomes = await registry.deleteImages(context, name, [
      { tag: parseTag('v1') },
      { digest: digestOf(Buffer.from('nothing')) },
      { tag: parseTag('v2') },
    ])

    expect(outcomes).toEqual([
      { kind: 'deleted', digest, tags: ['v1'] },
      { kind: 'not-found' },
      { kind: 'deleted', digest, tags: ['v2'] },
    ])
    expect(await codeOf(registry.headManifest(context, name, { kind: 'digest', digest }))).toBe('manifest-unknown')
    expect(await registry.statBlob(context, name, layerDigest)).toBeUndefined()

    // The client was told before the deletion that the layer is there; pushing the manifest alone must work.
    await registry.putManifest(context, name, {
      bytes,
      declaredMediaType: undefined,
      reference: { kind: 'tag', tag: parseTag('v3') },
      via: 'oci',
    })

    expect((await registry.headManifest(context, name, { kind: 'tag', tag: parseTag('v3') })).digest).toBe(digest)
    expect(await registry.statBlob(context, name, layerDigest)).toBeDefined()
  })

  it('deletes nothing where an image has got other tags than its deletion was allowed for', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    const { digest } = await pushImage(name, 'v1', 'moved tags')
    const other = await pushImage(name, 'v2', 'another image')
    const untagged = await pushImage(name, undefined, 'without tags')
    const [v1, v2] = [parseTag('v1'), parseTag('v2')]

    for (const knownTags of [[], [v2]]) {
      expect(await codeOf(registry.deleteManifest(context, name, { digest, knownTags }))).toBe('tags-changed')
      const images = [{ tag: v2 }, { digest, knownTags }]
      expect(await codeOf(registry.deleteImages(context, name, images))).toBe('tags-changed')
    }
    expect(await codeOf(registry.deleteManifest(context, name, { digest: untagged.digest, knownTags: [v1] }))).toBe('tags-changed')
    const tagsOf = (): Promise<unknown> => registry.tagsOfImages(context, name, [digest, other.digest])
    expect(await tagsOf()).toEqual([['v1'], ['v2']])
    expect(await codeOf(registry.headManifest(context, name, { kind: 'digest', digest: untagged.digest }))).toBe('no error')

    // What the call itself takes first is no change.
    await registry.putManifest(context, name, { bytes: other.bytes, declaredMediaType: undefined, tags: [parseTag('v3')], via: 'oci' })
    const images = [{ tag: v2 }, { digest: other.digest, knownTags: [v2, parseTag('v3')] }, { digest, knownTags: [v1, v2] }, { digest: untagged.digest, knownTags: [] }]
    expect((await registry.deleteImages(context, name, images)).map(({ kind }) => kind)).toEqual(['deleted', 'deleted', 'deleted', 'deleted'])
  })

  it('removes an OCI tag and keeps the image', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    const { digest } = await pushImage(name, 'v1', 'untag')

    await registry.deleteTag(context, name, parseTag('v1'))

    expect(await codeOf(registry.deleteTag(context, name, parseTag('v1')))).toBe('tag-unknown')
    expect((await registry.headManifest(context, name, { kind: 'digest', digest })).digest).toBe(digest)
  })

  it('pages tags and images in a steady order', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    for (const tag of ['b', 'B', 'a', 'C', '_']) await pushImage(name, tag, `page ${tag}`)
    await pushImage(name, undefined, 'page untagged')

    const tags: string[] = []
    for (let after: string | undefined; ; ) {
      const page = await registry.listTags(context, name, { limit: 2, after })
      tags.push(...page.items)
      after = page.next
      if (after === undefined) break
    }
    const listed: (string | undefined)[] = []
    for (let after: string | undefined; ; ) {
      const filter = { tagStatus: 'ANY', imageStatus: 'ACTIVE' } as const
      const page = await registry.listImages(context, name, { filter, page: { limit: 2, after } })
      listed.push(...page.items.map(({ tag }) => tag))
      after = page.next
      if (after === undefined) break
    }
    const untagged = await registry.describeImages(context, name, {
      filter: { tagStatus: 'UNTAGGED', imageStatus: 'ANY' },
      page: { limit: 10 },
    })

    expect(tags).toEqual(['B', 'C', '_', 'a', 'b'])
    expect(listed).toEqual(['b', 'B', 'a', 'C', '_', undefined])
    expect(untagged.items).toHaveLength(1)
  })

  it('mounts what the source sees, and nothing else', async () => {
    const { registry, context } = fixture
    const [source, target] = [await newRepository(), await newRepository()]
    const { layerDigest } = await pushImage(source, 'v1', 'mount')
    const missing = parseRepositoryName('images/not-there')

    expect(await registry.mountBlob(context, target, layerDigest, { from: missing })).toBe(false)
    expect(await registry.mountBlob(context, target, layerDigest, { anyReadable: async () => false })).toBe(false)
    expect(await registry.mountBlob(context, target, layerDigest, { from: source })).toBe(true)
    expect(await registry.statBlob(context, target, layerDigest)).toBeDefined()
    expect(await codeOf(registry.mountBlob(context, missing, layerDigest, { from: source }))).toBe('repository-unknown')
  })

  it('keeps a deleted blob of one repository from coming back through another', async () => {
    const { registry, context } = fixture
    const [one, other] = [await newRepository(), await newRepository()]
    const digest = await fixture.upload(one, Buffer.from('shared bytes'))
    await fixture.upload(other, Buffer.from('shared bytes'))

    await registry.deleteBlob(context, one, digest)

    expect(await registry.statBlob(context, other, digest)).toBeDefined()
    expect(await registry.statBlob(context, one, digest)).toBeUndefined()
    expect(await codeOf(registry.openBlob(context, one, digest))).toBe('blob-unknown')
  })

  it('resumes an upload in pieces, refuses a wrong place, and ends with a wrong digest', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    const [one, two] = [Buffer.from('first half, '), Buffer.from('second half')]
    const digest = digestOf(Buffer.concat([one, two]))
    const { id } = await registry.beginUpload(context, name)

    await registry.appendUpload(context, name, id, { body: bytesOf(one), expectedOffset: 0 })
    const misplaced = registry.appendUpload(context, name, id, { body: bytesOf(two), expectedOffset: 3 })
    expect(await codeOf(misplaced)).toBe('upload-range-invalid')
    expect((await registry.getUpload(context, name, id)).sizeBytes).toBe(one.length)
    await registry.completeUpload(context, name, id, { digest, last: { body: bytesOf(two) } })

    expect((await registry.statBlob(context, name, digest))?.sizeBytes).toBe(one.length + two.length)
    expect(await codeOf(registry.getUpload(context, name, id))).toBe('upload-unknown')

    const wrong = await registry.beginUpload(context, name)
    const completion = registry.completeUpload(context, name, wrong.id, { digest, last: { body: bytesOf(one) } })
    expect(await codeOf(completion)).toBe('digest-mismatch')
    expect(await codeOf(registry.getUpload(context, name, wrong.id))).toBe('upload-unknown')
  })

  it('lets uploads that nobody writes to expire', async () => {
    const { registry, context, clock, database, blobStore, uploadDependencies } = fixture
    const name = await newRepository()
    const { id } = await registry.beginUpload(context, name)

    clock.advance(uploadDependencies.uploadLifetimeMs + 1)
    const ended = await expireUploads({ database, blobStore, ids: systemIds, ...uploadDependencies }, context)

    expect(ended).toBeGreaterThanOrEqual(1)
    expect(await codeOf(registry.getUpload(context, name, id))).toBe('upload-unknown')
    expect(await blobStore.uploadSize(id)).toBeUndefined()
  })

  it('deletes a repository only when it is empty or forced, and frees its name', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    const { digest } = await pushImage(name, 'v1', 'whole')

    expect(await codeOf(registry.deleteRepository(context, name, { force: false }))).toBe('repository-not-empty')
    await registry.deleteRepository(context, name, { force: true })
    expect(await codeOf(registry.headManifest(context, name, { kind: 'digest', digest }))).toBe('repository-unknown')

    await registry.createRepository(context, {
      name,
      tagMutability: 'MUTABLE',
      mutabilityFilters: [],
      scanOnPush: false,
      tags: {},
    })
    expect(await codeOf(registry.headManifest(context, name, { kind: 'digest', digest }))).toBe('manifest-unknown')
  })

  it('writes events in order and an audit row for every change', async () => {
    const { registry, context, database } = fixture
    const name = await newRepository()
    await pushImage(name, 'v1', 'events')
    await registry.deleteImages(context, name, [{ tag: parseTag('v1') }])

    const { id } = await registry.getRepository(context, name)
    const { builder } = database.reader
    const events = await database.reader.query(
      builder.selectFrom('outbox').selectAll().where('repository_id', '=', id).orderBy('event_seq'),
    )
    const audits = await database.reader.query(
      builder
        .selectFrom('audit_record')
        .select('action')
        .where('resource', '=', `arn:aws:ecr:us-east-1:000000000000:repository/${name}`)
        .orderBy('id'),
    )

    expect(events.map(({ event_seq: seq }) => seq)).toEqual([1, 2])
    expect(events.map(({ payload }) => (JSON.parse(payload) as Record<string, unknown>)['action-type'])).toEqual(['PUSH', 'DELETE'])
    expect(audits.map(({ action }) => action)).toEqual([
      'CreateRepository',
      'CompleteLayerUpload',
      'CompleteLayerUpload',
      'PutImage',
      'BatchDeleteImage',
    ])
  })
})

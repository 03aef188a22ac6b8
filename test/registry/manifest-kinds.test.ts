import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isPlatformError } from '../../src/internal/platform-error.ts'
import type { TagMutability } from '../../src/registry/index.ts'
import { digestOf, mediaTypes, parseRepositoryName, parseTag, type RepositoryName } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const unknownType = 'application/vnd.example.unheard-of+json'
const foreignLayer = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'
const ociLayer = 'application/vnd.oci.image.layer.v1.tar+gzip'

async function failureOf(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await work
    return { code: 'no error', message: '' }
  } catch (error) {
    if (isPlatformError(error)) return error
    throw error
  }
}

/** An image whose manifest states no media type of its own, so that it may be pushed as any. */
function unstatedImage(seed: string, layerType = ociLayer) {
  const config = Buffer.from(`{"seed":"${seed}"}`)
  const layer = Buffer.from(`layer of ${seed}`)
  const subject = { mediaType: mediaTypes.ociManifest, digest: digestOf(Buffer.from(`subject of ${seed}`)), size: 1 }
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      config: { mediaType: 'application/vnd.example.config', digest: digestOf(config), size: config.length },
      layers: [{ mediaType: layerType, digest: digestOf(layer), size: layer.length }],
      subject,
    }),
  )
  return { config, layer, bytes, digest: digestOf(bytes), subject: subject.digest }
}

describe.each(databases)('bytes pushed as several media types on %s', (kind) => {
  let fixture: RegistryFixture
  let serial = 0

  beforeAll(async () => {
    fixture = await startRegistry(kind)
  })
  afterAll(() => fixture.stop())

  async function newRepository(tagMutability: TagMutability = 'MUTABLE'): Promise<RepositoryName> {
    serial += 1
    const name = parseRepositoryName(`kinds/r${serial}`)
    await fixture.registry.createRepository(fixture.context, {
      name,
      tagMutability,
      mutabilityFilters: [],
      scanOnPush: false,
      tags: {},
    })
    return name
  }

  function put(name: RepositoryName, bytes: Buffer, declaredMediaType: string, tag?: string, via: 'oci' | 'ecr' = 'oci') {
    return fixture.registry.putManifest(fixture.context, name, {
      bytes,
      declaredMediaType,
      reference: tag === undefined ? undefined : { kind: 'tag', tag: parseTag(tag) },
      via,
    })
  }

  async function typeOf(name: RepositoryName, bytes: Buffer): Promise<string> {
    const reference = { kind: 'digest', digest: digestOf(bytes) } as const
    return (await fixture.registry.headManifest(fixture.context, name, reference)).mediaType
  }

  it('a manifest of an unknown type is checked when it comes as a known one', async () => {
    const name = await newRepository()
    const { bytes } = unstatedImage('unchecked')
    await put(name, bytes, unknownType, 'v1')

    expect((await failureOf(put(name, bytes, mediaTypes.ociManifest, 'v1'))).code).toBe('manifest-blob-unknown')
    expect(await typeOf(name, bytes)).toBe(unknownType)
  })

  it('and then is an image like any other, whose blobs are in use', async () => {
    const { registry, context, upload } = fixture
    const name = await newRepository()
    const { bytes, config, layer, digest, subject } = unstatedImage('turned')
    await put(name, bytes, unknownType, 'v1')
    await upload(name, config)
    await upload(name, layer)

    await put(name, bytes, mediaTypes.ociManifest, 'v1')

    expect(await typeOf(name, bytes)).toBe(mediaTypes.ociManifest)
    for (const blob of [config, layer]) {
      expect((await failureOf(registry.deleteBlob(context, name, digestOf(blob)))).code).toBe('blob-referenced')
    }
    const [image] = await registry.describeImagesById(context, name, [{ digest }])
    expect(image).toMatchObject({
      tags: ['v1'],
      mediaType: mediaTypes.ociManifest,
      artifactType: 'application/vnd.example.config',
      imageSizeBytes: config.length + layer.length,
    })
    const referrers = await registry.listReferrers(context, name, subject, { status: 'ANY', page: { limit: 10 } })
    expect(referrers.items).toMatchObject([{ digest, artifactType: 'application/vnd.example.config' }])
  })

  it('so does an index, which then holds its children', async () => {
    const { registry, context, upload } = fixture
    const name = await newRepository()
    const child = unstatedImage('child')
    for (const blob of [child.config, child.layer]) await upload(name, blob)
    await put(name, child.bytes, mediaTypes.ociManifest)
    const entry = { mediaType: mediaTypes.ociManifest, digest: child.digest, size: child.bytes.length }
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [entry] }))
    await put(name, index, unknownType, 'multi')

    await put(name, index, mediaTypes.ociIndex, 'multi')

    expect((await failureOf(registry.deleteManifest(context, name, child))).code).toBe('manifest-referenced')
  })

  it('through the API that is no repetition, and the next time is', async () => {
    const name = await newRepository()
    const { bytes, config, layer } = unstatedImage('by the API')
    for (const blob of [config, layer]) await fixture.upload(name, blob)
    await put(name, bytes, unknownType, 'v1', 'ecr')

    expect((await failureOf(put(name, bytes, unknownType, 'v1', 'ecr'))).code).toBe('image-exists')
    expect((await failureOf(put(name, bytes, mediaTypes.ociManifest, 'v1', 'ecr'))).code).toBe('no error')
    expect((await failureOf(put(name, bytes, mediaTypes.ociManifest, 'v1', 'ecr'))).code).toBe('image-exists')
    expect(await typeOf(name, bytes)).toBe(mediaTypes.ociManifest)
  })

  it('an immutable tag keeps what it names as it is', async () => {
    const name = await newRepository('IMMUTABLE')
    const { bytes, config, layer } = unstatedImage('immutable')
    for (const blob of [config, layer]) await fixture.upload(name, blob)
    await put(name, bytes, unknownType, 'v1')

    expect((await failureOf(put(name, bytes, mediaTypes.ociManifest, 'v1'))).code).toBe('tag-immutable')
    expect(await typeOf(name, bytes)).toBe(unknownType)
  })

  it('a living image stays one, whatever its bytes are called later', async () => {
    const { registry, context, upload, database } = fixture
    const name = await newRepository()
    const { bytes, config, layer } = unstatedImage('stays')
    for (const blob of [config, layer]) await upload(name, blob)
    await put(name, bytes, mediaTypes.ociManifest, 'v1')

    for (const mediaType of [unknownType, mediaTypes.dockerManifest]) await put(name, bytes, mediaType, 'v2')

    expect(await typeOf(name, bytes)).toBe(mediaTypes.ociManifest)
    expect((await failureOf(registry.deleteBlob(context, name, digestOf(layer)))).code).toBe('blob-referenced')
    const { id } = await registry.getRepository(context, name)
    const events = await database.reader.query(
      database.reader.builder.selectFrom('outbox').select('payload').where('repository_id', '=', id),
    )
    const told = events.map(({ payload }) => (JSON.parse(payload) as Record<string, unknown>)['manifest-media-type'])
    expect(new Set(told)).toEqual(new Set([mediaTypes.ociManifest]))
  })

  it('a deleted image does not come back as something that names nothing', async () => {
    const { registry, context, upload } = fixture
    const name = await newRepository()
    const { bytes, digest, config, layer } = unstatedImage('deleted')
    for (const blob of [config, layer]) await upload(name, blob)
    await put(name, bytes, mediaTypes.ociManifest, 'v1')
    await registry.deleteManifest(context, name, { digest })

    const refusal = await failureOf(put(name, bytes, unknownType, 'v1'))

    expect(refusal.code).toBe('parameter-invalid')
    expect(refusal.message).toContain(`was pushed as ${mediaTypes.ociManifest}`)
    expect((await failureOf(typeOf(name, bytes))).code).toBe('manifest-unknown')

    await put(name, bytes, mediaTypes.ociManifest, 'v1')
    expect((await failureOf(registry.deleteBlob(context, name, digestOf(layer)))).code).toBe('blob-referenced')
  })

  it('a deleted manifest of an unknown type comes back as what it is pushed as now', async () => {
    const { registry, context, upload } = fixture
    const name = await newRepository()
    const { bytes, digest, config, layer } = unstatedImage('deleted and unknown')
    await put(name, bytes, unknownType, 'v1')
    await registry.deleteManifest(context, name, { digest })
    await put(name, bytes, 'text/plain', 'v1')
    expect(await typeOf(name, bytes)).toBe('text/plain')
    await registry.deleteManifest(context, name, { digest })

    expect((await failureOf(put(name, bytes, mediaTypes.ociManifest, 'v1'))).code).toBe('manifest-blob-unknown')
    for (const blob of [config, layer]) await upload(name, blob)
    await put(name, bytes, mediaTypes.ociManifest, 'v1')

    expect(await typeOf(name, bytes)).toBe(mediaTypes.ociManifest)
    expect((await failureOf(registry.deleteBlob(context, name, digestOf(layer)))).code).toBe('blob-referenced')
  })

  it('a deleted image comes back holding the layers there are now', async () => {
    const { registry, context, upload } = fixture
    const name = await newRepository()
    const { bytes, digest, config, layer } = unstatedImage('foreign', foreignLayer)
    await upload(name, config)
    await put(name, bytes, mediaTypes.dockerManifest, 'v1')
    await registry.deleteManifest(context, name, { digest })
    // What was somewhere else when the image was first pushed has come here since.
    await upload(name, layer)

    await put(name, bytes, mediaTypes.dockerManifest, 'v1')

    expect((await failureOf(registry.deleteBlob(context, name, digestOf(layer)))).code).toBe('blob-referenced')
    expect((await registry.headManifest(context, name, { kind: 'tag', tag: parseTag('v1') })).digest).toBe(digest)
  })
})

import { readdirSync, rmSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isPlatformError } from '../../src/internal/platform-error.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { expireUploads } from '../../src/registry/uploads.ts'
import { digestOf, mediaTypes, parseRepositoryName, parseTag, type Digest, type RepositoryName } from '../../src/values/index.ts'
import { bytesOf, databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

async function outcomeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'done'
  } catch (error) {
    if (isPlatformError(error)) return error.code
    throw error
  }
}

describe.each(databases)('uploads on %s', (kind) => {
  let fixture: RegistryFixture
  let serial = 0
  let name: RepositoryName

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    name = parseRepositoryName('uploads/app')
    const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const
    await fixture.registry.createRepository(fixture.context, { name, ...settings })
  })
  afterAll(() => fixture.stop())

  const freshBytes = (sizeBytes = 50_000): Buffer => Buffer.alloc(sizeBytes, `fresh ${serial++} `)

  async function readBack(digest: Digest): Promise<Digest> {
    const { content } = await fixture.registry.openBlob(fixture.context, name, digest)
    const chunks: Buffer[] = []
    for await (const chunk of content.read()) chunks.push(Buffer.from(chunk))
    await content.close()
    return digestOf(Buffer.concat(chunks))
  }

  const uploadFiles = (): string[] => readdirSync(join(fixture.dataDir, 'uploads'))

  it('keep what was acknowledged when the end of an upload is sent twice at once', async () => {
    const { registry, context } = fixture
    for (let round = 0; round < 60; round += 1) {
      const bytes = freshBytes()
      const digest = digestOf(bytes)
      const { id } = await registry.beginUpload(context, name)
      await registry.appendUpload(context, name, id, { body: bytesOf(bytes) })

      const first = outcomeOf(registry.completeUpload(context, name, id, { digest }))
      await setTimeout(round % 4)
      const second = outcomeOf(registry.completeUpload(context, name, id, { digest }))
      const outcomes = [await first, await second]

      expect(outcomes).toContain('done')
      expect(await readBack(digest)).toBe(digest)
    }
  })

  it('give way to a newer writer, whose bytes count', async () => {
    const { registry, context } = fixture
    const { id } = await registry.beginUpload(context, name)
    let goOn: () => void = () => undefined
    const stalled = new Promise<void>((resolve) => (goOn = resolve))
    async function* stalling(): AsyncGenerator<Buffer> {
      yield Buffer.from('of a connection that is dead')
      await stalled
    }

    const older = outcomeOf(registry.appendUpload(context, name, id, { body: stalling() }))
    await setTimeout(50)
    const bytes = freshBytes()
    const newer = await registry.appendUpload(context, name, id, { body: bytesOf(bytes), expectedOffset: 0 })
    goOn()

    expect(newer.sizeBytes).toBe(bytes.length)
    expect(await older).toBe('upload-range-invalid')
    const digest = digestOf(bytes)
    await registry.completeUpload(context, name, id, { digest })
    expect(await readBack(digest)).toBe(digest)
  })

  it('put new bytes in the place of a file that is gone', async () => {
    const { registry, context, dataDir } = fixture
    const bytes = freshBytes()
    const digest = await fixture.upload(name, bytes)
    const blobs = join(dataDir, 'blobs')
    const [file = ''] = readdirSync(blobs, { recursive: true, encoding: 'utf8' }).filter((path) => path.includes(digest.slice(7)))
    rmSync(join(blobs, file))

    expect(await outcomeOf(registry.openBlob(context, name, digest))).toBe('blob-missing')
    await fixture.upload(name, bytes)

    expect(await readBack(digest)).toBe(digest)
  })

  it('count a part whole, also when its sender goes away meanwhile', async () => {
    const { registry, context } = fixture
    const { id } = await registry.beginUpload(context, name)
    const gone = AbortSignal.abort()
    const part = Buffer.alloc(6 * 1024 * 1024, 'p')

    const session = await registry.appendUpload(context, name, id, {
      body: bytesOf(part),
      expectedOffset: 0,
      contentLengthBytes: part.length,
      isPart: true,
      signal: gone,
    })

    expect(session.sizeBytes).toBe(part.length)
  })

  it('keep what came of a body that broke off, and go on from there', async () => {
    const { registry, context } = fixture
    const { id } = await registry.beginUpload(context, name)
    const [one, two] = [freshBytes(), freshBytes()]
     
    async function* breaking(): AsyncGenerator<Buffer> {
      yield one
      throw new Error('connection reset')
    }

    expect(await outcomeOf(registry.appendUpload(context, name, id, { body: breaking() }))).toBe('body-aborted')
    expect((await registry.getUpload(context, name, id)).sizeBytes).toBe(one.length)
    const digest = digestOf(Buffer.concat([one, two]))
    await registry.completeUpload(context, name, id, { digest, last: { body: bytesOf(two), expectedOffset: one.length } })

    expect(await readBack(digest)).toBe(digest)
  })

  it('leave no file behind when they are cancelled, refused or expired', async () => {
    const { registry, context, clock, database, blobStore, uploadDependencies } = fixture
    for (const id of uploadFiles()) await outcomeOf(registry.cancelUpload(context, name, id))

    const cancelled = await registry.beginUpload(context, name)
    await registry.appendUpload(context, name, cancelled.id, { body: bytesOf(freshBytes()) })
    await registry.cancelUpload(context, name, cancelled.id)
    const refused = await registry.beginUpload(context, name)
    const digest = digestOf(freshBytes())
    const wrong = { digest, last: { body: bytesOf(freshBytes()) } }
    expect(await outcomeOf(registry.completeUpload(context, name, refused.id, wrong))).toBe('digest-mismatch')
    const expired = await registry.beginUpload(context, name)
    clock.advance(uploadDependencies.uploadLifetimeMs + 1)
    await expireUploads({ database, blobStore, ids: systemIds, ...uploadDependencies }, context)

    expect(await outcomeOf(registry.getUpload(context, name, expired.id))).toBe('upload-unknown')
    expect(uploadFiles()).toEqual([])
  })

  it('do not expire while a body is flowing', async () => {
    const { registry, context, clock, database, blobStore, uploadDependencies } = fixture
    const { id } = await registry.beginUpload(context, name)
    const [one, two] = [freshBytes(), freshBytes()]
    const { promise: goOn, resolve } = Promise.withResolvers<undefined>()
    async function* slow(): AsyncGenerator<Buffer> {
      yield one
      await goOn
      yield two
    }

    const appending = registry.appendUpload(context, name, id, { body: slow() })
    await setTimeout(50)
    clock.advance(uploadDependencies.uploadLifetimeMs + 1)
    await expireUploads({ database, blobStore, ids: systemIds, ...uploadDependencies }, context)
    resolve(undefined)

    expect((await appending).sizeBytes).toBe(one.length + two.length)
  })

  it('can be deleted from many repositories that share layers at the same moment', async () => {
    const { registry, context } = fixture
    const names = Array.from({ length: 6 }, (_, n) => parseRepositoryName(`uploads/shared-${n}`))
    const shared = Array.from({ length: 8 }, (_, n) => Buffer.from(`shared layer ${n}`))
    const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const
    const pushed = await Promise.all(
      names.map(async (repository, which) => {
        await registry.createRepository(context, { name: repository, ...settings })
        for (const layer of [...shared, Buffer.from('{}')]) await fixture.upload(repository, layer)
        // Each in an order of its own.
        const order = shared.map((_, n) => shared[(n * 3 + which) % shared.length] ?? Buffer.alloc(0))
        return Promise.all(
          order.map(async (layer, n) => {
            const bytes = Buffer.from(
              JSON.stringify({
                schemaVersion: 2,
                mediaType: mediaTypes.ociManifest,
                config: { mediaType: mediaTypes.ociConfig, digest: digestOf(Buffer.from('{}')), size: 2 },
                layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(layer), size: layer.length }],
                annotations: { which: `${which} ${n}` },
              }),
            )
            const reference = { kind: 'tag', tag: parseTag(`t${n}`) } as const
            return registry.putManifest(context, repository, { bytes, declaredMediaType: undefined, reference, via: 'oci' })
          }),
        )
      }),
    )

    const outcomes = await Promise.all(
      names.map((repository, which) =>
        registry.deleteImages(context, repository, pushed[which]?.map(({ digest }) => ({ digest })) ?? []),
      ),
    )

    expect(outcomes.flat().every(({ kind: outcome }) => outcome === 'deleted')).toBe(true)
  })
})

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RegistryDirectory } from '../../src/registry/directory.ts'
import { digestOf, mediaTypes, parseRegion, parseRepositoryName, parseTag, type Digest, type RepositoryName } from '../../src/values/index.ts'
import { randomContent } from '../support/images.ts'
import { bytesOf, databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const
const layerBytes = 1000
const configBytes = 100

describe.each(databases)('who uses how much, on %s', (kind) => {
  let fixture: RegistryFixture
  beforeAll(async () => {
    fixture = await startRegistry(kind)
  })
  afterAll(() => fixture.stop())

  async function newRepository(name: string): Promise<RepositoryName> {
    const parsed = parseRepositoryName(name)
    await fixture.registry.createRepository(fixture.context, { name: parsed, ...settings })
    return parsed
  }

  async function put(name: RepositoryName, document: object, mediaType: string, tag?: string): Promise<{ digest: Digest; size: number; mediaType: string }> {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...document }))
    const reference = tag === undefined ? undefined : ({ kind: 'tag', tag: parseTag(tag) } as const)
    const { digest } = await fixture.registry.putManifest(fixture.context, name, { bytes, declaredMediaType: mediaType, reference, via: 'oci' })
    return { digest, size: bytes.length, mediaType }
  }

  /** With a config of its own and these layers. */
  async function push(name: RepositoryName, seed: string, layers: readonly string[], tag?: string) {
    const parts = [randomContent(configBytes, `config ${seed}`), ...layers.map((layer) => randomContent(layerBytes, `layer ${layer}`))]
    for (const part of parts) await fixture.upload(name, part)
    const [config, ...rest] = parts.map((bytes, n) => ({ mediaType: n === 0 ? mediaTypes.ociConfig : 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(bytes), size: bytes.length }))
    return put(name, { config, layers: rest }, mediaTypes.ociManifest, tag)
  }

  const describeOf = (name: RepositoryName, tags?: readonly string[]) =>
    fixture.registry.describeStorage(fixture.context, name, tags?.map((tag) => ({ tag: parseTag(tag) })))

  it('counts each image with all its layers, and tells what only it has', async () => {
    const name = await newRepository('use/one')
    const first = await push(name, 'a', ['base', 'a'], 'a')
    const second = await push(name, 'b', ['base', 'b'], 'b')
    const images = 2 * (configBytes + 2 * layerBytes) + first.size + second.size

    expect(await describeOf(name)).toEqual({
      repository: { images: 2, logicalBytes: images, activeBytes: images, archivedBytes: 0, trashedImages: 0, trashedBytes: 0 },
      freed: { blobs: 5, bytes: 2 * configBytes + 3 * layerBytes, sharedBytes: 0 },
      manifests: undefined,
    })
    expect((await describeOf(name, ['a'])).freed).toEqual({ blobs: 3, bytes: configBytes + 2 * layerBytes, sharedBytes: layerBytes })
    expect((await describeOf(name, ['a', 'b'])).freed).toEqual({ blobs: 5, bytes: 2 * configBytes + 3 * layerBytes, sharedBytes: 0 })
  })

  it('takes an index with its children for one, and what other repositories and the trash have for shared', async () => {
    const name = await newRepository('use/two')
    const child = await push(name, 'child', ['two base', 'two own'])
    const { size: indexBytes } = await put(name, { manifests: [child] }, mediaTypes.ociIndex, 'list')
    const elsewhere = await newRepository('use/three')
    await push(elsewhere, 'other', ['two base'], 'other')
    const logicalBytes = indexBytes + child.size + configBytes + 2 * layerBytes

    expect(await describeOf(name, ['list'])).toMatchObject({
      repository: { images: 2, logicalBytes },
      freed: { blobs: 3, bytes: configBytes + 2 * layerBytes, sharedBytes: layerBytes },
      manifests: 2,
    })
    expect((await describeOf(name)).freed.sharedBytes).toBe(layerBytes)

    await fixture.registry.deleteImages(fixture.context, elsewhere, [{ tag: parseTag('other') }])
    expect((await describeOf(name)).freed.sharedBytes).toBe(layerBytes)
    expect((await describeOf(elsewhere)).repository).toMatchObject({ images: 0, logicalBytes: 0, trashedImages: 1 })
    await expect(describeOf(name, ['absent'])).rejects.toMatchObject({ code: 'manifest-unknown' })
  })

  it('adds up what an account has in all regions, each blob once, and takes for shared what it has in another', async () => {
    const { registry, context, database } = fixture
    const accountBefore = await registry.describeAccountStorage(context)
    // Those of the repositories above: a layer in two of them.
    expect(accountBefore).toMatchObject({ use: { repositories: 3, images: 4 }, blobs: { blobs: 9, bytes: 4 * configBytes + 5 * layerBytes, sharedBytes: layerBytes } })

    const directory = new RegistryDirectory(database.reader, { regions: undefined, defaultRegion: context.registry.region, maxPerAccount: 9 })
    const newContext = { ...context, registry: await directory.find(context.registry.accountId, parseRegion('eu-west-1')) }
    const name = parseRepositoryName('use/abroad')
    await registry.createRepository(newContext, { name, ...settings })
    const abroad = { ...context, registry: await directory.find(context.registry.accountId, parseRegion('eu-west-1')) }
    const layer = randomContent(layerBytes, 'layer b')
    const { id } = await registry.beginUpload(abroad, name)
    await registry.completeUpload(abroad, name, id, { digest: digestOf(layer), last: { body: bytesOf(layer) } })
    const descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(layer), size: layerBytes }
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: descriptor, layers: [] }))
    await registry.putManifest(abroad, name, { bytes, declaredMediaType: mediaTypes.ociManifest, tags: [], via: 'oci' })

    const { use, blobs } = await registry.describeAccountStorage(context)
    expect([use.repositories, use.bytes - accountBefore.use.bytes]).toEqual([4, layerBytes + bytes.length])
    expect(blobs).toEqual({ ...accountBefore.blobs, sharedBytes: 2 * layerBytes })
    expect((await describeOf(parseRepositoryName('use/one'), ['b'])).freed).toEqual({ blobs: 3, bytes: configBytes + 2 * layerBytes, sharedBytes: 2 * layerBytes })
  })

  it('lists repositories by name, page by page, and their sum', async () => {
    const { logicalBytes, repositories } = await fixture.registry.listStorage(fixture.context, { limit: 2 })
    const rest = await fixture.registry.listStorage(fixture.context, { limit: 2, after: repositories.next })
    const all = [...repositories.items, ...rest.repositories.items]

    expect(all.map(({ name, images }) => [name, images])).toEqual([['use/one', 2], ['use/three', 0], ['use/two', 2]])
    expect(rest.repositories.next).toBeUndefined()
    expect(all.reduce((sum, { logicalBytes: bytes }) => sum + bytes, 0)).toBe(logicalBytes)
  })

  it('tells the same of repositories that nobody has counted yet', async () => {
    const before = [await fixture.registry.listStorage(fixture.context, { limit: 10 }), await describeOf(parseRepositoryName('use/one'))]
    await fixture.tamper('update repository set image_count = null, logical_bytes = null')

    expect([await fixture.registry.listStorage(fixture.context, { limit: 10 }), await describeOf(parseRepositoryName('use/one'))]).toEqual(before)
  })
})

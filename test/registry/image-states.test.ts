import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createProtections } from '../../src/registry/protection/protections.ts'
import type { ImageLifeState } from '../../src/registry/index.ts'
import { parseRepositoryName, parseTag } from '../../src/values/index.ts'
import { catalogueOf, withChildren, type KnownImage } from '../interleavings/images.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

describe.each(databases)('the states of images on %s', (kind) => {
  const name = parseRepositoryName(`states/${kind}`)
  const images = Object.fromEntries(catalogueOf(`states-${kind}`).images.map((image) => [image.name, image]))
  let fixture: RegistryFixture

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    const { registry, context } = fixture
    await registry.createRepository(context, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
    await push(images.index!, 'list')
    await push(images.three!, 'three')
    await push(images['signature-of-three']!)
  })
  afterAll(() => fixture.stop())

  async function push(image: KnownImage, tag?: string): Promise<void> {
    for (const each of withChildren(image).reverse()) {
      for (const { bytes } of each.blobs) await fixture.upload(name, bytes)
      const reference = each === image && tag !== undefined ? ({ kind: 'tag', tag: parseTag(tag) } as const) : undefined
      await fixture.registry.putManifest(fixture.context, name, { bytes: each.bytes, declaredMediaType: each.mediaType, reference, via: 'oci' })
    }
  }

  /** Names and states, of all pages. */
  async function listed(state?: ImageLifeState, limit = 100): Promise<string[]> {
    const found: string[] = []
    for (let after: string | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
      const { items, next } = await fixture.registry.listImageStates(fixture.context, name, state, { limit, after })
      for (const item of items) found.push(`${Object.values(images).find(({ digest }) => digest === item.image.digest)?.name ?? ''} ${item.state}`)
      after = next
    }
    return found
  }

  it('are listed in the order in which they came, page by page, and by state', async () => {
    const { registry, context, clock } = fixture
    const all = ['two active', 'one active', 'index active', 'three active', 'signature-of-three active']
    expect(await listed()).toEqual(all)
    expect(await listed(undefined, 2)).toEqual(all)

    const steps = [{ state: 'trashed' as const, at: clock.now() + 1000 }]
    await registry.setImageRetirement(context, name, { digest: images.index!.digest }, { state: 'deprecated', reason: 'old', replacedBy: undefined, steps })
    await registry.updateStorageClass(context, name, { digest: images.three!.digest }, 'ARCHIVE')

    expect(await listed('deprecated', 1)).toEqual(['two deprecated', 'one deprecated', 'index deprecated'])
    expect(await listed('archived')).toEqual(['three archived', 'signature-of-three archived'])
    expect(await listed('blocked')).toEqual([])
    const [, , { retirement } = { retirement: undefined }] = (await registry.listImageStates(context, name, undefined, { limit: 10 })).items
    expect(retirement).toMatchObject({ state: 'deprecated', reason: 'old', steps })
  })

  it('come with what holds an image, and without those in the trash', async () => {
    const { registry, context, database } = fixture
    await createProtections({ database }).put(context, name, { target: { kind: 'digest', value: images.one!.digest }, reason: 'an audit', owner: 'us', endsAt: undefined, mayLoosen: true })
    await registry.deleteImages(context, name, [{ digest: images.three!.digest }])

    const { items } = await registry.listImageStates(context, name, undefined, { limit: 10 })

    expect(items.map(({ image, vetoes }) => [image.digest, vetoes.map(({ kind: what }) => what)])).toEqual([
      [images.two!.digest, []],
      [images.one!.digest, ['protection']],
      [images.index!.digest, ['protection']],
    ])
  })
})

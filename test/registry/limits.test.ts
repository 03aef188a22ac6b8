import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Quotas } from '../../src/config/index.ts'
import { textKeyring } from '../../src/iam/iam.test-support.ts'
import { createIamDirectory } from '../../src/iam/index.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { isPlatformError } from '../../src/internal/platform-error.ts'
import type { RegistryRef } from '../../src/registry/context.ts'
import { RegistryDirectory } from '../../src/registry/directory.ts'
import { commandContext } from '../../src/registry/index.ts'
import { findRegistryId, findWrongSums } from '../../src/storage/metadata/stores/repository-store.ts'
import { digestOf, mediaTypes, parseRegion, parseRepositoryName, parseTag, type Digest, type RepositoryName } from '../../src/values/index.ts'
import { randomContent } from '../support/images.ts'
import { bytesOf, databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const mebibyte = 1024 * 1024
const quotas: Partial<Quotas> = { imagesPerRepository: 3, tagsPerImage: 3, layerBytes: mebibyte, partsPerLayer: 2 }

/** `ok`, or the code and text of the refusal. */
async function outcomeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'ok'
  } catch (error) {
    if (isPlatformError(error)) return `${error.code}: ${error.message}`
    throw error
  }
}

/** How many of these went through; the others must have met a quota. */
async function passed(works: readonly Promise<unknown>[]): Promise<number> {
  const outcomes = await Promise.all(works.map(outcomeOf))
  const refused = outcomes.filter((outcome) => outcome !== 'ok')
  for (const outcome of refused) expect(outcome).toMatch(/^limit-exceeded: .* maximum allowed number/)
  return outcomes.length - refused.length
}

describe.each(databases)('quotas on %s', (kind) => {
  let fixture: RegistryFixture
  let serial = 0

  beforeAll(async () => {
    fixture = await startRegistry(kind, quotas)
  })
  afterAll(() => fixture.stop())

  const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const

  async function newRepository(): Promise<RepositoryName> {
    serial += 1
    const name = parseRepositoryName(`limits/r${serial}`)
    await fixture.registry.createRepository(fixture.context, { name, ...settings })
    return name
  }

  function artifact(seed: string): Buffer {
    return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], annotations: { seed } }))
  }

  async function push(name: RepositoryName, seed: string, ...tags: string[]): Promise<void> {
    const input = { bytes: artifact(seed), declaredMediaType: mediaTypes.ociIndex, tags: tags.map((tag) => parseTag(tag)), via: 'oci' } as const
    await fixture.registry.putManifest(fixture.context, name, input)
  }

  const tooManyImages = (name: string): string =>
    `limit-exceeded: The repository with name '${name}' in registry with id '000000000000' already has the maximum allowed number of images which is '3'`
  const tooManyTags = (name: string, tag: string): string =>
    `limit-exceeded: Adding tag '${tag}' to an image in the repository with name '${name}' in registry with id '000000000000' exceeds the maximum allowed number of tags per image which is '3'`

  it('a repository takes images up to its quota, and goes on taking those it has', async () => {
    const name = await newRepository()
    for (const seed of ['a', 'b', 'c']) await push(name, seed, seed)

    expect(await outcomeOf(push(name, 'd', 'd'))).toBe(tooManyImages(name))
    expect(await outcomeOf(push(name, 'a', 'again'))).toBe('ok')
    // The refused push changed nothing: neither the image nor the tag is there.
    const found = await fixture.registry.describeImagesById(fixture.context, name, [{ digest: digestOf(artifact('d')) }, { tag: parseTag('d') }])
    expect(found).toEqual([undefined, undefined])
  })

  it('a deleted image makes room, and one that comes back from the trash takes it', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    for (const seed of ['a', 'b', 'c']) await push(name, seed)

    await registry.deleteManifest(context, name, { digest: digestOf(artifact('a')) })
    expect(await outcomeOf(push(name, 'd'))).toBe('ok')
    expect(await outcomeOf(push(name, 'a'))).toBe(tooManyImages(name))
    await registry.deleteImages(context, name, [{ digest: digestOf(artifact('b')) }])
    expect(await outcomeOf(push(name, 'a'))).toBe('ok')
    expect(await outcomeOf(push(name, 'e'))).toBe(tooManyImages(name))
  })

  it('a wrong count refuses nobody, and a missing one is made', async () => {
    const name = await newRepository()
    await push(name, 'a')

    await fixture.tamper('update repository set image_count = 100 where name = ?', name)
    expect(await outcomeOf(push(name, 'b'))).toBe('ok')
    await fixture.tamper('update repository set image_count = null where name = ?', name)
    expect(await outcomeOf(push(name, 'c'))).toBe('ok')
    expect(await outcomeOf(push(name, 'd'))).toBe(tooManyImages(name))
  })

  it('pushes at once do not get past the quota of images', async () => {
    const name = await newRepository()

    const pushes = Array.from({ length: 12 }, (_, n) => push(name, `race ${n}`, `t${n}`))

    expect(await passed(pushes)).toBe(3)
    const { items } = await fixture.registry.listImages(fixture.context, name, {
      filter: { tagStatus: 'ANY', imageStatus: 'ANY' },
      page: { limit: 100 },
    })
    expect(items).toHaveLength(3)
  })

  it('a push of a deleted image succeeds where there is room for it alone, and what went with it stays in the trash', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    const digestOfImage = digestOf(artifact('image'))
    const subject = { mediaType: mediaTypes.ociIndex, digest: digestOfImage, size: artifact('image').byteLength }
    await push(name, 'image')
    for (const n of [1, 2]) {
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], subject, annotations: { n: String(n) } }))
      await registry.putManifest(context, name, { bytes, declaredMediaType: mediaTypes.ociIndex, tags: [], via: 'oci' })
    }
    await registry.deleteManifest(context, name, { digest: digestOfImage })
    await push(name, 'other')

    expect(await outcomeOf(push(name, 'image'))).toBe('ok')

    const shown = async () => (await registry.listTrash(context, name, { limit: 10 })).items
    const [batch] = await shown()
    expect(batch).toMatchObject({ imageCount: 1 })
    expect(await outcomeOf(push(name, 'more'))).toBe(tooManyImages(name))
    await registry.deleteManifest(context, name, { digest: digestOf(artifact('other')) })
    await registry.restoreTrash(context, batch!.batch)
    expect(await outcomeOf(push(name, 'more'))).toBe(tooManyImages(name))
  })

  it('an image has tags up to its quota; moving one away makes room', async () => {
    const name = await newRepository()
    await push(name, 'a', 'one', 'two')

    expect(await outcomeOf(push(name, 'a', 'three'))).toBe('ok')
    expect(await outcomeOf(push(name, 'a', 'one', 'two', 'three'))).toBe('ok')
    expect(await outcomeOf(push(name, 'a', 'four'))).toBe(tooManyTags(name, 'four'))
    await push(name, 'b', 'one')
    expect(await outcomeOf(push(name, 'a', 'four'))).toBe('ok')
    expect(await outcomeOf(push(name, 'c', 'p', 'q', 'r', 's'))).toBe(tooManyTags(name, 's'))
    expect((await fixture.registry.listTags(fixture.context, name, { limit: 100 })).items).toEqual(['four', 'one', 'three', 'two'])
  })

  it('pushes at once do not get past the quota of tags', async () => {
    const name = await newRepository()
    await push(name, 'a')

    expect(await passed(Array.from({ length: 9 }, (_, n) => push(name, 'a', `t${n}`)))).toBe(3)
  })

  it('a layer has bytes up to its quota, announced or not', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    const whole = Buffer.alloc(mebibyte, 'x')
    const tooLarge = `limit-exceeded: The layer uploaded to the repository with name '${name}' in registry with id '000000000000' exceeds the maximum allowed layer size which is '${mebibyte}' bytes`
    const upload = async (request: { contentLengthBytes?: number }, ...chunks: Buffer[]): Promise<unknown> => {
      const { id } = await registry.beginUpload(context, name)
      const digest = digestOf(Buffer.concat(chunks))
      return registry.completeUpload(context, name, id, { digest, last: { body: bytesOf(...chunks), ...request } })
    }

    expect(await outcomeOf(upload({}, whole))).toBe('ok')
    expect(await outcomeOf(upload({}, whole, Buffer.from('!')))).toBe(tooLarge)
    expect(await outcomeOf(upload({ contentLengthBytes: mebibyte + 1 }, whole, Buffer.from('!')))).toBe(tooLarge)
    // In steps: what was there stays, and can be completed.
    const { id } = await registry.beginUpload(context, name)
    await registry.appendUpload(context, name, id, { body: bytesOf(whole.subarray(1)) })
    expect(await outcomeOf(registry.appendUpload(context, name, id, { body: bytesOf(Buffer.from('two')) }))).toBe(tooLarge)
    expect((await registry.getUpload(context, name, id)).sizeBytes).toBe(mebibyte - 1)
    expect(await outcomeOf(registry.completeUpload(context, name, id, { digest: digestOf(whole.subarray(1)) }))).toBe('ok')
  })

  it('an upload in parts has parts up to its quota', async () => {
    const { registry, context } = fixture
    const name = await newRepository()
    const { id } = await registry.beginUpload(context, name)
    const part = (text: string): Promise<unknown> =>
      registry.appendUpload(context, name, id, { body: bytesOf(Buffer.from(text)), contentLengthBytes: text.length, isPart: true })

    expect([await outcomeOf(part('a')), await outcomeOf(part('b'))]).toEqual(['ok', 'ok'])
    expect(await outcomeOf(part('c'))).toBe(
      `limit-exceeded: The layer upload with id '${id}' already has the maximum allowed number of parts which is '2'`,
    )
    expect((await registry.getUpload(context, name, id)).sizeBytes).toBe(2)
  })
})

describe.each(databases)('the quota of repositories on %s', (kind) => {
  let fixture: RegistryFixture

  beforeAll(async () => {
    fixture = await startRegistry(kind, { repositoriesPerRegistry: 4 })
  })
  afterAll(() => fixture.stop())

  const create = (name: string): Promise<unknown> =>
    fixture.registry.createRepository(fixture.context, {
      name: parseRepositoryName(name),
      tagMutability: 'MUTABLE',
      mutabilityFilters: [],
      scanOnPush: false,
      tags: {},
    })
  const remove = (name: string): Promise<unknown> =>
    fixture.registry.deleteRepository(fixture.context, parseRepositoryName(name), { force: true })
  const full = `limit-exceeded: The registry with id '000000000000' already has the maximum allowed number of repositories which is '4'`

  it('holds for repositories that are made at once, and gives back the room of deleted ones', async () => {
    const names = Array.from({ length: 12 }, (_, n) => `race/r${n}`)
    expect(await passed(names.map(create))).toBe(4)
    const { items } = await fixture.registry.listRepositories(fixture.context, { limit: 100 })
    expect(items).toHaveLength(4)

    expect(await outcomeOf(create(items[0]!.name))).toMatch(/^repository-exists/)
    expect(await outcomeOf(create('one/more'))).toBe(full)
    await remove(items[0]!.name)
    expect(await outcomeOf(create('one/more'))).toBe('ok')
    expect(await outcomeOf(create('two/more'))).toBe(full)
  })

  it('is not taken from a count that is wrong', async () => {
    await fixture.tamper('update registry set repository_count = 100')
    await remove('one/more')
    expect(await outcomeOf(create('one/more'))).toBe('ok')
    await fixture.tamper('update registry set repository_count = null')
    expect(await outcomeOf(create('two/more'))).toBe(full)
  })

  it('counts right while repositories of one name are made and deleted at once', async () => {
    await remove('one/more')
    const rounds = Array.from({ length: 20 }, async () => {
      await outcomeOf(create('same/name'))
      await outcomeOf(remove('same/name'))
    })
    await Promise.all(rounds)

    expect(await outcomeOf(create('one/more'))).toBe('ok')
    expect(await outcomeOf(create('two/more'))).toBe(full)
  })
})

describe.each(databases)('the quota of regions on %s', (kind) => {
  let fixture: RegistryFixture

  beforeAll(async () => {
    fixture = await startRegistry(kind)
  })
  afterAll(() => fixture.stop())

  it('holds for repositories that are made at once in new regions, and refuses none in the regions there are', async () => {
    const { registry, context, database } = fixture
    const limits = { regions: undefined, defaultRegion: context.registry.region, maxPerAccount: 4 }
    const directory = new RegistryDirectory(database.reader, limits)
    const regions = Array.from({ length: 9 }, (_, n) => parseRegion(`eu-west-${n}`))
    // Found while none of them is there: as it is for requests that come in together.
    const found = await Promise.all(regions.map(async (region) => directory.find(context.registry.accountId, region)))
    const create = (target: RegistryRef, name: string): Promise<unknown> =>
      registry.createRepository(
        { ...context, registry: target },
        { name: parseRepositoryName(name), tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} },
      )

    const outcomes = await Promise.all(found.map((target) => outcomeOf(create(target, 'team/app'))))

    const full = `limit-exceeded: The account with id '000000000000' already has registries in the maximum allowed number of regions which is '4'`
    // The default region is the fourth.
    expect(outcomes.toSorted()).toEqual([...Array.from({ length: 6 }, () => full), 'ok', 'ok', 'ok'])
    const again = await Promise.all(found.map((target) => outcomeOf(create(target, 'team/other'))))
    expect(again).toEqual(outcomes)
  })

  it('puts the record of a change of identities in a refused region where the account is already', async () => {
    const { context, database } = fixture
    const region = parseRegion('made-up')
    const directory = new RegistryDirectory(database.reader, { regions: new Set(), defaultRegion: context.registry.region, maxPerAccount: 100 })
    const registry = await directory.find(context.registry.accountId, region)

    const { entities } = createIamDirectory({ database, keyring: await textKeyring(), ids: systemIds })
    await entities.createUser({ name: 'somebody', path: '/', boundaryArn: undefined, tags: [] }, commandContext({ ...context, registry }))

    expect(await findRegistryId(database.reader, context.registry.accountId, region)).toBeUndefined()
  })
})

describe.each(databases)('quotas of bytes on %s', (kind) => {
  const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const
  let fixture: RegistryFixture
  let serial = 0
  afterEach(() => fixture.stop())

  async function newRepository(): Promise<RepositoryName> {
    serial += 1
    const name = parseRepositoryName(`bytes/r${serial}`)
    await fixture.registry.createRepository(fixture.context, { name, ...settings })
    return name
  }

  /** An image of 1,000 bytes of layers, whose manifest has some hundred. */
  async function push(name: RepositoryName, seed: string): Promise<{ digest: Digest; sizeBytes: number }> {
    const layers = [randomContent(400, `${seed} config`), randomContent(600, `${seed} layer`)]
    for (const layer of layers) await fixture.upload(name, layer)
    const [config, layer] = layers.map((bytes, n) => ({ mediaType: n === 0 ? mediaTypes.ociConfig : 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(bytes), size: bytes.length }))
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] }))
    const { digest } = await fixture.registry.putManifest(fixture.context, name, { bytes, declaredMediaType: mediaTypes.ociManifest, tags: [], via: 'oci' })
    return { digest, sizeBytes: 1000 + bytes.length }
  }

  const wrong = () => findWrongSums(fixture.database.reader, { after: 0, limit: 10 })

  it('a repository takes as much as it may, also when images come back from the trash', async () => {
    fixture = await startRegistry(kind, { repositoryBytes: 3500 })
    const name = await newRepository()
    const one = await push(name, 'one')
    await push(name, 'two')

    expect(await outcomeOf(push(name, 'three'))).toMatch(new RegExp(`^limit-exceeded: .* has ${2 * one.sizeBytes} bytes, and with ${one.sizeBytes} more exceeds .* '3500' bytes$`))
    await push(name, 'two')
    await fixture.registry.deleteImages(fixture.context, name, [{ digest: one.digest }])
    await push(name, 'three')
    const [batch] = (await fixture.registry.listTrash(fixture.context, name, { limit: 10 })).items
    expect(await outcomeOf(fixture.registry.restoreTrash(fixture.context, batch?.batch ?? ''))).toMatch(/^limit-exceeded: /)
    expect(await wrong()).toEqual([])
  })

  it('a registry takes no more of many who push at once into several repositories', async () => {
    fixture = await startRegistry(kind, { registryBytes: 8000 })
    const names = await Promise.all(Array.from({ length: 4 }, newRepository))
    const { sizeBytes } = await push(names[0]!, 'first')

    const outcomes = await Promise.all(Array.from({ length: 12 }, (_, n) => outcomeOf(push(names[n % names.length]!, `many ${n}`))))

    expect(outcomes.filter((outcome) => outcome === 'ok')).toHaveLength(Math.floor(8000 / sizeBytes) - 1)
    for (const outcome of outcomes) if (outcome !== 'ok') expect(outcome).toMatch(/^limit-exceeded: The registry with id '000000000000' has \d+ bytes/)
    expect(await wrong()).toEqual([])
  })

  /** Its manifest states no media type, so that it may be pushed as any. */
  async function unstatedImage(name: RepositoryName): Promise<Buffer> {
    const parts = [randomContent(400, 'unstated config'), randomContent(600, 'unstated layer')]
    for (const part of parts) await fixture.upload(name, part)
    const [config, layer] = parts.map((bytes) => ({ mediaType: 'application/vnd.example', digest: digestOf(bytes), size: bytes.length }))
    return Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: [layer] }))
  }

  it.each(['repositoryBytes', 'registryBytes'] as const)('a manifest of an unknown type that comes as a known one takes room for what it names (%s)', async (quota) => {
    fixture = await startRegistry(kind, { [quota]: 1000 })
    const name = await newRepository()
    const bytes = await unstatedImage(name)
    const putAs = (declaredMediaType: string): Promise<string> => outcomeOf(fixture.registry.putManifest(fixture.context, name, { bytes, declaredMediaType, tags: [], via: 'oci' }))
    expect(await putAs('application/vnd.example.unheard-of+json')).toBe('ok')

    expect(await putAs(mediaTypes.ociManifest)).toMatch(/^limit-exceeded: .* and with 1000 more exceeds the maximum allowed size which is '1000' bytes$/)
    expect((await fixture.registry.describeStorage(fixture.context, name, undefined)).repository.logicalBytes).toBe(bytes.length)
    expect(await wrong()).toEqual([])
  })

  it('a repository comes back from the trash where its registry has room for all of it', async () => {
    fixture = await startRegistry(kind, { registryBytes: 2000 })
    const [gone, other] = [await newRepository(), await newRepository()]
    await push(gone, 'of the one that goes')
    await fixture.registry.deleteRepository(fixture.context, gone, { force: true })
    const { digest } = await push(other, 'of the other')
    const [batch] = (await fixture.registry.listTrash(fixture.context, gone, { limit: 10 })).items

    expect(await outcomeOf(fixture.registry.restoreTrash(fixture.context, batch?.batch ?? ''))).toMatch(/^limit-exceeded: The registry with id '000000000000' has \d+ bytes/)
    await fixture.registry.deleteImages(fixture.context, other, [{ digest }])
    expect(await outcomeOf(fixture.registry.restoreTrash(fixture.context, batch?.batch ?? ''))).toBe('ok')
    expect(await wrong()).toEqual([])
  })
})

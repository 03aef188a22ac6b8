import { createHash } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Collector } from '../../src/gc/index.ts'
import { isPlatformError } from '../../src/internal/platform-error.ts'
import type { QuotaMaxima, QuotaSubject, QuotaType } from '../../src/registry/commands/quotas.ts'
import { ensureRegistry } from '../../src/registry/commands/registries.ts'
import { commandContext, type RequestContext } from '../../src/registry/index.ts'
import { createQuotaOperations, type QuotaOperations } from '../../src/registry/quota-operations.ts'
import { findRegistryId } from '../../src/storage/metadata/stores/repository-store.ts'
import { digestOf, mediaTypes, parseAccountId, parseRegion, parseRepositoryName, parseTag, type AccountId, type RepositoryName } from '../../src/values/index.ts'
import { Random } from '../fuzz/random.ts'
import { bytesOf, databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

/*
 * Random work of many at once, on repositories of an account in two regions, under the server's quotas and such as are set and removed
 * meanwhile. After each round everything is counted anew from its rows, and compared with what is noted; and nothing has passed a quota:
 * where there was more than it allows when it was set, there is no more than there was.
 */

const seed = Number(process.env.SEED ?? 20_261_126)
const countOf = { sqlite: Number(process.env.HISTORIES ?? 20), postgres: Number(process.env.HISTORIES ?? 8) }
const rounds = 5
const worksAtOnce = 14
const configured = { imagesPerRepository: 7, repositoriesPerRegistry: 3, registryBytes: 10_000, repositoryBytes: 7000 }
const regions = ['us-east-1', 'eu-west-1'] as const
const names = ['a', 'b', 'c'].map((name) => parseRepositoryName(`accounting/${name}`))
const tags = ['one', 'two'].map((tag) => parseTag(tag))
const repositorySettings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const
const unknownType = 'application/vnd.example.unheard-of+json'

/** What may come of a piece of work that met another. */
const expectedCodes = new Set(['limit-exceeded', 'repository-unknown', 'repository-exists', 'repository-trashed', 'manifest-unknown', 'manifest-referenced', 'manifest-child-unknown', 'manifest-blob-unknown', 'trash-unknown', 'quota-unknown', 'storage-class-unsupported', 'image-archived', 'blob-unknown', 'parameter-invalid'])

interface Pushed {
  readonly bytes: Buffer
  readonly types: readonly string[]
  readonly blobs: readonly Buffer[]
}

/** Images without layers, of several sizes; indexes of some of them; what refers to one; and one that is pushed as of two types. */
const images: readonly Pushed[] = (() => {
  const bare = (id: number, sizeBytes: number, more: object = {}): Pushed => {
    const text = (padding: string): string => JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], ...more, annotations: { id: String(id), padding } })
    return { bytes: Buffer.from(text('x'.repeat(Math.max(0, sizeBytes - text('').length)))), types: [mediaTypes.ociIndex], blobs: [] }
  }
  const descriptor = ({ bytes, types }: Pushed) => ({ mediaType: types[0], digest: digestOf(bytes), size: bytes.length })
  const plain = [400, 900, 1700, 2500, 3300].map((sizeBytes, id) => bare(id, sizeBytes))
  const list = bare(10, 600, { manifests: [descriptor(plain[0]!), descriptor(plain[1]!)] })
  const referrer = bare(11, 500, { subject: descriptor(plain[2]!) })
  const blobs = [Buffer.from('a config'), Buffer.alloc(1500, 'layer')]
  const [config, layer] = blobs.map((bytes) => ({ mediaType: 'application/vnd.example', digest: digestOf(bytes), size: bytes.length }))
  const unstated = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: [layer] }))
  return [...plain, list, referrer, { bytes: unstated, types: [unknownType, mediaTypes.ociManifest], blobs }]
})()

type Amounts = Record<QuotaType, number>

describe.each(databases)('what is counted, on %s', (kind) => {
  let fixture: RegistryFixture
  let quotas: QuotaOperations
  let collector: Collector
  const problems: string[] = []
  const refusers = new Set<string>()

  const temporary = process.env.TMPDIR
  beforeAll(async () => {
    // Flushes to a disk would take nearly all of the time, and no power is lost here.
    if (process.platform === 'linux') process.env.TMPDIR = '/dev/shm'
    fixture = await startRegistry(kind, configured)
    quotas = createQuotaOperations(fixture)
    const { database, blobStore, clock } = fixture
    const logger = { info: () => undefined, error: (problem: unknown) => problems.push(String((problem as { err?: unknown }).err)) }
    collector = new Collector({ database, blobStore, clock, logger, systemContext: () => ({ ...commandContext(fixture.context), protocol: 'system' }), owner: 'a collector' })
  })
  afterAll(async () => {
    await fixture.stop()
    if (kind === 'postgres') expect(await deadlocks(), 'times that two waited for each other crosswise').toBe('0')
    if (temporary === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = temporary
  })

  it(`is what there is, and passes no quota, after each round of ${countOf[kind]} random histories`, { timeout: 3_600_000 }, async () => {
    for (let number = 0; number < countOf[kind]; number += 1) {
      const wrong = await play(Random.ofCase(seed, number), parseAccountId(String(700_000_000_000 + number)), number % 2 === 0)
      expect([...wrong, ...problems], `SEED=${seed}, history ${number}`).toEqual([])
    }
    // Otherwise this has not looked at what it is about.
    expect([...refusers].sort()).toEqual(['account', 'registry', 'repository'])
  })

  /** With `isSet` under quotas that are set too; the server's own hold in any case. */
  async function play(random: Random, accountId: AccountId, isSet: boolean): Promise<string[]> {
    const places = await Promise.all(regions.map((region) => contextIn(accountId, region)))
    for (const context of places) for (const name of names.slice(0, 2)) await fixture.registry.createRepository(context, { name, ...repositorySettings })
    const told = new Map<string, Amounts>()
    for (let round = 0; round < rounds; round += 1) {
      const quotasAt = new Set<string>()
      const works = Array.from({ length: worksAtOnce }, () => anyWork(random, accountId, random.pick(places), isSet ? quotasAt : undefined, told))
      await Promise.all(works.map((work) => outcome(work)))
      const wrong = await compare(accountId, told)
      if (wrong.length > 0) return wrong.map((text) => `after round ${round}: ${text}`)
      if (random.chance(0.5)) {
        // What was purged may go, and what is archived or not used any more.
        fixture.clock.advance(2 * 60 * 60 * 1000)
        await collector.collect()
        const left = await compare(accountId, told)
        if (left.length > 0) return left.map((text) => `collected after round ${round}: ${text}`)
      }
    }
    return []
  }

  async function contextIn(accountId: AccountId, region: string): Promise<RequestContext> {
    await fixture.database.execute(ensureRegistry, { accountId, region }, commandContext(fixture.context))
    const id = await findRegistryId(fixture.database.reader, accountId, region)
    return { ...fixture.context, registry: { id: id!, accountId, region: parseRegion(region) } }
  }

  /** Its connections have told by the time they are closed. */
  async function deadlocks(): Promise<string | undefined> {
    const client = new pg.Client({ connectionString: (fixture.target as { url: string }).url })
    await client.connect()
    const { rows } = await client.query<{ deadlocks: string }>('select deadlocks from pg_stat_database where datname = current_database()')
    await client.end()
    return rows[0]?.deadlocks
  }

  async function outcome(work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!isPlatformError(error) || !expectedCodes.has(error.code)) problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
      else if (error.code === 'limit-exceeded') refusers.add(/^The (\w+) with/u.exec(error.message)?.[1] ?? error.message)
    }
  }

  function anyWork(random: Random, accountId: AccountId, context: RequestContext, quotasAt: Set<string> | undefined, told: Map<string, Amounts>): () => Promise<unknown> {
    const { registry } = fixture
    const name = random.pick(names)
    const image = random.chance(0.25) ? images.at(-1)! : random.pick(images)
    const digest = digestOf(image.bytes)
    const tag = random.pick(tags)
    const which = random.fraction()
    const inTrash = async (): Promise<string> => (await registry.listTrash(context, random.chance(0.5) ? name : undefined, { limit: 10 })).items.map(({ batch }) => batch).at(random.integer(3)) ?? 'none'
    if (which < 0.5) return () => push(context, name, image, random.pick(image.types), random.chance(0.6) ? [tag] : [])
    if (which < 0.62) return () => registry.deleteImages(context, name, [random.chance(0.5) ? { digest } : { tag }])
    if (which < 0.7) return async () => registry.restoreTrash(context, await inTrash())
    if (which < 0.74) return async () => registry.purgeTrash(context, name, await inTrash())
    if (which < 0.78) return () => registry.updateStorageClass(context, name, { digest }, random.chance(0.6) ? 'ARCHIVE' : 'STANDARD')
    if (which < 0.81) return () => registry.deleteRepository(context, name, { force: true })
    if (which < 0.87) return () => registry.createRepository(context, { name, ...repositorySettings })

    if (quotasAt === undefined) return () => push(context, name, image, image.types[0]!, [])
    const { region } = context.registry
    const subject = random.pick<QuotaSubject>([{ scope: 'account', accountId }, { scope: 'registry', accountId, region }, { scope: 'repository', name }])
    const key = subject.scope === 'account' ? '' : subject.scope === 'registry' ? region : `${region}/${name}`
    // Two at once of the same: whose amounts hold would not be known.
    if (quotasAt.has(key)) return () => Promise.resolve()
    quotasAt.add(key)
    if (random.chance(0.3)) return () => quotas.delete(context, { subject, resource: 'arn', types: random.chance(0.5) ? [random.pick<QuotaType>(['bytes', 'images'])] : undefined })
    const isShared = subject.scope !== 'repository'
    const maxima: Partial<QuotaMaxima> = { bytes: random.integer(isShared ? 16_000 : 8000), ...(random.chance(0.5) && { images: 1 + random.integer(isShared ? 12 : 6) }), ...(isShared && random.chance(0.5) && { repositories: 1 + random.integer(5) }) }
    return async () => {
      const { use } = await quotas.put(context, { subject, resource: 'arn', maxima })
      told.set(key, { bytes: use.bytes, images: use.images, repositories: use.repositories ?? 0 })
    }
  }

  async function push(context: RequestContext, name: RepositoryName, { bytes, blobs }: Pushed, declaredMediaType: string, tagged: typeof tags): Promise<void> {
    const { registry } = fixture
    for (const blob of blobs) {
      const { id } = await registry.beginUpload(context, name)
      await registry.completeUpload(context, name, id, { digest: `sha256:${createHash('sha256').update(blob).digest('hex')}` as ReturnType<typeof digestOf>, last: { body: bytesOf(blob) } })
    }
    await registry.putManifest(context, name, { bytes, declaredMediaType, tags: tagged, via: 'oci' })
  }

  /** What is wrong. `told` is what there was of each place when its quota was answered; from then on it is what there is. */
  async function compare(accountId: AccountId, told: Map<string, Amounts>): Promise<string[]> {
    const { reader } = fixture.database
    const registries = await reader.query(reader.builder.selectFrom('registry').selectAll().where('account_id', '=', accountId))
    const repositories = await reader.query(reader.builder.selectFrom('repository').selectAll().where('registry_id', 'in', registries.map(({ id }) => id)).where('trashed_at', 'is', null))
    const manifests = await reader.query(reader.builder.selectFrom('manifest').select(['repository_id', 'kind', 'size_bytes', 'image_size_bytes']).where('trashed_at', 'is', null).where('repository_id', 'in', [0, ...repositories.map(({ id }) => id)]))
    const wrong: string[] = []
    const nothing = (): Amounts => ({ bytes: 0, images: 0, repositories: 0 })
    const total = nothing()
    const counted = new Map<string, Amounts>([['', total]])
    for (const { id, region, repository_count: noted } of registries) {
      const ofRegistry = nothing()
      counted.set(region, ofRegistry)
      for (const repository of repositories.filter(({ registry_id: registryId }) => registryId === id)) {
        const own = nothing()
        for (const { kind: form, size_bytes: sizeBytes, image_size_bytes: imageSizeBytes } of manifests.filter((manifest) => manifest.repository_id === repository.id)) {
          own.images += 1
          own.bytes += sizeBytes + (form === 'index' ? 0 : imageSizeBytes)
        }
        counted.set(`${region}/${repository.name}`, own)
        for (const sum of [ofRegistry, total]) {
          sum.images += own.images
          sum.bytes += own.bytes
          sum.repositories += 1
        }
        if ((repository.image_count ?? own.images) !== own.images || (repository.logical_bytes ?? own.bytes) !== own.bytes) {
          wrong.push(`${region}/${repository.name} has ${JSON.stringify(own)}, and noted are ${repository.image_count} images and ${repository.logical_bytes} bytes`)
        }
        if (own.images > configured.imagesPerRepository || own.bytes > configured.repositoryBytes) wrong.push(`${region}/${repository.name} has ${JSON.stringify(own)}, more than the settings allow`)
      }
      if ((noted ?? ofRegistry.repositories) !== ofRegistry.repositories) wrong.push(`${region} has ${ofRegistry.repositories} repositories, and noted are ${noted}`)
      if (ofRegistry.repositories > configured.repositoriesPerRegistry || ofRegistry.bytes > configured.registryBytes) wrong.push(`${region} has ${JSON.stringify(ofRegistry)}, more than the settings allow`)
    }
    for (const row of await reader.query(reader.builder.selectFrom('quota').selectAll().where('account_id', '=', accountId))) {
      const repository = repositories.find(({ id }) => id === row.repository_id)
      if (row.repository_id !== 0 && repository === undefined) continue
      const key = repository === undefined ? row.region : `${row.region}/${repository.name}`
      const use = counted.get(key)!
      const before = told.get(key) ?? nothing()
      const maxima = { bytes: row.max_bytes, images: row.max_images, repositories: row.max_repositories }
      for (const type of ['bytes', 'images', 'repositories'] as const) {
        const max = maxima[type]
        if (max !== null && use[type] > Math.max(max, before[type])) wrong.push(`'${key}' has ${use[type]} ${type}, with a quota of ${max} and ${before[type]} when it was looked at last`)
      }
      told.set(key, use)
    }
    return wrong
  }
})

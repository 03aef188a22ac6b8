import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isPlatformError } from '../../src/internal/platform-error.ts'
import type { QuotaMaxima, QuotaSubject, QuotaType } from '../../src/registry/commands/quotas.ts'
import { ensureRegistry } from '../../src/registry/commands/registries.ts'
import { commandContext, type RequestContext } from '../../src/registry/index.ts'
import { createQuotaOperations, type QuotaOperations } from '../../src/registry/quota-operations.ts'
import { findRegistryId } from '../../src/storage/metadata/stores/repository-store.ts'
import { digestOf, mediaTypes, parseAccountId, parseRegion, parseRepositoryName, type AccountId, type RepositoryName } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const
const imageBytes = 1000

/** An image without layers, of this many bytes. */
function imageOf(seed: string): Buffer {
  const text = (padding: string): string => JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], annotations: { seed, padding } })
  return Buffer.from(text('x'.repeat(imageBytes - text('').length)))
}

async function outcomeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'ok'
  } catch (error) {
    if (isPlatformError(error)) return `${error.code}: ${error.message}`
    throw error
  }
}

describe.each(databases)('quotas that are set while servers run, on %s', (kind) => {
  let fixture: RegistryFixture
  let quotas: QuotaOperations
  let serial = 0
  /** Of an account that no other test has. */
  let accountId: AccountId
  let here: RequestContext
  let elsewhere: RequestContext
  let ofAccount: QuotaSubject
  let ofRegistry: QuotaSubject

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    quotas = createQuotaOperations(fixture)
  })
  afterAll(() => fixture.stop())
  beforeEach(async () => {
    serial += 1
    accountId = parseAccountId(String(serial).padStart(12, '9'))
    const contextIn = async (region: string): Promise<RequestContext> => {
      await fixture.database.execute(ensureRegistry, { accountId, region }, commandContext(fixture.context))
      const id = await findRegistryId(fixture.database.reader, accountId, region)
      return { ...fixture.context, registry: { id: id!, accountId, region: parseRegion(region) } }
    }
    ;[here, elsewhere] = [await contextIn('us-east-1'), await contextIn('eu-west-1')]
    ofAccount = { scope: 'account', accountId }
    ofRegistry = { scope: 'registry', accountId, region: 'us-east-1' }
  })

  const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: (fixture.target as { url: string }).url })
    await client.connect()
    return client
  }

  async function newRepository(context = here): Promise<RepositoryName> {
    serial += 1
    const name = parseRepositoryName(`set/r${serial}`)
    await fixture.registry.createRepository(context, { name, ...settings })
    return name
  }
  const push = (name: RepositoryName, seed: string, context = here): Promise<unknown> =>
    fixture.registry.putManifest(context, name, { bytes: imageOf(seed), declaredMediaType: mediaTypes.ociIndex, tags: [], via: 'oci' })
  const set = (subject: QuotaSubject, maxima: Partial<QuotaMaxima>) => quotas.put(here, { subject, resource: 'arn', maxima })
  const remove = (subject: QuotaSubject, types?: readonly QuotaType[]) => quotas.delete(here, { subject, resource: 'arn', types })

  it('bound the bytes and images of a repository, which takes again what it has', async () => {
    const name = await newRepository()
    const subject: QuotaSubject = { scope: 'repository', name }
    await set(subject, { bytes: 2500 })
    for (const seed of ['a', 'b']) await push(name, seed)

    const where = `The repository with name '${name}' in registry with id '${accountId}'`
    expect(await outcomeOf(push(name, 'c'))).toBe(`limit-exceeded: ${where} has 2000 bytes, and with 1000 more exceeds the maximum allowed size which is '2500' bytes`)
    expect(await outcomeOf(push(name, 'a'))).toBe('ok')
    await push(await newRepository(), 'c')
    await set(subject, { bytes: 9000, images: 2 })
    expect(await outcomeOf(push(name, 'c'))).toBe(`limit-exceeded: ${where} already has the maximum allowed number of images which is '2'`)
  })

  it('bound what all repositories of a registry have, and no other registry', async () => {
    const [one, other] = [await newRepository(), await newRepository()]
    await set(ofRegistry, { bytes: 2500, images: 2, repositories: 2 })
    for (const name of [one, other]) await push(name, 'a')

    expect(await outcomeOf(push(one, 'b'))).toBe(`limit-exceeded: The registry with id '${accountId}' already has the maximum allowed number of images which is '2'`)
    await set(ofRegistry, { images: 9 })
    expect(await outcomeOf(push(one, 'b'))).toBe(`limit-exceeded: The registry with id '${accountId}' has 2000 bytes, and with 1000 more exceeds the maximum allowed size which is '2500' bytes`)
    expect(await outcomeOf(newRepository())).toBe(`limit-exceeded: The registry with id '${accountId}' already has the maximum allowed number of repositories which is '2'`)
    const abroad = await newRepository(elsewhere)
    for (const seed of ['a', 'b', 'c']) await push(abroad, seed, elsewhere)
  })

  it('bound what an account has in all its regions together, of many who push and make repositories at once', async () => {
    const names = [await newRepository(), await newRepository()]
    const abroad = [await newRepository(elsewhere), await newRepository(elsewhere)]
    await set(ofAccount, { bytes: 5500, repositories: 6 })

    const pushes = Array.from({ length: 16 }, (_, n) => (n % 2 === 0 ? push(names[n % 4 >> 1]!, `many ${n}`) : push(abroad[n % 4 >> 1]!, `many ${n}`, elsewhere)))
    const pushed = await Promise.all(pushes.map(outcomeOf))
    const made = await Promise.all(Array.from({ length: 6 }, (_, n) => outcomeOf(newRepository(n % 2 === 0 ? here : elsewhere))))

    expect(pushed.filter((outcome) => outcome === 'ok')).toHaveLength(5)
    expect(made.filter((outcome) => outcome === 'ok')).toHaveLength(2)
    const full = `The account with id '${accountId}'`
    for (const outcome of [...pushed, ...made]) if (outcome !== 'ok') expect(outcome).toContain(`limit-exceeded: ${full}`)
    expect(await set(ofAccount, {})).toMatchObject({ use: { bytes: 5000, images: 5, repositories: 6 }, exceeded: [] })
  })

  it('delete nothing where there is more already, but take nothing more until there is room', async () => {
    const name = await newRepository()
    for (const seed of ['a', 'b', 'c']) await push(name, seed)

    expect(await set(ofRegistry, { bytes: 1500, images: 3, repositories: 0 })).toMatchObject({ use: { bytes: 3000, images: 3, repositories: 1 }, exceeded: ['bytes', 'repositories'] })

    expect(await outcomeOf(push(name, 'a'))).toBe('ok')
    expect(await outcomeOf(push(name, 'd'))).toMatch(/^limit-exceeded: The registry/)
    await fixture.registry.deleteImages(here, name, ['a', 'b', 'c'].map((seed) => ({ digest: digestOf(imageOf(seed)) })))
    expect(await outcomeOf(push(name, 'd'))).toBe('ok')
    const [batch] = (await fixture.registry.listTrash(here, name, { limit: 10 })).items
    expect(await outcomeOf(fixture.registry.restoreTrash(here, batch?.batch ?? ''))).toMatch(/^limit-exceeded: The registry/)
  })

  it('hold one beside the other, until each is removed', async () => {
    const name = await newRepository()
    await set({ scope: 'repository', name }, { images: 1 })
    await set(ofAccount, { bytes: 1500 })
    await push(name, 'a')
    expect(await outcomeOf(push(name, 'b'))).toMatch(/^limit-exceeded: The repository/)

    expect(await remove({ scope: 'repository', name }, ['images'])).toMatchObject({ maxima: { images: 1 } })
    expect(await outcomeOf(push(name, 'b'))).toMatch(/^limit-exceeded: The account/)
    expect(await outcomeOf(remove(ofAccount, ['images']))).toMatch(/^quota-unknown/)
    await remove(ofAccount)
    expect(await outcomeOf(push(name, 'b'))).toBe('ok')
    expect(await outcomeOf(remove(ofAccount))).toMatch(/^quota-unknown/)
    expect((await quotas.list(here, 'registry', { limit: 10 })).items).toEqual([])
  })

  it('are listed by what they bound, page by page, without those of deleted repositories', async () => {
    const [kept, gone] = [await newRepository(), await newRepository()]
    for (const name of [kept, gone]) await set({ scope: 'repository', name }, { images: 5 })
    await set(ofAccount, { bytes: 5 })
    await set(ofRegistry, { bytes: 4 })
    await set({ scope: 'registry', accountId, region: 'eu-west-1' }, { bytes: 3 })
    await fixture.registry.deleteRepository(here, gone, { force: true })

    const first = await quotas.list(here, 'registry', { limit: 2 })
    const rest = await quotas.list(here, 'registry', { limit: 2, after: first.next })

    expect([...first.items, ...rest.items].map(({ subject }) => subject)).toEqual([ofAccount, ofRegistry, { scope: 'repository', name: kept }])
    expect(rest.next).toBeUndefined()
    const all = (await quotas.list(here, 'installation', { limit: 100 })).items.filter((quota) => quota.accountId === accountId)
    expect(all.map(({ maxima }) => maxima.bytes)).toEqual([5, 3, 4])
    expect(await outcomeOf(set({ scope: 'account', accountId: '123456789012' }, { bytes: 1 }))).toMatch(/^parameter-invalid: .*accountId/)
  })

  it('come back with their repository from the trash, for which registry and account need room', async () => {
    const name = await newRepository()
    await push(name, 'a')
    await set({ scope: 'repository', name }, { images: 1 })
    await fixture.registry.deleteRepository(here, name, { force: true })
    await set(ofAccount, { images: 0 })
    const [batch] = (await fixture.registry.listTrash(here, name, { limit: 10 })).items

    expect(await outcomeOf(fixture.registry.restoreTrash(here, batch?.batch ?? ''))).toBe(`limit-exceeded: The account with id '${accountId}' already has the maximum allowed number of images which is '0'`)
    await set(ofAccount, { images: 5 })
    await fixture.registry.restoreTrash(here, batch?.batch ?? '')
    expect(await outcomeOf(push(name, 'b'))).toMatch(/^limit-exceeded: The repository/)
  })

  // SQLite runs one command after another: nothing is under way.
  if (kind === 'postgres') it('let nobody bring a repository back beside one of its name that is being made', async () => {
    const name = await newRepository()
    await fixture.registry.deleteRepository(here, name, { force: true })
    const [batch] = (await fixture.registry.listTrash(here, name, { limit: 10 })).items
    const [client, watcher] = [await connect(), await connect()]
    try {
      await client.query('begin')
      await client.query(`insert into repository (registry_id, domain_id, name, created_at, created_by, tag_mutability, mutability_filters, scan_on_push, encryption_type, event_seq)
        values ($1, 1, $2, 1, 'arn', 'MUTABLE', '[]', 0, 'AES256', 0)`, [here.registry.id, name])
      const restoring = outcomeOf(fixture.registry.restoreTrash(here, batch?.batch ?? ''))
      await expect.poll(async () => (await watcher.query(waiting)).rowCount, { timeout: 10_000 }).toBe(1)
      await client.query('commit')

      expect(await restoring).toMatch(/^repository-exists: /)
    } finally {
      await Promise.all([client.end(), watcher.end()])
    }
  })

  if (kind === 'postgres') it('hold once they are answered also against what was under way', async () => {
    const name = await newRepository()
    const [client, watcher] = [await connect(), await connect()]
    try {
      await client.query('begin')
      // As a push does that found no quota.
      await client.query('select id from repository where name = $1 for no key update', [name])
      let isAnswered = false
      const setting = set(ofRegistry, { bytes: 1500 }).finally(() => {
        isAnswered = true
      })
      await expect.poll(async () => isAnswered || (await watcher.query(waiting)).rowCount === 1, { timeout: 10_000 }).toBe(true)
      expect(isAnswered).toBe(false)
      await client.query('update repository set logical_bytes = 9000, image_count = 1 where name = $1', [name])
      await client.query('commit')

      expect(await setting).toMatchObject({ use: { bytes: 9000 }, exceeded: ['bytes'] })
    } finally {
      await Promise.all([client.end(), watcher.end()])
    }
  })
})

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isPlatformError } from '../../src/internal/platform-error.ts'
import { RegistryDirectory } from '../../src/registry/directory.ts'
import type { NewRepository, RequestContext } from '../../src/registry/index.ts'
import { digestOf, parseAccountId, parseRegion, parseRepositoryName, parseTag } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'no error'
  } catch (error) {
    if (isPlatformError(error)) return error.code
    throw error
  }
}

function newRepository(name: string): NewRepository {
  return { name: parseRepositoryName(name), tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} }
}

const limits = { regions: undefined, defaultRegion: parseRegion('us-east-1'), maxPerAccount: 100_000 }
/** Of a registry that is not there yet. */
const newRegistry = { isServedRegion: true, maxPerAccount: 100_000 }

describe.each(databases)('the directory of registries on %s', (kind) => {
  let fixture: RegistryFixture

  beforeAll(async () => {
    fixture = await startRegistry(kind)
  })
  afterAll(() => fixture.stop())

  function registriesIn(region: string): Promise<{ id: number; account_id: string }[]> {
    const { reader } = fixture.database
    return reader.query(reader.builder.selectFrom('registry').select(['id', 'account_id']).where('region', '=', region))
  }

  /** As an edge makes it: from what the directory says. */
  async function contextIn(region: string): Promise<RequestContext> {
    const registry = await new RegistryDirectory(fixture.database.reader, limits).find(
      fixture.context.registry.accountId,
      parseRegion(region),
    )
    return { ...fixture.context, registry }
  }

  it('tells an account that is not there from one that has nothing only to who would make something', async () => {
    const directory = new RegistryDirectory(fixture.database.reader, limits)
    const [stranger, region] = [parseAccountId('999999999999'), parseRegion('us-east-1')]

    expect(await directory.find(stranger, region)).toEqual({ id: 0, accountId: stranger, region, newRegistry })
    const context = { ...fixture.context, registry: await directory.find(stranger, region) }
    expect(await codeOf(fixture.registry.createRepository(context, newRepository('team/app')))).toBe('repository-unknown')
  })

  it('answers for a region nobody used without leaving a trace, and everything in it is empty', async () => {
    const { registry } = fixture
    const context = await contextIn('eu-invented-1')
    const name = parseRepositoryName('team/app')
    const digest = digestOf(Buffer.from('x'))
    const reference = { kind: 'tag', tag: parseTag('v1') } as const
    const page = { limit: 10 }
    const filter = { tagStatus: 'ANY', imageStatus: 'ANY' } as const

    expect(context.registry.id).toBe(0)
    expect(await registry.listRepositories(context, page)).toEqual({ items: [], next: undefined })
    expect(await registry.findRepository(context, name)).toBeUndefined()
    const calls = [
      registry.getRepository(context, name),
      registry.deleteRepository(context, name, { force: true }),
      registry.putTagMutability(context, name, 'IMMUTABLE', []),
      registry.tagResource(context, name, { a: 'b' }),
      registry.untagResource(context, name, ['a']),
      registry.listResourceTags(context, name),
      registry.getManifest(context, name, reference),
      registry.headManifest(context, name, reference),
      registry.putManifest(context, name, { bytes: Buffer.from('{}'), declaredMediaType: 'a/b', via: 'ecr' }),
      registry.deleteTag(context, name, reference.tag),
      registry.deleteManifest(context, name, { digest }),
      registry.deleteImages(context, name, [{ digest }]),
      registry.listTags(context, name, page),
      registry.listReferrers(context, name, digest, { status: 'ACTIVE', page }),
      registry.listImages(context, name, { filter, page }),
      registry.describeImages(context, name, { filter, page }),
      registry.describeImagesById(context, name, [{ digest }]),
      registry.statBlob(context, name, digest),
      registry.openBlob(context, name, digest),
      registry.isBlobReferenced(context, name, digest),
      registry.mountBlob(context, name, digest, { anyReadable: async () => true }),
      registry.deleteBlob(context, name, digest),
      registry.beginUpload(context, name),
      registry.getUpload(context, name, '7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00'),
    ]
    expect(new Set(await Promise.all(calls.map(codeOf)))).toEqual(new Set(['repository-unknown']))
    expect(await registriesIn('eu-invented-1')).toEqual([])
  })

  it('finds the registry from its first repository on', async () => {
    const { registry, database, context: home } = fixture
    const directory = new RegistryDirectory(database.reader, limits)
    const { accountId } = home.registry
    const region = parseRegion('eu-west-1')
    expect((await directory.find(accountId, region)).id).toBe(0)
    const context = await contextIn('eu-west-1')

    const created = await registry.createRepository(context, newRepository('team/first'))

    expect(await directory.find(accountId, region)).toEqual({ id: created.registryId, accountId, region })
    expect(await registriesIn('eu-west-1')).toEqual([{ id: created.registryId, account_id: accountId }])
    const audits = await database.reader.query(
      database.reader.builder
        .selectFrom('audit_record')
        .select('registry_id')
        .where('resource', '=', `arn:aws:ecr:eu-west-1:${accountId}:repository/team/first`),
    )
    expect(audits).toEqual([{ registry_id: created.registryId }])
    // A request that asked before the registry was there works in the same one.
    const late = await registry.createRepository(context, newRepository('team/second'))
    expect(late.registryId).toBe(created.registryId)
    expect(await codeOf(registry.createRepository(context, newRepository('team/first')))).toBe('repository-exists')
    const { items } = await registry.listRepositories(await contextIn('eu-west-1'), { limit: 10 })
    expect(items.map(({ name }) => name)).toEqual(['team/first', 'team/second'])
  })

  it('makes one registry of many first repositories at once', async () => {
    for (const region of ['eu-race-1', 'eu-race-2', 'eu-race-3']) {
      const context = await contextIn(region)
      const names = Array.from({ length: 8 }, (_, n) => `team/app-${n}`)

      const created = await Promise.all(names.map((name) => fixture.registry.createRepository(context, newRepository(name))))

      const rows = await registriesIn(region)
      expect(rows).toHaveLength(1)
      expect(new Set(created.map(({ registryId }) => registryId))).toEqual(new Set([rows[0]?.id]))
    }
  })

  it('lets one of many have the first name in a region', async () => {
    const context = await contextIn('eu-race-4')

    const codes = await Promise.all(
      Array.from({ length: 8 }, () => codeOf(fixture.registry.createRepository(context, newRepository('team/app')))),
    )

    expect(codes.toSorted()).toEqual(['no error', ...Array.from({ length: 7 }, () => 'repository-exists')])
    expect(await registriesIn('eu-race-4')).toHaveLength(1)
  })

  it('makes none for a repository that is refused, nor for an account that is not there', async () => {
    const { registry } = fixture
    const tooMany = Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`k${n}`, '']))
    const refused = registry.createRepository(await contextIn('refused-1'), { ...newRepository('team/app'), tags: tooMany })
    const accountId = parseAccountId('999999999999')
    const nobody = { ...fixture.context, registry: { id: 0, accountId, region: parseRegion('refused-1') } }

    expect(await codeOf(refused)).toBe('too-many-tags')
    expect(await codeOf(registry.createRepository(nobody, newRepository('team/app')))).toBe('repository-unknown')
    expect(await registriesIn('refused-1')).toEqual([])
  })
})

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ImageFilter, Page } from '../../src/registry/index.ts'
import { digestFromBytes, mediaTypes, parseRepositoryName, type Digest, type RepositoryName } from '../../src/values/index.ts'
import { databases, startRegistry, type DatabaseKind, type RegistryFixture } from '../support/registry.ts'

/** Written straight into the tables: pushing as many takes minutes. */
const imageCount = 4500

/** The digest of image `n`, in SQL and here. */
const digestSql: Record<DatabaseKind, string> = {
  sqlite: `unhex('01' || printf('%064x', n))`,
  postgres: `decode('01' || lpad(to_hex(n), 64, '0'), 'hex')`,
}
const digestOfNumber = (n: number): Digest =>
  digestFromBytes(Buffer.concat([Buffer.from([1]), Buffer.from(n.toString(16).padStart(64, '0'), 'hex')]))

interface Walk<Item> {
  readonly items: Item[]
  readonly sizes: number[]
}

async function walk<Item>(list: (after: string | undefined) => Promise<Page<Item>>): Promise<Walk<Item>> {
  const items: Item[] = []
  const sizes: number[] = []
  let after: string | undefined
  do {
    const page = await list(after)
    items.push(...page.items)
    sizes.push(page.items.length)
    after = page.next
    if (sizes.length > 1000) throw new Error('the list does not end')
  } while (after !== undefined)
  return { items, sizes }
}

describe.each(databases)('long listings on %s', (kind) => {
  let fixture: RegistryFixture
  const name = parseRepositoryName('long/list')
  const subjectName = parseRepositoryName('long/referrers')
  const subject = digestOfNumber(999_999)

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const
    for (const each of [name, subjectName]) await fixture.registry.createRepository(fixture.context, { name: each, ...settings })
    const numbers = (count: number): string => `with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < ${count})`
    const columns = 'repository_id, digest, media_type, kind, size_bytes, image_size_bytes, pushed_at, pushed_by, storage_class'
    // Every 1500th image has a tag, every 1000th is archived.
    await fixture.tamper(
      `insert into manifest (${columns}) ${numbers(imageCount)}
       select (select id from repository where name = 'long/list'), ${digestSql[kind]}, '${mediaTypes.ociManifest}', 'image', 1, 1, 0, 'x',
         case when n % 1000 = 0 then 'archived' else 'active' end from numbers order by n`,
    )
    await fixture.tamper(
      `insert into tag (repository_id, name, manifest_id, tagged_at) ${numbers(imageCount)}
       select repository_id, 'v' || n, manifest.id, 0 from numbers join manifest on manifest.digest = ${digestSql[kind]} where n % 1500 = 0`,
    )
    // Referrers of four types; every tenth is archived.
    await fixture.tamper(
      `insert into manifest (${columns}, artifact_type, subject_digest, annotations) ${numbers(400)}
       select (select id from repository where name = 'long/referrers'), ${digestSql[kind]}, '${mediaTypes.ociManifest}', 'image', 1, 1, 0, 'x',
         case when n % 10 = 0 then 'archived' else 'active' end, 'type/' || (n % 4), ${digestSql[kind].replace(/\bn\b/, '999999')}, '{}' from numbers order by n`,
    )
  })
  afterAll(() => fixture.stop())

  const filterOf = (tagStatus: ImageFilter['tagStatus'], imageStatus: ImageFilter['imageStatus']): ImageFilter => ({ tagStatus, imageStatus })
  const every = Array.from({ length: imageCount }, (_, index) => index + 1)
  const isTagged = (n: number): boolean => n % 1500 === 0
  const isArchived = (n: number): boolean => n % 1000 === 0

  it.each([
    [filterOf('ANY', 'ANY'), every],
    [filterOf('ANY', 'ACTIVE'), every.filter((n) => !isArchived(n))],
    [filterOf('ANY', 'ARCHIVED'), every.filter(isArchived)],
    [filterOf('TAGGED', 'ANY'), every.filter(isTagged)],
    [filterOf('TAGGED', 'ARCHIVED'), every.filter((n) => isTagged(n) && isArchived(n))],
    [filterOf('UNTAGGED', 'ARCHIVED'), every.filter((n) => isArchived(n) && !isTagged(n))],
    [filterOf('UNTAGGED', 'ACTIVE'), every.filter((n) => !isArchived(n) && !isTagged(n))],
    [filterOf('ANY', 'ACTIVATING'), []],
  ])('give everything that %o takes once, in order, in both forms', async (filter, expected) => {
    const { registry, context } = fixture
    const limit = 900
    const listed = await walk((after) => registry.listImages(context, name, { filter, page: { limit, after } }))
    const described = await walk((after) => registry.describeImages(context, name, { filter, page: { limit, after } }))

    const digests = expected.map(digestOfNumber)
    for (const { items, sizes } of [listed, described]) {
      expect(items.map(({ digest }) => digest)).toEqual(digests)
      expect(Math.max(...sizes)).toBeLessThanOrEqual(limit)
    }
    expect(listed.items.flatMap(({ tag }) => tag ?? [])).toEqual(expected.filter(isTagged).map((n) => `v${n}`))
  })

  it('look at a bounded number of images for a page of few, and go on from there', async () => {
    const { registry, context } = fixture
    const filter = filterOf('TAGGED', 'ANY')

    const listed = await walk((after) => registry.listImages(context, name, { filter, page: { limit: 1000, after } }))
    const described = await walk((after) => registry.describeImages(context, name, { filter, page: { limit: 1000, after } }))

    // 4500 images, 2000 at a time: v1500 is among the first, v3000 among the second.
    for (const { sizes } of [listed, described]) expect(sizes).toEqual([1, 1, 1])
  })

  it('end a page of images where it has very many tags', async () => {
    const { registry, context } = fixture
    const many = parseRepositoryName('long/tags')
    await registry.createRepository(context, { name: many, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
    await fixture.tamper(
      `insert into manifest (repository_id, digest, media_type, kind, size_bytes, image_size_bytes, pushed_at, pushed_by, storage_class)
       with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < 4)
       select (select id from repository where name = 'long/tags'), ${digestSql[kind]}, '${mediaTypes.ociManifest}', 'image', 1, 1, 0, 'x', 'active' from numbers order by n`,
    )
    // The second has 25,000 by itself, the third 10,000, the others none.
    await fixture.tamper(
      `insert into tag (repository_id, name, manifest_id, tagged_at)
       with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < 35000)
       select manifest.repository_id, 't' || n, manifest.id, 0 from numbers join manifest
         on manifest.repository_id = (select id from repository where name = 'long/tags')
         and manifest.digest = case when n <= 25000 then ${digestSql[kind].replace(/\bn\b/, '2')} else ${digestSql[kind].replace(/\bn\b/, '3')} end`,
    )
    const { items, sizes } = await walk((after) =>
      registry.describeImages(context, many, { filter: filterOf('ANY', 'ANY'), page: { limit: 1000, after } }),
    )

    expect(items.map(({ digest, tags }) => [digest, tags.length])).toEqual([
      [digestOfNumber(1), 0],
      [digestOfNumber(2), 25_000],
      [digestOfNumber(3), 10_000],
      [digestOfNumber(4), 0],
    ])
    expect(sizes).toEqual([1, 1, 2])
  })

  const referrers = Array.from({ length: 400 }, (_, index) => index + 1)
  const referrersOf = (types: string[] | undefined, status: ImageFilter['imageStatus'], limit: number, repository: RepositoryName = subjectName) =>
    walk((after) => fixture.registry.listReferrers(fixture.context, repository, subject, { artifactTypes: types, status, page: { limit, after } }))

  it.each([
    [undefined, 'ANY', referrers],
    [undefined, 'ACTIVE', referrers.filter((n) => n % 10 !== 0)],
    [['type/1'], 'ANY', referrers.filter((n) => n % 4 === 1)],
    [['type/2'], 'ARCHIVED', referrers.filter((n) => n % 4 === 2 && n % 10 === 0)],
    [['type/0', 'type/3', 'absent'], 'ACTIVE', referrers.filter((n) => [0, 3].includes(n % 4) && n % 10 !== 0)],
    [['type/3', 'type/2', 'type/1', 'type/0'], 'ANY', referrers],
    [['absent'], 'ANY', []],
  ] as const)('give the referrers of types %j in state %s once, in order', async (types, status, expected) => {
    for (const limit of [7, 50, 1000]) {
      const { items, sizes } = await referrersOf(types === undefined ? undefined : [...types], status, limit)

      expect(items.map(({ digest }) => digest)).toEqual(expected.map(digestOfNumber))
      expect(sizes).toHaveLength(Math.max(1, Math.ceil(expected.length / limit)))
      expect(items.filter((item) => item.status === 'ARCHIVED')).toHaveLength(status === 'ACTIVE' ? 0 : expected.filter((n) => n % 10 === 0).length)
    }
  })
})

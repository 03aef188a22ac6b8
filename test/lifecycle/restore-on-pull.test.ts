import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Principal } from '../../src/iam/index.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { manifestOperations } from '../../src/registry/manifests.ts'
import type { RequestContext } from '../../src/registry/index.ts'
import { parseTag, type Reference, type RepositoryName } from '../../src/values/index.ts'
import { databases } from '../support/registry.ts'
import { anyOlderThan, dayMs, startLifecycle, type LifecycleWorld } from './lifecycle-world.ts'

const tagged = (tag: string): Reference => ({ kind: 'tag', tag: parseTag(tag) })

describe.each(databases)('a pull of what a lifecycle policy deleted, on %s', (kind) => {
  let world: LifecycleWorld
  beforeAll(async () => {
    world = await startLifecycle(kind)
  })
  afterAll(() => world.stop())

  const pull = (name: RepositoryName, reference: Reference, context: RequestContext = world.fixture.context) =>
    world.fixture.registry.getManifest(context, name, reference)
  const absent = { code: 'manifest-unknown' }

  /** A repository whose index, with its children and signatures, and one image have expired. */
  async function expired(): Promise<{ name: RepositoryName; images: Awaited<ReturnType<LifecycleWorld['newRepository']>>['images'] }> {
    const { name, images } = await world.newRepository()
    await world.push(name, images.index!, 'latest')
    await world.push(name, images['signature-of-index']!)
    await world.push(name, images.three!, 'three')
    world.fixture.clock.advance(2 * dayMs)
    await world.put(name, anyOlderThan(1))
    await world.sweep()
    expect((await world.listed(name)).size).toBe(0)
    return { name, images }
  }

  async function rows(table: 'outbox' | 'audit_record', name: RepositoryName): Promise<Record<string, unknown>[]> {
    const { reader } = world.fixture.database
    const found =
      table === 'outbox'
        ? await reader.query(reader.builder.selectFrom('outbox').select('payload as text').where('type', '=', 'Stowage Image Restored').orderBy('id'))
        : await reader.query(reader.builder.selectFrom('audit_record').select('detail as text').where('action', '=', 'RestoreTrash').orderBy('id'))
    return found.map(({ text }) => JSON.parse(text) as Record<string, unknown>).filter((each) => (each['repository-name'] ?? each['repositoryName']) === name)
  }

  it('succeeds, by tag and by digest, brings back what went with it, and is told', async () => {
    const { name, images } = await expired()

    expect((await pull(name, tagged('latest'))).digest).toBe(images.index!.digest)
    expect((await world.fixture.registry.headManifest(world.fixture.context, name, { kind: 'digest', digest: images.three!.digest })).digest).toBe(images.three!.digest)

    const there = await world.listed(name)
    expect(there.size).toBe(5)
    expect([there.get(images.index!.digest), there.get(images.three!.digest)]).toEqual([['latest'], ['three']])
    const events = await rows('outbox', name)
    expect(events).toHaveLength(5)
    expect(events[0]).toMatchObject({ 'image-digest': expect.any(String) as string, because: 'PULL' })
    expect(await rows('audit_record', name)).toMatchObject([{ because: 'pull' }, { because: 'pull', imageIds: [{ imageTags: ['three'] }] }])
  })

  it('succeeds for each of many who pull at once, and restores once', async () => {
    const { name, images } = await expired()

    const pulled = await Promise.all(Array.from({ length: 8 }, () => pull(name, tagged('latest'))))

    expect(new Set(pulled.map(({ digest }) => digest))).toEqual(new Set([images.index!.digest]))
    expect(await rows('audit_record', name)).toHaveLength(1)
  })

  it('leaves a tag to whoever has it by now, and what people deleted where it is', async () => {
    const { name, images } = await expired()
    const { three: other } = (await world.newRepository()).images
    await world.push(name, other!, 'latest')
    expect((await pull(name, tagged('latest'))).digest).toBe(other!.digest)
    await pull(name, { kind: 'digest', digest: images.index!.digest })
    expect([...(await world.listed(name)).entries()].filter(([, tags]) => tags.length > 0)).toEqual([[other!.digest, ['latest']]])

    await world.fixture.registry.deleteImages(world.fixture.context, name, [{ digest: other!.digest }])

    await expect(pull(name, tagged('latest'))).rejects.toMatchObject(absent)
    await expect(pull(name, { kind: 'digest', digest: other!.digest })).rejects.toMatchObject(absent)
  })

  it('is refused where it was deleted for security, or its time is over', async () => {
    const { name } = await expired()
    const setBatch = (sql: string) => world.fixture.tamper(`update trash_batch set ${sql} where repository_id = (select id from repository where name = ?)`, name)
    await setBatch('is_security = 1')
    await expect(pull(name, tagged('three'))).rejects.toMatchObject(absent)
    await setBatch(`is_security = 0, purge_after = ${world.fixture.clock.now()}`)
    await expect(pull(name, tagged('three'))).rejects.toMatchObject(absent)
    await setBatch(`purge_after = ${world.fixture.clock.now() + 1}`)
    await pull(name, tagged('three'))
  })

  it('is refused of an image that was blocked, and of another than whoever pulls it wants', async () => {
    const { name, images } = await world.newRepository()
    const { registry, context, clock } = world.fixture
    await world.push(name, images.three!, 'three')
    await registry.setImageRetirement(context, name, { digest: images.three!.digest }, { state: 'blocked', reason: 'a flaw', replacedBy: undefined, steps: [] })
    await world.push(name, images.one!, 'one')
    clock.advance(2 * dayMs)
    await world.put(name, anyOlderThan(1))
    await world.sweep()

    await expect(pull(name, tagged('three'))).rejects.toMatchObject(absent)
    await expect(registry.headManifest(context, name, tagged('one'), { onlyDigest: images.two!.digest })).rejects.toMatchObject(absent)
    expect((await world.listed(name)).size).toBe(0)
    await registry.headManifest(context, name, tagged('one'), { onlyDigest: images.one!.digest })
    expect((await world.listed(name)).size).toBe(1)
  })

  it('is refused to those whose pulls are no use, and everybody where it is switched off', async () => {
    const { name } = await expired()
    const { fixture } = world
    const accountId = fixture.context.registry.accountId
    const actor: Principal = {
      arn: `arn:aws:sts::${accountId}:assumed-role/Scanner/monday`,
      accountId,
      kind: 'assumed-role',
      userId: 'AROAEXAMPLE:monday',
      accessKeyId: 'ASIAEXAMPLE',
    }
    const principalArn = `arn:aws:iam::${accountId}:role/Scanner`
    const exclusions = await fixture.registry.listPullTimeExclusions(fixture.context, { limit: 10 })
    if (!exclusions.items.includes(principalArn)) await fixture.registry.registerPullTimeExclusion(fixture.context, principalArn)
    await expect(pull(name, tagged('three'), { ...fixture.context, actor })).rejects.toMatchObject(absent)

    const { database, pullClock, uploadDependencies } = fixture
    const off = manifestOperations({ database, pullClock, ids: systemIds, ...uploadDependencies, restoreOnPull: false })
    await expect(off.getManifest(fixture.context, name, tagged('three'))).rejects.toMatchObject(absent)
    expect(await rows('audit_record', name)).toEqual([])
    await pull(name, tagged('three'))
  })

  const withRoomFor = (imagesPerRepository: number) => {
    const { database, pullClock, uploadDependencies } = world.fixture
    return manifestOperations({ database, pullClock, ids: systemIds, ...uploadDependencies, quotas: { ...uploadDependencies.quotas, imagesPerRepository } })
  }

  it('leaves what refers to the image in the trash where there is room for it and what it lists alone', async () => {
    const { name, images } = await expired()

    await withRoomFor(3).getManifest(world.fixture.context, name, tagged('latest'))

    expect([...(await world.listed(name)).keys()].sort()).toEqual([images.index!, images.one!, images.two!].map(({ digest }) => digest).sort())
    expect(await rows('audit_record', name)).toMatchObject([{ because: 'pull', leftForWantOfRoom: [images['signature-of-index']!.digest] }])
  })

  it('is refused where the repository has no room for it', async () => {
    const { name } = await expired()
    const { context } = world.fixture
    const full = withRoomFor(2)

    await expect(full.getManifest(context, name, tagged('latest'))).rejects.toMatchObject(absent)
    expect((await world.listed(name)).size).toBe(0)
    await full.getManifest(context, name, tagged('three'))
  })
})

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createProtections } from '../../src/registry/protection/protections.ts'
import { LifecyclePolicies } from '../../src/lifecycle/index.ts'
import type { Digest, RepositoryName } from '../../src/values/index.ts'
import { databases } from '../support/registry.ts'
import { ArchiveWorld } from '../registry/archive-world.ts'
import { anyOlderThan, dayMs, startLifecycle, type LifecycleWorld } from './lifecycle-world.ts'

const description = 'a rule of a test, described at such length that the policy has the hundred characters it needs'

const archiveAfter = (days: number, selection: object = {}) => ({
  selection: { ...anyOlderThan(days), ...selection },
  action: { type: 'transition', targetStorageClass: 'archive' },
})
const deleteArchivedAfter = (days: number) => ({
  selection: { tagStatus: 'any', storageClass: 'archive', countType: 'sinceImageTransitioned', countUnit: 'days', countNumber: days },
  action: { type: 'expire' },
})

function policyOf(...rules: { selection: object; action: object }[]): string {
  return JSON.stringify({ rules: rules.map((rule, index) => ({ rulePriority: index + 1, description, ...rule })) })
}

describe.each(databases)('policies that archive, on %s', (kind) => {
  let world: LifecycleWorld
  let archive: ArchiveWorld

  beforeAll(async () => {
    world = await startLifecycle(kind)
    archive = new ArchiveWorld(world.fixture)
  })
  afterAll(async () => {
    await world.stop()
    expect(archive.problems).toEqual([])
  })

  async function put(name: RepositoryName, text: string): Promise<void> {
    await world.policies.put(world.fixture.context, name, text)
    world.fixture.clock.advance(60 * 60_000)
  }

  async function daysPass(days: number): Promise<void> {
    for (let day = 0; day < days; day += 1) {
      world.fixture.clock.advance(dayMs)
      await world.sweep()
      await archive.work()
    }
  }

  async function status(name: RepositoryName, digest: Digest): Promise<string | undefined> {
    return (await world.fixture.registry.describeImagesById(world.fixture.context, name, [{ digest }]))[0]?.status
  }

  const runsOf = async (name: RepositoryName) => (await world.runner.list(world.fixture.context, name, { limit: 10 })).items

  it('archive an image when it is old enough, and delete it so many days after that', async () => {
    const { name, images } = await world.newRepository()
    const { one } = images
    await world.push(name, one!, 'v1')
    await put(name, policyOf(archiveAfter(30), deleteArchivedAfter(10)))

    await daysPass(29)
    expect(await status(name, one!.digest)).toBe('ACTIVE')
    await daysPass(2)
    expect(await status(name, one!.digest)).toBe('ARCHIVED')
    await expect(archive.pull(name, one!)).rejects.toMatchObject({ code: 'image-archived' })
    expect(await archive.files(one!.blobs[1]!.bytes)).toEqual(['archive'])
    expect((await runsOf(name)).map(({ summary }) => summary)).toMatchObject([{ archived: 1, expired: 0, manifests: 1 }])

    await daysPass(8)
    expect(await status(name, one!.digest)).toBe('ARCHIVED')
    await daysPass(3)
    expect(await status(name, one!.digest)).toBeUndefined()
    await daysPass(9)
    expect(await archive.files(one!.blobs[1]!.bytes)).toEqual([])
    const actions = (await archive.events(name)).filter((event) => 'run-id' in event)
    expect(actions).toMatchObject([{ 'action-type': 'TRANSITION', 'target-storage-class': 'ARCHIVE' }, { 'action-type': 'EXPIRE' }])
  })

  it('show before what they would archive, in the preview and for each image', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!, 'v1')
    world.fixture.clock.advance(40 * dayMs)
    await world.push(name, images.three!, 'v3')
    const text = policyOf(archiveAfter(30))
    const preview = await world.preview(name, text)
    expect(preview).toMatchObject({ summary: { transition: 1 } })
    await put(name, text)
    expect(await world.explain(name, images.one!.digest)).toMatchObject({ state: 'archives' })
    await world.sweep()
    expect(await world.explain(name, images.one!.digest)).toMatchObject({ state: 'kept', text: expect.stringContaining('It is in the archive since 2026-') as string })
    expect([await status(name, images.one!.digest), await status(name, images.three!.digest)]).toEqual(['ARCHIVED', 'ACTIVE'])
  })

  it('archive an index with its parts, and a tagged part by itself once the index is archived', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.index!, 'latest')
    await world.push(name, images['signature-of-index']!)
    await archive.registry.putManifest(world.fixture.context, name, { bytes: images.two!.bytes, declaredMediaType: images.two!.mediaType, tags: ['two' as never], via: 'oci' })
    await put(name, policyOf(archiveAfter(30)))
    world.fixture.clock.advance(31 * dayMs)
    await world.sweep()
    const statuses = () => Promise.all([images.index!, images.one!, images.two!, images['signature-of-index']!].map(({ digest }) => status(name, digest)))
    expect(await statuses()).toEqual(['ARCHIVED', 'ARCHIVED', 'ACTIVE', 'ARCHIVED'])
    world.fixture.clock.advance(2 * 60 * 60_000)
    await world.sweep()
    expect(await statuses()).toEqual(['ARCHIVED', 'ARCHIVED', 'ARCHIVED', 'ARCHIVED'])
  })

  it('archive nothing that somebody protects, and nothing while the registry is on hold', async () => {
    const protections = createProtections({ database: world.fixture.database })
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!, 'v1')
    await world.push(name, images.three!, 'v3')
    await protections.put(world.fixture.context, name, { target: { kind: 'digest', value: images.one!.digest }, owner: 'the owner', reason: 'wanted', endsAt: undefined, mayLoosen: false })
    await put(name, policyOf(archiveAfter(30)))
    const hold = await protections.placeHold(world.fixture.context, 'not now')
    world.fixture.clock.advance(31 * dayMs)
    await world.sweep()
    expect(await status(name, images.three!.digest)).toBe('ACTIVE')
    expect((await runsOf(name))[0]).toMatchObject({ status: 'held' })

    await protections.releaseHold(world.fixture.context, hold, 'now')
    world.fixture.clock.advance(2 * 60 * 60_000)
    await world.sweep()
    expect([await status(name, images.one!.digest), await status(name, images.three!.digest)]).toEqual(['ACTIVE', 'ARCHIVED'])
  })

  it('of the second grammar archive too, and keep what a rule keeps', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!, 'v1')
    await world.push(name, images.three!, 'release-1')
    const rules = [{ name: 'old', action: 'archive', olderThan: '30d' }, { name: 'releases', action: 'keep', tags: ['release-*'] }]
    await world.retention.put(world.fixture.context, { scope: 'repository', name }, JSON.stringify({ rules }))
    world.fixture.clock.advance(31 * dayMs)
    await world.sweep()
    expect([await status(name, images.one!.digest), await status(name, images.three!.digest)]).toEqual(['ARCHIVED', 'ACTIVE'])
  })

  it('count anew when somebody archives newer images by hand while they are carried out', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!, 'v1')
    world.fixture.clock.advance(dayMs)
    await world.push(name, images.two!, 'v2')
    await put(name, policyOf({ selection: { tagStatus: 'any', countType: 'imageCountMoreThan', countNumber: 1 }, action: { type: 'transition', targetStorageClass: 'archive' } }))
    await archive.registry.updateStorageClass(world.fixture.context, name, { digest: images.two!.digest }, 'ARCHIVE')
    await world.sweep()
    expect([await status(name, images.one!.digest), await status(name, images.two!.digest)]).toEqual(['ACTIVE', 'ARCHIVED'])
  })

  it('are refused where they delete sooner than the settings allow after archiving', () => {
    const { database } = world.fixture
    const text = policyOf(archiveAfter(30), deleteArchivedAfter(89))
    const check = (settings: { strict: boolean; minimumArchiveDays?: number }): string => new LifecyclePolicies(database, { intervalMs: 1000, ...settings }).check(text)
    expect(check({ strict: false })).toContain('sinceImageTransitioned')
    expect(check({ strict: true, minimumArchiveDays: 89 })).toContain('sinceImageTransitioned')
    for (const settings of [{ strict: true }, { strict: false, minimumArchiveDays: 90 }]) {
      expect(() => check(settings)).toThrow(expect.objectContaining({ code: 'policy-invalid' }) as Error)
    }
  })
})

describe.each(databases)('policies that archive, with confirmation, on %s', (kind) => {
  it('wait for somebody where they would archive all there is', async () => {
    const world = await startLifecycle(kind, { confirmation: true })
    try {
      const { name, images } = await world.newRepository()
      await world.push(name, images.one!, 'v1')
      await world.push(name, images.three!, 'v3')
      await world.policies.put(world.fixture.context, name, policyOf(archiveAfter(30)))
      world.fixture.clock.advance(31 * dayMs)
      await world.sweep()
      const [run] = (await world.runner.list(world.fixture.context, name, { limit: 1 })).items
      expect(run).toMatchObject({ status: 'unconfirmed', concern: 'it would archive all 2 images of the repository' })
      await world.runner.settle(world.fixture.context, run!.id, 'confirmed')
      await world.sweep()
      const { items } = await world.fixture.registry.describeImages(world.fixture.context, name, { filter: { tagStatus: 'ANY', imageStatus: 'ARCHIVED' }, page: { limit: 10 } })
      expect(items).toHaveLength(2)
    } finally {
      await world.stop()
    }
  })
})

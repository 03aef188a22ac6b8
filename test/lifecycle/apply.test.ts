import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eraseImages } from '../../src/gc/commands/erase-images.ts'
import { applyLifecycle, type ApplyInput } from '../../src/lifecycle/commands/runs.ts'
import { fingerprintOf } from '../../src/lifecycle/fingerprint.ts'
import { deleteImages } from '../../src/registry/commands/delete-images.ts'
import { commandContext } from '../../src/registry/index.ts'
import { findManifestRow } from '../../src/storage/metadata/stores/manifest-store.ts'
import { findRepositoryRow } from '../../src/storage/metadata/stores/repository-store.ts'
import { policiesInForce } from '../../src/storage/metadata/stores/lifecycle-policy-store.ts'
import { lastTagChangeOf } from '../../src/storage/metadata/stores/lifecycle-run-store.ts'
import { policiesSeen } from '../../src/lifecycle/policies-seen.ts'
import { digestToBytes, parseTag } from '../../src/values/index.ts'
import { databases } from '../support/registry.ts'
import { startLifecycle, untaggedOlderThan, type LifecycleWorld } from './lifecycle-world.ts'

/* What was decided about an image is looked at again when it is done: each change meanwhile is played here. */

describe.each(databases)('carrying out a decision on %s', (kind) => {
  type Name = Parameters<LifecycleWorld['listed']>[0]
  let world: LifecycleWorld
  beforeAll(async () => {
    world = await startLifecycle(kind)
  })
  afterAll(() => world.stop())

  /** A repository with an untagged image (or another) and one tagged, and the decision to remove the first. */
  async function decided(which: 'one' | 'index' = 'one', othersMatter = true) {
    const { name, images } = await world.newRepository()
    const image = images[which]!
    await world.push(name, image)
    if (which === 'one') await world.push(name, images.two!)
    await world.push(name, images.three!, 'other')
    await world.put(name, untaggedOlderThan(1))
    const { database, clock, context } = world.fixture
    const repository = (await findRepositoryRow(database.reader, context.registry.id, name))!
    const rowOf = async (digest: typeof image.digest) => (await findManifestRow(database.reader, repository.id, digest))!
    const row = await rowOf(image.digest)
    const fingerprint = fingerprintOf({ tags: [], storageClass: 'active', pushedAt: row.pushed_at, lastActivatedAt: undefined, lastPulledAt: undefined, lastUsedAt: undefined })
    const runId = randomUUID()
    const input: ApplyInput = {
      repositoryId: repository.id,
      runId,
      batch: runId,
      retentionMs: 1000,
      policies: policiesSeen(await policiesInForce(database.reader, repository)),
      lastTagChange: await lastTagChangeOf(database.reader, repository.id),
      lostCount: repository.lost_count,
      newestId: (await rowOf(images.three!.digest)).id,
      othersMatter,
      pullsMatter: true,
      usesMatter: true,
      images: [{ manifestId: row.id, fingerprint, action: 'expire', rule: 'rule 1', policyPlace: 0, ruleNumber: 1 }],
      told: [{ lifecycleEventRules: [], lastEvaluatedAt: 0, policyVersion: 1, policyId: '1' }],
    }
    clock.advance(10)
    const apply = () => database.execute(applyLifecycle, input, commandContext(context))
    const isThere = async () => (await world.listed(name)).has(image.digest)
    return { name, images, input, apply, isThere }
  }

  it('removes an image that is as it was', async () => {
    const { apply, isThere } = await decided()

    expect(await apply()).toMatchObject({ expired: 1, changed: 0, isStale: false })
    expect(await isThere()).toBe(false)
  })

  it('leaves one that got a tag', async () => {
    const { name, images, apply, isThere } = await decided('one', false)
    await world.push(name, images.one!, 'release')

    expect(await apply()).toMatchObject({ expired: 0, changed: 1 })
    expect(await isThere()).toBe(true)
  })

  it('leaves one that was pulled, where pulls matter', async () => {
    const { name, images, apply, isThere } = await decided()
    await world.fixture.registry.getManifest(world.fixture.context, name, { kind: 'digest', digest: images.one!.digest })
    await world.fixture.pullClock.flush()

    expect(await apply()).toMatchObject({ expired: 0, changed: 1 })
    expect(await isThere()).toBe(true)
  })

  it('leaves one that an index lists by now', async () => {
    const { name, images, apply, isThere } = await decided()
    await world.push(name, images.index!, 'multi')

    expect(await apply()).toMatchObject({ expired: 0, failures: [{ failureCode: 'ImageReferencedByManifestList' }] })
    expect(await isThere()).toBe(true)
  })

  it('does nothing when another image went meanwhile: there may be fewer newer ones than were counted', async () => {
    const { name, images, apply, isThere } = await decided()
    await world.fixture.registry.deleteImages(world.fixture.context, name, [{ digest: images.three!.digest }])

    expect(await apply()).toMatchObject({ expired: 0, isStale: true })
    expect(await isThere()).toBe(true)
  })

  it('does nothing when a tag went meanwhile', async () => {
    const { name, apply, isThere } = await decided()
    await world.fixture.registry.deleteTag(world.fixture.context, name, parseTag('other'))

    expect(await apply()).toMatchObject({ expired: 0, isStale: true })
    expect(await isThere()).toBe(true)
  })

  it('leaves an index of which a part was pulled', async () => {
    const { name, images, apply, isThere } = await decided('index')
    await world.fixture.registry.getManifest(world.fixture.context, name, { kind: 'digest', digest: images.two!.digest })
    await world.fixture.pullClock.flush()

    expect(await apply()).toMatchObject({ expired: 0, changed: 1 })
    expect(await isThere()).toBe(true)
  })

  it('leaves an index of which something ran a part', async () => {
    const { images, apply, isThere } = await decided('index')
    await world.fixture.tamper(
      `insert into digest_use (registry_id, repository, digest, last_used_at) values (${world.fixture.context.registry.id}, '', ?, ${world.fixture.clock.now()})`,
      digestToBytes(images.two!.digest),
    )

    expect(await apply()).toMatchObject({ expired: 0, changed: 1 })
    expect(await isThere()).toBe(true)
  })

  it('does nothing by a policy that was changed meanwhile, or taken away', async () => {
    for (const change of [
      (name: Name) => world.policies.delete(world.fixture.context, name),
      (name: Name) => world.put(name, untaggedOlderThan(300)),
      (name: Name) => world.retention.put(world.fixture.context, { scope: 'prefix', prefix: name.split('/')[0]! }, '{"rules":[{"name":"all","action":"keep"}]}'),
    ]) {
      const { name, apply, isThere } = await decided()
      await change(name)

      expect(await apply()).toMatchObject({ expired: 0, isStale: true })
      expect(await isThere()).toBe(true)
    }
    await world.retention.delete(world.fixture.context, { scope: 'prefix', prefix: 'lifecycle' })
  })

  it('does nothing when a tag moved away from an image that was counted', async () => {
    const { name, images, apply, isThere } = await decided()
    await world.push(name, images.two!, 'other')

    expect(await apply()).toMatchObject({ expired: 0, isStale: true })
    expect(await isThere()).toBe(true)
  })

  it('does nothing when an image was erased meanwhile, untagged and by whichever clock', async () => {
    const { name, images, input, isThere } = await decided()
    const { database, context } = world.fixture
    await database.execute(
      eraseImages,
      { id: randomUUID(), name, images: [images.two!.digest], layers: [], everywhere: false, reason: 'a secret', overrideProtection: false, dryRun: false },
      { ...commandContext(context), nowMs: 1 },
    )

    expect(await database.execute(applyLifecycle, input, commandContext(context))).toMatchObject({ expired: 0, isStale: true })
    expect(await isThere()).toBe(true)
  })

  it('does nothing when an image went meanwhile by a clock that is behind', async () => {
    const { name, images, input, isThere } = await decided()
    const { database, context } = world.fixture
    const deletion = { name, identifiers: [{ digest: images.two!.digest }], trashBatch: randomUUID(), retentionMs: 1000 }
    await database.execute(deleteImages, deletion, { ...commandContext(context), nowMs: 1 })

    expect(await database.execute(applyLifecycle, input, commandContext(context))).toMatchObject({ expired: 0, isStale: true })
    expect(await isThere()).toBe(true)
  })

  it('goes on when new images got new tags, or one that nobody had seen gave its tag to another', async () => {
    const { name, images, apply } = await decided()
    await world.push(name, images['signature-of-three']!, 'new')
    await world.push(name, images['signature-of-index']!, 'new')

    expect(await apply()).toMatchObject({ expired: 1, isStale: false })
  })
})

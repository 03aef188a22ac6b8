import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { applyLifecycle, type ApplyInput } from '../../src/lifecycle/commands/runs.ts'
import { fingerprintOf } from '../../src/lifecycle/fingerprint.ts'
import { commandContext } from '../../src/registry/index.ts'
import { findManifestRow } from '../../src/storage/metadata/stores/manifest-store.ts'
import { findRepositoryRow } from '../../src/storage/metadata/stores/repository-store.ts'
import { lastTagChangeOf } from '../../src/storage/metadata/stores/lifecycle-run-store.ts'
import { parseTag } from '../../src/values/index.ts'
import { databases } from '../support/registry.ts'
import { startLifecycle, type LifecycleWorld } from './lifecycle-world.ts'

/* What was decided about an image is looked at again when it is done: each change meanwhile is played here. */

describe.each(databases)('carrying out a decision on %s', (kind) => {
  let world: LifecycleWorld
  beforeAll(async () => {
    world = await startLifecycle(kind)
  })
  afterAll(() => world.stop())

  /** A repository with an untagged image and another, and the decision to remove the first. */
  async function decided() {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!)
    await world.push(name, images.two!, 'other')
    const { database, clock, context } = world.fixture
    const { id: repositoryId } = (await findRepositoryRow(database.reader, context.registry.id, name))!
    const row = (await findManifestRow(database.reader, repositoryId, images.one!.digest))!
    const fingerprint = fingerprintOf({ tags: [], storageClass: 'active', pushedAt: row.pushed_at, lastActivatedAt: undefined })
    const runId = randomUUID()
    const input: ApplyInput = {
      repositoryId,
      runId,
      batch: runId,
      retentionMs: 1000,
      evaluatedAt: clock.now() + 1,
      countsMatter: true,
      lastTagChange: await lastTagChangeOf(database.reader, repositoryId),
      images: [{ manifestId: row.id, fingerprint, notPulledSince: clock.now(), rule: 'rule 1' }],
    }
    clock.advance(10)
    const apply = () => database.execute(applyLifecycle, input, commandContext(context))
    const isThere = async () => (await world.listed(name)).has(images.one!.digest)
    return { name, images, apply, isThere }
  }

  it('removes an image that is as it was', async () => {
    const { apply, isThere } = await decided()

    expect(await apply()).toMatchObject({ expired: 1, changed: 0, isStale: false })
    expect(await isThere()).toBe(false)
  })

  it('leaves one that got a tag', async () => {
    const { name, images, apply, isThere } = await decided()
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
    await world.fixture.registry.deleteImages(world.fixture.context, name, [{ digest: images.two!.digest }])

    expect(await apply()).toMatchObject({ expired: 0, isStale: true })
    expect(await isThere()).toBe(true)
  })

  it('does nothing when a tag went meanwhile', async () => {
    const { name, apply, isThere } = await decided()
    await world.fixture.registry.deleteTag(world.fixture.context, name, parseTag('other'))

    expect(await apply()).toMatchObject({ expired: 0, isStale: true })
    expect(await isThere()).toBe(true)
  })
})

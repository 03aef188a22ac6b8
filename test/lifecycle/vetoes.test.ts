import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createProtections } from '../../src/registry/protection/protections.ts'
import { createUsageSources } from '../../src/registry/usage/usage-sources.ts'
import type { Digest } from '../../src/values/index.ts'
import { databases } from '../support/registry.ts'
import { anyOlderThan, dayMs, startLifecycle, type LifecycleWorld } from './lifecycle-world.ts'

const hourMs = 60 * 60 * 1000

describe.each(databases)('what forbids a lifecycle run to remove something, on %s', (kind) => {
  let world: LifecycleWorld
  beforeAll(async () => {
    world = await startLifecycle(kind)
  })
  afterAll(() => world.stop())

  const runsOf = async (name: Parameters<LifecycleWorld['listed']>[0]) =>
    (await world.runner.list(world.fixture.context, name, { limit: 10 })).items

  it('keeps what is protected, and takes the rest', async () => {
    const { fixture } = world
    const { name, images } = await world.newRepository('protected')
    await world.push(name, images.one!, 'prod')
    await world.push(name, images.two!, 'other')
    await createProtections(fixture).put(fixture.context, name, { target: { kind: 'tag', value: 'prod' }, reason: 'r', owner: 'o', endsAt: undefined, mayLoosen: true })
    fixture.clock.advance(2 * dayMs)
    await world.put(name, anyOlderThan(1))
    await world.sweep()

    expect([...(await world.listed(name)).keys()]).toEqual([images.one!.digest])
    expect((await runsOf(name))[0]).toMatchObject({ status: 'done', summary: { expired: 1, failed: 1 } })
  })

  it('keeps everything in the scope of a source that is silent, and what runs once it reports again', async () => {
    const { fixture } = world
    const sources = createUsageSources(fixture)
    const { name, images } = await world.newRepository('used')
    await world.push(name, images.index!, 'multi')
    await world.push(name, images.three!, 'idle')
    const terms = { principalArn: fixture.context.actor.arn, kind: 'script', environment: 'e', scope: ['used/*'], intervalMs: hourMs, shrinkPercent: 50 }
    await sources.register(fixture.context, 'cluster', terms)
    let number = 0
    const report = async (digest: Digest): Promise<void> => {
      const snapshot = { sourceName: 'cluster', number: (number += 1), writer: 'w' }
      await sources.begin(fixture.context, snapshot)
      await sources.put(fixture.context, snapshot, [{ digest, workload: 'web', repositoryName: undefined, environment: undefined, until: undefined }])
      await sources.complete(fixture.context, snapshot, 1)
    }
    const running = images.index!.children[0]!.digest
    await report(running)
    fixture.clock.advance(2 * dayMs)
    await world.put(name, anyOlderThan(1))
    await world.sweep()
    const all = (await world.listed(name)).size
    expect(all).toBeGreaterThan(2)
    expect((await runsOf(name))[0]).toMatchObject({ status: 'held' })

    fixture.clock.advance(hourMs)
    await report(running)
    await world.sweep()
    // The index stays for its child; what nobody uses is gone.
    const left = [...(await world.listed(name)).keys()]
    expect(left).toHaveLength(all - 1)
    expect(left).toContain(images.index!.digest)
    expect(left).not.toContain(images.three!.digest)
    await sources.decommission(fixture.context, 'cluster', 'the test is over')
  })

  it('is a hold, until it is released', async () => {
    const { fixture } = world
    const protections = createProtections(fixture)
    const { name, images } = await world.newRepository('held')
    await world.push(name, images.one!, 'v1')
    const id = await protections.placeHold(fixture.context, 'an incident')
    fixture.clock.advance(2 * dayMs)
    await world.put(name, anyOlderThan(1))
    await world.sweep()
    expect((await world.listed(name)).size).toBe(1)

    await protections.releaseHold(fixture.context, id, 'over')
    fixture.clock.advance(hourMs)
    await world.sweep()
    expect((await world.listed(name)).size).toBe(0)
  })
})

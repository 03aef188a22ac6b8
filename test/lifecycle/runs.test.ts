import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseTag } from '../../src/values/index.ts'
import { databases } from '../support/registry.ts'
import { anyOlderThan, dayMs, newest, policyText, startLifecycle, taggedOlderThan, untaggedOlderThan, type LifecycleWorld } from './lifecycle-world.ts'

describe.each(databases)('lifecycle runs on %s', (kind) => {
  let world: LifecycleWorld
  beforeAll(async () => {
    world = await startLifecycle(kind)
  })
  afterAll(() => world.stop())

  const runsOf = async (name: Parameters<LifecycleWorld['listed']>[0]) =>
    (await world.runner.list(world.fixture.context, name, { limit: 10 })).items

  it('remove what the preview showed, which can be brought back', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!, 'v1')
    await world.push(name, images.one!, 'v2')
    await world.push(name, images.two!)
    world.fixture.clock.advance(31 * dayMs)
    await world.push(name, images.three!)

    const shown = await world.preview(name, policyText(untaggedOlderThan(30)))
    expect(shown).toMatchObject({ status: 'COMPLETE', summary: { expire: 1, transition: 0 }, results: [{ digest: images.two!.digest, rule: 1, action: 'expire' }] })
    expect((await world.listed(name)).size).toBe(3)

    await world.put(name, untaggedOlderThan(30))
    await world.sweep()

    expect([...(await world.listed(name)).keys()].sort()).toEqual([images.one!.digest, images.three!.digest].sort())
    const [run] = await runsOf(name)
    expect(run).toMatchObject({ status: 'done', summary: { images: 1, expired: 1, manifests: 1, failed: 0 } })
    await world.fixture.registry.restoreTrash(world.fixture.context, run!.trashBatch!)
    expect((await world.listed(name)).has(images.two!.digest)).toBe(true)
  })

  it('take an index with its children and referrers, and none of those by itself', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.index!, 'latest')
    await world.push(name, images['signature-of-index']!)
    world.fixture.clock.advance(2 * dayMs)
    await world.put(name, untaggedOlderThan(1))
    await world.sweep()
    expect((await world.listed(name)).size).toBe(4)

    await world.put(name, anyOlderThan(1))
    await world.sweep()

    expect((await world.listed(name)).size).toBe(0)
    expect((await runsOf(name))[0]).toMatchObject({ status: 'done', summary: { images: 1, expired: 1, manifests: 4 } })
  })

  it('happen again when time alone makes another image old enough, and not before', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!)
    world.fixture.clock.advance(5 * dayMs)
    await world.push(name, images.two!)
    await world.put(name, untaggedOlderThan(10))
    await world.sweep()
    expect((await world.listed(name)).size).toBe(2)

    world.fixture.clock.advance(5 * dayMs + 1)
    await world.sweep()
    expect([...(await world.listed(name)).keys()]).toEqual([images.two!.digest])

    world.fixture.clock.advance(5 * dayMs)
    await world.sweep()
    expect((await world.listed(name)).size).toBe(0)
  })

  it('come after pushes that make images too many', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!)
    await world.put(name, newest(1))
    await world.sweep()
    world.fixture.clock.advance(1000)
    await world.push(name, images.two!)
    await world.sweep()
    expect((await world.listed(name)).size).toBe(2)

    world.fixture.clock.advance(60 * 60 * 1000)
    await world.sweep()

    expect([...(await world.listed(name)).keys()]).toEqual([images.two!.digest])
  })

  it('spare an image that is protected, and name the reason', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!, 'prod')
    world.fixture.clock.advance(2 * dayMs)
    await world.fixture.tamper(
      `insert into protection (repository_id, kind, target, reason, owner, created_at, created_by)
       select id, 'tag', 'prod', 'it runs the shop', 'shop team', 1, 'arn' from repository where name = ?`,
      name,
    )
    await world.put(name, anyOlderThan(1))
    await world.sweep()

    expect((await world.listed(name)).size).toBe(1)
    const [run] = await runsOf(name)
    expect(run!.summary).toMatchObject({ expired: 0, failed: 1 })
    expect(run!.summary.lifecycleEventFailureDetails[0]).toMatchObject({ imageDigest: images.one!.digest, failureCode: 'ImageInUse' })
    expect(run!.summary.lifecycleEventFailureDetails[0]!.failureReason).toContain('shop team')
    expect((await world.explain(name, images.one!.digest)).text).toContain('It stays, whatever the rules say: ')
  })

  it('leave policies that are no longer there to rest', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!)
    world.fixture.clock.advance(2 * dayMs)
    await world.put(name, anyOlderThan(1))
    await world.policies.delete(world.fixture.context, name)
    await world.sweep()

    expect((await world.listed(name)).size).toBe(1)
    await expect(world.policies.get(world.fixture.context, name)).rejects.toMatchObject({ code: 'lifecycle-policy-unknown' })
    expect((await world.policies.versions(world.fixture.context, name, { before: 99, limit: 9 })).map(({ version, document }) => [version, document === null])).toEqual([
      [2, true],
      [1, false],
    ])
  })

  it('do nothing by a policy that is taken away while they are under way', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!)
    world.fixture.clock.advance(2 * dayMs)
    await world.put(name, anyOlderThan(1))
    world.meanwhile(name, () => world.policies.delete(world.fixture.context, name))
    await world.sweep()

    expect((await world.listed(name)).size).toBe(1)
    expect(await runsOf(name)).toMatchObject([{ status: 'cancelled', summary: { expired: 0 } }])
  })

  it('go by the policy that was put while they were under way', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!, 'dev-1')
    await world.push(name, images.two!, 'prod-1')
    world.fixture.clock.advance(2 * dayMs)
    await world.put(name, taggedOlderThan('prod-*', 1))
    world.meanwhile(name, () => world.policies.put(world.fixture.context, name, policyText(taggedOlderThan('dev-*', 1))))
    await world.sweep()

    expect([...(await world.listed(name)).keys()]).toEqual([images.two!.digest])
    expect((await runsOf(name)).map(({ status }) => status).sort()).toEqual(['cancelled', 'done'])
  })

  it('are listed page by page, those that began at one moment too', async () => {
    const { name } = await world.newRepository()
    const ids = Array.from({ length: 5 }, (_, index) => `00000000-0000-4000-8000-00000000000${index}`)
    for (const id of ids) {
      await world.fixture.tamper(
        `insert into lifecycle_run (id, repository_id, cause, policies, status, summary, started_at, started_by, finished_at)
         select '${id}', id, 'schedule', '[]', 'done', '{}', 7, 'arn', 8 from repository where name = ?`,
        name,
      )
    }
    const found: string[] = []
    let after: string | undefined
    do {
      const { items, next } = await world.runner.list(world.fixture.context, name, { limit: 2, after })
      found.push(...items.map(({ id }) => id))
      after = next
    } while (after !== undefined)
    expect(found).toEqual(ids.toReversed())
  })

  it('explain an image before and after', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!, 'dev-1')
    await world.put(name, taggedOlderThan('dev-*', 1))
    expect(await world.explain(name, images.one!.digest)).toMatchObject({ state: 'kept', verdicts: [{ outcome: 'waits', rule: 1 }] })
    world.fixture.clock.advance(2 * dayMs)
    expect(await world.explain(name, images.one!.digest)).toMatchObject({ state: 'expires', text: expect.stringContaining('Rule 1') as string })
    await world.sweep()

    const explanation = await world.explain(name, images.one!.digest)
    const rule = `rule 1 of the policy of the repository '${name}'`
    expect(explanation).toMatchObject({ state: 'trashed', trash: { batch: (await runsOf(name))[0]!.id, rule } })
    expect(explanation.text).toContain(` by ${rule}, and can be brought back`)
    expect(explanation.text).toContain(`: stowage trash restore ${name}@${images.one!.digest}`)

    const { registry, context } = world.fixture
    const { images: trashed } = await registry.describeTrash(context, name, explanation.trash!.batch, { limit: 10 })
    expect(trashed.items).toMatchObject([{ digest: images.one!.digest, rule }])
    expect((await registry.describeImageState(context, name, { tag: parseTag('dev-1') })).trash).toMatchObject({ rule })
    // By hand no rule is named, whatever deleted it before.
    await registry.restoreTrash(context, explanation.trash!.batch)
    await registry.deleteImages(context, name, [{ digest: images.one!.digest }])
    expect((await world.explain(name, images.one!.digest)).trash?.rule).toBeUndefined()
  })
})

describe.each(databases)('runs that wait for somebody, on %s', (kind) => {
  let world: LifecycleWorld
  beforeAll(async () => {
    world = await startLifecycle(kind, { confirmation: true })
  })
  afterAll(() => world.stop())

  const lastRun = async (name: Parameters<LifecycleWorld['listed']>[0]) =>
    (await world.runner.list(world.fixture.context, name, { limit: 1 })).items[0]!

  /** It would remove the two images that there are. */
  const runThatWaits = async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!)
    await world.push(name, images.two!)
    world.fixture.clock.advance(2 * dayMs)
    await world.put(name, anyOlderThan(1))
    await world.sweep()
    const run = await lastRun(name)
    return { name, run }
  }

  it('do so when everything would go, and go on when they are confirmed', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!)
    await world.push(name, images.two!)
    world.fixture.clock.advance(2 * dayMs)
    await world.put(name, anyOlderThan(1))
    await world.sweep()
    world.fixture.clock.advance(dayMs)
    await world.sweep()
    expect((await world.listed(name)).size).toBe(2)
    const run = await lastRun(name)
    expect(run).toMatchObject({ status: 'unconfirmed', concern: 'it would remove all 2 images of the repository', summary: { images: 2 } })

    await world.runner.settle(world.fixture.context, run.id, 'confirmed')
    await world.sweep()

    expect((await world.listed(name)).size).toBe(0)
    expect(await lastRun(name)).toMatchObject({ id: run.id, status: 'done', summary: { expired: 2 } })
    await expect(world.runner.settle(world.fixture.context, run.id, 'cancelled')).rejects.toMatchObject({ code: 'run-settled' })
  })

  it('go on with the next evaluation when they are confirmed during one that only counts', async () => {
    const { name, run } = await runThatWaits()
    let listedMeanwhile = 0
    world.meanwhile(name, async () => {
      world.fixture.clock.advance(1000)
      await world.runner.settle(world.fixture.context, run.id, 'confirmed')
      listedMeanwhile = (await world.listed(name)).size
    })
    world.fixture.clock.advance(dayMs)
    await world.sweep()
    await world.sweep()

    expect(listedMeanwhile).toBe(2)
    expect((await world.listed(name)).size).toBe(0)
    expect(await lastRun(name)).toMatchObject({ id: run.id, status: 'done', summary: { expired: 2 } })
  })

  it('count indexes as one image each, whatever they list', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.index!, 'latest')
    await world.push(name, images.three!, 'v3')
    world.fixture.clock.advance(2 * dayMs)
    await world.put(name, anyOlderThan(1))
    await world.sweep()

    expect(await lastRun(name)).toMatchObject({ status: 'unconfirmed', concern: 'it would remove all 2 images of the repository' })
  })

  it('do so when a changed policy reaches what the one before left alone, and not for what that took too', async () => {
    const { name, images } = await world.newRepository()
    for (const [image, tag] of [['one', 'dev-1'], ['two', 'prod-1'], ['three', 'keep']] as const) await world.push(name, images[image]!, tag)
    await world.put(name, taggedOlderThan('dev-*', 30))
    await world.sweep()
    world.fixture.clock.advance(31 * dayMs)
    await world.put(name, taggedOlderThan('prod-*', 30), taggedOlderThan('dev-*', 30))
    await world.sweep()
    const run = await lastRun(name)
    expect(run).toMatchObject({ status: 'unconfirmed', concern: 'the policy was changed, and would remove 1 image that the one before had left alone' })

    await world.runner.settle(world.fixture.context, run.id, 'cancelled')
    await world.policies.put(world.fixture.context, name, policyText(taggedOlderThan('dev-*', 20)))
    world.fixture.clock.advance(dayMs)
    await world.sweep()

    expect([...(await world.listed(name)).keys()].sort()).toEqual([images.two!.digest, images.three!.digest].sort())
  })

  it('wait as long as the registry is on hold', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!, 'dev-1')
    await world.push(name, images.two!, 'keep')
    world.fixture.clock.advance(2 * dayMs)
    await world.put(name, taggedOlderThan('dev-*', 1))
    await world.fixture.tamper(`insert into registry_hold (registry_id, cause, reason, raised_at, raised_by) select registry_id, 'operator', 'moving house', 1, 'arn' from repository where name = ?`, name)
    await world.sweep()
    expect(await lastRun(name)).toMatchObject({ status: 'held', concern: expect.stringContaining('moving house') as string })

    await world.fixture.tamper('update registry_hold set released_at = 2')
    world.fixture.clock.advance(60 * 60 * 1000)
    await world.sweep()

    expect([...(await world.listed(name)).keys()]).toEqual([images.two!.digest])
  })

  it('are ended by somebody who has confirmed them, before they begin', async () => {
    const { name, run } = await runThatWaits()
    await world.runner.settle(world.fixture.context, run.id, 'confirmed')
    await world.runner.settle(world.fixture.context, run.id, 'cancelled')
    await world.sweep()

    expect((await world.listed(name)).size).toBe(2)
    expect(await lastRun(name)).toMatchObject({ id: run.id, status: 'cancelled', decidedBy: expect.any(String) as string })
  })

  it('do nothing more when somebody ends them while they are under way, and not again for a day', async () => {
    const { name, images } = await world.newRepository()
    for (const image of ['one', 'two', 'three']) await world.push(name, images[image]!, `dev-${image}`)
    world.fixture.clock.advance(2 * dayMs)
    await world.put(name, anyOlderThan(1))
    await world.sweep()
    const run = await lastRun(name)
    expect(run).toMatchObject({ status: 'unconfirmed' })
    world.meanwhile(name, () => world.runner.settle(world.fixture.context, run.id, 'cancelled'))
    await world.runner.settle(world.fixture.context, run.id, 'confirmed')
    await world.sweep()
    world.fixture.clock.advance(60 * 60 * 1000)
    await world.sweep()
    world.fixture.clock.advance(2 * 60 * 60 * 1000)
    await world.sweep()

    expect((await world.listed(name)).size).toBe(3)
    expect(await lastRun(name)).toMatchObject({ id: run.id, status: 'cancelled' })
    world.fixture.clock.advance(dayMs)
    await world.sweep()
    expect(await lastRun(name)).not.toMatchObject({ id: run.id })
  })

  it('that were stopped in the middle and then held keep what they have done, and its batch', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!, 'dev-1')
    await world.push(name, images.two!, 'keep')
    world.fixture.clock.advance(2 * dayMs)
    await world.put(name, taggedOlderThan('dev-*', 1))
    const hold = `insert into registry_hold (registry_id, cause, reason, raised_at, raised_by) select registry_id, 'operator', 'moving house', 1, 'arn' from repository where name = ?`
    await world.fixture.tamper(hold, name)
    await world.sweep()
    const { id } = await lastRun(name)
    const done = { images: 3, expired: 2, manifests: 4, changed: 0, failed: 1, lifecycleEventFailureDetails: [] }
    await world.fixture.tamper(`update lifecycle_run set status = 'applying', trash_batch = id, summary = '${JSON.stringify(done)}' where id = ?`, id)
    world.fixture.clock.advance(60 * 60 * 1000)
    await world.sweep()
    expect(await lastRun(name)).toMatchObject({ id, status: 'held', trashBatch: id, summary: done })

    await world.fixture.tamper('update registry_hold set released_at = 2')
    world.fixture.clock.advance(60 * 60 * 1000)
    await world.sweep()

    expect(await lastRun(name)).toMatchObject({ id, status: 'done', trashBatch: id, summary: { images: 4, expired: 3, manifests: 5, failed: 1 } })
  })

  it('are dropped when the images are tagged meanwhile', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!)
    await world.push(name, images.two!)
    world.fixture.clock.advance(2 * dayMs)
    await world.put(name, untaggedOlderThan(1))
    await world.sweep()
    const waiting = await lastRun(name)
    expect(waiting.status).toBe('unconfirmed')
    await world.push(name, images.one!, 'v1')
    await world.push(name, images.two!, 'v2')
    world.fixture.clock.advance(dayMs)
    await world.sweep()

    expect(await lastRun(name)).toMatchObject({ id: waiting.id, status: 'cancelled' })
    expect((await world.fixture.registry.listTags(world.fixture.context, name, { limit: 9 })).items).toEqual([parseTag('v1'), parseTag('v2')])
  })
})

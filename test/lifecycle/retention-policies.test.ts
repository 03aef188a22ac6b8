import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { claimLifecycle, finishLifecycle, keepLifecycle, planLifecycle, releaseLifecycle } from '../../src/lifecycle/commands/runs.ts'
import { commandContext } from '../../src/registry/index.ts'
import { dueRepositories, findLifecycleState } from '../../src/storage/metadata/stores/lifecycle-policy-store.ts'
import type { RetentionPlace } from '../../src/lifecycle/index.ts'
import { databases } from '../support/registry.ts'
import { anyOlderThan, dayMs, policyText, startLifecycle, type LifecycleWorld } from './lifecycle-world.ts'

const hourMs = 60 * 60 * 1000

/** A retention policy of these rules, named by their places. */
const policyOf = (...rules: object[]): string => JSON.stringify({ rules: rules.map((rule, index) => ({ name: `rule-${index + 1}`, ...rule })) })
const deleteOld = { action: 'delete', olderThan: '1d' }
const under = (prefix: string): RetentionPlace => ({ scope: 'prefix', prefix })
const everywhere: RetentionPlace = { scope: 'registry' }

describe.each(databases)('retention policies on %s', (kind) => {
  let world: LifecycleWorld
  beforeAll(async () => {
    world = await startLifecycle(kind)
  })
  afterAll(() => world.stop())

  type Name = Parameters<LifecycleWorld['listed']>[0]
  const put = (place: RetentionPlace, ...rules: object[]) => world.retention.put(world.fixture.context, place, policyOf(...rules))
  const drop = (place: RetentionPlace) => world.retention.delete(world.fixture.context, place)
  const countOf = async (name: Name): Promise<number> => (await world.listed(name)).size
  /** Lets the time pass until a change is acted by. */
  const settle = async (): Promise<void> => {
    world.fixture.clock.advance(hourMs)
    await world.sweep()
  }

  it('of a prefix are acted by in each repository under it, made before or after, and in no other', async () => {
    const before = await world.newRepository('team')
    const deeper = await world.newRepository('team/web')
    const beside = await world.newRepository('teams')
    for (const { name, images } of [before, deeper, beside]) await world.push(name, images.one!)
    world.fixture.clock.advance(2 * dayMs)
    await put(under('team'), deleteOld)
    await settle()
    expect([await countOf(before.name), await countOf(deeper.name), await countOf(beside.name)]).toEqual([0, 0, 1])

    const after = await world.newRepository('team')
    await world.push(after.name, after.images.one!)
    await settle()
    expect(await countOf(after.name)).toBe(1)
    world.fixture.clock.advance(dayMs)
    await world.sweep()
    expect(await countOf(after.name)).toBe(0)

    await drop(under('team'))
    const last = await world.newRepository('team')
    await world.push(last.name, last.images.one!)
    world.fixture.clock.advance(2 * dayMs)
    await world.sweep()
    expect(await countOf(last.name)).toBe(1)
  })

  it('that keep hold against the policy of a repository in the grammar of ECR, until they are taken away', async () => {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!, 'release-1')
    await world.push(name, images.two!, 'dev-1')
    world.fixture.clock.advance(2 * dayMs)
    await put(everywhere, { action: 'keep', tags: ['release-*'] })
    expect(await world.preview(name, policyText(anyOlderThan(1)))).toMatchObject({ summary: { expire: 1 }, results: [{ digest: images.two!.digest }] })
    await world.put(name, anyOlderThan(1))
    await world.sweep()
    expect([...(await world.listed(name)).keys()]).toEqual([images.one!.digest])
    expect(await world.preview(name)).toMatchObject({ summary: { expire: 0 }, results: [] })
    const explanation = await world.explain(name, images.one!.digest)
    expect(explanation.state).toBe('kept')
    expect(explanation.verdicts.map(({ outcome, policyFrom }) => `${outcome}: ${policyFrom}`).sort()).toEqual(['keeps: the registry', `overruled: the repository '${name}'`])

    await drop(everywhere)
    world.fixture.clock.advance(5000)
    await settle()
    expect(await countOf(name)).toBe(0)
  })

  it('keep their versions, with who made them', async () => {
    const { name } = await world.newRepository()
    const place = { scope: 'repository', name } as const
    await put(place, deleteOld)
    await put(place, deleteOld)
    const saved = await put(place, { action: 'delete', olderThan: '2d' })
    expect(saved).toMatchObject({ place, version: 2, updatedBy: world.fixture.context.actor.arn })
    expect(await drop(place)).toMatchObject({ version: 2 })

    const { items } = await world.retention.versions(world.fixture.context, place, { grammar: 'retention', limit: 2 })
    expect(items).toMatchObject([{ version: 3, document: null }, { version: 2, document: policyOf({ action: 'delete', olderThan: '2d' }) }])
    const second = await world.retention.versions(world.fixture.context, place, { grammar: 'retention', limit: 2, after: '2' })
    expect(second).toMatchObject({ items: [{ version: 1, changedBy: world.fixture.context.actor.arn }], next: undefined })
    await expect(world.retention.get(world.fixture.context, place)).rejects.toMatchObject({ code: 'lifecycle-policy-unknown' })
    await expect(world.retention.versions(world.fixture.context, place, { grammar: 'ecr', limit: 2 })).rejects.toMatchObject({ code: 'lifecycle-policy-unknown' })
  })

  it('are listed page by page without those of deleted repositories', async () => {
    const { name } = await world.newRepository('listed')
    const gone = await world.newRepository('listed')
    await put({ scope: 'repository', name }, deleteOld)
    await put({ scope: 'repository', name: gone.name }, deleteOld)
    await put(under('listed'), { action: 'keep', newest: 3 })
    await world.fixture.registry.deleteRepository(world.fixture.context, gone.name, { force: true })

    const found: RetentionPlace[] = []
    for (let after: string | undefined; ; ) {
      const { items, next } = await world.retention.list(world.fixture.context, { limit: 1, after })
      found.push(...items.map(({ place }) => place))
      if (next === undefined) break
      after = next
    }
    expect(found).toEqual([{ scope: 'repository', name }, under('listed')])
  })

  /** An evaluation, of a repository of its own, that is under way until the test ends it. */
  async function claimed() {
    const { name } = await world.newRepository()
    await world.put(name, anyOlderThan(90))
    await world.sweep()
    const { database, clock, context } = world.fixture
    const [repositoryId] = (await dueRepositories(database.reader, { now: Number.MAX_SAFE_INTEGER, quietSince: 0, after: 0, limit: 10_000 })).slice(-1)
    const evaluation = { repositoryId: repositoryId!, owner: 'this test' }
    const evaluatedAt = clock.now()
    const state = () => findLifecycleState(database.reader, repositoryId!)
    const { dueAt: plannedAt } = (await state())!
    expect(await database.execute(claimLifecycle, { ...evaluation, until: evaluatedAt + hourMs }, commandContext(context))).toBe(true)
    const seen = { evaluatedAt, evaluatedSeq: 0, policiesSeen: '[]', plannedAt, dueAt: Number.MAX_SAFE_INTEGER }
    const finish = () => database.execute(finishLifecycle, { ...evaluation, ...seen }, commandContext(context))
    return { name, repositoryId: repositoryId!, plannedAt, evaluatedAt, finish, state }
  }

  it('are not forgotten when they are put while an evaluation is under way', async () => {
    const { name, evaluatedAt, finish, state } = await claimed()
    await put({ scope: 'repository', name }, deleteOld)
    await finish()
    expect(await state()).toMatchObject({ evaluatedAt, dueAt: evaluatedAt + hourMs })
  })

  it('are evaluated again where somebody asked for it meanwhile, whatever the clocks of two servers say', async () => {
    const plan = (repositoryId: number, nowMs: number) => world.fixture.database.execute(planLifecycle, { repositoryId }, { ...commandContext(world.fixture.context), nowMs })
    for (const behindMs of [0, hourMs]) {
      const { repositoryId, evaluatedAt, finish, state } = await claimed()
      await plan(repositoryId, evaluatedAt - behindMs)
      await finish()
      expect(await state()).toMatchObject({ dueAt: evaluatedAt - behindMs })
    }
    const again = await claimed()
    await plan(again.repositoryId, again.plannedAt)
    await again.finish()
    expect(await again.state()).toMatchObject({ dueAt: again.plannedAt - 1 })
    const notAsked = await claimed()
    await notAsked.finish()
    expect(await notAsked.state()).toMatchObject({ dueAt: Number.MAX_SAFE_INTEGER })
  })

  it('are evaluated by nobody once the lease is given back, however late its renewal comes', async () => {
    const { name } = await world.newRepository()
    await world.put(name, anyOlderThan(90))
    const { database, clock, context } = world.fixture
    const [repositoryId] = (await dueRepositories(database.reader, { now: Number.MAX_SAFE_INTEGER, quietSince: 0, after: 0, limit: 10_000 })).slice(-1)
    const lease = { repositoryId: repositoryId!, owner: 'this test', until: clock.now() + hourMs }
    const execute = database.execute.bind(database)
    expect(await execute(claimLifecycle, lease, commandContext(context))).toBe(true)
    expect(await execute(keepLifecycle, lease, commandContext(context))).toBe(true)

    await execute(releaseLifecycle, { ...lease, dueAt: clock.now() }, commandContext(context))

    expect(await execute(keepLifecycle, lease, commandContext(context))).toBe(false)
    expect(await execute(claimLifecycle, { ...lease, owner: 'another' }, commandContext(context))).toBe(true)
    await execute(releaseLifecycle, { ...lease, owner: 'another', dueAt: clock.now() }, commandContext(context))
  })

  it.each([
    ['no JSON', 'rules: []'],
    ['no rule', '{"rules":[]}'],
    ['an unknown action', policyOf({ action: 'expire', olderThan: '1d' })],
    ['a rule that removes all', policyOf({ action: 'delete' })],
  ])('are refused, and nothing is changed, where they have %s', async (_, text) => {
    const { name } = await world.newRepository()
    const place = { scope: 'repository', name } as const
    await expect(world.retention.put(world.fixture.context, place, text)).rejects.toMatchObject({ code: 'policy-invalid' })
    await expect(world.retention.get(world.fixture.context, place)).rejects.toMatchObject({ code: 'lifecycle-policy-unknown' })
  })

  it('reach many repositories, a few hundred at a time', async () => {
    await world.fixture.tamper(
      `insert into repository (registry_id, domain_id, name, created_at, created_by, tag_mutability, mutability_filters, scan_on_push, encryption_type, event_seq)
       with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < 501)
       select (select min(id) from registry), 1, 'many/' || n, 1, 'arn', 'MUTABLE', '[]', 0, 'AES256', 0 from numbers`,
    )
    await put(under('many'), { action: 'keep', newest: 1 })
    world.fixture.clock.advance(5000)
    await world.sweep()
    const due = await dueRepositories(world.fixture.database.reader, { now: world.fixture.clock.now() + hourMs, quietSince: 0, after: 0, limit: 10_000 })
    expect(due.length).toBeGreaterThanOrEqual(501)
  })
})

describe.each(databases)('changed retention policies on %s', (kind) => {
  let world: LifecycleWorld
  beforeAll(async () => {
    world = await startLifecycle(kind, { confirmation: true })
  })
  afterAll(() => world.stop())

  it('wait for somebody where a rule that kept is gone, and not where one is new', async () => {
    const { context, clock } = world.fixture
    const { name, images } = await world.newRepository()
    for (const [image, tag] of [['one', 'dev-1'], ['two', 'release-1'], ['three', 'other']] as const) await world.push(name, images[image]!, tag)
    await world.retention.put(context, everywhere, policyOf({ action: 'keep', tags: ['release-*'] }))
    clock.advance(5000)
    await world.sweep()
    clock.advance(2 * dayMs)
    await world.sweep()
    // New: acted by without asking.
    await world.retention.put(context, { scope: 'repository', name }, policyOf({ action: 'delete', olderThan: '1d', tags: ['dev-*', 'release-*'] }))
    clock.advance(hourMs)
    await world.sweep()
    expect((await world.listed(name)).size).toBe(2)

    await world.retention.delete(context, everywhere)
    clock.advance(hourMs + 5000)
    await world.sweep()
    clock.advance(hourMs)
    await world.sweep()
    expect((await world.listed(name)).size).toBe(2)
    const [run] = (await world.runner.list(context, name, { limit: 1 })).items
    expect(run).toMatchObject({ status: 'unconfirmed', concern: 'the policy was changed, and would remove 1 image that the one before had left alone' })
  })
})

import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pauseCollection, resumeCollection } from '../../src/gc/commands/pause.ts'
import { CollectionControl, Collector } from '../../src/gc/index.ts'
import { findPause } from '../../src/gc/pause.ts'
import { findRate } from '../../src/gc/rate.ts'
import { raiseClockHold } from '../../src/registry/commands/holds.ts'
import { createProtections } from '../../src/registry/protection/protections.ts'
import { commandContext } from '../../src/registry/index.ts'
import { parseRepositoryName } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs

describe.each(databases)('collection on %s, paused', (kind) => {
  let fixture: RegistryFixture
  const problems: unknown[] = []

  const newCollector = (): Collector => {
    const { database, blobStore, clock, context } = fixture
    return new Collector({
      database,
      blobStore,
      systemContext: () => commandContext(context),
      clock,
      logger: { info: () => undefined, error: (problem: unknown) => problems.push(problem) },
      reviewsPerSecond: async () => (await findRate(database.reader))?.reviewsPerSecond,
      mayGoOn: async () => (await findPause(database.reader, clock.now())) === undefined,
      owner: randomUUID(),
    })
  }

  beforeAll(async () => {
    fixture = await startRegistry(kind)
  })
  afterAll(async () => {
    await fixture.stop()
    expect(problems).toEqual([])
  })

  async function storedCount(): Promise<number> {
    let count = 0
    for await (const _ of fixture.blobStore.list()) count += 1
    return count
  }

  const pause = (reason: string, endsAt?: number) => fixture.database.execute(pauseCollection, { reason, endsAt }, commandContext(fixture.context))
  const resume = () => fixture.database.execute(resumeCollection, {}, commandContext(fixture.context))

  /** A layer that nothing uses, with all that collection waits for over. */
  async function leaveGarbage(seed: string): Promise<void> {
    const name = parseRepositoryName(`paused/${seed}`)
    await fixture.registry.createRepository(fixture.context, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
    await fixture.upload(name, Buffer.from(seed))
  }

  async function daysPass(collector: Collector, days: number): Promise<void> {
    for (let day = 0; day < days; day += 1) {
      fixture.clock.advance(dayMs)
      await collector.collect()
    }
  }

  it('takes nothing until it is resumed, by no server', async () => {
    const collector = newCollector()
    await leaveGarbage('one')
    expect(await pause('an incident')).toMatchObject({ reason: 'an incident' })

    await daysPass(collector, 3)
    await daysPass(newCollector(), 1)
    expect(await storedCount()).toBe(1)

    expect(await resume()).toMatchObject({ reason: 'an incident' })
    expect(await resume()).toBeUndefined()
    await daysPass(collector, 2)
    expect(await storedCount()).toBe(0)
    expect(collector.counters).toMatchObject({ blobs: 1, bytes: 3, failures: 0 })
    expect(collector.counters.seconds).toBeGreaterThan(0)
  })

  it('goes on by itself when the pause ends', async () => {
    const collector = newCollector()
    await leaveGarbage('two')
    await pause('maintenance of the disk', fixture.clock.now() + 4.5 * dayMs)
    await daysPass(collector, 4)
    expect(await storedCount()).toBe(1)

    await daysPass(collector, 3)
    expect(await storedCount()).toBe(0)
  })

  it('does as many reviews in a second as somebody wants', async () => {
    const { database, clock, context, blobStore } = fixture
    const collector = newCollector()
    const control = new CollectionControl({ database, collector, blobStore, clock, systemContext: () => commandContext(context), intervalMs: 1000 })
    expect(await control.setRate(context, 10)).toMatchObject({ reviewsPerSecond: 10, setBy: context.actor.arn })
    expect((await control.status()).rate).toMatchObject({ reviewsPerSecond: 10 })
    for (let n = 0; n < 12; n += 1) await leaveGarbage(`paced${n}`)
    clock.advance(dayMs)

    const startedAtMs = performance.now()
    await collector.collect()
    expect(performance.now() - startedAtMs).toBeGreaterThan(1150)

    expect(await control.setRate(context, undefined)).toBeUndefined()
    expect((await control.status()).rate).toBeUndefined()
    await daysPass(collector, 2)
    expect(await storedCount()).toBe(0)
  })

  it('tells what waits, what is overdue, and what was given back', async () => {
    const { database, clock, context, blobStore } = fixture
    const collector = newCollector()
    const control = new CollectionControl({ database, collector, blobStore, clock, systemContext: () => commandContext(context), intervalMs: 1000 })
    const queueOf = async (wanted: string) => (await control.status()).queues.find((queue) => queue.kind === wanted)!
    await leaveGarbage('three')
    expect(await queueOf('repository-blob')).toMatchObject({ waiting: 1, due: 0, overdue: 0, nextDueAt: clock.now() + dayMs })

    clock.advance(dayMs + hourMs / 2)
    expect(await queueOf('repository-blob')).toMatchObject({ waiting: 0, due: 1, overdue: 0, leased: 0 })
    clock.advance(hourMs)
    expect(await queueOf('repository-blob')).toMatchObject({ due: 1, overdue: 1, nextDueAt: clock.now() - 1.5 * hourMs })
    expect(await control.gauges()).toMatchObject({ isPaused: false })
    // However often metrics are scraped.
    const { statements } = database.counters
    await control.gauges()
    expect(database.counters.statements).toBe(statements)

    await control.pause(context, { reason: 'to look at it', endsAt: undefined })
    expect((await control.run(1000, AbortSignal.timeout(10_000))).status).toMatchObject({ state: 'paused', pause: { reason: 'to look at it' } })
    expect(await queueOf('repository-blob')).toMatchObject({ due: 1 })
    expect(await control.gauges()).toMatchObject({ isPaused: true })
    await control.resume(context)
    expect(await control.run(60_000, AbortSignal.timeout(60_000))).toMatchObject({ isDone: true, status: { state: 'idle' } })
    await daysPass(collector, 1)

    expect(await control.status()).toMatchObject({
      queues: [{ due: 0 }, { due: 0 }, { waiting: 0, due: 0 }, { waiting: 0, due: 0 }, { waiting: 0, due: 0 }],
      reclaimed: { sinceStart: { blobs: 1, bytes: 5 }, lastDay: { blobs: 1, bytes: 5 } },
    })
  })

  it('says which holds keep the bytes of all', async () => {
    const { database, clock, context, blobStore } = fixture
    const control = new CollectionControl({ database, collector: newCollector(), blobStore, clock, systemContext: () => commandContext(context), intervalMs: 0 })
    expect(await control.status()).toMatchObject({ state: 'off', holds: [] })

    await database.execute(raiseClockHold, { jumpMs: hourMs }, commandContext(context))

    const { state, holds } = await control.status()
    expect(state).toBe('on-hold')
    expect(holds).toMatchObject([{ cause: 'clock' }])
    await createProtections({ database }).releaseHold(context, holds[0]!.id, 'over')
  })

  it('tells in the audit who paused and resumed it', async () => {
    const { reader } = fixture.database
    await pause('for the record')
    await resume()
    const rows = await reader.query(
      reader.builder.selectFrom('audit_record').select(['action', 'actor', 'detail']).where('action', 'like', '%GarbageCollection').orderBy('id', 'desc').limit(2),
    )
    expect(rows.map(({ action }) => action)).toEqual(['ResumeGarbageCollection', 'PauseGarbageCollection'])
    expect(rows[1]).toMatchObject({ actor: commandContext(fixture.context).actorArn, detail: expect.stringContaining('for the record') })
  })
})

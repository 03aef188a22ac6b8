import { afterEach, describe, expect, it } from 'vitest'
import { commandContext } from '../../src/registry/index.ts'
import { GuardWatch } from '../../src/registry/protection/guard-watch.ts'
import { registryHolds } from '../../src/registry/protection/index.ts'
import { createUsageSources } from '../../src/registry/usage/usage-sources.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const minuteMs = 60_000

describe.each(databases)('the watch over clocks and sources on %s', (kind) => {
  let fixture: RegistryFixture
  const watches: GuardWatch[] = []
  afterEach(async () => {
    for (const watch of watches.splice(0)) await watch.stop()
    await fixture.stop()
  })

  /** A server's watch, whose machine has run for as long as `uptime` says. */
  function newWatch(uptime: { ms: number }, notices: unknown[]): GuardWatch {
    const watch = new GuardWatch({
      database: fixture.database,
      readClocks: () => ({ wallMs: fixture.clock.now(), uptimeMs: uptime.ms, bootId: 'boot' }),
      systemContext: () => commandContext(fixture.context),
      onHold: (notice) => notices.push(notice),
      onError(error) {
        throw error
      },
    })
    watches.push(watch)
    return watch
  }
  const causes = async (): Promise<string[]> => (await registryHolds(fixture.database.reader, fixture.context.registry.id)).map(({ cause }) => cause)

  it('puts registries on hold when the clock is set while it runs, and not while time goes by', async () => {
    fixture = await startRegistry(kind)
    const [uptime, notices] = [{ ms: 1000 }, [] as unknown[]]
    const watch = newWatch(uptime, notices)
    expect(await watch.start('this')).toEqual(new Map())
    for (let hour = 0; hour < 3; hour += 1) {
      fixture.clock.advance(60 * minuteMs)
      uptime.ms += 60 * minuteMs
      await watch.look()
    }
    expect(await causes()).toEqual([])
    fixture.clock.advance(-10 * minuteMs)
    uptime.ms += 5000
    await watch.look()
    expect(await causes()).toEqual(['clock'])
    expect(watch.openHolds).toEqual(new Map([['clock', 1]]))
    fixture.clock.advance(10 * minuteMs)
    await watch.look()
    expect(notices).toEqual([{ cause: 'clock', registries: 1 }])
  })

  it('knows at the next start what the clocks said last', async () => {
    fixture = await startRegistry(kind)
    const [uptime, notices] = [{ ms: 1000 }, [] as unknown[]]
    const first = newWatch(uptime, notices)
    await first.start('this')
    fixture.clock.advance(90 * minuteMs)
    uptime.ms += 90 * minuteMs
    await first.look()
    await first.stop()
    // Set ahead by a day while nothing ran.
    fixture.clock.advance(24 * 60 * minuteMs)
    await newWatch(uptime, notices).start('this')
    expect(await causes()).toEqual(['clock'])
  })

  it('says once that a source has fallen silent', async () => {
    fixture = await startRegistry(kind)
    const [uptime, notices] = [{ ms: 1000 }, [] as unknown[]]
    const sources = createUsageSources(fixture)
    const principalArn = fixture.context.actor.arn
    await sources.register(fixture.context, 'cron', { principalArn, kind: 'script', environment: 'e', scope: ['*'], intervalMs: minuteMs, shrinkPercent: 50 })
    await sources.begin(fixture.context, { sourceName: 'cron', number: 1, writer: 'w' })
    await sources.complete(fixture.context, { sourceName: 'cron', number: 1, writer: 'w' }, 0)
    const watches = [newWatch(uptime, notices), newWatch(uptime, notices)]
    for (const watch of watches) await watch.start('this')
    for (let minute = 0; minute < 4; minute += 1) {
      fixture.clock.advance(minuteMs)
      uptime.ms += minuteMs
      await Promise.all(watches.map((watch) => watch.look()))
    }
    expect(notices).toEqual([{ cause: 'source', sources: ['cron'] }])
    expect(await causes()).toEqual(['source'])
  })
})

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Kept } from '../support/fault-disk/crash-model.ts'
import type { DiskEvent } from '../support/fault-disk/recording.ts'
import { checkCrashes, type CrashCheck, type CrashReport } from './crash-check.ts'
import { createBench, dataFolder, type Bench } from './recorded-server.ts'
import { continueScenario, newStory, runOnePush, runScenario, type Story } from './scenario.ts'

/*
 * A real server, recorded call by call, and then every crash it could have had: at each moment of the recording, whatever
 * the kernel may have kept of what was not flushed.
 */

/** `make crash` asks for some: without it, each moment has all kept, nothing kept, and one of the other ways by turns. */
const randomStatesPerMoment = Number(process.env['CRASH_STATES'] ?? 0)

/** Half a minute of work on an idle machine, which this one may not be. */
const timeout = 900_000 * Math.max(1, randomStatesPerMoment)

function allKept(moment: number): Kept[] {
  const random = Array.from({ length: Math.max(1, randomStatesPerMoment) }, (_, n): Kept => ({ seed: `${moment} ${n}` }))
  const others: Kept[] = ['names', 'data', ...random]
  return ['everything', 'nothing', ...(randomStatesPerMoment > 0 ? others : [others[moment % others.length]!])]
}

function crash(bench: Bench, options: Pick<CrashCheck, 'events' | 'stories'> & Partial<CrashCheck>): Promise<CrashReport> {
  return checkCrashes({ kept: allKept, scratchDir: bench.makeFolder('states'), dataDir: dataFolder, ...options })
}

describe('a server that crashes', () => {
  let bench: Bench
  let events: readonly DiskEvent[]
  const [alice, bob, carol] = ['alice', 'bob', 'carol'].map(newStory) as [Story, Story, Story]
  const stories = [alice, bob, carol]

  // Its first start, every kind of write, kill -9, a second start on what that left, and a clean stop.
  beforeAll(async () => {
    bench = await createBench('power-loss')
    const first = await bench.start()
    await Promise.all([runScenario(first, alice), runScenario(first, bob)])
    await bench.kill(first)
    const second = await bench.start()
    await Promise.all([continueScenario(second, alice), runScenario(second, carol)])
    expect(await second.stop()).toMatchObject({ exitCode: 0 })
    events = bench.recording()
  })
  afterAll(() => {
    bench.remove()
  })

  it('keeps what it answered, and nothing by halves, whenever it dies and whatever the disk kept', { timeout }, async () => {
    const report = await crash(bench, { events, stories })

    console.log(`${report.moments} moments, ${report.states} states, ${report.distinctStates} of them different`)
    expect(report.broken.slice(0, 10)).toEqual([])
    expect(report.distinctStates).toBeGreaterThan(500)
  })

  describe('is found out', () => {
    const isFlush = (event: DiskEvent, path: RegExp): boolean => event.operation === 'fsync' && path.test(event.path)
    const without = (path: RegExp): DiskEvent[] => events.filter((event) => !isFlush(event, path))

    it.each([
      { what: 'the bytes of blobs', path: /^data\/uploads\//, symptom: /has other bytes/ },
      { what: 'the names of blobs', path: /^data\/blobs\/default\/sha256\/../, symptom: /has no file with its bytes/ },
      { what: 'the folders of blobs', path: /^data\/blobs(\/default(\/sha256)?)?$/, symptom: /has no file with its bytes/ },
      { what: 'the log of the database', path: /^data\/stowage\.db-wal$/, symptom: /lost \["/ },
      { what: 'the database, before its log is emptied', path: /^data\/stowage\.db$/, symptom: /integrity_check|lost \["|cannot be opened/ },
      { what: 'the names in the data folder', path: /^data$/, symptom: /lost \["/ },
      { what: 'the data folder itself', path: /^$/, symptom: /lost \["/ },
      { what: 'the keyring', path: /^data\/keys\/keyring/, symptom: /keyring/ },
      { what: 'the name of the keyring', path: /^data\/keys$/, symptom: /keyring/ },
    ])('when it does not flush $what', { timeout }, async ({ path, symptom }) => {
      const { broken } = await crash(bench, { events: without(path), stories, kept: () => ['nothing', 'names', 'data'], until: symptom })

      expect(broken.join('\n')).toMatch(symptom)
    })

    it('when it answers before the commit', { timeout }, async () => {
      const early: DiskEvent[] = []
      for (const event of events) {
        const commit = event.operation === 'answer' ? early.findLastIndex((earlier) => isFlush(earlier, /-wal$/)) : -1
        if (commit === -1) early.push(event)
        else early.splice(commit, 0, event)
      }

      const { broken } = await crash(bench, { events: early, stories, kept: () => ['nothing'], until: /lost \["/ })

      expect(broken.join('\n')).toMatch(/lost \["/)
    })

    it('when it links a blob before its bytes are flushed', { timeout }, async () => {
      const early = events.flatMap((event) => (isFlush(event, /^data\/uploads\//) ? [] : [event]))
      for (const event of events.filter((candidate) => isFlush(candidate, /^data\/uploads\//))) {
        const link = early.findIndex(({ operation, path }) => operation === 'link' && path === event.path)
        if (link !== -1) early.splice(link + 1, 0, event)
      }

      const { broken } = await crash(bench, { events: early, stories, kept: () => ['names'], until: /has other bytes/ })

      expect(broken.join('\n')).toMatch(/has other bytes/)
    })
  })
})

describe('a server that crashes while it copies its log into the database', () => {
  let bench: Bench
  beforeAll(async () => {
    bench = await createBench('checkpoint')
  })
  afterAll(() => {
    bench.remove()
  })

  it('keeps what it answered', { timeout }, async () => {
    const stowage = await bench.start()
    const before = bench.disk.events().length
    const copied = (): number => bench.disk.events().findIndex(({ operation, path }, index) => index > before && operation === 'write' && path === `${dataFolder}/stowage.db`)
    const story = newStory('dora')
    for (let n = 0; copied() === -1; n += 1) {
      const other = newStory(`other${n}`)
      await runScenario(stowage, other)
    }
    // The log begins anew, over what was copied.
    await runScenario(stowage, story)
    await bench.kill(stowage)

    const report = await crash(bench, { events: bench.recording(), stories: [story], from: copied() - 50 })

    console.log(`${report.moments} moments, ${report.states} states, ${report.distinctStates} of them different`)
    expect(report.broken.slice(0, 10)).toEqual([])
  })
})

describe('a server that dies right after it made a name', () => {
  let bench: Bench
  afterEach(() => {
    bench.remove()
  })

  // What the dead one did not flush the next one finds and has to flush: until then no promise may rest on it.
  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9])('leaves nothing that the next one trusts and a power cut takes: name %i', async (nth) => {
    bench = await createBench('names')
    const [first, second] = [newStory('frank'), newStory('grace')]
    bench.disk.arm({ action: 'die-after', operations: ['mkdir', 'link'], nth })
    await bench.start().then((stowage) => runOnePush(stowage, first, 'same')).catch(() => undefined)
    expect(bench.disk.counts().fired).toBe(1)
    bench.disk.disarm()

    const next = await bench.start()
    await runOnePush(next, second, 'same')
    await bench.kill(next)
    const events = bench.recording()

    const { broken } = await crash(bench, { events, stories: [first, second], from: events.length - 1 })
    expect(broken).toEqual([])
  })
})

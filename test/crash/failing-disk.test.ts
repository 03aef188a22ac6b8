import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Fault } from '../support/fault-disk/fault-disk.ts'
import type { Stowage } from '../support/start-stowage.ts'
import { openAfterCrash } from './facts.ts'
import { createBench, type Bench } from './recorded-server.ts'
import { newStory, runOnePush, runScenario, type Story } from './scenario.ts'

/*
 * The real server on a disk that fails: for the Nth call that a client's whole story causes, blobs and database alike.
 */

/** Calls struck of each kind, spread evenly; `make crash` strikes every one. */
const strikes = Number(process.env['CRASH_STRIKES'] ?? 8)

/** What an error answer left is what was before it; nothing that was answered is gone. */
async function expectKept(bench: Bench, stories: readonly Story[]): Promise<void> {
  const { facts, violations } = await openAfterCrash(bench.dataDir)
  expect(violations).toEqual([])
  for (const { client, steps } of stories) {
    const found = [...facts].filter((fact) => fact.startsWith(`${client}/`))
    expect(found.toSorted(), `${client} after ${steps.at(-1)?.name}`).toEqual([...(steps.at(-1)?.facts ?? [])].toSorted())
  }
}

describe('a server whose disk fails for a moment', () => {
  let bench: Bench
  let stowage: Stowage
  let count = 0
  beforeAll(async () => {
    bench = await createBench('failing')
    stowage = await bench.start()
    // What is made only once is made now, so that each story causes the same calls.
    await runScenario(stowage, newStory('warm'))
  })
  afterAll(() => {
    bench.remove()
  })

  const kinds: (Omit<Fault, 'nth'> & { readonly title: string })[] = [
    { title: 'ENOSPC anywhere', action: 'ENOSPC', operations: ['create', 'write', 'mkdir', 'link'] },
    { title: 'EMFILE anywhere', action: 'EMFILE', operations: ['open', 'create', 'readdir'] },
    { title: 'a short write anywhere', action: 'short', operations: ['write'] },
    { title: 'EIO in the folder of uploads', action: 'EIO', path: '/uploads' },
    { title: 'EIO where a name of an upload is removed', action: 'EIO', operations: ['unlink'], path: '/uploads' },
    { title: 'EIO in the folder of blobs', action: 'EIO', path: '/blobs' },
  ]

  it.each(kinds)('says so, keeps what it had, and goes on: $title', async ({ title: _, ...fault }) => {
    bench.disk.arm({ ...fault, nth: 0 })
    await runScenario(stowage, newStory(`count${(count += 1)}`))
    const calls = bench.disk.counts().seen
    expect(calls).toBeGreaterThan(5)

    const stories: Story[] = []
    const stride = Math.max(1, Math.floor(calls / strikes))
    let refused = 0
    for (let nth = 1; nth <= calls; nth += stride) {
      const struck = newStory(`struck${(count += 1)}`)
      bench.disk.arm({ ...fault, nth })
      await runScenario(stowage, struck).catch(() => (refused += 1))
      bench.disk.disarm()
      const afterwards = newStory(`after${count}`)
      await runOnePush(stowage, afterwards)
      stories.push(struck, afterwards)
    }
    // SQLite and the blob store finish a write that was cut short.
    if (fault.action === 'short') expect(refused).toBe(0)
    else expect(refused).toBeGreaterThan(0)

    await bench.kill(stowage)
    await expectKept(bench, stories)
    stowage = await bench.start()
  })
})

describe('a server whose database cannot be written', () => {
  let bench: Bench
  const wholeStory = newStory('alice')
  beforeAll(async () => {
    const whole = await createBench('whole')
    await runScenario(await whole.start(), wholeStory)
    whole.remove()
  })
  beforeEach(async () => {
    bench = await createBench('fatal')
  })
  afterEach(() => {
    bench.remove()
  })

  it.each([
    { operation: 'fsync', nth: 1 },
    { operation: 'fsync', nth: 6 },
    { operation: 'write', nth: 1 },
    { operation: 'write', nth: 40 },
  ] as const)('acknowledges nothing more and exits with 1: EIO for $operation $nth of its log', async ({ operation, nth }) => {
    const stowage = await bench.start()
    const story = newStory('alice')
    bench.disk.arm({ action: 'EIO', operations: [operation], path: 'stowage.db-wal', nth })
    await expect(runScenario(stowage, story)).rejects.toThrow()
    const refused = runOnePush(stowage, newStory('late'))
    await expect(refused).rejects.toThrow()

    expect(await stowage.exited).toMatchObject({ exitCode: 1 })
    bench.disk.disarm()
    const events = bench.disk.events()
    const struck = events.findIndex((event) => event.operation === 'fault')
    expect(struck).toBeGreaterThan(0)
    // Not one answer that promises anything, and not a byte more into the log.
    for (const event of events.slice(struck)) {
      if (event.operation === 'answer') expect(event.status).toBeGreaterThanOrEqual(400)
      expect(event.operation === 'write' && event.path.endsWith('stowage.db-wal')).toBe(false)
    }

    const next = await bench.start()
    await runOnePush(next, newStory('bob'))
    await bench.kill(next)
    const { facts, violations } = await openAfterCrash(bench.dataDir)
    expect(violations).toEqual([])
    // The commit that failed may have reached the disk or not; those before it have.
    const found = [...facts].filter((fact) => fact.startsWith('alice/')).toSorted()
    const states = [[], ...wholeStory.steps.map((step) => [...step.facts].toSorted())]
    const allowed = states.slice(story.steps.length, story.steps.length + 2)
    expect(allowed).toContainEqual(found)
  })
})

describe('a server that is killed by one of its own calls', () => {
  let bench: Bench
  beforeEach(async () => {
    bench = await createBench('killed')
  })
  afterEach(() => {
    bench.remove()
  })

  it.each(['die-before', 'die-after'] as const)('keeps what it answered: %s', async (action) => {
    const stories: Story[] = []
    for (const [operation, nth] of [['link', 1], ['link', 3], ['fsync', 9], ['unlink', 1], ['write', 60], ['answer', 12]] as const) {
      const stowage = await bench.start()
      const story = newStory(`${operation}${nth}`)
      stories.push(story)
      bench.disk.arm({ action, operations: [operation], nth })
      await expect(runScenario(stowage, story)).rejects.toThrow()
      expect(await stowage.exited).toMatchObject({ signal: 'SIGKILL' })
      bench.disk.disarm()
    }

    const { facts, violations } = await openAfterCrash(bench.dataDir)
    expect(violations).toEqual([])
    // What was under way may be there as well, whole.
    for (const { steps } of stories) for (const fact of steps.at(-1)?.facts ?? []) expect(facts).toContain(fact)
  })
})

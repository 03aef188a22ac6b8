import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Scrub, type ScrubDependencies } from '../../src/integrity/index.ts'
import { claimScrub } from '../../src/integrity/commands/scrub.ts'
import { commandContext } from '../../src/registry/index.ts'
import { startTestPlatform } from '../support/platform.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'
import { bytesFrom, createRepository, damages, fileOf, pushImage, statesOf } from './installation.ts'

const repository = 'scrub/app'
const dayMs = 24 * 60 * 60 * 1000
const fast = 1_000_000_000

describe.each(databases)('the scrub on %s', (kind) => {
  let fixture: RegistryFixture
  let scrubs: Scrub[]
  let errors: unknown[]
  let completed: unknown[]

  beforeEach(async () => {
    fixture = await startRegistry(kind)
    await createRepository(fixture, repository)
    scrubs = []
    errors = []
    completed = []
  })
  afterEach(async () => {
    for (const scrub of scrubs) await scrub.stop()
    await fixture.stop()
  })

  function newScrub(bytesPerSecond = fast, deps: Partial<ScrubDependencies> = {}): Scrub {
    const { database, blobStore, clock } = fixture
    const scrub = new Scrub(
      {
        database,
        blobStore,
        clock,
        logger: { info: (fields: unknown) => completed.push(fields), error: (fields: unknown) => errors.push(fields) },
        context: () => commandContext(fixture.context),
        owner: `server-${scrubs.length}`,
        isBusy: () => false,
        ...deps,
      },
      { intervalMs: 30 * dayMs, bytesPerSecond },
    )
    scrubs.push(scrub)
    return scrub
  }

  /** Ten blobs of 20,000 bytes. */
  async function uploadBlobs(): Promise<void> {
    for (let n = 0; n < 10; n += 1) await fixture.upload(repository, bytesFrom(`${n}`, 20_000))
  }

  it('reads everything, takes what is bad out of service and says so, and rests until it is due again', async () => {
    await pushImage(fixture, repository, 'sound', '1')
    const bad = await pushImage(fixture, repository, 'bad', '2')
    damages.flip(await fileOf(fixture, bad.layer))
    const scrub = newScrub()

    await scrub.runIfDue()

    expect(errors).toMatchObject([{ kind: 'blob-corrupt', digest: bad.layer, usedBy: [`${repository}@${bad.digest}`] }])
    expect(completed).toMatchObject([{ blobs: 4, quarantined: 1, findings: 1 }])
    expect(scrub.counters).toMatchObject({ findings: { 'blob-corrupt': 1 }, lastCompleteAtMs: fixture.clock.now() })
    expect(scrub.counters.bytesRead).toBeGreaterThan(bad.layerBytes.length)
    expect(await statesOf(fixture, bad.layer)).toEqual(['quarantined'])

    fixture.clock.advance(29 * dayMs)
    await scrub.runIfDue()
    expect(completed).toHaveLength(1)
    fixture.clock.advance(dayMs)
    await scrub.runIfDue()
    expect(completed).toHaveLength(2)
  })

  it('is done by one server at a time, and both know when it was', async () => {
    await uploadBlobs()
    const [one, other] = [newScrub(), newScrub()]

    await Promise.all([one.runIfDue(), other.runIfDue()])
    await Promise.all([one.runIfDue(), other.runIfDue()])

    expect(completed).toHaveLength(1)
    expect(one.counters.bytesRead + other.counters.bytesRead).toBe(200_000)
    expect([one, other].map(({ counters }) => counters.lastCompleteAtMs)).toEqual([fixture.clock.now(), fixture.clock.now()])
    expect(errors).toEqual([])
  })

  it('goes on in another server where the first one stopped', async () => {
    await uploadBlobs()
    const slow = newScrub(100_000)
    const running = slow.runIfDue()
    await expect.poll(() => slow.counters.bytesRead, { timeout: 20_000, interval: 10 }).toBeGreaterThan(0)

    await slow.stop()
    await running
    const next = newScrub()
    await next.runIfDue()

    expect(slow.counters.bytesRead).toBeLessThan(200_000)
    expect(slow.counters.bytesRead + next.counters.bytesRead).toBe(200_000)
    expect(completed).toMatchObject([{ blobs: 10, bytesRead: 200_000 }])
  })

  it('takes over from a server that died, not before its lease has run out', async () => {
    await uploadBlobs()
    const { database, clock, context } = fixture
    await database.execute(claimScrub, { owner: 'dead', until: clock.now() + 90_000 }, commandContext(context))
    const scrub = newScrub()

    await scrub.runIfDue()
    expect(completed).toEqual([])
    clock.advance(90_001)
    await scrub.runIfDue()

    expect(completed).toHaveLength(1)
  })

  it('waits while clients need the disk', async () => {
    await uploadBlobs()
    let busyAnswers = 0
    let isBusy = true
    const scrub = newScrub(fast, {
      isBusy: () => {
        busyAnswers += 1
        return isBusy
      },
    })
    const running = scrub.runIfDue()
    await expect.poll(() => busyAnswers, { timeout: 20_000 }).toBeGreaterThan(2)
    expect(scrub.counters.bytesRead).toBe(0)

    isBusy = false
    await running

    expect(scrub.counters.bytesRead).toBe(200_000)
  })

  it('tries again later when it could not go on, and marks nothing as bad', async () => {
    const image = await pushImage(fixture, repository, 'kept', 'kept')
    const blobs = join(fixture.dataDir, 'blobs')
    renameSync(blobs, `${blobs}-elsewhere`)
    writeFileSync(blobs, 'no folder: whatever is looked for in it fails')
    const scrub = newScrub()

    await scrub.runIfDue()

    expect(errors).toMatchObject([{ err: { code: 'storage-unavailable' } }])
    expect(await statesOf(fixture, image.layer)).toEqual(['active'])
    rmSync(blobs)
    renameSync(`${blobs}-elsewhere`, blobs)
    await scrub.runIfDue()
    expect(completed).toEqual([])
    fixture.clock.advance(10 * 60 * 1000)
    await scrub.runIfDue()
    expect(completed).toHaveLength(1)
  })
})

describe('the scrub of a server', () => {
  it('is on unless it is turned off, and shows in the metrics', async () => {
    for (const { days, shown } of [
      { days: '30', shown: true },
      { days: '0', shown: false },
    ]) {
      const platform = await startTestPlatform({ database: 'sqlite', settings: { STOWAGE_SCRUB_INTERVAL_DAYS: days } })
      const text = await platform.platform.metricsText()
      await platform.stop()
      for (const name of ['stowage_scrub_read_bytes_total', 'stowage_scrub_findings_total', 'stowage_scrub_last_complete_timestamp_seconds']) {
        expect(text.includes(name)).toBe(shown)
      }
    }
  })
})

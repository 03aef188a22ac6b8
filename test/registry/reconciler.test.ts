import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { claimReconciliation, keepReconciliation } from '../../src/gc/commands/reconcile.ts'
import { pauseCollection, resumeCollection } from '../../src/gc/commands/pause.ts'
import { Collector, Reconciler, type Reconciliation } from '../../src/gc/index.ts'
import { commandContext } from '../../src/registry/index.ts'
import { placeHold, releaseHold } from '../../src/registry/commands/holds.ts'
import { digestOf, parseRepositoryName } from '../../src/values/index.ts'
import { createRepository, fileOf, pushImage, statesOf } from '../integrity/installation.ts'
import { projectDir } from '../support/tools.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const dayMs = 24 * 60 * 60 * 1000
const repository = 'reconciled/app'

/** A server that dies at the worst moment: its bytes have their names, an upload's and a copy's, and no row has them. */
const killedAfterPublishing = `
  const { openBlobStores } = await import('./src/storage/blobs/index.ts')
  const { BytesInFlight } = await import('./src/internal/bytes-in-flight.ts')
  const { digestOf } = await import('./src/values/index.ts')
  const [dataDir, ...uploadIds] = process.argv.slice(1)
  const stores = await openBlobStores({ dataDir, archiveDir: dataDir + '/archive' }, new BytesInFlight())
  for (const [index, store] of [stores.active, stores.archive].entries()) {
    const bytes = Buffer.from('published ' + index)
    await store.createUpload(uploadIds[index])
    await store.append(uploadIds[index], 0, (async function* () { yield bytes })())
    await store.publish(uploadIds[index], 'default', digestOf(bytes), bytes.length)
  }
  process.kill(process.pid, 'SIGKILL')
  await new Promise(() => setInterval(() => undefined, 1000))
`

describe.each(databases)('the comparison of store and database on %s', (kind) => {
  let fixture: RegistryFixture
  let reconcilers: Reconciler[]
  let told: Record<string, unknown>[]
  const problems: unknown[] = []

  beforeEach(async () => {
    fixture = await startRegistry(kind)
    // Files are as old as they are by the clock of the disk.
    fixture.clock.advance(Date.now() + 2 * dayMs - fixture.clock.now())
    reconcilers = []
    told = []
    await createRepository(fixture, repository)
  })
  afterEach(async () => {
    for (const reconciler of reconcilers) await reconciler.stop()
    await fixture.stop()
    expect(problems).toEqual([])
  })

  function newReconciler(intervalMs = 7 * dayMs): Reconciler {
    const { database, blobStore, clock, context } = fixture
    const logger = { info: () => undefined, warn: (finding: Record<string, unknown>) => told.push(finding), error: (problem: unknown) => problems.push(problem) }
    const reconciler = new Reconciler({ database, blobStore, clock, systemContext: () => commandContext(context), logger, owner: randomUUID() }, { intervalMs, itemsPerSecond: 100_000 })
    reconcilers.push(reconciler)
    return reconciler
  }

  async function reconcile(repair: boolean, reconciler = newReconciler()): Promise<Reconciliation> {
    await reconciler.request(fixture.context, repair)
    await reconciler.runIfWanted()
    const { last, current, request } = await reconciler.status()
    expect([current, request]).toEqual([undefined, undefined])
    return last!
  }

  /** Bytes under a name that the store could have issued and that no row has. */
  function leaveOrphan(folder: 'blobs' | 'archive/blobs', seed: string): string {
    const hex = digestOf(Buffer.from(seed)).slice('sha256:'.length)
    const key = `default/sha256/${hex.slice(0, 2)}/${hex}.${randomUUID().replaceAll('-', '')}`
    const file = join(fixture.dataDir, folder, key)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, seed)
    return folder === 'blobs' ? key : `archive:${key}`
  }

  async function keys(): Promise<string[]> {
    const found: string[] = []
    for await (const { key } of fixture.blobStore.list()) found.push(key)
    return found
  }

  it('finds nothing in an installation that is right, and changes nothing', async () => {
    await pushImage(fixture, repository, 'v1', 'one')
    const before = await keys()

    const { counts, findings } = await reconcile(true)

    expect(findings).toEqual([])
    expect(counts).toMatchObject({ files: 2, knownFiles: 2, locations: 2, rows: 6, forgotten: 0 })
    expect(await keys()).toEqual(before)
  })

  it('reports files that no row names, in the archive too, and deletes them only when asked to', async () => {
    await pushImage(fixture, repository, 'v1', 'one')
    const orphans = [leaveOrphan('blobs', 'orphan'), leaveOrphan('archive/blobs', 'archived orphan')]
    const known = (await keys()).filter((key) => !orphans.includes(key))

    const report = await reconcile(false)
    expect(report.findings.map(({ kind: found, key, repaired }) => [found, key, repaired]).sort()).toEqual(orphans.map((key) => ['orphan-file', key, 'no']).sort())
    expect(report.counts).toMatchObject({ files: 4, knownFiles: 2, orphanFiles: 2, orphanBytes: 'orphan'.length + 'archived orphan'.length, deletedOrphans: 0 })
    expect(told).toHaveLength(2)
    expect(await keys()).toHaveLength(4)

    expect((await reconcile(true)).counts).toMatchObject({ orphanFiles: 2, deletedOrphans: 2 })
    expect(await keys()).toEqual(known)
    expect((await reconcile(true)).findings).toEqual([])
  })

  it('finds what a process left that was killed between publishing and committing, while another went on', async () => {
    // Where servers share a database nobody is alone with the store, to settle what one of them left when it was killed.
    const uploadIds = [randomUUID(), randomUUID()]
    const child = spawn(process.execPath, ['--input-type=module', '--eval', killedAfterPublishing, fixture.dataDir, ...uploadIds], { cwd: projectDir, stdio: ['ignore', 'inherit', 'inherit'] })
    expect(await once(child, 'exit')).toEqual([null, 'SIGKILL'])
    expect(await keys()).toHaveLength(2)

    expect((await reconcile(false)).counts).toMatchObject({ orphanFiles: 2, orphanUploads: 2, deletedOrphans: 0 })
    expect((await reconcile(true)).counts).toMatchObject({ orphanFiles: 2, orphanUploads: 2, deletedOrphans: 4 })

    expect((await reconcile(true)).findings).toEqual([])
    expect(await keys()).toEqual([])
  })

  it('leaves what a push or a move may be about to name', async () => {
    leaveOrphan('blobs', 'just published')
    fixture.clock.advance(Date.now() + dayMs - 60_000 - fixture.clock.now())

    expect((await reconcile(true)).counts).toMatchObject({ files: 1, youngFiles: 1, orphanFiles: 0 })
    expect(await keys()).toHaveLength(1)
  })

  it('leaves what a session that is open has published', async () => {
    const { context, registry, blobStore, clock } = fixture
    const name = parseRepositoryName(repository)
    // Sessions are as old as they are by the fixture's clock.
    const { id } = await registry.beginUpload(context, name)
    const bytes = Buffer.from('published, and its commit failed')
    await blobStore.append(id, 0, (async function* () { yield bytes })())
    await blobStore.publish(id, 'default', digestOf(bytes), bytes.length)
    expect(clock.now() - Date.now()).toBeGreaterThan(dayMs)

    expect((await reconcile(true)).counts).toMatchObject({ youngFiles: 1, orphanFiles: 0, orphanUploads: 0 })
    expect(await keys()).toHaveLength(1)
  })

  it('deletes no orphan while a backup reads, the installation is on hold, or collection is paused', async () => {
    const { blobStore, clock, database, context } = fixture
    leaveOrphan('blobs', 'orphan')
    const hold = { id: randomUUID(), owner: 'a backup', untilMs: clock.now() + dayMs }
    await blobStore.hold(hold)
    expect((await reconcile(true)).findings).toMatchObject([{ repaired: 'held' }])
    await blobStore.releaseHold(hold.id)

    const id = await database.execute(placeHold, { reason: 'wait' }, commandContext(context))
    expect((await reconcile(true)).findings).toMatchObject([{ repaired: 'held' }])
    await database.execute(releaseHold, { id, reason: 'go on' }, commandContext(context))

    await database.execute(pauseCollection, { reason: 'wait', endsAt: undefined }, commandContext(context))
    const reconciler = newReconciler()
    await reconciler.request(context, true)
    await reconciler.runIfWanted()
    expect(await keys()).toHaveLength(1)
    expect((await reconciler.status()).request).toMatchObject({ repair: true })

    await database.execute(resumeCollection, {}, commandContext(context))
    await reconciler.runIfWanted()
    expect(await keys()).toEqual([])
  })

  it('reports and removes uploads that have no session', async () => {
    await fixture.blobStore.createUpload(randomUUID())
    await fixture.blobStore.archive.createUpload(randomUUID())
    expect((await reconcile(false)).counts).toMatchObject({ orphanUploads: 2, deletedOrphans: 0 })
    expect((await reconcile(true)).counts).toMatchObject({ orphanUploads: 2, deletedOrphans: 2 })
    expect((await reconcile(true)).counts).toMatchObject({ orphanUploads: 0 })
  })

  it('reports rows whose bytes are gone or have another size, and sets them aside when asked to', async () => {
    const gone = await pushImage(fixture, repository, 'gone', 'one')
    const cut = await pushImage(fixture, repository, 'cut', 'two')
    rmSync(await fileOf(fixture, gone.layer))
    truncateSync(await fileOf(fixture, cut.layer), 10)

    expect((await reconcile(false)).findings).toMatchObject([
      { kind: 'file-missing', digest: gone.layer, repaired: 'no' },
      { kind: 'file-wrong-size', digest: cut.layer, repaired: 'no' },
    ])
    expect(await statesOf(fixture, gone.layer)).toEqual(['active'])

    expect((await reconcile(true)).counts).toMatchObject({ missingFiles: 1, wrongSizes: 1, setAside: 2 })
    expect(await statesOf(fixture, gone.layer)).toEqual(['quarantined'])
    expect(await statesOf(fixture, cut.layer)).toEqual(['quarantined'])
  })

  it('sets nothing aside where not one file is known: then it is the store that is not there', async () => {
    const image = await pushImage(fixture, repository, 'v1', 'one')
    for (const digest of [image.config, image.layer]) rmSync(await fileOf(fixture, digest))

    expect((await reconcile(true)).counts).toMatchObject({ missingFiles: 2, setAside: 0 })
    expect(await statesOf(fixture, image.layer)).toEqual(['active'])
  })

  it('has everything looked at that nothing would have looked at, so that it is collected', async () => {
    const { clock, database, blobStore, context, registry } = fixture
    const name = parseRepositoryName(repository)
    const kept = await pushImage(fixture, repository, 'kept', 'kept')
    const trashed = await pushImage(fixture, repository, 'trashed', 'trashed')
    await registry.deleteImages(context, name, [{ digest: trashed.digest }])
    await fixture.upload(repository, Buffer.from('never used'))
    await createRepository(fixture, 'reconciled/deleted')
    await pushImage(fixture, 'reconciled/deleted', 'v1', 'of a deleted repository')
    await registry.deleteRepository(context, parseRepositoryName('reconciled/deleted'), { force: true })
    await fixture.upload(repository, Buffer.from('seen by nobody'))
    await fixture.tamper('delete from repository_blob where blob_id in (select id from blob where size_bytes = ?)', 'seen by nobody'.length)
    await fixture.upload(repository, Buffer.from('going, and stopped in the middle'))
    await fixture.tamper('delete from repository_blob where blob_id in (select id from blob where size_bytes = ?)', 'going, and stopped in the middle'.length)
    await fixture.tamper(`update blob_location set state = 'deleting' where blob_id in (select id from blob where size_bytes = ?)`, 'going, and stopped in the middle'.length)
    // As of a version that noted nothing.
    await fixture.tamper('delete from review')

    const { counts } = await reconcile(false)
    // The layer that no image uses, the one that nobody sees, the place that was going, the deleted image, the deleted repository.
    expect(counts).toMatchObject({ forgotten: 5 })
    expect((await reconcile(false)).counts).toMatchObject({ forgotten: 0 })

    const logger = { info: () => undefined, error: (problem: unknown) => problems.push(problem) }
    const collector = new Collector({ database, blobStore, systemContext: () => commandContext(context), clock, logger, owner: randomUUID() })
    for (let day = 0; day < 12; day += 1) {
      clock.advance(dayMs)
      await collector.collect()
    }
    const left = await keys()
    expect(left).toHaveLength(2)
    for (const digest of [kept.config, kept.layer]) expect(left.some((key) => key.includes(digest.slice('sha256:'.length)))).toBe(true)
  })

  it('is done by one server at a time, rests until it is due, and goes on after a stop where it was', async () => {
    for (let n = 0; n < 250; n += 1) leaveOrphan('blobs', `orphan ${n}`)
    const slow = new Reconciler(
      { ...fixture, systemContext: () => commandContext(fixture.context), logger: { info: () => undefined, warn: () => undefined, error: (problem: unknown) => problems.push(problem) }, owner: 'slow' },
      { intervalMs: 7 * dayMs, itemsPerSecond: 10 },
    )
    reconcilers.push(slow)
    const running = slow.runIfWanted()
    await expect.poll(async () => (await slow.status()).isRunning).toBe(true)
    const other = newReconciler()
    await other.runIfWanted()
    expect((await other.status()).last).toBeUndefined()
    await slow.stop()
    await running

    const stopped = await other.status()
    expect(stopped).toMatchObject({ isRunning: false, current: { phase: 'files', counts: { files: 100, orphanFiles: 100 } } })
    await other.runIfWanted()
    const { last, nextAt } = await other.status()
    expect(last).toMatchObject({ startedAt: stopped.current!.startedAt, repair: false, counts: { files: 250, orphanFiles: 250, orphanBytes: expect.any(Number) } })
    expect(last!.findings).toHaveLength(100)
    expect(nextAt).toBe(last!.startedAt + 7 * dayMs)

    fixture.clock.advance(6 * dayMs)
    await other.runIfWanted()
    expect((await other.status()).last!.startedAt).toBe(last!.startedAt)
    fixture.clock.advance(dayMs)
    await other.runIfWanted()
    expect((await other.status()).last!.startedAt).toBe(last!.startedAt + 7 * dayMs)
  })

  it('is taken over from a server that died, once its lease is over', async () => {
    const { database, clock, context } = fixture
    leaveOrphan('blobs', 'orphan')
    const claim = () => database.execute(claimReconciliation, { owner: 'dead', until: clock.now() + 90_000 }, commandContext(context))
    expect(await claim()).toMatchObject({ payload: '{}' })
    const other = newReconciler()
    await other.runIfWanted()
    expect(await other.status()).toMatchObject({ isRunning: true, last: undefined })

    clock.advance(91_000)
    await other.runIfWanted()

    expect(await other.status()).toMatchObject({ isRunning: false, last: { counts: { orphanFiles: 1 } } })
    // Whoever was dead and comes back finds it another's.
    expect(await database.execute(keepReconciliation, { owner: 'dead', payload: '{}', until: clock.now() + 90_000 }, commandContext(context))).toBe(false)
  })

  it('waits to be asked where it is not to begin by itself', async () => {
    const reconciler = newReconciler(0)
    await reconciler.runIfWanted()
    expect(await reconciler.status()).toMatchObject({ last: undefined, nextAt: undefined })
    await reconcile(false, reconciler)
    fixture.clock.advance(100 * dayMs)
    const { last } = await reconciler.status()
    await reconciler.runIfWanted()
    expect((await reconciler.status()).last).toEqual(last)
  })
})

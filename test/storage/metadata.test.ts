import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MetadataDatabase } from '../../src/storage/metadata/database.ts'
import { lockDataFolder, shareDataFolder } from '../../src/storage/metadata/folder-lock.ts'
import { migrations } from '../../src/storage/metadata/migrations/index.ts'
import { migrateMetadata } from '../../src/storage/metadata/migrate.ts'
import { createDatabase, startPostgres } from '../support/postgres.ts'
import { databases } from '../support/registry.ts'
import { run } from '../support/run.ts'
import { projectDir } from '../support/tools.ts'
import { context, names, startMetadata, type MetadataFixture, type PutInput } from './metadata-fixture.ts'

let fixture: MetadataFixture

beforeEach(async () => {
  fixture = await startMetadata()
})
afterEach(() => fixture.stop())

describe.each(databases)('write commands on %s', (kind) => {
  let database: MetadataDatabase

  beforeEach(async () => {
    const target = await fixture.newTarget(kind)
    await migrateMetadata(target, { check: false })
    database = await fixture.open(target)
  })
  afterEach(() => database.close())

  it('undo only themselves when they fail, also among others at the same moment', async () => {
    const { put, trip } = fixture.commands
    const inputs: PutInput[] = Array.from({ length: 20 }, (_, n) => ({ name: `n${String(n).padStart(2, '0')}`, fail: n % 5 === 3 }))

    const results = await Promise.allSettled([
      ...inputs.map((input) => database.execute(put, input, context)),
      database.execute(trip, {}, context),
    ])

    const kept = inputs.filter(({ fail }) => !fail).map(({ name }) => name)
    expect(await names(database)).toEqual(kept)
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(kept.length)
    expect(results[3]).toMatchObject({ reason: { code: 'refused', message: 'as asked', detail: { name: 'n03' } } })
    expect(results.at(-1)).toMatchObject({ reason: { message: 'a fault of the program' } })
  })

  it('are seen by readers as soon as they are answered', async () => {
    const { put } = fixture.commands

    for (let n = 0; n < 20; n += 1) {
      await database.execute(put, { name: `n${String(n).padStart(2, '0')}`, fail: false }, context)
      expect(await names(database)).toHaveLength(n + 1)
    }
  })

  it('wait for the disk unless they say that they need not', async () => {
    const { put, putLightly } = fixture.commands
    const before = { ...database.counters }

    await database.execute(putLightly, { name: 'a' }, context)
    await database.execute(put, { name: 'b', fail: false }, context)

    expect(database.counters.commits - before.commits).toBe(2)
    expect(database.counters.durableCommits - before.durableCommits).toBe(1)
  })

  it('show one moment to a snapshot', async () => {
    const { put } = fixture.commands
    const count = await database.snapshot(async (session) => {
      const query = session.builder.selectFrom('setting').select('name')
      const first = await session.query(query)
      await database.execute(put, { name: 'meanwhile', fail: false }, context)
      return [first.length, (await session.query(query)).length]
    })

    expect(count).toEqual([0, 0])
    expect(await names(database)).toEqual(['meanwhile'])
  })
})

describe('commits on SQLite', () => {
  it('are shared by commands that come together', async () => {
    const target = await fixture.newTarget('sqlite')
    await migrateMetadata(target, { check: false })
    const database = await fixture.open(target)
    const { put } = fixture.commands

    await Promise.all(Array.from({ length: 200 }, (_, n) => database.execute(put, { name: `n${n}`, fail: false }, context)))

    expect(database.counters.commits).toBeLessThan(50)
    await database.close()
  })
})

describe.each(databases)('migrations on %s', (kind) => {
  it('run once however many processes start together', async () => {
    const target = await fixture.newTarget(kind)
    const names = Object.keys(migrations(kind))

    expect((await migrateMetadata(target, { check: true })).pending).toEqual(names)
    const script = `
      import { migrateMetadata } from '${pathToFileURL(join(projectDir, 'src/storage/metadata/migrate.ts')).href}'
      const { applied } = await migrateMetadata(${JSON.stringify(target)}, { check: false })
      console.log(applied.join())`
    const outputs = await Promise.all(
      [1, 2, 3].map(async () => (await run(process.execPath, ['--input-type=module', '-e', script])).stdout.trim()),
    )

    expect(outputs.sort()).toEqual(['', '', names.join()])
    expect((await migrateMetadata(target, { check: true })).pending).toEqual([])
  })
})

describe('the lock of a data folder', () => {
  it('is held by one process, and ends with it however it ends', async () => {
    const script = `
      import { lockDataFolder, shareDataFolder } from '${pathToFileURL(join(projectDir, 'src/storage/metadata/folder-lock.ts')).href}'
      const lock = lockDataFolder(${JSON.stringify(fixture.dir)})
      console.log('locked')
      setInterval(() => lock, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')

    try {
      expect(() => lockDataFolder(fixture.dir)).toThrow(expect.objectContaining({ code: 'data-dir-in-use' }) as Error)
    } finally {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    const lock = lockDataFolder(fixture.dir)
    lock.release()
    lockDataFolder(fixture.dir).release()
  })

  it('tells a process that shares it whether it is alone', () => {
    const first = shareDataFolder(fixture.dir)
    expect(first.isAlone).toBe(true)
    first.share()
    const second = shareDataFolder(fixture.dir)
    expect(second.isAlone).toBe(false)
    expect(() => lockDataFolder(fixture.dir)).toThrow(expect.objectContaining({ code: 'data-dir-in-use' }) as Error)
    first.release()
    second.release()
    const third = shareDataFolder(fixture.dir)
    expect(third.isAlone).toBe(true)
    third.release()
  })
})

describe('a PostgreSQL server that goes away', () => {
  it('is an error while it is gone, and is used again when it is back', async () => {
    const cluster = await startPostgres()
    try {
      const { url } = await createDatabase(cluster.url)
      await migrateMetadata({ url }, { check: false })
      const database = await fixture.open({ url })
      const { put } = fixture.commands
      await database.execute(put, { name: 'a', fail: false }, context)

      const terminate = `select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and application_name = 'stowage'`
      const { default: pg } = await import('pg')
      const admin = new pg.Client({ connectionString: cluster.url })
      await admin.connect()
      await admin.query(terminate)
      await admin.end()
      await new Promise((resolve) => setTimeout(resolve, 200))

      await database.execute(put, { name: 'b', fail: false }, context)
      expect(await names(database)).toEqual(['a', 'b'])
      cluster.kill('SIGKILL')
      // The backends notice the death of their postmaster a moment later.
      const answer = () => database.ping().then(() => 'ok', (error: unknown) => (error as { code?: string }).code)
      await expect.poll(answer, { timeout: 10_000 }).toBe('storage-unavailable')
      await database.close()
    } finally {
      await cluster.stop().catch(() => undefined)
    }
  })
})

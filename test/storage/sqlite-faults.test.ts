import { existsSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MetadataDatabase } from '../../src/storage/metadata/database.ts'
import { migrateMetadata } from '../../src/storage/metadata/migrate.ts'
import { run } from '../support/run.ts'
import { projectDir } from '../support/tools.ts'
import { context, names, raw, startMetadata, type MetadataFixture } from './metadata-fixture.ts'

let fixture: MetadataFixture
let file: string
let fatal: Error[]
let database: MetadataDatabase

beforeEach(async () => {
  fixture = await startMetadata()
  file = join(fixture.dir, 'stowage.db')
  await migrateMetadata({ file }, { check: false })
  fatal = []
  database = await fixture.open({ file }, (error) => fatal.push(error))
})
afterEach(async () => {
  await database.close()
  await fixture.stop()
})

const put = (name: string) => database.execute(fixture.commands.put, { name, fail: false }, context)
const runSql = (sql: string) => database.execute(fixture.commands.runSql, { sql }, context)
const unavailable = { code: 'storage-unavailable' }

/** One commit of so many rows of two pages each. */
const insertRows = (prefix: string, count: number) => `
  with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})
  insert into setting (name, value) select '${prefix}' || i, hex(zeroblob(3000)) from n`

describe('the log of SQLite', () => {
  it('is copied once in a thousand pages, also when it has been long before', async () => {
    const { counters } = database

    await runSql(insertRows('a', 1000))
    await expect.poll(() => counters.checkpoints).toBe(1)
    for (let n = 0; n < 100; n += 1) await put(`small${n}`)
    expect(counters.checkpoints).toBe(1)

    await runSql(insertRows('b', 1000))
    await expect.poll(() => counters.checkpoints).toBe(2)
    // It starts from the top each time.
    expect(statSync(`${file}-wal`).size).toBeLessThan(16 * 1024 * 1024)
  })
})

describe('a writer whose disk fails', () => {
  it('runs nothing more, and answers everything with the error', async () => {
    const { loseDisk } = fixture.commands
    await put('before')
    const results = await Promise.allSettled([
      database.execute(loseDisk, {}, context),
      ...Array.from({ length: 200 }, (_, n) => put(`with${n}`)),
    ])
    await expect(put('after')).rejects.toMatchObject(unavailable)
    await expect(database.ping()).rejects.toMatchObject(unavailable)

    for (const result of results) expect(result).toMatchObject({ status: 'rejected', reason: unavailable })
    expect(fatal).toMatchObject([{ message: 'the disk is gone' }])
    expect(await names(database)).toEqual(['before'])
  })

  it('can be closed, and leaves the log as it was', async () => {
    await put('before')
    await expect(database.execute(fixture.commands.loseDisk, {}, context)).rejects.toMatchObject(unavailable)
    const sizeBytes = statSync(`${file}-wal`).size

    await database.close()

    expect(existsSync(`${file}-wal`)).toBe(true)
    expect(statSync(`${file}-wal`).size).toBe(sizeBytes)
    const reopened = await fixture.open({ file })
    expect(await names(reopened)).toEqual(['before'])
    await reopened.close()
  })

  it('stops when a checkpoint fails, and keeps what was answered', async () => {
    await runSql(insertRows('row', 4000))
    await database.close()
    // The file is beyond the process's limit and the log, which starts anew, below: commits succeed, copying does not.
    const limitBlocks = 16 * 1024
    const script = `
      import { openMetadata } from '${pathToFileURL(join(projectDir, 'src/storage/metadata/open.ts')).href}'
      import { commands } from '${fixture.catalogueUrl}'
      const [put, , , runSql] = commands
      const seen = []
      const database = await openMetadata({ file: ${JSON.stringify(file)} }, {
        catalogueUrl: '${fixture.catalogueUrl}',
        onFatal: (error) => seen.push('fatal ' + error.code),
        onConnectionLost: () => undefined,
      })
      const attempt = (command, input) => database.execute(command, input, {}).then(
        () => seen.push(input.name), (error) => seen.push(input.name + ' ' + error.code))
      await attempt(put, { name: 'early' })
      await attempt(runSql, { name: 'big', sql: "update setting set value = hex(randomblob(3000)) where cast(substr(name, 4) as integer) > 3400" })
      while (seen.at(-1) !== 'fatal storage-unavailable') await new Promise((resolve) => setTimeout(resolve, 10))
      await attempt(put, { name: 'late' })
      await database.close()
      console.log(JSON.stringify(seen))`

    expect(statSync(file).size).toBeGreaterThan(2 * limitBlocks * 1024)
    const { stdout } = await run(
      'sh',
      ['-c', `ulimit -f ${limitBlocks}; exec "$0" --input-type=module -e "$1"`, process.execPath, script],
      { timeoutMs: 20_000 },
    )

    expect(JSON.parse(stdout)).toEqual(['early', 'big', 'fatal storage-unavailable', 'late storage-unavailable'])
    const after = new DatabaseSync(file)
    const rewritten = `select count(*) as count from setting where name = 'early' or value not like '0000%'`
    expect(after.prepare(rewritten).get()).toEqual({ count: 601 })
    after.close()
  })
})

describe('a writer that can go on', () => {
  it('refuses what comes while another program holds the lock, and no more', async () => {
    await runSql('pragma busy_timeout = 50')
    const shell = new DatabaseSync(file)
    shell.exec('begin immediate')
    await expect(put('during')).rejects.toMatchObject({
      ...unavailable,
      message: expect.stringContaining('try again') as string,
    })
    shell.exec('rollback')
    shell.close()

    await put('after')
    expect(await names(database)).toEqual(['after'])
    expect(fatal).toEqual([])
  })

  it('refuses what does not fit on the disk, until there is space', async () => {
    await put('before')
    await runSql('pragma max_page_count = 1')
    await expect(runSql(insertRows('row', 10))).rejects.toMatchObject({ code: 'storage-full' })
    await runSql('pragma max_page_count = 1000000')

    await put('after')
    expect(await names(database)).toEqual(['after', 'before'])
    expect(fatal).toEqual([])
  })

  it('refuses a whole group when one command has ended its transaction', async () => {
    await expect(runSql('rollback')).rejects.toMatchObject(unavailable)

    await put('after')
    expect(fatal).toEqual([])
  })
})

describe('a snapshot on SQLite whose transaction ends before its time', () => {
  it('fails, and leaves its place to the next', async () => {
    for (let n = 0; n < 5; n += 1) {
      await expect(database.snapshot((session) => session.query(raw('rollback')))).rejects.toMatchObject(unavailable)
    }
    expect(await database.snapshot(() => Promise.resolve('whole'))).toBe('whole')
  })

  it('fails with what its reader threw', async () => {
    const failing = database.snapshot(async (session) => {
      await session.query(raw('rollback'))
      throw new Error('the reason')
    })
    await expect(failing).rejects.toThrow('the reason')
    expect(await database.snapshot(() => Promise.resolve('whole'))).toBe('whole')
  })

  it('is waited for by close, which refuses those that have not begun', async () => {
    const release = Promise.withResolvers<string>()
    const running = Array.from({ length: 2 }, () => database.snapshot(() => release.promise))
    const waiting = database.snapshot(() => Promise.resolve('late'))
    const refused = expect(waiting).rejects.toMatchObject(unavailable)

    const closing = database.close()
    await refused
    release.resolve('done')
    expect(await Promise.all(running)).toEqual(['done', 'done'])
    await closing
  })
})

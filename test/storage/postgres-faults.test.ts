import { execFileSync } from 'node:child_process'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { defineCommand } from '../../src/storage/metadata/command.ts'
import type { MetadataDatabase } from '../../src/storage/metadata/database.ts'
import { migrateMetadata } from '../../src/storage/metadata/migrate.ts'
import type { Session } from '../../src/storage/metadata/session.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { projectDir } from '../support/tools.ts'
import { context, names, raw, startMetadata, type MetadataFixture } from './metadata-fixture.ts'

let fixture: MetadataFixture
let server: TestDatabase
let database: MetadataDatabase
/** Another program on the same database. */
let other: pg.Client
let uncaught: Error[]
const remember = (error: Error): void => {
  uncaught.push(error)
}

beforeEach(async () => {
  uncaught = []
  process.on('uncaughtExceptionMonitor', remember)
  fixture = await startMetadata()
  server = await createDatabase()
  await migrateMetadata({ url: server.url }, { check: false })
  database = await fixture.open({ url: server.url })
  other = new pg.Client({ connectionString: server.url })
  await other.connect()
})
afterEach(async () => {
  await other.end()
  await database.close()
  await server.drop()
  await fixture.stop()
  process.off('uncaughtExceptionMonitor', remember)
})

const put = (name: string) => database.execute(fixture.commands.put, { name, fail: false }, context)
const runSql = (sql: string) => database.execute(fixture.commands.runSql, { sql }, context)
const execute = (name: string, run: (tx: Session) => Promise<unknown>) =>
  database.execute(defineCommand({ name, durability: 'durable', run }), {}, context)

const tryAgain = { code: 'storage-unavailable', message: expect.stringContaining('try again') as string }

const terminateOurs = `select pg_terminate_backend(pid) from pg_stat_activity
  where datname = current_database() and application_name = 'stowage'`

describe('a connection to PostgreSQL lost in a transaction', () => {
  it('fails the command whose statement runs', async () => {
    const failing = expect(runSql('select pg_sleep(20)')).rejects.toMatchObject({ code: 'storage-unavailable' })
    await statementRuns('pg_sleep')

    await other.query(terminateOurs)

    await failing
    await put('after')
    expect(uncaught).toEqual([])
  })

  it('fails the command between two statements, and a snapshot', async () => {
    const lost = async (tx: Session): Promise<void> => {
      await tx.query(raw('select 1'))
      await other.query(terminateOurs)
      // Until the end of the connection has arrived, with nobody waiting for an answer.
      await new Promise((resolve) => setTimeout(resolve, 200))
      await tx.query(raw('select 1'))
    }
    await expect(execute('lost', lost)).rejects.toMatchObject({ code: 'storage-unavailable' })
    await expect(database.snapshot(lost)).rejects.toMatchObject({ code: 'storage-unavailable' })

    await put('after')
    expect(await names(database)).toEqual(['after'])
    expect(uncaught).toEqual([])
  })

  it('fails BEGIN, and takes no place in the pool', async () => {
    // More often than there are places: one that was kept each time would leave none.
    for (let n = 0; n < 10; n += 1) {
      await put(`n${n}`)
      // This thread stands still meanwhile, so it does not learn that its idle connection has ended.
      terminateFromAnotherProcess()
      await expect(put('lost')).rejects.toMatchObject({ code: 'storage-unavailable' })
    }

    await Promise.all(Array.from({ length: 10 }, (_, n) => put(`after${n}`)))
    expect(await names(database)).toHaveLength(20)
    expect(uncaught).toEqual([])
  })

  function terminateFromAnotherProcess(): void {
    const script = `
      import pg from 'pg'
      const client = new pg.Client(${JSON.stringify(server.url)})
      await client.connect()
      await client.query(${JSON.stringify(terminateOurs)})
      await client.end()`
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: projectDir })
  }
})

describe('a command that collides with others on PostgreSQL', () => {
  it('runs again after a deadlock', async () => {
    await runSql(`insert into setting (name, value) values ('a', '0'), ('b', '0')`)
    const bothHoldOne = Promise.withResolvers<undefined>()
    let holding = 0
    const lockBoth = (first: string, second: string) =>
      execute('lock-both', async (tx) => {
        await tx.query(raw(`update setting set value = value || '+' where name = '${first}'`))
        holding += 1
        if (holding === 2) bothHoldOne.resolve(undefined)
        await bothHoldOne.promise
        await tx.query(raw(`update setting set value = value || '+' where name = '${second}'`))
      })

    await Promise.all([lockBoth('a', 'b'), lockBoth('b', 'a')])

    expect(holding).toBe(3)
    const { rows } = await other.query('select value from setting')
    expect(rows).toEqual([{ value: '0++' }, { value: '0++' }])
  })

  it.each(['40001', '40P01'])('is tried a few times, not all at once, when the server says %s', async (state) => {
    const startedAt: number[] = []
    const failing = execute('collide', async (tx) => {
      startedAt.push(performance.now())
      await tx.query(raw(raising(state)))
    })

    await expect(failing).rejects.toMatchObject(tryAgain)
    expect(startedAt).toHaveLength(5)
    // The shortest pauses are 5, 10, 20 and 40 ms; a timer may come a millisecond early.
    expect(startedAt.at(-1)! - startedAt[0]!).toBeGreaterThan(70)
  })

  const raising = (state: string): string =>
    `do $$ begin raise exception 'as asked' using errcode = '${state}'; end $$`
})

describe('a server that cannot do its work for a while', () => {
  it('is an outage and no fault of the program', async () => {
    // Shut down, starting up, crashed; only reading; out of connections, memory or locks; its own files failing.
    for (const state of ['57P01', '57P02', '57P03', '25006', '25P03', '25P04', '53300', '53200', '58030', '08006']) {
      const failing = runSql(`do $$ begin raise exception 'as asked' using errcode = '${state}'; end $$`)
      await expect(failing, state).rejects.toMatchObject({ code: 'storage-unavailable' })
      await put(`after-${state}`)
    }
  })

  it('is told apart from a fault of the program', async () => {
    await expect(runSql('select no_such_column from setting')).rejects.toThrow('no_such_column')
    await expect(runSql('select no_such_column from setting')).rejects.not.toMatchObject({ code: 'storage-unavailable' })
  })
})

describe('a command that waits too long on PostgreSQL', () => {
  it('for a lock is told to try again, once', async () => {
    await put('held')
    await other.query('begin')
    await other.query(`select * from setting where name = 'held' for update`)
    let attempts = 0
    const failing = execute('wait', async (tx) => {
      attempts += 1
      await tx.query(raw(`set local lock_timeout = '50ms'`))
      await tx.query(raw(`select * from setting where name = 'held' for update`))
    })

    await expect(failing).rejects.toMatchObject(tryAgain)
    expect(attempts).toBe(1)
    await other.query('rollback')
  })

  it('for a statement is told to try again', async () => {
    const failing = execute('wait', async (tx) => {
      await tx.query(raw(`set local statement_timeout = '50ms'`))
      await tx.query(raw('select pg_sleep(20)'))
    })
    await expect(failing).rejects.toMatchObject(tryAgain)
  })

  it('for a lock waits ten seconds at most, and half a minute for all else', async () => {
    expect(await runSql('show lock_timeout')).toEqual([{ lock_timeout: '10s' }])
    expect(await runSql('show statement_timeout')).toEqual([{ statement_timeout: '30s' }])
  })
})

describe('reads on PostgreSQL', () => {
  it('are served while commands queue for one row', async () => {
    await put('held')
    await other.query('begin')
    await other.query(`select * from setting where name = 'held' for update`)
    const update = `update setting set value = '2' where name = 'held'`
    const commands = Promise.allSettled(Array.from({ length: 40 }, () => runSql(update)))
    await statementRuns('update setting')

    await database.ping()
    expect(await names(database)).toEqual(['held'])
    expect(await database.snapshot((session) => session.query(raw('select 1 as one')))).toEqual([{ one: 1 }])

    await other.query('commit')
    expect((await commands).filter(({ status }) => status === 'rejected')).toEqual([])
  })
})

/** Resolves when a statement of ours with this text runs, or waits for a lock. */
async function statementRuns(text: string): Promise<void> {
  const query = `select 1 from pg_stat_activity where datname = current_database()
    and application_name = 'stowage' and state = 'active' and query like '%' || $1 || '%'`
  const count = async (): Promise<number | null> => {
    // A transaction would go on seeing what it saw first.
    await other.query('select pg_stat_clear_snapshot()')
    return (await other.query(query, [text])).rowCount
  }
  await expect.poll(count, { timeout: 5_000 }).toBeGreaterThan(0)
}

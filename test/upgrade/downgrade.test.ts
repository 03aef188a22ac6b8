import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { run, type RunResult } from '../support/run.ts'
import { databases } from '../support/registry.ts'
import { startStowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool, projectDir, programScript } from '../support/tools.ts'
import { loadFixture, upgradeFixtures } from '../support/upgrade-fixture.ts'

/** Every command that uses the data folder or the database for more than reading its own root key. */
const commands = [['serve'], ['migrate'], ['migrate', '--check', '--json'], ['verify'], ['credentials', 'rotate'], ['keyring', 'rotate']]

/** As a later version would leave its traces: a migration, a table, and a column that earlier ones know nothing of. */
const newer = [
  `insert into kysely_migration (name, timestamp) values ('9998-tomorrow', '2099-01-01T00:00:00.000Z')`,
  `insert into kysely_migration (name, timestamp) values ('9999-the-day-after', '2099-01-02T00:00:00.000Z')`,
  'create table tomorrow (id integer)',
  'alter table repository add column tomorrow integer',
]

const newestFixture = upgradeFixtures.at(-1) ?? ''

let dir: TempDir
beforeEach(() => {
  dir = createTempDir('downgrade')
})
afterEach(() => {
  dir.remove()
})

async function cli(words: readonly string[], databaseUrl: string | undefined): Promise<RunResult> {
  const env = {
    STOWAGE_DATA_DIR: dir.path,
    STOWAGE_LISTEN: '127.0.0.1:0',
    // Its own parts of the folder would be made at the start too.
    STOWAGE_TLS_SELF_SIGNED: 'true',
    ...(databaseUrl === undefined ? {} : { STOWAGE_DATABASE_URL: databaseUrl }),
  }
  return run(process.execPath, [programScript(), ...words], { cwd: projectDir, env, mayFail: true, timeoutMs: 60_000 })
}

function expectRefusal({ exitCode, stderr, stdout }: RunResult, words: readonly string[]): void {
  expect(exitCode, words.join(' ')).toBe(10)
  const said = words[0] === 'serve' ? `${stdout}${stderr}` : stderr
  expect(said).toContain('written by a newer version of Stowage')
  expect(said).toContain('9998-tomorrow, 9999-the-day-after')
  expect(said).toContain('Nothing was changed.')
  expect(said).toContain('Run the version that wrote it or a newer one, or restore a backup')
}

/** Names, modes, times and bytes of everything in a folder. */
function treeOf(path: string): string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { mode, size, mtimeNs } = lstatSync(join(path, name), { bigint: true })
      const isFile = lstatSync(join(path, name)).isFile()
      const hash = isFile ? createHash('sha256').update(readFileSync(join(path, name))).digest('hex') : ''
      return [name, mode, isFile ? size : '', mtimeNs, hash].join(' ')
    })
}

async function dumpOf(url: string): Promise<string> {
  const { stdout } = await run(ensureTool('pg_dump'), [url])
  // A word that each dump makes up for itself.
  return stdout.replaceAll(/^\\(un)?restrict .*$/gmu, '')
}

function runOnFile(statements: readonly string[]): void {
  const database = new DatabaseSync(join(dir.path, 'stowage.db'))
  for (const statement of statements) database.exec(statement)
  database.close()
}

describe('an embedded installation of a newer version', () => {
  it.each(['stopped', 'killed', 'copied without the index of its log'] as const)('that was %s is refused by every command, untouched', async (state) => {
    await loadFixture(newestFixture, 'sqlite', dir.path)
    if (state === 'stopped') runOnFile(newer)
    else await writeAndBeKilled()
    if (state === 'copied without the index of its log') rmSync(join(dir.path, 'stowage.db-shm'))

    const names = readdirSync(dir.path)
    expect(names.includes('stowage.db-wal')).toBe(state !== 'stopped')
    const before = treeOf(dir.path)
    for (const words of state === 'copied without the index of its log' ? [['serve']] : commands) {
      expectRefusal(await cli(words, undefined), words)
      // SQLite can read such a log only with its index, a file that holds nothing of its own.
      if (state !== 'copied without the index of its log') expect(treeOf(dir.path), words.join(' ')).toEqual(before)
      else rmSync(join(dir.path, 'stowage.db-shm'), { force: true })
    }
    // And the version that wrote it still opens it: here, after its traces are taken away.
    runOnFile([`delete from kysely_migration where name like '999%'`])
    const stowage = await startStowage({ dataDir: dir.path, keys: 'kept' })
    await stowage.stop()
  })

  /** The newer version's commits are in the log only, as after kill -9. */
  async function writeAndBeKilled(): Promise<void> {
    const script = `
      import { DatabaseSync } from 'node:sqlite'
      const database = new DatabaseSync(${JSON.stringify(join(dir.path, 'stowage.db'))})
      database.exec('pragma wal_autocheckpoint = 0')
      for (const statement of ${JSON.stringify(newer)}) database.exec(statement)
      process.kill(process.pid, 'SIGKILL')`
    await expect(run(process.execPath, ['--input-type=module', '-e', script])).rejects.toThrow('SIGKILL')
  }
})

describe('a PostgreSQL installation of a newer version', () => {
  it('is refused by every command: no row, table or file changes', async () => {
    const { databaseUrl = '' } = await loadFixture(newestFixture, 'postgres', dir.path)
    const client = new pg.Client({ connectionString: databaseUrl })
    await client.connect()
    for (const statement of newer) await client.query(statement)
    await client.end()

    const before = { tree: treeOf(dir.path), dump: await dumpOf(databaseUrl) }
    for (const words of commands) {
      expectRefusal(await cli(words, databaseUrl), words)
      expect({ tree: treeOf(dir.path), dump: await dumpOf(databaseUrl) }, words.join(' ')).toEqual(before)
    }
  })

  it('is refused where the data folder is not there yet, and none is made', async () => {
    const { databaseUrl = '' } = await loadFixture(newestFixture, 'postgres', dir.path)
    const client = new pg.Client({ connectionString: databaseUrl })
    await client.connect()
    for (const statement of newer) await client.query(statement)
    await client.end()
    dir.remove()

    for (const words of [['serve'], ['migrate']]) expectRefusal(await cli(words, databaseUrl), words)
    expect(() => readdirSync(dir.path)).toThrow('ENOENT')
  })
})

describe.each(databases)('`migrate --check` on %s', (kind) => {
  it('changes nothing, also beside a server that runs, and before the first start', async () => {
    const { databaseUrl } = await loadFixture(newestFixture, kind, dir.path)
    const before = { tree: treeOf(dir.path), dump: databaseUrl === undefined ? '' : await dumpOf(databaseUrl) }
    expect([0, 6]).toContain((await cli(['migrate', '--check'], databaseUrl)).exitCode)
    expect({ tree: treeOf(dir.path), dump: databaseUrl === undefined ? '' : await dumpOf(databaseUrl) }).toEqual(before)

    const stowage = await startStowage({ dataDir: dir.path, keys: 'kept', ...(databaseUrl === undefined ? {} : { databaseUrl }) })
    const check = await cli(['migrate', '--check'], databaseUrl)
    await stowage.stop()
    expect([check.exitCode, check.stdout]).toEqual([0, 'The database is up to date.\n'])
  })
})

it('`migrate --check` makes no folder for an installation that is not there', async () => {
  dir.remove()
  const check = await cli(['migrate', '--check'], undefined)
  expect(check.exitCode).toBe(6)
  expect(check.stdout).toContain('0001-foundation')
  expect(() => readdirSync(dir.path)).toThrow('ENOENT')
})

import { existsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MetadataTarget, PostgresTarget } from '../target.ts'
import { openRawDatabase, transaction, unusable, type RawDatabase } from './raw-database.ts'

/** A connection that was just closed, such as ours for the migrations, is still listed for a moment. */
const looksAtServers = 20
const lookIntervalMs = 100

/**
 * A place for metadata that gets new content whole or not at all. The new database is made beside the present one, and
 * then takes its place in one step, which puts the present one aside under a name of its own: nothing is destroyed.
 */
export interface MetadataExchange {
  /** What the place holds: `foreign` tables are not Stowage's and never touched. */
  look(): Promise<'empty' | 'installation' | 'foreign'>
  /** Where the new content is to be made: empty, whatever an earlier attempt left there. */
  prepare(): Promise<MetadataTarget>
  /**
   * Makes the prepared content, durable, the present one. An attempt that was cut short after this step is repeated from
   * `prepare` on, and puts nothing aside a second time.
   */
  install(): Promise<void>
  /** What was put aside; undefined when there was nothing. */
  replaced(): Promise<MetadataTarget | undefined>
  /** The same for people: a file, or a schema. */
  readonly replacedName: string
}

/** @param id of this restore, and of every attempt to repeat it: lower-case letters and digits */
export function metadataExchange(target: MetadataTarget, id: string): MetadataExchange {
  return 'file' in target ? fileExchange(target.file, id) : schemaExchange(target.url, id)
}

function fileExchange(file: string, id: string): MetadataExchange {
  const staging = `${file}.restoring`
  const aside = `${file}.before-${id}`
  return {
    replacedName: aside,
    async look() {
      return existsSync(file) ? 'installation' : 'empty'
    },
    async prepare() {
      await removeDatabase(staging)
      return { file: staging }
    },
    async install() {
      await foldLog(staging)
      await flush(staging)
      if (existsSync(aside)) await removeDatabase(file)
      else if (existsSync(file)) await putAside(file, aside)
      // A log without its database would be taken for the new one's.
      for (const suffix of ['-wal', '-shm']) await rm(`${file}${suffix}`, { force: true })
      await rename(staging, file)
      await flush(dirname(file))
    },
    async replaced() {
      return existsSync(aside) ? { file: aside } : undefined
    },
  }
}

/** A database whose log cannot be folded in keeps it: the two go together. */
async function putAside(file: string, aside: string): Promise<void> {
  await foldLog(file).catch(() => undefined)
  for (const suffix of ['-wal', '-shm', '']) {
    if (existsSync(`${file}${suffix}`)) await rename(`${file}${suffix}`, `${aside}${suffix}`)
  }
  await flush(dirname(file))
}

async function foldLog(file: string): Promise<void> {
  const db = await openRawDatabase({ file }, { readOnly: false })
  try {
    await db.query('pragma wal_checkpoint(truncate)')
  } finally {
    await db.close()
  }
}

async function removeDatabase(file: string): Promise<void> {
  for (const suffix of ['', '-wal', '-shm', '-journal']) await rm(`${file}${suffix}`, { force: true })
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function schemaExchange(url: string, id: string): MetadataExchange {
  const staging = 'stowage_restoring'
  const aside = `stowage_before_${id}`
  const using = async <Result>(work: (db: RawDatabase) => Promise<Result>): Promise<Result> => {
    const db = await openRawDatabase({ url }, { readOnly: false })
    try {
      return await work(db)
    } finally {
      await db.close()
    }
  }
  return {
    replacedName: `the schema ${aside}`,
    look: () =>
      using(async (db) => {
        const tables = await tablesOf(db, await currentSchema(db))
        if (tables.length === 0) return 'empty'
        return tables.includes('kysely_migration') ? 'installation' : 'foreign'
      }),
    prepare: () =>
      using(async (db) => {
        await assertNobodyServes(db)
        await db.query(`drop schema if exists ${staging} cascade`)
        await db.query(`create schema ${staging}`)
        return inSchema(url, staging)
      }),
    install: () =>
      using(async (db) => {
        await assertNobodyServes(db)
        const schema = await currentSchema(db)
        await transaction(db, 'begin', async () => {
          const present = await tablesOf(db, schema)
          const isRepeated = await hasSchema(db, aside)
          if (present.length > 0 && !isRepeated) await db.query(`create schema ${aside}`)
          if (isRepeated && present.length > 0) await db.query(`drop table ${present.map((name) => `${quoted(schema)}.${quoted(name)}`).join(', ')} cascade`)
          else await move(db, present, schema, aside)
          await move(db, await tablesOf(db, staging), staging, schema)
          await db.query(`drop schema ${staging}`)
        })
      }),
    replaced: () => using(async (db) => ((await hasSchema(db, aside)) ? inSchema(url, aside) : undefined)),
  }
}

/** A server would write into tables that are about to go, or remember what is no longer so. */
async function assertNobodyServes(db: RawDatabase): Promise<void> {
  let count: unknown
  for (let look = 0; look < looksAtServers; look += 1) {
    if (look > 0) await sleep(lookIntervalMs)
    const [row] = await db.query(
      `select count(*) from pg_stat_activity where datname = current_database() and application_name = 'stowage'`,
    )
    count = row?.[0]
    if (count === 0) return
  }
  throw unusable(`${String(count)} connections of Stowage servers use this database: stop all of them first`)
}

async function currentSchema(db: RawDatabase): Promise<string> {
  const [[schema] = []] = await db.query('select current_schema()::text')
  if (typeof schema !== 'string') throw unusable('the database user has no schema of its own to use')
  return schema
}

async function tablesOf(db: RawDatabase, schema: string): Promise<string[]> {
  const rows = await db.query(`select table_name::text from information_schema.tables where table_schema = $1 order by table_name`, [schema])
  return rows.map(([name]) => String(name))
}

async function hasSchema(db: RawDatabase, name: string): Promise<boolean> {
  return (await db.query('select 1::bigint from pg_namespace where nspname = $1', [name])).length > 0
}

/** What belongs to a table, such as its indexes and the counter of its ids, goes with it. */
async function move(db: RawDatabase, tables: readonly string[], from: string, to: string): Promise<void> {
  for (const name of tables) await db.query(`alter table ${quoted(from)}.${quoted(name)} set schema ${quoted(to)}`)
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function inSchema(url: string, schema: string): PostgresTarget {
  const inside = new URL(url)
  inside.searchParams.set('options', `-c search_path=${schema}`)
  return { url: inside.toString(), schema }
}

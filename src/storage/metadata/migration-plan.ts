import { PlatformError } from '../../internal/platform-error.ts'
import { storageError } from '../errors.ts'
import { migrations } from './migrations/index.ts'
import type { MigrationDescription } from './migrations/migration.ts'
import { inTransaction, PostgresConnection } from './postgres/connection.ts'
import { newPool, translate } from './postgres/database.ts'
import { Session } from './session.ts'
import { readUntouched } from './sqlite/untouched.ts'
import type { Compilable, DialectName } from './statement.ts'
import type { MetadataTarget } from './target.ts'

/** A migration that has not run yet. */
export interface PendingMigration extends MigrationDescription {
  readonly name: string
  /** Rows of the tables it rewrites, as far as the database knows without counting long; 0 where it rewrites none. */
  readonly rows: number
  readonly duration: MigrationDuration
}

/** The order of magnitude on an ordinary disk. */
export type MigrationDuration = 'a moment' | 'seconds' | 'minutes' | 'hours'

/** What bringing a database to this program's form would do. */
export interface MigrationPlan {
  readonly database: DialectName
  /** In the order of their names. */
  readonly applied: string[]
  readonly pending: PendingMigration[]
}

/** A database is read a few ten thousand rows a second and written about as fast, so these are seconds with some air. */
const rowsWithin: readonly (readonly [maxRows: number, MigrationDuration])[] = [
  [20_000, 'a moment'],
  [1_000_000, 'seconds'],
  [60_000_000, 'minutes'],
]

/** The name of the newest migration of this program: what form it brings a database to. */
export function newestMigration(): string {
  const newest = Object.keys(migrations('sqlite')).at(-1)
  if (newest === undefined) throw new Error('there are no migrations')
  return newest
}

/**
 * Reads, and changes nothing: no file is made or written, no row, no table. Works beside running servers.
 *
 * Throws `database-newer` for one that a newer Stowage has written, and `storage-unavailable`.
 */
export async function planMigrations(target: MetadataTarget): Promise<MigrationPlan> {
  const dialect: DialectName = 'file' in target ? 'sqlite' : 'postgres'
  const known = migrations(dialect)
  return reading(target, async (session) => {
    const applied = session === undefined ? [] : await appliedMigrations(session)
    const unknown = applied.filter((name) => !Object.hasOwn(known, name))
    if (unknown.length > 0) throw newerDatabase(unknown)
    const pending: PendingMigration[] = []
    for (const [name, { description }] of Object.entries(known)) {
      if (applied.includes(name)) continue
      let rows = 0
      // In a database without tables there is nothing to rewrite.
      if (session !== undefined && applied.length > 0) {
        for (const table of description.rewrites) rows += await rowCount(session, table)
      }
      pending.push({ name, ...description, rows, duration: durationOf(rows) })
    }
    return { database: dialect, applied, pending }
  })
}

/**
 * Refuses a database that a newer Stowage has written, whose rows this one would misread. Call it before anything is
 * touched, the data folder included. Throws `database-newer` and `storage-unavailable`.
 */
export async function refuseNewerDatabase(target: MetadataTarget): Promise<void> {
  await planMigrations(target)
}

/**
 * For whoever reads without migrating: the database must have exactly the form that this program knows. Throws
 * `storage-unavailable` with what to do about one that is older or none at all.
 */
export function requireOwnForm({ applied, pending }: MigrationPlan): void {
  if (applied.length === 0) throw storageError('storage-unavailable', 'this database is empty or not one of Stowage')
  if (pending.length > 0) {
    throw storageError(
      'storage-unavailable',
      'this database was written by an older version of Stowage: bring it up to date with `stowage migrate`, or use that version',
    )
  }
}

function newerDatabase(unknown: readonly string[]): PlatformError {
  const names = unknown.join(', ')
  return new PlatformError(
    'database-newer',
    `this database was written by a newer version of Stowage: it has ${unknown.length === 1 ? 'a migration' : 'migrations'} that this version does not know (${names}). Nothing was changed.`,
    { detail: { unknown } },
  )
}

async function reading<Result>(target: MetadataTarget, read: (session: Session | undefined) => Promise<Result>): Promise<Result> {
  // Where there is no file there is no session either: an object tells that apart from what was read.
  if ('file' in target) return (await readUntouched(target.file, async (session) => ({ read: await read(session) })))?.read ?? read(undefined)
  const pool = newPool({ url: target.url, maxConnections: 1, onConnectionLost: () => undefined })
  try {
    return await inTransaction(pool, 'begin read only', (client) =>
      read(new Session(new PostgresConnection(client, new Map(), () => undefined))),
    )
  } catch (error) {
    throw translate(error)
  } finally {
    await pool.end()
  }
}

async function appliedMigrations(session: Session): Promise<string[]> {
  if (!(await hasTable(session, 'kysely_migration'))) return []
  const rows = await session.query(fixed<{ name: string }>('select name from kysely_migration order by name'))
  return rows.map(({ name }) => name)
}

async function hasTable(session: Session, name: string): Promise<boolean> {
  const found =
    session.dialect === 'sqlite'
      ? `select name from sqlite_schema where type = 'table' and name = '${name}'`
      : `select '${name}' as name where to_regclass('${name}') is not null`
  return (await session.query(fixed(found))).length > 0
}

async function rowCount(session: Session, table: string): Promise<number> {
  // One of a later version than the database's is made by a migration that is pending as well.
  if (!(await hasTable(session, table))) return 0
  if (session.dialect === 'postgres') {
    const [estimate] = await session.query(fixed<{ rows: number }>(`select reltuples::bigint as rows from pg_class where oid = '${table}'::regclass`))
    // It has none before the table's first analysis, and the table is small then.
    if (estimate !== undefined && estimate.rows >= 0) return estimate.rows
  }
  const [count] = await session.query(fixed<{ rows: number }>(`select count(*) as rows from ${table}`))
  return count?.rows ?? 0
}

function durationOf(rows: number): MigrationDuration {
  return rowsWithin.find(([maxRows]) => rows < maxRows)?.[1] ?? 'hours'
}

/** A statement as it is written, for a session to run. */
function fixed<Row>(sql: string): Compilable<Row> {
  return {
    compile: () => ({ sql, parameters: [] }),
    execute: () => Promise.reject(new Error('sessions run statements')),
  }
}

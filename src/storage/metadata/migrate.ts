import { Kysely, PostgresDialect, SqliteAdapter, SqliteDialect } from 'kysely'
import { Migrator } from 'kysely/migration'
import { storageError } from '../errors.ts'
import { migrations } from './migrations/index.ts'
import { newPool, translate } from './postgres/database.ts'
import { openSqlite, translateSqliteError } from './sqlite/connection.ts'
import type { DialectName } from './statement.ts'

/** Where the metadata lives: a file, or a PostgreSQL database. */
export type MetadataTarget = { readonly file: string } | { readonly url: string }

export interface MigrationReport {
  /** Names that were waiting before this call. */
  readonly pending: string[]
  /** Names applied by it: none with `check`. */
  readonly applied: string[]
}

/**
 * Brings a database to this program's schema. Safe to run from several processes at once: one migrates, the others
 * wait. A database written by a newer Stowage is refused before anything is touched.
 *
 * Throws `storage-unavailable`.
 */
export async function migrateMetadata(target: MetadataTarget, options: { check: boolean }): Promise<MigrationReport> {
  const dialect: DialectName = 'file' in target ? 'sqlite' : 'postgres'
  const known = migrations(dialect)
  const db = 'file' in target ? sqliteKysely(target.file) : postgresKysely(target.url)
  try {
    const migrator = new Migrator({ db, provider: { getMigrations: () => Promise.resolve(known) } })
    if (options.check) {
      const all = await migrator.getMigrations()
      return { pending: all.filter(({ executedAt }) => executedAt === undefined).map(({ name }) => name), applied: [] }
    }
    const { error, results } = await migrator.migrateToLatest()
    if (error !== undefined) throw error
    const applied = (results ?? []).map(({ migrationName }) => migrationName)
    return { pending: applied, applied }
  } catch (error) {
    const translated = dialect === 'sqlite' ? translateSqliteError(error) : translate(error)
    if (translated !== error) throw translated
    const message = error instanceof Error ? error.message : String(error)
    if (message.startsWith('corrupted migrations')) {
      throw storageError(
        'storage-unavailable',
        `this database was written by another version of Stowage (${message}): run the version that wrote it, or a newer one`,
        { cause: error },
      )
    }
    throw error
  } finally {
    await db.destroy()
  }
}

function postgresKysely(url: string): Kysely<unknown> {
  const pool = newPool({ url, maxConnections: 1, onConnectionLost: () => undefined })
  return new Kysely({ dialect: new PostgresDialect({ pool }) })
}

/** SQLite rolls back its DDL like everything else, which Kysely does not count on: a migration killed half-way leaves no trace. */
class TransactionalSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

class TransactionalSqliteDialect extends SqliteDialect {
  override createAdapter(): SqliteAdapter {
    return new TransactionalSqliteAdapter()
  }
}

/** Kysely's SQLite dialect expects the face of another driver; this is that face over node:sqlite. */
function sqliteKysely(file: string): Kysely<unknown> {
  const database = openSqlite(file, { readOnly: false })
  database.exec('pragma journal_mode = wal; pragma synchronous = full')
  return new Kysely({
    dialect: new TransactionalSqliteDialect({
      database: {
        close: () => {
          database.close()
        },
        prepare: (sql) => {
          // Kysely looks at what has been applied inside the transaction that applies: it must be alone there.
          const statement = database.prepare(sql === 'begin' ? 'begin immediate' : sql)
          type Values = Parameters<typeof statement.all>
          return {
            reader: statement.columns().length > 0,
            all: (values) => statement.all(...(values as Values)),
            run: (values) => statement.run(...(values as Values)),
            iterate: (values) => statement.iterate(...(values as Values)) as IterableIterator<unknown>,
          }
        },
      },
    }),
  })
}

import { Kysely, PostgresDialect, SqliteAdapter, SqliteDialect } from 'kysely'
import { Migrator } from 'kysely/migration'
import { planMigrations } from './migration-plan.ts'
import { migrations } from './migrations/index.ts'
import { newPool, translate } from './postgres/database.ts'
import { openSqlite, translateSqliteError } from './sqlite/connection.ts'
import type { MetadataTarget } from './target.ts'

export type { MetadataTarget }

export interface MigrationReport {
  /** Names that were waiting before this call. */
  readonly pending: string[]
  /** Names applied by it: none with `check`. */
  readonly applied: string[]
}

/** A day: a table that is written anew takes as long as it takes, and so does waiting for another process that does it. */
const migrationTimeoutMs = 24 * 60 * 60 * 1000

/**
 * Brings a database to this program's form, in one transaction: a process killed in it leaves the form from before. Safe to
 * run from several processes at once: one migrates, the others wait.
 *
 * Throws `database-newer` before anything is touched, `storage-full`, `storage-unavailable`.
 */
export async function migrateMetadata(
  target: MetadataTarget,
  options: { check: boolean; /** The last one to run; default: all. */ upTo?: string | undefined },
): Promise<MigrationReport> {
  const plan = await planMigrations(target)
  const pending = plan.pending.map(({ name }) => name)
  // One that has nothing to run is not opened for writing either.
  if (options.check || pending.length === 0) return { pending, applied: [] }
  const db = 'file' in target ? sqliteKysely(target.file) : postgresKysely(target.url)
  try {
    const known = migrations(plan.database)
    const migrator = new Migrator({
      db,
      provider: { getMigrations: () => Promise.resolve(known) },
      ...('url' in target && target.schema !== undefined ? { migrationTableSchema: target.schema } : {}),
    })
    const { error, results } = await (options.upTo === undefined ? migrator.migrateToLatest() : migrator.migrateTo(options.upTo))
    if (error !== undefined) throw error
    return { pending, applied: (results ?? []).map(({ migrationName }) => migrationName) }
  } catch (error) {
    // A newer version may have migrated between our look and our turn: then this says so.
    await planMigrations(target)
    throw plan.database === 'sqlite' ? translateSqliteError(error) : translate(error)
  } finally {
    await db.destroy()
  }
}

function postgresKysely(url: string): Kysely<unknown> {
  const pool = newPool({ url, maxConnections: 1, statementTimeoutMs: migrationTimeoutMs, onConnectionLost: () => undefined })
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

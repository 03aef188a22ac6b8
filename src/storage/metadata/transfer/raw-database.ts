import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import pg from 'pg'
import { storageError } from '../../errors.ts'
import type { MetadataTarget } from '../migrate.ts'
import { driverTypes, translate } from '../postgres/database.ts'
import { openSqlite, translateSqliteError } from '../sqlite/connection.ts'
import type { DialectName } from '../statement.ts'

/** A value as both drivers give and take it. */
export type RawValue = null | number | string | Uint8Array
export type RawRow = readonly RawValue[]

/** One connection, for whoever moves whole tables and learns what they are from the database itself. */
export interface RawDatabase {
  readonly dialect: DialectName
  /** `$1`, `$2` … stand for the values, on SQLite too. */
  query(sql: string, values?: readonly unknown[]): Promise<RawRow[]>
  /** A query's rows, in batches of about a mebibyte however many they are. Inside a transaction, one at a time. */
  stream(sql: string): AsyncIterable<RawRow[]>
  close(): Promise<void>
}

const batchBytes = 1024 * 1024
const maxBatchRows = 1_000

/**
 * Opens a connection that no time-out ends, since tables may be large and what they are written to slow.
 *
 * Throws `storage-unavailable`.
 */
export async function openRawDatabase(target: MetadataTarget, options: { readOnly: boolean }): Promise<RawDatabase> {
  return 'file' in target ? new RawSqlite(openSqlite(target.file, options)) : RawPostgres.connect(target.url)
}

class RawSqlite implements RawDatabase {
  readonly dialect = 'sqlite'
  readonly #database: DatabaseSync
  /** The last one: loading a table repeats it for every row. */
  #prepared: { readonly sql: string; readonly statement: StatementSync } | undefined

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  async query(sql: string, values: readonly unknown[] = []): Promise<RawRow[]> {
    try {
      if (this.#prepared?.sql !== sql) {
        const statement = this.#database.prepare(sql.replaceAll(/\$(\d+)/g, '?$1'))
        statement.setReturnArrays(true)
        this.#prepared = { sql, statement }
      }
      return this.#prepared.statement.all(...(values as SQLInputValue[])) as unknown as RawRow[]
    } catch (error) {
      throw translateSqliteError(error)
    }
  }

  async *stream(sql: string): AsyncGenerator<RawRow[], void, undefined> {
    try {
      const statement = this.#database.prepare(sql)
      statement.setReturnArrays(true)
      let batch: RawRow[] = []
      let bytes = 0
      for (const row of statement.iterate() as unknown as Iterable<RawRow>) {
        batch.push(row)
        bytes += sizeOf(row)
        if (bytes < batchBytes && batch.length < maxBatchRows) continue
        yield batch
        batch = []
        bytes = 0
      }
      if (batch.length > 0) yield batch
    } catch (error) {
      throw translateSqliteError(error)
    }
  }

  async close(): Promise<void> {
    this.#database.close()
  }
}

class RawPostgres implements RawDatabase {
  readonly dialect = 'postgres'
  readonly #client: pg.Client

  constructor(client: pg.Client) {
    this.#client = client
  }

  static async connect(url: string): Promise<RawPostgres> {
    const client = new pg.Client({ connectionString: url, types: driverTypes, connectionTimeoutMillis: 10_000, application_name: 'stowage-backup' })
    // What runs then fails by itself; nobody listening would end the process.
    client.on('error', () => undefined)
    try {
      await client.connect()
    } catch (error) {
      throw translate(error)
    }
    return new RawPostgres(client)
  }

  async query(sql: string, values: readonly unknown[] = []): Promise<RawRow[]> {
    try {
      return (await this.#client.query({ text: sql, values: [...values], rowMode: 'array' })).rows as RawRow[]
    } catch (error) {
      throw translate(error)
    }
  }

  async *stream(sql: string): AsyncGenerator<RawRow[], void, undefined> {
    await this.query(`declare rows_to_move no scroll cursor for ${sql}`)
    // The size of rows is known once some came: begins small, and grows as far as a batch's bytes allow.
    let count = 16
    for (;;) {
      const rows = await this.query(`fetch ${count} from rows_to_move`)
      if (rows.length > 0) yield rows
      if (rows.length < count) break
      const bytesPerRow = rows.reduce((sum, row) => sum + sizeOf(row), 1) / rows.length
      count = Math.max(1, Math.min(maxBatchRows, 4 * count, Math.floor(batchBytes / bytesPerRow)))
    }
    await this.query('close rows_to_move')
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => undefined)
  }
}

function sizeOf(row: RawRow): number {
  return row.reduce((sum: number, value) => sum + (typeof value === 'string' || value instanceof Uint8Array ? value.length : 8), 0)
}

/** Runs `work` between BEGIN and COMMIT; rolls back what it throws from. */
export async function transaction<Result>(db: RawDatabase, begin: string, work: () => Promise<Result>): Promise<Result> {
  await db.query(begin)
  try {
    const result = await work()
    await db.query('commit')
    return result
  } catch (error) {
    // The reason is the error above; a connection that cannot roll back is closed by whoever opened it.
    await db.query('rollback').catch(() => undefined)
    throw error
  }
}

export function unusable(message: string): Error {
  return storageError('storage-unavailable', message)
}

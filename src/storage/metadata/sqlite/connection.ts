import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { storageError } from '../../errors.ts'
import type { Connection, QueryResult } from '../session.ts'

/** Statements whose shape varies (IN lists) are kept prepared too, up to this many. */
const maxCachedStatements = 500

/** Older ones can corrupt a database when a WAL is reset while a reader starts. */
const oldestSqlite = [3, 51, 3] as const

/** What a checkpoint answers, counted in pages of the log. */
export interface CheckpointReport {
  readonly logPages: number
  /** Of those, how many are in the database file too. */
  readonly copiedPages: number
}

interface Prepared {
  readonly statement: StatementSync
  /** None for a statement that is run for its effect. */
  readonly columns: readonly string[]
}

/**
 * One SQLite connection. `node:sqlite` is synchronous: a call takes microseconds when the query is indexed, which
 * every query here is.
 */
export class SqliteConnection implements Connection {
  readonly dialect = 'sqlite'
  readonly #database: DatabaseSync
  readonly #prepared = new Map<string, Prepared>()
  readonly #onStatement: () => void
  readonly #checkpoints = new Map<string, StatementSync>()

  constructor(database: DatabaseSync, onStatement: () => void) {
    this.#database = database
    this.#onStatement = onStatement
  }

  async run(sql: string, values: readonly unknown[], reuse: boolean): Promise<QueryResult> {
    this.#onStatement()
    try {
      const { statement, columns } = this.#prepare(sql, reuse)
      if (columns.length > 0) return { rows: rowsOf(statement, columns, values as SQLInputValue[]), affected: 0 }
      return { rows: [], affected: Number(statement.run(...(values as SQLInputValue[])).changes) }
    } catch (error) {
      throw translateSqliteError(error)
    }
  }

  exec(sql: string): void {
    try {
      this.#database.exec(sql)
    } catch (error) {
      throw translateSqliteError(error)
    }
  }

  /** False too when SQLite has ended the transaction by itself, as it does after some errors. */
  get isTransaction(): boolean {
    return this.#database.isTransaction
  }

  /**
   * Copies the log into the database file as far as readers let it: `passive` waits for nobody, `truncate` waits for
   * them and empties the log, `noop` only counts (5 µs). Not in a transaction.
   */
  checkpoint(mode: 'noop' | 'passive' | 'truncate'): CheckpointReport {
    try {
      let statement = this.#checkpoints.get(mode)
      if (!statement) this.#checkpoints.set(mode, (statement = this.#database.prepare(`pragma wal_checkpoint(${mode})`)))
      const { log, checkpointed } = statement.get() as { log: number; checkpointed: number }
      return { logPages: log, copiedPages: checkpointed }
    } catch (error) {
      throw translateSqliteError(error)
    }
  }

  close(): void {
    this.#prepared.clear()
    this.#checkpoints.clear()
    this.#database.close()
  }

  #prepare(sql: string, reuse: boolean): Prepared {
    const known = this.#prepared.get(sql)
    if (known) return known
    const statement = this.#database.prepare(sql)
    statement.setReturnArrays(true)
    const prepared = { statement, columns: statement.columns().map(({ name }) => name) }
    if (reuse || this.#prepared.size < maxCachedStatements) this.#prepared.set(sql, prepared)
    return prepared
  }
}

/**
 * Rows as objects. The driver's own objects are hash tables: a page of a hundred takes twice the time with them, and V8
 * moves many of them to the old generation, which then grew to a hundred megabytes of garbage under load.
 */
function rowsOf(statement: StatementSync, columns: readonly string[], values: SQLInputValue[]): unknown[] {
  // Typed as objects, and arrays since `setReturnArrays`.
  const rows = statement.all(...values) as unknown as unknown[][]
  return rows.map((cells) => {
    const row: Record<string, unknown> = {}
    for (let n = 0; n < columns.length; n += 1) row[columns[n]!] = cells[n]
    return row
  })
}

/** Opens a database file. Throws `storage-unavailable` with a text that says what to do. */
export function openSqlite(file: string, options: { readOnly: boolean }): DatabaseSync {
  let database: DatabaseSync
  try {
    database = new DatabaseSync(file, { readOnly: options.readOnly, timeout: 10_000 })
  } catch (error) {
    throw storageError('storage-unavailable', `cannot open the database file ${file}: ${messageOf(error)}`, { cause: error })
  }
  const { version } = database.prepare('select sqlite_version() as version').get() as { version: string }
  const parts = version.split('.').map(Number)
  const order = oldestSqlite.map((part, index) => (parts[index] ?? 0) - part).find((difference) => difference !== 0)
  if (order !== undefined && order < 0) {
    database.close()
    throw storageError(
      'storage-unavailable',
      `this Node has SQLite ${version}, and Stowage needs ${oldestSqlite.join('.')} or newer (older ones can lose data): use a newer Node`,
    )
  }
  // Temporary sorts stay in memory; 16 MiB of page cache for each connection.
  database.exec('pragma temp_store = memory; pragma cache_size = -16384; pragma foreign_keys = on')
  return database
}

/** What is wrong with the file or its disk, rather than with a statement. */
export type SqliteFault = 'busy' | 'full' | 'broken'

/** SQLite's primary result codes. BUSY and FULL pass: nothing was changed. Of the others nobody knows what is on the disk. */
const faults: Readonly<Record<number, SqliteFault>> = {
  5: 'busy', // BUSY
  8: 'broken', // READONLY
  10: 'broken', // IOERR, a failed flush among them
  11: 'broken', // CORRUPT
  13: 'full', // FULL
  14: 'broken', // CANTOPEN
  26: 'broken', // NOTADB
}

/** Classifies an error of SQLite, translated or not; undefined for every other one. */
export function sqliteFault(error: unknown): SqliteFault | undefined {
  const { errcode, cause } = error as { errcode?: number; cause?: unknown }
  // The low byte is the primary code, the rest says more.
  if (errcode !== undefined) return faults[errcode & 0xff]
  return cause instanceof Error ? sqliteFault(cause) : undefined
}

export function translateSqliteError(error: unknown): unknown {
  switch (sqliteFault(error)) {
    case 'full':
      return storageError('storage-full', 'the disk that holds the metadata is full', { cause: error })
    case 'busy':
      return storageError(
        'storage-unavailable',
        'another program has locked the database file: try again when it has let go of it',
        { cause: error },
      )
    case 'broken':
      return storageError('storage-unavailable', `the metadata cannot be read or written: ${messageOf(error)}`, { cause: error })
    case undefined:
      return error
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

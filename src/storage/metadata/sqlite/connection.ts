import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { storageError } from '../../errors.ts'
import type { Connection, QueryResult } from '../session.ts'

/** Statements whose shape varies (IN lists) are kept prepared too, up to this many. */
const maxCachedStatements = 500

/** Older ones can corrupt a database when a WAL is reset while a reader starts. */
const oldestSqlite = [3, 51, 3] as const

interface Prepared {
  readonly statement: StatementSync
  readonly returnsRows: boolean
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

  constructor(database: DatabaseSync, onStatement: () => void) {
    this.#database = database
    this.#onStatement = onStatement
  }

  async run(sql: string, values: readonly unknown[], reuse: boolean): Promise<QueryResult> {
    this.#onStatement()
    try {
      const { statement, returnsRows } = this.#prepare(sql, reuse)
      if (returnsRows) return { rows: statement.all(...(values as SQLInputValue[])), affected: 0 }
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

  close(): void {
    this.#prepared.clear()
    this.#database.close()
  }

  #prepare(sql: string, reuse: boolean): Prepared {
    const known = this.#prepared.get(sql)
    if (known) return known
    const statement = this.#database.prepare(sql)
    const prepared = { statement, returnsRows: statement.columns().length > 0 }
    if (reuse || this.#prepared.size < maxCachedStatements) this.#prepared.set(sql, prepared)
    return prepared
  }
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

/** SQLITE_FULL and the disk-full flavour of SQLITE_IOERR. */
const fullCodes = new Set([13])
/** The primary codes that say that the file or the disk, not the statement, is at fault: IOERR, CORRUPT, CANTOPEN, NOTADB, READONLY. */
const brokenCodes = new Set([8, 10, 11, 14, 26])

export function translateSqliteError(error: unknown): unknown {
  const code = (error as { errcode?: number }).errcode
  if (code === undefined) return error
  // The low byte is the primary code, the rest says more.
  const primary = code & 0xff
  if (fullCodes.has(primary)) {
    return storageError('storage-full', 'the disk that holds the metadata is full', { cause: error })
  }
  if (brokenCodes.has(primary)) {
    return storageError('storage-unavailable', `the metadata cannot be read or written: ${messageOf(error)}`, { cause: error })
  }
  return error
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

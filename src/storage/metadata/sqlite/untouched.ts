import { existsSync, statSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { DatabaseSync } from 'node:sqlite'
import { openSqlite, SqliteConnection, translateSqliteError } from './connection.ts'
import { Session } from '../session.ts'

/**
 * Reads a database file without leaving a trace in its folder: an ordinary connection, a read-only one too, makes files
 * beside it or writes to them. Also beside a server that runs, and where one was killed. Undefined where there is no database.
 *
 * Throws `storage-unavailable`.
 */
export async function readUntouched<Result>(file: string, read: (session: Session) => Promise<Result>): Promise<Result | undefined> {
  for (let attempt = 1; ; attempt++) {
    if (!existsSync(file) || statSync(file).size === 0) return undefined
    const database = open(file)
    try {
      return await read(new Session(new SqliteConnection(database, () => undefined)))
    } catch (error) {
      // Whoever had it open has closed it since we looked, and took the index along: looked at anew it is another case.
      if (attempt === mostAttempts || !isCannotOpen(error)) throw translateSqliteError(error)
    } finally {
      database.close()
    }
    await setTimeout(attempt * 10)
  }
}

/** Each takes somebody to open and close the database at the same moment. */
const mostAttempts = 10

/** https://www.sqlite.org/rescode.html#cantopen */
const cannotOpenCode = 14

function isCannotOpen(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if ('errcode' in error && typeof error.errcode === 'number') return (error.errcode & 0xff) === cannotOpenCode
  return isCannotOpen(error.cause)
}

function open(file: string): DatabaseSync {
  const log = statSync(`${file}-wal`, { throwIfNoEntry: false })
  const hasIndex = existsSync(`${file}-shm`)
  // No server has it open, and the last one copied its whole log.
  if (!hasIndex && (log === undefined || log.size === 0) && !existsSync(`${file}-journal`)) return openByUrl(file, 'immutable')
  // The index of the log is used where a server runs, and where it has gone built anew in memory.
  if (hasIndex) return openByUrl(file, 'readonly_shm')
  // A log without its index was copied by somebody, and a journal was left by a kill in the file's first moments: SQLite mends
  // both, as it would at a start.
  return openSqlite(file, { readOnly: false })
}

function openByUrl(file: string, parameter: 'immutable' | 'readonly_shm'): DatabaseSync {
  const url = pathToFileURL(file)
  url.searchParams.set(parameter, '1')
  try {
    return new DatabaseSync(url, { readOnly: true, timeout: 10_000 })
  } catch (error) {
    throw translateSqliteError(error)
  }
}

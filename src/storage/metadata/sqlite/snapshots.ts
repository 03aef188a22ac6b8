import { storageError } from '../../errors.ts'
import { Session } from '../session.ts'
import type { SqliteConnection } from './connection.ts'

/** Snapshots at the same moment; each is a connection, and each ends within milliseconds. */
const maxConnections = 2

interface Wanting {
  readonly resolve: (connection: SqliteConnection) => void
  readonly reject: (error: unknown) => void
}

/** Read transactions, on a few connections that take turns. */
export class Snapshots {
  readonly #openReader: () => SqliteConnection
  readonly #idle: SqliteConnection[] = []
  readonly #wanting: Wanting[] = []
  /** Idle ones and those in use. */
  #connections = 0
  #closing: { readonly promise: Promise<undefined>; readonly resolve: (value: undefined) => void } | undefined

  constructor(openReader: () => SqliteConnection) {
    this.#openReader = openReader
  }

  /** Throws what `read` threw, or `storage-unavailable` when its statements did not all see the same moment. */
  async run<Result>(read: (session: Session) => Promise<Result>): Promise<Result> {
    const connection = await this.#take()
    let result: Result
    try {
      connection.exec('begin')
      result = await read(new Session(connection))
    } catch (error) {
      this.#giveBack(connection, endTransaction(connection))
      throw error
    }
    const wasWhole = endTransaction(connection)
    this.#giveBack(connection, wasWhole)
    if (!wasWhole) throw storageError('storage-unavailable', 'the database ended a snapshot before its time: try again')
    return result
  }

  /** Refuses what waits, and resolves when what runs has ended. */
  async close(): Promise<void> {
    this.#closing ??= Promise.withResolvers<undefined>()
    for (const { reject } of this.#wanting.splice(0)) reject(closedError())
    for (const connection of this.#idle.splice(0)) this.#drop(connection)
    if (this.#connections > 0) await this.#closing.promise
  }

  async #take(): Promise<SqliteConnection> {
    if (this.#closing) throw closedError()
    return new Promise((resolve, reject) => {
      this.#wanting.push({ resolve, reject })
      this.#serve()
    })
  }

  /** One that is no longer usable makes room for a new one. */
  #giveBack(connection: SqliteConnection, isUsable: boolean): void {
    if (isUsable && !this.#closing) this.#idle.push(connection)
    else this.#drop(connection)
    this.#serve()
  }

  #serve(): void {
    while (this.#idle.length > 0 || this.#connections < maxConnections) {
      const next = this.#wanting.shift()
      if (!next) return
      try {
        next.resolve(this.#idle.pop() ?? this.#open())
      } catch (error) {
        next.reject(error)
      }
    }
  }

  #open(): SqliteConnection {
    const connection = this.#openReader()
    this.#connections += 1
    return connection
  }

  #drop(connection: SqliteConnection): void {
    this.#connections -= 1
    try {
      connection.close()
    } catch {
      // It is not used again either way.
    }
    if (this.#connections === 0) this.#closing?.resolve(undefined)
  }
}

/** False for a connection whose transaction had ended by itself, or will not end: nothing is certain about it. */
function endTransaction(connection: SqliteConnection): boolean {
  try {
    if (!connection.isTransaction) return false
    // Nothing was written, so nothing is lost; unlike COMMIT it also ends one that had an error.
    connection.exec('rollback')
    return !connection.isTransaction
  } catch {
    return false
  }
}

function closedError(): Error {
  return storageError('storage-unavailable', 'the metadata database is closed')
}

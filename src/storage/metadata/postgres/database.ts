import pg from 'pg'
import { PlatformError } from '../../../internal/platform-error.ts'
import { storageError } from '../../errors.ts'
import type { Command, CommandContext } from '../command.ts'
import { newDatabaseCounters, type MetadataDatabase } from '../database.ts'
import { Session, type Connection, type QueryResult } from '../session.ts'

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`; never logged. */
  readonly url: string
  readonly maxConnections: number
  /** Called for a connection lost while idle: worth a line in the log, no more. */
  readonly onConnectionLost: (error: Error) => void
}

/** Deadlock and serialization failure: the command did nothing and may run again. */
const retryableStates = new Set(['40001', '40P01'])
const maxAttempts = 5
/** disk_full; configuration_limit_exceeded is its neighbour on some managed servers. */
const fullStates = new Set(['53100', '53400'])
/** Longer than any command takes; a statement that hangs must not hold its locks for ever. */
const statementTimeoutMs = 30_000
const connectTimeoutMs = 10_000

const types = {
  getTypeParser(oid: number, format?: string): unknown {
    // int8: all of ours are times, sizes and ids, which a double holds exactly.
    if (oid === 20) return Number
    return pg.types.getTypeParser(oid, format as 'text')
  },
}

class PostgresConnection implements Connection {
  readonly dialect = 'postgres'
  readonly #client: { query(query: pg.QueryConfig): Promise<pg.QueryResult> }
  readonly #names: Map<string, string>
  readonly #onStatement: () => void

  constructor(
    client: { query(query: pg.QueryConfig): Promise<pg.QueryResult> },
    names: Map<string, string>,
    onStatement: () => void,
  ) {
    this.#client = client
    this.#names = names
    this.#onStatement = onStatement
  }

  async run(sql: string, values: readonly unknown[], reuse: boolean): Promise<QueryResult> {
    this.#onStatement()
    const config: pg.QueryConfig = { text: sql, values: [...values] }
    if (reuse) {
      let name = this.#names.get(sql)
      if (name === undefined) this.#names.set(sql, (name = `s${this.#names.size}`))
      config.name = name
    }
    const { rows, rowCount } = await this.#client.query(config)
    return { rows: rows as unknown[], affected: rowCount ?? 0 }
  }
}

/** Opens a migrated database. Commands run as READ COMMITTED transactions and state their locks themselves. */
export async function openPostgresDatabase(options: PostgresOptions): Promise<MetadataDatabase> {
  const pool = newPool(options)
  const counters = newDatabaseCounters()
  const countStatement = (): void => {
    counters.statements += 1
  }
  // Names of prepared statements: the same text has the same name on every connection.
  const names = new Map<string, string>()
  const reader = new PostgresConnection(
    { query: (query) => translated(() => pool.query(query)) },
    names,
    countStatement,
  )

  const transact = async <Result>(begin: string, body: (session: Session) => Promise<Result>): Promise<Result> => {
    const client = await translated(() => pool.connect())
    let lost = false
    try {
      await client.query(begin)
      const result = await body(new Session(new PostgresConnection(client, names, countStatement)))
      await client.query('commit')
      return result
    } catch (error) {
      try {
        await client.query('rollback')
      } catch {
        lost = true
      }
      throw error
    } finally {
      client.release(lost)
    }
  }

  const execute = async <Input, Result>(
    command: Command<Input, Result>,
    input: Input,
    context: CommandContext,
  ): Promise<Result> => {
    // As on SQLite: only session rows may lose their last moments to a power cut.
    const begin =
      command.durability === 'process'
        ? 'begin isolation level read committed; set local synchronous_commit = off'
        : 'begin isolation level read committed'
    for (let attempt = 1; ; attempt += 1) {
      try {
        const result = await transact(begin, (session) => command.run(session, input, context))
        counters.commits += 1
        if (command.durability === 'durable') counters.durableCommits += 1
        return result
      } catch (error) {
        if (attempt < maxAttempts && retryableStates.has(stateOf(error) ?? '')) continue
        throw translate(error)
      }
    }
  }

  return {
    dialect: 'postgres',
    counters,
    reader: new Session(reader),
    snapshot: (read) =>
      translated(() => transact('begin isolation level repeatable read read only', read)),
    execute,
    async ping() {
      await translated(() => pool.query('select 1'))
    },
    async close() {
      await pool.end()
    },
  }
}

/** A pool whose connections come up with Stowage's settings. */
export function newPool(options: PostgresOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.maxConnections,
    types,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs,
    application_name: 'stowage',
  })
  pool.on('error', options.onConnectionLost)
  return pool
}

async function translated<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    throw translate(error)
  }
}

function stateOf(error: unknown): string | undefined {
  return (error as { code?: string } | undefined)?.code
}

/**
 * Connection trouble, refused logins, shutdowns and a full disk are storage failures; everything else is either the domain's own
 * (passed through) or a fault of the program. Messages of the driver can name the host and never the password.
 */
export function translate(error: unknown): unknown {
  if (error instanceof PlatformError) return error
  const state = stateOf(error)
  if (state !== undefined && fullStates.has(state)) {
    return storageError('storage-full', 'the database server has no space left', { cause: error })
  }
  const message = error instanceof Error ? error.message : String(error)
  const networkTrouble = state !== undefined && /^(ECONN[A-Z]+|ENOTFOUND|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN|08...|28...|3D000|57P0.|53300)$/.test(state)
  const driverTrouble = /terminat|timeout|Connection|connect/i.test(message) && state === undefined
  if (networkTrouble || driverTrouble) {
    return storageError('storage-unavailable', `the database cannot be reached: ${message}`, { cause: error })
  }
  return error
}

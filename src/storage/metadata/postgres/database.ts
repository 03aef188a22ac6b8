import pg from 'pg'
import type { IdSource } from '../../../internal/ids.ts'
import { PlatformError } from '../../../internal/platform-error.ts'
import { storageError } from '../../errors.ts'
import type { Command, CommandContext } from '../command.ts'
import { newDatabaseCounters, type MetadataDatabase, type PoolUse } from '../database.ts'
import { Session } from '../session.ts'
import { inTransaction, PostgresConnection, type QueryRunner } from './connection.ts'
import { stateOf, withRetries } from './retry.ts'

export interface PoolOptions {
  /** `postgres://user:password@host:port/database`; never logged. */
  readonly url: string
  readonly maxConnections: number
  /** How long a statement may take. Default: longer than any command takes. */
  readonly statementTimeoutMs?: number
  /** How long a statement waits for another's lock; default: until its own time-out. */
  readonly lockTimeoutMs?: number
  /** Called for a connection lost while idle: worth a line in the log, no more. */
  readonly onConnectionLost: (error: Error) => void
}

export interface PostgresOptions extends Pick<PoolOptions, 'url' | 'onConnectionLost'> {
  /** For single reads and snapshots. */
  readonly maxReadConnections: number
  /** For write commands. */
  readonly maxWriteConnections: number
  /** Randomness of the pauses between attempts. */
  readonly ids: IdSource
}

/** Longer than any command takes; a statement that hangs must not hold its locks for ever. */
const statementTimeoutMs = 30_000
/**
 * A change that waits this long for another is told to come back. Shorter than the statement's time-out, so that
 * whoever waits gives up before the one that holds the lock is stopped for holding it too long.
 */
const writeLockTimeoutMs = 10_000
const connectTimeoutMs = 10_000

/** How values of the server become values of ours. */
export const driverTypes = {
  getTypeParser(oid: number, format?: string): unknown {
    // int8: all of ours are times, sizes and ids, which a double holds exactly.
    if (oid === 20) return Number
    return pg.types.getTypeParser(oid, format as 'text')
  },
}

/** Opens a migrated database. Commands run as READ COMMITTED transactions and state their locks themselves. */
export async function openPostgresDatabase(options: PostgresOptions): Promise<MetadataDatabase> {
  const { url, ids, onConnectionLost } = options
  // Commands that queue for one repository's row may hold every connection of theirs, and nobody reads less for it.
  const readPool = newPool({ url, maxConnections: options.maxReadConnections, onConnectionLost })
  const writePool = newPool({
    url,
    maxConnections: options.maxWriteConnections,
    lockTimeoutMs: writeLockTimeoutMs,
    onConnectionLost,
  })
  const counters = newDatabaseCounters()
  const names = new Map<string, string>()
  const sessionOn = (runner: QueryRunner): Session =>
    new Session(
      new PostgresConnection(runner, names, () => {
        counters.statements += 1
      }),
    )

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
    const attempt = (): Promise<Result> =>
      inTransaction(writePool, begin, (client) => command.run(sessionOn(client), input, context))
    const result = await translated(() => withRetries(attempt, ids))
    counters.commits += 1
    if (command.durability === 'durable') counters.durableCommits += 1
    return result
  }

  return {
    dialect: 'postgres',
    counters,
    commitsOfAll: () => undefined,
    pools: () => [useOf('read', readPool), useOf('write', writePool)],
    reader: sessionOn({ query: (query) => translated(() => readPool.query(query)) }),
    snapshot: (read) =>
      translated(() =>
        inTransaction(readPool, 'begin isolation level repeatable read read only', (client) => read(sessionOn(client))),
      ),
    execute,
    async ping() {
      await translated(() => readPool.query('select 1'))
    },
    async close() {
      await Promise.all([readPool.end(), writePool.end()])
    },
  }
}

function useOf(pool: PoolUse['pool'], { totalCount, idleCount, waitingCount }: pg.Pool): PoolUse {
  return { pool, busy: totalCount - idleCount, idle: idleCount, waiting: waitingCount }
}

/** A pool whose connections come up with Stowage's settings. */
export function newPool(options: PoolOptions): pg.Pool {
  const timeoutMs = options.statementTimeoutMs ?? statementTimeoutMs
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.maxConnections,
    types: driverTypes,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: timeoutMs,
    idle_in_transaction_session_timeout: timeoutMs,
    lock_timeout: options.lockTimeoutMs,
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

/** disk_full; configuration_limit_exceeded is its neighbour on some managed servers. */
const fullStates = new Set(['53100', '53400'])
/** The statement was stopped or gave way to others; its transaction did nothing, and may do better later. */
const busyStates: Readonly<Record<string, string>> = {
  '40001': 'the change collided with others at every attempt',
  '40P01': 'the change collided with others at every attempt',
  '55P03': 'the change waited too long for another one',
  '57014': 'the database took too long to answer',
  '25006': 'the database only reads, as a standby does until it takes over',
}
/**
 * Network failures, no descriptor for a connection, refused logins, shutdowns and recovery, a transaction left open too long, and a server that lacks
 * connections, memory, locks or its own files.
 */
const unreachableState =
  /^(ECONN[A-Z]+|ENOTFOUND|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN|EMFILE|ENFILE|08...|25P0[34]|28...|3D000|53...|57P0.|58...)$/

/**
 * Connection trouble, refused logins, shutdowns, time-outs and a full disk are storage failures; everything else is
 * either the domain's own (passed through) or a fault of the program. Messages of the driver can name the host and never the password.
 */
export function translate(error: unknown): unknown {
  if (error instanceof PlatformError) return error
  const state = stateOf(error)
  const message = error instanceof Error ? error.message : String(error)
  if (state === undefined) {
    const isDriverTrouble = /terminat|timeout|Connection|connect/i.test(message)
    return isDriverTrouble ? unreachable(message, error) : error
  }
  if (fullStates.has(state)) {
    return storageError('storage-full', 'the database server has no space left', { cause: error })
  }
  const busy = busyStates[state]
  if (busy !== undefined) return storageError('storage-unavailable', `${busy}: try again`, { cause: error })
  return unreachableState.test(state) ? unreachable(message, error) : error
}

function unreachable(message: string, cause: unknown): PlatformError {
  return storageError('storage-unavailable', `the database cannot be reached: ${message}`, { cause })
}

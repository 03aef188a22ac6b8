import type { Command, CommandContext } from './command.ts'
import type { Session } from './session.ts'
import type { DialectName } from './statement.ts'

/** The metadata of an installation: reads on sessions, writes as named commands. */
export interface MetadataDatabase {
  readonly dialect: DialectName
  readonly counters: Readonly<DatabaseCounters>
  /**
   * How many commands have been committed, as far as their callers may know of it, where nobody but this process writes;
   * undefined where others do. While it stands, so does what was read.
   */
  commitsOfAll(): number | undefined
  /** How its connections are used; empty where there are none to wait for. */
  pools(): readonly PoolUse[]
  /** For single statements; each sees everything committed before it. */
  readonly reader: Session
  /** Several statements that see one moment. Keep it short: it holds a connection. */
  snapshot<Result>(read: (session: Session) => Promise<Result>): Promise<Result>
  /**
   * Runs a command and answers after its commit: `durable` commands are then safe from power loss. Throws what the
   * command threw, or `storage-full`, `storage-unavailable` (then nothing is known to have changed).
   */
  execute<Input, Result>(command: Command<Input, Result>, input: Input, context: CommandContext): Promise<Result>
  /** Resolves when the database answers; throws `storage-unavailable`. */
  ping(): Promise<void>
  /** Waits for what runs, then lets go of files and connections. */
  close(): Promise<void>
}

/**
 * Called once, when the database can no longer be trusted to write (a failed fsync): the process must stop. From then on
 * every command is refused with the same error; `close` still works.
 */
export type FatalHandler = (error: Error) => void

export interface PoolUse {
  readonly pool: 'read' | 'write'
  readonly busy: number
  readonly idle: number
  /** What waits for one. */
  readonly waiting: number
}

/** A count of what was asked of the database, for tests and metrics. */
export interface DatabaseCounters {
  statements: number
  commits: number
  durableCommits: number
  /** Times that SQLite's log was copied into the database file; PostgreSQL looks after its own. */
  checkpoints: number
}

export function newDatabaseCounters(): DatabaseCounters {
  return { statements: 0, commits: 0, durableCommits: 0, checkpoints: 0 }
}

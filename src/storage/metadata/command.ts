import type { Session } from './session.ts'

/** What of a request a command may know. Data only: on SQLite it crosses into the writer's thread. */
export interface CommandContext {
  readonly nowMs: number
  readonly actorArn: string
  readonly registryId: number
  readonly accountId: string
  readonly region: string
  /** Whether the account may begin to use this region. Absent where it does already, and for the server's own work. */
  readonly newRegistry?: NewRegistryRule | undefined
  readonly requestId: string
  readonly sourceIp: string
  readonly userAgent: string
  readonly protocol: string
}

/** When a registry may come into being. One that is there is never asked. */
export interface NewRegistryRule {
  /** Whether the installation serves the region. */
  readonly isServedRegion: boolean
  readonly maxPerAccount: number
}

/**
 * How much a crash may take: `durable` changes survive power loss once answered; `process` changes survive the
 * death of the process but the last moments may go with the power. Only upload sessions, pull times and what can be
 * found out again may be `process`: nothing a client was promised.
 */
export type Durability = 'durable' | 'process'

/**
 * A write: one transaction, named, whose input, context and result are plain data (structured clone). It does no
 * I/O but the session's, and reads time and identifiers from its arguments. On PostgreSQL it may run again after a
 * deadlock or a serialization failure, so it keeps no state. Throwing rolls back its changes and nobody else's.
 */
export interface Command<Input, Result> {
  readonly name: string
  readonly durability: Durability
  run(tx: Session, input: Input, context: CommandContext): Promise<Result>
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a catalogue holds commands of every input and result
export type AnyCommand = Command<any, any>

export function defineCommand<Input, Result>(command: Command<Input, Result>): Command<Input, Result> {
  return command
}

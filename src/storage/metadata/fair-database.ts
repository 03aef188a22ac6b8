import type { FairShare } from '../../internal/fair-share.ts'
import type { Command, CommandContext } from './command.ts'
import type { MetadataDatabase } from './database.ts'

/** A database whose write commands wait for the turn of the account that acts, where several keep it busy. */
export function fairDatabase(database: MetadataDatabase, turns: FairShare): MetadataDatabase {
  return {
    ...database,
    execute<Input, Result>(command: Command<Input, Result>, input: Input, context: CommandContext): Promise<Result> {
      return turns.run(actingAccount(context.actorArn), () => database.execute(command, input, context))
    },
  }
}

/** The account of an actor's ARN; for the server itself, `stowage`. */
export function actingAccount(actorArn: string): string {
  return actorArn.split(':', 5)[4] ?? ''
}

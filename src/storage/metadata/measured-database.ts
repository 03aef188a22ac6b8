import { isPlatformError } from '../../internal/platform-error.ts'
import type { Command, CommandContext } from './command.ts'
import type { MetadataDatabase } from './database.ts'

/** `refused` by a rule of ours; `failed`: the database, or a fault of the program. */
export type CommandOutcome = 'done' | 'refused' | 'failed'

/** A database that tells how each write command ended, and how long that took. */
export function measuredDatabase(
  database: MetadataDatabase,
  onEnd: (outcome: CommandOutcome, durationMs: number) => void,
): { readonly database: MetadataDatabase; readonly commandsUnderWay: number } {
  let commandsUnderWay = 0
  return {
    database: {
      ...database,
      async execute<Input, Result>(command: Command<Input, Result>, input: Input, context: CommandContext): Promise<Result> {
        const startedAtMs = performance.now()
        commandsUnderWay += 1
        let outcome: CommandOutcome = 'failed'
        try {
          const result = await database.execute(command, input, context)
          outcome = 'done'
          return result
        } catch (error) {
          if (isPlatformError(error) && !error.code.startsWith('storage-')) outcome = 'refused'
          throw error
        } finally {
          commandsUnderWay -= 1
          onEnd(outcome, performance.now() - startedAtMs)
        }
      },
    },
    get commandsUnderWay() {
      return commandsUnderWay
    },
  }
}

import type { WorkTracer } from '../internal/tracing.ts'
import type { Command, CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'

/** A database whose write commands, the wait for their turn included, are parts of the traces of their requests. */
export function tracedDatabase(database: MetadataDatabase, tracer: WorkTracer): MetadataDatabase {
  return {
    ...database,
    execute: <Input, Result>(command: Command<Input, Result>, input: Input, context: CommandContext): Promise<Result> =>
      tracer.trace(`command ${command.name}`, { 'db.system.name': database.dialect === 'sqlite' ? 'sqlite' : 'postgresql', 'db.operation.name': command.name }, () =>
        database.execute(command, input, context),
      ),
  }
}

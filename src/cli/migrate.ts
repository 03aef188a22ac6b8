import { exitCodes, loadConfig } from '../config/index.ts'
import type { CommandIo } from './command-io.ts'

/** Runs the pending migrations, or with `check` only names them. */
export async function migrate(io: CommandIo, options: { readonly check: boolean }): Promise<number> {
  const config = loadConfig()
  const { migrateDatabase } = await import('../platform.ts')
  const { pending, applied } = await migrateDatabase(config, { check: options.check })
  if (options.check) {
    io.stdout.write(pending.length === 0 ? 'The database is up to date.\n' : list('To run:', pending))
    return pending.length === 0 ? exitCodes.ok.code : exitCodes.pending.code
  }
  io.stdout.write(applied.length === 0 ? 'The database was up to date.\n' : list('Done:', applied))
  return exitCodes.ok.code
}

function list(title: string, names: readonly string[]): string {
  return `${[title, ...names.map((name) => `  ${name}`)].join('\n')}\n`
}

import { exitCodes, loadConfig } from '../config/index.ts'
import type { MigrationPlan, PendingMigration } from '../platform.ts'
import type { CommandIo } from './command-io.ts'

/** Runs the pending migrations, or with `check` only says what they would do. */
export async function migrate(io: CommandIo, options: { readonly check: boolean; readonly json: boolean }): Promise<number> {
  const config = loadConfig()
  const { migrateDatabase, planMigration } = await import('../platform.ts')
  if (options.check) {
    const plan = await planMigration(config)
    io.stdout.write(options.json ? json(plan) : planText(plan))
    return plan.pending.length === 0 ? exitCodes.ok.code : exitCodes.pending.code
  }
  const { applied } = await migrateDatabase(config)
  if (options.json) io.stdout.write(json({ applied }))
  else io.stdout.write(applied.length === 0 ? 'The database was up to date.\n' : `${['Done:', ...applied.map((name) => `  ${name}`)].join('\n')}\n`)
  return exitCodes.ok.code
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

function planText({ applied, pending }: MigrationPlan): string {
  if (pending.length === 0) return 'The database is up to date.\n'
  const lines = ['To run, in one transaction:', ...pending.flatMap((migration) => describe(migration, applied.length === 0))]
  if (applied.length > 0) {
    lines.push('', 'Afterwards the version that runs now no longer starts on this database: take a backup first.')
  }
  return `${lines.join('\n')}\n`
}

function describe({ name, changes, rewrites, rows, duration, runningServersGoOn }: PendingMigration, isNew: boolean): string[] {
  const lines = [`  ${name}`, `    ${changes}`]
  // Of a database that is made now there is nothing to tell.
  if (isNew) return lines
  lines.push(
    rewrites.length === 0
      ? `    Rewrites no table; takes ${duration}.`
      : `    Rewrites ${rewrites.join(', ')} (about ${rows} rows); takes ${duration}.`,
    runningServersGoOn
      ? '    Servers of the version before go on beside it until they are stopped.'
      : '    Stop the servers of the version before first.',
  )
  return lines
}

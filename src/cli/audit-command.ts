import type { Command } from 'commander'
import type { CommandIo } from './command-io.ts'

/** Adds `stowage audit`. */
export function addAudit(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const audit = program
    .command('audit')
    .description('The audit trail: check that no record was changed or removed. Records are looked up by aws cloudtrail lookup-events.')
    .addHelpText(
      'after',
      `
These run as the server's user and with its settings, beside a running server or without one. Whoever can write to the store
could also compute a whole new chain, or cut off its end: keep a checkpoint elsewhere from time to time, and verify with it.

Exit codes: 0 all is well, 8 something was found, 1 it could not be checked.

Examples:
  $ stowage audit checkpoint > /mnt/elsewhere/audit-$(date +%F).json
  $ stowage audit verify --checkpoint /mnt/elsewhere/audit-2027-03-01.json`,
    )
  audit
    .command('verify')
    .description('Walk the chain of all records, and compare each with its hash and with what look-ups find it by.')
    .option('--checkpoint <file>', 'also compare with a checkpoint that was kept')
    .option('--json', 'as JSON')
    .action(async (words: { readonly checkpoint?: string; readonly json?: boolean }) => {
      const { verifyAudit } = await import('./audit.ts')
      onExit(await verifyAudit(io, { checkpointFile: words.checkpoint, json: words.json === true }))
    })
  audit
    .command('checkpoint')
    .description('Print where the chain ends now, signed by the keyring, as JSON.')
    .action(async () => {
      const { printCheckpoint } = await import('./audit.ts')
      onExit(await printCheckpoint(io))
    })
}

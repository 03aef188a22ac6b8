import { InvalidArgumentError, type Command } from 'commander'
import { parseByteRate } from '../config/byte-rate.ts'
import type { CommandIo } from './command-io.ts'

interface VerifyWords {
  readonly full?: boolean
  readonly maxAge: number
  readonly rate?: number
  readonly restart?: boolean
  readonly json?: boolean
  readonly quiet?: boolean
}

/** Adds `stowage verify`. */
export function addVerify(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  program
    .command('verify')
    .description('Check that everything the registry promises is there, down to the bytes of its blobs.')
    .option('--full', 'read every blob, also those that were read lately')
    .option('--max-age <days>', 'read again what was read more than this many days ago', parseDays, 30)
    .option('--rate <rate>', 'read blobs no faster than this, such as 50MB/s (default: as fast as it goes)', parseRate)
    .option('--restart', 'begin anew instead of going on where the last run was stopped')
    .option('--json', 'print each finding, and a summary at the end, as a JSON object on a line of its own')
    .option('-q, --quiet', 'show no progress on standard error')
    .addHelpText(
      'after',
      `
It follows every tag to its manifest, every manifest to its blobs, and every blob to its file. Sizes are always compared;
bytes are read and hashed where that was not done within --max-age. It may run while a server runs, and can be stopped
and run again: it goes on where it was. Bad blobs are never deleted. They are taken out of service: by this command
where no server holds the data folder or the database is PostgreSQL, else by the server when it reads them.

Exit codes: 0 all is well, 8 something was found, 130 (SIGTERM: 143) stopped before the end, 1 it could not be checked.

Examples:
  $ stowage verify                             what was not read in the last 30 days
  $ stowage verify --full --rate 50MB/s        everything, without slowing down the server much
  $ stowage verify --json | jq -r 'select(.type == "finding") | .kind + " " + .digest'`,
    )
    .action(async (words: VerifyWords) => {
      const { verifyCommand } = await import('./verify.ts')
      onExit(
        await verifyCommand(io, {
          maxAgeDays: words.full === true ? 0 : words.maxAge,
          bytesPerSecond: words.rate,
          restart: words.restart === true,
          json: words.json === true,
          quiet: words.quiet === true,
        }),
      )
    })
}

function parseRate(text: string): number {
  const bytesPerSecond = parseByteRate(text)
  if (bytesPerSecond === undefined) throw new InvalidArgumentError('Write a rate such as 50MB/s, 8MiB/s or 500KB/s.')
  return bytesPerSecond
}

function parseDays(text: string): number {
  if (!/^\d{1,4}$/u.test(text)) throw new InvalidArgumentError('Write a whole number of days from 0 to 9999.')
  return Number(text)
}

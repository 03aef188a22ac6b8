import { InvalidArgumentError, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'

interface TopWords extends AwsWords {
  readonly json?: boolean
  readonly once?: boolean
  readonly interval: number
}

/** Adds `stowage top`. */
export function addTop(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const top = program
    .command('top')
    .description('Watch what a server does: requests, pulls and pushes, latencies, garbage collection, lifecycle, disks.')
    .option('--once', 'show one interval and end')
    .option('--interval <seconds>', 'how long each look takes, from 1 to 60', parseInterval, 2)
    .option('--json', 'as JSON: one object, or one a line without --once')
    .addHelpText(
      'after',
      `
What it shows comes from the metrics of the server that answers; docs/operations/monitoring.md tells of them. It is for
principals of the installation's own account.
${awsHelp}

Examples:
  $ stowage top
  $ stowage top --interval 10 --json
  $ stowage top --once`,
    )
  addAwsOptions(top).action(async (words: TopWords) => {
    const { showTop } = await import('./top/show-top.ts')
    const { json, once, interval, endpointUrl, region, profile } = words
    onExit(await showTop(io, { json: json === true, once: once === true, intervalMs: interval * 1000, endpointUrl, region, profile }))
  })
}

function parseInterval(text: string): number {
  const seconds = /^\d{1,2}(\.\d)?$/u.test(text) ? Number(text) : Number.NaN
  if (!(seconds >= 1 && seconds <= 60)) throw new InvalidArgumentError('Write a number of seconds from 1 to 60.')
  return seconds
}

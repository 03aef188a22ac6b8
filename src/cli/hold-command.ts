import { InvalidArgumentError, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'

interface HoldWords extends AwsWords {
  readonly json?: boolean
}

/** Adds `stowage hold`. */
export function addHold(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const hold = program
    .command('hold')
    .description('Holds: while a registry has one, nothing is removed from it automatically.')
    .addHelpText(
      'after',
      `
A registry goes on hold by itself after a restore, after a start of another version, when the clock is set, and when a
usage source is doubted. docs/operations/protection.md tells what ends each.
${awsHelp}

Examples:
  $ stowage hold list
  $ stowage hold place "an incident: nothing is to be removed"
  $ stowage hold release 7 --reason "the restore was checked"`,
    )
  const add = (name: string, description: string): Command => addAwsOptions(hold.command(name).description(description).option('--json', 'as JSON'))

  add('list', 'List the holds of the registry.')
    .option('--all', 'also those that were released')
    .action(async (words: HoldWords & { readonly all?: boolean }) => {
      const { listHolds } = await import('./hold.ts')
      onExit(await listHolds(io, { all: words.all === true, ...optionsOf(words) }))
    })
  add('place', 'Put the registry on hold.')
    .argument('<reason>', 'why')
    .action(async (reason: string, words: HoldWords) => {
      const { placeHold } = await import('./hold.ts')
      onExit(await placeHold(io, { reason, ...optionsOf(words) }))
    })
  add('release', 'End a hold.')
    .argument('<id>', 'its number', parseId)
    .requiredOption('--reason <text>', 'why it is no longer needed')
    .action(async (id: number, words: HoldWords & { readonly reason: string }) => {
      const { releaseHold } = await import('./hold.ts')
      onExit(await releaseHold(io, { id, reason: words.reason, ...optionsOf(words) }))
    })
}

function optionsOf({ json, endpointUrl, region, profile }: HoldWords) {
  return { json: json === true, endpointUrl, region, profile }
}

function parseId(text: string): number {
  if (!/^[1-9]\d{0,14}$/u.test(text)) throw new InvalidArgumentError('Write the number that `stowage hold list` shows.')
  return Number(text)
}

import type { Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'

interface EraseWords extends AwsWords {
  readonly json?: boolean
  readonly image?: readonly string[]
  readonly layer?: readonly string[]
  readonly everywhere?: boolean
  readonly reason: string
  readonly overrideProtection?: boolean
  readonly apply?: boolean
}

interface ListWords extends AwsWords {
  readonly json?: boolean
}

/** Adds `stowage erase`. */
export function addErase(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const erase = program
    .command('erase')
    .description('Erase images at once and for good, where a secret got into one.')
    .addHelpText(
      'after',
      `
Nothing of it can be undone: what is erased is in no trash and no archive. docs/operations/leaked-secret.md says what goes with
an image, what stays, and what no server can take back.
${awsHelp}

Examples:
  $ stowage erase images team/app --layer sha256:0123… --everywhere --reason "leaked key 4711"            show what would go
  $ stowage erase images team/app --layer sha256:0123… --everywhere --reason "leaked key 4711" --apply    erase it
  $ stowage erase list`,
    )
  addAwsOptions(
    erase
      .command('images')
      .description('Show what would be erased; with --apply, erase it.')
      .argument('<repository>', 'its name')
      .option('--image <digest...>', 'images, with the indexes that list them')
      .option('--layer <digest...>', 'every image that has one of these layers or configs')
      .option('--everywhere', 'in every repository of the registry, not only in this one')
      .requiredOption('--reason <text>', 'why, for the record')
      .option('--override-protection', 'erase what is protected or runs all the same')
      .option('--apply', 'erase it')
      .option('--json', 'as JSON'),
  ).action(async (repository: string, words: EraseWords) => {
    const { eraseImages } = await import('./erase.ts')
    const { image = [], layer = [], everywhere = false, reason, overrideProtection = false, apply = false } = words
    onExit(await eraseImages(io, { repository, images: image, layers: layer, everywhere, reason, overrideProtection, apply, ...optionsOf(words) }))
  })
  addAwsOptions(erase.command('list').description('List what was erased, the newest first.').option('--json', 'as JSON')).action(async (words: ListWords) => {
    const { listErasures } = await import('./erase.ts')
    onExit(await listErasures(io, optionsOf(words)))
  })
}

function optionsOf({ json, endpointUrl, region, profile }: ListWords) {
  return { json: json === true, endpointUrl, region, profile }
}

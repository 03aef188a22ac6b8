import { InvalidArgumentError, Option, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'
import type { StorageSubject } from './storage.ts'

interface StorageWords extends AwsWords {
  readonly json?: boolean
  readonly disks?: boolean
  readonly account?: boolean
}

/** Adds `stowage storage`. */
export function addStorage(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const storage = program
    .command('storage')
    .description('Who uses how much, and what is given back when a repository or an image goes.')
    .argument('[subject]', '<repository>, <repository>:<tag> or <repository>@<digest>; without one all repositories', parseSubject)
    .addOption(new Option('--account', 'all of the account, in all its regions, with each layer counted once').conflicts('disks'))
    .option('--disks', "how full the disks are, and when they will be full; for principals of the installation's own account")
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
docs/operations/storage.md tells what is counted how.
${awsHelp}

Examples:
  $ stowage storage
  $ stowage storage team/app
  $ stowage storage team/app:v1
  $ stowage storage --account
  $ stowage storage --disks`,
    )
  addAwsOptions(storage).action(async (subject: StorageSubject | undefined, words: StorageWords) => {
    const { showAccount, showDisks, showStorage } = await import('./storage.ts')
    const options = { json: words.json ?? false, profile: words.profile, region: words.region, endpointUrl: words.endpointUrl }
    if (words.disks === true) onExit(await showDisks(io, options))
    else onExit(words.account === true ? await showAccount(io, options) : await showStorage(io, { subject, ...options }))
  })
}

function parseSubject(text: string): StorageSubject {
  const at = text.indexOf('@')
  if (at > 0) return { repository: text.slice(0, at), digest: text.slice(at + 1) }
  const [repository = '', tag, ...more] = text.split(':')
  if (repository === '' || tag === '' || more.length > 0) throw new InvalidArgumentError('write <repository>, <repository>:<tag> or <repository>@<digest>')
  return { repository, tag }
}

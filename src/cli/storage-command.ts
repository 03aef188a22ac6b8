import { InvalidArgumentError, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'
import type { StorageSubject } from './storage.ts'

interface StorageWords extends AwsWords {
  readonly json?: boolean
}

/** Adds `stowage storage`. */
export function addStorage(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const storage = program
    .command('storage')
    .description('Who uses how much, and what is given back when a repository or an image goes.')
    .argument('[subject]', '<repository>, <repository>:<tag> or <repository>@<digest>; without one all repositories', parseSubject)
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
docs/operations/storage.md tells what is counted how.
${awsHelp}

Examples:
  $ stowage storage
  $ stowage storage team/app
  $ stowage storage team/app:v1`,
    )
  addAwsOptions(storage).action(async (subject: StorageSubject | undefined, words: StorageWords) => {
    const { showStorage } = await import('./storage.ts')
    onExit(await showStorage(io, { subject, json: words.json ?? false, profile: words.profile, region: words.region, endpointUrl: words.endpointUrl }))
  })
}

function parseSubject(text: string): StorageSubject {
  const at = text.indexOf('@')
  if (at > 0) return { repository: text.slice(0, at), digest: text.slice(at + 1) }
  const [repository = '', tag, ...more] = text.split(':')
  if (repository === '' || tag === '' || more.length > 0) throw new InvalidArgumentError('write <repository>, <repository>:<tag> or <repository>@<digest>')
  return { repository, tag }
}

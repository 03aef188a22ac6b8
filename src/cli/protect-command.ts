import type { Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { parseGivenTime } from './given-time.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'

interface ProtectWords extends AwsWords {
  readonly json?: boolean
  readonly tag?: string
  readonly digest?: string
}

interface AddWords extends ProtectWords {
  readonly reason: string
  readonly owner?: string
  readonly until?: Date
}

/** Adds `stowage protect`. */
export function addProtect(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const protect = program
    .command('protect')
    .description('What nobody may delete, by rule or by hand.')
    .addHelpText(
      'after',
      `
A tag is protected with the image that it points to, an image by its digest, and without either the whole repository.
docs/operations/protection.md tells what each holds back, and how that is answered.
${awsHelp}

Examples:
  $ stowage protect add team/app --tag prod --reason "serves customers" --owner sre@example.com
  $ stowage protect add team/app --reason "legal hold 4711" --until 2027-01-01
  $ stowage protect list team/app
  $ stowage protect remove team/app --tag prod`,
    )
  const add = (name: string, description: string): Command => {
    const command = protect.command(name).description(description).argument('<repository>', 'its name').option('--json', 'as JSON')
    return addAwsOptions(command)
  }
  const withTarget = (command: Command): Command =>
    command.option('--tag <tag>', 'a tag, and the image that it points to').option('--digest <digest>', 'an image')

  withTarget(add('add', 'Protect a repository, a tag or an image.'))
    .requiredOption('--reason <text>', 'why, for whoever is refused')
    .option('--owner <text>', 'whom to ask (default: you)')
    .option('--until <time>', 'when it ends by itself (default: never), such as 2027-01-31 or 2027-01-31T12:00:00Z', parseGivenTime)
    .action(async (repository: string, words: AddWords) => {
      const { addProtection } = await import('./protect.ts')
      const { reason, owner, until } = words
      onExit(await addProtection(io, { repository, reason, owner, until, ...optionsOf(words) }))
    })
  add('list', 'List the protections of a repository.').action(async (repository: string, words: ProtectWords) => {
    const { listProtections } = await import('./protect.ts')
    onExit(await listProtections(io, { repository, ...optionsOf(words) }))
  })
  withTarget(add('remove', 'Take a protection away.')).action(async (repository: string, words: ProtectWords) => {
    const { removeProtection } = await import('./protect.ts')
    onExit(await removeProtection(io, { repository, ...optionsOf(words) }))
  })
}

function optionsOf({ json, tag, digest, endpointUrl, region, profile }: ProtectWords) {
  return { json: json === true, tag, digest, endpointUrl, region, profile }
}

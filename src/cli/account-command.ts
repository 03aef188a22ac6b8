import { InvalidArgumentError, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'

interface AccountWords extends AwsWords {
  readonly json?: boolean
}

/** Adds `stowage account`. */
export function addAccount(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const account = program
    .command('account')
    .description("The accounts of a server: each has repositories, users and policies of its own.")
    .addHelpText(
      'after',
      `
Principals of the installation's own account manage the others, where a policy allows them stowage:CreateAccount and its
kin. docs/operations/accounts.md tells more.
${awsHelp}

Examples:
  $ stowage account create "Team B"
  $ stowage account create "Team B" --account-id 222222222222 --json
  $ stowage account list`,
    )
  const add = (name: string, description: string): Command => addAwsOptions(account.command(name).description(description).option('--json', 'as JSON'))

  add('create', 'Make an account, and show the access key of its root this once.')
    .argument('<name>', 'what people call it')
    .option('--account-id <id>', '12 digits (default: new ones)', parseAccountId)
    .action(async (name: string, words: AccountWords & { readonly accountId?: string }) => {
      const { createAccount } = await import('./account.ts')
      onExit(await createAccount(io, { name, accountId: words.accountId, ...optionsOf(words) }))
    })
  add('list', 'List all accounts.').action(async (words: AccountWords) => {
    const { listAccounts } = await import('./account.ts')
    onExit(await listAccounts(io, optionsOf(words)))
  })
  add('describe', 'Show an account.')
    .argument('<id>', '12 digits', parseAccountId)
    .action(async (accountId: string, words: AccountWords) => {
      const { describeAccount } = await import('./account.ts')
      onExit(await describeAccount(io, { accountId, ...optionsOf(words) }))
    })
  add('replace-root-key', "Give an account's root a new access key, shown this once; the old one ends at once.")
    .argument('<id>', '12 digits', parseAccountId)
    .action(async (accountId: string, words: AccountWords) => {
      const { replaceRootKey } = await import('./account.ts')
      onExit(await replaceRootKey(io, { accountId, ...optionsOf(words) }))
    })
}

function optionsOf({ json, endpointUrl, region, profile }: AccountWords) {
  return { json: json === true, endpointUrl, region, profile }
}

function parseAccountId(text: string): string {
  if (!/^\d{12}$/u.test(text)) throw new InvalidArgumentError('Write 12 digits.')
  return text
}

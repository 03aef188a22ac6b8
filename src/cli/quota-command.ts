import { InvalidArgumentError, Option, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'

interface QuotaWords extends AwsWords {
  readonly json?: boolean
}

interface SubjectWords extends QuotaWords {
  readonly wholeRegistry?: boolean
  readonly wholeAccount?: boolean
  readonly accountId?: string
}

/** Adds `stowage quota`. */
export function addQuota(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const quota = program
    .command('quota')
    .description('Quotas: how much a repository, a registry or an account may have.')
    .addHelpText(
      'after',
      `
They hold at once, beside the server's settings (STOWAGE_QUOTA_*) and beside each other: none lifts another. Nothing that is
there is deleted. Those of a whole registry or account are set by principals of the installation's own account.
docs/operations/limits.md tells more.
${awsHelp}

Examples:
  $ stowage quota set team/app --bytes 50GB --images 1000
  $ stowage quota set --whole-registry --account-id 222222222222 --bytes 1TB
  $ stowage quota set --whole-account --account-id 222222222222 --bytes 2TB --repositories 100
  $ stowage quota list
  $ stowage quota list --every-account
  $ stowage quota remove team/app --bytes`,
    )
  const add = (name: string, description: string): Command => addAwsOptions(quota.command(name).description(description).option('--json', 'as JSON'))
  const addWithSubject = (name: string, description: string): Command =>
    add(name, description)
      .argument('[repository]', 'a repository; otherwise --whole-registry or --whole-account')
      .addOption(new Option('--whole-registry', 'all repositories of an account in the region').conflicts('wholeAccount'))
      .option('--whole-account', 'all repositories of an account, in all its regions together')
      .option('--account-id <id>', "whose registry, or which account (default: the caller's)", parseAccountId)

  addWithSubject('set', 'Bound what there may be; what was bounded before and is not named stays so.')
    .option('--bytes <size>', 'of all images together, each with all its layers, such as 50GB or 64GiB', parseSize)
    .option('--images <number>', 'manifests, of images, indexes and artifacts alike', parseNumber)
    .option('--repositories <number>', 'of a registry or an account', parseNumber)
    .action(async (repository: string | undefined, words: SubjectWords & { readonly bytes?: number; readonly images?: number; readonly repositories?: number }, command: Command) => {
      const { setQuota } = await import('./quota.ts')
      const { bytes, images, repositories } = words
      if (bytes === undefined && images === undefined && repositories === undefined) command.error('error: say what to bound: --bytes, --images or --repositories')
      onExit(await setQuota(io, { subject: subjectOf(repository, words, command), bytes, images, repositories, ...optionsOf(words) }))
    })
  addWithSubject('remove', 'Take quotas away: all of what is named, or some.')
    .option('--bytes', 'that of bytes')
    .option('--images', 'that of images')
    .option('--repositories', 'that of repositories')
    .action(async (repository: string | undefined, words: SubjectWords & { readonly bytes?: boolean; readonly images?: boolean; readonly repositories?: boolean }, command: Command) => {
      const { removeQuota } = await import('./quota.ts')
      const types = { SIZE: words.bytes, IMAGES: words.images, REPOSITORIES: words.repositories }
      const named = Object.entries(types).flatMap(([type, isNamed]) => (isNamed === true ? [type] : []))
      onExit(await removeQuota(io, { subject: subjectOf(repository, words, command), types: named.length === 0 ? undefined : named, ...optionsOf(words) }))
    })
  add('list', 'Show what bounds a registry, its account and its repositories, beside what they have.')
    .option('--every-account', "the quotas of all registries and accounts; for principals of the installation's own account")
    .action(async (words: QuotaWords & { readonly everyAccount?: boolean }) => {
      const { listQuotas } = await import('./quota.ts')
      onExit(await listQuotas(io, { everyAccount: words.everyAccount === true, ...optionsOf(words) }))
    })
}

/** Ends with an error where none or two are named. */
function subjectOf(repository: string | undefined, { wholeRegistry, wholeAccount, accountId }: SubjectWords, command: Command): object {
  const isWhole = wholeRegistry === true || wholeAccount === true
  if ((repository === undefined) !== isWhole) command.error('error: name a repository, or --whole-registry, or --whole-account')
  if (repository === undefined) return { scope: wholeRegistry === true ? 'REGISTRY' : 'ACCOUNT', accountId }
  return { scope: 'REPOSITORY', repositoryName: repository, registryId: accountId }
}

function optionsOf({ json, endpointUrl, region, profile }: QuotaWords) {
  return { json: json === true, endpointUrl, region, profile }
}

const unitBytes: Readonly<Record<string, number>> = { '': 1, b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 }

function parseSize(text: string): number {
  const [, digits, unit] = /^(\d{1,15}(?:\.\d{1,6})?) ?([a-z]*)$/iu.exec(text) ?? []
  const factor = unitBytes[unit?.toLowerCase() ?? '?']
  const bytes = Math.round(Number(digits) * (factor ?? Number.NaN))
  if (!Number.isSafeInteger(bytes)) throw new InvalidArgumentError('Write a size such as 500MB, 50GB or 1.5TiB.')
  return bytes
}

function parseNumber(text: string): number {
  if (!/^\d{1,12}$/u.test(text)) throw new InvalidArgumentError('Write a whole number.')
  return Number(text)
}

function parseAccountId(text: string): string {
  if (!/^\d{12}$/u.test(text)) throw new InvalidArgumentError('Write 12 digits.')
  return text
}

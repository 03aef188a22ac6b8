import { InvalidArgumentError, Option, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import type { PermissionSetName } from './iam/permission-sets.ts'

/** The options of every command that calls a server. */
export function addAwsOptions(command: Command): Command {
  return command
    .option('--endpoint-url <url>', 'where the server is (default: AWS_ENDPOINT_URL, or endpoint_url in the profile)')
    .option('--region <region>', 'the region (default: AWS_REGION, AWS_DEFAULT_REGION, or region in the profile)')
    .option('--profile <name>', 'a profile of ~/.aws/config and ~/.aws/credentials (default: AWS_PROFILE)')
}

/** Said at the end of their help. */
export const awsHelp = `
It calls the server as the aws command does, with the same environment and files: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE, AWS_REGION, AWS_CA_BUNDLE.`

/** What `addAwsOptions` adds. */
export interface AwsWords {
  readonly endpointUrl?: string
  readonly region?: string
  readonly profile?: string
}

interface QuickstartWords extends AwsWords {
  readonly repositoryPrefix: string
  readonly tagPattern?: readonly string[]
  readonly as?: 'user' | 'role'
  readonly name?: string
  readonly trust?: readonly string[]
  readonly github?: string
  readonly gitlab?: string
  readonly kubernetes?: string
  readonly issuer?: string
  readonly audience?: string
  readonly accessKey: boolean
  readonly apply?: boolean
  readonly json?: boolean
}

/** Repeated here, so that help loads no policy; a test compares. */
const setNames: readonly PermissionSetName[] = ['ci-pusher', 'puller', 'deployer', 'auditor', 'usage-reporter']

/** Adds `stowage iam`. */
export function addIam(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const iam = program
    .command('iam')
    .description('Who may do what: ready sets of permissions, and access that nobody uses.')
    .addHelpText(
      'after',
      `
Everything else about users, roles and policies is the aws command's: aws iam …

Examples:
  $ stowage iam quickstart ci-pusher --github acme/shop@main --repository-prefix shop/
  $ stowage iam stale --days 90`,
    )
  addQuickstart(iam, io, onExit)
  addStale(iam, io, onExit)
}

function addQuickstart(iam: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const quickstart = iam
    .command('quickstart')
    .description('Show, and with --apply make, a user or role that may do one kind of work and nothing else.')
    .argument('<set>', setNames.join(', '), parseSet)
    .addOption(new Option('--repository-prefix <prefix>', 'only repositories whose names begin with it, such as team-a/').argParser(parsePrefix).default('', 'all'))
    .option('--tag-pattern <pattern...>', "only tags like these, such as 'dev-*'", parsePattern)
    .addOption(new Option('--as <form>', 'a user with an access key, or a role (default: user; role for a workload)').choices(['user', 'role']))
    .option('--name <name>', "the user's or role's name (default: from the set and what it is for)", parseName)
    .option('--trust <arn...>', 'with --as role: who may take it (default: who of the account has a policy that allows it)')
    .addOption(new Option('--github <repository>', 'a role for GitHub Actions: owner/repo, owner/repo@main, owner/repo@environment:production').conflicts(['gitlab', 'kubernetes', 'trust']))
    .addOption(new Option('--gitlab <project>', 'a role for GitLab jobs: group/project, group/project@main').conflicts(['github', 'kubernetes', 'trust']))
    .addOption(new Option('--kubernetes <account>', 'a role for a service account: namespace/name, with --issuer').conflicts(['github', 'gitlab', 'trust']))
    .option('--issuer <url>', 'who issues the tokens, where it is not github.com or gitlab.com')
    .option('--audience <text>', 'whom the tokens are for (default: sts.amazonaws.com)')
    .option('--no-access-key', 'make no access key for a user')
    .option('--apply', 'do it')
    .option('--json', 'as JSON')
  addAwsOptions(quickstart)
    .addHelpText(
      'after',
      `
Without --apply it changes nothing: it shows the plan and the policies. It asks nothing, changes only what it made itself,
and does nothing where all is there. At the end it says what to paste next, and how to undo it.
docs/operations/who-may-do-what.md says what each set may do.
${awsHelp}

Examples:
  $ stowage iam quickstart ci-pusher --repository-prefix team-a/                      show a user with an access key
  $ stowage iam quickstart ci-pusher --github acme/shop@main --repository-prefix shop/ --apply
  $ stowage iam quickstart ci-pusher --gitlab acme/shop --tag-pattern 'dev-*' 'pr-*' --apply
  $ stowage iam quickstart puller --kubernetes shop/web --issuer https://k8s.example.com --apply
  $ stowage iam quickstart auditor --as role --apply --json | jq -r .principalArn`,
    )
    .action(async (set: PermissionSetName, words: QuickstartWords) => {
      const [{ quickstart: run }, workloads] = await Promise.all([import('./iam/quickstart.ts'), import('./iam/workloads.ts')])
      const { github, gitlab, kubernetes } = words
      let workload
      if (github !== undefined) workload = workloads.githubWorkload(github, words)
      else if (gitlab !== undefined) workload = workloads.gitlabWorkload(gitlab, words)
      else if (kubernetes !== undefined) workload = workloads.kubernetesWorkload(kubernetes, words)
      const form = words.as ?? (workload === undefined ? 'user' : 'role')
      if (form === 'user' && (workload !== undefined || words.trust !== undefined)) {
        quickstart.error(`error: ${workload === undefined ? '--trust is' : 'a workload is'} for a role: leave --as user out, or write --as role`)
      }
      if (words.tagPattern !== undefined && (set === 'auditor' || set === 'usage-reporter')) {
        quickstart.error(`error: ${set === 'auditor' ? 'an auditor' : 'a usage reporter'} reads no tags that --tag-pattern could narrow`)
      }
      onExit(
        await run(io, {
          set,
          repositoryPrefix: words.repositoryPrefix,
          tagPatterns: words.tagPattern ?? [],
          form,
          name: words.name,
          trusted: words.trust ?? [],
          workload,
          accessKey: words.accessKey,
          apply: words.apply === true,
          json: words.json === true,
          endpointUrl: words.endpointUrl,
          region: words.region,
          profile: words.profile,
        }),
      )
    })
}

interface StaleWords extends AwsWords {
  readonly days: number
  readonly json?: boolean
}

function addStale(iam: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const stale = iam
    .command('stale')
    .description('List access keys and roles that nobody has used lately.')
    .option('--days <days>', 'lately means within so many days', parseDays, 90)
    .option('--json', 'as JSON')
  addAwsOptions(stale)
    .addHelpText(
      'after',
      `
An active key or a role counts as stale when it was made, and last used if ever, more than --days ago. Nothing is changed:
with each comes the command that takes it away. An auditor may run this.
${awsHelp}

Examples:
  $ stowage iam stale
  $ stowage iam stale --days 30 --json | jq -r '.[].name'`,
    )
    .action(async (words: StaleWords) => {
      const { listStale } = await import('./iam/stale.ts')
      onExit(await listStale(io, { days: words.days, json: words.json === true, endpointUrl: words.endpointUrl, region: words.region, profile: words.profile }))
    })
}

function parseSet(text: string): PermissionSetName {
  const name = setNames.find((set) => set === text)
  if (name === undefined) throw new InvalidArgumentError(`Choose one of ${setNames.join(', ')}.`)
  return name
}

/** What may begin a repository's name. No `*`: the policy adds its own. */
function parsePrefix(text: string): string {
  if (!/^[a-z\d](?:[a-z\d._/-]{0,254})$/u.test(text)) throw new InvalidArgumentError('Write the beginning of repository names, such as team-a/.')
  return text
}

function parsePattern(text: string, earlier: readonly string[] | undefined): readonly string[] {
  if (!/^[\w.*?-]{1,128}$/u.test(text)) throw new InvalidArgumentError("Write a tag, with * and ? if need be, such as 'dev-*'.")
  return [...(earlier ?? []), text]
}

function parseName(text: string): string {
  if (!/^[\w+=,.@-]{1,64}$/u.test(text)) throw new InvalidArgumentError('Write 1 to 64 letters, digits and any of _+=,.@-')
  return text
}

function parseDays(text: string): number {
  if (!/^\d{1,4}$/u.test(text)) throw new InvalidArgumentError('Write a whole number of days from 0 to 9999.')
  return Number(text)
}

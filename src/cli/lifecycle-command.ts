import { Option, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'
import { parseImageName } from './image-command.ts'
import type { ImageName } from './image.ts'

interface CallWords extends AwsWords {
  readonly json?: boolean
}

interface LintWords {
  readonly grammar?: 'ecr' | 'retention'
  readonly strict?: boolean
  readonly json?: boolean
}

/** Adds `stowage lifecycle`. */
export function addLifecycle(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const lifecycle = program
    .command('lifecycle')
    .description('What removes images, and why.')
    .addHelpText(
      'after',
      `
docs/operations/lifecycle.md goes all the way, from an empty registry to an undone mistake.
${awsHelp}

Examples:
  $ stowage lifecycle lint policy.json
  $ stowage lifecycle preview policy.json --repository team/app
  $ stowage lifecycle explain team/app:v1
  $ stowage lifecycle run team/app
  $ stowage lifecycle history team/app`,
    )
  addLint(lifecycle, io, onExit)
  addPreview(lifecycle, io, onExit)
  addExplain(lifecycle, io, onExit)
  addRuns(lifecycle, io, onExit)
}

interface PreviewWords extends CallWords {
  readonly repository?: string
  readonly prefix?: string
  readonly wholeRegistry?: boolean
  readonly against?: string
  readonly grammar?: 'ecr' | 'retention'
}

function addPreview(lifecycle: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  addAwsOptions(
    lifecycle
      .command('preview')
      .description('Show what a policy would delete that is not deleted now, and what would stay that goes now.')
      .argument('<file>', 'the policy; - reads it from standard input')
      .addOption(new Option('--repository <name>', 'as the policy of this repository').conflicts(['prefix', 'wholeRegistry']))
      .addOption(new Option('--prefix <prefix>', 'as the policy of all repositories under a prefix').conflicts('wholeRegistry'))
      .option('--whole-registry', 'as the policy of all repositories')
      .option('--against <file>', 'compared with this policy in its place (default: with the one that is there now)')
      .addOption(new Option('--grammar <grammar>', 'whose grammar it is in (default: told from the policy)').choices(['ecr', 'retention']))
      .option('--json', 'as JSON'),
  )
    .addHelpText(
      'after',
      `
Nothing is changed. All other policies that a repository is under count as they are, and what they keep stays.
Sizes are those of the images' manifests: layers that images share are in each of them. What is given back counts each layer
once, and only where nothing else of the account has it, in the trash too; it comes when the time in the trash is over.`,
    )
    .action(async (file: string, words: PreviewWords, command: Command) => {
      const { repository, prefix, wholeRegistry, against, grammar } = words
      if (repository === undefined && prefix === undefined && wholeRegistry !== true) {
        command.error('error: say where: --repository <name>, --prefix <prefix> or --whole-registry')
      }
      if (file === '-' && against === '-') command.error('error: only one of the two policies can come from standard input')
      const { previewPolicies } = await import('./lifecycle/preview.ts')
      onExit(await previewPolicies(io, { file, against, repository, prefix, grammar, ...optionsOf(words) }))
    })
}

function addExplain(lifecycle: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  addAwsOptions(
    lifecycle
      .command('explain')
      .description('Say why an image is there, or is not any more, and what becomes of it.')
      .argument('<image>', '<repository>:<tag> or <repository>@<digest>', parseImageName)
      .option('--json', 'as JSON'),
  ).action(async (image: ImageName, words: CallWords) => {
    const { explain } = await import('./lifecycle/explain.ts')
    onExit(await explain(io, { image, ...optionsOf(words) }))
  })
}

function addRuns(lifecycle: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const add = (name: string, description: string): Command => addAwsOptions(lifecycle.command(name).description(description).option('--json', 'as JSON'))

  add('run', 'Have the policies of a repository carried out now, and not when their time comes.')
    .argument('<repository>', 'its name')
    .action(async (repository: string, words: CallWords) => {
      const { startRun } = await import('./lifecycle/runs.ts')
      onExit(await startRun(io, { repository, ...optionsOf(words) }))
    })
  add('history', 'List what the policies of a repository have done, the newest first.')
    .argument('<repository>', 'its name')
    .action(async (repository: string, words: CallWords) => {
      const { listRuns } = await import('./lifecycle/runs.ts')
      onExit(await listRuns(io, { repository, ...optionsOf(words) }))
    })
  for (const [decision, description] of [
    ['confirm', 'Let a run go on that waits for it.'],
    ['cancel', 'End a run that waits or is under way; the policies stay.'],
  ] as const) {
    add(decision, description)
      .argument('<run>', 'its id')
      .action(async (runId: string, words: CallWords) => {
        const { settleRun } = await import('./lifecycle/runs.ts')
        onExit(await settleRun(io, { runId, decision, ...optionsOf(words) }))
      })
  }
}

function optionsOf({ json, endpointUrl, region, profile }: CallWords) {
  return { json: json === true, endpointUrl, region, profile }
}

function addLint(lifecycle: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  lifecycle
    .command('lint')
    .description('Say in plain words what a policy does, and what it may be taken for and does not do.')
    .argument('<file>', 'the policy; - reads it from standard input')
    .addOption(new Option('--grammar <grammar>', 'whose grammar it is in (default: told from the policy)').choices(['ecr', 'retention']))
    .option('--strict', 'take only what ECR takes')
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
It asks no server. It reads lifecycle policies as ECR has them, and Stowage's retention policies
(docs/reference/retention-policy.md).

Exit codes: 0 the policy can be used, perhaps with warnings; 1 it is refused; 2 it cannot be read.

Examples:
  $ stowage lifecycle lint policy.json
  $ aws ecr get-lifecycle-policy --repository-name app --query lifecyclePolicyText --output text | stowage lifecycle lint -
  $ stowage lifecycle lint policy.json --json | jq -r '.findings[].code'`,
    )
    .action(async (file: string, { grammar, strict, json }: LintWords) => {
      const { lintCommand } = await import('./lifecycle/lint.ts')
      onExit(await lintCommand(io, file, { grammar, strict: strict === true, json: json === true }))
    })
}

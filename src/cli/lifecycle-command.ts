import { Option, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'

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
Example:
  $ stowage lifecycle lint policy.json`,
    )
  addLint(lifecycle, io, onExit)
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

Exit codes: 0 the policy can be used, perhaps with warnings; 1 it is refused.

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

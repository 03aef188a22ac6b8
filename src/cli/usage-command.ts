import { InvalidArgumentError, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'

interface UsageWords extends AwsWords {
  readonly json?: boolean
}

interface RegisterWords extends UsageWords {
  readonly principal: string
  readonly environment: string
  readonly scope: readonly string[]
  readonly interval: number
  readonly shrinkPercent?: number
  readonly kind?: string
}

interface ReportWords extends UsageWords {
  readonly from: string
  readonly number?: number
  readonly nothingRuns?: boolean
}

/** Adds `stowage usage`. */
export function addUsage(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const usage = program
    .command('usage')
    .description('Who says what runs: what they report cannot be deleted.')
    .addHelpText(
      'after',
      `
A source reports all that runs, again and again, within the interval that it promises. What it last reported is kept; if it
falls silent, or suddenly reports much less, nothing in its scope is removed automatically.
docs/operations/protection.md has a job for Kubernetes.
${awsHelp}

Examples:
  $ stowage usage register prod-cluster --principal arn:aws:iam::000000000000:role/usage-reporter \\
      --environment production --scope "team/*" --interval 10m
  $ kubectl get pods --all-namespaces --output json | stowage usage report prod-cluster --from -
  $ stowage usage list
  $ stowage usage decommission old-cluster --reason "switched off"`,
    )
  const add = (name: string, description: string): Command => addAwsOptions(usage.command(name).description(description).option('--json', 'as JSON'))

  add('register', 'Register a source.')
    .argument('<name>', 'what it is called')
    .requiredOption('--principal <arn>', 'the user or role that reports for it')
    .requiredOption('--environment <text>', 'where what it reports runs')
    .requiredOption('--scope <patterns...>', 'repositories that it speaks for; * stands for any characters')
    .requiredOption('--interval <time>', 'how often it promises to report, such as 10m, 1h or 1d', parseSeconds)
    .option('--shrink-percent <percent>', 'doubt a report that is smaller than the last by more than this (default: 50)', parsePercent)
    .option('--kind <text>', 'what it is (default: script)')
    .action(async (name: string, words: RegisterWords) => {
      const { registerSource } = await import('./usage/sources.ts')
      const { principal, environment, scope, interval, shrinkPercent, kind } = words
      onExit(await registerSource(io, { name, principal, environment, scope, intervalSeconds: interval, shrinkPercent, kind, ...optionsOf(words) }))
    })
  add('list', 'List the sources, and how they stand.').action(async (words: UsageWords) => {
    const { listSources } = await import('./usage/sources.ts')
    onExit(await listSources(io, optionsOf(words)))
  })
  add('report', 'Report all that runs, as a source.')
    .argument('<name>', 'the source')
    .requiredOption('--from <file>', 'what runs; - reads standard input. See below')
    .option('--number <number>', 'of the snapshot: higher than any before (default: the seconds since 1970)', parseNumber)
    .option('--nothing-runs', 'an empty report is meant')
    .addHelpText(
      'after',
      `
The file is one of:
  the JSON of \`kubectl get pods --output json\`
  a JSON list of {"imageDigest", "workload"} and perhaps "repositoryName", "environment", "until" (seconds since 1970)
  lines of a digest, or a reference with one (registry/team/app@sha256:…), and the name of what runs it`,
    )
    .action(async (name: string, words: ReportWords) => {
      const { reportUsage } = await import('./usage/report.ts')
      const { from, number, nothingRuns } = words
      onExit(await reportUsage(io, { name, from, number, nothingRuns: nothingRuns === true, ...optionsOf(words) }))
    })
  add('accept', 'Believe a report that is smaller than the last by much.')
    .argument('<name>', 'the source')
    .argument('<number>', 'of the snapshot', parseNumber)
    .action(async (name: string, number: number, words: UsageWords) => {
      const { acceptSnapshot } = await import('./usage/sources.ts')
      onExit(await acceptSnapshot(io, { name, number, ...optionsOf(words) }))
    })
  add('decommission', 'End a source: what it reported protects nothing any longer.')
    .argument('<name>', 'the source')
    .requiredOption('--reason <text>', 'why')
    .action(async (name: string, words: UsageWords & { readonly reason: string }) => {
      const { decommissionSource } = await import('./usage/sources.ts')
      onExit(await decommissionSource(io, { name, reason: words.reason, ...optionsOf(words) }))
    })
}

function optionsOf({ json, endpointUrl, region, profile }: UsageWords) {
  return { json: json === true, endpointUrl, region, profile }
}

const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

function parseSeconds(text: string): number {
  const [, count, unit = ''] = /^([1-9]\d{0,6})([smhd])$/u.exec(text) ?? []
  if (count === undefined) throw new InvalidArgumentError('Write a number and s, m, h or d, such as 10m.')
  return Number(count) * (secondsOf[unit] ?? 1)
}

function parsePercent(text: string): number {
  const percent = Number(text)
  if (!Number.isInteger(percent) || percent < 1 || percent > 100) throw new InvalidArgumentError('Write a whole number from 1 to 100.')
  return percent
}

function parseNumber(text: string): number {
  if (!/^[1-9]\d{0,14}$/u.test(text)) throw new InvalidArgumentError('Write a whole number.')
  return Number(text)
}

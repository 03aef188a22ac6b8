import { readAwsEnvironment } from '../../config/aws-environment.ts'
import { exitCodes } from '../../config/exit-codes.ts'
import { createAwsAccess } from '../aws/access.ts'
import { awsClientError } from '../aws/errors.ts'
import { resolveAwsSettings, type AwsOptions } from '../aws/settings.ts'
import { shellWord } from '../command-line.ts'
import type { CommandIo } from '../command-io.ts'
import { createIamCalls, type IamCalls, type PrincipalForm } from './iam-calls.ts'
import { nextSteps } from './next-steps.ts'
import { permissionSets, policyOf, type PermissionSetName } from './permission-sets.ts'
import { planQuickstart, policyNameOf, providerArnOf, type QuickstartPlan, type QuickstartTarget } from './quickstart-plan.ts'
import { workloadTrust, type Workload } from './workloads.ts'

export interface QuickstartOptions extends AwsOptions {
  readonly set: PermissionSetName
  readonly repositoryPrefix: string
  readonly tagPatterns: readonly string[]
  readonly form: PrincipalForm
  readonly name: string | undefined
  /** Who may take a role that is for no workload; the account's own principals where nobody is named. */
  readonly trusted: readonly string[]
  readonly workload: Workload | undefined
  readonly accessKey: boolean
  readonly apply: boolean
  readonly json: boolean
}

/** What `--json` prints. */
interface QuickstartReport {
  readonly set: PermissionSetName
  readonly applied: boolean
  readonly principalArn: string
  readonly changes: readonly { readonly action: string; readonly what: string }[]
  readonly policyName: string
  readonly policy: object
  readonly trustPolicy: object | undefined
  readonly accessKey: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined
  readonly next: string
  readonly undo: readonly string[]
}

/** IAM's limit of a name. */
const maxNameLength = 64

/**
 * Shows what a ready set of permissions for one principal takes, and with `apply` makes it: identity provider, user or role,
 * policy, access key. It asks nothing, changes only what it made itself, and does nothing the second time.
 */
export async function quickstart(io: CommandIo, options: QuickstartOptions): Promise<number> {
  const settings = await resolveAwsSettings(readAwsEnvironment(), options)
  const access = createAwsAccess(settings)
  const calls = await createIamCalls(access)
  try {
    const target = targetOf(options, await calls.accountId(), settings.region)
    const plan = await planQuickstart(calls, target)
    if (options.apply) for (const { apply } of plan.steps) await apply?.()
    const accessKey = plan.newAccessKey()
    const { arn } = (options.apply ? await calls.findPrincipal(target.form, target.name) : undefined) ?? {}
    const report: QuickstartReport = {
      set: options.set,
      applied: options.apply,
      principalArn: arn ?? `arn:aws:iam::${target.accountId}:${target.form}/${target.name}`,
      changes: plan.steps.map(({ action, what }) => ({ action, what })),
      policyName: policyNameOf(options.set),
      policy: target.policy,
      trustPolicy: target.trustPolicy,
      accessKey,
      next: nextSteps({ target, accessKey, endpoint: access.endpointOf('ecr'), region: settings.region ?? 'us-east-1', repositoryPrefix: options.repositoryPrefix }),
      undo: undoCommands(target, plan, await accessKeyIdsNow(calls, target, options.apply, plan)),
    }
    io.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : textOf(report, options))
    return exitCodes.ok.code
  } finally {
    calls.close()
  }
}

function targetOf(options: QuickstartOptions, accountId: string, region: string | undefined): QuickstartTarget {
  const { set, repositoryPrefix, tagPatterns, form, workload, trusted } = options
  const name = options.name ?? defaultName(options)
  if (name.length > maxNameLength) {
    throw awsClientError('aws-settings-invalid', `${name} is longer than the ${maxNameLength} characters of a ${form}'s name.\n  Choose a shorter one: --name NAME`)
  }
  return {
    set,
    form,
    name,
    accountId,
    policy: policyOf(set, { accountId, region: region ?? '*', repositoryPrefix, tagPatterns }),
    trustPolicy: form === 'user' ? undefined : workload === undefined ? accountTrust(accountId, trusted) : workloadTrust(workload, accountId),
    workload,
    accessKey: form === 'user' && options.accessKey,
  }
}

/** `owner-repo-ci-pusher`, `team-a-puller`: the same command always means the same principal. */
function defaultName({ set, workload, repositoryPrefix }: QuickstartOptions): string {
  const about = workload?.slug ?? repositoryPrefix.replaceAll(/[^A-Za-z\d]+/gu, '-').replaceAll(/^-|-$/gu, '')
  return about === '' ? set : `${about}-${set}`
}

/** The root of an account stands for all of its principals: each needs `sts:AssumeRole` by a policy of its own. */
function accountTrust(accountId: string, trusted: readonly string[]): object {
  const principals = trusted.length > 0 ? trusted : [`arn:aws:iam::${accountId}:root`]
  return {
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Principal: { AWS: principals.length === 1 ? principals[0] : principals }, Action: 'sts:AssumeRole' }],
  }
}

async function accessKeyIdsNow(calls: IamCalls, { form, name }: QuickstartTarget, applied: boolean, plan: QuickstartPlan): Promise<readonly string[]> {
  return form === 'user' && applied ? calls.accessKeyIds(name) : plan.accessKeyIds
}

function undoCommands(target: QuickstartTarget, plan: QuickstartPlan, accessKeyIds: readonly string[]): string[] {
  const { form, set, workload, accountId } = target
  const name = shellWord(target.name)
  const keys = accessKeyIds.map((id) => `aws iam delete-access-key --user-name ${name} --access-key-id ${id}`)
  const commands = [
    ...keys,
    `aws iam delete-${form}-policy --${form}-name ${name} --policy-name ${policyNameOf(set)}`,
    `aws iam delete-${form} --${form}-name ${name}`,
  ]
  // Others may trust a provider that was there before.
  if (workload !== undefined && plan.createsProvider) {
    commands.push(`aws iam delete-open-id-connect-provider --open-id-connect-provider-arn ${shellWord(providerArnOf(accountId, workload))}`)
  }
  return commands
}

const marks = { create: '+', change: '~', keep: '=' } as const

function textOf(report: QuickstartReport, options: QuickstartOptions): string {
  const { applied, changes, policy, trustPolicy } = report
  const pending = changes.filter(({ action }) => action !== 'keep')
  const lines = [
    `${options.set}: ${permissionSets[options.set].summary}`,
    `  who            ${options.workload?.description ?? report.principalArn}`,
    `  repositories   ${options.repositoryPrefix === '' ? 'all' : `${options.repositoryPrefix}*`}`,
    ...(options.tagPatterns.length === 0 ? [] : [`  tags           ${options.tagPatterns.join(', ')}`]),
    '',
    headingOf(applied, pending.length),
    ...changes.map(({ action, what }) => `  ${marks[action as keyof typeof marks]} ${action.padEnd(6)}  ${what}`),
    '',
  ]
  if (!applied) {
    lines.push(`Policy ${report.policyName}:`, indented(policy), '')
    if (trustPolicy !== undefined) lines.push('Trust policy:', indented(trustPolicy), '')
    lines.push(pending.length === 0 ? 'Nothing was changed.' : 'Nothing was changed. Add --apply to do it.', '')
  }
  if (applied || pending.length === 0) {
    lines.push(report.accessKey === undefined ? 'Next:' : 'Next (the secret access key is shown this once):', '', indentText(report.next), '', 'To undo all of it:', '', ...report.undo.map((command) => `  ${command}`), '')
  }
  return lines.join('\n')
}

function headingOf(applied: boolean, pendingCount: number): string {
  if (pendingCount === 0) return 'There is nothing to do:'
  return applied ? 'Done:' : 'To be done:'
}

/** As JSON, with short lists in a line. */
function indented(document: object): string {
  const text = JSON.stringify(document, null, 2)
  return indentText(text.replaceAll(/\[\n\s+("[^[\]{}]*")\n\s+\]/gu, (_, items: string) => `[${items.replaceAll(/,\n\s+/gu, ', ')}]`))
}

function indentText(text: string): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? '' : `  ${line}`))
    .join('\n')
}

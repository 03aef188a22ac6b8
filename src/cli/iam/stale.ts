import { setTimeout as sleep } from 'node:timers/promises'
import type { IAM } from '@aws-sdk/client-iam'
import { readAwsEnvironment } from '../../config/aws-environment.ts'
import { exitCodes } from '../../config/exit-codes.ts'
import { systemClock, type Clock } from '../../internal/clock.ts'
import { isPlatformError } from '../../internal/platform-error.ts'
import { createAwsAccess, type AwsAccess } from '../aws/access.ts'
import { awsClientError } from '../aws/errors.ts'
import { resolveAwsSettings, type AwsOptions } from '../aws/settings.ts'
import { shellWord } from '../command-line.ts'
import type { CommandIo } from '../command-io.ts'
import { parseCredentialReport, type ReportedKey } from './credential-report.ts'

export interface StaleOptions extends AwsOptions {
  readonly days: number
  readonly json: boolean
}

interface StaleAccess {
  readonly kind: 'access-key' | 'role'
  readonly name: string
  readonly arn: string
  /** Of an access key. */
  readonly accessKeyId?: string | undefined
  /** ISO 8601. */
  readonly createdAt: string
  readonly lastUsedAt: string | null
  /** A command that takes it away. */
  readonly next: string
}

const dayMs = 24 * 60 * 60 * 1000

/** A report is made within a second, and within a minute in the largest account. */
const reportTimeoutMs = 60_000
const reportPollMs = 500

/** Lists active access keys and roles that were neither made nor used within so many days. Changes nothing. */
export async function listStale(io: CommandIo, options: StaleOptions, clock: Clock = systemClock): Promise<number> {
  const access = createAwsAccess(await resolveAwsSettings(readAwsEnvironment(), options))
  const client = await import('@aws-sdk/client-iam')
  const iam = new client.IAM(access.clientConfig('iam'))
  try {
    const before = clock.now() - options.days * dayMs
    const found = [...(await staleKeys(iam, access, before, clock)), ...(await staleRoles(iam, access, before))]
    io.stdout.write(options.json ? `${JSON.stringify(found, null, 2)}\n` : textOf(found, options.days))
    return exitCodes.ok.code
  } finally {
    iam.destroy()
  }
}

async function staleKeys(iam: IAM, access: AwsAccess, beforeMs: number, clock: Clock): Promise<StaleAccess[]> {
  const reported = parseCredentialReport(await credentialReport(iam, access, clock))
  const stale = reported.filter((key) => key.active && isStale(key.rotatedAt, key.lastUsedAt, beforeMs))
  const found: StaleAccess[] = []
  for (const key of stale) {
    const accessKeyId = key.user === rootUser ? undefined : await accessKeyIdOf(iam, access, key)
    const name = shellWord(key.user)
    found.push({
      kind: 'access-key',
      name: key.user,
      arn: key.arn,
      accessKeyId,
      createdAt: key.rotatedAt,
      lastUsedAt: key.lastUsedAt ?? null,
      next: key.user === rootUser ? 'stowage credentials rotate' : `aws iam update-access-key --status Inactive --user-name ${name} --access-key-id ${accessKeyId ?? 'ID'}`,
    })
  }
  return found
}

const rootUser = '<root_account>'

/** The report has no ids: the key of the user that was made at that time. */
async function accessKeyIdOf(iam: IAM, access: AwsAccess, key: ReportedKey): Promise<string | undefined> {
  const { AccessKeyMetadata: keys = [] } = await access.call('iam', () => iam.listAccessKeys({ UserName: key.user }))
  const [only, ...others] = keys.filter(({ CreateDate: created }) => created !== undefined && Math.abs(created.getTime() - Date.parse(key.rotatedAt)) < 1_000)
  return others.length === 0 ? only?.AccessKeyId : undefined
}

async function credentialReport(iam: IAM, access: AwsAccess, clock: Clock): Promise<string> {
  const deadline = clock.now() + reportTimeoutMs
  for (;;) {
    await access.call('iam', () => iam.generateCredentialReport({}))
    try {
      const { Content: content } = await access.call('iam', () => iam.getCredentialReport({}))
      return Buffer.from(content ?? []).toString('utf8')
    } catch (error) {
      const isNotYet = isPlatformError(error, 'aws-refused') && /^(?:CredentialReport|ReportInProgress|ReportNotPresent|ReportExpired)/u.test(String(error.detail['name']))
      if (!isNotYet) throw error
      if (clock.now() > deadline) throw awsClientError('aws-unreachable', 'the server does not finish its credential report: try again later', { cause: error })
    }
    await sleep(reportPollMs)
  }
}

async function staleRoles(iam: IAM, access: AwsAccess, beforeMs: number): Promise<StaleAccess[]> {
  const found: StaleAccess[] = []
  let marker: string | undefined
  do {
    const page = await access.call('iam', () => iam.listRoles({ Marker: marker }))
    for (const { RoleName: name = '' } of page.Roles ?? []) {
      // A list of roles does not say when they were used.
      const { Role: role } = await access.call('iam', () => iam.getRole({ RoleName: name }))
      const createdAt = (role?.CreateDate ?? new Date(0)).toISOString()
      const lastUsedAt = role?.RoleLastUsed?.LastUsedDate?.toISOString()
      if (!isStale(createdAt, lastUsedAt, beforeMs)) continue
      found.push({ kind: 'role', name, arn: role?.Arn ?? '', createdAt, lastUsedAt: lastUsedAt ?? null, next: denyEverything(name) })
    }
    marker = page.IsTruncated === true ? page.Marker : undefined
  } while (marker !== undefined)
  return found
}

/** As a key can be made inactive and active again. To delete a role, its policies have to go first. */
function denyEverything(role: string): string {
  const document = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}'
  return `aws iam put-role-policy --role-name ${shellWord(role)} --policy-name stale --policy-document '${document}'`
}

function isStale(createdAt: string, lastUsedAt: string | undefined, beforeMs: number): boolean {
  return Date.parse(createdAt) <= beforeMs && (lastUsedAt === undefined || Date.parse(lastUsedAt) <= beforeMs)
}

function textOf(found: readonly StaleAccess[], days: number): string {
  if (found.length === 0) return `Every active access key and role was made or used within ${days} ${days === 1 ? 'day' : 'days'}.\n`
  const rows = found.map((item) => [item.kind.replace('-', ' '), item.name, item.createdAt.slice(0, 10), item.lastUsedAt?.slice(0, 10) ?? 'never', item.next])
  const table = [['what', 'whose', 'made', 'last used', 'to take it away'], ...rows]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  return `${table.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()).join('\n')}\n`
}

import { exitCodes } from '../../config/exit-codes.ts'
import type { AwsOptions } from '../aws/settings.ts'
import { connectToStowage, everyPage, isoTime, jsonText, tableText } from '../aws/stowage-calls.ts'
import type { CommandIo } from '../command-io.ts'

export interface UsageOptions extends AwsOptions {
  readonly json: boolean
}

export interface RegisterOptions extends UsageOptions {
  readonly name: string
  readonly principal: string
  readonly environment: string
  readonly scope: readonly string[]
  readonly intervalSeconds: number
  readonly shrinkPercent: number | undefined
  readonly kind: string | undefined
}

/** As the service answers it. */
interface UsageSource {
  readonly sourceName: string
  readonly principalArn: string
  readonly kind: string
  readonly environment: string
  readonly scope: readonly string[]
  readonly intervalSeconds: number
  readonly shrinkPercent: number
  readonly status: string
  readonly doubt?: string
  readonly lastNumber: number
  readonly believed?: { readonly snapshotNumber: number; readonly at: number; readonly leases: number }
  readonly createdAt: number
}

export async function registerSource(io: CommandIo, options: RegisterOptions): Promise<number> {
  const call = await connectToStowage(options)
  const { name, principal, environment, scope, intervalSeconds, shrinkPercent, kind } = options
  const input = { sourceName: name, principalArn: principal, environment, scope, intervalSeconds, shrinkPercent, kind }
  const { usageSource } = await call<{ usageSource: UsageSource }>('RegisterUsageSource', input)
  if (options.json) io.stdout.write(jsonText(forPeople(usageSource)))
  else {
    io.stdout.write(
      `${name} is registered. Until its first report nothing is removed automatically from ${scope.join(' ')}.\n` +
        `${principal} needs stowage:PutUsageLeases on it: stowage iam quickstart usage-reporter\n`,
    )
  }
  return exitCodes.ok.code
}

export async function listSources(io: CommandIo, options: UsageOptions): Promise<number> {
  const call = await connectToStowage(options)
  const sources = await everyPage(call, 'DescribeUsageSources', {}, (page) => page['usageSources'] as UsageSource[])
  if (options.json) io.stdout.write(jsonText(sources.map(forPeople)))
  else {
    const rows = sources.map(({ sourceName, status, doubt, believed, environment, scope }) => [
      sourceName,
      doubt ?? status,
      believed === undefined ? 'never' : isoTime(believed.at).slice(0, 16),
      String(believed?.leases ?? 0),
      environment,
      scope.join(' '),
    ])
    io.stdout.write(tableText(['source', 'state', 'last report', 'leases', 'environment', 'scope'], rows))
  }
  return exitCodes.ok.code
}

export async function acceptSnapshot(io: CommandIo, options: UsageOptions & { readonly name: string; readonly number: number }): Promise<number> {
  const call = await connectToStowage(options)
  const { name, number } = options
  const accepted = await call<{ leases: number }>('AcceptUsageSnapshot', { sourceName: name, snapshotNumber: number })
  io.stdout.write(options.json ? jsonText(accepted) : `The snapshot ${number} of ${name} is believed: ${accepted.leases} leases.\n`)
  return exitCodes.ok.code
}

export async function decommissionSource(io: CommandIo, options: UsageOptions & { readonly name: string; readonly reason: string }): Promise<number> {
  const call = await connectToStowage(options)
  const { name, reason } = options
  const { usageSource } = await call<{ usageSource: UsageSource }>('DecommissionUsageSource', { sourceName: name, reason })
  io.stdout.write(options.json ? jsonText(forPeople(usageSource)) : `${name} is decommissioned: what it reported protects nothing any longer.\n`)
  return exitCodes.ok.code
}

function forPeople({ createdAt, believed, ...source }: UsageSource): object {
  return { ...source, ...(believed && { believed: { ...believed, at: isoTime(believed.at) } }), createdAt: isoTime(createdAt) }
}

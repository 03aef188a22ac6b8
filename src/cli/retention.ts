import { exitCodes } from '../config/exit-codes.ts'
import type { AwsOptions } from './aws/settings.ts'
import { connectToStowage, everyPage, isoTime, jsonText, tableText } from './aws/stowage-calls.ts'
import type { CommandIo } from './command-io.ts'
import { readGivenFileOrInput } from './given-file.ts'

export interface RetentionOptions extends AwsOptions {
  readonly json: boolean
  readonly registryId: string | undefined
}

/** Where a policy holds; exactly one is given. */
export interface PlaceOptions {
  readonly repository?: string
  readonly prefix?: string
  readonly wholeRegistry?: boolean
}

type AtPlace = RetentionOptions & { readonly place: PlaceOptions }

/** As the service answers it; times are seconds since the Unix epoch. */
interface Policy {
  readonly scope: 'REPOSITORY' | 'PREFIX' | 'REGISTRY'
  readonly repositoryName?: string
  readonly prefix?: string
  readonly policyText: string
  readonly version: number
  readonly updatedAt: number
  readonly updatedBy: string
}

interface Version {
  readonly version: number
  /** Absent where this version took the policy away. */
  readonly policyText?: string
  readonly changedAt: number
  readonly changedBy: string
}

/** Sets a place's policy to what a file holds, or standard input where it is `-`. */
export async function putRetention(io: CommandIo, options: AtPlace & { readonly file: string }): Promise<number> {
  const place = placeInput(io, options)
  if (place === undefined) return exitCodes.usage.code
  const policyText = await readGivenFileOrInput(options.file)
  const call = await connectToStowage(options)
  const policy = await call<Policy>('PutRetentionPolicy', { ...place, policyText })
  io.stdout.write(options.json ? jsonText(forPeople(policy)) : `The policy of ${placeWords(policy)} is version ${policy.version}.\n`)
  return exitCodes.ok.code
}

export async function getRetention(io: CommandIo, options: AtPlace): Promise<number> {
  const place = placeInput(io, options)
  if (place === undefined) return exitCodes.usage.code
  const call = await connectToStowage(options)
  const policy = await call<Policy>('GetRetentionPolicy', place)
  // What `put` takes.
  io.stdout.write(options.json ? jsonText(forPeople(policy)) : jsonText(JSON.parse(policy.policyText)))
  return exitCodes.ok.code
}

export async function deleteRetention(io: CommandIo, options: AtPlace): Promise<number> {
  const place = placeInput(io, options)
  if (place === undefined) return exitCodes.usage.code
  const call = await connectToStowage(options)
  const policy = await call<Policy>('DeleteRetentionPolicy', place)
  io.stdout.write(options.json ? jsonText(forPeople(policy)) : `The policy of ${placeWords(policy)} is gone; its versions stay.\n`)
  return exitCodes.ok.code
}

export async function listRetentionVersions(io: CommandIo, options: AtPlace & { readonly isLifecycle: boolean }): Promise<number> {
  const place = placeInput(io, options)
  if (place === undefined) return exitCodes.usage.code
  const policyType = options.isLifecycle ? 'LIFECYCLE' : 'RETENTION'
  const versions = await everyPage(await connectToStowage(options), 'ListPolicyVersions', { ...place, policyType }, (page) => page['versions'] as Version[])
  const rows = versions.map(({ version, policyText, changedAt, changedBy }) => [String(version), isoTime(changedAt), changedBy, policyText ?? '(taken away)'])
  const shown = versions.map(({ policyText, changedAt, ...rest }) => ({ ...rest, changedAt: isoTime(changedAt), policy: policyText === undefined ? null : (JSON.parse(policyText) as unknown) }))
  io.stdout.write(options.json ? jsonText(shown) : tableText(['version', 'changed', 'by', 'policy'], rows))
  return exitCodes.ok.code
}

export async function listRetention(io: CommandIo, options: RetentionOptions): Promise<number> {
  const policies = await everyPage(await connectToStowage(options), 'ListRetentionPolicies', registryOf(options), (page) => page['policies'] as Policy[])
  const rows = policies.map((policy) => [placeWords(policy), String(policy.version), isoTime(policy.updatedAt), policy.updatedBy])
  io.stdout.write(options.json ? jsonText(policies.map(forPeople)) : tableText(['policy of', 'version', 'changed', 'by'], rows))
  return exitCodes.ok.code
}

function registryOf({ registryId }: RetentionOptions): object {
  return registryId === undefined ? {} : { registryId }
}

/** Undefined, and said so, where no place is given. */
function placeInput(io: CommandIo, options: AtPlace): object | undefined {
  const { repository, prefix, wholeRegistry } = options.place
  const registry = registryOf(options)
  if (repository !== undefined) return { ...registry, scope: 'REPOSITORY', repositoryName: repository }
  if (prefix !== undefined) return { ...registry, scope: 'PREFIX', prefix }
  if (wholeRegistry === true) return { ...registry, scope: 'REGISTRY' }
  io.stderr.write('Say where: --repository <name>, --prefix <prefix> or --whole-registry.\n')
  return undefined
}

function placeWords({ scope, repositoryName, prefix }: Policy): string {
  if (scope === 'REPOSITORY') return repositoryName ?? ''
  return scope === 'PREFIX' ? `${prefix ?? ''}/*` : 'the whole registry'
}

function forPeople({ policyText, updatedAt, ...rest }: Policy): object {
  return { ...rest, updatedAt: isoTime(updatedAt), policy: JSON.parse(policyText) as unknown }
}

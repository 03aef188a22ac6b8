import { exitCodes } from '../config/exit-codes.ts'
import type { AwsOptions } from './aws/settings.ts'
import { connectToStowage, everyPage, isoTime, jsonText, tableText } from './aws/stowage-calls.ts'
import type { CommandIo } from './command-io.ts'
import { sizeText } from './long-work.ts'

interface QuotaOptions extends AwsOptions {
  readonly json: boolean
}

/** As the service answers it. */
interface Quota {
  readonly scope: 'REPOSITORY' | 'REGISTRY' | 'ACCOUNT'
  readonly registryId: string
  readonly region?: string
  readonly repositoryName?: string
  readonly maxSizeInBytes?: number
  readonly maxImageCount?: number
  readonly maxRepositoryCount?: number
  readonly sizeInBytes: number
  readonly imageCount: number
  readonly repositoryCount?: number
  readonly exceeded: readonly ('SIZE' | 'IMAGES' | 'REPOSITORIES')[]
  readonly changedAt: number
  readonly changedBy: string
}

export async function setQuota(
  io: CommandIo,
  options: QuotaOptions & { readonly subject: object; readonly bytes: number | undefined; readonly images: number | undefined; readonly repositories: number | undefined },
): Promise<number> {
  const { subject, bytes, images, repositories } = options
  const call = await connectToStowage(options)
  const { quota } = await call<{ quota: Quota }>('PutQuota', { ...subject, maxSizeInBytes: bytes, maxImageCount: images, maxRepositoryCount: repositories })
  if (options.json) io.stdout.write(jsonText(forPeople(quota)))
  else {
    io.stdout.write(quotaTable([quota]))
    if (quota.exceeded.length > 0) io.stdout.write('There is more already. Nothing is deleted, but what would add to it is refused until there is room again.\n')
  }
  return exitCodes.ok.code
}

export async function removeQuota(io: CommandIo, options: QuotaOptions & { readonly subject: object; readonly types: readonly string[] | undefined }): Promise<number> {
  const call = await connectToStowage(options)
  const { quota } = await call<{ quota: Quota }>('DeleteQuota', { ...options.subject, quotaTypes: options.types })
  if (options.json) io.stdout.write(jsonText(forPeople(quota)))
  else {
    const removed = boundsOf(quota).filter(({ type }) => options.types?.includes(type) ?? true)
    io.stdout.write(`No longer bounded: ${removed.map(({ what, most }) => `${what} of ${subjectText(quota)} (was ${most})`).join(', ')}.\n`)
  }
  return exitCodes.ok.code
}

export async function listQuotas(io: CommandIo, options: QuotaOptions & { readonly everyAccount: boolean }): Promise<number> {
  const call = await connectToStowage(options)
  const quotas = await everyPage(call, 'ListQuotas', options.everyAccount ? { everyAccount: true } : {}, (page) => page['quotas'] as Quota[])
  io.stdout.write(options.json ? jsonText(quotas.map(forPeople)) : quotaTable(quotas))
  return exitCodes.ok.code
}

function quotaTable(quotas: readonly Quota[]): string {
  const rows = quotas.flatMap((quota) =>
    boundsOf(quota).map(({ type, what, has, most }) => [subjectText(quota), what, has, most, quota.exceeded.includes(type) ? 'exceeded' : '']),
  )
  return tableText(['of', 'quota', 'has', 'at most', ''], rows)
}

function boundsOf({ maxSizeInBytes, maxImageCount, maxRepositoryCount, sizeInBytes, imageCount, repositoryCount = 0 }: Quota) {
  const bounds = [
    { type: 'SIZE', what: 'bytes', has: sizeText(sizeInBytes), most: maxSizeInBytes === undefined ? undefined : sizeText(maxSizeInBytes) },
    { type: 'IMAGES', what: 'images', has: String(imageCount), most: maxImageCount?.toString() },
    { type: 'REPOSITORIES', what: 'repositories', has: String(repositoryCount), most: maxRepositoryCount?.toString() },
  ] as const
  return bounds.flatMap(({ most, ...bound }) => (most === undefined ? [] : [{ ...bound, most }]))
}

function subjectText({ scope, registryId, region = '', repositoryName = '' }: Quota): string {
  if (scope === 'REPOSITORY') return repositoryName
  return scope === 'REGISTRY' ? `${registryId} in ${region}` : `${registryId} in all regions`
}

function forPeople({ changedAt, ...quota }: Quota): object {
  return { ...quota, changedAt: isoTime(changedAt) }
}

import { exitCodes } from '../config/exit-codes.ts'
import { connectToStowage, isoTime, jsonText, tableText } from './aws/stowage-calls.ts'
import type { AwsOptions } from './aws/settings.ts'
import type { CommandIo } from './command-io.ts'
import { sizeText } from './long-work.ts'

export interface StorageSubject {
  readonly repository: string
  readonly tag?: string | undefined
  readonly digest?: string | undefined
}

interface StorageOptions extends AwsOptions {
  readonly subject: StorageSubject | undefined
  readonly json: boolean
}

/** As the service answers them. */
interface RepositoryUse {
  readonly repositoryName: string
  readonly imageCount: number
  readonly logicalSizeInBytes: number
}

interface Listed {
  readonly logicalSizeInBytes: number
  readonly repositories: readonly RepositoryUse[]
  readonly nextToken?: string
}

interface Described extends RepositoryUse {
  readonly activeSizeInBytes: number
  readonly archivedSizeInBytes: number
  readonly trashedImageCount: number
  readonly trashedSizeInBytes: number
  readonly manifestCount?: number
  readonly blobCount: number
  readonly blobSizeInBytes: number
  readonly sharedSizeInBytes: number
  readonly uniqueSizeInBytes: number
}

/** Of all repositories, the largest first; of one; or of an image with what goes with it. */
export async function showStorage(io: CommandIo, { subject, json, ...options }: StorageOptions): Promise<number> {
  const call = await connectToStowage(options)
  if (subject === undefined) {
    const repositories: RepositoryUse[] = []
    let logicalSizeInBytes = 0
    for (let nextToken: string | undefined, isFirst = true; isFirst || nextToken !== undefined; isFirst = false) {
      const page: Listed = await call<Listed>('ListStorage', { maxResults: 1000, nextToken })
      repositories.push(...page.repositories)
      ;({ logicalSizeInBytes, nextToken } = page)
    }
    repositories.sort((one, other) => other.logicalSizeInBytes - one.logicalSizeInBytes)
    if (json) io.stdout.write(jsonText({ logicalSizeInBytes, repositories }))
    else {
      const rows = repositories.map((each) => [each.repositoryName, String(each.imageCount), sizeText(each.logicalSizeInBytes)])
      io.stdout.write(`${tableText(['repository', 'images', 'size'], rows)}All images together, each with all its layers: ${sizeText(logicalSizeInBytes)}.\n`)
    }
    return exitCodes.ok.code
  }
  const { repository, tag, digest } = subject
  const isImage = tag !== undefined || digest !== undefined
  const described = await call<Described>('DescribeStorage', { repositoryName: repository, ...(isImage ? { imageIds: [{ imageTag: tag, imageDigest: digest }] } : {}) })
  io.stdout.write(json ? jsonText(described) : isImage ? imageText(described) : repositoryText(described))
  return exitCodes.ok.code
}

interface AccountUse extends Omit<RepositoryUse, 'repositoryName'> {
  readonly repositoryCount: number
  readonly blobCount: number
  readonly blobSizeInBytes: number
  readonly sharedSizeInBytes: number
  readonly uniqueSizeInBytes: number
}

/** Of an account in all its regions. */
export async function showAccount(io: CommandIo, { json, ...options }: AwsOptions & { readonly json: boolean }): Promise<number> {
  const call = await connectToStowage(options)
  const account = await call<AccountUse>('DescribeAccountStorage', {})
  const { repositoryCount, imageCount, logicalSizeInBytes, blobCount, blobSizeInBytes, sharedSizeInBytes, uniqueSizeInBytes } = account
  const rows = [
    ['repositories', String(repositoryCount), ''],
    ['images, each with all its layers', String(imageCount), sizeText(logicalSizeInBytes)],
    ['layers and configs, each once', String(blobCount), sizeText(blobSizeInBytes)],
    ['  that several repositories have', '', sizeText(sharedSizeInBytes)],
    ['  that one repository alone has', '', sizeText(uniqueSizeInBytes)],
  ]
  io.stdout.write(json ? jsonText(account) : tableText(['', 'number', 'size'], rows))
  return exitCodes.ok.code
}

interface Disk {
  readonly disk: string
  readonly usedSizeInBytes: number
  readonly freeSizeInBytes: number
  readonly growthInBytesPerDay?: number
  readonly fullAt?: number
}

export async function showDisks(io: CommandIo, { json, ...options }: AwsOptions & { readonly json: boolean }): Promise<number> {
  const call = await connectToStowage(options)
  const { disks } = await call<{ disks: readonly Disk[] }>('DescribeDisks', {})
  if (json) io.stdout.write(jsonText(disks.map(({ fullAt, ...disk }) => ({ ...disk, ...(fullAt !== undefined && { fullAt: isoTime(fullAt) }) }))))
  else {
    const rows = disks.map(({ disk, usedSizeInBytes, freeSizeInBytes, growthInBytesPerDay, fullAt }) => [
      disk,
      sizeText(usedSizeInBytes),
      sizeText(freeSizeInBytes),
      growthInBytesPerDay === undefined ? 'unknown yet' : `${growthInBytesPerDay < 0 ? '-' : ''}${sizeText(Math.abs(growthInBytesPerDay))}`,
      growthInBytesPerDay === undefined ? 'unknown yet' : fullAt === undefined ? 'not in ten years' : isoTime(fullAt).slice(0, 10),
    ])
    io.stdout.write(tableText(['disk of', 'used', 'free', 'more each day', 'full'], rows))
  }
  return exitCodes.ok.code
}

function repositoryText(described: Described): string {
  const rows = [
    ['images', String(described.imageCount), sizeText(described.logicalSizeInBytes)],
    ['  archived', '', sizeText(described.archivedSizeInBytes)],
    ['in the trash', String(described.trashedImageCount), sizeText(described.trashedSizeInBytes)],
    ['layers and configs of all these', String(described.blobCount), sizeText(described.blobSizeInBytes)],
    ['  that other repositories have too', '', sizeText(described.sharedSizeInBytes)],
    ['  given back when the repository goes', '', sizeText(described.uniqueSizeInBytes)],
  ]
  return tableText(['', 'number', 'size'], rows)
}

function imageText({ manifestCount = 1, blobCount, blobSizeInBytes, sharedSizeInBytes, uniqueSizeInBytes }: Described): string {
  const rows = [
    [`layers and configs of ${manifestCount === 1 ? 'the image' : `${manifestCount} images that go together`}`, String(blobCount), sizeText(blobSizeInBytes)],
    ['  that other images have too', '', sizeText(sharedSizeInBytes)],
    ['  given back when it goes', '', sizeText(uniqueSizeInBytes)],
  ]
  return tableText(['', 'number', 'size'], rows)
}

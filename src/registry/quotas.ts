import type { Quotas } from '../config/quotas.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { Session } from '../storage/metadata/session.ts'
import {
  contentBytes,
  countRepositories,
  lockRegistryRow,
  lockRepositoryCount,
  setRepositoryCount,
  setRepositorySums,
  sumManifests,
  sumRegistryBytes,
  type RepositoryRow,
  type RepositorySums,
} from '../storage/metadata/stores/repository-store.ts'
import { registryError } from './errors.ts'

/*
 * Quotas that are counted. The counts stand in the rows of repository and registry, which whoever changes them has
 * locked, so that a push costs the same in a large repository as in a small one. Nobody is refused by a count alone:
 * before that, what is there is counted.
 */

/** What there may be of images. Infinite where nobody has set a bound. */
export interface ImageLimits {
  readonly maxImages: number
  readonly maxRepositoryBytes: number
  readonly maxRegistryBytes: number
}

export function imageLimitsOf({ imagesPerRepository, repositoryBytes, registryBytes }: Quotas): ImageLimits {
  return { maxImages: imagesPerRepository, maxRepositoryBytes: repositoryBytes, maxRegistryBytes: registryBytes }
}

/**
 * Makes those wait for each other who add to a registry whose bytes are bounded: only so nobody exceeds the bound beside
 * somebody else. After the lock of the repository and before those of blobs, where whoever asks what protects images takes the
 * registry's row too: in another order they would wait for each other crosswise.
 */
export async function lockRegistryRoom(tx: Session, registryId: number, { maxRegistryBytes }: ImageLimits): Promise<void> {
  if (Number.isFinite(maxRegistryBytes)) await lockRegistryRow(tx, registryId)
}

/** What comes to a repository: an image, or more of one that it has already. */
export interface Growth {
  readonly images: 0 | 1
  /** As `contentBytes` has them; less than none where an image turns out to name less. */
  readonly bytes: number
}

export function growthBy(manifest: Parameters<typeof contentBytes>[0]): Growth {
  return { images: 1, bytes: contentBytes(manifest) }
}

/**
 * Counts what is about to come to a repository, whose lock the caller holds, as that of its registry's room: what there is with it.
 * What adds no image meets no quota of images, and what adds no bytes none of bytes. Throws `limit-exceeded`.
 */
export async function takeImageRoom(
  tx: Session,
  repository: RepositoryRow,
  added: Growth,
  limits: ImageLimits,
  context: { readonly accountId: string },
): Promise<{ readonly image_count: number; readonly logical_bytes: number }> {
  const { id, image_count: images, logical_bytes: bytes } = repository
  let sums: RepositorySums = images === null || bytes === null ? await sumManifests(tx, id) : { images, bytes }
  const hasTooManyImages = (): boolean => added.images > 0 && sums.images + added.images > limits.maxImages
  const hasTooManyBytes = (): boolean => added.bytes > 0 && sums.bytes + added.bytes > limits.maxRepositoryBytes
  if (hasTooManyImages() || hasTooManyBytes()) sums = await sumManifests(tx, id)
  const where = `The repository with name '${repository.name}' in registry with id '${context.accountId}'`
  if (hasTooManyImages()) {
    throw registryError('limit-exceeded', `${where} already has the maximum allowed number of images which is '${limits.maxImages}'`)
  }
  if (hasTooManyBytes()) {
    throw registryError('limit-exceeded', `${where} has ${sums.bytes} bytes, and with ${added.bytes} more exceeds the maximum allowed size which is '${limits.maxRepositoryBytes}' bytes`)
  }
  await refuseFullRegistry(tx, repository.registry_id, added.bytes, limits, context)
  const after = { images: sums.images + added.images, bytes: sums.bytes + added.bytes }
  await setRepositorySums(tx, id, after)
  return { image_count: after.images, logical_bytes: after.bytes }
}

/**
 * Makes sure that a registry, whose room the caller has locked, has room for all images of a repository that is about to come back
 * from the trash. Throws `limit-exceeded`.
 */
export async function refuseReturnBeyondRoom(
  tx: Session,
  repository: RepositoryRow,
  limits: ImageLimits,
  context: { readonly accountId: string },
): Promise<void> {
  if (!Number.isFinite(limits.maxRegistryBytes)) return
  const { bytes } = await sumManifests(tx, repository.id)
  await refuseFullRegistry(tx, repository.registry_id, bytes, limits, context)
}

async function refuseFullRegistry(
  tx: Session,
  registryId: number,
  addedBytes: number,
  { maxRegistryBytes }: ImageLimits,
  context: { readonly accountId: string },
): Promise<void> {
  if (addedBytes <= 0 || !Number.isFinite(maxRegistryBytes)) return
  const before = await sumRegistryBytes(tx, registryId)
  if (before + addedBytes > maxRegistryBytes) {
    throw registryError('limit-exceeded', `The registry with id '${context.accountId}' has ${before} bytes, and with ${addedBytes} more exceeds the maximum allowed size which is '${maxRegistryBytes}' bytes`)
  }
}

/** Counts a repository that was just inserted, and locks the registry's count until the end. Throws `limit-exceeded`. */
export async function countNewRepository(
  tx: Session,
  registryId: number,
  maxRepositories: number,
  context: CommandContext,
): Promise<void> {
  const before = await lockRepositoryCount(tx, registryId)
  let count = before === null ? await countRepositories(tx, registryId) : before + 1
  if (before !== null && count > maxRepositories) count = await countRepositories(tx, registryId)
  if (count > maxRepositories) {
    throw registryError(
      'limit-exceeded',
      `The registry with id '${context.accountId}' already has the maximum allowed number of repositories which is '${maxRepositories}'`,
    )
  }
  await setRepositoryCount(tx, registryId, count)
}

export function tooManyTagsOfImage(
  tag: string,
  repositoryName: string,
  maxTags: number,
  context: { readonly accountId: string },
): Error {
  return registryError(
    'limit-exceeded',
    `Adding tag '${tag}' to an image in the repository with name '${repositoryName}' in registry with id '${context.accountId}' exceeds the maximum allowed number of tags per image which is '${maxTags}'`,
  )
}

export function layerTooLarge(repositoryName: string, maxBytes: number, registry: { readonly accountId: string }): Error {
  return registryError(
    'limit-exceeded',
    `The layer uploaded to the repository with name '${repositoryName}' in registry with id '${registry.accountId}' exceeds the maximum allowed layer size which is '${maxBytes}' bytes`,
  )
}

export function tooManyParts(uploadId: string, maxParts: number): Error {
  return registryError(
    'limit-exceeded',
    `The layer upload with id '${uploadId}' already has the maximum allowed number of parts which is '${maxParts}'`,
  )
}

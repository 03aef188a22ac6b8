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

/**
 * Counts a manifest that is about to come to life in a repository, whose lock the caller holds: what there is
 * with it. Throws `limit-exceeded`.
 */
export async function takeImageRoom(
  tx: Session,
  repository: RepositoryRow,
  manifest: Parameters<typeof contentBytes>[0],
  limits: ImageLimits,
  context: { readonly accountId: string },
): Promise<{ readonly image_count: number; readonly logical_bytes: number }> {
  const { id, image_count: images, logical_bytes: bytes } = repository
  const added = contentBytes(manifest)
  let sums: RepositorySums = images === null || bytes === null ? await sumManifests(tx, id) : { images, bytes }
  const isFull = (): boolean => sums.images >= limits.maxImages || sums.bytes + added > limits.maxRepositoryBytes
  if (isFull()) sums = await sumManifests(tx, id)
  const where = `The repository with name '${repository.name}' in registry with id '${context.accountId}'`
  if (sums.images >= limits.maxImages) {
    throw registryError('limit-exceeded', `${where} already has the maximum allowed number of images which is '${limits.maxImages}'`)
  }
  if (isFull()) {
    throw registryError('limit-exceeded', `${where} has ${sums.bytes} bytes, and with ${added} more exceeds the maximum allowed size which is '${limits.maxRepositoryBytes}' bytes`)
  }
  if (Number.isFinite(limits.maxRegistryBytes)) {
    const before = await sumRegistryBytes(tx, repository.registry_id)
    if (before + added > limits.maxRegistryBytes) {
      throw registryError('limit-exceeded', `The registry with id '${context.accountId}' has ${before} bytes, and with ${added} more exceeds the maximum allowed size which is '${limits.maxRegistryBytes}' bytes`)
    }
  }
  await setRepositorySums(tx, id, { images: sums.images + 1, bytes: sums.bytes + added })
  return { image_count: sums.images + 1, logical_bytes: sums.bytes + added }
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

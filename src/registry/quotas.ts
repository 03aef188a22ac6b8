import type { CommandContext } from '../storage/metadata/command.ts'
import type { Session } from '../storage/metadata/session.ts'
import {
  countManifests,
  countRepositories,
  lockRepositoryCount,
  setImageCount,
  setRepositoryCount,
  type RepositoryRow,
} from '../storage/metadata/stores/repository-store.ts'
import { registryError } from './errors.ts'

/*
 * Quotas that are counted. The counts stand in the rows of repository and registry, which whoever changes them has
 * locked, so that a push costs the same in a large repository as in a small one. Nobody is refused by a count alone:
 * before that, what is there is counted.
 */

/**
 * Counts a manifest that is about to come to life in a repository, whose lock the caller holds: how many
 * there are with it. Throws `limit-exceeded`.
 */
export async function takeImageRoom(
  tx: Session,
  repository: RepositoryRow,
  maxImages: number,
  context: { readonly accountId: string },
): Promise<number> {
  let count = repository.image_count ?? (await countManifests(tx, repository.id))
  if (count >= maxImages) count = await countManifests(tx, repository.id)
  if (count >= maxImages) {
    throw registryError(
      'limit-exceeded',
      `The repository with name '${repository.name}' in registry with id '${context.accountId}' already has the maximum allowed number of images which is '${maxImages}'`,
    )
  }
  await setImageCount(tx, repository.id, count + 1)
  return count + 1
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

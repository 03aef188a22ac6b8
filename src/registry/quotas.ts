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
  type RepositoryRow,
  type RepositorySums,
} from '../storage/metadata/stores/repository-store.ts'
import { lockImageQuotas, lockRepositoryQuotas, type QuotaRow } from '../storage/metadata/stores/quota-store.ts'
import { useOfAccount, useOfRegistry } from '../storage/metadata/stores/storage-use-store.ts'
import { registryError } from './errors.ts'

/*
 * Quotas that are counted. The counts stand in the rows of repository and registry, which whoever changes them has
 * locked, so that a push costs the same in a large repository as in a small one. Nobody is refused by a count alone:
 * before that, what is there is counted.
 *
 * Each quota holds for itself, whether configured or set while servers run: none lifts another.
 */

/** What there may be of images by the server's settings. Infinite where they set no bound. */
export interface ImageLimits {
  readonly maxImages: number
  readonly maxRepositoryBytes: number
  readonly maxRegistryBytes: number
}

export function imageLimitsOf({ imagesPerRepository, repositoryBytes, registryBytes }: Quotas): ImageLimits {
  return { maxImages: imagesPerRepository, maxRepositoryBytes: repositoryBytes, maxRegistryBytes: registryBytes }
}

interface Bound {
  readonly maxImages: number
  readonly maxBytes: number
}

interface SharedBound extends Bound {
  readonly scope: 'registry' | 'account'
  /** What there is, with what the command has added; undefined until that was counted. */
  use: RepositorySums | undefined
}

/** How much may come to a repository, as long as a command has the locks by which nobody else takes the same room. */
export interface ImageRoom {
  readonly own: Bound
  /** Of its registry and its account, where somebody has bounded them. */
  readonly shared: readonly SharedBound[]
}

/**
 * What a repository has room for: as configured, and as set since. Makes those wait for each other who add to what is bounded: only so
 * nobody exceeds the bound beside somebody else. Where nothing is bounded together with other repositories nobody waits.
 *
 * After the lock of the repository and before those of blobs: first the registry's row, which whoever asks what protects images takes
 * there too, then the quotas, the narrowest first. In another order they would wait for each other crosswise.
 */
export async function lockImageRoom(tx: Session, repository: Pick<RepositoryRow, 'id' | 'registry_id'>, limits: ImageLimits, context: CommandContext): Promise<ImageRoom> {
  const { maxImages, maxRepositoryBytes, maxRegistryBytes } = limits
  if (Number.isFinite(maxRegistryBytes)) await lockRegistryRow(tx, repository.registry_id)
  const { accountId, region } = context
  const quotas = await lockImageQuotas(tx, { accountId, region, repositoryId: repository.id })
  const lowest = (quota: QuotaRow | undefined, configured: Bound): Bound => ({
    maxImages: Math.min(quota?.max_images ?? unbounded, configured.maxImages),
    maxBytes: Math.min(quota?.max_bytes ?? unbounded, configured.maxBytes),
  })
  const ofRegistry = lowest(quotas.find((quota) => quota.region !== '' && quota.repository_id === 0), { maxImages: unbounded, maxBytes: maxRegistryBytes })
  const ofAccount = lowest(quotas.find((quota) => quota.region === ''), { maxImages: unbounded, maxBytes: unbounded })
  const shared: SharedBound[] = [
    { scope: 'registry', ...ofRegistry, use: undefined },
    { scope: 'account', ...ofAccount, use: undefined },
  ]
  return {
    own: lowest(quotas.find((quota) => quota.repository_id !== 0), { maxImages, maxBytes: maxRepositoryBytes }),
    shared: shared.filter((bound) => Number.isFinite(bound.maxImages) || Number.isFinite(bound.maxBytes)),
  }
}

const unbounded = Number.POSITIVE_INFINITY

/** What comes to a repository: images with their bytes, or more of one that it has already. */
export interface Growth {
  readonly images: number
  /** As `contentBytes` has them; less than none where an image turns out to name less. */
  readonly bytes: number
}

export function growthBy(manifest: Parameters<typeof contentBytes>[0]): Growth {
  return { images: 1, bytes: contentBytes(manifest) }
}

/**
 * Counts what is about to come to a repository, whose lock and room the caller holds: what there is with it. What adds no image meets
 * no quota of images, and what adds no bytes none of bytes. Throws `limit-exceeded`.
 */
export async function takeImageRoom(
  tx: Session,
  repository: RepositoryRow,
  added: Growth,
  room: ImageRoom,
  context: { readonly accountId: string },
): Promise<{ readonly image_count: number; readonly logical_bytes: number }> {
  const { id, image_count: images, logical_bytes: bytes } = repository
  let sums: RepositorySums = images === null || bytes === null ? await sumManifests(tx, id) : { images, bytes }
  if (isBeyond(room.own, sums, added)) sums = await sumManifests(tx, id)
  refuseBeyond(`The repository with name '${repository.name}' in registry with id '${context.accountId}'`, room.own, sums, added)
  await takeSharedRoom(tx, repository.registry_id, added, room, context)
  const after = { images: sums.images + added.images, bytes: sums.bytes + added.bytes }
  await setRepositorySums(tx, id, after)
  return { image_count: after.images, logical_bytes: after.bytes }
}

/**
 * Makes sure that registry and account had room for all images of a repository that the caller has just brought back from the trash.
 * Throws `limit-exceeded`.
 */
export async function refuseBeyondSharedRoom(
  tx: Session,
  repository: RepositoryRow,
  { shared }: ImageRoom,
  { accountId }: { readonly accountId: string },
): Promise<void> {
  const { image_count: images, logical_bytes: bytes } = repository
  for (const bound of shared) {
    const added = images === null || bytes === null ? await sumManifests(tx, repository.id) : { images, bytes }
    const use = await useOfShared(tx, bound, repository.registry_id, accountId)
    refuseBeyond(`The ${bound.scope} with id '${accountId}'`, bound, { images: use.images - added.images, bytes: use.bytes - added.bytes }, added)
  }
}

async function takeSharedRoom(tx: Session, registryId: number, added: Growth, { shared }: ImageRoom, { accountId }: { readonly accountId: string }): Promise<void> {
  for (const bound of shared) {
    bound.use ??= await useOfShared(tx, bound, registryId, accountId)
    // Others may have removed something since.
    if (isBeyond(bound, bound.use, added)) bound.use = await useOfShared(tx, bound, registryId, accountId)
    refuseBeyond(`The ${bound.scope} with id '${accountId}'`, bound, bound.use, added)
  }
  for (const bound of shared) if (bound.use) bound.use = { images: bound.use.images + added.images, bytes: bound.use.bytes + added.bytes }
}

function useOfShared(tx: Session, { scope }: SharedBound, registryId: number, accountId: string): Promise<RepositorySums> {
  return scope === 'registry' ? useOfRegistry(tx, registryId) : useOfAccount(tx, accountId)
}

function isBeyond({ maxImages, maxBytes }: Bound, { images, bytes }: RepositorySums, added: Growth): boolean {
  return (added.images > 0 && images + added.images > maxImages) || (added.bytes > 0 && bytes + added.bytes > maxBytes)
}

/** In ECR's words, as far as it has them. */
function refuseBeyond(where: string, bound: Bound, use: RepositorySums, added: Growth): void {
  if (!isBeyond(bound, use, added)) return
  const hasTooManyImages = added.images > 0 && use.images + added.images > bound.maxImages
  const text = hasTooManyImages
    ? `already has the maximum allowed number of images which is '${bound.maxImages}'`
    : `has ${use.bytes} bytes, and with ${added.bytes} more exceeds the maximum allowed size which is '${bound.maxBytes}' bytes`
  throw registryError('limit-exceeded', `${where} ${text}`)
}

/** Counts a repository that was just inserted, and locks the registry's count until the end. Throws `limit-exceeded`. */
export async function countNewRepository(
  tx: Session,
  registryId: number,
  maxRepositories: number,
  context: CommandContext,
): Promise<void> {
  const { accountId, region } = context
  const before = await lockRepositoryCount(tx, registryId)
  const quotas = await lockRepositoryQuotas(tx, { accountId, region })
  const max = Math.min(maxRepositories, quotas.find((quota) => quota.region !== '')?.max_repositories ?? unbounded)
  let count = before === null ? await countRepositories(tx, registryId) : before + 1
  if (before !== null && count > max) count = await countRepositories(tx, registryId)
  if (count > max) throw tooManyRepositories('registry', accountId, max)
  const maxOfAccount = quotas.find((quota) => quota.region === '')?.max_repositories ?? unbounded
  if (Number.isFinite(maxOfAccount) && (await useOfAccount(tx, accountId)).repositories > maxOfAccount) throw tooManyRepositories('account', accountId, maxOfAccount)
  await setRepositoryCount(tx, registryId, count)
}

function tooManyRepositories(scope: 'registry' | 'account', accountId: string, max: number): Error {
  return registryError('limit-exceeded', `The ${scope} with id '${accountId}' already has the maximum allowed number of repositories which is '${max}'`)
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

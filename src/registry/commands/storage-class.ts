import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { blobsInStore, unarchivedManifestsNaming } from '../../storage/metadata/stores/archive-store.ts'
import { lockKnownBlobs } from '../../storage/metadata/stores/blob-index.ts'
import { blobsOfManifest, findManifestRow, type ManifestRow } from '../../storage/metadata/stores/manifest-store.ts'
import { everyPullTimeExclusion } from '../../storage/metadata/stores/pull-time-exclusion-store.ts'
import type { RepositoryRow } from '../../storage/metadata/stores/repository-store.ts'
import { collectSuspicions } from '../../storage/metadata/stores/review-queue.ts'
import { findTag, tagsOfManifest } from '../../storage/metadata/stores/tag-store.ts'
import { lockRepositoryRowById } from '../../storage/metadata/stores/trash-store.ts'
import { manifestsById } from '../../storage/metadata/stores/unit-store.ts'
import { digestFromBytes, type Digest, type Tag } from '../../values/index.ts'
import { activateUnit, archiveUnit, beginActivation } from '../archive.ts'
import { audit, lockRepository } from '../change.ts'
import { registryError } from '../errors.ts'
import { collectArchived, collectUnit } from '../image-unit.ts'
import { findVetoes, vetoText } from '../protection/index.ts'
import { pullingPrincipal } from '../pulling-principal.ts'
import type { ImageStatus } from '../types.ts'

interface NamedImage {
  readonly digest?: Digest | undefined
  readonly tag?: Tag | undefined
}

export interface ChangedStorageClass {
  readonly digest: Digest
  readonly status: ImageStatus
}

/** As ECR's call is named, in its audit record too. */
const action = 'UpdateImageStorageClass'
/** As ECR's record of an image that has come back is named in CloudTrail. */
const activated = 'ImageActivationEvent'

/**
 * Puts an image into the archive with what it lists and what refers to it, or begins to bring it back. What is there already,
 * or on its way, is left as it is. Throws `manifest-unknown`, and `storage-class-unsupported` for what an active index lists, for
 * what is on its way out, and where something forbids that the image cannot be pulled.
 */
export const updateStorageClass = defineCommand({
  name: 'update-storage-class',
  durability: 'durable',
  async run(tx, input: { name: string; image: NamedImage; target: 'ARCHIVE' | 'STANDARD' }, context): Promise<ChangedStorageClass> {
    const repository = await lockRepository(tx, context, input.name)
    const image = await livingImage(tx, repository, input.image)
    return input.target === 'ARCHIVE' ? archive(tx, repository, image, context) : restore(tx, repository, image, 'request', context)
  },
})

async function archive(tx: Session, repository: RepositoryRow, image: ManifestRow, context: CommandContext): Promise<ChangedStorageClass> {
  const digest = digestFromBytes(image.digest)
  if (image.storage_class === 'archived') return { digest, status: 'ARCHIVED' }
  if (image.storage_class === 'activating') {
    throw unsupported('Requested image is being restored from the archive, and can be archived again when it is active')
  }
  const by = await unarchivedManifestsNaming(tx, repository.id, digest)
  if (by.length > 0) throw unsupported(`Requested image referenced by manifest list: [${by.join(', ')}]`)
  const vetoes = (await findVetoes(tx, repository, [image.id], context.nowMs, { mode: 'by-hand' })).get(image.id)
  if (vetoes !== undefined) throw unsupported(`Requested image must not be archived: ${vetoText(vetoes)}`)
  const unit = await collectUnit(tx, image, 'archive')
  const suspicions = collectSuspicions()
  await archiveUnit(tx, repository, unit, suspicions, context)
  await suspicions.write(tx)
  await tell(tx, repository, image, { targetStorageClass: 'ARCHIVE', images: unit.length }, context)
  return { digest, status: 'ARCHIVED' }
}

async function restore(
  tx: Session,
  repository: RepositoryRow,
  image: ManifestRow,
  because: 'request' | 'pull',
  context: CommandContext,
): Promise<ChangedStorageClass> {
  const digest = digestFromBytes(image.digest)
  if (image.storage_class === 'active') return { digest, status: 'ACTIVE' }
  const unit = await collectArchived(tx, image)
  const suspicions = collectSuspicions()
  await beginActivation(tx, repository, unit, suspicions, context)
  await suspicions.write(tx)
  // Asked for again, it is looked at again, and that is all.
  if (image.storage_class === 'activating') return { digest, status: 'ACTIVATING' }
  await tell(tx, repository, image, { targetStorageClass: 'STANDARD', images: unit.length, because }, context)
  return { digest, status: 'ACTIVATING' }
}

/**
 * Begins to bring an archived image back because somebody wants to pull it. Not for those whose pulls are no use of an image,
 * such as scanners. True where it is on its way.
 */
export const activateForPull = defineCommand({
  name: 'activate-for-pull',
  durability: 'durable',
  async run(tx, input: { name: string; digest: Digest }, context): Promise<boolean> {
    const principal = pullingPrincipal(context.actorArn)
    const excluded = (await everyPullTimeExclusion(tx, context.registryId)).map(pullingPrincipal)
    if (principal !== undefined && excluded.includes(principal)) return false
    const repository = await lockRepository(tx, context, input.name)
    const image = await findManifestRow(tx, repository.id, input.digest)
    if (image?.trashed_at !== null) return false
    return (await restore(tx, repository, image, 'pull', context)).status !== 'ARCHIVED'
  },
})

/** What there is still to do before an image that is being restored is active: blobs to bring back. Empty: it is over. */
export interface ActivationRest {
  readonly blobIds: readonly number[]
}

/**
 * Ends the restoring of an image when all its blobs are where active ones belong: it and what comes with it can be pulled from
 * now on. Blobs that have no bytes any more hold nothing up: what they make of the image is found as with every other.
 */
export const finishActivation = defineCommand({
  name: 'finish-activation',
  durability: 'durable',
  async run(tx, input: { repositoryId: number; manifestId: number; archiveStore: string }, context): Promise<ActivationRest> {
    const repository = await lockRepositoryRowById(tx, input.repositoryId)
    const [image] = await manifestsById(tx, [input.manifestId])
    // One in the trash goes on when it is restored.
    if (!repository || !image || image.trashed_at !== null || image.storage_class !== 'activating') return { blobIds: [] }
    const unit = (await collectArchived(tx, image)).filter(({ storage_class: storageClass }) => storageClass === 'activating')
    const digests = new Set<Digest>()
    for (const { id } of unit) for (const { digest } of await blobsOfManifest(tx, id)) digests.add(digest)
    // From here on none of them leaves for the archive.
    await lockKnownBlobs(tx, repository.domain_id, repository.id, [...digests].sort())
    const blobIds = new Set<number>()
    for (const { id } of unit) for (const blobId of await blobsInStore(tx, id, input.archiveStore)) blobIds.add(blobId)
    if (blobIds.size > 0) return { blobIds: [...blobIds] }
    const suspicions = collectSuspicions()
    await activateUnit(tx, repository, unit, suspicions, context)
    await suspicions.write(tx)
    await tell(tx, repository, image, { targetStorageClass: 'STANDARD', images: unit.length }, context, activated)
    return { blobIds: [] }
  },
})

async function livingImage(tx: Session, repository: RepositoryRow, { digest, tag }: NamedImage): Promise<ManifestRow> {
  const target = tag === undefined ? undefined : await findTag(tx, repository.id, tag)
  const wanted = tag === undefined ? digest : target?.digest
  const row = wanted === undefined || (digest !== undefined && digest !== wanted) ? undefined : await findManifestRow(tx, repository.id, wanted)
  if (row?.trashed_at !== null) throw registryError('manifest-unknown', 'Requested image not found', { digest, tag })
  return row
}

async function tell(
  tx: Session,
  repository: RepositoryRow,
  image: ManifestRow,
  detail: Readonly<Record<string, unknown>>,
  context: CommandContext,
  name = action,
): Promise<void> {
  const imageDigest = digestFromBytes(image.digest)
  await audit(tx, context, repository.name, name, { imageDigest, imageTags: await tagsOfManifest(tx, image.id), ...detail })
}

function unsupported(message: string) {
  return registryError('storage-class-unsupported', message)
}

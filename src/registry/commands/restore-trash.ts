import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { advanceIamGeneration } from '../../storage/metadata/stores/access-key-store.ts'
import { lockKnownBlobs, showBlob } from '../../storage/metadata/stores/blob-index.ts'
import { recordEvent, recordTagChange, toldTagChanges, type TagChange } from '../../storage/metadata/stores/change-log.ts'
import { childrenOf, referrersOf } from '../../storage/metadata/stores/image-kin.ts'
import { findLivingManifests, findManifestRow, type ManifestRow } from '../../storage/metadata/stores/manifest-store.ts'
import { findRepositoryRow, lockRegistryRow, type RepositoryRow } from '../../storage/metadata/stores/repository-store.ts'
import { findLastLoss } from '../../storage/metadata/stores/trash-listing.ts'
import {
  endTrashBatch,
  findTagChange,
  findTrashBatch,
  leaveTrashBatch,
  lockRepositoryRowById,
  needsOfManifest,
  putTagBack,
  tagsHeldInTrash,
  trashedMembers,
  untrashManifestRow,
  untrashRepositoryRow,
  type TrashBatchRow,
} from '../../storage/metadata/stores/trash-store.ts'
import { suspect } from '../../storage/metadata/stores/review-queue.ts'
import { deleteTagRow, findTag, putTag } from '../../storage/metadata/stores/tag-store.ts'
import { manifestsById } from '../../storage/metadata/stores/unit-store.ts'
import { everyPullTimeExclusion } from '../../storage/metadata/stores/pull-time-exclusion-store.ts'
import { digestFromBytes, digestToBytes, type Digest, type Tag } from '../../values/index.ts'
import { audit, lockRepository, repositoryTrashed } from '../change.ts'
import { isPlatformError } from '../../internal/platform-error.ts'
import { registryError } from '../errors.ts'
import { countNewRepository, growthBy, lockImageRoom, refuseBeyondSharedRoom, takeImageRoom, type ImageLimits, type ImageRoom } from '../quotas.ts'
import { pullingPrincipal } from '../pulling-principal.ts'
import { retirementState } from '../retirement-states.ts'
import { policyExecution } from '../trash.ts'
import { openVetoes, vetoText } from '../protection/vetoes.ts'
import { isTagImmutable } from '../tag-mutability.ts'
import type { RestoredImage, RestoreOutcome, UnrestoredImage } from '../trash-types.ts'
import type { TagMutability } from '../types.ts'

interface Limits extends ImageLimits {
  readonly maxRepositories: number
}

/** Images of a batch that one command brings back, beside what went with them: a policy's run may have put a million into one. */
const imagesPerCommand = 200

interface Wanted {
  readonly digests: readonly Digest[] | undefined
  /**
   * The tags that the caller was asked about, null for an image without one: images with others stay in the trash. Absent where
   * no right depends on a tag.
   */
  readonly knownTags?: readonly (Tag | null)[] | undefined
}

export interface PartRestored extends RestoreOutcome {
  /** Where the next part begins; absent after the last. */
  readonly next: number | undefined
}

/**
 * Brings a part of a batch back, from the image numbered `after` on, or of its images those of `digests`, each with what went
 * with it. What has been pushed since is left as it is, tags that others have by now stay theirs, and those that were deleted
 * from others since stay deleted; the outcome says which.
 * Throws `trash-unknown`, `limit-exceeded`, `repository-exists`, `repository-trashed`.
 */
export const restoreTrash = defineCommand({
  name: 'restore-trash',
  durability: 'durable',
  async run(tx, input: Limits & Wanted & { batch: string; after: number }, context): Promise<PartRestored> {
    const { batch, repository } = await lockTrashBatch(tx, input.batch, context)
    if (batch.kind === 'repository' && batch.purged_at !== null) throw trashUnknown(input.batch)
    if (batch.kind === 'repository') return { ...(await restoreRepository(tx, repository, input, context)), next: undefined }
    if (repository.trashed_at !== null) throw repositoryTrashed(repository.name, repository.trash_batch ?? '')
    const part = { batch: input.batch, repositoryId: repository.id, after: input.after, limit: imagesPerCommand }
    const members = input.digests === undefined ? await trashedMembers(tx, part) : await membersNamed(tx, repository, input.batch, input.digests)
    if (members.length === 0 && input.after === 0) throw trashUnknown(input.batch)
    const room = await lockImageRoom(tx, repository, input, context)
    const outcome = await restoreImages(tx, repository, await withKin(tx, input.batch, members), { ...input, room }, context)
    const isLast = input.digests !== undefined || members.length < imagesPerCommand
    return { ...outcome, next: isLast ? undefined : members.at(-1)!.id }
  },
})

/**
 * Brings an image back, with what went with it, because somebody wants to pull it: where a lifecycle policy deleted it, and
 * nobody else. Not for those whose pulls are no use of an image, such as scanners. False where it stays in the trash. Throws
 * `trash-unknown`, `repository-trashed`, `limit-exceeded`.
 */
export const restoreForPull = defineCommand({
  name: 'restore-for-pull',
  durability: 'durable',
  async run(tx, input: ImageLimits & { batch: string; digest: Digest }, context): Promise<boolean> {
    const { batch, repository } = await lockTrashBatch(tx, input.batch, context)
    if (batch.kind !== 'images' || batch.is_security === 1 || batch.purge_after <= context.nowMs) return false
    if ((JSON.parse(batch.cause) as { action?: string }).action !== policyExecution) return false
    const principal = pullingPrincipal(context.actorArn)
    const excluded = (await everyPullTimeExclusion(tx, context.registryId)).map(pullingPrincipal)
    if (principal !== undefined && excluded.includes(principal)) return false
    if (repository.trashed_at !== null) throw repositoryTrashed(repository.name, repository.trash_batch ?? '')
    const [image] = await membersNamed(tx, repository, input.batch, [input.digest])
    if (image === undefined) throw trashUnknown(input.batch)
    // Whoever blocked it wanted that nobody begins to use it.
    if (image.retirement !== 0 && retirementState(image.retirement) === 'blocked') return false
    const kin = await withKin(tx, input.batch, [image])
    // What the image lists it needs; the rest comes along if there is room.
    const needed = await partsOf(tx, kin, [image.id])
    const wanted = await partsFirst(tx, kin, needed)
    const optional = new Set(kin.map(({ id }) => id).filter((id) => !needed.has(id)))
    const room = await lockImageRoom(tx, repository, input, context)
    const { images } = await restoreImages(tx, repository, wanted, { batch: input.batch, room, because: 'pull', optional }, context)
    return images.some(({ digest }) => digest === input.digest)
  },
})

/**
 * A batch, and its repository, whose lock holds everybody off who would change the batch: it is read again once that is had.
 * Throws `trash-unknown`.
 */
export async function lockTrashBatch(tx: Session, id: string, context: CommandContext): Promise<{ batch: TrashBatchRow; repository: RepositoryRow }> {
  const found = await findTrashBatch(tx, context.registryId, id)
  const repository = found && (await lockRepositoryRowById(tx, found.repository_id))
  const batch = repository && (await findTrashBatch(tx, context.registryId, id))
  if (!repository || !batch) throw trashUnknown(id)
  return { batch, repository }
}

/**
 * Restores what went to the trash with an image that was just pushed again: its children and referrers, not their tags' takers,
 * as far as there is room for them. What there is none for stays in the trash.
 */
export async function restoreCompanions(
  tx: Session,
  repository: RepositoryRow,
  pushed: ManifestRow,
  room: ImageRoom,
  context: CommandContext,
): Promise<void> {
  const batch = pushed.trash_batch
  if (batch === null) return
  const companions = await partsFirst(tx, (await withKin(tx, batch, [pushed])).filter(({ id }) => id !== pushed.id))
  const optional = new Set(companions.map(({ id }) => id))
  if (companions.length > 0) await restoreImages(tx, repository, companions, { room, batch, because: 'push', optional }, context)
}

/** Of the images of a batch that are still in the trash those that are named. */
async function membersNamed(tx: Session, repository: RepositoryRow, batch: string, digests: readonly Digest[]): Promise<ManifestRow[]> {
  const named: ManifestRow[] = []
  for (const digest of new Set(digests)) {
    const row = await findManifestRow(tx, repository.id, digest)
    if (row !== undefined && row.trashed_at !== null && row.trash_batch === batch) named.push(row)
  }
  return named
}

/** What a restoration of some images brings back: of a batch, or of whichever they are in. */
export async function membersWithKin(session: Session, repository: RepositoryRow, batch: string | undefined, digests: readonly Digest[]): Promise<ManifestRow[]> {
  const members: ManifestRow[] = []
  for (const digest of new Set(digests)) {
    const row = await findManifestRow(session, repository.id, digest)
    const own = batch ?? row?.trash_batch ?? null
    if (row === undefined || row.trashed_at === null || own === null || row.trash_batch !== own) continue
    members.push(...(await withKin(session, own, [row])))
  }
  return members
}

/** The images, and what they list and what refers to any of them, as far as it went in the same batch and is still there. */
async function withKin(tx: Session, batch: string, images: readonly ManifestRow[]): Promise<ManifestRow[]> {
  const wanted = new Map(images.map((row) => [row.id, row]))
  for (let newest = [...wanted.keys()]; newest.length > 0; ) {
    const related = [...(await childrenOf(tx, newest)), ...(await referrersOf(tx, newest))].map(({ to }) => to)
    const rows = await manifestsById(tx, [...new Set(related)].filter((id) => !wanted.has(id)))
    const kin = rows.filter((row) => row.trashed_at !== null && row.trash_batch === batch)
    for (const row of kin) wanted.set(row.id, row)
    newest = kin.map(({ id }) => id)
  }
  return [...wanted.values()].sort((a, b) => a.id - b.id)
}

/** Of the images those given, and what they list, themselves or by others. */
async function partsOf(tx: Session, images: readonly ManifestRow[], ids: readonly number[]): Promise<Set<number>> {
  const there = new Set(images.map(({ id }) => id))
  const found = new Set(ids)
  for (let newest = [...ids]; newest.length > 0; ) {
    newest = [...new Set((await childrenOf(tx, newest)).map(({ to }) => to))].filter((id) => there.has(id) && !found.has(id))
    for (const id of newest) found.add(id)
  }
  return found
}

/** The images, those of `first` before the others, and each after those of them that it lists. */
async function partsFirst(tx: Session, images: readonly ManifestRow[], first: ReadonlySet<number> = new Set()): Promise<ManifestRow[]> {
  const rows = new Map(images.map((row) => [row.id, row]))
  const children = Map.groupBy(images.length === 0 ? [] : await childrenOf(tx, [...rows.keys()]), ({ from }) => from)
  const ordered = new Set<ManifestRow>()
  // Without recursion: indexes of indexes may be nested deeper than the stack.
  const add = (image: ManifestRow): void => {
    const waiting = [image]
    for (let row = waiting.at(-1); row !== undefined; row = waiting.at(-1)) {
      const next = (children.get(row.id) ?? []).map(({ to }) => rows.get(to)).find((child) => child !== undefined && !ordered.has(child))
      if (next !== undefined) {
        waiting.push(next)
      } else {
        ordered.add(row)
        waiting.pop()
      }
    }
  }
  for (const row of images) if (first.has(row.id)) add(row)
  for (const row of images) add(row)
  return [...ordered]
}

async function restoreImages(
  tx: Session,
  repository: RepositoryRow,
  wanted: readonly ManifestRow[],
  input: {
    readonly batch: string
    readonly room: ImageRoom
    readonly because?: 'pull' | 'push'
    readonly knownTags?: Wanted['knownTags']
    /** Images that stay in the trash where there is no room for them, and all that follow: the others are wanted without them. */
    readonly optional?: ReadonlySet<number>
  },
  context: CommandContext,
): Promise<RestoreOutcome> {
  const { restorable, broken, see } = await splitByNeeds(tx, repository, wanted, await withOtherTags(tx, wanted, input.knownTags), context)
  let current = repository
  const images: RestoredImage[] = []
  const tagChanges: TagChange[] = []
  const left: Digest[] = []
  for (const row of restorable) {
    const taken = left.length > 0 ? undefined : await takeImageRoom(tx, current, growthBy(row), input.room, context).catch(unlessOptional(input.optional?.has(row.id) ?? false))
    if (taken === undefined) {
      left.push(digestFromBytes(row.digest))
      continue
    }
    current = { ...current, ...taken }
    await see(row)
    const held = await tagsHeldInTrash(tx, row.id)
    await untrashManifestRow(tx, row.id)
    if (row.storage_class === 'activating') {
      await suspect(tx, { kind: 'activation', repositoryId: repository.id, subjectId: row.id, reason: 'back from the trash', now: context.nowMs, delayMs: 0 })
    }
    images.push({ digest: digestFromBytes(row.digest), ...(await giveBackTags(tx, repository, row, held, tagChanges, context)) })
  }
  const tagCount = images.reduce((sum, { tags, takenTags, deletedTags }) => sum + tags.length + takenTags.length + deletedTags.length, 0)
  await leaveTrashBatch(tx, { id: input.batch, images: images.length, tags: tagCount, now: context.nowMs, by: context.actorArn })
  if (images.length > 0) {
    const restored = images.map(({ digest, tags }) => ({ imageDigest: digest, imageTags: tags }))
    await audit(tx, context, repository.name, 'RestoreTrash', { trashBatch: input.batch, imageIds: restored, because: input.because ?? 'request', ...(left.length > 0 && { leftForWantOfRoom: left }), ...toldTagChanges(tagChanges) })
    for (const { digest, tags } of images) {
      await recordEvent(tx, context, repository.id, 'Stowage Image Restored', {
        'repository-name': repository.name,
        'image-digest': digest,
        'image-tags': tags,
        'trash-batch': input.batch,
        because: (input.because ?? 'request').toUpperCase(),
      })
    }
  }
  return { batch: input.batch, repositoryName: repository.name, repositoryRestored: false, images, notRestored: broken }
}

/** Images with tags that the caller was not asked about. */
async function withOtherTags(tx: Session, images: readonly ManifestRow[], knownTags: Wanted['knownTags']): Promise<Set<number>> {
  const others = new Set<number>()
  if (knownTags === undefined) return others
  const known = new Set<string | null>(knownTags)
  for (const { id } of images) {
    const held = await tagsHeldInTrash(tx, id)
    if (held.length === 0 ? !known.has(null) : held.some(({ name }) => !known.has(name))) others.add(id)
  }
  return others
}

/** Tells those apart that stay because of their tags, those that cannot come back because something they name is gone for good, and whatever lists one of those. */
async function splitByNeeds(
  tx: Session,
  repository: RepositoryRow,
  wanted: readonly ManifestRow[],
  withOtherTags: ReadonlySet<number>,
  context: CommandContext,
): Promise<{ restorable: ManifestRow[]; broken: UnrestoredImage[]; see: (row: ManifestRow) => Promise<void> }> {
  const needs = new Map<number, { blobs: Digest[]; children: Digest[] }>()
  for (const { id } of wanted) {
    const named = (await needsOfManifest(tx, id)).map(({ digest, kind }) => ({ digest: digestFromBytes(digest), kind }))
    const ofKind = (kind: string) => named.filter((need) => need.kind === kind).map(({ digest }) => digest)
    needs.set(id, { blobs: ofKind('blob'), children: ofKind('manifest') })
  }
  const blobDigests = [...new Set([...needs.values()].flatMap(({ blobs }) => blobs))]
  const blobs = new Map((await lockKnownBlobs(tx, repository.domain_id, repository.id, blobDigests)).map((blob) => [blob.digest, blob]))
  const children = [...new Set([...needs.values()].flatMap((need) => need.children))]
  const there = new Set((await findLivingManifests(tx, repository.id, children)).map(({ digest }) => digest))
  const wantedDigests = new Set(wanted.map(({ digest }) => digestFromBytes(digest)))
  for (const digest of wantedDigests) there.add(digest)

  const broken = new Map<number, UnrestoredImage>()
  for (let found = true; found; ) {
    found = false
    for (const { id, digest } of wanted) {
      if (broken.has(id)) continue
      if (withOtherTags.has(id)) {
        broken.set(id, { digest: digestFromBytes(digest), reason: 'its tags were changed while its restoration was decided about: try again' })
        there.delete(digestFromBytes(digest))
        found = true
        continue
      }
      const need = needs.get(id)!
      const missingBlob = need.blobs.find((blob) => !blobs.has(blob))
      const missingChild = need.children.find((child) => !there.has(child))
      if (missingBlob === undefined && missingChild === undefined) continue
      const own = digestFromBytes(digest)
      const isWhole = missingBlob === undefined && (await isInTrash(tx, repository, missingChild!)) && !wantedDigests.has(missingChild!)
      const isLeft = missingChild !== undefined && wanted.some((child) => withOtherTags.has(child.id) && digestFromBytes(child.digest) === missingChild)
      const ofChild = isLeft ? 'which stays' : 'which was deleted by itself: restore that first'
      const reason = isLeft || isWhole
        ? `it lists ${missingChild}, ${ofChild}`
        : `it needs ${missingBlob ?? missingChild}, whose bytes are gone or were set aside as damaged: push the image again`
      broken.set(id, { digest: own, reason })
      there.delete(own)
      found = true
    }
  }
  /** Shows the repository the blobs of an image that comes back. */
  const see = async ({ id, storage_class: storageClass }: ManifestRow): Promise<void> => {
    if (storageClass !== 'active') return
    for (const digest of needs.get(id)!.blobs) {
      const blob = blobs.get(digest)!
      if (blob.visibleSince === null) await showBlob(tx, repository.id, blob.id, context.nowMs)
    }
  }
  return { restorable: wanted.filter(({ id }) => !broken.has(id)), broken: [...broken.values()], see }
}

/** Nothing where what is only brought along does not fit. */
function unlessOptional(isOptional: boolean): (error: unknown) => undefined {
  return (error) => {
    if (isOptional && isPlatformError(error, 'limit-exceeded')) return undefined
    throw error
  }
}

async function isInTrash(tx: Session, repository: RepositoryRow, digest: Digest): Promise<boolean> {
  return ((await findManifestRow(tx, repository.id, digest))?.trashed_at ?? null) !== null
}

async function giveBackTags(
  tx: Session,
  repository: RepositoryRow,
  row: ManifestRow,
  held: readonly { readonly name: string; readonly taggedAt: number | null }[],
  tagChanges: TagChange[],
  context: CommandContext,
): Promise<Omit<RestoredImage, 'digest'>> {
  const tags: Tag[] = []
  const takenTags: RestoredImage['takenTags'][number][] = []
  const deletedTags: Tag[] = []
  for (const { name, taggedAt } of held) {
    const tag = name as Tag
    const lastLost = await findLastLoss(tx, repository.id, name)
    if (lastLost !== undefined && digestFromBytes(lastLost) !== digestFromBytes(row.digest)) {
      deletedTags.push(tag)
      continue
    }
    const isBack = await putTagBack(tx, { repositoryId: repository.id, name, manifestId: row.id, taggedAt: taggedAt ?? row.pushed_at })
    if (isBack) {
      tags.push(tag)
      tagChanges.push(await recordTagChange(tx, context, { repositoryId: repository.id, name, digest: row.digest, previousDigest: null }))
    } else {
      const taker = await findTag(tx, repository.id, name)
      if (taker) takenTags.push({ tag, by: taker.digest })
    }
  }
  return { tags, takenTags, deletedTags }
}

async function restoreRepository(
  tx: Session,
  repository: RepositoryRow,
  input: Limits & { readonly batch: string; readonly digests: readonly Digest[] | undefined },
  context: CommandContext,
): Promise<RestoreOutcome> {
  if (repository.trashed_at === null || repository.trash_batch !== input.batch || input.digests !== undefined) throw trashUnknown(input.batch)
  // In the order in which one is made: its name, then the registry's row, then what bounds it.
  const isTaken = (await findRepositoryRow(tx, context.registryId, repository.name)) !== undefined || !(await untrashRepositoryRow(tx, repository.id))
  if (isTaken) {
    throw registryError(
      'repository-exists',
      `The repository with name '${repository.name}' already exists in the registry with id '${context.accountId}': the deleted one cannot come back beside it`,
    )
  }
  await lockRegistryRow(tx, repository.registry_id)
  await refuseBeyondSharedRoom(tx, repository, await lockImageRoom(tx, repository, input, context), context)
  await countNewRepository(tx, repository.registry_id, input.maxRepositories, context)
  await endTrashBatch(tx, { id: input.batch, now: context.nowMs, by: context.actorArn })
  await audit(tx, context, repository.name, 'RestoreTrash', { trashBatch: input.batch, repositoryRestored: true })
  await recordEvent(tx, context, repository.id, 'Stowage Repository Restored', {
    'repository-name': repository.name,
    'trash-batch': input.batch,
  })
  // Its policy and tags say again who may use a repository of this name.
  await advanceIamGeneration(tx, context.accountId)
  return { batch: input.batch, repositoryName: repository.name, repositoryRestored: true, images: [], notRestored: [] }
}

export function trashUnknown(batch: string, hint = '') {
  return registryError('trash-unknown', `There is nothing in the trash under ${batch}: it was restored or purged, or never there.${hint}`, { trashBatch: batch })
}

/**
 * Undoes the change of a tag that its image outlived: a push that moved it, or its deletion. Only while the tag still is as
 * that change left it. Throws `tag-change-unknown`, `tag-changed-since`, `manifest-unknown` when the image is not there any
 * more (restore it first, where it is in the trash), `tag-immutable`, `image-protected`.
 */
export const undoTagChange = defineCommand({
  name: 'undo-tag-change',
  durability: 'durable',
  async run(tx, input: { name: string; changeId: number }, context): Promise<{ tag: Tag; digest: Digest | undefined }> {
    const repository = await lockRepository(tx, context, input.name)
    const change = await findTagChange(tx, repository.id, input.changeId)
    if (!change || change.trashBatch !== null) {
      throw registryError('tag-change-unknown', `The repository has no change ${input.changeId} of a tag alone.`, { changeId: input.changeId })
    }
    const tag = change.name as Tag
    const current = await findTag(tx, repository.id, tag)
    const left = change.digest === null ? undefined : digestFromBytes(change.digest)
    if (current?.digest !== left) {
      throw registryError('tag-changed-since', `The tag '${tag}' was changed again since, and names ${current?.digest ?? 'nothing'} now.`, { tag })
    }
    await refuseUndo(tx, repository, tag, current !== undefined, change.previousDigest === null, context)
    if (change.previousDigest === null) {
      await deleteTagRow(tx, repository.id, tag)
    } else {
      const previous = await findManifestRow(tx, repository.id, digestFromBytes(change.previousDigest))
      if (previous?.trashed_at !== null) {
        throw registryError(
          'manifest-unknown',
          `The image that '${tag}' named, ${digestFromBytes(change.previousDigest)}, is not in the repository any more. If it is in the trash, restore it first.`,
        )
      }
      await putTag(tx, repository.id, tag, previous.id, context.nowMs)
    }
    const told = await recordTagChange(tx, context, {
      repositoryId: repository.id,
      name: tag,
      digest: change.previousDigest,
      previousDigest: current === undefined ? null : digestToBytes(current.digest),
    })
    const digest = change.previousDigest === null ? undefined : digestFromBytes(change.previousDigest)
    if (digest !== undefined && current !== undefined) {
      await recordEvent(tx, context, repository.id, 'Stowage Tag Moved', {
        'repository-name': repository.name,
        'image-tag': tag,
        'image-digest': digest,
        'previous-image-digest': current.digest,
        because: 'UNDO',
      })
    }
    await audit(tx, context, repository.name, 'UndoTagChange', { imageTag: tag, imageDigest: digest ?? null, changeId: input.changeId, ...toldTagChanges([told]) })
    return { tag, digest }
  },
})

/** What is refused to whoever pushes or deletes a tag is not done by undoing. Throws `tag-immutable`, `image-protected`. */
async function refuseUndo(
  tx: Session,
  repository: RepositoryRow,
  tag: Tag,
  isSet: boolean,
  willGo: boolean,
  context: CommandContext,
): Promise<void> {
  if (willGo) {
    const vetoes = (await openVetoes(tx, repository, context.nowMs, { mode: 'by-hand' })).ofTag(tag)
    if (vetoes.length > 0) throw registryError('image-protected', `The tag '${tag}' must not be deleted: ${vetoText(vetoes)}`)
  } else if (isSet && isTagImmutable(repository.tag_mutability as TagMutability, JSON.parse(repository.mutability_filters) as string[], tag)) {
    throw registryError('tag-immutable', `The tag '${tag}' cannot be moved back: tags of the repository '${repository.name}' are immutable by now.`, {
      tag,
      repositoryName: repository.name,
    })
  }
}

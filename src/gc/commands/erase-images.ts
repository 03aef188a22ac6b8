import { imageEvent, lockRepository, audit } from '../../registry/change.ts'
import { registryError } from '../../registry/errors.ts'
import { findVetoes } from '../../registry/protection/index.ts'
import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { findPlacedBlob } from '../../storage/metadata/stores/archive-store.ts'
import { blobSizes, hideUnnamedBlob, isUsedElsewhere, lockBlob, usersOfBlob } from '../../storage/metadata/stores/blob-removal.ts'
import { recordEvent, recordTagChange, toldTagChanges, type TagChange } from '../../storage/metadata/stores/change-log.ts'
import {
  deleteManifestRows,
  findErasable,
  findErasure,
  insertErasure,
  readErasable,
  updateErasure,
  type ErasableImage,
  type ErasureRow,
} from '../../storage/metadata/stores/erasure-store.ts'
import { childrenOf, parentsOf, referrersOf, tagsOf } from '../../storage/metadata/stores/image-kin.ts'
import { blobsOfManifest } from '../../storage/metadata/stores/manifest-store.ts'
import { lowerRepositorySums, type RepositoryRow } from '../../storage/metadata/stores/repository-store.ts'
import { collectSuspicions } from '../../storage/metadata/stores/review-queue.ts'
import { lockRepositoryRowById, purgeFromBatch, tagsHeldInTrash } from '../../storage/metadata/stores/trash-store.ts'
import { digestFromBytes, digestToBytes, type Digest } from '../../values/index.ts'
import type { ErasedBlob, ErasedImage, ErasureDetail } from '../erasure-record.ts'
import type { Reclaimed } from '../reclaim-blobs.ts'

export interface EraseInput {
  readonly id: string
  readonly name: string
  readonly images: readonly Digest[]
  /** Every image that names one of these goes. */
  readonly layers: readonly Digest[]
  /** In all repositories of the registry, not only in this one. */
  readonly everywhere: boolean
  readonly reason: string
  /** Erases what somebody has protected, or what runs, all the same. */
  readonly overrideProtection: boolean
  /** Changes nothing, and answers what would be. */
  readonly dryRun: boolean
}

/** Images of one erasure, which is one change: beyond it has to be said in several. */
const maxImages = 2000
/** Images named as what keeps a blob. */
const maxNamers = 20

/**
 * Erases images for good, wherever they are: living, archived, in the trash. With an image go the indexes that list it, what
 * it lists and nothing else needs, and its referrers. The rows go here, and the bytes of blobs that nothing else needs after
 * it (`recordReclaimed`). Throws `repository-unknown`, `manifest-unknown` where there is nothing to erase, `limit-exceeded`,
 * and `image-protected` where something stands against one and `overrideProtection` does not say so: nothing is erased then.
 */
export const eraseImages = defineCommand({
  name: 'erase-images',
  durability: 'durable',
  async run(tx, input: EraseInput, context): Promise<ErasureDetail> {
    const work: RepositoryWork[] = []
    let count = 0
    for (const [repository, roots] of await lockErasable(tx, input, context)) {
      const ids = await withKin(tx, roots)
      count += ids.size
      if (count > maxImages) throw tooMany()
      work.push(await survey(tx, repository, [...ids], context.nowMs))
    }
    const images = work.flatMap(({ erased }) => erased)
    const held = images.filter(({ heldBy }) => heldBy.length > 0)
    if (held.length > 0 && !input.overrideProtection && !input.dryRun) throw protectedImage(held)
    const blobs = await surveyBlobs(tx, work, context)
    const detail: ErasureDetail = { everywhere: input.everywhere, images, blobs }
    if (input.dryRun) return detail

    for (const each of work) await eraseIn(tx, each, input, context)
    await hideBlobs(tx, work, input, context)
    await insertErasure(tx, {
      id: input.id,
      registry_id: context.registryId,
      repository_id: work[0]?.repository.id ?? 0,
      requested_at: context.nowMs,
      requested_by: context.actorArn,
      reason: input.reason,
      status: 'running',
      finished_at: null,
      detail: JSON.stringify(detail),
    })
    return detail
  },
})

/** Notes what became of the bytes. An erasure is done when none of them waits. */
export const recordReclaimed = defineCommand({
  name: 'record-reclaimed',
  durability: 'durable',
  async run(tx, input: { id: string; outcomes: readonly { readonly blobId: number; readonly outcome: Reclaimed }[] }, context): Promise<ErasureRow> {
    const row = await findErasure(tx, input.id)
    if (row === undefined) throw new Error('an erasure that was begun is not there')
    const detail = JSON.parse(row.detail) as ErasureDetail
    const outcomes = new Map(input.outcomes.map(({ blobId, outcome }) => [blobId, outcome]))
    const blobs = detail.blobs.map((blob) => ({ ...blob, bytes: bytesAfter(outcomes.get(blob.blobId), blob.bytes) }))
    const isDone = blobs.every(({ bytes }) => bytes !== 'waiting')
    const changed = { status: isDone ? 'done' : 'running', detail: JSON.stringify({ ...detail, blobs }), finishedAt: isDone ? context.nowMs : null }
    await updateErasure(tx, { id: row.id, ...changed })
    return { ...row, status: changed.status, detail: changed.detail, finished_at: changed.finishedAt }
  },
})

function bytesAfter(outcome: Reclaimed | undefined, before: ErasedBlob['bytes']): ErasedBlob['bytes'] {
  switch (outcome) {
    case undefined:
      return before
    case 'gone':
      return 'erased'
    case 'needed':
      return 'kept'
    case 'held':
      return 'waiting'
  }
}

/** What there is to do in one repository, living or in the trash. */
interface RepositoryWork {
  readonly repository: RepositoryRow
  readonly rows: readonly ErasableImage[]
  readonly erased: readonly ErasedImage[]
  readonly blobs: ReadonlyMap<number, Digest>
}

/** Where there is something to erase, with what was named there: locked in the order of the repositories' numbers, as everybody locks several. */
async function lockErasable(tx: Session, { name, images, layers, everywhere }: EraseInput, context: CommandContext): Promise<Map<RepositoryRow, number[]>> {
  const scope = { registryId: context.registryId, repositoryName: everywhere ? undefined : name }
  const locked = new Map<number, RepositoryRow>()
  const places = new Set((await findErasable(tx, scope, images, layers, maxImages + 1)).map(({ repositoryId }) => repositoryId))
  for (const id of [...places].sort((one, other) => one - other)) {
    const repository = await lockRepositoryRowById(tx, id)
    if (repository !== undefined) locked.set(id, repository)
  }
  const found = new Map<RepositoryRow, number[]>()
  // Once more, now that nobody changes them: what was pushed there since goes too.
  const all = await findErasable(tx, scope, images, layers, maxImages + 1)
  if (all.length > maxImages) throw tooMany()
  for (const { id, repositoryId } of all) {
    const repository = locked.get(repositoryId)
    if (repository !== undefined) found.set(repository, [...(found.get(repository) ?? []), id])
  }
  if (found.size > 0) return found
  if (!everywhere) await lockRepository(tx, context, name)
  throw registryError('manifest-unknown', 'There is nothing to erase: no image has these digests or layers.')
}

function tooMany() {
  return registryError('limit-exceeded', `One erasure takes at most ${maxImages} images. Name fewer, or one repository at a time.`)
}

/**
 * The indexes that list the images, in whatever state; and of what they list and what refers to them everything that has no
 * tag of its own and that nothing else lists.
 */
async function withKin(tx: Session, roots: readonly number[]): Promise<Set<number>> {
  const taken = new Set(roots)
  for (let newest = [...taken]; newest.length > 0 && taken.size <= maxImages; ) {
    newest = (await parentsOf(tx, newest)).map(({ to }) => to).filter((id) => !taken.has(id))
    for (const id of newest) taken.add(id)
  }
  for (let size = 0; size !== taken.size && taken.size <= maxImages; ) {
    size = taken.size
    const all = [...taken]
    const kin = new Set([...(await childrenOf(tx, all)), ...(await referrersOf(tx, all))].map(({ to }) => to).filter((id) => !taken.has(id)))
    if (kin.size === 0) break
    const kept = new Set((await tagsOf(tx, [...kin])).map(({ id }) => id))
    for (const { from, to } of await parentsOf(tx, [...kin])) if (!taken.has(to)) kept.add(from)
    for (const id of kin) if (!kept.has(id)) taken.add(id)
  }
  return taken
}

async function survey(tx: Session, repository: RepositoryRow, ids: readonly number[], nowMs: number): Promise<RepositoryWork> {
  const rows = await readErasable(tx, ids)
  const vetoes = await findVetoes(tx, repository, ids, nowMs, { mode: 'by-hand' })
  const tags = Map.groupBy(await tagsOf(tx, ids), ({ id }) => id)
  const erased: ErasedImage[] = []
  const blobs = new Map<number, Digest>()
  for (const row of rows) {
    const held = row.trashed_at === null ? (tags.get(row.id) ?? []).map(({ tag }) => tag) : (await tagsHeldInTrash(tx, row.id)).map(({ name }) => name)
    erased.push({
      repositoryName: repository.name,
      digest: digestFromBytes(row.digest),
      tags: held.sort(),
      mediaType: row.media_type,
      imageSizeBytes: row.image_size_bytes,
      state: row.trashed_at === null && repository.trashed_at === null ? (row.storage_class as ErasedImage['state']) : 'trashed',
      pushedAt: row.pushed_at,
      pushedBy: row.pushed_by,
      pullCount: row.pullCount ?? 0,
      lastPulledAt: row.lastPulledAt,
      heldBy: (vetoes.get(row.id) ?? []).map(({ message }) => message),
    })
    for (const { blobId, digest } of await blobsOfManifest(tx, row.id)) blobs.set(blobId, digest)
  }
  return { repository, rows, erased, blobs }
}

/** What the images were made of, and what else names it. */
async function surveyBlobs(tx: Session, work: readonly RepositoryWork[], context: CommandContext): Promise<ErasureDetail['blobs']> {
  const going = new Set(work.flatMap(({ rows }) => rows.map(({ id }) => id)))
  const blobs = new Map(work.flatMap((each) => [...each.blobs].map(([blobId, digest]) => [blobId, { digest, repository: each.repository }] as const)))
  const sizes = await blobSizes(tx, [...blobs.keys()])
  const found: ErasureDetail['blobs'][number][] = []
  for (const [blobId, { digest, repository }] of blobs) {
    const blob = { domainId: repository.domain_id, digest: digestToBytes(digest) }
    const users = await usersOfBlob(tx, context.registryId, blob, going.size + maxNamers)
    const own = users.filter(({ manifestId }) => !going.has(manifestId))
    const isNamedElsewhere = await isUsedElsewhere(tx, blob, context.registryId)
    found.push({
      blobId,
      digest,
      sizeBytes: sizes.get(blobId) ?? 0,
      bytes: own.length > 0 || isNamedElsewhere ? 'kept' : 'waiting',
      namedBy: own.slice(0, maxNamers).map(({ repository: repositoryName, digest: user, isTrashed }) => ({ repositoryName, digest: user, isTrashed })),
      isNamedElsewhere,
    })
  }
  return found
}

async function eraseIn(tx: Session, { repository, rows, erased }: RepositoryWork, input: EraseInput, context: CommandContext): Promise<void> {
  const tagChanges: TagChange[] = []
  for (const [index, row] of rows.entries()) {
    const image = erased[index]!
    if (row.trashed_at === null) {
      await lowerRepositorySums(tx, repository.id, row)
      for (const name of image.tags) {
        // With its image, so that nobody takes it for a change of the tag alone.
        tagChanges.push(await recordTagChange(tx, context, { repositoryId: repository.id, name, digest: null, previousDigest: row.digest, trashBatch: input.id }))
      }
    }
    await deleteManifestRows(tx, row.id)
    if (row.trash_batch !== null && row.trashed_at !== null) {
      await purgeFromBatch(tx, { id: row.trash_batch, images: 1, tags: image.tags.length, now: context.nowMs })
    }
  }
  const imageIds = erased.map(({ digest, tags }) => ({ imageDigest: digest, imageTags: tags }))
  await audit(tx, context, repository.name, 'EraseImages', {
    erasure: input.id,
    reason: input.reason,
    imageIds,
    overriddenProtections: [...new Set(erased.flatMap(({ heldBy }) => heldBy))],
    ...toldTagChanges(tagChanges),
  })
  for (const image of erased) {
    if (image.state !== 'trashed') {
      for (const tag of image.tags.length > 0 ? image.tags : [undefined]) {
        await imageEvent(tx, context, repository, { action: 'DELETE', digest: image.digest, tag, mediaType: image.mediaType, artifactType: undefined })
      }
    }
    await recordEvent(tx, context, repository.id, 'Stowage Image Erased', {
      'repository-name': repository.name,
      'image-digest': image.digest,
      'image-tags': image.tags,
      reason: input.reason,
      erasure: input.id,
    })
  }
}

/**
 * From now on nobody sees what nothing names any more, where it was erased; a layer without an image too. What only archived
 * images have by now follows these.
 */
async function hideBlobs(tx: Session, work: readonly RepositoryWork[], { everywhere }: EraseInput, context: CommandContext): Promise<void> {
  const all = new Map(work.flatMap(({ blobs }) => [...blobs]))
  const repositoryIds = everywhere ? undefined : work.map(({ repository }) => repository.id)
  const suspicions = collectSuspicions()
  // In the order in which everybody locks blobs.
  for (const [blobId, digest] of [...all].sort(([, one], [, other]) => (one < other ? -1 : 1))) {
    if ((await lockBlob(tx, blobId)) === undefined) continue
    await hideUnnamedBlob(tx, { registryId: context.registryId, repositoryIds, blobId, digest })
    if ((await findPlacedBlob(tx, blobId))?.belongs !== 'archive') continue
    suspicions.add({ kind: 'placement', repositoryId: 0, subjectId: blobId, reason: 'left to the archive', now: context.nowMs, delayMs: 0 })
  }
  await suspicions.write(tx)
}

function protectedImage(held: readonly ErasedImage[]) {
  const [first] = held
  const more = held.length > 1 ? ` and ${held.length - 1} more` : ''
  return registryError(
    'image-protected',
    `Nothing was erased: ${first?.heldBy.join('; ') ?? ''}${more}. To erase it all the same takes overrideProtection, and the right stowage:OverrideProtection.`,
  )
}

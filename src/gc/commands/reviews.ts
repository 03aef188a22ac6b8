import { forgetBlob, forgetPlace, lockBlob } from '../../storage/metadata/stores/blob-removal.ts'
import { activeManifestsNaming, findPlacedBlob } from '../../storage/metadata/stores/archive-store.ts'
import { hideBlob } from '../../storage/metadata/stores/blob-index.ts'
import { defineCommand } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { findRepositoryVetoes, findVetoes, registryHolds } from '../../registry/protection/index.ts'
import {
  blobsNamedBy,
  noteAllPurged,
  markPurged,
  notePurged,
  removeManifests,
  removeSettings,
  someManifests,
  someVisibleBlobs,
  trashedAmong,
} from '../../storage/metadata/stores/purge-store.ts'
import { claimReviews, dropReview, isStillDue, putReviewOff, type ClaimedReview } from '../../storage/metadata/stores/review-claims.ts'
import { blobPromiseMs, collectSuspicions, suspect, type ReviewKind } from '../../storage/metadata/stores/review-queue.ts'
import { lockRepositoryRowById } from '../../storage/metadata/stores/trash-store.ts'
import { digestFromBytes } from '../../values/index.ts'
import { condemn } from './reclaim-blob.ts'

/*
 * The decisions of garbage collection. Each looks again at what it was told, under the locks that pushes take: the repository's
 * row, then the blob, then the review itself, which whoever promises a blob puts off.
 */

/** Of one repository or blob that somebody or something holds back: looked at again after this. */
const heldBackMs = 60 * 60 * 1000
/** Manifests of a deleted repository that one command takes away. */
const manifestsPerCommand = 100

export const claimReviewBatch = defineCommand({
  name: 'claim-reviews',
  durability: 'process',
  run: (tx, input: { kind: ReviewKind; owner: string; until: number; limit: number }, context): Promise<ClaimedReview[]> =>
    claimReviews(tx, { ...input, now: context.nowMs }),
})

/** Gives a review back that could not be done, to be tried later. */
export const postponeReview = defineCommand({
  name: 'postpone-review',
  durability: 'process',
  run: (tx, input: { id: number; owner: string; dueAt: number; attempts: number }): Promise<void> => putReviewOff(tx, input),
})

export interface Reviewed {
  readonly manifests: number
  readonly heldBack: number
}

/**
 * Manifests of one repository: those whose time in the trash is over go for good, unless somebody holds them. Living ones stay,
 * with or without a tag: only policies and people delete images.
 */
export const reviewManifests = defineCommand({
  name: 'review-manifests',
  durability: 'durable',
  async run(tx, input: { repositoryId: number; owner: string; reviews: readonly ClaimedReview[] }, context): Promise<Reviewed> {
    const repository = await lockRepositoryRowById(tx, input.repositoryId)
    const now = context.nowMs
    const due: ClaimedReview[] = []
    for (const review of input.reviews) if (await isStillDue(tx, { id: review.id, now, owner: input.owner })) due.push(review)
    const trashed = due.length === 0 ? [] : await trashedAmong(tx, input.repositoryId, due.map(({ subjectId }) => subjectId))
    const rows = new Map(trashed.map((row) => [row.id, row]))
    const ripe = trashed.filter(({ purgeAfter }) => purgeAfter <= now).map(({ id }) => id)
    const vetoes = repository === undefined ? new Map() : await findVetoes(tx, repository, ripe, now, { mode: 'automatic' })
    const going: number[] = []
    let heldBack = 0
    for (const { id, subjectId } of due) {
      const row = rows.get(subjectId)
      if (row !== undefined && row.purgeAfter > now) {
        await putReviewOff(tx, { id, owner: input.owner, dueAt: row.purgeAfter, attempts: 0 })
      } else if (row !== undefined && vetoes.has(subjectId)) {
        heldBack += 1
        await putReviewOff(tx, { id, owner: input.owner, dueAt: now + heldBackMs, attempts: 0 })
      } else {
        if (row !== undefined) going.push(subjectId)
        await dropReview(tx, id)
      }
    }
    await purge(tx, going, now)
    for (const batch of new Set(going.map((id) => rows.get(id)!.trashBatch))) if (batch !== null) await notePurged(tx, batch, now)
    return { manifests: going.length, heldBack }
  },
})

/** Takes manifests away for good. Their blobs are looked at once no client can still rely on an answer about them. */
async function purge(tx: Session, ids: readonly number[], now: number): Promise<void> {
  if (ids.length === 0) return
  const blobs = await blobsNamedBy(tx, ids)
  await removeManifests(tx, ids)
  const suspicions = collectSuspicions()
  for (const subjectId of blobs) suspicions.add({ kind: 'blob', repositoryId: 0, subjectId, reason: 'image purged', now, delayMs: blobPromiseMs })
  await suspicions.write(tx)
}

/** A repository whose time in the trash is over loses what is in it, part by part. True when nothing is left. */
export const reviewRepository = defineCommand({
  name: 'review-repository',
  durability: 'durable',
  async run(tx, input: { owner: string; review: ClaimedReview }, context): Promise<{ isOver: boolean; manifests: number }> {
    const { owner, review } = input
    const now = context.nowMs
    const repository = await lockRepositoryRowById(tx, review.subjectId)
    if (!(await isStillDue(tx, { id: review.id, now, owner }))) return { isOver: true, manifests: 0 }
    if (!repository || repository.trashed_at === null) {
      await dropReview(tx, review.id)
      return { isOver: true, manifests: 0 }
    }
    const purgeAfter = repository.purge_after ?? repository.trashed_at
    const ids = await someManifests(tx, repository.id, manifestsPerCommand)
    // Of all of it: a repository is not left half gone because somebody holds a part.
    const vetoes = await findRepositoryVetoes(tx, repository, now, { mode: 'automatic' })
    if (purgeAfter > now || vetoes.length > 0) {
      await putReviewOff(tx, { id: review.id, owner, dueAt: Math.max(purgeAfter, now + heldBackMs), attempts: 0 })
      return { isOver: true, manifests: 0 }
    }
    // From the first part on there is nothing whole to bring back.
    if (repository.trash_batch !== null) await markPurged(tx, repository.trash_batch, now)
    await purge(tx, ids, now)
    if (ids.length === manifestsPerCommand) return { isOver: false, manifests: ids.length }
    const blobs = await someVisibleBlobs(tx, repository.id, manifestsPerCommand)
    for (const blobId of blobs) {
      await hideBlob(tx, repository.id, blobId)
      await suspect(tx, { kind: 'blob', repositoryId: 0, subjectId: blobId, reason: 'repository purged', now, delayMs: blobPromiseMs })
    }
    if (blobs.length === manifestsPerCommand) return { isOver: false, manifests: ids.length }
    await removeSettings(tx, repository.id)
    await dropReview(tx, review.id)
    await noteAllPurged(tx, repository.id, now)
    return { isOver: true, manifests: ids.length }
  },
})

/** A repository sees a blob that came by an upload or a mount: not any more if no image of it has come to use it. */
export const reviewSight = defineCommand({
  name: 'review-repository-blob',
  durability: 'durable',
  async run(tx, input: { owner: string; review: ClaimedReview }, context): Promise<boolean> {
    const { owner, review } = input
    const now = context.nowMs
    const repository = await lockRepositoryRowById(tx, review.repositoryId)
    const blob = await lockBlob(tx, review.subjectId)
    if (!(await isStillDue(tx, { id: review.id, now, owner }))) return false
    if (repository && (await registryHolds(tx, repository.registry_id)).length > 0) {
      await putReviewOff(tx, { id: review.id, owner, dueAt: now + heldBackMs, attempts: 0 })
      return false
    }
    await dropReview(tx, review.id)
    if (!blob || (await activeManifestsNaming(tx, review.repositoryId, digestFromBytes(blob.digest))).length > 0) return false
    await hideBlob(tx, review.repositoryId, blob.id)
    await suspect(tx, { kind: 'blob', repositoryId: 0, subjectId: blob.id, reason: 'seen by nobody', now, delayMs: blobPromiseMs })
    return true
  },
})

/** A blob that nobody sees and no manifest names loses its bytes: from now on they are given to nobody, and deleted next. */
export const reviewBlob = defineCommand({
  name: 'review-blob',
  durability: 'durable',
  async run(tx, input: { owner: string; review: ClaimedReview }, context): Promise<boolean> {
    const { owner, review } = input
    const now = context.nowMs
    await lockBlob(tx, review.subjectId)
    if (!(await isStillDue(tx, { id: review.id, now, owner }))) return false
    await dropReview(tx, review.id)
    const { isNeeded, places } = await condemn(tx, review.subjectId)
    for (const { locationId: subjectId } of places) {
      await suspect(tx, { kind: 'location', repositoryId: 0, subjectId, reason: 'blob is not needed', now, delayMs: 0 })
    }
    // What only archived images need by now.
    if (isNeeded && (await findPlacedBlob(tx, review.subjectId))?.belongs === 'archive') {
      await suspect(tx, { kind: 'placement', repositoryId: 0, subjectId: review.subjectId, reason: 'left to the archive', now, delayMs: 0 })
    }
    return !isNeeded
  },
})

/** The bytes at a place are gone: so is the place, and the blob where it has no other. */
export const forgetLocation = defineCommand({
  name: 'forget-location',
  durability: 'durable',
  async run(tx, input: { reviewId: number; locationId: number; blobId: number }): Promise<void> {
    const blob = await lockBlob(tx, input.blobId)
    await forgetPlace(tx, input.locationId)
    if (blob) await forgetBlob(tx, blob)
    await dropReview(tx, input.reviewId)
  },
})

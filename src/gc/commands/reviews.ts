import { forgetBlobs, forgetPlaces, lockBlobs } from '../../storage/metadata/stores/blob-removal.ts'
import { activelyNamedAmong, findPlacedBlob } from '../../storage/metadata/stores/archive-store.ts'
import { hideBlobs } from '../../storage/metadata/stores/blob-index.ts'
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
import { claimReviews, dropReview, dropReviews, isStillDue, putReviewOff, putReviewsOff, stillDueAmong, type ClaimedReview } from '../../storage/metadata/stores/review-claims.ts'
import { blobPromiseMs, collectSuspicions, type ReviewKind } from '../../storage/metadata/stores/review-queue.ts'
import { lockRepositoryRowById } from '../../storage/metadata/stores/trash-store.ts'
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
 * Manifests of one repository: those whose time in the trash is over (`endOfTrash`) go for good, unless somebody holds them. Living ones stay,
 * with or without a tag: only policies and people delete images.
 */
export const reviewManifests = defineCommand({
  name: 'review-manifests',
  durability: 'durable',
  async run(tx, input: { repositoryId: number; owner: string; reviews: readonly ClaimedReview[] }, context): Promise<Reviewed> {
    const repository = await lockRepositoryRowById(tx, input.repositoryId)
    const now = context.nowMs
    const due = await stillDueAmong(tx, input.reviews, { now, owner: input.owner })
    const trashed = due.length === 0 ? [] : await trashedAmong(tx, input.repositoryId, due.map(({ subjectId }) => subjectId))
    const rows = new Map(trashed.map((row) => [row.id, row]))
    const ripe = trashed.filter(({ purgeAfter }) => purgeAfter <= now).map(({ id }) => id)
    const vetoes = repository === undefined ? new Map() : await findVetoes(tx, repository, ripe, now, { mode: 'automatic' })
    const going: number[] = []
    const over: ClaimedReview[] = []
    let heldBack = 0
    for (const review of due) {
      const { id, subjectId } = review
      const row = rows.get(subjectId)
      if (row !== undefined && row.purgeAfter > now) {
        await putReviewOff(tx, { id, owner: input.owner, dueAt: row.purgeAfter, attempts: 0 })
      } else if (row !== undefined && vetoes.has(subjectId)) {
        heldBack += 1
        await putReviewOff(tx, { id, owner: input.owner, dueAt: now + heldBackMs, attempts: 0 })
      } else {
        if (row !== undefined) going.push(subjectId)
        over.push(review)
      }
    }
    await dropReviews(tx, over)
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
    await hideBlobs(tx, repository.id, blobs)
    const suspicions = collectSuspicions()
    for (const subjectId of blobs) suspicions.add({ kind: 'blob', repositoryId: 0, subjectId, reason: 'repository purged', now, delayMs: blobPromiseMs })
    await suspicions.write(tx)
    if (blobs.length === manifestsPerCommand) return { isOver: false, manifests: ids.length }
    await removeSettings(tx, repository.id, now)
    await dropReview(tx, review.id)
    await noteAllPurged(tx, repository.id, now)
    return { isOver: true, manifests: ids.length }
  },
})

/**
 * Blobs of one repository that came by an upload or a mount, or whose image went: it sees them no more where no image of it has come
 * to use them. Answers how many that were.
 */
export const reviewSights = defineCommand({
  name: 'review-repository-blobs',
  durability: 'durable',
  async run(tx, input: { repositoryId: number; owner: string; reviews: readonly ClaimedReview[] }, context): Promise<number> {
    const { repositoryId, owner, reviews } = input
    const now = context.nowMs
    const repository = await lockRepositoryRowById(tx, repositoryId)
    const blobs = await lockBlobs(tx, reviews.map(({ subjectId }) => subjectId))
    const due = await stillDueAmong(tx, reviews, { now, owner })
    if (due.length === 0) return 0
    if (repository && (await registryHolds(tx, repository.registry_id)).length > 0) {
      await putReviewsOff(tx, due, now + heldBackMs)
      return 0
    }
    await dropReviews(tx, due)
    const there = new Set(blobs.map(({ id }) => id))
    const suspects = due.map(({ subjectId }) => subjectId).filter((id) => there.has(id))
    const named = await activelyNamedAmong(tx, repositoryId, suspects)
    const hidden = suspects.filter((id) => !named.has(id))
    await hideBlobs(tx, repositoryId, hidden)
    const suspicions = collectSuspicions()
    for (const subjectId of hidden) suspicions.add({ kind: 'blob', repositoryId: 0, subjectId, reason: 'seen by nobody', now, delayMs: blobPromiseMs })
    await suspicions.write(tx)
    return hidden.length
  },
})

/** Blobs that nobody sees and no manifest names lose their bytes: from now on these are given to nobody, and deleted next. */
export const reviewBlobs = defineCommand({
  name: 'review-blobs',
  durability: 'durable',
  async run(tx, input: { owner: string; reviews: readonly ClaimedReview[] }, context): Promise<void> {
    const now = context.nowMs
    const blobs = await lockBlobs(tx, input.reviews.map(({ subjectId }) => subjectId))
    const due = await stillDueAmong(tx, input.reviews, { now, owner: input.owner })
    await dropReviews(tx, due)
    const dueIds = new Set(due.map(({ subjectId }) => subjectId))
    const { needed, places } = await condemn(tx, blobs.map(({ id }) => id).filter((id) => dueIds.has(id)))
    const suspicions = collectSuspicions()
    for (const { locationId: subjectId } of places) {
      suspicions.add({ kind: 'location', repositoryId: 0, subjectId, reason: 'blob is not needed', now, delayMs: 0 })
    }
    for (const { blobId: subjectId, isSeen } of needed.values()) {
      // What only archived images need by now.
      if (isSeen || (await findPlacedBlob(tx, subjectId))?.belongs !== 'archive') continue
      suspicions.add({ kind: 'placement', repositoryId: 0, subjectId, reason: 'left to the archive', now, delayMs: 0 })
    }
    await suspicions.write(tx)
  },
})

/** The bytes at places are gone: so are the places, and the blobs that have no other. */
export const forgetLocations = defineCommand({
  name: 'forget-locations',
  durability: 'durable',
  async run(tx, input: { reviews: readonly ClaimedReview[]; blobIds: readonly number[] }): Promise<void> {
    const blobs = await lockBlobs(tx, input.blobIds)
    await forgetPlaces(tx, input.reviews.map(({ subjectId }) => subjectId))
    await forgetBlobs(tx, blobs.map(({ id }) => id))
    await dropReviews(tx, input.reviews)
  },
})

import { defineCommand } from '../../storage/metadata/command.ts'
import { findPlacedBlob, forgetAllMoves, forgetMove, moveLocation, noteMove, type NewPlace, type PlacedBlob } from '../../storage/metadata/stores/archive-store.ts'
import { lockBlob } from '../../storage/metadata/stores/blob-removal.ts'
import { claimReviews, dropReview, isStillDue, putReviewOff, type ClaimedReview } from '../../storage/metadata/stores/review-claims.ts'
import { suspect } from '../../storage/metadata/stores/review-queue.ts'

/** Whoever has just read where the bytes are opens them within this time. */
const leaveAfterMs = 10 * 60_000

export const claimArchiveWork = defineCommand({
  name: 'claim-archive-work',
  durability: 'process',
  run: (tx, input: { kind: 'placement' | 'activation'; owner: string; until: number; limit: number }, context): Promise<ClaimedReview[]> =>
    claimReviews(tx, { ...input, now: context.nowMs }),
})

/** Gives work back that could not be done, to be tried later. */
export const postponeArchiveWork = defineCommand({
  name: 'postpone-archive-work',
  durability: 'process',
  run: (tx, input: { id: number; owner: string; dueAt: number; attempts: number }): Promise<void> => putReviewOff(tx, input),
})

/** Ends work that was claimed and is done; not where something has asked for it again since. */
export const endArchiveWork = defineCommand({
  name: 'end-archive-work',
  durability: 'process',
  async run(tx, input: { id: number; owner: string }, context): Promise<void> {
    if (await isStillDue(tx, { ...input, now: context.nowMs })) await dropReview(tx, input.id)
  },
})

/** A blob that is to be copied, and whereto. */
export interface WantedMove {
  readonly from: PlacedBlob
  readonly to: 'active' | 'archive'
}

/**
 * Looks at a blob that may be in the wrong store. Undefined: it is where it belongs, and the work is over. Whoever changes where it
 * belongs says so by the same review, in the same command: so nothing is missed that was decided before this.
 */
export const settlePlacement = defineCommand({
  name: 'settle-placement',
  durability: 'process',
  async run(tx, input: { owner: string; review: ClaimedReview; archiveStore: string }, context): Promise<WantedMove | undefined> {
    const { owner, review, archiveStore } = input
    await lockBlob(tx, review.subjectId)
    const isDue = await isStillDue(tx, { id: review.id, owner, now: context.nowMs })
    const from = isDue ? await findPlacedBlob(tx, review.subjectId) : undefined
    const to = from && moveOf(from, archiveStore)
    if (from !== undefined && to !== undefined) return { from, to }
    if (isDue) await dropReview(tx, review.id)
    return undefined
  },
})

/** Where a blob is to be moved; undefined where it is right. */
export function moveOf({ store, belongs }: PlacedBlob, archiveStore: string): WantedMove['to'] | undefined {
  if (belongs === 'archive') return store === archiveStore ? undefined : 'archive'
  return belongs === 'active' && store === archiveStore ? 'active' : undefined
}

/**
 * Notes that a copy of a blob is about to be made, so that whoever erases the blob knows of it. False: the blob is not there any
 * more, and is not to be copied.
 */
export const beginMove = defineCommand({
  name: 'begin-move',
  durability: 'durable',
  async run(tx, input: { blobId: number; key: string; uploadId: string }, context): Promise<boolean> {
    const { blobId, key, uploadId } = input
    const placed = (await lockBlob(tx, blobId)) && (await findPlacedBlob(tx, blobId))
    if (placed?.key !== key) return false
    await noteMove(tx, { uploadId, blobId, now: context.nowMs })
    return true
  },
})

/** Notes that a copy which nobody knows of is gone again. */
export const endMove = defineCommand({
  name: 'end-move',
  durability: 'process',
  run: (tx, input: { uploadId: string }): Promise<void> => forgetMove(tx, input.uploadId),
})

/** Where no other server is, and what copies there were have been settled. */
export const endAllMoves = defineCommand({
  name: 'end-all-moves',
  durability: 'process',
  run: (tx): Promise<void> => forgetAllMoves(tx),
})

/**
 * From now on a blob's bytes are at the new place, where the caller has made them durable and read them back; those at the old
 * one are deleted later. False where the blob was moved, set aside or collected meanwhile, or does not belong there any more:
 * nothing has changed, and nobody knows of the copy.
 */
export const switchPlace = defineCommand({
  name: 'switch-place',
  durability: 'durable',
  async run(
    tx,
    input: { blobId: number; uploadId: string; from: { locationId: number; store: string; key: string }; to: NewPlace; archiveStore: string },
    context,
  ): Promise<boolean> {
    const { blobId, uploadId, from, to, archiveStore } = input
    const blob = await lockBlob(tx, blobId)
    const placed = blob && (await findPlacedBlob(tx, blobId))
    if (placed === undefined || moveOf(placed, archiveStore) !== (to.store === archiveStore ? 'archive' : 'active')) return false
    const now = context.nowMs
    const leftId = await moveLocation(tx, blobId, from, to, now)
    if (leftId === undefined) return false
    await forgetMove(tx, uploadId)
    await suspect(tx, { kind: 'location', repositoryId: 0, subjectId: leftId, reason: 'moved', now, delayMs: leaveAfterMs })
    return true
  },
})

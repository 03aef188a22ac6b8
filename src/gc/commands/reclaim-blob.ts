import { defineCommand } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { forgetBlobs, forgetPlaces, lockBlobs, markForDeletion, neededAmong, placesGoing, type BlobNeed, type BlobPlace } from '../../storage/metadata/stores/blob-removal.ts'

export interface Condemned {
  /** The blobs that stay, and why. */
  readonly needed: ReadonlyMap<number, BlobNeed>
  /** Whose bytes are to go. */
  readonly places: readonly BlobPlace[]
}

/**
 * Marks the places of those blobs as going that no repository sees and no manifest names: from then on whoever pushes them sends
 * their bytes again. Of those that are needed, only the places that were marked before they were pushed again are to go. The caller
 * has locked the blobs. May be repeated.
 */
export async function condemn(tx: Session, blobIds: readonly number[]): Promise<Condemned> {
  if (blobIds.length === 0) return { needed: new Map(), places: [] }
  const needed = await neededAmong(tx, blobIds)
  const unneeded = blobIds.filter((id) => !needed.has(id))
  const marked = await markForDeletion(tx, unneeded)
  // Some whose bytes went before the program was stopped.
  const placed = new Set(marked.map(({ blobId }) => blobId))
  await forgetBlobs(tx, unneeded.filter((id) => !placed.has(id)))
  return { needed, places: [...marked, ...(await placesGoing(tx, [...needed.keys()]))] }
}

/** As `condemn`, of one blob. */
export const condemnBlob = defineCommand({
  name: 'condemn-blob',
  durability: 'durable',
  async run(tx, input: { blobId: number }): Promise<{ isNeeded: boolean; places: readonly BlobPlace[] }> {
    const blobIds = (await lockBlobs(tx, [input.blobId])).map(({ id }) => id)
    const { needed, places } = await condemn(tx, blobIds)
    return { isNeeded: needed.size > 0, places }
  },
})

/** Forgets places whose bytes are gone, and the blob if it was pushed nowhere else meanwhile. */
export const forgetBlobPlaces = defineCommand({
  name: 'forget-blob-places',
  durability: 'durable',
  async run(tx, input: { blobId: number; locationIds: readonly number[] }): Promise<void> {
    const blobIds = (await lockBlobs(tx, [input.blobId])).map(({ id }) => id)
    if (blobIds.length === 0) return
    await forgetPlaces(tx, input.locationIds)
    await forgetBlobs(tx, blobIds)
  },
})

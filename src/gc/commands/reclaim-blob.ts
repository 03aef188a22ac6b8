import { defineCommand } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { forgetBlob, forgetPlace, isBlobNeeded, lockBlob, markForDeletion, placesGoing, type BlobPlace } from '../../storage/metadata/stores/blob-removal.ts'

export interface Condemned {
  readonly isNeeded: boolean
  /** Whose bytes are to go. */
  readonly places: BlobPlace[]
}

/**
 * Marks a blob's places as going, if no repository sees it and no manifest names it: from then on whoever pushes it sends its
 * bytes again. Where it is needed, only the places that were marked before it was pushed again are to go. May be repeated.
 */
export async function condemn(tx: Session, blobId: number): Promise<Condemned> {
  const blob = await lockBlob(tx, blobId)
  if (blob === undefined) return { isNeeded: false, places: [] }
  if (await isBlobNeeded(tx, blob)) return { isNeeded: true, places: await placesGoing(tx, blob.id) }
  const places = await markForDeletion(tx, blob.id)
  // One whose bytes went before the program was stopped.
  if (places.length === 0) await forgetBlob(tx, blob)
  return { isNeeded: false, places }
}

/** As `condemn`. */
export const condemnBlob = defineCommand({
  name: 'condemn-blob',
  durability: 'durable',
  run: (tx, input: { blobId: number }): Promise<Condemned> => condemn(tx, input.blobId),
})

/** Forgets places whose bytes are gone, and the blob if it was pushed nowhere else meanwhile. */
export const forgetBlobPlaces = defineCommand({
  name: 'forget-blob-places',
  durability: 'durable',
  async run(tx, input: { blobId: number; locationIds: readonly number[] }): Promise<void> {
    const blob = await lockBlob(tx, input.blobId)
    if (blob === undefined) return
    for (const locationId of input.locationIds) await forgetPlace(tx, locationId)
    await forgetBlob(tx, blob)
  },
})

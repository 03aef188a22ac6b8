import type { BlobStore } from '../storage/blobs/index.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { isBeingMoved } from '../storage/metadata/stores/archive-store.ts'
import { condemnBlob, forgetBlobPlaces } from './commands/reclaim-blob.ts'

export interface ReclaimDependencies {
  readonly database: MetadataDatabase
  /** The bytes of all blobs, wherever they are. */
  readonly blobStore: Pick<BlobStore, 'delete'>
}

/**
 * What became of a blob's bytes:
 * - `gone`: nothing needed it.
 * - `needed`: a repository sees it, or a manifest names it.
 * - `held`: nothing needs it, but a backup under way still reads, or a copy of it is being made for another store; to be asked again.
 */
export type Reclaimed = 'gone' | 'needed' | 'held'

/**
 * Removes a blob's bytes and rows, if nothing needs it. Killed at any moment it has done a part, and the next call does the
 * rest; several servers may do it at once. Throws `storage-unavailable`.
 */
export async function reclaimBlob({ database, blobStore }: ReclaimDependencies, blobId: number, context: CommandContext): Promise<Reclaimed> {
  const { isNeeded, places } = await database.execute(condemnBlob, { blobId }, context)
  const outcomes = await blobStore.delete(places.map(({ key }) => key), context.nowMs)
  const gone = places.filter(({ key }) => outcomes.get(key) === 'deleted').map(({ locationId }) => locationId)
  if (gone.length > 0) await database.execute(forgetBlobPlaces, { blobId, locationIds: gone }, context)
  for (const outcome of outcomes.values()) if (typeof outcome === 'object') throw outcome.failed
  // Whoever begins a copy from now on finds no blob to be copied.
  if (gone.length < places.length || (await isBeingMoved(database.reader, blobId))) return 'held'
  return isNeeded ? 'needed' : 'gone'
}

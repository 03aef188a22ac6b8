import type { Session } from '../storage/metadata/session.ts'
import { findServerMark } from '../storage/metadata/stores/server-mark-store.ts'

/** How fast somebody wants each server to collect, whether or not it serves clients meanwhile. */
export interface CollectionRate {
  readonly reviewsPerSecond: number
  readonly setAt: number
  readonly setBy: string
}

/** Where the rate is kept: in the database, so that it outlives every server and all of them see it. */
export const rateMark = 'gc-rate'

/** The rate that was set; undefined where each server finds its own. One look-up by its key. */
export async function findRate(session: Session): Promise<CollectionRate | undefined> {
  const mark = await findServerMark(session, rateMark)
  // Written by `setCollectionRate` alone.
  return mark === undefined ? undefined : (JSON.parse(mark) as CollectionRate)
}

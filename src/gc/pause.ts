import type { Session } from '../storage/metadata/session.ts'
import { findServerMark } from '../storage/metadata/stores/server-mark-store.ts'

/** Somebody has stopped collection, of all servers of the installation. */
export interface CollectionPause {
  readonly reason: string
  readonly pausedAt: number
  readonly pausedBy: string
  /** It ends by itself then; undefined: when somebody ends it. */
  readonly endsAt: number | undefined
}

/** Where the pause is kept: in the database, so that it outlives every server and all of them see it. */
export const pauseMark = 'gc-pause'

/** The pause in force; undefined where there is none, or it is over. One look-up by its key. */
export async function findPause(session: Session, nowMs: number): Promise<CollectionPause | undefined> {
  const mark = await findServerMark(session, pauseMark)
  // Written by `pauseCollection` alone.
  const pause = mark === undefined ? undefined : (JSON.parse(mark) as CollectionPause)
  return pause?.endsAt !== undefined && pause.endsAt <= nowMs ? undefined : pause
}

import type { ObserveStore } from '../storage/metadata/observe/store.ts'
import { cutChain } from '../storage/metadata/observe/audit-store.ts'

/** In one transaction. */
const maxEventsAtOnce = 1_000

/** Removes records that are older, from the beginning of the chain on, and notes where it begins from now on. Answers how many. */
export async function removeOldEvents(store: ObserveStore, retentionMs: number, now: number, signal?: AbortSignal): Promise<number> {
  let removed = 0
  while (signal?.aborted !== true) {
    const count = await store.transaction((tx) => cutChain(tx, { before: now - retentionMs, now, limit: maxEventsAtOnce }))
    removed += count
    if (count < maxEventsAtOnce) break
  }
  return removed
}

import { setImmediate, setTimeout as delay } from 'node:timers/promises'

/** Awaited between two steps of something long. */
export type Pace = () => Promise<void>

/** Goes on at once, after whatever else the event loop has to do. */
export const nextTurn: Pace = () => setImmediate()

/**
 * Processor time after which `unhurried` rests: less than what Linux lets a program have before it looks for another one that
 * waits (3 ms where there are two processors), even if that one is the only other.
 */
const burstMs = 2.5
/** Rest for each millisecond of work: a million images take four seconds of it, and are to be done in ten. */
const restShare = 0.75

/**
 * Rests about as long as it works, often: what waits for a processor, or for the memory beside it, waits for milliseconds.
 * Where nothing else is to be done, that is time lost, which nobody waits for.
 */
export function unhurried(): Pace {
  let restedAt = process.threadCpuUsage()
  return async () => {
    const { user, system } = process.threadCpuUsage(restedAt)
    const workedMs = (user + system) / 1000
    if (workedMs < burstMs) return setImmediate()
    await delay(workedMs * restShare)
    restedAt = process.threadCpuUsage()
  }
}

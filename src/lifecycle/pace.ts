import { setImmediate } from 'node:timers/promises'

/** Awaited between two steps of something long. */
export type Pace = () => Promise<void>

/** A promise that is awaited only when something else is done: should that fail, nobody hears of the promise's own failure. */
export function begun<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(() => undefined)
  return promise
}

/** Goes on at once, after whatever else the event loop has to do. */
export const nextTurn: Pace = () => setImmediate()

/**
 * Processor time after which `unhurried` rests. Linux lets a program that works have its slice of some 3 ms, whatever its priority,
 * before one that has to answer somebody comes in: so it leaves before.
 */
const burstMs = 0.5
/** Rest for each millisecond of work: a million images take nearly five seconds of work, and are to be done in ten. */
const restShare = 0.55

/**
 * Rests about half as long as it works, often: what waits for a processor waits for less than a millisecond. Where nothing else is to be done,
 * that is time lost, which nobody waits for. Rests with the whole thread, since timers know no less than a millisecond.
 */
export function unhurried(): Pace {
  const never = new Int32Array(new SharedArrayBuffer(4))
  let restedAt = process.threadCpuUsage()
  return async () => {
    const { user, system } = process.threadCpuUsage(restedAt)
    const workedMs = (user + system) / 1000
    if (workedMs >= burstMs) {
      Atomics.wait(never, 0, 0, workedMs * restShare)
      restedAt = process.threadCpuUsage()
    }
    await setImmediate()
  }
}

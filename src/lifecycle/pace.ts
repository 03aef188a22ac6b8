import { setImmediate } from 'node:timers/promises'

/** Awaited between two steps of something long, and told how many images the step was about. */
export type Pace = (images?: number) => Promise<void>

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
const burstMs = 0.25
/** Rest for each millisecond of work, at least: a million images take up to six seconds of work, and are to be done in ten. */
const leastRestShare = 0.55
/**
 * Time that an image may take to be read, or to be written as a result, whatever the machine could do: a million have some eight seconds, all of them results.
 * Faster processors rest longer, since nobody waits for more.
 */
const allottedMsPerImage = 0.0042

/**
 * Rests more than half as long as it works, often: what waits for a processor waits for less than a millisecond. Where nothing else is to be
 * done, that is time lost, which nobody waits for. Rests with the whole thread, since timers know no less than a millisecond.
 */
export function unhurried(): Pace {
  const never = new Int32Array(new SharedArrayBuffer(4))
  let usedBefore = process.threadCpuUsage()
  let begunAtMs = performance.now()
  let allottedMs = 0
  // A rest is longer than was asked for by what timers are exact to, thousands of times: the next is shorter by as much.
  let oversleptMs = 0
  return async (images = 0) => {
    allottedMs += images * allottedMsPerImage
    const { user, system } = process.threadCpuUsage(usedBefore)
    const workedMs = (user + system) / 1000
    if (workedMs >= burstMs) {
      const restsAtMs = performance.now()
      const restMs = Math.max(workedMs * leastRestShare, allottedMs - (restsAtMs - begunAtMs)) - oversleptMs
      if (restMs > 0) Atomics.wait(never, 0, 0, restMs)
      begunAtMs = performance.now()
      oversleptMs = begunAtMs - restsAtMs - restMs
      usedBefore = process.threadCpuUsage()
      allottedMs = 0
    }
    await setImmediate()
  }
}

import { setTimeout as sleep } from 'node:timers/promises'

/** A timer is exact to a millisecond or two: many small blobs are let through before one wait for all of them. */
const leastWaitMs = 50

/** Keeps a reader below a rate. Idle time earns nothing, so there is no burst after a pause. */
export class Pace {
  readonly #bytesPerSecond: number | undefined
  /** When the bytes read so far would have been read at the rate, on the clock of `performance.now`. */
  #readAtMs = 0

  /** @param bytesPerSecond undefined: as fast as it goes */
  constructor(bytesPerSecond: number | undefined) {
    this.#bytesPerSecond = bytesPerSecond
  }

  /** Waits until as much time has gone by as the bytes counted so far may have taken. Rejects when `signal` fires. */
  async wait(signal: AbortSignal | undefined): Promise<void> {
    const aheadMs = this.#readAtMs - performance.now()
    if (aheadMs >= leastWaitMs) await sleep(aheadMs, undefined, { signal })
  }

  /** Counts bytes whose reading began at `startedAtMs`. */
  count(sizeBytes: number, startedAtMs: number): void {
    if (this.#bytesPerSecond === undefined) return
    this.#readAtMs = Math.max(this.#readAtMs, startedAtMs) + (sizeBytes / this.#bytesPerSecond) * 1000
  }
}

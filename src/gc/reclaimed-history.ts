import type { CollectionCounters } from './collector.ts'

/** What was given back. */
export interface ReclaimedSpace {
  readonly manifests: number
  readonly blobs: number
  readonly bytes: number
}

interface Sample extends ReclaimedSpace {
  readonly at: number
}

const hourMs = 60 * 60 * 1000
const keptMs = 24 * hourMs
/** With this many a day it is known to a few minutes what an hour brought. */
const sampleEveryMs = 5 * 60_000

/** What one server has reclaimed since its start, in the last hour and in the last day. */
export class ReclaimedHistory {
  readonly #counters: Readonly<CollectionCounters>
  /** The oldest first. */
  readonly #samples: Sample[]
  readonly startedAt: number

  constructor(counters: Readonly<CollectionCounters>, nowMs: number) {
    this.#counters = counters
    this.startedAt = nowMs
    this.#samples = [{ at: nowMs, manifests: 0, blobs: 0, bytes: 0 }]
  }

  /** To be called now and then; most calls do nothing. */
  note(nowMs: number): void {
    const last = this.#samples.at(-1)
    if (last !== undefined && nowMs - last.at < sampleEveryMs) return
    this.#samples.push({ at: nowMs, ...this.#now() })
    while ((this.#samples[1]?.at ?? nowMs) < nowMs - keptMs) this.#samples.shift()
  }

  get sinceStart(): ReclaimedSpace {
    return this.#now()
  }

  lastHour(nowMs: number): ReclaimedSpace {
    return this.#since(nowMs - hourMs)
  }

  lastDay(nowMs: number): ReclaimedSpace {
    return this.#since(nowMs - keptMs)
  }

  #since(fromMs: number): ReclaimedSpace {
    const before = this.#samples.findLast(({ at }) => at <= fromMs) ?? { manifests: 0, blobs: 0, bytes: 0 }
    const { manifests, blobs, bytes } = this.#now()
    return { manifests: manifests - before.manifests, blobs: blobs - before.blobs, bytes: bytes - before.bytes }
  }

  #now(): ReclaimedSpace {
    const { manifests, blobs, bytes } = this.#counters
    return { manifests, blobs, bytes }
  }
}

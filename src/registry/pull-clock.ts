import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { recordPulls } from './commands/pulls.ts'

/** How far the clock may lag behind the pulls. */
const flushIntervalMs = 1000
/** A burst over more images than this is written early: bounds memory and the size of one change. */
const maxWaitingImages = 1000

/** Remembers when images were pulled, and writes it in batches: a pull does not wait for a disk. */
export class PullClock {
  readonly #database: MetadataDatabase
  readonly #context: () => CommandContext
  readonly #onError: (error: unknown) => void
  #waiting = new Map<number, { lastPulledAt: number; count: number }>()
  #timer: NodeJS.Timeout | undefined
  #flushing: Promise<void> = Promise.resolve()

  constructor(database: MetadataDatabase, context: () => CommandContext, onError: (error: unknown) => void) {
    this.#database = database
    this.#context = context
    this.#onError = onError
  }

  record(manifestId: number, atMs: number): void {
    const pull = this.#waiting.get(manifestId)
    if (pull) {
      pull.lastPulledAt = Math.max(pull.lastPulledAt, atMs)
      pull.count += 1
    } else {
      this.#waiting.set(manifestId, { lastPulledAt: atMs, count: 1 })
    }
    if (this.#waiting.size >= maxWaitingImages) {
      void this.flush()
    } else {
      this.#timer ??= setTimeout(() => void this.flush(), flushIntervalMs).unref()
    }
  }

  /** Writes what waits. Never throws: a clock that cannot be written is an error to report, not a failed pull. */
  flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const waiting = this.#waiting
    if (waiting.size > 0) {
      this.#waiting = new Map()
      // In the order of ids, so that two processes never wait for each other's rows.
      const pulls = [...waiting].map(([manifestId, pull]) => ({ manifestId, ...pull })).sort((a, b) => a.manifestId - b.manifestId)
      this.#flushing = this.#flushing.then(async () => {
        try {
          await this.#database.execute(recordPulls, { pulls }, this.#context())
        } catch (error) {
          this.#onError(error)
        }
      })
    }
    return this.#flushing
  }
}

export interface FairTurnsOptions {
  /** Works under way at once, of all keys together. */
  readonly limit: number
  /** Works of one key under way at once: fewer, so that another key never waits for an end of many long ones. */
  readonly limitOfOne: number
}

interface Waiting {
  readonly start: (end: () => void) => void
}

interface Lane {
  underWay: number
  readonly waiting: Waiting[]
  /** Counts turns: the key whose last one is longest ago comes first. */
  lastTurn: number
}

/**
 * Few works at a time of those that take long, so that a key with a thousand of them holds another's one up no longer than a
 * work takes: of the keys that wait the one with the fewest under way comes next, and of those the one whose turn was longest
 * ago. Within a key they come in order. (`FairShare` is for works of milliseconds, which need not wait while nobody else asks.)
 */
export class FairTurns {
  readonly #options: FairTurnsOptions
  readonly #lanes = new Map<string, Lane>()
  #underWay = 0
  #turns = 0

  constructor(options: FairTurnsOptions) {
    this.#options = options
  }

  /** Works of a key that wait for their turn. */
  waitingOf(key: string): number {
    return this.#lanes.get(key)?.waiting.length ?? 0
  }

  /**
   * Waits for a turn of the key, and resolves to what ends it, which may be called again and does nothing then. With a signal
   * that aborts meanwhile it rejects with the signal's reason.
   */
  async take(key: string, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted()
    const lane = this.#lanes.get(key) ?? { underWay: 0, waiting: [], lastTurn: 0 }
    this.#lanes.set(key, lane)
    const turn = Promise.withResolvers<() => void>()
    const waiting: Waiting = { start: turn.resolve }
    lane.waiting.push(waiting)
    const leave = (): void => {
      const at = lane.waiting.indexOf(waiting)
      if (at === -1) return
      lane.waiting.splice(at, 1)
      this.#forget(key, lane)
      turn.reject(signal?.reason)
    }
    signal?.addEventListener('abort', leave)
    this.#startNext()
    try {
      return await turn.promise
    } finally {
      signal?.removeEventListener('abort', leave)
    }
  }

  #startNext(): void {
    while (this.#underWay < this.#options.limit) {
      let next: { key: string; lane: Lane } | undefined
      for (const [key, lane] of this.#lanes) {
        if (lane.waiting.length === 0 || lane.underWay >= this.#options.limitOfOne) continue
        if (next === undefined || lane.underWay < next.lane.underWay || (lane.underWay === next.lane.underWay && lane.lastTurn < next.lane.lastTurn)) next = { key, lane }
      }
      if (next === undefined) return
      const { key, lane } = next
      this.#underWay += 1
      lane.underWay += 1
      lane.lastTurn = ++this.#turns
      let isOver = false
      lane.waiting.shift()!.start(() => {
        if (isOver) return
        isOver = true
        this.#underWay -= 1
        lane.underWay -= 1
        this.#forget(key, lane)
        this.#startNext()
      })
    }
  }

  /** Keys are remembered as long as they have something. */
  #forget(key: string, lane: Lane): void {
    if (lane.underWay === 0 && lane.waiting.length === 0) this.#lanes.delete(key)
  }
}

export interface FairShareOptions {
  /** Works under way at once, of all keys together, while several keys have some; each has an equal part, at least one. */
  readonly limit: number
  /** Works of one key begun in one turn of the event loop, while several keys have some. */
  readonly perTurn: number
  /** A work that takes longer than this counts as ended, so that one at another's slow pace does not keep its key's others waiting. */
  readonly longestMs?: number
  /** Calls back in the next turn of the event loop, after what has arrived meanwhile was received. */
  readonly nextTurn?: (callback: () => void) => void
  /** Monotonic, in milliseconds. */
  readonly nowMs?: () => number
}

/** Runs a work when it is somebody's turn. */
export type Turn = <Result>(work: () => Promise<Result>) => Promise<Result>

/** How a transfer shares the server with those of other accounts. */
export interface TransferShare {
  /** Whose share of the memory it takes. */
  readonly accountId: string
  /** What each of its chunks waits for. */
  readonly turn: Turn
}

/** Whether a work counts as under way until it ends. */
type Stay = 'until-it-ends' | 'no-longer'

interface Waiting {
  readonly stay: Stay
  readonly start: () => void
}

interface Lane {
  readonly key: string
  /** Begun and not ended, since there were several keys. */
  underWay: number
  /** Begun in turn `turn`. */
  begun: number
  turn: number
  readonly waiting: Waiting[]
  seenAt: number
}

/** How long a key counts after its last work: long enough to bridge the pauses of a busy client. */
const memoryMs = 1_000

/**
 * Shares something scarce between the keys that want it, so that one with many works at once does not hold up one with
 * few. While only one key has been seen lately, everything passes at once and nothing is counted. With several, each may
 * have its part of the works under way and begin so many in each turn of the event loop; what is beyond waits, in order,
 * for its own key's others.
 *
 * It neither refuses nor forgets anything: what waits is bounded by those who ask. It remembers the keys of a second.
 */
export class FairShare {
  readonly #limit: number
  readonly #perTurn: number
  readonly #longestMs: number | undefined
  readonly #nextTurn: (callback: () => void) => void
  readonly #nowMs: () => number
  readonly #lanes = new Map<string, Lane>()
  /** Lanes with waiting works, the one whose turn it is first. */
  readonly #queue: Lane[] = []
  /** The only key of late. */
  #alone: string | undefined
  #turn = 0
  #isTurnComing = false
  #sweepAt = 0

  constructor(options: FairShareOptions) {
    this.#limit = options.limit
    this.#perTurn = options.perTurn
    this.#longestMs = options.longestMs
    this.#nextTurn = options.nextTurn ?? setImmediate
    this.#nowMs = options.nowMs ?? (() => performance.now())
  }

  /** Keys that are remembered. */
  get size(): number {
    return this.#lanes.size
  }

  /** Runs a work when it is its key's turn; it is under way until its promise settles. */
  run<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    return key === this.#alone ? work() : this.#runAmongOthers(key, work)
  }

  /** As `run`, for a work that goes at another's pace: once begun it counts as ended. */
  begin<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    return key === this.#alone ? work() : this.#beginAmongOthers(key, work)
  }

  async #runAmongOthers<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const lane = this.#laneOf(key)
    if (this.#alone !== undefined) return work()
    if (!this.#tryStart(lane, 'until-it-ends')) await this.#wait(lane, 'until-it-ends')
    const end = this.#endOnce(lane)
    try {
      return await work()
    } finally {
      end()
    }
  }

  async #beginAmongOthers<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const lane = this.#laneOf(key)
    if (this.#alone !== undefined) return work()
    if (!this.#tryStart(lane, 'no-longer')) await this.#wait(lane, 'no-longer')
    return work()
  }

  #laneOf(key: string): Lane {
    const now = this.#nowMs()
    if (now >= this.#sweepAt) this.#forgetIdle(now)
    let lane = this.#lanes.get(key)
    if (lane === undefined) {
      lane = { key, underWay: 0, begun: 0, turn: this.#turn, waiting: [], seenAt: now }
      this.#lanes.set(key, lane)
    }
    lane.seenAt = now
    this.#alone = this.#lanes.size === 1 ? key : undefined
    return lane
  }

  #forgetIdle(now: number): void {
    this.#sweepAt = now + memoryMs / 4
    for (const lane of this.#lanes.values()) {
      const isIdle = lane.underWay === 0 && lane.waiting.length === 0
      if (isIdle && now - lane.seenAt >= memoryMs) this.#lanes.delete(lane.key)
    }
  }

  #mayStart(lane: Lane, stay: Stay): 'yes' | 'next-turn' | 'when-others-end' {
    if (stay === 'until-it-ends' && lane.underWay >= Math.max(1, Math.floor(this.#limit / this.#lanes.size))) return 'when-others-end'
    if (lane.turn !== this.#turn) {
      lane.turn = this.#turn
      lane.begun = 0
    }
    return lane.begun < this.#perTurn ? 'yes' : 'next-turn'
  }

  #tryStart(lane: Lane, stay: Stay): boolean {
    if (lane.waiting.length > 0 || this.#mayStart(lane, stay) !== 'yes') return false
    this.#start(lane, stay)
    return true
  }

  #start(lane: Lane, stay: Stay): void {
    if (stay === 'until-it-ends') lane.underWay += 1
    lane.begun += 1
    this.#comeBack()
  }

  #wait(lane: Lane, stay: Stay): Promise<void> {
    return new Promise((start) => {
      lane.waiting.push({ stay, start })
      if (lane.waiting.length === 1) this.#queue.push(lane)
      this.#comeBack()
    })
  }

  /** What ends a work that has begun; it ends by itself where it takes long. */
  #endOnce(lane: Lane): () => void {
    if (this.#longestMs === undefined) return () => this.#end(lane)
    let timer: NodeJS.Timeout | undefined = setTimeout(() => {
      timer = undefined
      this.#end(lane)
    }, this.#longestMs)
    return () => {
      if (timer === undefined) return
      clearTimeout(timer)
      this.#end(lane)
    }
  }

  #end(lane: Lane): void {
    lane.underWay -= 1
    if (lane.waiting.length > 0) this.#comeBack()
  }

  #comeBack(): void {
    if (this.#isTurnComing) return
    this.#isTurnComing = true
    this.#nextTurn(() => {
      this.#isTurnComing = false
      this.#turn += 1
      this.#startWaiting()
    })
  }

  #startWaiting(): void {
    for (let lanes = this.#queue.length; lanes > 0; lanes -= 1) {
      const lane = this.#queue.shift()
      if (lane === undefined) return
      const answer = this.#startWaitingOf(lane)
      if (answer === 'none') continue
      this.#queue.push(lane)
      if (answer === 'next-turn') this.#comeBack()
    }
  }

  /** Begins what may begin, and says what the next one waits for. */
  #startWaitingOf(lane: Lane): 'none' | 'next-turn' | 'when-others-end' {
    for (;;) {
      const next = lane.waiting[0]
      if (next === undefined) return 'none'
      const answer = this.#mayStart(lane, next.stay)
      if (answer !== 'yes') return answer
      lane.waiting.shift()
      this.#start(lane, next.stay)
      next.start()
    }
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import { readHead } from '../../storage/metadata/observe/audit-store.ts'
import { claimCursor, moveCursor, readRecords, releaseCursor, type CursorRow } from '../../storage/metadata/observe/cursor-store.ts'
import type { ObserveStore } from '../../storage/metadata/observe/store.ts'
import type { Outlet, RecordRow } from './outlet.ts'

export interface FollowerDependencies {
  readonly store: ObserveStore
  /** Names this process. */
  readonly owner: string
  readonly now: () => number
  readonly onError: (error: unknown) => void
  /** Records that were removed for their age before they were handed over. */
  readonly onGap: (records: number) => void
  readonly settings?: Partial<FollowerSettings>
}

export interface FollowerSettings {
  /** How often the end of the trail is looked at. */
  readonly lookIntervalMs: number
  /** The first wait after a failure; it doubles up to the longest. */
  readonly firstWaitMs: number
  readonly longestWaitMs: number
  /** The longest that one turn may take. */
  readonly turnTimeoutMs: number
}

const usual: FollowerSettings = { lookIntervalMs: 1000, firstWaitMs: 1000, longestWaitMs: 5 * 60_000, turnTimeoutMs: 60_000 }

/** Longer than a turn: what a server that died had is taken over after it. */
const leaseMarginMs = 30_000
/** A turn that begins with less than this left of the lease might end after it. */
const marginMs = 5_000

/** What became of an outlet so far. */
export interface OutletProgress {
  sent: number
  failures: number
  /** Records behind the last one that was handed over. */
  waiting: number
  /** When the oldest of them came; undefined: none waits. */
  oldestAt: number | undefined
}

/**
 * Hands the trail to one outlet, by a cursor of its own: what was not taken is handed over again, after a wait that grows. Outlets
 * know nothing of each other, and whoever seals nothing of them. Of several servers one does it.
 */
export class Follower {
  readonly progress: OutletProgress = { sent: 0, failures: 0, waiting: 0, oldestAt: undefined }
  readonly #outlet: Outlet
  readonly #deps: FollowerDependencies
  readonly #settings: FollowerSettings
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined
  /** Since when records are gathered. */
  #gatheringSince: number | undefined
  #cursor: CursorRow | undefined
  #leasedUntil = 0

  constructor(outlet: Outlet, deps: FollowerDependencies) {
    this.#outlet = outlet
    this.#deps = deps
    this.#settings = { ...usual, ...deps.settings }
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Ends what is under way, which is handed over again by whoever comes next. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the server stops'))
    await this.#running
    const { store, owner } = this.#deps
    if (this.#cursor !== undefined) await store.transaction((tx) => releaseCursor(tx, { name: this.#outlet.name, owner })).catch(() => undefined)
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    const { lookIntervalMs, firstWaitMs, longestWaitMs } = this.#settings
    let failures = 0
    while (!signal.aborted) {
      let waitMs = lookIntervalMs
      try {
        if (await this.#turn(signal)) waitMs = 0
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        failures += 1
        this.progress.failures += 1
        this.#deps.onError(error)
        waitMs = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(failures - 1, 20))
      }
      // Others of this thread have their turn, too.
      await sleep(waitMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }

  /** True where there may be more to do at once. */
  async #turn(signal: AbortSignal): Promise<boolean> {
    const { store } = this.#deps
    const { begins, isFixed } = this.#outlet
    const head = await readHead(store.reader)
    // Nothing is written while there is nothing to hand over.
    if (this.#cursor?.seq === head.seq && this.#cursor.untilSeq <= head.seq) return this.#isIdle()
    const cursor = await this.#hold(begins === 'oldest' ? 0 : head.seq)
    if (cursor === undefined) return false
    const place = this.#placeIn(cursor, head)
    const { seq } = place
    const planned = isFixed && place.untilSeq > seq ? place.untilSeq : undefined
    if (seq === head.seq) {
      if (place !== cursor) await this.#move(place)
      return this.#isIdle()
    }
    this.progress.waiting = head.seq - seq
    if (planned === undefined && !this.#isDue(head.seq - seq)) {
      this.progress.oldestAt ??= (await readRecords(store.reader, { after: seq, until: head.seq, limit: 1 }))[0]?.at
      return false
    }
    const rows = await this.#read(seq, planned ?? head.seq, planned !== undefined)
    const last = rows.at(-1)
    // Removed for their age meanwhile.
    if (last === undefined) return false
    this.progress.oldestAt = rows[0]?.at
    if (isFixed && planned === undefined && !(await this.#move({ seq, untilSeq: last.seq }))) return false
    await this.#outlet.send(rows, AbortSignal.any([signal, AbortSignal.timeout(this.#settings.turnTimeoutMs)]))
    this.#gatheringSince = undefined
    this.progress.sent += rows.length
    this.progress.waiting = head.seq - last.seq
    this.progress.oldestAt = undefined
    // What another server took over meanwhile is handed over twice.
    return (await this.#move({ seq: last.seq, untilSeq: last.seq })) && last.seq < head.seq
  }

  #isIdle(): false {
    this.#gatheringSince = undefined
    this.progress.waiting = 0
    this.progress.oldestAt = undefined
    return false
  }

  /** The cursor, whose lease holds for a turn. Undefined: another server has it. */
  async #hold(begin: number): Promise<CursorRow | undefined> {
    const { store, owner, now } = this.#deps
    const { turnTimeoutMs } = this.#settings
    if (this.#cursor !== undefined && this.#leasedUntil - now() > turnTimeoutMs + marginMs) return this.#cursor
    const until = now() + turnTimeoutMs + leaseMarginMs
    this.#cursor = await store.transaction((tx) => claimCursor(tx, { name: this.#outlet.name, begin, owner, now: now(), until }))
    this.#leasedUntil = until
    return this.#cursor
  }

  async #move(cursor: CursorRow): Promise<boolean> {
    const { store, owner } = this.#deps
    const isMoved = await store.transaction((tx) => moveCursor(tx, { name: this.#outlet.name, owner, ...cursor }))
    this.#cursor = isMoved ? cursor : undefined
    return isMoved
  }

  /** Where the cursor is in the trail as it is now. */
  #placeIn(cursor: CursorRow, head: { readonly seq: number; readonly cutSeq: number }): CursorRow {
    // The trail was begun anew.
    const { seq, untilSeq } = cursor.seq > head.seq ? { seq: 0, untilSeq: 0 } : cursor
    if (seq < head.cutSeq) {
      this.#deps.onGap(head.cutSeq - seq)
      return { seq: head.cutSeq, untilSeq: Math.max(head.cutSeq, untilSeq) }
    }
    return seq === cursor.seq ? cursor : { seq, untilSeq }
  }

  /** All of what was planned; else as much as one turn takes. */
  async #read(after: number, until: number, isPlanned: boolean): Promise<RecordRow[]> {
    const { maxRecords, maxBytes } = this.#outlet
    const rows = await readRecords(this.#deps.store.reader, { after, until, limit: maxRecords })
    if (isPlanned) return rows
    let bytes = 0
    const end = rows.findIndex(({ body }, n) => {
      bytes += body.length
      return n > 0 && bytes > maxBytes
    })
    return end === -1 ? rows : rows.slice(0, end)
  }

  /** Whether there is enough for a turn, or what there is has waited long enough. */
  #isDue(waiting: number): boolean {
    const { gatherMs, maxRecords } = this.#outlet
    this.#gatheringSince ??= performance.now()
    return waiting >= maxRecords || performance.now() - this.#gatheringSince >= gatherMs
  }
}

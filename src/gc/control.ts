import { setTimeout as sleep } from 'node:timers/promises'
import { commandContext, type RequestContext } from '../registry/index.ts'
import { registryHolds, type RegistryHold } from '../registry/protection/index.ts'
import type { BlobStore } from '../storage/blobs/index.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { installationHolds } from '../storage/metadata/stores/hold-store.ts'
import { countReviews, type ReviewCounts } from '../storage/metadata/stores/review-counts.ts'
import type { ReviewKind } from '../storage/metadata/stores/review-queue.ts'
import type { Digest } from '../values/index.ts'
import type { Collector } from './collector.ts'
import { pauseCollection, resumeCollection } from './commands/pause.ts'
import { setCollectionRate } from './commands/rate.ts'
import { explainBlobs, type BlobExplanation } from './explain-blob.ts'
import { findPause, type CollectionPause } from './pause.ts'
import { findRate, type CollectionRate } from './rate.ts'
import { ReclaimedHistory, type ReclaimedSpace } from './reclaimed-history.ts'
import { simulateCollection, type Simulation } from './simulate.ts'

/** In the order in which one leads to the other. */
export const collectedKinds = ['repository', 'manifest', 'repository-blob', 'blob', 'location'] as const satisfies readonly ReviewKind[]

/** Counts of a longer queue say that there are at least so many. */
export const countLimit = 100_000
/** Collection works off what is due within minutes: what waits for this long is a sign of something. */
const overdueAfterMs = 60 * 60 * 1000
/** Of the numbers that metrics show: however often they are scraped, the database is asked this often. */
const freshForMs = 60_000

export interface QueueStatus extends ReviewCounts {
  readonly kind: (typeof collectedKinds)[number]
}

export interface CollectionStatus {
  /**
   * - `running`, `idle`: it does what is due.
   * - `on-hold`: what belongs to the whole installation, blobs and their bytes, waits until `holds` are released.
   * - `paused`: nothing is collected.
   * - `off`: this server collects only when it is asked to.
   */
  readonly state: 'running' | 'idle' | 'on-hold' | 'paused' | 'off'
  readonly pause: CollectionPause | undefined
  /** What somebody has set; undefined: each server finds its own. */
  readonly rate: CollectionRate | undefined
  readonly holds: readonly RegistryHold[]
  readonly queues: readonly QueueStatus[]
  /** By this server. */
  readonly reclaimed: { readonly startedAt: number; readonly sinceStart: ReclaimedSpace; readonly lastHour: ReclaimedSpace; readonly lastDay: ReclaimedSpace }
  readonly secondsSpent: number
  readonly failures: number
  readonly intervalMs: number
}

export interface CollectionControlDependencies {
  readonly database: MetadataDatabase
  readonly collector: Collector
  readonly blobStore: Pick<BlobStore, 'isHeld'>
  readonly clock: { now(): number }
  readonly systemContext: () => CommandContext
  /** 0: only when asked to. */
  readonly intervalMs: number
}

/** What metrics show of the queue. */
export interface QueueGauges {
  readonly readAt: number
  readonly queues: readonly QueueStatus[]
  readonly isPaused: boolean
}

/** For people who look at collection, and steer it. It is the installation's, not an account's. */
export class CollectionControl {
  readonly #deps: CollectionControlDependencies
  readonly #history: ReclaimedHistory
  #gauges: { readonly at: number; readonly value: Promise<QueueGauges> } | undefined

  constructor(deps: CollectionControlDependencies) {
    this.#deps = deps
    this.#history = new ReclaimedHistory(deps.collector.counters, deps.clock.now())
  }

  /** To be called now and then, so that it is known what an hour and a day brought. */
  note(): void {
    this.#history.note(this.#deps.clock.now())
  }

  async status(): Promise<CollectionStatus> {
    const { database, collector, clock, systemContext, intervalMs } = this.#deps
    const { reader } = database
    const now = clock.now()
    this.#history.note(now)
    const pause = await findPause(reader, now)
    const holds = await installationHolds(reader, systemContext().registryId)
    const { counters, isRunning } = collector
    return {
      state: pause !== undefined ? 'paused' : holds.length > 0 ? 'on-hold' : isRunning ? 'running' : intervalMs === 0 ? 'off' : 'idle',
      pause,
      rate: await findRate(reader),
      holds: (await registryHolds(reader, systemContext().registryId)).filter(({ id }) => holds.includes(id)),
      queues: await this.#queues(now),
      reclaimed: {
        startedAt: this.#history.startedAt,
        sinceStart: this.#history.sinceStart,
        lastHour: this.#history.lastHour(now),
        lastDay: this.#history.lastDay(now),
      },
      secondsSpent: counters.seconds,
      failures: counters.failures,
      intervalMs,
    }
  }

  /** For metrics: of a minute ago at most, and asked of the database no more often. */
  gauges(): Promise<QueueGauges> {
    const now = this.#deps.clock.now()
    if (this.#gauges === undefined || Math.abs(now - this.#gauges.at) >= freshForMs) {
      const value = this.#readGauges(now)
      this.#gauges = { at: now, value }
      value.catch(() => {
        this.#gauges = undefined
      })
    }
    return this.#gauges.value
  }

  async #readGauges(now: number): Promise<QueueGauges> {
    return { readAt: now, queues: await this.#queues(now), isPaused: (await findPause(this.#deps.database.reader, now)) !== undefined }
  }

  /**
   * Does what is due now, or joins in where that is under way, for `waitMs` at most; it goes on afterwards. Nothing while
   * collection is paused.
   */
  async run(waitMs: number, signal: AbortSignal): Promise<{ readonly isDone: boolean; readonly status: CollectionStatus }> {
    const waited = new AbortController()
    const timer = sleep(waitMs, false, { signal: AbortSignal.any([signal, waited.signal]) }).catch(() => false)
    const isDone = await Promise.race([this.#deps.collector.collect().then(() => true), timer])
    waited.abort()
    return { isDone, status: await this.status() }
  }

  /** Of all servers of the installation, within a batch of each. */
  async pause(context: RequestContext, input: { readonly reason: string; readonly endsAt: number | undefined }): Promise<CollectionPause> {
    const pause = await this.#deps.database.execute(pauseCollection, input, commandContext(context))
    this.#gauges = undefined
    return pause
  }

  /** Answers the pause that it ends; undefined where there was none. */
  async resume(context: RequestContext): Promise<CollectionPause | undefined> {
    const ended = await this.#deps.database.execute(resumeCollection, {}, commandContext(context))
    this.#gauges = undefined
    return ended
  }

  /** Of all servers of the installation, from the next batch of each. Without `reviewsPerSecond` each finds its own rate again. */
  setRate(context: RequestContext, reviewsPerSecond: number | undefined): Promise<CollectionRate | undefined> {
    return this.#deps.database.execute(setCollectionRate, { reviewsPerSecond }, commandContext(context))
  }

  /** Why the bytes of a digest are there: one for each domain that has such a blob. */
  explain(digest: Digest): Promise<BlobExplanation[]> {
    const { database, blobStore, clock, systemContext } = this.#deps
    return explainBlobs({ reader: database.reader, blobStore, now: clock.now(), homeRegistryId: systemContext().registryId }, digest)
  }

  /** What would be given back by then. */
  simulate(afterMs: number): Promise<Simulation> {
    const { database, clock, systemContext } = this.#deps
    const now = clock.now()
    return simulateCollection(database.reader, { now, until: now + afterMs, homeRegistryId: systemContext().registryId })
  }

  async #queues(now: number): Promise<QueueStatus[]> {
    const queues: QueueStatus[] = []
    for (const kind of collectedKinds) {
      queues.push({ kind, ...(await countReviews(this.#deps.database.reader, { kind, now, overdueBefore: now - overdueAfterMs, limit: countLimit })) })
    }
    return queues
  }
}

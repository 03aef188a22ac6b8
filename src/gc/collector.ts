import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { RecurringWork } from '../internal/recurring-work.ts'
import type { BlobStore } from '../storage/blobs/index.ts'
import type { Command, CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { isInstallationHeld } from '../storage/metadata/stores/hold-store.ts'
import { findLocations } from '../storage/metadata/stores/purge-store.ts'
import { isAnyDue, type ClaimedReview } from '../storage/metadata/stores/review-claims.ts'
import type { ReviewKind } from '../storage/metadata/stores/review-queue.ts'
import {
  claimReviewBatch,
  forgetLocations,
  postponeReview,
  reviewBlobs,
  reviewManifests,
  reviewRepository,
  reviewSights,
} from './commands/reviews.ts'

/** Longer than a batch takes; what a process that died had taken is free again after it. */
const leaseMs = 10 * 60_000
/** Reviews taken at a time: enough that a flush is shared by many, few enough that a push waits for milliseconds only. */
const batchSize = 200
/** While anybody is served, collection takes a tenth of the time: what they wait for longer is then too rare to be seen in their 99th percentile. */
const restsPerWork = 9
const longestRestMs = 2000
/** Repositories looked at side by side: their commands share flushes. */
const sideBySide = 8
/** A backup reads: the bytes go when it is done. */
const heldByBackupMs = 10 * 60_000
/** The first wait after a failure; it doubles up to a day. */
const retryMs = 5 * 60_000
const longestRetryMs = 24 * 60 * 60 * 1000

/** What was collected since the start. */
export interface CollectionCounters {
  manifests: number
  blobs: number
  bytes: number
  failures: number
  /** Spent on collecting. */
  seconds: number
}

export interface CollectorDependencies {
  readonly database: MetadataDatabase
  readonly blobStore: BlobStore
  readonly systemContext: () => CommandContext
  readonly clock: { now(): number }
  readonly logger: Pick<Logger, 'info' | 'error'>
  /** Looks whether the clock was set, and puts everything on hold if so, before anything is removed by it. Never rejects. */
  readonly lookAtClocks?: () => Promise<void>
  /** Asked before each batch: false while somebody has paused collection. */
  readonly mayGoOn?: () => Promise<boolean>
  /** Asked before each batch: how many reviews somebody wants done in a second; undefined: as many as clients do not notice. */
  readonly reviewsPerSecond?: () => Promise<number | undefined>
  /** Counts the requests of clients, so that these go before. */
  readonly requestsServed?: () => number
  /** Names this process. */
  readonly owner: string
}

/**
 * Garbage collection by suspicion: whatever may have become garbage has a review, which this does when its time has come. Its
 * cost follows what changed, never what there is, and it holds nobody up: each decision is one short command under the locks
 * that pushes take. Of several servers with one database each takes reviews of its own.
 */
export class Collector {
  readonly counters: CollectionCounters = { manifests: 0, blobs: 0, bytes: 0, failures: 0, seconds: 0 }
  readonly #deps: CollectorDependencies
  readonly #work: RecurringWork
  #isRunning = false
  #signal: AbortSignal | undefined

  constructor(deps: CollectorDependencies) {
    this.#deps = deps
    this.#work = new RecurringWork(
      (signal) => this.#timed(signal),
      (error) => {
        deps.logger.error({ err: error }, 'garbage could not be looked for')
      },
    )
  }

  start(intervalMs: number): void {
    this.#work.start(intervalMs)
  }

  /** Does every review that is due. Never rejects: what fails is logged, and tried again later. */
  collect(): Promise<void> {
    return this.#work.run()
  }

  /** Whether it is at work now. */
  get isRunning(): boolean {
    return this.#isRunning
  }

  stop(): Promise<void> {
    return this.#work.stop()
  }

  async #timed(signal: AbortSignal): Promise<void> {
    const startedAtMs = performance.now()
    this.#signal = signal
    this.#isRunning = true
    try {
      await this.#collect()
    } finally {
      this.#isRunning = false
      this.counters.seconds += (performance.now() - startedAtMs) / 1000
    }
  }

  async #isToStop(): Promise<boolean> {
    return this.#work.isStopped || (await this.#deps.mayGoOn?.()) === false
  }

  async #collect(): Promise<void> {
    const before = { ...this.counters }
    await this.#deps.lookAtClocks?.()
    // In the order in which one leads to the other.
    await this.#batches('repository', (reviews) => this.#sideBySide(reviews, (review) => this.#attempt([review], () => this.#repository(review))))
    await this.#batches('manifest', (reviews) => this.#byRepository(reviews, (repositoryId, ofOne) => this.#manifests(repositoryId, ofOne)))
    await this.#batches('repository-blob', (reviews) =>
      this.#byRepository(reviews, (repositoryId, ofOne) => this.#execute(reviewSights, { repositoryId, owner: this.#deps.owner, reviews: ofOne })),
    )
    // What no registry sees or names is the installation's. By a clock that nobody trusts yet, or beside a database that was
    // brought back, it is not too old; other registries' holds keep what these see and name.
    if (await isInstallationHeld(this.#deps.database.reader, this.#deps.systemContext().registryId)) return
    await this.#batches('blob', (reviews) =>
      this.#sideBySide(partsOf(reviews), (part) => this.#attempt(part, () => this.#execute(reviewBlobs, { owner: this.#deps.owner, reviews: part }))),
    )
    await this.#batches('location', (reviews) => this.#sideBySide(partsOf(reviews), (part) => this.#attempt(part, () => this.#locations(part))))
    const { manifests, blobs, bytes } = this.counters
    if (manifests > before.manifests || blobs > before.blobs) {
      const collected = { manifests: manifests - before.manifests, blobs: blobs - before.blobs, bytes: bytes - before.bytes }
      this.#deps.logger.info(collected, 'collected garbage')
    }
  }

  #execute<Input, Result>(command: Command<Input, Result>, input: Input): Promise<Result> {
    return this.#deps.database.execute(command, input, this.#deps.systemContext())
  }

  /** Batch after batch until none is due any more. Where none is, nothing is written. */
  async #batches(kind: ReviewKind, work: (reviews: readonly ClaimedReview[]) => Promise<void>): Promise<void> {
    const { database, owner, clock, requestsServed } = this.#deps
    while (!(await this.#isToStop()) && (await isAnyDue(database.reader, kind, clock.now()))) {
      const begunAtMs = performance.now()
      const servedBefore = requestsServed?.()
      const rate = await this.#deps.reviewsPerSecond?.()
      // A second's worth at the most, so that it goes evenly.
      const limit = Math.min(batchSize, rate ?? batchSize)
      const reviews = await this.#execute(claimReviewBatch, { kind, owner, until: clock.now() + leaseMs, limit })
      if (reviews.length === 0) return
      await work(reviews)
      const workedMs = performance.now() - begunAtMs
      if (rate !== undefined) await this.#rest((reviews.length * 1000) / rate - workedMs)
      // Lets clients have the disk and the processors for themselves most of the time.
      else if (requestsServed?.() !== servedBefore) await this.#rest(Math.min(workedMs * restsPerWork, longestRestMs))
    }
  }

  async #rest(ms: number): Promise<void> {
    if (ms > 0) await sleep(ms, undefined, { signal: this.#signal }).catch(() => undefined)
  }

  #byRepository(reviews: readonly ClaimedReview[], work: (repositoryId: number, reviews: readonly ClaimedReview[]) => Promise<unknown>): Promise<void> {
    const parts = [...Map.groupBy(reviews, (review) => review.repositoryId)].flatMap(([repositoryId, ofOne]) => partsOf(ofOne).map((part) => ({ repositoryId, part })))
    return this.#sideBySide(parts, ({ repositoryId, part }) => this.#attempt(part, () => work(repositoryId, part)))
  }

  /** What is not begun when the process is to end is left to whoever finds its lease run out. */
  async #sideBySide<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
    const waiting = items.values()
    const workOff = async (): Promise<void> => {
      for (const item of waiting) {
        if (this.#work.isStopped) return
        await work(item)
      }
    }
    await Promise.all(Array.from({ length: sideBySide }, workOff))
  }

  /** A failure puts the reviews off, and stops nothing else. */
  async #attempt(reviews: readonly ClaimedReview[], work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      await this.#failed(reviews, error)
    }
  }

  async #failed(reviews: readonly ClaimedReview[], error: unknown): Promise<void> {
    this.counters.failures += 1
    this.#deps.logger.error({ err: error }, 'garbage could not be collected, and is tried again later')
    for (const { id, attemptCount } of reviews) {
      const waitMs = Math.min(retryMs * 2 ** attemptCount, longestRetryMs)
      await this.#putOff(id, this.#deps.clock.now() + waitMs, attemptCount + 1)
    }
  }

  #putOff(id: number, dueAt: number, attempts: number): Promise<void> {
    return this.#execute(postponeReview, { id, owner: this.#deps.owner, dueAt, attempts })
  }

  async #manifests(repositoryId: number, reviews: readonly ClaimedReview[]): Promise<void> {
    const { manifests } = await this.#execute(reviewManifests, { repositoryId, owner: this.#deps.owner, reviews })
    this.counters.manifests += manifests
  }

  async #repository(review: ClaimedReview): Promise<void> {
    for (let isOver = false; !isOver && !(await this.#isToStop()); ) {
      const part = await this.#execute(reviewRepository, { owner: this.#deps.owner, review })
      this.counters.manifests += part.manifests
      isOver = part.isOver
    }
  }

  async #locations(reviews: readonly ClaimedReview[]): Promise<void> {
    const { database, blobStore, clock } = this.#deps
    const known = new Map((await findLocations(database.reader, reviews.map(({ subjectId }) => subjectId))).map((location) => [location.id, location]))
    const going = [...known.values()].filter(({ state }) => state === 'deleting')
    const outcomes = await blobStore.delete(going.map(({ key }) => key), clock.now())
    const gone: ClaimedReview[] = []
    for (const review of reviews) {
      const location = known.get(review.subjectId)
      const outcome = location === undefined ? 'deleted' : outcomes.get(location.key)
      // Whatever is not going stays.
      if (outcome === undefined) await this.#putOff(review.id, clock.now() + longestRetryMs, review.attemptCount)
      else if (outcome === 'held') await this.#putOff(review.id, clock.now() + heldByBackupMs, review.attemptCount)
      else if (outcome === 'deleted') gone.push(review)
      else await this.#failed([review], outcome.failed)
    }
    if (gone.length === 0) return
    const places = gone.flatMap(({ subjectId }) => known.get(subjectId) ?? [])
    await this.#execute(forgetLocations, { reviews: gone, blobIds: places.map(({ blobId }) => blobId) })
    this.counters.blobs += places.length
    for (const { sizeBytes } of places) this.counters.bytes += sizeBytes
  }
}

/** What is done by one command each: all together, but each of those alone that failed before, so that it holds up no other. */
function partsOf(reviews: readonly ClaimedReview[]): (readonly ClaimedReview[])[] {
  const fresh = reviews.filter(({ attemptCount }) => attemptCount === 0)
  const failed = reviews.filter(({ attemptCount }) => attemptCount > 0).map((review) => [review])
  return fresh.length === 0 ? failed : [fresh, ...failed]
}

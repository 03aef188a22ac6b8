import type { Logger } from 'pino'
import { RecurringWork } from '../internal/recurring-work.ts'
import type { BlobStore } from '../storage/blobs/index.ts'
import type { Command, CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { isInstallationHeld } from '../storage/metadata/stores/hold-store.ts'
import { findLocation } from '../storage/metadata/stores/purge-store.ts'
import type { ClaimedReview } from '../storage/metadata/stores/review-claims.ts'
import type { ReviewKind } from '../storage/metadata/stores/review-queue.ts'
import {
  claimReviewBatch,
  forgetLocation,
  postponeReview,
  reviewBlob,
  reviewManifests,
  reviewRepository,
  reviewSight,
} from './commands/reviews.ts'

/** Longer than a batch takes; what a process that died had taken is free again after it. */
const leaseMs = 10 * 60_000
/** Reviews taken at a time. */
const batchSize = 100
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
}

export interface CollectorDependencies {
  readonly database: MetadataDatabase
  readonly blobStore: BlobStore
  readonly systemContext: () => CommandContext
  readonly clock: { now(): number }
  readonly logger: Pick<Logger, 'info' | 'error'>
  /** Looks whether the clock was set, and puts everything on hold if so, before anything is removed by it. Never rejects. */
  readonly lookAtClocks?: () => Promise<void>
  /** Names this process. */
  readonly owner: string
}

/**
 * Garbage collection by suspicion: whatever may have become garbage has a review, which this does when its time has come. Its
 * cost follows what changed, never what there is, and it holds nobody up: each decision is one short command under the locks
 * that pushes take. Of several servers with one database each takes reviews of its own.
 */
export class Collector {
  readonly counters: CollectionCounters = { manifests: 0, blobs: 0, bytes: 0, failures: 0 }
  readonly #deps: CollectorDependencies
  readonly #work: RecurringWork

  constructor(deps: CollectorDependencies) {
    this.#deps = deps
    this.#work = new RecurringWork(
      () => this.#collect(),
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

  stop(): Promise<void> {
    return this.#work.stop()
  }

  async #collect(): Promise<void> {
    const before = { ...this.counters }
    await this.#deps.lookAtClocks?.()
    // In the order in which one leads to the other.
    await this.#each('repository', (review) => this.#repository(review))
    await this.#batches('manifest', (reviews) => this.#manifests(reviews))
    await this.#each('repository-blob', (review) => this.#execute(reviewSight, { owner: this.#deps.owner, review }))
    // What no registry sees or names is the installation's. By a clock that nobody trusts yet, or beside a database that was
    // brought back, it is not too old; other registries' holds keep what these see and name.
    if (await isInstallationHeld(this.#deps.database.reader, this.#deps.systemContext().registryId)) return
    await this.#each('blob', (review) => this.#execute(reviewBlob, { owner: this.#deps.owner, review }))
    await this.#each('location', (review) => this.#location(review))
    const { manifests, blobs, bytes } = this.counters
    if (manifests > before.manifests || blobs > before.blobs) {
      const collected = { manifests: manifests - before.manifests, blobs: blobs - before.blobs, bytes: bytes - before.bytes }
      this.#deps.logger.info(collected, 'collected garbage')
    }
  }

  #execute<Input, Result>(command: Command<Input, Result>, input: Input): Promise<Result> {
    return this.#deps.database.execute(command, input, this.#deps.systemContext())
  }

  /** Batch after batch until none is due any more. */
  async #batches(kind: ReviewKind, work: (reviews: readonly ClaimedReview[]) => Promise<void>): Promise<void> {
    const { owner, clock } = this.#deps
    while (!this.#work.isStopped) {
      const reviews = await this.#execute(claimReviewBatch, { kind, owner, until: clock.now() + leaseMs, limit: batchSize })
      if (reviews.length === 0) return
      await work(reviews)
    }
  }

  #each(kind: ReviewKind, work: (review: ClaimedReview) => Promise<unknown>): Promise<void> {
    return this.#batches(kind, async (reviews) => {
      for (const review of reviews) {
        if (this.#work.isStopped) return
        await this.#attempt([review], () => work(review))
      }
    })
  }

  /** A failure puts the reviews off, and stops nothing else. */
  async #attempt(reviews: readonly ClaimedReview[], work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.counters.failures += 1
      this.#deps.logger.error({ err: error }, 'garbage could not be collected, and is tried again later')
      for (const { id, attemptCount } of reviews) {
        const waitMs = Math.min(retryMs * 2 ** attemptCount, longestRetryMs)
        await this.#putOff(id, this.#deps.clock.now() + waitMs, attemptCount + 1)
      }
    }
  }

  #putOff(id: number, dueAt: number, attempts: number): Promise<void> {
    return this.#execute(postponeReview, { id, owner: this.#deps.owner, dueAt, attempts })
  }

  async #manifests(reviews: readonly ClaimedReview[]): Promise<void> {
    for (const [repositoryId, ofOne] of Map.groupBy(reviews, (review) => review.repositoryId)) {
      await this.#attempt(ofOne, async () => {
        const { manifests } = await this.#execute(reviewManifests, { repositoryId, owner: this.#deps.owner, reviews: ofOne })
        this.counters.manifests += manifests
      })
    }
  }

  async #repository(review: ClaimedReview): Promise<void> {
    for (let isOver = false; !isOver && !this.#work.isStopped; ) {
      const part = await this.#execute(reviewRepository, { owner: this.#deps.owner, review })
      this.counters.manifests += part.manifests
      isOver = part.isOver
    }
  }

  async #location(review: ClaimedReview): Promise<void> {
    const { database, blobStore, clock } = this.#deps
    const location = await findLocation(database.reader, review.subjectId)
    if (location?.state === 'deleting') {
      const outcome = await blobStore.delete(location.key, clock.now())
      if (outcome === 'held') return this.#putOff(review.id, clock.now() + heldByBackupMs, review.attemptCount)
      this.counters.blobs += 1
      this.counters.bytes += location.sizeBytes
    }
    // Whatever is not going stays.
    if (location !== undefined && location.state !== 'deleting') return this.#putOff(review.id, clock.now() + longestRetryMs, review.attemptCount)
    await this.#execute(forgetLocation, { reviewId: review.id, locationId: review.subjectId, blobId: location?.blobId ?? 0 })
  }
}

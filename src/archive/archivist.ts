import type { Logger } from 'pino'
import type { IdSource } from '../internal/ids.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import { RecurringWork } from '../internal/recurring-work.ts'
import { finishActivation } from '../registry/commands/storage-class.ts'
import type { DamageWatch } from '../registry/damage.ts'
import { archiveStoreName, type TieredBlobStore } from '../storage/blobs/index.ts'
import type { Command, CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { archiveContents, findPlacedBlob, type ArchiveContents } from '../storage/metadata/stores/archive-store.ts'
import { findRegistryOf, findRepositoryRowById } from '../storage/metadata/stores/repository-store.ts'
import { isAnyDue, type ClaimedReview } from '../storage/metadata/stores/review-claims.ts'
import { beginMove, claimArchiveWork, endArchiveWork, endMove, moveOf, postponeArchiveWork, settlePlacement, switchPlace, type WantedMove } from './commands/placements.ts'
import { copyBlob } from './copy-blob.ts'

/** Longer than the largest layers take. What a process that died had taken is free again after it; two at once do no harm. */
const leaseMs = 30 * 60_000
/** Blobs taken at a time: another server takes others meanwhile. */
const batchSize = 4
/** The first wait after a failure; it doubles up to an hour. Somebody may wait for the image. */
const retryMs = 10_000
const longestRetryMs = 60 * 60_000
/** How often one that finds its blob changed looks anew before it leaves it for later. */
const maxLooks = 3
/** What is in the archive is counted this often at most: it costs a look at all of it. */
const countIntervalMs = 5 * 60_000

/** What was moved since the start. */
export interface ArchiveCounters {
  archivedBlobs: number
  archivedBytes: number
  restoredBlobs: number
  restoredBytes: number
  failures: number
}

export interface ArchivistDependencies {
  readonly database: MetadataDatabase
  readonly blobStore: TieredBlobStore
  /** Reads what is to be moved, and sets aside what is damaged. */
  readonly damageWatch: DamageWatch
  readonly ids: IdSource
  readonly clock: { now(): number }
  readonly logger: Pick<Logger, 'info' | 'error'>
  readonly systemContext: () => CommandContext
  /** Names this process. */
  readonly owner: string
}

/**
 * Moves the bytes of blobs to where they belong, and ends the restoring of images whose bytes are back. One blob at a time in each
 * process; of several servers with one database each takes others. Killed at any moment it has lost nothing: see
 * docs/decisions/0011-archive-store.md.
 */
export class Archivist {
  readonly counters: ArchiveCounters = { archivedBlobs: 0, archivedBytes: 0, restoredBlobs: 0, restoredBytes: 0, failures: 0 }
  readonly #deps: ArchivistDependencies
  readonly #work: RecurringWork
  #contents: { readonly atMs: number; readonly counted: ArchiveContents } | undefined

  constructor(deps: ArchivistDependencies) {
    this.#deps = deps
    this.#work = new RecurringWork(
      (signal) => this.#run(signal),
      (error) => {
        deps.logger.error({ err: error }, 'what belongs into the archive, or out of it, could not be looked for')
      },
    )
  }

  start(intervalMs: number): void {
    this.#work.start(intervalMs)
  }

  /** Does everything that waits, also what is added meanwhile. Never rejects: what fails is logged, and tried again later. */
  work(): Promise<void> {
    return this.#work.runAfresh()
  }

  stop(): Promise<void> {
    return this.#work.stop()
  }

  /** What is in the archive; as of some minutes ago. */
  async contents(): Promise<ArchiveContents> {
    const nowMs = this.#deps.clock.now()
    const known = this.#contents
    if (known !== undefined && nowMs >= known.atMs && nowMs - known.atMs < countIntervalMs) return known.counted
    const counted = await archiveContents(this.#deps.database.reader, archiveStoreName)
    this.#contents = { atMs: nowMs, counted }
    return counted
  }

  #execute<Input, Result>(command: Command<Input, Result>, input: Input): Promise<Result> {
    return this.#deps.database.execute(command, input, this.#deps.systemContext())
  }

  async #run(signal: AbortSignal): Promise<void> {
    // First those that somebody waits for.
    await this.#each('activation', signal, (review) => this.#activate(review, signal))
    await this.#each('placement', signal, (review) => this.#place(review, signal))
  }

  async #each(kind: 'placement' | 'activation', signal: AbortSignal, work: (review: ClaimedReview) => Promise<void>): Promise<void> {
    const { database, owner, clock, logger } = this.#deps
    // Asked of a reader first: a server with nothing to move writes nothing.
    while (!signal.aborted && (await isAnyDue(database.reader, kind, clock.now()))) {
      const reviews = await this.#execute(claimArchiveWork, { kind, owner, until: clock.now() + leaseMs, limit: batchSize })
      if (reviews.length === 0) return
      for (const review of reviews) {
        try {
          signal.throwIfAborted()
          await work(review)
        } catch (error) {
          const isStopped = signal.aborted
          if (!isStopped) {
            this.counters.failures += 1
            logger.error({ err: error, kind }, 'a blob could not be moved to or from the archive, and is tried again later')
          }
          const waitMs = isStopped ? 0 : Math.min(retryMs * 2 ** review.attemptCount, longestRetryMs)
          const attempts = review.attemptCount + (isStopped ? 0 : 1)
          await this.#execute(postponeArchiveWork, { id: review.id, owner, dueAt: clock.now() + waitMs, attempts })
        }
      }
      if (kind === 'placement') await this.#each('activation', signal, (review) => this.#activate(review, signal))
    }
  }

  async #place(review: ClaimedReview, signal: AbortSignal): Promise<void> {
    const { owner } = this.#deps
    for (let look = 0; look < maxLooks; look += 1) {
      const wanted = await this.#execute(settlePlacement, { owner, review, archiveStore: archiveStoreName })
      if (wanted === undefined) return
      await this.#move(review.subjectId, wanted, signal)
    }
    if ((await this.#execute(settlePlacement, { owner, review, archiveStore: archiveStoreName })) !== undefined) {
      throw new Error('where a blob belongs changes again and again')
    }
  }

  /** Brings the blobs of an image back that is being restored; with the last of them it is active. */
  async #activate(review: ClaimedReview, signal: AbortSignal): Promise<void> {
    const { database, owner, systemContext } = this.#deps
    const repository = await findRepositoryRowById(database.reader, review.repositoryId)
    const registry = repository && (await findRegistryOf(database.reader, repository.registry_id))
    if (registry !== undefined) {
      const input = { repositoryId: review.repositoryId, manifestId: review.subjectId, archiveStore: archiveStoreName }
      const finish = () =>
        database.execute(finishActivation, input, { ...systemContext(), registryId: registry.id, accountId: registry.accountId, region: registry.region })
      let rest = await finish()
      for (let look = 0; rest.blobIds.length > 0; rest = await finish()) {
        look += 1
        if (look > maxLooks) throw new Error('the blobs of an image that is being restored do not stay where they are needed')
        for (const blobId of rest.blobIds) {
          signal.throwIfAborted()
          const from = await findPlacedBlob(database.reader, blobId)
          const to = from && moveOf(from, archiveStoreName)
          if (from !== undefined && to === 'active') await this.#move(blobId, { from, to }, signal)
        }
      }
    }
    await this.#execute(endArchiveWork, { id: review.id, owner })
  }

  /** What was erased or collected since it was looked at is not missed: whoever asked for the move looks again. */
  async #move(blobId: number, wanted: WantedMove, signal: AbortSignal): Promise<void> {
    try {
      await this.#copyAndSwitch(blobId, wanted, signal)
    } catch (error) {
      if (!isPlatformError(error, 'blob-missing')) throw error
      const now = await findPlacedBlob(this.#deps.database.reader, blobId)
      if (now?.locationId === wanted.from.locationId) throw error
    }
  }

  async #copyAndSwitch(blobId: number, { from, to }: WantedMove, signal: AbortSignal): Promise<void> {
    const { blobStore, damageWatch, ids } = this.#deps
    const store = to === 'archive' ? blobStore.archive : blobStore.active
    const uploadId = ids.uuid()
    const { locationId, key } = from
    const content = await damageWatch.open(from.digest, from)
    let isMoved: boolean
    try {
      if (!(await this.#execute(beginMove, { blobId, key, uploadId }))) return
      const copied = await copyBlob({ content, digest: from.digest, domain: from.domain, to: store, uploadId, mayCompress: to === 'archive', signal })
      if ('failure' in copied) {
        await this.#execute(endMove, { uploadId })
        throw copied.failure
      }
      const { key: ownKey, generation, encoding, storedSizeBytes } = copied
      const place = { store: store.name, key: to === 'archive' ? blobStore.archiveKey(ownKey) : ownKey, generation, encoding, storedSizeBytes }
      isMoved = await this.#execute(switchPlace, { blobId, uploadId, from: { locationId, store: from.store, key }, to: place, archiveStore: archiveStoreName })
      // Last the upload's own name: as long as it is there, the next start settles what became of the copy.
      if (!isMoved) await store.withdraw(ownKey)
      await store.discardUpload(uploadId)
      if (!isMoved) await this.#execute(endMove, { uploadId })
    } finally {
      await content.close()
    }
    if (!isMoved) return
    if (to === 'archive') {
      this.counters.archivedBlobs += 1
      this.counters.archivedBytes += from.sizeBytes
    } else {
      this.counters.restoredBlobs += 1
      this.counters.restoredBytes += from.sizeBytes
    }
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { RecurringWork } from '../internal/recurring-work.ts'
import type { Clock } from '../internal/clock.ts'
import type { BlobStore } from '../storage/blobs/index.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import type { Session } from '../storage/metadata/session.ts'
import { findJob } from '../storage/metadata/stores/job-store.ts'
import { claimScrub, keepScrub, releaseScrub, scrubJob } from './commands/scrub.ts'
import { findingCount, verify, type VerifyProgress } from './verify.ts'
import type { FindingKind } from './findings.ts'
import { repairIn } from './repair.ts'
import { afterRound, coverageSoFar, nextRound, type Coverage, type Round, type RoundState } from './round.ts'

export interface ScrubDependencies {
  readonly database: MetadataDatabase
  readonly blobStore: BlobStore
  readonly clock: Clock
  readonly logger: Pick<Logger, 'info' | 'error'>
  /** Of the system, for what it writes. */
  readonly context: () => CommandContext
  /** Tells this process from all others. */
  readonly owner: string
  /** True while clients need the disk more. */
  readonly isBusy: () => boolean
}

export interface ScrubSettings {
  /** Every blob is read this often. A round that takes longer is followed by the next one at once. */
  readonly intervalMs: number
  readonly bytesPerSecond: number
}

/** What the scrub has done, for metrics. */
export interface ScrubCounters {
  /** By this process. */
  bytesRead: number
  readonly findings: Partial<Record<FindingKind, number>>
  /** When a round was last complete, whichever process did it; undefined: not yet, or not known yet. */
  lastCompleteAtMs: number | undefined
}

interface ScrubState extends RoundState {
  readonly completedAtMs?: number | undefined
}

/** How often a server looks whether the scrub is due: one look-up. Also how long after its start it looks first. */
const lookIntervalMs = 60_000
/** After this long without a word from its holder, another server takes the scrub over. */
const leaseMs = 90_000
/** Several of these fit into a lease, so that one that fails does no harm. */
const keepIntervalMs = 20_000
/** After a failure of the database or the store: what failed has time to recover. */
const retryDelayMs = 10 * 60 * 1000
/** However busy the server is, a blob is read after this long: otherwise a busy one would never be done. */
const longestYieldMs = 10_000
const yieldStepMs = 250

/**
 * Reads every blob now and then, slowly, to find what has rotted while nobody asked for it. Of several servers with one
 * database one does it at a time, and another goes on where it was when it ends.
 */
export class Scrub {
  readonly counters: ScrubCounters = { bytesRead: 0, findings: {}, lastCompleteAtMs: undefined }
  readonly #deps: ScrubDependencies
  readonly #settings: ScrubSettings
  readonly #work: RecurringWork

  constructor(deps: ScrubDependencies, settings: ScrubSettings) {
    this.#deps = deps
    this.#settings = settings
    this.#work = new RecurringWork(
      (signal) => this.#runIfDue(signal),
      (error) => {
        deps.logger.error({ err: error }, 'the scrub could not go on')
      },
    )
  }

  /** Looks from now on whether the scrub is due, and does it. */
  start(): void {
    this.#work.start(lookIntervalMs)
  }

  /** Does the scrub if it is due and no other process is at it. Never rejects: what fails is logged, and tried again later. */
  runIfDue(): Promise<void> {
    return this.#work.run()
  }

  /** Ends what runs, having saved how far it came. */
  stop(): Promise<void> {
    return this.#work.stop()
  }

  async #runIfDue(stop: AbortSignal): Promise<void> {
    const { database, clock, owner, context } = this.#deps
    if (stop.aborted) return
    const job = await findJob(database.reader, scrubJob)
    const nowMs = clock.now()
    if (job) {
      this.counters.lastCompleteAtMs = parseState(job.payload).completedAtMs
      if (job.runAfter > nowMs || (job.leasedUntil ?? 0) >= nowMs) return
    }
    const payload = await database.execute(claimScrub, { owner, until: nowMs + leaseMs }, context())
    if (payload !== undefined) await this.#run(parseState(payload), stop)
  }

  async #run(state: ScrubState, stop: AbortSignal): Promise<void> {
    const { database, blobStore, clock, owner, context, logger } = this.#deps
    const { intervalMs, bytesPerSecond } = this.#settings
    const round = nextRound(state, { nowMs: clock.now(), maxAgeMs: 0, patienceMs: Number.POSITIVE_INFINITY })
    let current: ScrubState = { ...state, round }
    let countedBytes = round.progress.counts.bytesRead

    const lost = new AbortController()
    const keeping = setInterval(() => {
      const input = { owner, payload: JSON.stringify(current), until: clock.now() + leaseMs }
      database.execute(keepScrub, input, context()).then(
        (isKept) => {
          if (!isKept) lost.abort()
        },
        // The next one may succeed; if none does, the lease runs out.
        () => undefined,
      )
    }, keepIntervalMs)
    let runAfter = clock.now()
    try {
      const report = await verify(
        { database, blobStore, clock, repair: repairIn(database, context) },
        {
          hash: { afterLocationId: round.hashAfterLocationId },
          bytesPerSecond,
          resume: round.progress,
          signal: AbortSignal.any([stop, lost.signal]),
          yieldTurn: () => this.#yieldToClients(stop),
          onFinding: (finding) => {
            this.counters.findings[finding.kind] = (this.counters.findings[finding.kind] ?? 0) + 1
            logger.error({ ...finding }, 'the scrub found something wrong')
          },
          onProgress: (progress) => {
            current = { ...state, round: withProgress(round, progress) }
            this.counters.bytesRead += progress.counts.bytesRead - countedBytes
            countedBytes = progress.counts.bytesRead
          },
        },
      )
      if (report.isComplete) {
        const completedAtMs = clock.now()
        current = { ...afterRound(round, report), completedAtMs }
        runAfter = Math.max(completedAtMs, round.startedAtMs + intervalMs)
        this.counters.lastCompleteAtMs = completedAtMs
        const { blobs, bytesRead, quarantined, reinstated } = report.counts
        logger.info({ blobs, bytesRead, quarantined, reinstated, findings: findingCount(report.counts) }, 'scrub complete')
      }
    } catch (error) {
      runAfter = clock.now() + retryDelayMs
      throw error
    } finally {
      clearInterval(keeping)
      await database.execute(releaseScrub, { owner, payload: JSON.stringify(current), runAfter }, context())
    }
  }

  async #yieldToClients(signal: AbortSignal): Promise<void> {
    for (let waitedMs = 0; waitedMs < longestYieldMs && this.#deps.isBusy(); waitedMs += yieldStepMs) {
      await sleep(yieldStepMs, undefined, { signal })
    }
  }
}

/** What the servers' scrub has read by now. */
export async function coverageOfScrub(session: Session): Promise<Coverage[]> {
  const job = await findJob(session, scrubJob)
  if (!job) return []
  const state = parseState(job.payload)
  return [...(state.coverage ? [state.coverage] : []), ...coverageSoFar(state)]
}

function withProgress(round: Round, progress: VerifyProgress): Round {
  return { ...round, progress }
}

/** Written by this class alone. */
function parseState(payload: string): ScrubState {
  return JSON.parse(payload) as ScrubState
}

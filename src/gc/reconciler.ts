import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { RecurringWork } from '../internal/recurring-work.ts'
import { commandContext, type RequestContext } from '../registry/index.ts'
import { findJob } from '../storage/metadata/stores/job-store.ts'
import { findServerMark } from '../storage/metadata/stores/server-mark-store.ts'
import {
  claimReconciliation,
  keepReconciliation,
  reconcileJob,
  reconcileRequestMark,
  releaseReconciliation,
  requestReconciliation,
  type ReconcileRequest,
} from './commands/reconcile.ts'
import { findPause } from './pause.ts'
import {
  noReconcileCounts,
  reconcilePage,
  reconcilePhases,
  type ReconcileCounts,
  type ReconcileFinding,
  type ReconcilePhase,
  type ReconcileStepDependencies,
} from './reconcile-steps.ts'

export interface ReconcilerDependencies extends ReconcileStepDependencies {
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>
  /** Names this process. */
  readonly owner: string
}

export interface ReconcilerSettings {
  /** A comparison begins this long after the last one began, and not before that one is over. 0: only when asked for. */
  readonly intervalMs: number
  /** Files and rows looked at in a second. */
  readonly itemsPerSecond: number
  /** None begins by itself so soon after the start of the server, which has other things to do then. Default: at once. */
  readonly firstAfterMs?: number
}

/** One comparison of store and database, whole or as far as it came. */
export interface Reconciliation {
  readonly startedAt: number
  /** Undefined: it is under way, or was stopped and will go on. */
  readonly finishedAt?: number | undefined
  readonly repair: boolean
  /** Who asked for it; undefined: it was time. */
  readonly requestedBy?: string | undefined
  readonly phase: ReconcilePhase
  readonly after?: string | undefined
  readonly counts: ReconcileCounts
  /** The first of what it found; the log has them all. */
  readonly findings: readonly ReconcileFinding[]
}

interface ReconcileState {
  readonly current?: Reconciliation | undefined
  readonly last?: Reconciliation | undefined
}

export interface ReconcilerStatus {
  readonly request: ReconcileRequest | undefined
  readonly isRunning: boolean
  readonly current: Reconciliation | undefined
  readonly last: Reconciliation | undefined
  /** When the next one begins by itself; undefined: there was none yet, or not by itself. */
  readonly nextAt: number | undefined
}

/** Of findings that are kept with the state. */
const maxKeptFindings = 100
const pageSize = 100
/** Whoever asked for it waits for it. */
const requestedSpeedUp = 20
/** How often a server looks whether a comparison is due, or was asked for at another: two look-ups. */
const lookIntervalMs = 60_000
const leaseMs = 90_000
/** Several of these fit into a lease, so that one that fails does no harm. */
const keepIntervalMs = 10_000
/** After a failure of the database or the store: what failed has time to recover. */
const retryDelayMs = 10 * 60_000

/**
 * Compares the files of the blob stores with the rows of the database, both ways and slowly, for what no event will ever tell: files
 * that a crash left behind, files that are gone, and what may be garbage but was never noted as that. It reports, and repairs only
 * where it was asked to. Of several servers one does it at a time, and another goes on where it was when it ends.
 */
export class Reconciler {
  readonly #deps: ReconcilerDependencies
  readonly #settings: ReconcilerSettings
  readonly #work: RecurringWork
  readonly #startedAt: number
  #lastKnown: { readonly at: number; readonly value: Promise<Reconciliation | undefined> } | undefined

  constructor(deps: ReconcilerDependencies, settings: ReconcilerSettings) {
    this.#deps = deps
    this.#settings = settings
    this.#startedAt = deps.clock.now()
    this.#work = new RecurringWork(
      (signal) => this.#runIfWanted(signal),
      (error) => {
        deps.logger.error({ err: error }, 'store and database could not be compared')
      },
    )
  }

  start(): void {
    this.#work.start(lookIntervalMs)
  }

  /** Does a comparison that is due or asked for, unless another server is at it. Never rejects. */
  runIfWanted(): Promise<void> {
    return this.#work.run()
  }

  /** Ends what runs, having saved how far it came. */
  stop(): Promise<void> {
    return this.#work.stop()
  }

  /** Asks for a comparison, which this server begins, or another that is at one: it ends that first, within seconds. */
  async request(context: RequestContext, repair: boolean): Promise<ReconcileRequest> {
    const request = await this.#deps.database.execute(requestReconciliation, { repair }, commandContext(context))
    void this.#work.runAfresh()
    return request
  }

  async status(): Promise<ReconcilerStatus> {
    const { database, clock } = this.#deps
    const job = await findJob(database.reader, reconcileJob)
    const request = await findServerMark(database.reader, reconcileRequestMark)
    const { current, last } = parseState(job?.payload ?? '{}')
    return {
      request: request === undefined ? undefined : (JSON.parse(request) as ReconcileRequest),
      isRunning: (job?.leasedUntil ?? 0) >= clock.now(),
      current,
      last,
      nextAt: this.#settings.intervalMs === 0 || job === undefined || current !== undefined ? undefined : job.runAfter,
    }
  }

  /** The last one that was whole, as of a minute ago at most where another server did it: for metrics, which are asked for often. */
  lastOne(): Promise<Reconciliation | undefined> {
    const now = this.#deps.clock.now()
    if (this.#lastKnown === undefined || Math.abs(now - this.#lastKnown.at) >= lookIntervalMs) {
      const value = this.status().then(({ last }) => last)
      this.#lastKnown = { at: now, value }
      value.catch(() => {
        this.#lastKnown = undefined
      })
    }
    return this.#lastKnown.value
  }

  async #runIfWanted(stop: AbortSignal): Promise<void> {
    const { database, clock, owner, systemContext } = this.#deps
    const now = clock.now()
    const job = await findJob(database.reader, reconcileJob)
    const isAsked = (await findServerMark(database.reader, reconcileRequestMark)) !== undefined
    const isDue = (job === undefined || job.runAfter <= now) && now - this.#startedAt >= (this.#settings.firstAfterMs ?? 0)
    // What somebody asked for goes on after a restart, whatever the setting.
    const isByItself = this.#settings.intervalMs > 0 || parseState(job?.payload ?? '{}').current?.requestedBy !== undefined
    if (stop.aborted || (job?.leasedUntil ?? 0) >= now || !(isAsked || (isDue && isByItself))) return
    if ((await findPause(database.reader, now)) !== undefined) return
    const claimed = await database.execute(claimReconciliation, { owner, until: now + leaseMs }, systemContext())
    if (claimed === undefined) return
    const { current, last } = parseState(claimed.payload)
    const { request } = claimed
    const begun: Reconciliation =
      request === undefined && current !== undefined
        ? current
        : {
            startedAt: now,
            repair: request?.repair ?? false,
            requestedBy: request?.requestedBy,
            phase: reconcilePhases[0],
            counts: noReconcileCounts,
            findings: [],
          }
    await this.#run(begun, last, stop)
  }

  async #run(begun: Reconciliation, last: Reconciliation | undefined, stop: AbortSignal): Promise<void> {
    const { database, clock, owner, systemContext, logger } = this.#deps
    let state: ReconcileState = { current: begun, last }
    let isToEnd = false
    let keptAt = performance.now()
    let runAfter = clock.now()
    try {
      for (let current: Reconciliation = begun; ; ) {
        if (stop.aborted || isToEnd) return
        const startedAt = performance.now()
        const { reconciliation, items } = await this.#page(current)
        if (reconciliation.finishedAt !== undefined) {
          state = { last: reconciliation }
          this.#lastKnown = { at: clock.now(), value: Promise.resolve(reconciliation) }
          runAfter = this.#settings.intervalMs === 0 ? reconciliation.finishedAt : Math.max(reconciliation.finishedAt, reconciliation.startedAt + this.#settings.intervalMs)
          logger.info({ ...reconciliation.counts, repair: reconciliation.repair }, 'compared store and database')
          return
        }
        current = reconciliation
        state = { current, last }
        if (performance.now() - keptAt >= keepIntervalMs) {
          keptAt = performance.now()
          isToEnd = !(await database.execute(keepReconciliation, { owner, payload: JSON.stringify(state), until: clock.now() + leaseMs }, systemContext()))
          if ((await findPause(database.reader, clock.now())) !== undefined) return
        }
        await this.#pace(current, items, startedAt, stop)
      }
    } catch (error) {
      runAfter = clock.now() + retryDelayMs
      throw error
    } finally {
      await database.execute(releaseReconciliation, { owner, payload: JSON.stringify(state), runAfter }, systemContext())
    }
  }

  async #page(current: Reconciliation): Promise<{ reconciliation: Reconciliation; items: number }> {
    const { phase, after, repair, counts } = current
    const page = await reconcilePage(this.#deps, { phase, after, repair, knownFiles: counts.knownFiles, limit: pageSize })
    for (const finding of page.findings) this.#deps.logger.warn({ ...finding }, 'store and database do not agree')
    const next = page.next === undefined ? reconcilePhases[reconcilePhases.indexOf(phase) + 1] : phase
    const reconciliation = {
      ...current,
      phase: next ?? phase,
      after: page.next,
      counts: sumOf(counts, page.counts),
      findings: [...current.findings, ...page.findings].slice(0, maxKeptFindings),
      ...(next === undefined && { finishedAt: this.#deps.clock.now() }),
    }
    return { reconciliation, items: page.items }
  }

  async #pace({ requestedBy }: Reconciliation, items: number, startedAtMs: number, stop: AbortSignal): Promise<void> {
    const rate = this.#settings.itemsPerSecond * (requestedBy === undefined ? 1 : requestedSpeedUp)
    const waitMs = (items / rate) * 1000 - (performance.now() - startedAtMs)
    await sleep(Math.max(0, waitMs), undefined, { signal: stop }).catch(() => undefined)
  }
}

function sumOf(counts: ReconcileCounts, more: Partial<ReconcileCounts>): ReconcileCounts {
  const sum: { -readonly [Name in keyof ReconcileCounts]: number } = { ...counts }
  for (const name of Object.keys(counts) as (keyof ReconcileCounts)[]) sum[name] += more[name] ?? 0
  return sum
}

/** Written by this class alone. */
function parseState(payload: string): ReconcileState {
  return JSON.parse(payload) as ReconcileState
}

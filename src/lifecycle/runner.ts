import { RecurringWork } from '../internal/recurring-work.ts'
import { readRepository } from '../registry/change.ts'
import { commandContext, type RequestContext } from '../registry/context.ts'
import { registryError } from '../registry/errors.ts'
import { parseIdPosition, toPage } from '../registry/paging.ts'
import type { Page, PageRequest } from '../registry/types.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import { dueRepositories } from '../storage/metadata/stores/lifecycle-policy-store.ts'
import { findRun, listRuns, type RunPosition, type RunRow } from '../storage/metadata/stores/lifecycle-run-store.ts'
import { policiesToPlan } from '../storage/metadata/stores/retention-policy-store.ts'
import { findRepositoryRowById, findRegistryOf } from '../storage/metadata/stores/repository-store.ts'
import type { RepositoryName } from '../values/index.ts'
import { claimLifecycle, keepLifecycle, planLifecycle, releaseLifecycle, runUnknown, settleRun } from './commands/runs.ts'
import { spreadPolicy } from './commands/retention-policies.ts'
import { summaryOf, type RunSummary } from './run-summary.ts'
import { newLifecycleCounters, Visit, type RunnerDependencies, type RunnerSettings } from './visit.ts'

/** Whoever evaluates a repository says so this often; what nobody speaks for any longer is taken over. */
const leaseMs = 5 * 60_000
const keepIntervalMs = 60_000
/** Repositories read at once when looking for what is due. */
const duePage = 500
/**
 * A policy of a prefix reaches the repositories that there are this long after it was put: one whose making did not see the
 * policy yet is among them by then.
 */
const settledMs = 5000

/** `evaluating`; `held` until something lets go; `unconfirmed` until somebody says; `confirmed`; `applying`; `done`, `cancelled`. */
export type RunStatus = 'evaluating' | 'held' | 'unconfirmed' | 'confirmed' | 'applying' | 'done' | 'cancelled'

/** Times are milliseconds since 1970. */
export interface LifecycleRun {
  readonly id: string
  readonly repositoryName: RepositoryName
  readonly status: RunStatus
  /** Why it waits, or was dropped. */
  readonly concern: string | undefined
  readonly summary: RunSummary
  /** What it removed, to be brought back. */
  readonly trashBatch: string | undefined
  readonly startedAt: number
  readonly finishedAt: number | undefined
  readonly decidedBy: string | undefined
}

function toRun(row: RunRow): LifecycleRun {
  return {
    id: row.id,
    repositoryName: row.repositoryName as RepositoryName,
    status: row.status as RunStatus,
    concern: row.concern ?? undefined,
    summary: summaryOf(row),
    trashBatch: row.trashBatch ?? undefined,
    startedAt: row.startedAt,
    finishedAt: row.finishedAt ?? undefined,
    decidedBy: row.decidedBy ?? undefined,
  }
}

/** Throws `page-invalid`. */
function positionOf(after: string | undefined): RunPosition | undefined {
  if (after === undefined) return undefined
  const colon = after.indexOf(':')
  if (colon < 0) throw registryError('page-invalid', 'The page token is not one that was given out.')
  return { startedAt: parseIdPosition(after.slice(0, colon)), id: after.slice(colon + 1) }
}

/**
 * Carries policies out: finds the repositories whose time has come, evaluates them as a preview does, and takes what the rules
 * say to the trash, each image looked at again first. Of several servers with one database one works at a repository at a time.
 */
export class LifecycleRunner {
  readonly counters = newLifecycleCounters()
  readonly #deps: RunnerDependencies
  readonly #settings: RunnerSettings
  readonly #work: RecurringWork

  constructor(deps: RunnerDependencies, settings: RunnerSettings) {
    this.#deps = deps
    this.#settings = settings
    this.#work = new RecurringWork(
      (signal) => this.#sweep(signal),
      (error) => {
        deps.logger.error({ err: error }, 'repositories whose lifecycle policies are due could not be found')
      },
    )
  }

  /** Looks from now on for repositories that are due. */
  start(lookIntervalMs: number): void {
    this.#work.start(lookIntervalMs)
  }

  /** Does everything that is due. Never rejects: what fails is logged, and tried again later. */
  sweep(): Promise<void> {
    return this.#work.run()
  }

  stop(): Promise<void> {
    return this.#work.stop()
  }

  /** Begins a run as soon as may be, whatever is planned. Throws `repository-unknown`. */
  async request(context: RequestContext, name: RepositoryName): Promise<void> {
    const { database } = this.#deps
    const { id } = await readRepository(database.reader, { registryId: context.registry.id, accountId: context.registry.accountId }, name)
    await database.execute(planLifecycle, { repositoryId: id }, commandContext(context))
    void this.#work.runAfresh()
  }

  /** Throws `run-unknown`. */
  async find(context: RequestContext, id: string): Promise<LifecycleRun> {
    const run = await findRun(this.#deps.database.reader, context.registry.id, id)
    if (!run) throw runUnknown(id)
    return toRun(run)
  }

  /** The runs of a repository, newest first. Throws `repository-unknown`, `page-invalid`. */
  async list(context: RequestContext, name: RepositoryName, page: PageRequest): Promise<Page<LifecycleRun>> {
    const { reader } = this.#deps.database
    const { id } = await readRepository(reader, { registryId: context.registry.id, accountId: context.registry.accountId }, name)
    const rows = await listRuns(reader, id, positionOf(page.after), page.limit + 1)
    return toPage(rows, page.limit, toRun, ({ startedAt, id: runId }) => `${startedAt}:${runId}`)
  }

  /** Lets a run that waits go on, or ends one that is not over, whatever it does. Throws `run-unknown`, `run-settled`. */
  async settle(context: RequestContext, id: string, decision: 'confirmed' | 'cancelled'): Promise<void> {
    await this.#deps.database.execute(settleRun, { id, decision }, commandContext(context))
    if (decision === 'confirmed') void this.#work.runAfresh()
  }

  /** Has repositories evaluated that are under policies of prefixes and registries which were changed. */
  async #spread(signal: AbortSignal): Promise<void> {
    const { database, clock, contextOf } = this.#deps
    const changedBefore = clock.now() - settledMs
    for (let after = 0; ; ) {
      const changed = await policiesToPlan(database.reader, { changedBefore, after, limit: duePage })
      for (const { id: policyId, updatedAt, registryId: id, accountId, region } of changed) {
        const dueAt = updatedAt + this.#settings.intervalMs
        do signal.throwIfAborted()
        while (await database.execute(spreadPolicy, { policyId, dueAt }, contextOf({ id, accountId, region })))
      }
      if (changed.length < duePage) return
      after = changed.at(-1)!.id
    }
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const { database, clock, logger } = this.#deps
    await this.#deps.lookAtClocks?.()
    await this.#spread(signal)
    for (let after = 0; !signal.aborted; ) {
      const now = clock.now()
      const due = await dueRepositories(database.reader, { now, quietSince: now - this.#settings.intervalMs, after, limit: duePage })
      for (const id of due) {
        if (signal.aborted) return
        try {
          await this.#visit(id, signal)
        } catch (error) {
          if (signal.aborted) return
          this.counters.runs.failed += 1
          logger.error({ err: error, repositoryId: id }, 'the lifecycle policies of a repository could not be carried out')
        }
      }
      if (due.length < duePage) return
      after = due.at(-1)!
    }
  }

  /** Evaluates a repository and acts, as the only one to do so. */
  async #visit(repositoryId: number, stop: AbortSignal): Promise<void> {
    const { database, clock, owner, contextOf } = this.#deps
    const repository = await findRepositoryRowById(database.reader, repositoryId)
    if (!repository) return
    const registry = await findRegistryOf(database.reader, repository.registry_id)
    if (!registry) return
    const context = (): CommandContext => contextOf(registry)
    const lease = () => ({ repositoryId, owner, until: clock.now() + leaseMs })
    // It may have waited for others, and been put off meanwhile.
    const now = clock.now()
    const [stillDue] = await dueRepositories(database.reader, { now, quietSince: now - this.#settings.intervalMs, after: repositoryId - 1, limit: 1 })
    if (stillDue !== repositoryId || !(await database.execute(claimLifecycle, lease(), context()))) return
    const lost = new AbortController()
    const keeping = setInterval(() => {
      // Not taken again: one that comes after the visit's end finds the lease given back.
      database.execute(keepLifecycle, lease(), context()).then(
        (isKept) => { if (!isKept) lost.abort(new Error('another server took the repository over')) },
        () => undefined,
      )
    }, keepIntervalMs)
    keeping.unref()
    let isDone = false
    try {
      const signal = AbortSignal.any([stop, lost.signal])
      await new Visit(this.#deps, this.#settings, repository, context, signal, this.counters).run()
      isDone = true
    } finally {
      clearInterval(keeping)
      if (!isDone) await database.execute(releaseLifecycle, { repositoryId, owner, dueAt: clock.now() + this.#settings.intervalMs }, context())
    }
  }
}

import type { Logger } from 'pino'
import type { IdSource } from '../internal/ids.ts'
import { RecurringWork } from '../internal/recurring-work.ts'
import { readRepository } from '../registry/change.ts'
import { commandContext, type RequestContext } from '../registry/context.ts'
import { vetoText } from '../registry/protection/index.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { dueRepositories, findLifecycleState, findPolicyVersion } from '../storage/metadata/stores/lifecycle-policy-store.ts'
import { findRun, lastTagChangeOf, listRuns, openRuns, type RunRow } from '../storage/metadata/stores/lifecycle-run-store.ts'
import { policiesToPlan } from '../storage/metadata/stores/retention-policy-store.ts'
import { findRepositoryRowById, findRegistryOf, type RepositoryRow } from '../storage/metadata/stores/repository-store.ts'
import type { RepositoryName } from '../values/index.ts'
import {
  applyLifecycle,
  beginRun,
  claimLifecycle,
  finishLifecycle,
  noteRun,
  planLifecycle,
  releaseLifecycle,
  runUnknown,
  settleRun,
  type DecidedImage,
  type LifecycleFailure,
} from './commands/runs.ts'
import { spreadPolicy } from './commands/retention-policies.ts'
import { askVetoes } from './commands/vetoes.ts'
import { concernAbout, type RunCaution } from './concern.ts'
import type { EvaluatedRepository, Evaluator, PolicyText } from './evaluator.ts'
import { policiesOf, type PolicyInForce } from './policies.ts'

/** Whoever evaluates a repository says so this often; what nobody speaks for any longer is taken over. */
const leaseMs = 5 * 60_000
const keepIntervalMs = 60_000
/** Images taken to the trash by one command: it holds the repository's lock for some tens of milliseconds. */
const imagesPerCommand = 50
/** Evaluations begun anew because the repository lost images meanwhile; then the next sweep tries again. */
const maxAttempts = 5
/** Failures told in a run's record; all are counted. */
const maxToldFailures = 100
/** Repositories read at once when looking for what is due. */
const duePage = 500
/**
 * A policy of a prefix reaches the repositories that there are this long after it was put: one whose making did not see the
 * policy yet is among them by then.
 */
const settledMs = 5000
/** Images that somebody holds back are tried again after this, where nothing else is to be done sooner. */
const heldBackMs = 24 * 60 * 60 * 1000
/** Where time alone changes nothing. */
const never = Number.MAX_SAFE_INTEGER

export interface RunSummary {
  readonly images: number
  readonly expired: number
  /** With children and referrers. */
  readonly manifests: number
  /** Changed since the evaluation, and left for the next. */
  readonly changed: number
  readonly failed: number
  readonly lifecycleEventFailureDetails: readonly LifecycleFailure[]
}

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

export interface RunnerDependencies {
  readonly database: MetadataDatabase
  readonly evaluator: Evaluator
  readonly ids: IdSource
  readonly clock: { now(): number }
  readonly logger: Pick<Logger, 'info' | 'error'>
  /** Looks whether the clock was set, and puts everything on hold if so, before anything is removed by it. Never rejects. */
  readonly lookAtClocks?: () => Promise<void>
  /** Names this process. */
  readonly owner: string
  /** As whom the server acts in a registry. */
  readonly contextOf: (registry: { id: number; accountId: string; region: string }) => CommandContext
}

export interface RunnerSettings {
  /** How long after a change a repository is looked at again. */
  readonly intervalMs: number
  readonly trashRetentionMs: number
  readonly caution: RunCaution
}

/**
 * Carries policies out: finds the repositories whose time has come, evaluates them as a preview does, and takes what the rules
 * say to the trash, each image looked at again first. Of several servers with one database one works at a repository at a time.
 */
export class LifecycleRunner {
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

  /** The runs of a repository, newest first. Throws `repository-unknown`. */
  async list(context: RequestContext, name: RepositoryName, page: { before: number; limit: number }): Promise<LifecycleRun[]> {
    const { reader } = this.#deps.database
    const { id } = await readRepository(reader, { registryId: context.registry.id, accountId: context.registry.accountId }, name)
    return (await listRuns(reader, id, page.before, page.limit)).map(toRun)
  }

  /** Lets a run that waits go on, or drops it. Throws `run-unknown`, `run-settled`. */
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
          if (!signal.aborted) logger.error({ err: error, repositoryId: id }, 'the lifecycle policies of a repository could not be carried out')
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
    if (!(await database.execute(claimLifecycle, lease(), context()))) return
    const lost = new AbortController()
    const keeping = setInterval(() => {
      database.execute(claimLifecycle, lease(), context()).then(
        (isKept) => { if (!isKept) lost.abort(new Error('another server took the repository over')) },
        () => undefined,
      )
    }, keepIntervalMs)
    keeping.unref()
    let isDone = false
    try {
      const signal = AbortSignal.any([stop, lost.signal])
      await new Visit(this.#deps, this.#settings, repository, context, signal).run()
      isDone = true
    } finally {
      clearInterval(keeping)
      if (!isDone) await database.execute(releaseLifecycle, { repositoryId, owner, dueAt: clock.now() + this.#settings.intervalMs }, context())
    }
  }
}

/** One repository's turn. */
class Visit {
  readonly #deps: RunnerDependencies
  readonly #settings: RunnerSettings
  readonly #repository: RepositoryRow
  readonly #context: () => CommandContext
  readonly #signal: AbortSignal

  constructor(
    deps: RunnerDependencies,
    settings: RunnerSettings,
    repository: RepositoryRow,
    context: () => CommandContext,
    signal: AbortSignal,
  ) {
    this.#deps = deps
    this.#settings = settings
    this.#repository = repository
    this.#context = context
    this.#signal = signal
  }

  async run(): Promise<void> {
    const { database } = this.#deps
    const policies = await policiesOf(database.reader, this.#repository)
    const policiesSeen = JSON.stringify(policies.map(({ id, version }) => [id, version]))
    for (let attempt = 1; ; attempt += 1) {
      const open = await openRuns(database.reader, this.#repository.id)
      const isOver = await this.#attempt(policies, policiesSeen, open, attempt === maxAttempts)
      if (isOver) return
    }
  }

  /** True when there is nothing more to do now; false when the evaluation has to begin anew. */
  async #attempt(policies: readonly PolicyInForce[], policiesSeen: string, open: readonly RunRow[], isLast: boolean): Promise<boolean> {
    const { database, clock } = this.#deps
    const repositoryId = this.#repository.id
    const evaluatedAt = clock.now()
    const evaluatedSeq = (await findRepositoryRowById(database.reader, repositoryId))?.event_seq ?? 0
    const lastTagChange = await lastTagChangeOf(database.reader, repositoryId)
    const evaluated = await this.#deps.evaluator.evaluate({ repositoryId, policies, nowMs: evaluatedAt }, this.#signal)
    const { decisions } = evaluated
    const seenBefore = (await findLifecycleState(database.reader, repositoryId))?.policiesSeen ?? ''
    /** @param seen the policies that have had their way; those that wait are compared with the ones before next time too */
    const finish = async (dueAt: number, seen = policiesSeen): Promise<true> => {
      const done = { repositoryId, owner: this.#deps.owner, evaluatedAt, evaluatedSeq, policiesSeen: seen, dueAt }
      await database.execute(finishLifecycle, done, this.#context())
      return true
    }
    const dueByTime = decisions.dueAtMs ?? never
    if (decisions.expireCount === 0) {
      await this.#dropOpen(open)
      return finish(dueByTime)
    }
    const again = evaluatedAt + this.#settings.intervalMs
    const run = await this.#openRun(open, policiesSeen)
    const vetoes = await this.#vetoes()
    const planned: RunSummary = { ...noSummary, images: decisions.expireCount }
    if (vetoes !== undefined) {
      await this.#note(run.id, 'held', vetoes, planned)
      return finish(again, seenBefore)
    }
    if (!run.isConfirmed) {
      const isChanged = seenBefore !== policiesSeen
      const concern = await this.#concern(policies, seenBefore, isChanged, evaluated, evaluatedAt)
      if (concern !== undefined) {
        await this.#note(run.id, 'unconfirmed', concern, planned)
        return finish(again, seenBefore)
      }
    }
    const outcome = await this.#apply(run, evaluated, policies, { evaluatedAt, lastTagChange })
    if (outcome === undefined && !isLast) return false
    // What was done is in the run's row: each command has added to it.
    const summary = summaryOf(await findRun(database.reader, this.#repository.registry_id, run.id))
    await this.#note(run.id, outcome === undefined ? 'applying' : 'done', null, summary, outcome !== undefined)
    if (outcome === undefined || outcome.changed > 0) return finish(again)
    // What somebody holds is not asked about every hour.
    return finish(outcome.failed > 0 ? Math.min(dueByTime, Math.max(again, evaluatedAt + heldBackMs)) : dueByTime)
  }

  /** The run that this goes on with: one that waits under the same policies, or a new one. */
  async #openRun(open: readonly RunRow[], policiesSeen: string): Promise<{ id: string; isConfirmed: boolean; trashBatch: string }> {
    const { database, ids } = this.#deps
    const waiting = open.find(({ policies }) => policies === policiesSeen)
    await this.#dropOpen(open.filter((run) => run !== waiting))
    // A decision holds until the run is over, whatever it has to wait for meanwhile.
    if (waiting) return { id: waiting.id, isConfirmed: waiting.decidedAt !== null, trashBatch: waiting.trashBatch ?? waiting.id }
    const id = ids.uuid()
    await database.execute(beginRun, { id, repositoryId: this.#repository.id, cause: 'schedule', policies: policiesSeen }, this.#context())
    // A run's images are one batch, which has its id.
    return { id, isConfirmed: false, trashBatch: id }
  }

  /** Runs that wait under policies which are no longer in force, or for what is not there any more, are over. */
  async #dropOpen(open: readonly RunRow[]): Promise<void> {
    for (const run of open) {
      const summary = summaryOf(run)
      // Stopped in the middle: what it did, it did.
      if (summary.expired > 0) await this.#note(run.id, 'done', null, summary, true)
      else await this.#note(run.id, 'cancelled', 'its policies are no longer those in force, or have nothing to do any more', summary, true)
    }
  }

  #note(id: string, status: string, concern: string | null, summary: RunSummary, isOver = false): Promise<void> {
    const { id: repositoryId, name: repositoryName } = this.#repository
    const trashBatch = summary.expired > 0 ? id : null
    const input = { id, status, concern, summary: JSON.stringify(summary), trashBatch, isOver, repositoryId, repositoryName }
    return this.#deps.database.execute(noteRun, input, this.#context())
  }

  /** Why nothing at all may be removed automatically: a hold, a doubted source, a protection of the whole. */
  async #vetoes(): Promise<string | undefined> {
    const question = { repositoryId: this.#repository.id, manifestId: undefined }
    const held = await this.#deps.database.execute(askVetoes, question, this.#context())
    const ofAll = held.filter(({ kind }) => kind === 'hold' || kind === 'source-doubted')
    return ofAll.length === 0 ? undefined : vetoText(ofAll)
  }

  async #concern(
    policies: readonly PolicyInForce[],
    seenBefore: string,
    isChanged: boolean,
    evaluated: EvaluatedRepository,
    nowMs: number,
  ): Promise<string | undefined> {
    const { id: repositoryId } = this.#repository
    const previous = isChanged ? await this.#previousPolicies(policies, seenBefore) : undefined
    const before =
      previous === undefined
        ? undefined
        : (await this.#deps.evaluator.evaluate({ repositoryId, policies: previous, nowMs }, this.#signal)).decisions
    return concernAbout(evaluated.decisions, before, this.#settings.caution)
  }

  /**
   * The policies as they last had their way: those of `seenBefore`. One that was not among them counts as it is: nobody changed
   * it. Undefined where there were none.
   */
  async #previousPolicies(policies: readonly PolicyInForce[], seenBefore: string): Promise<PolicyText[] | undefined> {
    const { reader } = this.#deps.database
    const seen = seenBefore === '' ? [] : (JSON.parse(seenBefore) as [id: number, version: number][])
    if (seen.length === 0) return undefined
    const known = new Set(seen.map(([id]) => id))
    const previous: PolicyText[] = policies.filter(({ id }) => !known.has(id))
    for (const [id, version] of seen) {
      const before = await findPolicyVersion(reader, id, version)
      if (typeof before?.document === 'string') previous.push({ grammar: before.grammar, document: before.document })
    }
    return previous
  }

  /** Takes what was decided to the trash. Undefined: the repository lost images meanwhile, and has to be evaluated anew. */
  async #apply(
    run: { id: string; trashBatch: string },
    { decisions, ids, fingerprints }: EvaluatedRepository,
    policies: readonly PolicyInForce[],
    { evaluatedAt, lastTagChange }: { evaluatedAt: number; lastTagChange: number },
  ): Promise<RunSummary | undefined> {
    const { database } = this.#deps
    const { trashRetentionMs: retentionMs } = this.#settings
    const total = { images: 0, expired: 0, manifests: 0, changed: 0, failed: 0 }
    const failures: LifecycleFailure[] = []
    const countsMatter = policies.some(({ compiled }) => compiled.rules.some(({ newest }) => newest !== undefined))
    const pullsMatter = policies.some(({ compiled }) => compiled.needs.pulls || compiled.needs.uses)
    let images: DecidedImage[] = []
    const flush = async (): Promise<boolean> => {
      if (images.length === 0) return true
      this.#signal.throwIfAborted()
      const input = { repositoryId: this.#repository.id, runId: run.id, batch: run.trashBatch, retentionMs, evaluatedAt, lastTagChange, countsMatter, images }
      const outcome = await database.execute(applyLifecycle, input, this.#context())
      if (outcome.isStale) return false
      total.images += images.length
      total.expired += outcome.expired
      total.manifests += outcome.manifests
      total.changed += outcome.changed
      total.failed += outcome.failures.length
      failures.push(...outcome.failures.slice(0, maxToldFailures - failures.length))
      images = []
      return true
    }
    // Decisions come in the order in which the images were read.
    let row = 0
    for (const { manifestId, action, policy, rule } of decisions) {
      if (action !== 'expire') continue
      while (ids[row] !== manifestId) row += 1
      const notPulledSince = pullsMatter ? { notPulledSince: evaluatedAt } : {}
      images.push({ manifestId, fingerprint: fingerprints[row]!, ...notPulledSince, rule: `rule ${rule} of the policy of ${policies[policy]!.from}` })
      if (images.length === imagesPerCommand && !(await flush())) return undefined
    }
    if (!(await flush())) return undefined
    return { ...total, lifecycleEventFailureDetails: failures }
  }
}

function summaryOf(run: RunRow | undefined): RunSummary {
  return { ...noSummary, ...(JSON.parse(run?.summary ?? '{}') as Partial<RunSummary>) }
}

const noSummary: RunSummary = { images: 0, expired: 0, manifests: 0, changed: 0, failed: 0, lifecycleEventFailureDetails: [] }

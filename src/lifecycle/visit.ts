import type { Logger } from 'pino'
import type { IdSource } from '../internal/ids.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { vetoText } from '../registry/protection/index.ts'
import { findLifecycleState, findPolicyVersion } from '../storage/metadata/stores/lifecycle-policy-store.ts'
import { findRun, lastTagChangeOf, listRuns, openRuns, type RunRow } from '../storage/metadata/stores/lifecycle-run-store.ts'
import { findRepositoryRowById, type RepositoryRow } from '../storage/metadata/stores/repository-store.ts'
import type { DecidedImage, EvaluatedState } from './commands/decided-images.ts'
import { giveNotice, type AnnouncedImage } from './commands/notices.ts'
import { applyLifecycle, beginRun, cancelledMs, finishLifecycle, noteRun } from './commands/runs.ts'
import { askVetoes } from './commands/vetoes.ts'
import { concernAbout, type RunCaution } from './concern.ts'
import type { EvaluatedRepository, Evaluator, PolicyText } from './evaluator.ts'
import { policiesSeen } from './policies-seen.ts'
import { policiesOf, type PolicyInForce } from './policies.ts'
import type { Decision } from './policy/index.ts'
import { serviceEventPolicy } from './service-events.ts'
import { hasBegun, noSummary, summaryOf, type RunSummary } from './run-summary.ts'

/** Images taken to the trash or the archive by one command: it holds the repository's lock for some tens of milliseconds. */
const imagesPerCommand = 50
/** Evaluations begun anew because the repository or its policies changed meanwhile; then the next sweep tries again. */
const maxAttempts = 5
/** Images that somebody holds back are tried again after this, where nothing else is to be done sooner. */
const heldBackMs = 24 * 60 * 60 * 1000
/** Where time alone changes nothing. */
const never = Number.MAX_SAFE_INTEGER

/** What runs came to since the start. */
export interface LifecycleCounters {
  readonly runs: Record<'done' | 'applying' | 'unconfirmed' | 'held' | 'cancelled' | 'failed', number>
  readonly images: Record<'expired' | 'archived', number>
}

export function newLifecycleCounters(): LifecycleCounters {
  return { runs: { done: 0, applying: 0, unconfirmed: 0, held: 0, cancelled: 0, failed: 0 }, images: { expired: 0, archived: 0 } }
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

/** A run as an attempt goes on with it. */
interface OpenRun {
  readonly id: string
  readonly isConfirmed: boolean
  readonly trashBatch: string
  /** What it has done so far. */
  readonly done: RunSummary
}

/** What an attempt begins with. */
interface AttemptConditions {
  readonly policies: readonly PolicyInForce[]
  readonly evaluatedAt: number
  readonly open: readonly RunRow[]
  readonly state: Awaited<ReturnType<typeof findLifecycleState>>
}

/** What somebody evaluated, and as of when. */
interface Attempt {
  readonly policies: readonly PolicyInForce[]
  readonly evaluated: EvaluatedRepository
  /** False: images that somebody would have to confirm were only counted. */
  readonly isWhole: boolean
  readonly seen: EvaluatedState
  /** Notes when the repository is due again, and that the policies have had their way; those that wait have not. */
  readonly finish: (dueAt: number, hadTheirWay: boolean) => Promise<void>
}

/** One repository's turn: what its policies say of it is found out, and done. */
export class Visit {
  readonly #deps: RunnerDependencies
  readonly #settings: RunnerSettings
  readonly #repository: RepositoryRow
  readonly #context: () => CommandContext
  readonly #signal: AbortSignal
  readonly #beganAt: number
  readonly #counters: LifecycleCounters

  constructor(
    deps: RunnerDependencies,
    settings: RunnerSettings,
    repository: RepositoryRow,
    context: () => CommandContext,
    signal: AbortSignal,
    counters: LifecycleCounters,
  ) {
    this.#counters = counters
    this.#deps = deps
    this.#settings = settings
    this.#repository = repository
    this.#context = context
    this.#signal = signal
    this.#beganAt = deps.clock.now()
  }

  async run(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const isOver = await this.#attempt(attempt === maxAttempts)
      if (isOver) return
    }
  }

  /** True when there is nothing more to do now; false when the evaluation has to begin anew. */
  async #attempt(isLast: boolean): Promise<boolean> {
    const { database, clock } = this.#deps
    const repositoryId = this.#repository.id
    // Before all that somebody may change and plan an evaluation for.
    const state = await findLifecycleState(database.reader, repositoryId)
    const policies = await policiesOf(database.reader, this.#repository)
    const open = await openRuns(database.reader, repositoryId)
    const startedAt = clock.now()
    const { evaluated, isWhole, seen, finish } = await this.#evaluate({ policies, evaluatedAt: startedAt, open, state })
    // An evaluation takes its time.
    if (await this.#wasCancelled()) return this.#restAfterCancelling()
    const { decisions } = evaluated
    const again = startedAt + this.#settings.intervalMs
    const notices = await this.#giveNotices({ policies, evaluated, seen })
    if (notices === 'stale' && !isLast) return false
    const dueByNotices = notices === 'stale' || notices.again ? again : notices.held ? startedAt + heldBackMs : never
    const dueByTime = Math.min(decisions.dueAtMs ?? never, dueByNotices)
    const decidedCount = decisions.expireCount + decisions.transitionCount
    if (decidedCount === 0) {
      await this.#dropOpen(open)
      await finish(dueByTime, true)
      return true
    }
    const run = await this.#openRun(open, seen.policies)
    const planned = hasBegun(run.done) ? run.done : { ...noSummary, images: decidedCount }
    const vetoes = await this.#vetoes()
    // Somebody may have confirmed it meanwhile. What was only counted then waits for the next evaluation, which they have planned.
    const concern = vetoes ?? (run.isConfirmed && isWhole ? undefined : concernAbout(decisions, evaluated.surprising, this.#settings.caution))
    if (concern !== undefined) {
      if (!(await this.#note(run.id, vetoes === undefined ? 'unconfirmed' : 'held', concern, planned))) return this.#restAfterCancelling()
      await finish(again, false)
      return true
    }
    const outcome = await this.#apply(run, { policies, evaluated, seen })
    if (outcome === 'cancelled') return this.#restAfterCancelling()
    if (outcome === 'stale' && !isLast) return false
    // What was done is in the run's row: each command has added to it.
    const summary = summaryOf(await findRun(database.reader, this.#repository.registry_id, run.id))
    const isDone = outcome !== 'stale'
    this.#counters.images.expired += summary.expired - run.done.expired
    this.#counters.images.archived += summary.archived - run.done.archived
    if (!(await this.#note(run.id, isDone ? 'done' : 'applying', null, summary, isDone))) return this.#restAfterCancelling()
    if (!isDone || outcome.changed > 0) await finish(again, true)
    // What somebody holds is not asked about every hour.
    else await finish(outcome.failed > 0 ? Math.min(dueByTime, Math.max(again, startedAt + heldBackMs)) : dueByTime, true)
    return true
  }

  async #evaluate({ policies, evaluatedAt, open, state }: AttemptConditions): Promise<Attempt> {
    const { database, evaluator, owner } = this.#deps
    const repositoryId = this.#repository.id
    const repository = await findRepositoryRowById(database.reader, repositoryId)
    const lastTagChange = await lastTagChangeOf(database.reader, repositoryId)
    const seenBefore = state?.policiesSeen ?? ''
    const inForce = policiesSeen(policies)
    const isChanged = seenBefore !== inForce && this.#settings.caution.isOn
    const before = isChanged ? await this.#previousPolicies(policies, seenBefore) : undefined
    const isConfirmed = open.find((run) => run.policies === inForce)?.decidedAt != null
    const caution = isConfirmed ? undefined : this.#settings.caution
    const evaluated = await evaluator.evaluate({ repositoryId, account: this.#account, policies, before, nowMs: evaluatedAt, caution }, this.#signal)
    const asks = (needed: 'pulls' | 'uses' | 'tagTimes'): boolean => policies.some(({ compiled }) => compiled.needs[needed])
    const seen: EvaluatedState = {
      policies: inForce,
      lastTagChange,
      lostCount: repository?.lost_count ?? 0,
      newestId: evaluated.newestId,
      othersMatter: asks('tagTimes') || policies.some(({ compiled }) => compiled.rules.some(({ newest }) => newest !== undefined)),
      pullsMatter: asks('pulls') || asks('uses'),
      usesMatter: asks('uses'),
    }
    return {
      policies,
      evaluated,
      isWhole: caution === undefined,
      seen,
      finish: (dueAt, hadTheirWay) => {
        const evaluatedSeq = repository?.event_seq ?? 0
        const done = { repositoryId, owner, evaluatedAt, evaluatedSeq, policiesSeen: hadTheirWay ? inForce : seenBefore, plannedAt: state?.dueAt ?? never, dueAt }
        return database.execute(finishLifecycle, done, this.#context())
      },
    }
  }

  get #account(): string {
    return this.#context().accountId
  }

  /** The run that this goes on with: one that waits under the same policies, or a new one. */
  async #openRun(open: readonly RunRow[], policies: string): Promise<OpenRun> {
    const { database, ids } = this.#deps
    const waiting = open.find((run) => run.policies === policies)
    await this.#dropOpen(open.filter((run) => run !== waiting))
    if (waiting) {
      // A decision holds until the run is over, whatever it has to wait for meanwhile.
      return { id: waiting.id, isConfirmed: waiting.decidedAt !== null, trashBatch: waiting.trashBatch ?? waiting.id, done: summaryOf(waiting) }
    }
    const id = ids.uuid()
    await database.execute(beginRun, { id, repositoryId: this.#repository.id, cause: 'schedule', policies }, this.#context())
    // A run's images are one batch, which has its id.
    return { id, isConfirmed: false, trashBatch: id, done: noSummary }
  }

  /** Runs that wait under policies which are no longer in force, or for what is not there any more, are over. */
  async #dropOpen(open: readonly RunRow[]): Promise<void> {
    for (const run of open) {
      const summary = summaryOf(run)
      // Stopped in the middle: what it did, it did.
      if (summary.expired + summary.archived > 0) await this.#note(run.id, 'done', null, summary, true)
      else await this.#note(run.id, 'cancelled', 'its policies are no longer those in force, or have nothing to do any more', summary, true)
    }
  }

  /** False: somebody has ended the run meanwhile. */
  async #note(id: string, status: keyof LifecycleCounters['runs'], concern: string | null, summary: RunSummary, isOver = false): Promise<boolean> {
    const { id: repositoryId, name: repositoryName } = this.#repository
    const trashBatch = summary.expired > 0 ? id : null
    const input = { id, status, concern, summary: JSON.stringify(summary), trashBatch, isOver, repositoryId, repositoryName }
    const isNoted = await this.#deps.database.execute(noteRun, input, this.#context())
    if (isNoted) this.#counters.runs[status] += 1
    return isNoted
  }

  /** Whether somebody has ended the repository's run since this visit began. */
  async #wasCancelled(): Promise<boolean> {
    const [newest] = await listRuns(this.#deps.database.reader, this.#repository.id, undefined, 1)
    return newest?.status === 'cancelled' && newest.decidedAt !== null && newest.decidedAt >= this.#beganAt
  }

  /** What the run changed itself is no news; the next one begins when a cancelled run's time is over. */
  async #restAfterCancelling(): Promise<true> {
    const { database, clock, owner } = this.#deps
    const { id: repositoryId } = this.#repository
    const evaluatedAt = clock.now()
    const evaluatedSeq = (await findRepositoryRowById(database.reader, repositoryId))?.event_seq ?? 0
    const { policiesSeen: seen, dueAt: plannedAt } = (await findLifecycleState(database.reader, repositoryId)) ?? { policiesSeen: null, dueAt: never }
    const done = { repositoryId, owner, evaluatedAt, evaluatedSeq, policiesSeen: seen ?? '', plannedAt, dueAt: evaluatedAt + cancelledMs }
    await database.execute(finishLifecycle, done, this.#context())
    return true
  }

  /** Why nothing at all may be removed automatically: a hold, a doubted source, a protection of the whole. */
  async #vetoes(): Promise<string | undefined> {
    const question = { repositoryId: this.#repository.id, manifestId: undefined }
    const held = await this.#deps.database.execute(askVetoes, question, this.#context())
    const ofAll = held.filter(({ kind }) => kind === 'hold' || kind === 'source-doubted')
    return ofAll.length === 0 ? undefined : vetoText(ofAll)
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

  /**
   * Tells of what rules will do when their notice is over, and takes back what they will not do any more. That is no removal, and
   * waits for nobody's confirmation. `again`: something was told, or came between, so that another evaluation has to look.
   */
  async #giveNotices({
    policies,
    evaluated: { decisions, ids, fingerprints },
    seen,
  }: Pick<Attempt, 'policies' | 'evaluated' | 'seen'>): Promise<'stale' | { readonly again: boolean; readonly held: boolean }> {
    const { database } = this.#deps
    let announced: AnnouncedImage[] = []
    let withdrawn: number[] = []
    const outcome = { again: false, held: false }
    const flush = async (): Promise<'stale' | undefined> => {
      if (announced.length + withdrawn.length === 0) return undefined
      this.#signal.throwIfAborted()
      const { isStale, told, changed, held } = await database.execute(giveNotice, { ...seen, repositoryId: this.#repository.id, announced, withdrawn }, this.#context())
      if (isStale) return 'stale'
      outcome.again ||= told + changed > 0
      outcome.held ||= held > 0
      announced = []
      withdrawn = []
      return undefined
    }
    let row = 0
    for (const decision of decisions.announced()) {
      if (decision.isTold) continue
      while (ids[row] !== decision.manifestId) row += 1
      const { notice } = ruleOf(policies, decision)
      announced.push({ ...decided(policies, decision, fingerprints[row]!), noticeMs: undefined, notice: notice! })
      if (announced.length === imagesPerCommand && (await flush()) === 'stale') return 'stale'
    }
    for (const manifestId of decisions.withdrawn()) {
      withdrawn.push(manifestId)
      if (announced.length + withdrawn.length >= imagesPerCommand && (await flush()) === 'stale') return 'stale'
    }
    return (await flush()) ?? outcome
  }

  /** Takes what was decided to the trash or the archive. `stale`: what was evaluated is not so any more, and has to be evaluated anew. */
  async #apply(
    run: OpenRun,
    { policies, evaluated: { decisions, ids, fingerprints }, seen }: Pick<Attempt, 'policies' | 'evaluated' | 'seen'>,
  ): Promise<'stale' | 'cancelled' | { readonly changed: number; readonly failed: number }> {
    const { database } = this.#deps
    const { trashRetentionMs: retentionMs } = this.#settings
    let { lostCount } = seen
    let changed = 0
    let failed = 0
    let images: DecidedImage[] = []
    const told = policies.map((policy) => serviceEventPolicy(policy, this.#beganAt))
    const flush = async (): Promise<'stale' | 'cancelled' | 'done'> => {
      if (images.length === 0) return 'done'
      this.#signal.throwIfAborted()
      const input = { ...seen, lostCount, repositoryId: this.#repository.id, runId: run.id, batch: run.trashBatch, retentionMs, images, told }
      const outcome = await database.execute(applyLifecycle, input, this.#context())
      if (outcome.isCancelled) return 'cancelled'
      if (outcome.isStale) return 'stale'
      lostCount += outcome.manifests
      changed += outcome.changed
      failed += outcome.failures.length
      images = []
      return 'done'
    }
    // Decisions come in the order in which the images were read.
    let row = 0
    for (const decision of decisions) {
      while (ids[row] !== decision.manifestId) row += 1
      images.push(decided(policies, decision, fingerprints[row]!))
      if (images.length < imagesPerCommand) continue
      const flushed = await flush()
      if (flushed !== 'done') return flushed
    }
    const flushed = await flush()
    return flushed === 'done' ? { changed, failed } : flushed
  }
}

function ruleOf(policies: readonly PolicyInForce[], { policy, rule }: Decision) {
  return policies[policy]!.compiled.rules.find(({ number }) => number === rule)!
}

function decided(policies: readonly PolicyInForce[], decision: Decision, fingerprint: number): DecidedImage {
  const { manifestId, action, policy, rule } = decision
  const noticeMs = ruleOf(policies, decision).notice?.ms
  return { manifestId, fingerprint, action, rule: `rule ${rule} of the policy of ${policies[policy]!.from}`, policyPlace: policy, ruleNumber: rule, noticeMs }
}

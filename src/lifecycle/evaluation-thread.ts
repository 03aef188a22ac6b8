import { Worker } from 'node:worker_threads'
import { FairTurns } from '../internal/fair-turns.ts'
import { PlatformError, type ErrorDetail } from '../internal/platform-error.ts'
import type { MetadataTarget } from '../storage/metadata/migrate.ts'
import type { PolicyComparison } from './compare-policies.ts'
import type { EvaluationParts } from './evaluate-repository.ts'
import { assemble, type ComparisonRequest, type EvaluatedRepository, type EvaluationRequest, type Evaluator, type PolicyText } from './evaluator.ts'
import { lifecycleError } from './errors.ts'
import { readStored } from './policies.ts'
import type { PreviewPage, PreviewSummary } from './preview-pages.ts'

export interface EvaluationWorkerData {
  readonly target: MetadataTarget
}

/** What the thread is told. */
export type JobMessage =
  | { readonly kind: 'evaluate' | 'preview'; readonly id: number; readonly request: EvaluationRequest }
  | { readonly kind: 'compare'; readonly id: number; readonly request: ComparisonRequest }
  /** The last page has been taken. */
  | { readonly kind: 'taken'; readonly id: number }
  | { readonly kind: 'stop'; readonly id: number }
  | { readonly kind: 'close' }

/** What it says. */
export type JobAnswer =
  | { readonly kind: 'evaluated'; readonly id: number; readonly parts: EvaluationParts }
  | { readonly kind: 'page'; readonly id: number; readonly page: PreviewPage }
  | { readonly kind: 'previewed'; readonly id: number; readonly summary: PreviewSummary }
  | { readonly kind: 'compared'; readonly id: number; readonly comparison: PolicyComparison }
  | { readonly kind: 'failed'; readonly id: number; readonly failure: SentFailure }

export interface SentFailure {
  readonly code: string | undefined
  readonly message: string
  readonly stack: string | undefined
  readonly detail: ErrorDetail | undefined
}

/**
 * At once; others wait their turn. On SQLite they share the thread's time, and each holds some 30 bytes for every image of its
 * repository. One account has fewer, so that another never waits for more than one of them to end.
 */
const maxJobs = 4
const maxJobsOfOne = 3

/** Of one account; more would only be waited for longer than a client does. */
const maxWaitingOfOne = 100

type Outcome = EvaluationParts | PreviewSummary | PolicyComparison

interface Job {
  readonly onPage: ((page: PreviewPage) => Promise<void>) | undefined
  readonly result: PromiseWithResolvers<Outcome>
  /** Gives its turn to the next. */
  readonly end: () => void
}

/** Sees to it that the labels and annotations of a repository's images can be read from the database. */
export type Prepare = (repositoryId: number, signal: AbortSignal | undefined) => Promise<void>

/** Evaluates in a thread of its own, which begins with the first evaluation. */
export class EvaluationThread implements Evaluator {
  readonly #target: MetadataTarget
  readonly #prepare: Prepare
  #worker: Worker | undefined
  readonly #turns = new FairTurns({ limit: maxJobs, limitOfOne: maxJobsOfOne })
  readonly #running = new Map<number, Job>()
  readonly #stop = new AbortController()
  #nextId = 1

  constructor(target: MetadataTarget, prepare: Prepare) {
    this.#target = target
    this.#prepare = prepare
  }

  async evaluate(request: EvaluationRequest, signal?: AbortSignal): Promise<EvaluatedRepository> {
    const policies = [...request.policies, ...(request.before ?? [])]
    const parts = await this.#do(request, policies, (id) => ({ kind: 'evaluate', id, request: plain(request) }), signal)
    return assemble(request, parts as EvaluationParts)
  }

  async preview(request: EvaluationRequest, onPage: (page: PreviewPage) => Promise<void>, signal?: AbortSignal): Promise<PreviewSummary> {
    return (await this.#do(request, request.policies, (id) => ({ kind: 'preview', id, request: plain(request) }), signal, onPage)) as PreviewSummary
  }

  async compare(request: ComparisonRequest, signal?: AbortSignal): Promise<PolicyComparison> {
    const policies = [...request.before, ...request.after]
    const sent = { ...request, before: plainPolicies(request.before), after: plainPolicies(request.after) }
    return (await this.#do(request, policies, (id) => ({ kind: 'compare', id, request: sent }), signal)) as PolicyComparison
  }

  /** What runs is rejected, and what waits. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the server stops'))
    const worker = this.#worker
    this.#lose(this.#stop.signal.reason)
    if (worker === undefined) return
    const ended = new Promise((resolve) => worker.once('exit', resolve))
    this.#tell(worker, { kind: 'close' })
    await ended
  }

  async #do(
    { account, repositoryId }: Pick<EvaluationRequest, 'account' | 'repositoryId'>,
    policies: readonly PolicyText[],
    message: (id: number) => JobMessage,
    given: AbortSignal | undefined,
    onPage?: Job['onPage'],
  ): Promise<Outcome> {
    const signal = given === undefined ? this.#stop.signal : AbortSignal.any([given, this.#stop.signal])
    signal.throwIfAborted()
    if (this.#turns.waitingOf(account) >= maxWaitingOfOne) {
      throw lifecycleError('too-many-evaluations', `${maxWaitingOfOne} evaluations of this account wait already. Try again later.`)
    }
    const end = await this.#turns.take(account, signal)
    try {
      const asks = policies.map(({ grammar, document }) => readStored(grammar, document).needs)
      if (asks.some(({ labels, annotations }) => labels || annotations)) await this.#prepare(repositoryId, signal)
      signal.throwIfAborted()
    } catch (error) {
      end()
      throw error
    }
    return this.#run({ onPage, result: Promise.withResolvers(), end }, message, signal)
  }

  async #run(job: Job, message: (id: number) => JobMessage, signal: AbortSignal): Promise<Outcome> {
    const id = this.#nextId++
    const stop = (): void => this.#drop(id, signal.reason)
    signal.addEventListener('abort', stop)
    this.#running.set(id, job)
    this.#worker ??= this.#startWorker()
    this.#worker.ref()
    this.#tell(this.#worker, message(id))
    try {
      return await job.result.promise
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  #startWorker(): Worker {
    const workerData: EvaluationWorkerData = { target: this.#target }
    const worker = new Worker(new URL('./evaluation-worker.ts', import.meta.url), { name: 'lifecycle', workerData, execArgv: [] })
    worker.on('message', (answer: JobAnswer) => void this.#onAnswer(worker, answer))
    worker.on('error', (error) => this.#onGone(worker, error))
    worker.on('exit', () => this.#onGone(worker, new Error('the thread that evaluates lifecycle policies ended')))
    return worker
  }

  async #onAnswer(worker: Worker, answer: JobAnswer): Promise<void> {
    const { id } = answer
    const job = this.#running.get(id)
    if (answer.kind === 'page') {
      try {
        await job?.onPage?.(answer.page)
        this.#tell(worker, { kind: 'taken', id })
      } catch (error) {
        this.#drop(id, error)
      }
      return
    }
    this.#running.delete(id)
    if (this.#running.size === 0) worker.unref()
    job?.end()
    if (answer.kind === 'failed') job?.result.reject(revive(answer.failure))
    else job?.result.resolve(outcomeOf(answer))
  }

  /** It keeps its turn until the thread has let go of it. */
  #drop(id: number, reason: unknown): void {
    if (this.#worker !== undefined) this.#tell(this.#worker, { kind: 'stop', id })
    this.#running.get(id)?.result.reject(reason)
  }

  #onGone(worker: Worker, cause: unknown): void {
    if (this.#worker === worker) this.#lose(cause)
  }

  /** Whoever comes next has a new thread. */
  #lose(cause: unknown): void {
    this.#worker = undefined
    const lost = [...this.#running.values()]
    this.#running.clear()
    for (const { result, end } of lost) {
      result.reject(cause)
      end()
    }
  }

  #tell(worker: Worker, message: JobMessage): void {
    worker.postMessage(message)
  }
}

/** Without what callers know of policies besides: functions cannot be sent. */
function plain(request: EvaluationRequest): EvaluationRequest {
  return { ...request, policies: plainPolicies(request.policies), before: request.before && plainPolicies(request.before) }
}

function plainPolicies(policies: readonly PolicyText[]): PolicyText[] {
  return policies.map(({ grammar, document }) => ({ grammar, document }))
}

function outcomeOf(answer: Exclude<JobAnswer, { readonly kind: 'page' | 'failed' }>): Outcome {
  switch (answer.kind) {
    case 'evaluated':
      return answer.parts
    case 'previewed':
      return answer.summary
    case 'compared':
      return answer.comparison
  }
}

function revive({ code, message, stack, detail }: SentFailure): Error {
  if (code !== undefined) return new PlatformError(code, message, { detail })
  const error = new Error(message)
  if (stack !== undefined) error.stack = stack
  return error
}

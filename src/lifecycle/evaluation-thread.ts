import { Worker } from 'node:worker_threads'
import { PlatformError, type ErrorDetail } from '../internal/platform-error.ts'
import type { MetadataTarget } from '../storage/metadata/migrate.ts'
import type { PolicyComparison } from './compare-policies.ts'
import type { EvaluationParts } from './evaluate-repository.ts'
import { assemble, type ComparisonRequest, type EvaluatedRepository, type EvaluationRequest, type Evaluator, type PolicyText } from './evaluator.ts'
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
 * repository.
 */
const maxJobs = 4

type Outcome = EvaluationParts | PreviewSummary | PolicyComparison

interface Job {
  readonly message: (id: number) => JobMessage
  readonly onPage: ((page: PreviewPage) => Promise<void>) | undefined
  readonly result: PromiseWithResolvers<Outcome>
}

/** Sees to it that the labels and annotations of a repository's images can be read from the database. */
export type Prepare = (repositoryId: number, signal: AbortSignal | undefined) => Promise<void>

/** Evaluates in a thread of its own, which begins with the first evaluation. */
export class EvaluationThread implements Evaluator {
  readonly #target: MetadataTarget
  readonly #prepare: Prepare
  #worker: Worker | undefined
  readonly #running = new Map<number, Job>()
  readonly #waiting: Job[] = []
  #nextId = 1
  #isStopped = false

  constructor(target: MetadataTarget, prepare: Prepare) {
    this.#target = target
    this.#prepare = prepare
  }

  async evaluate(request: EvaluationRequest, signal?: AbortSignal): Promise<EvaluatedRepository> {
    await this.#makeReady(request.repositoryId, request.policies, signal)
    const parts = await this.#do((id) => ({ kind: 'evaluate', id, request: plain(request) }), signal)
    return assemble(request, parts as EvaluationParts)
  }

  async preview(request: EvaluationRequest, onPage: (page: PreviewPage) => Promise<void>, signal?: AbortSignal): Promise<PreviewSummary> {
    await this.#makeReady(request.repositoryId, request.policies, signal)
    return (await this.#do((id) => ({ kind: 'preview', id, request: plain(request) }), signal, onPage)) as PreviewSummary
  }

  async compare(request: ComparisonRequest, signal?: AbortSignal): Promise<PolicyComparison> {
    await this.#makeReady(request.repositoryId, [...request.before, ...request.after], signal)
    const sent = { ...request, before: plainPolicies(request.before), after: plainPolicies(request.after) }
    return (await this.#do((id) => ({ kind: 'compare', id, request: sent }), signal)) as PolicyComparison
  }

  /** What runs is rejected. */
  async stop(): Promise<void> {
    this.#isStopped = true
    const worker = this.#worker
    this.#lose(new Error('the server stops'))
    if (worker === undefined) return
    const ended = new Promise((resolve) => worker.once('exit', resolve))
    this.#tell(worker, { kind: 'close' })
    await ended
  }

  async #makeReady(repositoryId: number, policies: readonly PolicyText[], signal: AbortSignal | undefined): Promise<void> {
    const asks = policies.map(({ grammar, document }) => readStored(grammar, document).needs)
    if (asks.some(({ labels, annotations }) => labels || annotations)) await this.#prepare(repositoryId, signal)
  }

  async #do(message: Job['message'], signal: AbortSignal | undefined, onPage?: Job['onPage']): Promise<Outcome> {
    signal?.throwIfAborted()
    if (this.#isStopped) throw new Error('the server stops')
    const job: Job = { message, onPage, result: Promise.withResolvers() }
    const stop = (): void => this.#drop(job, signal?.reason)
    signal?.addEventListener('abort', stop)
    this.#waiting.push(job)
    this.#startNext()
    try {
      return await job.result.promise
    } finally {
      signal?.removeEventListener('abort', stop)
    }
  }

  #startNext(): void {
    while (this.#running.size < maxJobs) {
      const job = this.#waiting.shift()
      if (job === undefined) break
      const id = this.#nextId++
      this.#running.set(id, job)
      this.#worker ??= this.#startWorker()
      this.#tell(this.#worker, job.message(id))
    }
    if (this.#running.size > 0) this.#worker?.ref()
    else this.#worker?.unref()
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
        if (job !== undefined) this.#drop(job, error)
      }
      return
    }
    this.#running.delete(id)
    this.#startNext()
    if (answer.kind === 'failed') job?.result.reject(revive(answer.failure))
    else job?.result.resolve(outcomeOf(answer))
  }

  /** One that runs keeps its place until the thread has let go of it. */
  #drop(job: Job, reason: unknown): void {
    const waitingAt = this.#waiting.indexOf(job)
    if (waitingAt !== -1) this.#waiting.splice(waitingAt, 1)
    for (const [id, each] of this.#running) if (each === job && this.#worker !== undefined) this.#tell(this.#worker, { kind: 'stop', id })
    job.result.reject(reason)
  }

  #onGone(worker: Worker, cause: unknown): void {
    if (this.#worker === worker) this.#lose(cause)
  }

  /** Whoever comes next has a new thread. */
  #lose(cause: unknown): void {
    this.#worker = undefined
    const lost = [...this.#running.values(), ...this.#waiting.splice(0)]
    this.#running.clear()
    for (const { result } of lost) result.reject(cause)
  }

  #tell(worker: Worker, message: JobMessage): void {
    worker.postMessage(message)
  }
}

/** Without what callers know of policies besides: functions cannot be sent. */
function plain(request: EvaluationRequest): EvaluationRequest {
  return { ...request, policies: plainPolicies(request.policies) }
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

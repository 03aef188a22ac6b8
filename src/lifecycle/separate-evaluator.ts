import { Worker } from 'node:worker_threads'
import { FairTurns } from '../internal/fair-turns.ts'
import { PlatformError } from '../internal/platform-error.ts'
import type { MetadataTarget } from '../storage/metadata/migrate.ts'
import type { PolicyComparison } from './compare-policies.ts'
import type { EvaluationParts } from './evaluate-repository.ts'
import type { Job, JobAnswer, JobMessage, SentFailure, ThreadData } from './evaluation-messages.ts'
import { assemble, type ComparisonRequest, type EvaluatedRepository, type EvaluationRequest, type Evaluator, type PolicyText } from './evaluator.ts'
import { lifecycleError } from './errors.ts'
import { readStored } from './policies.ts'
import type { PreviewPage, PreviewSummary } from './preview-pages.ts'

/**
 * At once; others wait their turn. On SQLite they share a thread's time, and each holds some 30 bytes for every image of its
 * repository. One account has fewer, so that another never waits for more than one of them to end.
 */
const maxJobs = 4
const maxJobsOfOne = 3

/** Of one account; more would only be waited for longer than a client does. */
const maxWaitingOfOne = 100

type Outcome = EvaluationParts | PreviewSummary | PolicyComparison

/** More images than this are evaluated in a process: it takes half a second to start, which they take several times over. */
const maxImagesInThread = 100_000

interface UnderWay {
  readonly onPages: ((pages: readonly PreviewPage[]) => Promise<void>) | undefined
  readonly result: PromiseWithResolvers<Outcome>
  /** Gives its turn to the next. */
  readonly end: () => void
}

/** Sees to it that the labels and annotations of a repository's images can be read from the database. */
export type Prepare = (repositoryId: number, signal: AbortSignal | undefined) => Promise<void>

/**
 * Evaluates in a thread of its own, which begins with the first evaluation and is kept; that has a process for very large
 * repositories, which ends with them.
 */
export class SeparateEvaluator implements Evaluator {
  readonly #target: MetadataTarget
  readonly #prepare: Prepare
  readonly #maxImagesInThread: number
  readonly #turns = new FairTurns({ limit: maxJobs, limitOfOne: maxJobsOfOne })
  readonly #underWay = new Map<number, UnderWay>()
  readonly #stop = new AbortController()
  #thread: Worker | undefined
  #nextId = 1

  /** @param maxImages of a repository that is evaluated in the thread */
  constructor(target: MetadataTarget, prepare: Prepare, maxImages = maxImagesInThread) {
    this.#target = target
    this.#prepare = prepare
    this.#maxImagesInThread = maxImages
  }

  async evaluate(request: EvaluationRequest, signal?: AbortSignal): Promise<EvaluatedRepository> {
    const policies = [...request.policies, ...(request.before ?? [])]
    const parts = await this.#do(request, policies, (id) => ({ kind: 'evaluate', id, request: plain(request) }), signal)
    return assemble(request, parts as EvaluationParts)
  }

  async preview(request: EvaluationRequest, onPages: (pages: readonly PreviewPage[]) => Promise<void>, signal?: AbortSignal): Promise<PreviewSummary> {
    return (await this.#do(request, request.policies, (id) => ({ kind: 'preview', id, request: plain(request) }), signal, onPages)) as PreviewSummary
  }

  async compare(request: ComparisonRequest, signal?: AbortSignal): Promise<PolicyComparison> {
    const policies = [...request.before, ...request.after]
    const sent = { ...request, before: plainPolicies(request.before), after: plainPolicies(request.after) }
    return (await this.#do(request, policies, (id) => ({ kind: 'compare', id, request: sent }), signal)) as PolicyComparison
  }

  /** What runs is rejected, and what waits. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the server stops'))
    const thread = this.#thread
    if (thread === undefined) return
    this.#lose(thread, this.#stop.signal.reason)
    const ended = new Promise((resolve) => thread.once('exit', resolve))
    // Nobody else may hold the program any more.
    thread.ref()
    tell(thread, { kind: 'close' })
    await ended
  }

  async #do(
    { account, repositoryId }: Pick<EvaluationRequest, 'account' | 'repositoryId'>,
    policies: readonly PolicyText[],
    job: (id: number) => Job,
    given: AbortSignal | undefined,
    onPages?: UnderWay['onPages'],
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
    const id = this.#nextId++
    const result = Promise.withResolvers<Outcome>()
    try {
      this.#begin(job(id))
    } catch (error) {
      end()
      throw error
    }
    this.#underWay.set(id, { onPages, result, end })
    const stop = (): void => this.#drop(id, signal.reason)
    signal.addEventListener('abort', stop)
    try {
      return await result.promise
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  /** Throws what the thread could not be started for. */
  #begin(job: Job): void {
    this.#thread ??= this.#start()
    // While it evaluates, the program does not end.
    this.#thread.ref()
    tell(this.#thread, job)
  }

  #start(): Worker {
    const workerData: ThreadData = { target: this.#target, maxImages: this.#maxImagesInThread }
    const thread = new Worker(new URL('./evaluation-thread.ts', import.meta.url), { name: 'lifecycle', workerData, execArgv: [] })
    thread.on('message', (answer: JobAnswer) => void this.#onAnswer(thread, answer))
    thread.on('error', (error) => this.#lose(thread, error))
    thread.on('exit', () => this.#lose(thread, new Error('the thread that evaluates lifecycle policies ended')))
    return thread
  }

  async #onAnswer(thread: Worker, answer: JobAnswer): Promise<void> {
    const { id } = answer
    const job = this.#underWay.get(id)
    if (answer.kind === 'pages') {
      try {
        await job?.onPages?.(answer.pages)
        tell(thread, { kind: 'taken', id })
      } catch (error) {
        this.#drop(id, error)
      }
      return
    }
    this.#underWay.delete(id)
    if (this.#underWay.size === 0) thread.unref()
    job?.end()
    if (answer.kind === 'failed') job?.result.reject(revive(answer.failure))
    else job?.result.resolve(outcomeOf(answer))
  }

  /** It keeps its turn until whoever does it has let go of it. */
  #drop(id: number, reason: unknown): void {
    const job = this.#underWay.get(id)
    if (job === undefined || this.#thread === undefined) return
    tell(this.#thread, { kind: 'stop', id })
    job.result.reject(reason)
  }

  /** Whoever comes next has a new one. */
  #lose(thread: Worker, cause: unknown): void {
    if (this.#thread !== thread) return
    this.#thread = undefined
    for (const { result, end } of this.#underWay.values()) {
      result.reject(cause)
      end()
    }
    this.#underWay.clear()
  }
}

function tell(thread: Worker, message: JobMessage): void {
  thread.postMessage(message)
}

/** Without what callers know of policies besides: functions cannot be sent. */
function plain(request: EvaluationRequest): EvaluationRequest {
  return { ...request, policies: plainPolicies(request.policies), before: request.before && plainPolicies(request.before) }
}

function plainPolicies(policies: readonly PolicyText[]): PolicyText[] {
  return policies.map(({ grammar, document }) => ({ grammar, document }))
}

function outcomeOf(answer: Exclude<JobAnswer, { readonly kind: 'pages' | 'failed' }>): Outcome {
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

import { FairTurns } from '../internal/fair-turns.ts'
import { PlatformError } from '../internal/platform-error.ts'
import type { MetadataTarget } from '../storage/metadata/migrate.ts'
import type { PolicyComparison } from './compare-policies.ts'
import type { EvaluationParts } from './evaluate-repository.ts'
import type { JobAnswer, JobMessage, SentFailure } from './evaluation-messages.ts'
import { startProcess, startThread, type EvaluationPlace, type PlaceEvents } from './evaluation-place.ts'
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

/** Where a job is done: in a thread, or where that finds that the repository is too large for it, in a process. */
type PlaceName = 'thread' | 'process'

interface Job {
  place: PlaceName
  readonly message: JobMessage
  /** Nobody waits for it any more. */
  isDropped?: true
  readonly onPages: ((pages: readonly PreviewPage[]) => Promise<void>) | undefined
  readonly result: PromiseWithResolvers<Outcome>
  /** Gives its turn to the next. */
  readonly end: () => void
}

/** Sees to it that the labels and annotations of a repository's images can be read from the database. */
export type Prepare = (repositoryId: number, signal: AbortSignal | undefined) => Promise<void>

/**
 * Evaluates in a thread of its own, which begins with the first evaluation, and very large repositories in a process of their own,
 * which ends with them.
 */
export class SeparateEvaluator implements Evaluator {
  readonly #target: MetadataTarget
  readonly #prepare: Prepare
  readonly #maxImagesInThread: number | undefined
  readonly #places = new Map<PlaceName, EvaluationPlace>()
  readonly #turns = new FairTurns({ limit: maxJobs, limitOfOne: maxJobsOfOne })
  readonly #running = new Map<number, Job>()
  readonly #stop = new AbortController()
  #nextId = 1

  /** @param maxImagesInThread as evaluation-place.ts has it, unless it is given */
  constructor(target: MetadataTarget, prepare: Prepare, maxImagesInThread?: number) {
    this.#target = target
    this.#prepare = prepare
    this.#maxImagesInThread = maxImagesInThread
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
    const places = [...this.#places]
    for (const [name] of places) this.#lose(name, this.#stop.signal.reason)
    for (const [, place] of places) place.tell({ kind: 'close' })
    await Promise.all(places.map(([, { ended }]) => ended))
  }

  async #do(
    { account, repositoryId }: Pick<EvaluationRequest, 'account' | 'repositoryId'>,
    policies: readonly PolicyText[],
    message: (id: number) => JobMessage,
    given: AbortSignal | undefined,
    onPages?: Job['onPages'],
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
    return this.#run(id, { place: 'thread', message: message(id), onPages, result: Promise.withResolvers(), end }, signal)
  }

  async #run(id: number, job: Job, signal: AbortSignal): Promise<Outcome> {
    const stop = (): void => this.#drop(id, signal.reason)
    signal.addEventListener('abort', stop)
    this.#running.set(id, job)
    this.#give(job)
    try {
      return await job.result.promise
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  #give(job: Job): void {
    const place = this.#places.get(job.place) ?? this.#start(job.place)
    place.hold()
    place.tell(job.message)
  }

  #start(name: PlaceName): EvaluationPlace {
    const events: PlaceEvents = {
      onAnswer: (answer) => void this.#onAnswer(place, answer),
      onGone: (cause) => {
        if (this.#places.get(name) === place) this.#lose(name, cause)
      },
    }
    const place = name === 'thread' ? startThread(this.#target, events, this.#maxImagesInThread) : startProcess(this.#target, events)
    this.#places.set(name, place)
    return place
  }

  async #onAnswer(place: EvaluationPlace, answer: Parameters<PlaceEvents['onAnswer']>[0]): Promise<void> {
    const { id } = answer
    const job = this.#running.get(id)
    if (answer.kind === 'pages') {
      try {
        await job?.onPages?.(answer.pages)
        place.tell({ kind: 'taken', id })
      } catch (error) {
        this.#drop(id, error)
      }
      return
    }
    if (answer.kind === 'too-large' && job !== undefined && !job.isDropped) {
      job.place = 'process'
      this.#give(job)
      this.#rest('thread')
      return
    }
    this.#running.delete(id)
    if (job !== undefined) this.#rest(job.place)
    job?.end()
    if (answer.kind === 'failed') job?.result.reject(revive(answer.failure))
    else if (answer.kind !== 'too-large') job?.result.resolve(outcomeOf(answer))
  }

  /** A thread that has nothing to do waits for more; a process ends, with the memory that it took. */
  #rest(name: PlaceName): void {
    const place = this.#places.get(name)
    if (place === undefined || [...this.#running.values()].some((job) => job.place === name)) return
    place.release()
    if (name === 'thread') return
    this.#places.delete(name)
    place.tell({ kind: 'close' })
  }

  /** It keeps its turn until whoever does it has let go of it. */
  #drop(id: number, reason: unknown): void {
    const job = this.#running.get(id)
    if (job === undefined) return
    job.isDropped = true
    this.#places.get(job.place)?.tell({ kind: 'stop', id })
    job.result.reject(reason)
  }

  /** Whoever comes next has a new one. */
  #lose(name: PlaceName, cause: unknown): void {
    this.#places.delete(name)
    for (const [id, job] of this.#running) {
      if (job.place !== name) continue
      this.#running.delete(id)
      job.result.reject(cause)
      job.end()
    }
  }
}

/** Without what callers know of policies besides: functions cannot be sent. */
function plain(request: EvaluationRequest): EvaluationRequest {
  return { ...request, policies: plainPolicies(request.policies), before: request.before && plainPolicies(request.before) }
}

function plainPolicies(policies: readonly PolicyText[]): PolicyText[] {
  return policies.map(({ grammar, document }) => ({ grammar, document }))
}

function outcomeOf(answer: Exclude<JobAnswer, { readonly kind: 'pages' | 'failed' | 'column' | 'too-large' }>): Outcome {
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

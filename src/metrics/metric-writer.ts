import { Worker } from 'node:worker_threads'
import { dimensionsText, type Addition, type StatisticSet } from '../storage/metadata/observe/metric-store.ts'
import type { ObserveTarget } from '../storage/metadata/observe/store.ts'
import { registryOfMetrics } from './metric-names.ts'
import type { MetricId } from './metric-reader.ts'
import type { MetricRetention } from './metric-retention.ts'

export type { StatisticSet } from '../storage/metadata/observe/metric-store.ts'

/** What somebody measured in a minute. */
export interface NewPoint {
  readonly metric: MetricId
  readonly unit: string
  /** The beginning of the minute. */
  readonly at: number
  readonly set: StatisticSet
}

/** All of it is written, or nothing: there would be too many series, or too much waits already. */
export type PutOutcome = 'written' | 'too-many-series' | 'busy'

export interface MetricWriterData {
  readonly store: ObserveTarget
  /** Where nobody else removes old points: after which time the thread does so, now and then, beside writing. */
  readonly retention?: MetricRetention | undefined
}

export type WriterMessage = { readonly kind: 'put'; readonly id: number; readonly additions: readonly Addition[] } | { readonly kind: 'close' }

export interface WriterAnswer {
  readonly id: number
  readonly outcome?: PutOutcome
  readonly failure?: string
}

/** Points that wait: some tens of megabytes, and seconds of work. */
const maxWaiting = 50_000

interface Waiting {
  readonly count: number
  readonly done: PromiseWithResolvers<PutOutcome>
}

/**
 * Writes the metrics that clients put, in a thread of its own that is there from the first of them on: on SQLite a commit would
 * hold up requests. Requests that wait together share one.
 */
export class MetricWriter {
  readonly #data: MetricWriterData
  readonly #onError: (error: unknown) => void
  readonly #waiting = new Map<number, Waiting>()
  #waitingCount = 0
  #worker: Worker | undefined
  #nextId = 1
  #isStopped = false

  constructor(data: MetricWriterData, onError: (error: unknown) => void) {
    this.#data = data
    this.#onError = onError
  }

  /** Durable when it answers `written`. Rejects where the store cannot be written. */
  async put(account: string, region: string, points: readonly NewPoint[]): Promise<PutOutcome> {
    if (this.#waitingCount + points.length > maxWaiting && this.#waitingCount > 0) return 'busy'
    if (this.#isStopped) throw new Error('the server stops')
    const registry = registryOfMetrics(account, region)
    const additions = points.map(({ metric, unit, at, set }) => ({ registry, namespace: metric.namespace, name: metric.name, dimensions: dimensionsText(metric.dimensions), unit, at, set }))
    const id = this.#nextId++
    const done = Promise.withResolvers<PutOutcome>()
    this.#waiting.set(id, { count: points.length, done })
    this.#waitingCount += points.length
    this.#worker ??= this.#start()
    this.#worker.ref()
    this.#worker.postMessage({ kind: 'put', id, additions } satisfies WriterMessage)
    return done.promise
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.allSettled([...this.#waiting.values()].map(({ done }) => done.promise))
    const worker = this.#worker
    if (worker === undefined) return
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
    worker.ref()
    worker.postMessage({ kind: 'close' } satisfies WriterMessage)
    await ended
  }

  #start(): Worker {
    const worker = new Worker(new URL('./metric-writer-worker.ts', import.meta.url), { name: 'metrics', workerData: this.#data, execArgv: [] })
    worker.on('message', ({ id, outcome, failure }: WriterAnswer) => {
      const done = this.#take(id)
      if (failure === undefined) done?.resolve(outcome ?? 'written')
      else done?.reject(new Error(failure))
      if (this.#waiting.size === 0) worker.unref()
    })
    worker.on('error', this.#onError)
    worker.on('exit', () => {
      this.#worker = undefined
      for (const id of this.#waiting.keys()) this.#take(id)?.reject(new Error('the thread that writes metrics ended'))
    })
    return worker
  }

  #take(id: number): Waiting['done'] | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    this.#waitingCount -= waiting?.count ?? 0
    return waiting?.done
  }
}

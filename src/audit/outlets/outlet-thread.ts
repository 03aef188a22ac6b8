import { Worker } from 'node:worker_threads'
import type { ObserveTarget } from '../../storage/metadata/observe/store.ts'
import type { OutletProgress } from './follower.ts'
import type { OutletName } from './outlet.ts'
import type { OutletSettings } from './outlet-settings.ts'

export interface OutletData {
  readonly store: ObserveTarget
  readonly outlets: OutletSettings
  /** Names this process. */
  readonly owner: string
  /** No other server uses the store: what one that was killed had is free. */
  readonly isAlone: boolean
}

export type OutletMessage = { readonly kind: 'progress' } | { readonly kind: 'close' }

export type OutletAnswer =
  | { readonly kind: 'progress'; readonly progress: Readonly<Record<string, OutletProgress>> }
  | { readonly kind: 'failed'; readonly outlet: OutletName; readonly message: string }
  | { readonly kind: 'gap'; readonly outlet: OutletName; readonly records: number }
  | { readonly kind: 'rejected'; readonly outlet: OutletName; readonly records: number; readonly reason: string }

export interface OutletThreadOptions {
  readonly data: OutletData
  readonly onAnswer: (answer: Exclude<OutletAnswer, { readonly kind: 'progress' }>) => void
  readonly onError: (error: unknown) => void
}

const restartAfterMs = 5_000
const progressIntervalMs = 1_000

/** Brings the trail to where the settings say, in a thread of its own: making the records' forms takes time that requests need. */
export class OutletThread {
  readonly #options: OutletThreadOptions
  #worker: Worker | undefined
  #restart: NodeJS.Timeout | undefined
  #asking: NodeJS.Timeout | undefined
  #isStopped = false
  #progress: Readonly<Record<string, OutletProgress>> = {}

  constructor(options: OutletThreadOptions) {
    this.#options = options
  }

  /** As of a second ago, by the outlet's name. */
  get progress(): Readonly<Record<string, OutletProgress>> {
    return this.#progress
  }

  start(): void {
    this.#startWorker()
    this.#asking = setInterval(() => this.#tell({ kind: 'progress' }), progressIntervalMs)
    this.#asking.unref()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#restart)
    clearInterval(this.#asking)
    const worker = this.#worker
    if (worker === undefined) return
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
    worker.ref()
    this.#tell({ kind: 'close' })
    await ended
  }

  #startWorker(): void {
    const worker = new Worker(new URL('./outlet-worker.ts', import.meta.url), { name: 'audit-outlets', workerData: this.#options.data, execArgv: [] })
    worker.unref()
    worker.on('message', (answer: OutletAnswer) => {
      if (answer.kind === 'progress') this.#progress = answer.progress
      else this.#options.onAnswer(answer)
    })
    worker.on('error', this.#options.onError)
    worker.on('exit', () => {
      this.#worker = undefined
      if (this.#isStopped) return
      this.#options.onError(new Error('the thread that brings the audit trail elsewhere ended'))
      this.#restart = setTimeout(() => this.#startWorker(), restartAfterMs)
      this.#restart.unref()
    })
    this.#worker = worker
  }

  #tell(message: OutletMessage): void {
    this.#worker?.postMessage(message)
  }
}

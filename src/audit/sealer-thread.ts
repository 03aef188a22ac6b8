import { Worker } from 'node:worker_threads'
import type { MetricRetention } from '../metrics/metric-retention.ts'
import type { MetadataTarget } from '../storage/metadata/migrate.ts'
import type { ObserveTarget } from '../storage/metadata/observe/store.ts'

export interface SealerData {
  readonly metadata: MetadataTarget
  readonly store: ObserveTarget
  /** Of the journal. */
  readonly folder: string
  /** Of this process, as the journal has it. */
  readonly serverId: string
  /** Names of segments that servers left that are gone. */
  readonly leftBehind: readonly string[]
  readonly retentionMs: number
  /** The installation's own registry. */
  readonly home: { readonly account: string; readonly region: string }
  readonly metricRetentionMs: MetricRetention
}

export type SealerMessage =
  | { readonly kind: 'look' | 'finish' | 'close' }
  | { readonly kind: 'forgotten'; readonly id: number; readonly failure?: string }

export type SealerAnswer =
  | { readonly kind: 'forget'; readonly id: number; readonly changeIds: readonly number[] }
  | { readonly kind: 'damage'; readonly damage: { readonly file: string; readonly lines: number } }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'finished' }

export interface SealerThreadOptions {
  readonly data: SealerData
  readonly forget: (changeIds: readonly number[]) => Promise<void>
  readonly onDamage: (damage: { readonly file: string; readonly lines: number }) => void
  readonly onError: (error: unknown) => void
}

/** A worker that ended is started again after this long. */
const restartAfterMs = 5_000

/** Seals the audit trail in a thread of its own. */
export class SealerThread {
  readonly #options: SealerThreadOptions
  #worker: Worker | undefined
  #restart: NodeJS.Timeout | undefined
  #isStopped = false
  #finished: (() => void) | undefined

  constructor(options: SealerThreadOptions) {
    this.#options = options
  }

  start(): void {
    this.#startWorker(this.#options.data)
  }

  /** There is something to seal. */
  look(): void {
    this.#tell({ kind: 'look' })
  }

  /** Seals what there is, and ends. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#restart)
    const worker = this.#worker
    if (worker === undefined) return
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
    const finished = new Promise<void>((resolve) => {
      this.#finished = resolve
    })
    worker.ref()
    this.#tell({ kind: 'finish' })
    await Promise.race([finished, ended])
    this.#tell({ kind: 'close' })
    await ended
  }

  #startWorker(workerData: SealerData): void {
    const worker = new Worker(new URL('./sealer-worker.ts', import.meta.url), { name: 'audit', workerData, execArgv: [] })
    worker.unref()
    worker.on('message', (answer: SealerAnswer) => this.#onAnswer(answer))
    worker.on('error', this.#options.onError)
    worker.on('exit', () => {
      this.#worker = undefined
      if (this.#isStopped) return
      this.#options.onError(new Error('the thread that seals the audit trail ended'))
      this.#restart = setTimeout(() => this.#startWorker(workerData), restartAfterMs)
      this.#restart.unref()
    })
    this.#worker = worker
  }

  #onAnswer(answer: SealerAnswer): void {
    switch (answer.kind) {
      case 'forget':
        this.#options.forget(answer.changeIds).then(
          () => this.#tell({ kind: 'forgotten', id: answer.id }),
          (error: unknown) => this.#tell({ kind: 'forgotten', id: answer.id, failure: error instanceof Error ? error.message : String(error) }),
        )
        break
      case 'damage':
        this.#options.onDamage(answer.damage)
        break
      case 'failed':
        this.#options.onError(new Error(answer.message))
        break
      case 'finished':
        this.#finished?.()
        break
    }
  }

  #tell(message: SealerMessage): void {
    this.#worker?.postMessage(message)
  }
}

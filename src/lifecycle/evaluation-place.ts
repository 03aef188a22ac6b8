import { fork } from 'node:child_process'
import { setPriority } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { MetadataTarget } from '../storage/metadata/migrate.ts'
import type { EvaluationParts } from './evaluate-repository.ts'
import type { ColumnName, JobAnswer, JobMessage, PlaceData } from './evaluation-messages.ts'

/** A thread or a process that evaluates. */
export interface EvaluationPlace {
  tell(message: JobMessage): void
  /** While it is held, the program does not end. */
  hold(): void
  release(): void
  /** Resolves when it has ended. */
  readonly ended: Promise<void>
}

export interface PlaceEvents {
  onAnswer(answer: Exclude<JobAnswer, { readonly kind: 'column' }>): void
  onGone(cause: unknown): void
}

/** More images than this are evaluated in a process: it takes half a second to start, which they take several times over. */
const maxImagesInThread = 100_000

/** Beside the server's own threads: what it takes is shared memory and a few milliseconds to begin. */
export function startThread(target: MetadataTarget, events: PlaceEvents, maxImages: number = maxImagesInThread): EvaluationPlace {
  const workerData: PlaceData = { target, maxImages }
  const worker = new Worker(new URL('./evaluation-worker.ts', import.meta.url), { name: 'lifecycle', workerData, execArgv: [] })
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  worker.on('message', (answer: JobAnswer) => {
    if (answer.kind !== 'column') events.onAnswer(answer)
  })
  worker.on('error', (error) => events.onGone(error))
  worker.on('exit', () => events.onGone(new Error('the thread that evaluates lifecycle policies ended')))
  return { tell: (message) => worker.postMessage(message), hold: () => worker.ref(), release: () => worker.unref(), ended }
}

/**
 * A million images keep a processor busy for seconds, and the threads that collect V8's garbage with it, which a process has in
 * common: requests waited for them. So a process without such threads, of a lower priority.
 */
export function startProcess(target: MetadataTarget, events: PlaceEvents): EvaluationPlace {
  const child = fork(fileURLToPath(new URL('./evaluation-worker.ts', import.meta.url)), {
    serialization: 'advanced',
    // Room for new objects, of which few live long: with V8's own start of 1 MB it collects thousands of times.
    execArgv: ['--single-threaded', '--min-semi-space-size=16', '--max-semi-space-size=16'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  // Before it has begun: half a second is its start. A tenth of what others get who want a processor: less, or SCHED_IDLE, and it
  // never ends where all are busy.
  if (child.pid !== undefined) setPriority(child.pid, 10)
  const columns = new ColumnsUnderWay()
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.on('message', (answer: JobAnswer) => {
    if (answer.kind === 'column') columns.take(answer)
    else if (answer.kind === 'evaluated') events.onAnswer({ ...answer, parts: columns.whole(answer.id, answer.parts) })
    else events.onAnswer(answer)
  })
  child.once('error', (error) => events.onGone(error))
  child.once('exit', () => events.onGone(new Error('the process that evaluates lifecycle policies ended')))
  const data: PlaceData = { target, maxImages: undefined }
  const tell = (message: JobMessage | PlaceData): void => {
    // One that is gone says so by its exit.
    if (child.connected) child.send(message, () => undefined)
  }
  tell(data)
  return {
    tell,
    hold: () => {
      child.ref()
      child.channel?.ref()
    },
    release: () => {
      child.unref()
      child.channel?.unref()
    },
    ended,
  }
}

/** The columns of an evaluation come in parts of which none holds the event loop up. */
class ColumnsUnderWay {
  readonly #byJob = new Map<number, Map<ColumnName, Uint8Array>>()

  take({ id, name, sizeBytes, offset, bytes }: Extract<JobAnswer, { readonly kind: 'column' }>): void {
    const columns = this.#byJob.get(id) ?? new Map<ColumnName, Uint8Array>()
    this.#byJob.set(id, columns)
    const column = columns.get(name) ?? new Uint8Array(sizeBytes)
    columns.set(name, column)
    column.set(bytes, offset)
  }

  whole(id: number, parts: EvaluationParts): EvaluationParts {
    const columns = this.#byJob.get(id)
    this.#byJob.delete(id)
    const of = (name: ColumnName): ArrayBuffer => (columns?.get(name)?.buffer ?? new ArrayBuffer(0)) as ArrayBuffer
    return {
      ...parts,
      fingerprints: new Uint32Array(of('fingerprints')),
      decided: {
        ...parts.decided,
        columns: {
          size: parts.decided.columns.size,
          ids: new Float64Array(of('ids')),
          flags: new Uint8Array(of('flags')),
          expiredBy: new Uint16Array(of('expiredBy')),
          transitionedBy: new Uint16Array(of('transitionedBy')),
          keptBy: new Uint16Array(of('keptBy')),
          announcedBy: new Uint16Array(of('announcedBy')),
          announcements: new Uint8Array(of('announcements')),
        },
      },
    }
  }
}

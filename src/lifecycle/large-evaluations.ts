import { fork, type ChildProcess } from 'node:child_process'
import { setPriority } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { MetadataTarget } from '../storage/metadata/migrate.ts'
import type { EvaluationParts } from './evaluate-repository.ts'
import { failureOf } from './evaluation-jobs.ts'
import type { ColumnName, ColumnPart, Job, JobAnswer, JobMessage, ProcessData } from './evaluation-messages.ts'

/**
 * Evaluations in a process, which begins with the first of them and ends with the last, with the memory that it took. A million
 * images keep a processor busy for seconds, and the threads that collect V8's garbage with it, which a process has in common:
 * requests waited for them. So a process without such threads, of a lower priority. The thread that evaluates starts it and listens to
 * it: in the server's own, starting a process held requests up for some 10 ms, and so did the garbage of what it says.
 */
export class LargeEvaluations {
  readonly #target: MetadataTarget
  readonly #answer: (answer: JobAnswer) => void
  readonly #jobs = new Set<number>()
  /** Processes that have not ended, and when they have. */
  readonly #living = new Map<ChildProcess, Promise<undefined>>()
  #process: ChildProcess | undefined

  /** @param answer is told what becomes of each job */
  constructor(target: MetadataTarget, answer: (answer: JobAnswer) => void) {
    this.#target = target
    this.#answer = answer
  }

  /** Begins a job. */
  give(job: Job): void {
    this.#jobs.add(job.id)
    try {
      this.#process ??= this.#start()
    } catch (error) {
      this.#onAnswer({ kind: 'failed', id: job.id, failure: failureOf(error) })
      return
    }
    tell(this.#process, job)
  }

  /** Whether it has a job that has not come to an end. */
  has(id: number): boolean {
    return this.#jobs.has(id)
  }

  /** What a job that it has is told. */
  tell(message: JobMessage): void {
    if (this.#process !== undefined) tell(this.#process, message)
  }

  /**
   * Resolves when no process is left. They only read, and are not asked: of their priority they might take longer to hear of it than
   * a server has that is told to stop.
   */
  async close(): Promise<void> {
    this.#process = undefined
    for (const child of this.#living.keys()) child.kill('SIGKILL')
    await Promise.all(this.#living.values())
  }

  #start(): ChildProcess {
    const child = fork(fileURLToPath(new URL('./evaluation-process.ts', import.meta.url)), {
      serialization: 'advanced',
      // Room for new objects, of which few live long: with V8's own start of 1 MB it collects thousands of times.
      execArgv: ['--single-threaded', '--initial-old-space-size=96', '--min-semi-space-size=16', '--max-semi-space-size=16'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    giveWay(child)
    const columns = new ColumnsUnderWay()
    child.on('message', (said) => {
      const message = said as JobAnswer | ColumnPart
      if (!this.#jobs.has(message.id)) return
      if (message.kind === 'column') columns.take(message)
      else this.#onAnswer(message.kind === 'evaluated' ? { ...message, parts: columns.whole(message.id, message.parts) } : message)
    })
    const ended = Promise.withResolvers<undefined>()
    this.#living.set(child, ended.promise)
    const onEnd = (error: Error): void => {
      this.#living.delete(child)
      ended.resolve(undefined)
      this.#lose(child, error)
    }
    child.once('exit', () => onEnd(new Error('the process that evaluates lifecycle policies ended')))
    // One that could not be started has no exit.
    child.once('error', (error) => {
      if (child.pid === undefined) onEnd(error)
    })
    tell(child, { target: this.#target } satisfies ProcessData)
    return child
  }

  #onAnswer(answer: JobAnswer): void {
    if (answer.kind !== 'pages') this.#jobs.delete(answer.id)
    this.#answer(answer)
    if (this.#jobs.size === 0) this.#end()
  }

  #end(): void {
    const child = this.#process
    this.#process = undefined
    if (child !== undefined) tell(child, { kind: 'close' })
  }

  /** Whoever comes next has a new one. */
  #lose(child: ChildProcess, cause: Error): void {
    if (this.#process !== child) return
    this.#process = undefined
    for (const id of this.#jobs) this.#onAnswer({ kind: 'failed', id, failure: failureOf(cause) })
  }
}

/**
 * Before it has begun: half a second is its start. A tenth of what others get who want a processor: less, or SCHED_IDLE, and it never
 * ends where all are busy.
 */
function giveWay(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    setPriority(child.pid, 10)
  } catch {
    // As when the system forbids it: better one that does not give way than none.
  }
}

function tell(child: ChildProcess, message: JobMessage | ProcessData): void {
  // One that is gone says so by its exit.
  if (child.connected) child.send(message, () => undefined)
}

/** The columns of an evaluation come in parts of which none holds the event loop up. */
class ColumnsUnderWay {
  readonly #byJob = new Map<number, Map<ColumnName, Uint8Array>>()

  take({ id, name, sizeBytes, offset, bytes }: ColumnPart): void {
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

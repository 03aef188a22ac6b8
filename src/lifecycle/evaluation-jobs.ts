import { isPlatformError } from '../internal/platform-error.ts'
import type { MetadataTarget } from '../storage/metadata/migrate.ts'
import { openMetadataReader } from '../storage/metadata/open.ts'
import type { MetadataReader } from '../storage/metadata/reader.ts'
import { TooManyImages } from './evaluate-repository.ts'
import type { Job, JobAnswer, JobMessage, SentFailure } from './evaluation-messages.ts'
import { compareOn, evaluateParts, previewOn } from './evaluator.ts'
import type { Pace } from './pace.ts'
import type { PreviewPage } from './preview-pages.ts'

/** Where evaluations are done, and how. */
export interface EvaluationJobsOptions {
  readonly target: MetadataTarget
  /** Resolves when more can be said. */
  readonly answer: (answer: JobAnswer) => Promise<void>
  /** As `EvaluationConditions` has it. */
  readonly pace?: Pace
  /** A repository with more images is not evaluated here: the job is given to somebody else, who answers. */
  readonly tooLarge?: { readonly maxImages: number; readonly give: (job: Job) => void }
}

interface Running {
  readonly stop: AbortController
  /** Lets the next pages go out. */
  taken: (() => void) | undefined
}

/** Evaluations in a thread or process other than the server's own, side by side, with a reading connection of their own. */
export class EvaluationJobs {
  readonly #options: EvaluationJobsOptions
  #opening: Promise<MetadataReader> | undefined
  readonly #running = new Map<number, Running>()

  constructor(options: EvaluationJobsOptions) {
    this.#options = options
  }

  /** Begins a job, or goes on with one. */
  take(message: Exclude<JobMessage, { readonly kind: 'close' }>): void {
    switch (message.kind) {
      case 'evaluate':
      case 'preview':
      case 'compare':
        void this.#work(message)
        break
      case 'taken':
        this.#running.get(message.id)?.taken?.()
        break
      case 'stop':
        this.#end(this.#running.get(message.id), 'nobody waits for the evaluation any more')
        break
    }
  }

  /** Ends all jobs, and lets go of the database. */
  async close(): Promise<void> {
    for (const state of this.#running.values()) this.#end(state, 'the server stops')
    await (await this.#opening?.catch(() => undefined))?.close()
  }

  /** What cannot be opened now may be later. */
  #open(): Promise<MetadataReader> {
    // A connection that was lost is made again by the next statement, which says so if it cannot.
    return (this.#opening ??= openMetadataReader(this.#options.target, { onConnectionLost: () => undefined }).catch((error: unknown) => {
      this.#opening = undefined
      throw error
    }))
  }

  #end(state: Running | undefined, reason: string): void {
    state?.stop.abort(new Error(reason))
    state?.taken?.()
  }

  async #work(job: Job): Promise<void> {
    const { id } = job
    const { answer, tooLarge } = this.#options
    const state: Running = { stop: new AbortController(), taken: undefined }
    this.#running.set(id, state)
    try {
      await answer(await this.#do(job, state))
    } catch (error) {
      if (error instanceof TooManyImages && tooLarge !== undefined && !state.stop.signal.aborted) tooLarge.give(job)
      else await answer({ kind: 'failed', id, failure: failureOf(error) })
    } finally {
      this.#running.delete(id)
    }
  }

  async #do(job: Job, state: Running): Promise<JobAnswer> {
    const { id } = job
    const { reader } = await this.#open()
    const { answer, pace, tooLarge } = this.#options
    const conditions = { signal: state.stop.signal, pace, maxImages: tooLarge?.maxImages }
    if (job.kind === 'evaluate') return { kind: 'evaluated', id, parts: await evaluateParts(reader, job.request, conditions) }
    if (job.kind === 'compare') return { kind: 'compared', id, comparison: await compareOn(reader, job.request, conditions) }
    const onPages = async (pages: readonly PreviewPage[]): Promise<void> => {
      const taken = new Promise<void>((resolve) => (state.taken = resolve))
      await answer({ kind: 'pages', id, pages })
      await taken
    }
    return { kind: 'previewed', id, summary: await previewOn(reader, job.request, onPages, conditions) }
  }
}

/** An error as it can be sent. */
export function failureOf(error: unknown): SentFailure {
  const { message, stack } = error instanceof Error ? error : new Error(String(error))
  return isPlatformError(error) ? { code: error.code, message, stack, detail: error.detail } : { code: undefined, message, stack, detail: undefined }
}

import { parentPort, workerData } from 'node:worker_threads'
import { isPlatformError } from '../internal/platform-error.ts'
import { openMetadataReader } from '../storage/metadata/open.ts'
import type { Session } from '../storage/metadata/session.ts'
import type { EvaluationWorkerData, JobAnswer, JobMessage, SentFailure } from './evaluation-thread.ts'
import { compareOn, evaluateParts, previewOn, type EvaluationRequest } from './evaluator.ts'
import type { PreviewPage } from './preview-pages.ts'

/*
 * The thread in which policies are evaluated, with a reading connection of its own, so that requests wait neither for
 * statements over a million images nor for the sorting of what they answer. Started by evaluation-thread.ts.
 */

const port = parentPort
if (port === null) throw new Error('evaluation-worker.ts is the program of a thread')

interface Running {
  readonly stop: AbortController
  /** Lets the next page go out. */
  taken: (() => void) | undefined
}

const { target } = workerData as EvaluationWorkerData
// A connection that was lost is made again by the next statement, which says so if it cannot.
const opening = openMetadataReader(target, { onConnectionLost: () => undefined })
const running = new Map<number, Running>()

port.on('message', (message: JobMessage) => {
  switch (message.kind) {
    case 'evaluate':
    case 'preview':
    case 'compare':
      void work(message)
      break
    case 'taken':
      running.get(message.id)?.taken?.()
      break
    case 'stop':
      running.get(message.id)?.stop.abort(new Error('nobody waits for the evaluation any more'))
      running.get(message.id)?.taken?.()
      break
    case 'close':
      void close()
      break
  }
})

async function work(job: Exclude<JobMessage, { readonly kind: 'taken' | 'stop' | 'close' }>): Promise<void> {
  const { id } = job
  const state: Running = { stop: new AbortController(), taken: undefined }
  running.set(id, state)
  try {
    const { reader } = await opening
    const { signal } = state.stop
    if (job.kind === 'evaluate') await evaluate(id, reader, job.request, signal)
    else if (job.kind === 'compare') answer({ kind: 'compared', id, comparison: await compareOn(reader, job.request, signal) })
    else answer({ kind: 'previewed', id, summary: await previewOn(reader, job.request, (page) => send(id, page, state), signal) })
  } catch (error) {
    answer({ kind: 'failed', id, failure: failureOf(error) })
  } finally {
    running.delete(id)
  }
}

async function evaluate(id: number, reader: Session, request: EvaluationRequest, signal: AbortSignal): Promise<void> {
  const parts = await evaluateParts(reader, request, signal)
  const { ids, flags, expiredBy, transitionedBy, keptBy, announcedBy, announcements } = parts.decided.columns
  const buffers = [ids, flags, expiredBy, transitionedBy, keptBy, announcedBy, announcements, parts.fingerprints].map(({ buffer }) => buffer as ArrayBuffer)
  port!.postMessage({ kind: 'evaluated', id, parts } satisfies JobAnswer, buffers)
}

async function send(id: number, page: PreviewPage, state: Running): Promise<void> {
  const taken = new Promise<void>((resolve) => (state.taken = resolve))
  answer({ kind: 'page', id, page })
  await taken
}

function answer(message: JobAnswer): void {
  port!.postMessage(message)
}

function failureOf(error: unknown): SentFailure {
  const { message, stack } = error instanceof Error ? error : new Error(String(error))
  return isPlatformError(error) ? { code: error.code, message, stack, detail: error.detail } : { code: undefined, message, stack, detail: undefined }
}

/** Lets go of the database before the thread ends. */
async function close(): Promise<void> {
  for (const { stop, taken } of running.values()) {
    stop.abort(new Error('the server stops'))
    taken?.()
  }
  await (await opening.catch(() => undefined))?.close()
  port!.close()
}

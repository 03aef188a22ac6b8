import { setTimeout as delay } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { isPlatformError } from '../internal/platform-error.ts'
import { openMetadataReader } from '../storage/metadata/open.ts'
import type { Session } from '../storage/metadata/session.ts'
import { TooManyImages, type EvaluationConditions, type EvaluationParts } from './evaluate-repository.ts'
import type { ColumnName, JobAnswer, JobMessage, PlaceData, SentFailure } from './evaluation-messages.ts'
import { compareOn, evaluateParts, previewOn } from './evaluator.ts'
import { unhurried } from './pace.ts'
import type { PreviewPage } from './preview-pages.ts'

/*
 * The thread or process in which policies are evaluated, with a reading connection of its own, so that requests wait neither for
 * statements over a million images nor for the sorting of what they answer. Started by evaluation-place.ts.
 */

interface Running {
  readonly stop: AbortController
  /** Lets the next pages go out. */
  taken: (() => void) | undefined
}

/**
 * Bytes of a column in one message of a process, and the time until the next: the server copies them in a tenth of a millisecond, and
 * has others to answer. A million images that go have some 300 parts.
 */
const columnPartBytes = 64 * 1024
const columnPartRestMs = 1

const port = parentPort
/** What a process is told before that waits. */
const hasBegun = Promise.withResolvers<undefined>()
const { target, maxImages } = port === null ? await becomeProcess() : (workerData as PlaceData)
const pace = port === null ? unhurried() : undefined
// A connection that was lost is made again by the next statement, which says so if it cannot.
const opening = openMetadataReader(target, { onConnectionLost: () => undefined })
const running = new Map<number, Running>()

if (port !== null) port.on('message', onMessage)
hasBegun.resolve(undefined)

/** Gives way to the server, and ends with it, which alone is told by whoever stops both. */
async function becomeProcess(): Promise<PlaceData> {
  if (process.send === undefined) throw new Error('evaluation-worker.ts is the program of a thread or a process that the server starts')
  process.once('disconnect', () => process.exit())
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
  const data = Promise.withResolvers<PlaceData>()
  process.once('message', (message) => {
    process.on('message', (job) => void hasBegun.promise.then(() => onMessage(job as JobMessage)))
    data.resolve(message as PlaceData)
  })
  return data.promise
}

function onMessage(message: JobMessage): void {
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
}

async function work(job: Exclude<JobMessage, { readonly kind: 'taken' | 'stop' | 'close' }>): Promise<void> {
  const { id } = job
  const state: Running = { stop: new AbortController(), taken: undefined }
  running.set(id, state)
  try {
    const { reader } = await opening
    const conditions = { signal: state.stop.signal, pace, maxImages }
    if (job.kind === 'evaluate') await sendParts(id, await evaluateParts(reader, job.request, conditions))
    else if (job.kind === 'compare') await answer({ kind: 'compared', id, comparison: await compareOn(reader, job.request, conditions) })
    else await preview(id, reader, job.request, state, conditions)
  } catch (error) {
    await answer(error instanceof TooManyImages ? { kind: 'too-large', id } : { kind: 'failed', id, failure: failureOf(error) })
  } finally {
    running.delete(id)
  }
}

async function preview(id: number, reader: Session, request: Parameters<typeof previewOn>[1], state: Running, conditions: EvaluationConditions): Promise<void> {
  const summary = await previewOn(reader, request, (pages) => sendPages(id, pages, state), conditions)
  await answer({ kind: 'previewed', id, summary })
}

async function sendPages(id: number, pages: readonly PreviewPage[], state: Running): Promise<void> {
  const taken = new Promise<void>((resolve) => (state.taken = resolve))
  await answer({ kind: 'pages', id, pages }, pages.map(({ results }) => results.buffer as ArrayBuffer))
  await taken
}

async function sendParts(id: number, parts: EvaluationParts): Promise<void> {
  const { size, ...decided } = parts.decided.columns
  const columns = Object.entries({ ...decided, fingerprints: parts.fingerprints }) as [ColumnName, NodeJS.TypedArray][]
  if (port !== null) return answer({ kind: 'evaluated', id, parts }, columns.map(([, { buffer }]) => buffer as ArrayBuffer))
  for (const [name, { buffer, byteOffset, byteLength }] of columns) {
    for (let offset = 0; offset < byteLength; offset += columnPartBytes) {
      const bytes = new Uint8Array(buffer, byteOffset + offset, Math.min(columnPartBytes, byteLength - offset))
      await answer({ kind: 'column', id, name, sizeBytes: byteLength, offset, bytes })
      await delay(columnPartRestMs)
    }
  }
  const none = Object.fromEntries(Object.keys(decided).map((name) => [name, undefined]))
  const rest = { ...parts, fingerprints: undefined, decided: { ...parts.decided, columns: { size, ...none } } }
  await answer({ kind: 'evaluated', id, parts: rest as unknown as EvaluationParts })
}

/** Resolves when more can be sent. */
async function answer(message: JobAnswer, transfer: readonly ArrayBuffer[] = []): Promise<void> {
  if (port !== null) {
    port.postMessage(message, transfer)
    return
  }
  // Without the server there is nobody to tell that it failed.
  await new Promise<void>((resolve) => process.send!(message, undefined, undefined, () => resolve()))
}

function failureOf(error: unknown): SentFailure {
  const { message, stack } = error instanceof Error ? error : new Error(String(error))
  return isPlatformError(error) ? { code: error.code, message, stack, detail: error.detail } : { code: undefined, message, stack, detail: undefined }
}

/** Lets go of the database before it ends. */
async function close(): Promise<void> {
  for (const { stop, taken } of running.values()) {
    stop.abort(new Error('the server stops'))
    taken?.()
  }
  await (await opening.catch(() => undefined))?.close()
  if (port === null) process.disconnect()
  else port.close()
}

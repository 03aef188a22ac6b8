import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../internal/clock.ts'
import { addPoints, rememberSeries } from '../storage/metadata/observe/metric-store.ts'
import { inSavepoint, openObserveStore } from '../storage/metadata/observe/store.ts'
import { removeOldMetricPoints } from './metric-retention.ts'
import { putLimits } from './series-limits.ts'
import type { MetricWriterData, PutOutcome, WriterAnswer, WriterMessage } from './metric-writer.ts'

/*
 * The thread in which metrics are written that clients put. Started by metric-writer.ts.
 */

const port = parentPort
if (port === null) throw new Error('metric-writer-worker.ts is the program of a thread')
const { store: target, retention } = workerData as MetricWriterData

type Put = Extract<WriterMessage, { kind: 'put' }>

/** Requests in one commit. */
const maxAtOnce = 50

const removeEveryMs = 60 * 60_000
let nextRemovalAt = 0

const store = openObserveStore(target, { connections: 1, readOnly: false })
const remembered = rememberSeries(putLimits)
const queue: Put[] = []
let writing: Promise<void> | undefined

port.on('message', (message: WriterMessage) => {
  if (message.kind === 'close') {
    void (writing ?? Promise.resolve()).then(() => store.close()).then(() => port.close())
    return
  }
  queue.push(message)
  writing ??= write().finally(() => {
    writing = undefined
  })
})

async function write(): Promise<void> {
  // What comes in this turn of the loop shares the first commit.
  await new Promise(setImmediate)
  while (queue.length > 0) {
    const puts = queue.splice(0, maxAtOnce)
    const answers = await commit(puts).catch((error: unknown): WriterAnswer[] => {
      remembered.forget()
      const failure = error instanceof Error ? error.message : String(error)
      return puts.map(({ id }) => ({ id, failure }))
    })
    for (const answer of answers) port!.postMessage(answer)
  }
  if (retention === undefined || performance.now() < nextRemovalAt) return
  nextRemovalAt = performance.now() + removeEveryMs
  // Where it fails it is tried again an hour later.
  await removeOldMetricPoints(store, retention, systemClock.now()).catch(() => undefined)
  // What came meanwhile.
  if (queue.length > 0) await write()
}

/** Each of them wholly or not at all. */
function commit(puts: readonly Put[]): Promise<WriterAnswer[]> {
  return store.transaction(async (tx) => {
    const answers: WriterAnswer[] = []
    for (const { id, additions } of puts) {
      const outcome = await inSavepoint<PutOutcome>(tx, async (undo) => {
        const left = await addPoints(tx, remembered, additions, systemClock.now())
        if (left.length === 0) return 'written'
        remembered.forget()
        await undo()
        return 'too-many-series'
      })
      answers.push({ id, outcome })
    }
    return answers
  })
}

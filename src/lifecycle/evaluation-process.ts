import { setTimeout as delay } from 'node:timers/promises'
import { EvaluationJobs } from './evaluation-jobs.ts'
import type { ColumnName, ColumnPart, JobAnswer, JobMessage, ProcessData } from './evaluation-messages.ts'
import { unhurried } from './pace.ts'

/*
 * The process in which very large repositories are evaluated. It gives way to the server, and ends with it. Started by
 * large-evaluations.ts.
 */

/**
 * Bytes of a column in one message, and the time until the next: the thread copies them in a tenth of a millisecond, and evaluates
 * others meanwhile. A million images that go have some 300 parts.
 */
const columnPartBytes = 64 * 1024
const columnPartRestMs = 1

if (process.send === undefined) throw new Error('evaluation-process.ts is the program of a process that the server starts')
process.once('disconnect', () => process.exit())
// The server alone is told by whoever stops both.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
process.once('message', (data) => {
  const { target } = data as ProcessData
  const jobs = new EvaluationJobs({ target, answer, pace: unhurried() })
  process.on('message', (told) => {
    const message = told as JobMessage
    if (message.kind === 'close') void jobs.close().then(() => process.disconnect())
    else jobs.take(message)
  })
})

async function answer(message: JobAnswer): Promise<void> {
  if (message.kind !== 'evaluated') return send(message)
  const { id, parts } = message
  const { size, ...decided } = parts.decided.columns
  for (const [name, { buffer, byteOffset, byteLength }] of Object.entries({ ...decided, fingerprints: parts.fingerprints }) as [ColumnName, NodeJS.TypedArray][]) {
    for (let offset = 0; offset < byteLength; offset += columnPartBytes) {
      const bytes = new Uint8Array(buffer, byteOffset + offset, Math.min(columnPartBytes, byteLength - offset))
      await send({ kind: 'column', id, name, sizeBytes: byteLength, offset, bytes })
      await delay(columnPartRestMs)
    }
  }
  const none = Object.fromEntries(Object.keys(decided).map((name) => [name, undefined]))
  const rest = { ...parts, fingerprints: undefined, decided: { ...parts.decided, columns: { size, ...none } } }
  await send({ kind: 'evaluated', id, parts: rest as unknown as typeof parts })
}

/** Resolves when more can be sent. Without the server there is nobody to tell that it failed. */
function send(message: JobAnswer | ColumnPart): Promise<void> {
  return new Promise<void>((resolve) => process.send!(message, undefined, undefined, () => resolve()))
}

import { parentPort, workerData } from 'node:worker_threads'
import { EvaluationJobs } from './evaluation-jobs.ts'
import type { JobAnswer, JobMessage, ThreadData } from './evaluation-messages.ts'
import { LargeEvaluations } from './large-evaluations.ts'
import type { PreviewPage } from './preview-pages.ts'

/*
 * The thread in which policies are evaluated, so that requests wait neither for statements over very many images nor for the sorting
 * of what they answer. It hands very large repositories on to a process. Started by separate-evaluator.ts.
 */

if (parentPort === null) throw new Error('evaluation-thread.ts is the program of a thread that the server starts')
const port = parentPort
const { target, maxImages } = workerData as ThreadData
const large = new LargeEvaluations(target, answer)
const jobs = new EvaluationJobs({
  target,
  answer: (message) => {
    answer(message)
    return Promise.resolve()
  },
  tooLarge: { maxImages, give: (job) => large.give(job) },
})
const shared = new Map<number, SharedPages>()

port.on('message', (message: JobMessage) => {
  if (message.kind === 'close') void Promise.all([large.close(), jobs.close()]).then(() => port.close())
  else if (large.has(message.id)) large.tell(message)
  else jobs.take(message)
})

function answer(message: JobAnswer): void {
  if (message.kind === 'pages') {
    const pages = shared.get(message.id) ?? new SharedPages()
    shared.set(message.id, pages)
    port.postMessage({ ...message, pages: pages.hold(message.pages) } satisfies JobAnswer)
    return
  }
  shared.delete(message.id)
  port.postMessage(message, message.kind === 'evaluated' ? buffersOf(message) : [])
}

function buffersOf({ parts }: Extract<JobAnswer, { readonly kind: 'evaluated' }>): ArrayBuffer[] {
  const { size: _, ...columns } = parts.decided.columns
  return [...Object.values(columns), parts.fingerprints].map(({ buffer }) => buffer as ArrayBuffer)
}

/**
 * Memory for some pages at a time that every thread sees. With a copy of each in those of the server and of the database, tens of megabytes,
 * V8 collected their garbage several times in a preview, and pulls waited for the processors that it took.
 */
class SharedPages {
  #bytes = new Uint8Array(new SharedArrayBuffer(256 * 1024))

  /** The same pages, until it is asked to hold others. */
  hold(pages: readonly PreviewPage[]): PreviewPage[] {
    const sizeBytes = pages.reduce((sum, { results }) => sum + results.length, 0)
    if (sizeBytes > this.#bytes.length) this.#bytes = new Uint8Array(new SharedArrayBuffer(2 * sizeBytes))
    let offset = 0
    return pages.map(({ firstManifestId, results }) => {
      const held = this.#bytes.subarray(offset, (offset += results.length))
      held.set(results)
      return { firstManifestId, results: held }
    })
  }
}

import { Worker } from 'node:worker_threads'
import { parseDigest, type DigestAlgorithm } from '../../../values/digest.ts'
import { storageError } from '../../errors.ts'
import type { BlobEncoding, HashedBytes, HashOptions } from '../blob-store.ts'
import type { HashAnswer, HashJob, HashMessage } from './hash-worker.ts'

/** Files hashed side by side in the one thread: a small one does not wait for a huge one, and memory stays bounded. */
const maximumRunning = 4

interface Pending {
  readonly job: HashJob
  readonly result: PromiseWithResolvers<HashedBytes>
}

/**
 * Hashes files off the main thread, so that requests go on meanwhile. The thread starts with the first file, keeps
 * no process alive while it has nothing to do, and is replaced when it dies.
 */
export class HashThread {
  #worker: Worker | undefined
  #nextId = 1
  readonly #running = new Map<number, Pending>()
  readonly #queue: Pending[] = []

  /**
   * The digest and checksums of the file's first `sizeBytes`, or with an encoding of the `sizeBytes` that it decodes to.
   *
   * @throws `upload-missing` when the file is absent or shorter, `blob-corrupt` when an encoded one does not decode to that size, `storage-unavailable`, the signal's reason
   */
  async hash(
    path: string,
    sizeBytes: number,
    algorithm: DigestAlgorithm,
    { bytesPerSecond, signal, encoding = 'identity' }: HashOptions & { readonly encoding?: BlobEncoding } = {},
  ): Promise<HashedBytes> {
    signal?.throwIfAborted()
    const pending: Pending = {
      job: { id: this.#nextId++, path, sizeBytes, algorithm, bytesPerSecond, encoding },
      result: Promise.withResolvers(),
    }
    const cancel = (): void => this.#cancel(pending, signal?.reason)
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      this.#queue.push(pending)
      this.#startNext()
      return await pending.result.promise
    } finally {
      signal?.removeEventListener('abort', cancel)
    }
  }

  /** Ends the thread; files not hashed by then fail. */
  async close(): Promise<void> {
    await this.#worker?.terminate()
  }

  #startNext(): void {
    while (this.#running.size < maximumRunning) {
      const pending = this.#queue.shift()
      if (pending === undefined) break
      this.#running.set(pending.job.id, pending)
      this.#worker ??= this.#startWorker()
      this.#tell(this.#worker, pending.job)
    }
    if (this.#running.size > 0) this.#worker?.ref()
    else this.#worker?.unref()
  }

  /** One that is being read keeps its turn until the thread has let go of it. */
  #cancel(pending: Pending, reason: unknown): void {
    const waitingAt = this.#queue.indexOf(pending)
    if (waitingAt !== -1) this.#queue.splice(waitingAt, 1)
    else if (this.#worker !== undefined) this.#tell(this.#worker, { cancelledId: pending.job.id })
    pending.result.reject(reason)
  }

  #tell(worker: Worker, message: HashMessage): void {
    worker.postMessage(message)
  }

  #startWorker(): Worker {
    const worker = new Worker(new URL('./hash-worker.ts', import.meta.url), { name: 'hash' })
    worker.on('message', (answer: HashAnswer) => this.#onAnswer(answer))
    worker.on('error', (error) => this.#onGone(worker, error))
    worker.on('exit', () => this.#onGone(worker, undefined))
    return worker
  }

  #onAnswer(answer: HashAnswer): void {
    const pending = this.#running.get(answer.id)
    this.#running.delete(answer.id)
    if (pending !== undefined) settle(pending, answer)
    this.#startNext()
  }

  #onGone(worker: Worker, cause: unknown): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    const lost = [...this.#running.values(), ...this.#queue.splice(0)]
    this.#running.clear()
    for (const { result } of lost) {
      result.reject(storageError('storage-unavailable', 'the hashing thread ended', { cause }))
    }
  }
}

function settle({ job, result }: Pending, answer: HashAnswer): void {
  const { found, systemError, isCorrupt } = answer
  if (found !== undefined) {
    result.resolve({ digest: parseDigest(`${job.algorithm}:${found.hex}`), checksums: found.checksums })
  } else if (isCorrupt === true) {
    result.reject(storageError('blob-corrupt', 'the compressed bytes of a blob are damaged'))
  } else if (systemError === undefined || systemError === 'ENOENT') {
    result.reject(storageError('upload-missing', 'the upload has fewer bytes than its session says'))
  } else {
    const detail = { operation: 'hash', systemError }
    result.reject(storageError('storage-unavailable', 'the blob store failed', { detail }))
  }
}

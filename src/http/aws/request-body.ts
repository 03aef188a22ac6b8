import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { PlatformError } from '../../internal/platform-error.ts'
import type { StorageErrorCode } from '../../storage/errors.ts'
import { AwsError } from './errors.ts'
import { serializationError } from './shapes.ts'

/** 64 kB/s: any line in use is faster, and a slower body would keep memory from others. */
const slowestBytesPerMs = 64

/** What a small body may take on a line that has just lost packets. */
const graceMs = 20_000

/** Who waits for memory gets an answer before an SDK's own time-out (60 s) makes it guess. */
const defaultWaitMs = 15_000
const mostWaiting = 1000

interface Waiting {
  readonly sizeBytes: number
  admit(): void
}

/**
 * The memory that request bodies may take together while nobody knows yet whether they are signed rightly.
 * First come, first served: a large body is not overtaken by small ones for ever.
 */
export class BodyBudget {
  readonly #limitBytes: number
  readonly #waitMs: number
  readonly #queue = new Set<Waiting>()
  #usedBytes = 0

  constructor(options: { limitBytes: number; waitMs?: number }) {
    this.#limitBytes = options.limitBytes
    this.#waitMs = options.waitMs ?? defaultWaitMs
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /**
   * Waits until the bytes are free and takes them. Call the result once the body is no longer needed.
   * @throws AwsError ServiceUnavailable where that takes too long.
   */
  async reserve(sizeBytes: number): Promise<() => void> {
    // What is larger than everything waits until it is alone.
    const taken = Math.min(sizeBytes, this.#limitBytes)
    if (taken > 0 && (this.#queue.size > 0 || this.#usedBytes + taken > this.#limitBytes)) await this.#wait(taken)
    else this.#usedBytes += taken
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#usedBytes -= taken
      this.#admitNext()
    }
  }

  async #wait(sizeBytes: number): Promise<void> {
    if (this.#queue.size >= mostWaiting) throw overloaded()
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const waiting: Waiting = { sizeBytes, admit: () => resolve(undefined) }
    const timer = setTimeout(() => {
      this.#queue.delete(waiting)
      reject(overloaded())
      this.#admitNext()
    }, this.#waitMs)
    this.#queue.add(waiting)
    try {
      await promise
    } finally {
      clearTimeout(timer)
    }
  }

  #admitNext(): void {
    for (const waiting of this.#queue) {
      if (this.#usedBytes + waiting.sizeBytes > this.#limitBytes) return
      this.#usedBytes += waiting.sizeBytes
      this.#queue.delete(waiting)
      waiting.admit()
    }
  }
}

function overloaded(): AwsError {
  return new AwsError('ServiceUnavailable', 'The server is receiving too much at once. Try again.', { status: 503 })
}

export interface RequestBody {
  /** As sent, still compressed if it was. */
  readonly bytes: Buffer
  /** Of these bytes, in lower-case hexadecimal. */
  readonly sha256: string
}

/** The length a request declares: 0 without a body, undefined for a chunked one. */
export function declaredLength(request: IncomingMessage): number | undefined {
  if (request.headers['transfer-encoding'] !== undefined) return undefined
  return Number(request.headers['content-length'] ?? 0)
}

/** @throws PlatformError 'body-too-large' where the declared length is over the limit already. */
export function requireDeclaredWithin(request: IncomingMessage, limitBytes: number): void {
  if ((declaredLength(request) ?? 0) > limitBytes) throw tooLarge(limitBytes)
}

/**
 * Reads a whole request body and hashes it on the way.
 * @throws PlatformError 'body-too-large', 'body-aborted' (the client went away or was too slow).
 */
export async function readBody(request: IncomingMessage, limitBytes: number): Promise<RequestBody> {
  const aborted = bodyError('body-aborted', 'The request body did not arrive completely.')
  // A client that went away before anybody listened is not announced again.
  if (request.destroyed && !request.complete) throw aborted
  const hash = createHash('sha256')
  const chunks: Buffer[] = []
  let sizeBytes = 0
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  const onData = (chunk: Buffer): void => {
    sizeBytes += chunk.length
    if (sizeBytes > limitBytes) {
      reject(tooLarge(limitBytes))
      return
    }
    hash.update(chunk)
    chunks.push(chunk)
  }
  const onEnd = (): void => resolve(undefined)
  const onClose = (): void => reject(aborted)
  const timeoutMs = graceMs + (declaredLength(request) ?? limitBytes) / slowestBytesPerMs
  const timer = setTimeout(() => reject(bodyError('body-aborted', 'The request body came too slowly.')), timeoutMs)
  request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose)
  try {
    await promise
  } finally {
    clearTimeout(timer)
    request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose)
    // What is still to come is thrown away, so that the client gets to read the answer.
    request.resume()
  }
  const [first] = chunks
  return {
    bytes: chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, sizeBytes),
    sha256: hash.digest('hex'),
  }
}

const inflate = promisify(gunzip)

/**
 * The body without its Content-Encoding. Only for bodies whose signature was right: the signature covers the
 * bytes as sent, and inflating costs memory.
 *
 * @throws PlatformError 'body-too-large'; AwsError for an encoding that is unknown or broken.
 */
export async function decodeContent(bytes: Buffer, encoding: string | undefined, limitBytes: number): Promise<Buffer> {
  const name = encoding?.trim().toLowerCase() ?? ''
  if (name === '' || name === 'identity') return bytes
  if (name !== 'gzip') {
    throw new AwsError('UnsupportedMediaTypeException', 'The only Content-Encoding understood is gzip.', { status: 415 })
  }
  try {
    return await inflate(bytes, { maxOutputLength: limitBytes })
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limitBytes)
    throw serializationError('The request body is not valid gzip.')
  }
}

function tooLarge(limitBytes: number): PlatformError<StorageErrorCode> {
  return bodyError('body-too-large', `The request body is larger than ${limitBytes} bytes.`)
}

/** What is wrong with a request's body, or with whoever sends it. */
export function bodyError(code: StorageErrorCode, message: string): PlatformError<StorageErrorCode> {
  return new PlatformError(code, message)
}

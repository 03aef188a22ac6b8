import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import type { ByteSource } from '../blob-store.ts'
import { UploadWriter, type UploadWriterOptions } from './upload-writer.ts'

/** Hashing this much blocks the event loop for about 0.2 ms; sockets deliver less at a time, other sources may not. */
const maximumSliceBytes = 256 * 1024

export interface Received {
  readonly acceptedBytes: number
  readonly aborted: boolean
  readonly reason?: unknown
}

/**
 * Writes a source until it ends, fails or `signal` fires; all it returns is written by then. Listens for `data`
 * rather than iterating: leaving an iterator destroys its stream, and with it the connection that should still carry
 * the answer; and reads join chunks that arrived together by copying them. (Speed is the same.)
 *
 * @throws `body-too-large`, `storage-full`, `storage-unavailable`
 */
export async function receive(source: ByteSource, signal: AbortSignal, options: UploadWriterOptions): Promise<Received> {
  const stream = source instanceof Readable ? source : Readable.from(source)
  const reception = new Reception(stream, signal, options)
  try {
    return await reception.run()
  } finally {
    // Ours alone, unlike a stream that was passed in, whose connection may still carry an answer.
    if (stream !== source) stream.destroy()
  }
}

interface SourceEnd {
  readonly aborted: boolean
  readonly reason?: unknown
}

class Reception {
  readonly #stream: Readable
  readonly #signal: AbortSignal
  readonly #writer: UploadWriter
  readonly #ended = Promise.withResolvers<SourceEnd>()
  #isOver = false
  #room: PromiseWithResolvers<void> | undefined

  constructor(stream: Readable, signal: AbortSignal, options: UploadWriterOptions) {
    this.#stream = stream
    this.#signal = signal
    this.#writer = new UploadWriter(options, {
      room: () => this.#onRoom(),
      failed: (error) => this.#fail(error),
    })
  }

  async run(): Promise<Received> {
    this.#start()
    let end: SourceEnd
    try {
      end = await this.#ended.promise
    } catch (error) {
      await this.#writer.abandon()
      throw error
    }
    await this.#writer.finish()
    return { acceptedBytes: this.#writer.acceptedBytes, ...end }
  }

  #start(): void {
    const stream = this.#stream
    if (this.#signal.aborted) this.#onAbort()
    else if (stream.readableEnded) this.#onEnd()
    else if (stream.destroyed) this.#onError(stream.errored ?? closedEarly())
    if (this.#isOver) return
    this.#signal.addEventListener('abort', this.#onAbort)
    stream.on('end', this.#onEnd)
    stream.on('error', this.#onError)
    stream.on('close', this.#onClose)
    stream.on('data', this.#onData)
    // A listener alone does not restart a stream that was paused, as an earlier reader may have left it.
    stream.resume()
  }

  readonly #onData = (chunk: Uint8Array): void => {
    if (chunk.length > maximumSliceBytes) void this.#acceptInSlices(chunk)
    else if (!this.#accept(chunk)) this.#stream.pause()
  }

  readonly #onEnd = (): void => this.#end({ aborted: false })
  readonly #onError = (error: unknown): void => this.#end({ aborted: true, reason: error })
  readonly #onClose = (): void => this.#end({ aborted: true, reason: closedEarly() })
  readonly #onAbort = (): void => this.#end({ aborted: true, reason: this.#signal.reason })

  #accept(bytes: Uint8Array): boolean {
    try {
      return this.#writer.accept(bytes)
    } catch (error) {
      this.#fail(error)
      return false
    }
  }

  async #acceptInSlices(chunk: Uint8Array): Promise<void> {
    this.#stream.pause()
    for (let start = 0; start < chunk.length; start += maximumSliceBytes) {
      this.#room = Promise.withResolvers()
      if (this.#accept(chunk.subarray(start, start + maximumSliceBytes))) await setImmediate()
      else await this.#room.promise
      if (this.#isOver) return
    }
    this.#room = undefined
    this.#stream.resume()
  }

  #onRoom(): void {
    if (this.#room !== undefined) this.#room.resolve()
    else if (!this.#isOver) this.#stream.resume()
  }

  #end(end: SourceEnd): void {
    this.#leave()
    this.#ended.resolve(end)
  }

  #fail(error: unknown): void {
    this.#leave()
    this.#ended.reject(error)
  }

  #leave(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#room?.resolve()
    const stream = this.#stream
    this.#signal.removeEventListener('abort', this.#onAbort)
    stream.off('data', this.#onData)
    stream.off('end', this.#onEnd)
    stream.off('close', this.#onClose)
    if (stream.readableEnded || stream.destroyed) return
    // The connection may still break while it is answered: without a listener that would end the process.
    stream.on('error', ignore)
    stream.off('error', this.#onError)
    stream.pause()
  }
}

function ignore(): void {}

function closedEarly(): Error {
  return new Error('the source was closed before its end')
}

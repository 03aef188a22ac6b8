import type { Writable } from 'node:stream'
import type { PlatformError } from '../../../internal/platform-error.ts'
import { storageError } from '../../errors.ts'

/**
 * A writable as seen by one pump: every write waits until the bytes are out of our memory, and ends at once when
 * nobody takes them any more. Waiting for `drain` would not do: a stream reports room while it still holds the chunk.
 */
export class Sink {
  readonly #target: Writable
  readonly #signal: AbortSignal
  #gone: PlatformError | undefined
  #waiting: PromiseWithResolvers<void> | undefined

  constructor(target: Writable, signal: AbortSignal) {
    this.#target = target
    this.#signal = signal
    target.on('close', this.#onClose)
    target.on('error', this.#onError)
    signal.addEventListener('abort', this.#onAbort)
    if (target.destroyed || target.writableEnded) this.#onClose()
    if (signal.aborted) this.#onAbort()
  }

  /** @throws `body-aborted` */
  throwIfGone(): void {
    if (this.#gone !== undefined) throw this.#gone
  }

  /**
   * Resolves when the target is done with the buffer.
   *
   * @throws `body-aborted`; the target may then still use the buffer
   */
  async write(bytes: Uint8Array): Promise<void> {
    this.throwIfGone()
    const waiting: PromiseWithResolvers<void> = Promise.withResolvers()
    this.#waiting = waiting
    this.#target.write(bytes, (error) => {
      if (error === null || error === undefined) waiting.resolve()
      else this.#end(error)
    })
    await waiting.promise
  }

  /** Stops listening. The target is left as it is. */
  leave(): void {
    this.#target.off('close', this.#onClose)
    this.#target.off('error', this.#onError)
    this.#signal.removeEventListener('abort', this.#onAbort)
  }

  readonly #onClose = (): void => this.#end(undefined)
  readonly #onError = (error: unknown): void => this.#end(error)
  readonly #onAbort = (): void => this.#end(this.#signal.reason)

  #end(cause: unknown): void {
    this.#gone ??= storageError('body-aborted', 'the receiver went away', { cause })
    this.#waiting?.reject(this.#gone)
  }
}

import type { Hash } from 'node:crypto'
import type { MemoryShare } from '../../../internal/bytes-in-flight.ts'
import { storageError } from '../../errors.ts'
import type { BlockChecksums } from '../block-checksums.ts'
import type { Disk } from './disk.ts'
import { fromDisk } from './disk-error.ts'

/**
 * Buffers in one write call. A sender of tiny pieces would otherwise make us keep a megabyte of them as objects of a
 * hundred bytes each; Linux takes at most 1,024.
 */
const maximumBuffersPerWrite = 256

/** A sender that pauses this long gains nothing from larger writes, and would hold memory while it says nothing. */
const idleFlushMs = 50

export interface UploadWriterOptions {
  readonly disk: Disk
  readonly descriptor: number
  readonly position: number
  readonly memory: MemoryShare
  readonly hash: Hash | undefined
  readonly checksums: BlockChecksums | undefined
  readonly limitBytes: number
  /** Nobody else looks at the buffers again. */
  readonly ownsBuffers: boolean
}

/** What an upload writer tells the one who feeds it. */
export interface UploadWriterEvents {
  /** More may be offered, after `accept` had answered false. */
  room(): void
  /** Nothing more will be written. */
  failed(error: unknown): void
}

/**
 * Writes what arrives in large calls, one at a time, while the next batch collects. Holds at most two batches. Bytes
 * are never copied: the buffers that arrived are what the system call is given.
 */
export class UploadWriter {
  readonly #options: UploadWriterOptions
  readonly #events: UploadWriterEvents
  #position: number
  #acceptedBytes = 0
  #pending: Uint8Array[] = []
  #pendingBytes = 0
  #isWriting = false
  #isFlushing = false
  #writing: Promise<void> = Promise.resolve()
  #failure: unknown
  #idleTimer: NodeJS.Timeout | undefined

  constructor(options: UploadWriterOptions, events: UploadWriterEvents) {
    this.#options = options
    this.#events = events
    this.#position = options.position
  }

  /** Bytes taken so far. All of them are written once `finish` resolved. */
  get acceptedBytes(): number {
    return this.#acceptedBytes
  }

  /**
   * Takes a buffer, which nobody may change any more. False: wait for `room` before offering the next.
   *
   * @throws `body-too-large`, having taken nothing of the buffer
   */
  accept(bytes: Uint8Array): boolean {
    const { hash, checksums, limitBytes, memory } = this.#options
    if (this.#acceptedBytes + bytes.length > limitBytes) {
      throw storageError('body-too-large', 'more bytes were sent than allowed', { detail: { limitBytes } })
    }
    if (bytes.length === 0) return true
    hash?.update(bytes)
    checksums?.update(bytes)
    this.#acceptedBytes += bytes.length
    memory.hold(bytes.length)
    this.#pending.push(bytes)
    this.#pendingBytes += bytes.length
    if (!this.#isBatchFull()) {
      this.#armIdleTimer()
      return true
    }
    this.#startWriting()
    return !this.#isBatchFull()
  }

  /** Writes what is still pending; throws what made a write fail. This or `abandon` ends every writer. */
  async finish(): Promise<void> {
    this.#isFlushing = true
    clearTimeout(this.#idleTimer)
    this.#startWriting()
    await this.#writing
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Forgets what is pending, and waits until nothing is being written. */
  async abandon(): Promise<void> {
    this.#isFlushing = true
    clearTimeout(this.#idleTimer)
    this.#dropPending()
    await this.#writing
  }

  #isBatchFull(): boolean {
    return (
      this.#pendingBytes >= this.#options.memory.chunkBytes() || this.#pending.length >= maximumBuffersPerWrite
    )
  }

  #startWriting(): void {
    if (this.#isWriting || this.#pendingBytes === 0) return
    this.#isWriting = true
    this.#writing = this.#writePending()
  }

  async #writePending(): Promise<void> {
    try {
      do {
        const batch = this.#pending
        const batchBytes = this.#pendingBytes
        this.#pending = []
        this.#pendingBytes = 0
        try {
          await writeAll(this.#options.disk, this.#options.descriptor, batch, this.#position)
          if (this.#options.ownsBuffers) freeMemory(batch)
        } finally {
          this.#options.memory.release(batchBytes)
        }
        this.#position += batchBytes
        this.#events.room()
      } while (this.#pendingBytes > 0 && (this.#isFlushing || this.#isBatchFull()))
      if (this.#pendingBytes > 0) this.#armIdleTimer()
    } catch (error) {
      this.#failure = fromDisk(error, 'write')
      this.#dropPending()
      this.#events.failed(this.#failure)
    } finally {
      this.#isWriting = false
    }
  }

  #dropPending(): void {
    this.#options.memory.release(this.#pendingBytes)
    this.#pending = []
    this.#pendingBytes = 0
  }

  #armIdleTimer(): void {
    if (this.#isFlushing) return
    if (this.#idleTimer === undefined) this.#idleTimer = setTimeout(() => this.#startWriting(), idleFlushMs)
    else this.#idleTimer.refresh()
  }
}

/**
 * Frees the memory of buffers at once. Left to the garbage collector, the bodies of a busy server make it run over the
 * whole heap after every few dozen megabytes, which costs more processor time than receiving them.
 */
function freeMemory(buffers: readonly Uint8Array[]): void {
  for (const { buffer, byteLength } of buffers) {
    // A buffer that is part of a larger one shares it with bytes that may still be wanted.
    if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
  }
}

async function writeAll(disk: Disk, descriptor: number, batch: Uint8Array[], position: number): Promise<void> {
  let left = batch
  let at = position
  while (left.length > 0) {
    const writtenBytes = await disk.write(descriptor, left, at)
    at += writtenBytes
    left = afterBytes(left, writtenBytes)
  }
}

/** What is left of the buffers after a write that may have been cut short. */
function afterBytes(buffers: Uint8Array[], sizeBytes: number): Uint8Array[] {
  let skipBytes = sizeBytes
  for (const [index, buffer] of buffers.entries()) {
    if (skipBytes < buffer.length) return [buffer.subarray(skipBytes), ...buffers.slice(index + 1)]
    skipBytes -= buffer.length
  }
  return []
}

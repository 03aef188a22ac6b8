import type { Writable } from 'node:stream'
import type { BytesInFlight } from '../../../internal/bytes-in-flight.ts'
import { storageError } from '../../errors.ts'
import type { BlobRange, OpenBlob } from '../blob-store.ts'
import type { Disk } from './disk.ts'
import { fromDisk } from './disk-error.ts'
import { Sink } from './sink.ts'

/** A published file held open by its descriptor. */
export class FilesystemBlob implements OpenBlob {
  readonly sizeBytes: number
  readonly #disk: Disk
  readonly #descriptor: number
  readonly #bytesInFlight: BytesInFlight
  #readsUnderWay = 0
  #isClosed = false
  readonly #idle: PromiseWithResolvers<void> = Promise.withResolvers()
  #closing: Promise<void> | undefined

  constructor(disk: Disk, descriptor: number, sizeBytes: number, bytesInFlight: BytesInFlight) {
    this.#disk = disk
    this.#descriptor = descriptor
    this.sizeBytes = sizeBytes
    this.#bytesInFlight = bytesInFlight
  }

  async *read(range: BlobRange = { start: 0, endExclusive: this.sizeBytes }): AsyncGenerator<Buffer, void, undefined> {
    let position = range.start
    while (position < range.endExclusive) {
      const leftBytes = range.endExclusive - position
      const lease = this.#bytesInFlight.lease(leftBytes)
      try {
        const bytes = lease.buffer.subarray(0, Math.min(leftBytes, lease.buffer.length))
        await this.#fill(bytes, position)
        position += bytes.length
        yield bytes
      } finally {
        // The consumer may keep what it was given.
        lease.release(false)
      }
    }
  }

  async pump(target: Writable, range: BlobRange, signal: AbortSignal): Promise<void> {
    const sink = new Sink(target, signal)
    try {
      let position = range.start
      while (position < range.endExclusive) {
        position += await this.#pumpChunk(sink, position, range.endExclusive - position)
      }
    } catch (error) {
      await this.close().catch(() => undefined)
      throw error
    } finally {
      sink.leave()
    }
  }

  close(): Promise<void> {
    this.#isClosed = true
    if (this.#readsUnderWay === 0) this.#idle.resolve()
    this.#closing ??= this.#closeWhenIdle()
    return this.#closing
  }

  async #closeWhenIdle(): Promise<void> {
    await this.#idle.promise
    try {
      await this.#disk.close(this.#descriptor)
    } catch (error) {
      throw fromDisk(error, 'close')
    }
  }

  async #pumpChunk(sink: Sink, position: number, leftBytes: number): Promise<number> {
    sink.throwIfGone()
    const lease = this.#bytesInFlight.lease(leftBytes)
    let settled = false
    try {
      const bytes = lease.buffer.subarray(0, Math.min(leftBytes, lease.buffer.length))
      await this.#fill(bytes, position)
      await sink.write(bytes)
      settled = true
      return bytes.length
    } finally {
      lease.release(settled)
    }
  }

  async #fill(bytes: Buffer, position: number): Promise<void> {
    if (this.#isClosed) throw new Error('the blob is closed')
    this.#readsUnderWay += 1
    try {
      let filledBytes = 0
      while (filledBytes < bytes.length) {
        const readBytes = await this.#disk.read(this.#descriptor, bytes.subarray(filledBytes), position + filledBytes)
        if (readBytes === 0) throw storageError('blob-corrupt', 'a blob is shorter than when it was opened')
        filledBytes += readBytes
      }
    } catch (error) {
      throw fromDisk(error, 'read')
    } finally {
      this.#readsUnderWay -= 1
      if (this.#isClosed && this.#readsUnderWay === 0) this.#idle.resolve()
    }
  }
}

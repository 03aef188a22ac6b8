import type { Writable } from 'node:stream'
import type { BytesInFlight, ChunkLease, MemoryShare } from '../../../internal/bytes-in-flight.ts'
import type { TransferShare } from '../../../internal/fair-share.ts'
import { storageError } from '../../errors.ts'
import type { BlobRange, OpenBlob } from '../blob-store.ts'
import { blockEnd, blockStart, BlockVerifier, type BlockMarks } from '../block-checksums.ts'
import type { Disk } from './disk.ts'
import { fromDisk } from './disk-error.ts'
import { Sink } from './sink.ts'

/** A part of the range that was asked for, in memory that is held until the lease is released. */
interface Chunk {
  readonly bytes: Buffer
  readonly lease: ChunkLease
}

/** What the bytes of a blob are compared with, and which of them need not be again. */
export interface Proof {
  readonly loadChecksums: () => Promise<Uint8Array>
  readonly marks: BlockMarks
}

/** A published file held open by its descriptor. */
export class FilesystemBlob implements OpenBlob {
  readonly sizeBytes: number
  readonly #disk: Disk
  readonly #descriptor: number
  readonly #proof: Proof | undefined
  readonly #bytesInFlight: BytesInFlight
  #readsUnderWay = 0
  #isClosed = false
  readonly #idle: PromiseWithResolvers<void> = Promise.withResolvers()
  #closing: Promise<void> | undefined
  #checksums: Promise<Uint8Array> | undefined

  constructor(
    disk: Disk,
    descriptor: number,
    sizeBytes: number,
    proof: Proof | undefined,
    bytesInFlight: BytesInFlight,
  ) {
    this.#disk = disk
    this.#descriptor = descriptor
    this.sizeBytes = sizeBytes
    this.#proof = proof
    this.#bytesInFlight = bytesInFlight
  }

  async *read(range: BlobRange = { start: 0, endExclusive: this.sizeBytes }): AsyncGenerator<Buffer, void, undefined> {
    const reading = await this.#startReading(range)
    for (let chunk = await this.#next(reading); chunk !== undefined; chunk = await this.#next(reading)) {
      try {
        yield chunk.bytes
      } finally {
        // The consumer may keep what it was given.
        chunk.lease.release(false)
      }
    }
  }

  async pump(target: Writable, range: BlobRange, signal: AbortSignal, share?: TransferShare): Promise<void> {
    const sink = new Sink(target, signal)
    try {
      const reading = await this.#startReading(range, share?.accountId)
      const pumpChunk = (): Promise<boolean> => this.#pumpChunk(reading, sink)
      while (await (share === undefined ? pumpChunk() : share.turn(pumpChunk)));
    } catch (error) {
      await this.close().catch(() => undefined)
      throw error
    } finally {
      sink.leave()
    }
  }

  /** False at the end of the range. */
  async #pumpChunk(reading: Reading, sink: Sink): Promise<boolean> {
    sink.throwIfGone()
    const chunk = await this.#next(reading)
    if (chunk === undefined) return false
    await writeChunk(sink, chunk)
    return true
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

  async #startReading(range: BlobRange, accountId?: string): Promise<Reading> {
    const memory = this.#bytesInFlight.shareOf(accountId)
    const proof = this.#proof
    if (proof === undefined || proof.marks.hasRange(range.start, range.endExclusive)) {
      return { range, position: range.start, endExclusive: range.endExclusive, verifier: undefined, memory }
    }
    const checksums = await (this.#checksums ??= proof.loadChecksums())
    const position = blockStart(range.start)
    return {
      range,
      position,
      endExclusive: blockEnd(range.endExclusive, this.sizeBytes),
      verifier: new BlockVerifier(checksums, this.sizeBytes, position, proof.marks),
      memory,
    }
  }

  /** The next part of the range, checked as far as checksums reach; undefined at its end. */
  async #next(reading: Reading): Promise<Chunk | undefined> {
    const { range } = reading
    while (reading.position < range.endExclusive) {
      const { position } = reading
      const lease = reading.memory.lease(reading.endExclusive - position)
      try {
        const bytes = await this.#readOn(reading, lease)
        // The last bytes wait until their whole block was seen.
        if (reading.position >= range.endExclusive) await this.#readToEndOfBlock(reading)
        const wanted = bytes.subarray(Math.max(0, range.start - position), range.endExclusive - position)
        if (wanted.length > 0) return { bytes: wanted, lease }
      } catch (error) {
        lease.release(true)
        throw error
      }
      lease.release(true)
    }
    return undefined
  }

  async #readToEndOfBlock(reading: Reading): Promise<void> {
    while (reading.position < reading.endExclusive) {
      const lease = reading.memory.lease(reading.endExclusive - reading.position)
      try {
        await this.#readOn(reading, lease)
      } finally {
        lease.release(true)
      }
    }
  }

  async #readOn(reading: Reading, { buffer }: ChunkLease): Promise<Buffer> {
    const bytes = buffer.subarray(0, Math.min(reading.endExclusive - reading.position, buffer.length))
    await this.#fill(bytes, reading.position)
    reading.verifier?.accept(bytes)
    reading.position += bytes.length
    return bytes
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

/** How far one read of a range has come. It begins and ends with whole blocks where there are checksums. */
interface Reading {
  readonly range: BlobRange
  position: number
  readonly endExclusive: number
  readonly verifier: BlockVerifier | undefined
  readonly memory: MemoryShare
}

async function writeChunk(sink: Sink, { bytes, lease }: Chunk): Promise<void> {
  let settled = false
  try {
    await sink.write(bytes)
    settled = true
  } finally {
    lease.release(settled)
  }
}

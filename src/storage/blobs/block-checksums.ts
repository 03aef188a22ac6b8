import { crc32 } from 'node:zlib'
import { storageError } from '../errors.ts'

/**
 * The bytes one checksum covers. A range read from the middle of a blob reads and checks whole blocks, so a small block
 * keeps small ranges cheap; 64 KiB is checked in 9 µs, and a 10 GiB layer has 640 KiB of checksums.
 */
export const checksumBlockBytes = 64 * 1024

const entryBytes = 4

/**
 * CRC-32 of each block of a blob, computed while its bytes pass. Blobs have a digest already, but it says nothing
 * before the last byte was read, and of a range it says nothing at all; a checksum per block tells damage before the
 * bytes go out. It guards against decay, not against people: those are refused by the digest at the upload.
 */
export class BlockChecksums {
  #entries = Buffer.allocUnsafe(64 * entryBytes)
  #blocks = 0
  #current = 0
  #currentBytes = 0

  /** Takes the next bytes. */
  update(bytes: Uint8Array): void {
    let start = 0
    while (start < bytes.length) {
      const part = bytes.subarray(start, start + checksumBlockBytes - this.#currentBytes)
      this.#current = crc32(part, this.#current)
      this.#currentBytes += part.length
      start += part.length
      if (this.#currentBytes === checksumBlockBytes) this.#endBlock()
    }
  }

  /** The checksums of all blocks, the last of which may be short: four bytes each, little-endian. Ends the computation. */
  finish(): Uint8Array {
    if (this.#currentBytes > 0) this.#endBlock()
    return Uint8Array.from(this.#entries.subarray(0, this.#blocks * entryBytes))
  }

  #endBlock(): void {
    const offset = this.#blocks * entryBytes
    if (offset === this.#entries.length) this.#entries = Buffer.concat([this.#entries, Buffer.allocUnsafe(offset)])
    this.#entries.writeUInt32LE(this.#current, offset)
    this.#blocks += 1
    this.#current = 0
    this.#currentBytes = 0
  }
}

/** Checksums of bytes that are about to come. */
export function startChecksums(): BlockChecksums {
  return new BlockChecksums()
}

/** The start of the block that holds the byte at `position`. */
export function blockStart(position: number): number {
  return position - (position % checksumBlockBytes)
}

/** The end of the block that holds the byte before `position`, which of the last block is the blob's end. */
export function blockEnd(position: number, sizeBytes: number): number {
  return Math.min(sizeBytes, Math.ceil(position / checksumBlockBytes) * checksumBlockBytes)
}

/** Which blocks of one blob were compared lately. */
export interface BlockMarks {
  /** True when all blocks that hold a byte of the range were. */
  hasRange(start: number, endExclusive: number): boolean
  mark(block: number): void
}

/** Compares bytes read in order, from the start of a block on, with the checksums of their blob. */
export class BlockVerifier {
  readonly #checksums: Buffer
  readonly #sizeBytes: number
  readonly #marks: BlockMarks
  #position: number
  #current = 0

  /**
   * @param position the start of a block
   * @param marks told of each block that is right
   */
  constructor(checksums: Uint8Array, sizeBytes: number, position: number, marks: BlockMarks) {
    this.#marks = marks
    this.#checksums = Buffer.from(checksums.buffer, checksums.byteOffset, checksums.byteLength)
    this.#sizeBytes = sizeBytes
    this.#position = position
  }

  /**
   * Takes the next bytes. Those up to the last end of a block are right when it returns.
   *
   * @throws `blob-corrupt`
   */
  accept(bytes: Uint8Array): void {
    let start = 0
    while (start < bytes.length) {
      const block = Math.floor(this.#position / checksumBlockBytes)
      const endOfBlock = blockEnd(this.#position + 1, this.#sizeBytes)
      const part = bytes.subarray(start, start + endOfBlock - this.#position)
      this.#current = crc32(part, this.#current)
      this.#position += part.length
      start += part.length
      if (this.#position < endOfBlock) return
      if (this.#current !== this.#checksums.readUInt32LE(block * entryBytes)) {
        throw storageError('blob-corrupt', 'the bytes of a blob are not those that were stored', {
          detail: { block, blockBytes: checksumBlockBytes },
        })
      }
      this.#marks.mark(block)
      this.#current = 0
    }
  }
}

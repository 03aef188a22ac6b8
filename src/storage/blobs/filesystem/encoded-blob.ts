import type { Writable } from 'node:stream'
import type { BytesInFlight } from '../../../internal/bytes-in-flight.ts'
import type { TransferShare } from '../../../internal/fair-share.ts'
import type { BlobRange, OpenBlob } from '../blob-store.ts'
import { blockStart, BlockVerifier, type BlockMarks } from '../block-checksums.ts'
import { decoded, decoderBytes } from '../zstd-frame.ts'
import { Sink } from './sink.ts'

/** Every read decodes from the start, and so compares all that it decodes. */
const noMarks: BlockMarks = { hasRange: () => false, mark: () => undefined }

/**
 * A blob whose file is a zstd frame. A range costs what comes before it: such blobs lie in the archive, and are read as a whole
 * when they come back.
 */
export class EncodedBlob implements OpenBlob {
  readonly sizeBytes: number
  readonly #file: OpenBlob
  readonly #loadChecksums: (() => Promise<Uint8Array>) | undefined
  readonly #bytesInFlight: BytesInFlight
  #checksums: Promise<Uint8Array> | undefined

  /** @param file the frame, which is closed with this */
  constructor(file: OpenBlob, sizeBytes: number, loadChecksums: (() => Promise<Uint8Array>) | undefined, bytesInFlight: BytesInFlight) {
    this.#file = file
    this.sizeBytes = sizeBytes
    this.#loadChecksums = loadChecksums
    this.#bytesInFlight = bytesInFlight
  }

  async *read(range: BlobRange = { start: 0, endExclusive: this.sizeBytes }): AsyncGenerator<Buffer, void, undefined> {
    const checksums = this.#loadChecksums && (await (this.#checksums ??= this.#loadChecksums()))
    const verifier = checksums && new BlockVerifier(checksums, this.sizeBytes, 0, noMarks)
    this.#bytesInFlight.hold(decoderBytes)
    try {
      // Decoded and not given away, because their block is not whole.
      let waiting: Buffer = Buffer.alloc(0)
      let position = 0
      for await (const bytes of decoded(this.#file.read(), this.sizeBytes)) {
        verifier?.accept(bytes)
        waiting = waiting.length === 0 ? bytes : Buffer.concat([waiting, bytes])
        const decodedTo = position + waiting.length
        const provenTo = decodedTo === this.sizeBytes || verifier === undefined ? decodedTo : blockStart(decodedTo)
        if (provenTo <= position) continue
        const wanted = waiting.subarray(Math.max(0, range.start - position), Math.max(0, Math.min(provenTo, range.endExclusive) - position))
        waiting = waiting.subarray(provenTo - position)
        position = provenTo
        if (wanted.length > 0) yield wanted
        if (position >= range.endExclusive) return
      }
    } finally {
      this.#bytesInFlight.release(decoderBytes)
    }
  }

  async pump(target: Writable, range: BlobRange, signal: AbortSignal, share?: TransferShare): Promise<void> {
    const sink = new Sink(target, signal)
    const parts = this.read(range)
    const pumpPart = async (): Promise<boolean> => {
      sink.throwIfGone()
      const part = await parts.next()
      if (part.done === true) return false
      await sink.write(part.value)
      return true
    }
    try {
      while (await (share === undefined ? pumpPart() : share.turn(pumpPart)));
    } catch (error) {
      await this.close().catch(() => undefined)
      throw error
    } finally {
      await parts.return()
      sink.leave()
    }
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

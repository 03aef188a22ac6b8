import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib'
import { storageError } from '../errors.ts'

/*
 * Blobs as zstd frames (RFC 8878). The frame says how many bytes it holds, so that a file alone tells the size of its blob, and
 * ends with a checksum of its own.
 */

/** As zstd's own program has it: higher levels cost several times as much for some percent of what layers hold. */
const level = 3
/** 2 MiB, which the level would choose by itself for all but small blobs: what a reader needs is bounded by it. */
const windowLog = 21

/** Memory of one who decodes: the window, and what is on its way in and out. */
export const decoderBytes = 2 ** windowLog + 512 * 1024

/** The most bytes of a frame that `contentSizeOf` has to see. */
export const frameHeaderBytes = 18

/** Compresses a blob of `sizeBytes`, as fast as the bytes are taken. */
export async function* encoded(source: AsyncIterable<Uint8Array>, sizeBytes: number): AsyncGenerator<Buffer, void, undefined> {
  const params = {
    [constants.ZSTD_c_compressionLevel]: level,
    [constants.ZSTD_c_windowLog]: windowLog,
    [constants.ZSTD_c_checksumFlag]: 1,
  }
  yield* through(source, createZstdCompress({ pledgedSrcSize: sizeBytes, params }))
}

/** The bytes of a blob from those of its frame. Throws `blob-corrupt` where they are no frame, or another number of bytes. */
export async function* decoded(frame: AsyncIterable<Uint8Array>, sizeBytes: number): AsyncGenerator<Buffer, void, undefined> {
  const decoder = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: windowLog } })
  let position = 0
  try {
    for await (const bytes of through(frame, decoder)) {
      position += bytes.length
      if (position > sizeBytes) break
      yield bytes
    }
  } catch (error) {
    if (!isZstdError(error)) throw error
    throw storageError('blob-corrupt', 'the compressed bytes of a blob are damaged', { cause: error })
  }
  // A frame that lacks its end is not always an error to the decoder.
  if (position !== sizeBytes) throw storageError('blob-corrupt', 'a compressed blob has another size than was stored')
}

async function* through(source: AsyncIterable<Uint8Array>, codec: ReturnType<typeof createZstdCompress> | ReturnType<typeof createZstdDecompress>): AsyncGenerator<Buffer, void, undefined> {
  const feeding = pipeline(Readable.from(source), codec)
  // Told to whoever reads, if anybody does.
  feeding.catch(() => undefined)
  try {
    for await (const bytes of codec as AsyncIterable<Buffer>) yield bytes
  } finally {
    codec.destroy()
    await feeding.catch(() => undefined)
  }
}

/** What the codec throws of bytes that are not as they should be. */
export function isZstdError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (String(error.code).startsWith('ZSTD_') || error.code === 'Z_BUF_ERROR')
}

const magic = 0xfd2fb528

/** How many bytes a frame says that it holds; undefined for what is no frame, or one that does not say. RFC 8878, 3.1.1.1. */
export function contentSizeOf(start: Uint8Array): number | undefined {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength)
  if (bytes.length < 5 || bytes.readUInt32LE(0) !== magic) return undefined
  const descriptor = bytes[4]!
  const isSingleSegment = (descriptor & 0x20) !== 0
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!
  const at = 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes
  if (sizeBytes === 0 || bytes.length < at + sizeBytes) return undefined
  if (sizeBytes === 1) return bytes[at]
  if (sizeBytes === 2) return bytes.readUInt16LE(at) + 256
  return sizeBytes === 4 ? bytes.readUInt32LE(at) : Number(bytes.readBigUInt64LE(at))
}

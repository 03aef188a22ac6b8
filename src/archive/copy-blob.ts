import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { constants, zstdCompress } from 'node:zlib'
import { storageError } from '../storage/errors.ts'
import { encoded, type BlobEncoding, type BlobStore, type OpenBlob } from '../storage/blobs/index.ts'
import { digestAlgorithm, digestHex, type Digest } from '../values/index.ts'

/** A blob that lies compressed saves at least a tenth: less is not worth the time of whoever reads it. */
const mostOfOriginal = 0.9
/** What is smaller takes a block of the disk either way. */
const leastCompressedBytes = 4096
/** Layers are alike from end to end: this many samples tell whether they are compressed already. */
const sampleCount = 4
const sampleBytes = 64 * 1024

export interface CopiedBlob {
  /** The store's own. */
  readonly key: string
  readonly generation: string
  readonly encoding: BlobEncoding
  readonly storedSizeBytes: number
}

export interface CopyOptions {
  readonly content: OpenBlob
  readonly digest: Digest
  readonly domain: string
  readonly to: BlobStore
  /** Of the copy: a UUID. */
  readonly uploadId: string
  readonly mayCompress: boolean
  readonly signal: AbortSignal
}

/**
 * Copies a blob into a store and reads the copy back: when it returns, the bytes are durable there, and were seen to be the
 * blob's. Nobody knows of the copy yet; the upload of its name is the caller's to discard once somebody does. Answers a failure
 * where there is no copy, since what was made of it has been taken back: `blob-corrupt`, `storage-full`, `storage-unavailable`, or
 * the signal's reason. Throws where it could not be taken back.
 */
export async function copyBlob(options: CopyOptions): Promise<CopiedBlob | { readonly failure: unknown }> {
  const { content, digest, to, uploadId, mayCompress, signal } = options
  let published: { readonly key: string } | undefined
  try {
    const zstd = mayCompress && (await paysToCompress(content)) ? await written(options, 'zstd') : undefined
    const isSmall = zstd !== undefined && zstd <= content.sizeBytes * mostOfOriginal
    const encoding = isSmall ? 'zstd' : 'identity'
    const storedSizeBytes = isSmall ? zstd : await written(options, 'identity')
    const { key, generation } = await to.publish(uploadId, options.domain, digest, storedSizeBytes, encoding)
    published = { key }
    const found = await to.hashBlob(key, content.sizeBytes, digestAlgorithm(digest), { signal })
    if (found.digest !== digest) throw storageError('blob-corrupt', 'the copy of a blob is not what was copied', { detail: { key } })
    return { key, generation, encoding, storedSizeBytes }
  } catch (error) {
    if (published !== undefined) await to.withdraw(published.key)
    await to.discardUpload(uploadId)
    return { failure: error }
  }
}

/** Writes the blob as an upload, from its start, and answers how many bytes that took. */
async function written({ content, digest, to, uploadId, signal }: CopyOptions, encoding: BlobEncoding): Promise<number> {
  await to.discardUpload(uploadId)
  await to.createUpload(uploadId)
  const hash = createHash(digestAlgorithm(digest))
  const own = hashing(content.read(), hash)
  const { writtenBytes, aborted, reason } = await to.append(uploadId, 0, encoding === 'zstd' ? encoded(own, content.sizeBytes) : own, { signal })
  signal.throwIfAborted()
  if (aborted) throw reason instanceof Error ? reason : storageError('body-aborted', 'a blob could not be read to its end')
  if (hash.digest('hex') !== digestHex(digest)) throw storageError('blob-corrupt', 'the bytes of a blob have another digest')
  return writtenBytes
}

async function* hashing(source: AsyncIterable<Buffer>, hash: ReturnType<typeof createHash>): AsyncGenerator<Buffer, void, undefined> {
  for await (const bytes of source) {
    hash.update(bytes)
    yield bytes
  }
}

const compressed = promisify(zstdCompress)

/** Whether samples of it shrink enough. */
async function paysToCompress(content: OpenBlob): Promise<boolean> {
  const { sizeBytes } = content
  if (sizeBytes < leastCompressedBytes) return false
  let before = 0
  let after = 0
  for (let sample = 0; sample < sampleCount; sample += 1) {
    const start = Math.floor(((sizeBytes - Math.min(sampleBytes, sizeBytes)) * sample) / (sampleCount - 1))
    const parts: Buffer[] = []
    for await (const part of content.read({ start, endExclusive: Math.min(sizeBytes, start + sampleBytes) })) parts.push(part)
    const bytes = Buffer.concat(parts)
    before += bytes.length
    after += (await compressed(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })).length
  }
  return after <= before * mostOfOriginal
}

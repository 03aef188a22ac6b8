import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { IdSource } from '../internal/ids.ts'
import { Pace } from '../internal/pace.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import type { BlobStore } from '../storage/blobs/index.ts'
import type { NamedBlob } from '../storage/metadata/transfer/index.ts'
import { digestAlgorithm, digestHex } from '../values/index.ts'
import { openDraft, type BackupFolder } from './backup-folder.ts'
import type { MissingBlob } from './point.ts'

/** Hides the time a disk takes to flush small files. More would only wait for the hashing. */
const concurrency = 4

export interface CopyCounts {
  /** Looked at so far, of which some were there from earlier points. */
  blobs: number
  copiedBlobs: number
  copiedBytes: number
}

export interface CopyOptions {
  readonly folder: BackupFolder
  readonly blobStore: Pick<BlobStore, 'open'>
  readonly ids: IdSource
  readonly bytesPerSecond: number | undefined
  readonly signal: AbortSignal
  readonly onProgress: (counts: CopyCounts) => void
}

/**
 * Copies the blobs that the folder does not have yet, hashing them on the way. Those that are gone or not what their
 * digest says are answered; a full disk at the destination, or one that fails, is thrown.
 */
export async function copyBlobs(
  blobs: AsyncIterable<NamedBlob>,
  options: CopyOptions,
): Promise<{ counts: CopyCounts; missing: MissingBlob[] }> {
  const { folder, signal, onProgress } = options
  const counts: CopyCounts = { blobs: 0, copiedBlobs: 0, copiedBytes: 0 }
  const missing: MissingBlob[] = []
  const pace = new Pace(options.bytesPerSecond)
  await inParallel(blobs, concurrency, async (blob) => {
    signal.throwIfAborted()
    if (!(await folder.hasCopy(blob))) {
      const reason = await copyBlob(blob, options, pace, (bytes) => {
        counts.copiedBytes += bytes
        onProgress(counts)
      })
      if (reason === undefined) counts.copiedBlobs += 1
      else missing.push({ digest: blob.digest, sizeBytes: blob.sizeBytes, key: blob.key, reason })
    }
    counts.blobs += 1
    onProgress(counts)
  })
  return { counts, missing: missing.sort((a, b) => (a.key < b.key ? -1 : 1)) }
}

/** Why there is no good copy, or undefined when there is. */
async function copyBlob(blob: NamedBlob, options: CopyOptions, pace: Pace, onBytes: (bytes: number) => void): Promise<MissingBlob['reason'] | undefined> {
  const { folder, blobStore, ids, signal } = options
  let source
  try {
    source = await blobStore.open(blob.key)
  } catch (error) {
    return sourceProblem(error)
  }
  const draft = ids.uuid()
  let isKept = false
  try {
    if (source.sizeBytes !== blob.sizeBytes) return 'damaged'
    const hash = createHash(digestAlgorithm(blob.digest))
    const file = await openDraft(folder, draft)
    try {
      const bytes = source.read()[Symbol.asyncIterator]()
      for (;;) {
        signal.throwIfAborted()
        await pace.wait(signal)
        const startedAtMs = performance.now()
        let next: IteratorResult<Buffer, unknown>
        try {
          next = await bytes.next()
        } catch (error) {
          return sourceProblem(error)
        }
        if (next.done === true) break
        hash.update(next.value)
        await file.appendFile(next.value)
        pace.count(next.value.length, startedAtMs)
        onBytes(next.value.length)
      }
      if (hash.digest('hex') !== digestHex(blob.digest)) return 'damaged'
      await file.sync()
    } finally {
      await file.close()
    }
    await folder.keepCopy(join(folder.incomingDir, draft), blob)
    isKept = true
    return undefined
  } finally {
    await source.close()
    if (!isKept) await rm(join(folder.incomingDir, draft), { force: true })
  }
}

/** Trouble with one file is told; trouble with the store as a whole ends the backup. */
function sourceProblem(error: unknown): MissingBlob['reason'] {
  if (isPlatformError(error, 'blob-missing')) return 'missing'
  if (isPlatformError(error, 'blob-corrupt')) return 'damaged'
  if (isPlatformError(error, 'storage-unavailable') && error.detail['systemError'] === 'EIO') return 'unreadable'
  throw error
}

/** Runs `work` for each, a few at a time; the first failure ends it when what runs has settled. */
export async function inParallel<Item>(items: AsyncIterable<Item>, limit: number, work: (item: Item) => Promise<void>): Promise<void> {
  const running = new Set<Promise<void>>()
  let failure: { readonly error: unknown } | undefined
  for await (const item of items) {
    if (running.size >= limit) await Promise.race(running)
    if (failure !== undefined) break
    const job = work(item)
      .catch((error: unknown) => {
        failure ??= { error }
      })
      .finally(() => running.delete(job))
    running.add(job)
  }
  await Promise.all(running)
  if (failure !== undefined) throw failure.error
}

import { createHash } from 'node:crypto'
import type { Quotas } from '../config/quotas.ts'
import type { FairShare } from '../internal/fair-share.ts'
import type { IdSource } from '../internal/ids.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import { startChecksums, type AppendResult, type BlobStore, type PublishedBlob } from '../storage/blobs/index.ts'
import { storageError } from '../storage/errors.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { findLocatedBlob, findVisibleBlob, isKeyLocated } from '../storage/metadata/stores/blob-index.ts'
import { blobPromiseMs } from '../storage/metadata/stores/review-queue.ts'
import { expiredUploads, findUpload, type LivingUpload } from '../storage/metadata/stores/upload-store.ts'
import { digestAlgorithm, digestFromBytes, digestToBytes, type Digest } from '../values/index.ts'
import { readRepository } from './change.ts'
import { promiseBlob } from './commands/blobs.ts'
import * as commands from './commands/uploads.ts'
import { commandContext, type RequestContext } from './context.ts'
import { registryError } from './errors.ts'
import { layerTooLarge, tooManyParts } from './quotas.ts'
import { registryOf } from './repositories.ts'
import type { AppendRequest, CompleteRequest, Registry, UploadSession } from './types.ts'
import type { UploadTurns } from './upload-turns.ts'

export type UploadOperations = Pick<
  Registry,
  'beginUpload' | 'getUpload' | 'appendUpload' | 'completeUpload' | 'cancelUpload'
>

/** The name of the one blob domain in store keys. */
const domainName = 'default'
const expiryBatchSize = 100
/** What ECR asks of every part but the last. */
const minPartBytes = 5 * 1024 * 1024

export interface UploadDependencies {
  readonly database: MetadataDatabase
  readonly blobStore: BlobStore
  readonly ids: IdSource
  readonly uploadTurns: UploadTurns
  /** Changes when the machine restarts: bytes written before may then be gone whatever the session says. */
  readonly bootId: string
  /** How long a session that nobody writes to stays. */
  readonly uploadLifetimeMs: number
  readonly quotas: Quotas
  /** Publishing a blob flushes it; accounts take turns at the disk. */
  readonly publishTurns: FairShare
}

interface Sums {
  readonly sha256: Uint8Array
  /** See `startChecksums`. */
  readonly checksums: Uint8Array
}

/** How far a session that is held has come. */
interface Progress {
  readonly upload: LivingUpload
  readonly sizeBytes: number
  /** What one pass in order found that saw all bytes, if there was one. */
  readonly sums: Sums | null
  /** 0: none; 1: the last part was short; 2: a short part has others after it. */
  readonly shortParts: number
  readonly partCount: number
}

/** A session for which this request is the one writer, in this process and among all. */
interface Held extends Progress {
  readonly context: RequestContext
  readonly name: string
  /** Another writer of this process wants the session. */
  readonly superseded: AbortSignal
  /** True once the session says by itself that nobody writes: its progress was saved, or it has ended. */
  settled: boolean
}

export function uploadOperations(deps: UploadDependencies): UploadOperations {
  const { database, blobStore, ids, bootId, uploadTurns, uploadLifetimeMs: lifetimeMs, quotas, publishTurns } = deps

  const find = async (context: RequestContext, name: string, uploadId: string): Promise<LivingUpload> => {
    const upload = await findUpload(database.reader, context.registry.id, name, uploadId, context.clock.now())
    if (upload) return upload
    await readRepository(database.reader, registryOf(context), name)
    throw commands.uploadUnknown(uploadId)
  }

  /** Runs as the session's one writer, and leaves it to the next one however it ends. */
  const asWriter = <Result>(
    context: RequestContext,
    name: string,
    uploadId: string,
    expectedOffset: number | undefined,
    write: (held: Held) => Promise<Result>,
  ): Promise<Result> =>
    uploadTurns.take(uploadId, async (superseded) => {
      const progress = await take(context, name, uploadId, expectedOffset)
      const held: Held = { ...progress, context, name, superseded, settled: false }
      try {
        return await write(held)
      } finally {
        if (!held.settled) {
          const { id, writer_epoch: epoch } = held.upload
          await database.execute(commands.releaseWriter, { uploadId: id, epoch }, commandContext(context)).catch(ignoreFailure)
        }
      }
    })

  /** Takes the session's epoch. One whose bytes did not survive a power cut goes back to what is there. */
  const take = async (
    context: RequestContext,
    name: string,
    uploadId: string,
    expectedOffset: number | undefined,
  ): Promise<Progress> => {
    const input = { name, uploadId, writer: uploadTurns.writer, expectedOffset, lifetimeMs }
    let upload: LivingUpload
    try {
      upload = await database.execute(commands.takeUploadSession, input, commandContext(context))
    } catch (error) {
      if (isPlatformError(error, 'upload-unknown')) await readRepository(database.reader, registryOf(context), name)
      throw error
    }
    const { size_bytes: sizeBytes, short_parts: shortParts, part_count: partCount } = upload
    if (upload.boot_id === bootId) return { upload, sizeBytes, sums: sumsOf(upload), shortParts, partCount }
    const storedBytes = await blobStore.uploadSize(uploadId)
    if (storedBytes === undefined) throw commands.uploadUnknown(uploadId)
    if (storedBytes < sizeBytes) {
      await save(context, name, { upload, sizeBytes: storedBytes, sums: null, shortParts, partCount })
      throw commands.rangeInvalid(uploadId, storedBytes)
    }
    // The length is right, but what of the bytes? They are hashed again from the disk.
    return { upload, sizeBytes, sums: null, shortParts, partCount }
  }

  /** Throws `upload-range-invalid` when another process has taken over: what this one wrote does not count. */
  const save = async (context: RequestContext, name: string, progress: Progress): Promise<void> => {
    const { upload, sizeBytes, sums, shortParts, partCount } = progress
    const { sha256, checksums } = sums ?? { sha256: null, checksums: null }
    const input = { uploadId: upload.id, epoch: upload.writer_epoch, bootId, sizeBytes, sha256, checksums, shortParts, partCount, lifetimeMs }
    if (await database.execute(commands.saveProgress, input, commandContext(context))) return
    const current = await find(context, name, upload.id)
    throw commands.rangeInvalid(upload.id, current.size_bytes)
  }

  const saveHeld = async (held: Held, progress: Progress): Promise<void> => {
    await save(held.context, held.name, progress)
    held.settled = true
  }

  /** Receives a body; does not save. `problem` says why what came is not what was announced. */
  const receive = async (held: Held, request: AppendRequest): Promise<Progress & { problem: Error | undefined }> => {
    const { upload, superseded, context } = held
    const roomBytes = quotas.layerBytes - held.sizeBytes
    if (request.isPart && held.partCount >= quotas.partsPerLayer) throw tooManyParts(upload.id, quotas.partsPerLayer)
    if ((request.contentLengthBytes ?? 0) > roomBytes) throw layerTooLarge(held.name, quotas.layerBytes, context.registry)
    const summing = held.sizeBytes === 0 ? { hash: createHash('sha256'), checksums: startChecksums() } : undefined
    // A part counts whole or not at all, and is in memory already: its sender's going away is no reason to stop.
    const signals = request.signal === undefined || request.isPart ? [superseded] : [superseded, request.signal]
    const append = (): Promise<AppendResult> =>
      blobStore.append(upload.id, held.sizeBytes, request.body, {
        ...summing,
        limitBytes: Math.min(roomBytes, request.contentLengthBytes ?? Number.POSITIVE_INFINITY),
        signal: AbortSignal.any(signals),
        accountId: context.actor.accountId,
        ownsBuffers: request.ownsBody,
      })
    // Refused before the body is looked at where an earlier attempt had published and the database went away. It did not
    // commit: that would have ended the session, which this request holds.
    const result = await append().catch(async (error: unknown) => {
      const isUnannounced = request.contentLengthBytes === undefined
      if (isUnannounced && isPlatformError(error, 'body-too-large')) throw layerTooLarge(held.name, quotas.layerBytes, context.registry)
      if (!isPlatformError(error, 'upload-missing')) throw error
      await blobStore.reopenUpload(upload.id, (key) => isKeyLocated(database.reader, blobStore.name, key))
      return append()
    })
    // What a writer wrote that had to give way does not count: the next one begins where this one did.
    if (superseded.aborted && result.aborted) throw commands.rangeInvalid(upload.id, held.sizeBytes)

    let sums: Sums | null = null
    if (summing) {
      const sha256 = digestToBytes(`sha256:${summing.hash.digest('hex')}` as Digest)
      sums = { sha256, checksums: summing.checksums.finish() }
    } else if (result.writtenBytes === 0) {
      sums = held.sums
    }
    let { shortParts } = held
    if (request.isPart && shortParts === 1) shortParts = 2
    else if (request.isPart && result.writtenBytes < minPartBytes) shortParts = 1
    return {
      upload,
      sizeBytes: held.sizeBytes + result.writtenBytes,
      sums,
      shortParts,
      partCount: held.partCount + (request.isPart ? 1 : 0),
      problem: problemOf(request, result),
    }
  }

  /** The checksums of the bytes, which have the digest. */
  const verify = async ({ upload, sizeBytes, sums }: Progress, digest: Digest): Promise<Uint8Array> => {
    const algorithm = digestAlgorithm(digest)
    const { digest: actual, checksums } =
      algorithm === 'sha256' && sums !== null
        ? { digest: digestFromBytes(sums.sha256), checksums: sums.checksums }
        : await blobStore.hashUpload(upload.id, sizeBytes, algorithm)
    if (actual === digest) return checksums
    throw registryError('digest-mismatch', `The uploaded bytes have the digest ${actual}, not ${digest}.`, {
      digest,
      actual,
    })
  }

  /** Ends the session, and frees its bytes unless somebody else has taken it. */
  const end = async (held: Held): Promise<void> => {
    const { id: uploadId, writer_epoch: epoch } = held.upload
    const ended = await database.execute(commands.endUpload, { uploadId, epoch }, commandContext(held.context))
    held.settled = true
    if (ended) await abandonUpload(deps, uploadId)
  }

  /** Resolves to what was published and is not needed, since somebody else's bytes are there. */
  const publishAndCommit = async (
    held: Held,
    { upload, sizeBytes }: Progress,
    digest: Digest,
    checksums: Uint8Array,
  ): Promise<PublishedBlob | undefined> => {
    const commit = async (
      published: PublishedBlob | undefined,
      deadKey?: string,
    ): Promise<commands.CompletionOutcome> => {
      const { id: uploadId, writer_epoch: epoch } = upload
      const { context, name } = held
      const input = {
        ...{ name, uploadId, epoch, digest, sizeBytes, deadKey },
        store: blobStore.name,
        published: published && { ...published, checksums },
      }
      const outcome = await database.execute(commands.completeUpload, input, commandContext(context))
      if (outcome !== 'needs-publication') held.settled = true
      return outcome
    }
    // Bytes that are here already need no second flush to disk. Where their file is gone, these take its place.
    let deadKey: string | undefined
    const located = await findLocatedBlob(database.reader, upload.domainId, digest)
    if (located && (await blobStore.blobSize(located.key)) === sizeBytes) {
      if ((await commit(undefined)) !== 'needs-publication') return undefined
    } else {
      deadKey = located?.key
    }

    const publish = (): Promise<PublishedBlob> => blobStore.publish(upload.id, domainName, digest, sizeBytes)
    const published = await publishTurns.run(held.context.actor.accountId, publish)
    let outcome: commands.CompletionOutcome
    try {
      outcome = await commit(published, deadKey)
    } catch (error) {
      // Withdrawn only when the commit surely did not happen. After a storage failure nobody knows: the upload keeps
      // its name until its session ends, and then the metadata is asked.
      if (isPlatformError(error) && error.code !== 'storage-unavailable') await blobStore.withdraw(published.key)
      throw error
    }
    return outcome === 'already-there' ? published : undefined
  }

  /**
   * Removes what a finished upload left. Whether it can or not, the client is told the truth: the blob is there. A name that
   * stays is evidence for the next start, which goes on from it; so the upload's own goes last.
   */
  const tidyUp = async (uploadId: string, redundant: PublishedBlob | undefined): Promise<void> => {
    try {
      if (redundant) await blobStore.withdraw(redundant.key)
      await blobStore.discardUpload(uploadId)
    } catch (error) {
      if (!isPlatformError(error)) throw error
    }
  }

  const complete = async (held: Held, { digest, last, refuseExisting }: CompleteRequest): Promise<number> => {
    let progress: Progress = held
    if (last) {
      const { problem, ...received } = await receive(held, last)
      if (problem) {
        await saveHeld(held, received)
        throw problem
      }
      progress = received
    }
    if (progress.shortParts === 2) {
      throw registryError('upload-part-too-small', `Every part but the last has at least ${minPartBytes} bytes.`)
    }
    const { context, name } = held
    if (refuseExisting && (await findVisibleBlob(database.reader, context.registry.id, name, digest, 0))) {
      await end(held)
      throw layerExists(name, digest)
    }
    let checksums: Uint8Array
    try {
      checksums = await verify(progress, digest)
    } catch (error) {
      if (isPlatformError(error, 'digest-mismatch')) await end(held)
      throw error
    }
    const redundant = await publishAndCommit(held, progress, digest, checksums)
    await tidyUp(held.upload.id, redundant)
    return progress.sizeBytes
  }

  /**
   * The size of the blob that a session which is gone was to become, where the repository has it: the answer to the commit
   * may have been lost with a connection, to the database or to the client, who asks again. What it is told is true.
   */
  const completedBefore = async (context: RequestContext, name: string, request: CompleteRequest): Promise<number | undefined> => {
    const { digest } = request
    const horizon = context.clock.now() + blobPromiseMs
    const blob = await findVisibleBlob(database.reader, context.registry.id, name, digest, horizon)
    if (!blob || (await blobStore.blobSize(blob.key)) !== blob.sizeBytes) return undefined
    if (request.refuseExisting) throw layerExists(name, digest)
    const { blobId, repositoryId, sizeBytes } = blob
    if (blob.reviewIsNear) await database.execute(promiseBlob, { blobId, repositoryId }, commandContext(context))
    return sizeBytes
  }

  return {
    async beginUpload(context, name) {
      const uploadId = ids.uuid()
      const input = { name, uploadId, store: blobStore.name, bootId, lifetimeMs }
      // The file first: a session without one could not be written, a file without a session is cleaned away.
      await blobStore.createUpload(uploadId)
      try {
        await database.execute(commands.beginUpload, input, commandContext(context))
      } catch (error) {
        await blobStore.discardUpload(uploadId)
        throw error
      }
      return { id: uploadId, sizeBytes: 0, createdAt: context.clock.now() }
    },

    async getUpload(context, name, uploadId) {
      return toSession(await find(context, name, uploadId))
    },

    async appendUpload(context, name, uploadId, request) {
      return asWriter(context, name, uploadId, request.expectedOffset, async (held) => {
        const received = await receive(held, request)
        await saveHeld(held, received)
        if (received.problem) throw received.problem
        return { ...toSession(received.upload), sizeBytes: received.sizeBytes }
      })
    },

    async completeUpload(context, name, uploadId, request) {
      const { digest } = request
      try {
        return await asWriter(context, name, uploadId, request.last?.expectedOffset, async (held) => ({
          digest,
          sizeBytes: await complete(held, request),
        }))
      } catch (error) {
        if (!isPlatformError(error, 'upload-unknown')) throw error
        const sizeBytes = await completedBefore(context, name, request)
        if (sizeBytes === undefined) throw error
        return { digest, sizeBytes }
      }
    },

    async cancelUpload(context, name, uploadId) {
      await asWriter(context, name, uploadId, undefined, end)
    },
  }
}

/** Ends sessions whose time is over and frees their bytes. Returns how many. */
export async function expireUploads(deps: UploadDependencies, context: RequestContext): Promise<number> {
  const { database, uploadTurns, uploadLifetimeMs } = deps
  const now = context.clock.now()
  let ended = 0
  for (;;) {
    const uploads = await expiredUploads(database.reader, now, expiryBatchSize)
    let endedNow = 0
    for (const { id: uploadId, epoch, writer, expiresAt } of uploads) {
      // A body may flow for longer than a session lives. One of another process is given its time twice.
      if (uploadTurns.isBusy(uploadId)) continue
      if (writer !== null && writer !== uploadTurns.writer && expiresAt + uploadLifetimeMs > now) continue
      if (!(await database.execute(commands.endUpload, { uploadId, epoch }, commandContext(context)))) continue
      await abandonUpload(deps, uploadId)
      endedNow += 1
    }
    ended += endedNow
    if (uploads.length < expiryBatchSize || endedNow === 0) return ended
  }
}

/** Frees the bytes of a session that has ended, and withdraws what it published and never committed. */
function abandonUpload({ blobStore, database }: UploadDependencies, uploadId: string): Promise<void> {
  return blobStore.abandonUpload(uploadId, (key) => isKeyLocated(database.reader, blobStore.name, key))
}

function problemOf(
  request: AppendRequest,
  result: { readonly writtenBytes: number; readonly aborted: boolean; readonly reason?: unknown },
): Error | undefined {
  if (result.aborted) return storageError('body-aborted', 'The body ended before its end.', { cause: result.reason })
  if (request.contentLengthBytes === undefined || result.writtenBytes === request.contentLengthBytes) return undefined
  return registryError(
    'size-mismatch',
    `${request.contentLengthBytes} bytes were announced and ${result.writtenBytes} came.`,
  )
}

function sumsOf({ sha256_so_far: sha256, checksums_so_far: checksums }: LivingUpload): Sums | null {
  return sha256 && checksums && { sha256, checksums }
}

function layerExists(name: string, digest: Digest): Error {
  return registryError('layer-exists', `Layer with digest '${digest}' already exists in the repository with name '${name}'`, {
    digest,
  })
}

function toSession(upload: LivingUpload): UploadSession {
  return { id: upload.id, sizeBytes: upload.size_bytes, createdAt: upload.created_at }
}

/** Leaving a session to the next writer must not hide why it was left; what is not released expires. */
function ignoreFailure(): undefined {
  return undefined
}

import { createHash } from 'node:crypto'
import type { IdSource } from '../internal/ids.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import type { BlobStore } from '../storage/blobs/index.ts'
import { storageError } from '../storage/errors.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { findLocatedBlob, findVisibleBlob } from '../storage/metadata/stores/blob-index.ts'
import { expiredUploads, findUpload, type LivingUpload } from '../storage/metadata/stores/upload-store.ts'
import { digestAlgorithm, digestFromBytes, digestToBytes, type Digest } from '../values/index.ts'
import { readRepository } from './change.ts'
import * as commands from './commands/uploads.ts'
import { commandContext, type RequestContext } from './context.ts'
import { registryError } from './errors.ts'
import { registryOf } from './repositories.ts'
import type { AppendRequest, Registry, UploadSession } from './types.ts'

export type UploadOperations = Pick<
  Registry,
  'beginUpload' | 'getUpload' | 'appendUpload' | 'completeUpload' | 'cancelUpload'
>

/** ECR's quota for a layer, 52,000 MiB: far above any image, far below a disk. */
export const maxBlobBytes = 52_000 * 1024 * 1024
/** The name of the one blob domain in store keys. */
const domainName = 'default'
const expiryBatchSize = 100
/** What ECR asks of every part but the last. */
const minPartBytes = 5 * 1024 * 1024

export interface UploadDependencies {
  readonly database: MetadataDatabase
  readonly blobStore: BlobStore
  readonly ids: IdSource
  /** Changes when the machine restarts: bytes written before may then be gone whatever the session says. */
  readonly bootId: string
  /** How long a session that nobody writes to stays. */
  readonly uploadLifetimeMs: number
}

/** A session being written, and the hash of its bytes where one pass in order saw them all. */
interface Writing {
  readonly upload: LivingUpload
  readonly sizeBytes: number
  readonly sha256: Uint8Array | null
  /** 0: none; 1: the last part was short; 2: a short part has others after it. */
  readonly shortParts: number
}

export function uploadOperations(deps: UploadDependencies): UploadOperations {
  const { database, blobStore, ids, bootId, uploadLifetimeMs: lifetimeMs } = deps
  // The name of this process among those that share the uploads.
  const writer = ids.uuid()

  const find = async (context: RequestContext, name: string, uploadId: string): Promise<LivingUpload> => {
    const upload = await findUpload(database.reader, context.registry.id, name, uploadId, context.clock.now())
    if (upload) return upload
    await readRepository(database.reader, registryOf(context), name)
    throw commands.uploadUnknown(uploadId)
  }

  /** Becomes the writer. A session whose bytes did not survive a power cut goes back to what is there. */
  const take = async (
    context: RequestContext,
    name: string,
    uploadId: string,
    expectedOffset: number | undefined,
  ): Promise<Writing> => {
    const input = { name, uploadId, writer, expectedOffset, lifetimeMs }
    let upload: LivingUpload
    try {
      upload = await database.execute(commands.takeUploadSession, input, commandContext(context))
    } catch (error) {
      if (isPlatformError(error, 'upload-unknown')) await readRepository(database.reader, registryOf(context), name)
      throw error
    }
    const held = { upload, sizeBytes: upload.size_bytes, sha256: upload.sha256_so_far, shortParts: upload.short_parts }
    if (upload.boot_id === bootId) return held
    const storedBytes = await blobStore.uploadSize(uploadId)
    if (storedBytes === undefined) throw commands.uploadUnknown(uploadId)
    if (storedBytes < upload.size_bytes) {
      await save(context, name, { ...held, sizeBytes: storedBytes, sha256: null })
      throw commands.rangeInvalid(uploadId, storedBytes)
    }
    // The length is right, but what of the bytes? They are hashed again from the disk.
    return { ...held, sha256: null }
  }

  /** Throws `upload-range-invalid` when another writer has taken over: what this one wrote does not count. */
  const save = async (context: RequestContext, name: string, progress: Writing): Promise<void> => {
    const { upload, sizeBytes, sha256, shortParts } = progress
    const input = { uploadId: upload.id, epoch: upload.writer_epoch, bootId, sizeBytes, sha256, shortParts, lifetimeMs }
    if (await database.execute(commands.saveProgress, input, commandContext(context))) return
    const current = await find(context, name, upload.id)
    throw commands.rangeInvalid(upload.id, current.size_bytes)
  }

  /** Receives a body into a session that is held; does not save. */
  const receive = async (
    held: Writing,
    request: AppendRequest,
  ): Promise<Writing & { readonly problem: Error | undefined }> => {
    const { upload } = held
    const startsFresh = held.sizeBytes === 0
    const hash = startsFresh ? createHash('sha256') : undefined
    const limitBytes = Math.min(maxBlobBytes - held.sizeBytes, request.contentLengthBytes ?? Number.POSITIVE_INFINITY)
    const result = await blobStore.append(upload.id, held.sizeBytes, request.body, {
      hash,
      limitBytes,
      signal: request.signal,
    })
    const sizeBytes = held.sizeBytes + result.writtenBytes
    let sha256: Uint8Array | null = null
    if (hash) sha256 = digestToBytes(`sha256:${hash.digest('hex')}` as Digest)
    else if (result.writtenBytes === 0) sha256 = held.sha256
    let problem: Error | undefined
    if (result.aborted) {
      problem = storageError('body-aborted', 'The body ended before its end.', { cause: result.reason })
    } else if (request.contentLengthBytes !== undefined && result.writtenBytes !== request.contentLengthBytes) {
      problem = registryError(
        'size-mismatch',
        `${request.contentLengthBytes} bytes were announced and ${result.writtenBytes} came.`,
      )
    }
    let { shortParts } = held
    if (request.isPart && shortParts === 1) shortParts = 2
    else if (request.isPart && result.writtenBytes < minPartBytes) shortParts = 1
    return { upload, sizeBytes, sha256, shortParts, problem }
  }

  const verify = async (writing: Writing, digest: Digest): Promise<void> => {
    const { upload, sizeBytes, sha256 } = writing
    const algorithm = digestAlgorithm(digest)
    const actual =
      algorithm === 'sha256' && sha256 !== null
        ? digestFromBytes(sha256)
        : await blobStore.hashUpload(upload.id, sizeBytes, algorithm)
    if (actual !== digest) {
      throw registryError('digest-mismatch', `The uploaded bytes have the digest ${actual}, not ${digest}.`, {
        digest,
        actual,
      })
    }
  }

  const end = async (context: RequestContext, uploadId: string): Promise<void> => {
    await database.execute(commands.cancelUpload, { uploadId }, commandContext(context))
    await blobStore.discardUpload(uploadId)
  }

  const publishAndCommit = async (
    context: RequestContext,
    name: string,
    writing: Writing,
    digest: Digest,
  ): Promise<void> => {
    const { upload, sizeBytes } = writing
    const commit = (published: { key: string; generation: string } | undefined) =>
      database.execute(
        commands.completeUpload,
        { name, uploadId: upload.id, epoch: upload.writer_epoch, digest, sizeBytes, store: blobStore.name, published },
        commandContext(context),
      )
    // Bytes that are here already need no second flush to disk.
    if (await findLocatedBlob(database.reader, upload.domainId, digest)) {
      if ((await commit(undefined)) !== 'needs-publication') return
    }
    const published = await blobStore.publish(upload.id, domainName, digest, sizeBytes)
    let outcome: commands.CompletionOutcome
    try {
      outcome = await commit(published)
    } catch (error) {
      // Withdrawn only when the commit surely did not happen: after a storage failure nobody knows, and the next
      // start asks the metadata.
      if (isPlatformError(error) && error.code !== 'storage-unavailable') await blobStore.delete(published.key)
      throw error
    }
    if (outcome === 'already-there') await blobStore.delete(published.key)
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
      const held = await take(context, name, uploadId, request.expectedOffset)
      const received = await receive(held, request)
      await save(context, name, received)
      if (received.problem) throw received.problem
      return { ...toSession(received.upload), sizeBytes: received.sizeBytes }
    },

    async completeUpload(context, name, uploadId, { digest, last, refuseExisting }) {
      let writing = await take(context, name, uploadId, last?.expectedOffset)
      if (last) {
        const { problem, ...received } = await receive(writing, last)
        if (problem) {
          await save(context, name, received)
          throw problem
        }
        writing = received
      }
      if (writing.shortParts === 2) {
        throw registryError('upload-part-too-small', `Every part but the last has at least ${minPartBytes} bytes.`)
      }
      if (refuseExisting) {
        const visible = await findVisibleBlob(database.reader, context.registry.id, name, digest, 0)
        if (visible) {
          await end(context, uploadId)
          throw registryError('layer-exists', `Layer with digest '${digest}' already exists in the repository with name '${name}'`, {
            digest,
          })
        }
      }
      try {
        await verify(writing, digest)
      } catch (error) {
        if (isPlatformError(error, 'digest-mismatch')) await end(context, uploadId)
        throw error
      }
      await publishAndCommit(context, name, writing, digest)
      await blobStore.discardUpload(uploadId)
      return { digest, sizeBytes: writing.sizeBytes }
    },

    async cancelUpload(context, name, uploadId) {
      await find(context, name, uploadId)
      await end(context, uploadId)
    },
  }
}

/** Ends sessions whose time is over and frees their bytes. Returns how many. */
export async function expireUploads(deps: UploadDependencies, context: RequestContext): Promise<number> {
  let ended = 0
  for (;;) {
    const uploads = await expiredUploads(deps.database.reader, context.clock.now(), expiryBatchSize)
    for (const { id, epoch } of uploads) {
      const input = { uploadId: id, epoch }
      if (!(await deps.database.execute(commands.expireUpload, input, commandContext(context)))) continue
      await deps.blobStore.discardUpload(id)
      ended += 1
    }
    if (uploads.length < expiryBatchSize) return ended
  }
}

function toSession(upload: LivingUpload): UploadSession {
  return { id: upload.id, sizeBytes: upload.size_bytes, createdAt: upload.created_at }
}

import { defineCommand } from '../../storage/metadata/command.ts'
import { insertLocatedBlob, lockLocatedBlob, quarantineLocation, showBlob } from '../../storage/metadata/stores/blob-index.ts'
import { blobPromiseMs, postponeBlobReviews, suspect } from '../../storage/metadata/stores/review-queue.ts'
import {
  deleteUploadAtEpoch,
  findUpload,
  insertUpload,
  releaseUploadWriter,
  releaseUploadWriters,
  saveUploadProgress,
  takeUpload,
  type LivingUpload,
} from '../../storage/metadata/stores/upload-store.ts'
import type { Digest } from '../../values/index.ts'
import { audit, readRepository } from '../change.ts'
import { registryError } from '../errors.ts'

/** A session that nobody writes to ends after `lifetimeMs`; every write begins it anew. */
interface Lifetime {
  readonly lifetimeMs: number
}

export function uploadUnknown(uploadId: string) {
  return registryError('upload-unknown', `The upload ${uploadId} is unknown or has expired.`, { uploadId })
}

export const beginUpload = defineCommand({
  name: 'begin-upload',
  durability: 'process',
  async run(tx, input: Lifetime & { name: string; uploadId: string; store: string; bootId: string }, context): Promise<void> {
    const repository = await readRepository(tx, context, input.name)
    await insertUpload(tx, {
      id: input.uploadId,
      repositoryId: repository.id,
      store: input.store,
      bootId: input.bootId,
      now: context.nowMs,
      by: context.actorArn,
      expiresAt: context.nowMs + input.lifetimeMs,
    })
  },
})

/**
 * Makes the caller the session's one writer; whoever wrote before can no longer save what it writes. Throws
 * `upload-unknown`, also where a writer of another process has not come back, and `upload-range-invalid` when `expectedOffset` is not where the session stands or another
 * writer was quicker.
 */
export const takeUploadSession = defineCommand({
  name: 'take-upload-session',
  durability: 'process',
  async run(
    tx,
    input: Lifetime & { name: string; uploadId: string; writer: string; expectedOffset: number | undefined },
    context,
  ): Promise<LivingUpload> {
    const upload = await findUpload(tx, context.registryId, input.name, input.uploadId, context.nowMs)
    if (!upload) throw uploadUnknown(input.uploadId)
    if (input.expectedOffset !== undefined && input.expectedOffset !== upload.size_bytes) {
      throw rangeInvalid(input.uploadId, upload.size_bytes)
    }
    // A writer in another process may still be at it, and nothing here can stop it from writing into the file.
    if (upload.writer !== null && upload.writer !== input.writer) throw uploadUnknown(input.uploadId)
    const taken = await takeUpload(tx, {
      id: input.uploadId,
      epoch: upload.writer_epoch,
      writer: input.writer,
      expiresAt: context.nowMs + input.lifetimeMs,
    })
    if (!taken) throw rangeInvalid(input.uploadId, upload.size_bytes)
    return { ...taken, domainId: upload.domainId }
  },
})

/** At the start of the only process that uses the upload files: whoever was writing is dead. */
export const releaseWriters = defineCommand({
  name: 'release-upload-writers',
  durability: 'process',
  async run(tx): Promise<void> {
    await releaseUploadWriters(tx)
  },
})

export function rangeInvalid(uploadId: string, sizeBytes: number) {
  return registryError('upload-range-invalid', `The upload continues at byte ${sizeBytes}.`, { uploadId, sizeBytes })
}

export const saveProgress = defineCommand({
  name: 'save-upload-progress',
  durability: 'process',
  run(
    tx,
    input: Lifetime & { uploadId: string; epoch: number; sizeBytes: number; sha256: Uint8Array | null; checksums: Uint8Array | null; shortParts: number; partCount: number; bootId: string },
    context,
  ): Promise<boolean> {
    return saveUploadProgress(tx, {
      id: input.uploadId,
      epoch: input.epoch,
      sizeBytes: input.sizeBytes,
      sha256: input.sha256,
      checksums: input.checksums,
      shortParts: input.shortParts,
      partCount: input.partCount,
      bootId: input.bootId,
      expiresAt: context.nowMs + input.lifetimeMs,
    })
  },
})

export type CompletionOutcome = 'published' | 'already-there' | 'needs-publication'

/**
 * Turns an upload whose bytes are verified, and durable under `published` unless the blob is known, into a blob of
 * the repository. `needs-publication`: the blob was thought known and is not; nothing was changed.
 */
export const completeUpload = defineCommand({
  name: 'complete-upload',
  durability: 'durable',
  async run(
    tx,
    input: {
      name: string
      uploadId: string
      epoch: number
      digest: Digest
      sizeBytes: number
      store: string
      published: { key: string; generation: string; checksums: Uint8Array } | undefined
      /** A key of this blob whose bytes are known to be gone. */
      deadKey: string | undefined
    },
    context,
  ): Promise<CompletionOutcome> {
    const { digest, sizeBytes, published, store, deadKey } = input
    const repository = await readRepository(tx, context, input.name)
    let known = await lockLocatedBlob(tx, repository.domain_id, digest)
    if (known && known.key === deadKey && published) {
      await quarantineLocation(tx, known.store, deadKey)
      known = undefined
    }
    if (!known && !published) return 'needs-publication'
    if (!(await deleteUploadAtEpoch(tx, input.uploadId, input.epoch))) throw uploadUnknown(input.uploadId)
    const now = context.nowMs
    const { blobId, inserted } =
      known || !published
        ? { blobId: known?.id ?? 0, inserted: false }
        : await insertLocatedBlob(tx, { domainId: repository.domain_id, digest, sizeBytes, store, ...published, now })
    await showBlob(tx, repository.id, blobId, now)
    if (known !== undefined && known.store !== store) {
      await suspect(tx, { kind: 'placement', repositoryId: 0, subjectId: blobId, reason: 'uploaded again', now, delayMs: 0 })
    }
    await suspect(tx, { kind: 'repository-blob', repositoryId: repository.id, subjectId: blobId, reason: 'uploaded', now })
    if (!inserted) {
      await postponeBlobReviews(tx, { blobId, repositoryId: repository.id, until: now + blobPromiseMs })
    }
    await audit(tx, context, input.name, 'CompleteLayerUpload', { layerDigest: digest, sizeBytes })
    return inserted ? 'published' : 'already-there'
  },
})

/** Lets go of a session without saving: it stands where it stood. */
export const releaseWriter = defineCommand({
  name: 'release-upload-writer',
  durability: 'process',
  async run(tx, input: { uploadId: string; epoch: number }): Promise<void> {
    await releaseUploadWriter(tx, input.uploadId, input.epoch)
  },
})

/** Ends a session without a blob. False when another writer has taken it, or it has ended. */
export const endUpload = defineCommand({
  name: 'end-upload',
  durability: 'process',
  async run(tx, input: { uploadId: string; epoch: number }): Promise<boolean> {
    return deleteUploadAtEpoch(tx, input.uploadId, input.epoch)
  },
})

import { defineCommand } from '../../storage/metadata/command.ts'
import {
  hideBlob,
  lockKnownBlobs,
  referencingManifests,
  seesLiveBlob,
  showBlob,
} from '../../storage/metadata/stores/blob-index.ts'
import { blobPromiseMs, postponeBlobReviews, suspect } from '../../storage/metadata/stores/review-queue.ts'
import type { Digest } from '../../values/index.ts'
import { audit, lockRepository, readRepository } from '../change.ts'
import { registryError } from '../errors.ts'

/**
 * Keeps the promise of a positive answer: a review that would come too soon is put off. False when one came first, and the
 * repository sees the blob no more.
 */
export const promiseBlob = defineCommand({
  name: 'promise-blob',
  durability: 'durable',
  async run(tx, input: { blobId: number; repositoryId: number }, context): Promise<boolean> {
    // In this order: whoever reviews the blob holds its review until the end, and what is seen after that stays.
    await postponeBlobReviews(tx, { ...input, until: context.nowMs + blobPromiseMs })
    return seesLiveBlob(tx, input.repositoryId, input.blobId)
  },
})

/** Makes a blob that `from` sees visible in `name` too. False when `from` does not see it, or is in another domain. */
export const mountBlob = defineCommand({
  name: 'mount-blob',
  durability: 'durable',
  async run(tx, input: { name: string; from: string; digest: Digest }, context): Promise<boolean> {
    const target = await lockRepository(tx, context, input.name)
    const source = await readRepository(tx, context, input.from)
    if (source.domain_id !== target.domain_id) return false
    const [blob] = await lockKnownBlobs(tx, source.domain_id, source.id, [input.digest])
    if (blob?.visibleSince == null) return false
    await showBlob(tx, target.id, blob.id, context.nowMs)
    await suspect(tx, {
      kind: 'repository-blob',
      repositoryId: target.id,
      subjectId: blob.id,
      reason: 'mounted',
      now: context.nowMs,
    })
    await postponeBlobReviews(tx, {
      blobId: blob.id,
      repositoryId: target.id,
      until: context.nowMs + blobPromiseMs,
    })
    await audit(tx, context, input.name, 'MountLayer', { layerDigest: input.digest, from: input.from })
    return true
  },
})

export const deleteBlob = defineCommand({
  name: 'delete-blob',
  durability: 'durable',
  async run(tx, input: { name: string; digest: Digest }, context): Promise<void> {
    const repository = await lockRepository(tx, context, input.name)
    const [blob] = await lockKnownBlobs(tx, repository.domain_id, repository.id, [input.digest])
    if (blob?.visibleSince == null) {
      throw registryError('blob-unknown', `The repository has no blob ${input.digest}.`, { digest: input.digest })
    }
    const by = await referencingManifests(tx, repository.id, input.digest)
    if (by.length > 0) {
      throw registryError('blob-referenced', `The blob ${input.digest} is used by images of the repository: [${by.join(', ')}]`, {
        digest: input.digest,
        by,
      })
    }
    await hideBlob(tx, repository.id, blob.id)
    await suspect(tx, { kind: 'blob', repositoryId: 0, subjectId: blob.id, reason: 'deleted', now: context.nowMs })
    await audit(tx, context, input.name, 'BatchDeleteImage', { layerDigest: input.digest })
  },
})

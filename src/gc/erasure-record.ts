import type { ErasureRow } from '../storage/metadata/stores/erasure-store.ts'
import type { Digest } from '../values/index.ts'

/** An image that was erased, or would be. */
export interface ErasedImage {
  readonly repositoryName: string
  readonly digest: Digest
  /** Those it had, or had had when it went to the trash. */
  readonly tags: readonly string[]
  readonly mediaType: string
  readonly imageSizeBytes: number
  readonly state: 'active' | 'archived' | 'activating' | 'trashed'
  readonly pushedAt: number
  readonly pushedBy: string
  /** Who has pulled it has it still. */
  readonly pullCount: number
  readonly lastPulledAt: number | null
  /** What stood against it. */
  readonly heldBy: readonly string[]
}

/** A config or a layer of an erased image. */
export interface ErasedBlob {
  readonly digest: Digest
  readonly sizeBytes: number
  /** `erased`, `waiting` (to be erased as soon as nothing reads it), or `kept` because something else needs it. */
  readonly bytes: 'erased' | 'waiting' | 'kept'
  /** Images of the registry that name it and were not erased: some of them. */
  readonly namedBy: readonly { readonly repositoryName: string; readonly digest: Digest; readonly isTrashed: boolean }[]
  /** Whether images of other registries name it, which are not this caller's to know. */
  readonly isNamedElsewhere: boolean
}

/** The record of an erasure: what is gone, and what still has it. */
export interface Erasure {
  readonly id: string
  readonly status: 'running' | 'done'
  readonly requestedAt: number
  readonly requestedBy: string
  readonly reason: string
  readonly finishedAt: number | undefined
  readonly everywhere: boolean
  readonly images: readonly ErasedImage[]
  readonly blobs: readonly ErasedBlob[]
}

/** As it is kept: with the numbers of the blobs, whose bytes go after the rows. */
export interface ErasureDetail {
  readonly everywhere: boolean
  readonly images: readonly ErasedImage[]
  readonly blobs: readonly (ErasedBlob & { readonly blobId: number })[]
}

export function toErasure(row: ErasureRow): Erasure {
  const { everywhere, images, blobs } = JSON.parse(row.detail) as ErasureDetail
  return {
    id: row.id,
    status: row.status === 'done' ? 'done' : 'running',
    requestedAt: row.requested_at,
    requestedBy: row.requested_by,
    reason: row.reason,
    finishedAt: row.finished_at ?? undefined,
    everywhere,
    images,
    blobs: blobs.map(({ blobId: _, ...blob }) => blob),
  }
}

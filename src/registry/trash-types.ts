import type { Digest } from '../values/digest.ts'
import type { Tag } from '../values/reference.ts'

/** An image that came back from the trash. */
export interface RestoredImage {
  readonly digest: Digest
  /** The tags it has again. */
  readonly tags: readonly Tag[]
  /** Tags it had, and which image has them now. */
  readonly takenTags: readonly { readonly tag: Tag; readonly by: Digest }[]
  /** Tags it had that were given to another image since, and deleted from that: whoever did so wanted them gone. */
  readonly deletedTags: readonly Tag[]
}

/** An image that stays in the trash, and why. */
export interface UnrestoredImage {
  readonly digest: Digest
  readonly reason: string
}

/** What came back from the trash. */
export interface RestoreOutcome {
  readonly batch: string
  readonly repositoryName: string
  /** The repository itself came back, with all that was in it. */
  readonly repositoryRestored: boolean
  readonly images: readonly RestoredImage[]
  readonly notRestored: readonly UnrestoredImage[]
}

/** What went to the trash together, and is there still. */
export interface TrashBatch {
  readonly batch: string
  readonly repositoryName: string
  /** The repository itself, or images of it. */
  readonly kind: 'repository' | 'images'
  /** What did it: a request, a policy's run, a retirement. */
  readonly cause: Readonly<Record<string, unknown>>
  /** Deleted because it must not be used: no pull brings it back. */
  readonly isSecurity: boolean
  readonly imageCount: number
  readonly tagCount: number
  readonly trashedAt: number
  readonly trashedBy: string
  readonly purgeAfter: number
}

/** An image in the trash. */
export interface TrashedImageDetail {
  readonly digest: Digest
  /** The tags that it had. */
  readonly tags: readonly Tag[]
  readonly mediaType: string
  readonly imageSizeBytes: number
  readonly pushedAt: number
  /** The rule of a policy that deleted it, in words. */
  readonly rule: string | undefined
}

/** A push that set or moved a tag, or its deletion from an image that stayed. */
export interface TagChange {
  readonly id: number
  readonly tag: Tag
  /** What it names since; absent: nothing. */
  readonly digest: Digest | undefined
  readonly previousDigest: Digest | undefined
  readonly changedAt: number
  readonly changedBy: string
}

/** What an image is: policies of the second grammar count only those classes that they name. */
export type ArtifactClass = 'image' | 'index' | 'cache' | 'chart' | 'signature' | 'sbom' | 'attestation' | 'other'

/** A tag, and since when the image has it (milliseconds since 1970). */
export interface TagFact {
  readonly name: string
  readonly taggedAt: number
}

/**
 * What the evaluation knows of one image. Times are milliseconds since 1970. Of an index, `lastPulledAt`, `lastUsedAt`,
 * `labels` and `annotations` should take in those of its children: clients pull the child, and labels are its config's.
 */
export interface ImageFacts {
  readonly manifestId: number
  readonly tags: readonly TagFact[]
  readonly storageClass: 'active' | 'archived' | 'activating'
  readonly pushedAt: number
  readonly lastPulledAt?: number | undefined
  /** When a workload last had it. */
  readonly lastUsedAt?: number | undefined
  readonly lastActivatedAt?: number | undefined
  readonly lastArchivedAt?: number | undefined
  readonly artifactClass: ArtifactClass
  /** Listed by a living index, or a referrer of a living subject: it goes with that, never by itself. */
  readonly isPartOfUnit: boolean
  readonly labels?: Readonly<Record<string, string>> | undefined
  readonly annotations?: Readonly<Record<string, string>> | undefined
  /** Labels and annotations are not known, whatever stands there: rules that keep by them keep it, others leave it alone. */
  readonly isUnread?: boolean | undefined
  readonly notice?: NoticeFact | undefined
}

/** What whoever pulls an image has been told of its end, since when (milliseconds since 1970). */
export interface NoticeFact {
  /** What a rule will do to it; undefined: somebody retired it by hand, which is notice of everything. */
  readonly action: 'expire' | 'transition' | undefined
  readonly since: number
  /** When it comes at the earliest, as it was told. */
  readonly until: number | undefined
}

/** What a policy asks of images, so that a reader fetches nothing else. */
export interface FactNeeds {
  readonly labels: boolean
  readonly annotations: boolean
  /** Without it `taggedAt` may be 0. */
  readonly tagTimes: boolean
  readonly pulls: boolean
  readonly uses: boolean
}

/**
 * Which time a rule's age is counted from, and by which it orders.
 * - `pushed`: the push, or the return from the archive if that was later.
 * - `tagged`: when the image last got one of its tags; of an untagged one as `pushed`.
 * - `pulled`: the last pull; never pulled, as `pushed`. Never earlier than `pushed`.
 * - `used`: when a workload last had it, or somebody last pulled it; otherwise as `pushed`.
 * - `archived`: when it went to the archive. Only archived images have it.
 */
export type Clock = 'pushed' | 'tagged' | 'pulled' | 'used' | 'archived'

/** The time that a clock shows for an image; undefined only for `archived`. */
export function timeOf(image: ImageFacts, clock: Clock): number | undefined {
  const pushed = latest(image.pushedAt, image.lastActivatedAt)
  switch (clock) {
    case 'pushed':
      return Math.max(image.lastActivatedAt ?? 0, image.pushedAt)
    case 'tagged': {
      if (image.tags.length === 0) return pushed
      let time = image.lastActivatedAt ?? 0
      for (const { taggedAt } of image.tags) time = Math.max(time, taggedAt)
      return time
    }
    case 'pulled':
      return latest(pushed, image.lastPulledAt)
    case 'used':
      return latest(latest(pushed, image.lastPulledAt), image.lastUsedAt)
    case 'archived':
      return image.storageClass === 'archived' ? image.lastArchivedAt : undefined
  }
}

function latest(time: number, other: number | undefined): number {
  return other !== undefined && other > time ? other : time
}

import type { Digest, RepositoryName } from '../../src/values/index.ts'
import type { KnownImage } from './images.ts'

/** A change that was acknowledged: the image was there, whole, at some turn between its two. */
export interface Put {
  readonly repository: RepositoryName
  readonly image: KnownImage
  readonly began: number
  readonly ended: number
}

/** Something that may have taken images away at any turn from its first on; it ended, or was cut off by a kill. */
export interface Removal {
  readonly repository: RepositoryName
  /** Undefined: whichever it met. */
  readonly images: ReadonlySet<KnownImage> | undefined
  readonly began: number
  ended: number
}

/** Somebody was told that the image is kept, from one turn until another. */
export interface Keeping {
  readonly repository: RepositoryName
  readonly image: KnownImage
  readonly what: string
  readonly since: number
  until: number
}

/** Somebody was told that an image, and the bytes of these blobs, are erased for good. */
export interface Erasure {
  readonly repositories: readonly RepositoryName[]
  readonly image: KnownImage
  readonly blobs: readonly Digest[]
  readonly began: number
}

/** What the actors of a history were told, for those who check afterwards. */
export class History {
  readonly puts: Put[] = []
  readonly removals: Removal[] = []
  /** Whatever may have put images into the archive, where they are and cannot be pulled. */
  readonly hidings: Removal[] = []
  readonly keepings: Keeping[] = []
  /** Pushes, from before their first call on; those that failed or were cut off too, for they may have done all they wanted. */
  readonly attempts: Put[] = []
  readonly erasures: Erasure[] = []
  /** Promises that were broken before anybody's eyes. */
  readonly broken: string[] = []

  /** Notes that something is about to remove images, until `end` is called. */
  removing(repository: RepositoryName, images: ReadonlySet<KnownImage> | undefined, began: number): Removal {
    const removal = { repository, images, began, ended: Number.POSITIVE_INFINITY }
    this.removals.push(removal)
    return removal
  }

  /** Notes that something is about to put images into the archive, until `end` is called. */
  hiding(repository: RepositoryName, images: ReadonlySet<KnownImage>, began: number): Removal {
    const hiding = { repository, images, began, ended: Number.POSITIVE_INFINITY }
    this.hidings.push(hiding)
    return hiding
  }

  /** Whether nothing can have taken the image away since it was last put: then it must be there. */
  mustLive(repository: RepositoryName, image: KnownImage): boolean {
    return this.puts.some(
      (put) =>
        put.repository === repository &&
        put.image === image &&
        !this.removals.some((removal) => meets(removal, repository, image) && removal.ended > put.began && !this.#isKeptFrom(removal, repository, image)),
    )
  }

  /** Whether the image was erased, and nobody has pushed it since: then there must be nothing left of it. */
  mustBeErased(repository: RepositoryName, image: KnownImage): boolean {
    const isPushed = ({ began }: Erasure): boolean =>
      this.attempts.some((attempt) => attempt.repository === repository && attempt.image === image && attempt.ended > began)
    return this.erasures.some((erasure) => erasure.image === image && erasure.repositories.includes(repository) && !isPushed(erasure))
  }

  /** Blobs whose bytes were erased, and which nobody has sent anywhere since. */
  erasedBlobs(): Set<Digest> {
    return new Set(this.erasures.flatMap(({ blobs, began }) => blobs.filter((digest) => !this.isSentSince(digest, began))))
  }

  /** Whether somebody may have pushed an image with the blob, to whatever repository, after this turn. */
  isSentSince(digest: Digest, turn: number): boolean {
    return this.attempts.some(({ image, ended }) => ended > turn && image.blobs.some((blob) => blob.digest === digest))
  }

  /** Whether the image was kept all the while that something may have removed it: then it has not. */
  #isKeptFrom({ began, ended }: Removal, repository: RepositoryName, image: KnownImage): boolean {
    return this.keepings.some((kept) => kept.repository === repository && kept.image === image && kept.since <= began && kept.until >= ended)
  }

  /** The image is not kept any more from this turn on, by what is called so. */
  letGo(repository: RepositoryName, image: KnownImage, what: string, turn: number): void {
    for (const kept of this.keepings) {
      if (kept.repository === repository && kept.image === image && kept.what === what) kept.until = Math.min(kept.until, turn)
    }
  }

  /** Whether something may have removed the image, or archived it, between the two turns. */
  mayBeGone(repository: RepositoryName, image: KnownImage, began: number, ended: number): boolean {
    return [...this.removals, ...this.hidings].some((removal) => meets(removal, repository, image) && removal.ended > began && removal.began < ended)
  }
}

function meets(removal: Removal, repository: RepositoryName, image: KnownImage): boolean {
  return removal.repository === repository && (removal.images === undefined || removal.images.has(image))
}

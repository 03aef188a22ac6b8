import type { Digest } from '../values/index.ts'

/**
 * What can be wrong. Scripts match on these, so a kind never changes its meaning.
 *
 * - `tag-dangling`: a tag that points at no living manifest of its repository.
 * - `manifest-missing`, `manifest-corrupt`: the bytes of a manifest are gone, or have another size or digest.
 * - `reference-dangling`: a living manifest names a blob or manifest that its repository does not have.
 * - `blob-missing`, `blob-wrong-size`, `blob-corrupt`: a blob's file is gone, longer or shorter, or has another digest.
 * - `blob-unreadable`: the disk failed while a blob was read. What its bytes are is not known.
 * - `blob-quarantined`: found bad before, not served since, and not healed yet.
 * - `sums-wrong`: a repository has other images, or bytes of them, than are noted of it for quotas and `stowage storage`.
 * - `database-corrupt`: the database file contradicts itself (SQLite only).
 */
export const findingKinds = [
  'tag-dangling',
  'manifest-missing',
  'manifest-corrupt',
  'reference-dangling',
  'blob-missing',
  'blob-wrong-size',
  'blob-corrupt',
  'blob-unreadable',
  'blob-quarantined',
  'sums-wrong',
  'database-corrupt',
] as const

export type FindingKind = (typeof findingKinds)[number]

/** One thing that is wrong, with what is needed to find and mend it. Fields that do not apply are absent. */
export interface Finding {
  readonly kind: FindingKind
  readonly repository?: string
  readonly tag?: string
  /** Of the manifest or blob that is wrong. */
  readonly digest?: Digest
  /** What a dangling reference names. */
  readonly reference?: Digest
  /** Where the blob's bytes are, as the blob store knows it. */
  readonly key?: string
  /** Living manifests that name a bad blob, as `repository@digest`: at most `maxUsers` of them. */
  readonly usedBy?: readonly string[]
  /** Of a blob found bad just now: true when it is not served any more. */
  readonly quarantined?: boolean
  /** Of wrong sums: true when the right ones are noted now. */
  readonly corrected?: boolean
  /** What exactly was seen. */
  readonly detail: string
  /** What to do about it. */
  readonly remedy: string
}

/** Enough to see whom a bad blob concerns; a base layer may have thousands of users. */
export const maxUsers = 20

const pushAgain = 'push the image again, or restore the blob from a backup'

/** What to do about each kind. */
export const remedies: Readonly<Record<FindingKind, string>> = {
  'tag-dangling': 'push the tag again, or delete it',
  'manifest-missing': 'push the same image again, or delete it',
  'manifest-corrupt': 'push the same image again, or restore the database from a backup',
  'reference-dangling': 'push the whole image again, or delete it',
  'blob-missing': pushAgain,
  'blob-wrong-size': pushAgain,
  'blob-corrupt': pushAgain,
  'blob-unreadable': 'look at the disk and its log (dmesg, smartctl), then verify again',
  'blob-quarantined': pushAgain,
  'sums-wrong': 'run stowage verify once more while no server holds the data folder: it notes the right sums',
  'database-corrupt': 'stop the server and restore the database from a backup',
}

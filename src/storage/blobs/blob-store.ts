import type { Hash } from 'node:crypto'
import type { Readable, Writable } from 'node:stream'
import type { TransferShare } from '../../internal/fair-share.ts'
import type { Digest, DigestAlgorithm } from '../../values/digest.ts'
import type { BlockChecksums } from './block-checksums.ts'

/** A part of a blob: `start` included, `endExclusive` not. Callers have checked it against `sizeBytes`. */
export interface BlobRange {
  readonly start: number
  readonly endExclusive: number
}

/**
 * A blob held open: a deletion meanwhile does not disturb it. Must be closed. Any number of reads may run at
 * once. All reading fails with `blob-corrupt` when the bytes end early or are not those that were stored, as far as the
 * checksums given to `open` can tell, and `storage-unavailable` when the medium fails. What a read that failed has
 * delivered by then was right; the last bytes asked for are never delivered.
 */
export interface OpenBlob {
  readonly sizeBytes: number
  /** The bytes in order; the whole blob by default. A buffer belongs to the consumer. */
  read(range?: BlobRange): AsyncIterable<Buffer>
  /**
   * Writes the range to `sink`, as fast as it takes it, and leaves `sink` open. Resolves when the sink has taken
   * the last byte. The sink must be done with a buffer when it calls a write back, since the memory is then used again:
   * sockets and HTTP responses are, a `PassThrough` is not (`read` gives buffers that may be kept). Throws `body-aborted` as soon as the sink is closed or fails or `signal` fires; whatever it
   * throws, the blob is closed by then and no memory is held.
   *
   * @param share the account whose turn each chunk waits for before it is read, and whose memory it takes; absent: at once,
   *   and nobody's
   */
  pump(sink: Writable, range: BlobRange, signal: AbortSignal, share?: TransferShare): Promise<void>
  /** Waits for reads under way. May be repeated. */
  close(): Promise<void>
}

/** Where an upload's bytes come from. Buffers must not be changed after they were handed over. */
export type ByteSource = Readable | AsyncIterable<Uint8Array>

export interface AppendOptions {
  /** Updated with every byte accepted, in order. Its state is meaningless after `append` threw. */
  readonly hash?: Hash | undefined
  /** Likewise. */
  readonly checksums?: BlockChecksums | undefined
  /** More bytes than this in one call are `body-too-large`. */
  readonly limitBytes?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Whose share of the memory is taken; nobody's where absent. */
  readonly accountId?: string | undefined
  /** The buffers are the store's from now on: it may free their memory once they are written. */
  readonly ownsBuffers?: boolean | undefined
}

export interface AppendResult {
  /** Bytes written from `offset` on, all of which count, and all of which the hash has seen. */
  readonly writtenBytes: number
  /** True when the source failed, closed early or was called off: there may have been more to come. */
  readonly aborted: boolean
  /** Why it was aborted: the source's error or the signal's reason. */
  readonly reason?: unknown
}

/** How the bytes of a blob are kept: as they are, or as one zstd frame. Whoever reads a blob gets its own bytes either way. */
export type BlobEncoding = 'identity' | 'zstd'

export interface PublishedBlob {
  /** Opaque to callers; the store finds the bytes by it alone. */
  readonly key: string
  /** Tells apart several publications of the same digest, so that deleting one never hits another. */
  readonly generation: string
}

/** What the metadata knows of a blob's bytes. */
export interface ExpectedBytes {
  readonly sizeBytes: number
  /**
   * Of each block: see `BlockChecksums`. Asked for by the first read that has to compare something, which fails as it
   * fails. Absent: the bytes are taken as they are.
   */
  readonly loadChecksums?: (() => Promise<Uint8Array>) | undefined
}

/** What was found by reading all bytes. */
export interface HashedBytes {
  readonly digest: Digest
  readonly checksums: Uint8Array
}

export interface HashOptions {
  /** Reads no faster than this. Default: as fast as it goes. */
  readonly bytesPerSecond?: number | undefined
  /** Ends the reading; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** Somebody, such as a backup, has read names of blobs and will want their bytes. */
export interface BlobHold {
  /** A UUID. */
  readonly id: string
  /** For people who wonder who it is. */
  readonly owner: string
  /** It ends by itself then, whatever became of its owner. */
  readonly untilMs: number
}

export interface ListedBlob {
  readonly key: string
  readonly sizeBytes: number
  /** When it was published, or changed since, by the clock of the medium. */
  readonly changedAtMs: number
  /** Whose publication it is. */
  readonly uploadId: string
}

export interface ListedUpload {
  readonly uploadId: string
  readonly sizeBytes: number
  readonly changedAtMs: number
}

/** What recovery asks of the metadata. */
export interface RecoveryQuestions {
  isLocated(key: string): Promise<boolean>
  isOpenSession(uploadId: string): Promise<boolean>
}

/** What became of a blob that was to be deleted. `held`: somebody holds the store, a backup for instance; to be asked for again later. */
export type Deletion = 'deleted' | 'held' | { readonly failed: unknown }

/** What recovery found and did, in numbers of uploads. */
export interface RecoveryReport {
  /** Belonged to no open session: removed. */
  readonly discardedUploads: number
  /** Belong to an open session: kept. */
  readonly keptUploads: number
  /** Were published and committed: only the upload's own name was removed. */
  readonly committedUploads: number
  /** Were published and never committed: the publication was withdrawn. */
  readonly withdrawnBlobs: number
  /** Have another name that is not a publication of theirs. Handled as if they had none. */
  readonly unmatchedUploads: number
}

/**
 * Where the bytes of blobs live. It knows no repository and no session: the metadata says which keys and uploads
 * mean something. An upload is a growing file named by a UUID; publishing makes it durable under a key; a key
 * becomes reachable when the metadata commits it, and never before.
 *
 * Every operation may fail with `storage-unavailable`, and every one that writes with `storage-full`. Operations on
 * an upload that does not exist, or whose id is not a UUID, fail with `upload-missing` unless they say otherwise.
 */
export interface BlobStore {
  /** The value of `blob_location.store` for what this store holds. */
  readonly name: string

  /** Starts an empty upload. Survives the process, but power loss only once published. */
  createUpload(uploadId: string): Promise<void>

  /**
   * Writes the source at `offset`, discarding earlier bytes past it. A source that fails or is called off is no
   * error: what came before counts. Ends a running append to the same upload first, which then reports itself
   * aborted. Throws `body-too-large` when more than `limitBytes` come, having kept none beyond the limit;
   * `upload-missing` also when the upload is shorter than `offset` or published (see `reopenUpload`). A `Readable` is left paused, not
   * destroyed, when its end was not reached: the caller may still answer on its connection.
   */
  append(uploadId: string, offset: number, source: ByteSource, options?: AppendOptions): Promise<AppendResult>

  /** The bytes an upload holds, or undefined when there is none of that id. */
  uploadSize(uploadId: string): Promise<number | undefined>

  /** Hashes an upload's first `sizeBytes` from storage, off the main thread. `upload-missing` when it has fewer. */
  hashUpload(uploadId: string, sizeBytes: number, algorithm: DigestAlgorithm): Promise<HashedBytes>

  /**
   * Makes an upload's first `sizeBytes`, which the caller knows to have that digest, durable under a key. They stay
   * unreachable until the metadata commits the key; a caller whose commit fails withdraws the key. May be repeated with
   * the same arguments, also after `discardUpload`. Throws `upload-missing` when the upload has fewer bytes. After a
   * failed flush the bytes' state is unknown: the upload is dropped and `storage-unavailable` thrown.
   *
   * With an encoding, `sizeBytes` are those of the upload, and the digest that of the blob which it encodes.
   */
  publish(uploadId: string, domain: string, digest: Digest, sizeBytes: number, encoding?: BlobEncoding): Promise<PublishedBlob>

  /** Forgets an upload; a blob published from it stays. May be repeated. Ends a running append. */
  discardUpload(uploadId: string): Promise<void>

  /**
   * Lets an upload go on that was published and not committed: what it published is withdrawn. Where `isLocated` says that it
   * was committed, nothing of it can change any more and the upload is forgotten. Throws `upload-missing`.
   */
  reopenUpload(uploadId: string, isLocated: (key: string) => Promise<boolean>): Promise<void>

  /**
   * Forgets an upload that will not be completed. Had it been published, `isLocated` is asked whether that was
   * committed, and the publication withdrawn if not. Ends a running append; may be repeated.
   */
  abandonUpload(uploadId: string, isLocated: (key: string) => Promise<boolean>): Promise<void>

  /**
   * How many bytes the blob under a key has, or undefined when it names nothing. Like `open`, it throws `storage-unavailable` rather than
   * call a blob missing when the whole store is gone, as when its volume is not mounted.
   */
  blobSize(key: string): Promise<number | undefined>

  /**
   * Throws `blob-missing` when the key names nothing, and `blob-corrupt` when it names another number of bytes than
   * expected.
   */
  open(key: string, expected?: ExpectedBytes): Promise<OpenBlob>

  /** True when the store never held a blob, or is not the one that did. */
  isEmpty(): Promise<boolean>

  /**
   * Hashes the first `sizeBytes` of a blob, off the main thread. Throws `blob-missing` when it is gone or shorter,
   * `blob-corrupt` when it is compressed and cannot be decoded, and
   * `storage-unavailable` with the system's code as `systemError` when its bytes cannot be read.
   */
  hashBlob(key: string, sizeBytes: number, algorithm: DigestAlgorithm, options?: HashOptions): Promise<HashedBytes>

  /**
   * Removes blobs that the metadata may have named; none of them while there is a hold. Called after the commit that marked the
   * blobs as going: whoever took a hold and read the metadata then either does not find the names or is found here. May be
   * repeated; a key that names nothing is deleted. What cannot be removed has
   * failed with `storage-unavailable`, and keeps none of the others.
   */
  delete(keys: readonly string[], nowMs: number): Promise<ReadonlyMap<string, Deletion>>

  /** Takes back a publication that was never committed, so that nobody can have its name. May be repeated. */
  withdraw(key: string): Promise<void>

  /** Keeps `delete` from removing anything until then, in every process. Repeated with a later time, it lasts longer. */
  hold(hold: BlobHold): Promise<void>

  /** Whether there is a hold, of anybody. */
  isHeld(nowMs: number): Promise<boolean>

  /** Ends a hold before its time. May be repeated. */
  releaseHold(id: string): Promise<void>

  /** Every blob there is, in the order of the keys, whether the metadata knows it or not; after a key where one is given. */
  list(afterKey?: string): AsyncIterable<ListedBlob>

  /** Every upload there is, whether it has a session or not. */
  listUploads(): AsyncIterable<ListedUpload>

  /**
   * Puts a blob back under a key that this store, or the one before it, has issued: durable when it returns. What lies
   * there already is replaced. Throws `blob-corrupt` when the bytes have not the digest and size, and `blob-missing` for
   * a key that the store cannot have issued; either way nothing has changed.
   */
  putBack(key: string, sizeBytes: number, source: ByteSource): Promise<void>

  /**
   * Settles what a crash left behind. Runs before the first upload is accepted, while nobody else uses the store.
   * Costs the number of leftover uploads, never the size of the store.
   */
  recover(ask: RecoveryQuestions): Promise<RecoveryReport>

  /** Ends threads and connections of the store; it is not used afterwards. */
  close(): Promise<void>
}

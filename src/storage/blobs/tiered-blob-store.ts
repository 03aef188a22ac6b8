import type { AppendOptions, AppendResult, BlobEncoding, BlobHold, BlobStore, ByteSource, Deletion, ExpectedBytes, HashedBytes, HashOptions, ListedBlob, ListedUpload, OpenBlob, PublishedBlob, RecoveryQuestions, RecoveryReport } from './blob-store.ts'
import type { Digest, DigestAlgorithm } from '../../values/digest.ts'

/** No domain has a colon, with which keys of a store begin otherwise. */
const archivePrefix = 'archive:'

/** The value of `blob_location.store` for what lies in the archive. */
export const archiveStoreName = 'archive'

/** Whether a key of a `TieredBlobStore` is one of the archive. */
export function isArchiveKey(key: string): boolean {
  return key.startsWith(archivePrefix)
}

/**
 * The stores of an installation as one: that of blobs which are in use, where uploads go, and the archive, whose keys begin with
 * `archive:`. Whoever only reads, checks, copies or deletes bytes by their key need not know in which they are.
 */
export class TieredBlobStore implements BlobStore {
  readonly name: string
  /** Where blobs are that some image in use has. Its keys are this store's. */
  readonly active: BlobStore
  /** Where blobs are that only archived images have. Its own keys have no prefix: see `archiveKey`. */
  readonly archive: BlobStore

  constructor(active: BlobStore, archive: BlobStore) {
    this.name = active.name
    this.active = active
    this.archive = archive
  }

  /** This store's key of what the archive has published under a key of its own. */
  archiveKey(ownKey: string): string {
    return `${archivePrefix}${ownKey}`
  }

  /** The value of `blob_location.store` for a key. */
  storeOf(key: string): string {
    return isArchiveKey(key) ? this.archive.name : this.name
  }

  createUpload(uploadId: string): Promise<void> {
    return this.active.createUpload(uploadId)
  }

  append(uploadId: string, offset: number, source: ByteSource, options?: AppendOptions): Promise<AppendResult> {
    return this.active.append(uploadId, offset, source, options)
  }

  uploadSize(uploadId: string): Promise<number | undefined> {
    return this.active.uploadSize(uploadId)
  }

  hashUpload(uploadId: string, sizeBytes: number, algorithm: DigestAlgorithm): Promise<HashedBytes> {
    return this.active.hashUpload(uploadId, sizeBytes, algorithm)
  }

  publish(uploadId: string, domain: string, digest: Digest, sizeBytes: number, encoding?: BlobEncoding): Promise<PublishedBlob> {
    return this.active.publish(uploadId, domain, digest, sizeBytes, encoding)
  }

  discardUpload(uploadId: string): Promise<void> {
    return this.active.discardUpload(uploadId)
  }

  reopenUpload(uploadId: string, isLocated: (key: string) => Promise<boolean>): Promise<void> {
    return this.active.reopenUpload(uploadId, isLocated)
  }

  abandonUpload(uploadId: string, isLocated: (key: string) => Promise<boolean>): Promise<void> {
    if (!isArchiveKey(uploadId)) return this.active.abandonUpload(uploadId, isLocated)
    return this.archive.abandonUpload(uploadId.slice(archivePrefix.length), (key) => isLocated(this.archiveKey(key)))
  }

  blobSize(key: string): Promise<number | undefined> {
    return this.#at(key, (store, own) => store.blobSize(own))
  }

  open(key: string, expected?: ExpectedBytes): Promise<OpenBlob> {
    return this.#at(key, (store, own) => store.open(own, expected))
  }

  hashBlob(key: string, sizeBytes: number, algorithm: DigestAlgorithm, options?: HashOptions): Promise<HashedBytes> {
    return this.#at(key, (store, own) => store.hashBlob(own, sizeBytes, algorithm, options))
  }

  async delete(keys: readonly string[], nowMs: number): Promise<ReadonlyMap<string, Deletion>> {
    const active = await this.active.delete(keys.filter((key) => !isArchiveKey(key)), nowMs)
    const ownKeys = keys.filter(isArchiveKey).map((key) => key.slice(archivePrefix.length))
    if (ownKeys.length === 0) return active
    const archived = await this.archive.delete(ownKeys, nowMs)
    return new Map([...active, ...[...archived].map(([own, outcome]) => [this.archiveKey(own), outcome] as const)])
  }

  withdraw(key: string): Promise<void> {
    return this.#at(key, (store, own) => store.withdraw(own))
  }

  putBack(key: string, sizeBytes: number, source: ByteSource): Promise<void> {
    return this.#at(key, (store, own) => store.putBack(own, sizeBytes, source))
  }

  /** Of the store of blobs in use. */
  isEmpty(): Promise<boolean> {
    return this.active.isEmpty()
  }

  async hold(hold: BlobHold): Promise<void> {
    await this.active.hold(hold)
    await this.archive.hold(hold)
  }

  async isHeld(nowMs: number): Promise<boolean> {
    return (await this.active.isHeld(nowMs)) || (await this.archive.isHeld(nowMs))
  }

  async releaseHold(id: string): Promise<void> {
    await this.active.releaseHold(id)
    await this.archive.releaseHold(id)
  }

  /** Those of the archive first, as its keys are sorted. */
  async *list(afterKey = ''): AsyncGenerator<ListedBlob, void, undefined> {
    const isInArchive = isArchiveKey(afterKey)
    if (isInArchive || afterKey === '') {
      const after = isInArchive ? afterKey.slice(archivePrefix.length) : ''
      for await (const blob of this.archive.list(after)) yield { ...blob, key: this.archiveKey(blob.key) }
    }
    yield* this.active.list(isInArchive ? '' : afterKey)
  }

  /** Those of the archive first: copies on their way there, whose ids begin as its keys do. `abandonUpload` takes both kinds. */
  async *listUploads(): AsyncGenerator<ListedUpload, void, undefined> {
    for await (const upload of this.archive.listUploads()) yield { ...upload, uploadId: this.archiveKey(upload.uploadId) }
    yield* this.active.listUploads()
  }

  async recover(ask: RecoveryQuestions): Promise<RecoveryReport> {
    const reports = [
      await this.active.recover(ask),
      await this.archive.recover({
        isLocated: (key) => ask.isLocated(this.archiveKey(key)),
        // Copies that were under way are made anew.
        isOpenSession: () => Promise.resolve(false),
      }),
    ]
    const sum = (count: keyof RecoveryReport): number => reports.reduce((total, report) => total + report[count], 0)
    return {
      discardedUploads: sum('discardedUploads'),
      keptUploads: sum('keptUploads'),
      committedUploads: sum('committedUploads'),
      withdrawnBlobs: sum('withdrawnBlobs'),
      unmatchedUploads: sum('unmatchedUploads'),
    }
  }

  async close(): Promise<void> {
    await this.archive.close()
    await this.active.close()
  }

  #at<Result>(key: string, use: (store: BlobStore, ownKey: string) => Promise<Result>): Promise<Result> {
    return isArchiveKey(key) ? use(this.archive, key.slice(archivePrefix.length)) : use(this.active, key)
  }
}

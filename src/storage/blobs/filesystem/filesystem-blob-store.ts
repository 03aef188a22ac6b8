import { createHash, type Hash } from 'node:crypto'
import type { BytesInFlight } from '../../../internal/bytes-in-flight.ts'
import { isPlatformError } from '../../../internal/platform-error.ts'
import { digestAlgorithm, digestHex, type Digest, type DigestAlgorithm } from '../../../values/digest.ts'
import { storageError } from '../../errors.ts'
import type {
  AppendOptions,
  AppendResult,
  BlobEncoding,
  BlobHold,
  BlobStore,
  ByteSource,
  Deletion,
  ExpectedBytes,
  HashedBytes,
  HashOptions,
  ListedBlob,
  ListedUpload,
  OpenBlob,
  PublishedBlob,
  RecoveryQuestions,
  RecoveryReport,
} from '../blob-store.ts'
import { VerifiedBlocks } from '../verified-blocks.ts'
import { contentSizeOf, encoded, frameHeaderBytes, isZstdError } from '../zstd-frame.ts'
import { nodeDisk, type Disk } from './disk.ts'
import { fromDisk, systemCode } from './disk-error.ts'
import { DurableDirectories, fsyncDirectory } from './durable-directories.ts'
import { EncodedBlob } from './encoded-blob.ts'
import { FilesystemBlob } from './filesystem-blob.ts'
import { HashThread } from './hash-thread.ts'
import { Holds } from './holds.ts'
import { generationOf, isDomain, Layout, uploadOf, type BlobPlace } from './layout.ts'
import { listBlobs, listUploads } from './listing.ts'
import { receive } from './receive.ts'
import { recoverUpload, recoverUploads, type RecoveryOptions } from './recovery.ts'

export interface FilesystemBlobStoreOptions {
  /** The value of `blob_location.store`; default: that of the store which takes uploads. */
  readonly name?: string | undefined
  /** Must exist, unless `makesDataDir` says that it is to be made. */
  readonly dataDir: string
  readonly makesDataDir?: boolean | undefined
  /** Shared with everything else that moves bytes. */
  readonly bytesInFlight: BytesInFlight
  readonly disk?: Disk | undefined
}

/**
 * Blobs as files of one file system, below `<dataDir>/blobs` and `<dataDir>/uploads`; the file system must have hard
 * links. Publication is a second name for the upload's file: flush the data, link, flush the directory. A link,
 * unlike a rename, leaves the upload's name as evidence, so that recovery need not look at published files.
 */
export async function openFilesystemBlobStore(options: FilesystemBlobStoreOptions): Promise<BlobStore> {
  const disk = options.disk ?? nodeDisk
  const layout = new Layout(options.dataDir)
  const directories = new DurableDirectories(disk)
  try {
    if (options.makesDataDir === true) await directories.ensure([layout.dataDir])
    await directories.ensure([layout.uploadsDir])
    await directories.ensure([layout.blobsDir])
    await directories.ensure([layout.holdsDir])
    const { identity } = await disk.stat(layout.blobsDir)
    return new FilesystemBlobStore(options.name ?? 'filesystem', disk, layout, directories, identity, options.bytesInFlight)
  } catch (error) {
    throw fromDisk(error, 'open the store')
  }
}

/** As many as the threads that do such calls, with some to spare. */
const deletionsSideBySide = 8

interface Occupation {
  readonly stop: AbortController
  readonly done: Promise<void>
}

class FilesystemBlobStore implements BlobStore {
  readonly name: string
  readonly #disk: Disk
  readonly #layout: Layout
  readonly #directories: DurableDirectories
  /** Of the folder of all blobs. */
  readonly #identity: string
  readonly #bytesInFlight: BytesInFlight
  readonly #hashThread = new HashThread()
  readonly #verifiedBlocks = new VerifiedBlocks(() => performance.now())
  readonly #holds: Holds
  readonly #occupied = new Map<string, Occupation>()

  constructor(name: string, disk: Disk, layout: Layout, directories: DurableDirectories, identity: string, bytesInFlight: BytesInFlight) {
    this.name = name
    this.#identity = identity
    this.#disk = disk
    this.#layout = layout
    this.#directories = directories
    this.#bytesInFlight = bytesInFlight
    this.#holds = new Holds(disk, layout.holdsDir)
  }

  async createUpload(uploadId: string): Promise<void> {
    const path = this.#uploadPath(uploadId)
    try {
      await this.#disk.close(await this.#disk.open(path, 'wx'))
    } catch (error) {
      throw fromDisk(error, 'create upload')
    }
  }

  async append(
    uploadId: string,
    offset: number,
    source: ByteSource,
    options: AppendOptions = {},
  ): Promise<AppendResult> {
    const path = this.#uploadPath(uploadId)
    return this.#occupy(uploadId, async (stop) => {
      const descriptor = await this.#openUpload(path)
      return this.#closing(descriptor, 'append', async () => {
        const { sizeBytes, linkCount } = await this.#disk.factsOf(descriptor)
        // A second name means published: what it names must never change again.
        if (sizeBytes < offset || linkCount > 1) throw uploadMissing()
        if (sizeBytes > offset) await this.#disk.truncate(descriptor, offset)
        return this.#receive(descriptor, offset, source, options, stop)
      })
    })
  }

  async uploadSize(uploadId: string): Promise<number | undefined> {
    const path = this.#layout.uploadPath(uploadId)
    return path === undefined ? undefined : this.#sizeOf(path)
  }

  async hashUpload(uploadId: string, sizeBytes: number, algorithm: DigestAlgorithm): Promise<HashedBytes> {
    return this.#hashThread.hash(this.#uploadPath(uploadId), sizeBytes, algorithm)
  }

  async publish(uploadId: string, domain: string, digest: Digest, sizeBytes: number, encoding?: BlobEncoding): Promise<PublishedBlob> {
    const path = this.#uploadPath(uploadId)
    const generation = generationOf(uploadId)
    const place = this.#layout.blobPlace(domain, digest, generation, encoding)
    await this.#occupy(uploadId, async () => {
      if (await this.#flushUpload(path, place, sizeBytes)) await this.#linkBlob(path, place)
    })
    return { key: place.key, generation }
  }

  async discardUpload(uploadId: string): Promise<void> {
    const path = this.#layout.uploadPath(uploadId)
    if (path !== undefined) await this.#occupy(uploadId, () => this.#remove(path))
  }

  async reopenUpload(uploadId: string, isLocated: (key: string) => Promise<boolean>): Promise<void> {
    this.#uploadPath(uploadId)
    await this.#occupy(uploadId, async () => {
      try {
        await recoverUpload(this.#recovery({ isLocated, isOpenSession: () => Promise.resolve(true) }), uploadId)
      } catch (error) {
        throw systemCode(error) === 'ENOENT' ? uploadMissing() : fromDisk(error, 'reopen upload')
      }
    })
  }

  async abandonUpload(uploadId: string, isLocated: (key: string) => Promise<boolean>): Promise<void> {
    if (this.#layout.uploadPath(uploadId) === undefined) return
    await this.#occupy(uploadId, async () => {
      try {
        await recoverUpload(this.#recovery({ isLocated, isOpenSession: () => Promise.resolve(false) }), uploadId)
      } catch (error) {
        if (systemCode(error) !== 'ENOENT') throw fromDisk(error, 'abandon upload')
      }
    })
  }

  async blobSize(key: string): Promise<number | undefined> {
    const place = this.#layout.placeOfKey(key)
    if (place === undefined) return undefined
    const storedBytes = await this.#sizeOf(place.path)
    if (storedBytes === undefined) await this.#assertStoreIsThere()
    return storedBytes === undefined || place.encoding === 'identity' ? storedBytes : this.#contentSizeOf(place)
  }

  async open(key: string, expected?: ExpectedBytes): Promise<OpenBlob> {
    const place = this.#layout.placeOfKey(key)
    if (place === undefined) throw blobMissing(key)
    let descriptor: number
    try {
      descriptor = await this.#disk.open(place.path, 'r')
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw fromDisk(error, 'open')
      await this.#assertStoreIsThere()
      throw blobMissing(key)
    }
    try {
      if (place.encoding === 'zstd') return await this.#openEncoded(descriptor, place, expected)
      const { sizeBytes, version } = await this.#disk.factsOf(descriptor)
      if (expected !== undefined && expected.sizeBytes !== sizeBytes) {
        throw storageError('blob-corrupt', 'a blob has another size than was stored', {
          detail: { key, sizeBytes, expectedBytes: expected.sizeBytes },
        })
      }
      const loadChecksums = expected?.loadChecksums
      const proof = loadChecksums && { loadChecksums, marks: this.#verifiedBlocks.marksOf(key, sizeBytes, version) }
      return new FilesystemBlob(this.#disk, descriptor, sizeBytes, proof, this.#bytesInFlight)
    } catch (error) {
      await this.#disk.close(descriptor)
      throw fromDisk(error, 'open')
    }
  }

  async hashBlob(
    key: string,
    sizeBytes: number,
    algorithm: DigestAlgorithm,
    options?: HashOptions,
  ): Promise<HashedBytes> {
    const place = this.#layout.placeOfKey(key)
    if (place === undefined) throw blobMissing(key)
    try {
      return await this.#hashThread.hash(place.path, sizeBytes, algorithm, { ...options, encoding: place.encoding })
    } catch (error) {
      if (!isPlatformError(error, 'upload-missing')) throw error
      await this.#assertStoreIsThere()
      throw blobMissing(key)
    }
  }

  async isEmpty(): Promise<boolean> {
    try {
      return !(await this.#disk.readdir(this.#layout.blobsDir)).some(isDomain)
    } catch (error) {
      throw fromDisk(error, 'list domains')
    }
  }

  async delete(keys: readonly string[], nowMs: number): Promise<ReadonlyMap<string, Deletion>> {
    if (await this.#holds.isHeld(nowMs)) return new Map(keys.map((key) => [key, 'held']))
    const outcomes = new Map<string, Deletion>()
    const waiting = keys.values()
    const removeSome = async (): Promise<void> => {
      for (const key of waiting) {
        try {
          await this.withdraw(key)
          outcomes.set(key, 'deleted')
        } catch (error) {
          outcomes.set(key, { failed: error })
        }
      }
    }
    await Promise.all(Array.from({ length: deletionsSideBySide }, removeSome))
    return outcomes
  }

  async withdraw(key: string): Promise<void> {
    const place = this.#layout.placeOfKey(key)
    if (place !== undefined) await this.#remove(place.path)
  }

  hold(hold: BlobHold): Promise<void> {
    return this.#holds.take(hold)
  }

  isHeld(nowMs: number): Promise<boolean> {
    return this.#holds.isHeld(nowMs)
  }

  releaseHold(id: string): Promise<void> {
    return this.#holds.release(id)
  }

  list(afterKey?: string): AsyncIterable<ListedBlob> {
    return listBlobs(this.#disk, this.#layout, afterKey)
  }

  listUploads(): AsyncIterable<ListedUpload> {
    return listUploads(this.#disk, this.#layout)
  }

  async putBack(key: string, sizeBytes: number, source: ByteSource): Promise<void> {
    const place = this.#layout.placeOfKey(key)
    if (place === undefined) throw blobMissing(key)
    // The upload that it once came from: so what was cut short is settled by the same recovery as every upload.
    const uploadId = uploadOf(place.generation)
    await this.discardUpload(uploadId)
    await this.createUpload(uploadId)
    try {
      const hash = createHash(digestAlgorithm(place.digest))
      let takenBytes = 0
      const own = hashing(source, hash, (bytes) => {
        takenBytes += bytes
      })
      const { writtenBytes, aborted, reason } = await this.append(uploadId, 0, place.encoding === 'zstd' ? encoded(own, sizeBytes) : own)
      if (aborted && !isZstdError(reason)) throw reason instanceof Error ? reason : storageError('body-aborted', 'the source of a blob failed')
      if (takenBytes !== sizeBytes || hash.digest('hex') !== digestHex(place.digest)) {
        throw storageError('blob-corrupt', 'the bytes are not those of the blob', { detail: { key, takenBytes, sizeBytes } })
      }
      await this.#remove(place.path)
      await this.publish(uploadId, place.domain, place.digest, writtenBytes, place.encoding)
    } finally {
      await this.discardUpload(uploadId)
    }
  }

  async recover(ask: RecoveryQuestions): Promise<RecoveryReport> {
    try {
      return await recoverUploads(this.#recovery(ask))
    } catch (error) {
      throw fromDisk(error, 'recover')
    }
  }

  async close(): Promise<void> {
    await this.#hashThread.close()
  }

  async #openEncoded(descriptor: number, place: BlobPlace, expected: ExpectedBytes | undefined): Promise<OpenBlob> {
    const { sizeBytes: storedBytes } = await this.#disk.factsOf(descriptor)
    const sizeBytes = await this.#readContentSize(descriptor)
    if (sizeBytes === undefined || (expected !== undefined && expected.sizeBytes !== sizeBytes)) {
      throw storageError('blob-corrupt', 'a compressed blob has another size than was stored', {
        detail: { key: place.key, sizeBytes, expectedBytes: expected?.sizeBytes },
      })
    }
    const file = new FilesystemBlob(this.#disk, descriptor, storedBytes, undefined, this.#bytesInFlight)
    return new EncodedBlob(file, sizeBytes, expected?.loadChecksums, this.#bytesInFlight)
  }

  /** What is no frame counts as a blob of another size: its file is there, and is not what it should be. */
  async #contentSizeOf(place: BlobPlace): Promise<number | undefined> {
    let descriptor: number
    try {
      descriptor = await this.#disk.open(place.path, 'r')
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      throw fromDisk(error, 'open')
    }
    return this.#closing(descriptor, 'read', async () => (await this.#readContentSize(descriptor)) ?? noFrameBytes)
  }

  async #readContentSize(descriptor: number): Promise<number | undefined> {
    const start = Buffer.alloc(frameHeaderBytes)
    return contentSizeOf(start.subarray(0, await this.#disk.read(descriptor, start, 0)))
  }

  /** The digest of what a file decodes to; undefined for what is no frame. */
  async #hashEncoded(path: string, algorithm: DigestAlgorithm): Promise<Digest | undefined> {
    const descriptor = await this.#disk.open(path, 'r')
    const sizeBytes = await this.#closing(descriptor, 'read', () => this.#readContentSize(descriptor))
    if (sizeBytes === undefined) return undefined
    try {
      return (await this.#hashThread.hash(path, sizeBytes, algorithm, { encoding: 'zstd' })).digest
    } catch (error) {
      if (isPlatformError(error, 'blob-corrupt')) return undefined
      throw error
    }
  }

  #recovery(ask: RecoveryQuestions): RecoveryOptions {
    return {
      disk: this.#disk,
      layout: this.#layout,
      hashFile: (path, sizeBytes, algorithm) => this.#hashThread.hash(path, sizeBytes, algorithm),
      hashEncoded: (path, algorithm) => this.#hashEncoded(path, algorithm),
      ask,
    }
  }

  #uploadPath(uploadId: string): string {
    const path = this.#layout.uploadPath(uploadId)
    if (path === undefined) throw uploadMissing()
    return path
  }

  /** Closes the descriptor after its use, and says what a system error of either means. */
  async #closing<Result>(descriptor: number, operation: string, use: () => Promise<Result>): Promise<Result> {
    try {
      try {
        return await use()
      } finally {
        await this.#disk.close(descriptor)
      }
    } catch (error) {
      throw fromDisk(error, operation)
    }
  }

  async #openUpload(path: string): Promise<number> {
    try {
      return await this.#disk.open(path, 'r+')
    } catch (error) {
      throw systemCode(error) === 'ENOENT' ? uploadMissing() : fromDisk(error, 'open upload')
    }
  }

  async #receive(
    descriptor: number,
    offset: number,
    source: ByteSource,
    options: AppendOptions,
    stop: AbortSignal,
  ): Promise<AppendResult> {
    try {
      const signal = options.signal === undefined ? stop : AbortSignal.any([options.signal, stop])
      const { acceptedBytes, ...end } = await receive(source, signal, {
        disk: this.#disk,
        descriptor,
        position: offset,
        memory: this.#bytesInFlight.shareOf(options.accountId),
        hash: options.hash,
        checksums: options.checksums,
        limitBytes: options.limitBytes ?? Number.POSITIVE_INFINITY,
        ownsBuffers: options.ownsBuffers ?? false,
      })
      return { writtenBytes: acceptedBytes, ...end }
    } catch (error) {
      // Frees what a full disk lacks. Correct without it, since the next append discards what lies past its offset.
      await this.#disk.truncate(descriptor, offset).catch(() => undefined)
      throw error
    }
  }

  /** Makes the upload's bytes durable. False when it is gone because it was published before. */
  async #flushUpload(path: string, place: BlobPlace, sizeBytes: number): Promise<boolean> {
    let descriptor: number
    try {
      descriptor = await this.#openUpload(path)
    } catch (error) {
      const isGone = isPlatformError(error, 'upload-missing')
      if (!isGone || (await this.#sizeOf(place.path)) !== sizeBytes) throw error
      return false
    }
    return this.#closing(descriptor, 'publish', async () => {
      const facts = await this.#disk.factsOf(descriptor)
      const isLonger = facts.sizeBytes > sizeBytes
      if (facts.sizeBytes < sizeBytes || (isLonger && facts.linkCount > 1)) throw uploadMissing()
      if (isLonger) await this.#disk.truncate(descriptor, sizeBytes)
      await this.#fsyncOrDrop(path, () => this.#disk.fsync(descriptor))
      return true
    })
  }

  async #linkBlob(path: string, place: BlobPlace): Promise<void> {
    const shardDir = place.directories.at(-1) ?? this.#layout.blobsDir
    let isNew = true
    try {
      await this.#directories.ensure(place.directories)
      await this.#disk.link(path, place.path)
    } catch (error) {
      // The name contains the generation, so it can only be this upload, published before.
      if (systemCode(error) !== 'EEXIST') throw fromDisk(error, 'publish')
      isNew = false
    }
    await this.#fsyncOrDrop(path, () => fsyncDirectory(this.#disk, shardDir), isNew ? place.path : undefined)
  }

  /**
   * After a failed flush nobody knows what is on the disk, and a second one would report success without writing
   * anything. So the upload goes; a name published earlier stays, since its commit may have happened.
   */
  async #fsyncOrDrop(path: string, fsync: () => Promise<void>, publishedPath?: string): Promise<void> {
    try {
      await fsync()
    } catch (error) {
      for (const dropped of publishedPath === undefined ? [path] : [publishedPath, path]) {
        await this.#remove(dropped).catch(() => undefined)
      }
      const detail = { operation: 'fsync', systemError: systemCode(error) }
      throw storageError('storage-unavailable', 'the blob store could not flush', { detail, cause: error })
    }
  }

  /**
   * One file that is not there is lost; when the folder of all is another one than at the start, it is not the files
   * that are gone but their volume, and it may come back.
   */
  async #assertStoreIsThere(): Promise<void> {
    let identity: string | undefined
    try {
      identity = (await this.#disk.stat(this.#layout.blobsDir)).identity
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw fromDisk(error, 'stat')
    }
    if (identity === this.#identity) return
    throw storageError('storage-unavailable', 'the folder of the blobs is gone or another one: is its volume mounted?')
  }

  async #sizeOf(path: string): Promise<number | undefined> {
    try {
      return (await this.#disk.stat(path)).sizeBytes
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      throw fromDisk(error, 'stat')
    }
  }

  async #remove(path: string): Promise<void> {
    try {
      await this.#disk.unlink(path)
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw fromDisk(error, 'remove')
    }
  }

  /**
   * Runs alone on the upload, ending an append that is under way: its sender lost the session, perhaps over a dead
   * connection, and must not write into what came after it.
   */
  async #occupy<Result>(uploadId: string, run: (stop: AbortSignal) => Promise<Result>): Promise<Result> {
    for (;;) {
      const other = this.#occupied.get(uploadId)
      if (other === undefined) break
      other.stop.abort(storageError('body-aborted', 'a later request took over the upload'))
      await other.done
    }
    const stop = new AbortController()
    const done: PromiseWithResolvers<void> = Promise.withResolvers()
    this.#occupied.set(uploadId, { stop, done: done.promise })
    try {
      return await run(stop.signal)
    } finally {
      this.#occupied.delete(uploadId)
      done.resolve()
    }
  }
}

/** A size that no blob has. */
const noFrameBytes = -1

async function* hashing(source: ByteSource, hash: Hash, count: (bytes: number) => void): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const bytes of source as AsyncIterable<Uint8Array>) {
    hash.update(bytes)
    count(bytes.length)
    yield bytes
  }
}

function uploadMissing(): Error {
  return storageError('upload-missing', 'the upload has no such bytes')
}

function blobMissing(key: string): Error {
  return storageError('blob-missing', 'the store has no such blob', { detail: { key } })
}

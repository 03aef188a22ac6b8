import { isPlatformError } from '../internal/platform-error.ts'
import type { BlobStore, OpenBlob } from '../storage/blobs/index.ts'
import { storageError } from '../storage/errors.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { findChecksums, type LocatedInRepository } from '../storage/metadata/stores/blob-index.ts'
import { digestAlgorithm, type Digest } from '../values/index.ts'
import { quarantineBlob, recordBlobChecksums } from './commands/damage.ts'

export type Damage = 'missing' | 'wrong-size' | 'corrupt'

/** Bytes that were set aside, for the log and the metrics. */
export interface DamageNotice {
  readonly damage: Damage
  readonly digest: Digest
  readonly key: string
}

export interface DamageDependencies {
  readonly database: MetadataDatabase
  readonly blobStore: BlobStore
  /** Setting aside is the server's doing, whoever asked. */
  readonly systemContext: () => CommandContext
  /** Told once for each place that was set aside. */
  readonly onDamage?: ((notice: DamageNotice) => void) | undefined
}

/** Where a blob's bytes should be. */
type Place = Pick<LocatedInRepository, 'store' | 'key' | 'sizeBytes'>

/**
 * Keeps damaged bytes from being served or promised. Whoever meets them, a download or a mere question, sets them
 * aside: from then on the blob counts as absent, so that clients push it again instead of relying on it.
 */
export class DamageWatch {
  readonly #deps: DamageDependencies

  constructor(deps: DamageDependencies) {
    this.#deps = deps
  }

  /** True when there is a file of the right size, which is what can be known without reading it. */
  async isPresent(digest: Digest, place: Place): Promise<boolean> {
    const storedBytes = await this.#deps.blobStore.blobSize(place.key)
    if (storedBytes === place.sizeBytes) return true
    await this.#setAside(digest, place, storedBytes === undefined ? 'missing' : 'wrong-size')
    return false
  }

  /**
   * Opens a blob whose reads fail rather than deliver damage. Bytes whose checksums are not known are read whole and
   * compared with their digest first, once.
   *
   * @throws `blob-missing`, `blob-corrupt`
   */
  async open(digest: Digest, blob: Place): Promise<OpenBlob> {
    return this.#noticing(digest, blob, async () => {
      const { database, blobStore } = this.#deps
      const content = await blobStore.open(blob.key, {
        sizeBytes: blob.sizeBytes,
        loadChecksums: async () => (await findChecksums(database.reader, blob.store, blob.key)) ?? this.#checkWhole(digest, blob),
      })
      return this.#watched(digest, blob, content)
    })
  }

  async #checkWhole(digest: Digest, { store, key, sizeBytes }: Place): Promise<Uint8Array> {
    const { database, blobStore } = this.#deps
    const found = await blobStore.hashBlob(key, sizeBytes, digestAlgorithm(digest))
    if (found.digest !== digest) throw storageError('blob-corrupt', 'the bytes of a blob have another digest', { detail: { key } })
    const { checksums } = found
    await database.execute(recordBlobChecksums, { store, key, checksums }, this.#deps.systemContext())
    return checksums
  }

  #watched(digest: Digest, place: Place, content: OpenBlob): OpenBlob {
    const noticing = <Result>(work: () => Promise<Result>): Promise<Result> => this.#noticing(digest, place, work)
    return {
      sizeBytes: content.sizeBytes,
      async *read(range) {
        const parts = content.read(range)[Symbol.asyncIterator]()
        try {
          for (;;) {
            const part = await noticing(() => parts.next())
            if (part.done === true) return
            yield part.value
          }
        } finally {
          await parts.return?.()
        }
      },
      pump: (sink, range, signal, share) => noticing(() => content.pump(sink, range, signal, share)),
      close: () => content.close(),
    }
  }

  async #noticing<Result>(digest: Digest, place: Place, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work()
    } catch (error) {
      if (isPlatformError(error, 'blob-missing')) await this.#setAside(digest, place, 'missing')
      if (isPlatformError(error, 'blob-corrupt')) await this.#setAside(digest, place, 'corrupt')
      throw error
    }
  }

  async #setAside(digest: Digest, { store, key }: Place, damage: Damage): Promise<void> {
    const { database, onDamage } = this.#deps
    const isNews = await database.execute(quarantineBlob, { store, key, reason: damage }, this.#deps.systemContext())
    if (isNews) onDamage?.({ damage, digest, key })
  }
}

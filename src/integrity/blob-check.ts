import { isPlatformError } from '../internal/platform-error.ts'
import { storageError } from '../storage/errors.ts'
import type { BlobStore } from '../storage/blobs/index.ts'
import type { Session } from '../storage/metadata/session.ts'
import { locationState, usersOfBlob, type WalkedLocation } from '../storage/metadata/stores/integrity-walk.ts'
import { digestAlgorithm } from '../values/index.ts'
import { maxUsers, remedies, type Finding, type FindingKind } from './findings.ts'
import type { Pace } from '../internal/pace.ts'

/** Mends what is noted in the metadata, unless it has changed meanwhile. False: nothing was changed. */
export interface Repair {
  /** No bytes are served from there any more. The file stays. */
  quarantine(location: WalkedLocation, reason: FindingKind): Promise<boolean>
  /** Its bytes were found to be right and to have these checksums, and the blob has no others: they are served again. */
  reinstate(location: WalkedLocation, checksums: Uint8Array): Promise<boolean>
  /** What is noted of a repository's images is counted anew. */
  recount(repositoryId: number): Promise<boolean>
}

export interface BlobCheckDependencies {
  readonly reader: Session
  readonly blobStore: Pick<BlobStore, 'blobSize' | 'hashBlob'>
  readonly repair: Repair | undefined
  readonly pace: Pace
  readonly bytesPerSecond: number | undefined
  readonly signal: AbortSignal | undefined
  readonly yieldTurn: (() => Promise<void>) | undefined
}

export interface CheckedBlob {
  readonly findings: readonly Finding[]
  /** Set when the bytes were read. */
  readonly hashedBytes?: number
  readonly reinstated?: boolean
}

/** What was seen of a file. */
interface Flaw {
  readonly kind: FindingKind
  readonly detail: string
}

/** What was found by reading a file: what is wrong with it, or the checksums of bytes that are right. */
type ReadBytes = { readonly flaw: Flaw } | { readonly flaw?: undefined; readonly checksums: Uint8Array }

/** Files missing before the first one is found: beyond this nobody needs to look at more of them. */
const maxHeldBack = 1000

/** Compares files with what the metadata says of them, and takes those that are wrong out of service. */
export class BlobCheck {
  readonly #deps: BlobCheckDependencies
  /** Missing ones, until a file was found: while there is none, it is the store that is missing. */
  readonly #heldBack: WalkedLocation[] = []
  #hasFoundFile = false

  constructor(deps: BlobCheckDependencies) {
    this.#deps = deps
  }

  /** How many locations were checked whose findings are not known yet. */
  get heldBack(): number {
    return this.#heldBack.length
  }

  /**
   * Checks one location: always its size, its bytes when `isDue` or when it is quarantined.
   *
   * Throws `storage-unavailable` when the store as a whole cannot be read.
   */
  async check(location: WalkedLocation, isDue: boolean): Promise<CheckedBlob> {
    return location.state === 'active' ? this.#checkActive(location, isDue) : this.#checkQuarantined(location)
  }

  /** What is left when every location was checked. */
  async finish(): Promise<Finding[]> {
    // Not one file was found: what is missing is told, and changed by nobody who cannot tell why.
    return Promise.all(this.#heldBack.map((location) => this.#findingOf(location, missing, false)))
  }

  async #checkActive(location: WalkedLocation, isDue: boolean): Promise<CheckedBlob> {
    const sizeFlaw = await this.#compareSize(location)
    if (sizeFlaw?.kind === 'blob-missing' && !this.#hasFoundFile) {
      this.#holdBack(location)
      return { findings: [] }
    }
    const released = await this.#release()
    if (sizeFlaw) return { findings: [...released, ...(await this.#condemn(location, sizeFlaw))] }
    if (!isDue) return { findings: released }
    const { flaw } = await this.#compareBytes(location)
    return {
      findings: [...released, ...(flaw ? await this.#condemn(location, flaw) : [])],
      hashedBytes: location.sizeBytes,
    }
  }

  async #checkQuarantined(location: WalkedLocation): Promise<CheckedBlob> {
    // Healed, or wanted by nobody: collected one day.
    if (location.isReplaced || !location.isVisible) return { findings: [] }
    const sizeFlaw = await this.#compareSize(location)
    const read: ReadBytes = sizeFlaw ? { flaw: sizeFlaw } : await this.#compareBytes(location)
    const hashed = sizeFlaw ? {} : { hashedBytes: location.sizeBytes }
    if (!read.flaw && (await this.#deps.repair?.reinstate(location, read.checksums)) === true) {
      return { findings: [], ...hashed, reinstated: true }
    }
    const detail = read.flaw
      ? `quarantined before: ${read.flaw.detail}`
      : 'quarantined before; its bytes are right now, and a server or a later run puts it back into service'
    return { findings: [await this.#findingOf(location, { kind: 'blob-quarantined', detail })], ...hashed }
  }

  async #compareSize({ key, sizeBytes }: WalkedLocation): Promise<Flaw | undefined> {
    const foundBytes = await this.#deps.blobStore.blobSize(key)
    if (foundBytes === undefined) return missing
    if (foundBytes === sizeBytes) return undefined
    return { kind: 'blob-wrong-size', detail: `the file has ${foundBytes} bytes instead of ${sizeBytes}` }
  }

  async #compareBytes({ key, sizeBytes, digest }: WalkedLocation): Promise<ReadBytes> {
    const { blobStore, pace, signal, bytesPerSecond, yieldTurn } = this.#deps
    await yieldTurn?.()
    await pace.wait(signal)
    const startedAtMs = performance.now()
    try {
      const found = await blobStore.hashBlob(key, sizeBytes, digestAlgorithm(digest), { bytesPerSecond, signal })
      if (found.digest === digest) return { checksums: found.checksums }
      return { flaw: { kind: 'blob-corrupt', detail: `the bytes of the file have the digest ${found.digest}` } }
    } catch (error) {
      if (isPlatformError(error, 'blob-missing')) return { flaw: missing }
      if (isPlatformError(error, 'blob-corrupt')) return { flaw: { kind: 'blob-corrupt', detail: 'the compressed bytes of the file cannot be decoded' } }
      // One bad place of a disk. Whatever else fails, fails for all files alike.
      if (!isPlatformError(error, 'storage-unavailable') || error.detail['systemError'] !== 'EIO') throw error
      return { flaw: { kind: 'blob-unreadable', detail: 'the disk failed while the file was read (EIO)' } }
    } finally {
      pace.count(sizeBytes, startedAtMs)
    }
  }

  #holdBack(location: WalkedLocation): void {
    if (this.#heldBack.length >= maxHeldBack) {
      throw storageError(
        'storage-unavailable',
        `none of the first ${maxHeldBack} blobs has a file: is the volume with the blobs mounted, and is this its data folder?`,
      )
    }
    this.#heldBack.push(location)
  }

  /** The first file was found: what was missing before it is missing indeed. */
  async #release(): Promise<Finding[]> {
    this.#hasFoundFile = true
    const findings: Finding[] = []
    for (const location of this.#heldBack.splice(0)) findings.push(...(await this.#condemn(location, missing)))
    return findings
  }

  /** Takes a bad location out of service, where that is for sure and possible. */
  async #condemn(location: WalkedLocation, flaw: Flaw): Promise<Finding[]> {
    const { repair, reader } = this.#deps
    // Collected or replaced since the walk read its row: then its file may be gone by right.
    if ((await locationState(reader, location.id)) !== location.state) return []
    // A disk that fails may be well again; nobody knows that the bytes are wrong.
    const isCertain = flaw.kind !== 'blob-unreadable'
    const quarantined =
      isCertain &&
      repair !== undefined &&
      // Where it changed nothing, a download may have been quicker.
      ((await repair.quarantine(location, flaw.kind)) || (await locationState(reader, location.id)) === 'quarantined')
    return [await this.#findingOf(location, flaw, quarantined)]
  }

  async #findingOf(location: WalkedLocation, flaw: Flaw, quarantined?: boolean): Promise<Finding> {
    const { digest, key, blobId } = location
    const usedBy = await usersOfBlob(this.#deps.reader, blobId, maxUsers)
    return {
      kind: flaw.kind,
      digest,
      key,
      usedBy,
      ...(quarantined === undefined ? {} : { quarantined }),
      detail: flaw.detail,
      remedy: remedies[flaw.kind],
    }
  }
}

const missing: Flaw = { kind: 'blob-missing', detail: 'the file is not there' }

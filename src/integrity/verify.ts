import type { Clock } from '../internal/clock.ts'
import type { BlobStore } from '../storage/blobs/index.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { walkLocations, walkManifests, walkRepositories, walkTags, type WalkedLocation } from '../storage/metadata/stores/integrity-walk.ts'
import { findWrongSums } from '../storage/metadata/stores/repository-store.ts'
import { BlobCheck, type Repair } from './blob-check.ts'
import { remedies, type Finding, type FindingKind } from './findings.ts'
import { manifestFindings } from './manifest-check.ts'
import { Pace } from '../internal/pace.ts'

export interface VerifyDependencies {
  readonly database: Pick<MetadataDatabase, 'reader' | 'snapshot'>
  readonly blobStore: Pick<BlobStore, 'blobSize' | 'hashBlob'>
  readonly clock: Clock
  /** Acts on what is found. Without one, findings are reported and nothing is changed. */
  readonly repair?: Repair | undefined
}

/** Where a walk stands: everything before it, in this order of phases and keys, has been checked. Plain data. */
export type WalkPosition =
  | { readonly phase: 'tags'; readonly repositoryId: number; readonly name: string }
  | { readonly phase: 'manifests'; readonly id: number }
  | { readonly phase: 'blobs'; readonly id: number }

export const walkStart: WalkPosition = { phase: 'tags', repositoryId: 0, name: '' }

/** Numbers of things checked. */
export interface VerifyCounts {
  readonly tags: number
  readonly manifests: number
  /** Blobs whose file was found with the right size, or found wanting. */
  readonly blobs: number
  /** Of those, how many were read whole and hashed. */
  readonly hashedBlobs: number
  readonly bytesRead: number
  /** Blobs that are not served any more since this walk found them bad. */
  readonly quarantined: number
  /** Blobs that had been quarantined and turned out to be whole: served again. */
  readonly reinstated: number
  readonly findings: Readonly<Partial<Record<FindingKind, number>>>
}

export const noCounts: VerifyCounts = {
  tags: 0,
  manifests: 0,
  blobs: 0,
  hashedBlobs: 0,
  bytesRead: 0,
  quarantined: 0,
  reinstated: 0,
  findings: {},
}

export interface VerifyProgress {
  readonly position: WalkPosition
  readonly counts: VerifyCounts
}

export interface VerifyOptions {
  /**
   * Whose bytes are read and hashed: of all blobs, or only of those that were stored after one of them (numbered as they
   * came; see `WalkPosition`). Of the others the file's size is compared, and of quarantined ones always the bytes.
   */
  readonly hash: 'all' | { readonly afterLocationId: number }
  /** Default: as fast as it goes. */
  readonly bytesPerSecond?: number | undefined
  /** Where to go on, and what was counted until there. Default: the start. */
  readonly resume?: VerifyProgress | undefined
  /** Ends the walk early: `verify` then returns what it has, with `isComplete` false. */
  readonly signal?: AbortSignal | undefined
  /** Told of each finding as it is made; the next one waits for it. */
  readonly onFinding?: ((finding: Finding) => void | Promise<void>) | undefined
  /** Told often, at least once a page and after each blob that was hashed. */
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined
  /** Waited for before each blob that is hashed: whoever has better use for the disk may hold it up. */
  readonly yieldTurn?: (() => Promise<void>) | undefined
}

export interface VerifyReport extends VerifyProgress {
  /** False when the signal came first. `position` says where to go on. */
  readonly isComplete: boolean
  readonly startedAtMs: number
  readonly durationMs: number
}

export function findingCount(counts: VerifyCounts): number {
  return Object.values(counts.findings).reduce((sum, count) => sum + count, 0)
}

/** Rows of one statement: well below a millisecond of the database, and small in memory. */
const pageSize = 200
/** Files hashed side by side where no rate is asked for: hides the latency of a disk. More would only wait for the hashing. */
const unpacedConcurrency = 4

/**
 * Checks that everything the metadata promises is there: each tag points at a living manifest, the images of each repository
 * and their bytes are as many as are noted of it, each manifest's bytes
 * have its digest, what a living manifest names is in its repository, each blob's file has the right size and, as far as
 * asked, the right bytes. Memory is bounded whatever the size; a server may change everything meanwhile.
 *
 * Throws `storage-unavailable` when the database or the whole blob store cannot be read, which says nothing about any
 * blob.
 */
export async function verify(deps: VerifyDependencies, options: VerifyOptions): Promise<VerifyReport> {
  return new Walk(deps, options).run()
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

class Walk {
  readonly #deps: VerifyDependencies
  readonly #options: VerifyOptions
  readonly #counts: Mutable<VerifyCounts>
  readonly #findings: Partial<Record<FindingKind, number>>
  readonly #blobs: BlobCheck
  #position: WalkPosition
  /** At the last position: what was counted since will be counted again when the walk goes on from there. */
  #saved: VerifyProgress

  constructor(deps: VerifyDependencies, options: VerifyOptions) {
    this.#deps = deps
    this.#options = options
    const { counts = noCounts, position = walkStart } = options.resume ?? {}
    this.#findings = { ...counts.findings }
    this.#counts = { ...counts, findings: this.#findings }
    this.#position = position
    this.#saved = { position, counts }
    this.#blobs = new BlobCheck({
      reader: deps.database.reader,
      blobStore: deps.blobStore,
      repair: deps.repair,
      pace: new Pace(options.bytesPerSecond),
      bytesPerSecond: options.bytesPerSecond,
      signal: options.signal,
      yieldTurn: options.yieldTurn,
    })
  }

  async run(): Promise<VerifyReport> {
    const startedAtMs = this.#deps.clock.now()
    const started = performance.now()
    let isComplete = false
    try {
      if (this.#position.phase === 'tags') await this.#walkTags(this.#position)
      if (this.#position.phase === 'manifests') await this.#walkManifests(this.#position.id)
      if (this.#position.phase === 'blobs') await this.#walkBlobs(this.#position.id)
      isComplete = true
    } catch (error) {
      // Whatever was under way when the signal came has failed for that reason alone.
      if (this.#options.signal?.aborted !== true) throw error
    }
    const progress = isComplete ? this.#progress() : this.#saved
    return { isComplete, startedAtMs, durationMs: Math.round(performance.now() - started), ...progress }
  }

  async #walkTags(from: { repositoryId: number; name: string }): Promise<void> {
    let after = from
    for (;;) {
      const tags = await walkTags(this.#deps.database.reader, after, pageSize)
      const last = tags.at(-1)
      if (!last) break
      for (const { repository, name, isSound } of tags) {
        this.#counts.tags += 1
        if (isSound) continue
        const detail = `the tag ${repository}:${name} points at no living manifest of its repository`
        await this.#report({ kind: 'tag-dangling', repository, tag: name, detail, remedy: remedies['tag-dangling'] })
      }
      after = { repositoryId: last.repositoryId, name: last.name }
      await this.#advance({ phase: 'tags', ...after })
    }
    await this.#compareSums()
    await this.#advance({ phase: 'manifests', id: 0 })
  }

  /** Repository by repository, so that a server that checks itself is held up no longer than by the largest of them. */
  async #compareSums(): Promise<void> {
    const { database, repair } = this.#deps
    for (let after = 0; ; ) {
      const ids = await walkRepositories(database.reader, after, pageSize)
      if (ids.length === 0) return
      for (const id of ids) {
        const [wrong] = await findWrongSums(database.reader, { after: id - 1, through: id, limit: 1 })
        if (wrong) {
          const corrected = (await repair?.recount(id)) ?? false
          const detail = `it has ${wrong.images} images of ${wrong.bytes} bytes, and ${wrong.notedImages ?? 'no'} images of ${wrong.notedBytes ?? 'no'} bytes were noted`
          const remedy = corrected ? 'nothing: the right sums are noted now' : remedies['sums-wrong']
          await this.#report({ kind: 'sums-wrong', repository: wrong.name, corrected, detail, remedy })
        }
        await this.#pass()
        after = id
      }
    }
  }

  async #walkManifests(from: number): Promise<void> {
    const { database } = this.#deps
    let after = from
    for (;;) {
      // Together with what they name, at one moment: an image may be deleted, and its blobs after it, between two.
      const { manifests, dangling } = await database.snapshot(async (session) => {
        const page = await walkManifests(session, after, pageSize)
        return { manifests: page, dangling: await manifestFindings.ofReferences(session, page) }
      })
      const last = manifests.at(-1)
      if (!last) break
      for (const finding of dangling) await this.#report(finding)
      for (const manifest of manifests) {
        this.#counts.manifests += 1
        const finding = await manifestFindings.ofBytes(database.reader, manifest)
        if (finding) await this.#report(finding)
        await this.#pass()
      }
      after = last.id
      await this.#advance({ phase: 'manifests', id: after })
    }
    await this.#advance({ phase: 'blobs', id: 0 })
  }

  async #walkBlobs(from: number): Promise<void> {
    const concurrency = this.#options.bytesPerSecond === undefined ? unpacedConcurrency : 1
    const { hash } = this.#options
    // Several are checked at once, and reported in their order, so that the position has everything before it.
    const underWay: { location: WalkedLocation; checked: Promise<() => Promise<void>> }[] = []
    const settleOldest = async (): Promise<void> => {
      const oldest = underWay.shift()
      if (!oldest) return
      const report = await oldest.checked
      await report()
      if (this.#blobs.heldBack === 0) await this.#advance({ phase: 'blobs', id: oldest.location.id })
    }
    try {
      for await (const location of this.#locations(from)) {
        const isDue = hash === 'all' || location.id > hash.afterLocationId
        const checked = this.#checkBlob(location, isDue)
        // It may fail before its turn comes, which is when somebody hears of it.
        checked.catch(() => undefined)
        underWay.push({ location, checked })
        if (underWay.length >= concurrency) await settleOldest()
      }
      while (underWay.length > 0) await settleOldest()
    } finally {
      await Promise.allSettled(underWay.map(({ checked }) => checked))
    }
    for (const finding of await this.#blobs.finish()) await this.#report(finding)
  }

  /** Checks now, and returns what remains to be done when its turn comes. */
  async #checkBlob(location: WalkedLocation, isDue: boolean): Promise<() => Promise<void>> {
    const { findings, hashedBytes, reinstated } = await this.#blobs.check(location, isDue)
    return async () => {
      this.#counts.blobs += 1
      if (hashedBytes !== undefined) {
        this.#counts.hashedBlobs += 1
        this.#counts.bytesRead += hashedBytes
      }
      if (reinstated) this.#counts.reinstated += 1
      for (const finding of findings) await this.#report(finding)
    }
  }

  async *#locations(from: number): AsyncGenerator<WalkedLocation> {
    for (let after = from; ; ) {
      const page = await walkLocations(this.#deps.database.reader, after, pageSize)
      const last = page.at(-1)
      if (!last) return
      yield* page
      after = last.id
    }
  }

  async #report(finding: Finding): Promise<void> {
    this.#findings[finding.kind] = (this.#findings[finding.kind] ?? 0) + 1
    if (finding.quarantined === true) this.#counts.quarantined += 1
    await this.#options.onFinding?.(finding)
  }

  async #advance(position: WalkPosition): Promise<void> {
    this.#position = position
    this.#saved = this.#progress()
    this.#options.onProgress?.(this.#saved)
    await this.#pass()
  }

  /** Lets others run: on SQLite the walk would otherwise hardly ever wait for anything. */
  async #pass(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    this.#options.signal?.throwIfAborted()
  }

  #progress(): VerifyProgress {
    return { position: this.#position, counts: { ...this.#counts, findings: { ...this.#findings } } }
  }
}

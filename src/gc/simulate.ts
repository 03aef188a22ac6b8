import { findRepositoryVetoes, findVetoes } from '../registry/protection/index.ts'
import type { Session } from '../storage/metadata/session.ts'
import { blobsGoing, manifestsOfRepository, repositoriesById, reviewsUntil, type ForecastReview } from '../storage/metadata/stores/collection-forecast.ts'
import { installationHolds } from '../storage/metadata/stores/hold-store.ts'
import { blobsNamedBy, findLocations, trashedAmong } from '../storage/metadata/stores/purge-store.ts'
import type { ReviewKind } from '../storage/metadata/stores/review-queue.ts'

/** What collection would give back by a time, if nothing else happened. */
export interface Simulation {
  readonly until: number
  /** Images and repositories whose time in the trash is over by then. */
  readonly images: number
  readonly repositories: number
  /** Those of them that something holds back now: a protection, a workload, a hold. Counted above they are not. */
  readonly heldBackImages: number
  readonly heldBackRepositories: number
  readonly blobs: number
  /** Of them on the disk, with `goingBytes`. */
  readonly bytes: number
  /** Files whose blobs are gone already. */
  readonly goingFiles: number
  readonly goingBytes: number
  /** While there are any no bytes go. */
  readonly installationHolds: readonly number[]
  /** How many reviews were looked at. */
  readonly examined: number
  /** False where there was more than is looked at in one call: at least this would be given back. */
  readonly isComplete: boolean
}

/** Reviews, and manifests of deleted repositories, of which one call looks at no more. */
const maxExamined = 50_000
const pageSize = 500
/** Blobs of one statement. */
const blobsPerStatement = 500

/**
 * Tells what would go by `until`, give or take the two hours that positive answers about blobs are good for. Nothing is changed or
 * locked; it costs a few look-ups for each review that is due by then, and ends at a limit.
 */
export async function simulateCollection(session: Session, at: { readonly now: number; readonly until: number; readonly homeRegistryId: number; readonly maxExamined?: number }): Promise<Simulation> {
  return new Simulator(session, at).run()
}

class Simulator {
  readonly #session: Session
  readonly #now: number
  readonly #until: number
  readonly #homeRegistryId: number
  readonly #budget: number
  readonly #candidates = new Set<number>()
  /** Named by an image that something holds back. */
  readonly #kept = new Set<number>()
  #examined = 0
  #images = 0
  #heldBackImages = 0
  #repositories = 0
  #heldBackRepositories = 0
  #goingFiles = 0
  #goingBytes = 0

  constructor(session: Session, at: { readonly now: number; readonly until: number; readonly homeRegistryId: number; readonly maxExamined?: number }) {
    this.#session = session
    this.#now = at.now
    this.#until = at.until
    this.#homeRegistryId = at.homeRegistryId
    this.#budget = at.maxExamined ?? maxExamined
  }

  async run(): Promise<Simulation> {
    await this.#each('location', (reviews) => this.#locations(reviews))
    await this.#each('blob', (reviews) => this.#note(reviews))
    await this.#each('repository-blob', (reviews) => this.#note(reviews))
    await this.#each('manifest', (reviews) => this.#manifests(reviews))
    await this.#each('repository', (reviews) => this.#repositoriesOf(reviews))
    const { blobs, bytes } = await this.#blobs()
    return {
      until: this.#until,
      images: this.#images,
      repositories: this.#repositories,
      heldBackImages: this.#heldBackImages,
      heldBackRepositories: this.#heldBackRepositories,
      blobs,
      bytes: bytes + this.#goingBytes,
      goingFiles: this.#goingFiles,
      goingBytes: this.#goingBytes,
      installationHolds: await installationHolds(this.#session, this.#homeRegistryId),
      examined: this.#examined,
      isComplete: this.#examined < this.#budget,
    }
  }

  async #each(kind: ReviewKind, work: (reviews: readonly ForecastReview[]) => Promise<void>): Promise<void> {
    for (let after = { dueAt: 0, id: 0 }; this.#examined < this.#budget; ) {
      const limit = Math.min(pageSize, this.#budget - this.#examined)
      const reviews = await reviewsUntil(this.#session, { kind, until: this.#until, after, limit })
      this.#examined += reviews.length
      await work(reviews)
      const last = reviews.at(-1)
      if (last === undefined || reviews.length < limit) return
      after = last
      await pass()
    }
  }

  async #locations(reviews: readonly ForecastReview[]): Promise<void> {
    if (reviews.length === 0) return
    for (const { state, sizeBytes } of await findLocations(this.#session, reviews.map(({ subjectId }) => subjectId))) {
      if (state !== 'deleting') continue
      this.#goingFiles += 1
      this.#goingBytes += sizeBytes
    }
  }

  #note(reviews: readonly ForecastReview[]): Promise<void> {
    for (const { subjectId } of reviews) this.#candidates.add(subjectId)
    return Promise.resolve()
  }

  async #manifests(reviews: readonly ForecastReview[]): Promise<void> {
    const byRepository = Map.groupBy(reviews, ({ repositoryId }) => repositoryId)
    for (const repository of await repositoriesById(this.#session, [...byRepository.keys()])) {
      const ids = (byRepository.get(repository.id) ?? []).map(({ subjectId }) => subjectId)
      const ripe = (await trashedAmong(this.#session, repository.id, ids)).filter(({ purgeAfter }) => purgeAfter <= this.#until).map(({ id }) => id)
      if (ripe.length === 0) continue
      const vetoes = await findVetoes(this.#session, repository, ripe, this.#now, { mode: 'automatic', onlyAsks: true })
      const going = ripe.filter((id) => !vetoes.has(id))
      this.#images += going.length
      this.#heldBackImages += vetoes.size
      await this.#name(going, this.#candidates)
      await this.#name([...vetoes.keys()], this.#kept)
    }
  }

  async #repositoriesOf(reviews: readonly ForecastReview[]): Promise<void> {
    for (const repository of await repositoriesById(this.#session, reviews.map(({ subjectId }) => subjectId))) {
      if (repository.trashed_at === null || (repository.purge_after ?? repository.trashed_at) > this.#until) continue
      const isHeld = (await findRepositoryVetoes(this.#session, repository, this.#now, { mode: 'automatic', onlyAsks: true })).length > 0
      if (isHeld) this.#heldBackRepositories += 1
      else this.#repositories += 1
      for (let after: Uint8Array = new Uint8Array(); this.#examined < this.#budget; ) {
        const manifests = await manifestsOfRepository(this.#session, { repositoryId: repository.id, after, limit: pageSize })
        const ids = manifests.map(({ id }) => id)
        this.#examined += ids.length
        if (isHeld) this.#heldBackImages += ids.length
        else this.#images += ids.length
        await this.#name(ids, isHeld ? this.#kept : this.#candidates)
        if (ids.length < pageSize) break
        after = manifests.at(-1)?.digest ?? after
        await pass()
      }
    }
  }

  async #name(manifestIds: readonly number[], into: Set<number>): Promise<void> {
    if (manifestIds.length === 0) return
    for (const blobId of await blobsNamedBy(this.#session, manifestIds)) into.add(blobId)
  }

  async #blobs(): Promise<{ blobs: number; bytes: number }> {
    const ids = [...this.#candidates].filter((id) => !this.#kept.has(id))
    let blobs = 0
    let bytes = 0
    for (let start = 0; start < ids.length; start += blobsPerStatement) {
      for (const { storedBytes } of await blobsGoing(this.#session, ids.slice(start, start + blobsPerStatement), this.#until)) {
        blobs += 1
        bytes += storedBytes
      }
      await pass()
    }
    return { blobs, bytes }
  }
}

/** Lets others run: on SQLite nothing would otherwise wait for anything. */
function pass(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

import { quarantineBlob } from '../registry/commands/damage.ts'
import type { BlobStore, ListedBlob } from '../storage/blobs/index.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { isKeyLocated } from '../storage/metadata/stores/blob-index.ts'
import { isInstallationHeld } from '../storage/metadata/stores/hold-store.ts'
import { locationState } from '../storage/metadata/stores/integrity-walk.ts'
import {
  locatedKeys,
  reconciledLocations,
  walkForgottenBlobs,
  walkForgottenManifests,
  walkForgottenRepositories,
  walkForgottenSights,
  type ReconciledLocation,
} from '../storage/metadata/stores/reconcile-walk.ts'
import type { Suspicion } from '../storage/metadata/stores/review-queue.ts'
import { isOpenUpload } from '../storage/metadata/stores/upload-store.ts'
import { reviewForgotten } from './commands/reconcile.ts'

/** In the order in which they are walked. */
export const reconcilePhases = ['files', 'uploads', 'locations', 'blobs', 'sights', 'images', 'repositories'] as const
export type ReconcilePhase = (typeof reconcilePhases)[number]

/**
 * - `orphan-file`: bytes that no row names.
 * - `orphan-upload`: bytes of an upload that has no session.
 * - `file-missing`, `file-wrong-size`: a row whose bytes are not there, or are others.
 * - `forgotten`: something that may be garbage and that nothing would have looked at. It is looked at now.
 */
export type ReconcileFinding =
  | { readonly kind: 'orphan-file' | 'orphan-upload'; readonly key: string; readonly sizeBytes: number; readonly repaired: Repaired }
  | { readonly kind: 'file-missing' | 'file-wrong-size'; readonly key: string; readonly digest: string; readonly sizeBytes: number; readonly repaired: Repaired }

/** `no`: nobody asked for it. `held`: a backup reads, or the installation is on hold. */
type Repaired = 'deleted' | 'set-aside' | 'no' | 'held' | 'failed'

export interface ReconcileCounts {
  /** Files of blobs looked at, and how many of them some row names. */
  readonly files: number
  readonly knownFiles: number
  /** Which nothing names, but that are too young to be sure. */
  readonly youngFiles: number
  readonly orphanFiles: number
  readonly orphanBytes: number
  readonly orphanUploads: number
  readonly orphanUploadBytes: number
  readonly deletedOrphans: number
  readonly locations: number
  readonly missingFiles: number
  readonly wrongSizes: number
  readonly setAside: number
  /** Rows looked at for something that was forgotten. */
  readonly rows: number
  readonly forgotten: number
}

export const noReconcileCounts: ReconcileCounts = {
  ...{ files: 0, knownFiles: 0, youngFiles: 0, orphanFiles: 0, orphanBytes: 0, orphanUploads: 0, orphanUploadBytes: 0, deletedOrphans: 0 },
  ...{ locations: 0, missingFiles: 0, wrongSizes: 0, setAside: 0, rows: 0, forgotten: 0 },
}

export interface ReconcileStepDependencies {
  readonly database: MetadataDatabase
  readonly blobStore: BlobStore & { storeOf(key: string): string }
  readonly clock: { now(): number }
  readonly systemContext: () => CommandContext
}

/** What one page of a phase brought. */
export interface ReconciledPage {
  /** JSON, for the next page; undefined: the phase is over. */
  readonly next: string | undefined
  readonly items: number
  readonly counts: Partial<ReconcileCounts>
  readonly findings: readonly ReconcileFinding[]
}

/** A push or a move commits within minutes of publishing: what has been nameless for a day will stay so. */
const graceMs = 24 * 60 * 60 * 1000

/**
 * One page of the comparison. Without `repair` nothing is changed but that forgotten things are given reviews. Throws
 * `storage-unavailable` when the store or the database cannot be read, which says nothing about any file.
 */
export async function reconcilePage(
  deps: ReconcileStepDependencies,
  at: { readonly phase: ReconcilePhase; readonly after: string | undefined; readonly repair: boolean; readonly knownFiles: number; readonly limit: number },
): Promise<ReconciledPage> {
  const { phase, after, repair, limit } = at
  const position: unknown = after === undefined ? undefined : JSON.parse(after)
  switch (phase) {
    case 'files':
      return filesPage(deps, (position as string | undefined) ?? '', limit, await maySo(deps, repair))
    case 'uploads':
      return uploadsPage(deps, await maySo(deps, repair))
    case 'locations':
      // Where not one file is known, it is the store that is missing or another's.
      return locationsPage(deps, (position as number | undefined) ?? 0, limit, at.knownFiles === 0 ? 'held' : await maySo(deps, repair))
    case 'blobs': {
      const page = await walkForgottenBlobs(deps.database.reader, (position as number | undefined) ?? 0, limit)
      return forgotten(deps, page, page.found.map((subjectId) => ({ kind: 'blob', repositoryId: 0, subjectId })))
    }
    case 'sights': {
      const page = await walkForgottenSights(deps.database.reader, (position as { repositoryId: number; blobId: number } | undefined) ?? { repositoryId: 0, blobId: 0 }, limit)
      return forgotten(deps, page, page.found.map(({ repositoryId, blobId }) => ({ kind: 'repository-blob', repositoryId, subjectId: blobId })))
    }
    case 'images': {
      const page = await walkForgottenManifests(deps.database.reader, (position as number | undefined) ?? 0, limit)
      return forgotten(deps, page, page.found.map((trash) => ofTrash(deps, 'manifest', trash)))
    }
    case 'repositories': {
      const page = await walkForgottenRepositories(deps.database.reader, (position as number | undefined) ?? 0, limit)
      return forgotten(deps, page, page.found.map((trash) => ofTrash(deps, 'repository', trash)))
    }
  }
}

/** Whether repairs are to be made, and may be: beside a restored database what was pushed since its backup looks like an orphan. */
async function maySo({ database, systemContext }: ReconcileStepDependencies, repair: boolean): Promise<'no' | 'held' | 'yes'> {
  if (!repair) return 'no'
  return (await isInstallationHeld(database.reader, systemContext().registryId)) ? 'held' : 'yes'
}

type May = Awaited<ReturnType<typeof maySo>>

async function filesPage(deps: ReconcileStepDependencies, after: string, limit: number, may: May): Promise<ReconciledPage> {
  const { database, blobStore, clock } = deps
  const files: ListedBlob[] = []
  for await (const file of blobStore.list(after)) {
    files.push(file)
    if (files.length === limit) break
  }
  const known = new Set<string>()
  for (const [store, ofOne] of Map.groupBy(files, ({ key }) => blobStore.storeOf(key))) {
    for (const key of await locatedKeys(database.reader, store, ofOne.map(({ key: each }) => each))) known.add(key)
  }
  const findings: ReconcileFinding[] = []
  let youngFiles = 0
  for (const { key, sizeBytes, changedAtMs, uploadId } of files) {
    if (known.has(key)) continue
    const now = clock.now()
    // A client may still ask for a commit that failed, as long as its session is open.
    if (changedAtMs > now - graceMs || (await isOpenUpload(database.reader, uploadId, now))) youngFiles += 1
    // Committed since the page was read, or collected.
    else if (!(await isKeyLocated(database.reader, blobStore.storeOf(key), key)) && (await blobStore.blobSize(key)) !== undefined) {
      findings.push({ kind: 'orphan-file', key, sizeBytes, repaired: may === 'yes' ? await removeOrphan(deps, key) : may })
    }
  }
  const last = files.length < limit ? undefined : files.at(-1)
  return {
    next: last && JSON.stringify(last.key),
    items: files.length,
    counts: {
      files: files.length,
      knownFiles: known.size,
      youngFiles,
      orphanFiles: findings.length,
      orphanBytes: sumOf(findings),
      deletedOrphans: findings.filter(({ repaired }) => repaired === 'deleted').length,
    },
    findings,
  }
}

async function removeOrphan({ blobStore, clock }: ReconcileStepDependencies, key: string): Promise<Repaired> {
  const outcome = (await blobStore.delete([key], clock.now())).get(key)
  return outcome === 'deleted' || outcome === 'held' ? outcome : 'failed'
}

/** Of all uploads at once: there are few, and none older than a session lasts, but for what a crash left. */
async function uploadsPage({ database, blobStore, clock }: ReconcileStepDependencies, may: May): Promise<ReconciledPage> {
  const findings: ReconcileFinding[] = []
  let items = 0
  for await (const { uploadId, sizeBytes, changedAtMs } of blobStore.listUploads()) {
    items += 1
    const now = clock.now()
    if (changedAtMs > now - graceMs || (await isOpenUpload(database.reader, uploadId, now))) continue
    if (may === 'yes') await blobStore.abandonUpload(uploadId, (key) => isKeyLocated(database.reader, blobStore.storeOf(key), key))
    findings.push({ kind: 'orphan-upload', key: uploadId, sizeBytes, repaired: may === 'yes' ? 'deleted' : may })
  }
  const deletedOrphans = may === 'yes' ? findings.length : 0
  return { next: undefined, items, counts: { orphanUploads: findings.length, orphanUploadBytes: sumOf(findings), deletedOrphans }, findings }
}

async function locationsPage(deps: ReconcileStepDependencies, after: number, limit: number, may: May): Promise<ReconciledPage> {
  const { database, systemContext } = deps
  const locations = await reconciledLocations(database.reader, after, limit)
  const findings: ReconcileFinding[] = []
  for (const location of locations) {
    const finding = location.state === 'active' ? await wrongFile(deps, location) : undefined
    if (finding === undefined) continue
    const { key, store } = location
    const repaired = may !== 'yes' ? may : (await database.execute(quarantineBlob, { store, key, reason: finding }, systemContext())) ? 'set-aside' : 'no'
    findings.push({ kind: finding, key, digest: location.digest, sizeBytes: location.sizeBytes, repaired })
  }
  const left = locations.filter(({ isForgotten }) => isForgotten)
  await addReviews(deps, left.map(({ id }) => ({ kind: 'location', repositoryId: 0, subjectId: id, delayMs: 0 })))
  const last = locations.at(-1)
  return {
    next: last && JSON.stringify(last.id),
    items: locations.length,
    counts: {
      locations: locations.length,
      missingFiles: findings.filter(({ kind }) => kind === 'file-missing').length,
      wrongSizes: findings.filter(({ kind }) => kind === 'file-wrong-size').length,
      setAside: findings.filter(({ repaired }) => repaired === 'set-aside').length,
      forgotten: left.length,
    },
    findings,
  }
}

async function wrongFile({ database, blobStore }: ReconcileStepDependencies, location: ReconciledLocation): Promise<'file-missing' | 'file-wrong-size' | undefined> {
  const foundBytes = await blobStore.blobSize(location.key)
  if (foundBytes === location.sizeBytes) return undefined
  // Collected or moved since the page was read: then its file may be gone by right.
  if ((await locationState(database.reader, location.id)) !== location.state) return undefined
  return foundBytes === undefined ? 'file-missing' : 'file-wrong-size'
}

type Forgotten = Pick<Suspicion, 'kind' | 'repositoryId' | 'subjectId'> & { readonly delayMs?: number }

async function forgotten(deps: ReconcileStepDependencies, page: { readonly last: unknown; readonly count: number }, things: readonly Forgotten[]): Promise<ReconciledPage> {
  await addReviews(deps, things)
  return {
    next: page.last === undefined ? undefined : JSON.stringify(page.last),
    items: page.count,
    counts: { rows: page.count, forgotten: things.length },
    findings: [],
  }
}

async function addReviews({ database, systemContext }: ReconcileStepDependencies, things: readonly Forgotten[]): Promise<void> {
  if (things.length > 0) await database.execute(reviewForgotten, { things }, systemContext())
}

function ofTrash(
  { clock }: ReconcileStepDependencies,
  kind: 'manifest' | 'repository',
  { id, repositoryId, purgeAfter }: { readonly id: number; readonly repositoryId: number; readonly purgeAfter: number },
): Forgotten {
  return { kind, repositoryId, subjectId: id, delayMs: Math.max(0, purgeAfter - clock.now()) }
}

function sumOf(findings: readonly ReconcileFinding[]): number {
  return findings.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}

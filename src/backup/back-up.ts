import { copyFile, open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { readRootCredentialFile, rootCredentialPath } from '../config/index.ts'
import { sealingKeyId } from '../iam/index.ts'
import type { Clock } from '../internal/clock.ts'
import type { IdSource } from '../internal/ids.ts'
import type { BlobStore } from '../storage/blobs/index.ts'
import type { MetadataTarget } from '../storage/metadata/migrate.ts'
import { readSnapshot, type Column, type MetadataSnapshot, type NamedBlob, type RawRow } from '../storage/metadata/transfer/index.ts'
import { BackupFolder } from './backup-folder.ts'
import { copyBlobs, type CopyCounts } from './copy-blobs.ts'
import { fileMode, writeDurably } from '../internal/durable-files.ts'
import { backupError } from './errors.ts'
import { newPointId, pointFormat, type PointDocument } from './point.ts'
import { writeTable } from './table-files.ts'
import type { TrailToBackUp } from './trail.ts'

export interface BackUpDependencies {
  readonly target: MetadataTarget
  readonly dataDir: string
  readonly blobStore: Pick<BlobStore, 'open' | 'hold' | 'releaseHold'>
  readonly clock: Clock
  readonly ids: IdSource
  /** This program's. */
  readonly version: string
  /** Opens the audit trail; undefined: there is none. Asked after the metadata was read, so that no change is in neither. */
  readonly trail: () => Promise<TrailToBackUp | undefined>
}

export interface BackUpOptions {
  readonly folder: string
  /** Points to keep, this one among them; default: all. */
  readonly keep?: number | undefined
  /** The keyring's text, to be put beside the metadata; default: the keyring stays apart. */
  readonly keyring?: string | undefined
  /** Put the records of the audit trail into the point, too. */
  readonly withAudit?: boolean | undefined
  readonly bytesPerSecond?: number | undefined
  readonly signal: AbortSignal
  readonly onProgress?: ((progress: BackUpProgress) => void) | undefined
}

export interface BackUpProgress extends Readonly<CopyCounts> {
  readonly totalBlobs: number
}

export interface BackUpReport {
  readonly point: PointDocument
  readonly copied: Readonly<CopyCounts>
  /** What went with points that are not kept. */
  readonly removed: { readonly points: readonly string[]; readonly blobs: number; readonly bytes: number }
  readonly durationMs: number
}

/** A hold is renewed this often, and lasts long enough that a busy machine does not lose it. */
const renewIntervalMs = 60_000
const holdMs = 15 * 60_000

const blobColumns: readonly Column[] = [
  { name: 'key', kind: 'text' },
  { name: 'domain', kind: 'text' },
  { name: 'digest', kind: 'text' },
  { name: 'size_bytes', kind: 'integer' },
]

/**
 * Adds a point to a backup folder, beside a running server or without one. In this order: the hold, so that nothing that
 * will be named is deleted; the metadata, at one moment; the blobs it names; and `point.json`, which alone makes it
 * valid. Stopped anywhere before that it leaves no point, and copies that the next run finds.
 *
 * Throws `backup-folder-busy`, `backup-hold-lost`, `storage-full`, `storage-unavailable`, and the signal's reason.
 */
export async function backUp(deps: BackUpDependencies, options: BackUpOptions): Promise<BackUpReport> {
  const { clock, ids } = deps
  const started = performance.now()
  const folder = new BackupFolder(options.folder)
  await folder.create()
  const lock = await folder.lock()
  try {
    await folder.removeLeftovers()
    const id = newPointId(clock.now(), ids.uuid())
    const hold = await takeHold(deps, options.signal)
    try {
      const { point, copied } = await makePoint(deps, { ...options, signal: hold.signal }, folder, id)
      // Whatever was named could be copied only while it was held.
      await hold.confirm()
      await folder.completePoint(point)
      const removed = await removeOldPoints(folder, options.keep)
      return { point, copied, removed, durationMs: performance.now() - started }
    } finally {
      await hold.release()
    }
  } finally {
    lock.release()
  }
}

async function makePoint(
  deps: BackUpDependencies,
  options: BackUpOptions,
  folder: BackupFolder,
  id: string,
): Promise<{ point: PointDocument; copied: CopyCounts }> {
  const { clock } = deps
  const { signal } = options
  const dir = await folder.beginPoint(id)
  const { takenAt, ...metadata } = await readSnapshot(deps.target, async (snapshot) => ({
    takenAt: clock.now(),
    ...(await writeMetadata(snapshot, dir, signal)),
  }))
  if (options.keyring !== undefined) await includeKeys(deps.dataDir, dir, options.keyring)
  const audit = await noteTrail(await deps.trail(), dir, options.withAudit === true)

  const unfinished = { ...metadata, id, missing: [] } as unknown as PointDocument
  const { counts, missing } = await copyBlobs(folder.blobsOf(unfinished), {
    folder,
    blobStore: deps.blobStore,
    ids: deps.ids,
    bytesPerSecond: options.bytesPerSecond,
    signal,
    onProgress: (progress) => options.onProgress?.({ ...progress, totalBlobs: metadata.blobs.rows }),
  })
  await folder.flushCopies()
  const point: PointDocument = {
    format: pointFormat,
    id,
    takenAt: new Date(takenAt).toISOString(),
    completedAt: new Date(clock.now()).toISOString(),
    stowage: deps.version,
    source: `${hostname()}:${deps.dataDir}`,
    ...metadata,
    missing,
    includesKeyring: options.keyring !== undefined,
    ...(audit === undefined ? {} : { audit }),
  }
  return { point, copied: counts }
}

const trailColumns: readonly Column[] = [
  { name: 'seq', kind: 'integer' },
  { name: 'body', kind: 'text' },
]

async function noteTrail(trail: TrailToBackUp | undefined, dir: string, withRecords: boolean): Promise<PointDocument['audit']> {
  if (trail === undefined) return undefined
  return { ...trail.end, ...(withRecords ? { records: await writeTable(dir, 'audit-records', trailColumns, trail.rows()) } : {}) }
}

/** Nothing else happens while the snapshot is open: the database cannot tidy up meanwhile. */
async function writeMetadata(
  snapshot: MetadataSnapshot,
  dir: string,
  signal: AbortSignal,
): Promise<Pick<PointDocument, 'database' | 'migrations' | 'givenIds' | 'tables' | 'blobs' | 'keyIds'>> {
  const tables: PointDocument['tables'] = []
  const keyIds = new Set<string>()
  for (const table of snapshot.tables) {
    signal.throwIfAborted()
    const sealedAt = table.columns.flatMap(({ name }, index) => (name.endsWith('_sealed') ? [index] : []))
    const rows = async function* (): AsyncGenerator<RawRow[], void, undefined> {
      for await (const batch of snapshot.rows(table)) {
        for (const index of sealedAt) for (const row of batch) noteKey(row[index], keyIds)
        yield batch
      }
    }
    tables.push({ name: table.name, ...(await writeTable(dir, table.name, table.columns, rows())) })
  }
  let contentBytes = 0
  const blobRows = async function* (): AsyncGenerator<RawRow[], void, undefined> {
    for await (const batch of snapshot.namedBlobs()) {
      yield batch.map(({ key, domain, digest, sizeBytes }: NamedBlob): RawRow => {
        contentBytes += sizeBytes
        return [key, domain, digest, sizeBytes]
      })
    }
  }
  const blobs = await writeTable(dir, 'blob-list', blobColumns, blobRows())
  return {
    database: snapshot.dialect,
    migrations: [...snapshot.migrations],
    givenIds: { ...snapshot.givenIds },
    tables,
    blobs: { ...blobs, contentBytes },
    keyIds: [...keyIds].sort(),
  }
}

function noteKey(sealed: RawRow[number] | undefined, keyIds: Set<string>): void {
  const keyId = typeof sealed === 'string' ? sealingKeyId(sealed) : undefined
  if (keyId !== undefined) keyIds.add(keyId)
}

async function includeKeys(dataDir: string, dir: string, keyring: string): Promise<void> {
  await writeDurably(join(dir, 'keyring.json'), keyring)
  if ((await readRootCredentialFile(dataDir)) === undefined) return
  const copy = join(dir, 'root-credentials.json')
  await copyFile(rootCredentialPath(dataDir), copy)
  const file = await open(copy, 'r')
  try {
    await file.chmod(fileMode)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** `signal` fires when the caller's does, or when the hold could not be kept. */
async function takeHold(
  { blobStore, clock, ids }: BackUpDependencies,
  signal: AbortSignal,
): Promise<{ signal: AbortSignal; confirm(): Promise<void>; release(): Promise<void> }> {
  const lost = new AbortController()
  const hold = { id: ids.uuid(), owner: `backup, process ${process.pid} on ${hostname()}` }
  let untilMs = clock.now() + holdMs
  await blobStore.hold({ ...hold, untilMs })
  const renew = async (): Promise<void> => {
    const now = clock.now()
    if (now >= untilMs) {
      throw backupError('backup-hold-lost', 'the backup stood still for so long that what it was about to copy may have been deleted: run it again')
    }
    await blobStore.hold({ ...hold, untilMs: now + holdMs })
    untilMs = now + holdMs
  }
  const timer = setInterval(() => {
    renew().catch((error: unknown) => lost.abort(error))
  }, renewIntervalMs)
  timer.unref()
  return {
    signal: AbortSignal.any([signal, lost.signal]),
    confirm: renew,
    async release() {
      clearInterval(timer)
      await blobStore.releaseHold(hold.id)
    },
  }
}

async function removeOldPoints(folder: BackupFolder, keep: number | undefined): Promise<BackUpReport['removed']> {
  if (keep === undefined) return { points: [], blobs: 0, bytes: 0 }
  const points = await folder.points()
  const known = points.filter((point): point is PointDocument => 'tables' in point)
  // What a point of a newer version needs cannot be known: nothing is removed from under it.
  if (known.length < points.length) return { points: [], blobs: 0, bytes: 0 }
  const old = known.slice(0, Math.max(0, known.length - keep))
  for (const { id } of old) await folder.removePoint(id)
  const { count, bytes } = await folder.sweep(known.slice(old.length))
  return { points: old.map(({ id }) => id), blobs: count, bytes }
}

import { createReadStream } from 'node:fs'
import { access, copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { rootCredentialPath } from '../config/index.ts'
import { defaultKeyringPath, sealingKeyId } from '../iam/index.ts'
import type { Clock } from '../internal/clock.ts'
import type { IdSource } from '../internal/ids.ts'
import { Pace } from '../internal/pace.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import { restoredMark } from '../registry/commands/holds.ts'
import { isArchiveKey, type BlobStore } from '../storage/blobs/index.ts'
import type { MetadataTarget } from '../storage/metadata/migrate.ts'
import {
  loadMetadata,
  lostImages,
  metadataExchange,
  unknownMigrations,
  type LostImage,
  type MetadataExchange,
  type NamedBlob,
  type RawRow,
} from '../storage/metadata/transfer/index.ts'
import { digestAlgorithm } from '../values/index.ts'
import { BackupFolder } from './backup-folder.ts'
import { inParallel } from './copy-blobs.ts'
import { flushFolder, folderMode } from '../internal/durable-files.ts'
import { backupError } from './errors.ts'
import type { MissingBlob, PointDocument } from './point.ts'
import { readRestoreMark, removeRestoreMark, writeRestoreMark, type RestoreMark } from './restore-mark.ts'
import { checkTable, readTable } from './table-files.ts'
import type { BringBackTrail, RestoredTrail } from './trail.ts'

export interface RestoreDependencies {
  readonly target: MetadataTarget
  /** Locked by the caller: no server runs here. */
  readonly dataDir: string
  readonly clock: Clock
  readonly ids: IdSource
  /** Opens the store, making its folders: only when nothing stands against the restore. */
  readonly openBlobStore: () => Promise<BlobStore>
  /** The keys that are there; undefined: none. */
  readonly keyIds: ReadonlySet<string> | undefined
  /** True where the settings name a keyring: one from the backup is then not put in place. */
  readonly keyringIsConfigured: boolean
  readonly bringBackTrail: BringBackTrail
  /** Checks what was restored, before it may be served. Answers how many findings there are. */
  readonly verify: (blobStore: BlobStore) => Promise<number>
}

export interface RestoreOptions {
  readonly folder: string
  /** Default: the latest. */
  readonly point?: string | undefined
  /** Put an existing installation aside. */
  readonly replace: boolean
  /** Leave out secrets whose keys are gone. */
  readonly withoutKeys: boolean
  readonly bytesPerSecond?: number | undefined
  readonly signal: AbortSignal
  readonly onProgress?: (progress: RestoreProgress) => void
}

export interface RestoreProgress {
  readonly blobs: number
  readonly totalBlobs: number
  readonly copiedBytes: number
}

export interface RestoreReport {
  readonly point: PointDocument
  readonly copiedBlobs: number
  readonly copiedBytes: number
  /** Were there already, with the right bytes. */
  readonly presentBlobs: number
  /** Neither here nor in the backup. They are named by the metadata, and answered as missing until they are pushed again. */
  readonly missing: readonly MissingBlob[]
  /** The name of what was put aside. */
  readonly replaced: string | undefined
  /** What it had and this has not; undefined when it could not be read, or there was none. */
  readonly newerImages: readonly LostImage[] | undefined
  /** Files of the blob store that the metadata does not name: mostly pushed after the point. */
  readonly unnamedBlobs: { readonly count: number; readonly bytes: number; readonly keys: readonly string[] }
  /** Access keys left out because their secrets cannot be opened. */
  readonly droppedAccessKeys: readonly string[]
  /** Undefined: the point says nothing of a trail. */
  readonly trail: RestoredTrail | undefined
  readonly findings: number
  readonly durationMs: number
}

/** Pushed by a server whose clock was behind: images this much older than the point are looked at too. */
const clockMarginMs = 60 * 60 * 1000
/** Enough to look at; all of them are counted. */
const maxListedKeys = 10_000
const concurrency = 4

/**
 * Brings back one point: its metadata into the database that the settings name, and its blobs into the data folder.
 * Until it has ended the folder carries a mark and is not served; cut short, it is run again and goes on.
 *
 * Throws `backup-point-unknown`, `backup-newer`, `backup-broken`, `backup-folder-busy`, `restore-not-empty`,
 * `restore-keys-missing` and `restore-unfinished`, having changed nothing; `storage-full` and `storage-unavailable`.
 */
export async function restore(deps: RestoreDependencies, options: RestoreOptions): Promise<RestoreReport> {
  const started = performance.now()
  const folder = new BackupFolder(options.folder)
  const lock = await folder.lock().catch((error: unknown) => {
    throw isPlatformError(error) ? error : noPoints(folder)
  })
  try {
    const mark = await beginMark(deps, folder, options.point)
    const point = await choosePoint(folder, mark.point)
    const exchange = metadataExchange(deps.target, mark.id)
    await assertPossible(deps, options, folder, point, exchange, mark.isRepeated)

    await writeRestoreMark(deps.dataDir, { id: mark.id, folder: folder.path, point: point.id, beganAt: new Date(deps.clock.now()).toISOString() })
    if (point.includesKeyring) await bringBackKeys(deps, folder.pointDir(point.id))
    const blobStore = await deps.openBlobStore()
    try {
      const blobs = await bringBackBlobs(folder, point, blobStore, options)
      const droppedAccessKeys = await bringBackMetadata(deps, folder, point, exchange)
      const newerImages = await findNewerImages(deps, point, exchange)
      const unnamedBlobs = await findUnnamed(folder, point, blobStore)
      const trail = point.audit && (await deps.bringBackTrail(point.audit, await trailRecords(folder, point)))
      const findings = await deps.verify(blobStore)
      await removeRestoreMark(deps.dataDir)
      return {
        point,
        ...blobs,
        replaced: (await exchange.replaced()) === undefined ? undefined : exchange.replacedName,
        newerImages,
        unnamedBlobs,
        droppedAccessKeys,
        trail,
        findings,
        durationMs: performance.now() - started,
      }
    } finally {
      await blobStore.close()
    }
  } finally {
    lock.release()
  }
}

async function trailRecords(folder: BackupFolder, { id, audit }: PointDocument): Promise<AsyncIterable<RawRow[]> | undefined> {
  return audit?.records && (await readTable(folder.pointDir(id), audit.records)).batches
}

interface BegunMark extends Pick<RestoreMark, 'id'> {
  readonly point: string | undefined
  readonly isRepeated: boolean
}

/** A restore that was cut short goes on under its own id. Another point may be chosen then, too. */
async function beginMark({ dataDir, ids }: RestoreDependencies, folder: BackupFolder, wanted: string | undefined): Promise<BegunMark> {
  const earlier = await readRestoreMark(dataDir)
  if (earlier === undefined) return { id: ids.uuid().slice(0, 8), point: wanted, isRepeated: false }
  return { id: earlier.id, point: wanted ?? (earlier.folder === folder.path ? earlier.point : undefined), isRepeated: true }
}

function noPoints(folder: BackupFolder): Error {
  return backupError('backup-point-unknown', `there is no backup in ${folder.path}`)
}

async function choosePoint(folder: BackupFolder, wanted: string | undefined): Promise<PointDocument> {
  const ids = await folder.pointIds()
  let found: Awaited<ReturnType<BackupFolder['readPoint']>>
  if (wanted === undefined) {
    for (const id of ids.reverse()) if ((found = await folder.readPoint(id)) !== undefined) break
    if (found === undefined) throw noPoints(folder)
  } else {
    found = ids.includes(wanted) ? await folder.readPoint(wanted) : undefined
    if (found === undefined) throw backupError('backup-point-unknown', `${folder.path} has no point ${wanted}: see stowage backup ${folder.path} --list`)
  }
  if (!('tables' in found)) throw newerPoint(found.id, `format ${found.format}`)
  const unknown = unknownMigrations(found.migrations)
  if (unknown.length > 0) throw newerPoint(found.id, unknown.join(', '))
  return found
}

function newerPoint(id: string, what: string): Error {
  return backupError('backup-newer', `the point ${id} was written by a newer Stowage (it has ${what}): restore it with that version or a later one`)
}

/** Everything that can be known to go wrong is found here, before anything is touched. */
async function assertPossible(
  deps: RestoreDependencies,
  options: RestoreOptions,
  folder: BackupFolder,
  point: PointDocument,
  exchange: MetadataExchange,
  isRepeated: boolean,
): Promise<void> {
  const state = await exchange.look()
  const where = 'file' in deps.target ? `the data folder ${deps.dataDir}` : 'the database'
  if (state === 'foreign') throw backupError('restore-not-empty', `${where} holds tables that are not Stowage's: give it a database of its own`)
  if (state === 'installation' && !options.replace && !isRepeated) {
    throw backupError('restore-not-empty', `${where} holds an installation already: restore elsewhere, or say --replace to put it aside`)
  }
  const available = deps.keyIds ?? (point.includesKeyring && !deps.keyringIsConfigured ? new Set(point.keyIds) : new Set<string>())
  const absent = point.keyIds.filter((id) => !available.has(id))
  if (absent.length > 0 && !options.withoutKeys) {
    throw backupError(
      'restore-keys-missing',
      `secrets in this backup were sealed with the key${absent.length > 1 ? 's' : ''} ${absent.join(', ')}, which ${deps.keyIds === undefined ? 'no keyring is there to hold' : 'the keyring that is there does not hold'}.\n` +
        `  Put the installation's keyring into ${defaultKeyringPath(deps.dataDir)}, or set STOWAGE_KEYRING to where it is.\n` +
        `  If it is lost, say --without-keyring: the access keys that it sealed are then left out, and the root access key is made anew.`,
      { detail: { keyIds: absent } },
    )
  }
  for (const table of [...point.tables, point.blobs, ...(point.audit?.records === undefined ? [] : [point.audit.records])]) await checkTable(folder.pointDir(point.id), table)
}

/** Never over something that is there. */
async function bringBackKeys(deps: RestoreDependencies, pointDir: string): Promise<void> {
  const files: [string, string][] = [[join(pointDir, 'root-credentials.json'), rootCredentialPath(deps.dataDir)]]
  if (!deps.keyringIsConfigured) files.push([join(pointDir, 'keyring.json'), defaultKeyringPath(deps.dataDir)])
  for (const [from, to] of files) {
    if ((await isThere(to)) || !(await isThere(from))) continue
    const dir = join(to, '..')
    await mkdir(dir, { recursive: true, mode: folderMode })
    await copyFile(from, to)
    await flushFolder(dir)
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

async function bringBackBlobs(
  folder: BackupFolder,
  point: PointDocument,
  blobStore: BlobStore,
  options: RestoreOptions,
): Promise<Pick<RestoreReport, 'copiedBlobs' | 'copiedBytes' | 'presentBlobs' | 'missing'>> {
  const { signal } = options
  const pace = new Pace(options.bytesPerSecond)
  const result = { copiedBlobs: 0, copiedBytes: 0, presentBlobs: 0, missing: [] as MissingBlob[] }
  let blobs = 0
  const tell = (): void => options.onProgress?.({ blobs, totalBlobs: point.blobs.rows, copiedBytes: result.copiedBytes })
  const copy = async function* (blob: NamedBlob): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of createReadStream(folder.copyPath(blob), { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>) {
      const startedAtMs = performance.now()
      await pace.wait(signal)
      yield chunk
      pace.count(chunk.length, startedAtMs)
      result.copiedBytes += chunk.length
      tell()
    }
  }
  await inParallel(folder.blobsOf(point), concurrency, async (blob) => {
    signal.throwIfAborted()
    if (await isPresent(blobStore, blob, signal)) {
      result.presentBlobs += 1
    } else if (!(await folder.hasCopy(blob))) {
      result.missing.push({ digest: blob.digest, sizeBytes: blob.sizeBytes, key: blob.key, reason: 'missing' })
    } else {
      try {
        await blobStore.putBack(blob.key, blob.sizeBytes, copy(blob))
        result.copiedBlobs += 1
      } catch (error) {
        if (!isPlatformError(error, 'blob-corrupt')) throw error
        result.missing.push({ digest: blob.digest, sizeBytes: blob.sizeBytes, key: blob.key, reason: 'damaged' })
      }
    }
    blobs += 1
    tell()
  })
  return result
}

/** Its size alone would not do: what is there may be why there is a restore. Reading costs less than copying. */
async function isPresent(blobStore: BlobStore, blob: NamedBlob, signal: AbortSignal): Promise<boolean> {
  if ((await blobStore.blobSize(blob.key)) !== blob.sizeBytes) return false
  try {
    const { digest } = await blobStore.hashBlob(blob.key, blob.sizeBytes, digestAlgorithm(blob.digest), { signal })
    return digest === blob.digest
  } catch (error) {
    signal.throwIfAborted()
    if (isPlatformError(error, 'blob-missing') || isPlatformError(error, 'storage-unavailable')) return false
    throw error
  }
}

/** Answers the ids of access keys that were left out. */
async function bringBackMetadata(
  deps: RestoreDependencies,
  folder: BackupFolder,
  point: PointDocument,
  exchange: MetadataExchange,
): Promise<string[]> {
  const dir = folder.pointDir(point.id)
  const available = deps.keyIds ?? new Set(deps.keyringIsConfigured || !point.includesKeyring ? [] : point.keyIds)
  const dropped: string[] = []
  const files = new Map(point.tables.map((table) => [table.name, table]))
  await loadMetadata(await exchange.prepare(), {
    migrations: point.migrations,
    givenIds: point.givenIds,
    tables: point.tables.map(({ name }) => name),
    rows: async (name) => {
      const file = files.get(name)
      if (file === undefined) throw new Error(`the point has no table ${name}`)
      const table = await readTable(dir, file)
      if (name === 'setting') return { ...table, batches: withRestoredMark(table, `the backup of ${point.takenAt}`) }
      if (name === 'access_key') return { ...table, batches: withKnownKeys(table, available, dropped) }
      // Temporary credentials are left out too, and not told of: whoever had them asks for others.
      return name === 'sts_session' ? { ...table, batches: withKnownKeys(table, available, []) } : table
    },
  })
  await exchange.install()
  return dropped
}

/** The server that starts on it learns where it comes from, and removes nothing by itself until somebody has looked. */
async function* withRestoredMark(
  { columns, batches }: { columns: readonly string[]; batches: AsyncIterable<readonly RawRow[]> },
  origin: string,
): AsyncGenerator<RawRow[], void, undefined> {
  const nameAt = columns.indexOf('name')
  for await (const batch of batches) yield batch.filter((row) => row[nameAt] !== restoredMark)
  yield [columns.map((column) => (column === 'name' ? restoredMark : origin))]
}

async function* withKnownKeys(
  { columns, batches }: { columns: readonly string[]; batches: AsyncIterable<readonly RawRow[]> },
  available: ReadonlySet<string>,
  dropped: string[],
): AsyncGenerator<RawRow[], void, undefined> {
  const idAt = columns.indexOf('access_key_id')
  const secretAt = columns.indexOf('secret_sealed')
  for await (const batch of batches) {
    yield batch.filter((row) => {
      const keyId = sealingKeyId(String(row[secretAt]))
      if (keyId !== undefined && available.has(keyId)) return true
      dropped.push(String(row[idAt]))
      return false
    })
  }
}

async function findNewerImages(deps: RestoreDependencies, point: PointDocument, exchange: MetadataExchange): Promise<LostImage[] | undefined> {
  const old = await exchange.replaced()
  if (old === undefined) return undefined
  try {
    return await lostImages(old, deps.target, Date.parse(point.takenAt) - clockMarginMs)
  } catch {
    // It may be the very database that had to be replaced; the report says that it could not be read.
    return undefined
  }
}

/**
 * Both lists are sorted by key as far as the digest, in use and archived blobs for themselves; a generation more or less does not
 * matter then.
 */
async function findUnnamed(folder: BackupFolder, point: PointDocument, blobStore: BlobStore): Promise<RestoreReport['unnamedBlobs']> {
  const found = { count: 0, bytes: 0, keys: [] as string[] }
  const named = { active: folder.blobsOf(point), archived: folder.blobsOf(point) }
  const next = { active: await named.active.next(), archived: await named.archived.next() }
  for await (const { key, sizeBytes } of blobStore.list()) {
    const tier = isArchiveKey(key) ? 'archived' : 'active'
    const isBefore = ({ key: other }: NamedBlob): boolean => isArchiveKey(other) !== isArchiveKey(key) || nameOf(other) < nameOf(key)
    for (let at = next[tier]; at.done !== true && isBefore(at.value); at = next[tier]) next[tier] = await named[tier].next()
    const at = next[tier]
    if (at.done !== true && at.value.key === key) continue
    found.count += 1
    found.bytes += sizeBytes
    if (found.keys.length < maxListedKeys) found.keys.push(key)
  }
  return found
}

/** Up to the digest. */
function nameOf(key: string): string {
  return key.slice(0, key.indexOf('.', key.lastIndexOf('/')))
}

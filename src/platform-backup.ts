import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { goesOnFrom, putTrailBack, trailBounds, trailRows } from './audit/index.ts'
import { backUp, BackupFolder, restore, type BackUpOptions, type BackUpReport, type PointDocument, type RestoreDependencies, type RestoredTrail, type RestoreOptions, type RestoreReport, type TrailEnd, type TrailToBackUp } from './backup/index.ts'
import { assertNotHalfRestored } from './backup/restore-mark.ts'
import { archiveFolder, type Config } from './config/index.ts'
import { defaultKeyringPath, iamSetupError, keyringIds, parseKeyring, readKeyringFile, serializeKeyring } from './iam/index.ts'
import { findingCount, forgetState, repairIn, verify, type Finding } from './integrity/index.ts'
import { BytesInFlight } from './internal/bytes-in-flight.ts'
import { systemClock } from './internal/clock.ts'
import { systemIds } from './internal/ids.ts'
import { metadataTarget, reachable } from './platform.ts'
import { systemContext } from './platform-verify.ts'
import { openBlobStores, type BlobStore, type TieredBlobStore } from './storage/blobs/index.ts'
import { storageError } from './storage/errors.ts'
import { lockDataFolder } from './storage/metadata/folder-lock.ts'
import type { MetadataTarget } from './storage/metadata/migrate.ts'
import { isObserveStoreThere, observeTarget, openObserveStore, prepareObserveStore, type ObserveStore } from './storage/metadata/observe/store.ts'
import { openMetadata } from './storage/metadata/open.ts'

export interface BackUpInstallationOptions extends Omit<BackUpOptions, 'keyring'> {
  readonly includeKeyring: boolean
  readonly version: string
}

/**
 * Backs up the installation that the settings name, beside its server or without one.
 *
 * Throws `database-unavailable`, and what `backUp` throws.
 */
export async function backUpInstallation(config: Config, options: BackUpInstallationOptions): Promise<BackUpReport> {
  const { dataDir } = config
  const { includeKeyring, version, ...rest } = options
  const target = metadataTarget(config)
  await assertNotHalfRestored(dataDir)
  if ('file' in target ? !existsSync(target.file) : !existsSync(dataDir)) {
    throw storageError('storage-unavailable', `there is no installation in ${dataDir}: set STOWAGE_DATA_DIR to the server's data folder`)
  }
  const keyring = includeKeyring ? await keyringText(config) : undefined
  const opened: ObserveStore[] = []
  const blobStore = await openStores(config)
  try {
    const run = (): Promise<BackUpReport> =>
      backUp({ target, dataDir, blobStore, clock: systemClock, ids: systemIds, version, trail: () => openTrail(config, target, opened) }, { ...rest, folder: resolve(options.folder), keyring })
    return await ('file' in target ? run() : reachable(target.url, run))
  } finally {
    for (const store of opened) await store.close()
    await blobStore.close()
  }
}

async function openTrail({ dataDir }: Config, metadata: MetadataTarget, opened: ObserveStore[]): Promise<TrailToBackUp | undefined> {
  const target = observeTarget(dataDir, metadata)
  if (!(await isObserveStoreThere(target))) return undefined
  const store = openObserveStore(target, { connections: 1, readOnly: true })
  opened.push(store)
  const end = await trailBounds(store.reader)
  return { end, rows: () => trailRows(store.reader, end) }
}

/** What is there already stays, unless it is a beginning of what the backup has. */
async function bringBackTrail({ dataDir }: Config, metadata: MetadataTarget, end: TrailEnd, rows: Parameters<RestoreDependencies['bringBackTrail']>[1]): Promise<RestoredTrail> {
  const target = observeTarget(dataDir, metadata)
  const isThere = await isObserveStoreThere(target)
  if (!isThere && rows === undefined) return { kind: 'anew' }
  await prepareObserveStore(target)
  const store = openObserveStore(target, { connections: 1, readOnly: false })
  try {
    const records = rows === undefined ? undefined : await putTrailBack(store, end, rows)
    if (records !== undefined) return { kind: 'put-back', records }
    return (await trailBounds(store.reader)).record === 0 ? { kind: 'anew' } : { kind: 'kept', goesOn: await goesOnFrom(store.reader, end) }
  } finally {
    await store.close()
  }
}

/** The points of a backup folder, the oldest first; those of a newer program by their ids only. */
export async function listBackups(folder: string): Promise<(PointDocument | { readonly format: number; readonly id: string })[]> {
  return new BackupFolder(resolve(folder)).points()
}

export interface RestoreInstallationOptions extends RestoreOptions {
  readonly onFinding: (finding: Finding) => void
}

/**
 * Restores a backup to where the settings say. Throws `data-dir-in-use`, `database-unavailable`, and what `restore` throws.
 */
export async function restoreInstallation(config: Config, options: RestoreInstallationOptions): Promise<RestoreReport> {
  const { dataDir } = config
  const target = metadataTarget(config)
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const lock = lockDataFolder(dataDir)
  try {
    const deps = {
      target,
      dataDir,
      clock: systemClock,
      ids: systemIds,
      openBlobStore: () => openStores(config),
      keyIds: await keyringIds({ dataDir, keyring: config.keyring }),
      keyringIsConfigured: (config.keyring?.trim() ?? '') !== '',
      bringBackTrail: (end: TrailEnd, rows: Parameters<RestoreDependencies['bringBackTrail']>[1]) => bringBackTrail(config, target, end, rows),
      verify: (blobStore: BlobStore) => verifyRestored(config, blobStore, options),
    }
    const run = (): Promise<RestoreReport> => restore(deps, { ...options, folder: resolve(options.folder) })
    return await ('file' in target ? run() : reachable(target.url, run))
  } finally {
    lock.release()
  }
}

/** Everything but the bytes: those were hashed as they were copied, or found in place. What is missing is marked as such. */
async function verifyRestored(config: Config, blobStore: BlobStore, options: RestoreInstallationOptions): Promise<number> {
  await forgetState(config.dataDir)
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => undefined)
  const database = await openMetadata(metadataTarget(config), {
    catalogueUrl: new URL('./commands.ts', import.meta.url).href,
    onFatal: failed.reject,
    onConnectionLost: () => undefined,
  })
  try {
    const context = await systemContext(config, database, 'stowage restore')
    const walk = verify(
      { database, blobStore, clock: systemClock, repair: repairIn(database, () => context) },
      { hash: { afterLocationId: Number.MAX_SAFE_INTEGER }, signal: options.signal, onFinding: options.onFinding },
    )
    const { counts, isComplete } = await Promise.race([walk, failed.promise])
    if (!isComplete) options.signal.throwIfAborted()
    return findingCount(counts)
  } finally {
    await database.close()
  }
}

function openStores(config: Config): Promise<TieredBlobStore> {
  return openBlobStores({ dataDir: config.dataDir, archiveDir: archiveFolder(config) }, new BytesInFlight())
}

async function keyringText({ dataDir, keyring }: Config): Promise<string> {
  const setting = keyring?.trim() ?? ''
  const path = setting === '' ? defaultKeyringPath(dataDir) : setting
  const text = setting.startsWith('{') ? setting : await readKeyringFile(path)
  if (text === undefined) throw iamSetupError('keyring-missing', `There is no keyring in ${path} to include: leave out --include-keyring, or set STOWAGE_KEYRING.`, { path })
  return serializeKeyring(parseKeyring(text, path))
}

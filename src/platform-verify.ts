import { existsSync } from 'node:fs'
import { archiveFolder, type Config } from './config/index.ts'
import {
  afterRound,
  coverageOfScrub,
  nextRound,
  readState,
  remedies,
  repairIn,
  verify,
  writeState,
  type Finding,
  type Repair,
  type RoundState,
  type VerifyProgress,
  type VerifyReport,
} from './integrity/index.ts'
import { BytesInFlight } from './internal/bytes-in-flight.ts'
import { systemClock } from './internal/clock.ts'
import { systemIds } from './internal/ids.ts'
import { isPlatformError } from './internal/platform-error.ts'
import { metadataTarget, planMigration, reachable } from './platform.ts'
import { emptyRegistryId } from './registry/commands/registries.ts'
import { systemActorArn } from './registry/index.ts'
import { openBlobStores, type BlobStore } from './storage/blobs/index.ts'
import { storageError } from './storage/errors.ts'
import type { CommandContext } from './storage/metadata/command.ts'
import type { MetadataDatabase } from './storage/metadata/database.ts'
import { lockDataFolder } from './storage/metadata/folder-lock.ts'
import type { MetadataTarget } from './storage/metadata/migrate.ts'
import { requireOwnForm } from './storage/metadata/migration-plan.ts'
import { observeTarget, openObserveStore } from './storage/metadata/observe/store.ts'
import { openMetadata, openMetadataReader } from './storage/metadata/open.ts'
import type { Session } from './storage/metadata/session.ts'
import type { MetadataReader } from './storage/metadata/reader.ts'
import { findRegistryId } from './storage/metadata/stores/repository-store.ts'

export interface VerifyInstallationOptions {
  /** Blobs whose bytes were read longer ago are read again; 0: all are. */
  readonly maxAgeMs: number
  readonly restart: boolean
  readonly bytesPerSecond: number | undefined
  readonly signal: AbortSignal
  /** Told before anything is checked. */
  readonly onStart: (start: VerifyStart) => void
  readonly onFinding: (finding: Finding) => void
  readonly onProgress: (progress: VerifyProgress) => void
}

export interface VerifyStart {
  /** When the interrupted round began that is gone on with. */
  readonly resumedFromMs: number | undefined
  readonly readsEverything: boolean
  /** Of the blobs that are not read again. */
  readonly readSinceMs: number
}

export interface InstallationReport extends VerifyReport {
  /** A server held the data folder when something was to be taken out of service: only it can do so. */
  readonly isLeftToServer: boolean
}

/** How much of a run a kill may cost. */
const saveIntervalMs = 1000

/**
 * Checks the installation that the settings name, whether or not a server runs on it. It reads beside a server, and
 * changes something only where that is safe: on PostgreSQL, and on SQLite while no server holds the data folder.
 *
 * Throws `database-newer`, `database-unavailable`, `storage-unavailable`.
 */
export async function verifyInstallation(config: Config, options: VerifyInstallationOptions): Promise<InstallationReport> {
  const { dataDir } = config
  const target = metadataTarget(config)
  if ('file' in target && !existsSync(target.file)) {
    throw storageError('storage-unavailable', `there is no database ${target.file}: set STOWAGE_DATA_DIR to the server's data folder`)
  }
  requireOwnForm(await planMigration(config))
  const reader = await openReader(target)
  try {
    const blobStore = await openBlobStores({ dataDir, archiveDir: archiveFolder(config) }, new BytesInFlight())
    try {
      const mender = newMender(config, target)
      const report = await runRound(config, options, { reader, repair: mender.repair, blobStore })
      return { ...report, isLeftToServer: mender.isLeftToServer() }
    } finally {
      await blobStore.close()
    }
  } finally {
    await reader.close()
  }
}

function openReader(target: MetadataTarget): Promise<MetadataReader> {
  const open = async (): Promise<MetadataReader> => {
    const opened = await openMetadataReader(target, { onConnectionLost: () => undefined })
    await opened.reader.query(opened.reader.builder.selectFrom('setting').select('name').limit(0))
    return opened
  }
  return 'file' in target ? open() : reachable(target.url, open)
}

async function runRound(
  config: Config,
  options: VerifyInstallationOptions,
  { reader, repair, blobStore }: { reader: MetadataReader; repair: Repair; blobStore: BlobStore },
): Promise<VerifyReport> {
  const { dataDir } = config
  const kept = await readState(dataDir)
  const nowMs = systemClock.now()
  const { maxAgeMs, restart, bytesPerSecond, signal } = options
  const alsoCovered = await coverageOfScrub(reader.reader)
  const round = nextRound(kept, { nowMs, maxAgeMs, restart, alsoCovered })
  options.onStart({
    resumedFromMs: round === kept.round ? round.startedAtMs : undefined,
    readsEverything: round.hashAfterLocationId === 0,
    readSinceMs: round.readSinceMs,
  })

  const keep = async (state: RoundState): Promise<void> => writeState(dataDir, state)
  let saving: Promise<void> = keep({ ...kept, round })
  let savedAtMs = 0
  const onProgress = (progress: VerifyProgress): void => {
    options.onProgress(progress)
    if (performance.now() - savedAtMs < saveIntervalMs) return
    savedAtMs = performance.now()
    saving = saving.then(() => keep({ ...kept, round: { ...round, progress } }))
    saving.catch(() => undefined)
  }

  const fileFindings = await checkDatabaseFile(reader, round.hashAfterLocationId === 0)
  for (const finding of fileFindings) options.onFinding(finding)
  const report = await verify(
    { database: reader, blobStore, clock: systemClock, repair },
    {
      hash: { afterLocationId: round.hashAfterLocationId },
      bytesPerSecond,
      signal,
      resume: round.progress,
      onFinding: options.onFinding,
      onProgress,
    },
  )
  await saving
  const { position, counts } = report
  const progress = { position, counts }
  await keep(report.isComplete ? afterRound(round, report) : { ...kept, round: { ...round, progress } })
  if (fileFindings.length === 0) return report
  return { ...report, counts: { ...counts, findings: { ...counts.findings, 'database-corrupt': fileFindings.length } } }
}

async function checkDatabaseFile(reader: MetadataReader, thoroughly: boolean): Promise<Finding[]> {
  const problems = await reader.checkFile(thoroughly ? 'indexes' : 'pages')
  return problems.map((detail) => ({ kind: 'database-corrupt', detail, remedy: remedies['database-corrupt'] }))
}

/** Takes bad blobs out of service where nobody else writes to the database, or where any number may. */
function newMender(config: Config, target: MetadataTarget): { repair: Repair; isLeftToServer(): boolean } {
  let isLeftToServer = false
  const repairing = async (work: (repair: Repair) => Promise<boolean>): Promise<boolean> => {
    try {
      return await withDatabase(config, target, async (database) => {
        const context = await systemContext(config, database)
        return work(repairIn(database, () => context))
      })
    } catch (error) {
      if (!isPlatformError(error, 'data-dir-in-use')) throw error
      isLeftToServer = true
      return false
    }
  }
  return {
    repair: {
      quarantine: (location, reason) => repairing((repair) => repair.quarantine(location, reason)),
      reinstate: (location, checksums) => repairing((repair) => repair.reinstate(location, checksums)),
      recount: (repositoryId) => repairing((repair) => repair.recount(repositoryId)),
    },
    isLeftToServer: () => isLeftToServer,
  }
}

/**
 * Opens the database for one change. On SQLite there may be one writer: the folder is held for this moment only, so that
 * a server can be started while a long check runs. Throws `data-dir-in-use`.
 */
async function withDatabase<Result>(
  { dataDir }: Config,
  target: MetadataTarget,
  work: (database: MetadataDatabase) => Promise<Result>,
): Promise<Result> {
  const lock = 'file' in target ? lockDataFolder(dataDir) : undefined
  try {
    const failed = Promise.withResolvers<never>()
    failed.promise.catch(() => undefined)
    const database = await openMetadata(target, {
      catalogueUrl: new URL('./commands.ts', import.meta.url).href,
      onFatal: failed.reject,
      onConnectionLost: () => undefined,
    })
    try {
      return await Promise.race([work(database), failed.promise])
    } finally {
      await database.close()
    }
  } finally {
    lock?.release()
  }
}

/** Who changes something on behalf of a command of this program. */
export async function systemContext({ accountId, region }: Config, { reader }: MetadataDatabase, userAgent = 'stowage verify'): Promise<CommandContext> {
  return {
    nowMs: systemClock.now(),
    actorArn: systemActorArn,
    // Blobs belong to no registry: what is done about them is recorded in the installation's own.
    registryId: (await findRegistryId(reader, accountId, region)) ?? emptyRegistryId,
    accountId,
    region,
    requestId: systemIds.uuid(),
    sourceIp: '',
    userAgent,
    protocol: 'system',
  }
}

/** Reads the store of the audit trail, whether or not a server runs. Throws `database-newer`, `storage-unavailable`. */
export async function withAuditStore<Result>(config: Config, read: (session: Session) => Promise<Result>): Promise<Result> {
  const target = observeTarget(config.dataDir, metadataTarget(config))
  if ('file' in target && !existsSync(target.file)) {
    throw storageError('storage-unavailable', `there is no audit trail in ${config.dataDir}: a server of this version makes it at its start`)
  }
  const store = openObserveStore(target, { connections: 1, readOnly: true })
  try {
    return await ('url' in target ? reachable(target.url, () => read(store.reader)) : read(store.reader))
  } finally {
    await store.close()
  }
}

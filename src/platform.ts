import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { segmentsLeftBehind } from './audit/index.ts'
import { assertNotHalfRestored } from './backup/restore-mark.ts'
import { archiveFolder, configError, createRootCredentialFile, mayUsePrivateHost, ratesOfSource, readRootCredentialFile, type Config } from './config/index.ts'
import { Admission } from './http/admission.ts'
import { UnsignedAdmission } from './http/unsigned-admission.ts'
import { createAwsHandler } from './http/aws/dispatch.ts'
import { createCloudTrailService } from './http/aws/services/cloudtrail/index.ts'
import { createEcrService } from './http/aws/services/ecr/index.ts'
import { createMonitoringServices } from './http/aws/services/monitoring/index.ts'
import { createEventsService } from './http/aws/services/events/index.ts'
import { createIamService } from './http/aws/services/iam/index.ts'
import { createLogsService } from './http/aws/services/logs/index.ts'
import { createStowageService } from './http/aws/services/stowage/index.ts'
import { createStsService } from './http/aws/services/sts/index.ts'
import { createDistributionHandler, createLayerDownloadHandler, ListPositions } from './http/distribution/index.ts'
import type { EdgeHandler } from './http/request-meta.ts'
import type { RequestAudit } from './http/server.ts'
import {
  AccessKeyClock,
  AccessKeys,
  Accounts,
  Authorizer,
  createIssuerFetch,
  createIamDirectory,
  CredentialThrottle,
  EcrTokenReader,
  IamGeneration,
  installRootCredential,
  IssuerKeys,
  openKeyring,
  removeEndedSessions,
  RequestRateLimit,
  requireLiveKey,
  rootPrincipal,
  SecurityTokens,
  verifyLayerUrl,
  type Keyring,
} from './iam/index.ts'
import { Scrub, type ScrubDependencies } from './integrity/index.ts'
import { BytesInFlight } from './internal/bytes-in-flight.ts'
import type { Clock } from './internal/clock.ts'
import { FairShare } from './internal/fair-share.ts'
import type { IdSource } from './internal/ids.ts'
import { ownVersion } from './internal/own-version.ts'
import { isPlatformError, PlatformError } from './internal/platform-error.ts'
import type { RequestTracer } from './internal/tracing.ts'
import { MetricSet } from './metrics/index.ts'
import { startAlarms, startAudit, startWatch } from './platform-audit.ts'
import { startEvents } from './platform-events.ts'
import { startLogs } from './platform-logs.ts'
import { endOfLife, startArchivist } from './platform-lifecycle.ts'
import { startTracing } from './platform-tracing.ts'
import { addInstallationMetrics, addProcessMetrics, addScrubMetrics, platformMetrics, withCommandMetrics, withPushMetrics } from './platform-metrics.ts'
import { emptyRegistryId, ensureRegistry } from './registry/commands/registries.ts'
import { RegistryDirectory } from './registry/directory.ts'
import { createRegistry, systemActorArn, type RegistryRef, type RequestContext } from './registry/index.ts'
import { DamageWatch } from './registry/damage.ts'
import { ClientKinds } from './registry/client-kinds.ts'
import { PullClock } from './registry/pull-clock.ts'
import { createProtections } from './registry/protection/protections.ts'
import { createQuotaOperations } from './registry/quota-operations.ts'
import { createUsageSources } from './registry/usage/usage-sources.ts'
import { releaseWriters } from './registry/commands/uploads.ts'
import { UploadTurns } from './registry/upload-turns.ts'
import { expireUploads } from './registry/uploads.ts'
import { claimArchiveFolder, endAllMoves } from './archive/index.ts'
import { openBlobStores } from './storage/blobs/index.ts'
import { storageError } from './storage/errors.ts'
import type { CommandContext } from './storage/metadata/command.ts'
import type { DatabaseCounters } from './storage/metadata/database.ts'
import { fairDatabase } from './storage/metadata/fair-database.ts'
import { lockDataFolder, shareDataFolder } from './storage/metadata/folder-lock.ts'
import { migrateMetadata, type MetadataTarget, type MigrationReport } from './storage/metadata/migrate.ts'
import { planMigrations, refuseNewerDatabase, type MigrationPlan } from './storage/metadata/migration-plan.ts'
import { metadataFile, openMetadata } from './storage/metadata/open.ts'
import { holdsAccessKeys } from './storage/metadata/stores/access-key-store.ts'
import { holdsLocations, isKeyLocated } from './storage/metadata/stores/blob-index.ts'
import { isOpenUpload } from './storage/metadata/stores/upload-store.ts'
import type { AccountId, Region } from './values/index.ts'

export type { MigrationPlan, PendingMigration } from './storage/metadata/migration-plan.ts'

export interface PlatformOptions {
  readonly logger: Logger
  readonly clock: Clock
  readonly ids: IdSource
  /** Told when the metadata can no longer be written safely: the process must stop. */
  readonly onFatal: (error: Error) => void
}

/** Everything the server is made of, running. */
export interface Platform {
  readonly distribution: EdgeHandler
  readonly layerDownload: EdgeHandler
  readonly aws: EdgeHandler
  ready(): Promise<{ readonly ok: boolean; readonly reason?: string }>
  /** Where requests are traced. */
  readonly tracer: RequestTracer | undefined
  /** Where requests are written down for the audit trail. */
  readonly audit: RequestAudit | undefined
  /** For those of the listener. */
  readonly metrics: MetricSet
  /** In Prometheus' text format. */
  metricsText(): Promise<string>
  readonly rootCredential: {
    readonly accessKeyId: string
    readonly source: 'generated' | 'file' | 'environment'
    readonly file?: string
    readonly createdNow: boolean
  }
  /** What the database was asked so far, and the bytes all transfers hold: for metrics and tests. */
  readonly counters: { readonly database: Readonly<DatabaseCounters>; readonly bytesInFlight: BytesInFlight }
  /** Finishes background work and lets go of everything; requests must have ended. */
  stop(): Promise<void>
}

/** How often upload sessions that nobody wrote to, and temporary credentials that have ended, are looked for. */
const expiryIntervalMs = 60_000

/*
 * What several busy accounts share. Each has an equal part of these as long as others want some; an account that is
 * alone has no such limits.
 */

/** Requests under way. What half of them hold of PostgreSQL's connections leaves some for the other half. */
const requestsOfAccounts = 16
/** Requests that an account begins before what arrived from others is looked at. With one, looking costs 2 % of its requests. */
const requestsPerTurn = 1
/** Chunks of downloads, from the disk to the client's connection: with two accounts each keeps two on their way. */
const chunksOfAccounts = 4
/** A client that takes longer over a chunk is slow itself, and keeps no other of its account waiting. */
const longestChunkMs = 5
/** Commands under way: what one account wants next shares the next commit with the other's, and half a commit is soon done. */
const commandsOfAccounts = 16
/** Commands under way on PostgreSQL, each of which holds one of as many connections. */
const postgresCommandsOfAccounts = 8
/** Blobs being flushed. It blocks a thread, of libuv's four, that other accounts need to open and write files. */
const publicationsOfAccounts = 2

/** Where the settings say that the metadata is. */
export function metadataTarget(config: Config): MetadataTarget {
  return config.databaseUrl === undefined ? { file: metadataFile(config.dataDir) } : { url: config.databaseUrl }
}

/** Brings the database to this program's form. Throws `database-newer` before anything is touched. */
export async function migrateDatabase(config: Config): Promise<MigrationReport> {
  const target = metadataTarget(config)
  await assertNotHalfRestored(config.dataDir)
  await refuseNewer(target)
  if (!('file' in target)) return reachable(target.url, () => migrateMetadata(target, { check: false }))
  const lock = lockDataFolder(config.dataDir)
  try {
    return await migrateMetadata(target, { check: false })
  } finally {
    lock.release()
  }
}

/** What `migrateDatabase` would do. Changes nothing, and works beside a running server. Throws `database-newer`. */
export async function planMigration(config: Config): Promise<MigrationPlan> {
  const target = metadataTarget(config)
  return 'file' in target ? planMigrations(target) : reachable(target.url, () => planMigrations(target))
}

/** For commands that change something beside the database: throws `database-newer` where a newer Stowage is in charge. */
export async function refuseNewerInstallation(config: Config): Promise<void> {
  await refuseNewer(metadataTarget(config))
}

async function refuseNewer(target: MetadataTarget): Promise<void> {
  if ('file' in target) await refuseNewerDatabase(target)
  else await reachable(target.url, () => refuseNewerDatabase(target))
}

/**
 * Builds the platform and recovers what a crash left. Throws `database-newer` before anything is touched, `data-dir-in-use`, `database-unavailable`, `storage-unavailable`, or one of
 * the keyring's and the credential file's errors, each with what to do.
 */
export async function buildPlatform(config: Config, options: PlatformOptions): Promise<Platform> {
  const releases: (() => Promise<void> | void)[] = []
  const stop = async (): Promise<void> => {
    for (const release of releases.splice(0).reverse()) await release()
  }
  try {
    return await build(config, options, releases, stop)
  } catch (error) {
    await stop()
    throw error
  }
}

async function build(
  config: Config,
  { logger, clock, ids, onFatal }: PlatformOptions,
  releases: (() => Promise<void> | void)[],
  stop: () => Promise<void>,
): Promise<Platform> {
  const { dataDir, accountId, region } = config
  const target = metadataTarget(config)
  await refuseNewer(target)
  const tracing = await startTracing(config, { version: ownVersion(), logger, ids })
  releases.push(() => tracing?.stop())
  // On PostgreSQL several processes may share the folder: what one finds at its start may be another's work.
  const folder = 'file' in target ? { isAlone: true, share: () => undefined, ...lockDataFolder(dataDir) } : shareDataFolder(dataDir)
  releases.push(() => {
    folder.release()
  })
  await assertNotHalfRestored(dataDir)

  const openKeys = (requireExisting: boolean): Promise<Keyring> =>
    openKeyring({ dataDir, keyring: config.keyring, requireExisting, clock, ids })
  // Servers that share a database share a keyring: without one, nothing is done to the database either.
  let sharedKeyring: Keyring | undefined
  if (!('file' in target)) {
    sharedKeyring = await openKeys(true)
  }
  const { applied } = await migrateMetadata(target, { check: false })
  if (applied.length > 0) logger.info({ migrations: applied }, 'database migrated')

  const opened = await openMetadata(target, {
    catalogueUrl: new URL('./commands.ts', import.meta.url).href,
    ids,
    onFatal,
    onConnectionLost: (error) => {
      logger.warn({ err: error }, 'idle database connection lost')
    },
  })
  releases.push(() => opened.close())
  const bytesInFlight = new BytesInFlight()
  const metrics = platformMetrics(new MetricSet(), ownVersion(), opened, bytesInFlight)
  releases.push(addProcessMetrics(metrics))
  const measured = withCommandMetrics(metrics, fairDatabase(opened, new FairShare({ limit: 'file' in target ? commandsOfAccounts : postgresCommandsOfAccounts, perTurn: Number.POSITIVE_INFINITY })))
  const database = tracing === undefined ? measured : tracing.tracedDatabase(measured)
  addInstallationMetrics(metrics, database, clock)
  // One made up now could not open what an earlier one has sealed.
  const keyring = sharedKeyring ?? (await openKeys(await holdsAccessKeys(database.reader)).catch(explainLostKeyring))

  const systemContext = (): CommandContext => ({
    nowMs: clock.now(),
    actorArn: systemActorArn,
    registryId: home.id,
    accountId,
    region,
    requestId: ids.uuid(),
    sourceIp: '',
    userAgent: 'stowage',
    protocol: 'system',
  })
  // Before the first start there is no registry to name, and what is done for none names none.
  const home: { id: number } = { id: emptyRegistryId }
  await database.execute(ensureRegistry, { accountId, region }, systemContext())
  const directory = new RegistryDirectory(database.reader, {
    regions: config.regions,
    defaultRegion: region,
    maxPerAccount: config.quotas.regionsPerAccount,
  })
  const homeRegistry = await directory.find(accountId, region)
  if (homeRegistry.id === emptyRegistryId) throw new Error('the default registry was just made and is not there')
  home.id = homeRegistry.id

  const { credential, ...rootCredential } = await rootCredentialOf(config, clock, ids)
  await installRootCredential({ database, keyring, context: systemContext() }, accountId, credential)

  const folders = { dataDir, archiveDir: archiveFolder(config) }
  const blobStore = await openBlobStores(folders, bytesInFlight, tracing?.tracedBlobStore)
  releases.push(() => blobStore.close())
  await claimArchiveFolder(dataDir, folders.archiveDir, ids)
  for (const [store, dir] of [[blobStore.active, dataDir], [blobStore.archive, folders.archiveDir]] as const) {
    if ((await store.isEmpty()) && (await holdsLocations(database.reader, store.name))) throw missingBlobs(dir)
  }
  // Before others are let in.
  const leftBehind = folder.isAlone ? segmentsLeftBehind(dataDir) : []
  if (folder.isAlone) {
    await database.execute(releaseWriters, {}, systemContext())
    const recovered = await blobStore.recover({
      isLocated: (key) => isKeyLocated(database.reader, blobStore.storeOf(key), key),
      isOpenSession: (uploadId) => isOpenUpload(database.reader, uploadId, clock.now()),
    })
    if (Object.values<number>({ ...recovered }).some((count) => count > 0)) logger.info(recovered, 'settled the uploads that the last process left')
    await database.execute(endAllMoves, {}, systemContext())
    folder.share()
  }

  const clientKinds = new ClientKinds(config.clientKinds, config.pullClockKinds)
  const audit = await startAudit(config, { database, target, ids, logger, systemContext, leftBehind, clientKinds, metrics, version: ownVersion(), now: () => clock.now() }, releases)

  const pullClock = new PullClock(database, systemContext, clientKinds, (error) => {
    logger.error({ err: error }, 'pull times could not be written')
  })
  releases.push(() => pullClock.flush())
  const damageWatch = new DamageWatch({
    database,
    blobStore,
    systemContext,
    onDamage(notice) {
      metrics.blobsSetAside({ damage: notice.damage }).add()
      logger.error(notice, 'the stored bytes of a blob are damaged and were set aside: push an image that has it again')
    },
  })
  const bootId = await readBootId(ids)
  const archivist = startArchivist({ database, blobStore, damageWatch, ids, clock, logger, systemContext, owner: ids.uuid() }, metrics, releases)
  const registryDependencies = {
    database,
    blobStore,
    ids,
    pullClock,
    damageWatch,
    bootId,
    uploadLifetimeMs: config.uploadExpiryMs,
    trashRetentionMs: config.trashRetentionMs,
    restoreOnPull: config.restoreOnPull && !config.strictEcr,
    archive: { restoreOnPull: config.archiveRestoreOnPull, onWork: () => void archivist.work() },
    quotas: config.quotas,
    publishTurns: new FairShare({ limit: publicationsOfAccounts, perTurn: Number.POSITIVE_INFINITY }),
    uploadTurns: new UploadTurns(ids.uuid()),
  }
  const registry = withPushMetrics(metrics, createRegistry(registryDependencies), pullClock.pulls)

  const expiryContext = (): RequestContext => ({
    actor: rootPrincipal(accountId, ''),
    registry: homeRegistry,
    requestId: ids.uuid(),
    sourceIp: '',
    userAgent: 'stowage',
    protocol: 'system',
    clock,
  })
  let expiring: Promise<void> = Promise.resolve()
  const expiryTimer = setInterval(() => {
    expiring = expireUploads(registryDependencies, expiryContext()).then(
      (ended) => {
        if (ended > 0) logger.info({ ended }, 'upload sessions expired')
      },
      (error: unknown) => {
        logger.error({ err: error }, 'upload sessions could not be expired')
      },
    )
  }, expiryIntervalMs)
  expiryTimer.unref()
  releases.push(async () => {
    clearInterval(expiryTimer)
    await expiring
  })

  let sweeping: Promise<void> = Promise.resolve()
  const sweepTimer = setInterval(() => {
    sweeping = removeEndedSessions(database, systemContext()).then(
      (ended) => {
        if (ended > 0) logger.debug({ ended }, 'ended sessions removed')
      },
      (error: unknown) => {
        logger.error({ err: error }, 'ended sessions could not be removed')
      },
    )
  }, expiryIntervalMs)
  sweepTimer.unref()
  releases.push(async () => {
    clearInterval(sweepTimer)
    await sweeping
  })

  const scrub = config.scrubIntervalDays === 0 ? undefined : newScrub(config, { database, blobStore, clock, logger, ids, bytesInFlight, context: systemContext })
  if (scrub) addScrubMetrics(metrics, scrub.counters)
  scrub?.start()
  releases.push(() => scrub?.stop())

  const rates = config.requestRates ?? {}
  const turns = new FairShare({ limit: requestsOfAccounts, perTurn: requestsPerTurn })
  const admission = new Admission({ rates: new RequestRateLimit({ rates, clock }), turns })
  const { erasures, diskWatch, collection, reconciler, lifecycle } = await endOfLife(config, { requestsServed: () => admission.admitted, target, database, blobStore, openConfig: (blob) => registry.openNamedBlob(blob), systemContext, clock, ids, logger, metrics, bootId }, releases)

  const logs = await startLogs(config, { database, target, clock, ids, logger, systemContext }, releases)
  await requireAuthorities('STOWAGE_EVENTS_CA_FILE', config.eventsCaFile)
  const events = await startEvents(config, { database, keyring, logs, clock, ids, logger, systemContext, metrics, isAlone: 'file' in target, trail: audit.feed }, releases)
  const alarms = startAlarms({ database, logger, systemContext, reader: audit.metricReader, clock, delivery: events.delivery }, releases)
  startWatch(config, { database, target, logger, systemContext, metrics: audit.metrics, clock, delivery: events.delivery }, releases)

  const generation = new IamGeneration(database)
  const credentials = new AccessKeys(database, keyring, generation)
  const authorizer = new Authorizer({
    database,
    generation,
    onUnreadablePolicy(problem) {
      logger.error(problem, 'a stored policy cannot be read, and everything that it may deny is denied')
    },
  })
  const iamDirectory = createIamDirectory({ database, keyring, ids })
  const accessKeyClock = new AccessKeyClock(database, systemContext, (error) => {
    logger.error({ err: error }, 'the last uses of access keys could not be written')
  })
  releases.push(() => accessKeyClock.flush())
  const throttle = new CredentialThrottle({ clock })
  await requireAuthorities('STOWAGE_OIDC_CA_FILE', config.oidcCaFile)
  const issuerKeys = new IssuerKeys({
    fetch: createIssuerFetch({
      mayBePrivate: (host, accountId) => mayUsePrivateHost(config.oidcPrivateHosts, config.accountId, host, accountId),
      caFile: config.oidcCaFile,
    }),
    clock,
    onFailure: (failure) => {
      logger.warn(failure, 'the keys of an OpenID Connect provider could not be fetched')
    },
  })
  const securityTokens = new SecurityTokens({
    database,
    keyring,
    ids,
    clock,
    accessKeys: credentials,
    throttle,
    issuerKeys,
    region,
    maxSessions: config.quotas.sessionsPerAccount,
    mayAssume: (question, trustPolicy) => authorizer.authorize({ ...question, trustPolicy }),
    managedDocument: (account, arn) => iamDirectory.policies.documentInForce(account, arn),
    async unsignedContext({ requestId, sourceIp, userAgent }, account, actorArn) {
      const { id: registryId } = await directory.find(account, region)
      return { nowMs: clock.now(), actorArn, registryId, accountId: account, region, requestId, sourceIp, userAgent, protocol: 'sts' }
    },
  })
  const { publicUrl, registryDomain } = config
  const findRegistry = (account: AccountId, place: Region): RegistryRef | Promise<RegistryRef> => directory.find(account, place)
  const downloadTurns = new FairShare({ limit: chunksOfAccounts, perTurn: Number.POSITIVE_INFINITY, longestMs: longestChunkMs })
  const unsignedAdmission = new UnsignedAdmission({
    ofAccounts: new RequestRateLimit({ rates, clock }),
    ofSources: new RequestRateLimit({ rates: ratesOfSource(rates), clock }),
    turns,
  })

  return {
    distribution: createDistributionHandler({
      registry,
      clock,
      ids,
      logger,
      tokens: new EcrTokenReader(keyring),
      credentials,
      throttle,
      recordKeyUse: (accessKeyId, use) => accessKeyClock.record(accessKeyId, use),
      authorizer,
      admission,
      downloadTurns,
      positions: new ListPositions(keyring),
      findRegistry,
      defaultRegion: region,
      publicUrl,
      registryDomain,
    }),
    layerDownload: createLayerDownloadHandler({
      downloadTurns,
      clock,
      ids,
      logger,
      async verifyLayerUrl(token, nowMs) {
        const claims = verifyLayerUrl(keyring, token, nowMs)
        await requireLiveKey(credentials, claims, nowMs)
        return claims
      },
      openLayer: ({ registryId, repositoryId, digest }) =>
        registry.openLinkedBlob({ registryId, repositoryId, digest }),
    }),
    aws: createAwsHandler({
      services: [
        createEcrService({ registry, keyring, clock, lifecycle, publicUrl, registryDomain }),
        createIamService({ directory: iamDirectory }),
        createStsService(securityTokens),
        createCloudTrailService({ trail: audit.trail, keyring }),
        createStowageService({
          registry,
          keyring,
          erasures,
          diskWatch,
          collection,
          reconciler,
          accounts: new Accounts({ database, keyring, ids }),
          homeAccountId: accountId,
          protections: createProtections({ database }),
          quotas: createQuotaOperations({ database }),
          usageSources: createUsageSources({ database }),
          metricsText: () => metrics.set.text(),
          lifecycle,
          audit: { tagHistory: audit.tagHistory, isTrailOn: audit.requests !== undefined },
          events,
        }),
        createEventsService({ rules: events.rules, keyring }),
        ...createMonitoringServices({ reader: audit.metricReader, writer: audit.metricWriter, alarms, keyring }),
        createLogsService({ logs, keyring }),
      ],
      credentials,
      throttle,
      recordKeyUse: (accessKeyId, use) => accessKeyClock.record(accessKeyId, use),
      authorizer,
      admission,
      unsignedAdmission,
      findRegistry,
      clock,
      logger,
    }),
    async ready() {
      try {
        await database.ping()
        return { ok: true }
      } catch {
        return { ok: false, reason: 'the metadata database does not answer' }
      }
    },
    tracer: tracing,
    audit: audit.requests,
    metrics: metrics.set,
    metricsText: () => metrics.set.text(),
    rootCredential: { accessKeyId: credential.accessKeyId, ...rootCredential },
    counters: { database: database.counters, bytesInFlight },
    stop,
  }
}

/** Says at the start what would otherwise fail with the first build that logs in. */
async function requireAuthorities(setting: string, file: string | undefined): Promise<void> {
  if (file === undefined) return
  try {
    new X509Certificate(await readFile(file))
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'does not exist' : 'cannot be read as a certificate in PEM'
    throw configError('config-invalid', `${setting}: ${file} ${reason}`, { cause: error })
  }
}

/** More than this in transfers means that clients are at work: a few chunks, or many small ones. */
const busyBytes = 4 * 1024 * 1024
const dayMs = 24 * 60 * 60 * 1000

function newScrub(
  { scrubIntervalDays, scrubBytesPerSecond: bytesPerSecond }: Config,
  deps: Omit<ScrubDependencies, 'owner' | 'isBusy'> & { readonly ids: IdSource; readonly bytesInFlight: BytesInFlight },
): Scrub {
  const { ids, bytesInFlight, ...rest } = deps
  return new Scrub(
    { ...rest, owner: ids.uuid(), isBusy: () => bytesInFlight.inUseBytes > busyBytes },
    { intervalMs: scrubIntervalDays * dayMs, bytesPerSecond },
  )
}

/** At start a database that cannot be reached is the operator's to mend: says which host it was. */
export async function reachable<Result>(databaseUrl: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    if (!isPlatformError(error, 'storage-unavailable')) throw error
    // The text of the driver alone: the one who reads it is told about the database anyway.
    throw new PlatformError('database-unavailable', error.cause instanceof Error ? error.cause.message : error.message, {
      detail: { host: URL.parse(databaseUrl)?.host ?? '' },
      cause: error,
    })
  }
}

function explainLostKeyring(error: unknown): never {
  if (!isPlatformError(error, 'keyring-missing')) throw error
  throw new PlatformError(
    error.code,
    `The keyring of this data folder is gone, and the database holds secrets that only it can open: restore keys/keyring.json from a backup, or set STOWAGE_KEYRING to where it is.`,
    { cause: error },
  )
}

async function rootCredentialOf(config: Config, clock: Clock, ids: IdSource) {
  if (config.rootCredential) {
    return { credential: config.rootCredential, source: 'environment', createdNow: false } as const
  }
  const kept = await readRootCredentialFile(config.dataDir)
  if (kept) return { credential: kept, source: 'file', file: kept.file, createdNow: false } as const
  const { credential, createdNow } = await createRootCredentialFile(config.dataDir, { ids, clock, replace: false })
  return { credential, source: 'generated', file: credential.file, createdNow } as const
}

/** Linux names each start of the machine; elsewhere every start of the server counts as one, which only costs a hash. */
async function readBootId(ids: IdSource): Promise<string> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  } catch {
    return ids.uuid()
  }
}

/** Served as it is, every image would count as damaged. */
function missingBlobs(dir: string): Error {
  const folder = join(dir, 'blobs')
  return storageError(
    'storage-unavailable',
    `the database names blobs, and ${folder} has none: is its volume mounted? If they are lost for good, make the folder ${join(folder, 'default')} and start again; images are then mended by pushing them.`,
  )
}

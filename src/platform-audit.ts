import { hostname } from 'node:os'
import type { Logger } from 'pino'
import { forgetSealedChanges } from './audit/commands/sealed-changes.ts'
import { AuditTrail, Journal, hasOutlets, journalFolder, OutletThread, SealerThread, TagHistory, TrailFeed, type OutletSettings } from './audit/index.ts'
import type { Config } from './config/index.ts'
import type { EventDelivery } from './events/delivery/event-delivery.ts'
import { journalRecord } from './http/ops/audit-record.ts'
import type { RequestAudit } from './http/server.ts'
import { MetricAlarms } from './metrics/alarms/metric-alarms.ts'
import { metricRetention } from './metrics/metric-retention.ts'
import { MetricReader } from './metrics/metric-reader.ts'
import { MetricWriter } from './metrics/metric-writer.ts'
import { UnusualUseWatch } from './metrics/watch/unusual-use-watch.ts'
import type { Clock } from './internal/clock.ts'
import type { IdSource } from './internal/ids.ts'
import type { ClientKinds } from './registry/client-kinds.ts'
import { addOutletMetrics, type PlatformMetrics } from './platform-metrics.ts'
import type { CommandContext } from './storage/metadata/command.ts'
import type { MetadataDatabase } from './storage/metadata/database.ts'
import type { MetadataTarget } from './storage/metadata/migrate.ts'
import type { Session } from './storage/metadata/session.ts'
import { observeTarget, openObserveStore, prepareObserveStore, type ObserveTarget } from './storage/metadata/observe/store.ts'

const dayMs = 24 * 60 * 60 * 1000

export interface AuditDependencies {
  readonly database: MetadataDatabase
  readonly target: MetadataTarget
  readonly ids: IdSource
  readonly logger: Logger
  readonly systemContext: () => CommandContext
  /** Segments of the journal that servers left that are gone. */
  readonly leftBehind: readonly string[]
  readonly clientKinds: ClientKinds
  readonly metrics: PlatformMetrics
  readonly version: string
  readonly now: () => number
}

/** Look-ups wait for each other, and for nobody else. */
const readConnections = 2

export interface Audit {
  readonly trail: AuditTrail
  readonly metricReader: MetricReader
  /** Of the store of what was observed. */
  readonly metrics: Session
  readonly metricWriter: MetricWriter
  readonly tagHistory: TagHistory
  /** Absent where the settings turn it off. */
  readonly feed: TrailFeed | undefined
  /** Absent where the settings turn it off. */
  readonly requests: RequestAudit | undefined
}

export interface AlarmDependencies extends Pick<AuditDependencies, 'database' | 'logger' | 'systemContext'> {
  readonly reader: MetricReader
  readonly clock: Clock
  readonly delivery: Pick<EventDelivery, 'targetsOf' | 'wake'>
}

/** Constructs alarms on metrics, and starts to evaluate them. */
export function startAlarms({ database, logger, systemContext, reader, clock, delivery }: AlarmDependencies, releases: (() => Promise<void> | void)[]): MetricAlarms {
  const alarms = new MetricAlarms({
    database,
    reader,
    clock,
    systemContext,
    targetsOf: (registryId, event) => delivery.targetsOf(registryId, event),
    onTold: () => delivery.wake(),
    onError(error) {
      logger.error({ err: error }, 'an alarm could not be evaluated; it is tried again')
    },
  })
  alarms.start()
  releases.push(() => alarms.stop())
  return alarms
}

export interface WatchDependencies extends Pick<AuditDependencies, 'database' | 'target' | 'logger' | 'systemContext'> {
  readonly metrics: Session
  readonly clock: Clock
  readonly delivery: Pick<EventDelivery, 'targetsOf' | 'wake'>
}

/** Looks for unusual use, where the settings do not turn that or what it looks at off. */
export function startWatch(config: Config, { database, target, logger, systemContext, metrics, clock, delivery }: WatchDependencies, releases: (() => Promise<void> | void)[]): void {
  if (config.watch === 'off' || config.audit === 'off') return
  const watch = new UnusualUseWatch(
    {
      database,
      metrics,
      clock,
      systemContext,
      targetsOf: (registryId, event) => delivery.targetsOf(registryId, event),
      onUnusual({ account, region, detail }) {
        delivery.wake()
        logger.warn({ account, region, use: detail }, 'a registry is used as it never was')
      },
      onError(error) {
        logger.error({ err: error }, 'unusual use could not be looked for; it is tried again')
      },
    },
    { everyMs: config.watchIntervalSeconds * 1000, learningMs: config.watchLearningDays * dayMs, factor: config.watchFactor, isAlone: 'file' in target },
  )
  watch.start()
  releases.push(() => watch.stop())
}

/** Constructs and starts what writes down requests, and what makes the audit trail of that. */
export async function startAudit(config: Config, deps: AuditDependencies, releases: (() => Promise<void> | void)[]): Promise<Audit> {
  const { database, target, ids, logger, systemContext, leftBehind, clientKinds } = deps
  const store = observeTarget(config.dataDir, target)
  await prepareObserveStore(store)
  const reading = openObserveStore(store, { connections: readConnections, readOnly: true })
  releases.push(() => reading.close())
  const trail = new AuditTrail(reading.reader)
  const metricReader = new MetricReader(reading.reader)
  const retention = metricRetention(config.metricRetentionDays)
  const metricWriter = new MetricWriter({ store, retention: config.audit === 'off' ? retention : undefined }, (error) => {
    logger.error({ err: error }, 'metrics that clients put could not be written')
  })
  releases.push(() => metricWriter.stop())
  const tagHistory = new TagHistory(reading.reader)
  if (config.audit === 'off') return { trail, tagHistory, metricReader, metrics: reading.reader, metricWriter, feed: undefined, requests: undefined }
  const folder = journalFolder(config.dataDir)
  const serverId = ids.uuid()
  startOutlets(config, deps, store, serverId, releases)
  const journal = new Journal({
    folder,
    serverId,
    isRequired: config.auditRequired,
    onSegment: () => sealer.look(),
    onFailure(error) {
      logger.error({ err: error, folder }, config.auditRequired ? 'the audit journal cannot be written: requests are refused until it can be' : 'the audit journal cannot be written')
    },
    onRecovery(lost) {
      logger.warn({ lost }, 'the audit journal can be written again')
    },
  })
  const sealer = new SealerThread({
    data: { metadata: target, store, folder, serverId, leftBehind, retentionMs: config.auditRetentionDays * dayMs, home: { account: config.accountId, region: config.region }, metricRetentionMs: retention },
    forget: (changeIds) => database.execute(forgetSealedChanges, { ids: changeIds }, systemContext()),
    onDamage(damage) {
      logger.error(damage, 'the audit journal has lines that cannot be read: they are kept in this file')
    },
    onError(error) {
      logger.error({ err: error }, 'the audit trail could not be sealed; it is tried again')
    },
  })
  sealer.start()
  releases.push(async () => {
    await journal.stop()
    await sealer.stop()
  })
  const home = { accountId: config.accountId, region: config.region }
  return {
    trail,
    metricReader,
    metrics: reading.reader,
    metricWriter,
    tagHistory,
    feed: new TrailFeed(reading.reader),
    requests: {
      get mustRefuse() {
        return journal.mustRefuse
      },
      note: (answered) => journal.note(journalRecord(answered, home, clientKinds)),
      write: () => journal.write(),
      whenWritten: (done) => journal.whenWritten(done),
    },
  }
}

/** Exports and forwards what is sealed, where the settings say so. */
function startOutlets(config: Config, deps: AuditDependencies, store: ObserveTarget, owner: string, releases: (() => Promise<void> | void)[]): void {
  const { logger, metrics, version } = deps
  const outlets = outletSettings(config, version)
  if (!hasOutlets(outlets)) return
  const thread = new OutletThread({
    data: { store, outlets, owner, isAlone: 'file' in store },
    onAnswer(answer) {
      const { outlet } = answer
      if (answer.kind === 'failed') logger.warn({ outlet, reason: answer.message }, 'records of the audit trail could not be brought there; it is tried again')
      else if (answer.kind === 'gap') logger.error({ outlet, records: answer.records }, 'records of the audit trail were removed for their age before they could be brought there')
      else logger.error({ outlet, records: answer.records, reason: answer.reason }, 'records of the audit trail were refused for good')
    },
    onError(error) {
      logger.error({ err: error }, 'the audit trail is not exported or forwarded; it is tried again')
    },
  })
  addOutletMetrics(metrics, () => thread.progress, deps.now)
  thread.start()
  releases.push(() => thread.stop())
}

function outletSettings(config: Config, version: string): OutletSettings {
  const { auditExport: place, auditSyslog: syslog, auditOtlpEndpoint: endpoint, auditOtlpHeaders: headers = {}, auditWebhook: url, auditWebhookSecret: secret } = config
  return {
    exports: place && { to: 'folder' in place ? place : bucketOf(config, place), intervalMs: config.auditExportIntervalSeconds * 1000 },
    syslog,
    otlp: endpoint === undefined ? undefined : { endpoint, headers },
    webhook: url === undefined || secret === undefined ? undefined : { url, secret },
    caFile: config.auditCaFile,
    version,
    hostName: hostname(),
    processId: process.pid,
  }
}

function bucketOf(config: Config, { bucket, prefix }: { readonly bucket: string; readonly prefix: string }) {
  const { auditExportRegion: region, auditExportEndpoint, auditExportAccessKeyId: accessKeyId = '', auditExportSecretAccessKey: secretAccessKey = '' } = config
  return { endpoint: auditExportEndpoint ?? `https://s3.${region}.amazonaws.com`, bucket, prefix, region, accessKeyId, secretAccessKey }
}

import { uptime } from 'node:os'
import type { Logger } from 'pino'
import { Archivist, type ArchivistDependencies } from './archive/index.ts'
import type { Config } from './config/index.ts'
import { Erasures } from './gc/erasures.ts'
import { CollectionControl, Collector, Reconciler, DiskWatch } from './gc/index.ts'
import { findPause } from './gc/pause.ts'
import { findRate } from './gc/rate.ts'
import type { Clock } from './internal/clock.ts'
import type { IdSource } from './internal/ids.ts'
import { explainImage, LifecyclePolicies, LifecyclePreviews, LifecycleRunner, previewPolicy, readImageLabels, RetentionPolicies, SeparateEvaluator, type OpenConfig } from './lifecycle/index.ts'
import { freeLifecycle } from './lifecycle/commands/runs.ts'
import { RetirementSteps } from './lifecycle/retirement-steps.ts'
import { archiveFolder } from './config/data-paths.ts'
import { addDiskMetrics, addArchiveMetrics, addCollectionMetrics, addHoldMetrics, addLifecycleMetrics, addQueueMetrics, addReconcileMetrics, type PlatformMetrics } from './platform-metrics.ts'
import { GuardWatch } from './registry/protection/guard-watch.ts'
import type { TieredBlobStore } from './storage/blobs/index.ts'
import type { CommandContext } from './storage/metadata/command.ts'
import type { MetadataDatabase } from './storage/metadata/database.ts'
import type { MetadataTarget } from './storage/metadata/migrate.ts'
import { newestMigration } from './storage/metadata/migration-plan.ts'

/** What belongs into the archive or out of it is moved when it is said so; what another server left undone is looked for this often. */
const lookForArchiveWorkMs = 60_000

/** Constructs and starts what moves blobs to and from the archive. */
export function startArchivist(deps: ArchivistDependencies, metrics: PlatformMetrics, releases: (() => Promise<void> | void)[]): Archivist {
  const archivist = new Archivist(deps)
  addArchiveMetrics(metrics, archivist.counters, () => archivist.contents())
  archivist.start(lookForArchiveWorkMs)
  releases.push(() => archivist.stop())
  return archivist
}

const dayMs = 24 * 60 * 60 * 1000
/** Store and database are not compared by themselves so soon after a start. */
const reconcileAfterMs = 10 * 60_000

/** Repositories whose lifecycle policies are due are looked for this often. */
const lookForDueMs = 60_000

interface EndOfLifeDependencies {
  readonly requestsServed: () => number
  readonly target: MetadataTarget
  readonly database: MetadataDatabase
  readonly blobStore: TieredBlobStore
  readonly openConfig: OpenConfig
  readonly systemContext: () => CommandContext
  readonly clock: Clock
  readonly ids: IdSource
  readonly logger: Logger
  readonly metrics: PlatformMetrics
  /** Names this start of the machine. */
  readonly bootId: string
}

/**
 * Constructs and starts what ends images: policies and their runs, retirement, erasure, garbage collection; and what watches
 * whether anything may be removed at all.
 */
export async function endOfLife(config: Config, deps: EndOfLifeDependencies, releases: (() => Promise<void> | void)[]) {
  const { target, database, blobStore, openConfig, systemContext, clock, ids, logger, metrics, bootId, requestsServed } = deps
  const guardWatch = new GuardWatch({
    database,
    readClocks: () => ({ wallMs: clock.now(), uptimeMs: uptime() * 1000, bootId }),
    systemContext,
    onHold(notice) {
      logger.warn(notice, 'automatic removal was put on hold: see stowage hold list')
    },
    onError(error) {
      logger.error({ err: error }, 'clocks and usage sources could not be looked at')
    },
  })
  const holds = await guardWatch.start(newestMigration())
  if (holds.size > 0) logger.warn({ holds: Object.fromEntries(holds) }, 'automatic removal is on hold: see stowage hold list')
  addHoldMetrics(metrics, guardWatch.openHolds)
  releases.push(() => guardWatch.stop())

  const retirementSteps = new RetirementSteps({
    database,
    ids,
    trashRetentionMs: config.trashRetentionMs,
    systemContext,
    lookAtClocks: () => guardWatch.look(),
    onStep(step) {
      logger.info(step, 'a step of an image\'s retirement was due')
    },
    onError(error) {
      logger.error({ err: error }, 'the steps of retirements could not be taken')
    },
  })
  retirementSteps.start()
  releases.push(() => retirementSteps.stop())

  const erasures = new Erasures({
    database,
    blobStore,
    ids,
    systemContext,
    onError(error) {
      logger.error({ err: error }, 'bytes that were to be erased could not be')
    },
  })
  erasures.start()
  releases.push(() => erasures.stop())

  const { strictEcr: strict, lifecycleIntervalMs: intervalMs, archiveMinimumDays } = config
  const lifecyclePolicies = new LifecyclePolicies(database, { strict, intervalMs, minimumArchiveDays: archiveMinimumDays })
  const retention = new RetentionPolicies(database, { intervalMs: config.lifecycleIntervalMs })
  const processId = ids.uuid()
  const evaluator = new SeparateEvaluator(target, (repositoryId, signal) => readImageLabels({ database, openConfig, systemContext, logger }, repositoryId, signal))
  releases.push(() => evaluator.stop())
  const lifecyclePreviews = new LifecyclePreviews({ database, evaluator, policies: lifecyclePolicies, systemContext, logger, owner: processId, clock })
  releases.push(() => lifecyclePreviews.stop())
  const lifecycleRunner = new LifecycleRunner(
    {
      database,
      evaluator,
      ids,
      clock,
      logger,
      lookAtClocks: () => guardWatch.look(),
      owner: processId,
      contextOf: ({ id, accountId: owner, region: place }) => ({ ...systemContext(), registryId: id, accountId: owner, region: place }),
    },
    {
      intervalMs: config.lifecycleIntervalMs,
      trashRetentionMs: config.trashRetentionMs,
      caution: { isOn: config.lifecycleConfirmation && !config.strictEcr, maxSharePercent: 50, alwaysAllowed: 10 },
    },
  )
  addLifecycleMetrics(metrics, lifecycleRunner.counters)
  // A folder's SQLite is one server's: what another one evaluated, it does not any more.
  if ('file' in target) await database.execute(freeLifecycle, {}, systemContext())
  if (config.lifecycleIntervalMs > 0) lifecycleRunner.start(Math.min(config.lifecycleIntervalMs, lookForDueMs))
  releases.push(() => lifecycleRunner.stop())
  const collector = new Collector({
    database,
    blobStore,
    systemContext,
    clock,
    logger,
    lookAtClocks: () => guardWatch.look(),
    async mayGoOn() {
      collection.note()
      return (await findPause(database.reader, clock.now())) === undefined
    },
    reviewsPerSecond: async () => (await findRate(database.reader))?.reviewsPerSecond,
    requestsServed,
    owner: processId,
  })
  const collection = new CollectionControl({ database, collector, blobStore, clock, systemContext, intervalMs: config.gcIntervalMs })
  addCollectionMetrics(metrics, collector.counters)
  addQueueMetrics(metrics, () => collection.gauges())
  if (config.gcIntervalMs > 0) collector.start(config.gcIntervalMs)
  releases.push(() => collector.stop())
  const reconciler = new Reconciler(
    { database, blobStore, clock, systemContext, logger, owner: processId },
    { intervalMs: config.reconcileIntervalDays * dayMs, itemsPerSecond: config.reconcileItemsPerSecond, firstAfterMs: reconcileAfterMs },
  )
  addReconcileMetrics(metrics, () => reconciler.lastOne())
  reconciler.start()
  releases.push(() => reconciler.stop())

  const diskWatch = new DiskWatch({
    database,
    systemContext,
    folders: { blobs: config.dataDir, archive: archiveFolder(config) },
    onError(error) {
      logger.error({ err: error }, 'how full the disks are could not be noted')
    },
  })
  addDiskMetrics(metrics, () => diskWatch.latest)
  await diskWatch.start()
  releases.push(() => diskWatch.stop())

  return {
    erasures,
    diskWatch,
    collection,
    reconciler,
    lifecycle: {
      policies: lifecyclePolicies,
      previews: lifecyclePreviews,
      runner: lifecycleRunner,
      retention,
      previewPolicy: (...[context, name, candidate, signal]: PreviewArguments) =>
        previewPolicy({ database, evaluator, policies: lifecyclePolicies, retention }, context, name, candidate, signal),
      explain: (...[context, name, image, signal]: ExplainArguments) => explainImage(database, evaluator, context, name, image, signal),
    },
  }
}

type PreviewArguments = Parameters<typeof previewPolicy> extends [unknown, ...infer Rest] ? Rest : never
type ExplainArguments = Parameters<typeof explainImage> extends [unknown, unknown, ...infer Rest] ? Rest : never

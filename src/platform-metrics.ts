import { readdirSync, readFileSync } from 'node:fs'
import type { ArchiveCounters } from './archive/index.ts'
import type { OutletProgress } from './audit/index.ts'
import type { DeliveryCounters } from './events/delivery/dispatcher.ts'
import type { CollectionCounters, QueueGauges, Reconciliation, DiskStatus } from './gc/index.ts'
import type { ScrubCounters } from './integrity/index.ts'
import type { BytesInFlight } from './internal/bytes-in-flight.ts'
import type { LifecycleCounters } from './lifecycle/index.ts'
import type { CounterName, CounterSeries, GaugeName, HistogramSeries, MetricSet } from './metrics/index.ts'
import type { Registry } from './registry/index.ts'
import type { PoolUse, DatabaseCounters, MetadataDatabase } from './storage/metadata/database.ts'
import { measuredDatabase } from './storage/metadata/measured-database.ts'
import type { ArchiveContents } from './storage/metadata/stores/archive-store.ts'
import { countInstallation, type InstallationCounts } from './storage/metadata/stores/installation-counts.ts'

export interface PlatformMetrics {
  readonly set: MetricSet
  readonly blobsSetAside: (labels: { readonly damage: string }) => CounterSeries
}

/** What waits to be sent is counted this often, however often it is scraped: alerts are about minutes. */
const eventCountIntervalMs = 5_000

/** What is counted in the whole installation is asked for this often, however often it is scraped. */
const freshForMs = 60_000

/** Metrics of what lies below the edges. Most values are read when they are asked for. */
export function platformMetrics(set: MetricSet, version: string, database: MetadataDatabase, bytesInFlight: BytesInFlight): PlatformMetrics {
  set.read('stowage_build_info', () => [[{ version, database: database.dialect }, 1]])
  const { counters }: { counters: Readonly<DatabaseCounters> } = database
  set.read('stowage_database_statements_total', () => counters.statements)
  set.read('stowage_database_commits_total', () => counters.commits)
  set.read('stowage_database_durable_commits_total', () => counters.durableCommits)
  set.read('stowage_database_connections', () => poolValues(database.pools(), ({ busy, idle }) => ({ busy, idle })))
  set.read('stowage_database_connection_waiters', () => database.pools().map(({ pool, waiting }) => [{ pool }, waiting] as const))
  set.read('stowage_transfer_memory_bytes', () => bytesInFlight.inUseBytes)
  return { set, blobsSetAside: set.counter('stowage_blobs_set_aside_total') }
}

function poolValues(pools: readonly PoolUse[], states: (pool: PoolUse) => Readonly<Record<'busy' | 'idle', number>>) {
  return pools.flatMap((use) => Object.entries(states(use)).map(([state, count]) => [{ pool: use.pool, state }, count] as const))
}

/** A database whose commands are counted and timed. */
export function withCommandMetrics({ set }: PlatformMetrics, database: MetadataDatabase): MetadataDatabase {
  const ended = set.counter('stowage_database_commands_total')
  const outcomes = { done: ended({ outcome: 'done' }), refused: ended({ outcome: 'refused' }), failed: ended({ outcome: 'failed' }) }
  const duration = set.histogram('stowage_database_command_duration_seconds')({})
  const measured = measuredDatabase(database, (outcome, durationMs) => {
    outcomes[outcome].add()
    duration.observe(durationMs / 1000)
  })
  set.read('stowage_database_commands_waiting', () => measured.commandsUnderWay)
  return measured.database
}

/** A registry whose pushes are counted. */
export function withPushMetrics({ set }: PlatformMetrics, registry: Registry, pulls: ReadonlyMap<string, number>): Registry {
  const pushes = set.counter('stowage_image_pushes_total')
  const uploads = set.counter('stowage_uploads_completed_total')
  set.read('stowage_image_pulls_total', () => ['oci', 'ecr'].map((protocol) => [{ protocol }, pulls.get(protocol) ?? 0] as const))
  return {
    ...registry,
    async putManifest(context, ...rest) {
      const stored = await registry.putManifest(context, ...rest)
      pushes({ protocol: context.protocol }).add()
      return stored
    },
    async completeUpload(context, ...rest) {
      const stored = await registry.completeUpload(context, ...rest)
      uploads({ protocol: context.protocol }).add()
      return stored
    },
  }
}

/** Adds what there is in the whole installation, of a minute ago at most. Where it cannot be read it is left out. */
export function addInstallationMetrics({ set }: PlatformMetrics, database: MetadataDatabase, clock: { now(): number }): void {
  let last: { readonly at: number; readonly counts: Promise<InstallationCounts> } | undefined
  const read = (): Promise<InstallationCounts> => {
    const now = clock.now()
    if (last === undefined || Math.abs(now - last.at) >= freshForMs) {
      const counts = countInstallation(database.reader, now)
      last = { at: now, counts }
      counts.catch(() => {
        last = undefined
      })
    }
    return last.counts
  }
  set.read('stowage_uploads_open', async () => (await read()).openUploads)
  set.read('stowage_repositories', async () => (await read()).repositories)
  set.read('stowage_images', async () => (await read()).images)
  set.read('stowage_image_bytes', async () => (await read()).imageBytes)
}

/** Adds those of the background check, where it runs. */
export function addScrubMetrics({ set }: PlatformMetrics, scrub: Readonly<ScrubCounters>): void {
  set.read('stowage_scrub_read_bytes_total', () => scrub.bytesRead)
  set.read('stowage_scrub_findings_total', () => Object.entries(scrub.findings).map(([kind, count]) => [{ kind }, count] as const))
  set.read('stowage_scrub_last_complete_timestamp_seconds', () => (scrub.lastCompleteAtMs ?? 0) / 1000)
}

function readEach<Source>(set: MetricSet, names: Readonly<Partial<Record<CounterName | GaugeName, keyof Source>>>, read: () => Source | Promise<Source>): void {
  for (const [name, member] of Object.entries(names)) set.read(name as CounterName | GaugeName, async () => (await read())[member] as number)
}

/** Adds what garbage collection has done. */
export function addCollectionMetrics({ set }: PlatformMetrics, counters: Readonly<CollectionCounters>): void {
  readEach<CollectionCounters>(
    set,
    {
      stowage_gc_manifests_total: 'manifests',
      stowage_gc_blobs_total: 'blobs',
      stowage_gc_reclaimed_bytes_total: 'bytes',
      stowage_gc_failures_total: 'failures',
      stowage_gc_seconds_total: 'seconds',
    },
    () => counters,
  )
}

/** Adds what waits for garbage collection, of a minute ago at most. Where it cannot be read it is left out. */
export function addQueueMetrics({ set }: PlatformMetrics, readGauges: () => Promise<QueueGauges>): void {
  set.read('stowage_gc_queue', async () =>
    (await readGauges()).queues.flatMap(({ kind, waiting, due }) => [
      [{ kind, state: 'waiting' }, waiting] as const,
      [{ kind, state: 'due' }, due] as const,
    ]),
  )
  set.read('stowage_gc_overdue_seconds', async () => {
    const { queues, readAt } = await readGauges()
    return queues.map(({ kind, due, nextDueAt }) => [{ kind }, due === 0 || nextDueAt === undefined ? 0 : Math.max(0, readAt - nextDueAt) / 1000] as const)
  })
  set.read('stowage_gc_paused', async () => ((await readGauges()).isPaused ? 1 : 0))
}

/** Adds what became of events, and what waits. */
export function addEventMetrics(
  { set }: PlatformMetrics,
  counters: Readonly<DeliveryCounters>,
  readQueues: () => Promise<{ readonly waiting: number; readonly deadLetters: number; readonly oldestSeconds: number }>,
): void {
  readEach<DeliveryCounters>(
    set,
    {
      stowage_events_delivered_total: 'delivered',
      stowage_event_attempts_failed_total: 'failedAttempts',
      stowage_events_dead_lettered_total: 'deadLettered',
    },
    () => counters,
  )
  let latest: { readonly atMs: number; readonly queues: ReturnType<typeof readQueues> } | undefined
  // All of a scrape are of one look, and scrapes that follow one another ask nothing.
  const read = () => {
    const nowMs = performance.now()
    if (latest === undefined || nowMs - latest.atMs > eventCountIntervalMs) latest = { atMs: nowMs, queues: readQueues() }
    return latest.queues
  }
  set.read('stowage_events_waiting', async () => (await read()).waiting)
  set.read('stowage_events_oldest_seconds', async () => (await read()).oldestSeconds)
  set.read('stowage_event_dead_letters', async () => (await read()).deadLetters)
}

/** Adds how far the audit trail was exported and forwarded. */
export function addOutletMetrics({ set }: PlatformMetrics, read: () => Readonly<Record<string, OutletProgress>>, now: () => number): void {
  const each = (value: (progress: OutletProgress) => number) => () => Object.entries(read()).map(([outlet, progress]) => [{ outlet }, value(progress)] as const)
  set.read('stowage_audit_outlet_sent_total', each(({ sent }) => sent))
  set.read('stowage_audit_outlet_failures_total', each(({ failures }) => failures))
  set.read('stowage_audit_outlet_waiting', each(({ waiting }) => waiting))
  set.read('stowage_audit_outlet_oldest_seconds', each(({ oldestAt }) => (oldestAt === undefined ? 0 : Math.max(0, now() - oldestAt) / 1000)))
}

/** Adds what runs of lifecycle policies came to. */
export function addLifecycleMetrics({ set }: PlatformMetrics, counters: LifecycleCounters): void {
  set.read('stowage_lifecycle_runs_total', () => Object.entries(counters.runs).map(([outcome, count]) => [{ outcome }, count] as const))
  set.read('stowage_lifecycle_images_total', () => Object.entries(counters.images).map(([action, count]) => [{ action }, count] as const))
}

/** Adds how full the disks were at the last look, within the hour, and when they will be full. */
export function addDiskMetrics({ set }: PlatformMetrics, latest: () => readonly DiskStatus[]): void {
  const each = (valueOf: (status: DiskStatus) => number) => () => latest().map((status) => [{ disk: status.disk }, valueOf(status)] as const)
  set.read('stowage_disk_used_bytes', each(({ usedBytes }) => usedBytes))
  set.read('stowage_disk_free_bytes', each(({ freeBytes }) => freeBytes))
  set.read('stowage_disk_full_timestamp_seconds', each(({ forecast }) => (forecast?.fullAt ?? 0) / 1000))
}

/** Adds what the last comparison of store and database found, whichever server did it. */
export function addReconcileMetrics({ set }: PlatformMetrics, readLast: () => Promise<Reconciliation | undefined>): void {
  const lastOne = () => readLast().catch(() => undefined)
  set.read('stowage_reconcile_last_complete_timestamp_seconds', async () => ((await lastOne())?.finishedAt ?? 0) / 1000)
  set.read('stowage_reconcile_findings', async () => {
    const counts = (await lastOne())?.counts
    if (counts === undefined) return undefined
    const kinds = { 'orphan-file': counts.orphanFiles, 'orphan-upload': counts.orphanUploads, 'file-missing': counts.missingFiles, 'file-wrong-size': counts.wrongSizes, forgotten: counts.forgotten }
    return Object.entries(kinds).map(([kind, count]) => [{ kind }, count] as const)
  })
  set.read('stowage_reconcile_orphan_bytes', async () => {
    const counts = (await lastOne())?.counts
    return (counts?.orphanBytes ?? 0) + (counts?.orphanUploadBytes ?? 0)
  })
}

/** Adds what is in the archive, and what was moved. */
export function addArchiveMetrics({ set }: PlatformMetrics, counters: Readonly<ArchiveCounters>, readContents: () => Promise<ArchiveContents>): void {
  readEach<ArchiveCounters>(
    set,
    {
      stowage_archive_archived_blobs_total: 'archivedBlobs',
      stowage_archive_archived_bytes_total: 'archivedBytes',
      stowage_archive_restored_blobs_total: 'restoredBlobs',
      stowage_archive_restored_bytes_total: 'restoredBytes',
      stowage_archive_failures_total: 'failures',
    },
    () => counters,
  )
  readEach<ArchiveContents>(
    set,
    {
      stowage_archive_blobs: 'blobs',
      stowage_archive_blob_bytes: 'sizeBytes',
      stowage_archive_stored_bytes: 'storedBytes',
      stowage_archive_activating_images: 'activatingImages',
    },
    readContents,
  )
}

/** Adds the holds of registries, by cause. */
export function addHoldMetrics({ set }: PlatformMetrics, openHolds: ReadonlyMap<string, number>): void {
  set.read('stowage_registry_holds', () => ['operator', 'restore', 'migration', 'clock', 'source'].map((cause) => [{ cause }, openHolds.get(cause) ?? 0] as const))
}

const lagIntervalMs = 500

/** Adds what the process uses. Answers what ends the watch over the main thread. */
export function addProcessMetrics({ set }: PlatformMetrics): () => void {
  const lag: HistogramSeries = set.histogram('stowage_event_loop_lag_seconds')({})
  let dueAtMs = performance.now() + lagIntervalMs
  const timer = setInterval(() => {
    const nowMs = performance.now()
    lag.observe(Math.max(0, nowMs - dueAtMs) / 1000)
    dueAtMs = nowMs + lagIntervalMs
  }, lagIntervalMs)
  timer.unref()
  set.read('stowage_heap_used_bytes', () => process.memoryUsage().heapUsed)
  set.read('process_cpu_seconds_total', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  set.read('process_resident_memory_bytes', () => process.memoryUsage.rss())
  const startedAtMs = performance.timeOrigin
  set.read('process_start_time_seconds', () => startedAtMs / 1000)
  set.read('process_open_fds', () => ofSystem(() => readdirSync('/proc/self/fd').length))
  set.read('process_max_fds', () => ofSystem(() => Number(/^Max open files\s+(\d+)/mu.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1])))
  return () => {
    clearInterval(timer)
  }
}

/** Other systems than Linux tell nothing of themselves there. */
function ofSystem(read: () => number): number | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

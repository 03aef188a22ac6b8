import { Counter, Gauge, Registry } from 'prom-client'
import type { ArchiveCounters } from './archive/index.ts'
import type { CollectionCounters, QueueGauges, Reconciliation, DiskStatus } from './gc/index.ts'
import type { ScrubCounters } from './integrity/index.ts'
import type { BytesInFlight } from './internal/bytes-in-flight.ts'
import type { DatabaseCounters } from './storage/metadata/database.ts'
import type { ArchiveContents } from './storage/metadata/stores/archive-store.ts'

export interface PlatformMetrics {
  readonly registry: Registry
  readonly blobsSetAside: Counter<'damage'>
}

/** Metrics of what lies below the edges. Most values are read when they are asked for. */
export function platformMetrics(database: Readonly<DatabaseCounters>, bytesInFlight: BytesInFlight): PlatformMetrics {
  const registry = new Registry()
  const counter = (name: string, help: string, read: () => number): void => {
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset()
        this.inc(read())
      },
    })
  }
  counter('stowage_database_statements_total', 'SQL statements run', () => database.statements)
  counter('stowage_database_commits_total', 'Commits, each of one command or a group', () => database.commits)
  counter(
    'stowage_database_durable_commits_total',
    'Commits that waited for the disk',
    () => database.durableCommits,
  )
  new Gauge({
    name: 'stowage_transfer_memory_bytes',
    help: 'Bytes of blobs held in memory by transfers',
    registers: [registry],
    collect() {
      this.set(bytesInFlight.inUseBytes)
    },
  })
  const blobsSetAside = new Counter({
    name: 'stowage_blobs_set_aside_total',
    help: 'Places of blobs whose bytes were found missing or damaged, by what was found',
    labelNames: ['damage'],
    registers: [registry],
  })
  return { registry, blobsSetAside }
}

/** Adds those of the background check, where it runs. */
export function addScrubMetrics({ registry }: PlatformMetrics, scrub: Readonly<ScrubCounters>): void {
  new Counter({
    name: 'stowage_scrub_read_bytes_total',
    help: 'Bytes of blobs that the background check has read',
    registers: [registry],
    collect() {
      this.reset()
      this.inc(scrub.bytesRead)
    },
  })
  new Counter({
    name: 'stowage_scrub_findings_total',
    help: 'What the background check has found wrong, by kind',
    labelNames: ['kind'],
    registers: [registry],
    collect() {
      this.reset()
      for (const [kind, count] of Object.entries(scrub.findings)) this.inc({ kind }, count)
    },
  })
  new Gauge({
    name: 'stowage_scrub_last_complete_timestamp_seconds',
    help: 'When the background check had last read everything; 0 before the first time',
    registers: [registry],
    collect() {
      this.reset()
      if (scrub.lastCompleteAtMs !== undefined) this.set(scrub.lastCompleteAtMs / 1000)
    },
  })
}

/** Adds what garbage collection has done. */
export function addCollectionMetrics({ registry }: PlatformMetrics, counters: Readonly<CollectionCounters>): void {
  const names = {
    manifests: ['stowage_gc_manifests_total', 'Images whose time in the trash was over and that were removed for good'],
    blobs: ['stowage_gc_blobs_total', 'Blobs whose bytes were deleted because nothing needed them'],
    bytes: ['stowage_gc_reclaimed_bytes_total', 'Bytes that deleted blobs had'],
    failures: ['stowage_gc_failures_total', 'Reviews that failed and were put off'],
    seconds: ['stowage_gc_seconds_total', 'Seconds spent on collecting'],
  } as const
  for (const [counter, [name, help]] of Object.entries(names)) {
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset()
        this.inc(counters[counter as keyof CollectionCounters])
      },
    })
  }
}

/** Adds what waits for garbage collection, of a minute ago at most. Where it cannot be read it is left out. */
export function addQueueMetrics({ registry }: PlatformMetrics, readGauges: () => Promise<QueueGauges>): void {
  const gauge = (name: string, help: string, set: (gauge: Gauge<'kind' | 'state'>, read: QueueGauges) => void, labelNames: ('kind' | 'state')[] = []): void => {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      async collect() {
        this.reset()
        const read = await readGauges().catch(() => undefined)
        if (read !== undefined) set(this, read)
        else this.remove()
      },
    })
  }
  gauge(
    'stowage_gc_queue',
    'Reviews of what may have become garbage, by kind; those whose time has not come are waiting, the others due. Counted to 100,000',
    (each, { queues }) => {
      for (const { kind, waiting, due } of queues) {
        each.set({ kind, state: 'waiting' }, waiting)
        each.set({ kind, state: 'due' }, due)
      }
    },
    ['kind', 'state'],
  )
  gauge(
    'stowage_gc_overdue_seconds',
    'For how long the first review of a kind has been due; 0 where none is',
    (each, { queues, readAt }) => {
      for (const { kind, due, nextDueAt } of queues) each.set({ kind }, due === 0 || nextDueAt === undefined ? 0 : Math.max(0, readAt - nextDueAt) / 1000)
    },
    ['kind'],
  )
  gauge('stowage_gc_paused', '1 while somebody has paused garbage collection', (each, { isPaused }) => {
    each.set(isPaused ? 1 : 0)
  })
}

/** Adds how full the disks were at the last look, within the hour, and when they will be full. */
export function addDiskMetrics({ registry }: PlatformMetrics, latest: () => readonly DiskStatus[]): void {
  const gauge = (name: string, help: string, valueOf: (status: DiskStatus) => number): void => {
    new Gauge({
      name,
      help,
      labelNames: ['disk'],
      registers: [registry],
      collect() {
        this.reset()
        for (const status of latest()) this.set({ disk: status.disk }, valueOf(status))
      },
    })
  }
  gauge('stowage_disk_used_bytes', 'What is used of the disk of the blobs, and of that of the archive where it is another', ({ usedBytes }) => usedBytes)
  gauge('stowage_disk_free_bytes', 'What is free of it', ({ freeBytes }) => freeBytes)
  gauge('stowage_disk_full_timestamp_seconds', 'When it is full if it goes on as in the last two weeks; 0 where that is not known, or far off', ({ forecast }) => (forecast?.fullAt ?? 0) / 1000)
}

/** Adds what the last comparison of store and database found, whichever server did it. */
export function addReconcileMetrics({ registry }: PlatformMetrics, readLast: () => Promise<Reconciliation | undefined>): void {
  const lastOne = () => readLast().catch(() => undefined)
  new Gauge({
    name: 'stowage_reconcile_last_complete_timestamp_seconds',
    help: 'When store and database had last been compared; 0 before the first time',
    registers: [registry],
    async collect() {
      this.set(((await lastOne())?.finishedAt ?? 0) / 1000)
    },
  })
  new Gauge({
    name: 'stowage_reconcile_findings',
    help: 'What the last comparison of store and database found, by kind',
    labelNames: ['kind'],
    registers: [registry],
    async collect() {
      this.reset()
      const counts = (await lastOne())?.counts
      if (counts === undefined) return
      const kinds = { 'orphan-file': counts.orphanFiles, 'orphan-upload': counts.orphanUploads, 'file-missing': counts.missingFiles, 'file-wrong-size': counts.wrongSizes, forgotten: counts.forgotten }
      for (const [kind, count] of Object.entries(kinds)) this.set({ kind }, count)
    },
  })
  new Gauge({
    name: 'stowage_reconcile_orphan_bytes',
    help: 'Bytes that the last comparison found under names that no row of the database has',
    registers: [registry],
    async collect() {
      const counts = (await lastOne())?.counts
      this.set((counts?.orphanBytes ?? 0) + (counts?.orphanUploadBytes ?? 0))
    },
  })
}

/** Adds what is in the archive, and what was moved. */
export function addArchiveMetrics(
  { registry }: PlatformMetrics,
  counters: Readonly<ArchiveCounters>,
  readContents: () => Promise<ArchiveContents>,
): void {
  const moved = {
    archivedBlobs: ['stowage_archive_archived_blobs_total', 'Blobs moved to the archive'],
    archivedBytes: ['stowage_archive_archived_bytes_total', 'Bytes that blobs moved to the archive have'],
    restoredBlobs: ['stowage_archive_restored_blobs_total', 'Blobs moved back from the archive'],
    restoredBytes: ['stowage_archive_restored_bytes_total', 'Bytes that blobs moved back from the archive have'],
    failures: ['stowage_archive_failures_total', 'Moves to or from the archive that failed and were put off'],
  } as const
  for (const [counter, [name, help]] of Object.entries(moved)) {
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset()
        this.inc(counters[counter as keyof ArchiveCounters])
      },
    })
  }
  const contents = {
    blobs: ['stowage_archive_blobs', 'Blobs in the archive, counted some minutes ago'],
    sizeBytes: ['stowage_archive_blob_bytes', 'Bytes that the blobs in the archive have'],
    storedBytes: ['stowage_archive_stored_bytes', 'Bytes that the blobs in the archive take there'],
    activatingImages: ['stowage_archive_activating_images', 'Images that wait for their blobs to come back from the archive'],
  } as const
  for (const [content, [name, help]] of Object.entries(contents)) {
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        this.set((await readContents())[content as keyof ArchiveContents])
      },
    })
  }
}

/** Adds the holds of registries, by cause. */
export function addHoldMetrics({ registry }: PlatformMetrics, openHolds: ReadonlyMap<string, number>): void {
  new Gauge({
    name: 'stowage_registry_holds',
    help: 'Holds that are not released, by cause: while a registry has one, nothing is removed from it automatically',
    labelNames: ['cause'],
    registers: [registry],
    collect() {
      for (const cause of ['operator', 'restore', 'migration', 'clock', 'source']) this.set({ cause }, openHolds.get(cause) ?? 0)
    },
  })
}

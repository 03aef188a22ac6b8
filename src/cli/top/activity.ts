import { quantile, rise, type Samples } from './samples.ts'

interface OperationActivity {
  readonly protocol: string
  readonly operation: string
  readonly perSecond: number
  /** Of status 400 and above. */
  readonly refusedPerSecond: number
  readonly medianSeconds?: number | undefined
  readonly p99Seconds?: number | undefined
}

/** What a server did between two moments, and how it is at the second one. Rates are per second. */
export interface Activity {
  readonly version: string
  readonly database: string
  readonly startedAt: string
  readonly seconds: number
  readonly requests: { readonly perSecond: number; readonly failedPerSecond: number; readonly inFlight: number; readonly receivedBytesPerSecond: number; readonly sentBytesPerSecond: number }
  readonly images: { readonly pullsPerSecond: number; readonly pushesPerSecond: number; readonly uploadsPerSecond: number; readonly openUploads: number; readonly repositories: number; readonly images: number; readonly imageBytes: number }
  readonly process: { readonly cpus: number; readonly residentBytes: number; readonly lagP99Seconds?: number | undefined; readonly openFiles?: number | undefined }
  readonly commands: { readonly perSecond: number; readonly failedPerSecond: number; readonly waiting: number; readonly p99Seconds?: number | undefined }
  readonly collection: { readonly paused: boolean; readonly due: number; readonly waiting: number; readonly overdueSeconds: number; readonly reclaimedBytes: number; readonly failures: number }
  /** Since the server began. */
  readonly lifecycle: Readonly<Record<string, number>>
  readonly archive: { readonly blobs: number; readonly storedBytes: number; readonly activatingImages: number }
  readonly holds: number
  readonly disks: readonly { readonly disk: string; readonly usedBytes: number; readonly freeBytes: number; readonly fullAt?: string | undefined }[]
  /** The busiest first. */
  readonly operations: readonly OperationActivity[]
}

/** Undefined where the two are of different servers, or of one that was started between them. */
export function activityBetween(before: Samples, after: Samples): Activity | undefined {
  const startedAt = after.sum('process_start_time_seconds') ?? 0
  const seconds = (after.atMs - before.atMs) / 1000
  if (before.sum('process_start_time_seconds') !== startedAt || seconds <= 0) return undefined
  const perSecond = (name: string, labels?: Readonly<Record<string, string>>): number => rise(before, after, name, labels) / seconds
  const now = (name: string, labels?: Readonly<Record<string, string>>): number => after.sum(name, labels) ?? 0
  const build = after.of('stowage_build_info')[0]?.labels
  return {
    version: build?.['version'] ?? '',
    database: build?.['database'] ?? '',
    startedAt: new Date(startedAt * 1000).toISOString(),
    seconds,
    requests: {
      perSecond: perSecond('stowage_http_requests_total'),
      failedPerSecond: perSecond('stowage_http_requests_total', { status: '5xx' }),
      inFlight: now('stowage_http_requests_in_flight'),
      receivedBytesPerSecond: perSecond('stowage_http_received_bytes_total'),
      sentBytesPerSecond: perSecond('stowage_http_sent_bytes_total'),
    },
    images: {
      pullsPerSecond: perSecond('stowage_image_pulls_total'),
      pushesPerSecond: perSecond('stowage_image_pushes_total'),
      uploadsPerSecond: perSecond('stowage_uploads_completed_total'),
      openUploads: now('stowage_uploads_open'),
      repositories: now('stowage_repositories'),
      images: now('stowage_images'),
      imageBytes: now('stowage_image_bytes'),
    },
    process: {
      cpus: perSecond('process_cpu_seconds_total'),
      residentBytes: now('process_resident_memory_bytes'),
      lagP99Seconds: quantile(0.99, before, after, 'stowage_event_loop_lag_seconds'),
      openFiles: after.sum('process_open_fds'),
    },
    commands: {
      perSecond: perSecond('stowage_database_commands_total'),
      failedPerSecond: perSecond('stowage_database_commands_total', { outcome: 'failed' }),
      waiting: now('stowage_database_commands_waiting'),
      p99Seconds: quantile(0.99, before, after, 'stowage_database_command_duration_seconds'),
    },
    collection: {
      paused: now('stowage_gc_paused') === 1,
      due: now('stowage_gc_queue', { state: 'due' }),
      waiting: now('stowage_gc_queue', { state: 'waiting' }),
      overdueSeconds: Math.max(0, ...after.of('stowage_gc_overdue_seconds').map(({ value }) => value)),
      reclaimedBytes: now('stowage_gc_reclaimed_bytes_total'),
      failures: now('stowage_gc_failures_total'),
    },
    lifecycle: Object.fromEntries(after.of('stowage_lifecycle_runs_total').map(({ labels, value }) => [labels['outcome'] ?? '', value])),
    archive: { blobs: now('stowage_archive_blobs'), storedBytes: now('stowage_archive_stored_bytes'), activatingImages: now('stowage_archive_activating_images') },
    holds: now('stowage_registry_holds'),
    disks: after.of('stowage_disk_used_bytes').map(({ labels: { disk = '' }, value }) => {
      const fullAt = now('stowage_disk_full_timestamp_seconds', { disk })
      return { disk, usedBytes: value, freeBytes: now('stowage_disk_free_bytes', { disk }), fullAt: fullAt === 0 ? undefined : new Date(fullAt * 1000).toISOString() }
    }),
    operations: operationsBetween(before, after, seconds),
  }
}

function operationsBetween(before: Samples, after: Samples, seconds: number): OperationActivity[] {
  const metric = 'stowage_http_request_duration_seconds'
  const names = new Set(after.of('stowage_http_requests_total').map(({ labels: { protocol = '', operation = '' } }) => `${protocol} ${operation}`))
  return [...names]
    .map((name) => {
      const [protocol = '', operation = ''] = name.split(' ')
      const of = { protocol, operation }
      const requests = rise(before, after, 'stowage_http_requests_total', of)
      const refused = ['4xx', '5xx'].reduce((sum, status) => sum + rise(before, after, 'stowage_http_requests_total', { ...of, status }), 0)
      return {
        ...of,
        perSecond: requests / seconds,
        refusedPerSecond: refused / seconds,
        medianSeconds: quantile(0.5, before, after, metric, of),
        p99Seconds: quantile(0.99, before, after, metric, of),
      }
    })
    .filter((each) => each.perSecond > 0)
    .sort((one, other) => other.perSecond - one.perSecond)
}

import type { MetricDeclaration } from './declaration.ts'

/*
 * Every metric there is. No label has the name of a repository, a client or an account, so that however many there are of
 * them a server has the same few hundred series. docs/reference/metrics.md is generated from this.
 */

const protocols = ['oci', 'ecr', 'iam', 'sts', 'cloudtrail', 'events', 'logs', 'monitoring', 'stowage', 'ops', 'none'] as const
const clientProtocols = ['oci', 'ecr'] as const
const operations = { atMost: 400, of: 'the operations of the docker endpoint and of the AWS services; `none` where a request names none' } as const
const statusClasses = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const
const reviewKinds = ['repository', 'manifest', 'repository-blob', 'blob', 'location'] as const
const outlets = ['export', 'syslog', 'otlp', 'webhook'] as const
const disks = ['blobs', 'archive'] as const

export const declaredMetrics = {
  stowage_http_requests_total: {
    type: 'counter',
    unit: 'requests',
    help: 'Requests whose answer has ended, by what they asked for and the class of their status',
    labels: { protocol: protocols, operation: operations, status: statusClasses },
  },
  stowage_http_request_duration_seconds: {
    type: 'histogram',
    unit: 'seconds',
    help: 'Time from the request line to the last byte of the answer: of a layer, as long as its client takes',
    labels: { protocol: protocols, operation: operations, status: statusClasses },
    // From an answer out of memory to a layer over a slow line.
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600],
  },
  stowage_http_errors_total: {
    type: 'counter',
    unit: 'answers',
    help: 'Answers that refused or failed, by the code that they gave, such as MANIFEST_UNKNOWN or ThrottlingException',
    labels: { protocol: protocols, code: { atMost: 300, of: 'the error codes of the protocols' } },
  },
  stowage_http_aborted_total: {
    type: 'counter',
    unit: 'requests',
    help: 'Requests whose connection ended before their answer did',
    labels: { protocol: protocols },
  },
  stowage_http_received_bytes_total: {
    type: 'counter',
    unit: 'bytes',
    help: 'Bytes of request bodies',
    labels: { protocol: protocols },
  },
  stowage_http_sent_bytes_total: {
    type: 'counter',
    unit: 'bytes',
    help: 'Bytes of answers, headers included',
    labels: { protocol: protocols },
  },
  stowage_http_requests_in_flight: {
    type: 'gauge',
    unit: 'requests',
    help: 'Requests whose answer has not ended',
    labels: {},
  },
  stowage_image_pulls_total: {
    type: 'counter',
    unit: 'manifests',
    help: 'Manifests given to clients that asked for their content, on whichever protocol',
    labels: { protocol: clientProtocols },
  },
  stowage_image_pushes_total: {
    type: 'counter',
    unit: 'manifests',
    help: 'Manifests and tags that pushes put, whether or not they were there before',
    labels: { protocol: clientProtocols },
  },
  stowage_uploads_completed_total: {
    type: 'counter',
    unit: 'blobs',
    help: 'Blobs that were uploaded whole and are stored',
    labels: { protocol: clientProtocols },
  },
  stowage_uploads_open: {
    type: 'gauge',
    unit: 'upload sessions',
    help: 'Upload sessions that are neither completed nor expired, of all servers with the same database, counted within the last minute',
    labels: {},
  },
  stowage_repositories: {
    type: 'gauge',
    unit: 'repositories',
    help: 'Repositories of all registries, without those in the trash, counted within the last minute',
    labels: {},
  },
  stowage_images: {
    type: 'gauge',
    unit: 'images',
    help: 'Images of all repositories, without those in the trash; a repository that an earlier version made counts from its first change on',
    labels: {},
  },
  stowage_image_bytes: {
    type: 'gauge',
    unit: 'bytes',
    help: 'Bytes of these images, each with all its layers; on the disk a layer that several have is once',
    labels: {},
  },
  stowage_disk_used_bytes: {
    type: 'gauge',
    unit: 'bytes',
    help: 'What is used of the disk of the blobs, and of that of the archive where it is another',
    labels: { disk: disks },
  },
  stowage_disk_free_bytes: { type: 'gauge', unit: 'bytes', help: 'What is free of it', labels: { disk: disks } },
  stowage_disk_full_timestamp_seconds: {
    type: 'gauge',
    unit: 'time',
    help: 'When it is full if it goes on as in the last two weeks; 0 where that is not known, or far off',
    labels: { disk: disks },
  },
  stowage_transfer_memory_bytes: { type: 'gauge', unit: 'bytes', help: 'Bytes of blobs held in memory by transfers', labels: {} },
  stowage_blobs_set_aside_total: {
    type: 'counter',
    unit: 'blobs',
    help: 'Places of blobs whose bytes were found missing or damaged, by what was found',
    labels: { damage: ['missing', 'wrong-size', 'corrupt'] },
  },
  stowage_scrub_read_bytes_total: { type: 'counter', unit: 'bytes', help: 'Bytes of blobs that the background check has read', labels: {} },
  stowage_scrub_findings_total: {
    type: 'counter',
    unit: 'findings',
    help: 'What the background check has found wrong, by kind',
    labels: { kind: { atMost: 40, of: 'the kinds of findings of `stowage verify`' } },
  },
  stowage_scrub_last_complete_timestamp_seconds: {
    type: 'gauge',
    unit: 'time',
    help: 'When the background check had last read everything; 0 before the first time',
    labels: {},
  },
  stowage_gc_manifests_total: {
    type: 'counter',
    unit: 'manifests',
    help: 'Images whose time in the trash was over and that were removed for good',
    labels: {},
  },
  stowage_gc_blobs_total: { type: 'counter', unit: 'blobs', help: 'Blobs whose bytes were deleted because nothing needed them', labels: {} },
  stowage_gc_reclaimed_bytes_total: { type: 'counter', unit: 'bytes', help: 'Bytes that deleted blobs had', labels: {} },
  stowage_gc_failures_total: { type: 'counter', unit: 'reviews', help: 'Reviews that failed and were put off', labels: {} },
  stowage_gc_seconds_total: { type: 'counter', unit: 'seconds', help: 'Seconds spent on collecting', labels: {} },
  stowage_gc_queue: {
    type: 'gauge',
    unit: 'reviews',
    help: 'Reviews of what may have become garbage, by kind; those whose time has not come are waiting, the others due. Counted to 100,000',
    labels: { kind: reviewKinds, state: ['waiting', 'due'] },
  },
  stowage_gc_overdue_seconds: {
    type: 'gauge',
    unit: 'seconds',
    help: 'For how long the first review of a kind has been due; 0 where none is',
    labels: { kind: reviewKinds },
  },
  stowage_gc_paused: { type: 'gauge', unit: 'yes or no', help: '1 while somebody has paused garbage collection', labels: {} },
  stowage_reconcile_last_complete_timestamp_seconds: {
    type: 'gauge',
    unit: 'time',
    help: 'When store and database had last been compared; 0 before the first time',
    labels: {},
  },
  stowage_reconcile_findings: {
    type: 'gauge',
    unit: 'findings',
    help: 'What the last comparison of store and database found, by kind',
    labels: { kind: ['orphan-file', 'orphan-upload', 'file-missing', 'file-wrong-size', 'forgotten'] },
  },
  stowage_reconcile_orphan_bytes: {
    type: 'gauge',
    unit: 'bytes',
    help: 'Bytes that the last comparison found under names that no row of the database has',
    labels: {},
  },
  stowage_lifecycle_runs_total: {
    type: 'counter',
    unit: 'runs',
    help: 'Runs of lifecycle policies that came to an end or have to wait: `unconfirmed` for somebody to say so, `held` for a hold; `failed` ones are tried again',
    labels: { outcome: ['done', 'applying', 'unconfirmed', 'held', 'cancelled', 'failed'] },
  },
  stowage_lifecycle_images_total: {
    type: 'counter',
    unit: 'images',
    help: 'Images that runs of lifecycle policies took to the trash or to the archive',
    labels: { action: ['expired', 'archived'] },
  },
  stowage_archive_archived_blobs_total: { type: 'counter', unit: 'blobs', help: 'Blobs moved to the archive', labels: {} },
  stowage_archive_archived_bytes_total: { type: 'counter', unit: 'bytes', help: 'Bytes that blobs moved to the archive have', labels: {} },
  stowage_archive_restored_blobs_total: { type: 'counter', unit: 'blobs', help: 'Blobs moved back from the archive', labels: {} },
  stowage_archive_restored_bytes_total: { type: 'counter', unit: 'bytes', help: 'Bytes that blobs moved back from the archive have', labels: {} },
  stowage_archive_failures_total: {
    type: 'counter',
    unit: 'moves',
    help: 'Moves to or from the archive that failed and were put off',
    labels: {},
  },
  stowage_archive_blobs: { type: 'gauge', unit: 'blobs', help: 'Blobs in the archive, counted some minutes ago', labels: {} },
  stowage_archive_blob_bytes: { type: 'gauge', unit: 'bytes', help: 'Bytes that the blobs in the archive have', labels: {} },
  stowage_archive_stored_bytes: { type: 'gauge', unit: 'bytes', help: 'Bytes that the blobs in the archive take there', labels: {} },
  stowage_archive_activating_images: {
    type: 'gauge',
    unit: 'images',
    help: 'Images that wait for their blobs to come back from the archive',
    labels: {},
  },
  stowage_events_delivered_total: { type: 'counter', unit: 'events', help: 'Events that a target has accepted', labels: {} },
  stowage_event_attempts_failed_total: { type: 'counter', unit: 'attempts', help: 'Attempts to deliver an event that failed', labels: {} },
  stowage_events_dead_lettered_total: { type: 'counter', unit: 'events', help: 'Events that were given up for a target and became dead letters', labels: {} },
  stowage_events_waiting: {
    type: 'gauge',
    unit: 'events',
    help: 'Events that wait to be compared with rules, or to be delivered to a target; one for each target, 100,000 of both kinds at most',
    labels: {},
  },
  stowage_events_oldest_seconds: { type: 'gauge', unit: 'seconds', help: 'For how long the oldest of them has been waiting', labels: {} },
  stowage_event_dead_letters: { type: 'gauge', unit: 'events', help: 'Dead letters that are kept, 100,000 at most', labels: {} },
  stowage_audit_outlet_sent_total: { type: 'counter', unit: 'records', help: 'Records of the audit trail that were exported or forwarded', labels: { outlet: outlets } },
  stowage_audit_outlet_failures_total: { type: 'counter', unit: 'attempts', help: 'Attempts to export or forward records that failed; they are repeated', labels: { outlet: outlets } },
  stowage_audit_outlet_waiting: { type: 'gauge', unit: 'records', help: 'Records that are sealed and not yet exported or forwarded', labels: { outlet: outlets } },
  stowage_audit_outlet_oldest_seconds: { type: 'gauge', unit: 'seconds', help: 'How long ago the oldest of them came', labels: { outlet: outlets } },
  stowage_registry_holds: {
    type: 'gauge',
    unit: 'holds',
    help: 'Holds that are not released, by cause: while a registry has one, nothing is removed from it automatically',
    labels: { cause: ['operator', 'restore', 'migration', 'clock', 'source'] },
  },
  stowage_database_statements_total: { type: 'counter', unit: 'statements', help: 'SQL statements run', labels: {} },
  stowage_database_commits_total: { type: 'counter', unit: 'commits', help: 'Commits, each of one command or a group', labels: {} },
  stowage_database_durable_commits_total: { type: 'counter', unit: 'commits', help: 'Commits that waited for the disk', labels: {} },
  stowage_database_commands_total: {
    type: 'counter',
    unit: 'commands',
    help: 'Write commands that have ended: `refused` by a rule, `failed` by the database or a fault of the program',
    labels: { outcome: ['done', 'refused', 'failed'] },
  },
  stowage_database_command_duration_seconds: {
    type: 'histogram',
    unit: 'seconds',
    help: 'Time from asking for a write command to its commit, the wait for its turn included',
    labels: {},
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30],
  },
  stowage_database_commands_waiting: { type: 'gauge', unit: 'commands', help: 'Write commands that were asked for and have not ended', labels: {} },
  stowage_database_connections: {
    type: 'gauge',
    unit: 'connections',
    help: 'Connections to PostgreSQL, by pool; none with SQLite',
    labels: { pool: ['read', 'write'], state: ['busy', 'idle'] },
  },
  stowage_database_connection_waiters: {
    type: 'gauge',
    unit: 'statements and commands',
    help: 'What waits for a connection to PostgreSQL, by pool',
    labels: { pool: ['read', 'write'] },
  },
  stowage_event_loop_lag_seconds: {
    type: 'histogram',
    unit: 'seconds',
    help: 'How late a timer of the main thread was, looked at twice a second: for so long everything waits',
    labels: {},
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
  },
  stowage_heap_used_bytes: { type: 'gauge', unit: 'bytes', help: "Bytes in use of the main thread's heap", labels: {} },
  stowage_build_info: {
    type: 'gauge',
    unit: 'yes or no',
    help: 'Always 1; its labels tell which Stowage this is, and on which database',
    labels: { version: { atMost: 1, of: 'the version of this server' }, database: ['sqlite', 'postgres'] },
  },
  process_cpu_seconds_total: { type: 'counter', unit: 'seconds', help: 'Processor time of all threads, of the system on their behalf too', labels: {} },
  process_resident_memory_bytes: { type: 'gauge', unit: 'bytes', help: 'Memory of the process that is in RAM', labels: {} },
  process_open_fds: { type: 'gauge', unit: 'descriptors', help: 'Open files and connections; Linux only', labels: {} },
  process_max_fds: { type: 'gauge', unit: 'descriptors', help: 'How many may be open; Linux only', labels: {} },
  process_start_time_seconds: { type: 'gauge', unit: 'time', help: 'When the process began', labels: {} },
} as const satisfies Readonly<Record<string, MetricDeclaration>>

export type MetricName = keyof typeof declaredMetrics

type NamesOf<Type extends MetricDeclaration['type']> = {
  [Name in MetricName]: (typeof declaredMetrics)[Name]['type'] extends Type ? Name : never
}[MetricName]

export type CounterName = NamesOf<'counter'>
export type GaugeName = NamesOf<'gauge'>
export type HistogramName = NamesOf<'histogram'>

/** A value for each of a metric's labels. */
export type LabelsOf<Name extends MetricName> = Readonly<Record<keyof (typeof declaredMetrics)[Name]['labels'], string>>

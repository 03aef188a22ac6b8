import { sql, type Kysely } from 'kysely'
import type { DialectName } from '../statement.ts'
import { inDialect } from './dialect-words.ts'
import type { MetadataMigration } from './migration.ts'

/*
 * The end of an image's life: what removes it (policies, their previews and runs), what forbids that (protections, uses by
 * workloads, holds), how it comes back (trash batches), the archive, and the notice given before.
 */
const statements = [
  // A policy that was taken away has no document, and goes on counting its versions.
  `create table lifecycle_policy (
    id {id},
    registry_id {int} not null references registry,
    grammar {name} not null,
    scope {name} not null,
    scope_key {name} not null,
    repository_id {int} references repository,
    document text,
    version {int} not null,
    updated_at {int} not null,
    updated_by text not null,
    planned_to {int},
    unique (registry_id, grammar, scope, scope_key)
  ) {end}`,
  `create index lifecycle_policy_planning on lifecycle_policy (id) where planned_to is not null`,
  `create index lifecycle_policy_repository on lifecycle_policy (repository_id) where repository_id is not null`,

  `create table lifecycle_policy_version (
    policy_id {int} not null references lifecycle_policy,
    version {int} not null,
    document text,
    changed_at {int} not null,
    changed_by text not null,
    primary key (policy_id, version)
  ) {endKeyed}`,

  // Indexes of a repository, without a look at everything else in it.
  `create index manifest_indexes on manifest (repository_id, id) where kind = 'index' and trashed_at is null`,

  `create table lifecycle_state (
    repository_id {int} primary key references repository,
    evaluated_at {int},
    evaluated_seq {int},
    policies_seen text,
    due_at {int} not null,
    leased_by text,
    leased_until {int}
  ) {endKeyed}`,

  // The last one of each repository.
  `create table lifecycle_preview (
    id {id},
    repository_id {int} not null unique references repository,
    document text not null,
    status text not null,
    failure text,
    summary text,
    started_at {int} not null,
    started_by text not null,
    finished_at {int},
    leased_by text,
    leased_until {int}
  ) {end}`,

  // Results by the thousand, named by the number of the first one's manifest.
  `create table lifecycle_preview_page (
    preview_id {int} not null references lifecycle_preview,
    first_manifest_id {int} not null,
    results {bytes} not null,
    primary key (preview_id, first_manifest_id)
  ) {endKeyed}`,

  `create table lifecycle_run (
    id text primary key,
    repository_id {int} not null references repository,
    cause text not null,
    policies text not null,
    status {name} not null,
    concern text,
    summary text not null,
    trash_batch text,
    started_at {int} not null,
    started_by text not null,
    finished_at {int},
    decided_at {int},
    decided_by text,
    leased_by text,
    leased_until {int}
  ) {endKeyed}`,
  `create index lifecycle_run_repository on lifecycle_run (repository_id, started_at, id)`,
  `create index lifecycle_run_open on lifecycle_run (status) where finished_at is null`,

  // What of an image's content policies may ask for, read from it once.
  `create table manifest_label (
    manifest_id {int} primary key references manifest,
    labels text not null,
    annotations text not null
  ) {endKeyed}`,

  `create table protection (
    id {id},
    repository_id {int} not null references repository,
    kind {name} not null,
    target {name} not null,
    reason text not null,
    owner text not null,
    created_at {int} not null,
    created_by text not null,
    ends_at {int},
    unique (repository_id, kind, target)
  ) {end}`,
  `create index protection_repository on protection (repository_id, id)`,

  `create table usage_source (
    id {id},
    registry_id {int} not null references registry,
    name {name} not null,
    principal_arn text not null,
    kind text not null,
    environment text not null,
    scope text not null,
    interval_ms {int} not null,
    shrink_percent {int} not null,
    status text not null,
    doubt text,
    doubt_since {int},
    doubted_count {int},
    agreed_count {int} not null,
    agreed_at {int},
    waived_at {int},
    waived_by text,
    last_number {int} not null,
    believed_number {int},
    believed_began_at {int},
    believed_at {int},
    believed_count {int},
    created_at {int} not null,
    created_by text not null,
    decommissioned_at {int},
    decommissioned_by text,
    unique (registry_id, name)
  ) {end}`,

  `create table usage_snapshot (
    source_id {int} not null references usage_source,
    number {int} not null,
    writer text not null,
    status text not null,
    expected_count {int},
    received_count {int} not null,
    began_at {int} not null,
    ended_at {int},
    problem text,
    primary key (source_id, number)
  ) {endKeyed}`,

  // One row for each, whatever the number of snapshots that had it: a snapshot takes it over, and what the newest believed
  // one did not take over goes.
  `create table usage_lease (
    id {id},
    source_id {int} not null references usage_source,
    snapshot {int} not null,
    registry_id {int} not null references registry,
    repository {name} not null,
    digest {bytes} not null,
    workload {name} not null,
    environment text not null,
    first_seen_at {int} not null,
    until {int}
  ) {end}`,
  `create unique index usage_lease_workload on usage_lease (source_id, digest, repository, workload)`,
  `create index usage_lease_snapshot on usage_lease (source_id, snapshot)`,
  `create index usage_lease_source on usage_lease (source_id, id)`,
  `create index usage_lease_digest on usage_lease (registry_id, digest)`,

  // When a workload last had it: outlives the leases.
  `create table digest_use (
    registry_id {int} not null references registry,
    repository {name} not null,
    digest {bytes} not null,
    last_used_at {int} not null,
    primary key (registry_id, digest, repository)
  ) {endKeyed}`,

  `create table registry_hold (
    id {id},
    registry_id {int} not null references registry,
    cause {name} not null,
    source_id {int} references usage_source,
    reason text not null,
    raised_at {int} not null,
    raised_by text not null,
    released_at {int},
    released_by text,
    release_reason text
  ) {end}`,
  `create index registry_hold_open on registry_hold (registry_id, cause) where released_at is null`,
  `create index registry_hold_registry on registry_hold (registry_id, id)`,
  `create index registry_hold_source on registry_hold (source_id) where source_id is not null`,

  // What went together, and comes back together. Rows of images and repositories name it in their trash_batch.
  `create table trash_batch (
    id text primary key,
    registry_id {int} not null references registry,
    repository_id {int} not null references repository,
    kind {name} not null,
    cause text not null,
    is_security {int} not null,
    image_count {int} not null,
    tag_count {int} not null,
    created_at {int} not null,
    created_by text not null,
    purge_after {int} not null,
    restored_at {int},
    restored_by text,
    purged_at {int}
  ) {endKeyed}`,
  `create index trash_batch_registry on trash_batch (registry_id)`,
  `create index trash_batch_repository on trash_batch (repository_id, created_at, id)`,
  // Those that came back or were purged pile up, and nobody lists them.
  `create index trash_batch_open on trash_batch (registry_id, created_at, id) where purged_at is null and restored_at is null`,
  `create index trash_batch_due on trash_batch (purge_after) where purged_at is null and restored_at is null`,
  `create index manifest_trash_batch on manifest (trash_batch, id) where trash_batch is not null`,

  // Of what earlier versions have deleted; they knew one retention, and no causes.
  `insert into trash_batch
    (id, registry_id, repository_id, kind, cause, is_security, image_count, tag_count, created_at, created_by, purge_after)
    select m.trash_batch, r.registry_id, m.repository_id, 'images', '{"action":"BatchDeleteImage"}', 0, count(*),
      (select count(*) from trashed_tag t join manifest o on o.id = t.manifest_id where o.trash_batch = m.trash_batch),
      min(m.trashed_at), min(m.trashed_by), max(m.purge_after)
    from manifest m join repository r on r.id = m.repository_id
    where m.trash_batch is not null and m.trashed_at is not null
    group by m.trash_batch, r.registry_id, m.repository_id`,
  `insert into trash_batch
    (id, registry_id, repository_id, kind, cause, is_security, image_count, tag_count, created_at, created_by, purge_after)
    select r.trash_batch, r.registry_id, r.id, 'repository', '{"action":"DeleteRepository"}', 0, coalesce(r.image_count, 0),
      0, r.trashed_at, r.trashed_by, r.purge_after
    from repository r where r.trash_batch is not null and r.trashed_at is not null`,

  // So that a tag comes back as old as it was.
  `alter table trashed_tag add column tagged_at {int}`,
  // Set where the tag went with its image; else the change stands for itself, and can be undone by itself.
  `alter table tag_history add column trash_batch text`,
  `create index tag_history_repository on tag_history (repository_id, id)`,

  // What was erased for good before its time, and for whom.
  `create table erasure (
    id text primary key,
    registry_id {int} not null references registry,
    repository_id {int} not null,
    requested_at {int} not null,
    requested_by text not null,
    reason text not null,
    status text not null,
    finished_at {int},
    detail text not null
  ) {endKeyed}`,
  `create index erasure_registry on erasure (registry_id, requested_at)`,

  // The bytes of its living images; null until somebody had to count them.
  `alter table repository add column logical_bytes {int}`,

  // Every image that goes is counted, so that a decision about the others is known to be of before.
  `alter table repository add column lost_count {int} not null default 0`,

  // 0: none; a state of retirement otherwise, whose row tells more. Beside the manifest because every pull asks.
  `alter table manifest add column retirement {int} not null default 0`,
  `create table image_retirement (
    manifest_id {int} primary key references manifest,
    image_id {int} not null,
    reason text not null,
    replaced_by text,
    steps text not null,
    due_at {int},
    postponed text,
    changed_at {int} not null,
    changed_by text not null
  ) {endKeyed}`,
  `create index image_retirement_image on image_retirement (image_id)`,
  `create index image_retirement_due on image_retirement (due_at) where due_at is not null`,

  // How many temporary credentials an account has: whoever begins some locks the number, and none costs a count of all.
  `create table sts_session_count (
    account_id {name} primary key references account,
    sessions {int} not null,
    counted_at {int} not null
  ) {endKeyed}`,
  `create index sts_session_account on sts_session (account_id)`,
  `insert into sts_session_count select account_id, count(*), 0 from sts_session group by account_id`,

  // Of which account something was changed under which value of the generation; and how many of its values are told here, which
  // an earlier version that writes to the same database does not do.
  `alter table iam_generation add column accounted {int} not null default 0`,
  `create table iam_account_generation (
    account_id {name} primary key,
    value {int} not null
  ) {endKeyed}`,
  `create index iam_account_generation_value on iam_account_generation (value)`,

  // How the bytes at a location are kept: as they are, or compressed; and how many they are then.
  `alter table blob_location add column encoding text not null default 'identity'`,
  `alter table blob_location add column stored_size_bytes {int}`,
  // Images that wait for their blobs.
  `create index manifest_activating on manifest (id) where storage_class = 'activating'`,
]

export function lifecycle(dialect: DialectName): MetadataMigration {
  return {
    description: {
      changes: 'Adds tables for lifecycle policies and their runs, for what protects images, for the trash, the archive and retirement, and counts the temporary credentials of each account.',
      rewrites: ['manifest', 'repository', 'sts_session'],
      // They know nothing of what is protected, runs or lies in the archive, nor keep the counts.
      runningServersGoOn: false,
    },
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of statements) await sql.raw(inDialect(dialect, statement)).execute(db)
    },
  }
}

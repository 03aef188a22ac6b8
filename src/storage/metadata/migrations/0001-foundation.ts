import { sql, type Kysely } from 'kysely'
import type { DialectName } from '../statement.ts'
import { inDialect } from './dialect-words.ts'
import type { MetadataMigration } from './migration.ts'

const trash = `trashed_at {int}, purge_after {int}, trashed_by text, trash_batch text`

const statements = [
  `create table account (account_id {name} primary key, created_at {int} not null) {endKeyed}`,

  `create table registry (
    id {id},
    account_id {name} not null references account,
    region {name} not null,
    created_at {int} not null,
    unique (account_id, region)
  ) {end}`,

  `create table blob_domain (id {id}, name {name} not null unique, created_at {int} not null) {end}`,

  `create table repository (
    id {id},
    registry_id {int} not null references registry,
    domain_id {int} not null references blob_domain,
    name {name} not null,
    created_at {int} not null,
    created_by text not null,
    tag_mutability text not null,
    mutability_filters text not null,
    scan_on_push {int} not null,
    encryption_type text not null,
    kms_key text,
    event_seq {int} not null,
    ${trash}
  ) {end}`,
  `create unique index repository_living_name on repository (registry_id, name) where trashed_at is null`,
  `create index repository_trashed on repository (purge_after) where trashed_at is not null`,

  `create table resource_tag (
    repository_id {int} not null references repository,
    key {name} not null,
    value text not null,
    primary key (repository_id, key)
  ) {endKeyed}`,

  `create table manifest (
    id {id},
    repository_id {int} not null references repository,
    digest {bytes} not null,
    media_type text not null,
    kind text not null,
    artifact_type text,
    size_bytes {int} not null,
    image_size_bytes {int} not null,
    subject_digest {bytes},
    annotations text,
    pushed_at {int} not null,
    pushed_by text not null,
    storage_class text not null,
    last_archived_at {int},
    last_activated_at {int},
    ${trash},
    unique (repository_id, digest)
  ) {end}`,
  `create index manifest_living on manifest (repository_id, id) where trashed_at is null`,
  `create index manifest_subject on manifest (repository_id, subject_digest, id) where subject_digest is not null`,
  `create index manifest_trashed on manifest (purge_after) where trashed_at is not null`,

  `create table manifest_payload (manifest_id {int} primary key references manifest, payload {bytes} not null) {end}`,

  `create table manifest_pull (
    manifest_id {int} primary key references manifest,
    last_pulled_at {int} not null,
    pull_count {int} not null
  ) {end}`,

  `create table manifest_reference (
    manifest_id {int} not null references manifest,
    position {int} not null,
    repository_id {int} not null,
    digest {bytes} not null,
    kind text not null,
    role text not null,
    media_type text not null,
    size_bytes {int} not null,
    primary key (manifest_id, position)
  ) {endKeyed}`,
  `create index manifest_reference_target on manifest_reference (digest, repository_id)`,

  `create table tag (
    repository_id {int} not null references repository,
    name {name} not null,
    manifest_id {int} not null references manifest,
    tagged_at {int} not null,
    primary key (repository_id, name)
  ) {endKeyed}`,
  `create index tag_manifest on tag (manifest_id, name)`,

  `create table trashed_tag (
    manifest_id {int} not null references manifest,
    name {name} not null,
    primary key (manifest_id, name)
  ) {endKeyed}`,

  `create table tag_history (
    id {id},
    repository_id {int} not null references repository,
    name {name} not null,
    digest {bytes},
    previous_digest {bytes},
    changed_at {int} not null,
    changed_by text not null
  ) {end}`,
  `create index tag_history_name on tag_history (repository_id, name, changed_at)`,

  `create table blob (
    id {id},
    domain_id {int} not null references blob_domain,
    digest {bytes} not null,
    size_bytes {int} not null,
    created_at {int} not null,
    unique (domain_id, digest)
  ) {end}`,

  `create table blob_location (
    id {id},
    blob_id {int} not null references blob,
    store text not null,
    key {name} not null,
    generation text not null,
    state text not null,
    created_at {int} not null,
    unique (store, key)
  ) {end}`,
  `create unique index blob_location_active on blob_location (blob_id) where state = 'active'`,
  `create index blob_location_blob on blob_location (blob_id)`,

  `create table repository_blob (
    repository_id {int} not null references repository,
    blob_id {int} not null references blob,
    added_at {int} not null,
    primary key (repository_id, blob_id)
  ) {endKeyed}`,
  `create index repository_blob_blob on repository_blob (blob_id)`,

  `create table upload_session (
    id text primary key,
    repository_id {int} not null references repository,
    store text not null,
    writer_epoch {int} not null,
    writer text,
    size_bytes {int} not null,
    sha256_so_far {bytes},
    short_parts {int} not null,
    boot_id text not null,
    created_at {int} not null,
    created_by text not null,
    expires_at {int} not null
  ) {endKeyed}`,
  `create index upload_session_repository on upload_session (repository_id)`,
  `create index upload_session_expiry on upload_session (expires_at)`,

  `create table review (
    id {id},
    kind text not null,
    repository_id {int} not null,
    subject_id {int} not null,
    due_at {int} not null,
    reason text not null,
    attempt_count {int} not null,
    leased_by text,
    leased_until {int},
    unique (kind, subject_id, repository_id)
  ) {end}`,
  `create index review_due on review (kind, due_at)`,

  `create table outbox (
    id {id},
    registry_id {int} not null references registry,
    repository_id {int} not null references repository,
    event_seq {int} not null,
    type text not null,
    payload text not null,
    created_at {int} not null,
    claimed_by text,
    claimed_until {int},
    attempt_count {int} not null
  ) {end}`,
  `create unique index outbox_order on outbox (repository_id, event_seq)`,

  `create table audit_record (
    id {id},
    registry_id {int} not null references registry,
    occurred_at {int} not null,
    request_id text not null,
    actor text not null,
    action text not null,
    resource text not null,
    outcome text not null,
    protocol text not null,
    source_ip text not null,
    user_agent text not null,
    detail text not null
  ) {end}`,

  `create table job (
    id {id},
    kind text not null,
    key {name} not null,
    payload text not null,
    run_after {int} not null,
    attempt_count {int} not null,
    leased_by text,
    leased_until {int},
    last_error text,
    created_at {int} not null,
    unique (kind, key)
  ) {end}`,
  `create index job_due on job (run_after)`,

  `create table access_key (
    access_key_id {name} primary key,
    account_id {name} not null references account,
    principal_arn text not null,
    principal_kind text not null,
    principal_user_id text not null,
    secret_sealed text not null,
    status text not null,
    created_at {int} not null
  ) {endKeyed}`,
  `create index access_key_principal on access_key (principal_arn)`,

  `create table iam_generation (id {int} primary key, value {int} not null) {end}`,
  `insert into iam_generation (id, value) values (1, 1)`,

  `create table setting (name {name} primary key, value text not null) {endKeyed}`,

  // The domain of every blob until repositories can name a KMS key of their own.
  `insert into blob_domain (id, name, created_at) values (1, 'default', 0)`,
]

const afterwards: Record<DialectName, string[]> = {
  sqlite: [],
  // The row above named its id itself; the next one must not collide with it.
  postgres: [`select setval(pg_get_serial_sequence('blob_domain', 'id'), 1)`],
}

export function foundation(dialect: DialectName): MetadataMigration {
  return {
    description: {
      changes: 'Makes every table, in a database that has none yet.',
      rewrites: [],
      runningServersGoOn: false,
    },
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [...statements, ...afterwards[dialect]]) await sql.raw(inDialect(dialect, statement)).execute(db)
    },
  }
}

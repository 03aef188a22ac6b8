import { sql, type Kysely } from 'kysely'
import type { DialectName } from '../statement.ts'
import { inDialect } from './dialect-words.ts'
import type { MetadataMigration } from './migration.ts'

/* Policies and settings of repositories and registries, and what their quotas and listings need. */
const statements = [
  `create table repository_policy (
    repository_id {int} primary key references repository,
    document text not null,
    updated_at {int} not null
  ) {endKeyed}`,

  `create table registry_policy (
    registry_id {int} primary key references registry,
    document text not null,
    updated_at {int} not null
  ) {endKeyed}`,

  `create table registry_setting (
    registry_id {int} not null references registry,
    name {name} not null,
    value text not null,
    primary key (registry_id, name)
  ) {endKeyed}`,

  `create table creation_template (
    registry_id {int} not null references registry,
    prefix {name} not null,
    written_prefix text not null,
    description text,
    tag_mutability text not null,
    mutability_filters text not null,
    encryption_type text not null,
    kms_key text,
    resource_tags text not null,
    repository_policy text,
    lifecycle_policy text,
    applied_for text not null,
    custom_role_arn text,
    created_at {int} not null,
    updated_at {int} not null,
    primary key (registry_id, prefix)
  ) {endKeyed}`,

  `create table pull_time_exclusion (
    registry_id {int} not null references registry,
    principal_arn {name} not null,
    created_at {int} not null,
    primary key (registry_id, principal_arn)
  ) {endKeyed}`,

  // Null until somebody had to count; from then on kept by every change.
  `alter table registry add column repository_count {int}`,
  `alter table repository add column image_count {int}`,
  `alter table upload_session add column part_count {int} not null default 0`,

  // Pages of the images in one state, and of the referrers of one type.
  `create index manifest_state on manifest (repository_id, storage_class, id) where trashed_at is null`,
  `create index manifest_referrer on manifest (repository_id, subject_digest, artifact_type, id)
    where subject_digest is not null and trashed_at is null`,
]

export function registrySettings(dialect: DialectName): MetadataMigration {
  return {
    description: {
      changes: 'Adds tables for policies of repositories and registries, account settings, creation templates and pull-time exclusions, and indexes for the listings of images.',
      rewrites: ['manifest'],
      runningServersGoOn: true,
    },
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of statements) await sql.raw(inDialect(dialect, statement)).execute(db)
    },
  }
}

import { sql, type Kysely } from 'kysely'
import type { DialectName } from '../statement.ts'
import { inDialect } from './dialect-words.ts'
import type { MetadataMigration } from './migration.ts'

/*
 * Who may what. Names of users, groups, roles and policies are unique without regard to case, as IAM has them: `name_key`
 * is the name in lower case. What hangs from several kinds of owner (policies, tags) names the kind and the owner's number.
 */
const named = `account_id {name} not null references account, name {name} not null, name_key {name} not null, path text not null`

const statements = [
  `alter table account add column name text`,
  `alter table account add column alias {name}`,
  `create unique index account_alias on account (alias) where alias is not null`,

  `create table iam_user (
    id {id},
    ${named},
    unique_id {name} not null unique,
    boundary_arn text,
    created_at {int} not null,
    unique (account_id, name_key)
  ) {end}`,

  `create table iam_group (
    id {id},
    ${named},
    unique_id {name} not null unique,
    created_at {int} not null,
    unique (account_id, name_key)
  ) {end}`,

  `create table iam_group_member (
    user_id {int} not null references iam_user,
    group_id {int} not null references iam_group,
    primary key (user_id, group_id)
  ) {endKeyed}`,
  `create index iam_group_member_group on iam_group_member (group_id, user_id)`,

  `create table iam_role (
    id {id},
    ${named},
    unique_id {name} not null unique,
    description text,
    trust_policy text not null,
    max_session_seconds {int} not null,
    boundary_arn text,
    created_at {int} not null,
    last_used_at {int},
    last_used_region text,
    unique (account_id, name_key)
  ) {end}`,

  // Who is bounded by a policy is asked before the policy goes.
  `create index iam_user_boundary on iam_user (boundary_arn) where boundary_arn is not null`,
  `create index iam_role_boundary on iam_role (boundary_arn) where boundary_arn is not null`,

  `create table iam_policy (
    id {id},
    ${named},
    unique_id {name} not null unique,
    description text,
    default_version {int} not null,
    last_version {int} not null,
    created_at {int} not null,
    updated_at {int} not null,
    unique (account_id, name_key)
  ) {end}`,

  `create table iam_policy_version (
    policy_id {int} not null references iam_policy,
    version {int} not null,
    document text not null,
    created_at {int} not null,
    primary key (policy_id, version)
  ) {endKeyed}`,

  `create table iam_attached_policy (
    owner_kind {name} not null,
    owner_id {int} not null,
    policy_arn {name} not null,
    primary key (owner_kind, owner_id, policy_arn)
  ) {endKeyed}`,
  `create index iam_attached_policy_arn on iam_attached_policy (policy_arn)`,

  `create table iam_inline_policy (
    owner_kind {name} not null,
    owner_id {int} not null,
    name {name} not null,
    document text not null,
    primary key (owner_kind, owner_id, name)
  ) {endKeyed}`,

  `create table iam_tag (
    owner_kind {name} not null,
    owner_id {int} not null,
    key {name} not null,
    value text not null,
    primary key (owner_kind, owner_id, key)
  ) {endKeyed}`,

  `create table iam_oidc_provider (
    id {id},
    account_id {name} not null references account,
    url {name} not null,
    client_ids text not null,
    thumbprints text not null,
    created_at {int} not null,
    unique (account_id, url)
  ) {end}`,

  `alter table access_key add column user_id {int} references iam_user`,
  `create index access_key_user on access_key (user_id)`,
  `create table access_key_use (
    access_key_id {name} primary key,
    last_used_at {int} not null,
    region text not null,
    service text not null
  ) {endKeyed}`,

  `create table sts_session (
    access_key_id {name} primary key,
    account_id {name} not null references account,
    principal_arn text not null,
    principal_kind text not null,
    principal_user_id text not null,
    user_id {int} references iam_user,
    role_id {int} references iam_role,
    secret_sealed text not null,
    token_sha256 {bytes} not null,
    policies text not null,
    tags text not null,
    transitive_tag_keys text not null,
    source_identity text,
    provider text,
    context text not null,
    issued_at {int} not null,
    expires_at {int} not null
  ) {endKeyed}`,
  `create index sts_session_expiry on sts_session (expires_at)`,
  `create index sts_session_role on sts_session (role_id)`,
  `create index sts_session_user on sts_session (user_id)`,
]

export function iam(dialect: DialectName): MetadataMigration {
  return {
    description: {
      changes: 'Adds tables for users, groups, roles, their policies, OpenID Connect providers and temporary credentials.',
      rewrites: [],
      runningServersGoOn: true,
    },
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of statements) await sql.raw(inDialect(dialect, statement)).execute(db)
    },
  }
}

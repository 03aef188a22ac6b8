import type { Generated } from 'kysely'
import type { AlarmsSchema } from './schema-alarms.ts'
import type { EventsSchema } from './schema-events.ts'
import type { LifecycleSchema } from './schema-lifecycle.ts'

/*
 * The tables as TypeScript sees them; `migrations/` creates them. Types are those that behave alike on SQLite
 * and PostgreSQL: times are integer milliseconds since the epoch, booleans 0 or 1, digests one byte of algorithm
 * and the raw hash (see values/digest.ts), documents JSON text. `docs/internals/schema.md` tells the story.
 */

type Id = Generated<number>
type Bytes = Uint8Array
/** A JSON document as text, parsed by whoever owns the column. */
type Json = string

interface AccountTable {
  account_id: string
  created_at: number
  /** What its makers call it. */
  name: string | null
  /** Its name in sign-in addresses: unique in the installation. */
  alias: string | null
}

/** An account in a region: the tenant every repository belongs to. */
interface RegistryTable {
  id: Id
  account_id: string
  region: string
  created_at: number
  /** Living repositories; null until somebody had to count them. */
  repository_count: number | null
}

/** What somebody has bounded while servers run; null: not bounded here. */
interface QuotaTable {
  account_id: string
  /** Empty for all regions of the account together. */
  region: string
  /** 0 for all repositories together. */
  repository_id: number
  max_bytes: number | null
  max_images: number | null
  max_repositories: number | null
  changed_at: number
  changed_by: string
}

/** Blobs are shared within a domain and never across: one for the installation, later one for each KMS key. */
interface BlobDomainTable {
  id: Id
  name: string
  created_at: number
}

interface RepositoryTable {
  id: Id
  registry_id: number
  domain_id: number
  name: string
  created_at: number
  created_by: string
  tag_mutability: string
  mutability_filters: Json
  scan_on_push: number
  encryption_type: string
  kms_key: string | null
  /** The number of the last event; its row is what every change of the repository locks first. */
  event_seq: number
  /** Living manifests; null until somebody had to count them. */
  image_count: number | null
  /** The bytes of its living manifests, as `contentBytes` has them; null until somebody had to count them. */
  logical_bytes: number | null
  /** Living manifests that went so far, to the trash or for good: whoever decided about the others sees that there are fewer. */
  lost_count: Generated<number>
  trashed_at: number | null
  purge_after: number | null
  trashed_by: string | null
  trash_batch: string | null
}

interface ResourceTagTable {
  repository_id: number
  key: string
  value: string
}

interface ManifestTable {
  id: Id
  repository_id: number
  digest: Bytes
  media_type: string
  kind: string
  artifact_type: string | null
  size_bytes: number
  /** Config and layers; of an index its largest child (what ECR calls imageSizeInBytes). */
  image_size_bytes: number
  subject_digest: Bytes | null
  /** Kept beside the row only for referrers, whose listing shows them. */
  annotations: Json | null
  pushed_at: number
  pushed_by: string
  storage_class: string
  last_archived_at: number | null
  last_activated_at: number | null
  /** 0: not retired; see registry/retirement.ts for the rest. */
  retirement: Generated<number>
  trashed_at: number | null
  purge_after: number | null
  trashed_by: string | null
  trash_batch: string | null
  /** In words, of what a policy deleted. */
  trash_rule: string | null
}

/** Apart from the row: big, and read by pulls alone. */
interface ManifestPayloadTable {
  manifest_id: number
  payload: Bytes
}

/** Apart from the row: hot, and written in batches. */
interface ManifestPullTable {
  manifest_id: number
  last_pulled_at: number
  pull_count: number
}

/** An edge of the image graph: config, layers, children of an index. Subjects are a column of the manifest. */
interface ManifestReferenceTable {
  manifest_id: number
  position: number
  /** The manifest's, repeated for the index. */
  repository_id: number
  digest: Bytes
  /** `manifest`, `blob`, or `foreign` (named, but its bytes live elsewhere). */
  kind: string
  role: string
  media_type: string
  size_bytes: number
}

interface TagTable {
  repository_id: number
  name: string
  manifest_id: number
  tagged_at: number
}

/** The tags a trashed image held, so that restoring can give back those still free. */
interface TrashedTagTable {
  manifest_id: number
  name: string
  tagged_at: number | null
}

interface TagHistoryTable {
  id: Id
  repository_id: number
  name: string
  digest: Bytes | null
  previous_digest: Bytes | null
  changed_at: number
  changed_by: string
  /** Of the image that it went with; null where the tag alone was changed. */
  trash_batch: string | null
}

interface BlobTable {
  id: Id
  domain_id: number
  digest: Bytes
  size_bytes: number
  created_at: number
}

interface BlobLocationTable {
  id: Id
  blob_id: number
  store: string
  key: string
  generation: string
  /** `active`, `deleting`, `quarantined`. */
  state: string
  created_at: number
  /** How the bytes are kept there: `identity`, or `zstd`. */
  encoding: Generated<string>
  /** Null where it is the blob's own size. */
  stored_size_bytes: number | null
}

/** Apart from the row: big, and read by downloads alone. None for a location of before there were checksums. */
interface BlobChecksumTable {
  location_id: number
  /** CRC-32 of each 64 KiB: see storage/blobs/block-checksums.ts. */
  checksums: Bytes
}

/** Which repositories may see a blob. */
interface RepositoryBlobTable {
  repository_id: number
  blob_id: number
  added_at: number
}

interface UploadSessionTable {
  id: string
  repository_id: number
  store: string
  writer_epoch: number
  /** The process that is writing; null once it has saved how far it came. */
  writer: string | null
  size_bytes: number
  /** Of the first `size_bytes`, when one process hashed them all in order; else null and re-hashed. */
  sha256_so_far: Bytes | null
  /** Of the same bytes and the same pass: one is null where the other is. */
  checksums_so_far: Bytes | null
  /** Of an upload in parts: 0 none is short, 1 the last is, 2 one before the last is. */
  short_parts: number
  /** Parts of an upload by UploadLayerPart. */
  part_count: Generated<number>
  boot_id: string
  created_at: number
  created_by: string
  expires_at: number
}

/** Something that may have become garbage: looked at once `due_at` has passed. */
interface ReviewTable {
  id: Id
  /** `manifest`, `repository-blob`, `blob`, `location`, `repository`. */
  kind: string
  repository_id: number
  subject_id: number
  due_at: number
  reason: string
  attempt_count: number
  leased_by: string | null
  leased_until: number | null
}

interface OutboxTable {
  id: Id
  registry_id: number
  repository_id: number
  event_seq: number
  type: string
  payload: Json
  created_at: number
  claimed_by: string | null
  claimed_until: number | null
  attempt_count: number
}

/** Unchained: a sealer moves rows into the audit store and chains them there. */
interface AuditRecordTable {
  id: Id
  registry_id: number
  occurred_at: number
  request_id: string
  actor: string
  action: string
  resource: string
  outcome: string
  protocol: string
  source_ip: string
  user_agent: string
  detail: Json
}

interface JobTable {
  id: Id
  kind: string
  /** One waiting job for each (kind, key). */
  key: string
  payload: Json
  run_after: number
  attempt_count: number
  leased_by: string | null
  leased_until: number | null
  last_error: string | null
  created_at: number
}

interface AccessKeyTable {
  access_key_id: string
  account_id: string
  principal_arn: string
  principal_kind: string
  principal_user_id: string
  /** Sealed with the keyring. */
  secret_sealed: string
  status: string
  created_at: number
  /** Null for a root's. */
  user_id: number | null
}

/** Apart from the key: hot, and written in batches. */
interface AccessKeyUseTable {
  access_key_id: string
  last_used_at: number
  region: string
  service: string
}

interface IamNamed {
  id: Id
  account_id: string
  name: string
  /** The name in lower case: names are unique without regard to case. */
  name_key: string
  /** Begins and ends with a slash. */
  path: string
  /** What IAM calls UserId, RoleId …: never used twice, whatever becomes of the name. */
  unique_id: string
  created_at: number
}

interface IamUserTable extends IamNamed {
  /** The policy that bounds what others may give it. */
  boundary_arn: string | null
}

type IamGroupTable = IamNamed

interface IamGroupMemberTable {
  user_id: number
  group_id: number
}

interface IamRoleTable extends IamNamed {
  description: string | null
  trust_policy: Json
  max_session_seconds: number
  boundary_arn: string | null
  last_used_at: number | null
  last_used_region: string | null
}

interface IamPolicyTable extends IamNamed {
  description: string | null
  default_version: number
  /** The highest number given so far; a deleted version's is not given again. */
  last_version: number
  updated_at: number
}

interface IamPolicyVersionTable {
  policy_id: number
  version: number
  document: Json
  created_at: number
}

/** `owner_kind` is `user`, `group` or `role`; `owner_id` the number of its row. */
interface IamAttachedPolicyTable {
  owner_kind: string
  owner_id: number
  /** Of an account's policy, or of one that every account has (`arn:aws:iam::aws:policy/…`). */
  policy_arn: string
}

interface IamInlinePolicyTable {
  owner_kind: string
  owner_id: number
  name: string
  document: Json
}

/** `owner_kind` is `user`, `role`, `policy` or `oidc-provider`. */
interface IamTagTable {
  owner_kind: string
  owner_id: number
  key: string
  value: string
}

interface IamOidcProviderTable {
  id: Id
  account_id: string
  /** Without its scheme, as in the provider's ARN. */
  url: string
  client_ids: Json
  thumbprints: Json
  created_at: number
}

/** Temporary credentials. Ended ones stay until a sweep. */
interface StsSessionTable {
  access_key_id: string
  account_id: string
  principal_arn: string
  principal_kind: string
  principal_user_id: string
  /** Whose policies hold for it: a user's (GetSessionToken) or a role's; both null for a root's. */
  user_id: number | null
  role_id: number | null
  secret_sealed: string
  /** Of the session token: whoever can read the database cannot use it. */
  token_sha256: Bytes
  /** A list of policy documents: inline and managed session policies as they were when it began. */
  policies: Json
  tags: Json
  transitive_tag_keys: Json
  source_identity: string | null
  /** The identity provider's ARN of a web identity. */
  provider: string | null
  /** Condition keys that hold for all of the session, such as the claims of a web identity. */
  context: Json
  issued_at: number
  expires_at: number
}

/** Of `sts_session`, as far as it was counted: servers of an earlier version beside this one do not. */
interface StsSessionCountTable {
  account_id: string
  sessions: number
  /** When the rows themselves were last counted. */
  counted_at: number
}

interface RepositoryPolicyTable {
  repository_id: number
  document: Json
  updated_at: number
}

interface RegistryPolicyTable {
  registry_id: number
  document: Json
  updated_at: number
}

/** What ECR calls account settings; absent ones have their defaults. */
interface RegistrySettingTable {
  registry_id: number
  name: string
  value: string
}

interface CreationTemplateTable {
  registry_id: number
  /** Without a trailing slash; `ROOT` for repositories that no other prefix takes. */
  prefix: string
  /** As its maker wrote it, with or without the slash. */
  written_prefix: string
  description: string | null
  tag_mutability: string
  mutability_filters: Json
  encryption_type: string
  kms_key: string | null
  resource_tags: Json
  repository_policy: Json | null
  lifecycle_policy: Json | null
  applied_for: Json
  custom_role_arn: string | null
  created_at: number
  updated_at: number
}

/** Principals whose pulls do not count as use. */
interface PullTimeExclusionTable {
  registry_id: number
  principal_arn: string
  created_at: number
}

/** One row; every change of who-may-what increments it. */
interface IamGenerationTable {
  id: number
  value: number
  /** How many of the increments are told of in `iam_account_generation`: all but those of earlier versions. */
  accounted: number
}

/** The value under which who-may-what changed last in an account: what was learned of the account before is not valid any more. */
interface IamAccountGenerationTable {
  account_id: string
  value: number
}

interface SettingTable {
  name: string
  value: Json
}

export interface Schema extends LifecycleSchema, EventsSchema, AlarmsSchema {
  account: AccountTable
  registry: RegistryTable
  quota: QuotaTable
  blob_domain: BlobDomainTable
  repository: RepositoryTable
  resource_tag: ResourceTagTable
  manifest: ManifestTable
  manifest_payload: ManifestPayloadTable
  manifest_pull: ManifestPullTable
  manifest_reference: ManifestReferenceTable
  tag: TagTable
  trashed_tag: TrashedTagTable
  tag_history: TagHistoryTable
  blob: BlobTable
  blob_location: BlobLocationTable
  blob_checksum: BlobChecksumTable
  repository_blob: RepositoryBlobTable
  upload_session: UploadSessionTable
  review: ReviewTable
  outbox: OutboxTable
  audit_record: AuditRecordTable
  job: JobTable
  access_key: AccessKeyTable
  access_key_use: AccessKeyUseTable
  iam_user: IamUserTable
  iam_group: IamGroupTable
  iam_group_member: IamGroupMemberTable
  iam_role: IamRoleTable
  iam_policy: IamPolicyTable
  iam_policy_version: IamPolicyVersionTable
  iam_attached_policy: IamAttachedPolicyTable
  iam_inline_policy: IamInlinePolicyTable
  iam_tag: IamTagTable
  iam_oidc_provider: IamOidcProviderTable
  sts_session: StsSessionTable
  sts_session_count: StsSessionCountTable
  repository_policy: RepositoryPolicyTable
  registry_policy: RegistryPolicyTable
  registry_setting: RegistrySettingTable
  creation_template: CreationTemplateTable
  pull_time_exclusion: PullTimeExclusionTable
  iam_generation: IamGenerationTable
  iam_account_generation: IamAccountGenerationTable
  setting: SettingTable
}

import type { Generated } from 'kysely'

/*
 * The tables of an image's end, continuing schema.ts: what removes images, what forbids it, and how they come back.
 */

type Id = Generated<number>
type Bytes = Uint8Array
/** A JSON document as text, parsed by whoever owns the column. */
type Json = string

/** Inherited live: a repository is under every policy whose scope takes it in. */
interface LifecyclePolicyTable {
  id: Id
  registry_id: number
  /** `ecr` (one for each repository), or `retention`. */
  grammar: string
  /** `repository`, `prefix` or `registry`. */
  scope: string
  /** The repository's number, the prefix, or nothing. */
  scope_key: string
  repository_id: number | null
  /** In normal form; null once it was taken away. */
  document: Json | null
  version: number
  updated_at: number
  updated_by: string
  /** Of a prefix or a registry: repositories up to this number know of the newest version. Null: all do. */
  planned_to: number | null
}

interface LifecyclePolicyVersionTable {
  policy_id: number
  version: number
  /** Null: this version took the policy away. */
  document: Json | null
  changed_at: number
  changed_by: string
}

/** When a repository was last evaluated, and when that can next have another outcome. */
interface LifecycleStateTable {
  repository_id: number
  evaluated_at: number | null
  /** The repository's `event_seq` then. */
  evaluated_seq: number | null
  /** The ids and versions of the policies then. */
  policies_seen: string | null
  due_at: number
  leased_by: string | null
  leased_until: number | null
}

/** The last preview of a repository. */
interface LifecyclePreviewTable {
  id: Id
  repository_id: number
  /** As it was sent. */
  document: Json
  /** `IN_PROGRESS`, `COMPLETE` or `FAILED`. */
  status: string
  failure: string | null
  summary: Json | null
  started_at: number
  started_by: string
  finished_at: number | null
  leased_by: string | null
  leased_until: number | null
}

/** Results by the thousand: a row for each would cost more than the evaluation. */
interface LifecyclePreviewPageTable {
  preview_id: number
  first_manifest_id: number
  results: Bytes
}

interface LifecycleRunTable {
  id: string
  repository_id: number
  /** `schedule`, or `request`. */
  cause: string
  /** The ids and versions of its policies. */
  policies: Json
  /** `evaluating`, `unconfirmed`, `held`, `applying`, `done`, `cancelled` or `failed`. */
  status: string
  /** Why it waits for somebody's confirmation. */
  concern: string | null
  summary: Json
  trash_batch: string | null
  started_at: number
  started_by: string
  finished_at: number | null
  decided_at: number | null
  decided_by: string | null
  leased_by: string | null
  leased_until: number | null
}

/** Read from the config and the manifest once, where a policy asks for them. */
interface ManifestLabelTable {
  manifest_id: number
  labels: Json
  annotations: Json
}

/** What nobody may delete, by rule or by hand. */
interface ProtectionTable {
  id: Id
  repository_id: number
  /** `tag`, `digest` or `repository`. */
  kind: string
  /** The tag, the digest, or nothing. */
  target: string
  reason: string
  owner: string
  created_at: number
  created_by: string
  ends_at: number | null
}

/** Somebody who says what runs: a cluster's agent, a script. */
interface UsageSourceTable {
  id: Id
  registry_id: number
  name: string
  /** Who may report for it. */
  principal_arn: string
  kind: string
  environment: string
  /** JSON: patterns of the repositories that it speaks for. */
  scope: Json
  /** It promises a complete snapshot at least this often. */
  interval_ms: number
  /** A snapshot with fewer leases than the last by more than this is doubted. */
  shrink_percent: number
  /** `active` or `decommissioned`. */
  status: string
  /** `shrunken` or `incomplete`; null: neither. Whether it is silent is told from the time. */
  doubt: string | null
  doubt_since: number | null
  /** Leases of the last shrunken snapshot, and how many complete ones since have agreed with it, the last of them when. */
  doubted_count: number | null
  agreed_count: number
  agreed_at: number | null
  /** Somebody has said that automatic removal may go on all the same. Until a snapshot is believed. */
  waived_at: number | null
  waived_by: string | null
  /** The highest number of a snapshot that was begun. */
  last_number: number
  /** Of the last believed snapshot; null: there was none yet. */
  believed_number: number | null
  believed_began_at: number | null
  believed_at: number | null
  believed_count: number | null
  created_at: number
  created_by: string
  decommissioned_at: number | null
  decommissioned_by: string | null
}

interface UsageSnapshotTable {
  source_id: number
  number: number
  /** What its writer calls itself: nobody else can go on with it. */
  writer: string
  /** `open`, `believed`, `doubted` or `abandoned`. */
  status: string
  expected_count: number | null
  received_count: number
  began_at: number
  ended_at: number | null
  problem: string | null
}

/** A workload has a digest: of an index, one of its children, or a config. */
interface UsageLeaseTable {
  id: Id
  source_id: number
  /** The newest snapshot that had it. */
  snapshot: number
  registry_id: number
  /** Empty: whichever repository of the source's scope has it. */
  repository: string
  digest: Bytes
  workload: string
  environment: string
  first_seen_at: number
  /** Null: until a snapshot no longer has it. */
  until: number | null
}

interface DigestUseTable {
  registry_id: number
  repository: string
  digest: Bytes
  last_used_at: number
}

/** While a registry has one that is not released, nothing is removed from it automatically. */
interface RegistryHoldTable {
  id: Id
  registry_id: number
  /** `operator`, `restore`, `migration`, `clock`, or `source`. */
  cause: string
  /** It holds only the repositories of this source's scope. */
  source_id: number | null
  reason: string
  raised_at: number
  raised_by: string
  released_at: number | null
  released_by: string | null
  release_reason: string | null
}

interface TrashBatchTable {
  id: string
  registry_id: number
  repository_id: number
  /** `images` or `repository`. */
  kind: string
  /** JSON: what did it, such as a request, or a run and its rules. */
  cause: Json
  is_security: number
  image_count: number
  tag_count: number
  created_at: number
  created_by: string
  purge_after: number
  restored_at: number | null
  restored_by: string | null
  purged_at: number | null
}

interface ErasureTable {
  id: string
  registry_id: number
  repository_id: number
  requested_at: number
  requested_by: string
  reason: string
  /** `running` or `done`. */
  status: string
  finished_at: number | null
  /** JSON: what was erased, and what still names it. */
  detail: Json
}

/** One for each member of a retired image: what an index lists is retired with it. Its state is in the manifest's row. */
interface ImageRetirementTable {
  manifest_id: number
  /** The image that was named: its own row has what is to come. */
  image_id: number
  reason: string
  /** A reference to use instead. */
  replaced_by: string | null
  /** JSON: what becomes of it when. */
  steps: Json
  /** When the next step is taken, or tried again. Null in the rows of other members, and where nothing is to come. */
  due_at: number | null
  /** Why a step that was due has not been taken. */
  postponed: string | null
  changed_at: number
  changed_by: string
  /** The rule that announced its end, in words. Null with what follows where somebody retired it by hand. */
  rule: string | null
  /** `expire` or `transition`: what the rule will do to it. */
  rule_action: string | null
  /** When it will do that, at the soonest. */
  rule_until: number | null
  /** The repository, again. */
  rule_repository_id: number | null
}

/** A copy of a blob that is being made for another store. */
interface BlobMoveTable {
  /** The copy's name there, until it is known by `blob_location`. */
  upload_id: string
  blob_id: number
  began_at: number
}

export interface LifecycleSchema {
  lifecycle_policy: LifecyclePolicyTable
  lifecycle_policy_version: LifecyclePolicyVersionTable
  lifecycle_state: LifecycleStateTable
  lifecycle_preview: LifecyclePreviewTable
  lifecycle_preview_page: LifecyclePreviewPageTable
  lifecycle_run: LifecycleRunTable
  manifest_label: ManifestLabelTable
  protection: ProtectionTable
  usage_source: UsageSourceTable
  usage_snapshot: UsageSnapshotTable
  usage_lease: UsageLeaseTable
  digest_use: DigestUseTable
  registry_hold: RegistryHoldTable
  trash_batch: TrashBatchTable
  erasure: ErasureTable
  image_retirement: ImageRetirementTable
  blob_move: BlobMoveTable
}

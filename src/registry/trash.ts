import { digestFromBytes, type Digest, type Tag } from '../values/index.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { Session } from '../storage/metadata/session.ts'
import { activeManifestsNaming } from '../storage/metadata/stores/archive-store.ts'
import { hideBlob } from '../storage/metadata/stores/blob-index.ts'
import { recordTagChange, type TagChange } from '../storage/metadata/stores/change-log.ts'
import { blobsOfManifest, trashManifestRow, type ManifestRow } from '../storage/metadata/stores/manifest-store.ts'
import { lowerRepositorySums, type RepositoryRow } from '../storage/metadata/stores/repository-store.ts'
import type { Suspicions } from '../storage/metadata/stores/review-queue.ts'
import { recordTrashBatch } from '../storage/metadata/stores/trash-store.ts'
import { livingChildrenOf, livingReferrersOf } from '../storage/metadata/stores/unit-store.ts'
import { imageEvent } from './change.ts'

/** What goes to the trash together comes back together. */
export interface Trashing {
  /** The batch's id, a UUID: one for each request or run. */
  readonly batch: string
  /** How long it can be brought back. */
  readonly retentionMs: number
  /** What did it: shown to whoever wonders later. Names and digests only. */
  readonly cause: Readonly<Record<string, unknown>>
  /** The rule that deletes it, in words, with whose policy it is of. */
  readonly rule?: string
  /** Deleted because it must not be used: no pull brings it back by itself. */
  readonly isSecurity?: boolean
}

/** The action in the cause of what a lifecycle policy deletes, named as ECR's CloudTrail event is. */
export const policyExecution = 'PolicyExecutionEvent'

export interface TrashedImage {
  readonly digest: Digest
  readonly tags: readonly Tag[]
  readonly tagChanges: readonly TagChange[]
}

/** Living referrers and children left behind that are noted as suspects: those beyond are found when these are. */
const maxSuspects = 1000

/**
 * The one way to the trash for images: from now on nobody sees the unit, its tags, or what it alone made visible. The members
 * are as `collectUnit` found them, and somebody has asked `findVetoes`. The caller holds the repository's lock, and writes the
 * suspicions at its end.
 */
export async function trashUnit(
  tx: Session,
  repository: RepositoryRow,
  members: readonly ManifestRow[],
  trashing: Trashing,
  suspicions: Suspicions,
  context: CommandContext,
): Promise<TrashedImage[]> {
  const now = context.nowMs
  const purgeAfter = now + trashing.retentionMs
  const trashed: TrashedImage[] = []
  for (const member of members) {
    const tags = await trashManifestRow(tx, member.id, { now, purgeAfter, by: context.actorArn, batch: trashing.batch, rule: trashing.rule ?? null })
    await lowerRepositorySums(tx, repository.id, member)
    const tagChanges: TagChange[] = []
    for (const name of tags) {
      const change = { repositoryId: repository.id, name, digest: null, previousDigest: member.digest, trashBatch: trashing.batch }
      tagChanges.push(await recordTagChange(tx, context, change))
    }
    trashed.push({ digest: digestFromBytes(member.digest), tags: tags as Tag[], tagChanges })
  }
  await recordTrashBatch(tx, {
    id: trashing.batch,
    registry_id: repository.registry_id,
    repository_id: repository.id,
    kind: 'images',
    cause: JSON.stringify(trashing.cause),
    is_security: trashing.isSecurity === true ? 1 : 0,
    image_count: members.length,
    tag_count: trashed.reduce((sum, { tags }) => sum + tags.length, 0),
    created_at: now,
    created_by: context.actorArn,
    purge_after: purgeAfter,
  })
  await hideBlobs(tx, repository, members, suspicions, now)
  await noteSuspects(tx, repository, members, trashing, suspicions, now)
  for (const [index, member] of members.entries()) await announce(tx, repository, member, trashed[index]!, context)
  return trashed
}

/** What only the members named is not seen any more. */
async function hideBlobs(
  tx: Session,
  repository: RepositoryRow,
  members: readonly ManifestRow[],
  suspicions: Suspicions,
  now: number,
): Promise<void> {
  const blobs = new Map<number, Digest>()
  for (const member of members) for (const { blobId, digest } of await blobsOfManifest(tx, member.id)) blobs.set(blobId, digest)
  for (const [blobId, digest] of blobs) {
    if ((await activeManifestsNaming(tx, repository.id, digest)).length > 0) continue
    await hideBlob(tx, repository.id, blobId)
    suspicions.add({ kind: 'blob', repositoryId: 0, subjectId: blobId, reason: 'image deleted', now })
  }
}

/** The members become garbage when their time in the trash is over; what they leave behind may have become it by their going. */
async function noteSuspects(
  tx: Session,
  repository: RepositoryRow,
  members: readonly ManifestRow[],
  { retentionMs }: Trashing,
  suspicions: Suspicions,
  now: number,
): Promise<void> {
  const ids = members.map(({ id }) => id)
  const manifest = { kind: 'manifest', repositoryId: repository.id, reason: 'image deleted', now } as const
  const leftBehind = [...(await livingChildrenOf(tx, ids)), ...(await livingReferrersOf(tx, ids, maxSuspects))]
  for (const { id } of leftBehind) suspicions.add({ ...manifest, subjectId: id })
  for (const id of ids) suspicions.add({ ...manifest, subjectId: id, delayMs: retentionMs })
}

async function announce(
  tx: Session,
  repository: RepositoryRow,
  member: ManifestRow,
  { digest, tags }: TrashedImage,
  context: CommandContext,
): Promise<void> {
  for (const tag of tags.length > 0 ? tags : [undefined]) {
    await imageEvent(tx, context, repository, {
      action: 'DELETE',
      digest,
      tag,
      mediaType: member.media_type,
      artifactType: member.artifact_type ?? undefined,
    })
  }
}

import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { isHeldByArchive } from '../../storage/metadata/stores/archive-store.ts'
import { isHeldByTrash, lockKnownBlobs, showBlob } from '../../storage/metadata/stores/blob-index.ts'
import { recordEvent, recordTagChange, toldTagChanges, type TagChange } from '../../storage/metadata/stores/change-log.ts'
import {
  findLivingManifests,
  findManifestRow,
  insertManifest,
  mendPayload,
  restoreManifestRow,
  rewriteManifest,
  type ManifestRow,
  type NewManifestRow,
  type ReferenceEdge,
} from '../../storage/metadata/stores/manifest-store.ts'
import { contentBytes, type RepositoryRow } from '../../storage/metadata/stores/repository-store.ts'
import { collectSuspicions, suspect } from '../../storage/metadata/stores/review-queue.ts'
import { countTagsOfManifest, findTag, putTag, type TagTarget } from '../../storage/metadata/stores/tag-store.ts'
import { leaveTrashBatch, tagsHeldInTrash } from '../../storage/metadata/stores/trash-store.ts'
import { digestToBytes, type Digest } from '../../values/index.ts'
import { activateUnit } from '../archive.ts'
import { audit, imageEvent, lockRepository } from '../change.ts'
import { registryError } from '../errors.ts'
import { collectArchived } from '../image-unit.ts'
import { growthBy, lockImageRoom, takeImageRoom, tooManyTagsOfImage, type ImageLimits, type ImageRoom } from '../quotas.ts'
import { restoreCompanions } from './restore-trash.ts'
import { isTagImmutable } from '../tag-mutability.ts'
import type { TagMutability } from '../types.ts'

/** Something a manifest names, before it is known what it is. */
export interface NamedContent {
  readonly digest: Digest
  readonly role: 'config' | 'layer' | 'child'
  readonly mediaType: string
  readonly sizeBytes: number
  /** Its bytes may live elsewhere: it need not be here. */
  readonly mayBeForeign: boolean
}

export interface PutManifestInput {
  readonly name: string
  readonly digest: Digest
  readonly bytes: Uint8Array
  readonly mediaType: string
  readonly kind: string
  readonly artifactType: string | undefined
  readonly contentSizeBytes: number
  readonly subject: Digest | undefined
  readonly annotations: Readonly<Record<string, string>>
  readonly content: readonly NamedContent[]
  readonly tags: readonly string[]
  readonly refuseRepeat: boolean
  readonly limits: ImageLimits
  readonly maxTagsPerImage: number
}

/** How the repository holds what was pushed. */
export interface HeldManifest {
  readonly id: number
  /** What it is served as: the type of this push, or of an earlier one that said more. */
  readonly mediaType: string
  readonly artifactType: string | undefined
  /** It, or something that it lists, was in the archive. */
  readonly mayBeArchived: boolean
}

/**
 * The one way an image enters a repository. Everything a manifest names must be there, and stays: its blobs are
 * locked against collection until this commits. A missing subject is no obstacle (OCI distribution-spec,
 * "Pushing Manifests with Subject").
 *
 * Bytes that state no media type may be pushed as several. As a type the registry does not know they name nothing;
 * pushed again as a known one they are checked and recorded like new. A living manifest of a known type stays what
 * it is: what it names must go on being held.
 */
export const putManifest = defineCommand({
  name: 'put-manifest',
  durability: 'durable',
  async run(tx, input: PutManifestInput, context): Promise<HeldManifest> {
    const repository = await lockRepository(tx, context, input.name)
    const existing = await findManifestRow(tx, repository.id, input.digest)
    const repeat = existing?.trashed_at === null && !isFirstKnown(existing, input) ? existing : undefined
    await refuseImmutable(tx, repository, input, context, repeat !== undefined)

    // What is there already takes no room.
    const held = repeat ? await keep(tx, repeat, input) : await hold(tx, repository, existing, await lockImageRoom(tx, repository, input.limits, context), input, context)
    if (held.mayBeArchived) await takeOutOfArchive(tx, repository, input.digest, context)

    const tagChanges = await pointTags(tx, repository, held.id, existing?.trashed_at === null, input, context)
    if (input.tags.length === 0) {
      await suspect(tx, {
        kind: 'manifest',
        repositoryId: repository.id,
        subjectId: held.id,
        reason: 'pushed without a tag',
        now: context.nowMs,
      })
    }

    for (const tag of input.tags.length > 0 ? input.tags : [undefined]) {
      await imageEvent(tx, context, repository, {
        action: 'PUSH',
        digest: input.digest,
        tag,
        mediaType: held.mediaType,
        artifactType: held.artifactType,
      })
    }
    await audit(tx, context, input.name, 'PutImage', { imageDigest: input.digest, imageTags: input.tags, ...toldTagChanges(tagChanges) })
    return held
  },
})

/** The same bytes came before as a type of which nothing could be read, and now come as one the registry knows. */
function isFirstKnown(existing: ManifestRow, input: PutManifestInput): boolean {
  return existing.kind === 'other' && input.kind !== 'other'
}

/** Leaves the manifest as it is there. */
async function keep(tx: Session, existing: ManifestRow, input: PutManifestInput): Promise<HeldManifest> {
  await mendPayload(tx, existing.id, input.bytes)
  const mayBeArchived = existing.storage_class !== 'active' || existing.kind === 'index'
  return { id: existing.id, mediaType: existing.media_type, artifactType: existing.artifact_type ?? undefined, mayBeArchived }
}

/** Brings the manifest into the repository. */
async function hold(
  tx: Session,
  repository: RepositoryRow,
  existing: ManifestRow | undefined,
  room: ImageRoom,
  input: PutManifestInput,
  context: CommandContext,
): Promise<HeldManifest> {
  const isTrashed = existing !== undefined && existing.trashed_at !== null
  if (isTrashed && existing.kind !== 'other' && input.kind === 'other') throw knownAsOther(existing, input)

  const checked = await checkContent(tx, repository, input, context)
  const { mediaType, artifactType } = input
  const row = newRow(repository, input, checked, context)
  // One that lives here already counts as an image, but not yet with what it turns out to name.
  const growth = existing && !isTrashed ? { images: 0, bytes: contentBytes(row) - contentBytes(existing) } : growthBy(row)
  const sums = await takeImageRoom(tx, repository, growth, room, context)
  const { hasArchivedChildren: mayBeArchived } = checked
  if (!existing) return { id: await insertManifest(tx, row, input.bytes, checked.edges), mediaType, artifactType, mayBeArchived }
  // From the trash too: what it names may be held otherwise than it was, a foreign layer uploaded since for one.
  await rewriteManifest(tx, existing.id, row, checked.edges)
  await mendPayload(tx, existing.id, input.bytes)
  if (isTrashed) {
    const { length: tags } = await tagsHeldInTrash(tx, existing.id)
    await restoreManifestRow(tx, existing.id, context.nowMs, context.actorArn)
    const left = { images: 1, tags, now: context.nowMs, by: context.actorArn }
    if (existing.trash_batch !== null) await leaveTrashBatch(tx, { id: existing.trash_batch, ...left })
    await restoreCompanions(tx, { ...repository, ...sums }, existing, room, context)
  }
  return { id: existing.id, mediaType, artifactType, mayBeArchived: true }
}

/** A push restores an archived image at once, with all that it lists: nobody who has just pushed it waits for its bytes to move. */
async function takeOutOfArchive(tx: Session, repository: RepositoryRow, digest: Digest, context: CommandContext): Promise<void> {
  const row = await findManifestRow(tx, repository.id, digest)
  const unit = row === undefined ? [] : await collectArchived(tx, row)
  if (unit.length === 0) return
  const suspicions = collectSuspicions()
  await activateUnit(tx, repository, unit, suspicions, context)
  await suspicions.write(tx)
}

function knownAsOther({ media_type: mediaType }: ManifestRow, { digest, mediaType: given }: PutManifestInput) {
  return registryError(
    'parameter-invalid',
    `The manifest ${digest} was pushed as ${mediaType} before it was deleted, and cannot come back as ${given}. Push it as ${mediaType}.`,
    { digest, mediaType },
  )
}

async function refuseImmutable(
  tx: Session,
  repository: RepositoryRow,
  input: PutManifestInput,
  context: CommandContext,
  isRepeat: boolean,
): Promise<void> {
  const mode = repository.tag_mutability as TagMutability
  const filters = JSON.parse(repository.mutability_filters) as string[]
  for (const tag of input.tags) {
    const target = await findTag(tx, repository.id, tag)
    if (!target) continue
    // Before immutability: naming an image that is exactly there already is its own answer in ECR's model.
    if (input.refuseRepeat && isRepeat && target.digest === input.digest) throw repeated(input, tag, context)
    if (isTagImmutable(mode, filters, tag)) {
      throw registryError(
        'tag-immutable',
        `The image tag '${tag}' already exists in the '${repository.name}' repository and cannot be overwritten because the tag is immutable.`,
        { tag, repositoryName: repository.name },
      )
    }
  }
  if (input.refuseRepeat && isRepeat && input.tags.length === 0) throw repeated(input, undefined, context)
}

function repeated(input: PutManifestInput, tag: string | undefined, context: CommandContext) {
  return registryError(
    'image-exists',
    `Image with digest '${input.digest}' and tag '${tag ?? 'null'}' already exists in the repository with name '${input.name}' in registry with id '${context.accountId}'`,
  )
}

interface CheckedContent {
  readonly edges: ReferenceEdge[]
  readonly imageSizeBytes: number
  readonly hasArchivedChildren: boolean
}

/** Finds what the manifest names, refuses it when something is missing, and says what each thing is. */
async function checkContent(
  tx: Session,
  repository: RepositoryRow,
  input: PutManifestInput,
  context: CommandContext,
): Promise<CheckedContent> {
  const digests = [...new Set(input.content.map(({ digest }) => digest))]
  const blobs = new Map(
    digests.length === 0
      ? []
      : (await lockKnownBlobs(tx, repository.domain_id, repository.id, digests)).map((blob) => [blob.digest, blob]),
  )
  const childDigests = input.content.filter(({ role }) => role === 'child').map(({ digest }) => digest)
  const manifests = new Map(
    childDigests.length === 0
      ? []
      : (await findLivingManifests(tx, repository.id, childDigests)).map((child) => [child.digest, child]),
  )

  const edges: ReferenceEdge[] = []
  const missingBlobs = new Set<Digest>()
  const missingChildren = new Set<Digest>()
  let largestChildBytes = 0
  let hasArchivedChildren = false
  for (const { digest, role, mediaType, sizeBytes, mayBeForeign } of input.content) {
    const child = role === 'child' ? manifests.get(digest) : undefined
    const blob = blobs.get(digest)
    if (child) {
      largestChildBytes = Math.max(largestChildBytes, child.imageSizeBytes)
      hasArchivedChildren ||= child.storageClass !== 'active'
      edges.push({ digest, role, mediaType, sizeBytes, kind: 'manifest' })
    } else if (blob && (await canSee(tx, repository.id, blob, context))) {
      if (blob.sizeBytes !== sizeBytes) {
        throw registryError(
          'size-mismatch',
          `The manifest gives ${digest} a size of ${sizeBytes} bytes; it has ${blob.sizeBytes}.`,
          { digest },
        )
      }
      // An index entry that is a blob: BuildKit's cache export lists layers.
      edges.push({ digest, role, mediaType, sizeBytes, kind: 'blob' })
    } else if (mayBeForeign) {
      edges.push({ digest, role, mediaType, sizeBytes, kind: 'foreign' })
    } else if (role === 'child') {
      missingChildren.add(digest)
    } else {
      missingBlobs.add(digest)
    }
  }
  if (missingBlobs.size > 0) {
    throw registryError(
      'manifest-blob-unknown',
      `Layers with digests '[${[...missingBlobs].join(', ')}]' required for pushing image into repository with name '${input.name}' in the registry with id '${context.accountId}' do not exist`,
      { digests: [...missingBlobs] },
    )
  }
  if (missingChildren.size > 0) {
    throw registryError(
      'manifest-child-unknown',
      `Images with digests '[${[...missingChildren].join(', ')}]' required for pushing image into repository with name '${input.name}' in the registry with id '${context.accountId}' do not exist`,
      { digests: [...missingChildren] },
    )
  }
  return { edges, hasArchivedChildren, imageSizeBytes: input.kind === 'index' ? largestChildBytes : input.contentSizeBytes }
}

async function canSee(
  tx: Session,
  repositoryId: number,
  blob: { readonly id: number; readonly digest: Digest; readonly visibleSince: number | null },
  context: CommandContext,
): Promise<boolean> {
  if (blob.visibleSince !== null) return true
  // A client may have been told that the repository has it just before the image that held it was deleted, or archived: that
  // answer was a promise, and the bytes are still there.
  if (!(await isHeldByTrash(tx, repositoryId, blob.digest)) && !(await isHeldByArchive(tx, repositoryId, blob.digest))) return false
  await showBlob(tx, repositoryId, blob.id, context.nowMs)
  await suspect(tx, { kind: 'placement', repositoryId: 0, subjectId: blob.id, reason: 'pushed again', now: context.nowMs, delayMs: 0 })
  return true
}

function newRow(
  repository: RepositoryRow,
  input: PutManifestInput,
  checked: CheckedContent,
  context: CommandContext,
): NewManifestRow {
  return {
    repository_id: repository.id,
    digest: digestToBytes(input.digest),
    media_type: input.mediaType,
    kind: input.kind,
    artifact_type: input.artifactType ?? null,
    size_bytes: input.bytes.byteLength,
    image_size_bytes: checked.imageSizeBytes,
    subject_digest: input.subject === undefined ? null : digestToBytes(input.subject),
    annotations: input.subject === undefined ? null : JSON.stringify(input.annotations),
    pushed_at: context.nowMs,
    pushed_by: context.actorArn,
  }
}

async function pointTags(
  tx: Session,
  repository: RepositoryRow,
  manifestId: number,
  mayHaveTags: boolean,
  input: PutManifestInput,
  context: CommandContext,
): Promise<TagChange[]> {
  const { tags, maxTagsPerImage } = input
  const changes: TagChange[] = []
  let count = mayHaveTags && tags.length > 0 ? await countTagsOfManifest(tx, manifestId, maxTagsPerImage) : 0
  for (const tag of tags) {
    const previous = await findTag(tx, repository.id, tag)
    if (previous?.manifestId === manifestId) continue
    if (count >= maxTagsPerImage) throw tooManyTagsOfImage(tag, repository.name, maxTagsPerImage, context)
    changes.push(await pointTag(tx, repository, tag, previous, manifestId, input, context))
    count += 1
  }
  return changes
}

async function pointTag(
  tx: Session,
  repository: RepositoryRow,
  tag: string,
  previous: TagTarget | undefined,
  manifestId: number,
  input: PutManifestInput,
  context: CommandContext,
): Promise<TagChange> {
  await putTag(tx, repository.id, tag, manifestId, context.nowMs)
  const change = await recordTagChange(tx, context, {
    repositoryId: repository.id,
    name: tag,
    digest: digestToBytes(input.digest),
    previousDigest: previous ? digestToBytes(previous.digest) : null,
  })
  if (previous) {
    await recordEvent(tx, context, repository.id, 'Stowage Tag Moved', {
      'repository-name': repository.name,
      'image-tag': tag,
      'image-digest': input.digest,
      'previous-image-digest': previous.digest,
      because: 'PUSH',
    })
    await suspect(tx, {
      kind: 'manifest',
      repositoryId: repository.id,
      subjectId: previous.manifestId,
      reason: 'tag moved',
      now: context.nowMs,
    })
  }
  return change
}

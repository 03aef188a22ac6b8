import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { referencingManifests } from '../../storage/metadata/stores/blob-index.ts'
import { recordTagChange, toldTagChanges, type TagChange } from '../../storage/metadata/stores/change-log.ts'
import { findManifestRow } from '../../storage/metadata/stores/manifest-store.ts'
import type { RepositoryRow } from '../../storage/metadata/stores/repository-store.ts'
import { collectSuspicions, type Suspicions } from '../../storage/metadata/stores/review-queue.ts'
import { deleteTagRow, findTag, tagsOfManifest } from '../../storage/metadata/stores/tag-store.ts'
import { digestToBytes, type Digest } from '../../values/index.ts'
import { audit, lockRepository } from '../change.ts'
import { registryError } from '../errors.ts'
import { openVetoes, vetoText, type OpenVetoes, type Veto } from '../protection/vetoes.ts'
import { collectUnit } from '../image-unit.ts'
import { trashUnit, type Trashing } from '../trash.ts'
import type { DeleteImageOutcome, ImageToDelete } from '../types.ts'

/** OCI: the tag goes, the image stays by its digest. */
export const deleteTag = defineCommand({
  name: 'delete-tag',
  durability: 'durable',
  async run(tx, input: { name: string; tag: string }, context): Promise<void> {
    const repository = await lockRepository(tx, context, input.name)
    const target = await findTag(tx, repository.id, input.tag)
    if (!target) throw registryError('tag-unknown', 'Requested image not found', { tag: input.tag })
    const vetoes = (await openVetoes(tx, repository, context.nowMs, { mode: 'by-hand' })).ofTag(input.tag)
    if (vetoes.length > 0) throw registryError('image-protected', refusalText(vetoes))
    const suspicions = collectSuspicions()
    const change = await removeTag(tx, repository, input.tag, target, suspicions, context)
    await suspicions.write(tx)
    await audit(tx, context, input.name, 'BatchDeleteImage', { imageIds: [{ imageTag: input.tag }], keptImage: true, ...toldTagChanges([change]) })
  },
})

/**
 * ECR's BatchDeleteImage, and OCI's deletion by digest. A digest takes the image with all its tags; a tag alone
 * takes the tag, and the image when it was the last. With an image goes its unit (`collectUnit`). What a living index lists
 * stays.
 */
export const deleteImages = defineCommand({
  name: 'delete-images',
  durability: 'durable',
  async run(
    tx,
    input: {
      name: string
      identifiers: readonly ImageToDelete[]
      trashBatch: string
      retentionMs: number
    },
    context,
  ): Promise<DeleteImageOutcome[]> {
    const { trashBatch: batch, retentionMs } = input
    const trashing: Trashing = { batch, retentionMs, cause: { action: 'BatchDeleteImage', requestId: context.requestId } }
    const repository = await lockRepository(tx, context, input.name)
    const vetoes = await openVetoes(tx, repository, context.nowMs, { mode: 'by-hand' })
    const outcomes = new Map<number, DeleteImageOutcome>()
    const tagChanges: TagChange[] = []
    const suspicions = collectSuspicions()
    let waiting = input.identifiers.map((identifier, position) => ({ identifier, position }))
    // An image may be named before the index that lists it: what is still referenced gets another turn as long as
    // something else of the call went.
    for (let progress = true; progress && waiting.length > 0; ) {
      progress = false
      const referenced: typeof waiting = []
      for (const turn of waiting) {
        const outcome = await deleteOne(tx, repository, turn.identifier, trashing, vetoes, suspicions, tagChanges, context)
        outcomes.set(turn.position, outcome)
        if (outcome.kind === 'referenced') referenced.push(turn)
        else if (outcome.kind === 'deleted') progress = true
      }
      waiting = referenced
    }
    const inOrder = input.identifiers.flatMap((_, position) => outcomes.get(position) ?? [])
    await suspicions.write(tx)
    const deleted = inOrder.filter((outcome) => outcome.kind === 'deleted')
    if (deleted.length > 0) {
      await audit(tx, context, input.name, 'BatchDeleteImage', {
        imageIds: deleted.map(({ digest, tags }) => ({ imageDigest: digest, imageTags: tags })),
        trashBatch: input.trashBatch,
        ...toldTagChanges(tagChanges),
      })
    }
    return inOrder
  },
})

async function deleteOne(
  tx: Session,
  repository: RepositoryRow,
  identifier: ImageToDelete,
  trashing: Trashing,
  vetoes: OpenVetoes,
  suspicions: Suspicions,
  tagChanges: TagChange[],
  context: CommandContext,
): Promise<DeleteImageOutcome> {
  const { digest, tag } = identifier
  const target = tag === undefined ? undefined : await findTag(tx, repository.id, tag)
  if (tag !== undefined && !target) return { kind: 'not-found' }
  if (digest !== undefined && target && target.digest !== digest) return { kind: 'tag-digest-mismatch' }
  const wanted = digest ?? target?.digest
  if (wanted === undefined) return { kind: 'not-found' }

  const manifest = await findManifestRow(tx, repository.id, wanted)
  if (!manifest) return { kind: 'not-found' }
  if (manifest.trashed_at !== null) {
    // Named beside the index or the subject that took it along: it is gone as asked.
    if (manifest.trash_batch === trashing.batch) return { kind: 'deleted', digest: wanted, tags: [], imageDeleted: true }
    return { kind: 'not-found' }
  }
  if (tag !== undefined && target) {
    const others = (await tagsOfManifest(tx, manifest.id)).filter((name) => name !== tag)
    // Naming one of several tags, alone or with its digest, takes only that tag.
    if (others.length > 0) {
      const ofTag = vetoes.ofTag(tag)
      if (ofTag.length > 0) return vetoed(ofTag)
      tagChanges.push(await removeTag(tx, repository, tag, target, suspicions, context))
      return { kind: 'deleted', digest: wanted, tags: [tag], imageDeleted: false }
    }
  } else if (identifier.knownTags !== undefined) {
    requireKnownTags(wanted, await tagsOfManifest(tx, manifest.id), identifier.knownTags)
  }
  const by = await referencingManifests(tx, repository.id, wanted)
  if (by.length > 0) return { kind: 'referenced', by }
  const ofImage = (await vetoes.ofManifests([manifest.id])).get(manifest.id)
  if (ofImage !== undefined) return vetoed(ofImage)
  const unit = await collectUnit(tx, manifest)
  const trashed = await trashUnit(tx, repository, unit, trashing, suspicions, context)
  for (const image of trashed) tagChanges.push(...image.tagChanges)
  return { kind: 'deleted', digest: wanted, tags: trashed[0]!.tags, imageDeleted: true }
}

/**
 * Requires that the caller's right to delete an image was decided for the tags that it has: for each of them, and for one
 * without tags if it has none. What the same call took before is no change.
 * @throws `tags-changed`
 */
function requireKnownTags(digest: Digest, tags: readonly string[], knownTags: readonly string[]): void {
  if (tags.length === 0 ? knownTags.length === 0 : tags.every((tag) => knownTags.includes(tag))) return
  throw registryError('tags-changed', `The tags of the image ${digest} were changed while it was to be deleted. Try again.`)
}

function vetoed(vetoes: readonly Veto[]): DeleteImageOutcome {
  return { kind: 'vetoed', reason: refusalText(vetoes) }
}

function refusalText(vetoes: readonly Veto[]): string {
  return `Requested image must not be deleted: ${vetoText(vetoes)}`
}

async function removeTag(
  tx: Session,
  repository: RepositoryRow,
  tag: string,
  target: { readonly manifestId: number; readonly digest: Digest },
  suspicions: Suspicions,
  context: CommandContext,
): Promise<TagChange> {
  await deleteTagRow(tx, repository.id, tag)
  suspicions.add({
    kind: 'manifest',
    repositoryId: repository.id,
    subjectId: target.manifestId,
    reason: 'tag deleted',
    now: context.nowMs,
  })
  return recordTagChange(tx, context, {
    repositoryId: repository.id,
    name: tag,
    digest: null,
    previousDigest: digestToBytes(target.digest),
  })
}

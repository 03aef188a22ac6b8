import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { referencingManifests } from '../../storage/metadata/stores/blob-index.ts'
import { recordTagChange, toldTagChanges, type TagChange } from '../../storage/metadata/stores/change-log.ts'
import { findManifestRow, type ManifestRow } from '../../storage/metadata/stores/manifest-store.ts'
import type { RepositoryRow } from '../../storage/metadata/stores/repository-store.ts'
import { collectSuspicions, type Suspicions } from '../../storage/metadata/stores/review-queue.ts'
import { deleteTagRow, findTag, tagsOfManifest, type TagTarget } from '../../storage/metadata/stores/tag-store.ts'
import { digestFromBytes, digestToBytes, type Digest, type Tag } from '../../values/index.ts'
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
 * ECR's BatchDeleteImage, and OCI's deletion by digest. A digest takes the image with all its tags; tags alone
 * take themselves, and the image where they are all that it has: in the trash it keeps them. With an image goes its unit (`collectUnit`). What a living index lists
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
    const suspicions = collectSuspicions()
    const deletion = new Deletion(tx, repository, { trashing, vetoes, suspicions, context })
    const outcomes = new Map<number, DeleteImageOutcome>()
    const named = input.identifiers.map((identifier, position) => ({ identifier, position }))
    await deletion.expect(input.identifiers)
    // An image that is named as a whole goes as a whole, whichever of its tags are named beside it.
    let waiting = [...named.filter(({ identifier }) => identifier.tag === undefined), ...named.filter(({ identifier }) => identifier.tag !== undefined)]
    // An image may be named before the index that lists it: what is still referenced gets another turn as long as
    // something else of the call went.
    for (let progress = true; progress && waiting.length > 0; ) {
      progress = false
      const referenced: typeof waiting = []
      for (const turn of waiting) {
        const outcome = await deletion.delete(turn.identifier)
        outcomes.set(turn.position, outcome)
        if (outcome.kind === 'referenced') referenced.push(turn)
        else if (outcome.kind === 'deleted') progress = true
      }
      waiting = referenced
    }
    for (const { identifier, position } of waiting) outcomes.set(position, await deletion.deleteTagAlone(identifier, outcomes.get(position)!))
    const inOrder = input.identifiers.flatMap((_, position) => outcomes.get(position) ?? [])
    await suspicions.write(tx)
    const deleted = inOrder.filter((outcome) => outcome.kind === 'deleted')
    if (deleted.length > 0) {
      await audit(tx, context, input.name, 'BatchDeleteImage', {
        imageIds: deleted.map(({ digest, tags }) => ({ imageDigest: digest, imageTags: tags })),
        trashBatch: input.trashBatch,
        ...toldTagChanges(deletion.tagChanges),
      })
    }
    return inOrder
  },
})

/** What one call deletes, image after image. */
class Deletion {
  readonly tagChanges: TagChange[] = []
  readonly #tx: Session
  readonly #repository: RepositoryRow
  readonly #conditions: DeletionConditions
  /** Of each image the tags that the call names. */
  readonly #named = new Map<number, Set<string>>()
  /** Tags that went with their images, until the call comes to them. */
  readonly #gone = new Map<string, Digest>()

  constructor(tx: Session, repository: RepositoryRow, conditions: DeletionConditions) {
    this.#tx = tx
    this.#repository = repository
    this.#conditions = conditions
  }

  /** An image of which all tags are named goes with all of them, and so comes back with them. */
  async expect(identifiers: readonly ImageToDelete[]): Promise<void> {
    for (const { digest, tag } of identifiers) {
      const target = tag === undefined ? undefined : await findTag(this.#tx, this.#repository.id, tag)
      if (tag === undefined || target === undefined || (digest !== undefined && digest !== target.digest)) continue
      this.#named.set(target.manifestId, (this.#named.get(target.manifestId) ?? new Set<string>()).add(tag))
    }
  }

  async delete(identifier: ImageToDelete): Promise<DeleteImageOutcome> {
    const { digest, tag } = identifier
    const wentAs = tag === undefined ? undefined : this.#gone.get(tag)
    if (tag !== undefined && wentAs !== undefined) {
      if (digest !== undefined && digest !== wentAs) return { kind: 'tag-digest-mismatch' }
      this.#gone.delete(tag)
      return { kind: 'deleted', digest: wentAs, tags: [tag] }
    }
    const target = tag === undefined ? undefined : await findTag(this.#tx, this.#repository.id, tag)
    if (tag !== undefined && !target) return { kind: 'not-found' }
    if (digest !== undefined && target && target.digest !== digest) return { kind: 'tag-digest-mismatch' }
    const wanted = digest ?? target?.digest
    if (wanted === undefined) return { kind: 'not-found' }

    const manifest = await findManifestRow(this.#tx, this.#repository.id, wanted)
    if (!manifest) return { kind: 'not-found' }
    if (manifest.trashed_at !== null) {
      // Named beside the index or the subject that took it along: it is gone as asked.
      return manifest.trash_batch === this.#conditions.trashing.batch ? { kind: 'deleted', digest: wanted, tags: [] } : { kind: 'not-found' }
    }
    const tags = await tagsOfManifest(this.#tx, manifest.id)
    // Naming some of several tags, alone or with their digest, takes only those.
    if (tag !== undefined && tags.some((name) => !this.#isNamed(manifest, name))) return this.#deleteTag(tag, target!)
    if (tag === undefined && identifier.knownTags !== undefined) requireKnownTags(wanted, tags, identifier.knownTags)
    const outcome = await this.#deleteImage(manifest, tag)
    return outcome.kind === 'vetoed' ? this.deleteTagAlone(identifier, outcome) : outcome
  }

  /** Where an image has to stay, a tag of it can still go, unless it is the last: the outcome of that, or the one that there was. */
  async deleteTagAlone({ tag }: ImageToDelete, outcome: DeleteImageOutcome): Promise<DeleteImageOutcome> {
    const target = tag === undefined ? undefined : await findTag(this.#tx, this.#repository.id, tag)
    if (tag === undefined || target === undefined || (await tagsOfManifest(this.#tx, target.manifestId)).length === 1) return outcome
    return this.#deleteTag(tag, target)
  }

  async #deleteTag(tag: Tag, target: TagTarget): Promise<DeleteImageOutcome> {
    const { vetoes, suspicions, context } = this.#conditions
    const ofTag = vetoes.ofTag(tag)
    if (ofTag.length > 0) return vetoed(ofTag)
    this.tagChanges.push(await removeTag(this.#tx, this.#repository, tag, target, suspicions, context))
    return { kind: 'deleted', digest: target.digest, tags: [tag] }
  }

  /** @param asked the tag that it is named by */
  async #deleteImage(manifest: ManifestRow, asked: Tag | undefined): Promise<DeleteImageOutcome> {
    const { trashing, vetoes, suspicions, context } = this.#conditions
    const digest = digestFromBytes(manifest.digest)
    const by = await referencingManifests(this.#tx, this.#repository.id, digest)
    if (by.length > 0) return { kind: 'referenced', by }
    const ofImage = (await vetoes.ofManifests([manifest.id])).get(manifest.id)
    if (ofImage !== undefined) return vetoed(ofImage)
    const unit = await collectUnit(this.#tx, manifest)
    const trashed = await trashUnit(this.#tx, this.#repository, unit, trashing, suspicions, context)
    for (const image of trashed) {
      this.tagChanges.push(...image.tagChanges)
      for (const tag of image.tags) if (tag !== asked) this.#gone.set(tag, image.digest)
    }
    // Those that are named as well have an outcome of their own.
    return { kind: 'deleted', digest, tags: trashed[0]!.tags.filter((tag) => tag === asked || !this.#isNamed(manifest, tag)) }
  }

  #isNamed({ id }: ManifestRow, tag: string): boolean {
    return this.#named.get(id)?.has(tag) === true
  }
}

interface DeletionConditions {
  readonly trashing: Trashing
  readonly vetoes: OpenVetoes
  readonly suspicions: Suspicions
  readonly context: CommandContext
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

import { isPlatformError } from '../internal/platform-error.ts'
import type { Quotas } from '../config/quotas.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { findManifestRow } from '../storage/metadata/stores/manifest-store.ts'
import {
  findLastLoss,
  findLastTrashedByTag,
  findListedBatch,
  listTagChanges,
  listTrashBatches,
  listTrashedImages,
  tagsOfBatch,
  type ListedTrashBatch,
  type TrashPosition,
} from '../storage/metadata/stores/trash-listing.ts'
import { findRepositoryRow } from '../storage/metadata/stores/repository-store.ts'
import { findTagChange, tagsHeldInTrash } from '../storage/metadata/stores/trash-store.ts'
import { digestFromBytes, type Tag } from '../values/index.ts'
import { readRepository, readRepositoryOrTrash } from './change.ts'
import { purgeTrash } from './commands/purge-trash.ts'
import { membersWithKin, restoreTrash, trashUnknown, undoTagChange } from './commands/restore-trash.ts'
import { commandContext } from './context.ts'
import { registryError } from './errors.ts'
import { parseIdPosition, toPage } from './paging.ts'
import { imageLimitsOf } from './quotas.ts'
import { registryOf } from './repositories.ts'
import type { TrashBatch } from './trash-types.ts'
import type { Registry } from './types.ts'

export type TrashOperations = Pick<
  Registry,
  'listTrash' | 'describeTrash' | 'findInTrash' | 'tagsInTrash' | 'tagOfChange' | 'restoreTrash' | 'purgeTrash' | 'listTagChanges' | 'undoTagChange'
>

/** Whether somebody may restore each of so many is found in some milliseconds. */
const maxTagsAskedAbout = 10_000

/** Newer than everything, where a list begins. */
const newest: TrashPosition = { createdAt: Number.MAX_SAFE_INTEGER, id: '' }

/** What shows deleted images, repositories and tags, and brings them back. */
export function trashOperations({ database, quotas }: { database: MetadataDatabase; quotas: Quotas }): TrashOperations {
  return {
    async listTrash(context, name, page) {
      const wanted = { registryId: context.registry.id, name, before: parseTrashPosition(page.after), limit: page.limit + 1 }
      const rows = await listTrashBatches(database.reader, wanted)
      return toPage(rows, page.limit, toBatch, ({ createdAt, id }) => `${createdAt}:${id}`)
    },

    async describeTrash(context, name, id, page) {
      const after = parseIdPosition(page.after)
      return database.snapshot(async (session) => {
        const found = await findListedBatch(session, { registryId: context.registry.id, name, id })
        if (!found) throw trashUnknown(id)
        const { repositoryId } = found
        const rows = await listTrashedImages(session, { batch: id, repositoryId, after, limit: page.limit + 1 })
        const images = toPage(
          rows,
          page.limit,
          (row) => ({ ...row, digest: digestFromBytes(row.digest), tags: row.tags as Tag[], rule: row.rule ?? undefined }),
          (row) => String(row.id),
        )
        return { batch: toBatch(found), images }
      })
    },

    async findInTrash(context, name, { digest, tag }) {
      const { reader } = database
      const { id } = await readRepositoryOrTrash(reader, registryOf(context), name)
      if (digest !== undefined) {
        const row = await findManifestRow(reader, id, digest)
        if (row === undefined || row.trashed_at === null || row.trash_batch === null) throw trashUnknown(digest)
        return { batch: row.trash_batch, digest }
      }
      if (tag === undefined) throw trashUnknown(name)
      const lost = await findLastLoss(reader, id, tag)
      if (lost !== undefined && (await findManifestRow(reader, id, digestFromBytes(lost)))?.trashed_at === null) {
        throw trashUnknown(tag, ` The tag alone was deleted, of an image that is still there: stowage trash changes ${name} --tag ${tag} tells how to undo it.`)
      }
      const found = await findLastTrashedByTag(reader, id, tag)
      if (found === undefined || found.batch === null) throw trashUnknown(tag)
      return { batch: found.batch, digest: digestFromBytes(found.digest) }
    },

    async tagsInTrash(context, name, { batch, digests }) {
      return database.snapshot(async (session) => {
        const repository = await findRepositoryRow(session, context.registry.id, name)
        if (repository === undefined) return [undefined]
        if (digests === undefined) {
          const tags = await tagsOfBatch(session, { batch: batch ?? '', repositoryId: repository.id, limit: maxTagsAskedAbout + 1 })
          if (tags.length <= maxTagsAskedAbout) return tags as (Tag | undefined)[]
          throw registryError('limit-exceeded', `The batch has more than ${maxTagsAskedAbout} tags, about each of which your policies have to be asked: restore its images by their digests, a hundred at a time.`)
        }
        const tags = new Set<Tag | undefined>()
        for (const { id } of await membersWithKin(session, repository, batch, digests)) {
          const held = await tagsHeldInTrash(session, id)
          for (const { name: tag } of held) tags.add(tag as Tag)
          if (held.length === 0) tags.add(undefined)
        }
        return [...tags]
      })
    },

    async tagOfChange(context, name, changeId) {
      const repository = await findRepositoryRow(database.reader, context.registry.id, name)
      return repository && ((await findTagChange(database.reader, repository.id, changeId))?.name as Tag | undefined)
    },

    async restoreTrash(context, batch, digests, known) {
      const limits = { ...imageLimitsOf(quotas), maxRepositories: quotas.repositoriesPerRegistry }
      const knownTags = known?.map((tag) => tag ?? null)
      const restorePart = (after: number) => database.execute(restoreTrash, { batch, digests, knownTags, after, ...limits }, commandContext(context))
      const { next: second, ...outcome } = await restorePart(0)
      const images = [...outcome.images]
      // An image that cannot come back may be told by two parts: as one of its own, and by what it belongs to.
      const notRestored = new Map(outcome.notRestored.map((image) => [image.digest, image]))
      for (let after = second; after !== undefined; ) {
        const part = await restorePart(after)
        images.push(...part.images)
        for (const image of part.notRestored) notRestored.set(image.digest, image)
        after = part.next
      }
      return { ...outcome, images, notRestored: [...notRestored.values()] }
    },

    async purgeTrash(context, name, batch) {
      let after: number | undefined = 0
      try {
        while (after !== undefined) after = await database.execute(purgeTrash, { name, batch, after }, commandContext(context))
      } catch (error) {
        // All that was left of it after the first part has come back or gone meanwhile.
        if (after === 0 || !isPlatformError(error, 'trash-unknown')) throw error
      }
    },

    async listTagChanges(context, name, tag, page) {
      const { id } = await readRepository(database.reader, registryOf(context), name)
      const before = page.after === undefined ? Number.MAX_SAFE_INTEGER : parseIdPosition(page.after)
      const rows = await listTagChanges(database.reader, { repositoryId: id, name: tag, before, limit: page.limit + 1 })
      return toPage(
        rows,
        page.limit,
        (row) => ({
          id: row.id,
          tag: row.name as Tag,
          digest: row.digest === null ? undefined : digestFromBytes(row.digest),
          previousDigest: row.previousDigest === null ? undefined : digestFromBytes(row.previousDigest),
          changedAt: row.changedAt,
          changedBy: row.changedBy,
        }),
        (row) => String(row.id),
      )
    },

    undoTagChange(context, name, changeId) {
      return database.execute(undoTagChange, { name, changeId }, commandContext(context))
    },
  }
}

function toBatch(row: ListedTrashBatch): TrashBatch {
  return {
    batch: row.id,
    repositoryName: row.repositoryName,
    kind: row.kind === 'repository' ? 'repository' : 'images',
    cause: JSON.parse(row.cause) as Record<string, unknown>,
    isSecurity: row.isSecurity === 1,
    imageCount: row.imageCount,
    tagCount: row.tagCount,
    trashedAt: row.createdAt,
    trashedBy: row.createdBy,
    purgeAfter: row.purgeAfter,
  }
}

/** Throws `page-invalid`. */
function parseTrashPosition(after: string | undefined): TrashPosition {
  if (after === undefined) return newest
  const [, createdAt, id] = /^(\d{1,15}):([0-9a-f-]{1,64})$/.exec(after) ?? []
  if (createdAt === undefined || id === undefined) throw registryError('page-invalid', 'The page token is not one that was given out.')
  return { createdAt: Number(createdAt), id }
}

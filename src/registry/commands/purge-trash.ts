import { defineCommand } from '../../storage/metadata/command.ts'
import { collectSuspicions, suspect } from '../../storage/metadata/stores/review-queue.ts'
import { shortenRepositoryTrash, shortenTrash, shortenTrashBatch, trashedMembers } from '../../storage/metadata/stores/trash-store.ts'
import { audit } from '../change.ts'
import { lockTrashBatch, trashUnknown } from './restore-trash.ts'

/** Images of a batch whose time one command ends: a policy's run may have put a million into one. */
const imagesPerCommand = 500

/**
 * Ends a batch's time in the trash: what holds for everything whose time is over holds for it from now on, so that a
 * collection takes it away, unless something forbids that. One command does so for some images, from the one numbered `after` on, and answers where the
 * next begins. Whoever is cut short begins anew. Throws `trash-unknown`.
 */
export const purgeTrash = defineCommand({
  name: 'purge-trash',
  durability: 'durable',
  async run(tx, input: { name: string; batch: string; after: number }, context): Promise<number | undefined> {
    const now = context.nowMs
    let next: number | undefined
    const { batch, repository } = await lockTrashBatch(tx, input.batch, context)
    if (batch.restored_at !== null || batch.purged_at !== null || repository.name !== input.name) throw trashUnknown(input.batch)
    if (batch.kind === 'repository') {
      if (repository.trash_batch !== input.batch) throw trashUnknown(input.batch)
      await shortenRepositoryTrash(tx, { repositoryId: repository.id, batch: input.batch, now })
      const { id } = repository
      await suspect(tx, { kind: 'repository', repositoryId: id, subjectId: id, reason: 'trash emptied', now, delayMs: 0 })
    } else {
      if (input.after === 0) await shortenTrashBatch(tx, { repositoryId: repository.id, batch: input.batch, now })
      const part = { batch: input.batch, repositoryId: repository.id, after: input.after, limit: imagesPerCommand }
      const ids = (await trashedMembers(tx, part)).map(({ id }) => id)
      await shortenTrash(tx, ids, now)
      const suspicions = collectSuspicions()
      for (const subjectId of ids) {
        suspicions.add({ kind: 'manifest', repositoryId: repository.id, subjectId, reason: 'trash emptied', now, delayMs: 0 })
      }
      await suspicions.write(tx)
      next = ids.length < imagesPerCommand ? undefined : ids.at(-1)
    }
    if (input.after > 0) return next
    await audit(tx, context, repository.name, 'PurgeTrash', { trashBatch: input.batch, kind: batch.kind, images: batch.image_count })
    return next
  },
})

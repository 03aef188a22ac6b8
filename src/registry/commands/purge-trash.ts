import { defineCommand } from '../../storage/metadata/command.ts'
import { suspect } from '../../storage/metadata/stores/review-queue.ts'
import { shortenRepositoryTrash, shortenTrash } from '../../storage/metadata/stores/trash-store.ts'
import { audit } from '../change.ts'
import { lockTrashBatch, trashUnknown } from './restore-trash.ts'

/**
 * Ends a batch's time in the trash: what holds for everything whose time is over holds for it from now on, so that a
 * collection takes it away, unless something forbids that. Throws `trash-unknown`.
 */
export const purgeTrash = defineCommand({
  name: 'purge-trash',
  durability: 'durable',
  async run(tx, input: { name: string; batch: string }, context): Promise<void> {
    const now = context.nowMs
    const { batch, repository } = await lockTrashBatch(tx, input.batch, undefined, context)
    if (batch.restored_at !== null || batch.purged_at !== null || repository.name !== input.name) throw trashUnknown(input.batch)
    if (batch.kind === 'repository') {
      if (repository.trash_batch !== input.batch) throw trashUnknown(input.batch)
      await shortenRepositoryTrash(tx, { repositoryId: repository.id, batch: input.batch, now })
      const { id } = repository
      await suspect(tx, { kind: 'repository', repositoryId: id, subjectId: id, reason: 'trash emptied', now, delayMs: 0 })
    } else {
      await shortenTrash(tx, { repositoryId: repository.id, batch: input.batch, now })
    }
    await audit(tx, context, repository.name, 'PurgeTrash', { trashBatch: input.batch, kind: batch.kind, images: batch.image_count })
  },
})

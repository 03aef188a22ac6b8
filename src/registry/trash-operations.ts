import type { Quotas } from '../config/quotas.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { restoreTrash, undoTagChange } from './commands/restore-trash.ts'
import { commandContext } from './context.ts'
import type { Registry } from './types.ts'

export type TrashOperations = Pick<Registry, 'restoreTrash' | 'undoTagChange'>

/** What brings deleted images, repositories and tags back. */
export function trashOperations({ database, quotas }: { database: MetadataDatabase; quotas: Quotas }): TrashOperations {
  return {
    restoreTrash(context, batch, digests) {
      const limits = { maxImages: quotas.imagesPerRepository, maxRepositories: quotas.repositoriesPerRegistry }
      return database.execute(restoreTrash, { batch, digests, ...limits }, commandContext(context))
    },

    undoTagChange(context, name, changeId) {
      return database.execute(undoTagChange, { name, changeId }, commandContext(context))
    },
  }
}

import { defineCommand } from '../../storage/metadata/command.ts'
import { findRepositoryRowById, lockRepositoryRow, setRepositorySums, sumManifests } from '../../storage/metadata/stores/repository-store.ts'

/**
 * Notes how many images a repository has, and their bytes, as they are counted under its lock. False when that is what was
 * noted, or when the repository is gone.
 */
export const recountRepository = defineCommand({
  name: 'recount-repository',
  durability: 'durable',
  async run(tx, { repositoryId }: { repositoryId: number }): Promise<boolean> {
    const found = await findRepositoryRowById(tx, repositoryId)
    const repository = found && (await lockRepositoryRow(tx, found.registry_id, found.name))
    if (repository?.id !== repositoryId) return false
    // After the lock: whoever held it may have counted something meanwhile.
    const sums = await sumManifests(tx, repositoryId)
    if (repository.image_count === sums.images && repository.logical_bytes === sums.bytes) return false
    await setRepositorySums(tx, repositoryId, sums)
    return true
  },
})

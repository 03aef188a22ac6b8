import { openVetoes, type Veto } from '../../registry/protection/index.ts'
import { defineCommand } from '../../storage/metadata/command.ts'
import { lockRepositoryRowById } from '../../storage/metadata/stores/trash-store.ts'

/**
 * What stands against removing an image automatically, or without one against removing anything of the repository. A command,
 * though it changes nothing: the answer takes locks, which a read cannot.
 */
export const askVetoes = defineCommand({
  name: 'ask-vetoes',
  durability: 'process',
  async run(tx, input: { repositoryId: number; manifestId: number | undefined }, context): Promise<Veto[]> {
    const repository = await lockRepositoryRowById(tx, input.repositoryId)
    if (!repository) return []
    const { manifestId } = input
    const vetoes = await openVetoes(tx, repository, context.nowMs, { mode: 'automatic' })
    return manifestId === undefined ? vetoes.ofEverything() : ((await vetoes.ofManifests([manifestId])).get(manifestId) ?? [])
  },
})

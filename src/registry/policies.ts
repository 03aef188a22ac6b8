import { showPrincipals } from '../iam/index.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { findRegistryPolicy, findRepositoryPolicy } from '../storage/metadata/stores/policy-store.ts'
import { readRepository } from './change.ts'
import * as commands from './commands/policies.ts'
import { commandContext } from './context.ts'
import { parameterInvalid } from './errors.ts'
import { checkPolicy, pinnedPolicy, registryPolicyUnknown, repositoryPolicyUnknown } from './policy-rules.ts'
import { registryOf } from './repositories.ts'
import type { Registry } from './types.ts'

export type PolicyOperations = Pick<
  Registry,
  | 'setRepositoryPolicy'
  | 'getRepositoryPolicy'
  | 'deleteRepositoryPolicy'
  | 'putRegistryPolicy'
  | 'getRegistryPolicy'
  | 'deleteRegistryPolicy'
>

/** Policies that hang from repositories and registries. Who may what by them is decided by `iam`. */
export function policyOperations({ database }: { database: MetadataDatabase }): PolicyOperations {
  const shown = async (document: string): Promise<string> => (await showPrincipals(database.reader, [document]))[0] ?? document

  return {
    async setRepositoryPolicy(context, name, policyText, { force, mayStillSet }) {
      checkPolicy(policyText, 'repository')
      await readRepository(database.reader, registryOf(context), name)
      const document = await pinnedPolicy(database.reader, policyText)
      if (!force && !(await mayStillSet(document))) {
        throw parameterInvalid(
          'PolicyText',
          'The policy would prevent you from setting another policy in the future: set it with force if that is meant',
        )
      }
      await database.execute(commands.setRepositoryPolicy, { name, policyText, document, force }, commandContext(context))
    },

    async getRepositoryPolicy(context, name) {
      const { id } = await readRepository(database.reader, registryOf(context), name)
      const document = await findRepositoryPolicy(database.reader, id)
      if (document === undefined) throw repositoryPolicyUnknown(name, context.registry.accountId)
      return shown(document)
    },

    deleteRepositoryPolicy: async (context, name) =>
      shown(await database.execute(commands.deleteRepositoryPolicy, { name }, commandContext(context))),

    async putRegistryPolicy(context, policyText) {
      checkPolicy(policyText, 'registry')
      const document = await pinnedPolicy(database.reader, policyText)
      await database.execute(commands.putRegistryPolicy, { policyText, document }, commandContext(context))
    },

    async getRegistryPolicy(context) {
      const document = await findRegistryPolicy(database.reader, context.registry.id)
      if (document === undefined) throw registryPolicyUnknown(context.registry.accountId)
      return shown(document)
    },

    deleteRegistryPolicy: async (context) =>
      shown(await database.execute(commands.deleteRegistryPolicy, {}, commandContext(context))),
  }
}

import type { Registry } from '../../../../registry/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { boolean, required, structure } from '../../shapes.ts'
import { policyText } from './policy-text.ts'
import * as shapes from './shapes.ts'
import { repositoryResource, targetOf } from './target.ts'

/** The policies of repositories and of the registry. */
export function policyOperations({ registry }: { readonly registry: Registry }): Record<string, AwsOperation> {
  return {
    SetRepositoryPolicy: operation({
      action: 'ecr:SetRepositoryPolicy',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...shapes.repositoryMembers, policyText: required(shapes.policyText), force: boolean() }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        await registry.setRepositoryPolicy(context, name, input.policyText, {
          force: input.force ?? false,
          mayStillSet: (repositoryPolicy) =>
            call.allows('ecr:SetRepositoryPolicy', repositoryResource(input, call), { repositoryPolicy }),
        })
        return { registryId: context.registry.accountId, repositoryName: name, policyText: policyText(input.policyText) }
      },
    }),

    GetRepositoryPolicy: operation({
      action: 'ecr:GetRepositoryPolicy',
      resource: (input, call) => repositoryResource(input, call),
      input: structure(shapes.repositoryMembers),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const document = await registry.getRepositoryPolicy(context, name)
        return { registryId: context.registry.accountId, repositoryName: name, policyText: policyText(document) }
      },
    }),

    DeleteRepositoryPolicy: operation({
      action: 'ecr:DeleteRepositoryPolicy',
      resource: (input, call) => repositoryResource(input, call),
      input: structure(shapes.repositoryMembers),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const document = await registry.deleteRepositoryPolicy(context, name)
        return { registryId: context.registry.accountId, repositoryName: name, policyText: policyText(document) }
      },
    }),

    PutRegistryPolicy: operation({
      action: 'ecr:PutRegistryPolicy',
      resource: () => '*',
      input: structure({ policyText: required(shapes.policyText) }),
      async handler({ context }, input) {
        await registry.putRegistryPolicy(context, input.policyText)
        return { registryId: context.registry.accountId, policyText: policyText(input.policyText) }
      },
    }),

    GetRegistryPolicy: operation({
      action: 'ecr:GetRegistryPolicy',
      resource: () => '*',
      input: structure({}),
      async handler({ context }) {
        const document = await registry.getRegistryPolicy(context)
        return { registryId: context.registry.accountId, policyText: policyText(document) }
      },
    }),

    DeleteRegistryPolicy: operation({
      action: 'ecr:DeleteRegistryPolicy',
      resource: () => '*',
      input: structure({}),
      async handler({ context }) {
        const document = await registry.deleteRegistryPolicy(context)
        return { registryId: context.registry.accountId, policyText: policyText(document) }
      },
    }),
  }
}

import { operation, type AwsOperation } from '../../service.ts'
import { structure } from '../../shapes.ts'

/** The registry itself. Its settings come with the features they steer. */
export function registryOperations(): Record<string, AwsOperation> {
  return {
    DescribeRegistry: operation({
      action: 'ecr:DescribeRegistry',
      resource: () => '*',
      input: structure({}),
      async handler({ context }) {
        return { registryId: context.registry.accountId, replicationConfiguration: { rules: [] } }
      },
    }),
  }
}

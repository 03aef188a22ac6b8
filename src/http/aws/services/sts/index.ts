import { operation, type AwsService } from '../../service.ts'
import { structure } from '../../shapes.ts'

/** AWS Security Token Service, as far as it tells callers who they are. */
export function createStsService(): AwsService {
  return {
    name: 'sts',
    protocol: 'query',
    signingName: 'sts',
    apiVersion: '2011-06-15',
    xmlns: 'https://sts.amazonaws.com/doc/2011-06-15/',
    operations: {
      GetCallerIdentity: operation({
        action: 'sts:GetCallerIdentity',
        resource: () => '*',
        openToEveryCaller: true,
        input: structure({}),
        async handler({ context: { actor } }) {
          return { Arn: actor.arn, UserId: actor.userId, Account: actor.accountId }
        },
      }),
    },
  }
}

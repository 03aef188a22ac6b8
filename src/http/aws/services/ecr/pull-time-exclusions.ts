import type { Registry } from '../../../../registry/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { required, structure } from '../../shapes.ts'
import type { PageTokens } from './page-token.ts'
import * as shapes from './shapes.ts'

/** Principals whose pulls leave `lastRecordedPullTime` as it is. */
export function pullTimeExclusionOperations(deps: {
  readonly registry: Registry
  readonly pageTokens: PageTokens
}): Record<string, AwsOperation> {
  const { registry, pageTokens } = deps
  return {
    RegisterPullTimeUpdateExclusion: operation({
      action: 'ecr:RegisterPullTimeUpdateExclusion',
      resource: () => '*',
      input: structure({ principalArn: required(shapes.pullingPrincipalArn) }),
      async handler({ context }, { principalArn }) {
        const { createdAt } = await registry.registerPullTimeExclusion(context, principalArn)
        return { principalArn, createdAt: new Date(createdAt) }
      },
    }),

    DeregisterPullTimeUpdateExclusion: operation({
      action: 'ecr:DeregisterPullTimeUpdateExclusion',
      resource: () => '*',
      input: structure({ principalArn: required(shapes.pullingPrincipalArn) }),
      async handler({ context }, { principalArn }) {
        await registry.deregisterPullTimeExclusion(context, principalArn)
        return { principalArn }
      },
    }),

    ListPullTimeUpdateExclusions: operation({
      action: 'ecr:ListPullTimeUpdateExclusions',
      resource: () => '*',
      input: structure({ maxResults: shapes.maxResults, nextToken: shapes.nextToken }),
      async handler({ context }, { maxResults, nextToken }) {
        const list = ['ListPullTimeUpdateExclusions', context.registry.id]
        const { items, next } = await registry.listPullTimeExclusions(context, {
          limit: maxResults ?? shapes.defaultPageSize,
          after: pageTokens.read(list, nextToken),
        })
        return { pullTimeUpdateExclusions: items, nextToken: pageTokens.issue(list, next) }
      },
    }),
  }
}

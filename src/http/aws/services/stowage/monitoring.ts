import type { AccountId } from '../../../../values/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { structure } from '../../shapes.ts'

/** How this server is. What it tells is no single account's, and so it is the installation's own account's. */
export function monitoringOperations({ metricsText, homeAccountId }: {
  /** In Prometheus' text format. */
  readonly metricsText: () => Promise<string>
  readonly homeAccountId: AccountId
}): Record<string, AwsOperation> {
  return {
    DescribeMetrics: operation({
      action: 'stowage:DescribeMetrics',
      resource: () => `arn:aws:stowage::${homeAccountId}:metrics`,
      input: structure({}),
      handler: async ({ context }) => ({ answeredAt: new Date(context.clock.now()), metricsText: await metricsText() }),
    }),
  }
}

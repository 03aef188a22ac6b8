import type { Keyring } from '../../../../iam/index.ts'
import type { MetricReader } from '../../../../metrics/metric-reader.ts'
import { AwsError } from '../../errors.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { boolean, enumeration, structure } from '../../shapes.ts'
import { PageTokens, type ListIdentity } from '../ecr/page-token.ts'
import * as shapes from './shapes.ts'

/** CloudWatch's own. */
const pageSize = 500

/** Its model has no error of its own for a token, as those of other calls have. */
const invalidToken = 'InvalidParameterValueException'

const hourMs = 60 * 60_000

/** What has no points for longer is not told. */
const listedForMs = 14 * 24 * hourMs

/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListMetrics.html */
export function listMetrics({ reader, keyring }: { readonly reader: MetricReader; readonly keyring: Keyring }): AwsOperation {
  const tokens = new PageTokens(keyring)
  return operation({
    action: 'cloudwatch:ListMetrics',
    resource: () => '*',
    input: structure({
      Namespace: shapes.namespace,
      MetricName: shapes.metricName,
      Dimensions: shapes.dimensionFilters,
      NextToken: shapes.nextToken,
      RecentlyActive: enumeration(['PT3H']),
      IncludeLinkedAccounts: boolean(),
      OwningAccount: shapes.accountId,
    }),
    async handler({ context: { registry, clock } }, input) {
      const { Namespace, MetricName, Dimensions = [], RecentlyActive, IncludeLinkedAccounts = false, OwningAccount } = input
      const { accountId, region } = registry
      // No other account is linked.
      if (OwningAccount !== undefined && OwningAccount !== accountId) return { Metrics: [] }
      const identity: ListIdentity = ['ListMetrics', accountId, region, JSON.stringify([Namespace, MetricName, Dimensions, RecentlyActive])]
      const oldest = clock.now() - (RecentlyActive === undefined ? listedForMs : 3 * hourMs)
      const activeSince = RecentlyActive === undefined ? oldest - (oldest % hourMs) : oldest
      const filter = { namespace: Namespace, name: MetricName, dimensions: Dimensions.map(({ Name, Value }) => ({ name: Name, value: Value })), activeSince }
      const found = await reader.list(accountId, region, filter, { after: positionOf(readToken(tokens, identity, input.NextToken, invalidToken)), limit: pageSize + 1 })
      const page = found.slice(0, pageSize)
      const last = page.at(-1)
      return {
        Metrics: page.map(({ namespace, name, dimensions }) => ({
          Namespace: namespace,
          MetricName: name,
          Dimensions: dimensions.map(([Name, Value]) => ({ Name, Value })),
        })),
        NextToken: tokens.issue(identity, found.length > pageSize && last !== undefined ? JSON.stringify([last.namespace, last.name, last.id]) : undefined),
        OwningAccounts: IncludeLinkedAccounts ? page.map(() => accountId) : undefined,
      }
    },
  })
}

function positionOf(text: string | undefined): { readonly namespace: string; readonly name: string; readonly id: number } | undefined {
  if (text === undefined) return undefined
  const [namespace, name, id] = JSON.parse(text) as [string, string, number]
  return { namespace, name, id }
}

/** @throws AwsError InvalidNextToken, or what a call has in its place */
export function readToken(tokens: PageTokens, identity: ListIdentity, token: string | undefined, type = 'InvalidNextToken'): string | undefined {
  try {
    return tokens.read(identity, token)
  } catch (error) {
    if (!(error instanceof AwsError)) throw error
    throw new AwsError(type, 'The token was not given out for this request: everything else in it must be the same.')
  }
}

import type { Logs } from '../../../../logs/index.ts'
import { logsError } from '../../../../logs/errors.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { required, structure } from '../../shapes.ts'
import type { PageTokens } from '../ecr/page-token.ts'
import { groupResource, oneGroup, streamArn } from './names.ts'
import * as shapes from './shapes.ts'
import { tagsOfGroup } from './tags.ts'

/** Streams of log groups. */
export function streamOperations({ logs, pageTokens }: { readonly logs: Logs; readonly pageTokens: PageTokens }): Record<string, AwsOperation> {
  return {
    CreateLogStream: operation({
      action: 'logs:CreateLogStream',
      resource: ({ logGroupName }, { context }) => groupResource(context.registry, logGroupName),
      conditions: ({ logGroupName }, call) => tagsOfGroup(logs, call, logGroupName),
      input: structure({ logGroupName: required(shapes.groupName), logStreamName: required(shapes.streamName) }),
      async handler({ context }, { logGroupName, logStreamName }) {
        await logs.createStream(context.registry, logGroupName, logStreamName)
        return {}
      },
    }),

    DeleteLogStream: operation({
      action: 'logs:DeleteLogStream',
      resource: ({ logGroupName, logStreamName }, { context }) => streamArn(context.registry, logGroupName, logStreamName),
      conditions: ({ logGroupName }, call) => tagsOfGroup(logs, call, logGroupName),
      input: structure({ logGroupName: required(shapes.groupName), logStreamName: required(shapes.streamName) }),
      async handler({ context }, { logGroupName, logStreamName }) {
        await logs.deleteStream(context.registry, logGroupName, logStreamName)
        return {}
      },
    }),

    DescribeLogStreams: operation({
      action: 'logs:DescribeLogStreams',
      resource: (input, { context }) => groupResource(context.registry, oneGroup(context.registry, input)),
      conditions: (input, call) => tagsOfGroup(logs, call, oneGroup(call.context.registry, input)),
      input: structure({
        logGroupName: shapes.groupName,
        logGroupIdentifier: shapes.groupIdentifier,
        logStreamNamePrefix: shapes.streamName,
        orderBy: shapes.orderBy,
        descending: shapes.flag,
        nextToken: shapes.nextToken,
        limit: shapes.pageLimit,
      }),
      async handler({ context: { registry } }, { logStreamNamePrefix, orderBy = 'LogStreamName', descending = false, nextToken, limit = shapes.defaultPageLimit, ...input }) {
        const group = oneGroup(registry, input)
        if (orderBy === 'LastEventTime' && logStreamNamePrefix !== undefined) throw logsError('log-input-invalid', 'Cannot order by LastEventTime with a logStreamNamePrefix.')
        const list = ['DescribeLogStreams', registry.accountId, registry.region, group, logStreamNamePrefix ?? '', orderBy, String(descending)]
        const page = await logs.listStreams(registry, group, {
          by: orderBy === 'LogStreamName' ? 'name' : 'last-line',
          prefix: logStreamNamePrefix ?? '',
          descending,
          after: pageTokens.read(list, nextToken),
          limit,
        })
        const logStreams = page.items.map(({ name, createdAt, firstLineAt, lastLineAt, lastPutAt }) => ({
          logStreamName: name,
          creationTime: createdAt,
          arn: streamArn(registry, group, name),
          storedBytes: 0,
          ...(lastPutAt > 0 && { firstEventTimestamp: firstLineAt, lastEventTimestamp: lastLineAt, lastIngestionTime: lastPutAt }),
        }))
        return { logStreams, nextToken: pageTokens.issue(list, page.next) }
      },
    }),
  }
}

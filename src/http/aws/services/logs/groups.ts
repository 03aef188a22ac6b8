import type { Logs } from '../../../../logs/index.ts'
import { logsError } from '../../../../logs/errors.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { required, structure } from '../../shapes.ts'
import type { PageTokens } from '../ecr/page-token.ts'
import { groupArn, groupOf, groupResource } from './names.ts'
import * as shapes from './shapes.ts'
import { requireOwnKeys, tagConditions, tagsOfGroup } from './tags.ts'

/** https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html */
const retentions: ReadonlySet<number> = new Set([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653])

const named = structure({ logGroupName: required(shapes.groupName) })

/** Log groups and how long their lines are kept. */
export function groupOperations({ logs, pageTokens }: { readonly logs: Logs; readonly pageTokens: PageTokens }): Record<string, AwsOperation> {
  const onGroup = ({ logGroupName }: { readonly logGroupName: string }, { context }: AwsCall): string => groupResource(context.registry, logGroupName)
  const tagged = ({ logGroupName }: { readonly logGroupName: string }, call: AwsCall) => tagsOfGroup(logs, call, logGroupName)
  return {
    CreateLogGroup: operation({
      action: 'logs:CreateLogGroup',
      resource: onGroup,
      conditions: ({ tags }) => tagConditions(tags ?? {}),
      input: structure({
        logGroupName: required(shapes.groupName),
        kmsKeyId: shapes.kmsKeyId,
        tags: shapes.tags,
        logGroupClass: shapes.groupClass,
        deletionProtectionEnabled: shapes.flag,
      }),
      async handler(call, { logGroupName, kmsKeyId, tags = {}, logGroupClass = 'STANDARD', deletionProtectionEnabled = false }) {
        const { registry } = call.context
        if (kmsKeyId !== undefined) throw logsError('log-input-invalid', 'kmsKeyId is not served: log groups are not encrypted with keys of their own.')
        if (logGroupClass !== 'STANDARD') throw logsError('log-input-invalid', `The log group class ${logGroupClass} is not served.`)
        if (logGroupName.startsWith('aws/')) throw logsError('log-input-invalid', "Log groups starting with 'aws/' are reserved for AWS.")
        requireOwnKeys(Object.keys(tags))
        if (Object.keys(tags).length > 0) await call.authorize('logs:TagResource', groupArn(registry, logGroupName), () => tagConditions(tags))
        await logs.createGroup(call.context, logGroupName, { tags, isProtected: deletionProtectionEnabled })
        return {}
      },
    }),

    DeleteLogGroup: operation({
      action: 'logs:DeleteLogGroup',
      resource: onGroup,
      conditions: tagged,
      input: named,
      async handler({ context }, { logGroupName }) {
        await logs.deleteGroup(context.registry, logGroupName)
        return {}
      },
    }),

    DescribeLogGroups: operation({
      action: 'logs:DescribeLogGroups',
      // AWS asks for the right to all of them, whichever are asked for.
      resource: (_, { context }) => groupResource(context.registry, ''),
      input: structure({
        accountIdentifiers: shapes.accountIds,
        logGroupNamePrefix: shapes.groupName,
        logGroupNamePattern: shapes.groupNamePattern,
        logGroupIdentifiers: shapes.groupIdentifiers,
        logGroupClass: shapes.groupClass,
        includeLinkedAccounts: shapes.flag,
        nextToken: shapes.nextToken,
        limit: shapes.pageLimit,
      }),
      async handler({ context: { registry } }, { logGroupNamePrefix, logGroupNamePattern, logGroupIdentifiers, logGroupClass, nextToken, limit = shapes.defaultPageLimit }) {
        if (logGroupNamePrefix !== undefined && logGroupNamePattern !== undefined) {
          throw logsError('log-input-invalid', 'LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.')
        }
        if (logGroupIdentifiers !== undefined) {
          if (logGroupNamePrefix !== undefined || logGroupNamePattern !== undefined) throw logsError('log-input-invalid', 'logGroupIdentifiers cannot be combined with a prefix or a pattern.')
          const names = [...new Set(logGroupIdentifiers.map((identifier) => groupOf(registry, identifier)))]
          const rows = []
          for (const name of names) rows.push(await logs.getGroup(registry, name))
          return { logGroups: rows.map((row) => shown(registry, row)) }
        }
        // There are none of another class.
        if (logGroupClass !== undefined && logGroupClass !== 'STANDARD') return { logGroups: [] }
        const list = ['DescribeLogGroups', registry.accountId, registry.region, logGroupNamePrefix ?? '', logGroupNamePattern ?? '']
        const page = await logs.listGroups(registry, { prefix: logGroupNamePrefix ?? '', containing: logGroupNamePattern, after: pageTokens.read(list, nextToken), limit })
        return { logGroups: page.items.map((row) => shown(registry, row)), nextToken: pageTokens.issue(list, page.next) }
      },
    }),

    PutRetentionPolicy: operation({
      action: 'logs:PutRetentionPolicy',
      resource: onGroup,
      conditions: tagged,
      input: structure({ logGroupName: required(shapes.groupName), retentionInDays: required(shapes.days) }),
      async handler({ context }, { logGroupName, retentionInDays }) {
        if (!retentions.has(retentionInDays)) {
          throw logsError('log-input-invalid', `1 validation error detected: Value '${retentionInDays}' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [${[...retentions].join(', ')}]`)
        }
        await logs.setRetention(context.registry, logGroupName, retentionInDays)
        return {}
      },
    }),

    DeleteRetentionPolicy: operation({
      action: 'logs:DeleteRetentionPolicy',
      resource: onGroup,
      conditions: tagged,
      input: named,
      async handler({ context }, { logGroupName }) {
        await logs.setRetention(context.registry, logGroupName, null)
        return {}
      },
    }),

    PutLogGroupDeletionProtection: operation({
      action: 'logs:PutLogGroupDeletionProtection',
      resource: ({ logGroupIdentifier }, { context }) => groupResource(context.registry, groupOf(context.registry, logGroupIdentifier)),
      conditions: ({ logGroupIdentifier }, call) => tagsOfGroup(logs, call, groupOf(call.context.registry, logGroupIdentifier)),
      input: structure({ logGroupIdentifier: required(shapes.groupIdentifier), deletionProtectionEnabled: required(shapes.flag) }),
      async handler({ context: { registry } }, { logGroupIdentifier, deletionProtectionEnabled }) {
        await logs.setProtection(registry, groupOf(registry, logGroupIdentifier), deletionProtectionEnabled)
        return {}
      },
    }),
  }
}

type Row = Awaited<ReturnType<Logs['getGroup']>>

function shown(place: Parameters<typeof groupArn>[0], { name, createdAt, retentionDays, storedBytes, isProtected }: Row) {
  const logGroupArn = groupArn(place, name)
  return {
    logGroupName: name,
    creationTime: createdAt,
    retentionInDays: retentionDays ?? undefined,
    metricFilterCount: 0,
    arn: `${logGroupArn}:*`,
    logGroupArn,
    storedBytes,
    logGroupClass: 'STANDARD',
    deletionProtectionEnabled: isProtected === 1,
  }
}

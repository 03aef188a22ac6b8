import type { TagHistory, TagHistoryEntry } from '../../../../audit/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { integer, required, structure, timestamp } from '../../shapes.ts'
import { imageTag, nextToken as nextTokenShape } from '../ecr/shapes.ts'
import type { PageTokens } from '../ecr/page-token.ts'
import { repositoryMembers, repositoryResource } from './target.ts'

/** Each entry is a look at a record. */
const maxPageSize = 100

export interface AuditOperationDependencies {
  readonly tagHistory: Pick<TagHistory, 'list' | 'stateAt' | 'reach'>
  /** Whether requests and changes are sealed now. */
  readonly isTrailOn: boolean
  readonly pageTokens: PageTokens
}

/** What the audit trail tells beyond the event history, which is CloudTrail's. */
export function auditOperations({ tagHistory, isTrailOn, pageTokens }: AuditOperationDependencies): Record<string, AwsOperation> {
  return {
    ListTagHistory: operation({
      action: 'stowage:ListTagHistory',
      resource: repositoryResource,
      input: structure({
        ...repositoryMembers,
        imageTag: required(imageTag),
        at: timestamp(),
        nextToken: nextTokenShape,
        maxResults: integer({ min: 1, max: maxPageSize }),
      }),
      async handler(call, { repositoryName: repository, imageTag: tag, at, nextToken, maxResults }) {
        const { accountId: account, region } = call.context.registry
        const of = { account, region, repository, tag }
        const until = at?.getTime() ?? Number.MAX_SAFE_INTEGER
        const identity = ['ListTagHistory', account, region, repository, tag, at?.getTime() ?? '']
        const page = { until, limit: maxResults ?? maxPageSize, after: pageTokens.read(identity, nextToken) }
        const { entries, next } = await tagHistory.list(of, page)
        const { beginsAt, isCut } = await tagHistory.reach()
        return {
          tagHistory: entries.map(shown),
          ...(at === undefined ? {} : { state: shownState(await tagHistory.stateAt(of, until)) }),
          trailBeginsAt: beginsAt === undefined ? undefined : new Date(beginsAt),
          oldRecordsRemoved: isCut,
          trailIsOn: isTrailOn,
          nextToken: pageTokens.issue(identity, next),
        }
      },
    }),
  }
}

function shownState({ source, digest, by }: Awaited<ReturnType<TagHistory['stateAt']>>) {
  return { source: source.toUpperCase(), imageDigest: digest, change: by === undefined ? undefined : shown(by) }
}

function shown({ eventId, at, action, digest, previous, actorArn, ip, agent }: TagHistoryEntry) {
  return { eventId, changedAt: new Date(at), action, imageDigest: digest, previousImageDigest: previous, changedBy: actorArn, sourceIpAddress: ip, userAgent: agent }
}

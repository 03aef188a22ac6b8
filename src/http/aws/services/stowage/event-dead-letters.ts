import type { DeadLetter, DeadLetters } from '../../../../events/dead-letters.ts'
import { destinationArn } from '../../../../events/names.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { integer, list, required, structure } from '../../shapes.ts'
import { nextToken as nextTokenShape } from '../ecr/shapes.ts'
import type { PageTokens } from '../ecr/page-token.ts'

/** Each has an event of up to some KiB. */
const maxPageSize = 100

/** Events that could not be delivered. */
export function eventDeadLetterOperations({ deadLetters, pageTokens }: { readonly deadLetters: DeadLetters; readonly pageTokens: PageTokens }): Record<string, AwsOperation> {
  return {
    ListEventDeadLetters: operation({
      action: 'stowage:ListEventDeadLetters',
      resource: everyDestination,
      input: structure({ nextToken: nextTokenShape, maxResults: integer({ min: 1, max: maxPageSize }) }),
      async handler({ context }, { nextToken, maxResults }) {
        const positions = ['ListEventDeadLetters', context.registry.id]
        const { items, next } = await deadLetters.list(context, { limit: maxResults ?? maxPageSize, after: pageTokens.read(positions, nextToken) })
        return { deadLetters: items.map(shown), nextToken: pageTokens.issue(positions, next) }
      },
    }),

    ReplayEventDeadLetters: operation({
      action: 'stowage:ReplayEventDeadLetters',
      resource: everyDestination,
      input: structure({ deadLetterIds: required(list(integer({ min: 1 }), { min: 1, max: maxPageSize })) }),
      async handler({ context }, { deadLetterIds }) {
        const { replayed, lost } = await deadLetters.replay(context, deadLetterIds)
        return { replayedIds: replayed, withoutTargetIds: lost }
      },
    }),
  }
}

function everyDestination(_: unknown, { context }: AwsCall): string {
  return destinationArn(context.registry, '*')
}

function shown({ id, ruleName, targetName, destinationName, eventId, event, reason, attemptCount, queuedAt, diedAt }: DeadLetter) {
  return {
    deadLetterId: id,
    ruleName,
    targetId: targetName,
    destinationName,
    eventId,
    event,
    reason,
    attempts: attemptCount,
    queuedAt: new Date(queuedAt),
    diedAt: new Date(diedAt),
  }
}

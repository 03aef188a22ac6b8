import type { Quotas } from '../config/quotas.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { listPullTimeExclusions } from '../storage/metadata/stores/pull-time-exclusion-store.ts'
import * as commands from './commands/pull-time-exclusions.ts'
import { commandContext } from './context.ts'
import { toPage } from './paging.ts'
import type { Registry } from './types.ts'

export type PullTimeExclusionOperations = Pick<
  Registry,
  'registerPullTimeExclusion' | 'deregisterPullTimeExclusion' | 'listPullTimeExclusions'
>

/** Principals whose pulls are no use of an image, such as scanners. `PullClock` leaves theirs out. */
export function pullTimeExclusionOperations(deps: {
  database: MetadataDatabase
  quotas: Quotas
}): PullTimeExclusionOperations {
  const { database, quotas } = deps
  return {
    async registerPullTimeExclusion(context, principalArn) {
      const command = commandContext(context)
      const input = { principalArn, maxExclusions: quotas.pullTimeExclusions }
      await database.execute(commands.registerPullTimeExclusion, input, command)
      return { createdAt: command.nowMs }
    },

    async deregisterPullTimeExclusion(context, principalArn) {
      await database.execute(commands.deregisterPullTimeExclusion, { principalArn }, commandContext(context))
    },

    async listPullTimeExclusions(context, page) {
      const arns = await listPullTimeExclusions(database.reader, context.registry.id, page.after ?? '', page.limit + 1)
      return toPage(arns, page.limit, (arn) => arn, (arn) => arn)
    },
  }
}

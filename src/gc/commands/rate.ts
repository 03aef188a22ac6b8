import { defineCommand } from '../../storage/metadata/command.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'
import { deleteServerMark, putServerMark } from '../../storage/metadata/stores/server-mark-store.ts'
import { rateMark, type CollectionRate } from '../rate.ts'

/** Sets how fast each server collects; undefined: as it finds right. */
export const setCollectionRate = defineCommand({
  name: 'set-collection-rate',
  durability: 'durable',
  async run(tx, { reviewsPerSecond }: { reviewsPerSecond: number | undefined }, context): Promise<CollectionRate | undefined> {
    const rate = reviewsPerSecond === undefined ? undefined : { reviewsPerSecond, setAt: context.nowMs, setBy: context.actorArn }
    if (rate === undefined) await deleteServerMark(tx, rateMark)
    else await putServerMark(tx, rateMark, JSON.stringify(rate))
    const resource = `arn:aws:stowage::${context.accountId}:garbage-collection`
    await recordAudit(tx, context, { action: 'SetGarbageCollectionRate', resource, detail: { reviewsPerSecond } })
    return rate
  },
})

import { defineCommand } from '../../storage/metadata/command.ts'
import { deleteServerMarkSeen, moveServerMark } from '../../storage/metadata/stores/server-mark-store.ts'
import { putOnTheirWay, type LaneEvent } from './delivery.ts'

/** The number of the last record of the audit trail of which events were told. */
export const trailPlaceMark = 'events-trail-place'

export type MatchedTrailEvent = LaneEvent

interface FanOutTrailInput {
  /** Where the place is expected to be; undefined: it is set where there is none. */
  readonly from: number | undefined
  readonly until: number
  readonly matched: readonly MatchedTrailEvent[]
}

/**
 * Moves the place and puts what rules have taken of the records before it into the lanes of their targets, in one transaction. Undefined:
 * the place is elsewhere by now, and nothing was done.
 */
export const fanOutTrail = defineCommand({
  name: 'fan-out-trail-events',
  durability: 'durable',
  async run(tx, { from, until, matched }: FanOutTrailInput, context): Promise<number | undefined> {
    if (!(await moveServerMark(tx, trailPlaceMark, from === undefined ? undefined : String(from), String(until)))) return undefined
    return putOnTheirWay(tx, matched, context.nowMs)
  },
})

/** No rule asks any more. What another server has set meanwhile stays. */
export const forgetTrailPlace = defineCommand({
  name: 'forget-trail-place',
  durability: 'process',
  run: (tx, { place }: { readonly place: string }): Promise<void> => deleteServerMarkSeen(tx, trailPlaceMark, place),
})

import { defineCommand } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'
import { dropOldDeadLetters, dropSurplusDeadLetters, insertDeadLetter, takeDeadLetters } from '../../storage/metadata/stores/event-dead-letter-store.ts'
import {
  claimEventLanes,
  deleteDelivery,
  deleteLane,
  deliveriesOfLane,
  endLaneLeases,
  insertDelivery,
  lockLaneFor,
  lockLeasedLane,
  shareEventTargets,
  takeOutboxEvents,
  updateLane,
  type DeliveryRow,
  type LaneWay,
} from '../../storage/metadata/stores/event-delivery-store.ts'

/** An event that a rule has taken, and where it goes. */
export interface LaneEvent {
  /** 0: of no repository that is there. */
  readonly repositoryId: number
  readonly eventId: string
  /** As it is sent. */
  readonly event: string
  readonly targetIds: readonly number[]
}

/** One of the outbox. */
export interface MatchedEvent extends LaneEvent {
  readonly outboxId: number
}

interface FanOutInput {
  /** All that were compared, those that no rule took too. */
  readonly outboxIds: readonly number[]
  /** In the order of their numbers. */
  readonly matched: readonly MatchedEvent[]
}

/**
 * Takes events out of the outbox and puts those that rules have taken into the lanes of their targets, in one transaction: an
 * event is in one place or the other, whatever becomes of the process, and of several servers one does it.
 */
export const fanOutEvents = defineCommand({
  name: 'fan-out-events',
  durability: 'durable',
  async run(tx, { outboxIds, matched }: FanOutInput, context): Promise<number> {
    const taken = await takeOutboxEvents(tx, outboxIds)
    return putOnTheirWay(tx, matched.filter(({ outboxId }) => taken.has(outboxId)), context.nowMs)
  },
})

/**
 * Puts events, in their order, into the lanes of those of their targets that are still there; answers into how many. Without a
 * repository (`repositoryId` 0) a target has one lane for a registry's events.
 */
export async function putOnTheirWay(tx: Session, events: readonly LaneEvent[], now: number): Promise<number> {
  const destinations = await shareEventTargets(tx, [...new Set(events.flatMap(({ targetIds }) => targetIds))])
  const pairs = events.flatMap((event, place) => event.targetIds.filter((id) => destinations.has(id)).map((targetId) => ({ event, place, targetId })))
  // In one order in every server, so that none waits for another crosswise.
  const ordered = pairs.toSorted((a, b) => a.targetId - b.targetId || a.event.repositoryId - b.event.repositoryId || a.place - b.place)
  let lane: { readonly targetId: number; readonly repositoryId: number; readonly id: number } | undefined
  for (const { event, targetId } of ordered) {
    const { repositoryId } = event
    if (lane?.targetId !== targetId || lane.repositoryId !== repositoryId) {
      lane = { targetId, repositoryId, id: await lockLaneFor(tx, { targetId, repositoryId, destinationId: destinations.get(targetId)!, now }) }
    }
    await insertDelivery(tx, { laneId: lane.id, eventId: event.eventId, event: event.event, now })
  }
  return ordered.length
}

/** Forgets events that nobody wants. They may come back with the power, and are forgotten again. */
export const dropEvents = defineCommand({
  name: 'drop-events',
  durability: 'process',
  async run(tx, { outboxIds }: Pick<FanOutInput, 'outboxIds'>): Promise<void> {
    await takeOutboxEvents(tx, outboxIds)
  },
})

export const claimLanes = defineCommand({
  name: 'claim-event-lanes',
  durability: 'process',
  run: (tx, input: { destinationId: number; owner: string; until: number; limit: number }, context): Promise<{ id: number; attemptCount: number }[]> =>
    claimEventLanes(tx, { ...input, now: context.nowMs }),
})

/** At the start of the only server of a database: whoever had a lane is gone. */
export const freeLanes = defineCommand({
  name: 'free-event-lanes',
  durability: 'process',
  run: (tx: Session): Promise<void> => endLaneLeases(tx),
})

export type DeliveryOutcome =
  | { readonly kind: 'delivered' }
  /** It is tried again. */
  | { readonly kind: 'put-off'; readonly dueAt: number; readonly reason: string; readonly attemptCount: number }
  /** It never will be. */
  | { readonly kind: 'dead'; readonly reason: string; readonly attemptCount: number }

interface SettleInput {
  readonly laneId: number
  readonly owner: string
  readonly until: number
  readonly delivery: DeliveryRow
  readonly outcome: DeliveryOutcome
  readonly way: Pick<LaneWay, 'registryId' | 'repositoryId' | 'targetId' | 'targetName' | 'ruleName' | 'destinationName'>
}

/** As many dead letters as a registry keeps; the oldest go first. */
const mostDeadLetters = 10_000

/**
 * Notes what became of the first event of a lane. After a power loss what was delivered may be there again, and is sent once more.
 * False: the lane is another server's by now, or nothing more is to be sent from it at present.
 */
export const settleDelivery = defineCommand({
  name: 'settle-event-delivery',
  durability: 'process',
  async run(tx, { laneId, owner, until, delivery, outcome, way }: SettleInput, context): Promise<boolean> {
    if (!(await lockLeasedLane(tx, { id: laneId, owner }))) return false
    if (outcome.kind === 'put-off') {
      const { dueAt, attemptCount, reason } = outcome
      await updateLane(tx, { id: laneId, attemptCount, leasedBy: null, leasedUntil: null, dueAt, lastError: reason })
      return false
    }
    const isThere = await deleteDelivery(tx, delivery.id)
    if (isThere && outcome.kind === 'dead') {
      const { reason, attemptCount } = outcome
      const { eventId, event, queuedAt } = delivery
      await insertDeadLetter(tx, { ...way, eventId, event, queuedAt, reason, attemptCount, diedAt: context.nowMs })
      await dropSurplusDeadLetters(tx, way.registryId, mostDeadLetters)
    }
    if ((await deliveriesOfLane(tx, laneId, 1)).length === 0) {
      await deleteLane(tx, laneId)
      return false
    }
    await updateLane(tx, { id: laneId, attemptCount: 0, leasedBy: owner, leasedUntil: until, dueAt: context.nowMs, lastError: null })
    return true
  },
})

/** Gives a lane back, so that others have their turn. */
export const releaseLane = defineCommand({
  name: 'release-event-lane',
  durability: 'process',
  async run(tx, { laneId, owner, attemptCount, dueAt }: { laneId: number; owner: string; attemptCount: number; dueAt: number }): Promise<void> {
    if (!(await lockLeasedLane(tx, { id: laneId, owner }))) return
    if ((await deliveriesOfLane(tx, laneId, 1)).length === 0) await deleteLane(tx, laneId)
    else await updateLane(tx, { id: laneId, attemptCount, leasedBy: null, leasedUntil: null, dueAt, lastError: null })
  },
})

/** Puts dead letters behind what is on its way to their targets; answers the ids of those that went, the others' targets are gone. */
export const replayDeadLetters = defineCommand({
  name: 'replay-event-dead-letters',
  durability: 'durable',
  async run(tx, { ids }: { ids: readonly number[] }, context): Promise<{ replayed: number[]; lost: number[] }> {
    const letters = await takeDeadLetters(tx, context.registryId, ids)
    const destinations = await shareEventTargets(tx, [...new Set(letters.map(({ targetId }) => targetId))])
    const replayed: number[] = []
    const ordered = letters.toSorted((a, b) => a.targetId - b.targetId || a.repositoryId - b.repositoryId || a.id - b.id)
    for (const letter of ordered) {
      const destinationId = destinations.get(letter.targetId)
      if (destinationId === undefined) {
        // It stays where it was, under another number.
        await insertDeadLetter(tx, { ...letter, registryId: context.registryId })
        continue
      }
      const laneId = await lockLaneFor(tx, { targetId: letter.targetId, destinationId, repositoryId: letter.repositoryId, now: context.nowMs })
      await insertDelivery(tx, { laneId, eventId: letter.eventId, event: letter.event, now: context.nowMs })
      replayed.push(letter.id)
    }
    if (replayed.length > 0) {
      const resource = `arn:aws:events:${context.region}:${context.accountId}:api-destination/*`
      await recordAudit(tx, context, { action: 'ReplayEventDeadLetters', resource, detail: { count: replayed.length } })
    }
    return { replayed, lost: ordered.filter(({ id }) => !replayed.includes(id)).map(({ id }) => id) }
  },
})

/** Forgets dead letters that are older; answers how many. */
export const sweepDeadLetters = defineCommand({
  name: 'sweep-event-dead-letters',
  durability: 'process',
  run: (tx, { before, limit }: { before: number; limit: number }): Promise<number> => dropOldDeadLetters(tx, before, limit),
})

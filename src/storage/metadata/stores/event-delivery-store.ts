import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/*
 * Events on their way: out of the outbox into the lane of each target and repository, and from there to webhooks. A lane's
 * row is locked before its deliveries change, so that what is put into a lane has a higher number than all before it, and a
 * lane goes only when nothing is in it.
 */

export interface OutboxEvent {
  readonly id: number
  readonly registryId: number
  readonly accountId: string
  readonly region: string
  readonly repositoryId: number
  readonly repositoryName: string
  readonly eventSeq: number
  readonly type: string
  readonly payload: string
  readonly createdAt: number
}

const waiting = statement<{ limit: number }>()((db, p) =>
  db
    .selectFrom('outbox')
    .innerJoin('registry', 'registry.id', 'outbox.registry_id')
    .innerJoin('repository', 'repository.id', 'outbox.repository_id')
    .select([
      'outbox.id',
      'outbox.registry_id as registryId',
      'registry.account_id as accountId',
      'registry.region',
      'outbox.repository_id as repositoryId',
      'repository.name as repositoryName',
      'outbox.event_seq as eventSeq',
      'outbox.type',
      'outbox.payload',
      'outbox.created_at as createdAt',
    ])
    .orderBy('outbox.id')
    .limit(p.limit),
)

/**
 * The oldest events that nobody has compared with the rules: of each repository a beginning of what is there, since its numbers
 * are given under the lock of its row.
 */
export function outboxEvents(session: Session, limit: number): Promise<OutboxEvent[]> {
  return session.all(waiting, { limit })
}

/** Takes events out of the outbox; answers which of them were still there: nobody else has taken those. */
export async function takeOutboxEvents(tx: Session, ids: readonly number[]): Promise<Set<number>> {
  if (ids.length === 0) return new Set()
  const rows = await tx.query(tx.builder.deleteFrom('outbox').where('id', 'in', ids).returning('id'))
  return new Set(rows.map(({ id }) => id))
}

const oldestEvent = statement()((db) => db.selectFrom('outbox').select('created_at as createdAt').orderBy('id').limit(1))
const outboxCount = statement<{ limit: number }>()((db, p) =>
  db.selectFrom(db.selectFrom('outbox').select('id').limit(p.limit).as('some')).select((eb) => eb.fn.countAll<number | string>().as('count')),
)
const deliveryCount = statement<{ limit: number }>()((db, p) =>
  db.selectFrom(db.selectFrom('event_delivery').select('id').limit(p.limit).as('some')).select((eb) => eb.fn.countAll<number | string>().as('count')),
)
const oldestDelivery = statement()((db) => db.selectFrom('event_delivery').select('queued_at as queuedAt').orderBy('queued_at').limit(1))
const deadCount = statement<{ limit: number }>()((db, p) =>
  db.selectFrom(db.selectFrom('event_dead_letter').select('id').limit(p.limit).as('some')).select((eb) => eb.fn.countAll<number | string>().as('count')),
)

export interface EventQueues {
  readonly waiting: number
  readonly onTheirWay: number
  readonly deadLetters: number
  /** Of what waits or is on its way; undefined: nothing is. */
  readonly oldestAt: number | undefined
}

/** More are told as so many: counting costs a look at each. */
const mostCounted = 100_000

export async function countEvents(session: Session): Promise<EventQueues> {
  const limit = mostCounted
  const [inOutbox, onTheirWay, dead, event, delivery] = [
    await session.first(outboxCount, { limit }),
    await session.first(deliveryCount, { limit }),
    await session.first(deadCount, { limit }),
    await session.first(oldestEvent, {}),
    await session.first(oldestDelivery, {}),
  ]
  const times = [event?.createdAt, delivery?.queuedAt].filter((time) => time !== undefined)
  return {
    waiting: Number(inOutbox?.count ?? 0),
    onTheirWay: Number(onTheirWay?.count ?? 0),
    deadLetters: Number(dead?.count ?? 0),
    oldestAt: times.length === 0 ? undefined : Math.min(...times),
  }
}

/** Where those of the targets send that are still there: on PostgreSQL they stay as they are until the commit. Locked in the order of their numbers. */
export async function shareEventTargets(tx: Session, ids: readonly number[]): Promise<Map<number, number>> {
  if (ids.length === 0) return new Map()
  const rows = await tx.query(
    tx.builder
      .selectFrom('event_target')
      .select(['id', 'destination_id as destinationId'])
      .where('id', 'in', ids)
      .orderBy('id')
      .$if(tx.dialect === 'postgres', (query) => query.forShare()),
  )
  return new Map(rows.map(({ id, destinationId }) => [id, destinationId]))
}

const openLane = statement<{ targetId: number; destinationId: number; repositoryId: number; now: number }>()((db, p) =>
  db
    .insertInto('event_lane')
    .values({ target_id: p.targetId, destination_id: p.destinationId, repository_id: p.repositoryId, due_at: p.now, attempt_count: 0 })
    // A change that changes nothing, for the lock and the number.
    .onConflict((conflict) => conflict.columns(['target_id', 'repository_id']).doUpdateSet((eb) => ({ target_id: eb.ref('event_lane.target_id') })))
    .returning('id'),
)

/** The lane of a target and a repository, made where there is none, locked. */
export async function lockLaneFor(tx: Session, lane: { targetId: number; destinationId: number; repositoryId: number; now: number }): Promise<number> {
  const row = await tx.first(openLane, lane)
  if (!row) throw new Error('a lane was just made and is not there')
  return row.id
}

const addDelivery = statement<{ laneId: number; eventId: string; event: string; now: number }>()((db, p) =>
  db.insertInto('event_delivery').values({ lane_id: p.laneId, event_id: p.eventId, event: p.event, queued_at: p.now }),
)

/** Puts an event behind all that are in a lane, which the caller has locked. */
export async function insertDelivery(tx: Session, delivery: { laneId: number; eventId: string; event: string; now: number }): Promise<void> {
  await tx.change(addDelivery, delivery)
}

const dueDestinations = statement<{ now: number }>()((db, p) =>
  db
    .selectFrom('event_destination')
    .innerJoin('registry', 'registry.id', 'event_destination.registry_id')
    .select(['event_destination.id', 'registry.account_id as accountId'])
    .where((eb) =>
      eb.exists(
        eb
          .selectFrom('event_lane')
          .select('event_lane.id')
          .whereRef('event_lane.destination_id', '=', 'event_destination.id')
          .where('event_lane.due_at', '<=', p.now)
          .where((or) => or.or([or('event_lane.leased_until', 'is', null), or('event_lane.leased_until', '<', p.now)])),
      ),
    ),
)

/** The destinations that something can be sent to now, and whose they are. */
export function destinationsDue(session: Session, now: number): Promise<{ id: number; accountId: string }[]> {
  return session.all(dueDestinations, { now })
}

const nextLane = statement()((db) => db.selectFrom('event_lane').select('due_at as dueAt').orderBy('due_at').limit(1))

/** Whether anything is on its way at all. */
export async function isAnyLane(session: Session): Promise<boolean> {
  return (await session.first(nextLane, {})) !== undefined
}

const claim = statement<{ destinationId: number; owner: string; now: number; until: number; limit: number }>()((db, p, dialect) =>
  db
    .updateTable('event_lane')
    .set({ leased_by: p.owner, leased_until: p.until })
    .where('id', 'in', (eb) =>
      eb
        .selectFrom('event_lane as due')
        .select('due.id')
        .where('due.destination_id', '=', p.destinationId)
        .where('due.due_at', '<=', p.now)
        .where((or) => or.or([or('due.leased_until', 'is', null), or('due.leased_until', '<', p.now)]))
        .orderBy('due.due_at')
        .limit(p.limit)
        .$if(dialect === 'postgres', (query) => query.forUpdate().skipLocked()),
    )
    .returning(['id', 'attempt_count as attemptCount']),
)

const endLeases = statement()((db) => db.updateTable('event_lane').set({ leased_by: null, leased_until: null }).where('leased_by', 'is not', null))

/** Takes every lane from whoever has it. */
export async function endLaneLeases(tx: Session): Promise<void> {
  await tx.change(endLeases, {})
}

/** Takes the leases of lanes to a destination that are due, the longest waiting first. */
export function claimEventLanes(
  tx: Session,
  wanted: { destinationId: number; owner: string; now: number; until: number; limit: number },
): Promise<{ id: number; attemptCount: number }[]> {
  return tx.all(claim, wanted)
}

/** What is known of a lane's way. */
export interface LaneWay {
  readonly registryId: number
  readonly accountId: string
  readonly region: string
  readonly repositoryId: number
  readonly targetId: number
  readonly targetName: string
  readonly ruleName: string
  readonly body: string
  readonly maxAgeMs: number
  readonly maxAttempts: number
  readonly destinationName: string
  readonly url: string
  readonly secretSealed: string
}

const way = statement<{ id: number }>()((db, p) =>
  db
    .selectFrom('event_lane')
    .innerJoin('event_target', 'event_target.id', 'event_lane.target_id')
    .innerJoin('event_rule', 'event_rule.id', 'event_target.rule_id')
    .innerJoin('event_destination', 'event_destination.id', 'event_target.destination_id')
    .innerJoin('registry', 'registry.id', 'event_rule.registry_id')
    .select([
      'registry.id as registryId',
      'registry.account_id as accountId',
      'registry.region',
      'event_lane.repository_id as repositoryId',
      'event_target.id as targetId',
      'event_target.name as targetName',
      'event_rule.name as ruleName',
      'event_target.body',
      'event_target.max_age_ms as maxAgeMs',
      'event_target.max_attempts as maxAttempts',
      'event_destination.name as destinationName',
      'event_destination.url',
      'event_destination.secret_sealed as secretSealed',
    ])
    .where('event_lane.id', '=', p.id),
)

/** Undefined where its target was removed. */
export function wayOfLane(session: Session, id: number): Promise<LaneWay | undefined> {
  return session.first(way, { id })
}

export interface DeliveryRow {
  readonly id: number
  readonly eventId: string
  readonly event: string
  readonly queuedAt: number
}

const deliveries = statement<{ laneId: number; limit: number }>()((db, p) =>
  db
    .selectFrom('event_delivery')
    .select(['id', 'event_id as eventId', 'event', 'queued_at as queuedAt'])
    .where('lane_id', '=', p.laneId)
    .orderBy('id')
    .limit(p.limit),
)

/** The first of a lane, in order. */
export function deliveriesOfLane(session: Session, laneId: number, limit: number): Promise<DeliveryRow[]> {
  return session.all(deliveries, { laneId, limit })
}

const lockedLane = statement<{ id: number; owner: string }>()((db, p, dialect) =>
  db
    .selectFrom('event_lane')
    .select('attempt_count as attemptCount')
    .where('id', '=', p.id)
    .where('leased_by', '=', p.owner)
    .$if(dialect === 'postgres', (query) => query.forUpdate()),
)

/** Locks a lane that its owner still has. */
export async function lockLeasedLane(tx: Session, lane: { id: number; owner: string }): Promise<boolean> {
  return (await tx.first(lockedLane, lane)) !== undefined
}

const dropDelivery = statement<{ id: number }>()((db, p) => db.deleteFrom('event_delivery').where('id', '=', p.id))

export async function deleteDelivery(tx: Session, id: number): Promise<boolean> {
  return (await tx.change(dropDelivery, { id })) > 0
}

const dropLane = statement<{ id: number }>()((db, p) => db.deleteFrom('event_lane').where('id', '=', p.id))
const setLane = statement<{ id: number; attemptCount: number; leasedBy: string | null; leasedUntil: number | null; dueAt: number; lastError: string | null }>()((db, p) =>
  db
    .updateTable('event_lane')
    .set({ attempt_count: p.attemptCount, leased_by: p.leasedBy, leased_until: p.leasedUntil, due_at: p.dueAt, last_error: p.lastError })
    .where('id', '=', p.id),
)

/** Sets a lane that the caller has locked. */
export async function updateLane(
  tx: Session,
  lane: { id: number; attemptCount: number; leasedBy: string | null; leasedUntil: number | null; dueAt: number; lastError: string | null },
): Promise<void> {
  await tx.change(setLane, lane)
}

/** Removes a lane that the caller has locked and that nothing is in. */
export async function deleteLane(tx: Session, id: number): Promise<void> {
  await tx.change(dropLane, { id })
}

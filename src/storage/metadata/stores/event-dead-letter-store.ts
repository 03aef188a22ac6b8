import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/* Events that could not be delivered, with the reason. */

export interface DeadLetterRow {
  readonly id: number
  readonly targetId: number
  readonly ruleName: string
  readonly targetName: string
  readonly destinationName: string
  readonly repositoryId: number
  readonly eventId: string
  readonly event: string
  readonly reason: string
  readonly attemptCount: number
  readonly queuedAt: number
  readonly diedAt: number
}

const columns = [
  'id',
  'target_id as targetId',
  'rule_name as ruleName',
  'target_name as targetName',
  'destination_name as destinationName',
  'repository_id as repositoryId',
  'event_id as eventId',
  'event',
  'reason',
  'attempt_count as attemptCount',
  'queued_at as queuedAt',
  'died_at as diedAt',
] as const

const add = statement<Omit<DeadLetterRow, 'id'> & { registryId: number }>()((db, p) =>
  db.insertInto('event_dead_letter').values({
    registry_id: p.registryId,
    target_id: p.targetId,
    rule_name: p.ruleName,
    target_name: p.targetName,
    destination_name: p.destinationName,
    repository_id: p.repositoryId,
    event_id: p.eventId,
    event: p.event,
    reason: p.reason,
    attempt_count: p.attemptCount,
    queued_at: p.queuedAt,
    died_at: p.diedAt,
  }),
)

export async function insertDeadLetter(tx: Session, row: Omit<DeadLetterRow, 'id'> & { registryId: number }): Promise<void> {
  await tx.change(add, row)
}

const page = statement<{ registryId: number; after: number; limit: number }>()((db, p) =>
  db.selectFrom('event_dead_letter').select(columns).where('registry_id', '=', p.registryId).where('id', '>', p.after).orderBy('id').limit(p.limit),
)

/** Oldest first. */
export function listDeadLetters(session: Session, registryId: number, after: number, limit: number): Promise<DeadLetterRow[]> {
  return session.all(page, { registryId, after, limit })
}

/** Takes dead letters out; answers those that nobody else has taken, oldest first. */
export async function takeDeadLetters(tx: Session, registryId: number, ids: readonly number[]): Promise<DeadLetterRow[]> {
  if (ids.length === 0) return []
  const rows = await tx.query(tx.builder.deleteFrom('event_dead_letter').where('registry_id', '=', registryId).where('id', 'in', ids).returning(columns))
  return rows.toSorted((a, b) => a.id - b.id)
}

const older = statement<{ before: number; limit: number }>()((db, p) =>
  db
    .deleteFrom('event_dead_letter')
    .where('id', 'in', (eb) => eb.selectFrom('event_dead_letter as old').select('old.id').where('old.died_at', '<', p.before).orderBy('old.died_at').limit(p.limit)),
)

/** Forgets dead letters of before a time; answers how many. */
export function dropOldDeadLetters(tx: Session, before: number, limit: number): Promise<number> {
  return tx.change(older, { before, limit })
}

const anyOlder = statement<{ before: number }>()((db, p) => db.selectFrom('event_dead_letter').select('id').where('died_at', '<', p.before).limit(1))

export async function isAnyDeadLetterOlder(session: Session, before: number): Promise<boolean> {
  return (await session.first(anyOlder, { before })) !== undefined
}

const surplus = statement<{ registryId: number; newest: number }>()((db, p) =>
  db
    .deleteFrom('event_dead_letter')
    .where('registry_id', '=', p.registryId)
    .where('id', '<=', (eb) =>
      eb.selectFrom('event_dead_letter as kept').select('kept.id').where('kept.registry_id', '=', p.registryId).orderBy('kept.id', 'desc').limit(1).offset(p.newest),
    ),
)

/** Forgets a registry's oldest beyond so many. */
export function dropSurplusDeadLetters(tx: Session, registryId: number, newest: number): Promise<number> {
  return tx.change(surplus, { registryId, newest })
}

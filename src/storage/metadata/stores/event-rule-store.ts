import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/* Rules, targets and webhooks. Whoever changes them has locked the registry's row. */

export interface EventDestinationRow {
  readonly id: number
  readonly name: string
  readonly url: string
  readonly description: string | null
  readonly secretSealed: string
  readonly createdAt: number
  readonly createdBy: string
}

const destinationColumns = [
  'id',
  'name',
  'url',
  'description',
  'secret_sealed as secretSealed',
  'created_at as createdAt',
  'created_by as createdBy',
] as const

const destination = statement<{ registryId: number; name: string }>()((db, p) =>
  db.selectFrom('event_destination').select(destinationColumns).where('registry_id', '=', p.registryId).where('name', '=', p.name),
)

export function findEventDestination(session: Session, registryId: number, name: string): Promise<EventDestinationRow | undefined> {
  return session.first(destination, { registryId, name })
}

/** What stands where the URL of a webhook does. */
const logGroups = 'log-group:%'

const destinations = statement<{ registryId: number; after: string; limit: number }>()((db, p) =>
  db.selectFrom('event_destination').select(destinationColumns).where('registry_id', '=', p.registryId).where('name', '>', p.after).where('url', 'not like', logGroups).orderBy('name').limit(p.limit),
)

const dropUnusedGroups = statement<{ registryId: number }>()((db, p) =>
  db
    .deleteFrom('event_destination')
    .where('registry_id', '=', p.registryId)
    .where('url', 'like', logGroups)
    .where((eb) => eb.not(eb.exists(eb.selectFrom('event_target').select('event_target.id').whereRef('event_target.destination_id', '=', 'event_destination.id')))),
)

/** Log groups are destinations as long as targets send there. */
export async function deleteUnusedLogGroups(tx: Session, registryId: number): Promise<void> {
  await tx.change(dropUnusedGroups, { registryId })
}

/** Webhooks by name. */
export function listEventDestinations(session: Session, registryId: number, after: string, limit: number): Promise<EventDestinationRow[]> {
  return session.all(destinations, { registryId, after, limit })
}

const addDestination = statement<{ registryId: number; name: string; url: string; description: string | null; secretSealed: string; now: number; by: string }>()((db, p) =>
  db.insertInto('event_destination').values({
    registry_id: p.registryId,
    name: p.name,
    url: p.url,
    description: p.description,
    secret_sealed: p.secretSealed,
    created_at: p.now,
    created_by: p.by,
  }),
)

export async function insertEventDestination(
  tx: Session,
  row: { registryId: number; name: string; url: string; description: string | null; secretSealed: string; now: number; by: string },
): Promise<void> {
  await tx.change(addDestination, row)
}

const changeDestination = statement<{ id: number; url: string; description: string | null; secretSealed: string }>()((db, p) =>
  db.updateTable('event_destination').set({ url: p.url, description: p.description, secret_sealed: p.secretSealed }).where('id', '=', p.id),
)

export async function updateEventDestination(tx: Session, row: { id: number; url: string; description: string | null; secretSealed: string }): Promise<void> {
  await tx.change(changeDestination, row)
}

const dropDestination = statement<{ id: number }>()((db, p) => db.deleteFrom('event_destination').where('id', '=', p.id))

/** The caller knows that no target is left. */
export async function deleteEventDestination(tx: Session, id: number): Promise<void> {
  await tx.change(dropDestination, { id })
}

const usesOfDestination = statement<{ destinationId: number; limit: number }>()((db, p) =>
  db
    .selectFrom('event_target')
    .innerJoin('event_rule', 'event_rule.id', 'event_target.rule_id')
    .select(['event_rule.name as ruleName', 'event_target.name as targetName'])
    .where('event_target.destination_id', '=', p.destinationId)
    .orderBy('event_rule.name')
    .limit(p.limit),
)

/** Which targets send there. */
export function targetsOfDestination(session: Session, destinationId: number, limit: number): Promise<{ ruleName: string; targetName: string }[]> {
  return session.all(usesOfDestination, { destinationId, limit })
}

export interface EventRuleRow {
  readonly id: number
  readonly name: string
  readonly state: string
  readonly pattern: string
  readonly description: string | null
  readonly roleArn: string | null
  readonly createdAt: number
  readonly createdBy: string
}

const ruleColumns = ['id', 'name', 'state', 'pattern', 'description', 'role_arn as roleArn', 'created_at as createdAt', 'created_by as createdBy'] as const

const rule = statement<{ registryId: number; name: string }>()((db, p) =>
  db.selectFrom('event_rule').select(ruleColumns).where('registry_id', '=', p.registryId).where('name', '=', p.name),
)

export function findEventRule(session: Session, registryId: number, name: string): Promise<EventRuleRow | undefined> {
  return session.first(rule, { registryId, name })
}

const rules = statement<{ registryId: number; after: string }>()((db, p) =>
  db.selectFrom('event_rule').select(ruleColumns).where('registry_id', '=', p.registryId).where('name', '>', p.after).orderBy('name'),
)

/** All of a registry behind a name, in the order of their names: there are some hundreds at most. */
export function listEventRules(session: Session, registryId: number, after = ''): Promise<EventRuleRow[]> {
  return session.all(rules, { registryId, after })
}

const addRule = statement<{ registryId: number; name: string; state: string; pattern: string; description: string | null; roleArn: string | null; now: number; by: string }>()((db, p) =>
  db.insertInto('event_rule').values({
    registry_id: p.registryId,
    name: p.name,
    state: p.state,
    pattern: p.pattern,
    description: p.description,
    role_arn: p.roleArn,
    created_at: p.now,
    created_by: p.by,
  }),
)

export async function insertEventRule(
  tx: Session,
  row: { registryId: number; name: string; state: string; pattern: string; description: string | null; roleArn: string | null; now: number; by: string },
): Promise<void> {
  await tx.change(addRule, row)
}

const changeRule = statement<{ id: number; state: string; pattern: string; description: string | null; roleArn: string | null }>()((db, p) =>
  db.updateTable('event_rule').set({ state: p.state, pattern: p.pattern, description: p.description, role_arn: p.roleArn }).where('id', '=', p.id),
)

export async function updateEventRule(tx: Session, row: { id: number; state: string; pattern: string; description: string | null; roleArn: string | null }): Promise<void> {
  await tx.change(changeRule, row)
}

const dropRule = statement<{ id: number }>()((db, p) => db.deleteFrom('event_rule').where('id', '=', p.id))

/** The caller knows that it has no targets. */
export async function deleteEventRule(tx: Session, id: number): Promise<void> {
  await tx.change(dropRule, { id })
}

export interface EventTargetRow {
  readonly id: number
  readonly name: string
  readonly destinationId: number
  readonly destinationName: string
  readonly roleArn: string | null
  readonly body: string
  readonly maxAgeMs: number
  readonly maxAttempts: number
}

const targets = statement<{ ruleId: number }>()((db, p) =>
  db
    .selectFrom('event_target')
    .innerJoin('event_destination', 'event_destination.id', 'event_target.destination_id')
    .select([
      'event_target.id',
      'event_target.name',
      'event_target.destination_id as destinationId',
      'event_destination.name as destinationName',
      'event_target.role_arn as roleArn',
      'event_target.body',
      'event_target.max_age_ms as maxAgeMs',
      'event_target.max_attempts as maxAttempts',
    ])
    .where('event_target.rule_id', '=', p.ruleId)
    .orderBy('event_target.name'),
)

/** By name: there are a handful at most. */
export function targetsOfRule(session: Session, ruleId: number): Promise<EventTargetRow[]> {
  return session.all(targets, { ruleId })
}

const rulesOfDestination = statement<{ registryId: number; destination: string }>()((db, p) =>
  db
    .selectFrom('event_rule')
    .innerJoin('event_target', 'event_target.rule_id', 'event_rule.id')
    .innerJoin('event_destination', 'event_destination.id', 'event_target.destination_id')
    .select('event_rule.name')
    .distinct()
    .where('event_rule.registry_id', '=', p.registryId)
    .where('event_destination.registry_id', '=', p.registryId)
    .where('event_destination.name', '=', p.destination)
    .orderBy('event_rule.name'),
)

/** The names of the rules that send to a webhook. */
export async function listRulesOfDestination(session: Session, registryId: number, destinationName: string): Promise<string[]> {
  return (await session.all(rulesOfDestination, { registryId, destination: destinationName })).map(({ name }) => name)
}

interface TargetValues {
  readonly ruleId: number
  readonly name: string
  readonly destinationId: number
  readonly roleArn: string | null
  readonly body: string
  readonly maxAgeMs: number
  readonly maxAttempts: number
}

const putTarget = statement<TargetValues & { now: number }>()((db, p) =>
  db
    .insertInto('event_target')
    .values({
      rule_id: p.ruleId,
      name: p.name,
      destination_id: p.destinationId,
      role_arn: p.roleArn,
      body: p.body,
      max_age_ms: p.maxAgeMs,
      max_attempts: p.maxAttempts,
      created_at: p.now,
    })
    .onConflict((conflict) =>
      conflict.columns(['rule_id', 'name']).doUpdateSet({
        destination_id: p.destinationId,
        role_arn: p.roleArn,
        body: p.body,
        max_age_ms: p.maxAgeMs,
        max_attempts: p.maxAttempts,
      }),
    )
    .returning('id'),
)

/** Adds a target, or gives the one of this name other settings. What is on its way to it goes where it now sends. */
export async function putEventTarget(tx: Session, target: TargetValues, now: number): Promise<void> {
  const row = await tx.first(putTarget, { ...target, now })
  if (row) await tx.change(redirectLanes, { targetId: row.id, destinationId: target.destinationId })
}

const redirectLanes = statement<{ targetId: number; destinationId: number }>()((db, p) =>
  db.updateTable('event_lane').set({ destination_id: p.destinationId }).where('target_id', '=', p.targetId),
)

const lockTarget = statement<{ id: number }>()((db, p, dialect) =>
  db
    .selectFrom('event_target')
    .select('id')
    .where('id', '=', p.id)
    .$if(dialect === 'postgres', (query) => query.forUpdate()),
)
const dropDeliveries = statement<{ targetId: number }>()((db, p) =>
  db.deleteFrom('event_delivery').where('lane_id', 'in', (eb) => eb.selectFrom('event_lane').select('event_lane.id').where('event_lane.target_id', '=', p.targetId)),
)
const dropLanes = statement<{ targetId: number }>()((db, p) => db.deleteFrom('event_lane').where('target_id', '=', p.targetId))
const dropTarget = statement<{ id: number }>()((db, p) => db.deleteFrom('event_target').where('id', '=', p.id))
const lockLanes = statement<{ targetId: number }>()((db, p, dialect) =>
  db
    .selectFrom('event_lane')
    .select('id')
    .where('target_id', '=', p.targetId)
    .orderBy('id')
    .$if(dialect === 'postgres', (query) => query.forUpdate()),
)

/** Removes a target and what is on its way to it. Locks the target first: nothing is put on its way to one that goes. */
export async function deleteEventTarget(tx: Session, id: number): Promise<void> {
  await tx.first(lockTarget, { id })
  await tx.all(lockLanes, { targetId: id })
  await tx.change(dropDeliveries, { targetId: id })
  await tx.change(dropLanes, { targetId: id })
  await tx.change(dropTarget, { id })
}

/** A rule that is in force, with what it sends where, and whose. */
export interface RuleInForce {
  readonly registryId: number
  readonly ruleId: number
  readonly ruleName: string
  readonly pattern: string
  readonly ruleCreatedAt: number
  readonly targetId: number
  readonly destinationId: number
}

const inForce = statement()((db) =>
  db
    .selectFrom('event_rule')
    .innerJoin('event_target', 'event_target.rule_id', 'event_rule.id')
    .select([
      'event_rule.registry_id as registryId',
      'event_rule.id as ruleId',
      'event_rule.name as ruleName',
      'event_rule.pattern',
      'event_rule.created_at as ruleCreatedAt',
      'event_target.id as targetId',
      'event_target.destination_id as destinationId',
    ])
    .where('event_rule.state', '=', 'ENABLED')
    .orderBy('event_target.id'),
)

/** Every target of every rule that is enabled. */
export function rulesInForce(session: Session): Promise<RuleInForce[]> {
  return session.all(inForce, {})
}

const anyInForce = statement()((db) =>
  db.selectFrom('event_rule').innerJoin('event_target', 'event_target.rule_id', 'event_rule.id').select('event_rule.id').where('event_rule.state', '=', 'ENABLED').limit(1),
)

export async function isAnyRuleInForce(session: Session): Promise<boolean> {
  return (await session.first(anyInForce, {})) !== undefined
}

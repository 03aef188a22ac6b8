import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/* Alarms on metrics. Whoever makes or removes one has locked the registry's row. */

export interface MetricAlarmRow {
  readonly id: number
  readonly registryId: number
  readonly name: string
  readonly settings: string
  readonly actionsEnabled: number
  readonly state: string
  readonly stateReason: string
  readonly stateData: string | null
  readonly stateAt: number
  readonly transitionedAt: number
  readonly configuredAt: number
}

const columns = [
  'id',
  'registry_id as registryId',
  'name',
  'settings',
  'actions_enabled as actionsEnabled',
  'state',
  'state_reason as stateReason',
  'state_data as stateData',
  'state_at as stateAt',
  'transitioned_at as transitionedAt',
  'configured_at as configuredAt',
] as const

const oneAlarm = statement<{ registryId: number; name: string }>()((db, p) =>
  db.selectFrom('metric_alarm').select(columns).where('registry_id', '=', p.registryId).where('name', '=', p.name),
)
const lockedAlarm = statement<{ registryId: number; name: string }>()((db, p, dialect) => {
  const query = db.selectFrom('metric_alarm').select(columns).where('registry_id', '=', p.registryId).where('name', '=', p.name)
  return dialect === 'postgres' ? query.forUpdate() : query
})
const alarmsOfRegistry = statement<{ registryId: number; after: string; limit: number }>()((db, p) =>
  db.selectFrom('metric_alarm').select(columns).where('registry_id', '=', p.registryId).where('name', '>', p.after).orderBy('name').limit(p.limit),
)
const alarmCount = statement<{ registryId: number }>()((db, p) =>
  db.selectFrom('metric_alarm').select((eb) => eb.fn.countAll<number>().as('count')).where('registry_id', '=', p.registryId),
)
const everyAlarm = statement<{ after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('metric_alarm')
    .innerJoin('registry', 'registry.id', 'metric_alarm.registry_id')
    .select(['metric_alarm.id', 'registry.id as registryId', 'registry.account_id as accountId', 'registry.region', 'name', 'settings', 'state', 'configured_at as configuredAt'])
    .where('metric_alarm.id', '>', p.after)
    .orderBy('metric_alarm.id')
    .limit(p.limit),
)

export function findMetricAlarm(session: Session, registryId: number, name: string): Promise<MetricAlarmRow | undefined> {
  return session.first(oneAlarm, { registryId, name })
}

/** Until the transaction ends nobody else changes it. */
export function lockMetricAlarm(tx: Session, registryId: number, name: string): Promise<MetricAlarmRow | undefined> {
  return tx.first(lockedAlarm, { registryId, name })
}

/** By name. */
export function listMetricAlarms(session: Session, registryId: number, after: string, limit: number): Promise<MetricAlarmRow[]> {
  return session.all(alarmsOfRegistry, { registryId, after, limit })
}

export async function countMetricAlarms(session: Session, registryId: number): Promise<number> {
  return (await session.first(alarmCount, { registryId }))?.count ?? 0
}

export interface AlarmToEvaluate extends Pick<MetricAlarmRow, 'id' | 'registryId' | 'name' | 'settings' | 'state' | 'configuredAt'> {
  readonly accountId: string
  readonly region: string
}

/** Of all registries, in the order of their numbers. */
export function listAlarmsToEvaluate(session: Session, after: number, limit: number): Promise<AlarmToEvaluate[]> {
  return session.all(everyAlarm, { after, limit })
}

const insertAlarm = statement<{ registryId: number; name: string; settings: string; actionsEnabled: number; state: string; reason: string; now: number }>()((db, p) =>
  db.insertInto('metric_alarm').values({
    registry_id: p.registryId,
    name: p.name,
    settings: p.settings,
    actions_enabled: p.actionsEnabled,
    state: p.state,
    state_reason: p.reason,
    state_data: null,
    state_at: p.now,
    transitioned_at: p.now,
    configured_at: p.now,
  }),
)
const configureAlarm = statement<{ id: number; settings: string; actionsEnabled: number; now: number }>()((db, p) =>
  db.updateTable('metric_alarm').set({ settings: p.settings, actions_enabled: p.actionsEnabled, configured_at: p.now }).where('id', '=', p.id),
)
const setActions = statement<{ id: number; actionsEnabled: number; now: number }>()((db, p) =>
  db.updateTable('metric_alarm').set({ actions_enabled: p.actionsEnabled, configured_at: p.now }).where('id', '=', p.id),
)
const setState = statement<{ id: number; state: string; reason: string; data: string | null; transitionedAt: number; now: number }>()((db, p) =>
  db.updateTable('metric_alarm').set({ state: p.state, state_reason: p.reason, state_data: p.data, state_at: p.now, transitioned_at: p.transitionedAt }).where('id', '=', p.id),
)
const removeAlarm = statement<{ id: number }>()((db, p) => db.deleteFrom('metric_alarm').where('id', '=', p.id))

export async function insertMetricAlarm(tx: Session, alarm: { registryId: number; name: string; settings: string; actionsEnabled: boolean; state: string; reason: string; now: number }): Promise<void> {
  await tx.change(insertAlarm, { ...alarm, actionsEnabled: alarm.actionsEnabled ? 1 : 0 })
}

export async function configureMetricAlarm(tx: Session, alarm: { id: number; settings: string; actionsEnabled: boolean; now: number }): Promise<void> {
  await tx.change(configureAlarm, { ...alarm, actionsEnabled: alarm.actionsEnabled ? 1 : 0 })
}

export async function setMetricAlarmActions(tx: Session, alarm: { id: number; actionsEnabled: boolean; now: number }): Promise<void> {
  await tx.change(setActions, { ...alarm, actionsEnabled: alarm.actionsEnabled ? 1 : 0 })
}

export async function setMetricAlarmState(tx: Session, alarm: { id: number; state: string; reason: string; data: string | null; transitionedAt: number; now: number }): Promise<void> {
  await tx.change(setState, alarm)
}

export async function deleteMetricAlarm(tx: Session, id: number): Promise<void> {
  await tx.change(removeAlarm, { id })
}

export interface AlarmHistoryRow {
  readonly id: number
  readonly alarmName: string
  readonly at: number
  readonly kind: string
  readonly summary: string
  readonly data: string
}

const addHistory = statement<{ registryId: number; alarmName: string; at: number; kind: string; summary: string; data: string }>()((db, p) =>
  db.insertInto('metric_alarm_history').values({ registry_id: p.registryId, alarm_name: p.alarmName, at: p.at, kind: p.kind, summary: p.summary, data: p.data }),
)
const dropHistory = statement<{ registryId: number; before: number }>()((db, p) =>
  db.deleteFrom('metric_alarm_history').where('registry_id', '=', p.registryId).where('at', '<', p.before),
)

/** Adds what became of an alarm, and drops what is older than that time of all alarms of the registry. */
export async function addAlarmHistory(tx: Session, item: { registryId: number; alarmName: string; at: number; kind: string; summary: string; data: string; keptSince: number }): Promise<void> {
  const { keptSince, ...row } = item
  await tx.change(dropHistory, { registryId: item.registryId, before: keptSince })
  await tx.change(addHistory, row)
}

export interface HistoryQuery {
  readonly registryId: number
  readonly alarmName?: string | undefined
  readonly kind?: string | undefined
  readonly from: number
  readonly until: number
  readonly isAscending: boolean
  /** The last item of the page before. */
  readonly after?: number | undefined
  readonly limit: number
}

export function listAlarmHistory(session: Session, { registryId, alarmName, kind, from, until, isAscending, after, limit }: HistoryQuery): Promise<AlarmHistoryRow[]> {
  let query = session.builder
    .selectFrom('metric_alarm_history')
    .select(['id', 'alarm_name as alarmName', 'at', 'kind', 'summary', 'data'])
    .where('registry_id', '=', registryId)
    .where('at', '>=', from)
    .where('at', '<=', until)
    .orderBy('id', isAscending ? 'asc' : 'desc')
    .limit(limit)
  if (alarmName !== undefined) query = query.where('alarm_name', '=', alarmName)
  if (kind !== undefined) query = query.where('kind', '=', kind)
  if (after !== undefined) query = query.where('id', isAscending ? '>' : '<', after)
  return session.query(query)
}

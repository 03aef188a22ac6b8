import { putOnTheirWay } from '../../events/commands/delivery.ts'
import { registryForChange } from '../../registry/commands/registries.ts'
import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'
import {
  addAlarmHistory,
  configureMetricAlarm,
  countMetricAlarms,
  deleteMetricAlarm,
  findMetricAlarm,
  insertMetricAlarm,
  lockMetricAlarm,
  setMetricAlarmActions,
  setMetricAlarmState,
} from '../../storage/metadata/stores/metric-alarm-store.ts'
import { lockRegistryRow } from '../../storage/metadata/stores/repository-store.ts'
import { alarmArn, type AlarmSettings, type AlarmState } from '../alarms/alarm.ts'

/** CloudWatch's own, of an account in a region. */
const mostAlarms = 5_000
const historyKeptMs = 30 * 24 * 60 * 60_000

/** Makes an alarm, or gives the one of this name all these settings: its state stays until it is evaluated. False: there are as many as there may be. */
export const putAlarm = defineCommand({
  name: 'put-metric-alarm',
  durability: 'durable',
  async run(tx, input: { name: string; settings: AlarmSettings; actionsEnabled: boolean }, context): Promise<boolean> {
    const registryId = await registryForChange(tx, context)
    await lockRegistryRow(tx, registryId)
    const { name, actionsEnabled } = input
    const settings = JSON.stringify(input.settings)
    const existing = await findMetricAlarm(tx, registryId, name)
    if (existing === undefined) {
      if ((await countMetricAlarms(tx, registryId)) >= mostAlarms) return false
      await insertMetricAlarm(tx, { registryId, name, settings, actionsEnabled, state: 'INSUFFICIENT_DATA', reason: 'Unchecked: Initial alarm creation', now: context.nowMs })
    } else await configureMetricAlarm(tx, { id: existing.id, settings, actionsEnabled, now: context.nowMs })
    const type = existing === undefined ? 'Create' : 'Update'
    await history(tx, context, registryId, name, 'ConfigurationUpdate', `Alarm "${name}" ${existing === undefined ? 'created' : 'updated'}`, { version: '1.0', type })
    await audit(tx, context, 'PutMetricAlarm', name, { metricName: input.settings.metricName, namespace: input.settings.namespace })
    return true
  },
})

/** Removes all of them or, where one is not there, none; answers the name of that one. */
export const deleteAlarms = defineCommand({
  name: 'delete-metric-alarms',
  durability: 'durable',
  async run(tx, input: { names: readonly string[] }, context): Promise<string | undefined> {
    const { registryId } = context
    if (registryId === 0) return input.names[0]
    await lockRegistryRow(tx, registryId)
    const found: { readonly id: number; readonly name: string }[] = []
    for (const name of input.names) {
      const alarm = await findMetricAlarm(tx, registryId, name)
      if (alarm === undefined) return name
      found.push(alarm)
    }
    for (const { id, name } of found) {
      await deleteMetricAlarm(tx, id)
      await history(tx, context, registryId, name, 'ConfigurationUpdate', `Alarm "${name}" deleted`, { version: '1.0', type: 'Delete' })
      await audit(tx, context, 'DeleteAlarms', name, {})
    }
    return undefined
  },
})

/** Names that nothing has are left out, as by CloudWatch. */
export const setAlarmActions = defineCommand({
  name: 'set-metric-alarm-actions',
  durability: 'durable',
  async run(tx, input: { names: readonly string[]; enabled: boolean }, context): Promise<void> {
    const { registryId } = context
    if (registryId === 0) return
    await lockRegistryRow(tx, registryId)
    for (const name of input.names) {
      const alarm = await findMetricAlarm(tx, registryId, name)
      if (alarm === undefined || (alarm.actionsEnabled === 1) === input.enabled) continue
      await setMetricAlarmActions(tx, { id: alarm.id, actionsEnabled: input.enabled, now: context.nowMs })
      await history(tx, context, registryId, name, 'ConfigurationUpdate', `Alarm "${name}" updated`, { version: '1.0', type: 'Update' })
      await audit(tx, context, input.enabled ? 'EnableAlarmActions' : 'DisableAlarmActions', name, {})
    }
  },
})

export interface StateChange {
  readonly name: string
  /** The change is made where the alarm is still this one in this state: of several servers that evaluate it one does so. */
  readonly expected: { readonly id: number; readonly state: string; readonly configuredAt: number }
  readonly state: AlarmState
  readonly reason: string
  readonly data: string | null
  /** What is told of it, and to which targets. */
  readonly told?: { readonly eventId: string; readonly event: string; readonly targetIds: readonly number[] } | undefined
  /** Somebody asked for it. */
  readonly isByHand: boolean
}

/** `stale`: the alarm is not as it was expected, and nothing was done. */
export type StateOutcome = 'another' | 'same' | 'stale'

export const changeAlarmState = defineCommand({
  name: 'change-metric-alarm-state',
  durability: 'durable',
  async run(tx, { name, expected, state, reason, data, told, isByHand }: StateChange, context): Promise<StateOutcome> {
    const alarm = await lockMetricAlarm(tx, context.registryId, name)
    if (alarm === undefined || alarm.id !== expected.id || alarm.state !== expected.state || alarm.configuredAt !== expected.configuredAt) return 'stale'
    const isAnother = alarm.state !== state
    const now = context.nowMs
    await setMetricAlarmState(tx, { id: alarm.id, state, reason, data, transitionedAt: isAnother ? now : alarm.transitionedAt, now })
    if (isByHand) await audit(tx, context, 'SetAlarmState', name, { stateValue: state })
    if (!isAnother) return 'same'
    const stateOf = (stateValue: string, stateReason: string, stateData: string | null) => ({ stateValue, stateReason, ...(stateData === null ? {} : { stateReasonData: JSON.parse(stateData) as unknown }) })
    await history(tx, context, context.registryId, name, 'StateUpdate', `Alarm updated from ${alarm.state} to ${state}`, {
      version: '1.0',
      oldState: stateOf(alarm.state, alarm.stateReason, alarm.stateData),
      newState: stateOf(state, reason, data),
    })
    if (told !== undefined) await putOnTheirWay(tx, [{ ...told, repositoryId: 0 }], now)
    return 'another'
  },
})

function history(tx: Session, { nowMs }: CommandContext, registryId: number, alarmName: string, kind: string, summary: string, data: object): Promise<void> {
  return addAlarmHistory(tx, { registryId, alarmName, at: nowMs, kind, summary, data: JSON.stringify(data), keptSince: nowMs - historyKeptMs })
}

async function audit(tx: Session, context: CommandContext, action: string, name: string, detail: Readonly<Record<string, unknown>>): Promise<void> {
  await recordAudit(tx, context, { action, resource: alarmArn(context, name), detail: { alarmName: name, ...detail } })
}

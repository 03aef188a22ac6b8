import type { Generated } from 'kysely'

/*
 * The tables of alarms on metrics, continuing schema.ts.
 */

interface MetricAlarmTable {
  id: Generated<number>
  registry_id: number
  name: string
  /** JSON: `AlarmSettings` of src/metrics/alarms/alarm.ts. */
  settings: string
  actions_enabled: number
  state: string
  state_reason: string
  /** JSON that says of which points the state was made. */
  state_data: string | null
  /** When the state or its reason was last written. */
  state_at: number
  /** When it last became another. */
  transitioned_at: number
  configured_at: number
}

interface MetricAlarmHistoryTable {
  id: Generated<number>
  registry_id: number
  alarm_name: string
  at: number
  kind: string
  summary: string
  data: string
}

export interface AlarmsSchema {
  metric_alarm: MetricAlarmTable
  metric_alarm_history: MetricAlarmHistoryTable
}

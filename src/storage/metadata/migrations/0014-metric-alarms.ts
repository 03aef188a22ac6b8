import { sql, type Kysely } from 'kysely'
import type { DialectName } from '../statement.ts'
import { inDialect } from './dialect-words.ts'
import type { MetadataMigration } from './migration.ts'

/* Alarms on metrics, and what became of them. The metrics themselves are in the store of what was observed. */
const statements = [
  `create table metric_alarm (
    id {id},
    registry_id {int} not null references registry,
    name {name} not null,
    settings text not null,
    actions_enabled {int} not null,
    state text not null,
    state_reason text not null,
    state_data text,
    state_at {int} not null,
    transitioned_at {int} not null,
    configured_at {int} not null,
    unique (registry_id, name)
  ) {end}`,

  // An alarm may be gone long before its history is.
  `create table metric_alarm_history (
    id {id},
    registry_id {int} not null references registry,
    alarm_name {name} not null,
    at {int} not null,
    kind text not null,
    summary text not null,
    data text not null
  ) {end}`,
  `create index metric_alarm_history_name on metric_alarm_history (registry_id, alarm_name, id)`,
  `create index metric_alarm_history_age on metric_alarm_history (registry_id, at)`,
]

export function metricAlarms(dialect: DialectName): MetadataMigration {
  return {
    description: {
      changes: 'Adds the tables of alarms on metrics.',
      rewrites: [],
      runningServersGoOn: true,
    },
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of statements) await sql.raw(inDialect(dialect, statement)).execute(db)
    },
  }
}

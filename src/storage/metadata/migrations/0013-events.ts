import { sql, type Kysely } from 'kysely'
import type { DialectName } from '../statement.ts'
import { inDialect } from './dialect-words.ts'
import type { MetadataMigration } from './migration.ts'

/* Rules about events, where they are sent, and what is on its way there. */
const statements = [
  `create table event_destination (
    id {id},
    registry_id {int} not null references registry,
    name {name} not null,
    url text not null,
    description text,
    secret_sealed text not null,
    created_at {int} not null,
    created_by text not null,
    unique (registry_id, name)
  ) {end}`,

  `create table event_rule (
    id {id},
    registry_id {int} not null references registry,
    name {name} not null,
    state text not null,
    pattern text not null,
    description text,
    role_arn text,
    created_at {int} not null,
    created_by text not null,
    unique (registry_id, name)
  ) {end}`,

  `create table event_target (
    id {id},
    rule_id {int} not null references event_rule,
    name {name} not null,
    destination_id {int} not null references event_destination,
    role_arn text,
    body text not null,
    max_age_ms {int} not null,
    max_attempts {int} not null,
    created_at {int} not null,
    unique (rule_id, name)
  ) {end}`,
  `create index event_target_destination on event_target (destination_id)`,

  // The repository may be gone for good while events of its end are still on their way.
  `create table event_lane (
    id {id},
    target_id {int} not null references event_target,
    destination_id {int} not null,
    repository_id {int} not null,
    due_at {int} not null,
    attempt_count {int} not null,
    leased_by text,
    leased_until {int},
    last_error text,
    unique (target_id, repository_id)
  ) {end}`,
  `create index event_lane_due on event_lane (destination_id, due_at)`,

  `create table event_delivery (
    id {id},
    lane_id {int} not null references event_lane,
    event_id text not null,
    event text not null,
    queued_at {int} not null
  ) {end}`,
  `create index event_delivery_order on event_delivery (lane_id, id)`,
  `create index event_delivery_age on event_delivery (queued_at)`,

  `create table event_dead_letter (
    id {id},
    registry_id {int} not null references registry,
    target_id {int} not null,
    rule_name text not null,
    target_name text not null,
    destination_name text not null,
    repository_id {int} not null,
    event_id text not null,
    event text not null,
    reason text not null,
    attempt_count {int} not null,
    queued_at {int} not null,
    died_at {int} not null
  ) {end}`,
  `create index event_dead_letter_of on event_dead_letter (registry_id, id)`,
  `create index event_dead_letter_age on event_dead_letter (died_at)`,
]

export function events(dialect: DialectName): MetadataMigration {
  return {
    description: {
      changes: 'Adds tables of rules about events, of the webhooks that events are sent to, and of what is on its way there.',
      rewrites: [],
      runningServersGoOn: true,
    },
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of statements) await sql.raw(inDialect(dialect, statement)).execute(db)
    },
  }
}

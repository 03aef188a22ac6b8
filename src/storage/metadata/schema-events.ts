import type { Generated } from 'kysely'

/*
 * The tables of events, continuing schema.ts: rules, webhooks, and what is on its way to them. What happened is in `outbox`
 * until it was compared with the rules.
 */

type Id = Generated<number>
/** A JSON document as text, parsed by whoever owns the column. */
type Json = string

/** A webhook. */
interface EventDestinationTable {
  id: Id
  registry_id: number
  name: string
  url: string
  description: string | null
  /** Sealed with the keyring. */
  secret_sealed: string
  created_at: number
  created_by: string
}

interface EventRuleTable {
  id: Id
  registry_id: number
  name: string
  /** `ENABLED` or `DISABLED`. */
  state: string
  pattern: Json
  description: string | null
  role_arn: string | null
  created_at: number
  created_by: string
}

interface EventTargetTable {
  id: Id
  rule_id: number
  name: string
  destination_id: number
  role_arn: string | null
  /** What is sent: see events/target-body.ts. */
  body: Json
  max_age_ms: number
  max_attempts: number
  created_at: number
}

/** What is on its way to a target from one repository, in order: one server at a time sends it. */
interface EventLaneTable {
  id: Id
  target_id: number
  /** The target's, repeated for the index. */
  destination_id: number
  repository_id: number
  due_at: number
  /** Of the first that waits. */
  attempt_count: number
  leased_by: string | null
  leased_until: number | null
  last_error: string | null
}

interface EventDeliveryTable {
  id: Id
  lane_id: number
  event_id: string
  event: Json
  queued_at: number
}

/** What could not be delivered. */
interface EventDeadLetterTable {
  id: Id
  registry_id: number
  /** May be gone. */
  target_id: number
  rule_name: string
  target_name: string
  destination_name: string
  repository_id: number
  event_id: string
  event: Json
  reason: string
  attempt_count: number
  queued_at: number
  died_at: number
}

export interface EventsSchema {
  event_destination: EventDestinationTable
  event_rule: EventRuleTable
  event_target: EventTargetTable
  event_lane: EventLaneTable
  event_delivery: EventDeliveryTable
  event_dead_letter: EventDeadLetterTable
}

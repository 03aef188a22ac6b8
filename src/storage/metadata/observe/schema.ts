import type { Generated, Kysely, Selectable } from 'kysely'
import type { SeparateStore } from '../separate-store.ts'
import type { Session } from '../session.ts'
import { statement, type Compilable, type DialectName, type Statement } from '../statement.ts'

/*
 * What was observed, apart from what is kept: on SQLite a file of its own, on PostgreSQL a schema of its own. It grows with
 * requests, and losing it loses no image.
 */

/** On PostgreSQL. One installation has the database. */
export const observeSchemaName = 'stowage_observe'

interface ObserveFormTable {
  form: number
}

/** Names that come again and again, each once. */
interface AuditTermTable {
  id: Generated<number>
  text: string
}

/**
 * The records of the audit trail in the order in which they were sealed. What stands beside the body is taken from it, for
 * look-ups.
 */
interface AuditEventTable {
  /** 1, 2, 3 …, without gaps. */
  seq: number
  /** A UUID's 16 bytes. */
  event_id: Uint8Array
  occurred_at: number
  /** Terms: account and region, the event's name and source, who did it and with which key, the resource and its type. */
  trail_id: number
  name_id: number
  source_id: number
  user_id: number | null
  key_id: number | null
  resource_id: number | null
  type_id: number | null
  read_only: number
  body: string
  /** Of the record and of all before it. */
  hash: Uint8Array
}

export type AuditEventRow = Selectable<AuditEventTable>

interface AuditHeadTable {
  id: number
  seq: number
  hash: Uint8Array
  /** The last record that was removed for its age, and its hash: the chain begins behind it. */
  cut_seq: number
  cut_hash: Uint8Array
  cut_at: number
}

/** What has points: a metric of an account in a region with its dimensions, in one unit. */
interface MetricSeriesTable {
  id: Generated<number>
  /** Of what stands below but the unit: dimensions may be longer than what an index takes. */
  metric_key: Uint8Array
  unit: string
  /** Account and region, as a trail's name. */
  registry: string
  namespace: string
  name: string
  /** Names and values in the order of the names, as JSON. */
  dimensions: string
  created_at: number
}

/** What there was of a series from `at` on, for a minute, five or sixty: a statistic set. */
interface MetricPointTable {
  series_id: number
  at: number
  samples: number
  total: number
  low: number
  high: number
}

/** What is done once for all servers, and when it was done last. */
interface MetricMarkTable {
  name: string
  at: number
}

/** Changes of tags that records tell, for whoever asks what a tag named: taken from the records, as what stands beside their bodies. */
interface AuditTagMoveTable {
  /** Terms: account and region, and the repository's name. */
  trail_id: number
  repository_id: number
  /** Empty: of the whole repository, which was deleted or came back. */
  tag: string
  occurred_at: number
  /** Of the change's row in the metadata: given in the order in which a repository was changed. */
  change_id: number
  seq: number
  /** What the tag named from then on; null: nothing. */
  digest: string | null
  previous: string | null
  /** Of a whole repository: the batch of the trash that it went to, or came from. */
  batch: string | null
}

/** How far those have come who read the trail, in the order of its numbers. */
interface AuditCursorTable {
  name: string
  seq: number
  /** What is being written goes up to here: whoever goes on after a crash writes the same. */
  until_seq: number
  leased_by: string | null
  leased_until: number | null
}

export interface ObserveSchema {
  metric_series: MetricSeriesTable
  metric_minute: MetricPointTable
  metric_five_minutes: MetricPointTable
  metric_hour: MetricPointTable
  metric_mark: MetricMarkTable
  observe_form: ObserveFormTable
  audit_term: AuditTermTable
  audit_event: AuditEventTable
  audit_head: AuditHeadTable
  audit_tag_move: AuditTagMoveTable
  audit_cursor: AuditCursorTable
}

const tables = [
  `create table if not exists {s}observe_form (form {int} not null) {end}`,
  `create table if not exists {s}audit_term (id {id}, text {name} not null unique) {end}`,
  `create table if not exists {s}audit_event (
    seq {key},
    event_id {bytes} not null,
    occurred_at {int} not null,
    trail_id {int} not null,
    name_id {int} not null,
    source_id {int} not null,
    user_id {int},
    key_id {int},
    resource_id {int},
    type_id {int},
    read_only {int} not null,
    body text not null,
    hash {bytes} not null
  ) {end}`,
  `create unique index if not exists audit_event_id on {s}audit_event (event_id)`,
  `create index if not exists audit_event_trail on {s}audit_event (trail_id, occurred_at, seq)`,
  `create index if not exists audit_event_name on {s}audit_event (trail_id, name_id, occurred_at, seq)`,
  `create index if not exists audit_event_source on {s}audit_event (trail_id, source_id, occurred_at, seq)`,
  `create index if not exists audit_event_user on {s}audit_event (trail_id, user_id, occurred_at, seq)`,
  `create index if not exists audit_event_key on {s}audit_event (trail_id, key_id, occurred_at, seq)`,
  `create index if not exists audit_event_resource on {s}audit_event (trail_id, resource_id, occurred_at, seq)`,
  `create index if not exists audit_event_type on {s}audit_event (trail_id, type_id, occurred_at, seq)`,
  `create index if not exists audit_event_reads on {s}audit_event (trail_id, read_only, occurred_at, seq)`,
  `create table if not exists {s}audit_head (
    id {key},
    seq {int} not null,
    hash {bytes} not null,
    cut_seq {int} not null,
    cut_hash {bytes} not null,
    cut_at {int} not null
  ) {end}`,
  `create table if not exists {s}metric_series (
    id {id},
    metric_key {bytes} not null,
    unit {name} not null,
    registry {name} not null,
    namespace {name} not null,
    name {name} not null,
    dimensions text not null,
    created_at {int} not null
  ) {end}`,
  `create unique index if not exists metric_series_key on {s}metric_series (metric_key, unit)`,
  `create index if not exists metric_series_name on {s}metric_series (registry, namespace, name, id)`,
  ...['metric_minute', 'metric_five_minutes', 'metric_hour'].map(
    (table) => `create table if not exists {s}${table} (
    series_id {int} not null,
    at {int} not null,
    samples {real} not null,
    total {real} not null,
    low {real} not null,
    high {real} not null,
    primary key (series_id, at)
  ) {endKeyed}`,
  ),
  `create table if not exists {s}metric_mark (name {name} primary key, at {int} not null) {end}`,
  `create table if not exists {s}audit_tag_move (
    trail_id {int} not null,
    repository_id {int} not null,
    tag {name} not null,
    occurred_at {int} not null,
    change_id {int} not null,
    seq {int} not null,
    digest {name},
    previous {name},
    batch {name},
    primary key (trail_id, repository_id, tag, occurred_at, change_id)
  ) {endKeyed}`,
  `create index if not exists audit_tag_move_seq on {s}audit_tag_move (seq)`,
  `create table if not exists {s}audit_cursor (
    name {name} primary key,
    seq {int} not null,
    until_seq {int} not null,
    leased_by {name},
    leased_until {int}
  ) {end}`,
]

export const observeStore: SeparateStore = {
  fileName: 'observe.db',
  schemaName: observeSchemaName,
  formTable: 'observe_form',
  form: 1,
  title: 'the store of what was observed',
  tables,
}

export type ObserveBuilder = Kysely<ObserveSchema>

/** The tables of the store, wherever they are. */
export function observeBuilder(session: Pick<Session, 'builder' | 'dialect'>): ObserveBuilder {
  return placed(session.builder, session.dialect)
}

/** As `statement`, over the tables of this store. */
export function observeStatement<Parameters extends object = Record<never, never>>() {
  return <Row>(build: (db: ObserveBuilder, parameters: Parameters, dialect: DialectName) => Compilable<Row>): Statement<Parameters, Row> =>
    statement<Parameters>()((db, parameters, dialect) => build(placed(db, dialect), parameters, dialect))
}

/** Builders that never connect are the same for all tables. */
function placed(db: unknown, dialect: DialectName): ObserveBuilder {
  const builder = db as ObserveBuilder
  return dialect === 'postgres' ? builder.withSchema(observeSchemaName) : builder
}

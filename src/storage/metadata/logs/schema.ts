import type { Generated, Kysely } from 'kysely'
import type { SeparateStore } from '../separate-store.ts'
import type { Session } from '../session.ts'
import { statement, type Compilable, type DialectName, type Statement } from '../statement.ts'

/*
 * Log groups, their streams and lines, apart from the metadata. A row of a group is locked by whoever changes anything of the
 * group, streams and lines included.
 */

/** On PostgreSQL. One installation has the database. */
const schemaName = 'stowage_logs'

interface LogsFormTable {
  form: number
}

interface LogGroupTable {
  id: Generated<number>
  account_id: string
  region: string
  name: string
  created_at: number
  retention_days: number | null
  /** 1: it is not deleted. */
  is_protected: number
  stream_count: number
  /** Of the messages, and 26 for each line. */
  stored_bytes: number
  /** The number that the next line gets. */
  next_line: number
  /** Nobody sees it from then on; what is in it goes in the background. */
  deleted_at: number | null
}

interface LogGroupTagTable {
  group_id: number
  key: string
  value: string
}

/** Times are 0 while nothing was put into a stream. */
interface LogStreamTable {
  id: Generated<number>
  group_id: number
  name: string
  created_at: number
  first_line_at: number
  last_line_at: number
  last_put_at: number
  deleted_at: number | null
}

interface LogLineTable {
  group_id: number
  /** When it happened, as whoever wrote it says. */
  occurred_at: number
  /** In the order in which lines of the group arrived: 1, 2, 3 … */
  number: number
  stream_id: number
  put_at: number
  message: string
}

export interface LogsSchema {
  logs_form: LogsFormTable
  log_group: LogGroupTable
  log_group_tag: LogGroupTagTable
  log_stream: LogStreamTable
  log_line: LogLineTable
}

const tables = [
  `create table if not exists {s}logs_form (form {int} not null) {end}`,
  `create table if not exists {s}log_group (
    id {id},
    account_id {name} not null,
    region {name} not null,
    name {name} not null,
    created_at {int} not null,
    retention_days {int},
    is_protected {int} not null,
    stream_count {int} not null,
    stored_bytes {int} not null,
    next_line {int} not null,
    deleted_at {int}
  ) {end}`,
  `create unique index if not exists log_group_name on {s}log_group (account_id, region, name) where deleted_at is null`,
  `create index if not exists log_group_deleted on {s}log_group (id) where deleted_at is not null`,
  `create index if not exists log_group_retention on {s}log_group (id) where retention_days is not null and deleted_at is null`,
  `create table if not exists {s}log_group_tag (group_id {int} not null, key {name} not null, value text not null, primary key (group_id, key)) {endKeyed}`,
  `create table if not exists {s}log_stream (
    id {id},
    group_id {int} not null,
    name {name} not null,
    created_at {int} not null,
    first_line_at {int} not null,
    last_line_at {int} not null,
    last_put_at {int} not null,
    deleted_at {int}
  ) {end}`,
  `create unique index if not exists log_stream_name on {s}log_stream (group_id, name) where deleted_at is null`,
  `create index if not exists log_stream_recent on {s}log_stream (group_id, last_line_at, name) where deleted_at is null`,
  `create index if not exists log_stream_deleted on {s}log_stream (id) where deleted_at is not null`,
  `create table if not exists {s}log_line (
    group_id {int} not null,
    occurred_at {int} not null,
    number {int} not null,
    stream_id {int} not null,
    put_at {int} not null,
    message text not null,
    primary key (group_id, occurred_at, number)
  ) {endKeyed}`,
  `create index if not exists log_line_stream on {s}log_line (stream_id, occurred_at, number)`,
]

export const logsStore: SeparateStore = {
  fileName: 'logs.db',
  schemaName,
  formTable: 'logs_form',
  form: 1,
  title: 'the store of logs',
  tables,
  // So that the file gives space back when lines go.
  newFile: 'pragma auto_vacuum = incremental',
}

export type LogsBuilder = Kysely<LogsSchema>

/** The tables of the store, wherever they are. */
export function logsBuilder(session: Pick<Session, 'builder' | 'dialect'>): LogsBuilder {
  return placed(session.builder, session.dialect)
}

/** As `statement`, over the tables of this store. */
export function logsStatement<Parameters extends object = Record<never, never>>() {
  return <Row>(build: (db: LogsBuilder, parameters: Parameters, dialect: DialectName) => Compilable<Row>): Statement<Parameters, Row> =>
    statement<Parameters>()((db, parameters, dialect) => build(placed(db, dialect), parameters, dialect))
}

/** Builders that never connect are the same for all tables. */
function placed(db: unknown, dialect: DialectName): LogsBuilder {
  const builder = db as LogsBuilder
  return dialect === 'postgres' ? builder.withSchema(schemaName) : builder
}

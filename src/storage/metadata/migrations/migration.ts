import type { Migration } from 'kysely/migration'
import type { Schema } from '../schema.ts'

/** What an operator wants to know about a migration before it runs. */
export interface MigrationDescription {
  /** What it changes and what for, in a sentence or two. */
  readonly changes: string
  /** Tables of which it writes or reads every row: its time grows with them. Without any it takes a moment, whatever the size. */
  readonly rewrites: readonly (keyof Schema)[]
  /**
   * Whether servers of the version before that are running (several may share a PostgreSQL database) go on working while it
   * runs and afterwards. They never start again on it: a version that does not know a migration refuses the database.
   */
  readonly runningServersGoOn: boolean
}

/** A step from one form of the database to the next, with what to say about it. */
export interface MetadataMigration extends Pick<Migration, 'up'> {
  readonly description: MigrationDescription
}

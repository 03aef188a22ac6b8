import { sql, type Kysely } from 'kysely'
import type { DialectName } from '../statement.ts'
import { inDialect } from './dialect-words.ts'
import type { MetadataMigration } from './migration.ts'

/* Copies of blobs that are being made for another store: whoever erases a blob waits for them. */
const statements = [
  `create table blob_move (
    upload_id {name} primary key,
    blob_id {int} not null,
    began_at {int} not null
  ) {endKeyed}`,
  `create index blob_move_blob on blob_move (blob_id)`,
]

export function blobMoves(dialect: DialectName): MetadataMigration {
  return {
    description: {
      changes: 'Adds a table of the copies that are being made of blobs for the archive, or back.',
      rewrites: [],
      runningServersGoOn: true,
    },
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of statements) await sql.raw(inDialect(dialect, statement)).execute(db)
    },
  }
}

import { sql, type Kysely } from 'kysely'
import type { DialectName } from '../statement.ts'
import type { MetadataMigration } from './migration.ts'

/*
 * Checksums of the blocks of a blob, beside its location: they are read with the bytes and by nobody else. A location
 * without any is one from before; the first read of it hashes the whole file and adds them.
 */
const words: Record<DialectName, { int: string; bytes: string; end: string }> = {
  sqlite: { int: 'integer', bytes: 'blob', end: 'strict' },
  postgres: { int: 'bigint', bytes: 'bytea', end: '' },
}

export function blobChecksums(dialect: DialectName): MetadataMigration {
  const { int, bytes, end } = words[dialect]
  return {
    description: {
      changes: 'Adds a table for checksums of the blocks of each blob; those of earlier blobs are added when they are first read.',
      rewrites: [],
      runningServersGoOn: true,
    },
    async up(db: Kysely<unknown>): Promise<void> {
      await sql
        .raw(
          `create table blob_checksum (
            location_id ${int} primary key references blob_location on delete cascade,
            checksums ${bytes} not null
          ) ${end}`,
        )
        .execute(db)
      await sql.raw(`alter table upload_session add column checksums_so_far ${bytes}`).execute(db)
    },
  }
}

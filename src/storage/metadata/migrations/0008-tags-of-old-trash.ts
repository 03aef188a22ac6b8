import { sql, type Kysely } from 'kysely'
import type { DialectName } from '../statement.ts'
import type { MetadataMigration } from './migration.ts'

/*
 * Versions before 0005 noted of a tag that it was deleted, but not that it went to the trash with its image. By that a tag is
 * found again, and kept apart from those that were deleted alone, which can be undone. Beginning with the trash, so that the
 * work follows what lies there, however long the history of the tags is.
 */
const fill = `update tag_history set trash_batch = (
    select m.trash_batch from manifest m where m.repository_id = tag_history.repository_id and m.digest = tag_history.previous_digest
  ) where id in (
    select h.id from trashed_tag t
    cross join manifest m
    cross join tag_history h
    where m.id = t.manifest_id and m.trashed_at is not null and m.trash_batch is not null
      and h.repository_id = m.repository_id and h.name = t.name and h.changed_at = m.trashed_at
      and h.digest is null and h.previous_digest = m.digest and h.trash_batch is null
  )`

export function tagsOfOldTrash(_dialect: DialectName): MetadataMigration {
  return {
    description: {
      changes: 'Notes of the tags of images in the trash that earlier versions put there that they went with their images.',
      rewrites: ['trashed_tag'],
      runningServersGoOn: true,
    },
    async up(db: Kysely<unknown>): Promise<void> {
      await sql.raw(fill).execute(db)
    },
  }
}

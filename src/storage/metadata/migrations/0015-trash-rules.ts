import { sql, type Kysely } from 'kysely'
import type { MetadataMigration } from './migration.ts'

/* Which rule took an image to the trash: told to whoever wonders where it is. */
export function trashRules(): MetadataMigration {
  return {
    description: {
      changes: 'Adds to images in the trash which rule of a policy deleted them.',
      rewrites: [],
      runningServersGoOn: true,
    },
    async up(db: Kysely<unknown>): Promise<void> {
      await sql`alter table manifest add column trash_rule text`.execute(db)
    },
  }
}

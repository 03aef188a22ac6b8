import { sql, type Kysely } from 'kysely'
import type { DialectName } from '../statement.ts'
import { inDialect } from './dialect-words.ts'
import type { MetadataMigration } from './migration.ts'

/* What a rule has told of an image's end, beside what people tell. */
const statements = [
  `alter table image_retirement add column rule text`,
  `alter table image_retirement add column rule_action text`,
  `alter table image_retirement add column rule_until {int}`,
  // In which repository: evaluations ask whether there is any at all.
  `alter table image_retirement add column rule_repository_id {int}`,
  `create index image_retirement_by_rule on image_retirement (rule_repository_id) where rule_repository_id is not null`,
]

export function retirementByRule(dialect: DialectName): MetadataMigration {
  return {
    description: {
      changes: 'Adds to the retirement of images which rule announced it, and until when.',
      rewrites: [],
      // They would take a step into the archive for one into the trash, and cannot read policies that give notice.
      runningServersGoOn: false,
    },
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of statements) await sql.raw(inDialect(dialect, statement)).execute(db)
    },
  }
}

import { sql, type Kysely } from 'kysely'
import type { DialectName } from '../statement.ts'
import { inDialect } from './dialect-words.ts'
import type { MetadataMigration } from './migration.ts'

/* What somebody has bounded while servers run: one row for each repository, registry and account. */
const statements = [
  `create table quota (
    account_id {name} not null,
    region {name} not null,
    repository_id {int} not null,
    max_bytes {int},
    max_images {int},
    max_repositories {int},
    changed_at {int} not null,
    changed_by {name} not null,
    primary key (account_id, region, repository_id)
  ) {endKeyed}`,
  `create index quota_repository on quota (repository_id)`,
]

export function quotas(dialect: DialectName): MetadataMigration {
  return {
    description: {
      changes: 'Adds a table of quotas that are set while servers run. Servers of the version before do not ask it.',
      rewrites: [],
      runningServersGoOn: true,
    },
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of statements) await sql.raw(inDialect(dialect, statement)).execute(db)
    },
  }
}

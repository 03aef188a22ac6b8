import { sql, type Kysely } from 'kysely'
import type { DialectName } from '../statement.ts'
import { inDialect } from './dialect-words.ts'
import type { MetadataMigration } from './migration.ts'

/* The audit trail joins what a request changed with what the journal says of the request. */
const statements = [`create index audit_record_request on audit_record (request_id)`]

export function auditRequests(dialect: DialectName): MetadataMigration {
  return {
    description: {
      changes: 'Adds an index by which the audit trail finds what a request changed.',
      rewrites: ['audit_record'],
      runningServersGoOn: true,
    },
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of statements) await sql.raw(inDialect(dialect, statement)).execute(db)
    },
  }
}

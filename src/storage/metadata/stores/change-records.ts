import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/** What a command wrote down of a change, until the audit trail has it. */
export interface ChangeRow {
  readonly id: number
  readonly requestId: string
  readonly occurredAt: number
  readonly accountId: string
  readonly region: string
  readonly protocol: string
  readonly actor: string
  readonly action: string
  readonly resource: string
  readonly sourceIp: string
  readonly userAgent: string
  /** JSON. */
  readonly detail: string
}

const columns = [
  'audit_record.id as id',
  'audit_record.request_id as requestId',
  'audit_record.occurred_at as occurredAt',
  'audit_record.protocol as protocol',
  'audit_record.actor as actor',
  'audit_record.action as action',
  'audit_record.resource as resource',
  'audit_record.source_ip as sourceIp',
  'audit_record.user_agent as userAgent',
  'audit_record.detail as detail',
  'registry.account_id as accountId',
  'registry.region as region',
] as const

/** In one statement; SQLite takes 32,766 parameters. */
const maxIdsAtOnce = 500

/** Those of requests, in the order in which they were written. */
export async function findChangesOf(session: Session, requestIds: readonly string[]): Promise<ChangeRow[]> {
  const found: ChangeRow[] = []
  for (let at = 0; at < requestIds.length; at += maxIdsAtOnce) {
    const query = session.builder
      .selectFrom('audit_record')
      .innerJoin('registry', 'registry.id', 'audit_record.registry_id')
      .select(columns)
      .where('request_id', 'in', requestIds.slice(at, at + maxIdsAtOnce))
      .orderBy('audit_record.id')
    found.push(...(await session.query(query)))
  }
  return found
}

const oldest = statement<{ before: number; limit: number }>()((db, p) =>
  db
    .selectFrom('audit_record')
    .innerJoin('registry', 'registry.id', 'audit_record.registry_id')
    .select(columns)
    .where((eb) => eb.or([eb('protocol', '=', 'system'), eb('occurred_at', '<=', p.before)]))
    .orderBy('audit_record.id')
    .limit(p.limit),
)

/** Those of the server itself, and of requests that came before a time. */
export function findLoneChanges(session: Session, before: number, limit: number): Promise<ChangeRow[]> {
  return session.all(oldest, { before, limit })
}

export async function deleteChanges(tx: Session, ids: readonly number[]): Promise<void> {
  for (let at = 0; at < ids.length; at += maxIdsAtOnce) {
    await tx.query(tx.builder.deleteFrom('audit_record').where('id', 'in', ids.slice(at, at + maxIdsAtOnce)))
  }
}

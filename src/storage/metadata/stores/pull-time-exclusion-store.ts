import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

const page = statement<{ registryId: number; after: string; limit: number }>()((db, p) =>
  db
    .selectFrom('pull_time_exclusion')
    .select('principal_arn')
    .where('registry_id', '=', p.registryId)
    .where('principal_arn', '>', p.after)
    .orderBy('principal_arn')
    .limit(p.limit),
)

/** The ARNs of a registry's exclusions in their order, after `after`. */
export async function listPullTimeExclusions(
  session: Session,
  registryId: number,
  after: string,
  limit: number,
): Promise<string[]> {
  return (await session.all(page, { registryId, after, limit })).map((row) => row.principal_arn)
}

const every = statement<{ registryId: number }>()((db, p) =>
  db.selectFrom('pull_time_exclusion').select('principal_arn').where('registry_id', '=', p.registryId),
)

/** As many as the quota of exclusions lets there be. */
export async function everyPullTimeExclusion(session: Session, registryId: number): Promise<string[]> {
  return (await session.all(every, { registryId })).map((row) => row.principal_arn)
}

const insert = statement<{ registryId: number; principalArn: string; now: number }>()((db, p) =>
  db
    .insertInto('pull_time_exclusion')
    .values({ registry_id: p.registryId, principal_arn: p.principalArn, created_at: p.now })
    .onConflict((conflict) => conflict.doNothing()),
)

/** False when it is there already. */
export async function insertPullTimeExclusion(
  tx: Session,
  registryId: number,
  principalArn: string,
  now: number,
): Promise<boolean> {
  return (await tx.change(insert, { registryId, principalArn, now })) > 0
}

const remove = statement<{ registryId: number; principalArn: string }>()((db, p) =>
  db
    .deleteFrom('pull_time_exclusion')
    .where('registry_id', '=', p.registryId)
    .where('principal_arn', '=', p.principalArn),
)

/** False when there is none. */
export async function deletePullTimeExclusion(tx: Session, registryId: number, principalArn: string): Promise<boolean> {
  return (await tx.change(remove, { registryId, principalArn })) > 0
}

import type { Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

export type AccountRow = Selectable<Schema['account']>

const insert = statement<{ accountId: string; name: string; createdAt: number }>()((db, p) =>
  db
    .insertInto('account')
    .values({ account_id: p.accountId, name: p.name, created_at: p.createdAt })
    .onConflict((conflict) => conflict.doNothing())
    .returningAll(),
)

/** Undefined where there is an account of the id already. */
export function insertNamedAccount(
  tx: Session,
  account: { readonly accountId: string; readonly name: string; readonly createdAt: number },
): Promise<AccountRow | undefined> {
  return tx.first(insert, account)
}

const byId = statement<{ accountId: string }>()((db, p) =>
  db.selectFrom('account').selectAll().where('account_id', '=', p.accountId),
)

export function findAccountRow(session: Session, accountId: string): Promise<AccountRow | undefined> {
  return session.first(byId, { accountId })
}

const page = statement<{ after: string; limit: number }>()((db, p) =>
  db.selectFrom('account').selectAll().where('account_id', '>', p.after).orderBy('account_id').limit(p.limit),
)

/** In the order of their ids, after `after`. */
export function listAccountRows(session: Session, after: string, limit: number): Promise<AccountRow[]> {
  return session.all(page, { after, limit })
}

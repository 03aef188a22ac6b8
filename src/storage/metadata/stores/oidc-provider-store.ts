import type { Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement, type QueryBuilder } from '../statement.ts'

export type OidcProviderRow = Selectable<Schema['iam_oidc_provider']>

const ofUrl = (db: QueryBuilder, p: { accountId: string; url: string }) =>
  db.selectFrom('iam_oidc_provider').selectAll().where('account_id', '=', p.accountId).where('url', '=', p.url)

const byUrl = statement<{ accountId: string; url: string }>()((db, p) => ofUrl(db, p))

const lockedByUrl = statement<{ accountId: string; url: string }>()((db, p, dialect) =>
  ofUrl(db, p).$if(dialect === 'postgres', (query) => query.forNoKeyUpdate()),
)

/** `url` is without its scheme, as in the provider's ARN. */
export function findOidcProviderRow(session: Session, accountId: string, url: string): Promise<OidcProviderRow | undefined> {
  return session.first(byUrl, { accountId, url })
}

/** As `findOidcProviderRow`, locked for a change. */
export function lockOidcProviderRow(tx: Session, accountId: string, url: string): Promise<OidcProviderRow | undefined> {
  return tx.first(lockedByUrl, { accountId, url })
}

const ofAccount = statement<{ accountId: string }>()((db, p) =>
  db.selectFrom('iam_oidc_provider').selectAll().where('account_id', '=', p.accountId).orderBy('url'),
)

/** A hundred at most. */
export function oidcProvidersOf(session: Session, accountId: string): Promise<OidcProviderRow[]> {
  return session.all(ofAccount, { accountId })
}

const add = statement<Omit<OidcProviderRow, 'id'>>()((db, p) =>
  db
    .insertInto('iam_oidc_provider')
    .values({
      account_id: p.account_id,
      url: p.url,
      client_ids: p.client_ids,
      thumbprints: p.thumbprints,
      created_at: p.created_at,
    })
    .onConflict((conflict) => conflict.columns(['account_id', 'url']).doNothing())
    .returningAll(),
)

/** Undefined where the account has a provider of this URL. */
export function insertOidcProvider(tx: Session, row: Omit<OidcProviderRow, 'id'>): Promise<OidcProviderRow | undefined> {
  return tx.first(add, row)
}

const setLists = statement<{ id: number; clientIds: string; thumbprints: string }>()((db, p) =>
  db
    .updateTable('iam_oidc_provider')
    .set({ client_ids: p.clientIds, thumbprints: p.thumbprints })
    .where('id', '=', p.id),
)

export async function setOidcProviderLists(
  tx: Session,
  id: number,
  lists: { clientIds: readonly string[]; thumbprints: readonly string[] },
): Promise<void> {
  await tx.change(setLists, {
    id,
    clientIds: JSON.stringify(lists.clientIds),
    thumbprints: JSON.stringify(lists.thumbprints),
  })
}

const remove = statement<{ id: number }>()((db, p) => db.deleteFrom('iam_oidc_provider').where('id', '=', p.id))

export async function deleteOidcProviderRow(tx: Session, id: number): Promise<void> {
  await tx.change(remove, { id })
}

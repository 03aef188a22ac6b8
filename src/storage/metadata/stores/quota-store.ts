import type { Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement, type DialectName, type QueryBuilder } from '../statement.ts'

/*
 * Quotas that were set while servers run. The row of a quota is also what makes those wait for each other who take of its room: where
 * there is none, nobody waits.
 */

export type QuotaRow = Selectable<Schema['quota']>

/** Whose quota: a repository's; a registry's, with `repositoryId` 0; an account's over all regions, with an empty `region` too. */
export interface QuotaPlace {
  readonly accountId: string
  readonly region: string
  readonly repositoryId: number
}

/** The narrowest first: the order in which they are locked. */
const locked = (db: QueryBuilder, p: { accountId: string; region: string }, dialect: DialectName) =>
  db
    .selectFrom('quota')
    .selectAll()
    .where('account_id', '=', p.accountId)
    .where('region', 'in', ['', p.region])
    .orderBy('region', 'desc')
    .orderBy('repository_id', 'desc')
    .$if(dialect === 'postgres', (query) => query.forNoKeyUpdate())

const ofImages = statement<QuotaPlace>()((db, p, dialect) =>
  locked(db, p, dialect)
    .where('repository_id', 'in', [0, p.repositoryId])
    .where((eb) => eb.or([eb('max_bytes', 'is not', null), eb('max_images', 'is not', null)])),
)

/** What bounds the images and bytes of a repository: its own quota, its registry's and its account's. Locks them. */
export function lockImageQuotas(tx: Session, place: QuotaPlace): Promise<QuotaRow[]> {
  return tx.all(ofImages, place)
}

const ofRepositories = statement<{ accountId: string; region: string }>()((db, p, dialect) =>
  locked(db, p, dialect).where('repository_id', '=', 0).where('max_repositories', 'is not', null),
)

/** What bounds the number of repositories in a registry: its quota and its account's. Locks them. */
export function lockRepositoryQuotas(tx: Session, registry: { readonly accountId: string; readonly region: string }): Promise<QuotaRow[]> {
  return tx.all(ofRepositories, registry)
}

const at = statement<QuotaPlace>()((db, p) =>
  db.selectFrom('quota').selectAll().where('account_id', '=', p.accountId).where('region', '=', p.region).where('repository_id', '=', p.repositoryId),
)

export function findQuota(session: Session, place: QuotaPlace): Promise<QuotaRow | undefined> {
  return session.first(at, place)
}

const upsert = statement<QuotaRow>()((db, p) => {
  const { max_bytes, max_images, max_repositories, changed_at, changed_by } = p
  const values = { max_bytes, max_images, max_repositories, changed_at, changed_by }
  return db
    .insertInto('quota')
    .values({ account_id: p.account_id, region: p.region, repository_id: p.repository_id, ...values })
    .onConflict((conflict) => conflict.columns(['account_id', 'region', 'repository_id']).doUpdateSet(values))
})

/** Waits for whoever takes of the room that it bounds. */
export async function putQuotaRow(tx: Session, row: QuotaRow): Promise<void> {
  await tx.change(upsert, row)
}

const drop = statement<QuotaPlace>()((db, p) =>
  db.deleteFrom('quota').where('account_id', '=', p.accountId).where('region', '=', p.region).where('repository_id', '=', p.repositoryId),
)

export async function deleteQuotaRow(tx: Session, place: QuotaPlace): Promise<void> {
  await tx.change(drop, place)
}

export interface ListedQuota extends QuotaRow {
  /** Of a repository's. */
  readonly name: string | null
}

/**
 * In the order of their places, after one, `limit` at most: what bounds a registry, its account and its living repositories, or, with
 * neither, all registries and accounts that are bounded.
 */
export function listQuotaRows(
  session: Session,
  of: { readonly accountId: string; readonly region: string } | undefined,
  page: { readonly after: QuotaPlace | undefined; readonly limit: number },
): Promise<ListedQuota[]> {
  const { after } = page
  let rows = session.builder
    .selectFrom('quota')
    .leftJoin('repository', (join) => join.onRef('repository.id', '=', 'quota.repository_id').on('repository.trashed_at', 'is', null))
    .selectAll('quota')
    .select('repository.name as name')
    .where((eb) => eb.or([eb('quota.repository_id', '=', 0), eb('repository.id', 'is not', null)]))
    .orderBy('quota.account_id')
    .orderBy('quota.region')
    .orderBy('quota.repository_id')
    .limit(page.limit)
  rows = of === undefined ? rows.where('quota.repository_id', '=', 0) : rows.where('quota.account_id', '=', of.accountId).where('quota.region', 'in', ['', of.region])
  if (after !== undefined) {
    rows = rows.where((eb) => {
      const { accountId, region, repositoryId } = after
      const isSameAccount = eb('quota.account_id', '=', accountId)
      return eb.or([
        eb('quota.account_id', '>', accountId),
        eb.and([isSameAccount, eb('quota.region', '>', region)]),
        eb.and([isSameAccount, eb('quota.region', '=', region), eb('quota.repository_id', '>', repositoryId)]),
      ])
    })
  }
  return session.query(rows)
}

const repositoriesLocked = statement<{ registryId: number; after: number; limit: number }>()((db, p, dialect) =>
  db
    .selectFrom('repository')
    .select('id')
    .where('registry_id', '=', p.registryId)
    .where('trashed_at', 'is', null)
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit)
    .$if(dialect === 'postgres', (query) => query.forShare()),
)

/**
 * Some living repositories of a registry, those after one, in the order in which several are locked; locks each until the end, and so
 * waits for whoever is changing it. Returns the last one's number; undefined where there are no more.
 */
export async function outlastRepositoryChanges(tx: Session, page: { registryId: number; after: number; limit: number }): Promise<number | undefined> {
  return (await tx.all(repositoriesLocked, page)).at(-1)?.id
}

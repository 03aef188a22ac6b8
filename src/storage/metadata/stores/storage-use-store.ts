import { sql, type Expression, type ExpressionBuilder, type RawBuilder } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement, type DialectName, type QueryBuilder } from '../statement.ts'
import { contentBytesOf, type RepositoryRow } from './repository-store.ts'

/*
 * Who uses how much. What there is of living images is counted as they come and go (`repository.logical_bytes`); what of it others
 * have too is found when somebody asks.
 */

export interface RepositoryUse {
  readonly name: string
  readonly images: number
  /** Of living images, each with all its layers. */
  readonly logicalBytes: number
}

const ofRegistry = statement<{ registryId: number; after: string; limit: number }>()((db, p) =>
  db
    .selectFrom('repository')
    .select((eb) => {
      const living = eb.selectFrom('manifest').whereRef('manifest.repository_id', '=', 'repository.id').where('manifest.trashed_at', 'is', null)
      const counted = living.select((of) => of.fn.countAll<number>().as('images'))
      const bytes = living.select((of) => contentBytesOf(of as unknown as ExpressionBuilder<Schema, 'manifest'>).as('bytes'))
      return ['name', eb.fn.coalesce('image_count', counted, eb.lit(0)).as('images'), eb.fn.coalesce('logical_bytes', bytes, eb.lit(0)).as('logicalBytes')]
    })
    .where('registry_id', '=', p.registryId)
    .where('trashed_at', 'is', null)
    .where('name', '>', p.after)
    .orderBy('name')
    .limit(p.limit),
)

/** What the repositories of a registry use, in the order of their names. */
export function listRepositoryUse(session: Session, wanted: { registryId: number; after: string; limit: number }): Promise<RepositoryUse[]> {
  return session.all(ofRegistry, wanted)
}

const biggest = statement<{ registryId: number; limit: number }>()((db, p) =>
  db
    .selectFrom('repository')
    .select((eb) => ['name', eb.fn.coalesce('image_count', eb.lit(0)).as('images'), eb.fn.coalesce('logical_bytes', eb.lit(0)).as('logicalBytes')])
    .where('registry_id', '=', p.registryId)
    .where('trashed_at', 'is', null)
    .where('image_count', 'is not', null)
    .orderBy('logical_bytes', (order) => order.desc().nullsLast())
    .orderBy('name')
    .limit(p.limit),
)

/** The repositories of a registry that have the most bytes, without those whose sums nobody has made yet. Its cost grows with the registry's repositories. */
export function listBiggestRepositories(session: Session, registryId: number, limit: number): Promise<RepositoryUse[]> {
  return session.all(biggest, { registryId, limit })
}

const registries = statement()((db) => db.selectFrom('registry').select(['id', 'account_id as accountId', 'region']).orderBy('id'))

/** Every account in every region that has something. */
export function listRegistries(session: Session): Promise<{ id: number; accountId: string; region: string }[]> {
  return session.all(registries, {})
}

/** What living repositories have together. */
export interface TotalUse {
  readonly repositories: number
  /** Living manifests. */
  readonly images: number
  /** As `contentBytes` has them. */
  readonly bytes: number
}

const totals = (db: QueryBuilder) =>
  db
    .selectFrom('repository')
    .select((eb) => {
      const ofIt = eb.selectFrom('manifest').whereRef('manifest.repository_id', '=', 'repository.id').where('manifest.trashed_at', 'is', null)
      const images = ofIt.select((of) => of.fn.countAll<number>().as('images'))
      const bytes = ofIt.select((of) => contentBytesOf(of as unknown as ExpressionBuilder<Schema, 'manifest'>).as('bytes'))
      return [
        eb.fn.countAll<number>().as('repositories'),
        // PostgreSQL sums to a type of its own.
        eb.cast<number | null>(eb.fn.sum(eb.fn.coalesce('repository.image_count', images)), 'bigint').as('images'),
        eb.cast<number | null>(eb.fn.sum(eb.fn.coalesce('repository.logical_bytes', bytes)), 'bigint').as('bytes'),
      ]
    })
    .where('repository.trashed_at', 'is', null)

const ofOneRegistry = statement<{ registryId: number }>()((db, p) => totals(db).where('repository.registry_id', '=', p.registryId))

const ofAccount = statement<{ accountId: string }>()((db, p) =>
  totals(db).where('repository.registry_id', 'in', db.selectFrom('registry').select('registry.id').where('registry.account_id', '=', p.accountId)),
)

/** What a registry has. Its cost grows with its repositories. */
export async function useOfRegistry(session: Session, registryId: number): Promise<TotalUse> {
  return totalOf(await session.first(ofOneRegistry, { registryId }))
}

/** What an account has in all its regions. Its cost grows with its repositories. */
export async function useOfAccount(session: Session, accountId: string): Promise<TotalUse> {
  return totalOf(await session.first(ofAccount, { accountId }))
}

function totalOf(sums: { repositories: number; images: number | null; bytes: number | null } | undefined): TotalUse {
  return { repositories: sums?.repositories ?? 0, images: sums?.images ?? 0, bytes: sums?.bytes ?? 0 }
}

export interface StatesUse {
  readonly activeBytes: number
  readonly archivedBytes: number
  readonly trashedImages: number
  readonly trashedBytes: number
}

const byState = statement<{ repositoryId: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .select((eb) => [
      eb.case().when('trashed_at', 'is not', null).then('trashed').when('storage_class', '=', 'active').then('active').else('archived').end().as('state'),
      eb.fn.countAll<number>().as('images'),
      contentBytesOf(eb).as('bytes'),
    ])
    .where('repository_id', '=', p.repositoryId)
    .groupBy('state'),
)

/** What of a repository is in use, archived and in the trash. Its cost grows with its images. */
export async function usesByState(session: Session, repositoryId: number): Promise<StatesUse> {
  const rows = new Map((await session.all(byState, { repositoryId })).map((row) => [row.state, row]))
  const bytesOf = (state: 'active' | 'archived' | 'trashed'): number => rows.get(state)?.bytes ?? 0
  return { activeBytes: bytesOf('active'), archivedBytes: bytesOf('archived'), trashedImages: rows.get('trashed')?.images ?? 0, trashedBytes: bytesOf('trashed') }
}

/** Of the blobs of some images, each counted once. */
export interface BlobShares {
  readonly blobs: number
  readonly bytes: number
  /** Of those that other images of the account name too, in the trash as well: they stay when these go. */
  readonly sharedBytes: number
}

type Place = Pick<RepositoryRow, 'id' | 'registry_id' | 'domain_id'>

/** What all images of a repository have, in the trash too, and what of it other repositories of the account have as well. */
export function sharesOfRepository(session: Session, place: Place): Promise<BlobShares> {
  return shares(session, place, (db) => db.selectFrom('manifest').select('manifest.id as id').where('manifest.repository_id', '=', place.id))
}

/** What some images of a repository have, however many, and what of it others of the account have as well. */
export function sharesOfManifests(session: Session, place: Place, ids: readonly number[]): Promise<BlobShares> {
  return shares(session, place, () => listed(session.dialect, ids))
}

/** Numbers as rows: there may be more of them than a statement takes parameters. */
function listed(dialect: DialectName, ids: readonly number[]): RawBuilder<{ id: number }> {
  return dialect === 'sqlite' ? sql<{ id: number }>`(select value as id from json_each(${JSON.stringify(ids)}))` : sql<{ id: number }>`(select unnest(${ids}::bigint[]) as id)`
}

async function shares(session: Session, { registry_id: registryId, domain_id: domainId }: Place, going: (db: QueryBuilder) => Expression<{ id: number }>): Promise<BlobShares> {
  const [sums] = await session.query(
    session.builder
      .with('going', (db) => going(db as unknown as QueryBuilder))
      .with('named', (db) =>
        db
          .selectFrom('going')
          .innerJoin('manifest_reference as edge', 'edge.manifest_id', 'going.id')
          .innerJoin('blob', 'blob.digest', 'edge.digest')
          .select((eb) => ['edge.digest as digest', 'blob.size_bytes as sizeBytes', eb.fn.countAll<number>().as('times')])
          .where('edge.kind', '=', 'blob')
          .where('blob.domain_id', '=', domainId)
          .groupBy(['edge.digest', 'blob.size_bytes']),
      )
      .selectFrom('named')
      .select((eb) => {
        // Of this account alone: what others have is not theirs to know who ask. Where it is named more often than by these, it stays.
        const ofAll = eb
          .selectFrom('manifest_reference as other')
          .innerJoin('repository', 'repository.id', 'other.repository_id')
          .innerJoin('registry', 'registry.id', 'repository.registry_id')
          .select((of) => of.fn.countAll<number>().as('times'))
          .whereRef('other.digest', '=', 'named.digest')
          .where('other.kind', '=', 'blob')
          .where('registry.account_id', '=', (of) => of.selectFrom('registry as own').select('own.account_id').where('own.id', '=', registryId))
        const shared = eb.case().when(eb('named.times', '<', ofAll)).then(eb.ref('named.sizeBytes')).else(sql<number>`0`).end()
        return [
          eb.fn.countAll<number>().as('blobs'),
          // PostgreSQL sums to a type of its own.
          eb.cast<number | null>(eb.fn.sum('named.sizeBytes'), 'bigint').as('bytes'),
          eb.cast<number | null>(eb.fn.sum(shared), 'bigint').as('sharedBytes'),
        ]
      }),
  )
  return sharesOf(sums)
}

function sharesOf(sums: { blobs: number; bytes: number | null; sharedBytes: number | null } | undefined): BlobShares {
  return { blobs: sums?.blobs ?? 0, bytes: sums?.bytes ?? 0, sharedBytes: sums?.sharedBytes ?? 0 }
}

const repositoriesOf = statement<{ accountId: string; after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('repository')
    .innerJoin('registry', 'registry.id', 'repository.registry_id')
    .select(['repository.id as id', 'repository.domain_id as domainId'])
    .where('registry.account_id', '=', p.accountId)
    .where('repository.id', '>', p.after)
    .orderBy('repository.id')
    .limit(p.limit),
)

/** Repositories of an account, in the trash too, by their numbers after one, `limit` at most. */
export function listRepositoriesOfAccount(session: Session, page: { accountId: string; after: number; limit: number }): Promise<{ id: number; domainId: number }[]> {
  return session.all(repositoriesOf, page)
}

const firstHere = statement<{ accountId: string; repositoryId: number; domainId: number }>()((db, p) =>
  db
    .with('named', (from) =>
      from
        .selectFrom('manifest')
        .innerJoin('manifest_reference as edge', 'edge.manifest_id', 'manifest.id')
        .innerJoin('blob', 'blob.digest', 'edge.digest')
        .select(['edge.digest as digest', 'blob.size_bytes as sizeBytes'])
        .distinct()
        .where('manifest.repository_id', '=', p.repositoryId)
        .where('edge.kind', '=', 'blob')
        .where('blob.domain_id', '=', p.domainId),
    )
    .selectFrom('named')
    .select((eb) => {
      const isIn = (side: '<' | '>') =>
        eb.exists(
          eb
            .selectFrom('manifest_reference as other')
            .innerJoin('repository', 'repository.id', 'other.repository_id')
            .innerJoin('registry', 'registry.id', 'repository.registry_id')
            .select('other.manifest_id')
            .whereRef('other.digest', '=', 'named.digest')
            .where('other.kind', '=', 'blob')
            .where('other.repository_id', side, p.repositoryId)
            .where('registry.account_id', '=', p.accountId),
        )
      const none = sql<number>`0`
      const isFirst = eb.not(isIn('<'))
      const first = eb.case().when(isFirst).then(eb.ref('named.sizeBytes')).else(none).end()
      const shared = eb.case().when(eb.and([isFirst, isIn('>')])).then(eb.ref('named.sizeBytes')).else(none).end()
      return [
        eb.cast<number | null>(eb.fn.sum(eb.case().when(isFirst).then(sql<number>`1`).else(none).end()), 'bigint').as('blobs'),
        eb.cast<number | null>(eb.fn.sum(first), 'bigint').as('bytes'),
        eb.cast<number | null>(eb.fn.sum(shared), 'bigint').as('sharedBytes'),
      ]
    }),
)

/**
 * Of the blobs of a repository those that no repository of its account with a lower number has: added up over all repositories each
 * blob is counted once. `sharedBytes` are of those that others have too.
 */
export async function sharesFirstIn(session: Session, of: { accountId: string; repositoryId: number; domainId: number }): Promise<BlobShares> {
  const sums = await session.first(firstHere, of)
  return sharesOf(sums && { ...sums, blobs: sums.blobs ?? 0 })
}

import { sql, type Expression, type ExpressionBuilder } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement, type QueryBuilder } from '../statement.ts'
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
  /** Of those that other images of the registry name too, in the trash as well: they stay when these go. */
  readonly sharedBytes: number
}

type Place = Pick<RepositoryRow, 'id' | 'registry_id' | 'domain_id'>

/** What all images of a repository have, in the trash too, and what of it other repositories of the registry have as well. */
export function sharesOfRepository(session: Session, { id, registry_id: registryId, domain_id: domainId }: Place): Promise<BlobShares> {
  return shares(session, {
    registryId,
    domainId,
    isOwn: (eb) => eb('edge.repository_id', '=', id),
    isAnother: (eb) => eb('other.repository_id', '!=', id),
  })
}

/** What some images of a repository have, and what of it others of the registry have as well. */
export function sharesOfManifests(session: Session, { registry_id: registryId, domain_id: domainId }: Place, ids: readonly number[]): Promise<BlobShares> {
  return shares(session, {
    registryId,
    domainId,
    isOwn: (eb) => eb('edge.manifest_id', 'in', ids),
    isAnother: (eb) => eb('other.manifest_id', 'not in', ids),
  })
}

interface Edge {
  edge: Schema['manifest_reference']
}
interface Other {
  other: Schema['manifest_reference']
}

async function shares(
  session: Session,
  of: {
    readonly registryId: number
    readonly domainId: number
    readonly isOwn: (eb: ExpressionBuilder<Edge, 'edge'>) => Expression<unknown>
    readonly isAnother: (eb: ExpressionBuilder<Other, 'other'>) => Expression<unknown>
  },
): Promise<BlobShares> {
  const [sums] = await session.query(
    session.builder
      .selectFrom((from) =>
        from
          .selectFrom('manifest_reference as edge')
          .innerJoin('blob', 'blob.digest', 'edge.digest')
          .select(['blob.id', 'blob.digest', 'blob.size_bytes'])
          .distinct()
          .where('blob.domain_id', '=', of.domainId)
          .where('edge.kind', '=', 'blob')
          .where((eb) => of.isOwn(eb as unknown as ExpressionBuilder<Edge, 'edge'>) as Expression<boolean>)
          .as('named'),
      )
      .select((eb) => {
        // Of this registry alone: what other accounts have is not theirs to know who ask.
        const isShared = eb.exists(
          eb
            .selectFrom('manifest_reference as other')
            .innerJoin('repository', 'repository.id', 'other.repository_id')
            .select('other.manifest_id')
            .whereRef('other.digest', '=', 'named.digest')
            .where('other.kind', '=', 'blob')
            .where('repository.registry_id', '=', of.registryId)
            .where((where) => of.isAnother(where as unknown as ExpressionBuilder<Other, 'other'>) as Expression<boolean>),
        )
        const shared = eb.case().when(isShared).then(eb.ref('named.size_bytes')).else(sql<number>`0`).end()
        return [
          eb.fn.countAll<number>().as('blobs'),
          // PostgreSQL sums to a type of its own.
          eb.cast<number | null>(eb.fn.sum('named.size_bytes'), 'bigint').as('bytes'),
          eb.cast<number | null>(eb.fn.sum(shared), 'bigint').as('sharedBytes'),
        ]
      }),
  )
  return { blobs: sums?.blobs ?? 0, bytes: sums?.bytes ?? 0, sharedBytes: sums?.sharedBytes ?? 0 }
}

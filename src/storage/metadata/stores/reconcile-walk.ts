import { sql } from 'kysely'
import { digestFromBytes, type Digest } from '../../../values/digest.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/*
 * What the comparison of store and database asks, page by page in the order of keys: each page costs the page. A page is known
 * by its last key; what of it is wanting is asked for apart, so that the walk goes on also where nothing is.
 */

/** The `state` of a location, written into statements. */
const deleting = sql.lit('deleting')

/** Which of the keys of a store some location has, whatever its state. */
export async function locatedKeys(session: Session, store: string, keys: readonly string[]): Promise<Set<string>> {
  if (keys.length === 0) return new Set()
  const rows = await session.query(session.builder.selectFrom('blob_location').select('key').where('store', '=', store).where('key', 'in', keys))
  return new Set(rows.map(({ key }) => key))
}

export interface ReconciledLocation {
  readonly id: number
  readonly store: string
  readonly key: string
  readonly state: string
  readonly digest: Digest
  readonly sizeBytes: number
  /** Going, and nothing will see to it. */
  readonly isForgotten: boolean
}

const locations = statement<{ after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('blob_location')
    .innerJoin('blob', 'blob.id', 'blob_location.blob_id')
    .select((eb) => [
      ...(['blob_location.id', 'blob_location.store', 'blob_location.key', 'blob_location.state', 'blob.digest', 'blob.size_bytes as sizeBytes'] as const),
      eb
        .selectFrom('review')
        .select('review.id')
        .where('review.kind', '=', 'location')
        .whereRef('review.subject_id', '=', 'blob_location.id')
        .where('review.repository_id', '=', 0)
        .as('reviewId'),
    ])
    .where('blob_location.id', '>', p.after)
    .orderBy('blob_location.id')
    .limit(p.limit),
)

/** Locations after the given one. */
export async function reconciledLocations(session: Session, after: number, limit: number): Promise<ReconciledLocation[]> {
  const rows = await session.all(locations, { after, limit })
  return rows.map(({ digest, reviewId, ...row }) => ({ ...row, digest: digestFromBytes(digest), isForgotten: row.state === 'deleting' && reviewId === null }))
}

const blobPage = statement<{ after: number; limit: number }>()((db, p) =>
  db.selectFrom('blob').select('id').where('id', '>', p.after).orderBy('id').limit(p.limit),
)

const forgottenBlobs = statement<{ after: number; last: number }>()((db, p) =>
  db
    .selectFrom('blob')
    .select('blob.id')
    .where('blob.id', '>', p.after)
    .where('blob.id', '<=', p.last)
    .where((eb) => eb.not(eb.exists(eb.selectFrom('repository_blob').select('repository_blob.blob_id').whereRef('repository_blob.blob_id', '=', 'blob.id'))))
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('manifest_reference')
            .innerJoin('repository', 'repository.id', 'manifest_reference.repository_id')
            .select('manifest_reference.manifest_id')
            .whereRef('manifest_reference.digest', '=', 'blob.digest')
            .where('manifest_reference.kind', '=', 'blob')
            .whereRef('repository.domain_id', '=', 'blob.domain_id'),
        ),
      ),
    )
    .where((eb) =>
      eb.not(
        eb.exists(
          eb.selectFrom('review').select('review.id').where('review.kind', '=', 'blob').whereRef('review.subject_id', '=', 'blob.id').where('review.repository_id', '=', 0),
        ),
      ),
    )
    // Once it is going, the review of its place is what sees to it.
    .where((eb) =>
      eb.not(
        eb.exists(
          eb.selectFrom('blob_location').select('blob_location.id').whereRef('blob_location.blob_id', '=', 'blob.id').where('blob_location.state', '=', deleting),
        ),
      ),
    ),
)

/** A page that was walked. */
export interface WalkedPage<Key, Found> {
  /** Undefined at the end. */
  readonly last: Key | undefined
  readonly count: number
  readonly found: readonly Found[]
}

/** Blobs that nobody sees, nothing names and no review will look at. */
export async function walkForgottenBlobs(session: Session, after: number, limit: number): Promise<WalkedPage<number, number>> {
  const page = await session.all(blobPage, { after, limit })
  const last = page.at(-1)?.id
  const found = last === undefined ? [] : await session.all(forgottenBlobs, { after, last })
  return { last, count: page.length, found: found.map(({ id }) => id) }
}

export interface Sight {
  readonly repositoryId: number
  readonly blobId: number
}

const sights = statement<Sight & { limit: number }>()((db, p) =>
  db
    .selectFrom('repository_blob')
    .select(['repository_id as repositoryId', 'blob_id as blobId'])
    .where((eb) => eb(eb.refTuple('repository_id', 'blob_id'), '>', eb.tuple(p.repositoryId, p.blobId)))
    .orderBy('repository_id')
    .orderBy('blob_id')
    .limit(p.limit),
)

const forgottenSights = statement<{ repositoryId: number; first: number; last: number }>()((db, p) =>
  db
    .selectFrom('repository_blob')
    .innerJoin('blob', 'blob.id', 'repository_blob.blob_id')
    .select('repository_blob.blob_id as blobId')
    .where('repository_blob.repository_id', '=', p.repositoryId)
    .where('repository_blob.blob_id', '>=', p.first)
    .where('repository_blob.blob_id', '<=', p.last)
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('manifest_reference')
            .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
            .select('manifest_reference.manifest_id')
            .whereRef('manifest_reference.digest', '=', 'blob.digest')
            .where('manifest_reference.repository_id', '=', p.repositoryId)
            .where('manifest_reference.kind', '!=', 'foreign')
            .where('manifest.trashed_at', 'is', null)
            .where('manifest.storage_class', '=', 'active'),
        ),
      ),
    )
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('review')
            .select('review.id')
            .where('review.kind', '=', 'repository-blob')
            .whereRef('review.subject_id', '=', 'blob.id')
            .where('review.repository_id', '=', p.repositoryId),
        ),
      ),
    ),
)

/** Repositories' sights of blobs that none of their living images uses and no review will look at. */
export async function walkForgottenSights(session: Session, after: Sight, limit: number): Promise<WalkedPage<Sight, Sight>> {
  const page = await session.all(sights, { ...after, limit })
  const found: Sight[] = []
  for (const [repositoryId, ofOne] of Map.groupBy(page, (sight) => sight.repositoryId)) {
    const ids = ofOne.map(({ blobId }) => blobId)
    const rows = await session.all(forgottenSights, { repositoryId, first: ids[0]!, last: ids.at(-1)! })
    found.push(...rows.map(({ blobId }) => ({ repositoryId, blobId })))
  }
  return { last: page.at(-1), count: page.length, found }
}

export interface ForgottenTrash {
  readonly id: number
  readonly repositoryId: number
  readonly purgeAfter: number
}

const manifestPage = statement<{ after: number; limit: number }>()((db, p) =>
  db.selectFrom('manifest').select('id').where('id', '>', p.after).orderBy('id').limit(p.limit),
)

const forgottenManifests = statement<{ after: number; last: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .select(['id', 'repository_id as repositoryId', (eb) => eb.fn.coalesce('purge_after', 'trashed_at').$castTo<number>().as('purgeAfter')])
    .where('id', '>', p.after)
    .where('id', '<=', p.last)
    .where('trashed_at', 'is not', null)
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('review')
            .select('review.id')
            .where('review.kind', '=', 'manifest')
            .whereRef('review.subject_id', '=', 'manifest.id')
            .whereRef('review.repository_id', '=', 'manifest.repository_id'),
        ),
      ),
    ),
)

/** Images in the trash that no review will look at. */
export async function walkForgottenManifests(session: Session, after: number, limit: number): Promise<WalkedPage<number, ForgottenTrash>> {
  const page = await session.all(manifestPage, { after, limit })
  const last = page.at(-1)?.id
  return { last, count: page.length, found: last === undefined ? [] : await session.all(forgottenManifests, { after, last }) }
}

const repositories = statement<{ after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('repository')
    .select((eb) => [
      'id',
      'trashed_at as trashedAt',
      'purge_after as purgeAfter',
      eb
        .selectFrom('review')
        .select('review.id')
        .where('review.kind', '=', 'repository')
        .whereRef('review.subject_id', '=', 'repository.id')
        .limit(1)
        .as('reviewId'),
      eb.selectFrom('manifest').select('manifest.id').whereRef('manifest.repository_id', '=', 'repository.id').limit(1).as('manifestId'),
      eb.selectFrom('repository_blob').select('repository_blob.blob_id').whereRef('repository_blob.repository_id', '=', 'repository.id').limit(1).as('blobId'),
    ])
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit),
)

/** Deleted repositories that still have something and that no review will look at. */
export async function walkForgottenRepositories(session: Session, after: number, limit: number): Promise<WalkedPage<number, ForgottenTrash>> {
  const page = await session.all(repositories, { after, limit })
  const found = page.flatMap(({ id, trashedAt, purgeAfter, reviewId, manifestId, blobId }) =>
    trashedAt !== null && reviewId === null && (manifestId !== null || blobId !== null) ? [{ id, repositoryId: id, purgeAfter: purgeAfter ?? trashedAt }] : [],
  )
  return { last: page.at(-1)?.id, count: page.length, found }
}

import { sql, type SqlBool } from 'kysely'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'
import { blobPromiseMs, type ReviewKind } from './review-queue.ts'
import type { RepositoryRow } from './repository-store.ts'

/*
 * What collection would take by a time, asked without changing or locking anything.
 */

const deleting = sql.lit('deleting')

/** Of a repository in the statement: nothing is removed from its registry automatically. Holds of one source's repositories are not asked for. */
const isOnHold = sql<SqlBool>`exists (select 1 from registry_hold where registry_hold.registry_id = repository.registry_id and registry_hold.released_at is null and registry_hold.source_id is null)`

export interface ForecastReview {
  readonly id: number
  readonly dueAt: number
  readonly repositoryId: number
  readonly subjectId: number
}

const due = statement<{ kind: string; until: number; dueAt: number; id: number; limit: number }>()((db, p) =>
  db
    .selectFrom('review')
    .select(['id', 'due_at as dueAt', 'repository_id as repositoryId', 'subject_id as subjectId'])
    .where('kind', '=', p.kind)
    .where('due_at', '<=', p.until)
    .where((eb) => eb(eb.refTuple('due_at', 'id'), '>', eb.tuple(p.dueAt, p.id)))
    .where('due_at', '>=', p.dueAt)
    .orderBy('due_at')
    .orderBy('id')
    .limit(p.limit),
)

/** Reviews of a kind that are due by a time, after the given one. */
export function reviewsUntil(session: Session, page: { kind: ReviewKind; until: number; after: { dueAt: number; id: number }; limit: number }): Promise<ForecastReview[]> {
  return session.all(due, { kind: page.kind, until: page.until, ...page.after, limit: page.limit })
}

/** Repositories by their numbers, trashed or not. */
export function repositoriesById(session: Session, ids: readonly number[]): Promise<RepositoryRow[]> {
  return ids.length === 0 ? Promise.resolve([]) : session.query(session.builder.selectFrom('repository').selectAll().where('id', 'in', ids))
}

/** In the order of their digests, which an index has. */
const manifestsIn = statement<{ repositoryId: number; after: Uint8Array; limit: number }>()((db, p) =>
  db.selectFrom('manifest').select(['id', 'digest']).where('repository_id', '=', p.repositoryId).where('digest', '>', p.after).orderBy('digest').limit(p.limit),
)

/** Manifests of a repository whatever their state, after the given digest; at first an empty one. */
export function manifestsOfRepository(session: Session, page: { repositoryId: number; after: Uint8Array; limit: number }): Promise<{ id: number; digest: Uint8Array }[]> {
  return session.all(manifestsIn, page)
}

export interface ForecastBlob {
  readonly id: number
  /** On the disk, of the places that are not going already. */
  readonly storedBytes: number
}

/**
 * Of the blobs those that nothing will need by then: every image that names them lies in the trash, itself or with its
 * repository, until then at the longest, and every repository that sees them is in the trash so, or is to be looked at by
 * then. Images of registries that are on hold stay.
 */
export async function blobsGoing(session: Session, blobIds: readonly number[], until: number): Promise<ForecastBlob[]> {
  if (blobIds.length === 0) return []
  const rows = await session.query(
    session.builder
      .selectFrom('blob')
      .select((eb) => [
        'blob.id',
        eb
          .selectFrom('blob_location')
          .select((location) => location.cast<number | null>(location.fn.sum(location.fn.coalesce('blob_location.stored_size_bytes', 'blob.size_bytes')), 'bigint').as('bytes'))
          .whereRef('blob_location.blob_id', '=', 'blob.id')
          .where('blob_location.state', '!=', deleting)
          .as('storedBytes'),
      ])
      .where('blob.id', 'in', blobIds)
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('manifest_reference')
              .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
              .innerJoin('repository', 'repository.id', 'manifest.repository_id')
              .select('manifest.id')
              .whereRef('manifest_reference.digest', '=', 'blob.digest')
              .where('manifest_reference.kind', '=', 'blob')
              .whereRef('repository.domain_id', '=', 'blob.domain_id')
              .where((stays) =>
                stays.or([
                  stays.and([
                    // As `endOfTrash` has it.
                    stays.or([
                      stays('manifest.trashed_at', 'is', null),
                      stays('manifest.purge_after', '>', until),
                      stays('manifest.trashed_at', '>', until - blobPromiseMs),
                    ]),
                    stays.or([stays('repository.trashed_at', 'is', null), stays('repository.purge_after', '>', until)]),
                  ]),
                  isOnHold,
                ]),
              ),
          ),
        ),
      )
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('repository_blob')
              .innerJoin('repository', 'repository.id', 'repository_blob.repository_id')
              .select('repository_blob.blob_id')
              .whereRef('repository_blob.blob_id', '=', 'blob.id')
              .where((stays) =>
                stays.or([
                  stays.and([
                    stays.or([stays('repository.trashed_at', 'is', null), stays('repository.purge_after', '>', until)]),
                    stays.not(
                      stays.exists(
                        stays
                          .selectFrom('review')
                          .select('review.id')
                          .where('review.kind', '=', 'repository-blob')
                          .whereRef('review.subject_id', '=', 'blob.id')
                          .whereRef('review.repository_id', '=', 'repository_blob.repository_id')
                          .where('review.due_at', '<=', until),
                      ),
                    ),
                  ]),
                  isOnHold,
                ]),
              ),
          ),
        ),
      ),
  )
  return rows.map(({ id, storedBytes }) => ({ id, storedBytes: storedBytes ?? 0 }))
}

import type { Session } from '../session.ts'
import { statement } from '../statement.ts'
import { blobPromiseMs } from './review-queue.ts'

/*
 * What takes manifests away for good whose time in the trash is over; of blobs see blob-removal.ts.
 */

/** Rows that hang from a manifest, which go before it. */
const parts = ['manifest_payload', 'manifest_pull', 'manifest_reference', 'trashed_tag', 'manifest_label', 'image_retirement'] as const

export interface PurgeableRow {
  readonly id: number
  readonly digest: Uint8Array
  readonly trashBatch: string | null
  readonly purgeAfter: number
}

/** Of the manifests those that lie in the trash, with when they may go. */
export async function trashedAmong(session: Session, repositoryId: number, ids: readonly number[]): Promise<PurgeableRow[]> {
  const rows = await session.query(
    session.builder
      .selectFrom('manifest')
      .select(['id', 'digest', 'trash_batch as trashBatch', 'purge_after as purgeAfter', 'trashed_at as trashedAt'])
      .where('repository_id', '=', repositoryId)
      .where('id', 'in', ids)
      .where('trashed_at', 'is not', null),
  )
  return rows.flatMap(({ purgeAfter, trashedAt, ...row }) =>
    trashedAt === null ? [] : [{ ...row, purgeAfter: endOfTrash({ purgeAfter, trashedAt }) }],
  )
}

/**
 * When an image in the trash may go: when its time there is over, but not before every promise of a blob has passed that a pusher
 * was given while the image was there. Its row is what lets such a push name a blob that the repository sees no more.
 */
export function endOfTrash({ purgeAfter, trashedAt }: { readonly purgeAfter: number | null; readonly trashedAt: number }): number {
  return Math.max(purgeAfter ?? trashedAt, trashedAt + blobPromiseMs)
}

/** In the order of an index: sorted otherwise, the end of a big repository would cost the square of what is in it. */
const some = statement<{ repositoryId: number; limit: number }>()((db, p) =>
  db.selectFrom('manifest').select('id').where('repository_id', '=', p.repositoryId).orderBy('digest').limit(p.limit),
)

/** Some manifests of a repository, whatever their state. */
export async function someManifests(session: Session, repositoryId: number, limit: number): Promise<number[]> {
  return (await session.all(some, { repositoryId, limit })).map(({ id }) => id)
}

/** The blobs that manifests name, of those their domain knows. */
export async function blobsNamedBy(session: Session, ids: readonly number[]): Promise<number[]> {
  const rows = await session.query(
    session.builder
      .selectFrom('manifest_reference as edge')
      .innerJoin('repository', 'repository.id', 'edge.repository_id')
      .innerJoin('blob', (join) => join.onRef('blob.digest', '=', 'edge.digest').onRef('blob.domain_id', '=', 'repository.domain_id'))
      .select('blob.id')
      .distinct()
      .where('edge.manifest_id', 'in', ids)
      .where('edge.kind', '!=', 'manifest'),
  )
  return rows.map(({ id }) => id)
}

/** Takes manifests away with all that hangs from them, tags too. */
export async function removeManifests(tx: Session, ids: readonly number[]): Promise<void> {
  for (const table of parts) await tx.query(tx.builder.deleteFrom(table).where('manifest_id', 'in', ids))
  await tx.query(tx.builder.deleteFrom('tag').where('manifest_id', 'in', ids))
  await tx.query(tx.builder.deleteFrom('manifest').where('id', 'in', ids))
}

const stillInBatch = statement<{ batch: string }>()((db, p) => db.selectFrom('manifest').select('id').where('trash_batch', '=', p.batch).limit(1))

const purged = statement<{ batch: string; now: number }>()((db, p) =>
  db.updateTable('trash_batch').set({ purged_at: p.now }).where('id', '=', p.batch).where('purged_at', 'is', null),
)

/** Notes of a batch that it cannot come back any more. */
export async function markPurged(tx: Session, batch: string, now: number): Promise<void> {
  await tx.change(purged, { batch, now })
}

/** Notes of a batch that nothing of it is left, where that is so. */
export async function notePurged(tx: Session, batch: string, now: number): Promise<void> {
  if ((await tx.first(stillInBatch, { batch })) === undefined) await tx.change(purged, { batch, now })
}

const allPurged = statement<{ repositoryId: number; now: number }>()((db, p) =>
  db
    .updateTable('trash_batch')
    .set({ purged_at: p.now })
    .where('repository_id', '=', p.repositoryId)
    .where('purged_at', 'is', null)
    .where('restored_at', 'is', null),
)

/** Notes of a repository that is gone that nothing of its batches is left, its own and those of images deleted before. */
export async function noteAllPurged(tx: Session, repositoryId: number, now: number): Promise<void> {
  await tx.change(allPurged, { repositoryId, now })
}

/** Rows of a repository that say what holds for it; what happened in it, its history and events, stays. */
const settings = ['resource_tag', 'repository_policy', 'lifecycle_state', 'protection', 'lifecycle_preview', 'lifecycle_policy', 'quota'] as const

/** Takes the settings of a repository away that will not come back, and ends the runs that wait for somebody. */
export async function removeSettings(tx: Session, repositoryId: number, now: number): Promise<void> {
  const previews = tx.builder.selectFrom('lifecycle_preview').select('id').where('repository_id', '=', repositoryId)
  await tx.query(tx.builder.deleteFrom('lifecycle_preview_page').where('preview_id', 'in', previews))
  const policies = tx.builder.selectFrom('lifecycle_policy').select('id').where('repository_id', '=', repositoryId)
  await tx.query(tx.builder.deleteFrom('lifecycle_policy_version').where('policy_id', 'in', policies))
  const over = { status: 'cancelled', finished_at: now }
  await tx.query(tx.builder.updateTable('lifecycle_run').set(over).where('repository_id', '=', repositoryId).where('finished_at', 'is', null))
  for (const table of settings) await tx.query(tx.builder.deleteFrom(table).where('repository_id', '=', repositoryId))
}

const seen = statement<{ repositoryId: number; limit: number }>()((db, p) =>
  db.selectFrom('repository_blob').select('blob_id as id').where('repository_id', '=', p.repositoryId).limit(p.limit),
)

/** Some blobs that a repository sees. */
export async function someVisibleBlobs(session: Session, repositoryId: number, limit: number): Promise<number[]> {
  return (await session.all(seen, { repositoryId, limit })).map(({ id }) => id)
}

export interface DoomedLocation {
  readonly id: number
  readonly blobId: number
  readonly key: string
  readonly state: string
  readonly sizeBytes: number
}

/** Those of the places that are known. */
export function findLocations(session: Session, ids: readonly number[]): Promise<DoomedLocation[]> {
  return session.query(
    session.builder
      .selectFrom('blob_location')
      .innerJoin('blob', 'blob.id', 'blob_location.blob_id')
      .select(['blob_location.id', 'blob_id as blobId', 'key', 'state', 'size_bytes as sizeBytes'])
      .where('blob_location.id', 'in', ids),
  )
}

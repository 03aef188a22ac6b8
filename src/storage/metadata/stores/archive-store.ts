import { sql } from 'kysely'
import { digestFromBytes, digestToBytes, type Digest } from '../../../values/digest.ts'
import type { Session } from '../session.ts'
import { statement, type QueryBuilder } from '../statement.ts'

/*
 * The archive: which images are in it, and where the bytes of blobs are and should be.
 */

/** Written into statements: only so does the planner see that a partial index fits. */
const active = sql.lit('active')
const activating = sql.lit('activating')

const archive = statement<{ id: number; now: number }>()((db, p) =>
  db.updateTable('manifest').set({ storage_class: 'archived', last_archived_at: p.now }).where('id', '=', p.id),
)

export async function archiveManifestRow(tx: Session, image: { id: number; now: number }): Promise<void> {
  await tx.change(archive, image)
}

const beginActivation = statement<{ id: number }>()((db, p) =>
  db.updateTable('manifest').set({ storage_class: 'activating' }).where('id', '=', p.id),
)

export async function markActivating(tx: Session, id: number): Promise<void> {
  await tx.change(beginActivation, { id })
}

const namedBy = (db: QueryBuilder, p: { repositoryId: number; digest: Uint8Array }) =>
  db
    .selectFrom('manifest_reference')
    .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
    .select('manifest.digest')
    .where('manifest_reference.digest', '=', p.digest)
    .where('manifest_reference.repository_id', '=', p.repositoryId)
    .where('manifest_reference.kind', '!=', 'foreign')
    .where('manifest.trashed_at', 'is', null)

const activeUsers = statement<{ repositoryId: number; digest: Uint8Array }>()((db, p) =>
  namedBy(db, p).where('manifest.storage_class', '=', 'active').limit(10),
)

/** Up to ten living images of the repository that can be pulled and name the digest as config, layer or child. */
export async function activeManifestsNaming(session: Session, repositoryId: number, digest: Digest): Promise<Digest[]> {
  const rows = await session.all(activeUsers, { repositoryId, digest: digestToBytes(digest) })
  return rows.map((row) => digestFromBytes(row.digest))
}

/** Those of the blobs that some living image of the repository that can be pulled names. */
export async function activelyNamedAmong(session: Session, repositoryId: number, blobIds: readonly number[]): Promise<Set<number>> {
  if (blobIds.length === 0) return new Set()
  const rows = await session.query(
    session.builder
      .selectFrom('blob')
      .select('blob.id')
      .where('blob.id', 'in', blobIds)
      .where((eb) =>
        eb.exists(
          eb
            .selectFrom('manifest_reference')
            .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
            .select('manifest.id')
            .whereRef('manifest_reference.digest', '=', 'blob.digest')
            .where('manifest_reference.repository_id', '=', repositoryId)
            .where('manifest_reference.kind', '!=', 'foreign')
            .where('manifest.trashed_at', 'is', null)
            .where('manifest.storage_class', '=', 'active'),
        ),
      ),
  )
  return new Set(rows.map(({ id }) => id))
}

const unarchivedUsers = statement<{ repositoryId: number; digest: Uint8Array }>()((db, p) =>
  namedBy(db, p).where('manifest.storage_class', '!=', 'archived').limit(10),
)

/** The same, with those that are on their way out of the archive. */
export async function unarchivedManifestsNaming(session: Session, repositoryId: number, digest: Digest): Promise<Digest[]> {
  const rows = await session.all(unarchivedUsers, { repositoryId, digest: digestToBytes(digest) })
  return rows.map((row) => digestFromBytes(row.digest))
}

const archiveUser = statement<{ repositoryId: number; digest: Uint8Array }>()((db, p) =>
  namedBy(db, p).where('manifest.storage_class', '!=', 'active').limit(1),
)

/** True when an image of the repository in the archive, or on its way out of it, holds the blob, whose bytes are therefore there. */
export async function isHeldByArchive(session: Session, repositoryId: number, digest: Digest): Promise<boolean> {
  return (await session.first(archiveUser, { repositoryId, digest: digestToBytes(digest) })) !== undefined
}

const placed = statement<{ blobId: number }>()((db, p) =>
  db
    .selectFrom('blob')
    .innerJoin('blob_domain', 'blob_domain.id', 'blob.domain_id')
    .innerJoin('blob_location', (join) => join.onRef('blob_location.blob_id', '=', 'blob.id').on('blob_location.state', '=', active))
    .select((eb) => [
      'blob.digest',
      'blob.size_bytes as sizeBytes',
      'blob_domain.name as domain',
      'blob_location.id as locationId',
      'blob_location.store',
      'blob_location.key',
      eb.selectFrom('repository_blob').select('repository_blob.blob_id').whereRef('repository_blob.blob_id', '=', 'blob.id').limit(1).as('seenId'),
      eb
        .selectFrom('manifest_reference')
        .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
        .innerJoin('repository', 'repository.id', 'manifest.repository_id')
        .select('manifest.id')
        .whereRef('manifest_reference.digest', '=', 'blob.digest')
        .whereRef('repository.domain_id', '=', 'blob.domain_id')
        .where('manifest_reference.kind', '=', 'blob')
        .where('manifest.storage_class', '!=', 'archived')
        .limit(1)
        .as('activeUserId'),
      eb
        .selectFrom('manifest_reference')
        .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
        .innerJoin('repository', 'repository.id', 'manifest.repository_id')
        .select('manifest.id')
        .whereRef('manifest_reference.digest', '=', 'blob.digest')
        .whereRef('repository.domain_id', '=', 'blob.domain_id')
        .where('manifest_reference.kind', '=', 'blob')
        .where('manifest.storage_class', '=', 'archived')
        .limit(1)
        .as('archivedUserId'),
    ])
    .where('blob.id', '=', p.blobId),
)

export interface PlacedBlob {
  readonly digest: Digest
  readonly sizeBytes: number
  readonly domain: string
  readonly locationId: number
  readonly store: string
  readonly key: string
  /** Where it should be: `either` for what nothing names, which is collected where it is. */
  readonly belongs: 'active' | 'archive' | 'either'
}

/**
 * Where a blob's bytes are and where they belong: into the archive when no repository sees it, and of the images that name it, of
 * any account and in the trash too, all are archived. Undefined where it has no bytes.
 */
export async function findPlacedBlob(session: Session, blobId: number): Promise<PlacedBlob | undefined> {
  const row = await session.first(placed, { blobId })
  if (!row) return undefined
  const { seenId, activeUserId, archivedUserId, digest, ...place } = row
  const belongs = seenId !== null || activeUserId !== null ? 'active' : archivedUserId !== null ? 'archive' : 'either'
  return { ...place, digest: digestFromBytes(digest), belongs }
}

export interface NewPlace {
  readonly store: string
  readonly key: string
  readonly generation: string
  readonly encoding: string
  readonly storedSizeBytes: number
}

const move = statement<NewPlace & { locationId: number; fromKey: string }>()((db, p) =>
  db
    .updateTable('blob_location')
    .set({ store: p.store, key: p.key, generation: p.generation, encoding: p.encoding, stored_size_bytes: p.storedSizeBytes })
    .where('id', '=', p.locationId)
    .where('key', '=', p.fromKey)
    .where('state', '=', active),
)

const leaveBehind = statement<{ blobId: number; store: string; key: string; now: number }>()((db, p) =>
  db
    .insertInto('blob_location')
    .values({ blob_id: p.blobId, store: p.store, key: p.key, generation: '', state: 'deleting', created_at: p.now })
    .returning('id'),
)

/**
 * Changes where a blob's bytes are, in the row that is there: whoever waits for its lock sees it as it is then. Answers the number
 * of the place that was left, which is `deleting`; undefined where the bytes are not at `from` any more. The caller has locked the blob.
 */
export async function moveLocation(
  tx: Session,
  blobId: number,
  from: { readonly locationId: number; readonly store: string; readonly key: string },
  to: NewPlace,
  now: number,
): Promise<number | undefined> {
  if ((await tx.change(move, { ...to, locationId: from.locationId, fromKey: from.key })) === 0) return undefined
  const left = await tx.first(leaveBehind, { blobId, store: from.store, key: from.key, now })
  if (!left) throw new Error('inserting a place returned no row')
  return left.id
}

const inTheWrongStore = statement<{ manifestId: number; store: string }>()((db, p) =>
  db
    .selectFrom('manifest_reference')
    .innerJoin('repository', 'repository.id', 'manifest_reference.repository_id')
    .innerJoin('blob', (join) =>
      join.onRef('blob.digest', '=', 'manifest_reference.digest').onRef('blob.domain_id', '=', 'repository.domain_id'),
    )
    .innerJoin('blob_location', (join) => join.onRef('blob_location.blob_id', '=', 'blob.id').on('blob_location.state', '=', active))
    .select('blob.id')
    .distinct()
    .where('manifest_reference.manifest_id', '=', p.manifestId)
    .where('manifest_reference.kind', '=', 'blob')
    .where('blob_location.store', '=', p.store),
)

/** The blobs of an image whose bytes are in the store. */
export async function blobsInStore(session: Session, manifestId: number, store: string): Promise<number[]> {
  return (await session.all(inTheWrongStore, { manifestId, store })).map(({ id }) => id)
}

const held = statement<{ store: string }>()((db, p) =>
  db
    .selectFrom('blob_location')
    .innerJoin('blob', 'blob.id', 'blob_location.blob_id')
    .select((eb) => [
      eb.fn.countAll<number>().as('blobs'),
      // PostgreSQL sums to a type of its own.
      eb.cast<number | null>(eb.fn.sum('blob.size_bytes'), 'bigint').as('sizeBytes'),
      eb.cast<number | null>(eb.fn.sum(eb.fn.coalesce('blob_location.stored_size_bytes', 'blob.size_bytes')), 'bigint').as('storedBytes'),
    ])
    .where('blob_location.store', '=', p.store)
    .where('blob_location.state', '=', active),
)

const waiting = statement()((db) =>
  db.selectFrom('manifest').select((eb) => eb.fn.countAll<number>().as('images')).where('storage_class', '=', activating).where('trashed_at', 'is', null),
)

export interface ArchiveContents {
  readonly blobs: number
  readonly sizeBytes: number
  /** What they take there. */
  readonly storedBytes: number
  readonly activatingImages: number
}

/** What is in the archive, and how many images are on their way out. Its cost grows with what is in it. */
export async function archiveContents(session: Session, store: string): Promise<ArchiveContents> {
  const contents = await session.first(held, { store })
  const activatingImages = (await session.first(waiting, {}))?.images ?? 0
  return {
    blobs: contents?.blobs ?? 0,
    sizeBytes: contents?.sizeBytes ?? 0,
    storedBytes: contents?.storedBytes ?? 0,
    activatingImages,
  }
}

const insertMove = statement<{ uploadId: string; blobId: number; now: number }>()((db, p) =>
  db.insertInto('blob_move').values({ upload_id: p.uploadId, blob_id: p.blobId, began_at: p.now }),
)

/** Notes that a copy of a blob is about to be made. */
export async function noteMove(tx: Session, move: { uploadId: string; blobId: number; now: number }): Promise<void> {
  await tx.change(insertMove, move)
}

const dropMove = statement<{ uploadId: string }>()((db, p) => db.deleteFrom('blob_move').where('upload_id', '=', p.uploadId))

/** Notes that a copy is known as a location, or gone. */
export async function forgetMove(tx: Session, uploadId: string): Promise<void> {
  await tx.change(dropMove, { uploadId })
}

const dropAllMoves = statement()((db) => db.deleteFrom('blob_move'))

export async function forgetAllMoves(tx: Session): Promise<void> {
  await tx.change(dropAllMoves, {})
}

const moveOfBlob = statement<{ blobId: number }>()((db, p) => db.selectFrom('blob_move').select('upload_id').where('blob_id', '=', p.blobId).limit(1))

/** Whether somebody is making a copy of the blob, which nobody knows of yet. */
export async function isBeingMoved(session: Session, blobId: number): Promise<boolean> {
  return (await session.first(moveOfBlob, { blobId })) !== undefined
}

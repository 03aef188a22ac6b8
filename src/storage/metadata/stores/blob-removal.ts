import { digestFromBytes, digestToBytes, type Digest } from '../../../values/digest.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/*
 * The end of blobs. A blob goes when no repository sees it and no manifest names it, living or in the trash: first its places
 * are marked, which whoever pushes finds; then the bytes go; then the rows.
 */

export interface BlobPlace {
  readonly locationId: number
  readonly blobId: number
  readonly store: string
  readonly key: string
}

const lockedBlob = statement<{ blobId: number }>()((db, p, dialect) =>
  db
    .selectFrom('blob')
    .select(['id', 'digest', 'domain_id as domainId'])
    .where('id', '=', p.blobId)
    .$if(dialect === 'postgres', (query) => query.forUpdate()),
)

/** A blob, locked against everybody who would give it to a repository or an image. */
export function lockBlob(tx: Session, blobId: number): Promise<LockedBlob | undefined> {
  return tx.first(lockedBlob, { blobId })
}

export interface LockedBlob {
  readonly id: number
  readonly digest: Uint8Array
  readonly domainId: number
}

/** As `lockBlob`, for those of many that are there, in the order in which everybody locks blobs. */
export function lockBlobs(tx: Session, blobIds: readonly number[]): Promise<LockedBlob[]> {
  if (blobIds.length === 0) return Promise.resolve([])
  return tx.query(
    tx.builder
      .selectFrom('blob')
      .select(['id', 'digest', 'domain_id as domainId'])
      .where('id', 'in', blobIds)
      .orderBy('digest')
      .$if(tx.dialect === 'postgres', (query) => query.forUpdate()),
  )
}

/** A blob that a repository sees, or that manifests alone name. */
export interface BlobNeed {
  readonly blobId: number
  readonly isSeen: boolean
}

/** Those of the blobs that a repository sees or a manifest names, of any account, living or in the trash. */
export async function neededAmong(tx: Session, blobIds: readonly number[]): Promise<Map<number, BlobNeed>> {
  const rows = await tx.query(
    tx.builder
      .selectFrom('blob')
      .select((eb) => [
        'blob.id as blobId',
        eb.selectFrom('repository_blob').select('repository_blob.repository_id').whereRef('repository_blob.blob_id', '=', 'blob.id').limit(1).as('seenBy'),
        eb
          .selectFrom('manifest_reference')
          .innerJoin('repository', 'repository.id', 'manifest_reference.repository_id')
          .select('manifest_reference.manifest_id')
          .whereRef('manifest_reference.digest', '=', 'blob.digest')
          .whereRef('repository.domain_id', '=', 'blob.domain_id')
          .where('manifest_reference.kind', '=', 'blob')
          .limit(1)
          .as('namedBy'),
      ])
      .where('blob.id', 'in', blobIds),
  )
  return new Map(
    rows
      .filter(({ seenBy, namedBy }) => seenBy !== null || namedBy !== null)
      .map(({ blobId, seenBy }) => [blobId, { blobId, isSeen: seenBy !== null }]),
  )
}

/** Marks all places of blobs as going, damaged copies too. The caller has locked the blobs and knows that nothing needs them. */
export function markForDeletion(tx: Session, blobIds: readonly number[]): Promise<BlobPlace[]> {
  if (blobIds.length === 0) return Promise.resolve([])
  return tx.query(
    tx.builder
      .updateTable('blob_location')
      .set({ state: 'deleting' })
      .where('blob_id', 'in', blobIds)
      .returning(['id as locationId', 'blob_id as blobId', 'store', 'key']),
  )
}

/** Places of blobs whose bytes are going already, whatever has become of the blobs since. */
export function placesGoing(session: Session, blobIds: readonly number[]): Promise<BlobPlace[]> {
  if (blobIds.length === 0) return Promise.resolve([])
  return session.query(
    session.builder
      .selectFrom('blob_location')
      .select(['id as locationId', 'blob_id as blobId', 'store', 'key'])
      .where('blob_id', 'in', blobIds)
      .where('state', '=', 'deleting'),
  )
}

/** Forgets places whose bytes are gone. They were going: once a place is, it is never used again, and no other gets its number. */
export async function forgetPlaces(tx: Session, locationIds: readonly number[]): Promise<void> {
  if (locationIds.length === 0) return
  await tx.query(tx.builder.deleteFrom('blob_checksum').where('location_id', 'in', locationIds))
  await tx.query(tx.builder.deleteFrom('blob_location').where('id', 'in', locationIds))
}

/**
 * Forgets those of the blobs that have no place any more. The caller has locked them. Nothing needs such a blob: what is needed has
 * a place that is not going, since whoever comes to need a blob gives it one first, or finds one under the same lock.
 */
export async function forgetBlobs(tx: Session, blobIds: readonly number[]): Promise<void> {
  if (blobIds.length === 0) return
  await tx.query(
    tx.builder
      .deleteFrom('blob')
      .where('id', 'in', blobIds)
      .where((eb) => eb.not(eb.exists(eb.selectFrom('blob_location').select('blob_location.id').whereRef('blob_location.blob_id', '=', 'blob.id')))),
  )
}

/** A manifest that names a blob. */
export interface BlobUser {
  readonly manifestId: number
  readonly repository: string
  readonly digest: Digest
  readonly isTrashed: boolean
}

const users = statement<{ registryId: number; domainId: number; digest: Uint8Array; limit: number }>()((db, p) =>
  db
    .selectFrom('manifest_reference')
    .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
    .innerJoin('repository', 'repository.id', 'manifest.repository_id')
    .select(['manifest.id as manifestId', 'manifest.digest', 'manifest.trashed_at as trashedAt', 'repository.name'])
    .distinct()
    .where('manifest_reference.digest', '=', p.digest)
    .where('manifest_reference.kind', '=', 'blob')
    .where('repository.domain_id', '=', p.domainId)
    .where('repository.registry_id', '=', p.registryId)
    .orderBy('manifest.id')
    .limit(p.limit),
)

/** Manifests of a registry that name a blob, in the trash too, up to `limit`. */
export async function usersOfBlob(session: Session, registryId: number, blob: { domainId: number; digest: Uint8Array }, limit: number): Promise<BlobUser[]> {
  const rows = await session.all(users, { registryId, ...blob, limit })
  return rows.map(({ manifestId, digest: user, trashedAt, name }) => ({
    manifestId,
    repository: name,
    digest: digestFromBytes(user),
    isTrashed: trashedAt !== null,
  }))
}

const usedElsewhere = statement<{ domainId: number; digest: Uint8Array; registryId: number }>()((db, p) =>
  db
    .selectFrom('manifest_reference')
    .innerJoin('repository', 'repository.id', 'manifest_reference.repository_id')
    .select('manifest_reference.manifest_id')
    .where('manifest_reference.digest', '=', p.digest)
    .where('manifest_reference.kind', '=', 'blob')
    .where('repository.domain_id', '=', p.domainId)
    .where('repository.registry_id', '!=', p.registryId)
    .limit(1),
)

/** Whether a manifest of another registry names the blob, in the trash too. */
export async function isUsedElsewhere(session: Session, blob: { domainId: number; digest: Uint8Array }, registryId: number): Promise<boolean> {
  return (await session.first(usedElsewhere, { ...blob, registryId })) !== undefined
}

/** The sizes of blobs, by their numbers. */
export async function blobSizes(session: Session, blobIds: readonly number[]): Promise<Map<number, number>> {
  const sizes = new Map<number, number>()
  const chunkSize = 1000
  for (let start = 0; start < blobIds.length; start += chunkSize) {
    const rows = await session.query(session.builder.selectFrom('blob').select(['id', 'size_bytes']).where('id', 'in', blobIds.slice(start, start + chunkSize)))
    for (const { id, size_bytes: sizeBytes } of rows) sizes.set(id, sizeBytes)
  }
  return sizes
}

/** Lets repositories of a registry, some or all, no longer see a blob that none of their living manifests names, but archived ones. */
export async function hideUnnamedBlob(
  tx: Session,
  { registryId, repositoryIds, blobId, digest }: { registryId: number; repositoryIds: readonly number[] | undefined; blobId: number; digest: Digest },
): Promise<void> {
  await tx.query(
    tx.builder
      .deleteFrom('repository_blob')
      .where('blob_id', '=', blobId)
      .where('repository_id', 'in', (eb) =>
        eb
          .selectFrom('repository')
          .select('repository.id')
          .where('repository.registry_id', '=', registryId)
          .$if(repositoryIds !== undefined, (query) => query.where('repository.id', 'in', repositoryIds ?? [])),
      )
      .where('repository_id', 'not in', (eb) =>
        eb
          .selectFrom('manifest_reference')
          .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
          .select('manifest_reference.repository_id')
          .where('manifest_reference.digest', '=', digestToBytes(digest))
          .where('manifest_reference.kind', '!=', 'foreign')
          .where('manifest.storage_class', '=', 'active')
          .where('manifest.trashed_at', 'is', null),
      ),
  )
}

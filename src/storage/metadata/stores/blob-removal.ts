import { digestFromBytes, digestToBytes, type Digest } from '../../../values/digest.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/*
 * The end of blobs. A blob goes when no repository sees it and no manifest names it, living or in the trash: first its places
 * are marked, which whoever pushes finds; then the bytes go; then the rows.
 */

export interface BlobPlace {
  readonly locationId: number
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
export function lockBlob(tx: Session, blobId: number): Promise<{ id: number; digest: Uint8Array; domainId: number } | undefined> {
  return tx.first(lockedBlob, { blobId })
}

const seenSomewhere = statement<{ blobId: number }>()((db, p) =>
  db.selectFrom('repository_blob').select('blob_id').where('blob_id', '=', p.blobId).limit(1),
)

const namedSomewhere = statement<{ domainId: number; digest: Uint8Array }>()((db, p) =>
  db
    .selectFrom('manifest_reference')
    .innerJoin('repository', 'repository.id', 'manifest_reference.repository_id')
    .select('manifest_reference.manifest_id')
    .where('manifest_reference.digest', '=', p.digest)
    .where('manifest_reference.kind', '=', 'blob')
    .where('repository.domain_id', '=', p.domainId)
    .limit(1),
)

/** Whether a repository sees the blob or a manifest names it, of any account, living or in the trash. */
export async function isBlobNeeded(tx: Session, blob: { id: number; digest: Uint8Array; domainId: number }): Promise<boolean> {
  if ((await tx.first(seenSomewhere, { blobId: blob.id })) !== undefined) return true
  return (await tx.first(namedSomewhere, { domainId: blob.domainId, digest: blob.digest })) !== undefined
}

const mark = statement<{ blobId: number }>()((db, p) =>
  db
    .updateTable('blob_location')
    .set({ state: 'deleting' })
    .where('blob_id', '=', p.blobId)
    .returning(['id as locationId', 'store', 'key']),
)

/** Marks all places of a blob as going, damaged copies too. The caller has locked the blob and knows that nothing needs it. */
export function markForDeletion(tx: Session, blobId: number): Promise<BlobPlace[]> {
  return tx.all(mark, { blobId })
}

const drop = statement<{ locationId: number }>()((db, p) =>
  db.deleteFrom('blob_location').where('id', '=', p.locationId).where('state', '=', 'deleting'),
)

const dropChecksums = statement<{ locationId: number }>()((db, p) => db.deleteFrom('blob_checksum').where('location_id', '=', p.locationId))

const anyPlace = statement<{ blobId: number }>()((db, p) => db.selectFrom('blob_location').select('id').where('blob_id', '=', p.blobId).limit(1))

const dropBlob = statement<{ blobId: number }>()((db, p) => db.deleteFrom('blob').where('id', '=', p.blobId))

const going = statement<{ blobId: number }>()((db, p) =>
  db.selectFrom('blob_location').select(['id as locationId', 'store', 'key']).where('blob_id', '=', p.blobId).where('state', '=', 'deleting'),
)

/** Places of a blob whose bytes are going already, whatever has become of the blob since. */
export function placesGoing(session: Session, blobId: number): Promise<BlobPlace[]> {
  return session.all(going, { blobId })
}

/** Forgets a place whose bytes are gone. */
export async function forgetPlace(tx: Session, locationId: number): Promise<void> {
  await tx.change(dropChecksums, { locationId })
  await tx.change(drop, { locationId })
}

/** Forgets a blob that has no place any more and that nothing needs. The caller has locked it. */
export async function forgetBlob(tx: Session, blob: { id: number; digest: Uint8Array; domainId: number }): Promise<void> {
  if ((await tx.first(anyPlace, { blobId: blob.id })) !== undefined || (await isBlobNeeded(tx, blob))) return
  await tx.change(dropBlob, { blobId: blob.id })
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

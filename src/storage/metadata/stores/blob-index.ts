import { sql } from 'kysely'
import type { Digest } from '../../../values/digest.ts'
import { digestFromBytes, digestToBytes } from '../../../values/digest.ts'
import type { Session } from '../session.ts'
import { statement, type QueryBuilder } from '../statement.ts'

/** Written into the statement, not bound to it: only so does the planner see that the partial index of live locations fits. */
const active = sql.lit('active')

export interface LocatedInRepository {
  readonly blobId: number
  readonly repositoryId: number
  readonly sizeBytes: number
  readonly store: string
  readonly key: string
}

export interface VisibleBlob extends LocatedInRepository {
  /** A review that would come before the promise of a positive answer ends. */
  readonly reviewIsNear: boolean
}

interface Visibility {
  registryId: number
  name: string
  digest: Uint8Array
}

const visibleBlob = (db: QueryBuilder, p: Visibility) =>
  db
    .selectFrom('repository')
    .innerJoin('blob', 'blob.domain_id', 'repository.domain_id')
    .innerJoin('repository_blob', (join) =>
      join.onRef('repository_blob.repository_id', '=', 'repository.id').onRef('repository_blob.blob_id', '=', 'blob.id'),
    )
    .innerJoin('blob_location', (join) =>
      join.onRef('blob_location.blob_id', '=', 'blob.id').on('blob_location.state', '=', active),
    )
    .select(['blob.id as blobId', 'repository.id as repositoryId', 'blob.size_bytes as sizeBytes', 'blob_location.store', 'blob_location.key'])
    .where('repository.registry_id', '=', p.registryId)
    .where('repository.name', '=', p.name)
    .where('repository.trashed_at', 'is', null)
    .where('blob.digest', '=', p.digest)

const visible = statement<Visibility & { horizon: number }>()((db, p) =>
  visibleBlob(db, p).select((eb) => [
    eb
      .selectFrom('review')
      .select('review.id')
      .whereRef('review.subject_id', '=', 'blob.id')
      .where('review.kind', 'in', ['blob', 'repository-blob'])
      .where('review.repository_id', 'in', [0, eb.ref('repository.id')])
      .where('review.due_at', '<', p.horizon)
      .limit(1)
      .as('nearReviewId'),
  ]),
)

/** The blob as the repository of that name sees it, in one statement. */
export async function findVisibleBlob(
  session: Session,
  registryId: number,
  name: string,
  digest: Digest,
  reviewHorizon: number,
): Promise<VisibleBlob | undefined> {
  const row = await session.first(visible, { registryId, name, digest: digestToBytes(digest), horizon: reviewHorizon })
  if (!row) return undefined
  const { nearReviewId, ...blob } = row
  return { ...blob, reviewIsNear: nearReviewId !== null }
}

const readable = statement<Visibility>()((db, p) => visibleBlob(db, p))

/** The same for a download, which promises nothing. */
export async function findReadableBlob(
  session: Session,
  registryId: number,
  name: string,
  digest: Digest,
): Promise<LocatedInRepository | undefined> {
  return session.first(readable, { registryId, name, digest: digestToBytes(digest) })
}

export interface KnownBlob {
  readonly id: number
  readonly digest: Digest
  readonly sizeBytes: number
  /** Null when the repository does not see it. */
  readonly visibleSince: number | null
}

/**
 * Those of the digests that the domain holds with live bytes, locked against collection in the order of their
 * digests (every command takes blob locks in that order), with the repository's sight of each.
 */
export async function lockKnownBlobs(
  tx: Session,
  domainId: number,
  repositoryId: number,
  digests: readonly Digest[],
): Promise<KnownBlob[]> {
  const known: KnownBlob[] = []
  // PostgreSQL bounds a statement at 65,535 parameters, SQLite at 32,766; a manifest names a few dozen.
  const chunkSize = 1000
  const inOrder = digests.map(digestToBytes).sort((one, other) => Buffer.compare(one, other))
  for (let start = 0; start < inOrder.length; start += chunkSize) {
    const query = tx.builder
      .selectFrom('blob')
      .innerJoin('blob_location', (join) =>
        join.onRef('blob_location.blob_id', '=', 'blob.id').on('blob_location.state', '=', active),
      )
      .select((eb) => [
        'blob.id',
        'blob.digest',
        'blob.size_bytes',
        // A sub-query, since PostgreSQL locks no rows on the optional side of an outer join.
        eb
          .selectFrom('repository_blob')
          .select('repository_blob.added_at')
          .whereRef('repository_blob.blob_id', '=', 'blob.id')
          .where('repository_blob.repository_id', '=', repositoryId)
          .as('visibleSince'),
      ])
      .where('blob.domain_id', '=', domainId)
      .where('blob.digest', 'in', inOrder.slice(start, start + chunkSize))
      .orderBy('blob.digest')
      .$if(tx.dialect === 'postgres', (builder) => builder.forShare(['blob', 'blob_location']))
    const rows = await tx.query(query)
    // PostgreSQL shows the sights as they were before it waited for a lock: an erasure may have ended some of them meanwhile.
    const sights = tx.dialect === 'postgres' && rows.length > 0 ? await sightsOf(tx, repositoryId, rows.map(({ id }) => id)) : undefined
    for (const { id, digest, size_bytes: sizeBytes, visibleSince } of rows) {
      known.push({ id, digest: digestFromBytes(digest), sizeBytes, visibleSince: sights === undefined ? visibleSince : (sights.get(id) ?? null) })
    }
  }
  return known
}

/** Since when a repository sees which of the blobs. */
async function sightsOf(tx: Session, repositoryId: number, blobIds: readonly number[]): Promise<Map<number, number>> {
  const sights = tx.builder.selectFrom('repository_blob').select(['blob_id', 'added_at']).where('repository_id', '=', repositoryId).where('blob_id', 'in', blobIds)
  return new Map((await tx.query(sights)).map(({ blob_id: id, added_at: addedAt }) => [id, addedAt]))
}

const liveBlob = (db: QueryBuilder, p: { domainId: number; digest: Uint8Array }) =>
  db
    .selectFrom('blob')
    .innerJoin('blob_location', (join) =>
      join.onRef('blob_location.blob_id', '=', 'blob.id').on('blob_location.state', '=', active),
    )
    .select(['blob.id', 'blob.size_bytes as sizeBytes', 'blob_location.store', 'blob_location.key'])
    .where('blob.domain_id', '=', p.domainId)
    .where('blob.digest', '=', p.digest)

const located = statement<{ domainId: number; digest: Uint8Array }>()((db, p) => liveBlob(db, p))

const locatedLocked = statement<{ domainId: number; digest: Uint8Array }>()((db, p, dialect) =>
  liveBlob(db, p).$if(dialect === 'postgres', (query) => query.forShare(['blob', 'blob_location'])),
)

export interface LocatedBlob {
  readonly id: number
  readonly sizeBytes: number
  readonly store: string
  readonly key: string
}

/** A blob with live bytes, locked against collection until the command ends. */
export function lockLocatedBlob(tx: Session, domainId: number, digest: Digest): Promise<LocatedBlob | undefined> {
  return tx.first(locatedLocked, { domainId, digest: digestToBytes(digest) })
}

/** As `lockLocatedBlob`, without the lock: by the time the caller looks again it may be gone. */
export function findLocatedBlob(session: Session, domainId: number, digest: Digest): Promise<LocatedBlob | undefined> {
  return session.first(located, { domainId, digest: digestToBytes(digest) })
}

const insertBlob = statement<{ domainId: number; digest: Uint8Array; sizeBytes: number; now: number }>()((db, p) =>
  db
    .insertInto('blob')
    .values({ domain_id: p.domainId, digest: p.digest, size_bytes: p.sizeBytes, created_at: p.now })
    // An update that changes nothing, so that the row is locked and returned whoever was first.
    .onConflict((conflict) => conflict.columns(['domain_id', 'digest']).doUpdateSet({ size_bytes: p.sizeBytes }))
    .returning('id'),
)

const insertLocation = statement<{ blobId: number; store: string; key: string; generation: string; now: number }>()(
  (db, p) =>
    db
      .insertInto('blob_location')
      .values({
        blob_id: p.blobId,
        store: p.store,
        key: p.key,
        generation: p.generation,
        state: 'active',
        created_at: p.now,
      })
      .onConflict((conflict) => conflict.column('blob_id').where('state', '=', active).doNothing())
      .returning('id'),
)

const insertChecksums = statement<{ locationId: number; checksums: Uint8Array }>()((db, p) =>
  db
    .insertInto('blob_checksum')
    .values({ location_id: p.locationId, checksums: p.checksums })
    .onConflict((conflict) => conflict.column('location_id').doUpdateSet({ checksums: p.checksums })),
)

/** Records where a blob's bytes are. False when somebody else's copy came first: the caller's is not needed. */
export async function insertLocatedBlob(
  tx: Session,
  blob: { domainId: number; digest: Digest; sizeBytes: number; store: string; key: string; generation: string; checksums: Uint8Array; now: number },
): Promise<{ blobId: number; inserted: boolean }> {
  const row = await tx.first(insertBlob, {
    domainId: blob.domainId,
    digest: digestToBytes(blob.digest),
    sizeBytes: blob.sizeBytes,
    now: blob.now,
  })
  if (!row) throw new Error('inserting a blob returned no row')
  const location = await tx.first(insertLocation, {
    blobId: row.id,
    store: blob.store,
    key: blob.key,
    generation: blob.generation,
    now: blob.now,
  })
  if (location) await tx.change(insertChecksums, { locationId: location.id, checksums: blob.checksums })
  return { blobId: row.id, inserted: location !== undefined }
}

const quarantine = statement<{ store: string; key: string }>()((db, p) =>
  db
    .updateTable('blob_location')
    .set({ state: 'quarantined' })
    .where('store', '=', p.store)
    .where('key', '=', p.key)
    .where('state', '=', active),
)

/** Notes that the bytes under a key are gone or wrong; the blob may be given others. False when they were no longer used. */
export async function quarantineLocation(tx: Session, store: string, key: string): Promise<boolean> {
  return (await tx.change(quarantine, { store, key })) > 0
}

const locationOfKey = statement<{ store: string; key: string }>()((db, p) =>
  db.selectFrom('blob_location').select('id').where('store', '=', p.store).where('key', '=', p.key),
)

const checksumsOfKey = statement<{ store: string; key: string }>()((db, p) =>
  db
    .selectFrom('blob_location')
    .innerJoin('blob_checksum', 'blob_checksum.location_id', 'blob_location.id')
    .select('blob_checksum.checksums')
    .where('blob_location.store', '=', p.store)
    .where('blob_location.key', '=', p.key),
)

/** What the bytes under a key are compared with; undefined where that is not known yet. */
export async function findChecksums(session: Session, store: string, key: string): Promise<Uint8Array | undefined> {
  return (await session.first(checksumsOfKey, { store, key }))?.checksums
}

/** Notes what reading all bytes under a key has found. Nothing happens where the key is gone. */
export async function recordChecksums(tx: Session, store: string, key: string, checksums: Uint8Array): Promise<void> {
  const location = await tx.first(locationOfKey, { store, key })
  if (location) await tx.change(insertChecksums, { locationId: location.id, checksums })
}

const anyLocation = statement<{ store: string }>()((db, p) =>
  db.selectFrom('blob_location').select('id').where('state', '=', active).where('store', '=', p.store).limit(1),
)

/** True when some blob's bytes should be in the store. */
export async function holdsLocations(session: Session, store: string): Promise<boolean> {
  return (await session.first(anyLocation, { store })) !== undefined
}

const quarantinedCopy = statement<{ registryId: number; name: string; digest: Uint8Array }>()((db, p) =>
  db
    .selectFrom('repository')
    .innerJoin('blob', 'blob.domain_id', 'repository.domain_id')
    .innerJoin('repository_blob', (join) =>
      join.onRef('repository_blob.repository_id', '=', 'repository.id').onRef('repository_blob.blob_id', '=', 'blob.id'),
    )
    .innerJoin('blob_location', 'blob_location.blob_id', 'blob.id')
    .select('blob_location.key')
    .where('repository.registry_id', '=', p.registryId)
    .where('repository.name', '=', p.name)
    .where('repository.trashed_at', 'is', null)
    .where('blob.digest', '=', p.digest)
    .where('blob_location.state', '=', 'quarantined')
    .limit(1),
)

/** True when a blob that the repository sees has bytes that were set aside as damaged. */
export async function isQuarantined(session: Session, registryId: number, name: string, digest: Digest): Promise<boolean> {
  return (await session.first(quarantinedCopy, { registryId, name, digest: digestToBytes(digest) })) !== undefined
}

const show = statement<{ repositoryId: number; blobId: number; now: number }>()((db, p) =>
  db
    .insertInto('repository_blob')
    .values({ repository_id: p.repositoryId, blob_id: p.blobId, added_at: p.now })
    .onConflict((conflict) => conflict.doNothing()),
)

const hide = statement<{ repositoryId: number; blobId: number }>()((db, p) =>
  db.deleteFrom('repository_blob').where('repository_id', '=', p.repositoryId).where('blob_id', '=', p.blobId),
)

/** Lets a repository see a blob. Returns true when it did not before. */
export async function showBlob(tx: Session, repositoryId: number, blobId: number, now: number): Promise<boolean> {
  return (await tx.change(show, { repositoryId, blobId, now })) > 0
}

export async function hideBlob(tx: Session, repositoryId: number, blobId: number): Promise<void> {
  await tx.change(hide, { repositoryId, blobId })
}

/** As `hideBlob`, for many at once. */
export async function hideBlobs(tx: Session, repositoryId: number, blobIds: readonly number[]): Promise<void> {
  if (blobIds.length === 0) return
  await tx.query(tx.builder.deleteFrom('repository_blob').where('repository_id', '=', repositoryId).where('blob_id', 'in', blobIds))
}

const sight = statement<{ repositoryId: number; blobId: number }>()((db, p) =>
  db
    .selectFrom('repository_blob')
    .innerJoin('blob_location', (join) =>
      join.onRef('blob_location.blob_id', '=', 'repository_blob.blob_id').on('blob_location.state', '=', active),
    )
    .select('repository_blob.blob_id')
    .where('repository_blob.repository_id', '=', p.repositoryId)
    .where('repository_blob.blob_id', '=', p.blobId),
)

/** Whether a repository sees a blob that has its bytes. */
export async function seesLiveBlob(session: Session, repositoryId: number, blobId: number): Promise<boolean> {
  return (await session.first(sight, { repositoryId, blobId })) !== undefined
}

const usersOf = statement<{ repositoryId: number; digest: Uint8Array }>()((db, p) =>
  db
    .selectFrom('manifest_reference')
    .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
    .select('manifest.digest')
    .where('manifest_reference.digest', '=', p.digest)
    .where('manifest_reference.repository_id', '=', p.repositoryId)
    .where('manifest_reference.kind', '!=', 'foreign')
    .where('manifest.trashed_at', 'is', null)
    .limit(10),
)

/** Up to ten living manifests of the repository that name the digest as config, layer or child. */
export async function referencingManifests(session: Session, repositoryId: number, digest: Digest): Promise<Digest[]> {
  const rows = await session.all(usersOf, { repositoryId, digest: digestToBytes(digest) })
  return rows.map((row) => digestFromBytes(row.digest))
}

const trashUserOf = statement<{ repositoryId: number; digest: Uint8Array }>()((db, p) =>
  db
    .selectFrom('manifest_reference')
    .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
    .select('manifest.id')
    .where('manifest_reference.digest', '=', p.digest)
    .where('manifest_reference.repository_id', '=', p.repositoryId)
    .where('manifest_reference.kind', '=', 'blob')
    .where('manifest.trashed_at', 'is not', null)
    .limit(1),
)

/** True when a trashed image of the repository holds the blob, whose bytes are therefore still there. */
export async function isHeldByTrash(session: Session, repositoryId: number, digest: Digest): Promise<boolean> {
  return (await session.first(trashUserOf, { repositoryId, digest: digestToBytes(digest) })) !== undefined
}

const seenIn = statement<{ registryId: number; domainId: number; digest: Uint8Array; limit: number }>()((db, p) =>
  db
    .selectFrom('blob')
    .innerJoin('repository_blob', 'repository_blob.blob_id', 'blob.id')
    .innerJoin('repository', 'repository.id', 'repository_blob.repository_id')
    .select('repository.name')
    .where('blob.domain_id', '=', p.domainId)
    .where('blob.digest', '=', p.digest)
    .where('repository.registry_id', '=', p.registryId)
    .where('repository.trashed_at', 'is', null)
    .limit(p.limit),
)

/** Names of repositories of the registry that see a blob, up to `limit`. */
export async function repositoriesSeeing(
  session: Session,
  registryId: number,
  domainId: number,
  digest: Digest,
  limit: number,
): Promise<string[]> {
  const rows = await session.all(seenIn, { registryId, domainId, digest: digestToBytes(digest), limit })
  return rows.map(({ name }) => name)
}

/** True when the metadata knows the bytes under this key. */
export async function isKeyLocated(session: Session, store: string, key: string): Promise<boolean> {
  return (await session.first(locationOfKey, { store, key })) !== undefined
}

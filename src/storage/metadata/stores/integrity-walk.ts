import { sql } from 'kysely'
import { digestFromBytes, type Digest } from '../../../values/digest.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/*
 * The installation's rows in pages, in the order of their keys, for whoever checks them all. Every page starts after a
 * key and costs the page, so a walk can stop anywhere and go on later.
 */

const active = sql.lit('active')

export interface WalkedTag {
  readonly repositoryId: number
  readonly repository: string
  readonly name: string
  /** True when it points at a living manifest of its repository. */
  readonly isSound: boolean
}

// Written out: rows are compared as pairs, and the joined rows may be missing.
const tags = statement<{ repositoryId: number; name: string; limit: number }>()((db, p) =>
  db
    .selectFrom('tag')
    .innerJoin('repository', 'repository.id', 'tag.repository_id')
    .leftJoin('manifest', 'manifest.id', 'tag.manifest_id')
    .select([
      'tag.repository_id as repositoryId',
      'tag.name',
      'repository.name as repository',
      'repository.trashed_at as repositoryTrashedAt',
      'manifest.repository_id as manifestRepositoryId',
      'manifest.trashed_at as manifestTrashedAt',
    ])
    .where((eb) => eb(eb.refTuple('tag.repository_id', 'tag.name'), '>', eb.tuple(p.repositoryId, p.name)))
    .orderBy('tag.repository_id')
    .orderBy('tag.name')
    .limit(p.limit),
)

/** Tags after the given one, by repository and name. Those of a trashed repository are taken as sound: nobody sees them. */
export async function walkTags(
  session: Session,
  after: { repositoryId: number; name: string },
  limit: number,
): Promise<WalkedTag[]> {
  const rows = await session.all(tags, { ...after, limit })
  return rows.map((row) => ({
    repositoryId: row.repositoryId,
    repository: row.repository,
    name: row.name,
    isSound:
      row.repositoryTrashedAt !== null ||
      (row.manifestRepositoryId === row.repositoryId && row.manifestTrashedAt === null),
  }))
}

const repositoryIds = statement<{ after: number; limit: number }>()((db, p) =>
  db.selectFrom('repository').select('id').where('id', '>', p.after).where('trashed_at', 'is', null).orderBy('id').limit(p.limit),
)

/** The ids of living repositories after the given one, in their order. */
export async function walkRepositories(session: Session, after: number, limit: number): Promise<number[]> {
  return (await session.all(repositoryIds, { after, limit })).map(({ id }) => id)
}

export interface WalkedManifest {
  readonly id: number
  readonly repository: string
  readonly digest: Digest
  readonly mediaType: string
  readonly sizeBytes: number
  /** Neither it nor its repository is in the trash: what it names has to be there. */
  readonly isLiving: boolean
  /** Its repository sees what it names. */
  readonly isActive: boolean
}

const manifests = statement<{ after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .innerJoin('repository', 'repository.id', 'manifest.repository_id')
    .select([
      'manifest.id',
      'manifest.digest',
      'manifest.media_type',
      'manifest.size_bytes',
      'manifest.trashed_at',
      'manifest.storage_class',
      'repository.name as repository',
      'repository.trashed_at as repositoryTrashedAt',
    ])
    .where('manifest.id', '>', p.after)
    .orderBy('manifest.id')
    .limit(p.limit),
)

/** Manifests after the given one, trashed ones included, by id. */
export async function walkManifests(session: Session, after: number, limit: number): Promise<WalkedManifest[]> {
  const rows = await session.all(manifests, { after, limit })
  return rows.map((row) => ({
    id: row.id,
    repository: row.repository,
    digest: digestFromBytes(row.digest),
    mediaType: row.media_type,
    sizeBytes: row.size_bytes,
    isLiving: row.trashed_at === null && row.repositoryTrashedAt === null,
    isActive: row.storage_class === 'active',
  }))
}

const payload = statement<{ id: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .leftJoin('manifest_payload', 'manifest_payload.manifest_id', 'manifest.id')
    .select('manifest_payload.payload')
    .where('manifest.id', '=', p.id),
)

/** A manifest's bytes; null when they are not there, undefined when the manifest is gone as well. */
export async function readPayload(session: Session, manifestId: number): Promise<Uint8Array | null | undefined> {
  return (await session.first(payload, { id: manifestId }))?.payload
}

export interface WalkedReference {
  readonly manifestId: number
  readonly position: number
  readonly kind: 'manifest' | 'blob'
  readonly digest: Digest
  /**
   * `unavailable`: the blob has bytes, but they are quarantined. `invisible`: the repository was never given the blob.
   * `absent`: there is no such manifest or blob.
   */
  readonly state: 'sound' | 'unavailable' | 'invisible' | 'absent'
}

interface ReferencePage {
  readonly manifestId: number
  readonly position: number
  readonly lastManifestId: number
  readonly limit: number
}

const references = statement<ReferencePage>()((db, p) =>
  db
    .selectFrom('manifest_reference')
    .innerJoin('repository', 'repository.id', 'manifest_reference.repository_id')
    .leftJoin('manifest as child', (join) =>
      join
        .onRef('child.repository_id', '=', 'manifest_reference.repository_id')
        .onRef('child.digest', '=', 'manifest_reference.digest')
        .on('child.trashed_at', 'is', null),
    )
    .leftJoin('blob', (join) =>
      join
        .onRef('blob.domain_id', '=', 'repository.domain_id')
        .onRef('blob.digest', '=', 'manifest_reference.digest'),
    )
    .leftJoin('repository_blob', (join) =>
      join
        .onRef('repository_blob.repository_id', '=', 'manifest_reference.repository_id')
        .onRef('repository_blob.blob_id', '=', 'blob.id'),
    )
    .select((eb) => [
      'manifest_reference.manifest_id as manifestId',
      'manifest_reference.position',
      'manifest_reference.kind',
      'manifest_reference.digest',
      'child.id as childId',
      'blob.id as blobId',
      'repository_blob.blob_id as visibleBlobId',
      eb
        .selectFrom('blob_location')
        .select((location) => location.fn.min<string>('blob_location.state').as('state'))
        .whereRef('blob_location.blob_id', '=', 'blob.id')
        // In the order of the alphabet: `active` before `quarantined`.
        .where('blob_location.state', 'in', ['active', 'quarantined'])
        .as('locationState'),
    ])
    .where((eb) =>
      eb(
        eb.refTuple('manifest_reference.manifest_id', 'manifest_reference.position'),
        '>',
        eb.tuple(p.manifestId, p.position),
      ),
    )
    .where('manifest_reference.manifest_id', '<=', p.lastManifestId)
    .orderBy('manifest_reference.manifest_id')
    .orderBy('manifest_reference.position')
    .limit(p.limit),
)

/** What manifests name, after the given reference, up to those of `lastManifestId`; foreign layers are left out. */
export async function walkReferences(
  session: Session,
  page: ReferencePage,
): Promise<{ references: WalkedReference[]; last: { manifestId: number; position: number } | undefined }> {
  const rows = await session.all(references, page)
  const walked = rows.flatMap((row): WalkedReference[] => {
    const { manifestId, position, kind } = row
    const digest = digestFromBytes(row.digest)
    if (kind === 'manifest') return [{ manifestId, position, kind, digest, state: row.childId === null ? 'absent' : 'sound' }]
    return kind === 'blob' ? [{ manifestId, position, kind, digest, state: stateOfBlob(row) }] : []
  })
  const last = rows.at(-1)
  return { references: walked, last: last && { manifestId: last.manifestId, position: last.position } }
}

function stateOfBlob(row: {
  blobId: number | null
  visibleBlobId: number | null
  locationState: string | null
}): WalkedReference['state'] {
  if (row.blobId === null || row.locationState === null) return 'absent'
  if (row.visibleBlobId === null) return 'invisible'
  return row.locationState === 'active' ? 'sound' : 'unavailable'
}

export interface WalkedLocation {
  readonly id: number
  readonly blobId: number
  readonly store: string
  readonly key: string
  readonly state: 'active' | 'quarantined'
  readonly digest: Digest
  readonly sizeBytes: number
  /** Of a quarantined one: the blob has other bytes by now. */
  readonly isReplaced: boolean
  /** Some repository sees the blob, or an archived image has it. */
  readonly isVisible: boolean
}

const locations = statement<{ after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('blob_location')
    .innerJoin('blob', 'blob.id', 'blob_location.blob_id')
    .select((eb) => [
      'blob_location.id',
      'blob_location.blob_id as blobId',
      'blob_location.store',
      'blob_location.key',
      'blob_location.state',
      'blob.digest',
      'blob.size_bytes as sizeBytes',
      eb
        .selectFrom('blob_location as other')
        .select('other.id')
        .whereRef('other.blob_id', '=', 'blob.id')
        .where('other.state', '=', active)
        .whereRef('other.id', '!=', 'blob_location.id')
        .as('activeId'),
      eb
        .selectFrom('repository_blob')
        .select('repository_blob.blob_id')
        .whereRef('repository_blob.blob_id', '=', 'blob.id')
        .limit(1)
        .as('visibleBlobId'),
      eb
        .selectFrom('manifest_reference')
        .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
        .innerJoin('repository', 'repository.id', 'manifest.repository_id')
        .select('manifest.id')
        .whereRef('manifest_reference.digest', '=', 'blob.digest')
        .whereRef('repository.domain_id', '=', 'blob.domain_id')
        .where('blob_location.state', '=', 'quarantined')
        .where('manifest_reference.kind', '=', 'blob')
        .where('manifest.storage_class', '!=', 'active')
        .where('manifest.trashed_at', 'is', null)
        .limit(1)
        .as('archivedUserId'),
    ])
    .where('blob_location.id', '>', p.after)
    .where('blob_location.state', 'in', ['active', 'quarantined'])
    .orderBy('blob_location.id')
    .limit(p.limit),
)

/** Where blobs are, after the given place, by id; what is being deleted is left out. */
export async function walkLocations(session: Session, after: number, limit: number): Promise<WalkedLocation[]> {
  const rows = await session.all(locations, { after, limit })
  return rows.map((row) => ({
    id: row.id,
    blobId: row.blobId,
    store: row.store,
    key: row.key,
    state: row.state as WalkedLocation['state'],
    digest: digestFromBytes(row.digest),
    sizeBytes: row.sizeBytes,
    isReplaced: row.activeId !== null,
    isVisible: row.visibleBlobId !== null || row.archivedUserId !== null,
  }))
}

const state = statement<{ id: number }>()((db, p) =>
  db.selectFrom('blob_location').select('state').where('id', '=', p.id),
)

/** What has become of a place meanwhile; undefined when it is gone. */
export async function locationState(session: Session, id: number): Promise<string | undefined> {
  return (await session.first(state, { id }))?.state
}

const users = statement<{ blobId: number; limit: number }>()((db, p) =>
  db
    .selectFrom('blob')
    .innerJoin('manifest_reference', 'manifest_reference.digest', 'blob.digest')
    .innerJoin('repository', (join) =>
      join
        .onRef('repository.id', '=', 'manifest_reference.repository_id')
        .onRef('repository.domain_id', '=', 'blob.domain_id'),
    )
    .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
    .select(['repository.name as repository', 'manifest.digest'])
    .distinct()
    .where('blob.id', '=', p.blobId)
    .where('manifest_reference.kind', '=', 'blob')
    .where('manifest.trashed_at', 'is', null)
    .where('repository.trashed_at', 'is', null)
    .limit(p.limit),
)

/** Up to `limit` living manifests that name a blob, as `repository@digest`. */
export async function usersOfBlob(session: Session, blobId: number, limit: number): Promise<string[]> {
  const rows = await session.all(users, { blobId, limit })
  return rows.map(({ repository, digest }) => `${repository}@${digestFromBytes(digest)}`).sort()
}

const lockBlob = statement<{ blobId: number }>()((db, p, dialect) =>
  db
    .selectFrom('blob')
    .select('id')
    .where('id', '=', p.blobId)
    .$if(dialect === 'postgres', (query) => query.forUpdate()),
)

const reinstate = statement<{ id: number; blobId: number }>()((db, p) =>
  db
    .updateTable('blob_location')
    .set({ state: 'active' })
    .where('id', '=', p.id)
    .where('state', '=', 'quarantined')
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('blob_location as other')
            .select('other.id')
            .where('other.blob_id', '=', p.blobId)
            .where('other.state', '=', active),
        ),
      ),
    ),
)

/**
 * Puts a quarantined place back into service, whose bytes the caller knows to be right. False when it is not
 * quarantined any more, or the blob was given other bytes.
 */
export async function reinstateLocation(tx: Session, location: { id: number; blobId: number }): Promise<boolean> {
  // Whoever gives the blob a place locks its row as well, so that there are never two.
  await tx.first(lockBlob, location)
  return (await tx.change(reinstate, location)) > 0
}

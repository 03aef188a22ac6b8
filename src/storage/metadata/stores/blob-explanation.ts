import { digestFromBytes, digestToBytes, type Digest } from '../../../values/digest.ts'
import type { Session } from '../session.ts'
import { statement, type QueryBuilder } from '../statement.ts'
import { endOfTrash } from './purge-store.ts'

/*
 * Everything that keeps a blob, of all accounts: for those who run the installation.
 */

export interface ExplainedBlobRow {
  readonly id: number
  readonly domainId: number
  readonly domain: string
  readonly sizeBytes: number
  readonly createdAt: number
}

const domains = statement()((db) => db.selectFrom('blob_domain').select(['id', 'name']).orderBy('id'))

const ofDomain = statement<{ domainId: number; digest: Uint8Array }>()((db, p) =>
  db.selectFrom('blob').select(['id', 'size_bytes as sizeBytes', 'created_at as createdAt']).where('domain_id', '=', p.domainId).where('digest', '=', p.digest),
)

/** The blobs of a digest: one for each domain that has it. There are a handful of domains. */
export async function blobsOfDigest(session: Session, digest: Digest): Promise<ExplainedBlobRow[]> {
  const found: ExplainedBlobRow[] = []
  for (const { id: domainId, name: domain } of await session.all(domains, {})) {
    const blob = await session.first(ofDomain, { domainId, digest: digestToBytes(digest) })
    if (blob !== undefined) found.push({ ...blob, domainId, domain })
  }
  return found
}

export interface ExplainedPlace {
  readonly store: string
  readonly key: string
  readonly state: string
  readonly createdAt: number
  readonly storedBytes: number | null
  /** When a review of it is due. */
  readonly dueAt: number | null
}

const places = statement<{ blobId: number }>()((db, p) =>
  db
    .selectFrom('blob_location')
    .leftJoin('review', (join) => join.on('review.kind', '=', 'location').onRef('review.subject_id', '=', 'blob_location.id').on('review.repository_id', '=', 0))
    .select(['store', 'key', 'state', 'created_at as createdAt', 'stored_size_bytes as storedBytes', 'review.due_at as dueAt'])
    .where('blob_location.blob_id', '=', p.blobId)
    .orderBy('blob_location.id'),
)

export function placesOfBlob(session: Session, blobId: number): Promise<ExplainedPlace[]> {
  return session.all(places, { blobId })
}

export interface Namer {
  readonly accountId: string
  readonly region: string
  readonly repository: string
  readonly digest: Digest
  readonly storageClass: string
  /** Set for one that is in the trash, itself or with its repository: when it may go. */
  readonly purgeAfter: number | null
}

interface Named {
  readonly domainId: number
  readonly digest: Uint8Array
  readonly limit: number
}

const namers = (db: QueryBuilder, p: Named) =>
  db
    .selectFrom('manifest_reference')
    .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
    .innerJoin('repository', 'repository.id', 'manifest.repository_id')
    .innerJoin('registry', 'registry.id', 'repository.registry_id')
    .select([
      'registry.account_id as accountId',
      'registry.region',
      'repository.name as repository',
      'manifest.digest',
      'manifest.storage_class as storageClass',
      'manifest.trashed_at as trashedAt',
      'manifest.purge_after as purgeAfter',
      'repository.trashed_at as repositoryTrashedAt',
      'repository.purge_after as repositoryPurgeAfter',
    ])
    .distinct()
    .where('manifest_reference.digest', '=', p.digest)
    .where('manifest_reference.kind', '=', 'blob')
    .where('repository.domain_id', '=', p.domainId)
    .limit(p.limit)

const livingNamers = statement<Named>()((db, p) => namers(db, p).where('manifest.trashed_at', 'is', null).where('repository.trashed_at', 'is', null))

const trashedNamers = statement<Named>()((db, p) =>
  namers(db, p).where((eb) => eb.or([eb('manifest.trashed_at', 'is not', null), eb('repository.trashed_at', 'is not', null)])),
)

/** Images that name a blob, up to `limit`: living ones, and where there are none those in the trash. */
export async function namersOfBlob(session: Session, blob: { domainId: number; digest: Digest }, limit: number): Promise<Namer[]> {
  const named = { domainId: blob.domainId, digest: digestToBytes(blob.digest), limit }
  const living = await session.all(livingNamers, named)
  const rows = living.length > 0 ? living : await session.all(trashedNamers, named)
  return rows.map(({ digest, trashedAt, purgeAfter, repositoryTrashedAt, repositoryPurgeAfter, ...row }) => {
    const ends = [
      ...(trashedAt === null ? [] : [endOfTrash({ purgeAfter, trashedAt })]),
      ...(repositoryTrashedAt === null ? [] : [repositoryPurgeAfter ?? repositoryTrashedAt]),
    ]
    return { ...row, digest: digestFromBytes(digest), purgeAfter: ends.length === 0 ? null : Math.min(...ends) }
  })
}

export interface SeenIn {
  readonly accountId: string
  readonly region: string
  readonly repository: string
  readonly since: number
  /** When it is looked at whether an image of the repository uses it; null where nothing is to be looked at. */
  readonly dueAt: number | null
}

const seers = statement<{ blobId: number; limit: number }>()((db, p) =>
  db
    .selectFrom('repository_blob')
    .innerJoin('repository', 'repository.id', 'repository_blob.repository_id')
    .innerJoin('registry', 'registry.id', 'repository.registry_id')
    .leftJoin('review', (join) =>
      join
        .on('review.kind', '=', 'repository-blob')
        .onRef('review.subject_id', '=', 'repository_blob.blob_id')
        .onRef('review.repository_id', '=', 'repository_blob.repository_id'),
    )
    .select(['registry.account_id as accountId', 'registry.region', 'repository.name as repository', 'repository_blob.added_at as since', 'review.due_at as dueAt'])
    .where('repository_blob.blob_id', '=', p.blobId)
    .orderBy('repository_blob.repository_id')
    .limit(p.limit),
)

/** Repositories that see a blob, up to `limit`. */
export function repositoriesThatSee(session: Session, blobId: number, limit: number): Promise<SeenIn[]> {
  return session.all(seers, { blobId, limit })
}

export interface BlobReview {
  readonly kind: string
  readonly dueAt: number
  readonly reason: string
  readonly attemptCount: number
  readonly leasedUntil: number | null
}

const reviews = statement<{ blobId: number }>()((db, p) =>
  db
    .selectFrom('review')
    .select(['kind', 'due_at as dueAt', 'reason', 'attempt_count as attemptCount', 'leased_until as leasedUntil'])
    .where('kind', 'in', ['blob', 'placement'])
    .where('subject_id', '=', p.blobId)
    .where('repository_id', '=', 0)
    .orderBy('due_at'),
)

/** Of the blob itself. */
export function reviewsOfBlob(session: Session, blobId: number): Promise<BlobReview[]> {
  return session.all(reviews, { blobId })
}

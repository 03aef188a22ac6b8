import { sql, type Selectable } from 'kysely'
import { digestFromBytes, digestToBytes, type Digest } from '../../../values/digest.ts'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement, type QueryBuilder } from '../statement.ts'

export type ManifestRow = Selectable<Schema['manifest']>

interface ByTag {
  registryId: number
  name: string
  tag: string
}

interface ByDigest {
  registryId: number
  name: string
  digest: Uint8Array
}

const headColumns = ['manifest.id', 'manifest.digest', 'manifest.media_type', 'manifest.size_bytes', 'manifest.retirement'] as const

/**
 * A part of the statement, and no parameter: SQLite prepares a statement anew each time it is run where a partial index is of the
 * column that a parameter is compared with (https://sqlite.org/c3ref/prepare.html), which took four fifths of its time.
 */
const active = sql.lit('active')

/** The manifest a tag points at; archived and trashed images are not there for a pull. */
const taggedManifest = (db: QueryBuilder, p: ByTag) =>
  db
    .selectFrom('repository')
    .innerJoin('tag', 'tag.repository_id', 'repository.id')
    .innerJoin('manifest', 'manifest.id', 'tag.manifest_id')
    .where('repository.registry_id', '=', p.registryId)
    .where('repository.name', '=', p.name)
    .where('repository.trashed_at', 'is', null)
    .where('tag.name', '=', p.tag)
    .where('manifest.trashed_at', 'is', null)
    .where('manifest.storage_class', '=', active)

const namedManifest = (db: QueryBuilder, p: ByDigest) =>
  db
    .selectFrom('repository')
    .innerJoin('manifest', 'manifest.repository_id', 'repository.id')
    .where('repository.registry_id', '=', p.registryId)
    .where('repository.name', '=', p.name)
    .where('repository.trashed_at', 'is', null)
    .where('manifest.digest', '=', p.digest)
    .where('manifest.trashed_at', 'is', null)
    .where('manifest.storage_class', '=', active)

/** What a pull needs, in one statement. */
const payloadByTag = statement<ByTag>()((db, p) =>
  taggedManifest(db, p)
    .innerJoin('manifest_payload', 'manifest_payload.manifest_id', 'manifest.id')
    .select([...headColumns, 'manifest_payload.payload']),
)

const payloadByDigest = statement<ByDigest>()((db, p) =>
  namedManifest(db, p)
    .innerJoin('manifest_payload', 'manifest_payload.manifest_id', 'manifest.id')
    .select([...headColumns, 'manifest_payload.payload']),
)

const headByTag = statement<ByTag>()((db, p) => taggedManifest(db, p).select(headColumns))

const headByDigest = statement<ByDigest>()((db, p) => namedManifest(db, p).select(headColumns))

export interface PullableManifest {
  readonly id: number
  readonly digest: Digest
  readonly mediaType: string
  readonly sizeBytes: number
  /** 0: none; what `retirement-store.ts` tells more of otherwise. */
  readonly retirement: number
}

interface HeadRow {
  id: number
  digest: Uint8Array
  media_type: string
  size_bytes: number
  retirement: number
}

function pullable(row: HeadRow): PullableManifest {
  const { id, media_type: mediaType, size_bytes: sizeBytes, retirement } = row
  return { id, digest: digestFromBytes(row.digest), mediaType, sizeBytes, retirement }
}

function payloadOf(row: HeadRow & { payload: Uint8Array }): PullableManifest & { bytes: Buffer } {
  const { payload } = row
  return { ...pullable(row), bytes: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength) }
}

export async function findPayloadByTag(session: Session, registryId: number, name: string, tag: string) {
  const row = await session.first(payloadByTag, { registryId, name, tag })
  return row && payloadOf(row)
}

export async function findPayloadByDigest(session: Session, registryId: number, name: string, digest: Digest) {
  const row = await session.first(payloadByDigest, { registryId, name, digest: digestToBytes(digest) })
  return row && payloadOf(row)
}

export async function findPullableByTag(session: Session, registryId: number, name: string, tag: string) {
  const row = await session.first(headByTag, { registryId, name, tag })
  return row && pullable(row)
}

export async function findPullableByDigest(session: Session, registryId: number, name: string, digest: Digest) {
  const row = await session.first(headByDigest, { registryId, name, digest: digestToBytes(digest) })
  return row && pullable(row)
}

const row = statement<{ repositoryId: number; digest: Uint8Array }>()((db, p) =>
  db.selectFrom('manifest').selectAll().where('repository_id', '=', p.repositoryId).where('digest', '=', p.digest),
)

/** The row whatever its state, trashed included. */
export function findManifestRow(session: Session, repositoryId: number, digest: Digest): Promise<ManifestRow | undefined> {
  return session.first(row, { repositoryId, digest: digestToBytes(digest) })
}

export type NewManifestRow = Pick<
  ManifestRow,
  | 'repository_id'
  | 'digest'
  | 'media_type'
  | 'kind'
  | 'artifact_type'
  | 'size_bytes'
  | 'image_size_bytes'
  | 'subject_digest'
  | 'annotations'
  | 'pushed_at'
  | 'pushed_by'
>

const insert = statement<NewManifestRow>()((db, p) =>
  db
    .insertInto('manifest')
    .values({
      repository_id: p.repository_id,
      digest: p.digest,
      media_type: p.media_type,
      kind: p.kind,
      artifact_type: p.artifact_type,
      size_bytes: p.size_bytes,
      image_size_bytes: p.image_size_bytes,
      subject_digest: p.subject_digest,
      annotations: p.annotations,
      pushed_at: p.pushed_at,
      pushed_by: p.pushed_by,
      storage_class: 'active',
    })
    .returning('id'),
)

const insertPayload = statement<{ manifestId: number; payload: Uint8Array }>()((db, p) =>
  db.insertInto('manifest_payload').values({ manifest_id: p.manifestId, payload: p.payload }),
)

export interface ReferenceEdge {
  readonly digest: Digest
  readonly kind: 'manifest' | 'blob' | 'foreign'
  readonly role: 'config' | 'layer' | 'child'
  readonly mediaType: string
  readonly sizeBytes: number
}

/** Inserts a manifest with its bytes and its edges; the caller holds the repository's lock and knows it is new. */
export async function insertManifest(
  tx: Session,
  manifest: NewManifestRow,
  payload: Uint8Array,
  edges: readonly ReferenceEdge[],
): Promise<number> {
  const inserted = await tx.first(insert, manifest)
  if (!inserted) throw new Error('inserting a manifest returned no row')
  await tx.change(insertPayload, { manifestId: inserted.id, payload })
  await insertEdges(tx, inserted.id, manifest.repository_id, edges)
  return inserted.id
}

async function insertEdges(
  tx: Session,
  manifestId: number,
  repositoryId: number,
  edges: readonly ReferenceEdge[],
): Promise<void> {
  // Eight parameters a row, under SQLite's 32,766 for a statement.
  const chunkSize = 1000
  for (let start = 0; start < edges.length; start += chunkSize) {
    await tx.query(
      tx.builder.insertInto('manifest_reference').values(
        edges.slice(start, start + chunkSize).map((edge, index) => ({
          manifest_id: manifestId,
          position: start + index,
          repository_id: repositoryId,
          digest: digestToBytes(edge.digest),
          kind: edge.kind,
          role: edge.role,
          media_type: edge.mediaType,
          size_bytes: edge.sizeBytes,
        })),
      ),
    )
  }
}

type Reading = Pick<
  ManifestRow,
  'media_type' | 'kind' | 'artifact_type' | 'image_size_bytes' | 'subject_digest' | 'annotations'
>

const rewrite = statement<Reading & { id: number }>()((db, p) =>
  db
    .updateTable('manifest')
    .set({
      media_type: p.media_type,
      kind: p.kind,
      artifact_type: p.artifact_type,
      image_size_bytes: p.image_size_bytes,
      subject_digest: p.subject_digest,
      annotations: p.annotations,
    })
    .where('id', '=', p.id),
)

const dropEdges = statement<{ id: number }>()((db, p) =>
  db.deleteFrom('manifest_reference').where('manifest_id', '=', p.id),
)

/**
 * Replaces what was read from a manifest's bytes, and its edges; when and by whom it was pushed stay. The caller holds
 * the repository's lock and has checked the edges.
 */
export async function rewriteManifest(
  tx: Session,
  id: number,
  reading: Reading & Pick<ManifestRow, 'repository_id'>,
  edges: readonly ReferenceEdge[],
): Promise<void> {
  await tx.change(rewrite, { id, ...reading })
  await tx.change(dropEdges, { id })
  await insertEdges(tx, id, reading.repository_id, edges)
}

const mend = statement<{ id: number; payload: Uint8Array }>()((db, p) =>
  db
    .updateTable('manifest_payload')
    .set({ payload: p.payload })
    .where('manifest_id', '=', p.id)
    .where('payload', '!=', p.payload),
)

/** Puts the right bytes in the place of stored ones that are no longer those. Writes nothing where they are. */
export async function mendPayload(tx: Session, id: number, payload: Uint8Array): Promise<void> {
  await tx.change(mend, { id, payload })
}

const restore = statement<{ id: number; now: number; by: string }>()((db, p) =>
  db
    .updateTable('manifest')
    .set({
      trashed_at: null,
      purge_after: null,
      trashed_by: null,
      trash_batch: null,
      pushed_at: p.now,
      pushed_by: p.by,
    })
    .where('id', '=', p.id),
)

const forgetTrashedTags = statement<{ id: number }>()((db, p) =>
  db.deleteFrom('trashed_tag').where('manifest_id', '=', p.id),
)

/** A push of a trashed image brings it back, without the tags it held. */
export async function restoreManifestRow(tx: Session, id: number, now: number, by: string): Promise<void> {
  await tx.change(restore, { id, now, by })
  await tx.change(forgetTrashedTags, { id })
}

const activate = statement<{ id: number; now: number }>()((db, p) =>
  db.updateTable('manifest').set({ storage_class: 'active', last_activated_at: p.now }).where('id', '=', p.id),
)

/** The image can be pulled. */
export async function activateManifestRow(tx: Session, id: number, now: number): Promise<void> {
  await tx.change(activate, { id, now })
}

const trash = statement<{ id: number; now: number; purgeAfter: number; by: string; batch: string; rule: string | null }>()((db, p) =>
  db
    .updateTable('manifest')
    .set({ trashed_at: p.now, purge_after: p.purgeAfter, trashed_by: p.by, trash_batch: p.batch, trash_rule: p.rule })
    .where('id', '=', p.id),
)

const keepTags = statement<{ id: number }>()((db, p) =>
  db
    .insertInto('trashed_tag')
    .columns(['manifest_id', 'name', 'tagged_at'])
    .expression((eb) => eb.selectFrom('tag').select(['manifest_id', 'name', 'tagged_at']).where('manifest_id', '=', p.id))
    // Left over from a trashing before the last push.
    .onConflict((conflict) => conflict.doNothing()),
)

const dropTags = statement<{ id: number }>()((db, p) =>
  db.deleteFrom('tag').where('manifest_id', '=', p.id).returning('name'),
)

/** Trashes a manifest, remembering the tags it held; returns them. */
export async function trashManifestRow(
  tx: Session,
  id: number,
  trashing: { now: number; purgeAfter: number; by: string; batch: string; rule: string | null },
): Promise<string[]> {
  await tx.change(trash, { id, ...trashing })
  await tx.change(keepTags, { id })
  const dropped = await tx.all(dropTags, { id })
  return dropped.map(({ name }) => name).sort()
}

const blobEdges = statement<{ id: number }>()((db, p) =>
  db
    .selectFrom('manifest_reference')
    .innerJoin('repository', 'repository.id', 'manifest_reference.repository_id')
    .innerJoin('blob', (join) =>
      join
        .onRef('blob.digest', '=', 'manifest_reference.digest')
        .onRef('blob.domain_id', '=', 'repository.domain_id'),
    )
    .select(['blob.id as blobId', 'blob.digest'])
    .distinct()
    .where('manifest_reference.manifest_id', '=', p.id)
    .where('manifest_reference.kind', '!=', 'manifest'),
)

/** The blobs a manifest names, of those the domain knows. */
export async function blobsOfManifest(session: Session, id: number): Promise<{ blobId: number; digest: Digest }[]> {
  const rows = await session.all(blobEdges, { id })
  return rows.map(({ blobId, digest }) => ({ blobId, digest: digestFromBytes(digest) }))
}

export interface KnownManifest {
  readonly id: number
  readonly digest: Digest
  readonly imageSizeBytes: number
  readonly storageClass: string
}

/** Those of the digests that are living manifests of the repository. */
export async function findLivingManifests(
  session: Session,
  repositoryId: number,
  digests: readonly Digest[],
): Promise<KnownManifest[]> {
  const known: KnownManifest[] = []
  const chunkSize = 1000
  for (let start = 0; start < digests.length; start += chunkSize) {
    const rows = await session.query(
      session.builder
        .selectFrom('manifest')
        .select(['id', 'digest', 'image_size_bytes', 'storage_class'])
        .where('repository_id', '=', repositoryId)
        .where('trashed_at', 'is', null)
        .where('digest', 'in', digests.slice(start, start + chunkSize).map(digestToBytes)),
    )
    for (const found of rows) {
      known.push({ id: found.id, digest: digestFromBytes(found.digest), imageSizeBytes: found.image_size_bytes, storageClass: found.storage_class })
    }
  }
  return known
}

interface OfSubject {
  repositoryId: number
  subject: Uint8Array
  after: number
  limit: number
}

const ofSubject = (db: QueryBuilder, p: OfSubject) =>
  db
    .selectFrom('manifest')
    .select(['id', 'digest', 'media_type', 'artifact_type', 'size_bytes', 'annotations', 'storage_class'])
    .where('repository_id', '=', p.repositoryId)
    .where('subject_digest', '=', p.subject)
    .where('trashed_at', 'is', null)
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit)

const referrers = statement<OfSubject>()((db, p) => ofSubject(db, p))

const referrersInState = statement<OfSubject & { storageClass: string }>()((db, p) =>
  ofSubject(db, p).where('storage_class', '=', p.storageClass),
)

const referrersOfType = statement<OfSubject & { artifactType: string }>()((db, p) =>
  ofSubject(db, p).where('artifact_type', '=', p.artifactType),
)

const referrersOfTypeInState = statement<OfSubject & { artifactType: string; storageClass: string }>()((db, p) =>
  ofSubject(db, p).where('artifact_type', '=', p.artifactType).where('storage_class', '=', p.storageClass),
)

export interface ReferrerQuery {
  readonly repositoryId: number
  readonly subject: Digest
  /** Of one of these types; undefined: of any, or of none. */
  readonly artifactTypes: readonly string[] | undefined
  /** `active`, `archived`, `activating`; undefined takes all. */
  readonly storageClass: string | undefined
  readonly after: number
  readonly limit: number
}

/** Living manifests whose subject is the digest, whether or not that exists, in the order they were pushed. */
export async function listReferrerRows(session: Session, query: ReferrerQuery) {
  const { repositoryId, after, limit, artifactTypes, storageClass } = query
  const page = { repositoryId, subject: digestToBytes(query.subject), after, limit }
  if (artifactTypes === undefined) {
    return storageClass === undefined ? session.all(referrers, page) : session.all(referrersInState, { ...page, storageClass })
  }
  // A page of each type, of which the first are taken: one statement for all types would read every row there is of them.
  const pages = artifactTypes.map((artifactType) =>
    storageClass === undefined
      ? session.all(referrersOfType, { ...page, artifactType })
      : session.all(referrersOfTypeInState, { ...page, artifactType, storageClass }),
  )
  const [first = [], ...others] = await Promise.all(pages)
  if (others.length === 0) return first
  return [first, ...others].flat().sort((one, other) => one.id - other.id).slice(0, limit)
}

/** Pulls of a few moments, written together. */
export async function addPulls(
  tx: Session,
  pulls: readonly { manifestId: number; lastPulledAt: number; count: number }[],
): Promise<void> {
  for (const { manifestId, lastPulledAt, count } of pulls) await tx.change(addPull, { manifestId, lastPulledAt, count })
}

const addPull = statement<{ manifestId: number; lastPulledAt: number; count: number }>()((db, p) =>
  db
    .insertInto('manifest_pull')
    .columns(['manifest_id', 'last_pulled_at', 'pull_count'])
    // Selected from the manifest, which may have been purged since it was pulled.
    .expression((eb) =>
      eb
        .selectFrom('manifest')
        .select((select) => [
          'id',
          select.cast<number>(select.val(p.lastPulledAt), 'bigint').as('last_pulled_at'),
          select.cast<number>(select.val(p.count), 'bigint').as('pull_count'),
        ])
        .where('id', '=', p.manifestId),
    )
    .onConflict((conflict) =>
      conflict.column('manifest_id').doUpdateSet((eb) => ({
        last_pulled_at: eb
          .case()
          .when('manifest_pull.last_pulled_at', '>', eb.ref('excluded.last_pulled_at'))
          .then(eb.ref('manifest_pull.last_pulled_at'))
          .else(eb.ref('excluded.last_pulled_at'))
          .end(),
        pull_count: eb('manifest_pull.pull_count', '+', eb.ref('excluded.pull_count')),
      })),
    ),
)

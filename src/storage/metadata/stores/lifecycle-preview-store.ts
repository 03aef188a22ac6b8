import { sql } from 'kysely'
import { digestFromHex, type Digest } from '../../../values/digest.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

export interface PreviewRow {
  readonly id: number
  readonly document: string
  readonly status: string
  readonly failure: string | null
  readonly summary: string | null
  readonly startedAt: number
  readonly finishedAt: number | null
  readonly leasedUntil: number | null
}

const ofRepository = statement<{ repositoryId: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_preview')
    .select(['id', 'document', 'status', 'failure', 'summary', 'started_at as startedAt', 'finished_at as finishedAt', 'leased_until as leasedUntil'])
    .where('repository_id', '=', p.repositoryId),
)

/** The last preview of a repository. */
export function findPreview(session: Session, repositoryId: number): Promise<PreviewRow | undefined> {
  return session.first(ofRepository, { repositoryId })
}

const dropPages = statement<{ previewId: number }>()((db, p) => db.deleteFrom('lifecycle_preview_page').where('preview_id', '=', p.previewId))
const drop = statement<{ previewId: number }>()((db, p) => db.deleteFrom('lifecycle_preview').where('id', '=', p.previewId))

/** Forgets a preview and its results. */
export async function removePreview(tx: Session, previewId: number): Promise<void> {
  await tx.change(dropPages, { previewId })
  await tx.change(drop, { previewId })
}

const insert = statement<{ repositoryId: number; document: string; now: number; by: string; owner: string; until: number }>()((db, p) =>
  db
    .insertInto('lifecycle_preview')
    .values({
      repository_id: p.repositoryId,
      document: p.document,
      status: 'IN_PROGRESS',
      started_at: p.now,
      started_by: p.by,
      leased_by: p.owner,
      leased_until: p.until,
    })
    .returning('id'),
)

export async function insertPreview(
  tx: Session,
  preview: { repositoryId: number; document: string; now: number; by: string; owner: string; until: number },
): Promise<number> {
  const row = await tx.first(insert, preview)
  if (!row) throw new Error('inserting a preview returned no row')
  return row.id
}

const keep = statement<{ previewId: number; owner: string; until: number }>()((db, p) =>
  db
    .updateTable('lifecycle_preview')
    .set({ leased_until: p.until })
    .where('id', '=', p.previewId)
    .where('leased_by', '=', p.owner)
    .where('status', '=', 'IN_PROGRESS'),
)

/** Renews the lease of whoever works at a preview. False: it is not theirs any more, or gone. */
export async function keepPreview(tx: Session, lease: { previewId: number; owner: string; until: number }): Promise<boolean> {
  return (await tx.change(keep, lease)) > 0
}

const insertPage = statement<{ previewId: number; firstManifestId: number; results: Uint8Array }>()((db, p) =>
  db
    .insertInto('lifecycle_preview_page')
    .values({ preview_id: p.previewId, first_manifest_id: p.firstManifestId, results: p.results }),
)

export async function insertPreviewPage(tx: Session, page: { previewId: number; firstManifestId: number; results: Uint8Array }): Promise<void> {
  await tx.change(insertPage, page)
}

const end = statement<{ previewId: number; owner: string; status: string; failure: string | null; summary: string | null; now: number }>()((db, p) =>
  db
    .updateTable('lifecycle_preview')
    .set({ status: p.status, failure: p.failure, summary: p.summary, finished_at: p.now, leased_by: null, leased_until: null })
    .where('id', '=', p.previewId)
    .where('leased_by', '=', p.owner),
)

/** False: the preview is not this owner's any more, or gone. */
export async function endPreview(
  tx: Session,
  ended: { previewId: number; owner: string; status: string; failure: string | null; summary: string | null; now: number },
): Promise<boolean> {
  return (await tx.change(end, ended)) > 0
}

const pageWith = statement<{ previewId: number; manifestId: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_preview_page')
    .select(['first_manifest_id as firstManifestId', 'results'])
    .where('preview_id', '=', p.previewId)
    .where('first_manifest_id', '<=', p.manifestId)
    .orderBy('first_manifest_id', 'desc')
    .limit(1),
)

const pageFrom = statement<{ previewId: number; manifestId: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_preview_page')
    .select(['first_manifest_id as firstManifestId', 'results'])
    .where('preview_id', '=', p.previewId)
    .where('first_manifest_id', '>', p.manifestId)
    .orderBy('first_manifest_id')
    .limit(1),
)

/** The results among which a manifest's is, if it has one. */
export async function previewPageWith(session: Session, previewId: number, manifestId: number): Promise<Uint8Array | undefined> {
  return (await session.first(pageWith, { previewId, manifestId }))?.results
}

/** The first results of those that begin after a manifest. */
export async function previewPageAfter(session: Session, previewId: number, manifestId: number): Promise<Uint8Array | undefined> {
  return (await session.first(pageFrom, { previewId, manifestId }))?.results
}

export interface ImageSummaryRow {
  readonly id: number
  readonly digest: Digest
  readonly pushedAt: number
  readonly storageClass: string
  readonly sizeBytes: number
}

/** What a preview shows of images, beside their tags; those that are gone are left out. */
export async function imageSummaries(session: Session, ids: readonly number[]): Promise<ImageSummaryRow[]> {
  const rows = await session.query(
    session.builder
      .selectFrom('manifest')
      .select(['id', 'pushed_at as pushedAt', 'storage_class as storageClass', 'image_size_bytes as sizeBytes'])
      .select(session.dialect === 'sqlite' ? sql<string>`lower(hex(digest))`.as('hex') : sql<string>`encode(digest, 'hex')`.as('hex'))
      .where('id', 'in', ids)
      .where('trashed_at', 'is', null),
  )
  return rows.map(({ hex, ...row }) => ({ ...row, digest: digestFromHex(hex) }))
}

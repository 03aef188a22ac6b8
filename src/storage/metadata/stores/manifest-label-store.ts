import { digestFromBytes, type Digest } from '../../../values/index.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/*
 * Labels and annotations of images, which are in the bytes of their configs and manifests. They are read from there once, when a
 * policy first asks for them, and never change.
 */

export interface LabelRow {
  readonly manifestId: number
  /** JSON objects of texts; or `null` where there are too many to keep. */
  readonly labels: string
  readonly annotations: string
}

export interface UnreadImage {
  readonly id: number
  readonly payload: Uint8Array
  /** Undefined where it has no config, as an index. */
  readonly config: { readonly digest: Digest; readonly mediaType: string; readonly sizeBytes: number } | undefined
}

const unread = statement<{ repositoryId: number; after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .innerJoin('manifest_payload', 'manifest_payload.manifest_id', 'manifest.id')
    .leftJoin('manifest_label', 'manifest_label.manifest_id', 'manifest.id')
    .leftJoin('manifest_reference as config', (join) => join.onRef('config.manifest_id', '=', 'manifest.id').on('config.role', '=', 'config'))
    .select(['manifest.id', 'manifest_payload.payload', 'config.digest', 'config.media_type as mediaType', 'config.size_bytes as sizeBytes'])
    .where('manifest.repository_id', '=', p.repositoryId)
    .where('manifest.trashed_at', 'is', null)
    .where('manifest.id', '>', p.after)
    .where('manifest_label.manifest_id', 'is', null)
    .orderBy('manifest.id')
    .limit(p.limit),
)

/** The next living images of a repository whose labels nobody has read yet, in the order of their numbers. */
export async function unreadImages(session: Session, page: { repositoryId: number; after: number; limit: number }): Promise<UnreadImage[]> {
  return (await session.all(unread, page)).map(({ id, payload, digest, mediaType, sizeBytes }) => ({
    id,
    payload,
    config: digest === null || mediaType === null || sizeBytes === null ? undefined : { digest: digestFromBytes(digest), mediaType, sizeBytes },
  }))
}

const save = statement<{ manifestId: number; labels: string; annotations: string }>()((db, p) =>
  db
    .insertInto('manifest_label')
    .columns(['manifest_id', 'labels', 'annotations'])
    .expression((eb) =>
      eb
        .selectFrom('manifest')
        .select((of) => ['manifest.id', of.val(p.labels).as('labels'), of.val(p.annotations).as('annotations')])
        .where('manifest.id', '=', p.manifestId),
    )
    .onConflict((conflict) => conflict.column('manifest_id').doNothing()),
)

/** Keeps what was read of images; those that are gone meanwhile are left out. */
export async function saveLabelRows(tx: Session, rows: readonly LabelRow[]): Promise<void> {
  for (const row of rows) await tx.change(save, row)
}

const ofWindow = statement<{ repositoryId: number; from: number; to: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .innerJoin('manifest_label', 'manifest_label.manifest_id', 'manifest.id')
    .select(['manifest.id as manifestId', 'manifest_label.labels', 'manifest_label.annotations'])
    .where('manifest.repository_id', '=', p.repositoryId)
    .where('manifest.trashed_at', 'is', null)
    .where('manifest.id', '>=', p.from)
    .where('manifest.id', '<=', p.to),
)

export function labelsOfWindow(session: Session, span: { repositoryId: number; from: number; to: number }): Promise<LabelRow[]> {
  return session.all(ofWindow, span)
}

/**
 * The labels of what indexes list, by the index (as `manifestId`), in the order in which they list it; nulls where nobody has read
 * them.
 */
export async function labelsOfChildren(
  session: Session,
  indexIds: readonly number[],
): Promise<{ manifestId: number; labels: string | null; annotations: string | null }[]> {
  if (indexIds.length === 0) return []
  return session.query(
    session.builder
      .selectFrom('manifest_reference as edge')
      .innerJoin('manifest as child', (join) =>
        join.onRef('child.repository_id', '=', 'edge.repository_id').onRef('child.digest', '=', 'edge.digest').on('child.trashed_at', 'is', null),
      )
      .leftJoin('manifest_label', 'manifest_label.manifest_id', 'child.id')
      .select(['edge.manifest_id as manifestId', 'manifest_label.labels', 'manifest_label.annotations'])
      .where('edge.manifest_id', 'in', indexIds)
      .where('edge.kind', '=', 'manifest')
      .orderBy('edge.manifest_id')
      .orderBy('edge.position'),
  )
}

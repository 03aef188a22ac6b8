import { digestFromBytes, type Digest } from '../../../values/digest.ts'
import type { Session } from '../session.ts'

/*
 * ECR's two listings of images. Both walk a repository's living manifests in the order of their ids, so a page
 * costs the page wherever it starts.
 */

export interface ListingFilter {
  /** `active`, `archived`, `activating`; undefined takes all. */
  readonly storageClass: string | undefined
  /** True: only images with a tag; false: only those without; undefined: both. */
  readonly tagged: boolean | undefined
}

export interface ListingRow {
  readonly manifestId: number
  readonly digest: Digest
  readonly tag: string | null
}

/** One row per tag, and one for an image without any; after (manifest, tag). */
export async function listImageRows(
  session: Session,
  repositoryId: number,
  filter: ListingFilter,
  after: { manifestId: number; tag: string },
  limit: number,
): Promise<ListingRow[]> {
  const { tagged, storageClass } = filter
  const rows = await session.query(
    session.builder
      .selectFrom('manifest')
      .leftJoin('tag', 'tag.manifest_id', 'manifest.id')
      .select(['manifest.id as manifestId', 'manifest.digest', 'tag.name as tag'])
      .where('manifest.repository_id', '=', repositoryId)
      .where('manifest.trashed_at', 'is', null)
      .where('manifest.id', '>=', after.manifestId)
      .where((eb) => eb.or([eb('manifest.id', '>', after.manifestId), eb('tag.name', '>', after.tag)]))
      .$if(storageClass !== undefined, (query) => query.where('manifest.storage_class', '=', storageClass ?? ''))
      .$if(tagged === true, (query) => query.where('tag.name', 'is not', null))
      .$if(tagged === false, (query) => query.where('tag.name', 'is', null))
      .orderBy('manifest.id')
      .orderBy('tag.name')
      .limit(limit),
  )
  return rows.map((row) => ({ manifestId: row.manifestId, digest: digestFromBytes(row.digest), tag: row.tag }))
}

export interface ImageRow {
  readonly manifestId: number
  readonly digest: Digest
  readonly tags: string[]
  readonly mediaType: string
  readonly artifactType: string | null
  readonly imageSizeBytes: number
  readonly pushedAt: number
  readonly lastPulledAt: number | null
  readonly subject: Digest | undefined
  readonly storageClass: string
  readonly lastArchivedAt: number | null
  readonly lastActivatedAt: number | null
}

/** Images with everything ECR says of them: those of `manifestIds`, or the page after `afterId`. */
export async function describeImageRows(
  session: Session,
  repositoryId: number,
  select: { manifestIds: readonly number[] } | { filter: ListingFilter; afterId: number; limit: number },
): Promise<ImageRow[]> {
  if ('manifestIds' in select && select.manifestIds.length === 0) return []
  let query = session.builder
    .selectFrom('manifest')
    .leftJoin('manifest_pull', 'manifest_pull.manifest_id', 'manifest.id')
    .select([
      'manifest.id',
      'manifest.digest',
      'manifest.media_type',
      'manifest.artifact_type',
      'manifest.image_size_bytes',
      'manifest.pushed_at',
      'manifest_pull.last_pulled_at',
      'manifest.subject_digest',
      'manifest.storage_class',
      'manifest.last_archived_at',
      'manifest.last_activated_at',
    ])
    .where('manifest.repository_id', '=', repositoryId)
    .where('manifest.trashed_at', 'is', null)
    .orderBy('manifest.id')
  if ('manifestIds' in select) {
    query = query.where('manifest.id', 'in', select.manifestIds)
  } else {
    const { filter, afterId, limit } = select
    query = query.where('manifest.id', '>', afterId).limit(limit)
    if (filter.storageClass !== undefined) query = query.where('manifest.storage_class', '=', filter.storageClass)
    if (filter.tagged !== undefined) {
      const { tagged } = filter
      query = query.where((eb) => {
        const hasTag = eb.exists(eb.selectFrom('tag').select('tag.name').whereRef('tag.manifest_id', '=', 'manifest.id'))
        return tagged ? hasTag : eb.not(hasTag)
      })
    }
  }
  const rows = await session.query(query)
  const tags = await tagsByManifest(session, rows.map(({ id }) => id))
  return rows.map((row) => ({
    manifestId: row.id,
    digest: digestFromBytes(row.digest),
    tags: tags.get(row.id) ?? [],
    mediaType: row.media_type,
    artifactType: row.artifact_type,
    imageSizeBytes: row.image_size_bytes,
    pushedAt: row.pushed_at,
    lastPulledAt: row.last_pulled_at,
    subject: row.subject_digest === null ? undefined : digestFromBytes(row.subject_digest),
    storageClass: row.storage_class,
    lastArchivedAt: row.last_archived_at,
    lastActivatedAt: row.last_activated_at,
  }))
}

async function tagsByManifest(session: Session, manifestIds: readonly number[]): Promise<Map<number, string[]>> {
  const tags = new Map<number, string[]>()
  if (manifestIds.length === 0) return tags
  const rows = await session.query(
    session.builder
      .selectFrom('tag')
      .select(['manifest_id', 'name'])
      .where('manifest_id', 'in', manifestIds)
      .orderBy('manifest_id')
      .orderBy('name'),
  )
  for (const { manifest_id: manifestId, name } of rows) {
    const names = tags.get(manifestId)
    if (names) names.push(name)
    else tags.set(manifestId, [name])
  }
  return tags
}

import { digestFromBytes, type Digest } from '../../../values/digest.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/*
 * ECR's two listings of images. Both walk a repository's living manifests in the order of their ids, so a page
 * costs the page wherever it starts. Whether an image has a tag is in no index of manifests: a page of only those with
 * or without one looks at so many and no more, and says how far it came.
 */

/** Images looked at for a page by their tags: some milliseconds' work, and more than a page has. */
const maxLookedAt = 2000

/** Tags that a page of described images holds beyond its first image: a page with more ends earlier. */
const maxTagsPerPage = 20_000

export interface ListingFilter {
  /** `active`, `archived`, `activating`; undefined takes all. */
  readonly storageClass: string | undefined
  /** True: only images with a tag; false: only those without; undefined: both. */
  readonly tagged: boolean | undefined
}

export interface ListingPage<Row> {
  readonly rows: Row[]
  /** The last manifest that was looked at, where there are others after it that were not. */
  readonly lookedAtId: number | undefined
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
): Promise<ListingPage<ListingRow>> {
  const { tagged, storageClass } = filter
  const lookedAtId = tagged === undefined ? undefined : await endOfLook(session, repositoryId, storageClass, after.manifestId)
  const rows = await session.query(
    session.builder
      .selectFrom('manifest')
      .leftJoin('tag', 'tag.manifest_id', 'manifest.id')
      .select(['manifest.id as manifestId', 'manifest.digest', 'tag.name as tag'])
      .where('manifest.repository_id', '=', repositoryId)
      .where('manifest.trashed_at', 'is', null)
      .where('manifest.id', '>=', after.manifestId)
      .where((eb) => eb.or([eb('manifest.id', '>', after.manifestId), eb('tag.name', '>', after.tag)]))
      .$if(lookedAtId !== undefined, (query) => query.where('manifest.id', '<=', lookedAtId ?? 0))
      .$if(storageClass !== undefined, (query) => query.where('manifest.storage_class', '=', storageClass ?? ''))
      .$if(tagged === true, (query) => query.where('tag.name', 'is not', null))
      .$if(tagged === false, (query) => query.where('tag.name', 'is', null))
      .orderBy('manifest.id')
      .orderBy('tag.name')
      .limit(limit),
  )
  return { rows: rows.map((row) => ({ manifestId: row.manifestId, digest: digestFromBytes(row.digest), tag: row.tag })), lookedAtId }
}

/** The manifest that is so many after `afterId` that looking ends there; undefined where there are fewer. */
async function endOfLook(
  session: Session,
  repositoryId: number,
  storageClass: string | undefined,
  afterId: number,
): Promise<number | undefined> {
  const [last, next] = await session.query(
    session.builder
      .selectFrom('manifest')
      .select('id')
      .where('repository_id', '=', repositoryId)
      .where('trashed_at', 'is', null)
      .where('id', '>', afterId)
      .$if(storageClass !== undefined, (query) => query.where('storage_class', '=', storageClass ?? ''))
      .orderBy('id')
      .limit(2)
      .offset(maxLookedAt - 1),
  )
  return next === undefined ? undefined : last?.id
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

/** A page of images with everything ECR says of them, in the order they came. */
export async function describeImagePage(
  session: Session,
  repositoryId: number,
  page: { filter: ListingFilter; afterId: number; limit: number },
): Promise<ListingPage<ImageRow>> {
  const { filter, afterId, limit } = page
  const { tagged, storageClass } = filter
  const lookedAtId = tagged === undefined ? undefined : await endOfLook(session, repositoryId, storageClass, afterId)
  let query = imagesOf(session, repositoryId).where('manifest.id', '>', afterId).limit(limit)
  if (lookedAtId !== undefined) query = query.where('manifest.id', '<=', lookedAtId)
  if (storageClass !== undefined) query = query.where('manifest.storage_class', '=', storageClass)
  if (tagged !== undefined) {
    query = query.where((eb) => {
      const hasTag = eb.exists(eb.selectFrom('tag').select('tag.name').whereRef('tag.manifest_id', '=', 'manifest.id'))
      return tagged ? hasTag : eb.not(hasTag)
    })
  }
  const rows = await session.query(query)
  const tags = await tagsOf(session, rows.map(({ id }) => id), maxTagsPerPage + 1)
  const tagCount = [...tags.values()].reduce((count, names) => count + names.length, 0)
  if (tagCount <= maxTagsPerPage) return { rows: rows.map((row) => toImageRow(row, tags.get(row.id))), lookedAtId }
  // Of the last image that has tags here some may be missing. The first has all of its own in any case.
  const incompleteId = [...tags.keys()].at(-1) ?? 0
  const [first, ...others] = rows
  if (first === undefined) return { rows: [], lookedAtId }
  const whole = others.filter(({ id }) => id < incompleteId).map((row) => toImageRow(row, tags.get(row.id)))
  const firstTags = first.id === incompleteId ? (await tagsOf(session, [first.id], undefined)).get(first.id) : tags.get(first.id)
  return { rows: [toImageRow(first, firstTags), ...whole], lookedAtId: whole.at(-1)?.manifestId ?? first.id }
}

/** The images of these manifests with everything ECR says of them. */
export async function describeImageRows(
  session: Session,
  repositoryId: number,
  manifestIds: readonly number[],
): Promise<ImageRow[]> {
  if (manifestIds.length === 0) return []
  const rows = await session.query(imagesOf(session, repositoryId).where('manifest.id', 'in', manifestIds))
  const tags = await tagsOf(session, rows.map(({ id }) => id), undefined)
  return rows.map((row) => toImageRow(row, tags.get(row.id)))
}

export interface LifeRow {
  readonly id: number
  readonly storageClass: string
  readonly retirement: number
}

const lives = statement<{ repositoryId: number; after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .select(['id', 'storage_class as storageClass', 'retirement'])
    .where('repository_id', '=', p.repositoryId)
    .where('trashed_at', 'is', null)
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit),
)

/** How far living images have come, in the order in which they came. */
export function listLives(session: Session, wanted: { repositoryId: number; after: number; limit: number }): Promise<LifeRow[]> {
  return session.all(lives, wanted)
}

function imagesOf(session: Session, repositoryId: number) {
  return session.builder
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
}

type SelectedImage = Awaited<ReturnType<ReturnType<typeof imagesOf>['execute']>>[number]

function toImageRow(row: SelectedImage, tags: string[] | undefined): ImageRow {
  return {
    manifestId: row.id,
    digest: digestFromBytes(row.digest),
    tags: tags ?? [],
    mediaType: row.media_type,
    artifactType: row.artifact_type,
    imageSizeBytes: row.image_size_bytes,
    pushedAt: row.pushed_at,
    lastPulledAt: row.last_pulled_at,
    subject: row.subject_digest === null ? undefined : digestFromBytes(row.subject_digest),
    storageClass: row.storage_class,
    lastArchivedAt: row.last_archived_at,
    lastActivatedAt: row.last_activated_at,
  }
}

/** Names by manifest, in the order of ids and names; the first `limit`. */
async function tagsOf(
  session: Session,
  manifestIds: readonly number[],
  limit: number | undefined,
): Promise<Map<number, string[]>> {
  const tags = new Map<number, string[]>()
  if (manifestIds.length === 0) return tags
  const rows = await session.query(
    session.builder
      .selectFrom('tag')
      .select(['manifest_id', 'name'])
      .where('manifest_id', 'in', manifestIds)
      .orderBy('manifest_id')
      .orderBy('name')
      .$if(limit !== undefined, (query) => query.limit(limit ?? 0)),
  )
  for (const { manifest_id: manifestId, name } of rows) {
    const names = tags.get(manifestId)
    if (names) names.push(name)
    else tags.set(manifestId, [name])
  }
  return tags
}

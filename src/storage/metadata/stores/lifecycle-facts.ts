import { sql } from 'kysely'
import type { Session } from '../session.ts'
import { statement, type QueryBuilder } from '../statement.ts'

/*
 * What the evaluation of policies reads of a repository's living images: window after window of their numbers, so that a
 * repository of any size is read in small steps.
 */

export interface FactRow {
  readonly id: number
  readonly storageClass: string
  readonly pushedAt: number
  readonly lastActivatedAt: number | null
  readonly lastArchivedAt: number | null
  readonly subject: Uint8Array | null
  /** Where it was asked for. */
  readonly kinds?: { readonly kind: string; readonly mediaType: string; readonly artifactType: string | null }
}

interface Window {
  repositoryId: number
  after: number
  limit: number
}

const windowOf = (db: QueryBuilder, p: Window) =>
  db
    .selectFrom('manifest')
    .select([
      'id',
      'storage_class as storageClass',
      'pushed_at as pushedAt',
      'last_activated_at as lastActivatedAt',
      'last_archived_at as lastArchivedAt',
      'subject_digest as subject',
    ])
    .where('repository_id', '=', p.repositoryId)
    .where('trashed_at', 'is', null)
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit)

// Each column of a million rows takes its time, texts and bytes most of all.
const window = statement<Window>()((db, p) => windowOf(db, p))
const windowWithKinds = statement<Window>()((db, p) => windowOf(db, p).select(['kind', 'media_type as mediaType', 'artifact_type as artifactType']))

/** The next living images of a repository, in the order of their numbers; with what kinds of things they are where asked for. */
export async function factWindow(session: Session, { withKinds, ...page }: Window & { readonly withKinds: boolean }): Promise<FactRow[]> {
  if (!withKinds) return session.all(window, page)
  const rows = await session.all(windowWithKinds, page)
  return rows.map(({ kind, mediaType, artifactType, ...row }) => ({ ...row, kinds: { kind, mediaType, artifactType } }))
}

const imageAfter = statement<{ repositoryId: number; count: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .select('id')
    .where('repository_id', '=', p.repositoryId)
    .where('trashed_at', 'is', null)
    .orderBy('id')
    .limit(1)
    .offset(p.count),
)

/** Whether a repository has more living images than that. Reads as many entries of an index: a hundred thousand in some milliseconds. */
export async function hasMoreImagesThan(session: Session, repositoryId: number, count: number): Promise<boolean> {
  return (await session.first(imageAfter, { repositoryId, count })) !== undefined
}

interface Span {
  repositoryId: number
  from: number
  to: number
}

const tags = statement<Span>()((db, p) =>
  db
    .selectFrom('manifest')
    .innerJoin('tag', 'tag.manifest_id', 'manifest.id')
    .select(['tag.manifest_id as manifestId', 'tag.name', 'tag.tagged_at as taggedAt'])
    .where('manifest.repository_id', '=', p.repositoryId)
    .where('manifest.trashed_at', 'is', null)
    .where('manifest.id', '>=', p.from)
    .where('manifest.id', '<=', p.to),
)

/** The tags of the images of a window. */
export function tagsOfWindow(session: Session, span: Span): Promise<{ manifestId: number; name: string; taggedAt: number }[]> {
  return session.all(tags, span)
}

const pulls = statement<Span>()((db, p) =>
  db
    .selectFrom('manifest')
    .innerJoin('manifest_pull', 'manifest_pull.manifest_id', 'manifest.id')
    .select(['manifest.id as manifestId', 'manifest_pull.last_pulled_at as lastPulledAt'])
    .where('manifest.repository_id', '=', p.repositoryId)
    .where('manifest.trashed_at', 'is', null)
    .where('manifest.id', '>=', p.from)
    .where('manifest.id', '<=', p.to),
)

/** When the images of a window were last pulled, of those that ever were. */
export function pullsOfWindow(session: Session, span: Span): Promise<{ manifestId: number; lastPulledAt: number }[]> {
  return session.all(pulls, span)
}

const uses = statement<Span>()((db, p) =>
  db
    .selectFrom('manifest')
    .innerJoin('repository', 'repository.id', 'manifest.repository_id')
    .innerJoin('digest_use', (join) =>
      join.onRef('digest_use.registry_id', '=', 'repository.registry_id').onRef('digest_use.digest', '=', 'manifest.digest'),
    )
    .select(['manifest.id as manifestId', 'digest_use.last_used_at as lastUsedAt', 'digest_use.repository as usedIn', 'repository.name as repository'])
    .where('manifest.repository_id', '=', p.repositoryId)
    .where('manifest.trashed_at', 'is', null)
    .where('manifest.id', '>=', p.from)
    .where('manifest.id', '<=', p.to),
)

/** When workloads last had the images of a window, of those that any ever had. */
export async function usesOfWindow(session: Session, span: Span): Promise<{ manifestId: number; lastUsedAt: number }[]> {
  return (await session.all(uses, span)).filter(({ usedIn, repository }) => usedIn === '' || usedIn === repository)
}

const configs = statement<Span>()((db, p) =>
  db
    .selectFrom('manifest')
    .innerJoin('manifest_reference as edge', 'edge.manifest_id', 'manifest.id')
    .select(['manifest.id as manifestId', 'edge.media_type as mediaType'])
    .where('manifest.repository_id', '=', p.repositoryId)
    .where('manifest.trashed_at', 'is', null)
    .where('manifest.id', '>=', p.from)
    .where('manifest.id', '<=', p.to)
    .where('edge.role', '=', 'config'),
)

/** The media types of the configs of a window's images. */
export function configTypesOfWindow(session: Session, span: Span): Promise<{ manifestId: number; mediaType: string }[]> {
  return session.all(configs, span)
}

/** Written into the statement: only so does the planner see that the partial index of indexes fits. */
const indexes = statement<Window>()((db, p) =>
  db
    .selectFrom('manifest')
    .select(['id', 'storage_class as storageClass'])
    .where('repository_id', '=', p.repositoryId)
    .where('kind', '=', sql.lit('index'))
    .where('trashed_at', 'is', null)
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit),
)

export interface ListedChild {
  readonly indexId: number
  readonly indexClass: string
  /** Null: what is listed is a blob, as in build caches, or not there. */
  readonly childId: number | null
  readonly lastPulledAt: number | null
  readonly lastUsedAt: number | null
}

/** What the next living indexes of a repository list, and the number of the last index; undefined where there are none left. */
export async function childrenOfIndexes(session: Session, page: Window): Promise<{ children: ListedChild[]; lastId: number } | undefined> {
  const classes = new Map((await session.all(indexes, page)).map(({ id, storageClass }) => [id, storageClass]))
  const ids = [...classes.keys()]
  const lastId = ids.at(-1)
  if (lastId === undefined) return undefined
  const children = await session.query(
    session.builder
      .selectFrom('manifest_reference as edge')
      .leftJoin('manifest as child', (join) =>
        join
          .onRef('child.repository_id', '=', 'edge.repository_id')
          .onRef('child.digest', '=', 'edge.digest')
          .on('child.trashed_at', 'is', null)
          .on('edge.kind', '=', 'manifest'),
      )
      .leftJoin('manifest_pull', 'manifest_pull.manifest_id', 'child.id')
      .leftJoin('repository', 'repository.id', 'child.repository_id')
      .leftJoin('digest_use', (join) =>
        join
          .onRef('digest_use.registry_id', '=', 'repository.registry_id')
          .onRef('digest_use.digest', '=', 'child.digest')
          .on((eb) => eb.or([eb('digest_use.repository', '=', ''), eb('digest_use.repository', '=', eb.ref('repository.name'))])),
      )
      .select(['edge.manifest_id as indexId', 'child.id as childId', 'manifest_pull.last_pulled_at as lastPulledAt', 'digest_use.last_used_at as lastUsedAt'])
      .where('edge.manifest_id', 'in', ids),
  )
  return { children: children.map((child) => ({ ...child, indexClass: classes.get(child.indexId)! })), lastId }
}

export interface ActivityRow {
  readonly id: number
  readonly lastPulledAt: number | null
  readonly lastUsedAt: number | null
}

/**
 * The latest pull and use of each manifest of a repository or of what it lists directly, as an evaluation reads them. Uses are
 * only looked up with `uses`.
 */
export async function activityOf(
  session: Session,
  repository: { readonly id: number; readonly name: string; readonly registry_id: number },
  ids: readonly number[],
  { uses: asksForUses }: { readonly uses: boolean },
): Promise<ActivityRow[]> {
  if (ids.length === 0) return []
  const { builder } = session
  const own = builder.selectFrom('manifest as image').select(['image.id', 'image.id as partId', 'image.digest']).where('image.id', 'in', ids)
  const listed = builder
    .selectFrom('manifest_reference as edge')
    .innerJoin('manifest as child', (join) => join.onRef('child.repository_id', '=', 'edge.repository_id').onRef('child.digest', '=', 'edge.digest'))
    .select(['edge.manifest_id as id', 'child.id as partId', 'child.digest'])
    .where('edge.manifest_id', 'in', ids)
    .where('edge.kind', '=', 'manifest')
    .where('child.trashed_at', 'is', null)
  const pulled = await session.query(
    builder
      .selectFrom(own.unionAll(listed).as('part'))
      .innerJoin('manifest_pull', 'manifest_pull.manifest_id', 'part.partId')
      .select((eb) => ['part.id', eb.fn.max<number | null>('manifest_pull.last_pulled_at').as('lastPulledAt')])
      .groupBy('part.id'),
  )
  const used = !asksForUses
    ? []
    : await session.query(
        builder
          .selectFrom(own.unionAll(listed).as('part'))
          .innerJoin('digest_use', 'digest_use.digest', 'part.digest')
          .select((eb) => ['part.id', eb.fn.max<number | null>('digest_use.last_used_at').as('lastUsedAt')])
          .where('digest_use.registry_id', '=', repository.registry_id)
          .where('digest_use.repository', 'in', ['', repository.name])
          .groupBy('part.id'),
      )
  const pulls = new Map(pulled.map(({ id, lastPulledAt }) => [id, lastPulledAt]))
  const uses = new Map(used.map(({ id, lastUsedAt }) => [id, lastUsedAt]))
  return ids.map((id) => ({ id, lastPulledAt: pulls.get(id) ?? null, lastUsedAt: uses.get(id) ?? null }))
}

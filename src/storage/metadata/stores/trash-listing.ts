import { digestFromBytes, type Digest } from '../../../values/digest.ts'
import type { Session } from '../session.ts'
import { statement, type QueryBuilder } from '../statement.ts'
import { findTag } from './tag-store.ts'

/*
 * What is in the trash, and how tags were changed, for whoever looks for something to bring back.
 */

export interface ListedTrashBatch {
  readonly id: string
  readonly repositoryName: string
  readonly kind: string
  /** JSON. */
  readonly cause: string
  readonly isSecurity: number
  readonly imageCount: number
  readonly tagCount: number
  readonly createdAt: number
  readonly createdBy: string
  readonly purgeAfter: number
}

const columns = [
  'trash_batch.id',
  'repository.name as repositoryName',
  'trash_batch.kind',
  'trash_batch.cause',
  'trash_batch.is_security as isSecurity',
  'trash_batch.image_count as imageCount',
  'trash_batch.tag_count as tagCount',
  'trash_batch.created_at as createdAt',
  'trash_batch.created_by as createdBy',
  'trash_batch.purge_after as purgeAfter',
] as const

/** A place in a list, the newest first: what comes after it is older. */
export interface TrashPosition {
  readonly createdAt: number
  readonly id: string
}

const ofRegistry = statement<TrashPosition & { registryId: number; limit: number }>()((db, p) =>
  db
    .selectFrom('trash_batch')
    .innerJoin('repository', 'repository.id', 'trash_batch.repository_id')
    .select(columns)
    .where('trash_batch.registry_id', '=', p.registryId)
    .where('trash_batch.purged_at', 'is', null)
    .where('trash_batch.restored_at', 'is', null)
    .where((eb) =>
      eb.or([
        eb('trash_batch.created_at', '<', p.createdAt),
        eb.and([eb('trash_batch.created_at', '=', p.createdAt), eb('trash_batch.id', '<', p.id)]),
      ]),
    )
    .orderBy('trash_batch.created_at', 'desc')
    .orderBy('trash_batch.id', 'desc')
    .limit(p.limit),
)

const ofName = statement<TrashPosition & { registryId: number; name: string; limit: number }>()((db, p) =>
  db
    .selectFrom('trash_batch')
    .innerJoin('repository', 'repository.id', 'trash_batch.repository_id')
    .select(columns)
    // Deleted repositories of the name have trash too.
    .where('trash_batch.repository_id', 'in', (eb) =>
      eb.selectFrom('repository as named').select('named.id').where('named.registry_id', '=', p.registryId).where('named.name', '=', p.name),
    )
    .where('trash_batch.purged_at', 'is', null)
    .where('trash_batch.restored_at', 'is', null)
    .where((eb) =>
      eb.or([
        eb('trash_batch.created_at', '<', p.createdAt),
        eb.and([eb('trash_batch.created_at', '=', p.createdAt), eb('trash_batch.id', '<', p.id)]),
      ]),
    )
    .orderBy('trash_batch.created_at', 'desc')
    .orderBy('trash_batch.id', 'desc')
    .limit(p.limit),
)

/** Batches from which something is still in the trash, of a registry or of the repositories of one name; the newest first. */
export function listTrashBatches(
  session: Session,
  { registryId, name, before, limit }: { registryId: number; name: string | undefined; before: TrashPosition; limit: number },
): Promise<ListedTrashBatch[]> {
  if (name === undefined) return session.all(ofRegistry, { registryId, ...before, limit })
  return session.all(ofName, { registryId, name, ...before, limit })
}

const ofRepository = statement<{ registryId: number; name: string }>()((db, p) =>
  db
    .selectFrom('trash_batch')
    .innerJoin('repository', 'repository.id', 'trash_batch.repository_id')
    .select('trash_batch.id')
    .where('repository.registry_id', '=', p.registryId)
    .where('repository.name', '=', p.name)
    .where('trash_batch.kind', '=', 'repository')
    .where('trash_batch.purged_at', 'is', null)
    .where('trash_batch.restored_at', 'is', null)
    .orderBy('trash_batch.created_at', 'desc')
    .limit(1),
)

/** The batch that brings the repository of a name back that was deleted last, as long as it is in the trash. */
export async function findRepositoryBatch(session: Session, wanted: { registryId: number; name: string }): Promise<string | undefined> {
  return (await session.first(ofRepository, wanted))?.id
}

const byId = statement<{ registryId: number; name: string; id: string }>()((db, p) =>
  db
    .selectFrom('trash_batch')
    .innerJoin('repository', 'repository.id', 'trash_batch.repository_id')
    .select(columns)
    .select('trash_batch.repository_id as repositoryId')
    .where('trash_batch.id', '=', p.id)
    .where('trash_batch.registry_id', '=', p.registryId)
    .where('repository.name', '=', p.name)
    .where('trash_batch.purged_at', 'is', null)
    .where('trash_batch.restored_at', 'is', null),
)

/** A batch of a repository of this name, living or deleted, while something of it is in the trash. */
export function findListedBatch(
  session: Session,
  wanted: { registryId: number; name: string; id: string },
): Promise<(ListedTrashBatch & { readonly repositoryId: number }) | undefined> {
  return session.first(byId, wanted)
}

export interface TrashedImageRow {
  readonly id: number
  readonly digest: Uint8Array
  readonly mediaType: string
  readonly imageSizeBytes: number
  readonly pushedAt: number
  readonly rule: string | null
  readonly tags: readonly string[]
}

const imagesOfBatch = statement<{ batch: string; repositoryId: number; after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .select(['id', 'digest', 'media_type as mediaType', 'image_size_bytes as imageSizeBytes', 'pushed_at as pushedAt', 'trash_rule as rule'])
    .where('trash_batch', '=', p.batch)
    .where('repository_id', '=', p.repositoryId)
    .where('trashed_at', 'is not', null)
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit),
)

/** The images of a batch that are still in the trash, with the tags that they had. */
export async function listTrashedImages(
  session: Session,
  wanted: { batch: string; repositoryId: number; after: number; limit: number },
): Promise<TrashedImageRow[]> {
  const rows = await session.all(imagesOfBatch, wanted)
  if (rows.length === 0) return []
  const held = await session.query(
    session.builder
      .selectFrom('trashed_tag')
      .select(['manifest_id as manifestId', 'name'])
      .where('manifest_id', 'in', rows.map(({ id }) => id))
      .orderBy('name'),
  )
  const tags = Map.groupBy(held, ({ manifestId }) => manifestId)
  return rows.map((row) => ({ ...row, tags: (tags.get(row.id) ?? []).map(({ name }) => name) }))
}

const heldByBatch = statement<{ batch: string; repositoryId: number; limit: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .leftJoin('trashed_tag', 'trashed_tag.manifest_id', 'manifest.id')
    .select('trashed_tag.name')
    .distinct()
    .where('manifest.trash_batch', '=', p.batch)
    .where('manifest.repository_id', '=', p.repositoryId)
    .where('manifest.trashed_at', 'is not', null)
    .limit(p.limit),
)

/** The tags that images of a batch had, up to `limit`; undefined stands for images that had none. */
export async function tagsOfBatch(session: Session, wanted: { batch: string; repositoryId: number; limit: number }): Promise<(string | undefined)[]> {
  return (await session.all(heldByBatch, wanted)).map(({ name }) => name ?? undefined)
}

const trashedWithTag = (db: QueryBuilder, p: { repositoryId: number; name: string }) =>
  db
    .selectFrom('tag_history')
    .innerJoin('manifest', (join) =>
      join.onRef('manifest.repository_id', '=', 'tag_history.repository_id').onRef('manifest.digest', '=', 'tag_history.previous_digest'),
    )
    .select(['manifest.digest', 'manifest.trash_batch as batch'])
    .where('tag_history.repository_id', '=', p.repositoryId)
    .where('tag_history.name', '=', p.name)
    .where('tag_history.digest', 'is', null)
    .whereRef('manifest.trash_batch', '=', 'tag_history.trash_batch')
    .where('manifest.trashed_at', 'is not', null)

const lastWithTag = statement<{ repositoryId: number; name: string }>()((db, p) =>
  trashedWithTag(db, p).where('tag_history.id', '=', (eb) =>
    eb
      .selectFrom('tag_history as newest')
      .select((of) => of.fn.max<number>('newest.id').as('id'))
      .where('newest.repository_id', '=', p.repositoryId)
      .where('newest.name', '=', p.name),
  ),
)

/** The image that went to the trash with a tag to which nothing has happened since, and is still there. */
export function findTrashedByTag(session: Session, repositoryId: number, name: string): Promise<{ digest: Uint8Array; batch: string | null } | undefined> {
  return session.first(lastWithTag, { repositoryId, name })
}

const anyWithTag = statement<{ repositoryId: number; name: string }>()((db, p) => trashedWithTag(db, p).orderBy('tag_history.id', 'desc').limit(1))

/** The image that went to the trash last with a tag, of those that are still there, whatever has the tag by now. */
export function findLastTrashedByTag(session: Session, repositoryId: number, name: string): Promise<{ digest: Uint8Array; batch: string | null } | undefined> {
  return session.first(anyWithTag, { repositoryId, name })
}

/** The image that has a tag, or else the one that went to the trash with it last and is still there. */
export async function findLivingOrTrashedByTag(session: Session, repositoryId: number, name: string): Promise<Digest | undefined> {
  const living = await findTag(session, repositoryId, name)
  if (living) return living.digest
  const trashed = await findLastTrashedByTag(session, repositoryId, name)
  return trashed && digestFromBytes(trashed.digest)
}

const lastLoss = statement<{ repositoryId: number; name: string }>()((db, p) =>
  db
    .selectFrom('tag_history')
    .select('previous_digest as digest')
    .where('digest', 'is', null)
    .where('id', '=', (eb) =>
      eb
        .selectFrom('tag_history as newest')
        .select((of) => of.fn.max<number>('newest.id').as('id'))
        .where('newest.repository_id', '=', p.repositoryId)
        .where('newest.name', '=', p.name),
    ),
)

/** Which image a tag was taken from that is free; undefined where the tag names an image, or nothing is known of it. */
export async function findLastLoss(session: Session, repositoryId: number, name: string): Promise<Uint8Array | undefined> {
  return (await session.first(lastLoss, { repositoryId, name }))?.digest ?? undefined
}

export interface ListedTagChange {
  readonly id: number
  readonly name: string
  readonly digest: Uint8Array | null
  readonly previousDigest: Uint8Array | null
  readonly changedAt: number
  readonly changedBy: string
}

const changeColumns = ['id', 'name', 'digest', 'previous_digest as previousDigest', 'changed_at as changedAt', 'changed_by as changedBy'] as const

const changes = statement<{ repositoryId: number; before: number; limit: number }>()((db, p) =>
  db
    .selectFrom('tag_history')
    .select(changeColumns)
    .where('repository_id', '=', p.repositoryId)
    .where('trash_batch', 'is', null)
    .where('id', '<', p.before)
    .orderBy('id', 'desc')
    .limit(p.limit),
)

const changesOfTag = statement<{ repositoryId: number; name: string; before: number; limit: number }>()((db, p) =>
  db
    .selectFrom('tag_history')
    .select(changeColumns)
    .where('repository_id', '=', p.repositoryId)
    .where('name', '=', p.name)
    .where('trash_batch', 'is', null)
    .where('id', '<', p.before)
    .orderBy('id', 'desc')
    .limit(p.limit),
)

/** Changes of tags whose images stayed, of one tag or all of a repository; the newest first. */
export function listTagChanges(
  session: Session,
  { name, ...wanted }: { repositoryId: number; name: string | undefined; before: number; limit: number },
): Promise<ListedTagChange[]> {
  return name === undefined ? session.all(changes, wanted) : session.all(changesOfTag, { ...wanted, name })
}

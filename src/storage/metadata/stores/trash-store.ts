import type { Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'
import { notePurged } from './purge-store.ts'

export type TrashBatchRow = Selectable<Schema['trash_batch']>

type Recorded = Omit<TrashBatchRow, 'restored_at' | 'restored_by' | 'purged_at'>

const record = statement<Recorded>()((db, p) =>
  db
    .insertInto('trash_batch')
    .values({
      id: p.id,
      registry_id: p.registry_id,
      repository_id: p.repository_id,
      kind: p.kind,
      cause: p.cause,
      is_security: p.is_security,
      image_count: p.image_count,
      tag_count: p.tag_count,
      created_at: p.created_at,
      created_by: p.created_by,
      purge_after: p.purge_after,
    })
    // A run fills its batch by several commands.
    .onConflict((conflict) =>
      conflict.column('id').doUpdateSet((eb) => ({
        image_count: eb('trash_batch.image_count', '+', eb.ref('excluded.image_count')),
        tag_count: eb('trash_batch.tag_count', '+', eb.ref('excluded.tag_count')),
        purge_after: eb.ref('excluded.purge_after'),
        // Of what went before, all may have come back already, or gone for good.
        restored_at: null,
        restored_by: null,
        purged_at: null,
      })),
    ),
)

/** Notes that something went to the trash, with what went in the same batch before. */
export async function recordTrashBatch(tx: Session, batch: Recorded): Promise<void> {
  await tx.change(record, batch)
}

const byId = statement<{ registryId: number; id: string }>()((db, p) =>
  db.selectFrom('trash_batch').selectAll().where('id', '=', p.id).where('registry_id', '=', p.registryId),
)

export function findTrashBatch(session: Session, registryId: number, id: string): Promise<TrashBatchRow | undefined> {
  return session.first(byId, { registryId, id })
}

const leave = statement<{ id: string; images: number; tags: number }>()((db, p) =>
  db
    .updateTable('trash_batch')
    .set((eb) => ({ image_count: eb('image_count', '-', p.images), tag_count: eb('tag_count', '-', p.tags) }))
    .where('id', '=', p.id),
)

const emptied = statement<{ id: string; now: number; by: string }>()((db, p) =>
  db
    .updateTable('trash_batch')
    .set({ restored_at: p.now, restored_by: p.by })
    .where('id', '=', p.id)
    .where('restored_at', 'is', null),
)

const anyMember = statement<{ batch: string }>()((db, p) => db.selectFrom('manifest').select('id').where('trash_batch', '=', p.batch).limit(1))

/** Notes that images of a batch came back; with the last of them the batch is over. */
export async function leaveTrashBatch(
  tx: Session,
  left: { id: string; images: number; tags: number; now: number; by: string },
): Promise<void> {
  const { id, images, tags, now, by } = left
  await tx.change(leave, { id, images, tags })
  if ((await tx.first(anyMember, { batch: id })) === undefined) await tx.change(emptied, { id, now, by })
}

/** Notes of images of a batch that they are gone for good; with the last of them the batch is over. */
export async function purgeFromBatch(tx: Session, gone: { id: string; images: number; tags: number; now: number }): Promise<void> {
  const { id, images, tags, now } = gone
  await tx.change(leave, { id, images, tags })
  await notePurged(tx, id, now)
}

/** Notes that a batch came back as a whole. */
export async function endTrashBatch(tx: Session, ended: { id: string; now: number; by: string }): Promise<void> {
  await tx.change(emptied, ended)
}

const members = statement<{ batch: string; repositoryId: number; after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .selectAll()
    .where('trash_batch', '=', p.batch)
    .where('repository_id', '=', p.repositoryId)
    .where('trashed_at', 'is not', null)
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit),
)

/** Images of a batch that are still in the trash, in the order of their numbers. */
export function trashedMembers(
  session: Session,
  wanted: { batch: string; repositoryId: number; after: number; limit: number },
): Promise<Selectable<Schema['manifest']>[]> {
  return session.all(members, wanted)
}

const heldTags = statement<{ manifestId: number }>()((db, p) =>
  db.selectFrom('trashed_tag').select(['name', 'tagged_at as taggedAt']).where('manifest_id', '=', p.manifestId).orderBy('name'),
)

/** The tags that an image had when it was trashed; those of before there was a time for them have none. */
export function tagsHeldInTrash(session: Session, manifestId: number): Promise<{ name: string; taggedAt: number | null }[]> {
  return session.all(heldTags, { manifestId })
}

const forgetTags = statement<{ manifestId: number }>()((db, p) => db.deleteFrom('trashed_tag').where('manifest_id', '=', p.manifestId))

const untrash = statement<{ id: number }>()((db, p) =>
  db
    .updateTable('manifest')
    .set({ trashed_at: null, purge_after: null, trashed_by: null, trash_batch: null })
    .where('id', '=', p.id),
)

/** Takes an image out of the trash as it was; its tags are the caller's. */
export async function untrashManifestRow(tx: Session, id: number): Promise<void> {
  await tx.change(untrash, { id })
  await tx.change(forgetTags, { manifestId: id })
}

const needs = statement<{ manifestId: number }>()((db, p) =>
  db.selectFrom('manifest_reference').select(['digest', 'kind']).where('manifest_id', '=', p.manifestId).where('kind', '!=', 'foreign'),
)

/** What a manifest names and needs: manifests and blobs. */
export function needsOfManifest(session: Session, manifestId: number): Promise<{ digest: Uint8Array; kind: string }[]> {
  return session.all(needs, { manifestId })
}

const putBack = statement<{ repositoryId: number; name: string; manifestId: number; taggedAt: number }>()((db, p) =>
  db
    .insertInto('tag')
    .values({ repository_id: p.repositoryId, name: p.name, manifest_id: p.manifestId, tagged_at: p.taggedAt })
    .onConflict((conflict) => conflict.doNothing())
    .returning('name'),
)

/** Points a tag at an image again, as long ago as it was. False when the name is taken. */
export async function putTagBack(
  tx: Session,
  tag: { repositoryId: number; name: string; manifestId: number; taggedAt: number },
): Promise<boolean> {
  return (await tx.first(putBack, tag)) !== undefined
}

const repositoryRow = statement<{ id: number }>()((db, p, dialect) =>
  db
    .selectFrom('repository')
    .selectAll()
    .where('id', '=', p.id)
    .$if(dialect === 'postgres', (query) => query.forNoKeyUpdate()),
)

/** A repository's row by its number, living or trashed, locked. */
export function lockRepositoryRowById(tx: Session, id: number): Promise<Selectable<Schema['repository']> | undefined> {
  return tx.first(repositoryRow, { id })
}

const untrashRepository = statement<{ id: number }>()((db, p) =>
  db
    .updateTable('repository')
    .set({ trashed_at: null, purge_after: null, trashed_by: null, trash_batch: null })
    .where('id', '=', p.id),
)

/** PostgreSQL's SQLSTATE of a row that may be there once only. */
const uniqueViolation = '23505'

/**
 * Takes a repository out of the trash with all that lies beneath it. False where another of its name was committed since somebody
 * looked, which PostgreSQL waits for here: then the transaction can only be given up.
 */
export async function untrashRepositoryRow(tx: Session, id: number): Promise<boolean> {
  try {
    await tx.change(untrashRepository, { id })
    return true
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === uniqueViolation) return false
    throw error
  }
}

export interface TagChangeRow {
  readonly id: number
  readonly name: string
  readonly digest: Uint8Array | null
  readonly previousDigest: Uint8Array | null
  readonly trashBatch: string | null
}

const tagChange = statement<{ repositoryId: number; id: number }>()((db, p) =>
  db
    .selectFrom('tag_history')
    .select(['id', 'name', 'digest', 'previous_digest as previousDigest', 'trash_batch as trashBatch'])
    .where('repository_id', '=', p.repositoryId)
    .where('id', '=', p.id),
)

export function findTagChange(session: Session, repositoryId: number, id: number): Promise<TagChangeRow | undefined> {
  return session.first(tagChange, { repositoryId, id })
}

interface Shortened {
  readonly repositoryId: number
  readonly batch: string
  readonly now: number
}

const shortenBatch = statement<Shortened>()((db, p) => db.updateTable('trash_batch').set({ purge_after: p.now }).where('id', '=', p.batch))

/** The time of a batch in the trash is over; `shortenTrash` ends that of its images. */
export async function shortenTrashBatch(tx: Session, batch: Shortened): Promise<void> {
  await tx.change(shortenBatch, batch)
}

/** Ends the time of images in the trash; their reviews are the caller's. */
export async function shortenTrash(tx: Session, ids: readonly number[], now: number): Promise<void> {
  if (ids.length > 0) await tx.query(tx.builder.updateTable('manifest').set({ purge_after: now }).where('id', 'in', ids))
}

const shortenRepository = statement<Shortened>()((db, p) =>
  db.updateTable('repository').set({ purge_after: p.now }).where('id', '=', p.repositoryId).where('trash_batch', '=', p.batch),
)

/** The time of a deleted repository in the trash is over; its review is the caller's. */
export async function shortenRepositoryTrash(tx: Session, batch: Shortened): Promise<void> {
  await tx.change(shortenBatch, batch)
  await tx.change(shortenRepository, batch)
}

import type { Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

export type UploadRow = Selectable<Schema['upload_session']>

export interface LivingUpload extends UploadRow {
  readonly domainId: number
}

const find = statement<{ registryId: number; name: string; id: string; now: number }>()((db, p) =>
  db
    .selectFrom('upload_session')
    .innerJoin('repository', 'repository.id', 'upload_session.repository_id')
    .selectAll('upload_session')
    .select('repository.domain_id as domainId')
    .where('upload_session.id', '=', p.id)
    .where('upload_session.expires_at', '>', p.now)
    .where('repository.registry_id', '=', p.registryId)
    .where('repository.name', '=', p.name)
    .where('repository.trashed_at', 'is', null),
)

/** A session of that repository that has not expired. */
export function findUpload(
  session: Session,
  registryId: number,
  name: string,
  id: string,
  now: number,
): Promise<LivingUpload | undefined> {
  return session.first(find, { registryId, name, id, now })
}

const insert = statement<{
  id: string
  repositoryId: number
  store: string
  bootId: string
  now: number
  by: string
  expiresAt: number
}>()((db, p) =>
  db.insertInto('upload_session').values({
    id: p.id,
    repository_id: p.repositoryId,
    store: p.store,
    writer_epoch: 0,
    size_bytes: 0,
    sha256_so_far: null,
    checksums_so_far: null,
    short_parts: 0,
    part_count: 0,
    boot_id: p.bootId,
    created_at: p.now,
    created_by: p.by,
    expires_at: p.expiresAt,
  }),
)

export async function insertUpload(
  tx: Session,
  upload: { id: string; repositoryId: number; store: string; bootId: string; now: number; by: string; expiresAt: number },
): Promise<void> {
  await tx.change(insert, upload)
}

const takeEpoch = statement<{ id: string; epoch: number; writer: string; expiresAt: number }>()((db, p) =>
  db
    .updateTable('upload_session')
    .set((eb) => ({ writer_epoch: eb('writer_epoch', '+', 1), writer: p.writer, expires_at: p.expiresAt }))
    .where('id', '=', p.id)
    .where('writer_epoch', '=', p.epoch)
    .returningAll(),
)

/** Becomes the session's one writer, by compare-and-set: undefined when somebody else did first. */
export function takeUpload(
  tx: Session,
  take: { id: string; epoch: number; writer: string; expiresAt: number },
): Promise<UploadRow | undefined> {
  return tx.first(takeEpoch, take)
}

const progress = statement<{
  id: string
  epoch: number
  sizeBytes: number
  sha256: Uint8Array | null
  checksums: Uint8Array | null
  shortParts: number
  partCount: number
  bootId: string
  expiresAt: number
}>()((db, p) =>
  db
    .updateTable('upload_session')
    .set({
      writer: null,
      size_bytes: p.sizeBytes,
      sha256_so_far: p.sha256,
      checksums_so_far: p.checksums,
      short_parts: p.shortParts,
      part_count: p.partCount,
      boot_id: p.bootId,
      expires_at: p.expiresAt,
    })
    .where('id', '=', p.id)
    .where('writer_epoch', '=', p.epoch),
)

/** Notes how far a writer got. False when it is no longer the writer: its bytes do not count. */
export async function saveUploadProgress(
  tx: Session,
  update: { id: string; epoch: number; sizeBytes: number; sha256: Uint8Array | null; checksums: Uint8Array | null; shortParts: number; partCount: number; bootId: string; expiresAt: number },
): Promise<boolean> {
  return (await tx.change(progress, update)) > 0
}

const removeAtEpoch = statement<{ id: string; epoch: number }>()((db, p) =>
  db.deleteFrom('upload_session').where('id', '=', p.id).where('writer_epoch', '=', p.epoch),
)

/** Ends a session if this writer still holds it. */
export async function deleteUploadAtEpoch(tx: Session, id: string, epoch: number): Promise<boolean> {
  return (await tx.change(removeAtEpoch, { id, epoch })) > 0
}

const releaseOne = statement<{ id: string; epoch: number }>()((db, p) =>
  db.updateTable('upload_session').set({ writer: null }).where('id', '=', p.id).where('writer_epoch', '=', p.epoch),
)

/** Notes that a writer has stopped, if it still is the writer. */
export async function releaseUploadWriter(tx: Session, id: string, epoch: number): Promise<void> {
  await tx.change(releaseOne, { id, epoch })
}

const release = statement()((db) => db.updateTable('upload_session').set({ writer: null }).where('writer', 'is not', null))

/** Forgets writers that are known to be dead: nobody will write under their name any more. */
export async function releaseUploadWriters(tx: Session): Promise<void> {
  await tx.change(release, {})
}

const expired = statement<{ now: number; limit: number }>()((db, p) =>
  db
    .selectFrom('upload_session')
    .select(['id', 'writer_epoch as epoch', 'writer', 'expires_at as expiresAt'])
    .where('expires_at', '<=', p.now)
    .orderBy('expires_at')
    .limit(p.limit),
)

export function expiredUploads(
  session: Session,
  now: number,
  limit: number,
): Promise<{ id: string; epoch: number; writer: string | null; expiresAt: number }[]> {
  return session.all(expired, { now, limit })
}

const open = statement<{ id: string; now: number }>()((db, p) =>
  db.selectFrom('upload_session').select('id').where('id', '=', p.id).where('expires_at', '>', p.now),
)

export async function isOpenUpload(session: Session, id: string, now: number): Promise<boolean> {
  return (await session.first(open, { id, now })) !== undefined
}

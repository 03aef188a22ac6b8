import type { Selectable } from 'kysely'
import { digestToBytes, type Digest } from '../../../values/digest.ts'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

export type ErasureRow = Selectable<Schema['erasure']>

/** Where to look for what is to be erased. */
export interface ErasureScope {
  readonly registryId: number
  /** Of repositories with this name, in the trash too; undefined: of all. */
  readonly repositoryName: string | undefined
}

/** Manifests that are named, or that name one of the layers, whatever their state; up to `limit`. */
export async function findErasable(
  session: Session,
  { registryId, repositoryName }: ErasureScope,
  images: readonly Digest[],
  layers: readonly Digest[],
  limit: number,
): Promise<{ readonly id: number; readonly repositoryId: number }[]> {
  const found = new Map<number, number>()
  const inScope = () =>
    session.builder
      .selectFrom('repository')
      .innerJoin('manifest', 'manifest.repository_id', 'repository.id')
      .select(['manifest.id', 'manifest.repository_id as repositoryId'])
      .where('repository.registry_id', '=', registryId)
      .$if(repositoryName !== undefined, (query) => query.where('repository.name', '=', repositoryName ?? ''))
      .orderBy('manifest.id')
      .limit(limit)
  const named = images.length === 0 ? [] : await session.query(inScope().where('manifest.digest', 'in', images.map(digestToBytes)))
  const naming =
    layers.length === 0
      ? []
      : await session.query(
          inScope()
            .innerJoin('manifest_reference', 'manifest_reference.manifest_id', 'manifest.id')
            .where('manifest_reference.digest', 'in', layers.map(digestToBytes))
            .where('manifest_reference.kind', '=', 'blob'),
        )
  for (const { id, repositoryId } of [...named, ...naming]) found.set(id, repositoryId)
  return [...found].map(([id, repositoryId]) => ({ id, repositoryId }))
}

export interface ErasableImage extends Selectable<Schema['manifest']> {
  readonly lastPulledAt: number | null
  readonly pullCount: number | null
}

/** Rows of manifests with what is known of their pulls. At most a few thousand. */
export function readErasable(session: Session, ids: readonly number[]): Promise<ErasableImage[]> {
  return session.query(
    session.builder
      .selectFrom('manifest')
      .leftJoin('manifest_pull', 'manifest_pull.manifest_id', 'manifest.id')
      .selectAll('manifest')
      .select(['manifest_pull.last_pulled_at as lastPulledAt', 'manifest_pull.pull_count as pullCount'])
      .where('manifest.id', 'in', ids)
      .orderBy('manifest.id'),
  )
}

const manifestParts = ['tag', 'trashed_tag', 'manifest_reference', 'manifest_payload', 'manifest_pull', 'manifest_label', 'image_retirement'] as const

const rowsOf = Object.fromEntries(
  manifestParts.map((table) => [table, statement<{ id: number }>()((db, p) => db.deleteFrom(table).where('manifest_id', '=', p.id))]),
)

const manifestRow = statement<{ id: number }>()((db, p) => db.deleteFrom('manifest').where('id', '=', p.id))

/** Removes a manifest with everything that is kept of it. The caller holds the repository's lock. */
export async function deleteManifestRows(tx: Session, id: number): Promise<void> {
  for (const rows of Object.values(rowsOf)) await tx.change(rows, { id })
  await tx.change(manifestRow, { id })
}

const insert = statement<ErasureRow>()((db, p) =>
  db.insertInto('erasure').values({
    id: p.id,
    registry_id: p.registry_id,
    repository_id: p.repository_id,
    requested_at: p.requested_at,
    requested_by: p.requested_by,
    reason: p.reason,
    status: p.status,
    finished_at: p.finished_at,
    detail: p.detail,
  }),
)

export async function insertErasure(tx: Session, row: ErasureRow): Promise<void> {
  await tx.change(insert, row)
}

const update = statement<{ id: string; status: string; finishedAt: number | null; detail: string }>()((db, p) =>
  db.updateTable('erasure').set({ status: p.status, finished_at: p.finishedAt, detail: p.detail }).where('id', '=', p.id),
)

export async function updateErasure(tx: Session, erasure: { id: string; status: string; finishedAt: number | null; detail: string }): Promise<void> {
  await tx.change(update, erasure)
}

const byId = statement<{ id: string }>()((db, p) => db.selectFrom('erasure').selectAll().where('id', '=', p.id))

export function findErasure(session: Session, id: string): Promise<ErasureRow | undefined> {
  return session.first(byId, { id })
}

const unfinished = statement<{ limit: number }>()((db, p) =>
  db
    .selectFrom('erasure')
    .innerJoin('registry', 'registry.id', 'erasure.registry_id')
    .selectAll('erasure')
    .select(['registry.account_id as accountId', 'registry.region'])
    .where('status', '=', 'running')
    .orderBy('requested_at')
    .limit(p.limit),
)

/** Of all registries, the oldest first. There are hardly ever any. */
export function unfinishedErasures(session: Session, limit: number): Promise<(ErasureRow & { accountId: string; region: string })[]> {
  return session.all(unfinished, { limit })
}

const page = statement<{ registryId: number; beforeTime: number; beforeId: string; limit: number }>()((db, p) =>
  db
    .selectFrom('erasure')
    .selectAll()
    .where('registry_id', '=', p.registryId)
    .where((eb) =>
      eb.or([eb('requested_at', '<', p.beforeTime), eb.and([eb('requested_at', '=', p.beforeTime), eb('id', '<', p.beforeId)])]),
    )
    .orderBy('requested_at', 'desc')
    .orderBy('id', 'desc')
    .limit(p.limit),
)

/** The newest first, before the given one. */
export function listErasureRows(
  session: Session,
  registryId: number,
  before: { readonly time: number; readonly id: string },
  limit: number,
): Promise<ErasureRow[]> {
  return session.all(page, { registryId, beforeTime: before.time, beforeId: before.id, limit })
}

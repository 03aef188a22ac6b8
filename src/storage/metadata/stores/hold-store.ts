import type { Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement, type QueryBuilder } from '../statement.ts'

export type HoldRow = Selectable<Schema['registry_hold']>

/** With what a hold of a source needs to be told and applied. */
export type OpenHoldRow = HoldRow & { readonly sourceName: string | null; readonly sourceScope: string | null }

const open = statement<{ registryId: number }>()((db, p) =>
  db
    .selectFrom('registry_hold')
    .leftJoin('usage_source', 'usage_source.id', 'registry_hold.source_id')
    .selectAll('registry_hold')
    .select(['usage_source.name as sourceName', 'usage_source.scope as sourceScope'])
    .where('registry_hold.registry_id', '=', p.registryId)
    .where('registry_hold.released_at', 'is', null)
    .orderBy('registry_hold.id'),
)

/** A registry has one of each cause and source at most, and so a handful. */
export function openHolds(session: Session, registryId: number): Promise<OpenHoldRow[]> {
  return session.all(open, { registryId })
}

const ofInstallation = statement<{ registryId: number }>()((db, p) =>
  db
    .selectFrom('registry_hold')
    .select('id')
    .where('registry_id', '=', p.registryId)
    .where('released_at', 'is', null)
    .where('cause', 'in', ['clock', 'restore', 'operator'])
    .orderBy('id'),
)

/**
 * The holds of the installation's own registry for a reason that concerns the bytes of all: its clock, a restored database, or
 * because somebody placed one. By their numbers.
 */
export async function installationHolds(session: Session, homeRegistryId: number): Promise<number[]> {
  return (await session.all(ofInstallation, { registryId: homeRegistryId })).map(({ id }) => id)
}

/** Whether there are `installationHolds`. */
export async function isInstallationHeld(session: Session, homeRegistryId: number): Promise<boolean> {
  return (await session.first(ofInstallation, { registryId: homeRegistryId })) !== undefined
}

const named = statement<{ registryId: number; id: number }>()((db, p) =>
  db.selectFrom('registry_hold').selectAll().where('registry_id', '=', p.registryId).where('id', '=', p.id),
)

export function findHold(session: Session, registryId: number, id: number): Promise<HoldRow | undefined> {
  return session.first(named, { registryId, id })
}

interface NewHold {
  readonly registryId: number
  readonly cause: string
  readonly sourceId: number | null
  readonly reason: string
  readonly now: number
  readonly by: string
}

const insert = statement<NewHold>()((db, p) =>
  db
    .insertInto('registry_hold')
    .values({
      registry_id: p.registryId,
      cause: p.cause,
      source_id: p.sourceId,
      reason: p.reason,
      raised_at: p.now,
      raised_by: p.by,
    })
    .returning('id'),
)

export async function insertHold(tx: Session, hold: NewHold): Promise<number> {
  const row = await tx.first(insert, { ...hold })
  if (!row) throw new Error('inserting a hold returned no row')
  return row.id
}

const release = statement<{ id: number; now: number; by: string; reason: string }>()((db, p) =>
  db
    .updateTable('registry_hold')
    .set({ released_at: p.now, released_by: p.by, release_reason: p.reason })
    .where('id', '=', p.id)
    .where('released_at', 'is', null),
)

/** False where somebody else was quicker. */
export async function releaseHoldRow(tx: Session, id: number, now: number, by: string, reason: string): Promise<boolean> {
  return (await tx.change(release, { id, now, by, reason })) > 0
}

interface HoldPage {
  readonly registryId: number
  readonly before: number
  readonly limit: number
}

const pageOf = (db: QueryBuilder, p: HoldPage) =>
  db
    .selectFrom('registry_hold')
    .leftJoin('usage_source', 'usage_source.id', 'registry_hold.source_id')
    .selectAll('registry_hold')
    .select(['usage_source.name as sourceName', 'usage_source.scope as sourceScope'])
    .where('registry_hold.registry_id', '=', p.registryId)
    .where('registry_hold.id', '<', p.before)
    .orderBy('registry_hold.id', 'desc')
    .limit(p.limit)

const page = statement<HoldPage>()((db, p) => pageOf(db, p))
const openPage = statement<HoldPage>()((db, p) => pageOf(db, p).where('registry_hold.released_at', 'is', null))

/** Those that are not released, or with `released` all of them; the newest first. */
export function listHoldRows(
  session: Session,
  registryId: number,
  { before, limit, released }: { before: number; limit: number; released: boolean },
): Promise<OpenHoldRow[]> {
  return session.all(released ? page : openPage, { registryId, before, limit })
}

const registries = statement<{ after: number; limit: number }>()((db, p) =>
  db.selectFrom('registry').select(['id', 'account_id', 'region']).where('id', '>', p.after).orderBy('id').limit(p.limit),
)

/** Registries by their numbers, after `after`. */
export function listRegistryRows(session: Session, after: number, limit: number): Promise<{ id: number; account_id: string; region: string }[]> {
  return session.all(registries, { after, limit })
}

const lockRegistry = statement<{ registryId: number }>()((db, p, dialect) =>
  db
    .selectFrom('registry')
    .select('id')
    .where('id', '=', p.registryId)
    .$if(dialect === 'postgres', (query) => query.forShare()),
)

/** Until the command ends nobody puts the registry on hold: `insertHold` comes after a lock that excludes this one. */
export async function keepHoldsAsTheyAre(tx: Session, registryId: number): Promise<void> {
  await tx.first(lockRegistry, { registryId })
}

const counts = statement()((db) =>
  db
    .selectFrom('registry_hold')
    .select((eb) => ['cause', eb.fn.countAll<number>().as('count')])
    .where('released_at', 'is', null)
    .groupBy('cause'),
)

/** Of the whole installation, by cause. */
export function countOpenHolds(session: Session): Promise<{ cause: string; count: number }[]> {
  return session.all(counts, {})
}

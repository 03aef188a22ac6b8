import type { Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

export type ProtectionRow = Selectable<Schema['protection']>

const inForce = statement<{ repositoryId: number; now: number }>()((db, p) =>
  db
    .selectFrom('protection')
    .selectAll()
    .where('repository_id', '=', p.repositoryId)
    .where((eb) => eb.or([eb('ends_at', 'is', null), eb('ends_at', '>', p.now)]))
    .orderBy('id'),
)

/** As many as the limit of protections lets a repository have. */
export function protectionsInForce(session: Session, repositoryId: number, now: number): Promise<ProtectionRow[]> {
  return session.all(inForce, { repositoryId, now })
}

const named = statement<{ repositoryId: number; kind: string; target: string }>()((db, p) =>
  db
    .selectFrom('protection')
    .selectAll()
    .where('repository_id', '=', p.repositoryId)
    .where('kind', '=', p.kind)
    .where('target', '=', p.target),
)

/** In force or not. */
export function findProtection(
  session: Session,
  repositoryId: number,
  kind: string,
  target: string,
): Promise<ProtectionRow | undefined> {
  return session.first(named, { repositoryId, kind, target })
}

type NewProtection = Omit<ProtectionRow, 'id'>

const put = statement<NewProtection>()((db, p) =>
  db
    .insertInto('protection')
    .values({
      repository_id: p.repository_id,
      kind: p.kind,
      target: p.target,
      reason: p.reason,
      owner: p.owner,
      created_at: p.created_at,
      created_by: p.created_by,
      ends_at: p.ends_at,
    })
    .onConflict((conflict) =>
      conflict.columns(['repository_id', 'kind', 'target']).doUpdateSet({
        reason: p.reason,
        owner: p.owner,
        created_at: p.created_at,
        created_by: p.created_by,
        ends_at: p.ends_at,
      }),
    ),
)

/** In the place of one with the same target. */
export async function upsertProtection(tx: Session, row: NewProtection): Promise<void> {
  await tx.change(put, row)
}

const remove = statement<{ repositoryId: number; kind: string; target: string }>()((db, p) =>
  db
    .deleteFrom('protection')
    .where('repository_id', '=', p.repositoryId)
    .where('kind', '=', p.kind)
    .where('target', '=', p.target)
    .returningAll(),
)

/** What it was; undefined where there is none. */
export function deleteProtectionRow(
  tx: Session,
  repositoryId: number,
  kind: string,
  target: string,
): Promise<ProtectionRow | undefined> {
  return tx.first(remove, { repositoryId, kind, target })
}

const dropEnded = statement<{ repositoryId: number; before: number }>()((db, p) =>
  db.deleteFrom('protection').where('repository_id', '=', p.repositoryId).where('ends_at', '<', p.before),
)

/** Removes those that ended before a time: they say nothing to anybody any more. */
export async function deleteEndedProtections(tx: Session, repositoryId: number, before: number): Promise<void> {
  await tx.change(dropEnded, { repositoryId, before })
}

export type ListedProtection = ProtectionRow & { readonly name: string }

const page = statement<{ repositoryId: number; after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('protection')
    .innerJoin('repository', 'repository.id', 'protection.repository_id')
    .selectAll('protection')
    .select('repository.name')
    .where('protection.repository_id', '=', p.repositoryId)
    .where('protection.id', '>', p.after)
    .orderBy('protection.id')
    .limit(p.limit),
)

/** Of one repository, in the order in which they were made. */
export function listProtectionRows(session: Session, repositoryId: number, after: number, limit: number): Promise<ListedProtection[]> {
  return session.all(page, { repositoryId, after, limit })
}

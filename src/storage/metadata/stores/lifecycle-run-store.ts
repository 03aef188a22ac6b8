import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

export interface RunRow {
  readonly id: string
  readonly repositoryId: number
  readonly repositoryName: string
  readonly cause: string
  readonly policies: string
  readonly status: string
  readonly concern: string | null
  readonly summary: string
  readonly trashBatch: string | null
  readonly startedAt: number
  readonly startedBy: string
  readonly finishedAt: number | null
  readonly decidedAt: number | null
  readonly decidedBy: string | null
}

const columns = [
  'lifecycle_run.id',
  'lifecycle_run.repository_id as repositoryId',
  'repository.name as repositoryName',
  'lifecycle_run.cause',
  'lifecycle_run.policies',
  'lifecycle_run.status',
  'lifecycle_run.concern',
  'lifecycle_run.summary',
  'lifecycle_run.trash_batch as trashBatch',
  'lifecycle_run.started_at as startedAt',
  'lifecycle_run.started_by as startedBy',
  'lifecycle_run.finished_at as finishedAt',
  'lifecycle_run.decided_at as decidedAt',
  'lifecycle_run.decided_by as decidedBy',
] as const

const insert = statement<{ id: string; repositoryId: number; cause: string; policies: string; now: number; by: string }>()((db, p) =>
  db.insertInto('lifecycle_run').values({
    id: p.id,
    repository_id: p.repositoryId,
    cause: p.cause,
    policies: p.policies,
    status: 'evaluating',
    summary: '{}',
    started_at: p.now,
    started_by: p.by,
  }),
)

export async function insertRun(
  tx: Session,
  run: { id: string; repositoryId: number; cause: string; policies: string; now: number; by: string },
): Promise<void> {
  await tx.change(insert, run)
}

const forget = statement<{ repositoryId: number; kept: number; limit: number }>()((db, p) =>
  db.deleteFrom('lifecycle_run').where('id', 'in', (eb) =>
    eb
      .selectFrom('lifecycle_run as old')
      .select('old.id')
      .where('old.repository_id', '=', p.repositoryId)
      .where('old.finished_at', 'is not', null)
      .orderBy('old.started_at', 'desc')
      .orderBy('old.id', 'desc')
      .limit(p.limit)
      .offset(p.kept),
  ),
)

/** Drops runs of a repository that are over, `limit` at most, and leaves the `kept` newest of them. */
export async function forgetOldRuns(tx: Session, bounds: { repositoryId: number; kept: number; limit: number }): Promise<void> {
  await tx.change(forget, bounds)
}

const byId = statement<{ registryId: number; id: string }>()((db, p) =>
  db
    .selectFrom('lifecycle_run')
    .innerJoin('repository', 'repository.id', 'lifecycle_run.repository_id')
    .select(columns)
    .where('lifecycle_run.id', '=', p.id)
    .where('repository.registry_id', '=', p.registryId),
)

export function findRun(session: Session, registryId: number, id: string): Promise<RunRow | undefined> {
  return session.first(byId, { registryId, id })
}

const open = statement<{ repositoryId: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_run')
    .innerJoin('repository', 'repository.id', 'lifecycle_run.repository_id')
    .select(columns)
    .where('lifecycle_run.repository_id', '=', p.repositoryId)
    .where('lifecycle_run.finished_at', 'is', null)
    .orderBy('lifecycle_run.started_at', 'desc'),
)

/** The runs of a repository that are not over: under way, or waiting for somebody. */
export function openRuns(session: Session, repositoryId: number): Promise<RunRow[]> {
  return session.all(open, { repositoryId })
}

const page = statement<{ repositoryId: number; before: number; beforeId: string; limit: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_run')
    .innerJoin('repository', 'repository.id', 'lifecycle_run.repository_id')
    .select(columns)
    .where('lifecycle_run.repository_id', '=', p.repositoryId)
    .where('lifecycle_run.started_at', '<=', p.before)
    .where((eb) => eb.or([eb('lifecycle_run.started_at', '<', p.before), eb('lifecycle_run.id', '<', p.beforeId)]))
    .orderBy('lifecycle_run.started_at', 'desc')
    .orderBy('lifecycle_run.id', 'desc')
    .limit(p.limit),
)

/** A place in a list of runs: those that began at one moment are in the order of their ids. */
export interface RunPosition {
  readonly startedAt: number
  readonly id: string
}

/** The runs of a repository, newest first, after a place; without one from the newest on. */
export function listRuns(session: Session, repositoryId: number, after: RunPosition | undefined, limit: number): Promise<RunRow[]> {
  return session.all(page, { repositoryId, before: after?.startedAt ?? Number.MAX_SAFE_INTEGER, beforeId: after?.id ?? '', limit })
}

interface Settled {
  id: string
  status: string
  concern: string | null
  summary: string
  trashBatch: string | null
  finishedAt: number | null
}

const settle = statement<Settled>()((db, p) =>
  db
    .updateTable('lifecycle_run')
    .set({ status: p.status, concern: p.concern, summary: p.summary, trash_batch: p.trashBatch, finished_at: p.finishedAt })
    .where('id', '=', p.id)
    .where('finished_at', 'is', null),
)

/** Notes how far a run is. False: it is over already. */
export async function updateRun(tx: Session, run: Settled): Promise<boolean> {
  return (await tx.change(settle, run)) > 0
}

interface Decided {
  id: string
  now: number
  by: string
}

const confirm = statement<Decided>()((db, p) =>
  db
    .updateTable('lifecycle_run')
    .set({ status: 'confirmed', decided_at: p.now, decided_by: p.by })
    .where('id', '=', p.id)
    .where('status', '=', 'unconfirmed')
    .where('finished_at', 'is', null),
)

/** Somebody lets a run go on that waits. False: it does not wait. */
export async function confirmRun(tx: Session, decision: Decided): Promise<boolean> {
  return (await tx.change(confirm, decision)) > 0
}

const cancel = statement<Decided>()((db, p) =>
  db
    .updateTable('lifecycle_run')
    .set({ status: 'cancelled', decided_at: p.now, decided_by: p.by, finished_at: p.now })
    .where('id', '=', p.id)
    .where('finished_at', 'is', null),
)

/** Somebody ends a run. False: it is over already. */
export async function cancelRun(tx: Session, decision: Decided): Promise<boolean> {
  return (await tx.change(cancel, decision)) > 0
}

const tagsSince = statement<{ repositoryId: number; after: number; newestId: number; batch: string }>()((db, p) =>
  db
    .selectFrom('tag_history as change')
    .innerJoin('manifest', 'manifest.repository_id', 'change.repository_id')
    .select('change.id')
    .where('change.repository_id', '=', p.repositoryId)
    .where('change.id', '>', p.after)
    .where('manifest.id', '<=', p.newestId)
    .where((eb) => eb.or([eb('manifest.digest', '=', eb.ref('change.digest')), eb('manifest.digest', '=', eb.ref('change.previous_digest'))]))
    .where((eb) => eb.or([eb('change.trash_batch', 'is', null), eb('change.trash_batch', '!=', p.batch)]))
    .limit(1),
)

/**
 * Whether an image that an evaluation saw has got or lost a tag since, other than by the batch: rules may count it otherwise then.
 * `lastTagChange` is the number of the newest change that it knew, `newestId` that of the newest image.
 */
export async function tagsHaveChanged(
  session: Session,
  question: { repositoryId: number; lastTagChange: number; newestId: number; batch: string },
): Promise<boolean> {
  const { repositoryId, lastTagChange: after, newestId, batch } = question
  return (await session.first(tagsSince, { repositoryId, after, newestId, batch })) !== undefined
}

const newestTagChange = statement<{ repositoryId: number }>()((db, p) =>
  db.selectFrom('tag_history').select('id').where('repository_id', '=', p.repositoryId).orderBy('id', 'desc').limit(1),
)

/** The number of a repository's newest change of a tag; 0 where there is none. */
export async function lastTagChangeOf(session: Session, repositoryId: number): Promise<number> {
  return (await session.first(newestTagChange, { repositoryId }))?.id ?? 0
}

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

const page = statement<{ repositoryId: number; before: number; limit: number }>()((db, p) =>
  db
    .selectFrom('lifecycle_run')
    .innerJoin('repository', 'repository.id', 'lifecycle_run.repository_id')
    .select(columns)
    .where('lifecycle_run.repository_id', '=', p.repositoryId)
    .where('lifecycle_run.started_at', '<', p.before)
    .orderBy('lifecycle_run.started_at', 'desc')
    .limit(p.limit),
)

/** The runs of a repository, newest first, begun before `before`. */
export function listRuns(session: Session, repositoryId: number, before: number, limit: number): Promise<RunRow[]> {
  return session.all(page, { repositoryId, before, limit })
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

const decide = statement<{ id: string; from: string; status: string; now: number; by: string; finishedAt: number | null }>()((db, p) =>
  db
    .updateTable('lifecycle_run')
    .set({ status: p.status, decided_at: p.now, decided_by: p.by, finished_at: p.finishedAt })
    .where('id', '=', p.id)
    .where('status', '=', p.from)
    .where('finished_at', 'is', null),
)

/** What somebody says of a run that waits. False: it does not wait any more. */
export async function decideRun(
  tx: Session,
  decision: { id: string; from: string; status: string; now: number; by: string; finishedAt: number | null },
): Promise<boolean> {
  return (await tx.change(decide, decision)) > 0
}

const sinceTags = statement<{ repositoryId: number; after: number; batch: string }>()((db, p) =>
  db
    .selectFrom('tag_history')
    .select('id')
    .where('repository_id', '=', p.repositoryId)
    .where('id', '>', p.after)
    .where('digest', 'is', null)
    .where((eb) => eb.or([eb('trash_batch', 'is', null), eb('trash_batch', '!=', p.batch)]))
    .limit(1),
)

const sinceTrash = statement<{ repositoryId: number; since: number; batch: string }>()((db, p) =>
  db
    .selectFrom('trash_batch')
    .select('id')
    .where('repository_id', '=', p.repositoryId)
    .where('created_at', '>=', p.since)
    .where('id', '!=', p.batch)
    .limit(1),
)

/**
 * Whether a repository has lost images or tags since, other than by the batch: then there may be fewer newer images than an
 * evaluation has counted. A tag that moved is none that was lost. `lastTagChange` is the number of the newest one it knew.
 */
export async function hasShrunk(
  session: Session,
  question: { repositoryId: number; lastTagChange: number; since: number; batch: string },
): Promise<boolean> {
  const { repositoryId, lastTagChange, since, batch } = question
  if ((await session.first(sinceTrash, { repositoryId, since, batch })) !== undefined) return true
  return (await session.first(sinceTags, { repositoryId, after: lastTagChange, batch })) !== undefined
}

const newestTagChange = statement<{ repositoryId: number }>()((db, p) =>
  db.selectFrom('tag_history').select('id').where('repository_id', '=', p.repositoryId).orderBy('id', 'desc').limit(1),
)

/** The number of a repository's newest change of a tag; 0 where there is none. */
export async function lastTagChangeOf(session: Session, repositoryId: number): Promise<number> {
  return (await session.first(newestTagChange, { repositoryId }))?.id ?? 0
}

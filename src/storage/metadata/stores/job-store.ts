import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/** A job that there is one of for each kind and key: whoever holds its lease does it, and it comes round again. */
export interface JobName {
  readonly kind: string
  readonly key: string
}

export interface JobRow {
  /** JSON of whoever does the job. */
  readonly payload: string
  readonly runAfter: number
  readonly leasedUntil: number | null
}

const byName = statement<JobName>()((db, p) =>
  db
    .selectFrom('job')
    .select(['payload', 'run_after as runAfter', 'leased_until as leasedUntil'])
    .where('kind', '=', p.kind)
    .where('key', '=', p.key),
)

export function findJob(session: Session, name: JobName): Promise<JobRow | undefined> {
  return session.first(byName, { ...name })
}

const create = statement<JobName & { payload: string; now: number }>()((db, p) =>
  db
    .insertInto('job')
    .values({ kind: p.kind, key: p.key, payload: p.payload, run_after: p.now, attempt_count: 0, created_at: p.now })
    .onConflict((conflict) => conflict.columns(['kind', 'key']).doNothing()),
)

const claim = statement<JobName & { owner: string; now: number; until: number }>()((db, p) =>
  db
    .updateTable('job')
    .set((eb) => ({ leased_by: p.owner, leased_until: p.until, attempt_count: eb('attempt_count', '+', 1) }))
    .where('kind', '=', p.kind)
    .where('key', '=', p.key)
    .where('run_after', '<=', p.now)
    .where((eb) => eb.or([eb('leased_until', 'is', null), eb('leased_until', '<', p.now)]))
    .returning('payload'),
)

/** Takes a job's lease, making the job where there is none yet: its payload. Undefined: not due, or somebody's. */
export async function claimJob(
  tx: Session,
  job: JobName & { firstPayload: string; owner: string; now: number; until: number },
): Promise<string | undefined> {
  const { kind, key, firstPayload, owner, now, until } = job
  await tx.change(create, { kind, key, payload: firstPayload, now })
  return (await tx.first(claim, { kind, key, owner, now, until }))?.payload
}

const makeDue = statement<JobName & { now: number }>()((db, p) =>
  db.updateTable('job').set({ run_after: p.now }).where('kind', '=', p.kind).where('key', '=', p.key).where('run_after', '>', p.now),
)

/** Lets a job that rests be claimed now. */
export async function makeJobDue(tx: Session, { kind, key }: JobName, now: number): Promise<void> {
  await tx.change(makeDue, { kind, key, now })
}

interface Saved extends JobName {
  readonly owner: string
  readonly payload: string
}

const keep = statement<Saved & { until: number }>()((db, p) =>
  db
    .updateTable('job')
    .set({ payload: p.payload, leased_until: p.until })
    .where('kind', '=', p.kind)
    .where('key', '=', p.key)
    .where('leased_by', '=', p.owner),
)

/** Saves how far the holder came and renews its lease. False when it is another's by now. */
export async function keepJob(tx: Session, job: Saved & { until: number }): Promise<boolean> {
  return (await tx.change(keep, job)) > 0
}

const release = statement<Saved & { runAfter: number }>()((db, p) =>
  db
    .updateTable('job')
    .set({ payload: p.payload, run_after: p.runAfter, leased_by: null, leased_until: null, attempt_count: 0 })
    .where('kind', '=', p.kind)
    .where('key', '=', p.key)
    .where('leased_by', '=', p.owner),
)

/** Gives the lease back: whoever looks after `runAfter` goes on. False when it is another's by now. */
export async function releaseJob(tx: Session, job: Saved & { runAfter: number }): Promise<boolean> {
  return (await tx.change(release, job)) > 0
}

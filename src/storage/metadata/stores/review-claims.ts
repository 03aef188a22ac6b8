import type { Session } from '../session.ts'
import { statement } from '../statement.ts'
import type { ReviewKind } from './review-queue.ts'

/** A review that somebody works at. */
export interface ClaimedReview {
  readonly id: number
  readonly repositoryId: number
  readonly subjectId: number
  readonly attemptCount: number
}

const claim = statement<{ kind: string; owner: string; now: number; until: number; limit: number }>()((db, p, dialect) =>
  db
    .updateTable('review')
    .set({ leased_by: p.owner, leased_until: p.until })
    .where('id', 'in', (eb) =>
      eb
        .selectFrom('review as due')
        .select('due.id')
        .where('due.kind', '=', p.kind)
        .where('due.due_at', '<=', p.now)
        .where((or) => or.or([or('due.leased_until', 'is', null), or('due.leased_until', '<', p.now)]))
        .orderBy('due.due_at')
        .limit(p.limit)
        .$if(dialect === 'postgres', (query) => query.forUpdate().skipLocked()),
    )
    .returning(['id', 'repository_id as repositoryId', 'subject_id as subjectId', 'attempt_count as attemptCount']),
)

/** Takes the leases of reviews whose time has come, the longest waiting first. */
export function claimReviews(
  tx: Session,
  wanted: { kind: ReviewKind; owner: string; now: number; until: number; limit: number },
): Promise<ClaimedReview[]> {
  return tx.all(claim, wanted)
}

const stillDue = statement<{ id: number; now: number; owner: string }>()((db, p, dialect) =>
  db
    .selectFrom('review')
    .select('id')
    .where('id', '=', p.id)
    .where('due_at', '<=', p.now)
    .where('leased_by', '=', p.owner)
    .$if(dialect === 'postgres', (query) => query.forUpdate()),
)

/** Whether a claimed review is still to be done: nobody has put it off since by a promise or a new suspicion. Locks it. */
export async function isStillDue(tx: Session, review: { id: number; now: number; owner: string }): Promise<boolean> {
  return (await tx.first(stillDue, review)) !== undefined
}

/** Those of the claimed reviews that are still to be done, as `isStillDue` says; locked in the order in which suspicions are raised. */
export async function stillDueAmong<Review extends ClaimedReview>(tx: Session, reviews: readonly Review[], { now, owner }: { now: number; owner: string }): Promise<Review[]> {
  const rows = await tx.query(
    tx.builder
      .selectFrom('review')
      .select('id')
      .where('id', 'in', reviews.map(({ id }) => id))
      .where('due_at', '<=', now)
      .where('leased_by', '=', owner)
      .orderBy('subject_id')
      .$if(tx.dialect === 'postgres', (query) => query.forUpdate()),
  )
  const due = new Set(rows.map(({ id }) => id))
  return reviews.filter(({ id }) => due.has(id))
}

/** The reviews are over. The caller knows them to be still due. */
export async function dropReviews(tx: Session, reviews: readonly ClaimedReview[]): Promise<void> {
  if (reviews.length > 0) await tx.query(tx.builder.deleteFrom('review').where('id', 'in', reviews.map(({ id }) => id)))
}

/** Gives reviews back, to be done later. The caller knows them to be still due. */
export async function putReviewsOff(tx: Session, reviews: readonly ClaimedReview[], dueAt: number): Promise<void> {
  if (reviews.length === 0) return
  await tx.query(
    tx.builder
      .updateTable('review')
      .set({ due_at: dueAt, attempt_count: 0, leased_by: null, leased_until: null })
      .where('id', 'in', reviews.map(({ id }) => id)),
  )
}

const drop = statement<{ id: number }>()((db, p) => db.deleteFrom('review').where('id', '=', p.id))

/** The review is over. The caller knows it to be still due. */
export async function dropReview(tx: Session, id: number): Promise<void> {
  await tx.change(drop, { id })
}

const putOff = statement<{ id: number; owner: string; dueAt: number; attempts: number }>()((db, p) =>
  db
    .updateTable('review')
    .set({ due_at: p.dueAt, attempt_count: p.attempts, leased_by: null, leased_until: null })
    .where('id', '=', p.id)
    .where('leased_by', '=', p.owner),
)

/** Gives a review back, to be done later. */
export async function putReviewOff(tx: Session, review: { id: number; owner: string; dueAt: number; attempts: number }): Promise<void> {
  await tx.change(putOff, review)
}

const anyDue = statement<{ kind: string; now: number }>()((db, p) =>
  db
    .selectFrom('review')
    .select('id')
    .where('kind', '=', p.kind)
    .where('due_at', '<=', p.now)
    .where((or) => or.or([or('leased_until', 'is', null), or('leased_until', '<', p.now)]))
    .limit(1),
)

/** Whether a review waits whose time has come and that nobody works at. */
export async function isAnyDue(session: Session, kind: ReviewKind, now: number): Promise<boolean> {
  return (await session.first(anyDue, { kind, now })) !== undefined
}

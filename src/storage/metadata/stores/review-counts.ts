import type { Session } from '../session.ts'
import { statement } from '../statement.ts'
import type { ReviewKind } from './review-queue.ts'

/*
 * How much there is to review. Whoever counts does so up to a limit: a queue of millions costs what one of that length does.
 */

const due = statement<{ kind: string; now: number; limit: number }>()((db, p) =>
  db
    .selectFrom((eb) => eb.selectFrom('review').select('leased_until').where('kind', '=', p.kind).where('due_at', '<=', p.now).limit(p.limit).as('due'))
    .select((eb) => [
      eb.fn.countAll<number>().as('due'),
      eb.fn.coalesce(eb.fn.sum<number>(eb.case().when('leased_until', '>=', p.now).then(1).else(0).end()), eb.lit(0)).as('leased'),
    ]),
)

const later = statement<{ kind: string; now: number; limit: number }>()((db, p) =>
  db
    .selectFrom((eb) => eb.selectFrom('review').select('id').where('kind', '=', p.kind).where('due_at', '>', p.now).limit(p.limit).as('later'))
    .select((eb) => eb.fn.countAll<number>().as('waiting')),
)

const oldest = statement<{ kind: string }>()((db, p) => db.selectFrom('review').select('due_at as dueAt').where('kind', '=', p.kind).orderBy('due_at').limit(1))

/** Of one kind. No count is above the limit that was asked for: where it is reached there may be more. */
export interface ReviewCounts {
  /** Whose time has not come. */
  readonly waiting: number
  /** Whose time has come, with those that somebody works at. */
  readonly due: number
  readonly leased: number
  /** Whose time came before `overdueBefore`. */
  readonly overdue: number
  /** When the first of all is or was due; undefined where there is none. */
  readonly nextDueAt: number | undefined
}

export async function countReviews(
  session: Session,
  { kind, now, overdueBefore, limit }: { kind: ReviewKind; now: number; overdueBefore: number; limit: number },
): Promise<ReviewCounts> {
  const [ripe, before, rest, first] = [
    await session.first(due, { kind, now, limit }),
    await session.first(due, { kind, now: overdueBefore, limit }),
    await session.first(later, { kind, now, limit }),
    await session.first(oldest, { kind }),
  ]
  return {
    waiting: rest?.waiting ?? 0,
    due: ripe?.due ?? 0,
    leased: ripe?.leased ?? 0,
    overdue: before?.due ?? 0,
    nextDueAt: first?.dueAt,
  }
}

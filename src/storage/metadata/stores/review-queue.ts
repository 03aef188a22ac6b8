import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/** Of garbage, and of the archive: a blob that may be in the wrong store, an image that waits for its blobs. */
export type ReviewKind = 'manifest' | 'repository-blob' | 'blob' | 'location' | 'repository' | 'placement' | 'activation'

/** How long a suspect is left alone: a push in progress has this long to come back for what it left. */
export const reviewDelayMs = 24 * 60 * 60 * 1000
/** How long a positive answer about a blob holds: longer than any client takes from asking to pushing the manifest. */
export const blobPromiseMs = 60 * 60 * 1000

const suspectStatement = statement<{
  kind: string
  repositoryId: number
  subjectId: number
  dueAt: number
  reason: string
}>()((db, p) =>
  db
    .insertInto('review')
    .values({
      kind: p.kind,
      repository_id: p.repositoryId,
      subject_id: p.subjectId,
      due_at: p.dueAt,
      reason: p.reason,
      attempt_count: 0,
    })
    .onConflict((conflict) =>
      conflict
        .columns(['kind', 'subject_id', 'repository_id'])
        // Always pushed forward, never left: a worker about to drop the row must not lose the new suspicion.
        .doUpdateSet({ due_at: p.dueAt, reason: p.reason, attempt_count: 0 }),
    ),
)

export interface Suspicion {
  readonly kind: ReviewKind
  /** 0 for what no repository owns. */
  readonly repositoryId: number
  readonly subjectId: number
  readonly reason: string
  readonly now: number
  readonly delayMs?: number
}

/** Notes that something may have become garbage, to be looked at `delayMs` from now. */
export async function suspect(tx: Session, review: Suspicion): Promise<void> {
  await tx.change(suspectStatement, {
    kind: review.kind,
    repositoryId: review.repositoryId,
    subjectId: review.subjectId,
    dueAt: review.now + (review.delayMs ?? reviewDelayMs),
    reason: review.reason,
  })
}

const fewSuspicions = 8
/** Of six parameters each: far from what SQLite and PostgreSQL take. */
const suspicionsPerStatement = 500

async function suspectAll(tx: Session, reviews: readonly Suspicion[]): Promise<void> {
  await tx.query(
    tx.builder
      .insertInto('review')
      .values(
        reviews.map(({ kind, repositoryId, subjectId, reason, now, delayMs = reviewDelayMs }) => ({
          kind,
          repository_id: repositoryId,
          subject_id: subjectId,
          due_at: now + delayMs,
          reason,
          attempt_count: 0,
        })),
      )
      .onConflict((conflict) =>
        conflict.columns(['kind', 'subject_id', 'repository_id']).doUpdateSet((row) => ({
          due_at: row.ref('excluded.due_at'),
          reason: row.ref('excluded.reason'),
          attempt_count: 0,
        })),
      ),
  )
}

/**
 * Suspicions of a command that raises many, also of things other repositories raise them about: written at its end,
 * each once and in one order, so that two such commands never wait for each other's rows crosswise.
 */
export interface Suspicions {
  add(review: Suspicion): void
  write(tx: Session): Promise<void>
}

export function collectSuspicions(): Suspicions {
  const waiting = new Map<string, Suspicion>()
  return {
    add(review) {
      waiting.set(`${review.kind} ${review.subjectId} ${review.repositoryId}`, review)
    },
    async write(tx) {
      const inOrder = [...waiting.values()].sort(
        (a, b) => a.kind.localeCompare(b.kind) || a.subjectId - b.subjectId || a.repositoryId - b.repositoryId,
      )
      // A push raises a few, by statements that are compiled already.
      if (inOrder.length <= fewSuspicions) for (const review of inOrder) await suspect(tx, review)
      else for (let start = 0; start < inOrder.length; start += suspicionsPerStatement) await suspectAll(tx, inOrder.slice(start, start + suspicionsPerStatement))
    },
  }
}

const postponeBlob = statement<{ blobId: number; repositoryId: number; until: number }>()((db, p) =>
  db
    .updateTable('review')
    .set({ due_at: p.until })
    .where('subject_id', '=', p.blobId)
    .where((eb) =>
      eb.or([
        eb('kind', '=', 'blob'),
        eb.and([eb('kind', '=', 'repository-blob'), eb('repository_id', '=', p.repositoryId)]),
      ]),
    )
    .where('due_at', '<', p.until),
)

/** Keeps a blob, and the repository's sight of it, until then at least. */
export async function postponeBlobReviews(
  tx: Session,
  hold: { blobId: number; repositoryId: number; until: number },
): Promise<void> {
  await tx.change(postponeBlob, hold)
}

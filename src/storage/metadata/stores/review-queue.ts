import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

export type ReviewKind = 'manifest' | 'repository-blob' | 'blob' | 'location' | 'repository'

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

/** Notes that something may have become garbage, to be looked at `delayMs` from now. */
export async function suspect(
  tx: Session,
  review: { kind: ReviewKind; repositoryId: number; subjectId: number; reason: string; now: number; delayMs?: number },
): Promise<void> {
  await tx.change(suspectStatement, {
    kind: review.kind,
    repositoryId: review.repositoryId,
    subjectId: review.subjectId,
    dueAt: review.now + (review.delayMs ?? reviewDelayMs),
    reason: review.reason,
  })
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

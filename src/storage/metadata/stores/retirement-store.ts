import type { Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

export type RetirementRow = Selectable<Schema['image_retirement']>

const ofManifest = statement<{ manifestId: number }>()((db, p) =>
  db
    .selectFrom('image_retirement')
    // What is to come is in the row of the image that was named.
    .leftJoin('image_retirement as image', 'image.manifest_id', 'image_retirement.image_id')
    .select((eb) => [
      'image_retirement.manifest_id',
      'image_retirement.image_id',
      'image_retirement.reason',
      'image_retirement.replaced_by',
      eb.fn.coalesce('image.steps', 'image_retirement.steps').as('steps'),
      'image.due_at',
      'image.postponed',
      'image_retirement.changed_at',
      'image_retirement.changed_by',
      'image_retirement.rule',
      'image_retirement.rule_action',
      'image_retirement.rule_until',
      'image_retirement.rule_repository_id',
    ])
    .where('image_retirement.manifest_id', '=', p.manifestId),
)

/** What there is to say of a retired manifest, with what is to come for the image that it is part of. */
export function findRetirement(session: Session, manifestId: number): Promise<RetirementRow | undefined> {
  return session.first(ofManifest, { manifestId })
}

const setState = statement<{ manifestId: number; state: number }>()((db, p) =>
  db.updateTable('manifest').set({ retirement: p.state }).where('id', '=', p.manifestId),
)

const put = statement<RetirementRow>()((db, p) =>
  db
    .insertInto('image_retirement')
    .values({
      manifest_id: p.manifest_id,
      image_id: p.image_id,
      reason: p.reason,
      replaced_by: p.replaced_by,
      steps: p.steps,
      due_at: p.due_at,
      postponed: p.postponed,
      changed_at: p.changed_at,
      changed_by: p.changed_by,
      rule: p.rule,
      rule_action: p.rule_action,
      rule_until: p.rule_until,
      rule_repository_id: p.rule_repository_id,
    })
    .onConflict((conflict) =>
      conflict.column('manifest_id').doUpdateSet({
        image_id: p.image_id,
        reason: p.reason,
        replaced_by: p.replaced_by,
        steps: p.steps,
        due_at: p.due_at,
        postponed: p.postponed,
        changed_at: p.changed_at,
        changed_by: p.changed_by,
        rule: p.rule,
        rule_action: p.rule_action,
        rule_until: p.rule_until,
        rule_repository_id: p.rule_repository_id,
      }),
    ),
)

/** Retires a manifest, in the place of what was said of it before. The caller holds the repository's lock. */
export async function retireManifest(tx: Session, state: number, row: RetirementRow): Promise<void> {
  await tx.change(setState, { manifestId: row.manifest_id, state })
  await tx.change(put, row)
}

const unsetImage = statement<{ imageId: number }>()((db, p) =>
  db
    .updateTable('manifest')
    .set({ retirement: 0 })
    .where('id', 'in', (eb) => eb.selectFrom('image_retirement').select('manifest_id').where('image_id', '=', p.imageId)),
)

const dropImage = statement<{ imageId: number }>()((db, p) => db.deleteFrom('image_retirement').where('image_id', '=', p.imageId))

/** Takes back what was said of an image and of what was retired with it. */
export async function unretireImage(tx: Session, imageId: number): Promise<void> {
  await tx.change(unsetImage, { imageId })
  await tx.change(dropImage, { imageId })
}

const plan = statement<{ manifestId: number; steps: string; dueAt: number | null; postponed: string | null }>()((db, p) =>
  db
    .updateTable('image_retirement')
    .set({ steps: p.steps, due_at: p.dueAt, postponed: p.postponed })
    .where('manifest_id', '=', p.manifestId),
)

/** Sets what is to come for an image, and when it is looked at next. */
export async function planRetirement(
  tx: Session,
  next: { manifestId: number; steps: string; dueAt: number | null; postponed: string | null },
): Promise<void> {
  await tx.change(plan, next)
}

const setStateOfImage = statement<{ imageId: number; state: number }>()((db, p) =>
  db
    .updateTable('manifest')
    .set({ retirement: p.state })
    .where('id', 'in', (eb) => eb.selectFrom('image_retirement').select('manifest_id').where('image_id', '=', p.imageId)),
)

/** Moves an image, and what was retired with it, to another state. */
export async function setRetirementState(tx: Session, imageId: number, state: number): Promise<void> {
  await tx.change(setStateOfImage, { imageId, state })
}

/** What whoever pulls an image has been told of its end: by a rule, or where that has no action by hand. */
export interface NoticeRow {
  readonly manifestId: number
  readonly ruleAction: string | null
  readonly ruleUntil: number | null
  readonly since: number
  /** JSON: what is to come by hand. */
  readonly steps: string
}

const noticesOfSpan = statement<{ repositoryId: number; from: number; to: number }>()((db, p) =>
  db
    .selectFrom('image_retirement')
    .innerJoin('manifest', 'manifest.id', 'image_retirement.manifest_id')
    .select([
      'image_retirement.manifest_id as manifestId',
      'image_retirement.rule_action as ruleAction',
      'image_retirement.rule_until as ruleUntil',
      'image_retirement.changed_at as since',
      'image_retirement.steps',
    ])
    .where('image_retirement.manifest_id', '>=', p.from)
    .where('image_retirement.manifest_id', '<=', p.to)
    // What an image lists goes with it, and so the image's row alone says when.
    .whereRef('image_retirement.image_id', '=', 'image_retirement.manifest_id')
    .where('manifest.repository_id', '=', p.repositoryId),
)

/** The notices of a repository's images with these numbers. */
export function noticesOfWindow(session: Session, span: { repositoryId: number; from: number; to: number }): Promise<NoticeRow[]> {
  return session.all(noticesOfSpan, { ...span })
}

const anyByRule = statement<{ repositoryId: number }>()((db, p) =>
  db
    .selectFrom('image_retirement')
    .select('manifest_id')
    .where('rule_repository_id', '=', p.repositoryId)
    .limit(1),
)

/** Whether a rule has given any image of a repository notice. */
export async function hasNoticesByRule(session: Session, repositoryId: number): Promise<boolean> {
  return (await session.first(anyByRule, { repositoryId })) !== undefined
}

export interface DueRetirement {
  readonly manifestId: number
  readonly digest: Uint8Array
  readonly repositoryName: string
  readonly registryId: number
  readonly accountId: string
  readonly region: string
}

const due = statement<{ now: number; limit: number }>()((db, p) =>
  db
    .selectFrom('image_retirement')
    .innerJoin('manifest', 'manifest.id', 'image_retirement.manifest_id')
    .innerJoin('repository', 'repository.id', 'manifest.repository_id')
    .innerJoin('registry', 'registry.id', 'repository.registry_id')
    .select([
      'manifest.id as manifestId',
      'manifest.digest',
      'repository.name as repositoryName',
      'registry.id as registryId',
      'registry.account_id as accountId',
      'registry.region',
    ])
    .where('image_retirement.due_at', '<=', p.now)
    .where('manifest.trashed_at', 'is', null)
    .where('repository.trashed_at', 'is', null)
    .orderBy('image_retirement.due_at')
    .limit(p.limit),
)

/** Living images whose next step is due, of all registries, the longest due first. */
export function dueRetirements(session: Session, now: number, limit: number): Promise<DueRetirement[]> {
  return session.all(due, { now, limit })
}

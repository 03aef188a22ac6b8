import type { Session } from '../session.ts'
import { statement } from '../statement.ts'

/** What labels hang from. */
export type TagOwnerKind = 'user' | 'role' | 'policy' | 'oidc-provider'

interface Owner {
  readonly kind: TagOwnerKind
  readonly id: number
}

const tags = statement<{ kind: string; id: number }>()((db, p) =>
  db
    .selectFrom('iam_tag')
    .select(['key', 'value'])
    .where('owner_kind', '=', p.kind)
    .where('owner_id', '=', p.id)
    .orderBy('key'),
)

/** In the order of their keys. */
export function iamTags(session: Session, owner: Owner): Promise<{ key: string; value: string }[]> {
  return session.all(tags, owner)
}

const put = statement<{ kind: string; id: number; key: string; value: string }>()((db, p) =>
  db
    .insertInto('iam_tag')
    .values({ owner_kind: p.kind, owner_id: p.id, key: p.key, value: p.value })
    .onConflict((conflict) => conflict.columns(['owner_kind', 'owner_id', 'key']).doUpdateSet({ value: p.value })),
)

export async function upsertIamTag(tx: Session, owner: Owner, tag: { key: string; value: string }): Promise<void> {
  await tx.change(put, { ...owner, ...tag })
}

const drop = statement<{ kind: string; id: number; key: string }>()((db, p) =>
  db
    .deleteFrom('iam_tag')
    .where('owner_kind', '=', p.kind)
    .where('owner_id', '=', p.id)
    .where('key', '=', p.key),
)

/** `key` in exactly this spelling. */
export async function deleteIamTag(tx: Session, owner: Owner, key: string): Promise<void> {
  await tx.change(drop, { ...owner, key })
}

const dropAll = statement<{ kind: string; id: number }>()((db, p) =>
  db.deleteFrom('iam_tag').where('owner_kind', '=', p.kind).where('owner_id', '=', p.id),
)

export async function deleteIamTags(tx: Session, owner: Owner): Promise<void> {
  await tx.change(dropAll, owner)
}

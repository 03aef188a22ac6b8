import type { Session } from '../session.ts'
import { statement } from '../statement.ts'
import type { GroupRow, UserRow } from './iam-entity-store.ts'

const add = statement<{ userId: number; groupId: number }>()((db, p) =>
  db
    .insertInto('iam_group_member')
    .values({ user_id: p.userId, group_id: p.groupId })
    .onConflict((conflict) => conflict.doNothing()),
)

/** Idempotent. */
export async function insertMember(tx: Session, member: { userId: number; groupId: number }): Promise<void> {
  await tx.change(add, member)
}

const remove = statement<{ userId: number; groupId: number }>()((db, p) =>
  db.deleteFrom('iam_group_member').where('user_id', '=', p.userId).where('group_id', '=', p.groupId),
)

/** False where the user was not in the group. */
export async function deleteMember(tx: Session, member: { userId: number; groupId: number }): Promise<boolean> {
  return (await tx.change(remove, member)) > 0
}

const groups = statement<{ userId: number }>()((db, p) =>
  db
    .selectFrom('iam_group_member')
    .innerJoin('iam_group', 'iam_group.id', 'iam_group_member.group_id')
    .selectAll('iam_group')
    .where('user_id', '=', p.userId)
    .orderBy('name_key'),
)

/** Ten at most. */
export function groupsOfUser(session: Session, userId: number): Promise<GroupRow[]> {
  return session.all(groups, { userId })
}

const members = statement<{ groupId: number; after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('iam_group_member')
    .innerJoin('iam_user', 'iam_user.id', 'iam_group_member.user_id')
    .selectAll('iam_user')
    .where('group_id', '=', p.groupId)
    .where('user_id', '>', p.after)
    .orderBy('user_id')
    .limit(p.limit),
)

/** In the order in which they were made (the index has no other), after the one with the number `after`. */
export function membersOfGroup(
  session: Session,
  groupId: number,
  { after, limit }: { after: number; limit: number },
): Promise<UserRow[]> {
  return session.all(members, { groupId, after, limit })
}

import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import {
  deleteNamed,
  findNamed,
  insertGroup,
  lockAccount,
  nameKey,
  renameNamed,
  type GroupRow,
  type UserRow,
} from '../../storage/metadata/stores/iam-entity-store.ts'
import { deleteMember, groupsOfUser, insertMember, membersOfGroup } from '../../storage/metadata/stores/iam-group-store.ts'
import { iamError } from '../errors.ts'
import { iamQuotas } from '../quotas.ts'
import { arnOf, entityExists, lockEntity, quotaExceeded, recordIamChange, reserveRoom } from './change.ts'
import { refuseWhileItHasPolicies } from './policy-attachments.ts'

export const createGroup = defineCommand({
  name: 'create-group',
  durability: 'durable',
  async run(tx, input: { name: string; path: string; uniqueId: string }, context): Promise<GroupRow> {
    await reserveRoom(tx, context, 'group')
    const row = await insertGroup(tx, {
      account_id: context.accountId,
      name: input.name,
      path: input.path,
      unique_id: input.uniqueId,
      created_at: context.nowMs,
    })
    if (!row) throw entityExists('group', input.name)
    await recordIamChange(tx, context, {
      action: 'CreateGroup',
      resource: arnOf('group', row),
      detail: { groupId: row.unique_id },
    })
    return row
  },
})

export const updateGroup = defineCommand({
  name: 'update-group',
  durability: 'durable',
  async run(tx, input: { name: string; newName?: string | undefined; newPath?: string | undefined }, context): Promise<void> {
    // No other group may be given the name before the commit.
    await lockAccount(tx, context.accountId)
    const row = await lockEntity(tx, context, 'group', input.name)
    const renamed = { name: input.newName ?? row.name, path: input.newPath ?? row.path }
    if (nameKey(renamed.name) !== row.name_key && (await findNamed(tx, 'group', context.accountId, renamed.name))) {
      throw entityExists('group', renamed.name)
    }
    await renameNamed(tx, 'group', row.id, renamed)
    await recordIamChange(tx, context, {
      action: 'UpdateGroup',
      resource: arnOf('group', row),
      detail: { newGroupName: renamed.name, newPath: renamed.path },
    })
  },
})

/** Throws `entity-in-use` while it has policies or members. */
export const deleteGroup = defineCommand({
  name: 'delete-group',
  durability: 'durable',
  async run(tx, input: { name: string }, context): Promise<void> {
    const row = await lockEntity(tx, context, 'group', input.name, 'delete')
    await refuseWhileItHasPolicies(tx, { kind: 'group', id: row.id })
    if ((await membersOfGroup(tx, row.id, { after: 0, limit: 1 })).length > 0) {
      throw iamError('entity-in-use', 'Cannot delete entity, must remove users from group first.')
    }
    await deleteNamed(tx, 'group', row.id)
    await recordIamChange(tx, context, {
      action: 'DeleteGroup',
      resource: arnOf('group', row),
      detail: { groupId: row.unique_id },
    })
  },
})

/** Succeeds where the user is in the group already. */
export const addUserToGroup = defineCommand({
  name: 'add-user-to-group',
  durability: 'durable',
  async run(tx, input: { userName: string; groupName: string }, context): Promise<void> {
    const { user, group } = await lockBoth(tx, context, input)
    const groups = await groupsOfUser(tx, user.id)
    if (!groups.some(({ id }) => id === group.id) && groups.length >= iamQuotas.GroupsPerUser) {
      throw quotaExceeded('GroupsPerUser')
    }
    await insertMember(tx, { userId: user.id, groupId: group.id })
    await recordIamChange(tx, context, {
      action: 'AddUserToGroup',
      resource: arnOf('group', group),
      detail: { userName: user.name },
    })
  },
})

/** Throws `entity-unknown` where the user is not in the group. */
export const removeUserFromGroup = defineCommand({
  name: 'remove-user-from-group',
  durability: 'durable',
  async run(tx, input: { userName: string; groupName: string }, context): Promise<void> {
    const { user, group } = await lockBoth(tx, context, input)
    if (!(await deleteMember(tx, { userId: user.id, groupId: group.id }))) {
      throw iamError('entity-unknown', `The user with name ${input.userName} is not in the group ${group.name}.`)
    }
    await recordIamChange(tx, context, {
      action: 'RemoveUserFromGroup',
      resource: arnOf('group', group),
      detail: { userName: user.name },
    })
  },
})

async function lockBoth(
  tx: Session,
  context: CommandContext,
  input: { userName: string; groupName: string },
): Promise<{ user: UserRow; group: GroupRow }> {
  const user = await lockEntity(tx, context, 'user', input.userName)
  return { user, group: await lockEntity(tx, context, 'group', input.groupName) }
}

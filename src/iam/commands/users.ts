import { defineCommand } from '../../storage/metadata/command.ts'
import { accessKeysOfUser, renamePrincipalOfKeys } from '../../storage/metadata/stores/access-key-store.ts'
import {
  deleteNamed,
  findNamed,
  insertUser,
  lockAccount,
  nameKey,
  renameNamed,
  type UserRow,
} from '../../storage/metadata/stores/iam-entity-store.ts'
import { groupsOfUser } from '../../storage/metadata/stores/iam-group-store.ts'
import { deleteIamTags } from '../../storage/metadata/stores/iam-tag-store.ts'
import { deleteSessionsOfUser } from '../../storage/metadata/stores/session-store.ts'
import { iamError } from '../errors.ts'
import { arnOf, entityExists, lockEntity, recordIamChange, reserveRoom } from './change.ts'
import { addTags, type Tag } from './entity-tags.ts'
import { holdPolicy, refuseWhileItHasPolicies } from './policy-attachments.ts'

export const createUser = defineCommand({
  name: 'create-user',
  durability: 'durable',
  async run(
    tx,
    input: { name: string; path: string; uniqueId: string; boundaryArn: string | null; tags: readonly Tag[] },
    context,
  ): Promise<UserRow> {
    await reserveRoom(tx, context, 'user')
    if (input.boundaryArn !== null) await holdPolicy(tx, context, input.boundaryArn)
    const row = await insertUser(tx, {
      account_id: context.accountId,
      name: input.name,
      path: input.path,
      unique_id: input.uniqueId,
      boundary_arn: input.boundaryArn,
      created_at: context.nowMs,
    })
    if (!row) throw entityExists('user', input.name)
    await addTags(tx, { kind: 'user', id: row.id }, input.tags)
    await recordIamChange(tx, context, {
      action: 'CreateUser',
      resource: arnOf('user', row),
      detail: { userId: row.unique_id, permissionsBoundary: input.boundaryArn },
    })
    return row
  },
})

/** Another name, another path, or both. The user's keys go on, for the user as it is called now. */
export const updateUser = defineCommand({
  name: 'update-user',
  durability: 'durable',
  async run(tx, input: { name: string; newName?: string | undefined; newPath?: string | undefined }, context): Promise<void> {
    // No other user may be given the name before the commit.
    await lockAccount(tx, context.accountId)
    const row = await lockEntity(tx, context, 'user', input.name)
    const renamed = { ...row, name: input.newName ?? row.name, path: input.newPath ?? row.path }
    if (nameKey(renamed.name) !== row.name_key && (await findNamed(tx, 'user', context.accountId, renamed.name))) {
      throw entityExists('user', renamed.name)
    }
    await renameNamed(tx, 'user', row.id, renamed)
    await renamePrincipalOfKeys(tx, row.id, arnOf('user', renamed))
    await recordIamChange(tx, context, {
      action: 'UpdateUser',
      resource: arnOf('user', row),
      detail: { newUserName: renamed.name, newPath: renamed.path },
    })
  },
})

/** Throws `entity-in-use` while it has keys, policies or groups. Its sessions end at once. */
export const deleteUser = defineCommand({
  name: 'delete-user',
  durability: 'durable',
  async run(tx, input: { name: string }, context): Promise<void> {
    const row = await lockEntity(tx, context, 'user', input.name, 'delete')
    if ((await accessKeysOfUser(tx, row.id)).length > 0) {
      throw iamError('entity-in-use', 'Cannot delete entity, must delete access keys first.')
    }
    await refuseWhileItHasPolicies(tx, { kind: 'user', id: row.id })
    if ((await groupsOfUser(tx, row.id)).length > 0) {
      throw iamError('entity-in-use', 'Cannot delete entity, must remove users from group first.')
    }
    await deleteSessionsOfUser(tx, row)
    await deleteIamTags(tx, { kind: 'user', id: row.id })
    await deleteNamed(tx, 'user', row.id)
    await recordIamChange(tx, context, {
      action: 'DeleteUser',
      resource: arnOf('user', row),
      detail: { userId: row.unique_id },
    })
  },
})

import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import {
  accessKeysOfUser,
  deleteAccessKey,
  deleteAccessKeyUse,
  noteAccessKeyUse,
  setAccessKeyStatus,
  upsertAccessKey,
  type AccessKeyRow,
  type AccessKeyUse,
} from '../../storage/metadata/stores/access-key-store.ts'
import { iamError } from '../errors.ts'
import { iamQuotas } from '../quotas.ts'
import { arnOf, lockEntity, quotaExceeded, recordIamChange } from './change.ts'

/** A user's key: two at most, so that one can take the place of the other without a gap. */
export const createAccessKey = defineCommand({
  name: 'create-access-key',
  durability: 'durable',
  async run(
    tx,
    input: { userName: string; accessKeyId: string; secretSealed: string },
    context,
  ): Promise<AccessKeyRow & { userName: string }> {
    const user = await lockEntity(tx, context, 'user', input.userName)
    if ((await accessKeysOfUser(tx, user.id)).length >= iamQuotas.AccessKeysPerUser) throw quotaExceeded('AccessKeysPerUser')
    const row: AccessKeyRow = {
      access_key_id: input.accessKeyId,
      account_id: context.accountId,
      principal_arn: arnOf('user', user),
      principal_kind: 'user',
      principal_user_id: user.unique_id,
      secret_sealed: input.secretSealed,
      status: 'active',
      created_at: context.nowMs,
      user_id: user.id,
    }
    await upsertAccessKey(tx, row)
    await recordIamChange(tx, context, {
      action: 'CreateAccessKey',
      resource: row.principal_arn,
      detail: { accessKeyId: input.accessKeyId },
    })
    return { ...row, userName: user.name }
  },
})

export const setAccessKey = defineCommand({
  name: 'set-access-key-status',
  durability: 'durable',
  async run(
    tx,
    input: { userName: string; accessKeyId: string; status: 'active' | 'inactive' },
    context,
  ): Promise<void> {
    const key = await lockKey(tx, context, input)
    await setAccessKeyStatus(tx, key.access_key_id, input.status)
    await recordIamChange(tx, context, {
      action: 'UpdateAccessKey',
      resource: key.principal_arn,
      detail: { accessKeyId: key.access_key_id, status: input.status },
    })
  },
})

export const removeAccessKey = defineCommand({
  name: 'delete-access-key',
  durability: 'durable',
  async run(tx, input: { userName: string; accessKeyId: string }, context): Promise<void> {
    const key = await lockKey(tx, context, input)
    await deleteAccessKey(tx, key.access_key_id)
    await deleteAccessKeyUse(tx, key.access_key_id)
    await recordIamChange(tx, context, {
      action: 'DeleteAccessKey',
      resource: key.principal_arn,
      detail: { accessKeyId: key.access_key_id },
    })
  },
})

/** The uses of the last moment. Not `durable`, as the pull times are not: no request waits for it. */
export const recordAccessKeyUses = defineCommand({
  name: 'record-access-key-uses',
  durability: 'process',
  async run(tx, input: { uses: readonly AccessKeyUse[] }): Promise<void> {
    for (const use of input.uses) await noteAccessKeyUse(tx, use)
  },
})

/** A key of the user, whose row is locked. Throws `entity-unknown` for anybody else's. */
async function lockKey(
  tx: Session,
  context: CommandContext,
  { userName, accessKeyId }: { userName: string; accessKeyId: string },
): Promise<AccessKeyRow> {
  const user = await lockEntity(tx, context, 'user', userName)
  const key = (await accessKeysOfUser(tx, user.id)).find((each) => each.access_key_id === accessKeyId)
  if (!key) throw iamError('entity-unknown', `The Access Key with id ${accessKeyId} cannot be found.`)
  return key
}

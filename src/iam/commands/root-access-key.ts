import { defineCommand } from '../../storage/metadata/command.ts'
import {
  accessKeysOf,
  advanceIamGeneration,
  deleteAccessKey,
  upsertAccessKey,
} from '../../storage/metadata/stores/access-key-store.ts'
import { deleteSessionsOfRoot } from '../../storage/metadata/stores/session-store.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'

/** Makes this the one access key of an account's root; the ones before it end at once, and the temporary credentials made with them. */
export const replaceRootAccessKey = defineCommand({
  name: 'replace-root-access-key',
  durability: 'durable',
  async run(
    tx,
    input: { accountId: string; principalArn: string; accessKeyId: string; secretSealed: string },
    context,
  ): Promise<void> {
    for (const former of await accessKeysOf(tx, input.principalArn)) await deleteAccessKey(tx, former.access_key_id)
    await deleteSessionsOfRoot(tx, input.accountId)
    await upsertAccessKey(tx, {
      access_key_id: input.accessKeyId,
      account_id: input.accountId,
      principal_arn: input.principalArn,
      principal_kind: 'root',
      principal_user_id: input.accountId,
      secret_sealed: input.secretSealed,
      status: 'active',
      created_at: context.nowMs,
      user_id: null,
    })
    await advanceIamGeneration(tx, input.accountId)
    await recordAudit(tx, context, {
      action: 'CreateAccessKey',
      resource: input.principalArn,
      detail: { accessKeyId: input.accessKeyId },
    })
  },
})

import { defineCommand } from '../../storage/metadata/command.ts'
import { advanceIamGeneration, upsertAccessKey } from '../../storage/metadata/stores/access-key-store.ts'
import { insertNamedAccount, type AccountRow } from '../../storage/metadata/stores/account-store.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'
import { rootArn, type AccountId } from '../../values/index.ts'
import { iamError } from '../errors.ts'

/** An account with the one access key of its root. Throws `entity-exists`. */
export const createAccount = defineCommand({
  name: 'create-account',
  durability: 'durable',
  async run(
    tx,
    input: { accountId: string; name: string; accessKeyId: string; secretSealed: string },
    context,
  ): Promise<AccountRow> {
    const { accountId, name, accessKeyId, secretSealed } = input
    const row = await insertNamedAccount(tx, { accountId, name, createdAt: context.nowMs })
    if (row === undefined) throw iamError('entity-exists', `There is an account with the id ${accountId} already.`)
    const principalArn = rootArn(accountId as AccountId)
    await upsertAccessKey(tx, {
      access_key_id: accessKeyId,
      account_id: accountId,
      principal_arn: principalArn,
      principal_kind: 'root',
      principal_user_id: accountId,
      secret_sealed: secretSealed,
      status: 'active',
      created_at: context.nowMs,
      user_id: null,
    })
    await advanceIamGeneration(tx, accountId)
    await recordAudit(tx, context, { action: 'CreateAccount', resource: principalArn, detail: { name, accessKeyId } })
    return row
  },
})

import { defineCommand } from '../../storage/metadata/command.ts'
import { advanceIamGeneration } from '../../storage/metadata/stores/access-key-store.ts'
import { lockAccount, setAccountAlias } from '../../storage/metadata/stores/iam-entity-store.ts'
import { rootArn, type AccountId } from '../../values/index.ts'
import { iamError } from '../errors.ts'
import { recordIamChange } from './change.ts'

/** Gives the account an alias, in place of the one it has. Throws `entity-exists` where another account has it. */
export const createAccountAlias = defineCommand({
  name: 'create-account-alias',
  durability: 'durable',
  async run(tx, input: { alias: string }, context): Promise<void> {
    await lockAccount(tx, context.accountId)
    // Its row is locked from here on, so that no other account takes the alias meanwhile.
    await advanceIamGeneration(tx, context.accountId)
    if (!(await setAccountAlias(tx, context.accountId, input.alias))) {
      throw iamError('entity-exists', `The account alias ${input.alias} already exists.`)
    }
    await recordIamChange(tx, context, {
      action: 'CreateAccountAlias',
      resource: rootArn(context.accountId as AccountId),
      detail: { accountAlias: input.alias },
    })
  },
})

/** Throws `entity-unknown` where the account has another alias, or none. */
export const deleteAccountAlias = defineCommand({
  name: 'delete-account-alias',
  durability: 'durable',
  async run(tx, input: { alias: string }, context): Promise<void> {
    const account = await lockAccount(tx, context.accountId)
    if (account?.alias !== input.alias) {
      throw iamError('entity-unknown', `The Account Alias ${input.alias} cannot be found.`)
    }
    await setAccountAlias(tx, context.accountId, null)
    await recordIamChange(tx, context, {
      action: 'DeleteAccountAlias',
      resource: rootArn(context.accountId as AccountId),
      detail: { accountAlias: input.alias },
    })
  },
})

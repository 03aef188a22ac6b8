import { defineCommand } from '../../storage/metadata/command.ts'
import { insertAccount, insertRegistry } from '../../storage/metadata/stores/repository-store.ts'

/** Brings an account and its registry of a region into being. Idempotent. */
export const ensureRegistry = defineCommand({
  name: 'ensure-registry',
  durability: 'durable',
  async run(tx, input: { accountId: string; region: string }, context): Promise<void> {
    await insertAccount(tx, input.accountId, context.nowMs)
    await insertRegistry(tx, input.accountId, input.region, context.nowMs)
  },
})

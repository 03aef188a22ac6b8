import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import {
  accountExists,
  findRegistryId,
  insertAccount,
  insertRegistry,
} from '../../storage/metadata/stores/repository-store.ts'
import { registryError } from '../errors.ts'

/** Stands for the registry of an account in a region where it has made nothing yet. No row has it. */
export const emptyRegistryId = 0

/** Brings an account and its registry of a region into being. Idempotent. */
export const ensureRegistry = defineCommand({
  name: 'ensure-registry',
  durability: 'durable',
  async run(tx, input: { accountId: string; region: string }, context): Promise<void> {
    await insertAccount(tx, input.accountId, context.nowMs)
    await insertRegistry(tx, input.accountId, input.region, context.nowMs)
  },
})

/**
 * The id of the registry that a repository or a setting is about to be made in; the first one brings the registry into
 * being. However many do so at once, there is one. Throws `repository-unknown` where there is no such account.
 */
export async function registryForChange(tx: Session, context: CommandContext): Promise<number> {
  const { registryId, accountId, region, nowMs } = context
  if (registryId !== emptyRegistryId) return registryId
  if (!(await accountExists(tx, accountId))) {
    throw registryError('repository-unknown', `There is no registry with id '${accountId}' in ${region}.`)
  }
  // On PostgreSQL this waits for another command that inserts the same row, and the next statement sees its row.
  await insertRegistry(tx, accountId, region, nowMs)
  const id = await findRegistryId(tx, accountId, region)
  if (id === undefined) throw new Error('the registry was just inserted and is not there')
  return id
}

import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import {
  accountExists,
  findRegistryId,
  insertAccount,
  insertRegistry,
  listRegistryIds,
} from '../../storage/metadata/stores/repository-store.ts'
import { lockAccount } from '../../storage/metadata/stores/iam-entity-store.ts'
import { quoted, valueError } from '../../values/errors.ts'
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
 * being. However many do so at once, there is one. Throws `repository-unknown` where there is no such account,
 * `region-invalid` where the region is not served, and `limit-exceeded` where the account has its regions already.
 */
export async function registryForChange(tx: Session, context: CommandContext): Promise<number> {
  const { registryId, accountId, region, nowMs, newRegistry } = context
  if (registryId !== emptyRegistryId) return registryId
  if (!(await accountExists(tx, accountId))) {
    throw registryError('repository-unknown', `There is no registry with id '${accountId}' in ${region}.`)
  }
  if (newRegistry !== undefined) {
    // Locked, so that the regions that were counted are all there are until the commit.
    await lockAccount(tx, accountId)
    const existing = await findRegistryId(tx, accountId, region)
    if (existing !== undefined) return existing
    if (!newRegistry.isServedRegion) {
      throw valueError('region-invalid', `The region '${region}' is not one of this installation.`, { region: quoted(region) })
    }
    const { maxPerAccount } = newRegistry
    if ((await listRegistryIds(tx, accountId, maxPerAccount)).length >= maxPerAccount) {
      throw registryError(
        'limit-exceeded',
        `The account with id '${accountId}' already has registries in the maximum allowed number of regions which is '${maxPerAccount}'`,
      )
    }
  }
  // On PostgreSQL this waits for another command that inserts the same row, and the next statement sees its row.
  await insertRegistry(tx, accountId, region, nowMs)
  const id = await findRegistryId(tx, accountId, region)
  if (id === undefined) throw new Error('the registry was just inserted and is not there')
  return id
}

/** For what is kept elsewhere than in the metadata and belongs to a registry all the same. Throws as `registryForChange`. */
export const beginRegistry = defineCommand({
  name: 'begin-registry',
  durability: 'durable',
  async run(tx, _: Readonly<Record<string, never>>, context): Promise<void> {
    await registryForChange(tx, context)
  },
})

import { defineCommand } from '../../storage/metadata/command.ts'
import {
  deletePullTimeExclusion,
  insertPullTimeExclusion,
  listPullTimeExclusions,
} from '../../storage/metadata/stores/pull-time-exclusion-store.ts'
import { lockRegistryRow } from '../../storage/metadata/stores/repository-store.ts'
import { auditRegistry } from '../change.ts'
import { registryError } from '../errors.ts'
import { registryForChange } from './registries.ts'

/** Throws `exclusion-exists`, `limit-exceeded`. */
export const registerPullTimeExclusion = defineCommand({
  name: 'register-pull-time-exclusion',
  durability: 'durable',
  async run(tx, input: { principalArn: string; maxExclusions: number }, context): Promise<void> {
    const { principalArn, maxExclusions } = input
    const registryId = await registryForChange(tx, context)
    await lockRegistryRow(tx, registryId)
    if (!(await insertPullTimeExclusion(tx, registryId, principalArn, context.nowMs))) {
      throw registryError(
        'exclusion-exists',
        `The pull time update exclusion for the principal '${principalArn}' already exists in the registry with id '${context.accountId}'`,
      )
    }
    const present = await listPullTimeExclusions(tx, registryId, '', maxExclusions + 1)
    if (present.length > maxExclusions) {
      throw registryError(
        'limit-exceeded',
        `The registry with id '${context.accountId}' already has the maximum allowed number of pull time update exclusions which is '${maxExclusions}'`,
      )
    }
    await auditRegistry(tx, { ...context, registryId }, 'RegisterPullTimeUpdateExclusion', { principalArn })
  },
})

/** Throws `exclusion-unknown`. */
export const deregisterPullTimeExclusion = defineCommand({
  name: 'deregister-pull-time-exclusion',
  durability: 'durable',
  async run(tx, input: { principalArn: string }, context): Promise<void> {
    const { principalArn } = input
    if (!(await deletePullTimeExclusion(tx, context.registryId, principalArn))) {
      throw registryError(
        'exclusion-unknown',
        `The pull time update exclusion for the principal '${principalArn}' does not exist in the registry with id '${context.accountId}'`,
      )
    }
    await auditRegistry(tx, context, 'DeregisterPullTimeUpdateExclusion', { principalArn })
  },
})

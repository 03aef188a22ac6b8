import { defineCommand } from '../../storage/metadata/command.ts'
import { advanceIamGeneration } from '../../storage/metadata/stores/access-key-store.ts'
import { upsertRegistrySetting } from '../../storage/metadata/stores/registry-setting-store.ts'
import { auditRegistry } from '../change.ts'
import { registryForChange } from './registries.ts'

export const putAccountSetting = defineCommand({
  name: 'put-account-setting',
  durability: 'durable',
  async run(tx, input: { name: string; value: string }, context): Promise<void> {
    const registryId = await registryForChange(tx, context)
    await upsertRegistrySetting(tx, registryId, input.name, input.value)
    await auditRegistry(tx, { ...context, registryId }, 'PutAccountSetting', { name: input.name, value: input.value })
    // The scope of registry policies says who may what; the other settings change too rarely for the difference to matter.
    await advanceIamGeneration(tx, context.accountId)
  },
})

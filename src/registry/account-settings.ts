import type { MetadataDatabase } from '../storage/metadata/database.ts'
import type { Session } from '../storage/metadata/session.ts'
import { findRegistrySetting } from '../storage/metadata/stores/registry-setting-store.ts'
import { putAccountSetting } from './commands/account-settings.ts'
import { commandContext } from './context.ts'
import { parameterInvalid } from './errors.ts'
import type { AccountSettingName, Registry } from './types.ts'

export type AccountSettingOperations = Pick<Registry, 'getAccountSetting' | 'putAccountSetting'>

/** The values that each setting takes. Amazon ECR API reference, "PutAccountSetting". */
const accountSettings = {
  /** Which scanner basic scanning uses. There is one, as with ECR since it gave up Clair. */
  BASIC_SCAN_TYPE_VERSION: { values: ['AWS_NATIVE'], whenUnset: 'AWS_NATIVE' },
  /** Whether `mount` makes a layer of another repository visible. Set by default, unlike ECR's: OCI clients count on it. */
  BLOB_MOUNTING: { values: ['ENABLED', 'DISABLED'], whenUnset: 'ENABLED' },
  /** V1: the registry policy says who may replicate, import and create. V2: it is asked about every call. */
  REGISTRY_POLICY_SCOPE: { values: ['V1', 'V2'], whenUnset: 'V2' },
} as const satisfies Record<AccountSettingName, { values: readonly string[]; whenUnset: string }>

export const accountSettingNames = Object.keys(accountSettings) as AccountSettingName[]

export function accountSettingOperations({ database }: { database: MetadataDatabase }): AccountSettingOperations {
  return {
    getAccountSetting: (context, name) => readAccountSetting(database.reader, context.registry.id, name),

    async putAccountSetting(context, name, value) {
      const values: readonly string[] = accountSettings[name].values
      if (!values.includes(value)) {
        throw parameterInvalid('value', `Member must satisfy enum value set: [${values.join(', ')}]`)
      }
      await database.execute(putAccountSetting, { name, value }, commandContext(context))
    },
  }
}

/** A registry's setting, or its default. */
export async function readAccountSetting(session: Session, registryId: number, name: AccountSettingName): Promise<string> {
  return (await findRegistrySetting(session, registryId, name)) ?? accountSettings[name].whenUnset
}

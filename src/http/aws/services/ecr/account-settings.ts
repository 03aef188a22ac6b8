import { accountSettingNames, type Registry } from '../../../../registry/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { enumeration, required, string, structure } from '../../shapes.ts'

const settingName = required(enumeration(accountSettingNames))

/** What an account has chosen for its registry. `ecr:AccountSetting` tells policies which setting a call is about. */
export function accountSettingOperations({ registry }: { readonly registry: Registry }): Record<string, AwsOperation> {
  return {
    GetAccountSetting: operation({
      action: 'ecr:GetAccountSetting',
      resource: () => '*',
      conditions: ({ name }) => [{ 'ecr:AccountSetting': name }],
      input: structure({ name: settingName }),
      async handler({ context }, { name }) {
        return { name, value: await registry.getAccountSetting(context, name) }
      },
    }),

    PutAccountSetting: operation({
      action: 'ecr:PutAccountSetting',
      resource: () => '*',
      conditions: ({ name }) => [{ 'ecr:AccountSetting': name }],
      input: structure({ name: settingName, value: required(string()) }),
      async handler({ context }, { name, value }) {
        await registry.putAccountSetting(context, name, value)
        return { name, value }
      },
    }),
  }
}

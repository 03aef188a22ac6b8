import type { AccountInfo, Accounts } from '../../../../iam/index.ts'
import { commandContext } from '../../../../registry/context.ts'
import { parseAccountId, type AccountId } from '../../../../values/index.ts'
import type { AwsErrorForm, WireCode } from '../../errors.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { integer, invalidParameter, required, simplePattern, string, structure } from '../../shapes.ts'

const accountId = string({ pattern: simplePattern(/^[0-9]{12}$/, '[0-9]{12}') })

/** What AWS Organizations takes as the name of an account. */
const accountName = string({ min: 1, max: 50, pattern: simplePattern(/^[\x20-\x7e]+$/) })

const maxPageSize = 100

const errors: Partial<Record<WireCode, AwsErrorForm>> = {
  'entity-exists': { type: 'AccountAlreadyExistsException', status: 400 },
  'entity-unknown': { type: 'AccountNotFoundException', status: 400 },
}

/** The accounts of the installation. They belong to its own account, so that no other account's principals reach any of them. */
export function accountOperations(deps: {
  readonly accounts: Accounts
  readonly homeAccountId: AccountId
}): Record<string, AwsOperation> {
  const { accounts, homeAccountId } = deps
  const resourceOf = (id: string): string => `arn:aws:stowage::${homeAccountId}:account/${id}`

  return {
    CreateAccount: operation({
      action: 'stowage:CreateAccount',
      resource: (input) => resourceOf(input.accountId ?? '*'),
      input: structure({ accountId, name: required(accountName) }),
      errors,
      async handler({ context }, input) {
        const wanted = { accountId: input.accountId === undefined ? undefined : parseAccountId(input.accountId), name: input.name }
        const { account, rootCredential } = await accounts.create(wanted, commandContext(context))
        return { account: describe(account), rootCredential }
      },
    }),

    DescribeAccount: operation({
      action: 'stowage:DescribeAccount',
      resource: (input) => resourceOf(input.accountId),
      input: structure({ accountId: required(accountId) }),
      errors,
      async handler(_, input) {
        return { account: describe(await accounts.get(parseAccountId(input.accountId))) }
      },
    }),

    ListAccounts: operation({
      action: 'stowage:ListAccounts',
      resource: () => resourceOf('*'),
      input: structure({ nextToken: accountId, maxResults: integer({ min: 1, max: maxPageSize }) }),
      async handler(_, input) {
        const page = { after: input.nextToken, limit: input.maxResults ?? maxPageSize }
        const { accounts: found, next } = await accounts.list(page)
        return { accounts: found.map(describe), nextToken: next }
      },
    }),

    ReplaceRootCredential: operation({
      action: 'stowage:ReplaceRootCredential',
      resource: (input) => resourceOf(input.accountId),
      input: structure({ accountId: required(accountId) }),
      errors,
      async handler({ context }, input) {
        const wanted = parseAccountId(input.accountId)
        if (wanted === homeAccountId) {
          const constraint = "Member must not be the installation's own account, whose credential is in its settings or its data folder"
          throw invalidParameter([{ field: 'accountId', constraint }])
        }
        const { account, rootCredential } = await accounts.replaceRootCredential(wanted, commandContext(context))
        return { account: describe(account), rootCredential }
      },
    }),
  }
}

function describe({ accountId: id, name, createdAt }: AccountInfo) {
  return { accountId: id, name, createdAt: new Date(createdAt) }
}

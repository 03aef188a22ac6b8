import { pageOfItems } from '../../../../iam/index.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { enumeration, required, structure } from '../../shapes.ts'
import {
  accountOf,
  callingUser,
  changeOf,
  pageEnd,
  pageRequest,
  resourceTagKeys,
  userOrCaller,
  type IamServiceDependencies,
} from './calls.ts'
import * as shapes from './shapes.ts'

/** What IAM says of a key that was never used. */
const never = 'N/A'

/** Keys of users; those of a root are the operator's, made by `stowage credentials`, and can only be listed here. */
export function accessKeyOperations(deps: IamServiceDependencies): Record<string, AwsOperation> {
  const { entities, keys } = deps.directory

  const arnOf = (call: AwsCall, userName: string | undefined) => {
    const name = userName ?? callingUser(call)
    return name === undefined ? call.context.actor.arn : entities.arnOf(accountOf(call), 'user', name)
  }
  const tagConditions = async (call: AwsCall, userName: string | undefined) => [
    await resourceTagKeys(deps, call, { kind: 'user', name: userName ?? callingUser(call) ?? '' }),
  ]

  return {
    CreateAccessKey: operation({
      action: 'iam:CreateAccessKey',
      resource: (input, call) => arnOf(call, input.UserName),
      conditions: (input, call) => tagConditions(call, input.UserName),
      input: structure({ UserName: shapes.name }),
      async handler(call, input) {
        const key = await keys.create(userOrCaller(call, input.UserName), changeOf(call))
        return {
          AccessKey: {
            UserName: key.userName,
            AccessKeyId: key.accessKeyId,
            Status: 'Active',
            SecretAccessKey: key.secretAccessKey,
            CreateDate: new Date(key.createdAt),
          },
        }
      },
    }),

    ListAccessKeys: operation({
      action: 'iam:ListAccessKeys',
      resource: (input, call) => arnOf(call, input.UserName),
      conditions: (input, call) => tagConditions(call, input.UserName),
      input: structure({ UserName: shapes.name, ...shapes.pageMembers }),
      async handler(call, input) {
        const accountId = accountOf(call)
        const ofRoot = input.UserName === undefined && call.context.actor.kind === 'root'
        const userName = ofRoot ? undefined : userOrCaller(call, input.UserName)
        const found = userName === undefined ? await keys.ofRoot(accountId) : await keys.ofUser(accountId, userName)
        const sorted = found.toSorted((a, b) => (a.accessKeyId < b.accessKeyId ? -1 : 1))
        const { items, next } = pageOfItems(sorted, ({ accessKeyId }) => accessKeyId, pageRequest('access-keys', input))
        const user = userName === undefined ? undefined : await entities.getUser(accountId, userName)
        return {
          AccessKeyMetadata: items.map(({ accessKeyId, status, createdAt }) => ({
            UserName: user?.name,
            AccessKeyId: accessKeyId,
            Status: status === 'active' ? 'Active' : 'Inactive',
            CreateDate: new Date(createdAt),
          })),
          ...pageEnd('access-keys', next),
        }
      },
    }),

    UpdateAccessKey: operation({
      action: 'iam:UpdateAccessKey',
      resource: (input, call) => arnOf(call, input.UserName),
      conditions: (input, call) => tagConditions(call, input.UserName),
      input: structure({
        UserName: shapes.name,
        AccessKeyId: required(shapes.accessKeyId),
        Status: required(enumeration(['Active', 'Inactive'])),
      }),
      async handler(call, input) {
        const status = input.Status === 'Active' ? 'active' : 'inactive'
        await keys.setStatus(userOrCaller(call, input.UserName), input.AccessKeyId, status, changeOf(call))
      },
    }),

    DeleteAccessKey: operation({
      action: 'iam:DeleteAccessKey',
      resource: (input, call) => arnOf(call, input.UserName),
      conditions: (input, call) => tagConditions(call, input.UserName),
      input: structure({ UserName: shapes.name, AccessKeyId: required(shapes.accessKeyId) }),
      async handler(call, input) {
        await keys.remove(userOrCaller(call, input.UserName), input.AccessKeyId, changeOf(call))
      },
    }),

    GetAccessKeyLastUsed: operation({
      action: 'iam:GetAccessKeyLastUsed',
      // IAM's service authorization reference gives the call the user that the key belongs to.
      resource: async (input, call) => {
        const owner = await keys.ownerOf(accountOf(call), input.AccessKeyId)
        return owner === undefined ? '*' : entities.arnOf(accountOf(call), 'user', owner)
      },
      conditions: async (input, call) => {
        const owner = await keys.ownerOf(accountOf(call), input.AccessKeyId)
        return owner === undefined ? [{}] : tagConditions(call, owner)
      },
      input: structure({ AccessKeyId: required(shapes.accessKeyId) }),
      async handler(call, input) {
        const { userName, lastUse } = await keys.lastUse(accountOf(call), input.AccessKeyId)
        return {
          UserName: userName,
          AccessKeyLastUsed: {
            LastUsedDate: lastUse && new Date(lastUse.atMs),
            ServiceName: lastUse?.service ?? never,
            Region: lastUse?.region ?? never,
          },
        }
      },
    }),
  }
}

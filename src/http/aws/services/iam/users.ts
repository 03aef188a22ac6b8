import type { User } from '../../../../iam/index.ts'
import { rootArn } from '../../../../values/index.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { required, structure } from '../../shapes.ts'
import {
  accountOf,
  boundaryMember,
  callingUser,
  changeOf,
  checkedTags,
  pageEnd,
  pageRequest,
  renamedArn,
  requestTagKeys,
  resourceTagKeys,
  tagMembers,
  userOrCaller,
  type IamServiceDependencies,
} from './calls.ts'
import * as shapes from './shapes.ts'

/** A user as IAM answers it. */
export function userMember(user: User): object {
  return {
    Path: user.path,
    UserName: user.name,
    UserId: user.uniqueId,
    Arn: user.arn,
    CreateDate: new Date(user.createdAt),
  }
}

export function userOperations(deps: IamServiceDependencies): Record<string, AwsOperation> {
  const { entities, account } = deps.directory

  const arnOf = (call: AwsCall, name: string) => entities.arnOf(accountOf(call), 'user', name)
  const tagConditions = async (call: AwsCall, name: string) => [await resourceTagKeys(deps, call, { kind: 'user', name })]
  const newUserArn = (call: AwsCall, path: string | undefined, name: string) =>
    `arn:aws:iam::${accountOf(call)}:user${path ?? '/'}${name}`

  return {
    CreateUser: operation({
      action: 'iam:CreateUser',
      resource: (input, call) => newUserArn(call, input.Path, input.UserName),
      conditions: ({ PermissionsBoundary, Tags }) => [
        { ...requestTagKeys(Tags), ...(PermissionsBoundary !== undefined && { 'iam:PermissionsBoundary': PermissionsBoundary }) },
      ],
      input: structure({
        UserName: required(shapes.shortName),
        Path: shapes.path,
        PermissionsBoundary: shapes.arn,
        Tags: shapes.tags,
      }),
      async handler(call, input) {
        const tags = checkedTags(input.Tags ?? [])
        if (tags.length > 0) {
          await call.authorize('iam:TagUser', newUserArn(call, input.Path, input.UserName), () => [requestTagKeys(input.Tags)])
        }
        const user = await entities.createUser(
          { name: input.UserName, path: input.Path ?? '/', boundaryArn: input.PermissionsBoundary, tags },
          changeOf(call),
        )
        return {
          User: { ...userMember(user), PermissionsBoundary: boundaryMember(user.boundaryArn), Tags: tagMembers(tags) },
        }
      },
    }),

    GetUser: operation({
      action: 'iam:GetUser',
      resource: (input, call) => {
        const name = input.UserName ?? callingUser(call)
        return name === undefined ? call.context.actor.arn : arnOf(call, name)
      },
      conditions: (input, call) => tagConditions(call, input.UserName ?? callingUser(call) ?? ''),
      input: structure({ UserName: shapes.name }),
      async handler(call, input) {
        const accountId = accountOf(call)
        if (input.UserName === undefined && call.context.actor.kind === 'root') {
          const { createdAt } = await account.get(accountId)
          return { User: { UserId: accountId, Arn: rootArn(accountId), CreateDate: new Date(createdAt) } }
        }
        const name = userOrCaller(call, input.UserName)
        const user = await entities.getUser(accountId, name)
        const tags = await entities.tagsOf(accountId, { kind: 'user', name })
        return {
          User: { ...userMember(user), PermissionsBoundary: boundaryMember(user.boundaryArn), Tags: tagMembers(tags) },
        }
      },
    }),

    ListUsers: operation({
      action: 'iam:ListUsers',
      resource: (_input, call) => `arn:aws:iam::${accountOf(call)}:user/`,
      input: structure({ PathPrefix: shapes.pathPrefix, ...shapes.pageMembers }),
      async handler(call, input) {
        const page = { ...pageRequest('users', input), pathPrefix: input.PathPrefix ?? '/' }
        const { items, next } = await entities.listUsers(accountOf(call), page)
        return { Users: items.map(userMember), ...pageEnd('users', next) }
      },
    }),

    UpdateUser: operation({
      action: 'iam:UpdateUser',
      resource: (input, call) => arnOf(call, input.UserName),
      conditions: (input, call) => tagConditions(call, input.UserName),
      input: structure({ UserName: required(shapes.name), NewPath: shapes.path, NewUserName: shapes.shortName }),
      async handler(call, input) {
        const { UserName, NewUserName: newName, NewPath: newPath } = input
        const arn = await arnOf(call, UserName)
        const renamed = renamedArn(arn, 'user', { newName, newPath })
        if (renamed !== arn) await call.authorize('iam:UpdateUser', renamed, () => tagConditions(call, UserName))
        await entities.updateUser(UserName, { newName, newPath }, changeOf(call))
      },
    }),

    DeleteUser: operation({
      action: 'iam:DeleteUser',
      resource: (input, call) => arnOf(call, input.UserName),
      conditions: (input, call) => tagConditions(call, input.UserName),
      input: structure({ UserName: required(shapes.name) }),
      async handler(call, input) {
        await entities.deleteUser(input.UserName, changeOf(call))
      },
    }),
  }
}

import { pageOfItems, type Group } from '../../../../iam/index.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { required, structure } from '../../shapes.ts'
import { accountOf, changeOf, pageEnd, pageRequest, renamedArn, resourceTagKeys, type IamServiceDependencies } from './calls.ts'
import * as shapes from './shapes.ts'
import { userMember } from './users.ts'

/** A group as IAM answers it. */
export function groupMember(group: Group): object {
  return {
    Path: group.path,
    GroupName: group.name,
    GroupId: group.uniqueId,
    Arn: group.arn,
    CreateDate: new Date(group.createdAt),
  }
}

export function groupOperations(deps: IamServiceDependencies): Record<string, AwsOperation> {
  const { entities } = deps.directory
  const arnOf = (call: AwsCall, name: string) => entities.arnOf(accountOf(call), 'group', name)

  return {
    CreateGroup: operation({
      action: 'iam:CreateGroup',
      resource: (input, call) => `arn:aws:iam::${accountOf(call)}:group${input.Path ?? '/'}${input.GroupName}`,
      input: structure({ GroupName: required(shapes.name), Path: shapes.path }),
      async handler(call, input) {
        const group = await entities.createGroup({ name: input.GroupName, path: input.Path ?? '/' }, changeOf(call))
        return { Group: groupMember(group) }
      },
    }),

    GetGroup: operation({
      action: 'iam:GetGroup',
      resource: (input, call) => arnOf(call, input.GroupName),
      input: structure({ GroupName: required(shapes.name), ...shapes.pageMembers }),
      async handler(call, input) {
        const page = pageRequest('group', input)
        const { group, members } = await entities.getGroup(accountOf(call), input.GroupName, page)
        return { Group: groupMember(group), Users: members.items.map(userMember), ...pageEnd('group', members.next) }
      },
    }),

    ListGroups: operation({
      action: 'iam:ListGroups',
      resource: (_input, call) => `arn:aws:iam::${accountOf(call)}:group/`,
      input: structure({ PathPrefix: shapes.pathPrefix, ...shapes.pageMembers }),
      async handler(call, input) {
        const page = { ...pageRequest('groups', input), pathPrefix: input.PathPrefix ?? '/' }
        const { items, next } = await entities.listGroups(accountOf(call), page)
        return { Groups: items.map(groupMember), ...pageEnd('groups', next) }
      },
    }),

    UpdateGroup: operation({
      action: 'iam:UpdateGroup',
      resource: (input, call) => arnOf(call, input.GroupName),
      input: structure({ GroupName: required(shapes.name), NewPath: shapes.path, NewGroupName: shapes.name }),
      async handler(call, input) {
        const { GroupName, NewGroupName: newName, NewPath: newPath } = input
        const arn = await arnOf(call, GroupName)
        const renamed = renamedArn(arn, 'group', { newName, newPath })
        if (renamed !== arn) await call.authorize('iam:UpdateGroup', renamed)
        await entities.updateGroup(GroupName, { newName, newPath }, changeOf(call))
      },
    }),

    DeleteGroup: operation({
      action: 'iam:DeleteGroup',
      resource: (input, call) => arnOf(call, input.GroupName),
      input: structure({ GroupName: required(shapes.name) }),
      async handler(call, input) {
        await entities.deleteGroup(input.GroupName, changeOf(call))
      },
    }),

    AddUserToGroup: operation({
      action: 'iam:AddUserToGroup',
      resource: (input, call) => arnOf(call, input.GroupName),
      input: structure({ GroupName: required(shapes.name), UserName: required(shapes.name) }),
      async handler(call, input) {
        await entities.addUserToGroup(input.UserName, input.GroupName, changeOf(call))
      },
    }),

    RemoveUserFromGroup: operation({
      action: 'iam:RemoveUserFromGroup',
      resource: (input, call) => arnOf(call, input.GroupName),
      input: structure({ GroupName: required(shapes.name), UserName: required(shapes.name) }),
      async handler(call, input) {
        await entities.removeUserFromGroup(input.UserName, input.GroupName, changeOf(call))
      },
    }),

    ListGroupsForUser: operation({
      action: 'iam:ListGroupsForUser',
      resource: (input, call) => entities.arnOf(accountOf(call), 'user', input.UserName),
      conditions: async (input, call) => [await resourceTagKeys(deps, call, { kind: 'user', name: input.UserName })],
      input: structure({ UserName: required(shapes.name), ...shapes.pageMembers }),
      async handler(call, input) {
        const groups = await entities.groupsOfUser(accountOf(call), input.UserName)
        const { items, next } = pageOfItems(groups, ({ name }) => name.toLowerCase(), pageRequest('user-groups', input))
        return { Groups: items.map(groupMember), ...pageEnd('user-groups', next) }
      },
    }),
  }
}

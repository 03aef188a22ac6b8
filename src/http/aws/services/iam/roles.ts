import { encodePolicyDocument, type Role } from '../../../../iam/index.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { required, structure } from '../../shapes.ts'
import {
  accountOf,
  boundaryMember,
  changeOf,
  checkedTags,
  pageEnd,
  pageRequest,
  requestTagKeys,
  resourceTagKeys,
  tagMembers,
  type IamServiceDependencies,
} from './calls.ts'
import * as shapes from './shapes.ts'

/** What IAM's Role and RoleDetail have in common. */
export function roleSummary(role: Role): object {
  return {
    Path: role.path,
    RoleName: role.name,
    RoleId: role.uniqueId,
    Arn: role.arn,
    CreateDate: new Date(role.createdAt),
    AssumeRolePolicyDocument: encodePolicyDocument(role.trustPolicy),
  }
}

/** A role as IAM answers it in lists. */
function roleMember(role: Role): object {
  return { ...roleSummary(role), Description: role.description, MaxSessionDuration: role.maxSessionSeconds }
}

export function roleOperations(deps: IamServiceDependencies): Record<string, AwsOperation> {
  const { entities } = deps.directory

  const arnOf = (call: AwsCall, name: string) => entities.arnOf(accountOf(call), 'role', name)
  const tagConditions = async (call: AwsCall, name: string) => [await resourceTagKeys(deps, call, { kind: 'role', name })]
  const newRoleArn = (call: AwsCall, path: string | undefined, name: string) =>
    `arn:aws:iam::${accountOf(call)}:role${path ?? '/'}${name}`

  const wholeRole = async (call: AwsCall, role: Role) => ({
    ...roleMember(role),
    PermissionsBoundary: boundaryMember(role.boundaryArn),
    Tags: tagMembers(await entities.tagsOf(accountOf(call), { kind: 'role', name: role.name })),
    RoleLastUsed: role.lastUsed ? { LastUsedDate: new Date(role.lastUsed.atMs), Region: role.lastUsed.region } : {},
  })

  return {
    CreateRole: operation({
      action: 'iam:CreateRole',
      resource: (input, call) => newRoleArn(call, input.Path, input.RoleName),
      conditions: ({ PermissionsBoundary, Tags }) => [
        { ...requestTagKeys(Tags), ...(PermissionsBoundary !== undefined && { 'iam:PermissionsBoundary': PermissionsBoundary }) },
      ],
      input: structure({
        RoleName: required(shapes.shortName),
        Path: shapes.path,
        AssumeRolePolicyDocument: required(shapes.policyDocument),
        Description: shapes.description,
        MaxSessionDuration: shapes.maxSessionDuration,
        PermissionsBoundary: shapes.arn,
        Tags: shapes.tags,
      }),
      async handler(call, input) {
        const tags = checkedTags(input.Tags ?? [])
        if (tags.length > 0) {
          await call.authorize('iam:TagRole', newRoleArn(call, input.Path, input.RoleName), () => [requestTagKeys(input.Tags)])
        }
        const role = await entities.createRole(
          {
            name: input.RoleName,
            path: input.Path ?? '/',
            trustPolicy: input.AssumeRolePolicyDocument,
            description: input.Description,
            maxSessionSeconds: input.MaxSessionDuration ?? shapes.defaultSessionSeconds,
            boundaryArn: input.PermissionsBoundary,
            tags,
          },
          changeOf(call),
        )
        return { Role: await wholeRole(call, role) }
      },
    }),

    GetRole: operation({
      action: 'iam:GetRole',
      resource: (input, call) => arnOf(call, input.RoleName),
      conditions: (input, call) => tagConditions(call, input.RoleName),
      input: structure({ RoleName: required(shapes.shortName) }),
      async handler(call, input) {
        return { Role: await wholeRole(call, await entities.getRole(accountOf(call), input.RoleName)) }
      },
    }),

    ListRoles: operation({
      action: 'iam:ListRoles',
      resource: (_input, call) => `arn:aws:iam::${accountOf(call)}:role/`,
      input: structure({ PathPrefix: shapes.pathPrefix, ...shapes.pageMembers }),
      async handler(call, input) {
        const page = { ...pageRequest('roles', input), pathPrefix: input.PathPrefix ?? '/' }
        const { items, next } = await entities.listRoles(accountOf(call), page)
        return { Roles: items.map(roleMember), ...pageEnd('roles', next) }
      },
    }),

    UpdateRole: operation({
      action: 'iam:UpdateRole',
      resource: (input, call) => arnOf(call, input.RoleName),
      conditions: (input, call) => tagConditions(call, input.RoleName),
      input: structure({
        RoleName: required(shapes.shortName),
        Description: shapes.description,
        MaxSessionDuration: shapes.maxSessionDuration,
      }),
      async handler(call, input) {
        const { RoleName, Description: description, MaxSessionDuration: maxSessionSeconds } = input
        await entities.updateRole(RoleName, { action: 'UpdateRole', description, maxSessionSeconds }, changeOf(call))
        return {}
      },
    }),

    UpdateRoleDescription: operation({
      action: 'iam:UpdateRoleDescription',
      resource: (input, call) => arnOf(call, input.RoleName),
      conditions: (input, call) => tagConditions(call, input.RoleName),
      input: structure({ RoleName: required(shapes.shortName), Description: required(shapes.description) }),
      async handler(call, input) {
        const change = { action: 'UpdateRoleDescription', description: input.Description } as const
        return { Role: await wholeRole(call, await entities.updateRole(input.RoleName, change, changeOf(call))) }
      },
    }),

    UpdateAssumeRolePolicy: operation({
      action: 'iam:UpdateAssumeRolePolicy',
      resource: (input, call) => arnOf(call, input.RoleName),
      conditions: (input, call) => tagConditions(call, input.RoleName),
      input: structure({ RoleName: required(shapes.shortName), PolicyDocument: required(shapes.policyDocument) }),
      async handler(call, input) {
        const change = { action: 'UpdateAssumeRolePolicy', trustPolicy: input.PolicyDocument } as const
        await entities.updateRole(input.RoleName, change, changeOf(call))
      },
    }),

    DeleteRole: operation({
      action: 'iam:DeleteRole',
      resource: (input, call) => arnOf(call, input.RoleName),
      conditions: (input, call) => tagConditions(call, input.RoleName),
      input: structure({ RoleName: required(shapes.shortName) }),
      async handler(call, input) {
        await entities.deleteRole(input.RoleName, changeOf(call))
      },
    }),

    // There are no machines here that could have a profile; Terraform asks before it deletes a role.
    ListInstanceProfilesForRole: operation({
      action: 'iam:ListInstanceProfilesForRole',
      resource: (input, call) => arnOf(call, input.RoleName),
      conditions: (input, call) => tagConditions(call, input.RoleName),
      input: structure({ RoleName: required(shapes.shortName), ...shapes.pageMembers }),
      async handler(call, input) {
        await entities.getRole(accountOf(call), input.RoleName)
        return { InstanceProfiles: [], IsTruncated: false }
      },
    }),
  }
}

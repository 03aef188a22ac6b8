import { maxPolicySize } from './policy/index.ts'

/**
 * What IAM bounds, with the numbers an AWS account begins with:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html.
 */
export const iamQuotas = {
  UsersPerAccount: 5000,
  GroupsPerAccount: 300,
  RolesPerAccount: 1000,
  PoliciesPerAccount: 1500,
  OpenIDConnectProvidersPerAccount: 100,
  GroupsPerUser: 10,
  AccessKeysPerUser: 2,
  PoliciesPerUser: 10,
  PoliciesPerGroup: 10,
  PoliciesPerRole: 10,
  VersionsPerPolicy: 5,
  PolicySize: maxPolicySize.managed,
  UserPolicySize: maxPolicySize.userInlineAggregate,
  GroupPolicySize: maxPolicySize.groupInlineAggregate,
  RolePolicySize: maxPolicySize.roleInlineAggregate,
  AssumeRolePolicySize: maxPolicySize.trust,
  TagsPerEntity: 50,
  ClientIdsPerOpenIDConnectProvider: 100,
  ThumbprintsPerOpenIDConnectProvider: 5,
} as const

export type IamQuota = keyof typeof iamQuotas

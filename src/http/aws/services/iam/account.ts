import { iamQuotas, pageOfItems, type AccountUsage } from '../../../../iam/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { pattern, required, string, structure } from '../../shapes.ts'
import { accountOf, changeOf, pageEnd, pageRequest, type IamServiceDependencies } from './calls.ts'
import * as shapes from './shapes.ts'

const accountAlias = string({
  min: 3,
  max: 63,
  pattern: pattern('^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$', (text) => /^[a-z0-9-]+$/.test(text) && !/^-|--|-$/.test(text)),
})

/** What concerns an account as a whole. */
export function accountOperations({ directory }: IamServiceDependencies): Record<string, AwsOperation> {
  const { account } = directory

  return {
    CreateAccountAlias: operation({
      action: 'iam:CreateAccountAlias',
      resource: () => '*',
      input: structure({ AccountAlias: required(accountAlias) }),
      async handler(call, input) {
        await account.setAlias(input.AccountAlias, changeOf(call))
      },
    }),

    ListAccountAliases: operation({
      action: 'iam:ListAccountAliases',
      resource: () => '*',
      input: structure(shapes.pageMembers),
      async handler(call, input) {
        const { alias } = await account.get(accountOf(call))
        const { items, next } = pageOfItems(alias === undefined ? [] : [alias], (each) => each, pageRequest('aliases', input))
        return { AccountAliases: items, ...pageEnd('aliases', next) }
      },
    }),

    DeleteAccountAlias: operation({
      action: 'iam:DeleteAccountAlias',
      resource: () => '*',
      input: structure({ AccountAlias: required(accountAlias) }),
      async handler(call, input) {
        await account.removeAlias(input.AccountAlias, changeOf(call))
      },
    }),

    // A report says how things are when it is fetched, so that there is nothing to wait for.
    GenerateCredentialReport: operation({
      action: 'iam:GenerateCredentialReport',
      resource: () => '*',
      input: structure({}),
      handler: () => Promise.resolve({ State: 'COMPLETE' }),
    }),

    GetCredentialReport: operation({
      action: 'iam:GetCredentialReport',
      resource: () => '*',
      input: structure({}),
      async handler(call) {
        const report = await account.credentialReport(accountOf(call))
        return {
          Content: Buffer.from(report),
          ReportFormat: 'text/csv',
          GeneratedTime: new Date(call.context.clock.now()),
        }
      },
    }),

    GetAccountSummary: operation({
      action: 'iam:GetAccountSummary',
      resource: () => '*',
      input: structure({}),
      async handler(call) {
        return { SummaryMap: new Map(Object.entries(summaryOf(await account.usage(accountOf(call))))) }
      },
    }),
  }
}

/** https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountSummary.html, without what does not exist here. */
function summaryOf(usage: AccountUsage): Record<string, number> {
  return {
    Users: usage.users,
    UsersQuota: iamQuotas.UsersPerAccount,
    Groups: usage.groups,
    GroupsQuota: iamQuotas.GroupsPerAccount,
    Roles: usage.roles,
    RolesQuota: iamQuotas.RolesPerAccount,
    Policies: usage.policies,
    PoliciesQuota: iamQuotas.PoliciesPerAccount,
    PolicyVersionsInUse: usage.policyVersions,
    PolicyVersionsInUseQuota: iamQuotas.PoliciesPerAccount * iamQuotas.VersionsPerPolicy,
    VersionsPerPolicyQuota: iamQuotas.VersionsPerPolicy,
    PolicySizeQuota: iamQuotas.PolicySize,
    UserPolicySizeQuota: iamQuotas.UserPolicySize,
    GroupPolicySizeQuota: iamQuotas.GroupPolicySize,
    RolePolicySizeQuota: iamQuotas.RolePolicySize,
    AssumeRolePolicySizeQuota: iamQuotas.AssumeRolePolicySize,
    AttachedPoliciesPerUserQuota: iamQuotas.PoliciesPerUser,
    AttachedPoliciesPerGroupQuota: iamQuotas.PoliciesPerGroup,
    AttachedPoliciesPerRoleQuota: iamQuotas.PoliciesPerRole,
    GroupsPerUserQuota: iamQuotas.GroupsPerUser,
    AccessKeysPerUserQuota: iamQuotas.AccessKeysPerUser,
    Providers: usage.oidcProviders,
    AccountAccessKeysPresent: usage.rootAccessKeys > 0 ? 1 : 0,
    AccountMFAEnabled: 0,
    MFADevices: 0,
    MFADevicesInUse: 0,
    InstanceProfiles: 0,
    ServerCertificates: 0,
  }
}

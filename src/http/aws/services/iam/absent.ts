import { iamError } from '../../../../iam/index.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { enumeration, structure } from '../../shapes.ts'
import { accountOf, callingUser, resourceTagKeys, userOrCaller, type IamServiceDependencies } from './calls.ts'
import * as shapes from './shapes.ts'

/**
 * Calls about what nobody has here: passwords, MFA devices, certificates, keys for other services, machines. Tools that look
 * over an account, and Terraform before it deletes a user, ask for these, and learn that there are none.
 */
export function absentOperations(deps: IamServiceDependencies): Record<string, AwsOperation> {
  const { entities } = deps.directory

  const userResource = (input: { readonly UserName?: string | undefined }, call: AwsCall) => {
    const name = input.UserName ?? callingUser(call)
    return name === undefined ? call.context.actor.arn : entities.arnOf(accountOf(call), 'user', name)
  }

  const tagConditions = async (input: { readonly UserName?: string | undefined }, call: AwsCall) => [
    await resourceTagKeys(deps, call, { kind: 'user', name: input.UserName ?? callingUser(call) ?? '' }),
  ]

  /** Of one user, who has to be there; a root has none of them either. */
  const noneOfUser = (name: string, member: string): AwsOperation =>
    operation({
      action: `iam:${name}`,
      resource: userResource,
      conditions: tagConditions,
      input: structure({ UserName: shapes.name, ...shapes.pageMembers }),
      async handler(call, input) {
        const isOfRoot = input.UserName === undefined && call.context.actor.kind === 'root'
        if (!isOfRoot) await entities.getUser(accountOf(call), userOrCaller(call, input.UserName))
        return { [member]: [], IsTruncated: false }
      },
    })

  const noneOfAccount = (name: string, member: string): AwsOperation =>
    operation({
      action: `iam:${name}`,
      resource: () => '*',
      input: structure({ PathPrefix: shapes.pathPrefix, ...shapes.pageMembers }),
      handler: () => Promise.resolve({ [member]: [], IsTruncated: false }),
    })

  const noLoginProfile = (name: string): AwsOperation =>
    operation({
      action: `iam:${name}`,
      resource: userResource,
      conditions: tagConditions,
      input: structure({ UserName: shapes.name }),
      async handler(call, input) {
        const user = await entities.getUser(accountOf(call), userOrCaller(call, input.UserName))
        throw iamError('entity-unknown', `Login Profile for User ${user.name} cannot be found.`)
      },
    })

  return {
    ListMFADevices: noneOfUser('ListMFADevices', 'MFADevices'),
    ListSSHPublicKeys: noneOfUser('ListSSHPublicKeys', 'SSHPublicKeys'),
    ListSigningCertificates: noneOfUser('ListSigningCertificates', 'Certificates'),
    ListServiceSpecificCredentials: noneOfUser('ListServiceSpecificCredentials', 'ServiceSpecificCredentials'),
    GetLoginProfile: noLoginProfile('GetLoginProfile'),
    DeleteLoginProfile: noLoginProfile('DeleteLoginProfile'),
    ListInstanceProfiles: noneOfAccount('ListInstanceProfiles', 'InstanceProfiles'),
    ListServerCertificates: noneOfAccount('ListServerCertificates', 'ServerCertificateMetadataList'),

    ListVirtualMFADevices: operation({
      action: 'iam:ListVirtualMFADevices',
      resource: () => '*',
      input: structure({ AssignmentStatus: enumeration(['Assigned', 'Unassigned', 'Any']), ...shapes.pageMembers }),
      handler: () => Promise.resolve({ VirtualMFADevices: [], IsTruncated: false }),
    }),

    ListSAMLProviders: operation({
      action: 'iam:ListSAMLProviders',
      resource: () => '*',
      input: structure({}),
      handler: () => Promise.resolve({ SAMLProviderList: [] }),
    }),

    GetAccountPasswordPolicy: operation({
      action: 'iam:GetAccountPasswordPolicy',
      resource: () => '*',
      input: structure({}),
      handler(call) {
        const text = `The Password Policy with domain name ${accountOf(call)} cannot be found.`
        return Promise.reject(iamError('entity-unknown', text))
      },
    }),
  }
}

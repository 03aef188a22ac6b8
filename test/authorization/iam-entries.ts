import type { Entry, EntryTable } from './entry.ts'
import { roleRights } from './callers.ts'
import { presentName, presentPath, type Place } from './places.ts'

type Parameters = Readonly<Record<string, string>>

/** An operation of IAM; it works on the caller's own account whatever it names. */
function entry(operation: string, granted: string, parameters: (place: Place) => Parameters): Entry {
  return {
    subject: 'identity',
    needs: [`iam:${operation}`],
    resource: '*',
    granted,
    closedToOwnSessions: true,
    request: (place) => ({ protocol: 'query', service: 'iam', parameters: { Action: operation, ...parameters(place) } }),
  }
}

const document = JSON.stringify(roleRights.puller.document)
const trust = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: '000000000000' }, Action: 'sts:AssumeRole' }] })
const boundary = 'arn:aws:iam::aws:policy/AdministratorAccess'
const tag: Parameters = { 'Tags.member.1.Key': 'matrix', 'Tags.member.1.Value': 'cell' }
const tagKey: Parameters = { 'TagKeys.member.1': 'matrix' }
const inlineName: Parameters = { PolicyName: 'inline' }

const ofNone = 'NoSuchEntity'

/** Operations on one user, group or role: what each takes beside the name. */
const onUser: Readonly<Record<string, Parameters>> = {
  GetUser: {}, UpdateUser: { NewPath: '/moved/' }, DeleteUser: {}, TagUser: tag, UntagUser: tagKey, ListUserTags: {},
  CreateAccessKey: {}, UpdateAccessKey: { AccessKeyId: 'AKIANOBODYNOBODYNOBO', Status: 'Inactive' }, DeleteAccessKey: { AccessKeyId: 'AKIANOBODYNOBODYNOBO' },
  ListAccessKeys: {}, ListGroupsForUser: {}, ListMFADevices: {}, ListSSHPublicKeys: {}, ListSigningCertificates: {}, ListServiceSpecificCredentials: {},
  GetLoginProfile: {}, DeleteLoginProfile: {},
  PutUserPolicy: { ...inlineName, PolicyDocument: document }, GetUserPolicy: inlineName, DeleteUserPolicy: inlineName, ListUserPolicies: {},
  AttachUserPolicy: { PolicyArn: boundary }, DetachUserPolicy: { PolicyArn: boundary }, ListAttachedUserPolicies: {},
  PutUserPermissionsBoundary: { PermissionsBoundary: boundary }, DeleteUserPermissionsBoundary: {},
}

const onGroup: Readonly<Record<string, Parameters>> = {
  GetGroup: {}, UpdateGroup: { NewPath: '/moved/' }, DeleteGroup: {},
  AddUserToGroup: { UserName: 'absent' }, RemoveUserFromGroup: { UserName: 'absent' },
  PutGroupPolicy: { ...inlineName, PolicyDocument: document }, GetGroupPolicy: inlineName, DeleteGroupPolicy: inlineName, ListGroupPolicies: {},
  AttachGroupPolicy: { PolicyArn: boundary }, DetachGroupPolicy: { PolicyArn: boundary }, ListAttachedGroupPolicies: {},
}

const onRole: Readonly<Record<string, Parameters>> = {
  GetRole: {}, UpdateRole: { Description: 'moved' }, UpdateRoleDescription: { Description: 'moved' }, UpdateAssumeRolePolicy: { PolicyDocument: trust }, DeleteRole: {},
  TagRole: tag, UntagRole: tagKey, ListRoleTags: {},
  PutRolePolicy: { ...inlineName, PolicyDocument: document }, GetRolePolicy: inlineName, DeleteRolePolicy: inlineName, ListRolePolicies: {},
  AttachRolePolicy: { PolicyArn: boundary }, DetachRolePolicy: { PolicyArn: boundary }, ListAttachedRolePolicies: {},
  PutRolePermissionsBoundary: { PermissionsBoundary: boundary }, DeleteRolePermissionsBoundary: {}, ListInstanceProfilesForRole: {},
}

const onPolicy: Readonly<Record<string, Parameters>> = {
  GetPolicy: {}, DeletePolicy: {}, CreatePolicyVersion: { PolicyDocument: document }, GetPolicyVersion: { VersionId: 'v1' }, ListPolicyVersions: {},
  DeletePolicyVersion: { VersionId: 'v2' }, SetDefaultPolicyVersion: { VersionId: 'v1' }, TagPolicy: tag, UntagPolicy: tagKey, ListPolicyTags: {}, ListEntitiesForPolicy: {},
}

const onProvider: Readonly<Record<string, Parameters>> = {
  GetOpenIDConnectProvider: {}, AddClientIDToOpenIDConnectProvider: { ClientID: 'matrix' }, RemoveClientIDFromOpenIDConnectProvider: { ClientID: 'matrix' },
  UpdateOpenIDConnectProviderThumbprint: { 'ThumbprintList.member.1': '0'.repeat(40) }, TagOpenIDConnectProvider: tag, UntagOpenIDConnectProvider: tagKey,
  ListOpenIDConnectProviderTags: {}, DeleteOpenIDConnectProvider: {},
}

/** Operations that name nothing. */
const listings = ['ListUsers', 'ListGroups', 'ListRoles', 'ListPolicies', 'ListOpenIDConnectProviders', 'ListAccountAliases', 'GetAccountSummary', 'GetAccountAuthorizationDetails', 'ListVirtualMFADevices', 'ListSAMLProviders', 'ListInstanceProfiles', 'ListServerCertificates', 'GenerateCredentialReport', 'GetCredentialReport']

function table(operations: Readonly<Record<string, Parameters>>, named: (place: Place) => Parameters): [string, Entry][] {
  return Object.entries(operations).map(([name, parameters]) => [`iam:${name}`, entry(name, ofNone, (place) => ({ ...named(place), ...parameters }))])
}

const policyArn = ({ accountId, repository }: Place): string => `arn:aws:iam::${accountId}:policy${presentPath}${repository}`
const providerArn = ({ accountId, repository }: Place): string => `arn:aws:iam::${accountId}:oidc-provider/${repository}.example`

export const iamEntries: EntryTable = {
  ...Object.fromEntries(table(onUser, ({ repository }) => ({ UserName: repository }))),
  ...Object.fromEntries(table(onGroup, ({ repository }) => ({ GroupName: repository }))),
  ...Object.fromEntries(table(onRole, ({ repository }) => ({ RoleName: repository }))),
  ...Object.fromEntries(table(onPolicy, (place) => ({ PolicyArn: policyArn(place) }))),
  ...Object.fromEntries(table(onProvider, (place) => ({ OpenIDConnectProviderArn: providerArn(place) }))),
  ...Object.fromEntries(listings.map((name) => [`iam:${name}`, entry(name, '200', () => ({}))])),

  // What would be made is refused for another reason than rights.
  'iam:CreateUser': entry('CreateUser', ofNone, ({ repository }) => ({ UserName: repository, PermissionsBoundary: 'arn:aws:iam::aws:policy/Absent' })),
  'iam:CreateUser with tags': {
    ...entry('CreateUser', ofNone, ({ repository }) => ({ UserName: repository, PermissionsBoundary: 'arn:aws:iam::aws:policy/Absent', ...tag })),
    needs: ['iam:CreateUser', 'iam:TagUser'],
  },
  'iam:CreateGroup': entry('CreateGroup', 'EntityAlreadyExists', () => ({ GroupName: presentName })),
  'iam:CreateRole': entry('CreateRole', 'MalformedPolicyDocument', ({ repository }) => ({ RoleName: repository, AssumeRolePolicyDocument: '{}' })),
  'iam:CreatePolicy': entry('CreatePolicy', 'MalformedPolicyDocument', ({ repository }) => ({ PolicyName: repository, PolicyDocument: '{}' })),
  'iam:CreateOpenIDConnectProvider': entry('CreateOpenIDConnectProvider', 'ValidationError', () => ({ Url: 'http://insecure.example' })),
  'iam:CreateAccountAlias': entry('CreateAccountAlias', '200', ({ accountId }) => ({ AccountAlias: `matrix-${accountId}` })),
  'iam:DeleteAccountAlias': entry('DeleteAccountAlias', ofNone, () => ({ AccountAlias: 'absent' })),
  'iam:GetContextKeysForCustomPolicy': entry('GetContextKeysForCustomPolicy', '200', () => ({ 'PolicyInputList.member.1': document })),
  'iam:GetContextKeysForPrincipalPolicy': entry('GetContextKeysForPrincipalPolicy', ofNone, ({ accountId, repository }) => ({
    PolicySourceArn: `arn:aws:iam::${accountId}:user/${repository}`,
  })),
  'iam:SimulateCustomPolicy': entry('SimulateCustomPolicy', '200', () => ({ 'PolicyInputList.member.1': document, 'ActionNames.member.1': 'ecr:PutImage' })),
  'iam:SimulatePrincipalPolicy': entry('SimulatePrincipalPolicy', ofNone, ({ accountId, repository }) => ({
    PolicySourceArn: `arn:aws:iam::${accountId}:user/${repository}`,
    'ActionNames.member.1': 'ecr:PutImage',
  })),
  'iam:GetAccountPasswordPolicy': entry('GetAccountPasswordPolicy', ofNone, () => ({})),
  'iam:GetAccessKeyLastUsed': entry('GetAccessKeyLastUsed', ofNone, () => ({ AccessKeyId: 'AKIANOBODYNOBODYNOBO' })),
}

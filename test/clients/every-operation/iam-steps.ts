import { callsOf, each, refused, upTo, type Scenario, type Step } from './step.ts'

const iam = callsOf('iam')
const sts = callsOf('sts')

/** Tokens that a scenario has to be given, by the name of the value. */
export type WebToken = 'token' | 'token.expired' | 'token.early' | 'token.otherAudience' | 'token.silentIssuer' | 'token.large'

/** Issuers without their scheme, as further values. */
export type WebIssuer = 'issuer' | 'silentIssuer'

/** The keys of another account's root, as further values. */
export type OtherAccount = 'other.id' | 'other.secret'

const account = '000000000000'
const arn = (rest: string): string => `arn:aws:iam::${account}:${rest}`

const tags = upTo(3).map((number) => ({ Key: `key-${number}`, Value: 'a value' }))
const reservedTags = [{ Key: 'aws:key', Value: '' }]
const furtherTags = upTo(50).map((number) => ({ Key: `further-${number}`, Value: '' }))

function policy(statement: object): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', ...statement }] })
}

const everything = policy({ Action: '*', Resource: '*' })
const trust = policy({ Principal: { AWS: arn('root') }, Action: 'sts:AssumeRole' })
const webTrust = policy({
  Principal: { Federated: arn('oidc-provider/${issuer}') },
  Action: ['sts:AssumeRoleWithWebIdentity', 'sts:TagSession'],
})
/** More than a user, group or role may have inline. */
const hugePolicy = policy({ Action: upTo(900).map((number) => `ecr:Action${number}`), Resource: '*' })

const absent: Readonly<Record<string, string>> = {
  GroupName: 'nobody',
  UserName: 'nobody',
  RoleName: 'nobody',
  PolicyArn: arn('policy/nobody'),
  OpenIDConnectProviderArn: arn('oidc-provider/nobody.example.com'),
  AccessKeyId: 'AKIA0000000000000000',
  AccountAlias: 'nobody',
}

/** The refusal of a call whose first named entity is not there. */
function ofNobody(step: Step): Step {
  const member = Object.keys(absent).find((name) => name in step.input) ?? ''
  return refused('NoSuchEntityException', step, { [member]: absent[member] })
}

/** A call of an entity, refused for one that is not there before it. */
function entityCall(step: Step): Step[] {
  return [ofNobody(step), step]
}

/** The same call with another member. */
function like(step: Step, changes: Step['input']): Step {
  return { ...step, input: { ...step.input, ...changes } }
}

const kinds = [
  { title: 'User', member: 'UserName', key: { UserName: 'client-1' } },
  { title: 'Group', member: 'GroupName', key: { GroupName: 'client-1' } },
  { title: 'Role', member: 'RoleName', key: { RoleName: 'client-1' } },
] as const

const ownPolicy = (number: number): string => arn(`policy/client-${number}`)

const newPolicy = iam('CreatePolicy', { PolicyName: 'client-1', PolicyDocument: everything, Description: 'for tests', Tags: tags })
const newVersion = iam('CreatePolicyVersion', { PolicyArn: ownPolicy(1), PolicyDocument: everything })
const deletedVersion = iam('DeletePolicyVersion', { PolicyArn: ownPolicy(1), VersionId: 'v3' })

const policySteps: Step[] = [
  refused('InvalidInputException', newPolicy, { Tags: reservedTags }),
  refused('MalformedPolicyDocumentException', newPolicy, { PolicyDocument: '{}' }),
  refused('LimitExceededException', newPolicy, { PolicyDocument: hugePolicy }),
  // One more than can be attached to one entity.
  ...each(upTo(11), (number) => like(newPolicy, { PolicyName: `client-${number}` })),
  refused('EntityAlreadyExistsException', newPolicy),
  ...each(['GetPolicy', 'ListPolicyVersions'], (operation) => entityCall(iam(operation, { PolicyArn: ownPolicy(1) }))),
  iam('ListPolicies', { Scope: 'Local' }),
  refused('MalformedPolicyDocumentException', newVersion, { PolicyDocument: '{}' }),
  ofNobody(newVersion),
  ...each(upTo(4), () => newVersion),
  refused('LimitExceededException', newVersion),
  ...entityCall(iam('GetPolicyVersion', { PolicyArn: ownPolicy(1), VersionId: 'v2' })),
  ...entityCall(iam('SetDefaultPolicyVersion', { PolicyArn: ownPolicy(1), VersionId: 'v2' })),
  ...entityCall(deletedVersion),
  refused('DeleteConflictException', deletedVersion, { VersionId: 'v2' }),
]

const newUser = iam('CreateUser', { UserName: 'client-1', Path: '/robots/', Tags: tags })
const newKey = iam('CreateAccessKey', { UserName: 'client-1' }, { save: { 'user.id': 'AccessKey.AccessKeyId', 'user.secret': 'AccessKey.SecretAccessKey' } })
const changedKey = iam('UpdateAccessKey', { UserName: 'client-1', AccessKeyId: '${second}', Status: 'Inactive' })

const userSteps: Step[] = [
  refused('InvalidInputException', newUser, { Tags: reservedTags }),
  refused('NoSuchEntityException', newUser, { PermissionsBoundary: arn('policy/nobody') }),
  ...each(upTo(3), (number) => like(newUser, { UserName: `client-${number}` })),
  refused('EntityAlreadyExistsException', newUser, { UserName: 'CLIENT-1' }),
  ...entityCall(iam('GetUser', { UserName: 'client-1' })),
  // A root has neither name nor path, though the model says that everybody does.
  iam('GetUser', {}, { lacks: ['User.Path', 'User.UserName'] }),
  iam('ListUsers'),
  ...entityCall(iam('UpdateUser', { UserName: 'client-3', NewUserName: 'client-4' })),
  iam('UpdateUser', { UserName: 'client-4', NewUserName: 'client-3' }),
  iam('UpdateUser', { UserName: 'client-3', NewUserName: 'client-1' }, { error: 'EntityAlreadyExistsException' }),
  ...entityCall(newKey),
  { ...newKey, save: { second: 'AccessKey.AccessKeyId' } },
  refused('LimitExceededException', newKey),
  ...entityCall(iam('ListAccessKeys', { UserName: 'client-1' })),
  iam('ListAccessKeys'),
  ...entityCall(changedKey),
  iam('GetAccessKeyLastUsed', { AccessKeyId: '${second}' }),
]

const newGroup = iam('CreateGroup', { GroupName: 'client-1' })
const member = iam('AddUserToGroup', { GroupName: 'client-1', UserName: 'client-1' })

const groupSteps: Step[] = [
  ...each(upTo(11), (number) => like(newGroup, { GroupName: `client-${number}` })),
  refused('EntityAlreadyExistsException', newGroup),
  ofNobody(member),
  ...each(upTo(3), (number) => like(member, { UserName: `client-${number}` })),
  ...each(upTo(10), (number) => like(member, { GroupName: `client-${number}` })),
  refused('LimitExceededException', member, { GroupName: 'client-11' }),
  ...entityCall(iam('GetGroup', { GroupName: 'client-1' })),
  ...entityCall(iam('ListGroupsForUser', { UserName: 'client-1' })),
  iam('ListGroups'),
  ...entityCall(iam('UpdateGroup', { GroupName: 'client-11', NewGroupName: 'client-12' })),
  iam('UpdateGroup', { GroupName: 'client-12', NewGroupName: 'client-1' }, { error: 'EntityAlreadyExistsException' }),
  iam('UpdateGroup', { GroupName: 'client-12', NewGroupName: 'client-11' }),
]

const newRole = iam('CreateRole', { RoleName: 'client-1', AssumeRolePolicyDocument: trust, Description: 'for tests', Tags: tags })
const newTrust = iam('UpdateAssumeRolePolicy', { RoleName: 'client-2', PolicyDocument: webTrust })

const roleSteps: Step[] = [
  refused('InvalidInputException', newRole, { Tags: reservedTags }),
  refused('MalformedPolicyDocumentException', newRole, { AssumeRolePolicyDocument: '{}' }),
  ...each(upTo(3), (number) => like(newRole, { RoleName: `client-${number}` })),
  refused('EntityAlreadyExistsException', newRole),
  refused('LimitExceededException', newRole, { RoleName: 'client-4', AssumeRolePolicyDocument: hugeTrust() }),
  ...each(['GetRole', 'ListInstanceProfilesForRole', 'UpdateRole'], (operation) => entityCall(iam(operation, { RoleName: 'client-1' }))),
  iam('ListRoles'),
  ...entityCall(iam('UpdateRoleDescription', { RoleName: 'client-1', Description: 'changed' })),
  refused('MalformedPolicyDocumentException', newTrust, { PolicyDocument: '{}' }),
  refused('LimitExceededException', newTrust, { PolicyDocument: hugeTrust() }),
]

function hugeTrust(): string {
  return policy({ Principal: { AWS: arn('root') }, Action: 'sts:AssumeRole', Condition: { StringEquals: { 'sts:ExternalId': upTo(900).map((number) => `id-${number}`) } } })
}

const holderSteps: Step[] = kinds.flatMap(({ title, member: name, key }) => {
  const attached = iam(`Attach${title}Policy`, { ...key, PolicyArn: ownPolicy(1) })
  const inline = iam(`Put${title}Policy`, { ...key, PolicyName: 'inline-1', PolicyDocument: everything })
  const boundary = iam(`Put${title}PermissionsBoundary`, { ...key, PermissionsBoundary: ownPolicy(2) })
  return [
    ofNobody(attached),
    ...each(upTo(10), (number) => like(attached, { PolicyArn: ownPolicy(number) })),
    refused('LimitExceededException', attached, { PolicyArn: ownPolicy(11) }),
    ...entityCall(iam(`ListAttached${title}Policies`, key)),
    ofNobody(inline),
    ...each(upTo(3), (number) => like(inline, { PolicyName: `inline-${number}` })),
    refused('MalformedPolicyDocumentException', inline, { PolicyDocument: '{}' }),
    refused('LimitExceededException', inline, { PolicyDocument: hugePolicy }),
    ...entityCall(iam(`Get${title}Policy`, { ...key, PolicyName: 'inline-1' })),
    ...entityCall(iam(`List${title}Policies`, key)),
    ...(title === 'Group'
      ? []
      : [...entityCall(boundary), iam(`Get${title}`, key), ...entityCall(iam(`Delete${title}PermissionsBoundary`, { [name]: 'client-1' }))]),
  ]
})

const providerArn = arn('oidc-provider/provider.example.com')
const fullProviderArn = arn('oidc-provider/full.example.com')
const newProvider = iam('CreateOpenIDConnectProvider', {
  Url: 'https://provider.example.com',
  ClientIDList: ['sts.amazonaws.com'],
  ThumbprintList: ['0'.repeat(40)],
  Tags: tags,
})
const newClientId = iam('AddClientIDToOpenIDConnectProvider', { OpenIDConnectProviderArn: providerArn, ClientID: 'another' })
const thumbprints = iam('UpdateOpenIDConnectProviderThumbprint', { OpenIDConnectProviderArn: providerArn, ThumbprintList: ['f'.repeat(40)] })
const tooManyThumbprints = upTo(6).map((number) => String(number).repeat(40))

const providerSteps: Step[] = [
  newProvider,
  refused('EntityAlreadyExistsException', newProvider),
  refused('InvalidInputException', newProvider, { Url: 'https://other.example.com', Tags: reservedTags }),
  refused('LimitExceededException', newProvider, { Url: 'https://other.example.com', ClientIDList: upTo(101).map((number) => `client-${number}`) }),
  like(newProvider, { Url: 'https://full.example.com', ClientIDList: upTo(100).map((number) => `client-${number}`) }),
  refused('LimitExceededException', newClientId, { OpenIDConnectProviderArn: fullProviderArn }),
  iam('ListOpenIDConnectProviders'),
  ...entityCall(iam('GetOpenIDConnectProvider', { OpenIDConnectProviderArn: providerArn })),
  ...entityCall(newClientId),
  ...entityCall(iam('RemoveClientIDFromOpenIDConnectProvider', { OpenIDConnectProviderArn: providerArn, ClientID: 'another' })),
  ...entityCall(thumbprints),
  refused('InvalidInputException', thumbprints, { ThumbprintList: tooManyThumbprints }),
]

const tagged = [
  { title: 'User', key: { UserName: 'client-1' } },
  { title: 'Role', key: { RoleName: 'client-1' } },
  { title: 'Policy', key: { PolicyArn: ownPolicy(1) } },
  { title: 'OpenIDConnectProvider', key: { OpenIDConnectProviderArn: providerArn } },
]

const tagSteps: Step[] = tagged.flatMap(({ title, key }) => {
  const tagging = iam(`Tag${title}`, { ...key, Tags: tags })
  return [
    ...entityCall(tagging),
    refused('InvalidInputException', tagging, { Tags: reservedTags }),
    refused('LimitExceededException', tagging, { Tags: furtherTags }),
    ...entityCall(iam(`List${title}Tags`, key)),
    ...entityCall(iam(`Untag${title}`, { ...key, TagKeys: ['absent'] })),
  ]
})

const simulation = { ActionNames: ['ecr:PutImage', 'ecr:BatchGetImage', 'iam:GetUser'] }
const customSimulation = { ...simulation, PolicyInputList: [everything] }
const principalSimulation = { ...simulation, PolicySourceArn: arn('user/robots/client-1') }
const customKeys = iam('GetContextKeysForCustomPolicy', { PolicyInputList: [everything] })
const principalKeys = iam('GetContextKeysForPrincipalPolicy', { PolicySourceArn: arn('user/robots/client-1') })
const userThings = ['ListMFADevices', 'ListSSHPublicKeys', 'ListSigningCertificates', 'ListServiceSpecificCredentials']
const accountThings = ['ListInstanceProfiles', 'ListServerCertificates', 'ListVirtualMFADevices']

const lookingSteps: Step[] = [
  ...each(userThings, (operation) => entityCall(iam(operation, { UserName: 'client-1' }))),
  ...each([...accountThings, 'ListSAMLProviders', 'GetAccountAuthorizationDetails'], (operation) => iam(operation)),
  ...each(['GetLoginProfile', 'DeleteLoginProfile'], (operation) => refused('NoSuchEntityException', iam(operation, { UserName: 'client-1' }))),
  refused('NoSuchEntityException', iam('GetAccountPasswordPolicy')),
  customKeys,
  refused('InvalidInputException', customKeys, { PolicyInputList: ['{}'] }),
  principalKeys,
  refused('InvalidInputException', principalKeys, { PolicyInputList: ['{}'] }),
  refused('NoSuchEntityException', principalKeys, { PolicySourceArn: arn('user/nobody') }),
  iam('SimulateCustomPolicy', customSimulation),
  refused('InvalidInputException', iam('SimulateCustomPolicy', customSimulation), { PolicyInputList: ['{}'] }),
  iam('SimulatePrincipalPolicy', principalSimulation),
  refused('InvalidInputException', iam('SimulatePrincipalPolicy', principalSimulation), { PolicyInputList: ['{}'] }),
  refused('NoSuchEntityException', iam('SimulatePrincipalPolicy', principalSimulation), { PolicySourceArn: arn('user/nobody') }),
]

const alias = iam('CreateAccountAlias', { AccountAlias: 'client-alias' })

const accountSteps: Step[] = [
  alias,
  { ...alias, input: { AccountAlias: 'other-alias' }, as: 'other' },
  refused('EntityAlreadyExistsException', alias, { AccountAlias: 'other-alias' }),
  iam('ListAccountAliases'),
  iam('GenerateCredentialReport'),
  iam('GetCredentialReport'),
  iam('GetAccountSummary'),
  ...entityCall(iam('ListEntitiesForPolicy', { PolicyArn: ownPolicy(1) })),
]

const assumed = sts('AssumeRole', { RoleArn: arn('role/client-1'), RoleSessionName: 'session' }, { as: 'user' })
const fromWeb = sts('AssumeRoleWithWebIdentity', { RoleArn: arn('role/client-2'), RoleSessionName: 'session', WebIdentityToken: '${token}' })
const sessionKeys = { 'session.id': 'Credentials.AccessKeyId', 'session.secret': 'Credentials.SecretAccessKey', 'session.token': 'Credentials.SessionToken' }
/** What does not compress. */
const packed = { Tags: upTo(50).map((number) => ({ Key: `key-${number}-${digits(number, 60)}`, Value: digits(number + 50, 250) })) }

/** Digits without a pattern. */
function digits(seed: number, length: number): string {
  let text = ''
  for (let state = seed; text.length < length; ) {
    state = (state * 48_271) % 2_147_483_647
    text += state.toString(36)
  }
  return text.slice(0, length)
}

const sessionSteps: Step[] = [
  sts('GetCallerIdentity'),
  sts('GetSessionToken', { DurationSeconds: 900 }),
  sts('GetSessionToken', { DurationSeconds: 1 }, { code: 'ValidationError' }),
  sts('GetAccessKeyInfo', { AccessKeyId: '${user.id}' }),
  sts('GetAccessKeyInfo', { AccessKeyId: 'AKIA0000000000000000' }, { code: 'ValidationError' }),
  { ...assumed, save: sessionKeys },
  sts('GetCallerIdentity', {}, { as: 'session' }),
  { ...assumed, input: { ...assumed.input, RoleArn: arn('role/nobody') }, code: 'AccessDenied' },
  refused('MalformedPolicyDocumentException', assumed, { Policy: '{}x' }),
  refused('PackedPolicyTooLargeException', assumed, packed),
  // Used meanwhile, so that there is a time of it.
  iam('GetAccessKeyLastUsed', { AccessKeyId: '${user.id}' }, { until: 'AccessKeyLastUsed.LastUsedDate' }),
  iam('GetRole', { RoleName: 'client-1' }, { until: 'Role.RoleLastUsed.LastUsedDate' }),
  iam('CreateOpenIDConnectProvider', { Url: 'https://${issuer}', ClientIDList: ['sts.amazonaws.com'] }),
  iam('CreateOpenIDConnectProvider', { Url: 'https://${silentIssuer}', ClientIDList: ['sts.amazonaws.com'] }),
  // After the provider: a trust policy may name nobody who is not there.
  ...entityCall(newTrust),
  fromWeb,
  refused('MalformedPolicyDocumentException', fromWeb, { Policy: '{}x' }),
  refused('PackedPolicyTooLargeException', fromWeb, { WebIdentityToken: '${token.large}' }),
  refused('ExpiredTokenException', fromWeb, { WebIdentityToken: '${token.expired}' }),
  refused('IDPRejectedClaimException', fromWeb, { WebIdentityToken: '${token.early}' }),
  refused('InvalidIdentityTokenException', fromWeb, { WebIdentityToken: '${token.otherAudience}' }),
  refused('IDPCommunicationErrorException', fromWeb, { WebIdentityToken: '${token.silentIssuer}' }),
  { ...fromWeb, input: { ...fromWeb.input, RoleArn: arn('role/client-3') }, code: 'AccessDenied' },
]

const cleaning: Step[] = [
  ...each(kinds, ({ title, key }) => refused('DeleteConflictException', iam(`Delete${title}`, key))),
  iam('DeletePolicy', { PolicyArn: ownPolicy(1) }, { error: 'DeleteConflictException' }),
  ...kinds.flatMap(({ title, key }) => {
    const detached = iam(`Detach${title}Policy`, { ...key, PolicyArn: ownPolicy(1) })
    const removed = iam(`Delete${title}Policy`, { ...key, PolicyName: 'inline-1' })
    return [
      ofNobody(detached),
      ...each(upTo(10), (number) => like(detached, { PolicyArn: ownPolicy(number) })),
      refused('NoSuchEntityException', detached),
      ofNobody(removed),
      ...each(upTo(3), (number) => like(removed, { PolicyName: `inline-${number}` })),
      refused('NoSuchEntityException', removed),
    ]
  }),
  ofNobody(iam('RemoveUserFromGroup', member.input)),
  ...each(upTo(10), (number) => iam('RemoveUserFromGroup', { GroupName: `client-${number}`, UserName: 'client-1' })),
  ...each([2, 3], (number) => iam('RemoveUserFromGroup', { GroupName: 'client-1', UserName: `client-${number}` })),
  ...each(upTo(11), (number) => iam('DeleteGroup', { GroupName: `client-${number}` })),
  ...each(['${user.id}', '${second}'], (AccessKeyId) => iam('DeleteAccessKey', { UserName: 'client-1', AccessKeyId })),
  refused('NoSuchEntityException', iam('DeleteAccessKey', { UserName: 'client-1', AccessKeyId: '${second}' })),
  ...each(upTo(3), (number) => [iam('DeleteUser', { UserName: `client-${number}` }), iam('DeleteRole', { RoleName: `client-${number}` })]),
  ...each(kinds, ({ title, key }) => refused('NoSuchEntityException', iam(`Delete${title}`, key))),
  ...each(upTo(11), (number) =>
    number === 1 ? each([1, 4, 5], (version) => iam('DeletePolicyVersion', { PolicyArn: ownPolicy(1), VersionId: `v${version}` })) : [],
  ),
  ...each(upTo(11), (number) => iam('DeletePolicy', { PolicyArn: ownPolicy(number) })),
  refused('NoSuchEntityException', iam('DeletePolicy', { PolicyArn: ownPolicy(1) })),
  ...each([providerArn, fullProviderArn, arn('oidc-provider/${issuer}'), arn('oidc-provider/${silentIssuer}')], (OpenIDConnectProviderArn) =>
    iam('DeleteOpenIDConnectProvider', { OpenIDConnectProviderArn }),
  ),
  refused('NoSuchEntityException', iam('DeleteOpenIDConnectProvider', { OpenIDConnectProviderArn: providerArn })),
  ...entityCall(iam('DeleteAccountAlias', alias.input)),
]

const lists = (operations: readonly string[], input: Step['input'] = {}, pages?: number) =>
  operations.map((operation) => ({ service: 'iam' as const, operation, input, ...(pages !== undefined && { pages }) }))

export const iamScenario: Scenario = {
  steps: [
    ...policySteps,
    ...userSteps,
    ...groupSteps,
    ...roleSteps,
    ...holderSteps,
    ...providerSteps,
    ...tagSteps,
    ...accountSteps,
    ...lookingSteps,
    ...sessionSteps,
  ],
  lists: [
    ...lists(['ListUsers', 'ListGroups', 'ListRoles', 'ListPolicies']),
    ...lists(['GetGroup'], { GroupName: 'client-1' }),
    ...lists(['ListGroupsForUser'], { UserName: 'client-1' }),
    ...lists(['ListAccessKeys'], { UserName: 'client-1' }, 2),
    ...lists(['ListAccountAliases'], {}, 1),
    ...lists(userThings.slice(0, 3), { UserName: 'client-1' }, 1),
    ...lists(accountThings, {}, 1),
    ...lists(['GetAccountAuthorizationDetails']),
    ...lists(['SimulateCustomPolicy'], customSimulation),
    ...lists(['SimulatePrincipalPolicy'], principalSimulation),
    ...lists(['ListInstanceProfilesForRole'], { RoleName: 'client-1' }, 1),
    ...kinds.flatMap(({ title, key }) => lists([`ListAttached${title}Policies`, `List${title}Policies`], key)),
    ...lists(['ListPolicyVersions', 'ListEntitiesForPolicy'], { PolicyArn: ownPolicy(1) }),
    ...tagged.flatMap(({ title, key }) => lists([`List${title}Tags`], key)),
  ],
  waits: [
    { service: 'iam', waiter: 'UserExists', input: { UserName: 'client-1' } },
    { service: 'iam', waiter: 'RoleExists', input: { RoleName: 'client-1' } },
    { service: 'iam', waiter: 'PolicyExists', input: { PolicyArn: ownPolicy(1) } },
  ],
  cleaning,
}

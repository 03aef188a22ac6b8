import { ECR } from '@aws-sdk/client-ecr'
import type { IAM } from '@aws-sdk/client-iam'
import { STS, STSServiceException, type AssumeRoleCommandInput, type Credentials } from '@aws-sdk/client-sts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { iamClient, newAccount, newRole as newRoleOf } from '../support/identities.ts'
import { githubClaims } from '../support/identity-claims.ts'
import { startOidcIssuer, type OidcIssuer } from '../support/oidc-issuer.ts'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'
import { databases } from '../support/registry.ts'
import { defaultAccountId } from './ecr-under-test.ts'

const otherAccountId = '111122223333'

interface Keys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

describe.each(databases)('AssumeRole on %s', (database) => {
  let issuer: OidcIssuer
  let platform: TestPlatform
  const clients: { destroy(): void }[] = []
  /** Of each account's root. */
  const iam: Record<string, IAM> = {}
  let roles = 0

  beforeAll(async () => {
    issuer = await startOidcIssuer()
    platform = await startTestPlatform({ database, settings: { STOWAGE_OIDC_PRIVATE_HOSTS: issuer.host, STOWAGE_OIDC_CA_FILE: issuer.caFile } })
    iam[defaultAccountId] = iamClient(platform.url, platform.credentials)
    iam[otherAccountId] = iamClient(platform.url, await newAccount(platform.url, platform.credentials, otherAccountId))
    for (const client of Object.values(iam)) await client.createOpenIDConnectProvider({ Url: issuer.issuer, ClientIDList: ['sts.amazonaws.com'] })
    clients.push(...Object.values(iam))
  })
  afterAll(async () => {
    for (const client of clients) client.destroy()
    await platform?.stop()
    await issuer?.stop()
  })

  function clientOf<Client extends { destroy(): void }>(Type: new (settings: object) => Client, credentials: Keys): Client {
    const client = new Type({ endpoint: platform.url, region: 'us-east-1', credentials, maxAttempts: 1 })
    clients.push(client)
    return client
  }

  interface RoleOptions {
    readonly allows?: object | object[]
    readonly trust?: object | object[]
    readonly accountId?: string
    readonly maxSessionSeconds?: number
  }
  async function newRole({ allows, trust = [], accountId = defaultAccountId, ...more }: RoleOptions = {}): Promise<string> {
    const federated = `arn:aws:iam::${accountId}:oidc-provider/${issuer.url}`
    return newRoleOf(iam[accountId]!, {
      name: `role-${++roles}`,
      trustPolicy: {
        Version: '2012-10-17',
        Statement: [
          { Effect: 'Allow', Principal: { Federated: federated }, Action: 'sts:AssumeRoleWithWebIdentity' },
          ...[trust].flat(),
        ],
      },
      ...(allows !== undefined && { policy: { Version: '2012-10-17', Statement: [allows].flat() } }),
      ...more,
    })
  }
  /** A session of a role. */
  async function sessionOf(role: string, claims: object = {}): Promise<Keys> {
    const sts = clientOf(STS, { accessKeyId: 'unused', secretAccessKey: 'unused' })
    const token = await issuer.sign({ ...githubClaims({}), ...claims })
    return keysOf((await sts.assumeRoleWithWebIdentity({ RoleArn: role, RoleSessionName: 'build', WebIdentityToken: token })).Credentials)
  }
  async function assume(keys: Keys, RoleArn: string, more: Partial<AssumeRoleCommandInput> = {}) {
    return clientOf(STS, keys).assumeRole({ RoleArn, RoleSessionName: 'next', ...more })
  }
  async function refusal(call: Promise<unknown>): Promise<string> {
    try {
      await call
    } catch (error) {
      if (!(error instanceof STSServiceException)) throw error
      return `${error.$metadata.httpStatusCode} ${error.name}: ${error.message}`
    }
    throw new Error('the call succeeded')
  }
  const anyRole = { Effect: 'Allow', Action: ['sts:AssumeRole', 'sts:TagSession', 'sts:SetSourceIdentity'], Resource: '*' }
  const trusting = (principal: string, more: object = {}): object => ({ Effect: 'Allow', Principal: { AWS: principal }, Action: 'sts:AssumeRole', ...more })
  const sessionArn = (role: string, accountId = defaultAccountId): string => `arn:aws:sts::${accountId}:assumed-role/${role.split('/').at(-1)!}/build`
  const denied = (caller: string, role: string, action = 'sts:AssumeRole'): string =>
    `403 AccessDenied: User: ${sessionArn(caller)} is not authorized to perform: ${action} on resource: ${role}`

  it('is for whom the role trusts by name, or as an account whose policies say so', async () => {
    const caller = await newRole()
    const allowedCaller = await newRole({ allows: anyRole })
    const byName = await newRole({ trust: trusting(caller) })
    const byAccount = await newRole({ trust: trusting(`arn:aws:iam::${defaultAccountId}:root`) })

    expect(await assume(await sessionOf(caller), byName)).toMatchObject({
      AssumedRoleUser: {
        Arn: `arn:aws:sts::${defaultAccountId}:assumed-role/${byName.split('/').at(-1)}/next`,
        AssumedRoleId: expect.stringMatching(/^AROA[A-Z0-9]{17}:next$/),
      },
      Credentials: { AccessKeyId: expect.stringMatching(/^ASIA/) },
    })
    expect(await refusal(assume(await sessionOf(caller), byAccount))).toBe(denied(caller, byAccount))
    await assume(await sessionOf(allowedCaller), byAccount)
    expect(await refusal(assume(await sessionOf(allowedCaller), byName))).toBe(denied(allowedCaller, byName))
  })

  it('refuses a role that is not there as one that trusts somebody else, and a root altogether', async () => {
    const caller = await newRole({ allows: anyRole })
    const keys = await sessionOf(caller)
    const untrusting = await newRole()

    for (const role of [untrusting, `arn:aws:iam::${defaultAccountId}:role/not-there`, 'arn:aws:iam::999988887777:role/not-there']) {
      expect(await refusal(assume(keys, role, { PolicyArns: [{ arn: 'arn:aws:iam::aws:policy/None' }], DurationSeconds: 43_200 }))).toBe(denied(caller, role))
    }
    expect(await refusal(assume(platform.credentials, untrusting))).toBe('403 AccessDenied: Roles may not be assumed by root accounts.')
    expect(await refusal(assume(keys, `arn:aws:iam::${defaultAccountId}:user/somebody`))).toMatch(/^400 ValidationError: /)
  })

  it('crosses accounts where both sides say so', async () => {
    const mayGo = await newRole({ allows: anyRole })
    const mayNot = await newRole()
    const inOther = await newRole({ accountId: otherAccountId, trust: [trusting(`arn:aws:iam::${defaultAccountId}:root`), trusting(mayNot)] })

    const { AssumedRoleUser, Credentials } = await assume(await sessionOf(mayGo), inOther)
    expect(AssumedRoleUser?.Arn).toBe(`arn:aws:sts::${otherAccountId}:assumed-role/${inOther.split('/').at(-1)}/next`)
    expect(await clientOf(STS, keysOf(Credentials)).getCallerIdentity({})).toMatchObject({ Account: otherAccountId })
    expect(await refusal(assume(await sessionOf(mayNot), inOther))).toBe(denied(mayNot, inOther))
  })

  it.each(['aws', 'iam'])('goes by the tags of the role: %s:ResourceTag', async (vendor) => {
    const condition = (team: string): object => ({ Condition: { StringEquals: { [`${vendor}:ResourceTag/Team`]: team } } })
    const caller = await newRole({ allows: { ...anyRole, ...condition('red') } })
    const keys = await sessionOf(caller)
    const root = `arn:aws:iam::${defaultAccountId}:root`
    const [red, blue, distrustful] = [
      await newRole({ trust: trusting(root, condition('red')) }),
      await newRole({ trust: trusting(root) }),
      await newRole({ trust: trusting(root, condition('blue')) }),
    ]
    const tag = (role: string, Value: string) => iam[defaultAccountId]!.tagRole({ RoleName: role.split('/').at(-1)!, Tags: [{ Key: 'team', Value }] })
    await Promise.all([tag(red, 'red'), tag(blue, 'blue'), tag(distrustful, 'red')])

    await assume(keys, red)
    expect(await refusal(assume(keys, blue))).toBe(denied(caller, blue))
    expect(await refusal(assume(keys, distrustful))).toBe(denied(caller, distrustful))

    await tag(red, 'blue')
    expect(await refusal(assume(keys, red))).toBe(denied(caller, red))
    // A web identity, which has no policy, by the role's own.
    const federated = `arn:aws:iam::${defaultAccountId}:oidc-provider/${issuer.url}`
    const web = { Effect: 'Deny', Principal: { Federated: federated }, Action: 'sts:AssumeRoleWithWebIdentity', ...condition('closed') }
    const closed = await newRole({ trust: web })
    await sessionOf(closed)
    await tag(closed, 'closed')
    await expect(sessionOf(closed)).rejects.toMatchObject({ name: 'AccessDenied' })
  })

  it('asks for what the trust policy asks for: an external id, a session name', async () => {
    const caller = await newRole({ allows: anyRole })
    const keys = await sessionOf(caller)
    const role = await newRole({ trust: trusting(caller, { Condition: { StringEquals: { 'sts:ExternalId': 'ticket-7', 'sts:RoleSessionName': 'next' } } }) })

    await assume(keys, role, { ExternalId: 'ticket-7' })
    expect(await refusal(assume(keys, role))).toBe(denied(caller, role))
    expect(await refusal(assume(keys, role, { ExternalId: 'ticket-8' }))).toBe(denied(caller, role))
    expect(await refusal(assume(keys, role, { ExternalId: 'ticket-7', RoleSessionName: 'other' }))).toBe(denied(caller, role))
  })

  it('of a role by a session of another lasts an hour at most', async () => {
    const caller = await newRole()
    const keys = await sessionOf(caller)
    const role = await newRole({ trust: trusting(caller), maxSessionSeconds: 43_200 })

    await assume(keys, role, { DurationSeconds: 3600 })
    expect(await refusal(assume(keys, role, { DurationSeconds: 3601 }))).toBe(
      '400 ValidationError: The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining',
    )
  })

  it('passes tags where both sides let it, and transitive ones on to the next role', async () => {
    const caller = await newRole({ allows: anyRole })
    const keys = await sessionOf(caller)
    const untagged = await newRole({ trust: trusting(caller) })
    const withTags = { Action: ['sts:AssumeRole', 'sts:TagSession'] }
    const last = await newRole({ trust: trusting('*', { ...withTags, Condition: { StringEquals: { 'aws:PrincipalTag/team': 'blue' } } }) })
    const tagged = await newRole({ allows: anyRole, trust: trusting(caller, { ...withTags, Condition: { StringEquals: { 'aws:RequestTag/team': ['blue', 'red'] } } }) })
    const Tags = [{ Key: 'team', Value: 'blue' }]

    expect(await refusal(assume(keys, untagged, { Tags }))).toBe(denied(caller, untagged, 'sts:TagSession'))
    expect(await refusal(assume(keys, tagged, { Tags: [{ Key: 'team', Value: 'green' }] }))).toBe(denied(caller, tagged))
    const blue = await assume(keys, tagged, { Tags, TransitiveTagKeys: ['team'] })
    expect(packedSizeOf(blue)).toBeGreaterThanOrEqual(1)
    await assume(keysOf(blue.Credentials), last)
    const red = await assume(keys, tagged, { Tags: [{ Key: 'team', Value: 'red' }], TransitiveTagKeys: ['team'] })
    expect(await refusal(assume(keysOf(red.Credentials), last))).toMatch(/^403 AccessDenied: /)
    expect(await refusal(assume(keysOf(red.Credentials), last, { Tags: [{ Key: 'Team', Value: 'blue' }] }))).toMatch(/^400 ValidationError: One of the specified transitive tag keys/)
    for (const wrong of [
      { Tags: [...Tags, { Key: 'TEAM', Value: 'red' }] },
      { Tags: [{ Key: 'aws:x', Value: 'y' }] },
      { Tags, TransitiveTagKeys: ['other'] },
    ]) {
      expect(await refusal(assume(keys, tagged, wrong))).toMatch(/^400 ValidationError: /)
    }
  })

  it('keeps a source identity for good', async () => {
    const caller = await newRole({ allows: anyRole })
    const keys = await sessionOf(caller)
    const actions = { Action: ['sts:AssumeRole', 'sts:SetSourceIdentity'] }
    const open = await newRole({ allows: anyRole, trust: trusting('*', actions) })
    const forAlice = await newRole({ trust: trusting('*', { ...actions, Condition: { StringEquals: { 'sts:SourceIdentity': 'alice' } } }) })
    const silent = await newRole({ trust: trusting('*') })

    const alice = await assume(keys, open, { SourceIdentity: 'alice' })
    expect(alice.SourceIdentity).toBe('alice')
    expect((await assume(keysOf(alice.Credentials), forAlice)).SourceIdentity).toBe('alice')
    expect(await refusal(assume(keysOf(alice.Credentials), forAlice, { SourceIdentity: 'bob' }))).toMatch(/^403 AccessDenied: /)
    expect(await refusal(assume(keysOf(alice.Credentials), silent))).toMatch(/^403 AccessDenied: .* sts:SetSourceIdentity /)
    expect(await refusal(assume(keys, forAlice))).toBe(denied(caller, forAlice))
  })

  it('binds a session to its policies: the least of both', async () => {
    const caller = await newRole()
    const keys = await sessionOf(caller)
    const role = await newRole({
      trust: trusting(caller),
      allows: { Effect: 'Allow', Action: ['ecr:GetAuthorizationToken', 'ecr:DescribeRegistry'], Resource: '*' },
    })
    const policyOf = (Action: string | string[]): string => JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action, Resource: '*' }] })
    const ecrAs = async (more: Partial<AssumeRoleCommandInput>): Promise<ECR> => clientOf(ECR, keysOf((await assume(keys, role, more)).Credentials))

    const unbound = await ecrAs({})
    await unbound.describeRegistry({})
    await unbound.getAuthorizationToken({})
    const bound = await ecrAs({ Policy: policyOf(['ecr:GetAuthorizationToken', 'ecr:CreateRepository']) })
    await bound.getAuthorizationToken({})
    await expect(bound.describeRegistry({})).rejects.toMatchObject({ name: 'AccessDeniedException', message: expect.stringMatching(/because no session policy allows the ecr:DescribeRegistry action$/) })
    await expect(bound.createRepository({ repositoryName: 'x/y' })).rejects.toMatchObject({ name: 'AccessDeniedException', message: expect.stringMatching(/because no identity-based policy allows the ecr:CreateRepository action$/) })
    expect(await refusal(assume(keys, role, { Policy: '[]' }))).toMatch(/^400 MalformedPolicyDocumentException: /)
  })

  it('refuses what there is none of: devices, contexts, policies', async () => {
    const caller = await newRole()
    const keys = await sessionOf(caller)
    const role = await newRole({ trust: trusting(caller) })

    expect(await refusal(assume(keys, role, { SerialNumber: 'GAHT12345678', TokenCode: '123456' }))).toMatch(/^403 AccessDenied: MultiFactorAuthentication failed/)
    expect(await refusal(assume(keys, role, { ProvidedContexts: [{ ProviderArn: 'arn:aws:iam::aws:contextProvider/IdentityCenter', ContextAssertion: 'abcd' }] }))).toMatch(/^400 ValidationError: /)
    expect(await refusal(assume(keys, role, { PolicyArns: [{ arn: 'arn:aws:iam::aws:policy/NotThere' }] }))).toMatch(/^400 ValidationError: The policy arn:aws:iam::aws:policy\/NotThere does not exist/)
  })
})

function keysOf(credentials: Credentials | undefined): Required<Keys> {
  const { AccessKeyId: accessKeyId = '', SecretAccessKey: secretAccessKey = '', SessionToken: sessionToken = '' } = credentials ?? {}
  return { accessKeyId, secretAccessKey, sessionToken }
}

/** Clients of before June 2026 read it, and so do scripts. */
function packedSizeOf(answer: object): unknown {
  return (answer as { PackedPolicySize?: unknown }).PackedPolicySize
}

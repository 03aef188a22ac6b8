import { ECR } from '@aws-sdk/client-ecr'
import { STS } from '@aws-sdk/client-sts'
import { ServiceException } from '@smithy/core/client'
import { afterAll, describe, expect, it } from 'vitest'
import { buildImage, pushImage } from '../support/images.ts'
import { iamClient, newAccount, policyOf, type Keys } from '../support/identities.ts'
import { accountId, iamOnEveryDatabase, trustPolicy } from './iam-under-test.ts'

/* Who is made anew under an old name is somebody else to policies of resources and to trust policies. */

const otherAccountId = '444455556666'

/** How a call of any service failed. */
async function refusalOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
  } catch (error) {
    if (!(error instanceof ServiceException)) throw error
    return `${error.name}: ${error.message}`
  }
  throw new Error('the call succeeded')
}

iamOnEveryDatabase((server) => {
  const clients: { destroy(): void }[] = []
  afterAll(() => {
    for (const client of clients) client.destroy()
  })

  function clientOf<Client extends { destroy(): void }>(Type: new (settings: object) => Client, credentials: Keys = server().platform.credentials): Client {
    const client = new Type({ endpoint: server().platform.url, region: 'us-east-1', credentials, maxAttempts: 1 })
    clients.push(client)
    return client
  }

  const userArn = (name: string): string => `arn:aws:iam::${accountId}:user/${name}`
  const roleArn = (name: string): string => `arn:aws:iam::${accountId}:role/${name}`
  const sessionArn = (role: string, session: string): string => `arn:aws:sts::${accountId}:assumed-role/${role}/${session}`
  const trustOf = (AWS: string | readonly string[]): string => policyOf({ Principal: { AWS }, Action: 'sts:AssumeRole' })
  const describing = (AWS: string | readonly string[]): string => policyOf({ Principal: { AWS }, Action: 'ecr:DescribeImages' })

  /** A user with a key, and with no right of its own but this one. */
  async function newUser(UserName: string, right?: string): Promise<Keys> {
    const { iam } = server()
    await iam.createUser({ UserName })
    if (right !== undefined) await iam.putUserPolicy({ UserName, PolicyName: 'right', PolicyDocument: policyOf({ Action: right, Resource: '*' }) })
    const { AccessKey } = await iam.createAccessKey({ UserName })
    return { accessKeyId: AccessKey?.AccessKeyId ?? '', secretAccessKey: AccessKey?.SecretAccessKey ?? '' }
  }

  async function deleteUser(UserName: string): Promise<void> {
    const { iam } = server()
    const { AccessKeyMetadata = [] } = await iam.listAccessKeys({ UserName })
    for (const { AccessKeyId } of AccessKeyMetadata) await iam.deleteAccessKey({ UserName, AccessKeyId })
    const { PolicyNames = [] } = await iam.listUserPolicies({ UserName })
    for (const PolicyName of PolicyNames) await iam.deleteUserPolicy({ UserName, PolicyName })
    await iam.deleteUser({ UserName })
  }

  async function sessionOf(role: string, RoleSessionName: string, caller: Keys): Promise<Keys> {
    const { Credentials } = await clientOf(STS, caller).assumeRole({ RoleArn: roleArn(role), RoleSessionName })
    const { AccessKeyId: accessKeyId = '', SecretAccessKey: secretAccessKey = '', SessionToken: sessionToken = '' } = Credentials ?? {}
    return { accessKeyId, secretAccessKey, sessionToken }
  }

  const shownTrust = async (RoleName: string): Promise<string> =>
    decodeURIComponent((await server().iam.getRole({ RoleName })).Role?.AssumeRolePolicyDocument ?? '')

  async function newRepository(): Promise<string> {
    const repositoryName = server().freeName('repository')
    await clientOf(ECR).createRepository({ repositoryName })
    return repositoryName
  }

  const principalsIn = (policyText = ''): unknown =>
    (JSON.parse(policyText) as { Statement: { Principal: { AWS: unknown } }[] }).Statement[0]?.Principal.AWS

  describe('a trust policy', () => {
    it('means the user that was there, shows its ARN while it is, and its id afterwards', async () => {
      const { iam, freeName } = server()
      const [user, RoleName] = [freeName('user'), freeName('role')]
      const first = await newUser(user)
      const { User } = await iam.getUser({ UserName: user })
      const trust = trustOf([userArn(user), `arn:aws:iam::999988887777:root`])
      const { Role } = await iam.createRole({ RoleName, AssumeRolePolicyDocument: trust })
      expect(decodeURIComponent(Role?.AssumeRolePolicyDocument ?? '')).toBe(trust)
      expect(await shownTrust(RoleName)).toBe(trust)
      await sessionOf(RoleName, 'first', first)

      await deleteUser(user)
      const second = await newUser(user)

      expect(await refusalOf(sessionOf(RoleName, 'second', second))).toMatch(/^AccessDenied: .* is not authorized to perform: sts:AssumeRole/)
      const bare = trust.replace(userArn(user), User?.UserId ?? '')
      expect(await shownTrust(RoleName)).toBe(bare)
      const { Roles = [] } = await iam.listRoles({})
      expect(Roles.filter((each) => each.RoleName === RoleName).map((each) => decodeURIComponent(each.AssumeRolePolicyDocument ?? ''))).toEqual([bare])
      const { RoleDetailList = [] } = await iam.getAccountAuthorizationDetails({ Filter: ['Role'], MaxItems: 1000 })
      expect(RoleDetailList.filter((each) => each.RoleName === RoleName).map((each) => decodeURIComponent(each.AssumeRolePolicyDocument ?? ''))).toEqual([bare])

      await iam.updateAssumeRolePolicy({ RoleName, PolicyDocument: trust })
      await sessionOf(RoleName, 'third', second)
      expect(await shownTrust(RoleName)).toBe(trust)
    })

    it('follows a user that is renamed', async () => {
      const { iam, freeName } = server()
      const [user, renamed, RoleName] = [freeName('user'), freeName('renamed'), freeName('role')]
      const keys = await newUser(user)
      await iam.createRole({ RoleName, AssumeRolePolicyDocument: trustOf(userArn(user)) })

      await iam.updateUser({ UserName: user, NewUserName: renamed, NewPath: '/moved/' })

      await sessionOf(RoleName, 'renamed', keys)
      expect(await shownTrust(RoleName)).toBe(trustOf(`arn:aws:iam::${accountId}:user/moved/${renamed}`))
    })

    it('takes the id of who is there, and shows the ARN', async () => {
      const { iam, freeName } = server()
      const [user, RoleName] = [freeName('user'), freeName('role')]
      const keys = await newUser(user)
      const { User } = await iam.getUser({ UserName: user })
      await iam.createRole({ RoleName, AssumeRolePolicyDocument: trustOf(User?.UserId ?? '') })
      await sessionOf(RoleName, 'by-id', keys)
      expect(await shownTrust(RoleName)).toBe(trustOf(userArn(user)))
    })

    it('names principals of other accounts that are here, and of no others', async () => {
      const { platform, iam, freeName } = server()
      const other = iamClient(platform.url, await newAccount(platform.url, platform.credentials, otherAccountId))
      clients.push(other)
      await other.createUser({ UserName: 'theirs', Path: '/team/' })
      const arn = `arn:aws:iam::${otherAccountId}:user/team/theirs`
      const RoleName = freeName('role')
      await iam.createRole({ RoleName, AssumeRolePolicyDocument: trustOf(arn) })
      expect(await shownTrust(RoleName)).toBe(trustOf(arn))

      const own = await server().newRole()
      const nobody = [
        `arn:aws:iam::${otherAccountId}:user/theirs`,
        `arn:aws:iam::${otherAccountId}:user/team/Theirs`,
        `arn:aws:iam::${otherAccountId}:role/theirs`,
        'arn:aws:iam::999988887777:user/team/theirs',
        'arn:aws-cn:iam::999988887777:user/team/theirs',
        roleArn('nobody'),
        sessionArn('nobody', 'session'),
        'AIDAAAAAAAAAAAAAAAAAA',
        'AROAAAAAAAAAAAAAAAAAA:session',
      ]
      for (const missing of nobody) {
        const refusal = `MalformedPolicyDocumentException: Invalid principal in policy: "AWS":"${missing}"`
        const create = iam.createRole({ RoleName: 'refused', AssumeRolePolicyDocument: trustOf([arn, missing]) })
        expect(await refusalOf(create)).toBe(refusal)
        expect(await refusalOf(iam.updateAssumeRolePolicy({ RoleName: own, PolicyDocument: trustOf(missing) }))).toBe(refusal)
      }
      expect(await refusalOf(iam.getRole({ RoleName: 'refused' }))).toMatch(/^NoSuchEntityException/)
      expect(await shownTrust(own)).toBe(trustPolicy)
    })
  })

  describe('a repository’s policy', () => {
    it.each(['role', 'session'] as const)('means the %s that was there', async (kind) => {
      const { iam, freeName } = server()
      const [role, caller] = [freeName('role'), await newUser(freeName('caller'), 'sts:AssumeRole')]
      await iam.createRole({ RoleName: role, AssumeRolePolicyDocument: trustPolicy })
      const { Role } = await iam.getRole({ RoleName: role })
      const repositoryName = await newRepository()
      const named = kind === 'role' ? roleArn(role) : sessionArn(role, 'named')
      const root = clientOf(ECR)
      await root.setRepositoryPolicy({ repositoryName, policyText: describing(named), force: true })
      expect(principalsIn((await root.getRepositoryPolicy({ repositoryName })).policyText)).toBe(named)
      await clientOf(ECR, await sessionOf(role, 'named', caller)).describeImages({ repositoryName })
      if (kind === 'session') {
        const unnamed = clientOf(ECR, await sessionOf(role, 'unnamed', caller))
        expect(await refusalOf(unnamed.describeImages({ repositoryName }))).toMatch(/^AccessDeniedException/)
      }

      await iam.deleteRole({ RoleName: role })
      await iam.createRole({ RoleName: role, AssumeRolePolicyDocument: trustPolicy })

      const again = clientOf(ECR, await sessionOf(role, 'named', caller))
      expect(await refusalOf(again.describeImages({ repositoryName }))).toMatch(/^AccessDeniedException/)
      const bare = kind === 'role' ? Role?.RoleId : `${Role?.RoleId}:named`
      const { policyText = '' } = await root.getRepositoryPolicy({ repositoryName })
      expect(principalsIn(policyText)).toBe(bare)
      expect(await refusalOf(root.setRepositoryPolicy({ repositoryName, policyText }))).toBe(
        "InvalidParameterException: Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Principal not found'",
      )
      expect(principalsIn((await root.deleteRepositoryPolicy({ repositoryName })).policyText)).toBe(bare)
    })

    it('denies everybody but those whom it left out, and whoever is called like them later', async () => {
      const { freeName } = server()
      const user = freeName('user')
      const first = await newUser(user, 'ecr:*')
      const repositoryName = await newRepository()
      const left = { Effect: 'Deny', NotPrincipal: { AWS: [userArn(user), `arn:aws:iam::${accountId}:root`] }, Action: 'ecr:DescribeImages' }
      const policyText = JSON.stringify({ Version: '2012-10-17', Statement: [left] })
      await clientOf(ECR).setRepositoryPolicy({ repositoryName, policyText, force: true })
      await clientOf(ECR, first).describeImages({ repositoryName })

      await deleteUser(user)
      const second = await newUser(user, 'ecr:*')

      expect(await refusalOf(clientOf(ECR, second).describeImages({ repositoryName }))).toContain('with an explicit deny in a resource-based policy')
    })

    it('that names nobody changes nothing', async () => {
      const repositoryName = await newRepository()
      const ecr = clientOf(ECR)
      const refused = "InvalidParameterException: Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Principal not found'"
      expect(await refusalOf(ecr.setRepositoryPolicy({ repositoryName, policyText: describing(userArn('nobody')), force: true }))).toBe(refused)
      expect(await refusalOf(ecr.getRepositoryPolicy({ repositoryName }))).toMatch(/^RepositoryPolicyNotFoundException/)
      expect(await refusalOf(ecr.putRegistryPolicy({ policyText: describing(userArn('nobody')) }))).toBe(refused)
      expect(await refusalOf(ecr.getRegistryPolicy({}))).toMatch(/^RegistryPolicyNotFoundException/)
    })
  })

  it('a registry’s policy means the user that was there', async () => {
    const { freeName } = server()
    const user = freeName('user')
    const first = await newUser(user)
    const root = clientOf(ECR)
    const repositoryName = await newRepository()
    await root.putRegistryPolicy({ policyText: describing(userArn(user)) })
    try {
      expect(principalsIn((await root.getRegistryPolicy({})).policyText)).toBe(userArn(user))
      await clientOf(ECR, first).describeImages({ repositoryName })

      await deleteUser(user)
      const second = await newUser(user)

      expect(await refusalOf(clientOf(ECR, second).describeImages({ repositoryName }))).toMatch(/^AccessDeniedException/)
      expect(principalsIn((await root.getRegistryPolicy({})).policyText)).toMatch(/^AIDA[A-Z0-9]{17}$/)
    } finally {
      expect(principalsIn((await root.deleteRegistryPolicy({})).policyText)).toMatch(/^AIDA/)
    }
  })

  it('a creation template’s policy means the user that was there when the template was written', async () => {
    const { platform, iam, freeName } = server()
    const [user, prefix] = [freeName('user'), freeName('prefix')]
    await newUser(user)
    const { User } = await iam.getUser({ UserName: user })
    const root = clientOf(ECR)
    const template = { prefix, appliedFor: ['CREATE_ON_PUSH' as const], repositoryPolicy: describing(userArn(user)) }
    expect(await refusalOf(root.createRepositoryCreationTemplate({ ...template, repositoryPolicy: describing(userArn('nobody')) }))).toContain(
      "at 'RepositoryPolicy' failed to satisfy constraint: 'Principal not found'",
    )
    const { repositoryCreationTemplate } = await root.createRepositoryCreationTemplate(template)
    expect(principalsIn(repositoryCreationTemplate?.repositoryPolicy)).toBe(userArn(user))

    await deleteUser(user)
    const second = await newUser(user)
    const { accessKeyId: username, secretAccessKey: password } = platform.credentials
    const push = (repository: string) => pushImage({ url: platform.url, repository, auth: { username, password } }, buildImage(), 'v1')
    const repositoryName = `${prefix}/app`
    await push(repositoryName)

    const { repositoryCreationTemplates = [] } = await root.describeRepositoryCreationTemplates({ prefixes: [prefix] })
    expect(principalsIn(repositoryCreationTemplates[0]?.repositoryPolicy)).toBe(User?.UserId)
    expect(principalsIn((await root.getRepositoryPolicy({ repositoryName })).policyText)).toBe(User?.UserId)
    expect(await refusalOf(clientOf(ECR, second).describeImages({ repositoryName }))).toMatch(/^AccessDeniedException/)

    await root.updateRepositoryCreationTemplate({ prefix, repositoryPolicy: describing(userArn(user)) })
    await push(`${prefix}/next`)
    await clientOf(ECR, second).describeImages({ repositoryName: `${prefix}/next` })
  })
})

import { randomUUID } from 'node:crypto'
import { ECR } from '@aws-sdk/client-ecr'
import type { IAM } from '@aws-sdk/client-iam'
import { STS } from '@aws-sdk/client-sts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createDistributionClient, type Credentials, type DistributionClient } from '../support/distribution-client.ts'
import { iamClient, newAccount, newUser, policyOf, type Keys } from '../support/identities.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

/*
 * Two servers, processes of their own, on one PostgreSQL. One is asked until it remembers that somebody may; the other is
 * told that he may no more; the next request to the first is refused. Nothing here waits: the answer to the change is all
 * there is to wait for.
 */

const repositoryName = 'revoked/app'
const account = '000000000000'
const pull = { Action: ['ecr:BatchGetImage', 'ecr:GetAuthorizationToken'], Resource: '*' }

describe('what one server takes away, another refuses with the next request', () => {
  let database: TestDatabase
  let dir: TempDir
  let asked: Stowage
  let told: Stowage
  let docker: DistributionClient
  let iam: IAM
  let ecr: ECR

  beforeAll(async () => {
    database = await createDatabase()
    dir = createTempDir('revocation')
    asked = await startStowage({ databaseUrl: database.url, dataDir: dir.path })
    told = await startStowage({ databaseUrl: database.url, dataDir: dir.path, keys: asked.keys })
    docker = createDistributionClient(asked.url)
    iam = iamClient(told.url, told.keys)
    ecr = ecrOf(told.url, told.keys)
    await ecr.createRepository({ repositoryName })
    await pushImage({ url: told.url, repository: repositoryName, auth: told.credentials }, buildImage(), 'v1')
  })
  afterAll(async () => {
    docker?.close()
    iam?.destroy()
    ecr?.destroy()
    await told?.stop()
    await asked?.stop()
    await database?.drop()
    dir?.remove()
  })

  function ecrOf(url: string, credentials: Keys): ECR {
    return new ECR({ endpoint: url, region: 'us-east-1', credentials, maxAttempts: 1 })
  }

  const pulled = async (auth: Credentials): Promise<number> => (await docker.request('GET', `/v2/${repositoryName}/manifests/v1`, { auth })).status

  async function called(keys: Keys): Promise<string> {
    const client = ecrOf(asked.url, keys)
    try {
      return await client.batchGetImage({ repositoryName, imageIds: [{ imageTag: 'v1' }] }).then(
        () => 'served',
        (error: Error) => error.name,
      )
    } finally {
      client.destroy()
    }
  }

  async function loginOf(keys: Keys): Promise<Credentials> {
    const client = ecrOf(asked.url, keys)
    const { authorizationData } = await client.getAuthorizationToken({})
    client.destroy()
    const [username = '', password = ''] = Buffer.from(authorizationData?.[0]?.authorizationToken ?? '', 'base64').toString().split(':')
    return { username, password }
  }

  /** The first server serves, again and again, both protocols; after the change it does not, once. */
  async function expectRevoked(keys: Keys, change: () => Promise<unknown>, refusal: { status: number; name: string }): Promise<void> {
    const login = await loginOf(keys)
    for (let n = 0; n < 3; n += 1) expect([await pulled(login), await called(keys)]).toEqual([200, 'served'])
    await change()
    expect(await pulled(login)).toBe(refusal.status)
    expect(await called(keys)).toBe(refusal.name)
  }

  const denied = { status: 403, name: 'AccessDeniedException' }
  const unknown = { status: 401, name: 'UnrecognizedClientException' }

  it('a key that is made inactive, or deleted', async () => {
    const [one, two] = [await newUser(iam, pull), await newUser(iam, pull)]

    await expectRevoked(one, () => iam.updateAccessKey({ UserName: one.name, AccessKeyId: one.accessKeyId, Status: 'Inactive' }), unknown)
    await expectRevoked(two, () => iam.deleteAccessKey({ UserName: two.name, AccessKeyId: two.accessKeyId }), unknown)
  })

  it('a policy that is taken from the user, detached, changed in a new version, or taken from its group', async () => {
    const inline = await newUser(iam, pull)
    await expectRevoked(inline, () => iam.deleteUserPolicy({ UserName: inline.name, PolicyName: 'rights' }), denied)

    const attached = await newUser(iam)
    const { Policy } = await iam.createPolicy({ PolicyName: `pull-${randomUUID()}`, PolicyDocument: policyOf(pull) })
    const PolicyArn = Policy?.Arn ?? ''
    await iam.attachUserPolicy({ UserName: attached.name, PolicyArn })
    await expectRevoked(attached, () => iam.detachUserPolicy({ UserName: attached.name, PolicyArn }), denied)

    await iam.attachUserPolicy({ UserName: attached.name, PolicyArn })
    const PolicyDocument = policyOf({ Action: 'ecr:GetAuthorizationToken', Resource: '*' })
    await expectRevoked(attached, () => iam.createPolicyVersion({ PolicyArn, PolicyDocument, SetAsDefault: true }), denied)

    const member = await newUser(iam)
    const GroupName = `group-${randomUUID()}`
    await iam.createGroup({ GroupName })
    await iam.putGroupPolicy({ GroupName, PolicyName: 'rights', PolicyDocument: policyOf(pull) })
    await iam.addUserToGroup({ GroupName, UserName: member.name })
    await expectRevoked(member, () => iam.removeUserFromGroup({ GroupName, UserName: member.name }), denied)
  })

  it('a permissions boundary that is set', async () => {
    const bounded = await newUser(iam, pull)
    const PermissionsBoundary = 'arn:aws:iam::aws:policy/IAMReadOnlyAccess'

    await expectRevoked(bounded, () => iam.putUserPermissionsBoundary({ UserName: bounded.name, PermissionsBoundary }), denied)
  })

  it('a repository’s policy that is taken away, or denies; and a registry’s that denies', async () => {
    const guest = await newUser(iam, { Action: 'ecr:GetAuthorizationToken', Resource: '*' })
    const policyText = policyOf({ Principal: { AWS: guest.arn }, Action: 'ecr:BatchGetImage' })
    await ecr.setRepositoryPolicy({ repositoryName, policyText })
    await expectRevoked(guest, () => ecr.deleteRepositoryPolicy({ repositoryName }), denied)

    const own = await newUser(iam, pull)
    const Deny = { Effect: 'Deny', Principal: { AWS: own.arn }, Action: 'ecr:BatchGetImage' } as const
    await expectRevoked(own, () => ecr.setRepositoryPolicy({ repositoryName, policyText: policyOf(Deny) }), denied)
    await ecr.deleteRepositoryPolicy({ repositoryName })
    const everywhere = `arn:aws:ecr:us-east-1:${account}:repository/*`
    await expectRevoked(own, () => ecr.putRegistryPolicy({ policyText: policyOf({ ...Deny, Resource: everywhere }) }), denied)
    await ecr.deleteRegistryPolicy({})
  })

  it('what either of two accounts takes away from the one’s user in the other’s repository', async () => {
    const others = iamClient(told.url, await newAccount(told.url, told.keys, '777788889999'))
    const guest = await newUser(others, { Action: 'ecr:*', Resource: '*' })
    const asker = ecrOf(asked.url, guest)
    const call = () =>
      asker.batchGetImage({ registryId: account, repositoryName, imageIds: [{ imageTag: 'v1' }] }).then(
        () => 'served',
        (error: Error) => error.name,
      )
    try {
      const policyText = policyOf({ Principal: { AWS: guest.arn }, Action: 'ecr:BatchGetImage' })
      for (const change of [
        () => ecr.deleteRepositoryPolicy({ repositoryName }),
        () => others.deleteUserPolicy({ UserName: guest.name, PolicyName: 'rights' }),
      ]) {
        await ecr.setRepositoryPolicy({ repositoryName, policyText })
        for (let n = 0; n < 3; n += 1) expect(await call()).toBe('served')
        await change()
        expect(await call()).toBe('AccessDeniedException')
      }
    } finally {
      asker.destroy()
      others.destroy()
      await ecr.deleteRepositoryPolicy({ repositoryName })
    }
  })

  it('a tag of the repository that the right depended on', async () => {
    const resourceArn = `arn:aws:ecr:us-east-1:${account}:repository/${repositoryName}`
    await ecr.tagResource({ resourceArn, tags: [{ Key: 'open', Value: 'yes' }] })
    const reader = await newUser(iam, { Action: 'ecr:GetAuthorizationToken', Resource: '*' }, { Action: 'ecr:BatchGetImage', Resource: '*', Condition: { StringEquals: { 'ecr:ResourceTag/open': 'yes' } } })

    await expectRevoked(reader, () => ecr.untagResource({ resourceArn, tagKeys: ['open'] }), denied)
  })

  it('a role’s policy, and the role itself, under sessions that go on', async () => {
    const caller = await newUser(iam, { Action: 'sts:AssumeRole', Resource: '*' })
    const RoleName = `role-${randomUUID()}`
    const trust = policyOf({ Principal: { AWS: caller.arn }, Action: 'sts:AssumeRole' })
    const { Role } = await iam.createRole({ RoleName, AssumeRolePolicyDocument: trust })
    await iam.putRolePolicy({ RoleName, PolicyName: 'rights', PolicyDocument: policyOf(pull) })
    const sts = new STS({ endpoint: asked.url, region: 'us-east-1', credentials: caller, maxAttempts: 1 })
    const { Credentials: given } = await sts.assumeRole({ RoleArn: Role?.Arn, RoleSessionName: 'build' })
    sts.destroy()
    const session = { accessKeyId: given?.AccessKeyId ?? '', secretAccessKey: given?.SecretAccessKey ?? '', sessionToken: given?.SessionToken ?? '' }

    await expectRevoked(session, () => iam.deleteRolePolicy({ RoleName, PolicyName: 'rights' }), denied)
    await iam.putRolePolicy({ RoleName, PolicyName: 'rights', PolicyDocument: policyOf(pull) })
    const remove = async (): Promise<void> => {
      await iam.deleteRolePolicy({ RoleName, PolicyName: 'rights' })
      await iam.deleteRole({ RoleName })
    }
    await expectRevoked(session, remove, unknown)
  })
})

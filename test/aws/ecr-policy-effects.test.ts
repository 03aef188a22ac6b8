import type { ECR } from '@aws-sdk/client-ecr'
import type { IAM } from '@aws-sdk/client-iam'
import { afterAll, describe, expect, it } from 'vitest'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { iamClient, newAccount, newUser as newIamUser, policyOf } from '../support/identities.ts'
import { absentRepository, broken, clientOf, defaultAccountId, onEveryDatabase, refusalOf } from './ecr-under-test.ts'

/* What users may who are no root: locking themselves out, making repositories by a push, and making templates. */

const lockOut = broken(
  'PolicyText',
  'The policy would prevent you from setting another policy in the future: set it with force if that is meant',
)

interface User {
  readonly ecr: ECR
  readonly arn: string
  readonly auth: { readonly username: string; readonly password: string }
}

onEveryDatabase((server) => {
  const clients: { destroy(): void }[] = []
  afterAll(() => {
    for (const client of clients) client.destroy()
  })
  let names = 0

  const iam = (): IAM => {
    const { url, credentials } = server().platform
    const client = iamClient(url, credentials)
    clients.push(client)
    return client
  }

  /** A user with these actions on everything. */
  async function newUser(...actions: string[]): Promise<User> {
    const { platform } = server()
    const user = await newIamUser(iam(), ...(actions.length === 0 ? [] : [{ Action: actions, Resource: '*' }]))
    const ecr = clientOf(platform, user)
    clients.push(ecr)
    return { ecr, arn: user.arn, auth: user.credentials }
  }

  /** A role that ECR may use, with these actions on everything. */
  async function newRole(service: string, ...actions: string[]): Promise<string> {
    const root = iam()
    const RoleName = `role-${(names += 1)}`
    const trust = policyOf({ Principal: { Service: service }, Action: 'sts:AssumeRole' })
    const { Role } = await root.createRole({ RoleName, AssumeRolePolicyDocument: trust })
    await root.putRolePolicy({ RoleName, PolicyName: 'all', PolicyDocument: policyOf({ Action: actions, Resource: '*' }) })
    return Role?.Arn ?? ''
  }

  const policy = (Effect: 'Allow' | 'Deny', AWS: string, Action: string, Condition?: object): string =>
    policyOf({ Effect, Principal: { AWS }, Action, ...(Condition && { Condition }) })

  describe('SetRepositoryPolicy', () => {
    it('refuses a policy that takes away the right to set another, unless forced', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      const user = await newUser()
      const first = policy('Allow', user.arn, 'ecr:*RepositoryPolicy')
      await ecr.setRepositoryPolicy({ repositoryName, policyText: first })
      const second = policy('Allow', user.arn, 'ecr:GetRepositoryPolicy')

      expect(await refusalOf(user.ecr.setRepositoryPolicy({ repositoryName, policyText: second }))).toBe(lockOut)
      expect(JSON.parse((await user.ecr.getRepositoryPolicy({ repositoryName })).policyText ?? '')).toEqual(JSON.parse(first))

      await user.ecr.setRepositoryPolicy({ repositoryName, policyText: second, force: true })
      expect(await refusalOf(user.ecr.setRepositoryPolicy({ repositoryName, policyText: first, force: true }))).toMatch(
        /^AccessDeniedException: User: .* is not authorized to perform: ecr:SetRepositoryPolicy/,
      )
      await user.ecr.getRepositoryPolicy({ repositoryName })
    })

    it('refuses a denial of the caller, and takes one that is about somebody or something else', async () => {
      const { newRepository } = server()
      const repositoryName = await newRepository()
      const user = await newUser('ecr:SetRepositoryPolicy')
      const somebody = await newUser()
      const elsewhere = { IpAddress: { 'aws:SourceIp': '192.0.2.0/24' } }

      for (const policyText of [policy('Deny', user.arn, 'ecr:*'), policy('Deny', '*', 'ecr:SetRepositoryPolicy')]) {
        expect(await refusalOf(user.ecr.setRepositoryPolicy({ repositoryName, policyText }))).toBe(lockOut)
      }
      for (const policyText of [
        policy('Deny', somebody.arn, 'ecr:*'),
        policy('Deny', user.arn, 'ecr:DeleteRepository'),
        policy('Deny', '*', 'ecr:*', elsewhere),
      ]) {
        await user.ecr.setRepositoryPolicy({ repositoryName, policyText })
      }
    })

    it('never locks out the root of the account', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()

      await ecr.setRepositoryPolicy({ repositoryName, policyText: policy('Deny', '*', 'ecr:*') })

      expect(await refusalOf(ecr.listImages({ repositoryName }))).toMatch(/^AccessDeniedException/)
      await ecr.deleteRepositoryPolicy({ repositoryName })
      await ecr.listImages({ repositoryName })
    })
  })

  describe('policies hold from the next request on', () => {
    it('set, replaced, deleted, and gone with their repository', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      const user = await newUser()
      const mayList = async (): Promise<boolean> => !(await user.ecr.listImages({ repositoryName }).then(() => '', String)).includes('AccessDenied')
      const seen = [await mayList()]

      await ecr.setRepositoryPolicy({ repositoryName, policyText: policy('Allow', user.arn, 'ecr:ListImages') })
      seen.push(await mayList())
      await ecr.setRepositoryPolicy({ repositoryName, policyText: policy('Allow', user.arn, 'ecr:DescribeImages') })
      seen.push(await mayList())
      await ecr.setRepositoryPolicy({ repositoryName, policyText: policy('Allow', user.arn, 'ecr:ListImages') })
      await ecr.deleteRepository({ repositoryName })
      await ecr.createRepository({ repositoryName })
      seen.push(await mayList())
      await ecr.putRegistryPolicy({ policyText: policy('Allow', user.arn, 'ecr:ListImages') })
      seen.push(await mayList())
      await ecr.putAccountSetting({ name: 'REGISTRY_POLICY_SCOPE', value: 'V1' })
      seen.push(await mayList())
      await ecr.putAccountSetting({ name: 'REGISTRY_POLICY_SCOPE', value: 'V2' })
      await ecr.deleteRegistryPolicy({})
      seen.push(await mayList())

      expect(seen).toEqual([false, true, false, false, true, false, false])
    })

    it('tags of a repository count as they are now', async () => {
      const { ecr, freeName } = server()
      const root = iam()
      const user = await newUser()
      const UserName = user.arn.split('/').at(-1)
      const PolicyDocument = policyOf({ Action: 'ecr:ListImages', Resource: '*', Condition: { StringEquals: { 'ecr:ResourceTag/team': 'a' } } })
      await root.putUserPolicy({ UserName, PolicyName: 'tagged', PolicyDocument })
      const repositoryName = freeName()
      const mayList = async (): Promise<boolean> => !(await user.ecr.listImages({ repositoryName }).then(() => '', String)).includes('AccessDenied')
      const seen = [await mayList()]

      const { repository } = await ecr.createRepository({ repositoryName, tags: [{ Key: 'team', Value: 'a' }] })
      seen.push(await mayList())
      await ecr.tagResource({ resourceArn: repository?.repositoryArn, tags: [{ Key: 'team', Value: 'b' }] })
      seen.push(await mayList())
      await ecr.tagResource({ resourceArn: repository?.repositoryArn, tags: [{ Key: 'team', Value: 'a' }] })
      seen.push(await mayList())
      await ecr.untagResource({ resourceArn: repository?.repositoryArn, tagKeys: ['team'] })
      seen.push(await mayList())

      expect(seen).toEqual([false, true, false, true, false])
    })
  })

  describe('a push to a repository that is not there', () => {
    const pushActions = ['ecr:InitiateLayerUpload', 'ecr:UploadLayerPart', 'ecr:CompleteLayerUpload', 'ecr:BatchCheckLayerAvailability', 'ecr:PutImage', 'ecr:BatchGetImage']
    const image = buildImage({ seed: 'pushed by a user' })
    const push = (user: User, repository: string) => pushImage({ url: server().platform.url, repository, auth: user.auth }, image, 'v1')

    it('makes it for whoever may create it, and for others it is not there', async () => {
      const { ecr, freeName } = server()
      const prefix = freeName()
      await ecr.createRepositoryCreationTemplate({ prefix, appliedFor: ['CREATE_ON_PUSH'] })
      const pusher = await newUser(...pushActions)
      const creator = await newUser(...pushActions, 'ecr:CreateRepository')
      const repositoryName = `${prefix}/app`

      await expect(push(pusher, repositoryName)).rejects.toThrow('404')
      expect(await refusalOf(pusher.ecr.initiateLayerUpload({ repositoryName }))).toBe(absentRepository(repositoryName))
      expect(await refusalOf(ecr.describeRepositories({ repositoryNames: [repositoryName] }))).toBe(absentRepository(repositoryName))

      await push(creator, repositoryName)
      await push(pusher, repositoryName)
    })

    it('is decided anew by what the template gave it: a policy, or tags', async () => {
      const { ecr, freeName } = server()
      const creator = await newUser(...pushActions, 'ecr:CreateRepository')
      const prefix = freeName()
      await ecr.createRepositoryCreationTemplate({
        prefix,
        appliedFor: ['CREATE_ON_PUSH'],
        repositoryPolicy: policy('Deny', creator.arn, 'ecr:PutImage'),
      })
      const index = JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [] })
      const client = createDistributionClient(server().platform.url, creator.auth)
      const headers = { 'content-type': 'application/vnd.oci.image.index.v1+json' }

      const byDocker = await client.request('PUT', `/v2/${prefix}/docker/manifests/v1`, { headers, body: index })
      expect([byDocker.status, byDocker.body.toString()]).toEqual([403, expect.stringContaining('explicit deny')])
      expect(await refusalOf(creator.ecr.putImage({ repositoryName: `${prefix}/api`, imageManifest: index, imageTag: 'v1' }))).toMatch(
        /^AccessDeniedException.*explicit deny/,
      )
      client.close()
      for (const repositoryName of [`${prefix}/docker`, `${prefix}/api`]) {
        expect((await ecr.listImages({ repositoryName })).imageIds).toEqual([])
      }
    })

    it('gives it tags only where the template’s role, which ECR may use, may do so', async () => {
      const { ecr, freeName } = server()
      const creator = await newUser(...pushActions, 'ecr:CreateRepository')
      const roles = {
        able: await newRole('ecr.amazonaws.com', 'ecr:CreateRepository', 'ecr:TagResource'),
        untagging: await newRole('ecr.amazonaws.com', 'ecr:CreateRepository'),
        foreign: await newRole('lambda.amazonaws.com', 'ecr:*'),
        absent: `arn:aws:iam::${defaultAccountId}:role/absent`,
      }
      const made: string[] = []
      for (const [name, customRoleArn] of Object.entries(roles)) {
        const prefix = `${freeName()}/${name}`
        const resourceTags = [{ Key: 'team', Value: name }]
        await ecr.createRepositoryCreationTemplate({ prefix, appliedFor: ['CREATE_ON_PUSH'], resourceTags, customRoleArn })
        await push(creator, `${prefix}/app`).then(
          () => made.push(`${prefix}/app`),
          () => undefined,
        )
        await creator.ecr.initiateLayerUpload({ repositoryName: `${prefix}/api` }).then(
          () => made.push(`${prefix}/api`),
          () => undefined,
        )
      }

      const { repositories = [] } = await ecr.describeRepositories({ maxResults: 1000 })
      const able = repositories.filter(({ repositoryName = '' }) => /\/(able|untagging|foreign|absent)\//.test(repositoryName))
      expect(able.map(({ repositoryName }) => repositoryName).toSorted()).toEqual(made.toSorted())
      expect(made.map((name) => name.replace(/^.*\/(able|untagging|foreign|absent)/, '$1')).toSorted()).toEqual(['able/api', 'able/app'])
      for (const { repositoryArn } of able) {
        expect((await ecr.listTagsForResource({ resourceArn: repositoryArn })).tags).toEqual([{ Key: 'team', Value: 'able' }])
      }
    })
  })

  it('another account pushes into new repositories as far as the registry policy opens them', async () => {
    const { ecr, platform, freeName } = server()
    const [open, closed] = [freeName(), freeName()]
    for (const prefix of [open, closed]) await ecr.createRepositoryCreationTemplate({ prefix, appliedFor: ['CREATE_ON_PUSH'] })
    const stranger = clientOf(platform, await newAccount(platform.url, platform.credentials, '310000000001'))
    clients.push(stranger)
    const arn = (name: string): string => `arn:aws:ecr:us-east-1:${defaultAccountId}:repository/${name}/*`
    const principal = { AWS: '310000000001' }
    const policyText = policyOf(
      { Principal: principal, Action: 'ecr:InitiateLayerUpload', Resource: [arn(open), arn(closed)] },
      { Principal: principal, Action: 'ecr:CreateRepository', Resource: arn(open) },
    )
    await ecr.putRegistryPolicy({ policyText })
    const begin = (repositoryName: string) => stranger.initiateLayerUpload({ registryId: defaultAccountId, repositoryName })

    await begin(`${open}/app`)
    const refusals = [await refusalOf(begin(`${closed}/app`)), await refusalOf(begin(`${freeName()}/app`))]
    await ecr.deleteRegistryPolicy({})

    expect(refusals).toEqual([absentRepository(`${closed}/app`), expect.stringMatching(/^AccessDeniedException/)])
    expect((await ecr.describeRepositories({ repositoryNames: [`${open}/app`] })).repositories).toHaveLength(1)
    expect(await refusalOf(ecr.describeRepositories({ repositoryNames: [`${closed}/app`] }))).toBe(absentRepository(`${closed}/app`))
  })

  it('pulls by an excluded user leave the time of the last pull alone', async () => {
    const { ecr, newRepository, pushImage: pushAsRoot } = server()
    const repositoryName = await newRepository()
    await pushAsRoot(repositoryName, buildImage({ seed: 'pulled' }), 'v1')
    const [scanner, node] = [await newUser('ecr:BatchGetImage'), await newUser('ecr:BatchGetImage')]
    await ecr.registerPullTimeUpdateExclusion({ principalArn: scanner.arn })
    const input = { repositoryName, imageIds: [{ imageTag: 'v1' }] }
    const lastPull = async () => (await ecr.describeImages(input)).imageDetails?.[0]?.lastRecordedPullTime
    const pull = async ({ ecr: puller }: User): Promise<number> => {
      expect((await puller.batchGetImage(input)).images).toHaveLength(1)
      return Date.now()
    }

    await pull(scanner)
    const pulledAt = await pull(node)
    await expect.poll(lastPull, { timeout: 10_000 }).toBeDefined()
    const afterNode = await lastPull()
    await pull(scanner)
    // A later pull that counts shows that the one before it was written, or left out, already.
    const marker = await newRepository()
    await pushAsRoot(marker, buildImage({ seed: 'marker' }), 'v1')
    await ecr.batchGetImage({ ...input, repositoryName: marker })
    const markerPull = async () => (await ecr.describeImages({ ...input, repositoryName: marker })).imageDetails?.[0]?.lastRecordedPullTime
    await expect.poll(markerPull, { timeout: 10_000 }).toBeDefined()

    expect(afterNode?.getTime()).toBeLessThanOrEqual(pulledAt)
    expect(await lastPull()).toEqual(afterNode)
  })

  describe('templates take the rights to give what they give', () => {
    it('and are refused to whoever lacks one', async () => {
      const { freeName } = server()
      const own = ['ecr:CreateRepositoryCreationTemplate', 'ecr:CreateRepository']
      const customRoleArn = `arn:aws:iam::${defaultAccountId}:role/creator`
      const prefix = freeName()
      const base = { prefix, appliedFor: ['CREATE_ON_PUSH' as const] }
      const tags = { resourceTags: [{ Key: 'a', Value: 'b' }], customRoleArn }
      const cases: readonly [actions: string[], settings: object, missing: string][] = [
        [own.slice(1), {}, 'ecr:CreateRepositoryCreationTemplate'],
        [own.slice(0, 1), {}, 'ecr:CreateRepository'],
        [own, { repositoryPolicy: policy('Allow', '*', 'ecr:ListImages') }, 'ecr:SetRepositoryPolicy'],
        [[...own, 'iam:PassRole'], tags, 'ecr:TagResource'],
        [[...own, 'ecr:TagResource'], tags, 'iam:PassRole'],
      ]
      for (const [actions, settings, missing] of cases) {
        const user = await newUser(...actions)
        expect(await refusalOf(user.ecr.createRepositoryCreationTemplate({ ...base, ...settings }))).toContain(
          `is not authorized to perform: ${missing} on resource: `,
        )
      }

      const user = await newUser(...own, 'ecr:TagResource', 'iam:PassRole', 'ecr:SetRepositoryPolicy')
      await user.ecr.createRepositoryCreationTemplate({ ...base, ...tags, repositoryPolicy: policy('Allow', '*', 'ecr:ListImages') })
    })
  })

  it('ecr:AccountSetting tells settings apart', async () => {
    const root = iam()
    const user = await newUser()
    const Condition = { StringEquals: { 'ecr:AccountSetting': 'BLOB_MOUNTING' } }
    const PolicyDocument = policyOf({ Action: 'ecr:*AccountSetting', Resource: '*', Condition })
    await root.putUserPolicy({ UserName: user.arn.split('/').at(-1), PolicyName: 'one', PolicyDocument })

    await user.ecr.putAccountSetting({ name: 'BLOB_MOUNTING', value: 'ENABLED' })
    await user.ecr.getAccountSetting({ name: 'BLOB_MOUNTING' })
    for (const call of [
      () => user.ecr.putAccountSetting({ name: 'REGISTRY_POLICY_SCOPE', value: 'V1' }),
      () => user.ecr.getAccountSetting({ name: 'REGISTRY_POLICY_SCOPE' }),
    ]) {
      expect(await refusalOf(call())).toMatch(/^AccessDeniedException/)
    }
  })
})

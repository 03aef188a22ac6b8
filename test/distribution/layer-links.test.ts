import { DeleteRepositoryCommand, ECR, GetDownloadUrlForLayerCommand } from '@aws-sdk/client-ecr'
import type { IAM } from '@aws-sdk/client-iam'
import { STS } from '@aws-sdk/client-sts'
import { afterAll, describe, expect, it } from 'vitest'
import type { Clock } from '../../src/internal/clock.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { iamClient, newRole, newUser, type TestUser } from '../support/identities.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { startTestPlatform } from '../support/platform.ts'
import { errorCodeOf, onEveryDatabase } from './registry-under-test.ts'

onEveryDatabase((registry) => {
  /** An image in a repository of its own, and the link to its layer. */
  async function linked(): Promise<{ repository: string; link: string; bytes: Buffer; digest: string }> {
    const { newRepository, platform, pushImage: push } = registry()
    const repository = await newRepository()
    const image = buildImage({ seed: repository })
    await push(repository, image, 'v1')
    const { digest, bytes } = image.blobs[1]!
    const { downloadUrl } = await platform.ecr.send(
      new GetDownloadUrlForLayerCommand({ repositoryName: repository, layerDigest: digest }),
    )
    return { repository, link: downloadUrl ?? '', bytes, digest }
  }

  describe('the link of GetDownloadUrlForLayer', () => {
    it('is downloaded without credentials', async () => {
      const { link, bytes, digest } = await linked()

      const answer = await registry().client.request('GET', link, { auth: null })

      expect(answer.status).toBe(200)
      expect(answer.body.equals(bytes)).toBe(true)
      expect(answer.headers).toMatchObject({ 'docker-content-digest': digest, 'accept-ranges': 'bytes' })
    })

    it('serves parts, headers and conditions as the blob itself does', async () => {
      const { link, bytes, digest } = await linked()
      const { client } = registry()

      const part = await client.request('GET', link, { auth: null, headers: { range: 'bytes=2-5' } })
      expect([part.status, part.headers['content-range']]).toEqual([206, `bytes 2-5/${bytes.length}`])
      expect(part.body.equals(bytes.subarray(2, 6))).toBe(true)

      const head = await client.request('HEAD', link, { auth: null })
      expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, String(bytes.length), 0])

      const unchanged = await client.request('GET', link, { auth: null, headers: { 'if-none-match': `"${digest}"` } })
      expect(unchanged.status).toBe(304)
    })

    it('opens nothing else', async () => {
      const { link } = await linked()
      const { client, platform } = registry()
      const at = link.lastIndexOf('/') + 1

      for (const forged of [
        link.slice(0, at) + link.slice(at).replace(/^./, (first) => (first === 'A' ? 'B' : 'A')),
        `${link}x`,
        link.slice(0, -5),
        link.slice(0, at),
        `${platform.url}/_stowage/layers/..%2f..%2fetc`,
      ]) {
        const answer = await client.request('GET', forged, { auth: null })
        expect([answer.status, errorCodeOf(answer)]).toEqual([403, 'DENIED'])
      }
    })

    it.each([
      ['is taken away', async (iam: IAM, user: TestUser) => iam.deleteAccessKey({ UserName: user.name, AccessKeyId: user.accessKeyId })],
      ['is made inactive', async (iam: IAM, user: TestUser) => iam.updateAccessKey({ UserName: user.name, AccessKeyId: user.accessKeyId, Status: 'Inactive' })],
      [
        'goes with its user',
        async (iam: IAM, user: TestUser) => {
          await iam.deleteAccessKey({ UserName: user.name, AccessKeyId: user.accessKeyId })
          await iam.deleteUserPolicy({ UserName: user.name, PolicyName: 'rights' })
          await iam.deleteUser({ UserName: user.name })
        },
      ],
    ] as const)('ends where the key that asked for it %s, and no other link with it', async (_what, end) => {
      const { client, platform } = registry()
      const { repository, digest, link: own } = await linked()
      const iam = iamClient(platform.url, platform.credentials)
      const user = await newUser(iam, { Action: 'ecr:*', Resource: '*' })
      const ecr = new ECR({ endpoint: platform.url, region: 'us-east-1', credentials: user, maxAttempts: 1 })
      const { downloadUrl: link = '' } = await ecr.getDownloadUrlForLayer({ repositoryName: repository, layerDigest: digest })
      expect((await client.request('GET', link, { auth: null })).status).toBe(200)

      await end(iam, user)

      const refused = await client.request('GET', link, { auth: null })
      expect([refused.status, errorCodeOf(refused)]).toEqual([403, 'DENIED'])
      expect(refused.body.toString()).not.toContain(user.accessKeyId)
      expect((await client.request('GET', own, { auth: null })).status).toBe(200)
      ecr.destroy()
      iam.destroy()
    })

    it('ends with the session that asked for it', async () => {
      const { client, platform } = registry()
      const { repository, digest } = await linked()
      const iam = iamClient(platform.url, platform.credentials)
      const name = `linker-${repository.replaceAll('/', '-')}`
      const trust = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { AWS: '*' } }] }
      const policy = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 'ecr:*', Resource: '*' }] }
      const RoleArn = await newRole(iam, { name, trustPolicy: trust, policy })
      const user = await newUser(iam, { Action: 'sts:AssumeRole', Resource: '*' })
      const sts = new STS({ endpoint: platform.url, region: 'us-east-1', credentials: user, maxAttempts: 1 })
      const { Credentials } = await sts.assumeRole({ RoleArn, RoleSessionName: 'linker' })
      const credentials = {
        accessKeyId: Credentials?.AccessKeyId ?? '',
        secretAccessKey: Credentials?.SecretAccessKey ?? '',
        sessionToken: Credentials?.SessionToken ?? '',
      }
      const ecr = new ECR({ endpoint: platform.url, region: 'us-east-1', credentials, maxAttempts: 1 })
      const { downloadUrl: link = '' } = await ecr.getDownloadUrlForLayer({ repositoryName: repository, layerDigest: digest })
      expect((await client.request('GET', link, { auth: null })).status).toBe(200)

      const [inline] = (await iam.listRolePolicies({ RoleName: name })).PolicyNames ?? []
      await iam.deleteRolePolicy({ RoleName: name, PolicyName: inline })
      await iam.deleteRole({ RoleName: name })

      expect((await client.request('GET', link, { auth: null })).status).toBe(403)
      for (const each of [ecr, sts, iam]) each.destroy()
    })

    it('ends with its repository', async () => {
      const { repository, link } = await linked()
      const { client, platform } = registry()

      await platform.ecr.send(new DeleteRepositoryCommand({ repositoryName: repository, force: true }))

      expect((await client.request('GET', link, { auth: null })).status).toBe(404)
    })
  })
})

describe('a link that ran out', () => {
  let nowMs = Date.now()
  const clock: Clock = { now: () => nowMs }
  const started = startTestPlatform({ database: 'sqlite', clock })
  afterAll(async () => (await started).stop())

  it('is refused', async () => {
    const platform = await started
    const { accessKeyId: username, secretAccessKey: password } = platform.credentials
    const image = buildImage({ seed: 'expiring link' })
    await platform.createRepository('team/app')
    await pushImage({ url: platform.url, repository: 'team/app', auth: { username, password } }, image)
    const { downloadUrl } = await platform.ecr.send(
      new GetDownloadUrlForLayerCommand({ repositoryName: 'team/app', layerDigest: image.blobs[1]!.digest }),
    )
    const client = createDistributionClient(platform.url)

    nowMs += 24 * 60 * 60 * 1000
    const refused = await client.request('GET', downloadUrl ?? '')

    expect([refused.status, errorCodeOf(refused)]).toEqual([403, 'DENIED'])
    client.close()
  })
})

import { CreateRepositoryCommand, type ECR } from '@aws-sdk/client-ecr'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startTestPlatform, type TestPlatform, type TestPlatformOptions } from '../support/platform.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { clientOf, defaultAccountId, onEveryDatabase, refusalOf } from './ecr-under-test.ts'

const otherAccountId = '111122223333'
const twelveHoursMs = 12 * 60 * 60 * 1000

onEveryDatabase((server) => {
  describe('GetAuthorizationToken', () => {
    it('gives a docker login of twelve hours for this server', async () => {
      const { ecr, platform } = server()
      const before = Date.now()

      const { authorizationData } = await ecr.getAuthorizationToken({})

      expect(authorizationData).toHaveLength(1)
      const [{ authorizationToken = '', expiresAt, proxyEndpoint } = {}] = authorizationData ?? []
      expect(proxyEndpoint).toBe(platform.url)
      expect(expiresAt?.getTime()).toBeGreaterThanOrEqual(before + twelveHoursMs)
      expect(expiresAt?.getTime()).toBeLessThanOrEqual(Date.now() + twelveHoursMs)
      const [user, password = ''] = Buffer.from(authorizationToken, 'base64').toString().split(':')
      expect(user).toBe('AWS')
      expect(password).toMatch(/^[A-Za-z0-9._-]{20,2000}$/)
      const withToken = await fetch(`${platform.url}/v2/`, { headers: { authorization: `Basic ${authorizationToken}` } })
      expect(withToken.status).toBe(200)
    })

    it('names the host of each registry that is asked for, whoever has something there', async () => {
      const { ecr, platform } = server()

      const own = await ecr.getAuthorizationToken(forRegistries(defaultAccountId, defaultAccountId))
      const other = await ecr.getAuthorizationToken(forRegistries(otherAccountId, defaultAccountId))

      expect(own.authorizationData).toHaveLength(1)
      expect(other.authorizationData?.map(({ proxyEndpoint }) => proxyEndpoint)).toEqual([
        `http://${otherAccountId}.dkr.ecr.us-east-1.${platform.host}`,
        platform.url,
      ])
    })
  })

  describe('the registry of another account', () => {
    const repositoryName = 'team/app'
    const registryId = otherAccountId
    const calls: Partial<Record<keyof ECR, object>> = {
      createRepository: {},
      deleteRepository: {},
      putImageTagMutability: { imageTagMutability: 'MUTABLE' },
      listImages: {},
      describeImages: {},
      batchGetImage: { imageIds: [{ imageTag: 'v1' }] },
      batchDeleteImage: { imageIds: [{ imageTag: 'v1' }] },
      putImage: { imageManifest: '{}' },
      batchCheckLayerAvailability: { layerDigests: ['sha256:00'] },
      initiateLayerUpload: {},
      uploadLayerPart: {
        uploadId: '00000000-0000-4000-8000-000000000000',
        partFirstByte: 0,
        partLastByte: 0,
        layerPartBlob: Uint8Array.of(1),
      },
      completeLayerUpload: { uploadId: '00000000-0000-4000-8000-000000000000', layerDigests: ['sha256:00'] },
      getDownloadUrlForLayer: { layerDigest: 'sha256:00' },
    }

    it.each(Object.keys(calls) as (keyof ECR)[])('is closed to %s', async (method) => {
      const { ecr } = server()
      const call = (input: object): Promise<string> =>
        refusalOf((ecr[method] as unknown as (input: object) => Promise<unknown>).call(ecr, input))
      const action = `ecr:${method.charAt(0).toUpperCase()}${method.slice(1)}`

      expect(await call({ ...calls[method], registryId, repositoryName })).toBe(
        denied(action, `arn:aws:ecr:us-east-1:${otherAccountId}:repository/${repositoryName}`),
      )
    })

    it('is closed to DescribeRepositories and to calls that name a resource', async () => {
      const { ecr } = server()
      const resourceArn = `arn:aws:ecr:us-east-1:${otherAccountId}:repository/${repositoryName}`

      expect(await refusalOf(ecr.describeRepositories({ registryId }))).toBe(
        denied('ecr:DescribeRepositories', `arn:aws:ecr:us-east-1:${otherAccountId}:repository/*`),
      )
      expect(await refusalOf(ecr.describeRepositories({ registryId, repositoryNames: [repositoryName] }))).toBe(
        denied('ecr:DescribeRepositories', resourceArn),
      )
      expect(await refusalOf(ecr.listTagsForResource({ resourceArn }))).toBe(denied('ecr:ListTagsForResource', resourceArn))
      expect(await refusalOf(ecr.tagResource({ resourceArn, tags: [] }))).toBe(denied('ecr:TagResource', resourceArn))
      expect(await refusalOf(ecr.untagResource({ resourceArn, tagKeys: [] }))).toBe(denied('ecr:UntagResource', resourceArn))
    })
  })

  it('the caller’s own registry may be named', async () => {
    const { ecr, newRepository } = server()
    const repositoryName = await newRepository()

    expect((await ecr.listImages({ registryId: defaultAccountId, repositoryName })).imageIds).toEqual([])
    const described = await ecr.describeRepositories({ registryId: defaultAccountId, repositoryNames: [repositoryName] })
    expect(described.repositories).toHaveLength(1)
  })

  it('regions are apart', async () => {
    const { ecr, platform, newRepository } = server()
    const repositoryName = await newRepository()
    const elsewhere = clientOf(platform)
    elsewhere.config.region = async () => 'eu-central-1'

    expect(await refusalOf(elsewhere.listImages({ repositoryName }))).toContain('RepositoryNotFoundException')
    const { repository } = await elsewhere.createRepository({ repositoryName })
    expect(repository?.repositoryArn).toBe(`arn:aws:ecr:eu-central-1:${defaultAccountId}:repository/${repositoryName}`)
    const { nextToken } = await firstPage(ecr, newRepository)
    expect(await refusalOf(elsewhere.describeRepositories({ nextToken }))).toContain('nextToken')
    elsewhere.destroy()
  })

  it('wrong keys are refused', async () => {
    const { platform } = server()
    const { accessKeyId } = platform.credentials
    const wrongSecret = clientOf(platform, { accessKeyId, secretAccessKey: 'x'.repeat(40) })
    const unknownKey = clientOf(platform, { accessKeyId: 'AKIA0000000000000000', secretAccessKey: 'x'.repeat(40) })

    expect(await refusalOf(wrongSecret.describeRegistry({}))).toMatch(/^InvalidSignatureException: /)
    expect(await refusalOf(unknownKey.describeRegistry({}))).toMatch(/^UnrecognizedClientException: /)
    wrongSecret.destroy()
    unknownKey.destroy()
  })
})

describe('the addresses in answers', () => {
  async function started(settings: Record<string, string>, options: Partial<TestPlatformOptions> = {}): Promise<TestPlatform> {
    const platform = await startTestPlatform({ database: 'sqlite', settings, ...options })
    onTestFinished(() => platform.stop())
    return platform
  }

  async function addressesOf(platform: TestPlatform): Promise<unknown> {
    const ecr = clientOf(platform)
    onTestFinished(() => ecr.destroy())
    const { repository } = await ecr.send(new CreateRepositoryCommand({ repositoryName: 'team/app' }))
    const { authorizationData } = await ecr.getAuthorizationToken({})
    const image = buildImage()
    const { accessKeyId: username, secretAccessKey: password } = platform.credentials
    await pushImage({ url: platform.url, repository: 'team/app', auth: { username, password } }, image, 'v1')
    const { downloadUrl } = await ecr.getDownloadUrlForLayer({ repositoryName: 'team/app', layerDigest: image.blobs[0]?.digest })
    return [repository?.repositoryUri, authorizationData?.[0]?.proxyEndpoint, downloadUrl?.replace(/\/_stowage\/layers\/.*/, '')]
  }

  it('are those of the request', async () => {
    const platform = await started({})

    expect(await addressesOf(platform)).toEqual([`${platform.host}/team/app`, platform.url, platform.url])
  })

  it('are the public ones where there are such', async () => {
    const platform = await started({ STOWAGE_PUBLIC_URL: 'https://registry.example.com' })

    const origin = 'https://registry.example.com'
    expect(await addressesOf(platform)).toEqual(['registry.example.com/team/app', origin, origin])
  })

  it('select the registry where there is a domain for it', async () => {
    const platform = await started({
      STOWAGE_PUBLIC_URL: 'https://registry.example.com:8443',
      STOWAGE_REGISTRY_DOMAIN: 'registry.example.com',
      STOWAGE_ACCOUNT_ID: otherAccountId,
    })

    const host = `${otherAccountId}.dkr.ecr.us-east-1.registry.example.com:8443`
    expect(await addressesOf(platform)).toEqual([`${host}/team/app`, `https://${host}`, `https://${host}`])
  })
})

/** An input with a member that scripts still send, though AWS calls it deprecated. */
function forRegistries(...registryIds: string[]): object {
  return { registryIds }
}

async function firstPage(ecr: ECR, newRepository: () => Promise<string>): Promise<{ nextToken?: string | undefined }> {
  await newRepository()
  await newRepository()
  return ecr.describeRepositories({ maxResults: 1 })
}

function denied(action: string, resource: string): string {
  return `AccessDeniedException: User: arn:aws:iam::${defaultAccountId}:root is not authorized to perform: ${action} on resource: ${resource} because no resource-based policy allows the ${action} action`
}

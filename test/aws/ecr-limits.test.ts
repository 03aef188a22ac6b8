import { CreateRepositoryCommand, ECR, ECRServiceException, LimitExceededException } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createDistributionClient, type ClientResponse, type DistributionClient } from '../support/distribution-client.ts'
import { buildArtifact, digestOf, pushImage, randomContent, withDigest, type Image } from '../support/images.ts'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'
import { clientOf, refusalOf } from './ecr-under-test.ts'

const registryId = '000000000000'
const mebibyte = 1024 * 1024

/** Time for the server: moves when it is told to. Starts now, so that the SDK's signatures are good. */
class Hands {
  #now = Date.now()
  now = (): number => this.#now
  advance(ms: number): void {
    this.#now += ms
  }
}

interface Started {
  readonly platform: TestPlatform
  readonly ecr: ECR
  readonly client: DistributionClient
  readonly hands: Hands
}

function withServer(database: 'sqlite' | 'postgres', settings: Readonly<Record<string, string>>): () => Started {
  let started: Started | undefined
  beforeAll(async () => {
    const hands = new Hands()
    const platform = await startTestPlatform({ database, settings, clock: hands })
    const credentials = { username: platform.credentials.accessKeyId, password: platform.credentials.secretAccessKey }
    started = { platform, hands, ecr: clientOf(platform), client: createDistributionClient(platform.url, credentials) }
  })
  afterAll(async () => {
    started?.client.close()
    started?.ecr.destroy()
    await started?.platform.stop()
  })
  return () => {
    if (started === undefined) throw new Error('the server is not running yet')
    return started
  }
}

function push({ platform }: Started, repository: string, image: Image, reference?: string): Promise<void> {
  const { accessKeyId: username, secretAccessKey: password } = platform.credentials
  return pushImage({ url: platform.url, repository, auth: { username, password } }, image, reference)
}

/** `<status> <code>: <message>` of a refusal on the docker endpoint. */
function refusalIn(response: ClientResponse): string {
  const { errors } = response.json() as { errors: [{ code: string; message: string }] }
  return `${response.status} ${errors[0].code}: ${errors[0].message}`
}

const rateExceeded = 'ThrottlingException: Rate exceeded'

describe.each(['sqlite', 'postgres'] as const)('request rates on %s', (database) => {
  const server = withServer(database, {
    STOWAGE_REQUEST_RATES: 'GetAuthorizationToken=1,BatchGetImage=2,PutImage=2,InitiateLayerUpload=3,UploadLayerPart=4,CompleteLayerUpload=3',
  })
  const image = buildArtifact({ artifactType: 'test/rates' })
  const repositoryName = 'rates/app'

  beforeAll(async () => {
    await server().platform.createRepository(repositoryName)
    await push(server(), repositoryName, image, 'v1')
  })

  it('answer what is beyond as ECR does, and what comes in time as ever', async () => {
    const { ecr, hands } = server()
    hands.advance(1000)

    await ecr.getAuthorizationToken()
    expect(await refusalOf(ecr.getAuthorizationToken())).toBe(rateExceeded)
    expect(await refusalOf(ecr.getAuthorizationToken())).toBe(rateExceeded)
    hands.advance(1000)
    await ecr.getAuthorizationToken()
    // Calls that have no rate go on meanwhile.
    for (let n = 0; n < 20; n += 1) await ecr.describeRepositories()
  })

  it('count a call by either protocol', async () => {
    const { client, ecr, hands } = server()
    hands.advance(1000)
    const path = `/v2/${repositoryName}/manifests/v1`
    const get = (): Promise<unknown> => ecr.batchGetImage({ repositoryName, imageIds: [{ imageTag: 'v1' }] })

    await get()
    expect((await client.request('GET', path)).status).toBe(200)
    const refused = await client.request('GET', path)
    expect(refusalIn(refused)).toBe('429 TOOMANYREQUESTS: Rate exceeded')
    expect(refused.headers['retry-after']).toBe('1')
    expect((await client.request('HEAD', path)).status).toBe(429)
    expect(await refusalOf(get())).toBe(rateExceeded)
    hands.advance(500)
    expect((await client.request('HEAD', path)).status).toBe(200)
    expect(await refusalOf(get())).toBe(rateExceeded)
    // A log-in is no call, nor are listings.
    expect((await client.request('GET', '/v2/')).status).toBe(200)
    expect((await client.request('GET', `/v2/${repositoryName}/tags/list`)).status).toBe(200)
  })

  it('belong to a registry: another region has its own', async () => {
    const { ecr, hands, platform } = server()
    hands.advance(1000)
    const elsewhere = new ECR({ endpoint: platform.url, region: 'eu-west-1', credentials: platform.credentials, maxAttempts: 1 })
    await elsewhere.send(new CreateRepositoryCommand({ repositoryName }))
    const ask = (client: ECR): Promise<unknown> => client.batchGetImage({ repositoryName, imageIds: [{ imageTag: 'v1' }] })

    for (let n = 0; n < 2; n += 1) await ask(ecr)
    expect(await refusalOf(ask(ecr))).toBe(rateExceeded)
    for (let n = 0; n < 2; n += 1) await ask(elsewhere)
    expect(await refusalOf(ask(elsewhere))).toBe(rateExceeded)
    elsewhere.destroy()
  })

  it('refuse before anything is done', async () => {
    const { client, ecr, hands } = server()
    hands.advance(1000)
    const put = (tag: string): Promise<ClientResponse> =>
      client.request('PUT', `/v2/${repositoryName}/manifests/${tag}`, {
        headers: { 'content-type': image.manifest.mediaType },
        body: image.manifest.bytes,
      })

    expect([(await put('one')).status, (await put('two')).status]).toEqual([201, 201])
    expect(refusalIn(await put('three'))).toBe('429 TOOMANYREQUESTS: Rate exceeded')
    expect((await ecr.describeImages({ repositoryName })).imageDetails?.[0]?.imageTags).toEqual(['one', 'two', 'v1'])
    for (let n = 0; n < 3; n += 1) await ecr.initiateLayerUpload({ repositoryName })
    expect((await client.request('POST', `/v2/${repositoryName}/blobs/uploads/`)).status).toBe(429)
    // An upload in one request counts as all three calls, or as none.
    hands.advance(1000)
    const bytes = Buffer.from('in one request')
    const whole = (): Promise<ClientResponse> =>
      client.request('POST', withDigest(`/v2/${repositoryName}/blobs/uploads/`, digestOf(bytes)), { body: bytes })
    for (let n = 0; n < 3; n += 1) expect((await whole()).status).toBe(201)
    expect((await whole()).status).toBe(429)
  })

  it('are what the SDK repeats a call for, by itself', async () => {
    const { hands, platform } = server()
    hands.advance(1000)
    const patient = new ECR({ endpoint: platform.url, region: 'us-east-1', credentials: platform.credentials, maxAttempts: 3 })
    await patient.getAuthorizationToken()

    const failure: unknown = await patient.getAuthorizationToken().catch((error: unknown) => error)

    expect(failure).toBeInstanceOf(ECRServiceException)
    expect(failure).toMatchObject({ name: 'ThrottlingException', $metadata: { httpStatusCode: 400, attempts: 3 } })
    // The server's time goes on while the SDK waits.
    setTimeout(() => {
      hands.advance(1000)
    }, 20)
    expect((await patient.getAuthorizationToken()).authorizationData).toHaveLength(1)
    patient.destroy()
  })
})

describe.each(['sqlite', 'postgres'] as const)('service quotas on %s', (database) => {
  const server = withServer(database, {
    STOWAGE_QUOTA_REPOSITORIES: '6',
    STOWAGE_QUOTA_IMAGES_PER_REPOSITORY: '2',
    STOWAGE_QUOTA_TAGS_PER_IMAGE: '2',
    STOWAGE_QUOTA_LAYER_MIB: '1',
    STOWAGE_QUOTA_LAYER_PARTS: '2',
  })
  const images = ['a', 'b', 'c'].map((seed) => buildArtifact({ artifactType: 'test/quotas', annotations: { seed } }))
  const [one, two, three] = images as [Image, Image, Image]

  function put({ client }: Started, repository: string, image: Image, reference: string): Promise<ClientResponse> {
    return client.request('PUT', `/v2/${repository}/manifests/${reference}`, {
      headers: { 'content-type': image.manifest.mediaType },
      body: image.manifest.bytes,
    })
  }

  it('hold for images, with the same words by both protocols', async () => {
    const { ecr, platform } = server()
    const repositoryName = 'quotas/images'
    await platform.createRepository(repositoryName)
    await push(server(), repositoryName, one, 'one')
    await push(server(), repositoryName, two, 'two')
    const text = `The repository with name '${repositoryName}' in registry with id '${registryId}' already has the maximum allowed number of images which is '2'`
    const putImage = (): Promise<unknown> =>
      ecr.putImage({ repositoryName, imageTag: 'three', imageManifest: three.manifest.bytes.toString(), imageManifestMediaType: three.manifest.mediaType })

    expect(refusalIn(await put(server(), repositoryName, three, 'three'))).toBe(`403 DENIED: ${text}`)
    const failure: unknown = await putImage().catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(LimitExceededException)
    expect(failure).toMatchObject({ message: text, $fault: 'client', $metadata: { httpStatusCode: 400, attempts: 1 } })
    // What is there may be pushed again and given tags; room that is made can be used.
    expect((await put(server(), repositoryName, two, 'also-two')).status).toBe(201)
    await ecr.batchDeleteImage({ repositoryName, imageIds: [{ imageDigest: one.manifest.digest }] })
    await putImage()
  })

  it('hold for tags of an image, with the same words by both protocols', async () => {
    const { ecr, platform } = server()
    const repositoryName = 'quotas/tags'
    await platform.createRepository(repositoryName)
    await push(server(), repositoryName, one, 'v1')
    expect((await put(server(), repositoryName, one, 'v2')).status).toBe(201)
    const text = `Adding tag 'v3' to an image in the repository with name '${repositoryName}' in registry with id '${registryId}' exceeds the maximum allowed number of tags per image which is '2'`

    expect(refusalIn(await put(server(), repositoryName, one, 'v3'))).toBe(`403 DENIED: ${text}`)
    expect(
      await refusalOf(ecr.putImage({ repositoryName, imageTag: 'v3', imageManifest: one.manifest.bytes.toString(), imageManifestMediaType: one.manifest.mediaType })),
    ).toBe(`LimitExceededException: ${text}`)
    expect((await put(server(), repositoryName, one, 'v2')).status).toBe(201)
  })

  it('hold for layers: their size by both protocols, their parts by UploadLayerPart', async () => {
    const { client, ecr, platform } = server()
    const repositoryName = 'quotas/layers'
    await platform.createRepository(repositoryName)
    const text = `The layer uploaded to the repository with name '${repositoryName}' in registry with id '${registryId}' exceeds the maximum allowed layer size which is '${mebibyte}' bytes`
    const bytes = randomContent(mebibyte + 1, 'too large')
    const begin = async (): Promise<string> => {
      const { headers } = await client.request('POST', `/v2/${repositoryName}/blobs/uploads/`)
      return headers.location ?? ''
    }

    expect(refusalIn(await client.request('PATCH', await begin(), { body: bytes }))).toBe(`403 DENIED: ${text}`)
    const streamed = { headers: { 'transfer-encoding': 'chunked' }, body: bytes }
    expect(refusalIn(await client.request('PATCH', await begin(), streamed))).toBe(`403 DENIED: ${text}`)
    expect(refusalIn(await client.request('PUT', withDigest(await begin(), digestOf(bytes)), { body: bytes }))).toBe(`403 DENIED: ${text}`)
    const fits = bytes.subarray(1)
    expect((await client.request('PUT', withDigest(await begin(), digestOf(fits)), { body: fits })).status).toBe(201)

    const part = async (uploadId: string | undefined, firstByte: number, layerPartBlob: Buffer): Promise<unknown> =>
      ecr.uploadLayerPart({ repositoryName, uploadId, partFirstByte: firstByte, partLastByte: firstByte + layerPartBlob.length - 1, layerPartBlob })
    const large = await ecr.initiateLayerUpload({ repositoryName })
    expect(await refusalOf(part(large.uploadId, 0, bytes))).toBe(`LimitExceededException: ${text}`)
    const { uploadId } = await ecr.initiateLayerUpload({ repositoryName })
    for (const n of [0, 1]) await part(uploadId, n, Buffer.from('x'))
    expect(await refusalOf(part(uploadId, 2, Buffer.from('x')))).toBe(
      `LimitExceededException: The layer upload with id '${uploadId}' already has the maximum allowed number of parts which is '2'`,
    )
  })

  it('hold for repositories', async () => {
    const { ecr } = server()
    const { repositories = [] } = await ecr.describeRepositories()
    for (let n = repositories.length; n < 6; n += 1) await ecr.createRepository({ repositoryName: `quotas/more-${n}` })

    const failure: unknown = await ecr.createRepository({ repositoryName: 'quotas/seventh' }).catch((error: unknown) => error)

    expect(failure).toBeInstanceOf(LimitExceededException)
    expect((failure as Error).message).toBe(
      `The registry with id '${registryId}' already has the maximum allowed number of repositories which is '6'`,
    )
    await ecr.deleteRepository({ repositoryName: 'quotas/more-5', force: true })
    await ecr.createRepository({ repositoryName: 'quotas/seventh' })
  })
})

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createAwsClient, type AwsAnswer, type AwsClient, type AwsRepository } from '../support/aws.ts'
import { buildImage, buildIndex, buildRandomImage, digestOf, pushImage, randomContent, type Image } from '../support/images.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

let stowage: Stowage
let aws: AwsClient
let dir: TempDir
let name: string
let names = 0

beforeAll(async () => {
  stowage = await startStowage()
  aws = createAwsClient(stowage)
  dir = createTempDir('aws-cli')
})

afterAll(async () => {
  dir?.remove()
  await stowage?.stop()
})

beforeEach(() => {
  names += 1
  name = `aws-cli/app-${names}`
})

async function createRepository(...options: string[]): Promise<AwsRepository> {
  return (await aws.json('ecr', 'create-repository', '--repository-name', name, ...options)).repository
}

async function push(image: Image, tag?: string): Promise<void> {
  await pushImage({ url: stowage.url, repository: name, auth: stowage.credentials }, image, tag)
}

function file(fileName: string, content: string | Buffer): string {
  const path = join(dir.path, fileName)
  writeFileSync(path, content)
  return path
}

/** `aws ecr <command> --repository-name <this test's> …` */
async function ecr(command: string, ...options: string[]): Promise<AwsAnswer> {
  return aws.json('ecr', command, '--repository-name', name, ...options)
}

async function ecrFailure(command: string, ...options: string[]): Promise<string> {
  return aws.failure('ecr', command, '--repository-name', name, ...options)
}

describe('authorization', () => {
  test('get-authorization-token gives docker credentials for this server, for twelve hours', async () => {
    const { authorizationData } = await aws.json('ecr', 'get-authorization-token')

    const [{ authorizationToken, expiresAt, proxyEndpoint }] = authorizationData
    const [user, password] = Buffer.from(authorizationToken, 'base64').toString().split(/:(.*)/s)
    expect(user).toBe('AWS')
    expect(proxyEndpoint).toBe(stowage.url)
    const hours = (timeOf(expiresAt) - Date.now()) / 3_600_000
    expect(hours).toBeGreaterThan(11.9)
    expect(hours).toBeLessThan(12.1)
    const ping = await fetch(`${stowage.url}/v2/`, { headers: { authorization: `Basic ${authorizationToken}` } })
    expect(ping.status).toBe(200)
    expect(await aws.text('ecr', 'get-login-password')).toMatch(/^\S{20,}$/)
    expect(password?.length).toBeGreaterThan(20)
  })

  test('a wrong secret and an unknown key are refused, without a hint which it was', async () => {
    const wrongSecret = createAwsClient(stowage, { AWS_SECRET_ACCESS_KEY: 'x'.repeat(40) })
    const unknownKey = createAwsClient(stowage, { AWS_ACCESS_KEY_ID: 'AKIA0000000000000000' })

    expect(await wrongSecret.failure('ecr', 'describe-repositories')).toContain('InvalidSignatureException')
    expect(await unknownKey.failure('ecr', 'describe-repositories')).toContain('UnrecognizedClientException')
  })

  test('sts get-caller-identity names the root of the account', async () => {
    const identity = await aws.json('sts', 'get-caller-identity')

    expect(identity.Account).toMatch(/^\d{12}$/)
    expect(identity).toMatchObject({ Arn: `arn:aws:iam::${identity.Account}:root`, UserId: identity.Account })
  })
})

describe('repositories', () => {
  test('create-repository answers the whole repository, and its ARN and URI can be used', async () => {
    const repository = await createRepository()

    expect(repository).toMatchObject({
      repositoryName: name,
      repositoryUri: `${stowage.registryHost}/${name}`,
      imageTagMutability: 'MUTABLE',
      imageScanningConfiguration: { scanOnPush: false },
      encryptionConfiguration: { encryptionType: 'AES256' },
    })
    expect(repository.registryId).toMatch(/^\d{12}$/)
    expect(repository.repositoryArn).toBe(`arn:aws:ecr:us-east-1:${repository.registryId}:repository/${name}`)
    expect(Math.abs(timeOf(repository.createdAt) - Date.now())).toBeLessThan(60_000)
    const described = await aws.json('ecr', 'describe-repositories', '--repository-names', name)
    expect(described.repositories).toEqual([repository])
  })

  test('a name is taken once, must follow the grammar and must exist to be used', async () => {
    const { registryId } = await createRepository()

    expect(await ecrFailure('create-repository')).toContain(
      `(RepositoryAlreadyExistsException) when calling the CreateRepository operation: The repository with name '${name}' already exists in the registry with id '${registryId}'`,
    )
    expect(await aws.failure('ecr', 'create-repository', '--repository-name', 'Not/Valid')).toContain(
      '(InvalidParameterException)',
    )
    expect(await aws.failure('ecr', 'describe-repositories', '--repository-names', 'no/such')).toContain(
      `(RepositoryNotFoundException) when calling the DescribeRepositories operation: The repository with name 'no/such' does not exist in the registry with id '${registryId}'`,
    )
  })

  test('describe-repositories gives page after page, each repository once', async () => {
    const created: string[] = []
    for (let index = 0; index < 5; index += 1) {
      name = `paging/repository-${index}`
      await createRepository()
      created.push(name)
    }

    const all = await aws.json('ecr', 'describe-repositories', '--page-size', '2')
    const first = await aws.json('ecr', 'describe-repositories', '--max-items', '3', '--page-size', '3')
    const rest = await aws.json('ecr', 'describe-repositories', '--starting-token', first.NextToken)

    const namesOf = (page: AwsAnswer): string[] => page.repositories.map((repository) => repository.repositoryName)
    expect(namesOf(all)).toEqual(expect.arrayContaining(created))
    expect(new Set(namesOf(all)).size).toBe(namesOf(all).length)
    expect([...namesOf(first), ...namesOf(rest)].toSorted()).toEqual(namesOf(all).toSorted())
    const one = await aws.json('ecr', 'describe-repositories', '--max-results', '1', '--no-paginate')
    expect(one.repositories).toHaveLength(1)
    expect(await aws.failure('ecr', 'describe-repositories', '--max-results', '1001', '--no-paginate')).toContain(
      'InvalidParameterException',
    )
  })

  test('delete-repository refuses one with images, unless forced', async () => {
    const { registryId } = await createRepository()
    await push(buildImage(), 'v1')

    expect(await ecrFailure('delete-repository')).toContain(
      `(RepositoryNotEmptyException) when calling the DeleteRepository operation: The repository with name '${name}' in registry with id '${registryId}' cannot be deleted because it still contains images`,
    )
    const { repository } = await ecr('delete-repository', '--force')
    expect(repository.repositoryName).toBe(name)
    expect(await aws.failure('ecr', 'describe-repositories', '--repository-names', name)).toContain(
      'RepositoryNotFoundException',
    )
    await createRepository()
    expect((await ecr('list-images')).imageIds).toEqual([])
    await ecr('delete-repository')
  })

  test('tag-resource, list-tags-for-resource and untag-resource keep a repository’s tags', async () => {
    const { repositoryArn } = await createRepository('--tags', 'Key=stage,Value=dev')
    await aws.json(
      ...['ecr', 'tag-resource', '--resource-arn', repositoryArn],
      ...['--tags', 'Key=team,Value=platform', 'Key=stage,Value=production'],
    )

    const before = await aws.json('ecr', 'list-tags-for-resource', '--resource-arn', repositoryArn)
    await aws.json('ecr', 'untag-resource', '--resource-arn', repositoryArn, '--tag-keys', 'team', 'absent')
    const after = await aws.json('ecr', 'list-tags-for-resource', '--resource-arn', repositoryArn)

    expect(before.tags).toHaveLength(2)
    expect(before.tags).toEqual(
      expect.arrayContaining([
        { Key: 'team', Value: 'platform' },
        { Key: 'stage', Value: 'production' },
      ]),
    )
    expect(after.tags).toEqual([{ Key: 'stage', Value: 'production' }])
    expect(
      await aws.failure('ecr', 'list-tags-for-resource', '--resource-arn', `${repositoryArn}-absent`),
    ).toContain('RepositoryNotFoundException')
  })

  test('describe-registry answers the account without replication', async () => {
    const registry = await aws.json('ecr', 'describe-registry')

    expect(registry.registryId).toMatch(/^\d{12}$/)
    expect(registry.replicationConfiguration).toEqual({ rules: [] })
  })
})

describe('tag mutability', () => {
  const filter = (pattern: string): string => `filterType=WILDCARD,filter=${pattern}`

  /** Whether a second push of this tag, with another image, is taken. */
  async function canBeMoved(tag: string): Promise<boolean> {
    await push(buildImage({ seed: `${name}/${tag}/1` }), tag)
    try {
      await push(buildImage({ seed: `${name}/${tag}/2` }), tag)
      return true
    } catch (error) {
      expect(String(error)).toContain(
        `The image tag '${tag}' already exists in the '${name}' repository and cannot be overwritten because the tag is immutable.`,
      )
      return false
    }
  }

  test.each([
    { mode: 'MUTABLE', filters: [], latest: true, release: true },
    { mode: 'IMMUTABLE', filters: [], latest: false, release: false },
    { mode: 'IMMUTABLE_WITH_EXCLUSION', filters: ['latest', 'dev-*'], latest: true, release: false },
    { mode: 'MUTABLE_WITH_EXCLUSION', filters: ['v*'], latest: true, release: false },
  ])('put-image-tag-mutability $mode $filters', async ({ mode, filters, latest, release }) => {
    await createRepository()
    const options = filters.length === 0 ? [] : ['--image-tag-mutability-exclusion-filters', ...filters.map(filter)]

    const answer = await ecr('put-image-tag-mutability', '--image-tag-mutability', mode, ...options)

    expect(answer).toMatchObject({ repositoryName: name, imageTagMutability: mode })
    const described = await aws.json('ecr', 'describe-repositories', '--repository-names', name)
    expect(described.repositories[0].imageTagMutability).toBe(mode)
    expect(described.repositories[0].imageTagMutabilityExclusionFilters ?? []).toEqual(
      filters.map((pattern) => ({ filterType: 'WILDCARD', filter: pattern })),
    )
    expect({ latest: await canBeMoved('latest'), release: await canBeMoved('v1.0.0') }).toEqual({ latest, release })
  })

  test('put-image does not overwrite an immutable tag either', async () => {
    await createRepository('--image-tag-mutability', 'IMMUTABLE')
    await push(buildImage({ seed: 'first' }), 'v1')
    const second = buildImage({ seed: 'second' })
    await push(second)

    const manifest = file('immutable.json', second.manifest.bytes)
    expect(await ecrFailure('put-image', '--image-tag', 'v1', '--image-manifest', `file://${manifest}`)).toContain(
      `(ImageTagAlreadyExistsException) when calling the PutImage operation: The image tag 'v1' already exists in the '${name}' repository and cannot be overwritten because the tag is immutable.`,
    )
  })

  test('exclusions need filters, and a mode must be one of the four', async () => {
    await createRepository()

    expect(await ecrFailure('put-image-tag-mutability', '--image-tag-mutability', 'IMMUTABLE_WITH_EXCLUSION')).toContain(
      'InvalidParameterException',
    )
    expect(await ecrFailure('put-image-tag-mutability', '--image-tag-mutability', 'SOMETIMES')).toContain(
      'Member must satisfy enum value set: [IMMUTABLE, MUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION]',
    )
  })
})

describe('images', () => {
  test('list-images and describe-images filter by tag status and give page after page', async () => {
    await createRepository()
    const tagged = ['a', 'b', 'c'].map((seed) => buildImage({ seed }))
    const untagged = buildImage({ seed: 'untagged' })
    for (const [index, image] of tagged.entries()) await push(image, `v${index}`)
    await push(untagged)

    const digests = (answer: AwsAnswer): string[] =>
      (answer.imageIds ?? answer.imageDetails).map((image) => image.imageDigest).toSorted()
    const expected = {
      ANY: [...tagged, untagged].map((image) => image.manifest.digest).toSorted(),
      TAGGED: tagged.map((image) => image.manifest.digest).toSorted(),
      UNTAGGED: [untagged.manifest.digest],
    }
    for (const [tagStatus, wanted] of Object.entries(expected)) {
      expect(digests(await ecr('list-images', '--filter', `tagStatus=${tagStatus}`, '--page-size', '2'))).toEqual(wanted)
      expect(digests(await ecr('describe-images', '--filter', `tagStatus=${tagStatus}`, '--page-size', '2'))).toEqual(wanted)
    }
    const first = await ecr('describe-images', '--max-items', '1', '--page-size', '1')
    const rest = await ecr('describe-images', '--starting-token', first.NextToken)
    expect([...digests(first), ...digests(rest)].toSorted()).toEqual(expected.ANY)
  })

  test('describe-images tells size, time, type and tags', async () => {
    await createRepository()
    const image = buildRandomImage([70_000, 30_000], 'described')
    await push(image, 'v1')
    await push(image, 'latest')

    const { imageDetails } = await ecr('describe-images', '--image-ids', 'imageTag=v1')

    expect(imageDetails).toHaveLength(1)
    expect(imageDetails[0]).toMatchObject({
      repositoryName: name,
      imageDigest: image.manifest.digest,
      imageSizeInBytes: image.blobs.reduce((sum, blob) => sum + blob.bytes.length, 0),
      imageManifestMediaType: image.manifest.mediaType,
      artifactMediaType: image.blobs[0]?.mediaType,
    })
    expect(imageDetails[0].imageTags.toSorted()).toEqual(['latest', 'v1'])
    expect(Math.abs(timeOf(imageDetails[0].imagePushedAt) - Date.now())).toBeLessThan(60_000)
    expect(await ecrFailure('describe-images', '--image-ids', 'imageTag=absent')).toContain(
      `The image with imageId {imageDigest:'null', imageTag:'absent'} does not exist within the repository with name '${name}' in the registry with id`,
    )
  })

  test('batch-get-image answers the manifest as it was pushed, and failures one by one', async () => {
    await createRepository()
    const image = buildImage({ seed: 'batch-get' })
    await push(image, 'v1')

    const { images, failures } = await ecr(
      'batch-get-image',
      ...['--image-ids', 'imageTag=v1', 'imageTag=absent', `imageDigest=sha256:${'0'.repeat(64)}`],
    )

    expect(images).toMatchObject([
      {
        repositoryName: name,
        imageId: { imageTag: 'v1', imageDigest: image.manifest.digest },
        imageManifest: image.manifest.bytes.toString(),
        imageManifestMediaType: image.manifest.mediaType,
      },
    ])
    expect(failures).toEqual([
      { imageId: { imageTag: 'absent' }, failureCode: 'ImageNotFound', failureReason: 'Requested image not found' },
      {
        imageId: { imageDigest: `sha256:${'0'.repeat(64)}` },
        failureCode: 'ImageNotFound',
        failureReason: 'Requested image not found',
      },
    ])
  })

  test('put-image adds a tag, and refuses what is there, what does not fit and what is incomplete', async () => {
    await createRepository()
    const image = buildImage({ seed: 'put-image' })
    await push(image, 'v1')
    const manifest = file('put-image.json', image.manifest.bytes)

    const put = await ecr('put-image', '--image-tag', 'v2', '--image-manifest', `file://${manifest}`)

    expect(put.image).toMatchObject({
      repositoryName: name,
      imageId: { imageTag: 'v2', imageDigest: image.manifest.digest },
      imageManifest: image.manifest.bytes.toString(),
    })
    expect(await ecrFailure('put-image', '--image-tag', 'v2', '--image-manifest', `file://${manifest}`)).toContain(
      `(ImageAlreadyExistsException) when calling the PutImage operation: Image with digest '${image.manifest.digest}' and tag 'v2' already exists in the repository with name '${name}' in registry with id`,
    )
    const otherDigest = ['--image-digest', `sha256:${'0'.repeat(64)}`]
    expect(
      await ecrFailure('put-image', '--image-tag', 'v3', '--image-manifest', `file://${manifest}`, ...otherDigest),
    ).toContain('ImageDigestDoesNotMatchException')
    const absentLayers = file('absent-layers.json', buildImage({ seed: 'never pushed' }).manifest.bytes)
    expect(await ecrFailure('put-image', '--image-tag', 'v3', '--image-manifest', `file://${absentLayers}`)).toContain(
      'LayersNotFoundException',
    )
    const absentChild = file('absent-child.json', buildIndex([buildImage({ seed: 'child' })]).manifest.bytes)
    expect(await ecrFailure('put-image', '--image-tag', 'v3', '--image-manifest', `file://${absentChild}`)).toContain(
      'ReferencedImagesNotFoundException',
    )
    expect(await ecrFailure('put-image', '--image-tag', 'v3', '--image-manifest', 'not a manifest')).toContain(
      'InvalidParameterException',
    )
  })

  test('batch-delete-image: a tag of several, the last tag, a digest with all its tags, and what is not there', async () => {
    await createRepository()
    const [first, second] = [buildImage({ seed: 'first' }), buildImage({ seed: 'second' })]
    for (const tag of ['one', 'two']) await push(first, tag)
    for (const tag of ['three', 'four']) await push(second, tag)

    const oneOfTwo = await ecr('batch-delete-image', '--image-ids', 'imageTag=one')
    expect(oneOfTwo).toMatchObject({ imageIds: [{ imageTag: 'one', imageDigest: first.manifest.digest }], failures: [] })
    expect((await ecr('describe-images')).imageDetails).toHaveLength(2)

    await ecr('batch-delete-image', '--image-ids', 'imageTag=two')
    expect((await ecr('list-images')).imageIds.map((image) => image.imageDigest)).toEqual([
      second.manifest.digest,
      second.manifest.digest,
    ])

    const byDigest = await ecr('batch-delete-image', '--image-ids', `imageDigest=${second.manifest.digest}`)
    expect(byDigest.imageIds.map((image) => image.imageTag).toSorted()).toEqual(['four', 'three'])
    expect((await ecr('list-images')).imageIds).toEqual([])

    const again = await ecr('batch-delete-image', '--image-ids', 'imageTag=three')
    expect(again.imageIds).toEqual([])
    expect(again.failures).toMatchObject([{ imageId: { imageTag: 'three' }, failureCode: 'ImageNotFound' }])
  })

  test('an image that an index needs is kept', async () => {
    await createRepository()
    const child = buildImage({ seed: 'needed' })
    const index = buildIndex([child])
    await push(index, 'multi')

    const { failures } = await ecr('batch-delete-image', '--image-ids', `imageDigest=${child.manifest.digest}`)

    expect(failures).toMatchObject([
      {
        failureCode: 'ImageReferencedByManifestList',
        failureReason: `Requested image referenced by manifest list: [${index.manifest.digest}]`,
      },
    ])
    const described = await ecr('describe-images', '--image-ids', 'imageTag=multi')
    expect(described.imageDetails[0].imageDigest).toBe(index.manifest.digest)
  })
})

describe('layers', () => {
  /** ECR's least size of a part that is not the last. */
  const partBytes = 5 * 1024 * 1024

  async function uploadPart(uploadId: string, firstByte: number, part: Buffer): Promise<AwsAnswer> {
    return ecr('upload-layer-part', ...partOptions(uploadId, firstByte, part))
  }

  function partOptions(uploadId: string, firstByte: number, part: Buffer): string[] {
    return [
      ...['--upload-id', uploadId, '--part-first-byte', String(firstByte)],
      ...['--part-last-byte', String(firstByte + part.length - 1)],
      ...['--layer-part-blob', `fileb://${file('part', part)}`],
    ]
  }

  test('a layer goes up in parts, is used by an image and comes down from its URL', async () => {
    await createRepository()
    const layer = randomContent(partBytes + 1234, 'layer in parts')
    const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } }))
    const layerDigest = digestOf(layer)

    const { uploadId, partSize } = await ecr('initiate-layer-upload')
    expect(uploadId).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    expect(partSize).toBeGreaterThanOrEqual(partBytes)
    const firstPart = await uploadPart(uploadId, 0, layer.subarray(0, partBytes))
    expect(firstPart).toMatchObject({ uploadId, lastByteReceived: partBytes - 1 })
    await uploadPart(uploadId, partBytes, layer.subarray(partBytes))
    const completed = await ecr('complete-layer-upload', '--upload-id', uploadId, '--layer-digests', layerDigest)
    expect(completed).toMatchObject({ repositoryName: name, uploadId, layerDigest })

    const configUpload = (await ecr('initiate-layer-upload')).uploadId
    await uploadPart(configUpload, 0, config)
    await ecr('complete-layer-upload', '--upload-id', configUpload, '--layer-digests', digestOf(config))
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(config), size: config.length },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layerDigest, size: layer.length }],
    })
    await ecr('put-image', '--image-tag', 'v1', '--image-manifest', `file://${file('manifest.json', manifest)}`)

    const { downloadUrl } = await ecr('get-download-url-for-layer', '--layer-digest', layerDigest)
    const target = join(dir.path, 'downloaded')
    await run(ensureTool('curl'), ['--silent', '--show-error', '--fail', '--location', '--output', target, downloadUrl])
    const { stdout } = await run('sha256sum', [target])
    expect(`sha256:${stdout.slice(0, 64)}`).toBe(layerDigest)
  })

  test('batch-check-layer-availability tells what is there', async () => {
    await createRepository()
    const image = buildImage({ seed: 'availability' })
    await push(image, 'v1')
    const [config, layer] = image.blobs
    const absent = `sha256:${'0'.repeat(64)}`

    const answer = await ecr(
      'batch-check-layer-availability',
      ...['--layer-digests', layer!.digest, config!.digest, absent, 'no-digest'],
    )

    expect(answer.layers).toHaveLength(3)
    expect(answer.layers).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ layerDigest: layer!.digest, layerAvailability: 'AVAILABLE', layerSize: layer!.bytes.length }),
        expect.objectContaining({ layerDigest: config!.digest, layerAvailability: 'AVAILABLE' }),
        expect.objectContaining({ layerDigest: absent, layerAvailability: 'UNAVAILABLE' }),
      ]),
    )
    expect(answer.failures).toMatchObject([{ layerDigest: 'no-digest', failureCode: 'InvalidLayerDigest' }])
  })

  test('an upload refuses gaps, other digests, no parts and unknown ids', async () => {
    await createRepository()
    const { uploadId } = await ecr('initiate-layer-upload')
    const absent = `sha256:${'0'.repeat(64)}`
    const part = Buffer.from('a small last part')

    expect(await ecrFailure('complete-layer-upload', '--upload-id', uploadId, '--layer-digests', absent)).toContain(
      'EmptyUploadException',
    )
    expect(await ecrFailure('upload-layer-part', ...partOptions(uploadId, 10, part))).toContain('InvalidLayerPartException')
    await uploadPart(uploadId, 0, part)
    expect(await ecrFailure('complete-layer-upload', '--upload-id', uploadId, '--layer-digests', absent)).toContain(
      'InvalidLayerException',
    )
    const unknown = '00000000-0000-4000-8000-000000000000'
    expect(await ecrFailure('upload-layer-part', ...partOptions(unknown, 0, part))).toContain('UploadNotFoundException')
  })

  test('a layer whose parts are too small, other than the last, is not completed', async () => {
    await createRepository()
    const { uploadId } = await ecr('initiate-layer-upload')
    const layer = randomContent(2000, 'two small parts')
    await uploadPart(uploadId, 0, layer.subarray(0, 1000))
    await uploadPart(uploadId, 1000, layer.subarray(1000))

    expect(
      await ecrFailure('complete-layer-upload', '--upload-id', uploadId, '--layer-digests', digestOf(layer)),
    ).toContain('LayerPartTooSmallException')
  })

  test('a layer that no image uses has no URL', async () => {
    await createRepository()
    const { uploadId } = await ecr('initiate-layer-upload')
    const layer = Buffer.from('of no image')
    await uploadPart(uploadId, 0, layer)
    await ecr('complete-layer-upload', '--upload-id', uploadId, '--layer-digests', digestOf(layer))

    expect(await ecrFailure('get-download-url-for-layer', '--layer-digest', digestOf(layer))).toContain(
      'LayerInaccessibleException',
    )
    expect(await ecrFailure('get-download-url-for-layer', '--layer-digest', `sha256:${'0'.repeat(64)}`)).toContain(
      'LayersNotFoundException',
    )
  })
})

test('a service that is not there says so in words', async () => {
  const failure = await aws.failure('s3', 'ls')

  expect(failure).toMatch(/An error occurred \(\w+\) when calling the ListBuckets operation/)
  expect(failure).toMatch(/s3/i)
  expect(failure).toMatch(/not (supported|implemented|available|offered|known)|does not|unknown|no such/i)
})

/** Depending on its version, the aws command prints a time as seconds or as ISO 8601. */
function timeOf(printed: number | string): number {
  return typeof printed === 'number' ? printed * 1000 : Date.parse(printed)
}

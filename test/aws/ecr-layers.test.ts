import { GetDownloadUrlForLayerCommand } from '@aws-sdk/client-ecr'
import { describe, expect, it, onTestFinished } from 'vitest'
import { buildImage, digestOf, pushImage, randomContent } from '../support/images.ts'
import { startTestPlatform } from '../support/platform.ts'
import { absentRepository, broken, defaultAccountId, failureOf, onEveryDatabase, refusalOf } from './ecr-under-test.ts'

const leastPartBytes = 5 * 1024 * 1024
const absentDigest = `sha256:${'0'.repeat(64)}`
const unknownUpload = '00000000-0000-4000-8000-000000000000'

onEveryDatabase((server) => {
  async function begin(repositoryName: string): Promise<string> {
    const { uploadId } = await server().ecr.initiateLayerUpload({ repositoryName })
    return uploadId ?? ''
  }

  function uploadPart(repositoryName: string, uploadId: string, partFirstByte: number, part: Uint8Array, lastByte?: number) {
    return server().ecr.uploadLayerPart({
      repositoryName,
      uploadId,
      partFirstByte,
      partLastByte: lastByte ?? partFirstByte + part.length - 1,
      layerPartBlob: part,
    })
  }

  function complete(repositoryName: string, uploadId: string, ...layerDigests: string[]) {
    return server().ecr.completeLayerUpload({ repositoryName, uploadId, layerDigests })
  }

  describe('an upload by parts', () => {
    it('becomes a layer that an image can use and a URL gives back', async () => {
      const { ecr, newRepository, pushLayer } = server()
      const repositoryName = await newRepository()
      const layer = randomContent(2 * leastPartBytes + 1234, 'layer in parts')
      const layerDigest = digestOf(layer)

      const begun = await ecr.initiateLayerUpload({ repositoryName })
      const uploadId = begun.uploadId ?? ''
      expect(uploadId).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
      expect(begun.partSize).toBe(10 * 1024 * 1024)
      for (let first = 0; first < layer.length; first += leastPartBytes) {
        const part = layer.subarray(first, first + leastPartBytes)
        expect(await uploadPart(repositoryName, uploadId, first, part)).toMatchObject({
          registryId: defaultAccountId,
          repositoryName,
          uploadId,
          lastByteReceived: first + part.length - 1,
        })
      }
      const completed = await complete(repositoryName, uploadId, layerDigest)

      expect(completed).toMatchObject({ registryId: defaultAccountId, repositoryName, uploadId, layerDigest })
      const config = Buffer.from('{"architecture":"amd64","os":"linux"}')
      await pushLayer(repositoryName, config, digestOf(config))
      await ecr.putImage({
        repositoryName,
        imageTag: 'v1',
        imageManifest: JSON.stringify({
          schemaVersion: 2,
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(config), size: config.length },
          layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layerDigest, size: layer.length }],
        }),
      })
      const link = await ecr.getDownloadUrlForLayer({ repositoryName, layerDigest })
      const answer = await fetch(link.downloadUrl ?? '')
      expect(answer.status).toBe(200)
      expect(digestOf(Buffer.from(await answer.arrayBuffer()))).toBe(layerDigest)
    })

    it('takes the largest part there may be', async () => {
      const { newRepository } = server()
      const repositoryName = await newRepository()
      const part = randomContent(20_971_520, 'largest part')
      const uploadId = await begin(repositoryName)

      await uploadPart(repositoryName, uploadId, 0, part)

      expect(await refusalOf(uploadPart(repositoryName, uploadId, part.length, Buffer.alloc(20_971_521)))).toBe(
        broken('layerPartBlob', 'Member must have length less than or equal to 20971520'),
      )
      await complete(repositoryName, uploadId, digestOf(part))
    })

    it('tells where to go on when a part leaves a gap, repeats bytes or is not as long as it says', async () => {
      const { newRepository } = server()
      const repositoryName = await newRepository()
      const uploadId = await begin(repositoryName)
      const part = Buffer.from('part')
      const refusal = async (firstByte: number, lastByte?: number): Promise<unknown> => {
        const { name, status, error } = await failureOf(uploadPart(repositoryName, uploadId, firstByte, part, lastByte))
        expect([name, status]).toEqual(['InvalidLayerPartException', 400])
        return { ...error, $metadata: undefined, $response: undefined, $service: undefined }
      }
      const lastValid = (lastValidByteReceived: number): unknown =>
        expect.objectContaining({ registryId: defaultAccountId, repositoryName, uploadId, lastValidByteReceived })

      expect(await refusal(1)).toEqual(lastValid(-1))
      expect(await refusal(0, 4)).toEqual(lastValid(-1))
      await uploadPart(repositoryName, uploadId, 0, part)
      expect(await refusal(0)).toEqual(lastValid(3))
      expect(await refusal(5)).toEqual(lastValid(3))
      expect(await refusal(4, 6)).toEqual(lastValid(3))
      const empty = await failureOf(uploadPart(repositoryName, uploadId, 4, Buffer.alloc(0), 3))
      expect(empty.name).toBe('InvalidLayerPartException')
      await complete(repositoryName, uploadId, digestOf(part))
    })

    it('lets one of two writers of the same part win', async () => {
      const { newRepository } = server()
      const repositoryName = await newRepository()
      const uploadId = await begin(repositoryName)
      const part = randomContent(leastPartBytes, 'raced')

      const attempts = await Promise.allSettled(Array.from({ length: 4 }, () => uploadPart(repositoryName, uploadId, 0, part)))

      const refusals = attempts.flatMap((attempt) => (attempt.status === 'rejected' ? [attempt.reason.name] : []))
      expect(refusals).toEqual(Array(refusals.length).fill('InvalidLayerPartException'))
      expect(refusals.length).toBeLessThan(4)
      await complete(repositoryName, uploadId, digestOf(part))
    })

    it('needs parts of 5 MiB, but for the last', async () => {
      const { newRepository } = server()
      const repositoryName = await newRepository()
      const uploadId = await begin(repositoryName)
      const [short, last] = [Buffer.alloc(leastPartBytes - 1), Buffer.from('last')]
      await uploadPart(repositoryName, uploadId, 0, short)
      await uploadPart(repositoryName, uploadId, short.length, last)

      expect(await refusalOf(complete(repositoryName, uploadId, digestOf(Buffer.concat([short, last]))))).toMatch(
        /^LayerPartTooSmallException: /,
      )
    })

    it('needs a part at all', async () => {
      const { newRepository } = server()
      const repositoryName = await newRepository()

      expect(await refusalOf(complete(repositoryName, await begin(repositoryName), digestOf(Buffer.alloc(0))))).toMatch(
        /^EmptyUploadException: /,
      )
    })

    it('must have the digest that it is completed with', async () => {
      const { newRepository } = server()
      const repositoryName = await newRepository()
      const part = Buffer.from('not what was said')
      const completedAs = async (...digests: string[]): Promise<string> => {
        const uploadId = await begin(repositoryName)
        await uploadPart(repositoryName, uploadId, 0, part)
        return refusalOf(complete(repositoryName, uploadId, ...digests))
      }

      expect(await completedAs(absentDigest)).toMatch(/^InvalidLayerException: /)
      expect(await completedAs('md5:d41d8cd98f00b204e9800998ecf8427e')).toMatch(/^InvalidLayerException: /)
      expect(await completedAs(digestOf(part), absentDigest)).toMatch(/^InvalidParameterException: /)
      const uploadId = await begin(repositoryName)
      await uploadPart(repositoryName, uploadId, 0, part)
      await complete(repositoryName, uploadId, digestOf(part), digestOf(part))
    })

    it('may have a sha512 digest', async () => {
      const { ecr, newRepository, pushLayer } = server()
      const repositoryName = await newRepository()
      const layer = Buffer.from('by sha512')
      const digest = digestOf(layer, 'sha512')

      await pushLayer(repositoryName, layer, digest)

      const { layers } = await ecr.batchCheckLayerAvailability({ repositoryName, layerDigests: [digest] })
      expect(layers).toMatchObject([{ layerDigest: digest, layerAvailability: 'AVAILABLE' }])
    })

    it('is refused for a layer that the repository has; one of another repository is no obstacle', async () => {
      const { newRepository, pushLayer } = server()
      const [repositoryName, otherName] = [await newRepository(), await newRepository()]
      const layer = Buffer.from('twice')
      const digest = digestOf(layer)
      await pushLayer(repositoryName, layer, digest)

      expect(await refusalOf(pushLayer(repositoryName, layer, digest))).toBe(
        `LayerAlreadyExistsException: Layer with digest '${digest}' already exists in the repository with name '${repositoryName}'`,
      )
      await pushLayer(otherName, layer, digest)
    })

    it('is known in its own repository only, and once', async () => {
      const { newRepository } = server()
      const [repositoryName, otherName] = [await newRepository(), await newRepository()]
      const uploadId = await begin(repositoryName)
      const part = Buffer.from('mine')
      const notFound = (name: string, id: string): string =>
        `UploadNotFoundException: Upload with id '${id}' does not exist in the repository with name '${name}' in the registry with id '${defaultAccountId}'`

      expect(await refusalOf(uploadPart(otherName, uploadId, 0, part))).toBe(notFound(otherName, uploadId))
      expect(await refusalOf(uploadPart(repositoryName, unknownUpload, 0, part))).toBe(notFound(repositoryName, unknownUpload))
      expect(await refusalOf(uploadPart(repositoryName, unknownUpload, 0, part, 9))).toBe(notFound(repositoryName, unknownUpload))
      expect(await refusalOf(complete(repositoryName, unknownUpload, absentDigest))).toBe(notFound(repositoryName, unknownUpload))
      await uploadPart(repositoryName, uploadId, 0, part)
      await complete(repositoryName, uploadId, digestOf(part))
      expect(await refusalOf(complete(repositoryName, uploadId, digestOf(part)))).toBe(notFound(repositoryName, uploadId))
      expect(await refusalOf(uploadPart(repositoryName, uploadId, 4, part))).toBe(notFound(repositoryName, uploadId))
    })
  })

  describe('BatchCheckLayerAvailability', () => {
    it('tells what is there, and what is no digest', async () => {
      const { ecr, newRepository, pushLayer } = server()
      const [repositoryName, otherName] = [await newRepository(), await newRepository()]
      const [mine, other] = [Buffer.from('my layer'), Buffer.from('layer of another repository')]
      await pushLayer(repositoryName, mine, digestOf(mine))
      await pushLayer(otherName, other, digestOf(other))

      const { layers, failures } = await ecr.batchCheckLayerAvailability({
        repositoryName,
        layerDigests: [digestOf(mine), digestOf(other), absentDigest, 'sha256:abc', 'no digest', ''],
      })

      expect(layers).toEqual([
        { layerDigest: digestOf(mine), layerAvailability: 'AVAILABLE', layerSize: mine.length },
        { layerDigest: digestOf(other), layerAvailability: 'UNAVAILABLE' },
        { layerDigest: absentDigest, layerAvailability: 'UNAVAILABLE' },
        { layerDigest: 'sha256:abc', layerAvailability: 'UNAVAILABLE' },
      ])
      expect(failures).toEqual([
        {
          layerDigest: 'no digest',
          failureCode: 'InvalidLayerDigest',
          failureReason:
            "Invalid request parameters: layer digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
        },
        {
          layerDigest: '',
          failureCode: 'MissingLayerDigest',
          failureReason: 'Invalid request parameters: layer digest cannot be null',
        },
      ])
    })
  })

  describe('GetDownloadUrlForLayer', () => {
    it('gives a link that needs no credentials, with ranges, for this layer only', async () => {
      const { ecr, newRepository, pushImage, platform } = server()
      const repositoryName = await newRepository()
      const image = buildImage({ seed: 'linked' })
      await pushImage(repositoryName, image, 'v1')
      const [config, layer] = image.blobs

      const { downloadUrl = '', layerDigest } = await ecr.getDownloadUrlForLayer({ repositoryName, layerDigest: layer?.digest })

      expect(layerDigest).toBe(layer?.digest)
      expect(downloadUrl.startsWith(`${platform.url}/_stowage/layers/`)).toBe(true)
      const whole = await fetch(downloadUrl)
      expect(Buffer.from(await whole.arrayBuffer())).toEqual(layer?.bytes)
      const range = await fetch(downloadUrl, { headers: { range: 'bytes=1-3' } })
      expect([range.status, Buffer.from(await range.arrayBuffer())]).toEqual([206, layer?.bytes.subarray(1, 4)])
      expect((await fetch(`${downloadUrl}x`)).status).toBeGreaterThanOrEqual(400)
      expect((await ecr.getDownloadUrlForLayer({ repositoryName, layerDigest: config?.digest })).downloadUrl).not.toBe(downloadUrl)
    })

    it('gives a link that ends with the image', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      const image = buildImage({ seed: 'deleted under its link' })
      await pushImage(repositoryName, image, 'v1')
      const { downloadUrl = '' } = await ecr.getDownloadUrlForLayer({ repositoryName, layerDigest: image.blobs[1]?.digest })

      await ecr.batchDeleteImage({ repositoryName, imageIds: [{ imageTag: 'v1' }] })

      expect((await fetch(downloadUrl)).status).toBe(404)
    })

    it('gives none for a layer that no image uses, and none for what is not there', async () => {
      const { ecr, newRepository, pushLayer } = server()
      const repositoryName = await newRepository()
      const layer = Buffer.from('of no image')
      await pushLayer(repositoryName, layer, digestOf(layer))
      const ask = (layerDigest: string): Promise<string> => refusalOf(ecr.getDownloadUrlForLayer({ repositoryName, layerDigest }))

      expect(await ask(digestOf(layer))).toMatch(/^LayerInaccessibleException: /)
      expect(await ask(absentDigest)).toMatch(/^LayersNotFoundException: /)
      expect(await ask('sha256:abc')).toMatch(/^LayersNotFoundException: /)
      expect(await ask('nonsense')).toBe(
        broken('layerDigest', "must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"),
      )
    })
  })

  it('every call on layers names a repository that is not there', async () => {
    const { ecr } = server()
    const repositoryName = 'no/such'
    const absent = absentRepository(repositoryName)

    expect(await refusalOf(ecr.initiateLayerUpload({ repositoryName }))).toBe(absent)
    expect(await refusalOf(uploadPart(repositoryName, unknownUpload, 0, Buffer.from('part')))).toBe(absent)
    expect(await refusalOf(uploadPart(repositoryName, unknownUpload, 0, Buffer.from('part'), 7))).toBe(absent)
    expect(await refusalOf(complete(repositoryName, unknownUpload, absentDigest))).toBe(absent)
    for (const digest of [absentDigest, 'nonsense']) {
      expect(await refusalOf(ecr.batchCheckLayerAvailability({ repositoryName, layerDigests: [digest] }))).toBe(absent)
    }
    expect(await refusalOf(ecr.getDownloadUrlForLayer({ repositoryName, layerDigest: absentDigest }))).toBe(absent)
  })
})

it('a download link is good for an hour', async () => {
  let aheadMs = 0
  const clock = { now: () => Date.now() + aheadMs }
  const platform = await startTestPlatform({ database: 'sqlite', clock })
  onTestFinished(() => platform.stop())
  const { ecr, url, credentials } = platform
  const repositoryName = 'team/app'
  await platform.createRepository(repositoryName)
  const image = buildImage()
  const auth = { username: credentials.accessKeyId, password: credentials.secretAccessKey }
  await pushImage({ url, repository: repositoryName, auth }, image, 'v1')
  const ask = new GetDownloadUrlForLayerCommand({ repositoryName, layerDigest: image.blobs[1]?.digest })
  const { downloadUrl = '' } = await ecr.send(ask)

  aheadMs = 59 * 60 * 1000
  expect((await fetch(downloadUrl)).status).toBe(200)
  aheadMs = 61 * 60 * 1000
  expect((await fetch(downloadUrl)).status).toBeGreaterThanOrEqual(400)
})

import type { DescribeImagesResponse } from '@aws-sdk/client-ecr'
import { describe, expect, it } from 'vitest'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildArtifact, buildImage, buildIndex, buildRandomImage, digestOf, type Image } from '../support/images.ts'
import { absentRepository, broken, defaultAccountId, failureOf, onEveryDatabase, refusalOf } from './ecr-under-test.ts'

const absentDigest = `sha256:${'0'.repeat(64)}`

function textOf(image: Image): string {
  return image.manifest.bytes.toString()
}

onEveryDatabase((server) => {
  /** A repository holding everything an image needs, and the image itself only if it is given a tag. */
  async function repositoryWithLayersOf(image: Image, settings = {}): Promise<string> {
    const { newRepository, pushLayer } = server()
    const repositoryName = await newRepository(settings)
    for (const { bytes, digest } of image.blobs) await pushLayer(repositoryName, bytes, digest)
    return repositoryName
  }

  describe('PutImage', () => {
    it('stores the very bytes, and answers the image', async () => {
      const { ecr } = server()
      const image = buildImage({ seed: 'put' })
      const repositoryName = await repositoryWithLayersOf(image)

      const answer = await ecr.putImage({ repositoryName, imageTag: 'v1', imageManifest: textOf(image) })

      const stored = {
        registryId: defaultAccountId,
        repositoryName,
        imageId: { imageDigest: image.manifest.digest, imageTag: 'v1' },
        imageManifest: textOf(image),
        imageManifestMediaType: image.manifest.mediaType,
      }
      expect(answer.image).toEqual(stored)
      const { images, failures } = await ecr.batchGetImage({ repositoryName, imageIds: [{ imageTag: 'v1' }] })
      expect(images).toEqual([stored])
      expect(failures).toEqual([])
    })

    it('keeps the bytes of a manifest with text beyond ASCII', async () => {
      const { ecr } = server()
      const image = buildImage({ seed: 'unicode', annotations: { 'org.example.title': 'Größe 🐳 "quoted" \\ line\nend' } })
      const repositoryName = await repositoryWithLayersOf(image)

      const answer = await ecr.putImage({ repositoryName, imageTag: 'v1', imageManifest: textOf(image) })

      expect(answer.image?.imageId?.imageDigest).toBe(image.manifest.digest)
      const { images } = await ecr.batchGetImage({ repositoryName, imageIds: [{ imageTag: 'v1' }] })
      expect(digestOf(Buffer.from(images?.[0]?.imageManifest ?? ''))).toBe(image.manifest.digest)
    })

    it('takes an image without a tag, and gives it further ones', async () => {
      const { ecr } = server()
      const image = buildImage({ seed: 'untagged' })
      const repositoryName = await repositoryWithLayersOf(image)
      const imageManifest = textOf(image)

      const untagged = await ecr.putImage({ repositoryName, imageManifest })
      await ecr.putImage({ repositoryName, imageManifest, imageTag: 'b' })
      await ecr.putImage({ repositoryName, imageManifest, imageTag: 'a', imageDigest: image.manifest.digest })

      expect(untagged.image?.imageId).toEqual({ imageDigest: image.manifest.digest })
      const { imageDetails } = await ecr.describeImages({ repositoryName })
      expect(imageDetails?.map(({ imageTags }) => imageTags)).toEqual([['a', 'b']])
    })

    it('refuses what is there exactly so', async () => {
      const { ecr } = server()
      const image = buildImage({ seed: 'repeated' })
      const repositoryName = await repositoryWithLayersOf(image, { imageTagMutability: 'IMMUTABLE' })
      const imageManifest = textOf(image)
      const repeated = (tag: string): string =>
        `ImageAlreadyExistsException: Image with digest '${image.manifest.digest}' and tag '${tag}' already exists in the repository with name '${repositoryName}' in registry with id '${defaultAccountId}'`

      await ecr.putImage({ repositoryName, imageManifest, imageTag: 'v1' })

      expect(await refusalOf(ecr.putImage({ repositoryName, imageManifest, imageTag: 'v1' }))).toBe(repeated('v1'))
      expect(await refusalOf(ecr.putImage({ repositoryName, imageManifest }))).toBe(repeated('null'))
    })

    it('moves a tag', async () => {
      const { ecr, pushLayer } = server()
      const [first, second] = [buildImage({ seed: 'first' }), buildImage({ seed: 'second' })]
      const repositoryName = await repositoryWithLayersOf(first)
      for (const { bytes, digest } of second.blobs) await pushLayer(repositoryName, bytes, digest)
      for (const image of [first, second]) await ecr.putImage({ repositoryName, imageManifest: textOf(image), imageTag: 'latest' })

      const { imageIds } = await ecr.listImages({ repositoryName })

      expect(imageIds).toEqual([
        { imageDigest: first.manifest.digest },
        { imageDigest: second.manifest.digest, imageTag: 'latest' },
      ])
    })

    it('needs a media type in the manifest or beside it', async () => {
      const { ecr } = server()
      const image = buildImage({ seed: 'typeless' })
      const repositoryName = await repositoryWithLayersOf(image)
      const { mediaType, ...rest } = JSON.parse(textOf(image)) as Record<string, unknown>
      const imageManifest = JSON.stringify(rest)
      const missing = 'InvalidParameterException: image manifest mediatype not provided in manifest or parameter'

      expect(await refusalOf(ecr.putImage({ repositoryName, imageManifest }))).toBe(missing)
      expect(await refusalOf(ecr.putImage({ repositoryName, imageManifest, imageManifestMediaType: '' }))).toBe(missing)
      const put = await ecr.putImage({ repositoryName, imageManifest, imageManifestMediaType: String(mediaType) })
      expect(put.image?.imageManifestMediaType).toBe(mediaType)
      expect(
        await refusalOf(
          ecr.putImage({
            repositoryName,
            imageManifest: textOf(image),
            imageManifestMediaType: 'application/vnd.oci.image.index.v1+json',
          }),
        ),
      ).toMatch(/^InvalidParameterException: The manifest is invalid/)
    })

    it('refuses another digest than the manifest has', async () => {
      const { ecr } = server()
      const image = buildImage({ seed: 'mismatch' })
      const repositoryName = await repositoryWithLayersOf(image)
      const put = (imageDigest: string): Promise<string> =>
        refusalOf(ecr.putImage({ repositoryName, imageManifest: textOf(image), imageDigest }))

      expect(await put(absentDigest)).toMatch(/^ImageDigestDoesNotMatchException: /)
      expect(await put('md5:00')).toMatch(/^ImageDigestDoesNotMatchException: /)
      expect((await ecr.listImages({ repositoryName })).imageIds).toEqual([])
    })

    it('refuses an image whose layers are not there, also when another repository has them', async () => {
      const { ecr, newRepository } = server()
      const image = buildImage({ seed: 'no layers' })
      await repositoryWithLayersOf(image)
      const repositoryName = await newRepository()

      const refusal = await refusalOf(ecr.putImage({ repositoryName, imageManifest: textOf(image), imageTag: 'v1' }))

      expect(refusal).toMatch(/^LayersNotFoundException: Layers with digests '\[.*\]' required for pushing image into repository/)
      for (const { digest } of image.blobs) expect(refusal).toContain(digest)
    })

    it('refuses an index whose images are not there, and takes it once they are', async () => {
      const { ecr, pushImage } = server()
      const child = buildImage({ seed: 'child of index' })
      const index = buildIndex([child])
      const repositoryName = await repositoryWithLayersOf(child)
      const put = (): Promise<unknown> => ecr.putImage({ repositoryName, imageManifest: textOf(index), imageTag: 'multi' })

      expect(await refusalOf(put())).toMatch(
        new RegExp(`^ReferencedImagesNotFoundException: Images with digests '\\[${child.manifest.digest}\\]' required`),
      )
      await pushImage(repositoryName, child)
      await put()
    })

    it.each(['{', 'not json', ''])('refuses %j as a manifest', async (imageManifest) => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      const refusal = await refusalOf(ecr.putImage({ repositoryName, imageManifest, imageTag: 'v1' }))
      expect(refusal).toBe(
        imageManifest === ''
          ? broken('imageManifest', 'Member must have length greater than or equal to 1')
          : broken('ImageManifest', 'Invalid JSON syntax'),
      )
    })

    it('refuses JSON that is no manifest', async () => {
      const { ecr, newRepository } = server()
      const repositoryName = await newRepository()
      const imageManifestMediaType = 'application/vnd.oci.image.manifest.v1+json'
      for (const imageManifest of ['[]', '1', 'null', '{}', '{"schemaVersion":2,"schemaVersion":2}', '['.repeat(1e6) + ']'.repeat(1e6)]) {
        expect(await refusalOf(ecr.putImage({ repositoryName, imageManifest, imageManifestMediaType }))).toMatch(
          /^InvalidParameterException: The manifest is invalid/,
        )
      }
    })

    it('takes a manifest of nearly 4 MiB, and no larger one', async () => {
      const { ecr } = server()
      const limitBytes = 4 * 1024 * 1024
      const sized = (filler: number): Image => buildImage({ seed: 'huge', annotations: { filler: '"'.repeat(filler / 2) } })
      const image = sized(limitBytes - 2000)
      const repositoryName = await repositoryWithLayersOf(image)

      await ecr.putImage({ repositoryName, imageManifest: textOf(image), imageTag: 'huge' })

      const { images } = await ecr.batchGetImage({ repositoryName, imageIds: [{ imageTag: 'huge' }] })
      expect(images?.[0]?.imageManifest).toBe(textOf(image))
      expect(await refusalOf(ecr.putImage({ repositoryName, imageManifest: textOf(sized(limitBytes)) }))).toBe(
        broken('imageManifest', 'Member must have length less than or equal to 4194304'),
      )
      const wide = buildImage({ seed: 'huge', annotations: { filler: 'ä'.repeat(limitBytes / 2) } })
      expect(await refusalOf(ecr.putImage({ repositoryName, imageManifest: textOf(wide) }))).toMatch(/^InvalidParameterException: /)
    })
  })

  describe('BatchGetImage', () => {
    it('answers what it finds, and a failure for everything else', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      const [image, other] = [buildImage({ seed: 'got' }), buildImage({ seed: 'other' })]
      await pushImage(repositoryName, image, 'v1')
      await pushImage(repositoryName, other, 'v2')
      const { digest } = image.manifest
      const notFound = { failureCode: 'ImageNotFound', failureReason: 'Requested image not found' }

      const { images, failures } = await ecr.batchGetImage({
        repositoryName,
        imageIds: [
          { imageTag: 'v1' },
          { imageDigest: digest },
          { imageTag: 'v1', imageDigest: digest },
          { imageTag: 'v2', imageDigest: digest },
          { imageTag: 'absent' },
          { imageDigest: absentDigest },
          { imageTag: 'absent', imageDigest: digest },
          { imageDigest: 'sha256:abc' },
          { imageDigest: 'nonsense' },
          { imageTag: 'not a tag' },
          {},
        ],
        acceptedMediaTypes: ['application/vnd.docker.distribution.manifest.v1+json'],
      })

      expect(images?.map(({ imageId }) => imageId)).toEqual([
        { imageTag: 'v1', imageDigest: digest },
        { imageDigest: digest },
        { imageTag: 'v1', imageDigest: digest },
      ])
      expect(new Set(images?.map(({ imageManifest }) => imageManifest))).toEqual(new Set([textOf(image)]))
      expect(new Set(images?.map((each) => each.imageManifestMediaType))).toEqual(new Set([image.manifest.mediaType]))
      expect(failures).toEqual([
        {
          imageId: { imageTag: 'v2', imageDigest: digest },
          failureCode: 'ImageTagDoesNotMatchDigest',
          failureReason: 'Requested image tag does not match the requested image digest',
        },
        { imageId: { imageTag: 'absent' }, ...notFound },
        { imageId: { imageDigest: absentDigest }, ...notFound },
        { imageId: { imageTag: 'absent', imageDigest: digest }, ...notFound },
        { imageId: { imageDigest: 'sha256:abc' }, ...notFound },
        {
          imageId: { imageDigest: 'nonsense' },
          failureCode: 'InvalidImageDigest',
          failureReason:
            "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
        },
        {
          imageId: { imageTag: 'not a tag' },
          failureCode: 'InvalidImageTag',
          failureReason:
            "Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'",
        },
        {
          imageId: {},
          failureCode: 'MissingDigestAndTag',
          failureReason: 'Invalid request parameters: both tag and digest cannot be null',
        },
      ])
    })

    it('answers an index as it was pushed', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      const index = buildIndex([buildImage({ seed: 'one' }), buildImage({ seed: 'two' })], 'docker')
      await pushImage(repositoryName, index, 'multi')

      const { images } = await ecr.batchGetImage({ repositoryName, imageIds: [{ imageTag: 'multi' }] })

      expect(images).toMatchObject([{ imageManifest: textOf(index), imageManifestMediaType: index.manifest.mediaType }])
    })

    it('does not answer bytes that are no text', async () => {
      const { ecr, newRepository, platform } = server()
      const repositoryName = await newRepository()
      const { accessKeyId: username, secretAccessKey: password } = platform.credentials
      const client = createDistributionClient(platform.url, { username, password })
      const put = await client.request('PUT', `/v2/${repositoryName}/manifests/binary`, {
        body: Buffer.of(0xff, 0xfe, 0x00),
        headers: { 'content-type': 'application/vnd.example.binary' },
      })
      client.close()
      expect(put.status).toBe(201)

      const { images, failures } = await ecr.batchGetImage({ repositoryName, imageIds: [{ imageTag: 'binary' }] })

      expect(images).toEqual([])
      expect(failures).toMatchObject([{ imageId: { imageTag: 'binary' }, failureCode: 'ImageInaccessible' }])
    })

    it('fails as a whole for an unknown repository, whatever is asked', async () => {
      const { ecr } = server()

      for (const imageIds of [[{ imageTag: 'v1' }], [{}], [{ imageDigest: 'nonsense' }]]) {
        expect(await refusalOf(ecr.batchGetImage({ repositoryName: 'no/such', imageIds }))).toBe(absentRepository('no/such'))
        expect(await refusalOf(ecr.batchDeleteImage({ repositoryName: 'no/such', imageIds }))).toBe(absentRepository('no/such'))
      }
    })

    it('refuses more manifests than one answer should hold', async () => {
      const { ecr } = server()
      const image = buildImage({ seed: 'many huge', annotations: { filler: 'x'.repeat(3_900_000) } })
      const repositoryName = await repositoryWithLayersOf(image)
      await ecr.putImage({ repositoryName, imageManifest: textOf(image), imageTag: 'huge' })
      const ask = (times: number): Promise<unknown> =>
        ecr.batchGetImage({ repositoryName, imageIds: Array.from({ length: times }, () => ({ imageTag: 'huge' })) })

      await ask(4)
      expect(await refusalOf(ask(5))).toMatch(/^LimitExceededException: /)
    })
  })

  describe('BatchDeleteImage', () => {
    it('takes a tag, and the image with its last tag', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      const image = buildImage({ seed: 'two tags' })
      for (const tag of ['one', 'two']) await pushImage(repositoryName, image, tag)
      const imageDigest = image.manifest.digest

      const first = await ecr.batchDeleteImage({ repositoryName, imageIds: [{ imageTag: 'one' }] })
      const kept = await ecr.listImages({ repositoryName })
      const second = await ecr.batchDeleteImage({ repositoryName, imageIds: [{ imageTag: 'two', imageDigest }] })

      expect(first).toMatchObject({ imageIds: [{ imageDigest, imageTag: 'one' }], failures: [] })
      expect(kept.imageIds).toEqual([{ imageDigest, imageTag: 'two' }])
      expect(second).toMatchObject({ imageIds: [{ imageDigest, imageTag: 'two' }], failures: [] })
      expect((await ecr.listImages({ repositoryName })).imageIds).toEqual([])
    })

    it('takes an image by its digest with all its tags, and says which', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      const [tagged, untagged] = [buildImage({ seed: 'tagged' }), buildImage({ seed: 'untagged' })]
      for (const tag of ['a', 'b']) await pushImage(repositoryName, tagged, tag)
      await pushImage(repositoryName, untagged)

      const { imageIds, failures } = await ecr.batchDeleteImage({
        repositoryName,
        imageIds: [{ imageDigest: untagged.manifest.digest }, { imageDigest: tagged.manifest.digest }],
      })

      expect(failures).toEqual([])
      expect(imageIds?.[0]).toEqual({ imageDigest: untagged.manifest.digest })
      expect(imageIds?.slice(1).toSorted((a, b) => (a.imageTag ?? '').localeCompare(b.imageTag ?? ''))).toEqual([
        { imageDigest: tagged.manifest.digest, imageTag: 'a' },
        { imageDigest: tagged.manifest.digest, imageTag: 'b' },
      ])
    })

    it('takes what ListImages answered', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      const image = buildImage({ seed: 'listed' })
      for (const tag of ['a', 'b', 'c']) await pushImage(repositoryName, image, tag)
      await pushImage(repositoryName, buildImage({ seed: 'also listed' }))

      const { imageIds } = await ecr.listImages({ repositoryName })
      const deleted = await ecr.batchDeleteImage({ repositoryName, imageIds })

      expect(deleted).toMatchObject({ imageIds, failures: [] })
      await ecr.deleteRepository({ repositoryName })
    })

    it('answers a failure for what it cannot delete, and deletes the rest', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      const [image, other, child] = ['image', 'other', 'child'].map((seed) => buildImage({ seed })) as [Image, Image, Image]
      const index = buildIndex([child])
      await pushImage(repositoryName, image, 'v1')
      await pushImage(repositoryName, other, 'v2')
      await pushImage(repositoryName, index, 'multi')
      const childId = { imageDigest: child.manifest.digest }
      const mismatched = { imageTag: 'v2', imageDigest: image.manifest.digest }

      const { imageIds, failures } = await ecr.batchDeleteImage({
        repositoryName,
        imageIds: [{}, { imageDigest: 'nonsense' }, { imageTag: '-' }, { imageTag: 'absent' }, mismatched, childId, { imageTag: 'v1' }],
      })

      expect(imageIds).toEqual([{ imageDigest: image.manifest.digest, imageTag: 'v1' }])
      expect(failures?.map(({ imageId, failureCode }) => [imageId, failureCode])).toEqual([
        [{}, 'MissingDigestAndTag'],
        [{ imageDigest: 'nonsense' }, 'InvalidImageDigest'],
        [{ imageTag: '-' }, 'InvalidImageTag'],
        [{ imageTag: 'absent' }, 'ImageNotFound'],
        [mismatched, 'ImageTagDoesNotMatchDigest'],
        [childId, 'ImageReferencedByManifestList'],
      ])
      expect(failures?.at(-1)?.failureReason).toBe(
        `Requested image referenced by manifest list: [${index.manifest.digest}]`,
      )
      await ecr.batchDeleteImage({ repositoryName, imageIds: [{ imageTag: 'multi' }] })
      // The child was the index's alone, and went with it.
      const again = await ecr.batchDeleteImage({ repositoryName, imageIds: [childId] })
      expect(again).toMatchObject({ imageIds: [], failures: [{ failureCode: 'ImageNotFound' }] })
    })
  })

  describe('ListImages and DescribeImages', () => {
    it('filter by tag status, and give page after page', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      const tagged = ['a', 'b', 'c'].map((seed) => buildImage({ seed }))
      const untagged = ['d', 'e'].map((seed) => buildImage({ seed }))
      for (const [index, image] of tagged.entries()) {
        await pushImage(repositoryName, image, `v${index}`)
        await pushImage(repositoryName, image, `also-v${index}`)
      }
      for (const image of untagged) await pushImage(repositoryName, image)
      const digestsOf = (images: readonly Image[]): string[] => images.map(({ manifest }) => manifest.digest).toSorted()

      for (const [tagStatus, images] of [
        ['TAGGED', tagged],
        ['UNTAGGED', untagged],
        ['ANY', [...tagged, ...untagged]],
        [undefined, [...tagged, ...untagged]],
      ] as const) {
        const filter = tagStatus === undefined ? undefined : { tagStatus }
        for (const maxResults of [1, 2, 3, 1000]) {
          const listed: { imageDigest?: string | undefined; imageTag?: string | undefined }[] = []
          let nextToken: string | undefined
          do {
            const page = await ecr.listImages({ repositoryName, filter, maxResults, nextToken })
            expect(page.imageIds?.length).toBeLessThanOrEqual(maxResults)
            listed.push(...(page.imageIds ?? []))
            nextToken = page.nextToken
          } while (nextToken !== undefined)
          const described: string[] = []
          do {
            const page: DescribeImagesResponse = await ecr.describeImages({ repositoryName, filter, maxResults, nextToken })
            expect(page.imageDetails?.length).toBeLessThanOrEqual(maxResults)
            described.push(...(page.imageDetails ?? []).map(({ imageDigest }) => imageDigest ?? ''))
            nextToken = page.nextToken
          } while (nextToken !== undefined)

          expect(described.toSorted()).toEqual(digestsOf(images))
          expect([...new Set(listed.map(({ imageDigest }) => imageDigest ?? ''))].toSorted()).toEqual(digestsOf(images))
          const tags = listed.flatMap(({ imageTag }) => imageTag ?? []).toSorted()
          const expectedTags = tagStatus === 'UNTAGGED' ? [] : ['also-v0', 'also-v1', 'also-v2', 'v0', 'v1', 'v2']
          expect(tags).toEqual(expectedTags)
        }
      }
    })

    it('show images that are in use unless another state is asked for', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      await pushImage(repositoryName, buildImage({ seed: 'active' }), 'v1')

      for (const [imageStatus, count] of [['ACTIVE', 1], ['ANY', 1], ['ARCHIVED', 0], ['ACTIVATING', 0]] as const) {
        expect((await ecr.listImages({ repositoryName, filter: { imageStatus } })).imageIds).toHaveLength(count)
        expect((await ecr.describeImages({ repositoryName, filter: { imageStatus } })).imageDetails).toHaveLength(count)
        const named = await ecr.describeImages({ repositoryName, imageIds: [{ imageTag: 'v1' }], filter: { imageStatus } })
        expect(named.imageDetails).toHaveLength(count)
      }
    })

    it('take no token of another list', async () => {
      const { ecr, newRepository, pushImage } = server()
      const [repositoryName, otherName] = [await newRepository(), await newRepository()]
      for (const name of [repositoryName, otherName]) {
        for (const tag of ['a', 'b']) await pushImage(name, buildImage({ seed: tag }), tag)
      }
      const { nextToken } = await ecr.listImages({ repositoryName, maxResults: 1 })
      const refusal = broken('nextToken', 'Member must be a token that this list has given out')

      expect(await refusalOf(ecr.listImages({ repositoryName: otherName, nextToken }))).toBe(refusal)
      expect(await refusalOf(ecr.describeImages({ repositoryName, nextToken }))).toBe(refusal)
      expect(await refusalOf(ecr.listImages({ repositoryName, nextToken, filter: { tagStatus: 'TAGGED' } }))).toBe(refusal)
      expect(await refusalOf(ecr.describeImages({ repositoryName, nextToken, imageIds: [{ imageTag: 'a' }] }))).toBe(
        broken('nextToken', 'Member must be null when imageIds is set'),
      )
      expect((await ecr.listImages({ repositoryName, nextToken, maxResults: 7 })).imageIds).toMatchObject([{ imageTag: 'b' }])
    })
  })

  describe('DescribeImages', () => {
    it('tells everything that is known of an image', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      const image = buildRandomImage([70_000, 30_000], 'described')
      const before = Date.now()
      await pushImage(repositoryName, image, 'v1')
      await pushImage(repositoryName, image, 'latest')

      const { imageDetails } = await ecr.describeImages({
        repositoryName,
        imageIds: [{ imageTag: 'v1' }, { imageDigest: image.manifest.digest }],
      })

      expect(imageDetails).toEqual([
        {
          registryId: defaultAccountId,
          repositoryName,
          imageDigest: image.manifest.digest,
          imageTags: ['latest', 'v1'],
          imageSizeInBytes: expect.any(Number),
          imagePushedAt: expect.any(Date),
          imageManifestMediaType: image.manifest.mediaType,
          artifactMediaType: image.blobs[0]?.mediaType,
          imageStatus: 'ACTIVE',
        },
      ])
      const [{ imageSizeInBytes = 0, imagePushedAt } = {}] = imageDetails ?? []
      expect(imageSizeInBytes).toBeGreaterThanOrEqual(100_000)
      expect(imagePushedAt?.getTime()).toBeGreaterThanOrEqual(before)
      expect(imagePushedAt?.getTime()).toBeLessThanOrEqual(Date.now())
    })

    it('gives an index the size of its largest image, and no tags to an untagged image', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      const [small, large] = [buildRandomImage([1000], 'small'), buildRandomImage([50_000], 'large')]
      await pushImage(repositoryName, buildIndex([small, large]), 'multi')

      const { imageDetails } = await ecr.describeImages({ repositoryName })

      const sizes = new Map(imageDetails?.map(({ imageDigest, imageSizeInBytes }) => [imageDigest, imageSizeInBytes]))
      const index = imageDetails?.find(({ imageTags }) => imageTags?.[0] === 'multi')
      expect(index?.imageSizeInBytes).toBe(sizes.get(large.manifest.digest))
      expect(imageDetails?.filter((image) => 'imageTags' in image)).toHaveLength(1)
    })

    it('names the subject and the artifact type of a referrer', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      const subject = buildImage({ seed: 'subject' })
      const artifactType = 'application/vnd.example.sbom'
      const referrer = buildArtifact({ artifactType, subject: subject.manifest })
      await pushImage(repositoryName, subject, 'v1')
      await pushImage(repositoryName, referrer)

      const { imageDetails } = await ecr.describeImages({
        repositoryName,
        imageIds: [{ imageDigest: referrer.manifest.digest }],
      })

      expect(imageDetails).toMatchObject([
        { artifactMediaType: artifactType, subjectManifestDigest: subject.manifest.digest },
      ])
    })

    it('tells when an image was pulled, once it was', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      await pushImage(repositoryName, buildImage({ seed: 'pulled' }), 'pulled')
      await pushImage(repositoryName, buildImage({ seed: 'never pulled' }), 'never')
      const before = Date.now()

      await ecr.batchGetImage({ repositoryName, imageIds: [{ imageTag: 'pulled' }] })

      const pullTime = async (imageTag: string): Promise<Date | undefined> => {
        const { imageDetails } = await ecr.describeImages({ repositoryName, imageIds: [{ imageTag }] })
        return imageDetails?.[0]?.lastRecordedPullTime
      }
      await expect.poll(() => pullTime('pulled'), { timeout: 20_000 }).toBeInstanceOf(Date)
      expect((await pullTime('pulled'))?.getTime()).toBeGreaterThanOrEqual(before)
      expect(await pullTime('never')).toBeUndefined()
    })

    it('fails as a whole for one unknown image', async () => {
      const { ecr, newRepository, pushImage } = server()
      const repositoryName = await newRepository()
      const image = buildImage({ seed: 'known' })
      await pushImage(repositoryName, image, 'v1')
      const describe = async (imageId: { imageTag?: string; imageDigest?: string }): Promise<string> =>
        refusalOf(ecr.describeImages({ repositoryName, imageIds: [{ imageTag: 'v1' }, imageId] }))
      const absent = (digest: string, tag: string): string =>
        `ImageNotFoundException: The image with imageId {imageDigest:'${digest}', imageTag:'${tag}'} does not exist within the repository with name '${repositoryName}' in the registry with id '${defaultAccountId}'`

      expect(await describe({ imageTag: 'absent' })).toBe(absent('null', 'absent'))
      expect(await describe({ imageDigest: absentDigest })).toBe(absent(absentDigest, 'null'))
      expect(await describe({ imageTag: 'v1', imageDigest: absentDigest })).toBe(absent(absentDigest, 'v1'))
      expect(await describe({ imageDigest: 'sha256:abc' })).toBe(absent('sha256:abc', 'null'))
      expect(await describe({})).toBe(
        'InvalidParameterException: Invalid request parameters: both tag and digest cannot be null',
      )
    })
  })

  it('every call on images names a repository that is not there', async () => {
    const { ecr } = server()
    const repositoryName = 'no/such'
    const imageManifest = textOf(buildImage())
    const absent = absentRepository(repositoryName)

    expect(await refusalOf(ecr.putImage({ repositoryName, imageManifest, imageTag: 'v1' }))).toBe(absent)
    expect(await refusalOf(ecr.listImages({ repositoryName }))).toBe(absent)
    expect(await refusalOf(ecr.describeImages({ repositoryName }))).toBe(absent)
    expect(await refusalOf(ecr.describeImages({ repositoryName, imageIds: [{ imageTag: 'v1' }] }))).toBe(absent)
    const { error } = await failureOf(ecr.listImages({ repositoryName }))
    expect(error['$metadata']).toMatchObject({ requestId: expect.stringMatching(/./) })
  })
})

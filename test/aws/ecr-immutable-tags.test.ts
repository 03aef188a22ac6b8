import { describe, expect, it } from 'vitest'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildImage, type Image } from '../support/images.ts'
import { onEveryDatabase } from './ecr-under-test.ts'

const pushes = 50

interface Outcome {
  readonly won: boolean
  /** What a loser was told. */
  readonly told: string | undefined
}

onEveryDatabase((server) => {
  /** Images that differ in nothing but their manifests, so that only these race. */
  function contenders(): Image[] {
    return Array.from({ length: pushes }, (_, index) =>
      buildImage({ seed: 'contender', annotations: { 'org.example.contender': String(index) } }),
    )
  }

  /** Pushes all images under one tag of an immutable repository at once; image `n` by `push(n)`. */
  async function race(push: (repositoryName: string, image: Image, index: number) => Promise<Outcome>): Promise<void> {
    const { ecr, newRepository, pushLayer } = server()
    const repositoryName = await newRepository({ imageTagMutability: 'IMMUTABLE' })
    const images = contenders()
    for (const { bytes, digest } of images[0]?.blobs ?? []) await pushLayer(repositoryName, bytes, digest)

    const outcomes = await Promise.all(images.map((image, index) => push(repositoryName, image, index)))

    expect(outcomes.filter(({ won }) => won)).toHaveLength(1)
    const alreadyThere = `The image tag 'v1' already exists in the '${repositoryName}' repository and cannot be overwritten because the tag is immutable.`
    expect(new Set(outcomes.flatMap(({ told }) => told ?? []))).toEqual(new Set([alreadyThere]))
    const winner = images[outcomes.findIndex(({ won }) => won)]
    const { imageIds } = await ecr.listImages({ repositoryName })
    expect(imageIds).toEqual([{ imageDigest: winner?.manifest.digest, imageTag: 'v1' }])
  }

  async function byPutImage(repositoryName: string, image: Image): Promise<Outcome> {
    try {
      await server().ecr.putImage({ repositoryName, imageTag: 'v1', imageManifest: image.manifest.bytes.toString() })
      return { won: true, told: undefined }
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'ImageTagAlreadyExistsException') throw error
      return { won: false, told: error.message }
    }
  }

  async function byDistribution(repositoryName: string, image: Image): Promise<Outcome> {
    const { platform } = server()
    const { accessKeyId: username, secretAccessKey: password } = platform.credentials
    const client = createDistributionClient(platform.url, { username, password })
    try {
      const answer = await client.request('PUT', `/v2/${repositoryName}/manifests/v1`, {
        body: image.manifest.bytes,
        headers: { 'content-type': image.manifest.mediaType },
      })
      if (answer.status === 201) return { won: true, told: undefined }
      const { errors } = answer.json() as { errors: { code: string; message: string }[] }
      expect([answer.status, errors[0]?.code]).toEqual([400, 'TAG_INVALID'])
      return { won: false, told: errors[0]?.message }
    } finally {
      client.close()
    }
  }

  describe(`of ${pushes} first pushes of an immutable tag at once`, () => {
    it('one wins, by PutImage', () => race(byPutImage))

    it('one wins, by the OCI protocol', () => race(byDistribution))

    it('one wins, by both', () =>
      race((repositoryName, image, index) => (index % 2 === 0 ? byPutImage : byDistribution)(repositoryName, image)))
  })
})

import { describe, expect, it } from 'vitest'
import { buildArtifact, buildImage, buildIndex } from '../support/images.ts'
import { errorCodeOf, errorOf, onEveryDatabase } from './registry-under-test.ts'

const absent = `sha256:${'0'.repeat(64)}`

onEveryDatabase((registry) => {
  async function tagsOf(repository: string): Promise<string[]> {
    const list = await registry().client.request('GET', `/v2/${repository}/tags/list`)
    return (list.json() as { tags: string[] }).tags
  }

  describe('DELETE of a tag (distribution-spec, "Deleting tags")', () => {
    it('removes the tag and nothing else', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildImage({ seed: 'untagged' })
      await pushImage(repository, image, 'old')
      await pushImage(repository, image, 'kept')

      const deleted = await client.request('DELETE', `/v2/${repository}/manifests/old`)

      expect([deleted.status, deleted.headers['content-length']]).toEqual([202, '0'])
      expect(await tagsOf(repository)).toEqual(['kept'])
      expect((await client.request('GET', `/v2/${repository}/manifests/old`)).status).toBe(404)
      expect((await client.request('GET', `/v2/${repository}/manifests/${image.manifest.digest}`)).status).toBe(200)
    })

    it('leaves the image by its digest when it was the last', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildImage({ seed: 'last tag' })
      await pushImage(repository, image, 'only')

      await client.request('DELETE', `/v2/${repository}/manifests/only`)

      expect(await tagsOf(repository)).toEqual([])
      expect((await client.request('GET', `/v2/${repository}/manifests/${image.manifest.digest}`)).status).toBe(200)
    })
  })

  describe('DELETE of a manifest (distribution-spec, "Deleting Manifests")', () => {
    it('removes it with its tags', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const [image, other] = [buildImage({ seed: 'deleted' }), buildImage({ seed: 'other' })]
      await pushImage(repository, image, 'a')
      await pushImage(repository, image, 'b')
      await pushImage(repository, other, 'c')

      const deleted = await client.request('DELETE', `/v2/${repository}/manifests/${image.manifest.digest}`)

      expect(deleted.status).toBe(202)
      expect(await tagsOf(repository)).toEqual(['c'])
      for (const reference of ['a', 'b', image.manifest.digest]) {
        expect((await client.request('GET', `/v2/${repository}/manifests/${reference}`)).status).toBe(404)
        expect((await client.request('HEAD', `/v2/${repository}/manifests/${reference}`)).status).toBe(404)
        expect((await client.request('DELETE', `/v2/${repository}/manifests/${reference}`)).status).toBe(404)
      }
    })

    it('is undone by pushing it again', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildImage({ seed: 'back again' })
      await pushImage(repository, image, 'v1')
      await client.request('DELETE', `/v2/${repository}/manifests/${image.manifest.digest}`)

      await pushImage(repository, image, 'v1')

      expect((await client.request('GET', `/v2/${repository}/manifests/v1`)).body.equals(image.manifest.bytes)).toBe(true)
    })

    it('is refused while an index lists it', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildImage({ seed: 'listed' })
      const index = buildIndex([image])
      await pushImage(repository, index, 'multi')

      const refused = await client.request('DELETE', `/v2/${repository}/manifests/${image.manifest.digest}`)

      expect([refused.status, errorCodeOf(refused)]).toEqual([405, 'UNSUPPORTED'])
      expect(errorOf(refused)?.message).toBe(`Requested image referenced by manifest list: [${index.manifest.digest}]`)
      expect((await client.request('GET', `/v2/${repository}/manifests/${image.manifest.digest}`)).status).toBe(200)
      expect((await client.request('DELETE', `/v2/${repository}/manifests/${index.manifest.digest}`)).status).toBe(202)
    })

    it('of a referrer takes it from the list', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildImage({ seed: 'referred' })
      const sbom = buildArtifact({ artifactType: 'application/vnd.example', subject: image.manifest })
      await pushImage(repository, image)
      await pushImage(repository, sbom)

      expect((await client.request('DELETE', `/v2/${repository}/manifests/${sbom.manifest.digest}`)).status).toBe(202)

      const list = await client.request('GET', `/v2/${repository}/referrers/${image.manifest.digest}`)
      expect((list.json() as { manifests: unknown[] }).manifests).toEqual([])
    })

    it.each(['latest', absent])('that is not there is not found: %s', async (reference) => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const answer = await client.request('DELETE', `/v2/${repository}/manifests/${reference}`)

      expect([answer.status, errorCodeOf(answer)]).toEqual([404, 'MANIFEST_UNKNOWN'])
    })
  })

  describe('DELETE of a blob (distribution-spec, "Deleting Blobs")', () => {
    it('takes it from its repository alone', async () => {
      const { client, newRepository, pushBlob } = registry()
      const [first, second] = [await newRepository(), await newRepository()]
      const digest = await pushBlob(first, 'in two places')
      await pushBlob(second, 'in two places')
      await client.request('GET', `/v2/${first}/blobs/${digest}`)

      const deleted = await client.request('DELETE', `/v2/${first}/blobs/${digest}`)

      expect(deleted.status).toBe(202)
      // Pulled elsewhere in between: what one repository has must not bring it back in another.
      expect((await client.request('GET', `/v2/${second}/blobs/${digest}`)).status).toBe(200)
      expect((await client.request('GET', `/v2/${first}/blobs/${digest}`)).status).toBe(404)
      expect((await client.request('HEAD', `/v2/${first}/blobs/${digest}`)).status).toBe(404)
      expect((await client.request('DELETE', `/v2/${first}/blobs/${digest}`)).status).toBe(404)
    })

    it('is refused while an image uses it', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildImage({ seed: 'used' })
      await pushImage(repository, image, 'v1')

      for (const { digest } of image.blobs) {
        const refused = await client.request('DELETE', `/v2/${repository}/blobs/${digest}`)
        expect([refused.status, errorCodeOf(refused)]).toEqual([405, 'UNSUPPORTED'])
        expect((await client.request('HEAD', `/v2/${repository}/blobs/${digest}`)).status).toBe(200)
      }
    })

    it('that is not there is not found', async () => {
      const { client, newRepository } = registry()

      const answer = await client.request('DELETE', `/v2/${await newRepository()}/blobs/${absent}`)

      expect([answer.status, errorCodeOf(answer)]).toEqual([404, 'BLOB_UNKNOWN'])
    })
  })

  it.each([`manifests/latest`, `manifests/${absent}`, `blobs/${absent}`])(
    'a repository that is not there has no %s to delete',
    async (path) => {
      const answer = await registry().client.request('DELETE', `/v2/no/such/${path}`)

      expect([answer.status, errorCodeOf(answer)]).toEqual([404, 'NAME_UNKNOWN'])
    },
  )
})

import { describe, expect, it } from 'vitest'
import { buildArtifact, buildImage, buildIndex, content, digestOf } from '../support/images.ts'
import { errorCodeOf, onEveryDatabase } from './registry-under-test.ts'
import type { ClientResponse } from '../support/distribution-client.ts'

const absent = `sha256:${'0'.repeat(64)}`
const ociIndex = 'application/vnd.oci.image.index.v1+json'

/** The target of a Link to the next page. */
function nextOf(response: ClientResponse): string | undefined {
  const { link } = response.headers
  if (link === undefined) return undefined
  const target = /^<([^>]+)>; rel="next"$/.exec(String(link))?.[1]
  if (target === undefined) throw new Error(`a Link that no client reads: ${String(link)}`)
  return target
}

onEveryDatabase((registry) => {
  async function pages(first: string): Promise<ClientResponse[]> {
    const answers: ClientResponse[] = []
    for (let path: string | undefined = first; path !== undefined; ) {
      const answer: ClientResponse = await registry().client.request('GET', path)
      expect(answer.status).toBe(200)
      answers.push(answer)
      path = nextOf(answer)
    }
    return answers
  }

  describe('the list of tags (distribution-spec, "Listing Tags")', () => {
    const tags = ['latest', '1.0', '1.10', '1.9', 'B', 'a', '_x', 'Z']
    const sorted = ['1.0', '1.10', '1.9', 'B', 'Z', '_x', 'a', 'latest']

    async function tagged(): Promise<string> {
      const { newRepository, pushImage } = registry()
      const repository = await newRepository()
      for (const tag of tags) await pushImage(repository, buildImage({ seed: 'tagged' }), tag)
      return repository
    }

    const tagsOf = (response: ClientResponse) => (response.json() as { tags: string[] }).tags

    it('is in ASCII order', async () => {
      const repository = await tagged()

      const list = await registry().client.request('GET', `/v2/${repository}/tags/list`)

      expect(list.status).toBe(200)
      expect(list.headers['content-type']).toBe('application/json')
      expect(list.json()).toEqual({ name: repository, tags: sorted })
      expect(list.headers.link).toBeUndefined()
    })

    it('comes in pages that lead to each other', async () => {
      const repository = await tagged()

      const answers = await pages(`/v2/${repository}/tags/list?n=3`)

      expect(answers.map(tagsOf)).toEqual([sorted.slice(0, 3), sorted.slice(3, 6), sorted.slice(6)])
      expect(nextOf(answers[0]!)).toBe(`/v2/${repository}/tags/list?n=3&last=1.9`)
    })

    it('has no next page behind a full last one', async () => {
      const repository = await tagged()

      const answers = await pages(`/v2/${repository}/tags/list?n=4`)

      expect(answers.map((answer) => tagsOf(answer).length)).toEqual([4, 4])
    })

    it.each([
      ['last=1.9', sorted.slice(3)],
      ['last=1.8', sorted.slice(2)],
      ['n=2&last=Y', ['Z', '_x']],
      ['last=zzz', []],
      ['n=1000', sorted],
      ['n=1001', sorted],
      ['n=9223372036854775808', sorted],
    ])('%s', async (query, expected) => {
      const repository = await tagged()

      const list = await registry().client.request('GET', `/v2/${repository}/tags/list?${query}`)

      expect(list.status).toBe(200)
      expect(tagsOf(list)).toEqual(expected)
    })

    it('of none is an empty list without a Link', async () => {
      const repository = await tagged()

      const list = await registry().client.request('GET', `/v2/${repository}/tags/list?n=0`)

      expect(list.json()).toEqual({ name: repository, tags: [] })
      expect(list.headers.link).toBeUndefined()
    })

    it('of an empty repository is empty, not null', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      expect((await client.request('GET', `/v2/${repository}/tags/list`)).json()).toEqual({ name: repository, tags: [] })
    })

    it.each(['n=-1', 'n=NaN', 'n=', 'n=1.5'])('is refused with %s', async (query) => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const refused = await client.request('GET', `/v2/${repository}/tags/list?${query}`)

      expect([refused.status, errorCodeOf(refused)]).toEqual([400, 'PAGINATION_NUMBER_INVALID'])
    })

    it.each(['', '?n=0', '?n=5'])('of a repository that is not there is not found: %s', async (query) => {
      const answer = await registry().client.request('GET', `/v2/no/such/tags/list${query}`)

      expect([answer.status, errorCodeOf(answer)]).toEqual([404, 'NAME_UNKNOWN'])
    })

    it.each([`last='%20OR%201=1--`, 'last=%25', 'last=%5C', `last=a'`])('reads %s as text', async (query) => {
      const repository = await tagged()

      const list = await registry().client.request('GET', `/v2/${repository}/tags/list?${query}`)

      const last = decodeURIComponent(query.slice('last='.length))
      expect(tagsOf(list)).toEqual(sorted.filter((tag) => tag > last))
    })
  })

  describe('the catalog', () => {
    it('lists repositories in ASCII order, page by page', async () => {
      const { client, newRepository } = registry()
      const made = [await newRepository('zeta/a'), await newRepository('alpha/b'), await newRepository('alpha-c')]

      const all = await client.request('GET', '/v2/_catalog')
      const { repositories } = all.json() as { repositories: string[] }
      expect(repositories).toEqual(repositories.toSorted())
      expect(repositories).toEqual(expect.arrayContaining(made))

      const answers = await pages('/v2/_catalog?n=2')
      expect(answers.flatMap((answer) => (answer.json() as { repositories: string[] }).repositories)).toEqual(repositories)
    })

    it('escapes the slash of a name in its Link', async () => {
      const { client, newRepository } = registry()
      const name = await newRepository('0/first')
      await newRepository('0/second')

      const page = await client.request('GET', '/v2/_catalog?n=1')

      expect(nextOf(page)).toBe(`/v2/_catalog?n=1&last=${encodeURIComponent(name)}`)
    })

    it('of none is an empty list without a Link', async () => {
      const list = await registry().client.request('GET', '/v2/_catalog?n=0')

      expect(list.json()).toEqual({ repositories: [] })
      expect(list.headers.link).toBeUndefined()
    })

    it('is refused with a page of less than nothing', async () => {
      const refused = await registry().client.request('GET', '/v2/_catalog?n=-1')

      expect([refused.status, errorCodeOf(refused)]).toEqual([400, 'PAGINATION_NUMBER_INVALID'])
    })
  })

  describe('the list of referrers (distribution-spec, "Listing Referrers")', () => {
    const sbomType = 'application/vnd.example.sbom.v1+json'
    const signatureType = 'application/vnd.example.signature.v1'

    interface Index {
      schemaVersion: number
      mediaType: string
      manifests: { mediaType: string; digest: string; size: number; artifactType?: string; annotations?: Record<string, string> }[]
    }
    const indexOf = (response: ClientResponse) => response.json() as Index

    it('has what refers to a manifest, with artifact type and annotations', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildImage({ seed: 'subject' })
      const sbom = buildArtifact({ artifactType: sbomType, subject: image.manifest, annotations: { 'org.example.format': 'json' } })
      const attached = buildImage({ seed: 'attached', subject: image.manifest })
      for (const each of [image, sbom, attached]) await pushImage(repository, each)

      const list = await client.request('GET', `/v2/${repository}/referrers/${image.manifest.digest}`)

      expect(list.status).toBe(200)
      expect(list.headers['content-type']).toBe(ociIndex)
      expect(list.headers['oci-filters-applied']).toBeUndefined()
      expect(indexOf(list)).toMatchObject({ schemaVersion: 2, mediaType: ociIndex })
      expect(indexOf(list).manifests).toHaveLength(2)
      expect(indexOf(list).manifests).toEqual(
        expect.arrayContaining([
          {
            mediaType: sbom.manifest.mediaType,
            digest: sbom.manifest.digest,
            size: sbom.manifest.bytes.length,
            artifactType: sbomType,
            annotations: { 'org.example.format': 'json' },
          },
          {
            mediaType: attached.manifest.mediaType,
            digest: attached.manifest.digest,
            size: attached.manifest.bytes.length,
            artifactType: 'application/vnd.oci.image.config.v1+json',
          },
        ]),
      )
    })

    it('has no artifact type for an index without one', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()
      const index = JSON.parse(buildIndex([]).manifest.bytes.toString()) as object
      const subject = { mediaType: ociIndex, digest: absent, size: 2 }
      const referrer = content(ociIndex, JSON.stringify({ ...index, subject }))
      await client.request('PUT', `/v2/${repository}/manifests/${referrer.digest}`, { body: referrer.bytes, headers: { 'content-type': ociIndex } })

      const list = await client.request('GET', `/v2/${repository}/referrers/${absent}`)

      expect(indexOf(list).manifests).toEqual([{ mediaType: ociIndex, digest: referrer.digest, size: referrer.bytes.length }])
    })

    it('is filtered by artifact type, escaped or not, and says so', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildImage({ seed: 'filtered' })
      const sbom = buildArtifact({ artifactType: sbomType, subject: image.manifest })
      const signature = buildArtifact({ artifactType: signatureType, subject: image.manifest })
      for (const each of [image, sbom, signature]) await pushImage(repository, each)

      for (const filter of [sbomType, encodeURIComponent(sbomType)]) {
        const list = await client.request('GET', `/v2/${repository}/referrers/${image.manifest.digest}?artifactType=${filter}`)
        expect(list.headers['oci-filters-applied']).toBe('artifactType')
        expect(indexOf(list).manifests.map(({ digest }) => digest)).toEqual([sbom.manifest.digest])
      }
      const none = await client.request('GET', `/v2/${repository}/referrers/${image.manifest.digest}?artifactType=application/vnd.none`)
      expect([none.status, indexOf(none).manifests]).toEqual([200, []])
    })

    it('is an empty index for a subject that nobody knows', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const list = await client.request('GET', `/v2/${repository}/referrers/${absent}`)

      expect(list.status).toBe(200)
      expect(list.headers['content-type']).toBe(ociIndex)
      expect(list.json()).toEqual({ schemaVersion: 2, mediaType: ociIndex, manifests: [] })
    })

    it('comes in pages that keep the filter', async () => {
      const { newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildImage({ seed: 'paged' })
      await pushImage(repository, image)
      const pushed: string[] = []
      for (let number = 0; number < 5; number++) {
        const artifact = buildArtifact({ artifactType: sbomType, subject: image.manifest, annotations: { number: String(number) } })
        await pushImage(repository, artifact)
        pushed.push(artifact.manifest.digest)
      }

      const answers = await pages(`/v2/${repository}/referrers/${image.manifest.digest}?n=2&artifactType=${encodeURIComponent(sbomType)}`)

      expect(answers.map((answer) => indexOf(answer).manifests.length)).toEqual([2, 2, 1])
      expect(answers.flatMap((answer) => indexOf(answer).manifests.map(({ digest }) => digest)).toSorted()).toEqual(pushed.toSorted())
      for (const answer of answers) expect(answer.headers['oci-filters-applied']).toBe('artifactType')
    })

    it('comes in pages that a client is ready to read, however large the annotations are', async () => {
      const { newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildImage({ seed: 'large annotations' })
      await pushImage(repository, image)
      const pushed: string[] = []
      for (let number = 0; number < 4; number++) {
        const artifact = buildArtifact({
          artifactType: sbomType,
          subject: image.manifest,
          annotations: { number: String(number), filler: 'x'.repeat(1_500_000) },
        })
        await pushImage(repository, artifact)
        pushed.push(artifact.manifest.digest)
      }

      const answers = await pages(`/v2/${repository}/referrers/${image.manifest.digest}`)

      expect(answers.length).toBeGreaterThan(1)
      for (const { body } of answers) expect(body.length).toBeLessThan(4 * 1024 * 1024)
      expect(answers.flatMap((answer) => indexOf(answer).manifests.map(({ digest }) => digest)).toSorted()).toEqual(pushed.toSorted())
    })

    it.each([
      ['latest', 400, 'DIGEST_INVALID'],
      ['sha256:nonsense', 400, 'DIGEST_INVALID'],
    ])('is refused for %s', async (reference, status, code) => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const refused = await client.request('GET', `/v2/${repository}/referrers/${reference}`)

      expect([refused.status, errorCodeOf(refused)]).toEqual([status, code])
    })

    it('of a repository that is not there is not found', async () => {
      const answer = await registry().client.request('GET', `/v2/no/such/referrers/${digestOf(Buffer.from('x'))}`)

      expect([answer.status, errorCodeOf(answer)]).toEqual([404, 'NAME_UNKNOWN'])
    })
  })
})

import { describe, expect, it } from 'vitest'
import { buildArtifact, buildBuildkitCache, buildImage, buildIndex, content, descriptor, digestOf, type Content, type Image } from '../support/images.ts'
import { errorCodeOf, errorOf, onEveryDatabase } from './registry-under-test.ts'

const absent = `sha256:${'0'.repeat(64)}`
const ociManifest = 'application/vnd.oci.image.manifest.v1+json'
const ociIndex = 'application/vnd.oci.image.index.v1+json'
const maxManifestBytes = 4 * 1024 * 1024

onEveryDatabase((registry) => {
  async function put(repository: string, reference: string, { mediaType, bytes }: Content, headers: Record<string, string> = {}) {
    return registry().client.request('PUT', `/v2/${repository}/manifests/${reference}`, {
      body: bytes,
      headers: { 'content-type': mediaType, ...headers },
    })
  }

  /** A repository that has an image's blobs and children, but not its manifest. */
  async function repositoryFor(image: Image): Promise<string> {
    const { newRepository, pushBlob, pushImage } = registry()
    const repository = await newRepository()
    for (const child of image.children) await pushImage(repository, child)
    for (const blob of image.blobs) await pushBlob(repository, blob.bytes)
    return repository
  }

  describe('PUT of a manifest (distribution-spec, "Pushing Manifests")', () => {
    it.each(['v1', 'digest'])('by %s says where it is', async (name) => {
      const image = buildImage({ seed: `put by ${name}` })
      const repository = await repositoryFor(image)

      const done = await put(repository, name === 'digest' ? image.manifest.digest : name, image.manifest)

      expect(done.status).toBe(201)
      expect(done.headers).toMatchObject({
        location: `/v2/${repository}/manifests/${image.manifest.digest}`,
        'docker-content-digest': image.manifest.digest,
        'content-length': '0',
      })
      expect(done.headers['oci-subject']).toBeUndefined()
      expect((await registry().client.request('GET', done.headers.location ?? '')).body.equals(image.manifest.bytes)).toBe(true)
    })

    it.each([
      ['an OCI image', buildImage({ seed: 'kinds' })],
      ['a Docker image', buildImage({ seed: 'kinds', format: 'docker' })],
      ['an OCI index', buildIndex([buildImage({ seed: 'kinds' })])],
      ['a Docker manifest list', buildIndex([buildImage({ seed: 'kinds', format: 'docker' })], 'docker')],
      ['an index of indexes', buildIndex([buildIndex([buildImage({ seed: 'kinds' })])])],
      ['an empty index', buildIndex([])],
      ['an artifact', buildArtifact({ artifactType: 'application/vnd.example.sbom.v1' })],
      ['BuildKit’s cache', buildBuildkitCache('kinds')],
    ])('takes %s', async (_, image) => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()

      await pushImage(repository, image, 'v1')

      const pulled = await client.request('GET', `/v2/${repository}/manifests/v1`)
      expect(pulled.headers['content-type']).toBe(image.manifest.mediaType)
      expect(pulled.body.equals(image.manifest.bytes)).toBe(true)
    })

    it('takes a media type with parameters, or none, where the document says it', async () => {
      const image = buildImage({ seed: 'content types' })
      const repository = await repositoryFor(image)

      for (const mediaType of [`${ociManifest}; charset=utf-8`, 'application/json']) {
        const done = await put(repository, 'v1', { ...image.manifest, mediaType })
        expect(done.status).toBe(201)
        const head = await registry().client.request('HEAD', `/v2/${repository}/manifests/v1`)
        expect(head.headers['content-type']).toBe(ociManifest)
      }
    })

    it('as a known type checks and serves what came as an unknown one before', async () => {
      const { client, newRepository, pushBlob } = registry()
      const image = buildImage({ seed: 'type told later' })
      const { mediaType, ...unstated } = JSON.parse(image.manifest.bytes.toString()) as Record<string, unknown>
      expect(mediaType).toBe(ociManifest)
      const manifest = content('application/vnd.example.unheard-of', JSON.stringify(unstated))
      const known = { ...manifest, mediaType: ociManifest }
      const repository = await newRepository()
      expect((await put(repository, 'v1', manifest)).status).toBe(201)

      const early = await put(repository, 'v1', known)
      expect([early.status, errorCodeOf(early)]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN'])
      for (const { bytes } of image.blobs) await pushBlob(repository, bytes)
      expect((await put(repository, 'v1', known)).status).toBe(201)

      const pulled = await client.request('GET', `/v2/${repository}/manifests/v1`)
      expect(pulled.headers['content-type']).toBe(ociManifest)
      const path = `/v2/${repository}/manifests/${manifest.digest}`
      expect((await client.request('DELETE', path)).status).toBe(202)
      const lesser = await put(repository, 'v1', manifest)
      expect([lesser.status, errorCodeOf(lesser)]).toEqual([400, 'UNSUPPORTED'])
      expect(errorOf(lesser)?.message).toContain(ociManifest)
    })

    it('moves a tag', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const [first, second] = [buildImage({ seed: 'first' }), buildImage({ seed: 'second' })]

      await pushImage(repository, first, 'latest')
      await pushImage(repository, second, 'latest')

      expect((await client.request('HEAD', `/v2/${repository}/manifests/latest`)).headers['docker-content-digest']).toBe(second.manifest.digest)
      expect((await client.request('HEAD', `/v2/${repository}/manifests/${first.manifest.digest}`)).status).toBe(200)
    })

    it('takes sha512 by digest, and by tag with the digest beside it', async () => {
      const image = buildImage({ seed: 'sha512' })
      const repository = await repositoryFor(image)
      const digest = digestOf(image.manifest.bytes, 'sha512')

      for (const reference of [digest, `wide?digest=${encodeURIComponent(digest)}`]) {
        const done = await put(repository, reference, image.manifest)
        expect([done.status, done.headers['docker-content-digest']]).toEqual([201, digest])
      }

      const pulled = await registry().client.request('GET', `/v2/${repository}/manifests/wide`)
      expect(pulled.headers['docker-content-digest']).toBe(digest)
    })

    it('sets the tags of the query', async () => {
      const image = buildImage({ seed: 'many tags' })
      const repository = await repositoryFor(image)
      const tags = ['1.2.3', '1.2', '1', 'latest', 'a', 'b', 'c', 'd', 'e', 'f']

      const done = await put(repository, `${image.manifest.digest}?${tags.map((tag) => `tag=${tag}`).join('&')}`, image.manifest)

      expect(done.status).toBe(201)
      expect(String(done.headers['oci-tag']).split(', ').toSorted()).toEqual(tags.toSorted())
      for (const tag of tags) {
        const head = await registry().client.request('HEAD', `/v2/${repository}/manifests/${tag}`)
        expect(head.headers['docker-content-digest']).toBe(image.manifest.digest)
      }
    })

    it('says that it has seen the subject, there or not', async () => {
      const subject = content(ociManifest, '{}')
      for (const image of [
        buildImage({ seed: 'with subject', subject }),
        buildArtifact({ artifactType: 'application/vnd.example', subject }),
      ]) {
        const repository = await repositoryFor(image)
        const done = await put(repository, image.manifest.digest, image.manifest)
        expect([done.status, done.headers['oci-subject']]).toEqual([201, subject.digest])
      }
    })
  })

  describe('a manifest is refused', () => {
    const image = buildImage({ seed: 'refused' })
    const document = JSON.parse(image.manifest.bytes.toString()) as Record<string, unknown>
    const changed = (change: Record<string, unknown>, mediaType = ociManifest) => content(mediaType, JSON.stringify({ ...document, ...change }))

    it.each<[string, Content]>([
      ['that is no JSON', content(ociManifest, 'blablabla')],
      ['that is empty', content(ociManifest, '')],
      ['that is a list', content(ociManifest, '[]')],
      ['of another type than it states', changed({ mediaType: ociIndex })],
      ['with layers and manifests', changed({ manifests: [] })],
      ['with a negative size', changed({ layers: [{ ...descriptor(image.manifest), size: -1 }] })],
      ['with a digest that is none', changed({ layers: [{ mediaType: 'a/b', digest: 'sha256:x', size: 1 }] })],
      ['with a repeated key', content(ociManifest, image.manifest.bytes.toString().replace('{', `{"config":${JSON.stringify(document['config'])},`))],
      ['with a key in another case', content(ociManifest, image.manifest.bytes.toString().replace('{', '{"Layers":[],'))],
      ['of the first schema', content('application/vnd.docker.distribution.manifest.v1+prettyjws', '{"schemaVersion":1}')],
      ['whose type cannot be told', content('application/json', '{"schemaVersion":2}')],
    ])('%s', async (_, manifest) => {
      const repository = await repositoryFor(image)

      const refused = await put(repository, 'bad', manifest)

      expect([refused.status, errorCodeOf(refused)]).toEqual([400, 'MANIFEST_INVALID'])
      expect((await registry().client.request('HEAD', `/v2/${repository}/manifests/bad`)).status).toBe(404)
    })

    it('that has another digest than the path names', async () => {
      const repository = await repositoryFor(image)

      for (const reference of [absent, `v1?digest=${absent}`]) {
        const refused = await put(repository, reference, image.manifest)
        expect([refused.status, errorCodeOf(refused)]).toEqual([400, 'DIGEST_INVALID'])
      }
    })

    it('whose layers are not there, all of which it names', async () => {
      const { newRepository } = registry()
      const repository = await newRepository()

      const refused = await put(repository, 'v1', image.manifest)

      expect([refused.status, errorCodeOf(refused)]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN'])
      for (const { digest } of image.blobs) expect(errorOf(refused)?.message).toContain(digest)
      expect(errorOf(refused)?.message).toContain(repository)
    })

    it('whose layers are in another repository only', async () => {
      await repositoryFor(image)
      const { newRepository } = registry()

      expect((await put(await newRepository(), 'v1', image.manifest)).status).toBe(400)
    })

    it('whose children are not there', async () => {
      const { newRepository } = registry()
      const index = buildIndex([image])

      const refused = await put(await newRepository(), 'v1', index.manifest)

      expect([refused.status, errorCodeOf(refused)]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN'])
      expect(errorOf(refused)?.message).toContain(image.manifest.digest)
    })

    it.each(['+', 'a b', '-x', 'a'.repeat(129)])('under the tag %.10s', async (tag) => {
      const repository = await repositoryFor(image)

      for (const reference of [encodeURIComponent(tag), `${image.manifest.digest}?tag=${encodeURIComponent(tag)}`]) {
        const refused = await put(repository, reference, image.manifest)
        expect([refused.status, errorCodeOf(refused)]).toEqual([400, 'TAG_INVALID'])
      }
    })

    it('with more tags than a request can set', async () => {
      const repository = await repositoryFor(image)
      const tags = Array.from({ length: 101 }, (_, index) => `tag=t${index}`).join('&')

      expect((await put(repository, `${image.manifest.digest}?${tags}`, image.manifest)).status).toBe(414)
    })

    it('in a repository that is not there', async () => {
      const refused = await put('no/such', 'v1', image.manifest)

      expect([refused.status, errorCodeOf(refused)]).toEqual([404, 'NAME_UNKNOWN'])
    })
  })

  describe('the size of a manifest', () => {
    /** A manifest of exactly this many bytes. */
    function sized(sizeBytes: number): Content {
      const without = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [], annotations: { filler: '' } })
      return content(ociIndex, without.replace('""', `"${'x'.repeat(sizeBytes - without.length)}"`))
    }

    it('may be four megabytes', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()
      const manifest = sized(maxManifestBytes)

      expect((await put(repository, 'large', manifest)).status).toBe(201)
      expect((await client.request('GET', `/v2/${repository}/manifests/large`)).body.equals(manifest.bytes)).toBe(true)
    })

    it('may not be more, with a length or without', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()
      const { bytes } = sized(maxManifestBytes + 1)

      const stated = await put(repository, 'larger', content(ociIndex, bytes))
      const streamed = await client.request('PUT', `/v2/${repository}/manifests/larger`, {
        body: endless(bytes),
        headers: { 'content-type': ociIndex },
      })

      for (const refused of [stated, streamed]) expect([refused.status, errorCodeOf(refused)]).toEqual([413, 'SIZE_INVALID'])
      expect((await client.request('HEAD', `/v2/${repository}/manifests/larger`)).status).toBe(404)
    })

    async function* endless(bytes: Buffer): AsyncGenerator<Buffer> {
      for (let sent = 0; sent < 16; sent++) yield bytes
    }
  })
})

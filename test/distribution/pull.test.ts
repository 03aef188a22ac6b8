import { describe, expect, it } from 'vitest'
import { buildBuildkitCache, buildImage, buildIndex, content, digestOf, randomContent, type Content } from '../support/images.ts'
import { errorCodeOf, errorOf, onEveryDatabase } from './registry-under-test.ts'

const absent = `sha256:${'0'.repeat(64)}`
const sizeBytes = 3000
const bytes = randomContent(sizeBytes, 'ranges')

onEveryDatabase((registry) => {
  describe('a manifest (distribution-spec, "Pulling manifests")', () => {
    it('is served by tag and by digest, byte for byte', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const { manifest } = buildImage({ seed: 'served' })
      await pushImage(repository, buildImage({ seed: 'served' }), 'v1')

      for (const reference of ['v1', manifest.digest, manifest.digest.replace(':', '%3A')]) {
        const pulled = await client.request('GET', `/v2/${repository}/manifests/${reference}`)
        expect(pulled.status).toBe(200)
        expect(pulled.body.equals(manifest.bytes)).toBe(true)
        expect(pulled.headers).toMatchObject({
          'content-type': manifest.mediaType,
          'content-length': String(manifest.bytes.length),
          'docker-content-digest': manifest.digest,
          etag: `"${manifest.digest}"`,
          'docker-distribution-api-version': 'registry/2.0',
        })
      }
    })

    it('has the same headers and no body for HEAD', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildImage({ seed: 'head' })
      await pushImage(repository, image, 'v1')

      for (const reference of ['v1', image.manifest.digest]) {
        const head = await client.request('HEAD', `/v2/${repository}/manifests/${reference}`)
        const get = await client.request('GET', `/v2/${repository}/manifests/${reference}`)
        expect(head.status).toBe(200)
        expect(head.body).toHaveLength(0)
        for (const name of ['content-type', 'content-length', 'docker-content-digest', 'etag']) {
          expect(head.headers[name]).toBe(get.headers[name])
        }
      }
    })

    it.each([
      ['nothing', undefined],
      ['another type', 'application/vnd.docker.distribution.manifest.v1+json'],
      ['no type', ''],
      ['everything', '*/*'],
      ['web pages', 'text/html'],
      ['several in one line', 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json;q=0.5'],
      ['several lines', ['application/vnd.oci.image.index.v1+json', 'application/vnd.oci.image.manifest.v1+json']],
    ])('is the same whatever is accepted: %s', async (_, accept) => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildIndex([buildImage({ seed: 'accepted' })])
      await pushImage(repository, image, 'v1')

      const pulled = await client.request('GET', `/v2/${repository}/manifests/v1`, {
        headers: { ...(accept === undefined ? {} : { accept }), 'accept-encoding': 'gzip, zstd' },
      })

      expect(pulled.status).toBe(200)
      expect(pulled.headers['content-type']).toBe(image.manifest.mediaType)
      expect(pulled.headers['content-encoding']).toBeUndefined()
      expect(pulled.body.equals(image.manifest.bytes)).toBe(true)
    })

    it.each([
      ['`"DIGEST"`', 304],
      ['`W/"DIGEST"`', 304],
      ['`"sha256:other", "DIGEST"`', 304],
      ['`*`', 304],
      ['`"sha256:other"`', 200],
    ])('is not sent again: If-None-Match %s answers %i', async (pattern, status) => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildImage({ seed: 'conditional' })
      await pushImage(repository, image, 'v1')
      const headers = { 'if-none-match': pattern.slice(1, -1).replace('DIGEST', image.manifest.digest) }

      for (const method of ['GET', 'HEAD']) {
        const answer = await client.request(method, `/v2/${repository}/manifests/v1`, { headers })
        expect(answer.status).toBe(status)
        expect(answer.headers.etag).toBe(`"${image.manifest.digest}"`)
        if (status === 304) expect(answer.body).toHaveLength(0)
      }
    })

    it('that says it is a web page is never shown as one', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()
      const page = content('text/html', '<script>alert(1)</script>')
      await client.request('PUT', `/v2/${repository}/manifests/${page.digest}`, { body: page.bytes, headers: { 'content-type': 'text/html' } })

      const pulled = await client.request('GET', `/v2/${repository}/manifests/${page.digest}`)

      expect(pulled.status).toBe(200)
      expect(pulled.headers).toMatchObject({
        'content-type': 'text/html',
        'x-content-type-options': 'nosniff',
        'content-security-policy': expect.stringContaining('sandbox'),
      })
    })

    it.each([
      ['a tag', 'latest', 404, 'MANIFEST_UNKNOWN'],
      ['a digest', absent, 404, 'MANIFEST_UNKNOWN'],
      ['no digest', 'sha256:baddigeststring', 400, 'DIGEST_INVALID'],
      ['no tag', '.bad', 400, 'TAG_INVALID'],
    ])('that is not there is not found by %s', async (_, reference, status, code) => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const get = await client.request('GET', `/v2/${repository}/manifests/${reference}`)
      expect([get.status, errorCodeOf(get)]).toEqual([status, code])
      expect(get.headers['content-type']).toBe('application/json')

      const head = await client.request('HEAD', `/v2/${repository}/manifests/${reference}`)
      expect([head.status, head.body.length]).toEqual([status, 0])
      expect(head.headers['content-type']).toBe('application/json')
    })

    it('is missed in the words of ECR', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const noImage = await client.request('GET', `/v2/${repository}/manifests/latest`)
      const noRepository = await client.request('GET', '/v2/no/such/manifests/latest')

      expect(errorOf(noImage)?.message).toBe('Requested image not found')
      expect(noRepository.status).toBe(404)
      expect(errorOf(noRepository)).toMatchObject({
        code: 'NAME_UNKNOWN',
        message: `The repository with name 'no/such' does not exist in the registry with id '000000000000'`,
      })
    })
  })

  describe('a blob (distribution-spec, "Pulling blobs")', () => {
    it('is served with what clients need to resume', async () => {
      const { client, newRepository, pushBlob } = registry()
      const repository = await newRepository()
      const digest = await pushBlob(repository, bytes)

      const pulled = await client.request('GET', `/v2/${repository}/blobs/${digest}`, { headers: { 'accept-encoding': 'zstd, gzip, deflate' } })
      const head = await client.request('HEAD', `/v2/${repository}/blobs/${digest}`)

      expect(pulled.status).toBe(200)
      expect(pulled.body.equals(bytes)).toBe(true)
      expect(head.status).toBe(200)
      expect(head.body).toHaveLength(0)
      for (const { headers } of [pulled, head]) {
        expect(headers).toMatchObject({
          'content-type': 'application/octet-stream',
          'content-length': String(sizeBytes),
          'docker-content-digest': digest,
          'accept-ranges': 'bytes',
          etag: `"${digest}"`,
          'cache-control': expect.stringContaining('private'),
        })
        expect(headers['content-encoding']).toBeUndefined()
      }
    })

    it.each([
      ['bytes=500-1499', 500, 1499],
      ['bytes=500-', 500, 2999],
      ['bytes=-500', 2500, 2999],
      ['bytes=2000-5000', 2000, 2999],
      ['bytes=0-0', 0, 0],
      ['bytes=2999-', 2999, 2999],
      ['bytes=-9999', 0, 2999],
    ])('is served in part: %s', async (range, first, last) => {
      const { client, newRepository, pushBlob } = registry()
      const repository = await newRepository()
      const digest = await pushBlob(repository, bytes)

      const part = await client.request('GET', `/v2/${repository}/blobs/${digest}`, { headers: { range } })

      expect(part.status).toBe(206)
      expect(part.headers).toMatchObject({
        'content-range': `bytes ${first}-${last}/${sizeBytes}`,
        'content-length': String(last - first + 1),
        'docker-content-digest': digest,
        etag: `"${digest}"`,
      })
      expect(part.body.equals(bytes.subarray(first, last + 1))).toBe(true)
    })

    it.each(['bytes=500-0', 'bytes=5000-10000', 'bytes=3000-', 'bytes=-0'])('has no part %s', async (range) => {
      const { client, newRepository, pushBlob } = registry()
      const repository = await newRepository()
      const digest = await pushBlob(repository, bytes)

      const refused = await client.request('GET', `/v2/${repository}/blobs/${digest}`, { headers: { range } })

      expect(refused.status).toBe(416)
      expect(refused.headers['content-range']).toBe(`bytes */${sizeBytes}`)
    })

    it.each(['items=0-1', 'bytes=a-b', 'bytes=', 'nonsense'])('is served whole where the range is %s', async (range) => {
      const { client, newRepository, pushBlob } = registry()
      const repository = await newRepository()
      const digest = await pushBlob(repository, bytes)

      const whole = await client.request('GET', `/v2/${repository}/blobs/${digest}`, { headers: { range } })

      expect(whole.status).toBe(200)
      expect(whole.body.equals(bytes)).toBe(true)
    })

    it('is served in several parts, in the order that was asked for', async () => {
      const { client, newRepository, pushBlob } = registry()
      const repository = await newRepository()
      const digest = await pushBlob(repository, bytes)

      const parts = await client.request('GET', `/v2/${repository}/blobs/${digest}`, { headers: { range: 'bytes=100-199,0-9,-5,9000-' } })

      expect(parts.status).toBe(206)
      expect(parts.headers['content-length']).toBe(String(parts.body.length))
      expect(multipart(parts.headers['content-type'] ?? '', parts.body)).toEqual([
        { range: `bytes 100-199/${sizeBytes}`, bytes: bytes.subarray(100, 200) },
        { range: `bytes 0-9/${sizeBytes}`, bytes: bytes.subarray(0, 10) },
        { range: `bytes 2995-2999/${sizeBytes}`, bytes: bytes.subarray(2995) },
      ])
    })

    it.each([
      ['more ranges than are served at once', Array.from({ length: 65 }, (_, index) => `${index}-${index}`).join(',')],
      ['the same bytes again and again', '0-,0-,0-'],
    ])('is refused for %s', async (_, ranges) => {
      const { client, newRepository, pushBlob } = registry()
      const repository = await newRepository()
      const digest = await pushBlob(repository, bytes)

      const refused = await client.request('GET', `/v2/${repository}/blobs/${digest}`, { headers: { range: `bytes=${ranges}` } })

      expect(refused.status).toBe(400)
    })

    it('is sent in part only if it is what the client has begun', async () => {
      const { client, newRepository, pushBlob } = registry()
      const repository = await newRepository()
      const digest = await pushBlob(repository, bytes)
      const get = (ifRange: string) =>
        client.request('GET', `/v2/${repository}/blobs/${digest}`, { headers: { range: 'bytes=0-9', 'if-range': ifRange } })

      expect((await get(`"${digest}"`)).status).toBe(206)
      expect((await get(`"${absent}"`)).status).toBe(200)
      expect((await get('Wed, 21 Oct 2015 07:28:00 GMT')).status).toBe(200)
    })

    it('is not sent again to who has it', async () => {
      const { client, newRepository, pushBlob } = registry()
      const repository = await newRepository()
      const digest = await pushBlob(repository, bytes)

      for (const method of ['GET', 'HEAD']) {
        const answer = await client.request(method, `/v2/${repository}/blobs/${digest}`, { headers: { 'if-none-match': `"${digest}"` } })
        expect([answer.status, answer.body.length]).toEqual([304, 0])
        expect(answer.headers.etag).toBe(`"${digest}"`)
      }
    })

    it('may be empty, with or without a range', async () => {
      const { client, newRepository, pushBlob } = registry()
      const repository = await newRepository()
      const digest = await pushBlob(repository, '')

      for (const headers of [{}, { range: 'bytes=0-' }]) {
        const pulled = await client.request('GET', `/v2/${repository}/blobs/${digest}`, { headers })
        expect([pulled.status, pulled.headers['content-length']]).toEqual([200, '0'])
      }
    })

    it('is ranged for GET alone', async () => {
      const { client, newRepository, pushBlob } = registry()
      const repository = await newRepository()
      const digest = await pushBlob(repository, bytes)

      const head = await client.request('HEAD', `/v2/${repository}/blobs/${digest}`, { headers: { range: 'bytes=0-9' } })

      expect([head.status, head.headers['content-length']]).toEqual([200, String(sizeBytes)])
    })

    it('of large size arrives whole while others are pulled', async () => {
      const { client, newRepository, pushBlob } = registry()
      const repository = await newRepository()
      const large = randomContent(10_000_000, 'large')
      const digest = await pushBlob(repository, large)

      const pulled = await Promise.all([1, 2, 3, 4].map(() => client.request('GET', `/v2/${repository}/blobs/${digest}`)))

      for (const { body } of pulled) expect(digestOf(body)).toBe(digest)
    })

    it.each([
      ['a digest that nobody has', absent, 404, 'BLOB_UNKNOWN'],
      ['no digest', 'sha256:baddigeststring', 400, 'DIGEST_INVALID'],
      ['a tag', 'latest', 400, 'DIGEST_INVALID'],
      ['another algorithm', `md5:${'0'.repeat(32)}`, 400, 'DIGEST_INVALID'],
    ])('is not found by %s', async (_, reference, status, code) => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const get = await client.request('GET', `/v2/${repository}/blobs/${reference}`)
      expect([get.status, errorCodeOf(get)]).toEqual([status, code])
      const head = await client.request('HEAD', `/v2/${repository}/blobs/${reference}`)
      expect([head.status, head.body.length]).toEqual([status, 0])
    })

    it('of another repository is as unknown as one that nobody has', async () => {
      const { client, newRepository, pushBlob } = registry()
      const [mine, other] = [await newRepository(), await newRepository()]
      const digest = await pushBlob(mine, 'not shared with anybody')

      const elsewhere = await client.request('GET', `/v2/${other}/blobs/${digest}`)
      const nowhere = await client.request('GET', `/v2/${other}/blobs/${absent}`)

      expect([elsewhere.status, nowhere.status]).toEqual([404, 404])
      const withoutDigest = (text: string) => text.replaceAll(digest, 'DIGEST').replaceAll(absent, 'DIGEST')
      expect(withoutDigest(elsewhere.body.toString())).toBe(withoutDigest(nowhere.body.toString()))
      expect((await client.request('HEAD', `/v2/${other}/blobs/${digest}`)).status).toBe(404)
    })
  })

  describe('what other clients put into an index', () => {
    it('is served again: BuildKit’s cache lists layers', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const cache = buildBuildkitCache('cached')
      await pushImage(repository, cache, 'cache')

      const pulled = await client.request('GET', `/v2/${repository}/manifests/cache`)

      expect(pulled.body.equals(cache.manifest.bytes)).toBe(true)
      for (const blob of cache.blobs) expect(await pull(client, repository, blob)).toBe(true)
    })
  })

  async function pull(client: ReturnType<typeof registry>['client'], repository: string, blob: Content): Promise<boolean> {
    const { status, body } = await client.request('GET', `/v2/${repository}/blobs/${blob.digest}`)
    return status === 200 && body.equals(blob.bytes)
  }
})

/** The parts of a multipart/byteranges body, read as RFC 2046 has it. */
function multipart(contentType: string, body: Buffer): { range: string | undefined; bytes: Buffer }[] {
  const boundary = /^multipart\/byteranges; boundary=([0-9a-zA-Z]+)$/.exec(contentType)?.[1]
  if (boundary === undefined) throw new Error(`not multipart: ${contentType}`)
  const parts = body.toString('latin1').split(`\r\n--${boundary}`)
  expect(parts.shift()).toBe('')
  expect(parts.pop()).toBe('--\r\n')
  return parts.map((part) => {
    const end = part.indexOf('\r\n\r\n')
    return {
      range: /content-range: (.*)/i.exec(part.slice(0, end))?.[1]?.trim(),
      bytes: Buffer.from(part.slice(end + 4), 'latin1'),
    }
  })
}

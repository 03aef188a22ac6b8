import { describe, expect, it } from 'vitest'
import { digestOf, randomContent, withDigest } from '../support/images.ts'
import { errorCodeOf, locationOf, onEveryDatabase, type RegistryUnderTest } from './registry-under-test.ts'

const absent = `sha256:${'0'.repeat(64)}`
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

async function* pieces(...parts: readonly (Buffer | string)[]): AsyncGenerator<Buffer> {
  for (const part of parts) yield Buffer.from(part)
}

onEveryDatabase((registry) => {
  const uploads = (repository: string) => `/v2/${repository}/blobs/uploads/`

  async function begin({ client }: RegistryUnderTest, repository: string): Promise<string> {
    return locationOf(await client.request('POST', uploads(repository)))
  }

  async function expectStored({ client }: RegistryUnderTest, repository: string, bytes: Uint8Array | string): Promise<void> {
    const digest = digestOf(Buffer.from(bytes))
    const pulled = await client.request('GET', `/v2/${repository}/blobs/${digest}`)
    expect(pulled.status).toBe(200)
    expect(digestOf(pulled.body)).toBe(digest)
  }

  describe('POST then PUT (distribution-spec, "Pushing a blob monolithically")', () => {
    it('begins a session at a relative Location', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const begun = await client.request('POST', uploads(repository))

      expect(begun.status).toBe(202)
      expect(begun.headers).toMatchObject({ range: '0-0', 'content-length': '0', 'docker-distribution-api-version': 'registry/2.0' })
      expect(begun.headers['docker-upload-uuid']).toMatch(uuid)
      expect(begun.headers.location).toBe(`${uploads(repository)}${String(begun.headers['docker-upload-uuid'])}`)
      expect(Number(begun.headers['oci-chunk-min-length'])).toBeGreaterThan(0)
    })

    it('takes the blob and says where it is', async () => {
      const subject = registry()
      const repository = await subject.newRepository()
      const digest = digestOf(Buffer.from('hello'))

      const done = await subject.client.request('PUT', withDigest(await begin(subject, repository), digest), { body: 'hello' })

      expect(done.status).toBe(201)
      expect(done.headers).toMatchObject({
        location: `/v2/${repository}/blobs/${digest}`,
        'docker-content-digest': digest,
        'content-length': '0',
      })
      await expectStored(subject, repository, 'hello')
    })

    it.each([0, 1, 65_536, 3_000_001])('takes %i bytes', async (sizeBytes) => {
      const subject = registry()
      const repository = await subject.newRepository()
      const bytes = randomContent(sizeBytes, `monolithic ${sizeBytes}`)

      await subject.pushBlob(repository, bytes)

      await expectStored(subject, repository, bytes)
    })

    it('takes sha512 digests, announced or not', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()
      const digest = digestOf(Buffer.from('wide'), 'sha512')

      for (const query of ['', '?digest-algorithm=sha512']) {
        const begun = await client.request('POST', uploads(repository) + query)
        const done = await client.request('PUT', withDigest(locationOf(begun), digest), { body: 'wide' })
        expect(done.status).toBe(201)
        expect(done.headers['docker-content-digest']).toBe(digest)
      }

      const pulled = await client.request('GET', `/v2/${repository}/blobs/${digest}`)
      expect(pulled.body.toString()).toBe('wide')
    })

    it('keeps the query that a Location came with, and takes the digest unescaped', async () => {
      const subject = registry()
      const repository = await subject.newRepository()
      const digest = digestOf(Buffer.from('state'))

      const location = await begin(subject, repository)
      const done = await subject.client.request('PUT', `${location}?_state=a%2Fb&ns=docker.io&digest=${digest}`, { body: 'state' })

      expect(done.status).toBe(201)
    })

    it('may push the same blob again', async () => {
      const subject = registry()
      const repository = await subject.newRepository()

      await subject.pushBlob(repository, 'twice')
      await subject.pushBlob(repository, 'twice')

      await expectStored(subject, repository, 'twice')
    })
  })

  describe('a single POST', () => {
    it('uploads a whole blob', async () => {
      const subject = registry()
      const repository = await subject.newRepository()
      const digest = digestOf(Buffer.from('one request'))

      const done = await subject.client.request('POST', withDigest(uploads(repository), digest), { body: 'one request' })

      expect(done.status).toBe(201)
      expect(done.headers).toMatchObject({ location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest })
      await expectStored(subject, repository, 'one request')
    })

    it('uploads the empty blob', async () => {
      const subject = registry()
      const repository = await subject.newRepository()

      const done = await subject.client.request('POST', withDigest(uploads(repository), digestOf(Buffer.alloc(0))))

      expect(done.status).toBe(201)
      await expectStored(subject, repository, '')
    })

    it('refuses other bytes than the digest’s', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const refused = await client.request('POST', withDigest(uploads(repository), absent), { body: 'other' })

      expect(refused.status).toBe(400)
      expect(errorCodeOf(refused)).toBe('DIGEST_INVALID')
      expect((await client.request('HEAD', `/v2/${repository}/blobs/${absent}`)).status).toBe(404)
    })
  })

  describe('a stream (PATCH without Content-Range)', () => {
    it('of unknown length is appended, and closed by an empty PUT', async () => {
      const subject = registry()
      const repository = await subject.newRepository()
      const location = await begin(subject, repository)

      const patched = await subject.client.request('PATCH', location, { body: pieces('some', ' bytes') })
      expect(patched.status).toBe(202)
      expect(patched.headers).toMatchObject({ range: '0-9', location, 'content-length': '0' })
      expect(patched.headers['docker-upload-uuid']).toMatch(uuid)

      const done = await subject.client.request('PUT', withDigest(locationOf(patched), digestOf(Buffer.from('some bytes'))))
      expect(done.status).toBe(201)
      await expectStored(subject, repository, 'some bytes')
    })

    it('may come in several requests, an empty one among them', async () => {
      const subject = registry()
      const repository = await subject.newRepository()
      let location = await begin(subject, repository)

      for (const [body, range] of [['', '0-0'], ['a', '0-0'], ['', '0-0'], ['bc', '0-2']] as const) {
        const patched = await subject.client.request('PATCH', location, { body })
        expect([patched.status, patched.headers.range]).toEqual([202, range])
        location = locationOf(patched)
      }

      const done = await subject.client.request('PUT', withDigest(location, digestOf(Buffer.from('abcd'))), { body: 'd' })
      expect(done.status).toBe(201)
      await expectStored(subject, repository, 'abcd')
    })

    it('of large size arrives whole', async () => {
      const subject = registry()
      const repository = await subject.newRepository()
      const bytes = randomContent(20_000_000, 'stream')

      const patched = await subject.client.request('PATCH', await begin(subject, repository), { body: pieces(bytes) })
      expect(patched.headers.range).toBe('0-19999999')
      const done = await subject.client.request('PUT', withDigest(locationOf(patched), digestOf(bytes)))

      expect(done.status).toBe(201)
      await expectStored(subject, repository, bytes)
    })
  })

  describe('chunks (PATCH with Content-Range)', () => {
    const chunk = (range: string, body: string) => ({ headers: { 'content-range': range }, body })

    it('are put together in order, the last one in the PUT', async () => {
      const subject = registry()
      const repository = await subject.newRepository()
      let location = await begin(subject, repository)

      for (const [range, body] of [['0-3', 'abcd'], ['4-4', 'e'], ['bytes 5-6/*', 'fg']] as const) {
        const patched = await subject.client.request('PATCH', location, chunk(range, body))
        expect(patched.status).toBe(202)
        location = locationOf(patched)
      }
      const done = await subject.client.request('PUT', withDigest(location, digestOf(Buffer.from('abcdefgh'))), chunk('7-7', 'h'))

      expect(done.status).toBe(201)
      await expectStored(subject, repository, 'abcdefgh')
    })

    it.each([
      ['ahead', '8-11', 'ijkl'],
      ['back at the start', '0-3', 'abcd'],
      ['overlapping', '3-6', 'defg'],
    ])('are refused %s, with the place to go on', async (_, range, body) => {
      const subject = registry()
      const repository = await subject.newRepository()
      const location = await begin(subject, repository)
      await subject.client.request('PATCH', location, chunk('0-3', 'abcd'))

      const patched = await subject.client.request('PATCH', location, chunk(range, body))
      const put = await subject.client.request('PUT', withDigest(location, absent), chunk(range, body))

      for (const refused of [patched, put]) {
        expect(refused.status).toBe(416)
        expect(refused.headers).toMatchObject({ location, range: '0-3' })
        expect(errorCodeOf(refused)).toBe('BLOB_UPLOAD_INVALID')
      }
      const status = await subject.client.request('GET', location)
      expect([status.status, status.headers.range]).toEqual([204, '0-3'])
      const done = await subject.client.request('PUT', withDigest(location, digestOf(Buffer.from('abcdef'))), chunk('4-5', 'ef'))
      expect(done.status).toBe(201)
    })

    it('are refused before any byte when the first does not start at 0', async () => {
      const subject = registry()
      const repository = await subject.newRepository()

      const refused = await subject.client.request('PATCH', await begin(subject, repository), chunk('5-6', 'fg'))

      expect([refused.status, refused.headers.range]).toEqual([416, '0-0'])
    })

    it.each([
      ['3-0', 'abcd', 'BLOB_UPLOAD_INVALID'],
      ['nonsense', 'abcd', 'BLOB_UPLOAD_INVALID'],
      ['0-9', 'abcd', 'SIZE_INVALID'],
    ])('are refused with a Content-Range of %s', async (range, body, code) => {
      const subject = registry()
      const repository = await subject.newRepository()

      const refused = await subject.client.request('PATCH', await begin(subject, repository), chunk(range, body))

      expect(refused.status).toBe(400)
      expect(errorCodeOf(refused)).toBe(code)
    })

    it('of two writers go to one of them', async () => {
      const subject = registry()
      const repository = await subject.newRepository()
      const location = await begin(subject, repository)

      const answers = await Promise.all(
        ['aaaa', 'bbbb'].map((body) => subject.client.request('PATCH', location, chunk('0-3', body))),
      )

      const statuses = answers.map(({ status }) => status).toSorted()
      expect([[202, 416]]).toContainEqual(statuses)
      const { headers } = await subject.client.request('GET', location)
      expect(headers.range).toBe('0-3')
    })
  })

  describe('a session', () => {
    it('tells where it stands', async () => {
      const subject = registry()
      const repository = await subject.newRepository()
      const location = await begin(subject, repository)

      const fresh = await subject.client.request('GET', location)
      expect([fresh.status, fresh.headers.range, fresh.headers.location]).toEqual([204, '0-0', location])
      expect(fresh.headers['docker-upload-uuid']).toMatch(uuid)

      await subject.client.request('PATCH', location, { body: 'x'.repeat(100) })
      expect((await subject.client.request('GET', location)).headers.range).toBe('0-99')
      expect((await subject.client.request('HEAD', location)).headers.range).toBe('0-99')
    })

    it('is gone once it is cancelled', async () => {
      const subject = registry()
      const repository = await subject.newRepository()
      const location = await begin(subject, repository)

      expect((await subject.client.request('DELETE', location)).status).toBe(204)

      for (const [method, path] of [['GET', location], ['PATCH', location], ['DELETE', location], ['PUT', withDigest(location, absent)]] as const) {
        const answer = await subject.client.request(method, path, method === 'PATCH' ? { body: 'late' } : {})
        expect(answer.status).toBe(404)
        expect(errorCodeOf(answer)).toBe('BLOB_UPLOAD_UNKNOWN')
      }
    })

    it('is gone once it is complete', async () => {
      const subject = registry()
      const repository = await subject.newRepository()
      const location = await begin(subject, repository)
      const digest = digestOf(Buffer.from('done'))
      await subject.client.request('PUT', withDigest(location, digest), { body: 'done' })

      expect((await subject.client.request('GET', location)).status).toBe(404)
      expect((await subject.client.request('PATCH', location, { body: 'done' })).status).toBe(404)
      expect((await subject.client.request('PUT', withDigest(location, digestOf(Buffer.from('other'))), { body: 'other' })).status).toBe(404)
    })

    // Whose answer was lost on the way asks again, and is told the truth.
    it('answers a completion that is repeated as it did before', async () => {
      const subject = registry()
      const repository = await subject.newRepository()
      const location = await begin(subject, repository)
      const complete = () =>
        subject.client.request('PUT', withDigest(location, digestOf(Buffer.from('done'))), { body: 'done' })

      const [first, second] = [await complete(), await complete()]

      expect([second.status, second.headers.location]).toEqual([201, first.headers.location])
      expect(second.headers['docker-content-digest']).toBe(first.headers['docker-content-digest'])
    })

    it.each(['7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00', 'nonsense', '%2e%2e', 'a'.repeat(100)])('named %s is unknown', async (id) => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const answer = await client.request('PATCH', uploads(repository) + id, { body: 'x' })

      expect(answer.status).toBe(404)
      expect(errorCodeOf(answer)).toBe('BLOB_UPLOAD_UNKNOWN')
    })

    it('belongs to its repository', async () => {
      const subject = registry()
      const [mine, other] = [await subject.newRepository(), await subject.newRepository()]
      const location = (await begin(subject, mine)).replace(mine, other)

      expect((await subject.client.request('GET', location)).status).toBe(404)
      expect((await subject.client.request('PATCH', location, { body: 'x' })).status).toBe(404)
      expect((await subject.client.request('DELETE', location)).status).toBe(404)
    })
  })

  describe('a digest', () => {
    it('that the bytes do not have is refused, and the blob is not there', async () => {
      const subject = registry()
      const repository = await subject.newRepository()

      const refused = await subject.client.request('PUT', withDigest(await begin(subject, repository), absent), { body: 'other' })

      expect(refused.status).toBe(400)
      expect(errorCodeOf(refused)).toBe('DIGEST_INVALID')
      expect((await subject.client.request('HEAD', `/v2/${repository}/blobs/${absent}`)).status).toBe(404)
    })

    it.each([
      ['is missing', ''],
      ['is empty', '?digest='],
      ['is no digest', '?digest=sha256:baddigeststring'],
      ['is too short', `?digest=sha256:${'a'.repeat(63)}`],
      ['is in upper case', `?digest=sha256:${'A'.repeat(64)}`],
      ['has an unknown algorithm', `?digest=md5:${'a'.repeat(32)}`],
      ['leads elsewhere', '?digest=sha256:..%2f..%2fetc'],
    ])('is refused where it %s', async (_, query) => {
      const subject = registry()
      const repository = await subject.newRepository()
      const location = await begin(subject, repository)

      const refused = await subject.client.request('PUT', location + query, { body: 'x' })

      expect(refused.status).toBe(400)
      expect(errorCodeOf(refused)).toBe('DIGEST_INVALID')
      expect((await subject.client.request('GET', location)).status).toBe(204)
    })

    it('given twice with two values is refused', async () => {
      const subject = registry()
      const repository = await subject.newRepository()
      const digest = digestOf(Buffer.from('x'))

      const refused = await subject.client.request('PUT', `${await begin(subject, repository)}?digest=${digest}&digest=${absent}`, { body: 'x' })

      expect(refused.status).toBe(400)
    })

    it('algorithm that cannot be used is refused at the start', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const refused = await client.request('POST', `${uploads(repository)}?digest-algorithm=md5`)

      expect([refused.status, errorCodeOf(refused)]).toEqual([400, 'DIGEST_INVALID'])
    })
  })

  describe('mounting (distribution-spec, "Mounting a blob from another repository")', () => {
    const mount = (repository: string, digest: string, from?: string) =>
      `${uploads(repository)}?mount=${encodeURIComponent(digest)}${from === undefined ? '' : `&from=${encodeURIComponent(from)}`}`

    it('takes a blob of the named repository', async () => {
      const subject = registry()
      const [source, target] = [await subject.newRepository(), await subject.newRepository()]
      const digest = await subject.pushBlob(source, 'shared by name')

      const mounted = await subject.client.request('POST', mount(target, digest, source))

      expect(mounted.status).toBe(201)
      expect(mounted.headers).toMatchObject({ location: `/v2/${target}/blobs/${digest}`, 'docker-content-digest': digest })
      await expectStored(subject, target, 'shared by name')
    })

    it('takes a blob of any repository that the caller may pull from', async () => {
      const subject = registry()
      const [source, target] = [await subject.newRepository(), await subject.newRepository()]
      const digest = await subject.pushBlob(source, 'shared by anybody')

      const mounted = await subject.client.request('POST', mount(target, digest))

      expect(mounted.status).toBe(201)
      await expectStored(subject, target, 'shared by anybody')
    })

    it.each([
      ['the blob is nowhere', absent, 'self'],
      ['the blob is not in the source', undefined, 'self'],
      ['the source is not there', undefined, 'no/such-repository'],
      ['the source is no repository name', undefined, '../UPPER'],
      ['nobody has the blob', absent, undefined],
    ])('begins an upload where %s', async (_, digest, from) => {
      const subject = registry()
      const [source, target] = [await subject.newRepository(), await subject.newRepository()]
      const wanted = digest ?? (await subject.pushBlob(source, `not mounted from ${from ?? 'anywhere'}`))

      const begun = await subject.client.request('POST', mount(target, wanted, from === 'self' ? target : from))

      expect(begun.status).toBe(202)
      expect((await subject.client.request('GET', locationOf(begun))).status).toBe(204)
      expect((await subject.client.request('HEAD', `/v2/${target}/blobs/${wanted}`)).status).toBe(404)
    })

    it('refuses what is no digest', async () => {
      const { client, newRepository } = registry()

      const refused = await client.request('POST', mount(await newRepository(), 'sha256:nonsense'))

      expect([refused.status, errorCodeOf(refused)]).toEqual([400, 'DIGEST_INVALID'])
    })
  })

  describe('a repository that is not there', () => {
    it.each([
      ['POST', '/v2/no/such/blobs/uploads/'],
      ['POST', `/v2/no/such/blobs/uploads/?digest=${absent}`],
      ['POST', `/v2/no/such/blobs/uploads/?mount=${absent}&from=other`],
      ['PATCH', '/v2/no/such/blobs/uploads/7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00'],
      ['PUT', `/v2/no/such/blobs/uploads/7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00?digest=${absent}`],
      ['GET', '/v2/no/such/blobs/uploads/7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00'],
      ['DELETE', '/v2/no/such/blobs/uploads/7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00'],
    ])('answers %s %s with NAME_UNKNOWN', async (method, path) => {
      const answer = await registry().client.request(method, path, ['GET', 'DELETE'].includes(method) ? {} : { body: 'x' })

      expect([answer.status, errorCodeOf(answer)]).toEqual([404, 'NAME_UNKNOWN'])
    })
  })
})

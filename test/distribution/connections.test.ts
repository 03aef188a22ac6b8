import { describe, expect, it, vi } from 'vitest'
import { buildImage, digestOf, randomContent, withDigest } from '../support/images.ts'
import { openConnection, type RawConnection } from './raw-connection.ts'
import { locationOf, onEveryDatabase } from './registry-under-test.ts'

const mebibyte = 1024 * 1024

onEveryDatabase((registry) => {
  const connection = (authorization?: string | null): Promise<RawConnection> =>
    openConnection(registry().platform.url, authorization === undefined ? registry().platform.authorization : authorization)

  async function begin(repository: string): Promise<string> {
    return locationOf(await registry().client.request('POST', `/v2/${repository}/blobs/uploads/`))
  }

  const rangeOf = async (location: string) => (await registry().client.request('GET', location)).headers.range

  describe('a client that waits for "100 Continue"', () => {
    it('is asked for the body once it is known and allowed', async () => {
      const location = await begin(await registry().newRepository())
      const raw = await connection()

      raw.sendHead(`PATCH ${location} HTTP/1.1`, { 'Content-Length': 4, Expect: '100-continue' })
      expect((await raw.nextAnswer()).status).toBe(100)
      raw.send('abcd')

      expect(await raw.nextAnswer()).toMatchObject({ status: 202, headers: { range: '0-3' } })
      raw.cut()
    })

    it.each(['PATCH', 'PUT'])('is refused before the body without credentials: %s', async (method) => {
      const location = await begin(await registry().newRepository())
      const raw = await connection(null)

      raw.sendHead(`${method} ${withDigest(location, digestOf(Buffer.from('x')))} HTTP/1.1`, { 'Content-Length': 4, Expect: '100-continue' })

      expect(await raw.nextAnswer()).toMatchObject({ status: 401, headers: { connection: 'close' } })
      await raw.closed()
    })

    it('is refused before the body where the manifest is too large', async () => {
      const repository = await registry().newRepository()
      const raw = await connection()

      raw.sendHead(`PUT /v2/${repository}/manifests/v1 HTTP/1.1`, { 'Content-Length': 5 * mebibyte, Expect: '100-continue' })

      expect((await raw.nextAnswer()).status).toBe(413)
      await raw.closed()
    })
  })

  describe('an answer before the body was read', () => {
    it('leaves the connection in step where the rest is short', async () => {
      const repository = await registry().newRepository()
      const raw = await connection()

      raw.sendHead('PUT /v2/no/such/blobs/uploads/none?digest=nonsense HTTP/1.1', { 'Content-Length': 1000 })
      expect((await raw.nextAnswer()).status).toBe(400)
      raw.send('GET /v2/ HTTP/1.1\r\n\r\n'.padEnd(1000, 'x'))
      raw.sendHead(`GET /v2/${repository}/tags/list HTTP/1.1`)

      expect(await raw.nextAnswer()).toMatchObject({ status: 200, body: JSON.stringify({ name: repository, tags: [] }) })
      raw.cut()
    })

    it('leaves the connection in step after a refusal in the middle of a body', async () => {
      const repository = await registry().newRepository()
      const raw = await connection()

      // One byte more than a manifest may have, in chunks, so that nobody knows before it came.
      raw.sendHead(`PUT /v2/${repository}/manifests/v1 HTTP/1.1`, { 'Transfer-Encoding': 'chunked' })
      raw.send(`${(4 * mebibyte + 1).toString(16)}\r\n`)
      raw.send(Buffer.alloc(4 * mebibyte + 1, 'x'))
      raw.send('\r\n0\r\n\r\n')

      const refused = await raw.nextAnswer()
      expect(refused.status).toBe(413)
      expect(refused.headers['connection']).toBe('close')
      await raw.closed()
    })

    it.each([
      ['with a length', { 'Content-Length': 64 * mebibyte }],
      ['without a length', { 'Transfer-Encoding': 'chunked' }],
    ])('reaches a client that is still sending, %s, and ends the connection', async (_, headers) => {
      const location = await begin(await registry().newRepository())
      const raw = await connection(null)

      raw.sendHead(`PATCH ${location} HTTP/1.1`, headers)
      if ('Transfer-Encoding' in headers) raw.send(`${(64 * mebibyte).toString(16)}\r\n`)
      for (let sent = 0; sent < 64; sent++) raw.send(Buffer.alloc(mebibyte))

      const answer = await raw.nextAnswer()
      expect(answer).toMatchObject({ status: 401, headers: { connection: 'close' }, body: 'Not Authorized\n' })
      await raw.closed()
      expect(await rangeOf(location)).toBe('0-0')
    })

    it('has no body for HEAD, and the next answer follows it', async () => {
      const repository = await registry().newRepository()
      const raw = await connection()

      raw.sendHead(`HEAD /v2/${repository}/manifests/none HTTP/1.1`)
      raw.sendHead('HEAD /v2/no/such/manifests/none HTTP/1.1')
      raw.sendHead('GET /v2/ HTTP/1.1')

      for (let count = 0; count < 2; count++) {
        const head = await raw.nextAnswer({ toHead: true })
        expect(head).toMatchObject({ status: 404, headers: { 'content-type': 'application/json', 'docker-distribution-api-version': 'registry/2.0' } })
        expect(Number(head.headers['content-length'])).toBeGreaterThan(0)
      }
      expect(await raw.nextAnswer()).toMatchObject({ status: 200, body: '{}' })
      raw.cut()
    })

    it('of a request that should have no body ignores it', async () => {
      const repository = await registry().newRepository()
      const raw = await connection()

      raw.sendHead(`GET /v2/${repository}/tags/list HTTP/1.1`, { 'Content-Length': 5 })
      raw.send('extra')
      raw.sendHead('GET /v2/ HTTP/1.1')

      expect((await raw.nextAnswer()).status).toBe(200)
      expect(await raw.nextAnswer()).toMatchObject({ status: 200, body: '{}' })
      raw.cut()
    })
  })

  describe('a body that ends early', () => {
    const bytes = randomContent(300_000, 'cut off')

    async function cutAfter(sentBytes: number, method: string, target: string, headers: Record<string, string | number>): Promise<void> {
      const raw = await connection()
      raw.sendHead(`${method} ${target} HTTP/1.1`, headers)
      raw.send(bytes.subarray(0, sentBytes))
      // Until the server has begun to write, there is nothing of it to keep.
      await new Promise((resolve) => setTimeout(resolve, 100))
      raw.cut()
    }

    it.each([2, 1000, 65_536, 299_999])('after %i bytes of a PATCH can be resumed there', async (sentBytes) => {
      const { client, newRepository } = registry()
      const repository = await newRepository()
      const location = await begin(repository)

      await cutAfter(sentBytes, 'PATCH', location, { 'Content-Length': bytes.length })

      await vi.waitFor(async () => expect(await rangeOf(location)).toBe(`0-${sentBytes - 1}`), 5_000)
      const rest = bytes.subarray(sentBytes)
      const resumed = await client.request('PATCH', location, {
        body: rest,
        headers: { 'content-range': `${sentBytes}-${bytes.length - 1}` },
      })
      expect(resumed.status).toBe(202)
      const done = await client.request('PUT', withDigest(location, digestOf(bytes)))
      expect(done.status).toBe(201)
      expect(digestOf((await client.request('GET', locationOf(done))).body)).toBe(digestOf(bytes))
    })

    it('in the closing PUT leaves no blob and a session to resume', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()
      const location = await begin(repository)
      const digest = digestOf(bytes)

      await cutAfter(100_000, 'PUT', withDigest(location, digest), { 'Content-Length': bytes.length })

      await vi.waitFor(async () => expect(await rangeOf(location)).toBe('0-99999'), 5_000)
      expect((await client.request('HEAD', `/v2/${repository}/blobs/${digest}`)).status).toBe(404)
      const done = await client.request('PUT', withDigest(location, digest), { body: bytes.subarray(100_000) })
      expect(done.status).toBe(201)
    })

    it('in a single POST leaves nothing', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()
      const digest = digestOf(bytes)

      await cutAfter(100_000, 'POST', withDigest(`/v2/${repository}/blobs/uploads/`, digest), { 'Content-Length': bytes.length })

      expect((await client.request('HEAD', `/v2/${repository}/blobs/${digest}`)).status).toBe(404)
    })

    it('of a manifest leaves no manifest', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository()
      const image = buildImage({ seed: 'cut off' })
      await pushImage(repository, image)

      const raw = await connection()
      raw.sendHead(`PUT /v2/${repository}/manifests/v1 HTTP/1.1`, {
        'Content-Type': image.manifest.mediaType,
        'Content-Length': image.manifest.bytes.length,
      })
      raw.send(image.manifest.bytes.subarray(0, -1))
      raw.cut()

      expect((await client.request('HEAD', `/v2/${repository}/manifests/v1`)).status).toBe(404)
    })

    it('in broken chunks keeps what came before', async () => {
      const location = await begin(await registry().newRepository())
      const raw = await connection()

      raw.sendHead(`PATCH ${location} HTTP/1.1`, { 'Transfer-Encoding': 'chunked' })
      raw.send('4\r\nabcd\r\n')
      await new Promise((resolve) => setTimeout(resolve, 100))
      raw.send('nonsense\r\n')
      await raw.closed()

      await vi.waitFor(async () => expect(await rangeOf(location)).toBe('0-3'), 5_000)
    })
  })

  it('takes no more of a body than its Content-Length says: the rest is the next request', async () => {
    const location = await begin(await registry().newRepository())
    const raw = await connection()

    raw.sendHead(`PATCH ${location} HTTP/1.1`, { 'Content-Length': 4 })
    raw.send('abcd')
    raw.sendHead('GET /v2/ HTTP/1.1')

    expect(await raw.nextAnswer()).toMatchObject({ status: 202, headers: { range: '0-3' } })
    expect(await raw.nextAnswer()).toMatchObject({ status: 200, body: '{}' })
    raw.cut()
  })

  it('sets memory aside for so many manifests and asks the next to wait', async () => {
    const repository = await registry().newRepository()
    const all = await Promise.all(Array.from({ length: 20 }, () => connection()))
    for (const raw of all) {
      raw.sendHead(`PUT /v2/${repository}/manifests/v1 HTTP/1.1`, { 'Content-Length': 4 * mebibyte })
      raw.send(Buffer.alloc(4 * mebibyte - 1, 'x'))
    }

    const refused = await Promise.any(all.map((raw) => raw.nextAnswer()))

    expect(refused).toMatchObject({ status: 429, headers: { 'retry-after': '1' }, body: expect.stringContaining('TOOMANYREQUESTS') })
    for (const raw of all) raw.cut()
    const image = buildImage({ seed: 'after the rush' })
    await vi.waitFor(() => registry().pushImage(repository, image, 'v1'), 5_000)
  })

  it('holds nothing of a download whose client has gone', async () => {
    const { newRepository, platform, pushBlob } = registry()
    const repository = await newRepository()
    const digest = await pushBlob(repository, randomContent(20 * mebibyte, 'abandoned'))
    const { bytesInFlight } = platform.platform.counters

    for (let count = 0; count < 5; count++) {
      const raw = await connection()
      raw.sendHead(`GET /v2/${repository}/blobs/${digest} HTTP/1.1`)
      await new Promise((resolve) => setTimeout(resolve, 20))
      raw.cut()
    }

    await vi.waitFor(() => expect(bytesInFlight.inUseBytes).toBe(0), 5_000)
  })

  it('answers HTTP/1.0', async () => {
    const { newRepository, pushBlob } = registry()
    const repository = await newRepository()
    const digest = await pushBlob(repository, 'for an old client')
    const raw = await connection()

    raw.sendHead(`GET /v2/${repository}/blobs/${digest} HTTP/1.0`)

    expect(await raw.nextAnswer()).toMatchObject({ status: 200, body: 'for an old client' })
    await raw.closed()
  })

  it('asks the database no more than once for a manifest, beside the caller', async () => {
    const { client, newRepository, platform, pushImage } = registry()
    const repository = await newRepository()
    const image = buildImage({ seed: 'counted' })
    await pushImage(repository, image, 'v1')
    const { database } = platform.platform.counters

    for (const reference of ['v1', image.manifest.digest]) {
      await client.request('GET', `/v2/${repository}/manifests/${reference}`)
      // Pull times are written a second later, in one go.
      await new Promise((resolve) => setTimeout(resolve, 1_200))
      const before = database.statements
      await client.request('GET', `/v2/${repository}/manifests/${reference}`)
      expect(database.statements - before).toBeLessThanOrEqual(2)
    }
  })
})

import { readdirSync, statSync } from 'node:fs'
import { once } from 'node:events'
import { connect } from 'node:net'
import { basename, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { newKeyring, serializeKeyring } from '../../src/iam/keyring-document.ts'
import { systemClock } from '../../src/internal/clock.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { openConnection } from '../distribution/raw-connection.ts'
import { locationOf, onEveryDatabase } from '../distribution/registry-under-test.ts'
import { createDistributionClient, type ClientResponse, type DistributionClient } from '../support/distribution-client.ts'
import { digestOf, randomContent, withDigest } from '../support/images.ts'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'
import { createDatabase } from '../support/postgres.ts'

const settleTimeoutMs = 10_000
const bytes = randomContent(600_000, 'cut at every boundary')
const digest = digestOf(bytes)
const half = 300_000

function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

/** Where a session stands: the number of bytes it has, or undefined when it has ended. */
async function standingOf(client: DistributionClient, location: string): Promise<number | undefined> {
  const { status, headers } = await client.request('GET', location)
  if (status === 404) return undefined
  expect(status).toBe(204)
  const last = Number(String(headers.range).slice(2))
  return last === 0 ? 0 : last + 1
}

onEveryDatabase((registry) => {
  const begin = async (repository: string): Promise<string> =>
    locationOf(await registry().client.request('POST', `/v2/${repository}/blobs/uploads/`))

  const blobStatus = async (repository: string): Promise<number> =>
    (await registry().client.request('HEAD', `/v2/${repository}/blobs/${digest}`)).status

  /** Goes on from where the session is known to stand, in a chunk that says so, and closes it. */
  async function finish(repository: string, location: string, standing: number): Promise<void> {
    const { client } = registry()
    if (standing < bytes.length) {
      const rest = await client.request('PATCH', location, {
        headers: { 'content-range': `${standing}-${bytes.length - 1}` },
        body: bytes.subarray(standing),
      })
      expect([rest.status, rest.headers.range]).toEqual([202, `0-${bytes.length - 1}`])
    }
    expect((await client.request('PUT', withDigest(location, digest))).status).toBe(201)
    expect(digestOf((await client.request('GET', `/v2/${repository}/blobs/${digest}`)).body)).toBe(digest)
  }

  describe('a client that is gone', () => {
    let before: number
    const uploadFiles = (): string[] => readdirSync(join(registry().platform.dataDir, 'uploads'))

    beforeAll(async () => {
      // Connections of pools and agents are there from now on.
      await registry().newRepository('warm/up')
      before = descriptors()
    })

    afterEach(async () => {
      const { bytesInFlight } = registry().platform.platform.counters
      await vi.waitFor(() => expect(bytesInFlight.inUseBytes).toBe(0), settleTimeoutMs)
      // A few more connections to the database, but none for each request that was cut.
      await vi.waitFor(() => expect(descriptors() - before).toBeLessThan(12), settleTimeoutMs)
      expect(uploadFiles()).toEqual([])
    })

    it('after POST leaves an empty session', async () => {
      const repository = await registry().newRepository()
      const raw = await openConnection(registry().platform.url, registry().platform.authorization)
      raw.sendHead(`POST /v2/${repository}/blobs/uploads/ HTTP/1.1`, { 'Content-Length': 0 })
      const { location = '' } = (await raw.nextAnswer()).headers
      raw.cut()

      expect(await standingOf(registry().client, location)).toBe(0)
      await finish(repository, location, 0)
    })

    it('in the middle of a chunk leaves the session resumable at the byte that it says', async () => {
      const repository = await registry().newRepository()
      const location = await begin(repository)
      const file = join(registry().platform.dataDir, 'uploads', basename(location))
      for (let start = 0; start < half; start += 60_000) {
        const raw = await openConnection(registry().platform.url, registry().platform.authorization)
        raw.sendHead(`PATCH ${location} HTTP/1.1`, { 'Content-Length': bytes.length - start, 'Content-Range': `${start}-${bytes.length - 1}` })
        raw.send(bytes.subarray(start, start + 60_000))
        await vi.waitFor(() => expect(statSync(file).size).toBe(start + 60_000), settleTimeoutMs)
        raw.cut()
        await vi.waitFor(async () => expect(await standingOf(registry().client, location)).toBe(start + 60_000), settleTimeoutMs)
      }
      await finish(repository, location, half)
    })

    it.each(['PATCH', 'PUT'])('between the last byte of a %s and its answer leaves all of it or a session to resume', async (method) => {
      for (let count = 0; count < 5; count += 1) {
        const repository = await registry().newRepository()
        const location = await begin(repository)
        const raw = await openConnection(registry().platform.url, registry().platform.authorization)
        raw.sendHead(`${method} ${method === 'PUT' ? withDigest(location, digest) : location} HTTP/1.1`, { 'Content-Length': bytes.length })
        raw.send(bytes)
        await new Promise((resolve) => setTimeout(resolve, count * 6))
        raw.cut()
        // Whoever comes next waits for the request before to be over with.
        await vi.waitFor(async () => {
          const standing = await standingOf(registry().client, location)
          if (standing === undefined) expect([method, await blobStatus(repository)]).toEqual(['PUT', 200])
          else await finish(repository, location, standing)
        }, settleTimeoutMs)
      }
    })

    it('half, having closed its side behind a whole request, leaves a session to resume', async () => {
      const repository = await registry().newRepository()
      const location = await begin(repository)
      const { url, authorization } = registry().platform
      const socket = connect({ host: new URL(url).hostname, port: Number(new URL(url).port) })
      socket.on('error', () => undefined).resume()
      socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Length: ${half}\r\n\r\n`)
      socket.end(bytes.subarray(0, half))
      await once(socket, 'close')
      await vi.waitFor(async () => expect(await standingOf(registry().client, location)).toBe(half), settleTimeoutMs)
      await finish(repository, location, half)
    })

    it('half, in the middle of a body, leaves a session to resume', async () => {
      const repository = await registry().newRepository()
      const location = await begin(repository)
      const { url, authorization } = registry().platform
      const socket = connect({ host: new URL(url).hostname, port: Number(new URL(url).port) })
      socket.on('error', () => undefined).resume()
      socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Length: ${bytes.length}\r\n\r\n`)
      socket.end(bytes.subarray(0, half))
      await once(socket, 'close')
      await vi.waitFor(async () => expect(await standingOf(registry().client, location)).toBe(half), settleTimeoutMs)
      await finish(repository, location, half)
    })
  })

  describe('a length that is not true', () => {
    it.each([
      ['shorter', 100],
      ['longer', 300],
    ])('in Content-Range than in Content-Length (%s) is refused before any byte', async (_, lengthBytes) => {
      const { client, newRepository } = registry()
      const location = await begin(await newRepository())
      const answer = await client.request('PATCH', location, {
        headers: { 'content-range': `0-${lengthBytes - 1}` },
        body: bytes.subarray(0, 200),
      })
      expect([answer.status, (answer.json() as { errors: { code: string }[] }).errors[0]?.code]).toEqual([400, 'SIZE_INVALID'])
      expect(await standingOf(client, location)).toBe(0)
    })

    it.each([
      ['less', 100, 100],
      ['more', 300, 0],
    ])('in Content-Range where the chunked body has %s is refused, and the session says where it stands', async (_, sent, standing) => {
      const { client, newRepository } = registry()
      const repository = await newRepository()
      const location = await begin(repository)
      async function* body(): AsyncGenerator<Buffer> {
        yield bytes.subarray(0, sent)
      }
      const answer = await client.request('PATCH', location, { headers: { 'content-range': '0-199' }, body: body() })
      expect([400, 413]).toContain(answer.status)
      expect(await standingOf(client, location)).toBe(standing)
      await finish(repository, location, standing)
    })

    it('beside a transfer coding ends the connection before anything is taken', async () => {
      const { client, newRepository, platform } = registry()
      const location = await begin(await newRepository())
      const raw = await openConnection(platform.url, platform.authorization)
      raw.sendHead(`PATCH ${location} HTTP/1.1`, { 'Content-Length': 4, 'Transfer-Encoding': 'chunked' })
      raw.send('4\r\nabcd\r\n0\r\n\r\n')
      expect((await raw.nextAnswer()).status).toBe(400)
      await raw.closed()
      expect(await standingOf(client, location)).toBe(0)
    })
  })

  it.each([
    ['overlaps what is there', half - 1],
    ['leaves a gap', half + 1],
    ['repeats the first', 0],
  ])('a chunk that %s is refused with status 416 and the place to go on from', async (_, offset) => {
    const { client, newRepository } = registry()
    const repository = await newRepository()
    const location = await begin(repository)
    await client.request('PATCH', location, { body: bytes.subarray(0, half) })

    const answer = await client.request('PATCH', location, {
      headers: { 'content-range': `${offset}-${offset + 99_999}` },
      body: bytes.subarray(offset, offset + 100_000),
    })

    expect([answer.status, answer.headers.range, answer.headers.location]).toEqual([416, `0-${half - 1}`, location])
    await finish(repository, location, half)
  })
})

interface Site {
  readonly name: string
  /** Clients of the server, or of two that share database and files. */
  readonly clients: readonly [DistributionClient, DistributionClient]
  newRepository(): Promise<string>
  stop(): Promise<void>
}

async function oneServer(database: 'sqlite' | 'postgres'): Promise<Site> {
  const platform = await startTestPlatform({ database })
  const clients = [clientOf(platform), clientOf(platform)] as const
  return site(database, platform, clients, () => platform.stop())
}

async function twoServers(): Promise<Site> {
  const database = await createDatabase()
  const keyring = serializeKeyring(newKeyring(systemClock, systemIds))
  const shared = { database: 'postgres', databaseUrl: database.url, settings: { STOWAGE_KEYRING: keyring } } as const
  const first = await startTestPlatform(shared)
  const second = await startTestPlatform({ ...shared, dataDir: first.dataDir })
  const clients = [clientOf(first), clientOf(second)] as const
  return site('two servers on one PostgreSQL', first, clients, async () => {
    await second.stop()
    await first.stop()
    await database.drop()
  })
}

function clientOf({ url, credentials }: TestPlatform): DistributionClient {
  return createDistributionClient(url, { username: credentials.accessKeyId, password: credentials.secretAccessKey })
}

function site(name: string, platform: TestPlatform, clients: Site['clients'], stop: () => Promise<void>): Site {
  let made = 0
  return {
    name,
    clients,
    async newRepository() {
      made += 1
      await platform.createRepository(`writers/${made}`)
      return `writers/${made}`
    },
    async stop() {
      for (const client of clients) client.close()
      await stop()
    },
  }
}

describe.each([
  ['sqlite', () => oneServer('sqlite')],
  ['postgres', () => oneServer('postgres')],
  ['two servers on one PostgreSQL and one folder', twoServers],
])('two writers of one upload session, on %s', (_, start) => {
  let at: Site
  beforeAll(async () => (at = await start()))
  afterAll(() => at.stop())

  const rounds = 8

  async function begun(): Promise<{ repository: string; location: string }> {
    const repository = await at.newRepository()
    return { repository, location: locationOf(await at.clients[0].request('POST', `/v2/${repository}/blobs/uploads/`)) }
  }

  async function stored(repository: string): Promise<string | undefined> {
    const { status, body } = await at.clients[1].request('GET', `/v2/${repository}/blobs/${digest}`)
    return status === 200 ? digestOf(body) : undefined
  }

  const patch = (client: DistributionClient, location: string, part: Buffer, offset: number): Promise<ClientResponse> =>
    client.request('PATCH', location, { headers: { 'content-range': `${offset}-${offset + part.length - 1}` }, body: part })

  const put = (client: DistributionClient, location: string, body?: Buffer): Promise<ClientResponse> =>
    client.request('PUT', withDigest(location, digest), body === undefined ? {} : { body, headers: { 'content-range': `${bytes.length - body.length}-${bytes.length - 1}` } })

  /** After whatever happened: one more client finishes what is left, and the blob is right. */
  async function concludes(repository: string, location: string): Promise<void> {
    await vi.waitFor(async () => {
      const standing = await standingOf(at.clients[0], location)
      if (standing === undefined) return
      if (standing < bytes.length) expect((await patch(at.clients[0], location, bytes.subarray(standing), standing)).status).toBe(202)
      expect((await put(at.clients[0], location)).status).toBe(201)
    }, settleTimeoutMs)
    expect(await stored(repository)).toBe(digest)
  }

  it('PATCH and PATCH: one of them writes, the other is told where to go on or to come back', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const { repository, location } = await begun()
      const answers = await Promise.all(at.clients.map((client) => patch(client, location, bytes.subarray(0, half), 0)))
      expect(answers.filter(({ status }) => status === 202)).toHaveLength(1)
      expect([404, 416]).toContain(answers.find(({ status }) => status !== 202)?.status)
      expect(await standingOf(at.clients[1], location)).toBe(half)
      await concludes(repository, location)
    }
  })

  it('PATCH and PUT: the blob is right or is not there', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const { repository, location } = await begun()
      await patch(at.clients[0], location, bytes.subarray(0, half), 0)
      const rest = bytes.subarray(half)
      const [patched, completed] = await Promise.all([patch(at.clients[0], location, rest, half), put(at.clients[1], location, rest)])
      expect([patched.status, completed.status].filter((status) => status === 201 || status === 202)).toHaveLength(1)
      if (completed.status === 201) expect(await stored(repository)).toBe(digest)
      else expect([completed.status, await stored(repository)]).toEqual([expect.toBeOneOf([404, 416]), undefined])
      if (completed.status !== 201) await concludes(repository, location)
    }
  })

  it('PUT and PUT: one creates the blob, which the other may be told of as well', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const { repository, location } = await begun()
      await patch(at.clients[0], location, bytes.subarray(0, half), 0)
      const answers = await Promise.all(at.clients.map((client) => put(client, location, bytes.subarray(half))))
      const statuses = answers.map(({ status }) => status)
      expect(statuses).toContain(201)
      for (const status of statuses) expect([201, 404, 416]).toContain(status)
      expect(await stored(repository)).toBe(digest)
      expect(await standingOf(at.clients[0], location)).toBeUndefined()
    }
  })

  it('DELETE during PATCH: the session has ended, or it has the bytes', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const { repository, location } = await begun()
      const [patched, cancelled] = await Promise.all([
        patch(at.clients[0], location, bytes, 0),
        at.clients[1].request('DELETE', location),
      ])
      expect([202, 404, 416]).toContain(patched.status)
      expect([204, 404, 416]).toContain(cancelled.status)
      if (cancelled.status === 204) expect(await standingOf(at.clients[0], location)).toBeUndefined()
      else {
        expect(patched.status).toBe(202)
        await concludes(repository, location)
      }
    }
  })
})

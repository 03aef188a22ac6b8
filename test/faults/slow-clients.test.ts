import { ECRClient, CreateRepositoryCommand } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { basicAuth, createDistributionClient, type DistributionClient } from '../support/distribution-client.ts'
import { buildRandomImage, digestOf, pushImage, randomContent, withDigest } from '../support/images.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { comesTrue, descriptorCount, gatherCrowd, memoryBytes, type Crowd } from './crowd.ts'

const crowdSize = 1000
const repository = 'slow/app'
/** A tenth of the defaults, so that the test need not wait for those. */
const settings = {
  STOWAGE_HEADERS_TIMEOUT_MS: '4000',
  STOWAGE_UPLOAD_IDLE_TIMEOUT_MS: '4000',
  STOWAGE_DOWNLOAD_IDLE_TIMEOUT_MS: '4000',
  STOWAGE_LOG_LEVEL: 'warn',
}
/**
 * What a thousand connections may cost on top of what was there: some 50 KiB each, and for readers the budget of bytes in
 * flight and what the allocator keeps of it. A chunk of full size for each of them would be a gigabyte.
 */
const memoryAllowanceBytes = 400 * 1024 * 1024
const descriptorAllowance = 30
const normalRequests = 60
/** Many times the time-outs above. */
const endTimeoutMs = 90_000

let stowage: Stowage
let client: DistributionClient
const image = buildRandomImage([200_000], 'slow clients')
const large = randomContent(32 * 1024 * 1024, 'for slow readers')

beforeAll(async () => {
  stowage = await startStowage({ env: settings })
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
  ecr.destroy()
  await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, 'v1')
  client = createDistributionClient(stowage.url, stowage.credentials)
  await pushBlob(large)
  await serveNormally()
})

afterAll(async () => {
  client.close()
  await stowage.stop()
})

async function pushBlob(bytes: Buffer): Promise<number> {
  const begun = await client.request('POST', `/v2/${repository}/blobs/uploads/`)
  const done = await client.request('PUT', withDigest(begun.headers.location ?? '', digestOf(bytes)), { body: bytes })
  expect(done.status).toBe(201)
  return done.status
}

/** What everybody else does meanwhile; answers how long each request took. */
async function serveNormally(): Promise<number[]> {
  const durationsMs: number[] = []
  for (let count = 0; count < normalRequests; count += 1) {
    const startedAt = performance.now()
    if (count % 3 === 0) {
      expect((await client.request('GET', `/v2/${repository}/manifests/v1`)).status).toBe(200)
    } else if (count % 3 === 1) {
      const { digest } = image.blobs.at(-1)!
      expect(digestOf((await client.request('GET', `/v2/${repository}/blobs/${digest}`)).body)).toBe(digest)
    } else {
      await pushBlob(randomContent(10_000, `meanwhile ${count} ${startedAt}`))
    }
    durationsMs.push(performance.now() - startedAt)
  }
  return durationsMs.sort((a, b) => a - b)
}

const head = (requestLine: string, ...headers: string[]): string =>
  [`${requestLine} HTTP/1.1`, `Host: ${stowage.registryHost}`, `Authorization: ${basicAuth(stowage.credentials)}`, ...headers, ''].join('\r\n')

interface Slowness {
  readonly name: string
  gather(): Promise<Crowd>
}

const kinds: Slowness[] = [
  {
    name: 'in headers',
    gather: () => gatherCrowd({ url: stowage.url, size: crowdSize, opening: head('GET /v2/'), drip: { bytes: 'x', everyMs: 1000 } }),
  },
  {
    name: 'in bodies',
    async gather() {
      const opening = `${head(`POST /v2/${repository}/blobs/uploads/?digest=${digestOf(Buffer.from('never'))}`, 'Content-Length: 1000000')}\r\n`
      return gatherCrowd({ url: stowage.url, size: crowdSize, opening, drip: { bytes: 'x', everyMs: 1000 } })
    },
  },
  {
    name: 'readers of a large blob',
    gather: () =>
      gatherCrowd({
        url: stowage.url,
        size: crowdSize,
        opening: `${head(`GET /v2/${repository}/blobs/${digestOf(large)}`)}\r\n`,
        readBytesPerSecond: 1024,
      }),
  },
]

describe('a thousand slow clients', () => {
  it.each(kinds)('$name cost little, hold nobody up, and are ended', async ({ name, gather }) => {
    const before = { descriptors: descriptorCount(stowage.pid), memoryBytes: memoryBytes(stowage.pid) }
    const crowd = await gather()
    try {
      let peakBytes = 0
      const watch = setInterval(() => (peakBytes = Math.max(peakBytes, memoryBytes(stowage.pid))), 100)
      expect(descriptorCount(stowage.pid)).toBeGreaterThan(before.descriptors + crowdSize / 2)
      const durationsMs = await serveNormally()
      // Counted at the server: a reader learns of the end only behind all that was sent to it.
      const isBack = (): boolean => descriptorCount(stowage.pid) <= before.descriptors + descriptorAllowance
      const ended = await comesTrue(isBack, endTimeoutMs)
      clearInterval(watch)
      const grownBytes = peakBytes - before.memoryBytes
      const p99Ms = durationsMs[Math.floor(durationsMs.length * 0.99)]!
      process.stderr.write(
        `${crowdSize} ${name}: median ${durationsMs[normalRequests / 2]!.toFixed(1)} ms, ` +
          `p99 ${p99Ms.toFixed(0)} ms; ${(grownBytes / 2 ** 20).toFixed(0)} MiB more\n`,
      )
      expect(grownBytes).toBeLessThan(memoryAllowanceBytes)
      expect(p99Ms).toBeLessThan(10_000)
      expect([ended, descriptorCount(stowage.pid) - before.descriptors]).toEqual([true, expect.any(Number)])
    } finally {
      crowd.disperse()
    }
  })
})

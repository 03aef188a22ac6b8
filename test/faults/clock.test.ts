import { ECR, type ECRServiceException } from '@aws-sdk/client-ecr'
import { afterEach, describe, expect, it } from 'vitest'
import { createDistributionClient, type ClientRequest, type ClientResponse } from '../support/distribution-client.ts'
import { buildRandomImage, digestOf, pushImage, randomContent, withDigest } from '../support/images.ts'
import { createDatabase } from '../support/postgres.ts'
import { databases, type DatabaseKind } from '../support/registry.ts'
import { freePort } from '../support/server-process.ts'
import { startStowage, type Stowage, type StowageOptions } from '../support/start-stowage.ts'
import { createTempDir } from '../support/temp-dir.ts'
import { fastClock, jumpingClock } from './fake-time.ts'

const repository = 'clock/app'
const hourMs = 60 * 60 * 1000

let releases: (() => unknown)[] = []

afterEach(async () => {
  for (const release of releases.reverse()) await release()
  releases = []
})

async function installation(kind: DatabaseKind): Promise<StowageOptions & { readonly dataDir: string }> {
  const dir = createTempDir('clock')
  releases.push(() => dir.remove())
  const database = kind === 'postgres' ? await createDatabase() : undefined
  if (database !== undefined) releases.push(() => database.drop())
  return {
    dataDir: dir.path,
    port: await freePort(),
    keys: { accessKeyId: 'AKIACLOCKCLOCKCLOCK1', secretAccessKey: 'clock-clock-clock-clock' },
    ...(database === undefined ? {} : { databaseUrl: database.url }),
  }
}

async function serve(options: StowageOptions): Promise<Stowage> {
  const stowage = await startStowage(options)
  releases.push(() => stowage.stop())
  return stowage
}

function ecrOf(stowage: Stowage, maxAttempts?: number): ECR {
  const ecr = new ECR({
    endpoint: stowage.url,
    region: stowage.region,
    credentials: stowage.keys,
    ...(maxAttempts === undefined ? {} : { maxAttempts }),
  })
  releases.push(() => ecr.destroy())
  return ecr
}

/** A connection of its own: the server's idle time-outs may run on a faster clock than the client's. */
async function request(stowage: Stowage, method: string, path: string, options: ClientRequest = {}): Promise<ClientResponse> {
  const client = createDistributionClient(stowage.url, stowage.credentials)
  try {
    return await client.request(method, path, options)
  } finally {
    client.close()
  }
}

async function begin(stowage: Stowage): Promise<string> {
  const begun = await request(stowage, 'POST', `/v2/${repository}/blobs/uploads/`)
  expect(begun.status).toBe(202)
  return begun.headers.location ?? ''
}

async function* flowing(bytes: Buffer, pieces: number, eachMs: number): AsyncGenerator<Buffer> {
  const pieceBytes = Math.ceil(bytes.length / pieces)
  for (let start = 0; start < bytes.length; start += pieceBytes) {
    yield bytes.subarray(start, start + pieceBytes)
    await new Promise((resolve) => setTimeout(resolve, eachMs))
  }
}

describe.each(databases)('a clock that is set while the server runs, on %s', (kind) => {
  it('loses no upload and no image, and expires nothing early', async () => {
    const options = await installation(kind)
    const clock = jumpingClock(options.dataDir)
    const stowage = await serve({ ...options, env: clock.env })
    const target = { url: stowage.url, repository, auth: stowage.credentials }
    await ecrOf(stowage).createRepository({ repositoryName: repository })
    const image = buildRandomImage([50_000], `before the clock was set, ${kind}`)
    await pushImage(target, image, 'before')
    const { authorizationData } = await ecrOf(stowage).getAuthorizationToken({})
    const token = authorizationData?.[0]?.authorizationToken ?? ''
    const bytes = randomContent(400_000, `across a jump, ${kind}`)

    const standing = await begin(stowage)
    await request(stowage, 'PATCH', standing, { body: bytes.subarray(0, 100_000) })
    const moving = await begin(stowage)
    const patching = request(stowage, 'PATCH', moving, { body: flowing(bytes, 20, 200) })

    // Not quite the day that a session lives which nobody writes to.
    clock.set('+23h')
    expect((await request(stowage, 'GET', standing)).headers.range).toBe('0-99999')
    const resumed = await request(stowage, 'PATCH', standing, { headers: { 'content-range': '100000-399999' }, body: bytes.subarray(100_000) })
    expect(resumed.status).toBe(202)

    // A token lives twelve hours, a signature five minutes; SDKs then correct their clock by the server's.
    const expired = await request(stowage, 'GET', '/v2/', { auth: null, headers: { authorization: `Basic ${token}` } })
    expect([expired.status, expired.json()]).toMatchObject([403, { errors: [{ code: 'DENIED' }] }])
    const refused = await ecrOf(stowage, 1).describeRepositories({}).catch((error: ECRServiceException) => error)
    expect(refused).toMatchObject({ name: 'InvalidSignatureException', $metadata: { httpStatusCode: 400 } })
    expect((await ecrOf(stowage).describeRepositories({})).repositories).toHaveLength(1)

    // More than a day: the upload that flows has all its bytes.
    clock.set('+2d')
    const patched = await patching
    expect([patched.status, patched.headers.range]).toEqual([202, '0-399999'])
    expect((await request(stowage, 'PUT', withDigest(moving, digestOf(bytes)))).status).toBe(201)
    expect((await request(stowage, 'HEAD', `/v2/${repository}/manifests/before`)).headers['docker-content-digest']).toBe(image.manifest.digest)
    const late = await begin(stowage)

    clock.set('-1h')
    expect((await request(stowage, 'GET', late)).status).toBe(204)
    expect((await request(stowage, 'PATCH', late, { body: bytes })).status).toBe(202)
    expect((await request(stowage, 'PUT', withDigest(late, digestOf(bytes)))).status).toBe(201)
    await pushImage(target, buildRandomImage([50_000], `after the clock was set back, ${kind}`), 'after')
    const listed = (await request(stowage, 'GET', `/v2/${repository}/tags/list`)).json()
    expect(listed).toMatchObject({ tags: ['after', 'before'] })
    expect((await ecrOf(stowage).describeImages({ repositoryName: repository })).imageDetails).toHaveLength(2)
    const blob = await request(stowage, 'GET', `/v2/${repository}/blobs/${digestOf(bytes)}`)
    expect(digestOf(blob.body)).toBe(digestOf(bytes))
    expect((await request(stowage, 'GET', '/readyz')).status).toBe(200)
  })
})

describe('an upload that takes longer than an hour', () => {
  it('is not cut while it flows, neither by a time-out nor by the end of its session', async () => {
    const factor = 300
    const options = await installation('sqlite')
    const atFirst = await startStowage(options)
    await ecrOf(atFirst).createRepository({ repositoryName: repository })
    await atFirst.stop()
    const stowage = await serve({
      ...options,
      env: {
        ...fastClock(factor),
        STOWAGE_UPLOAD_EXPIRY_MS: String(hourMs),
        // Minutes on the server's clock are fractions of a second here, and this machine may be busy for as long.
        STOWAGE_UPLOAD_IDLE_TIMEOUT_MS: String(hourMs),
        STOWAGE_DOWNLOAD_IDLE_TIMEOUT_MS: String(hourMs),
        STOWAGE_HEADERS_TIMEOUT_MS: String(hourMs),
      },
    })
    const bytes = randomContent(2_000_000, 'longer than an hour')
    const idle = await begin(stowage)
    const moving = await begin(stowage)

    const startedAt = performance.now()
    const patched = await request(stowage, 'PATCH', moving, { body: flowing(bytes, 120, 150) })
    const servedMs = (performance.now() - startedAt) * factor

    // Past the session's lifetime, and past the five minutes that Node gives a request by default.
    expect(servedMs).toBeGreaterThan(1.25 * hourMs)
    expect([patched.status, patched.headers.range]).toEqual([202, `0-${bytes.length - 1}`])
    expect((await request(stowage, 'PUT', withDigest(moving, digestOf(bytes)))).status).toBe(201)
    const blob = await request(stowage, 'GET', `/v2/${repository}/blobs/${digestOf(bytes)}`)
    expect(digestOf(blob.body)).toBe(digestOf(bytes))
    // The clock was fast indeed: what nobody wrote to is gone.
    expect((await request(stowage, 'GET', idle)).status).toBe(404)
  })
})

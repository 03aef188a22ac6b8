import { mkdirSync, copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { createDistributionClient, type ClientResponse, type DistributionClient } from '../support/distribution-client.ts'
import { buildImage, buildIndex, buildRandomImage, digestOf, pushImage, randomContent, withDigest } from '../support/images.ts'
import { startTlsProxy, type TlsProxy } from '../support/nginx.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

/** nginx talks to Stowage from here. Clients that must not be taken for it use other addresses of 127.0.0.0/8. */
const proxyAddress = '127.0.0.1'

let dir: TempDir
let repository: string
let repositories = 0

beforeAll(() => {
  dir = createTempDir('proxy')
})

afterAll(() => {
  dir?.remove()
})

beforeEach(() => {
  repositories += 1
  repository = `behind/proxy-${repositories}`
})

/** nginx's settings for a proxy that tells the public host in other ways than by the Host header. */
function locationWith(stowage: Stowage, ...hostLines: string[]): string {
  return [
    `proxy_pass http://127.0.0.1:${stowage.port};`,
    'proxy_http_version 1.1;',
    ...hostLines,
    'proxy_set_header X-Forwarded-Proto $scheme;',
    'proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;',
    'proxy_request_buffering off;',
    'proxy_buffering off;',
  ].join('\n')
}

const forwardedHost = ['proxy_set_header Host stowage.internal;', 'proxy_set_header X-Forwarded-Host $http_host;']

/** The aws command, pointed at the proxy. */
function awsThrough(proxy: TlsProxy, stowage: Stowage): AwsClient {
  return createAwsClient(stowage, { AWS_ENDPOINT_URL: proxy.url, AWS_CA_BUNDLE: proxy.certificateFile })
}

/** The access log's line about the one request whose path has `part` in it. */
async function accessLogLine(stowage: Stowage, part: string): Promise<{ sourceIp: string; status: number }> {
  return vi.waitFor(() => {
    const lines = stowage
      .logs()
      .split('\n')
      .filter((line) => line.includes('"msg":"request"') && line.includes(part))
    expect(lines).toHaveLength(1)
    return JSON.parse(lines[0]!)
  })
}

/** Statuses of one log-in after the other with a wrong password, each with another X-Forwarded-For. */
async function guess(client: DistributionClient, username: string, times: number): Promise<number[]> {
  const statuses: number[] = []
  for (let index = 1; index <= times; index += 1) {
    const headers = { 'x-forwarded-for': `203.0.113.${index}` }
    const answer = await client.request('GET', '/v2/', { headers, auth: { username, password: `guess-${index}` } })
    statuses.push(answer.status)
  }
  return statuses
}

describe('behind a trusted proxy', () => {
  let stowage: Stowage

  beforeAll(async () => {
    stowage = await startStowage({ env: { STOWAGE_TRUSTED_PROXIES: `${proxyAddress}/32` } })
  })

  afterAll(async () => {
    await stowage?.stop()
  })

  describe.each(['Host', 'X-Forwarded-Host'] as const)('that tells the public host in %s', (header) => {
    let proxy: TlsProxy
    let publicHost: string
    let aws: AwsClient
    let client: DistributionClient

    beforeAll(async () => {
      const upstream = `http://127.0.0.1:${stowage.port}`
      proxy = await startTlsProxy(header === 'Host' ? { upstream } : { upstream, location: locationWith(stowage, ...forwardedHost) })
      publicHost = `localhost:${proxy.port}`
      aws = awsThrough(proxy, stowage)
      client = createDistributionClient(proxy.url, stowage.credentials, { ca: proxy.certificate })
    })

    afterAll(async () => {
      client?.close()
      await proxy?.stop()
    })

    test('an image is pushed and pulled by plain HTTP, and every Location is relative', async () => {
      await aws.json('ecr', 'create-repository', '--repository-name', repository)
      await aws.json('ecr', 'create-repository', '--repository-name', `${repository}-mounted`)
      const base = `/v2/${repository}`
      const bytes = randomContent(200_000, 'through the proxy')
      const digest = digestOf(bytes)
      const answers: ClientResponse[] = []
      const send = async (...request: Parameters<DistributionClient['request']>): Promise<ClientResponse> => {
        const answer = await client.request(...request)
        answers.push(answer)
        return answer
      }

      const begun = await send('POST', `${base}/blobs/uploads/`)
      const patched = await send('PATCH', begun.headers.location!, { body: bytes.subarray(0, 150_000) })
      const status = await send('GET', patched.headers.location!)
      const completed = await send('PUT', withDigest(status.headers.location!, digest), { body: bytes.subarray(150_000) })
      const mounted = await send('POST', `/v2/${repository}-mounted/blobs/uploads/?mount=${digest}&from=${repository}`)
      const image = buildImage({ seed: `plain ${header}` })
      await pushImage({ url: proxy.url, repository, auth: stowage.credentials, ca: proxy.certificate }, image, 'v1')
      const put = await send('PUT', `${base}/manifests/v2`, {
        body: image.manifest.bytes,
        headers: { 'content-type': image.manifest.mediaType },
      })

      expect([begun, patched, status, completed, mounted, put].map((answer) => answer.status)).toEqual([202, 202, 204, 201, 201, 201])
      for (const { headers } of answers) expect(headers.location).toMatch(/^\/v2\//)
      const tags = await client.request('GET', `${base}/tags/list?n=1`)
      expect(tags.headers['link']).toMatch(/^<\/v2\//)
      expect((await client.request('GET', completed.headers.location!)).body).toEqual(bytes)
      const manifest = await client.request('GET', `${base}/manifests/v2`)
      expect(manifest.body).toEqual(image.manifest.bytes)
      for (const blob of image.blobs) {
        expect((await client.request('GET', `${base}/blobs/${blob.digest}`)).body).toEqual(blob.bytes)
      }
    })

    test('the challenge names the public host', async () => {
      const challenged = await client.request('GET', '/v2/', { auth: null })

      expect(challenged.status).toBe(401)
      expect(challenged.headers['www-authenticate']).toBe(`Basic realm="https://${publicHost}/",service="ecr.amazonaws.com"`)
    })

    test('skopeo copies an index with its images in and out', async () => {
      await aws.json('ecr', 'create-repository', '--repository-name', repository)
      const certificates = join(dir.path, `certificates-${header}`)
      mkdirSync(certificates)
      copyFileSync(proxy.certificateFile, join(certificates, 'ca.crt'))
      const skopeo = (...args: string[]): ReturnType<typeof run> =>
        run(ensureTool('skopeo'), args, { env: { REGISTRY_AUTH_FILE: join(dir.path, `auth-${header}.json`) } })
      const index = buildIndex(['amd64', 'arm64'].map((architecture) => buildImage({ platform: { os: 'linux', architecture } })))
      await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, index, 'source')
      const password = await aws.text('ecr', 'get-login-password')
      await skopeo('login', '--cert-dir', certificates, '--username', 'AWS', '--password', password, publicHost)
      const image = (tag: string): string => `docker://${publicHost}/${repository}:${tag}`

      await skopeo('copy', '--all', '--src-cert-dir', certificates, image('source'), `dir:${dir.path}/${header}`)
      await aws.json('ecr', 'create-repository', '--repository-name', `${repository}-copy`)
      const copied = `docker://${publicHost}/${repository}-copy:v1`
      await skopeo('copy', '--all', '--dest-cert-dir', certificates, `dir:${dir.path}/${header}`, copied)

      const { stdout } = await skopeo('inspect', '--raw', '--cert-dir', certificates, copied)
      expect(digestOf(Buffer.from(stdout))).toBe(index.manifest.digest)
    })

    test('the aws command signs for the public host, and is answered with it', async () => {
      const created = await aws.json('ecr', 'create-repository', '--repository-name', repository)
      const { authorizationData } = await aws.json('ecr', 'get-authorization-token')
      const identity = await aws.json('sts', 'get-caller-identity')

      expect(created.repository.repositoryUri).toBe(`${publicHost}/${repository}`)
      expect(authorizationData[0].proxyEndpoint).toBe(`https://${publicHost}`)
      expect(identity.Account).toBe(created.repository.registryId)
    })

    test('a download link of a layer is fetched with curl, without credentials', async () => {
      await aws.json('ecr', 'create-repository', '--repository-name', repository)
      const image = buildRandomImage([500_000], `link ${header}`)
      await pushImage({ url: proxy.url, repository, auth: stowage.credentials, ca: proxy.certificate }, image, 'v1')
      const layer = image.blobs[1]!
      const file = join(dir.path, 'layer')

      const { downloadUrl } = await aws.json(
        ...['ecr', 'get-download-url-for-layer', '--repository-name', repository, '--layer-digest', layer.digest],
      )
      await run(ensureTool('curl'), ['--silent', '--show-error', '--fail', '--cacert', proxy.certificateFile, '--output', file, downloadUrl])

      expect(new URL(downloadUrl).origin).toBe(`https://${publicHost}`)
      expect(digestOf(readFileSync(file))).toBe(layer.digest)
    })
  })

  describe('clients and what they forge', () => {
    let proxy: TlsProxy

    beforeAll(async () => {
      proxy = await startTlsProxy({ upstream: `http://127.0.0.1:${stowage.port}` })
    })

    afterAll(async () => {
      await proxy?.stop()
    })

    const clientAt = (localAddress: string): DistributionClient =>
      createDistributionClient(proxy.url, stowage.credentials, { ca: proxy.certificate, localAddress })

    test.each([
      ['says nothing', undefined],
      ['names somebody else', '203.0.113.7'],
      ['names the proxy itself', proxyAddress],
      ['names a chain of trusted hops', `203.0.113.7, ${proxyAddress}, ${proxyAddress}`],
      ['names what is no address', 'unknown'],
    ])("the access log has the real client's address when its X-Forwarded-For %s", async (_what, forged) => {
      const client = clientAt('127.0.0.9')

      const answer = await client.request('GET', `/v2/${repository}/tags/list`, {
        headers: forged === undefined ? {} : { 'x-forwarded-for': forged },
      })

      client.close()
      expect(answer.status).toBe(404)
      expect(await accessLogLine(stowage, `/v2/${repository}/`)).toMatchObject({ sourceIp: '127.0.0.9', status: 404 })
    })

    test('who guesses passwords stays throttled whatever X-Forwarded-For says, and nobody else is', async () => {
      const attacker = clientAt('127.0.0.21')
      const neighbour = clientAt('127.0.0.22')

      const guesses = await guess(attacker, stowage.keys.accessKeyId, 8)
      const right = await attacker.request('GET', '/v2/', { headers: { 'x-forwarded-for': '203.0.113.99' } })
      const other = await neighbour.request('GET', '/v2/')

      attacker.close()
      neighbour.close()
      expect(guesses).toEqual([401, 401, 401, 401, 401, 429, 429, 429])
      expect(right.status).toBe(429)
      expect(Number(right.headers['retry-after'])).toBeGreaterThan(0)
      expect(other.status).toBe(200)
    })

    test('an address that is not trusted gets nowhere by writing the headers itself', async () => {
      const client = createDistributionClient(`http://127.0.0.1:${stowage.port}`, stowage.credentials, { localAddress: '127.0.0.9' })
      const headers = { 'x-forwarded-for': '203.0.113.7', 'x-forwarded-host': 'evil.test', 'x-forwarded-proto': 'https' }

      const challenged = await client.request('GET', '/v2/', { headers, auth: null })
      await client.request('GET', `/v2/${repository}/tags/list`, { headers })

      client.close()
      expect(challenged.headers['www-authenticate']).toContain(`realm="http://127.0.0.1:${stowage.port}/"`)
      expect(await accessLogLine(stowage, `/v2/${repository}/`)).toMatchObject({ sourceIp: '127.0.0.9' })
    })
  })

  test('a proxy that tells the public host nowhere breaks signatures, and the log says why', async () => {
    const proxy = await startTlsProxy({ upstream: stowage.url, location: locationWith(stowage) })
    onTestFinished(() => proxy.stop())

    const failure = await awsThrough(proxy, stowage).failure('ecr', 'describe-repositories')

    expect(failure).toContain('InvalidSignatureException')
    const refused = stowage.logs().split('\n').find((line) => line.includes('a request signature was refused'))
    expect(JSON.parse(refused ?? '{}')).toMatchObject({ host: `127.0.0.1:${stowage.port}` })
  })
})

describe('behind a proxy that nobody said to trust', () => {
  let stowage: Stowage

  beforeAll(async () => {
    stowage = await startStowage()
  })

  afterAll(async () => {
    await stowage?.stop()
  })

  const clientAt = (localAddress: string): DistributionClient =>
    createDistributionClient(`http://127.0.0.1:${stowage.port}`, stowage.credentials, { localAddress })

  test('X-Forwarded-* mean nothing: not for the address, the host or the scheme', async () => {
    const client = clientAt('127.0.0.9')
    const headers = { 'x-forwarded-for': '203.0.113.7', 'x-forwarded-host': 'evil.test', 'x-forwarded-proto': 'https' }

    const challenged = await client.request('GET', '/v2/', { headers, auth: null })
    await client.request('GET', `/v2/${repository}/tags/list`, { headers })

    client.close()
    expect(challenged.headers['www-authenticate']).toContain(`realm="http://127.0.0.1:${stowage.port}/"`)
    expect(await accessLogLine(stowage, `/v2/${repository}/`)).toMatchObject({ sourceIp: '127.0.0.9' })
  })

  test('who guesses passwords stays throttled whatever X-Forwarded-For says, and nobody else is', async () => {
    const attacker = clientAt('127.0.0.21')
    const neighbour = clientAt('127.0.0.22')

    const guesses = await guess(attacker, stowage.keys.accessKeyId, 8)
    const right = await attacker.request('GET', '/v2/', { headers: { 'x-forwarded-for': '203.0.113.99' } })
    const other = await neighbour.request('GET', '/v2/')

    attacker.close()
    neighbour.close()
    expect(guesses).toEqual([401, 401, 401, 401, 401, 429, 429, 429])
    expect(right.status).toBe(429)
    expect(other.status).toBe(200)
  })

  test('a signature for a host that only X-Forwarded-Host names is refused', async () => {
    const location = locationWith(stowage, ...forwardedHost)
    const proxy = await startTlsProxy({ upstream: stowage.url, location })
    onTestFinished(() => proxy.stop())

    const failure = await awsThrough(proxy, stowage).failure('ecr', 'describe-repositories')

    expect(failure).toContain('InvalidSignatureException')
  })
})

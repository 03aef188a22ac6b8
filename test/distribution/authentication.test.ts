import { GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr'
import { afterAll, describe, expect, it } from 'vitest'
import type { Clock } from '../../src/internal/clock.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { digestOf } from '../support/images.ts'
import { startTestPlatform } from '../support/platform.ts'
import { errorCodeOf, errorOf, onEveryDatabase } from './registry-under-test.ts'

const digest = digestOf(Buffer.from('x'))
const account = '000000000000'

/** Every path of the API, and some that only look like one. */
const requests: readonly (readonly [string, string])[] = [
  ['GET', '/v2/'],
  ['GET', '/v2'],
  ['GET', '/v2/_catalog'],
  ['GET', '/v2//_catalog'],
  ['GET', '/v2/%5fcatalog'],
  ['GET', '/v2/_catalog/'],
  ['GET', '/v2/_catalog?n=-1'],
  ['GET', '/v2/app/tags/list'],
  ['GET', '/v2/app/manifests/latest'],
  ['HEAD', '/v2/app/manifests/latest'],
  ['PUT', '/v2/app/manifests/latest'],
  ['DELETE', '/v2/app/manifests/latest'],
  ['GET', `/v2/app/blobs/${digest}`],
  ['HEAD', `/v2/app/blobs/${digest}`],
  ['DELETE', `/v2/app/blobs/${digest}`],
  ['POST', '/v2/app/blobs/uploads/'],
  ['POST', `/v2/app/blobs/uploads/?mount=${digest}&from=other`],
  ['POST', `/v2/app/blobs/uploads/?digest=${digest}`],
  ['GET', '/v2/app/blobs/uploads/7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00'],
  ['PATCH', '/v2/app/blobs/uploads/7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00'],
  ['PUT', `/v2/app/blobs/uploads/7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00?digest=${digest}`],
  ['DELETE', '/v2/app/blobs/uploads/7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00'],
  ['GET', `/v2/app/referrers/${digest}`],
  ['GET', '/v2/no/such/path'],
  ['GET', '/v2/../../etc/passwd'],
  ['TRACE', '/v2/'],
]

onEveryDatabase((registry) => {
  async function token(): Promise<string> {
    const { authorizationData } = await registry().platform.ecr.send(new GetAuthorizationTokenCommand({}))
    return Buffer.from(authorizationData?.[0]?.authorizationToken ?? '', 'base64').toString().slice('AWS:'.length)
  }

  describe('without credentials', () => {
    it.each(requests)('%s %s asks for them, as ECR does, and says nothing else', async (method, path) => {
      const { client, platform } = registry()

      const answer = await client.request(method, path, { auth: null })

      expect(answer.status).toBe(401)
      expect(answer.headers).toMatchObject({
        'www-authenticate': `Basic realm="${platform.url}/",service="ecr.amazonaws.com"`,
        'docker-distribution-api-version': 'registry/2.0',
        'content-type': 'text/plain; charset=utf-8',
        'content-length': '15',
      })
      expect(answer.body.toString()).toBe(method === 'HEAD' ? '' : 'Not Authorized\n')
    })

    it.each(['Bearer abc', 'Basic', 'Basic !!!', 'AWS4-HMAC-SHA256 Credential=x'])('so does "%s"', async (authorization) => {
      const answer = await registry().client.request('GET', '/v2/', { auth: null, headers: { authorization } })

      expect(answer.status).toBe(401)
    })
  })

  describe('a login', () => {
    it('with an access key is known', async () => {
      const answer = await registry().client.request('GET', '/v2/')

      expect([answer.status, answer.body.toString()]).toEqual([200, '{}'])
      expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0')
    })

    it('with a token of GetAuthorizationToken opens the same registry', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const list = await client.request('GET', `/v2/${repository}/tags/list`, { auth: { username: 'AWS', password: await token() } })

      expect(list.status).toBe(200)
    })

    it.each([
      ['AWS', 'forged'],
      ['AKIAUNKNOWN', 'a-secret-that-only-tests-know-of'],
      ['AKIATESTTESTTESTTEST', 'wrong'],
    ])('as %s with %s is not', async (username, password) => {
      const answer = await registry().client.request('GET', '/v2/', { auth: { username, password } })

      expect([answer.status, answer.body.toString()]).toEqual([401, 'Not Authorized\n'])
    })
  })

  describe('the host', () => {
    const host = (accountId: string, region = 'us-east-1') => ({ host: `${accountId}.dkr.ecr.${region}.localhost:5000` })

    it('of the own account opens its registry, and is the realm of its challenge', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const list = await client.request('GET', `/v2/${repository}/tags/list`, { headers: host(account) })
      expect(list.status).toBe(200)

      const challenge = await client.request('GET', '/v2/', { auth: null, headers: host(account) })
      expect(challenge.headers['www-authenticate']).toBe(
        `Basic realm="http://${account}.dkr.ecr.us-east-1.localhost:5000/",service="ecr.amazonaws.com"`,
      )
    })

    it('of another account is denied, whether or not there is anything', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      for (const name of [repository, 'no/such']) {
        const refused = await client.request('GET', `/v2/${name}/tags/list`, { headers: host('123456789012') })
        expect(refused.status).toBe(403)
        expect(errorOf(refused)).toMatchObject({
          code: 'DENIED',
          message: expect.stringMatching(
            /^User: arn:aws:iam::000000000000:root is not authorized to perform: ecr:ListImages on resource: arn:aws:ecr:us-east-1:123456789012:repository\//,
          ),
        })
      }
      const head = await client.request('HEAD', `/v2/${repository}/manifests/latest`, { headers: host('123456789012') })
      expect([head.status, head.body.length]).toEqual([403, 0])
    })

    it('of another region opens another registry', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository()

      const elsewhere = await client.request('GET', `/v2/${repository}/tags/list`, { headers: host(account, 'eu-west-1') })

      expect([elsewhere.status, errorCodeOf(elsewhere)]).toEqual([404, 'NAME_UNKNOWN'])
    })

    it('of another region than the token’s is denied', async () => {
      const refused = await registry().client.request('GET', '/v2/', {
        auth: { username: 'AWS', password: await token() },
        headers: host(account, 'eu-west-1'),
      })

      expect([refused.status, errorCodeOf(refused)]).toEqual([403, 'DENIED'])
    })
  })

  describe('a known caller', () => {
    it.each([
      ['POST', '/v2/', 'GET, HEAD'],
      ['PUT', '/v2/_catalog', 'GET, HEAD'],
      ['DELETE', '/v2/app/tags/list', 'GET, HEAD'],
      ['POST', '/v2/app/manifests/latest', 'GET, HEAD, PUT, DELETE'],
      ['PATCH', `/v2/app/blobs/${digest}`, 'GET, HEAD, DELETE'],
      ['GET', '/v2/app/blobs/uploads/', 'POST'],
      ['POST', `/v2/app/referrers/${digest}`, 'GET, HEAD'],
    ])('is told that %s %s does not exist', async (method, path, allow) => {
      const refused = await registry().client.request(method, path)

      expect([refused.status, errorCodeOf(refused), refused.headers.allow]).toEqual([405, 'UNSUPPORTED', allow])
    })

    it.each(['/v2/app', '/v2//_catalog', '/v2/%5fcatalog', '/v2/app/unknown/thing'])('finds nothing at %s', async (path) => {
      const answer = await registry().client.request('GET', path)

      expect(answer.status).toBe(404)
      expect(answer.headers['content-type']).toBe('application/json')
    })

    it.each(['/v2/App/tags/list', '/v2/a//b/tags/list', '/v2/../b/tags/list', '/v2/%2e%2e/b/tags/list', '/v2/a%00/tags/list'])(
      'is told that %s names no repository',
      async (path) => {
        const refused = await registry().client.request('GET', path)

        expect([refused.status, errorCodeOf(refused)]).toEqual([400, 'NAME_INVALID'])
      },
    )
  })
})

describe('a token that ran out', () => {
  let nowMs = Date.now()
  const clock: Clock = { now: () => nowMs }
  const started = startTestPlatform({ database: 'sqlite', clock })
  afterAll(async () => (await started).stop())

  it('is told to log in again, in the words of ECR', async () => {
    const platform = await started
    const { authorizationData } = await platform.ecr.send(new GetAuthorizationTokenCommand({}))
    const authorization = `Basic ${authorizationData?.[0]?.authorizationToken ?? ''}`
    const client = createDistributionClient(platform.url)

    expect((await client.request('GET', '/v2/', { headers: { authorization } })).status).toBe(200)
    nowMs += 12 * 60 * 60 * 1000 + 1
    const refused = await client.request('GET', '/v2/', { headers: { authorization } })

    expect(refused.status).toBe(403)
    expect(errorOf(refused)).toMatchObject({
      code: 'DENIED',
      message: 'Your authorization token has expired. Reauthenticate and try again.',
    })
    client.close()
  })
})

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  DescribeRepositoriesCommand,
  ListImagesCommand,
  ListTagsForResourceCommand,
  TagResourceCommand,
} from '@aws-sdk/client-ecr'
import { describe, expect, it } from 'vitest'
import { openConnection } from '../distribution/raw-connection.ts'
import { onEveryDatabase } from '../distribution/registry-under-test.ts'
import { signedHeaders } from '../fuzz/signer.ts'
import { buildImage, digestOf } from '../support/images.ts'

const digest = digestOf(Buffer.from('x'))

onEveryDatabase((registry) => {
  /** An ECR call with an input that no SDK would send. */
  async function call(operation: string, input: unknown) {
    const { client, platform } = registry()
    const body = Buffer.from(JSON.stringify(input))
    const headers = signedHeaders(
      {
        method: 'POST',
        path: '/',
        query: [],
        host: platform.host,
        headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `AmazonEC2ContainerRegistry_V20150921.${operation}` },
        body,
        service: 'ecr',
        region: 'us-east-1',
      },
      platform.credentials,
    )
    const answer = await client.request('POST', '/', { auth: null, headers, body })
    return { status: answer.status, body: answer.json() as Record<string, unknown>, headers: answer.headers }
  }

  describe('CVE-2023-2253: a page of any size', () => {
    it.each(['0', '1000', '1001', '2147483648', '1000000000', '9223372036854775808', '1'.repeat(400)])('n=%s costs a page of 1000 at most', async (n) => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository('abuse/pages')
      const image = buildImage({ seed: 'pages' })
      await pushImage(repository, image, 'v1')
      for (const path of ['/v2/_catalog', `/v2/${repository}/tags/list`, `/v2/${repository}/referrers/${image.manifest.digest}`]) {
        const answer = await client.request('GET', `${path}?n=${n}`)
        expect([path, answer.status]).toEqual([path, 200])
        expect(answer.headers.link ?? 'n=1000').toContain('n=1000')
      }
    })

    it.each(['-1', 'NaN', '1e9', '0x10', '', '1.5', ' 1', '１'])('n=%j is refused', async (n) => {
      const { client, newRepository } = registry()
      const repository = await newRepository('abuse/pages')
      for (const path of ['/v2/_catalog', `/v2/${repository}/tags/list`, `/v2/${repository}/referrers/${digest}`]) {
        expect((await client.request('GET', `${path}?n=${encodeURIComponent(n)}`)).status).toBe(400)
      }
    })

    it('an ECR page is bounded as well', async () => {
      for (const maxResults of [0, -1, 1001, 2 ** 31, 2 ** 53]) {
        expect((await call('DescribeRepositories', { maxResults })).status).toBe(400)
      }
    })
  })

  describe('CVE-2019-16097: members that a caller may not set', () => {
    const privileged = {
      id: 1,
      registry_id: 1,
      createdAt: 0,
      repositoryArn: 'arn:aws:ecr:us-east-1:123456789012:repository/other',
      repositoryUri: 'evil.example.com/x',
      trashed_at: 1,
      isAdmin: true,
      role: 'root',
      principal: 'arn:aws:iam::000000000000:root',
      accountId: '123456789012',
      __proto__: { isAdmin: true },
      constructor: { prototype: { isAdmin: true } },
    }

    it('are passed over in what is made and changed', async () => {
      const { platform, newRepository } = registry()
      const repositoryName = 'abuse/assigned'
      const created = await call('CreateRepository', JSON.parse(`{"__proto__":{"repositoryName":"abuse/proto"},${JSON.stringify({ ...privileged, repositoryName }).slice(1)}`))
      expect(created.status).toBe(200)
      const { repositories } = await platform.ecr.send(new DescribeRepositoriesCommand({ repositoryNames: [repositoryName] }))
      expect(repositories).toMatchObject([
        { registryId: '000000000000', repositoryArn: `arn:aws:ecr:us-east-1:000000000000:repository/${repositoryName}`, imageTagMutability: 'MUTABLE' },
      ])
      expect(repositories?.[0]?.createdAt?.getTime()).toBeGreaterThan(Date.now() - 600_000)

      const changed = await newRepository('abuse/assigned')
      const answer = await call('PutImageTagMutability', { ...privileged, repositoryName: changed, imageTagMutability: 'IMMUTABLE', tags: [{ Key: 'a', Value: 'b' }] })
      expect(answer).toMatchObject({ status: 200, body: { registryId: '000000000000', repositoryName: changed } })
      expect(await platform.ecr.send(new ListTagsForResourceCommand({ resourceArn: `arn:aws:ecr:us-east-1:000000000000:repository/${changed}` }))).toMatchObject({ tags: [] })
      expect(({} as Record<string, unknown>)['isAdmin']).toBeUndefined()
    })
  })

  describe('CVE-2019-19026, CVE-2019-19029, CVE-2024-22261, CVE-2025-30086: SQL, and filters that were not offered', () => {
    const payloads = [`'`, `''`, `' OR '1'='1`, `'; DROP TABLE repository; --`, `" OR ""="`, `\\`, `%`, `_`, `$1`, `?`, `1) UNION SELECT secret_sealed FROM access_key --`]

    it('every text of a query is text', async () => {
      const { client, newRepository, pushImage } = registry()
      const repository = await newRepository('abuse/sql')
      await pushImage(repository, buildImage({ seed: 'sql' }), 'v1')
      for (const payload of payloads.map(encodeURIComponent)) {
        const list = await client.request('GET', `/v2/${repository}/tags/list?last=${payload}`)
        // In ASCII order behind the payload, or not: never everything because of it.
        expect(list.json()).toMatchObject({ tags: decodeURIComponent(payload) < 'v1' ? ['v1'] : [] })
        const filtered = await client.request('GET', `/v2/${repository}/referrers/${digest}?artifactType=${payload}`)
        expect(filtered.json()).toMatchObject({ manifests: [] })
        expect((await client.request('GET', `/v2/_catalog?last=${payload}`)).status).toBe(200)
        const ignored = await client.request('GET', `/v2/_catalog?sort=${payload}&order_by=${payload}&q=secret_sealed%3D~${payload}&n=1`)
        expect(ignored.status).toBe(200)
        for (const path of [`${payload}/tags/list`, `${repository}/manifests/${payload}`, `${repository}/blobs/${payload}`, `${repository}/blobs/uploads/${payload}`]) {
          expect((await client.request('GET', `/v2/${path}`)).status).toBeGreaterThanOrEqual(400)
          expect((await client.request('GET', `/v2/${path}`)).status).toBeLessThan(500)
        }
        const push = await client.request('POST', `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${payload}`)
        expect(push.status).toBe(202)
      }
    })

    it('every text of a call is text, and comes back as it was', async () => {
      const { platform, newRepository } = registry()
      const repositoryName = await newRepository('abuse/sql')
      const resourceArn = `arn:aws:ecr:us-east-1:000000000000:repository/${repositoryName}`
      for (const payload of payloads) {
        for (const input of [
          { repositoryNames: [payload] },
          { nextToken: payload },
          { repositoryName, filter: { tagStatus: payload } },
          { repositoryName, imageIds: [{ imageTag: payload }] },
        ]) {
          const operation = 'repositoryName' in input ? 'DescribeImages' : 'DescribeRepositories'
          expect([operation, (await call(operation, input)).status]).toEqual([operation, 400])
        }
        // Not offered: passed over, never a column.
        const { body } = await call('ListImages', { repositoryName, filter: { secret_sealed: payload, tagStatus: 'ANY' }, orderBy: payload })
        expect(body).toEqual({ imageIds: [] })
      }
      const value = `'; DROP TABLE repository; --`
      const tags = [{ Key: value, Value: value }]
      await platform.ecr.send(new TagResourceCommand({ resourceArn, tags }))
      expect((await platform.ecr.send(new ListTagsForResourceCommand({ resourceArn }))).tags).toEqual(tags)
      expect((await platform.ecr.send(new ListImagesCommand({ repositoryName }))).imageIds).toEqual([])
    })
  })

  describe('CVE-2025-32019: markup in what others are shown', () => {
    const markup = '<svg onload=alert(1)>'

    it('is data: no answer that repeats it is a page', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository('abuse/markup')
      const answers = await Promise.all([
        client.request('GET', `/v2/${encodeURIComponent(markup)}/tags/list`),
        client.request('GET', `/v2/${repository}/manifests/${encodeURIComponent(markup)}`),
        client.request('GET', `/v2/${repository}/tags/list?n=${encodeURIComponent(markup)}`),
        client.request('GET', `/${encodeURIComponent(markup)}`),
        client.request('GET', `/v2/${repository}/tags/list`, { headers: { host: markup } }),
        client.request('PATCH', `/v2/${repository}/blobs/uploads/x`, { headers: { 'content-range': markup }, body: 'x' }),
      ])
      for (const { status, headers, body } of answers) {
        expect(status).toBeGreaterThanOrEqual(400)
        expect(headers['content-type']).not.toMatch(/html|svg/)
        if (headers['content-type']?.startsWith('text/plain') === true) expect(body.toString()).not.toContain('<')
        // A bare XML document would be drawn where it holds SVG.
        if (headers['content-type']?.includes('xml') === true) expect(body.toString()).not.toContain('<svg')
      }
      const { headers } = await call('CreateRepository', { repositoryName: markup })
      expect(headers['content-type']).toBe('application/x-amz-json-1.1')
    })

    it('in a tag of a repository comes back as the text it was', async () => {
      const tags = [{ Key: 'k', Value: markup }]
      expect((await call('CreateRepository', { repositoryName: 'abuse/markup-tag', tags })).status).toBe(200)
      const resourceArn = 'arn:aws:ecr:us-east-1:000000000000:repository/abuse/markup-tag'
      const { headers, body } = await call('ListTagsForResource', { resourceArn })
      expect([headers['content-type'], body]).toEqual(['application/x-amz-json-1.1', { tags }])
    })
  })

  describe('CVE-2019-19025: a browser that is led here', () => {
    it('has nothing that logs it in by itself, and gets no leave to read', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository('abuse/browser')
      const foreign = { origin: 'https://evil.example.com', cookie: 'session=1; sid=1' }

      for (const [method, path] of [['POST', `/v2/${repository}/blobs/uploads/`], ['DELETE', `/v2/${repository}/manifests/v1`]] as const) {
        expect((await client.request(method, path, { auth: null, headers: foreign })).status).toBe(401)
      }
      expect((await client.request('POST', '/', { auth: null, headers: { ...foreign, 'content-type': 'text/plain' }, body: '{}' })).status).toBe(400)
      for (const path of ['/v2/', `/v2/${repository}/tags/list`, '/']) {
        const answer = await client.request('OPTIONS', path, { headers: { ...foreign, 'access-control-request-method': 'PUT' } })
        const all = await client.request('GET', path, { headers: foreign })
        for (const { headers } of [answer, all]) {
          expect(Object.keys(headers).filter((name) => name.startsWith('access-control-') || name === 'set-cookie')).toEqual([])
        }
      }
    })
  })

  describe('CVE-2024-22244: a redirect to elsewhere', () => {
    it.each(['/v2/?redirect_url=//evil.example.com', '//evil.example.com/v2/', '/v2//evil.example.com', '/\\evil.example.com', 'http://evil.example.com/v2/'])(
      'is never answered to %s',
      async (target) => {
        const { platform } = registry()
        const connection = await openConnection(platform.url, platform.authorization)
        connection.sendHead(`GET ${target} HTTP/1.1`, { Connection: 'close' })
        const { status, headers } = await connection.nextAnswer()
        expect(status < 300 || status >= 400).toBe(true)
        expect(headers['location']).toBeUndefined()
      },
    )

    it('is not in the Location of an upload, whatever host is claimed', async () => {
      const { client, newRepository } = registry()
      const repository = await newRepository('abuse/location')
      const begun = await client.request('POST', `/v2/${repository}/blobs/uploads/`, {
        headers: { host: 'evil.example.com', 'x-forwarded-host': 'evil.example.com', forwarded: 'host=evil.example.com' },
      })
      expect(begun.headers.location).toMatch(new RegExp(`^/v2/${repository}/blobs/uploads/[0-9a-f-]{36}$`))
    })
  })

  describe('CVE-2022-47747, CVE-2024-3727: paths in names, references, digests and upload ids', () => {
    const escapes = ['..', '%2e%2e', '.%2e', '..%2f..%2f..%2fetc%2fpasswd', '../../../../etc/passwd', '%00', 'a%00.png', '..\\..', '%c0%ae%c0%ae', '....//', '/etc/passwd', '%252e%252e']

    it.each(escapes)('%s names nothing, and leads nowhere', async (escape) => {
      const { platform, newRepository } = registry()
      const repository = await newRepository('abuse/paths')
      const before = readdirSync(platform.dataDir).sort()
      const targets: readonly (readonly [string, string])[] = [
        ['GET', `/v2/${escape}/tags/list`],
        ['GET', `/v2/${repository}/${escape}/manifests/latest`],
        ['GET', `/v2/${repository}/manifests/${escape}`],
        ['PUT', `/v2/${repository}/manifests/${escape}`],
        ['GET', `/v2/${repository}/blobs/${escape}`],
        ['GET', `/v2/${repository}/blobs/sha256:${escape}`],
        ['GET', `/v2/${repository}/blobs/sha256:${'a'.repeat(61)}${escape}`],
        ['PATCH', `/v2/${repository}/blobs/uploads/${escape}`],
        ['POST', `/v2/${repository}/blobs/uploads/?digest=sha256:${escape}`],
        ['GET', `/_stowage/layers/${escape}`],
        ['GET', `/${escape}`],
      ]
      for (const [method, target] of targets) {
        const connection = await openConnection(platform.url, platform.authorization)
        connection.sendHead(`${method} ${target} HTTP/1.1`, { Connection: 'close', 'Content-Length': 0 })
        const { status, body } = await connection.nextAnswer()
        expect([target, status >= 400 && status < 500]).toEqual([target, true])
        expect(body).not.toContain('/bin/')
        expect(body).not.toContain(platform.dataDir)
      }
      expect(readdirSync(platform.dataDir).sort()).toEqual(before)
      expect(readdirSync(join(platform.dataDir, '..')).filter((name) => name === 'passwd' || name.endsWith('.png'))).toEqual([])
    })
  })

  describe('CVE-2026-4404: passwords that everybody knows', () => {
    it.each([['admin', 'admin'], ['admin', 'Harbor12345'], ['admin', 'password'], ['root', 'root'], ['AWS', 'AWS'], ['stowage', 'stowage'], ['', ''], ['AKIATESTTESTTESTTEST', '']])(
      '%s:%s opens nothing',
      async (username, password) => {
        expect((await registry().client.request('GET', '/v2/', { auth: { username, password } })).status).toBe(401)
      },
    )
  })
})

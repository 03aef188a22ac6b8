import { ECR } from '@aws-sdk/client-ecr'
import type { IAM } from '@aws-sdk/client-iam'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ClientResponse, Credentials } from '../support/distribution-client.ts'
import { iamClient, newAccount, newUser, policyOf, type PolicyStatement, type TestUser } from '../support/identities.ts'
import { buildImage, digestOf, type Image } from '../support/images.ts'
import { errorCodeOf, errorOf, locationOf, onEveryDatabase } from './registry-under-test.ts'

const account = '000000000000'
const arnOf = (repository: string): string => `arn:aws:ecr:us-east-1:${account}:repository/${repository}`
const pullActions = ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer']
const pushActions = ['ecr:InitiateLayerUpload', 'ecr:UploadLayerPart', 'ecr:CompleteLayerUpload', 'ecr:BatchCheckLayerAvailability', 'ecr:PutImage', 'ecr:BatchGetImage']

onEveryDatabase((registry) => {
  let iam: IAM
  let ecr: ECR

  beforeEach(() => {
    const { platform } = registry()
    iam = iamClient(platform.url, platform.credentials)
    ecr = new ECR({ endpoint: platform.url, region: 'us-east-1', credentials: platform.credentials, maxAttempts: 1 })
  })
  afterEach(() => {
    iam.destroy()
    ecr.destroy()
  })

  const user = (...statements: PolicyStatement[]): Promise<TestUser> => newUser(iam, ...statements)

  function as({ credentials }: { credentials: Credentials }, method: string, path: string, more: object = {}): Promise<ClientResponse> {
    return registry().client.request(method, path, { auth: credentials, ...more })
  }

  function put(who: { credentials: Credentials }, path: string, image: Image): Promise<ClientResponse> {
    return as(who, 'PUT', path, { headers: { 'content-type': image.manifest.mediaType }, body: image.manifest.bytes })
  }

  /** Every request there is about a repository with this image, with the actions it takes there. */
  function requests(repository: string, image: Image): (readonly [method: string, path: string, actions: readonly string[], more?: object])[] {
    const base = `/v2/${repository}`
    const layer = image.blobs[0]?.digest ?? ''
    const body = { headers: { 'content-type': image.manifest.mediaType }, body: image.manifest.bytes }
    const session = `${base}/blobs/uploads/7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00`
    return [
      ['GET', `${base}/tags/list`, ['ecr:ListImages']],
      ['GET', `${base}/manifests/v1`, ['ecr:BatchGetImage']],
      ['HEAD', `${base}/manifests/v1`, ['ecr:BatchGetImage']],
      ['GET', `${base}/manifests/${image.manifest.digest}`, ['ecr:BatchGetImage']],
      ['GET', `${base}/blobs/${layer}`, ['ecr:GetDownloadUrlForLayer']],
      ['HEAD', `${base}/blobs/${layer}`, ['ecr:BatchCheckLayerAvailability']],
      ['GET', `${base}/referrers/${image.manifest.digest}`, ['ecr:BatchGetImage']],
      ['POST', `${base}/blobs/uploads/`, ['ecr:InitiateLayerUpload']],
      ['POST', `${base}/blobs/uploads/?mount=${layer}&from=other/app`, ['ecr:InitiateLayerUpload']],
      ['POST', `${base}/blobs/uploads/?digest=${digestOf(Buffer.from('x'))}`, ['ecr:InitiateLayerUpload', 'ecr:UploadLayerPart', 'ecr:CompleteLayerUpload'], { body: 'x' }],
      ['GET', session, ['ecr:UploadLayerPart']],
      ['PATCH', session, ['ecr:UploadLayerPart'], { body: 'x' }],
      ['PUT', `${session}?digest=${digestOf(Buffer.from('x'))}`, ['ecr:UploadLayerPart', 'ecr:CompleteLayerUpload']],
      ['DELETE', session, ['ecr:UploadLayerPart']],
      ['PUT', `${base}/manifests/v1`, ['ecr:PutImage'], body],
      ['DELETE', `${base}/manifests/v1`, ['ecr:BatchDeleteImage']],
      ['DELETE', `${base}/manifests/${image.manifest.digest}`, ['ecr:BatchDeleteImage']],
      ['DELETE', `${base}/blobs/${layer}`, ['ecr:BatchDeleteImage']],
    ]
  }

  async function pushed(tags: readonly string[] = ['v1']): Promise<{ repository: string; image: Image }> {
    const { newRepository, pushImage } = registry()
    const repository = await newRepository('rights/app')
    const image = buildImage()
    for (const tag of tags) await pushImage(repository, image, tag)
    return { repository, image }
  }

  it('a caller without rights is refused everything, in AWS’s words, there and where nothing is', async () => {
    const { repository, image } = await pushed()
    const nobody = await user()
    const there = requests(repository, image)
    const nowhere = requests('rights/nowhere', image)

    expect((await as(nobody, 'GET', '/v2/')).status).toBe(200)
    for (const [index, [method, path, actions, more]] of there.entries()) {
      const answer = await as(nobody, method, path, more)
      const [, absentPath = '', , absentMore] = nowhere[index] ?? []
      const absent = await as(nobody, method, absentPath, absentMore)
      const shape = ({ status, headers: { date: _date, 'x-request-id': _id, 'content-length': _length, ...headers }, body }: ClientResponse, name: string) =>
        JSON.stringify({ status, headers, body: body.toString().replaceAll(name, 'NAME') })
      expect([method, path, answer.status]).toEqual([method, path, 403])
      expect(shape(answer, repository)).toBe(shape(absent, 'rights/nowhere'))
      if (method === 'HEAD') continue
      expect(errorOf(answer)).toEqual({
        code: 'DENIED',
        message: `User: ${nobody.arn} is not authorized to perform: ${actions[0]} on resource: ${arnOf(repository)} because no identity-based policy allows the ${actions[0]} action`,
      })
    }
  })

  it('each request takes its action on that very repository, and no other', async () => {
    const { repository, image } = await pushed()
    const other = await registry().newRepository('rights/other')
    const all = [...new Set(requests(repository, image).flatMap(([, , actions]) => actions))]
    for (const [method, path, actions, more] of requests(repository, image)) {
      for (const missing of actions) {
        const lacking = await user(
          { Action: all.filter((action) => action !== missing), Resource: arnOf(repository) },
          { Action: '*', Resource: arnOf(other) },
        )
        const refused = await as(lacking, method, path, more)
        expect([method, path, missing, refused.status]).toEqual([method, path, missing, 403])
      }
    }
    // In this order, so that what is deleted is deleted last.
    for (const [method, path, actions, more] of requests(repository, image)) {
      const able = await user({ Action: [...actions], Resource: arnOf(repository) })
      const { status } = await as(able, method, path, more)
      expect([method, path, status]).toEqual([method, path, expect.not.toBeOneOf([401, 403, 500])])
    }
  })

  it('a puller pulls and does nothing else, and a denial goes before what is allowed', async () => {
    const { repository, image } = await pushed()
    const puller = await user({ Action: pullActions, Resource: arnOf('rights/*') })
    const barred = await user({ Action: '*', Resource: '*' }, { Effect: 'Deny', Action: 'ecr:BatchGetImage', Resource: arnOf(repository) })

    expect((await as(puller, 'GET', `/v2/${repository}/manifests/v1`)).body).toEqual(image.manifest.bytes)
    expect((await as(puller, 'GET', `/v2/${repository}/blobs/${image.blobs[0]?.digest}`)).body).toEqual(image.blobs[0]?.bytes)
    expect((await put(puller, `/v2/${repository}/manifests/v2`, image)).status).toBe(403)
    const refused = await as(barred, 'GET', `/v2/${repository}/manifests/v1`)
    expect([refused.status, errorOf(refused)?.message]).toEqual([403, expect.stringContaining('with an explicit deny in an identity-based policy')])
    expect((await as(barred, 'GET', `/v2/${repository}/blobs/${image.blobs[0]?.digest}`)).status).toBe(200)
  })

  describe('stowage:ImageTag', () => {
    const tagged = (pattern: string, operator = 'StringLike') => ({ [operator]: { 'stowage:ImageTag': pattern } })

    it('limits a pusher to tags, whichever way a push sets them', async () => {
      const { repository, image } = await pushed()
      const dev = await user({ Action: pushActions, Resource: arnOf(repository) , Condition: tagged('dev-*', 'StringLikeIfExists') })
      const strict = await user({ Action: 'ecr:PutImage', Resource: arnOf(repository), Condition: tagged('dev-*') })
      const base = `/v2/${repository}/manifests`
      const { digest } = image.manifest

      expect((await put(dev, `${base}/dev-1`, image)).status).toBe(201)
      expect((await put(strict, `${base}/dev-1`, image)).status).toBe(201)
      for (const path of [`${base}/prod-1`, `${base}/DEV-1`, `${base}/${digest}?tag=prod-1`, `${base}/${digest}?tag=dev-1&tag=prod-1`, `${base}/dev-1?tag=prod-1`]) {
        for (const who of [dev, strict]) {
          const refused = await put(who, path, image)
          expect([path, refused.status, errorCodeOf(refused)]).toEqual([path, 403, 'DENIED'])
        }
      }
      expect((await put(dev, `${base}/${digest}`, image)).status).toBe(201)
      expect((await put(strict, `${base}/${digest}`, image)).status).toBe(403)
      expect((await put(dev, `${base}/${digest}?tag=dev-2&tag=dev-3`, image)).status).toBe(201)
      expect((await as(dev, 'GET', `${base}/prod-1`)).status).toBe(403)
      expect((await as(dev, 'GET', `${base}/v1`)).status).toBe(403)
      expect((await as(dev, 'HEAD', `${base}/dev-2`)).status).toBe(200)
      const { tags } = (await registry().client.request('GET', `/v2/${repository}/tags/list`)).json() as { tags: string[] }
      expect(tags).toEqual(['dev-1', 'dev-2', 'dev-3', 'v1'])
    })

    it('protects tags from a deletion by digest, by either protocol', async () => {
      const mixed = await pushed(['dev-1', 'prod-1'])
      const own = await pushed(['dev-1', 'dev-2'])
      const bare = await pushed(['dev-1'])
      await registry().client.request('DELETE', `/v2/${bare.repository}/manifests/dev-1`)
      const cleaner = await user(
        { Action: 'ecr:BatchDeleteImage', Resource: '*' },
        { Effect: 'Deny', Action: 'ecr:BatchDeleteImage', Resource: '*', Condition: tagged('prod-*') },
      )
      const strict = await user({ Action: 'ecr:BatchDeleteImage', Resource: '*', Condition: tagged('dev-*') })
      const byApi = new ECR({ endpoint: registry().platform.url, region: 'us-east-1', credentials: cleaner, maxAttempts: 1 })
      const byDigest = ({ repository, image }: typeof own): string => `/v2/${repository}/manifests/${image.manifest.digest}`

      for (const who of [cleaner, strict]) {
        expect((await as(who, 'DELETE', byDigest(mixed))).status).toBe(403)
        expect((await as(who, 'DELETE', `/v2/${mixed.repository}/manifests/prod-1`)).status).toBe(403)
      }
      for (const imageIds of [[{ imageDigest: mixed.image.manifest.digest }], [{ imageTag: 'dev-1' }, { imageTag: 'prod-1' }], [{ imageTag: 'dev-1' }, { imageDigest: mixed.image.manifest.digest }]]) {
        await expect(byApi.batchDeleteImage({ repositoryName: mixed.repository, imageIds })).rejects.toMatchObject({ name: 'AccessDeniedException' })
      }
      byApi.destroy()
      const { tags } = (await registry().client.request('GET', `/v2/${mixed.repository}/tags/list`)).json() as { tags: string[] }
      expect(tags).toEqual(['dev-1', 'prod-1'])
      expect((await as(strict, 'DELETE', byDigest(bare))).status).toBe(403)
      expect((await as(cleaner, 'DELETE', byDigest(bare))).status).toBe(202)
      expect((await as(strict, 'DELETE', byDigest(own))).status).toBe(202)
      expect((await as(strict, 'DELETE', byDigest({ ...own, repository: 'rights/nowhere' }))).status).toBe(403)
    })
  })

  it('a mount takes the right to pull from the source; without it there is no such source', async () => {
    const { newRepository, pushBlob } = registry()
    const [secret, open, target] = [await newRepository('mount/secret'), await newRepository('mount/open'), await newRepository('mount/target')]
    const hidden = await pushBlob(secret, 'a secret layer')
    const shown = await pushBlob(open, 'an open layer')
    const pusher = await user({ Action: pushActions, Resource: arnOf(target) }, { Action: pullActions, Resource: arnOf(open) })
    const mount = (digest: string, from?: string) =>
      as(pusher, 'POST', `/v2/${target}/blobs/uploads/?mount=${digest}${from === undefined ? '' : `&from=${from}`}`)

    for (const from of [secret, 'mount/nowhere', undefined]) {
      const answer = await mount(hidden, from)
      expect([from, answer.status]).toEqual([from, 202])
      expect(locationOf(answer)).toMatch(/\/blobs\/uploads\/[0-9a-f-]{36}$/)
    }
    expect((await as(pusher, 'HEAD', `/v2/${target}/blobs/${hidden}`)).status).toBe(404)
    expect((await mount(shown, open)).status).toBe(201)
    expect((await as(pusher, 'HEAD', `/v2/${target}/blobs/${shown}`)).status).toBe(200)
  })

  it('the catalog shows what the caller may see, page by page, and tells no other name', async () => {
    const { newRepository } = registry()
    const visible = [await newRepository('catalog/a'), await newRepository('catalog/b'), await newRepository('catalog/c')]
    for (const name of ['catalog/hidden', 'catalog/hidden', 'catalog/hidden']) await newRepository(name)
    // A page ends behind the hidden ones, and its end is not to tell their names.
    visible.push(await newRepository('catalog/last'))
    const list = { Action: 'ecr:DescribeRepositories', Resource: arnOf('catalog/*') }
    const reader = await user(list, { ...list, Effect: 'Deny', Resource: arnOf('catalog/hidden*') })
    const names: string[] = []
    for (let path: string | undefined = '/v2/_catalog?n=1'; path !== undefined; ) {
      const page: ClientResponse = await as(reader, 'GET', path)
      expect([page.status, JSON.stringify(page.headers) + page.body.toString()]).toEqual([200, expect.not.stringContaining('hidden')])
      names.push(...(page.json() as { repositories: string[] }).repositories)
      path = /^<([^>]+)>/.exec(String(page.headers['link'] ?? ''))?.[1]
    }

    expect(names).toEqual(visible)
    const refused = await as(await user({ Action: pullActions, Resource: '*' }), 'GET', '/v2/_catalog')
    expect([refused.status, errorOf(refused)?.message]).toEqual([403, expect.stringContaining('because no identity-based policy allows the ecr:DescribeRepositories action')])
    expect((await as(reader, 'GET', '/v2/_catalog?last=~forged')).status).toBe(400)
  })

  it('another account’s registry is reached by its host, as far as both sides allow, and told from none by nobody else', async () => {
    const { repository, image } = await pushed()
    const { platform } = registry()
    const guestIam = iamClient(platform.url, await newAccount(platform.url, platform.credentials, `3${String(Date.now()).slice(-11)}`))
    const guest = await newUser(guestIam, { Action: 'ecr:*', Resource: '*' })
    guestIam.destroy()
    const at = (accountId: string) => ({ headers: { host: `${accountId}.dkr.ecr.us-east-1.localhost` } })
    const manifest = (name: string) => `/v2/${name}/manifests/v1`
    const answers = await Promise.all(
      ([[account, repository], [account, 'no/such'], ['999999999999', repository]] as const).map(async ([owner, name]) => {
        const answer = await as(guest, 'GET', manifest(name), at(owner))
        return `${answer.status} ${answer.body.toString().replaceAll(name, 'NAME').replaceAll(owner, 'OWNER')}`
      }),
    )
    expect(new Set(answers).size).toBe(1)
    expect(answers[0]).toMatch(/^403 .*because no resource-based policy allows the ecr:BatchGetImage action/)

    await ecr.setRepositoryPolicy({ repositoryName: repository, policyText: policyOf({ Principal: { AWS: guest.arn }, Action: pullActions }) })

    expect((await as(guest, 'GET', manifest(repository), at(account))).body).toEqual(image.manifest.bytes)
    expect((await as(guest, 'PUT', manifest(repository), { ...at(account), body: '{}' })).status).toBe(403)
    expect((await as(guest, 'GET', manifest(repository))).status).toBe(404)
    await ecr.deleteRepositoryPolicy({ repositoryName: repository })
    expect((await as(guest, 'GET', manifest(repository), at(account))).status).toBe(403)
  })

  it('what changes is seen by the next request: policies, keys, tags of the repository', async () => {
    const { repository } = await pushed()
    const path = `/v2/${repository}/manifests/v1`
    const someone = await user({ Action: pullActions, Resource: '*' })
    const byTag = await user({ Action: pullActions, Resource: '*', Condition: { StringEquals: { 'ecr:ResourceTag/open': 'yes' } } })
    expect([(await as(someone, 'GET', path)).status, (await as(byTag, 'GET', path)).status]).toEqual([200, 403])

    await ecr.tagResource({ resourceArn: arnOf(repository), tags: [{ Key: 'open', Value: 'yes' }] })
    expect((await as(byTag, 'GET', path)).status).toBe(200)
    await ecr.untagResource({ resourceArn: arnOf(repository), tagKeys: ['open'] })
    expect((await as(byTag, 'GET', path)).status).toBe(403)
    await iam.putUserPolicy({ UserName: someone.name, PolicyName: 'rights', PolicyDocument: policyOf({ Action: 'ecr:ListImages', Resource: '*' }) })
    expect((await as(someone, 'GET', path)).status).toBe(403)
    await iam.updateAccessKey({ UserName: someone.name, AccessKeyId: someone.accessKeyId, Status: 'Inactive' })
    expect((await as(someone, 'GET', '/v2/')).status).toBe(401)
  })
})

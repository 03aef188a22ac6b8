import {
  BatchCheckLayerAvailabilityCommand,
  BatchGetImageCommand,
  CompleteLayerUploadCommand,
  CreateRepositoryCommand,
  DescribeRepositoriesCommand,
  ECRClient,
  GetDownloadUrlForLayerCommand,
  InitiateLayerUploadCommand,
  ListImagesCommand,
  UploadLayerPartCommand,
} from '@aws-sdk/client-ecr'
import { describe, expect, it } from 'vitest'
import { errorCodeOf, locationOf, onEveryDatabase } from '../distribution/registry-under-test.ts'
import { buildImage, digestOf, withDigest } from '../support/images.ts'

onEveryDatabase((registry) => {
  describe('CVE-2026-35172: what left a repository', () => {
    it('is not brought back there by pulls and pushes of others, by name, link or mount', async () => {
      const { client, platform, newRepository, pushImage } = registry()
      const [first, second] = [await newRepository('abuse/left'), await newRepository('abuse/left')]
      const image = buildImage({ seed: 'left' })
      const layerDigest = image.blobs[1]!.digest
      for (const repository of [first, second]) await pushImage(repository, image, 'v1')
      const { downloadUrl = '' } = await platform.ecr.send(new GetDownloadUrlForLayerCommand({ repositoryName: first, layerDigest }))

      expect((await client.request('DELETE', `/v2/${first}/manifests/${image.manifest.digest}`)).status).toBe(202)
      // Nothing is visible through an image in the trash; a blob that was pushed by itself would be taken here.
      expect([202, 404]).toContain((await client.request('DELETE', `/v2/${first}/blobs/${layerDigest}`)).status)
      // All of it is asked for and pushed again next door.
      await pushImage(second, image, 'v2')
      for (const path of [`manifests/v1`, `manifests/${image.manifest.digest}`, `blobs/${layerDigest}`]) {
        expect((await client.request('GET', `/v2/${second}/${path}`)).status).toBe(200)
      }

      for (const method of ['GET', 'HEAD']) {
        for (const path of [`manifests/v1`, `manifests/${image.manifest.digest}`, `blobs/${layerDigest}`]) {
          expect([path, (await client.request(method, `/v2/${first}/${path}`)).status]).toEqual([path, 404])
        }
      }
      expect((await client.request('GET', new URL(downloadUrl).pathname, { auth: null })).status).toBe(404)
      const { layers } = await platform.ecr.send(new BatchCheckLayerAvailabilityCommand({ repositoryName: first, layerDigests: [layerDigest] }))
      expect(layers).toMatchObject([{ layerAvailability: 'UNAVAILABLE' }])
      const { failures } = await platform.ecr.send(new BatchGetImageCommand({ repositoryName: first, imageIds: [{ imageTag: 'v1' }] }))
      expect(failures).toMatchObject([{ failureCode: 'ImageNotFound' }])
    })
  })

  describe('CVE-2024-39897: a digest that somebody else has pushed', () => {
    it('opens nothing in another repository or registry, however it is asked for', async () => {
      const { client, platform, newRepository, pushImage } = registry()
      const [owner, other] = [await newRepository('abuse/owner'), await newRepository('abuse/other')]
      const image = buildImage({ seed: 'owned' })
      await pushImage(owner, image, 'v1')
      const { digest, bytes } = image.blobs[1]!
      const elsewhere = new ECRClient({ endpoint: platform.url, region: 'eu-west-1', credentials: platform.credentials, maxAttempts: 1 })
      await elsewhere.send(new CreateRepositoryCommand({ repositoryName: other }))
      const hosts = [{}, { host: '000000000000.dkr.ecr.eu-west-1.localhost' }]

      for (const headers of hosts) {
        for (const method of ['GET', 'HEAD']) {
          for (const path of [`blobs/${digest}`, `manifests/${image.manifest.digest}`]) {
            expect((await client.request(method, `/v2/${other}/${path}`, { headers })).status).toBe(404)
          }
        }
        const known = await client.request('PUT', `/v2/${other}/manifests/v1`, {
          headers: { ...headers, 'content-type': image.manifest.mediaType },
          body: image.manifest.bytes,
        })
        expect([known.status, errorCodeOf(known)]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN'])
        // An upload that brings no bytes is not completed by the bytes of others.
        const begun = await client.request('POST', `/v2/${other}/blobs/uploads/`, { headers })
        const empty = await client.request('PUT', withDigest(locationOf(begun), digest), { headers })
        expect([empty.status, errorCodeOf(empty)]).toEqual([400, 'DIGEST_INVALID'])
        const again = await client.request('POST', `/v2/${other}/blobs/uploads/`, { headers })
        const wrong = await client.request('PUT', withDigest(locationOf(again), digest), { headers, body: Buffer.alloc(bytes.length) })
        expect([wrong.status, errorCodeOf(wrong)]).toEqual([400, 'DIGEST_INVALID'])
      }
      const mount = await client.request('POST', `/v2/${other}/blobs/uploads/?mount=${digest}&from=${owner}`, { headers: hosts[1]! })
      expect(mount.status).toBe(202)
      const anonymous = await client.request('POST', `/v2/${other}/blobs/uploads/?mount=${digest}`, { headers: hosts[1]! })
      expect(anonymous.status).toBe(202)

      for (const ecr of [platform.ecr, elsewhere]) {
        const { layers } = await ecr.send(new BatchCheckLayerAvailabilityCommand({ repositoryName: other, layerDigests: [digest] }))
        expect(layers).toMatchObject([{ layerAvailability: 'UNAVAILABLE' }])
        await expect(ecr.send(new GetDownloadUrlForLayerCommand({ repositoryName: other, layerDigest: digest }))).rejects.toThrow('do not exist')
      }
      elsewhere.destroy()
    })
  })

  describe('CVE-2022-31666 and its kind: an id of somebody else', () => {
    it('of an upload is none in another repository or registry, by either protocol', async () => {
      const { client, platform, newRepository } = registry()
      const [owner, other] = [await newRepository('abuse/uploads'), await newRepository('abuse/uploads')]
      const elsewhere = new ECRClient({ endpoint: platform.url, region: 'eu-west-2', credentials: platform.credentials, maxAttempts: 1 })
      await elsewhere.send(new CreateRepositoryCommand({ repositoryName: owner }))
      const { uploadId = '' } = await platform.ecr.send(new InitiateLayerUploadCommand({ repositoryName: owner }))
      const digest = digestOf(Buffer.from('x'))

      const swaps: readonly (readonly [string, Record<string, string>])[] = [
        [other, {}],
        [owner, { host: '000000000000.dkr.ecr.eu-west-2.localhost' }],
      ]
      for (const [repository, headers] of swaps) {
        const path = `/v2/${repository}/blobs/uploads/${uploadId}`
        for (const [method, target] of [['GET', path], ['PATCH', path], ['PUT', `${path}?digest=${digest}`], ['DELETE', path]] as const) {
          const refused = await client.request(method, target, { headers, ...(method === 'PATCH' ? { body: 'x' } : {}) })
          expect([method, refused.status, errorCodeOf(refused)]).toEqual([method, 404, 'BLOB_UPLOAD_UNKNOWN'])
        }
      }
      for (const [ecr, repositoryName] of [[platform.ecr, other], [elsewhere, owner]] as const) {
        const part = { repositoryName, uploadId, partFirstByte: 0, partLastByte: 0, layerPartBlob: Buffer.from('x') }
        await expect(ecr.send(new UploadLayerPartCommand(part))).rejects.toMatchObject({ name: 'UploadNotFoundException' })
        const complete = new CompleteLayerUploadCommand({ repositoryName, uploadId, layerDigests: [digest] })
        await expect(ecr.send(complete)).rejects.toMatchObject({ name: 'UploadNotFoundException' })
      }
      elsewhere.destroy()
      const untouched = await client.request('GET', `/v2/${owner}/blobs/uploads/${uploadId}`)
      expect([untouched.status, untouched.headers.range]).toEqual([204, '0-0'])
    })

    it('of an account is refused in every call that takes one, and tells nothing of it', async () => {
      const { platform, newRepository } = registry()
      const repositoryName = await newRepository('abuse/accounts')
      const registryId = '123456789012'

      for (const name of [repositoryName, 'abuse/nowhere']) {
        const told = await platform.ecr.send(new ListImagesCommand({ repositoryName: name, registryId })).catch((error: unknown) => error)
        expect(String(told)).toContain(`not authorized to perform: ecr:ListImages on resource: arn:aws:ecr:us-east-1:${registryId}:repository/${name}`)
      }
      const described = platform.ecr.send(new DescribeRepositoriesCommand({ registryId }))
      await expect(described).rejects.toMatchObject({ name: 'AccessDeniedException' })
    })
  })

  describe('CVE-2019-19030, CVE-2020-13794: who asks without the right keys', () => {
    it('is told the same whether a user or a repository exists', async () => {
      const { client, platform, newRepository, credentials } = registry()
      const repository = await newRepository('abuse/known')
      const answers = await Promise.all(
        ([
          [repository, null],
          ['abuse/unknown', null],
          [repository, { username: credentials.username, password: 'wrong-wrong-wrong-wrong' }],
          [repository, { username: 'AKIANOBODYNOBODYNOBO', password: 'wrong-wrong-wrong-wrong' }],
          ['abuse/unknown', { username: 'AKIANOBODYELSENOBODY', password: 'wrong-wrong-wrong-wrong' }],
        ] as const).map(async ([name, auth]) => {
          const request = { auth, headers: { host: platform.host } }
          const { status, headers, body } = await client.request('GET', `/v2/${name}/tags/list`, request)
          const { date: _date, 'x-request-id': _id, ...rest } = headers
          return { status, headers: rest, body: body.toString() }
        }),
      )
      expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
      expect(answers[0]).toMatchObject({ status: 401, body: 'Not Authorized\n' })

      const messages = await Promise.all(
        [platform.credentials.accessKeyId, 'AKIANOBODYNOBODYNOBX'].map((accessKeyId) => {
          const keys = { accessKeyId, secretAccessKey: 'wrong-wrong-wrong-wrong' }
          const ecr = new ECRClient({ endpoint: platform.url, region: 'us-east-1', credentials: keys, maxAttempts: 1 })
          return ecr.send(new DescribeRepositoriesCommand({})).then(
            () => 'served',
            (error: Error) => error.name,
          )
        }),
      )
      // AWS itself tells a wrong signature from an unknown key, and its clients rely on it: no repository is told of.
      expect(messages).toEqual(['InvalidSignatureException', 'UnrecognizedClientException'])
    })
  })
})

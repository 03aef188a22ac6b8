import { setTimeout as sleep } from 'node:timers/promises'
import { CreateRepositoryCommand, DescribeImagesCommand, ECRClient, GetAuthorizationTokenCommand, GetDownloadUrlForLayerCommand } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { trailBodyOf } from '../support/audit-trail.ts'
import { createDistributionClient, type DistributionClient } from '../support/distribution-client.ts'
import { buildRandomImage, pushImage } from '../support/images.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'

const repository = 'log/app'
const image = buildRandomImage([10_000], 'request log')

let stowage: Stowage
let client: DistributionClient
let ecr: ECRClient

beforeAll(async () => {
  stowage = await startStowage()
  client = createDistributionClient(stowage.url, stowage.credentials)
  ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys, maxAttempts: 1 })
})
afterAll(async () => {
  client.close()
  ecr.destroy()
  await stowage.stop()
})

/** The line of a request, which may be written a moment after its answer. */
async function lineOf(requestId: string | undefined): Promise<Record<string, unknown>> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const lines = stowage.logs().split('\n').filter((line) => line.includes(`"requestId":"${requestId}"`) && line.includes('"msg":"request"'))
    expect(lines.length).toBeLessThan(2)
    if (lines[0] !== undefined) return JSON.parse(lines[0]) as Record<string, unknown>
    await sleep(25)
  }
  throw new Error(`no line has the request ${requestId}`)
}

it('has a request under the id that its answer and the audit record of its change have', async () => {
  const { $metadata } = await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))

  expect(await lineOf($metadata.requestId)).toMatchObject({
    level: 'info',
    method: 'POST',
    protocol: 'ecr',
    operation: 'CreateRepository',
    repository,
    status: 200,
    sourceIp: '127.0.0.1',
    actorArn: 'arn:aws:iam::000000000000:root',
  })
  expect(await trailBodyOf(stowage.dataDir, $metadata.requestId)).toMatchObject({
    name: 'CreateRepository',
    actor: { arn: 'arn:aws:iam::000000000000:root' },
    changes: [{ action: 'CreateRepository' }],
  })
})

it('tells the error that a request was answered with', async () => {
  const missing = await client.request('GET', `/v2/${repository}/manifests/none`, { headers: { 'user-agent': `docker/1\u00a0${'x'.repeat(1000)}` } })
  const refused = await ecr.send(new DescribeImagesCommand({ repositoryName: 'not/there' })).catch((error: unknown) => error as { $metadata: { requestId?: string } })

  const line = await lineOf(String(missing.headers['x-request-id']))
  expect(line).toMatchObject({ operation: 'getManifest', repository, status: 404, errorCode: 'MANIFEST_UNKNOWN', path: `/v2/${repository}/manifests/none` })
  expect(String(line['userAgent']).length).toBeLessThan(300)
  expect(await lineOf(refused.$metadata.requestId)).toMatchObject({ operation: 'DescribeImages', repository: 'not/there', status: 400, errorCode: 'RepositoryNotFoundException' })
})

it('has none of the passwords, tokens and links that were used, right or wrong', async () => {
  await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, 'one')
  const layerDigest = image.blobs[0]!.digest
  const { authorizationData } = await ecr.send(new GetAuthorizationTokenCommand({}))
  const token = Buffer.from(authorizationData?.[0]?.authorizationToken ?? '', 'base64').toString().slice('AWS:'.length)
  const link = (await ecr.send(new GetDownloadUrlForLayerCommand({ repositoryName: repository, layerDigest }))).downloadUrl ?? ''
  const wrongPassword = 'wrong-password-0123456789'
  const signature = 'f00df00d'.repeat(8)
  const answers = [
    await fetch(`${stowage.url}/v2/`, { headers: { authorization: `Basic ${Buffer.from(`AWS:${token}`).toString('base64')}` } }),
    await fetch(`${stowage.url}/v2/`, { headers: { authorization: `Basic ${Buffer.from(`AWS:${wrongPassword}`).toString('base64')}` } }),
    await fetch(link),
    await fetch(`${stowage.url}/v2/${repository}/tags/list?last=${encodeURIComponent(new URL(link).pathname.split('/').at(-1) ?? '')}`),
    await fetch(`${stowage.url}/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Signature=${signature}&X-Amz-Security-Token=${wrongPassword}`),
  ]
  expect(answers.map(({ status }) => status)).toEqual([200, 401, 200, 401, 403])
  for (const answer of answers) {
    await answer.arrayBuffer()
    await lineOf(answer.headers.get('x-request-id') ?? '')
  }

  const logs = stowage.logs()
  expect(logs).toContain(repository)
  const secrets = [token, wrongPassword, signature, new URL(link).pathname.split('/').at(-1) ?? '', stowage.keys.secretAccessKey]
  for (const secret of secrets) {
    expect(secret.length).toBeGreaterThan(16)
    for (const form of [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64'), Buffer.from(`AWS:${secret}`).toString('base64')]) expect(logs.includes(form)).toBe(false)
  }
})

import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createDistributionClient, type DistributionClient } from '../support/distribution-client.ts'
import { buildImage, digestOf, withDigest } from '../support/images.ts'
import { createDatabase } from '../support/postgres.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'

const repository = 'lost/commits'

let proxy: TcpProxy
let stowage: Stowage
let client: DistributionClient
let drop: () => Promise<void>

beforeEach(async () => {
  const database = await createDatabase()
  drop = database.drop
  const url = new URL(database.url)
  proxy = await startTcpProxy(Number(url.port))
  url.port = String(proxy.port)
  // No other commit than the request's is to be cut off.
  stowage = await startStowage({ databaseUrl: url.toString(), env: { STOWAGE_AUDIT: 'off', STOWAGE_GC_INTERVAL_MS: '0' } })
  client = createDistributionClient(stowage.url, stowage.credentials)
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
  ecr.destroy()
})
afterEach(async () => {
  client.close()
  await stowage.stop()
  await proxy.close()
  await drop()
})

/** COMMIT of a transaction that is durable: those of upload sessions say that they are not. */
function isDurableCommit(earlier: string, piece: string): boolean {
  if (!piece.includes('commit\0')) return false
  return !earlier.slice(earlier.lastIndexOf('begin isolation')).includes('synchronous_commit = off')
}

// `request`: the server of the database never hears of the commit; `answer`: it commits, and nobody is told.
describe.each(['request', 'answer'] as const)('a commit cut off at its %s', (moment) => {
  it('lets a blob be sent again in the same session', async () => {
    const bytes = Buffer.from(`a blob whose commit is cut off at the ${moment}`)
    const digest = digestOf(bytes)
    const begun = await client.request('POST', `/v2/${repository}/blobs/uploads/`)
    const put = () => client.request('PUT', withDigest(begun.headers.location ?? '', digest), { body: bytes })

    const cut = proxy.cutAt(moment, isDurableCommit)
    const failed = await put()
    await cut
    expect([failed.status, failed.headers['retry-after']]).toEqual([503, '1'])
    // The connection was lost, not the row: what is true is asked of the database again.
    const head = await client.request('HEAD', `/v2/${repository}/blobs/${digest}`)
    expect(head.status).toBe(moment === 'answer' ? 200 : 404)

    expect((await put()).status).toBe(201)
    expect((await client.request('GET', `/v2/${repository}/blobs/${digest}`)).body).toEqual(bytes)
  })

  it('lets a blob go on that came in parts', async () => {
    const bytes = Buffer.from(`the first part, and the last, cut off at the ${moment}`)
    const begun = await client.request('POST', `/v2/${repository}/blobs/uploads/`)
    const patched = await client.request('PATCH', begun.headers.location ?? '', { body: bytes.subarray(0, 20), headers: { 'content-range': '0-19' } })
    const location = withDigest(patched.headers.location ?? '', digestOf(bytes))
    const put = () => client.request('PUT', location, { body: bytes.subarray(20), headers: { 'content-range': `20-${bytes.length - 1}` } })

    const cut = proxy.cutAt(moment, isDurableCommit)
    expect((await put()).status).toBe(503)
    await cut

    expect((await put()).status).toBe(201)
    expect((await client.request('GET', `/v2/${repository}/blobs/${digestOf(bytes)}`)).body).toEqual(bytes)
  })

  it('lets a manifest be put and deleted again', async () => {
    const image = buildImage({ seed: moment })
    for (const blob of image.blobs) {
      const { headers } = await client.request('POST', `/v2/${repository}/blobs/uploads/`)
      await client.request('PUT', withDigest(headers.location ?? '', blob.digest), { body: blob.bytes })
    }
    const path = `/v2/${repository}/manifests/`
    const put = () => client.request('PUT', `${path}v1`, { headers: { 'content-type': image.manifest.mediaType }, body: image.manifest.bytes })
    const putCut = proxy.cutAt(moment, isDurableCommit)
    expect((await put()).status).toBe(503)
    await putCut
    expect((await client.request('GET', `${path}v1`)).status).toBe(moment === 'answer' ? 200 : 404)
    expect((await put()).status).toBe(201)

    const remove = () => client.request('DELETE', `${path}${image.manifest.digest}`)
    const removeCut = proxy.cutAt(moment, isDurableCommit)
    expect((await remove()).status).toBe(503)
    await removeCut
    // It is gone either way, and the one who asks again hears so.
    expect((await remove()).status).toBe(moment === 'answer' ? 404 : 202)
    expect((await client.request('GET', `${path}v1`)).status).toBe(404)
  })
})

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { CreateRepositoryCommand, ECRClient, PutImageCommand } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { errorCodeOf, onEveryDatabase } from '../distribution/registry-under-test.ts'
import { buildImage, digestOf } from '../support/images.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createDistributionClient } from '../support/distribution-client.ts'

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const mebibyte = 1024 * 1024

/** 4 MiB that a parser pays far more for than their length: in the shape that costs V8 most, 40 new keys an object. */
function costlyManifest(): Buffer {
  let key = 0
  const object = (): string => `{${Array.from({ length: 40 }, () => `"${(key++).toString(36)}":0`).join(',')}}`
  const head = `{"schemaVersion":2,"mediaType":"${manifestType}","layers":[],"x":[`
  const parts: string[] = []
  for (let length = head.length; ; ) {
    const part = object()
    length += part.length + 1
    if (length > 4 * mebibyte - 2) break
    parts.push(part)
  }
  return Buffer.from(`${head}${parts.join(',')}]}`)
}

describe('a server that is sent manifests to harm it', () => {
  let stowage: Stowage
  beforeAll(async () => {
    stowage = await startStowage()
    const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
    await ecr.send(new CreateRepositoryCommand({ repositoryName: 'abuse/app' }))
    ecr.destroy()
  })
  afterAll(() => stowage.stop())

  it('CVE-2017-11468: a manifest without end is refused at 4 MiB, and no more of it is held', async () => {
    const before = stowage.peakMemoryBytes()
    const piece = Buffer.alloc(65_536, ' ')
    const senders = Array.from({ length: 8 }, async () => {
      const client = createDistributionClient(stowage.url, stowage.credentials)
      let sentBytes = 0
      // Without a length, and as fast as it is taken, until the server ends it.
      const body = async function* (): AsyncGenerator<Buffer> {
        for (; sentBytes < 5 * 1024 * mebibyte; sentBytes += piece.length) yield piece
      }
      const headers = { 'content-type': manifestType, 'transfer-encoding': 'chunked' }
      const { status } = await client.request('PUT', '/v2/abuse/app/manifests/endless', { headers, body: body() })
      client.close()
      return { status, isBounded: sentBytes < 64 * mebibyte }
    })

    expect(await Promise.all(senders)).toEqual(senders.map(() => ({ status: 413, isBounded: true })))
    // Eight times 4 MiB, received and joined, and what the collector has not taken yet.
    expect(stowage.peakMemoryBytes() - before).toBeLessThan(160 * mebibyte)
  })

  it('CVE-2023-46737, CVE-2023-25153: documents that cost only time are refused while others are served', async () => {
    const client = createDistributionClient(stowage.url, stowage.credentials)
    const others = createDistributionClient(stowage.url)
    const body = costlyManifest()
    let isOver = false
    const pushes = Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        client.request('PUT', `/v2/abuse/app/manifests/costly-${n}`, { body, headers: { 'content-type': manifestType } }),
      ),
    ).finally(() => (isOver = true))
    let longestMs = 0
    while (!isOver) {
      const startedAt = performance.now()
      expect((await others.request('GET', '/healthz')).status).toBe(200)
      longestMs = Math.max(longestMs, performance.now() - startedAt)
    }

    for (const refused of await pushes) {
      expect([refused.status, errorCodeOf(refused)]).toEqual([400, 'MANIFEST_INVALID'])
      expect(refused.body.toString()).toContain('more than 100000 keys together')
    }
    // Each took up to a second of everybody's time.
    expect(longestMs).toBeLessThan(5_000)
    client.close()
    others.close()
  })
})

onEveryDatabase((registry) => {
  async function put(repository: string, text: string, contentType: string) {
    return registry().client.request('PUT', `/v2/${repository}/manifests/confused`, { body: text, headers: { 'content-type': contentType } })
  }

  describe('GHSA-qq97-vm5h-rrhg, CVE-2021-41190: a manifest that two readers take for two things', () => {
    const { manifest, blobs } = buildImage({ seed: 'confused' })
    const image = manifest.bytes.toString()
    const extended = (members: string): string => `${image.slice(0, -1)},${members}}`
    const indexType = 'application/vnd.oci.image.index.v1+json'

    it.each<[string, string, string]>([
      ['image and index at once', extended('"manifests":[]'), manifestType],
      ['another type than it is sent as', image, indexType],
      ['a repeated key', extended('"layers":[]'), manifestType],
      ['a repeated key in escapes', extended('"layer\\u0073":[]'), manifestType],
      ['a key in another case', extended('"Layers":[]'), manifestType],
      ['a key that folds to another', extended('"layerſ":[]'), manifestType],
      ['a second document behind it', `${image}${image}`, manifestType],
      ['a type that is no header', image.replace(manifestType, `${manifestType}\\r\\nX: y`), 'application/json'],
    ])('%s is refused by either protocol, and nothing is stored', async (_, text, contentType) => {
      const { client, platform, newRepository, pushBlob } = registry()
      const repository = await newRepository('abuse/confused')
      for (const blob of blobs) await pushBlob(repository, blob.bytes)

      const refused = await put(repository, text, contentType)
      expect([refused.status, errorCodeOf(refused)]).toEqual([400, 'MANIFEST_INVALID'])
      const call = new PutImageCommand({ repositoryName: repository, imageManifest: text, imageManifestMediaType: contentType, imageTag: 'confused' })
      await expect(platform.ecr.send(call)).rejects.toMatchObject({ name: 'InvalidParameterException' })

      expect((await client.request('GET', `/v2/${repository}/manifests/${digestOf(Buffer.from(text))}`)).status).toBe(404)
      expect((await client.request('GET', `/v2/${repository}/tags/list`)).json()).toMatchObject({ tags: [] })
    })
  })

  it('CVE-2026-10517: addresses in a manifest are never fetched, whatever is asked of it', async () => {
    const { client, platform, newRepository, pushBlob } = registry()
    let visits = 0
    const canary = createServer((_request, response) => {
      visits += 1
      response.end()
    })
    await new Promise<void>((resolve) => canary.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(canary.address() as AddressInfo).port}/layer`
    const repository = await newRepository('abuse/foreign')
    const layerBytes = Buffer.from('elsewhere')
    const config = Buffer.from('{}')
    await pushBlob(repository, config)
    const layer = { digest: digestOf(layerBytes), size: layerBytes.length, urls: [url] }
    const document = {
      schemaVersion: 2,
      mediaType: manifestType,
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(config), size: config.length, urls: [url] },
      layers: [{ ...layer, mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip' }],
      annotations: { 'org.opencontainers.image.source': url },
    }
    const body = Buffer.from(JSON.stringify(document))
    const pushed = await client.request('PUT', `/v2/${repository}/manifests/foreign`, { body, headers: { 'content-type': manifestType } })
    expect(pushed.status).toBe(201)

    for (const path of ['manifests/foreign', `referrers/${digestOf(body)}`, 'tags/list']) {
      expect((await client.request('GET', `/v2/${repository}/${path}`)).status).toBe(200)
    }
    // Not had, and not got from there.
    expect((await client.request('GET', `/v2/${repository}/blobs/${layer.digest}`)).status).toBe(404)
    const mount = await client.request('POST', `/v2/${repository}/blobs/uploads/?mount=${layer.digest}&from=${encodeURIComponent(url)}`)
    expect(mount.status).toBe(202)
    await platform.ecr.send(new PutImageCommand({ repositoryName: repository, imageManifest: `${body.toString()} `, imageTag: 'again' }))
    canary.close()
    expect(visits).toBe(0)
  })
})

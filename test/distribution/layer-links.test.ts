import { DeleteRepositoryCommand, GetDownloadUrlForLayerCommand } from '@aws-sdk/client-ecr'
import { afterAll, describe, expect, it } from 'vitest'
import type { Clock } from '../../src/internal/clock.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { startTestPlatform } from '../support/platform.ts'
import { errorCodeOf, onEveryDatabase } from './registry-under-test.ts'

onEveryDatabase((registry) => {
  /** An image in a repository of its own, and the link to its layer. */
  async function linked(): Promise<{ repository: string; link: string; bytes: Buffer; digest: string }> {
    const { newRepository, platform, pushImage: push } = registry()
    const repository = await newRepository()
    const image = buildImage({ seed: repository })
    await push(repository, image, 'v1')
    const { digest, bytes } = image.blobs[1]!
    const { downloadUrl } = await platform.ecr.send(
      new GetDownloadUrlForLayerCommand({ repositoryName: repository, layerDigest: digest }),
    )
    return { repository, link: downloadUrl ?? '', bytes, digest }
  }

  describe('the link of GetDownloadUrlForLayer', () => {
    it('is downloaded without credentials', async () => {
      const { link, bytes, digest } = await linked()

      const answer = await registry().client.request('GET', link, { auth: null })

      expect(answer.status).toBe(200)
      expect(answer.body.equals(bytes)).toBe(true)
      expect(answer.headers).toMatchObject({ 'docker-content-digest': digest, 'accept-ranges': 'bytes' })
    })

    it('serves parts, headers and conditions as the blob itself does', async () => {
      const { link, bytes, digest } = await linked()
      const { client } = registry()

      const part = await client.request('GET', link, { auth: null, headers: { range: 'bytes=2-5' } })
      expect([part.status, part.headers['content-range']]).toEqual([206, `bytes 2-5/${bytes.length}`])
      expect(part.body.equals(bytes.subarray(2, 6))).toBe(true)

      const head = await client.request('HEAD', link, { auth: null })
      expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, String(bytes.length), 0])

      const unchanged = await client.request('GET', link, { auth: null, headers: { 'if-none-match': `"${digest}"` } })
      expect(unchanged.status).toBe(304)
    })

    it('opens nothing else', async () => {
      const { link } = await linked()
      const { client, platform } = registry()
      const at = link.lastIndexOf('/') + 1

      for (const forged of [
        link.slice(0, at) + link.slice(at).replace(/^./, (first) => (first === 'A' ? 'B' : 'A')),
        `${link}x`,
        link.slice(0, -5),
        link.slice(0, at),
        `${platform.url}/_stowage/layers/..%2f..%2fetc`,
      ]) {
        const answer = await client.request('GET', forged, { auth: null })
        expect([answer.status, errorCodeOf(answer)]).toEqual([403, 'DENIED'])
      }
    })

    it('ends with its repository', async () => {
      const { repository, link } = await linked()
      const { client, platform } = registry()

      await platform.ecr.send(new DeleteRepositoryCommand({ repositoryName: repository, force: true }))

      expect((await client.request('GET', link, { auth: null })).status).toBe(404)
    })
  })
})

describe('a link that ran out', () => {
  let nowMs = Date.now()
  const clock: Clock = { now: () => nowMs }
  const started = startTestPlatform({ database: 'sqlite', clock })
  afterAll(async () => (await started).stop())

  it('is refused', async () => {
    const platform = await started
    const { accessKeyId: username, secretAccessKey: password } = platform.credentials
    const image = buildImage({ seed: 'expiring link' })
    await platform.createRepository('team/app')
    await pushImage({ url: platform.url, repository: 'team/app', auth: { username, password } }, image)
    const { downloadUrl } = await platform.ecr.send(
      new GetDownloadUrlForLayerCommand({ repositoryName: 'team/app', layerDigest: image.blobs[1]!.digest }),
    )
    const client = createDistributionClient(platform.url)

    nowMs += 24 * 60 * 60 * 1000
    const refused = await client.request('GET', downloadUrl ?? '')

    expect([refused.status, errorCodeOf(refused)]).toEqual([403, 'DENIED'])
    client.close()
  })
})

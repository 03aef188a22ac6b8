import { expect, test } from 'vitest'
import { createDistributionClient } from './distribution-client.ts'
import { buildRandomImage, pushImage } from './images.ts'
import { startTlsProxy } from './nginx.ts'
import { startDockerRegistry } from './start-docker-registry.ts'

test('an image pushed through the TLS proxy arrives at the registry behind it', async () => {
  const registry = await startDockerRegistry()
  const proxy = await startTlsProxy({ upstream: registry.url, hostnames: ['registry.test'] })
  const image = buildRandomImage([100_000], 'tls')
  await pushImage({ url: proxy.url, repository: 'app', auth: null, ca: proxy.certificate }, image, 'v1')
  const client = createDistributionClient(registry.url)

  const answer = await client.request('GET', '/v2/app/manifests/v1', { headers: { accept: image.manifest.mediaType } })

  client.close()
  expect(answer.status).toBe(200)
  expect(answer.body).toEqual(image.manifest.bytes)
  await proxy.stop()
  await registry.stop()
  await expect(fetch(registry.url)).rejects.toThrow()
})

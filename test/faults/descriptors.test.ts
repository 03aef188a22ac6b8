import { ECR } from '@aws-sdk/client-ecr'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildRandomImage, digestOf, pushImage, randomContent, withDigest } from '../support/images.ts'
import { createDatabase } from '../support/postgres.ts'
import { databases } from '../support/registry.ts'
import { startStowage } from '../support/start-stowage.ts'
import { descriptorCount, gatherCrowd } from './crowd.ts'

const repository = 'few/descriptors'
/** What a server has open by itself is about half of this. */
const limit = 64
const pushers = 12

let releases: (() => unknown)[] = []

afterEach(async () => {
  for (const release of releases.reverse()) await release()
  releases = []
})

describe.each(databases)('a server with hardly any descriptors, on %s', (kind) => {
  it('refuses what it cannot open, loses and breaks nothing, and recovers by itself', async () => {
    const database = kind === 'postgres' ? await createDatabase() : undefined
    if (database !== undefined) releases.push(() => database.drop())
    const stowage = await startStowage({
      ...(database === undefined ? {} : { databaseUrl: database.url }),
      launcher: ['prlimit', `--nofile=${limit}:${limit}`, '--'],
    })
    releases.push(() => stowage.stop())
    const target = { url: stowage.url, repository, auth: stowage.credentials }
    const ecr = new ECR({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
    await ecr.createRepository({ repositoryName: repository })
    ecr.destroy()
    const image = buildRandomImage([100_000], 'before the crowd')
    await pushImage(target, image, 'v1')
    expect(descriptorCount(stowage.pid)).toBeLessThan(limit)

    const crowd = await gatherCrowd({ url: stowage.url, size: 1, opening: '' })
    const acknowledged: string[] = []
    const statuses = new Set<number | string>()
    try {
      // So many uploads at once that sockets and files together are too many.
      for (let turn = 0; turn < 4; turn += 1) {
        const extra = await gatherCrowd({ url: stowage.url, size: turn * 10, opening: 'GET ' }).catch(() => undefined)
        await Promise.all(
          Array.from({ length: pushers }, async (_, pusher) => {
            const client = createDistributionClient(stowage.url, stowage.credentials)
            try {
              const bytes = randomContent(200_000, `few descriptors ${turn} ${pusher}`)
              const begun = await client.request('POST', `/v2/${repository}/blobs/uploads/`)
              statuses.add(begun.status)
              if (begun.status !== 202) return
              const done = await client.request('PUT', withDigest(begun.headers.location ?? '', digestOf(bytes)), { body: bytes })
              statuses.add(done.status)
              if (done.status === 201) acknowledged.push(digestOf(bytes))
            } catch (error) {
              statuses.add((error as NodeJS.ErrnoException).code ?? 'closed')
            } finally {
              client.close()
            }
          }),
        )
        extra?.disperse()
      }
    } finally {
      crowd.disperse()
    }
    process.stderr.write(`with ${limit} descriptors on ${kind}: ${acknowledged.length} of ${4 * pushers} pushed, answers ${[...statuses].join(', ')}\n`)
    for (const status of statuses) expect([201, 202, 404, 503, 'ECONNRESET', 'EPIPE', 'closed']).toContain(status)
    expect(statuses.size).toBeGreaterThan(2)

    const client = createDistributionClient(stowage.url, stowage.credentials)
    releases.push(() => client.close())
    await vi.waitFor(() => pushImage(target, buildRandomImage([100_000], 'after the crowd'), 'v2'), 20_000)
    // Every folder that could not be flushed for want of a descriptor is flushed by now.
    for (let count = 0; count < pushers * 4; count += 1) {
      const bytes = randomContent(200_000, `few descriptors ${count % 4} ${Math.floor(count / 4)}`)
      const begun = await client.request('POST', `/v2/${repository}/blobs/uploads/`)
      const done = await client.request('PUT', withDigest(begun.headers.location ?? '', digestOf(bytes)), { body: bytes })
      expect([count, done.status]).toEqual([count, 201])
    }
    for (const digest of [...acknowledged, ...image.blobs.map((blob) => blob.digest)]) {
      expect(digestOf((await client.request('GET', `/v2/${repository}/blobs/${digest}`)).body)).toBe(digest)
    }
    expect(stowage.logs()).not.toContain('nothing can be written safely')
  })
})

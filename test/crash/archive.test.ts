import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { CreateRepositoryCommand, DescribeImagesCommand, ECRClient, UpdateImageStorageClassCommand } from '@aws-sdk/client-ecr'
import { afterEach, describe, expect, it } from 'vitest'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildImage, digestOf, pushImage, randomContent, tar, type Image } from '../support/images.ts'
import { freePort } from '../support/server-process.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

/*
 * A server is killed while it moves bytes to the archive and back, again and again, each time at another moment. Every image comes
 * back byte for byte, and in the end nothing lies where it does not belong.
 */

const repository = 'archive/app'
const kills = 5
const imageCount = 6

let running: Stowage | undefined
let dir: TempDir

afterEach(async () => {
  await running?.stop()
  dir.remove()
})

describe('a server that is killed', () => {
  it('while it moves blobs to the archive and back has lost none, and leaves none twice', { timeout: 300_000 }, async () => {
    dir = createTempDir('archive-crash')
    const keys = { accessKeyId: 'AKIAARCHIVEARCHIVE01', secretAccessKey: 'archive-archive-archive' }
    const port = await freePort()
    const env = { STOWAGE_GC_INTERVAL_MS: '50', STOWAGE_SCRUB_INTERVAL_DAYS: '0' }
    const start = async (): Promise<Stowage> => (running = await startStowage({ port, dataDir: dir.path, keys, env }))
    let stowage = await start()
    const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys, maxAttempts: 1 })
    await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
    const images = imagesToMove()
    for (const image of images) await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image)
    const files = images.flatMap(({ blobs }) => blobs.map(({ digest }) => digest)).sort()

    for (const [target, state, here, there] of [
      ['ARCHIVE', 'ARCHIVED', 'archive/blobs', 'blobs'],
      ['STANDARD', 'ACTIVE', 'blobs', 'archive/blobs'],
    ] as const) {
      for (let kill = 0; kill < kills; kill += 1) {
        const asked = Promise.allSettled(
          images.map(({ manifest }) =>
            ecr.send(new UpdateImageStorageClassCommand({ repositoryName: repository, imageId: { imageDigest: manifest.digest }, targetStorageClass: target })),
          ),
        )
        await delay(5 + kill * 25)
        stowage.kill('SIGKILL')
        await Promise.all([stowage.exited, asked])
        stowage = await start()
        timePasses()
      }
      for (const { manifest } of images) {
        await ecr.send(new UpdateImageStorageClassCommand({ repositoryName: repository, imageId: { imageDigest: manifest.digest }, targetStorageClass: target }))
      }
      const isSettled = async (): Promise<boolean> => {
        timePasses()
        const { imageDetails = [] } = await ecr.send(new DescribeImagesCommand({ repositoryName: repository, filter: { imageStatus: 'ANY' } }))
        return imageDetails.every(({ imageStatus }) => imageStatus === state) && digestsIn(there).length === 0
      }
      for (const endsAt = Date.now() + 60_000; !(await isSettled()) && Date.now() < endsAt; ) await delay(100)

      expect([digestsIn(here), digestsIn(there)]).toEqual([files, []])
    }

    const client = createDistributionClient(stowage.url, stowage.credentials)
    for (const { manifest, blobs } of images) {
      expect((await client.request('GET', `/v2/${repository}/manifests/${manifest.digest}`)).status).toBe(200)
      for (const { digest } of blobs) expect(digestOf((await client.request('GET', `/v2/${repository}/blobs/${digest}`)).body)).toBe(digest)
    }
    client.close()
    ecr.destroy()
  })
})

function imagesToMove(): Image[] {
  return Array.from({ length: imageCount }, (_, n) =>
    buildImage({ layers: [tar([{ path: `random-${n}`, content: randomContent(300_000, `archive ${n}`) }])], seed: `archive ${n}` }),
  )
}

/** What waits has waited long enough, also for a server that will not come back. */
function timePasses(): void {
  const database = new DatabaseSync(join(dir.path, 'stowage.db'), { timeout: 10_000 })
  database.exec('update review set due_at = 1, leased_until = 1')
  database.close()
}

function digestsIn(folder: string): string[] {
  return readdirSync(join(dir.path, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => `sha256:${name.split('.')[0] ?? ''}`)
    .sort()
}

import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CreateRepositoryCommand, ECRClient, GetDownloadUrlForLayerCommand } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createDistributionClient, type DistributionClient } from '../support/distribution-client.ts'
import { buildRandomImage, digestOf, pushImage, type Image } from '../support/images.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

const repository = 'damage/app'
const layerBytes = 3_000_000

let dir: TempDir
let stowage: Stowage
let client: DistributionClient
let ecr: ECRClient

async function start(): Promise<void> {
  stowage = await startStowage({ dataDir: dir.path, keys: { accessKeyId: 'AKIADAMAGEDAMAGEDAMA', secretAccessKey: 'damage-damage-damage' } })
  client = createDistributionClient(stowage.url, stowage.credentials)
  ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys, maxAttempts: 1 })
}

async function stop(): Promise<void> {
  client.close()
  ecr.destroy()
  await stowage.stop()
}

beforeAll(async () => {
  dir = createTempDir('damage')
  await start()
  await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
})
afterAll(async () => {
  await stop()
  dir.remove()
})

async function pushed(tag: string): Promise<{ image: Image; layer: Image['blobs'][number]; file: string }> {
  const image = buildRandomImage([layerBytes], tag)
  await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, tag)
  const layer = image.blobs.toSorted((a, b) => b.bytes.length - a.bytes.length)[0]!
  const blobs = join(dir.path, 'blobs')
  const path = readdirSync(blobs, { recursive: true, encoding: 'utf8' }).find((each) => each.includes(layer.digest.slice(7)))
  return { image, layer, file: join(blobs, path!) }
}

function flip(file: string, at: number): void {
  const bytes = readFileSync(file)
  bytes[at]! ^= 1
  writeFileSync(file, bytes)
}

/** What a reader has got when its connection ends. */
async function download(path: string): Promise<{ received: Buffer; isWhole: boolean }> {
  const parts: Buffer[] = []
  try {
    await client.request('GET', path, { onBody: (chunk) => parts.push(chunk) })
    return { received: Buffer.concat(parts), isWhole: true }
  } catch {
    return { received: Buffer.concat(parts), isWhole: false }
  }
}

it('a damaged layer ends the connection before the damage, counts as absent, and comes back with the next push', async () => {
  const { image, layer, file } = await pushed('flipped')
  flip(file, layer.bytes.length - 5)
  const path = `/v2/${repository}/blobs/${layer.digest}`

  const { received, isWhole } = await download(path)

  expect(isWhole).toBe(false)
  expect(received.length).toBeLessThan(layer.bytes.length - 5)
  expect(received.equals(layer.bytes.subarray(0, received.length))).toBe(true)
  expect((await client.request('HEAD', path)).status).toBe(404)
  expect((await client.request('GET', path)).json()).toMatchObject({ errors: [{ code: 'BLOB_UNKNOWN' }] })
  expect(stowage.logs()).toContain('were set aside')
  expect(await (await fetch(`${stowage.url}/metrics`)).text()).toContain('stowage_blobs_set_aside_total{damage="corrupt"} 1')

  await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, 'flipped')
  expect(digestOf((await client.request('GET', path)).body)).toBe(layer.digest)
})

it('a range of damaged bytes ends the connection, also by a download link', async () => {
  const { layer, file } = await pushed('ranged')
  const { downloadUrl } = await ecr.send(new GetDownloadUrlForLayerCommand({ repositoryName: repository, layerDigest: layer.digest }))
  flip(file, 1_000_000)

  const answer = client.request('GET', downloadUrl!, { headers: { range: 'bytes=999990-1000010' }, auth: null })

  await expect(answer).rejects.toThrow()
})

it('a layer whose file is gone or cut is answered by an error, and absent from then on', async () => {
  for (const [tag, damage] of [
    ['gone', (file: string) => rmSync(file)],
    ['cut', (file: string) => writeFileSync(file, readFileSync(file).subarray(0, 1000))],
  ] as const) {
    const { layer, file } = await pushed(tag)
    damage(file)
    const path = `/v2/${repository}/blobs/${layer.digest}`

    const answers = [await client.request('GET', path), await client.request('GET', path)]

    expect(answers.map(({ status }) => status)).toEqual([500, 404])
    expect(answers[0]!.body.toString()).not.toContain(dir.path)
  }
})

it('a server whose blobs are all elsewhere does not start', async () => {
  await stop()
  const blobs = join(dir.path, 'blobs')
  const elsewhere = join(dir.path, 'elsewhere')
  renameSync(blobs, elsewhere)

  await expect(start()).rejects.toThrow(/is its volume mounted/)

  rmSync(blobs, { recursive: true, force: true })
  renameSync(elsewhere, blobs)
  await start()
})

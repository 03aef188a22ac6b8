import { createCipheriv, createHash, type Hash } from 'node:crypto'
import { createReadStream, createWriteStream, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAwsClient } from '../support/aws.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { content, withDigest } from '../support/images.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

const layerBytes = 1024 * 1024 * 1024

/** What a server may hold while it moves a layer of any size. */
const memoryLimitBytes = 300 * 1024 * 1024

let stowage: Stowage
let dir: TempDir
let layer: { readonly path: string; readonly digest: string; readonly sizeBytes: number }

beforeAll(async () => {
  dir = createTempDir('big-layer')
  stowage = await startStowage()
  layer = await writeLayer(dir.path)
})

afterAll(async () => {
  dir?.remove()
  await stowage?.stop()
})

test('skopeo pushes and pulls a layer of 1 GiB, and the server stays small', async () => {
  const aws = createAwsClient(stowage)
  await aws.json('ecr', 'create-repository', '--repository-name', 'big')
  const credentials = `AWS:${await aws.text('ecr', 'get-login-password')}`
  const image = `docker://${stowage.registryHost}/big:v1`
  const skopeo = ensureTool('skopeo')

  await run(skopeo, ['copy', '--preserve-digests', '--dest-tls-verify=false', '--dest-creds', credentials, `dir:${dir.path}/in`, image])
  await run(skopeo, ['copy', '--preserve-digests', '--src-tls-verify=false', '--src-creds', credentials, image, `dir:${dir.path}/out`])

  expect(await digestOfFile(join(dir.path, 'out', hexOf(layer.digest)))).toBe(layer.digest)
  expect(stowage.peakMemoryBytes()).toBeLessThan(memoryLimitBytes)
})

test('plain HTTP pushes the layer in one chunked request and pulls it in ranges', async () => {
  await createAwsClient(stowage).json('ecr', 'create-repository', '--repository-name', 'big/plain')
  const client = createDistributionClient(stowage.url, stowage.credentials)

  const begun = await client.request('POST', '/v2/big/plain/blobs/uploads/')
  const patched = await client.request('PATCH', begun.headers.location ?? '', {
    headers: { 'content-type': 'application/octet-stream' },
    body: createReadStream(layer.path, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>,
  })
  const completed = await client.request('PUT', withDigest(patched.headers.location ?? '', layer.digest))
  const hash = createHash('sha256')
  const middle = Math.floor(layer.sizeBytes / 2)
  const path = `/v2/big/plain/blobs/${layer.digest}`
  const first = await client.request('GET', path, { headers: { range: `bytes=0-${middle - 1}` }, onBody: into(hash) })
  const second = await client.request('GET', path, { headers: { range: `bytes=${middle}-` }, onBody: into(hash) })
  client.close()

  expect([patched.status, completed.status, first.status, second.status]).toEqual([202, 201, 206, 206])
  expect(patched.headers.range).toBe(`0-${layer.sizeBytes - 1}`)
  expect(`sha256:${hash.digest('hex')}`).toBe(layer.digest)
  expect(stowage.peakMemoryBytes()).toBeLessThan(memoryLimitBytes)
})

function into(hash: Hash): (chunk: Buffer) => void {
  return (chunk) => {
    hash.update(chunk)
  }
}

function hexOf(digest: string): string {
  return digest.slice('sha256:'.length)
}

async function digestOfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash)
  return `sha256:${hash.digest('hex')}`
}

/**
 * Writes skopeo's `dir:` form of an image with one layer of random bytes: gzip without compression, so
 * that skopeo takes it as it is, and so that no compressor is what the test measures.
 */
async function writeLayer(parent: string): Promise<typeof layer> {
  const image = join(parent, 'in')
  await run('mkdir', [image])
  const unnamed = join(image, 'layer')
  await pipeline(randomChunks(layerBytes), createGzip({ level: 0, chunkSize: 1024 * 1024 }), createWriteStream(unnamed))
  const digest = await digestOfFile(unnamed)
  const path = join(image, hexOf(digest))
  renameSync(unnamed, path)
  const sizeBytes = Number((await run('stat', ['--format', '%s', path])).stdout)

  const config = content(
    'application/vnd.oci.image.config.v1+json',
    JSON.stringify({ os: 'linux', architecture: 'amd64', config: {}, rootfs: { type: 'layers', diff_ids: [digest] } }),
  )
  writeFileSync(join(image, hexOf(config.digest)), config.bytes)
  writeFileSync(join(image, 'version'), 'Directory Transport Version: 1.1\n')
  writeFileSync(
    join(image, 'manifest.json'),
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: config.mediaType, digest: config.digest, size: config.bytes.length },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: sizeBytes }],
    }),
  )
  return { path, digest, sizeBytes }
}

function* randomChunks(totalBytes: number): Generator<Buffer> {
  const cipher = createCipheriv('aes-256-ctr', Buffer.alloc(32, 1), Buffer.alloc(16))
  const zeros = Buffer.alloc(1024 * 1024)
  for (let written = 0; written < totalBytes; written += zeros.length) yield cipher.update(zeros)
}

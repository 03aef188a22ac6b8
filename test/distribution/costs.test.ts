import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { basicAuth, createDistributionClient, type DistributionClient } from '../support/distribution-client.ts'
import { content, digestOf, randomContent, withDigest, type Content } from '../support/images.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

/*
 * What operations cost, as counts that do not depend on the machine: SQL statements, flushes to disk (seen by
 * strace in the real server), bytes held for readers that stall.
 */

const repository = 'costs/app'
const base = `/v2/${repository}`

let stowage: Stowage
let client: DistributionClient
let dir: TempDir
let serial = 0

beforeAll(async () => {
  // Without work in the background, which would ask the database something of its own now and then.
  stowage = await startStowage({ env: { STOWAGE_SCRUB_INTERVAL_DAYS: '0', STOWAGE_GC_INTERVAL_MS: '0', STOWAGE_AUDIT: 'off' } })
  client = createDistributionClient(stowage.url, stowage.credentials)
  dir = createTempDir('costs')
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
  ecr.destroy()
  // The first push makes the folder that the others will find, and the first request fills caches.
  await pushLikeDocker([1000, 1000], 'warm')
})
afterAll(async () => {
  client.close()
  await stowage.stop()
  dir.remove()
})

/** Content whose file lies in the folder `00`: that a folder is made now and then would blur the count. */
function contentInFirstFolder(sizeBytes: number, seed: string): Content {
  for (let n = 0; ; n += 1) {
    const bytes = randomContent(sizeBytes, `${seed} ${n}`)
    if (digestOf(bytes).startsWith('sha256:00')) return content('application/vnd.oci.image.layer.v1.tar', bytes)
  }
}

/** HEAD, POST, PATCH and PUT for each blob, then the manifest. */
async function pushLikeDocker(layerSizes: number[], tag: string): Promise<{ layers: Content[]; digest: string }> {
  const config = contentInFirstFolder(40, `config ${tag}`)
  const layers = layerSizes.map((size, n) => contentInFirstFolder(size, `${tag} ${n}`))
  for (const blob of [config, ...layers]) {
    expect((await client.request('HEAD', `${base}/blobs/${blob.digest}`)).status).toBe(404)
    const begun = await client.request('POST', `${base}/blobs/uploads/`)
    const patched = await client.request('PATCH', begun.headers.location ?? '', {
      headers: { 'transfer-encoding': 'chunked' },
      body: blob.bytes,
    })
    const put = await client.request('PUT', withDigest(patched.headers.location ?? '', blob.digest))
    expect([begun.status, patched.status, put.status]).toEqual([202, 202, 201])
  }
  const describe = ({ mediaType, digest, bytes }: Content) => ({ mediaType, digest, size: bytes.length })
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { ...describe(config), mediaType: 'application/vnd.oci.image.config.v1+json' },
      layers: layers.map(describe),
    }),
  )
  const put = await client.request('PUT', `${base}/manifests/${tag}`, {
    headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
    body: manifest,
  })
  expect(put.status).toBe(201)
  return { layers, digest: digestOf(manifest) }
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${stowage.url}/metrics`)).text()
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `))
  if (line === undefined) throw new Error(`the server has no metric ${name}`)
  return Number(line.split(' ')[1])
}

/** Pull times are written a second later: waits until nothing is being written. */
async function quiet(): Promise<void> {
  for (let last = -1; ; ) {
    const now = await metric('stowage_database_statements_total')
    if (now === last) return
    last = now
    await new Promise((resolve) => setTimeout(resolve, 1300))
  }
}

interface Cost {
  readonly statements: number
  readonly flushes: number
}

async function costOf(operation: () => Promise<unknown>): Promise<Cost> {
  const trace = join(dir.path, `trace-${serial++}`)
  const strace = spawn(ensureTool('strace'), ['-f', '-p', String(stowage.pid), '-e', 'trace=fsync,fdatasync', '-o', trace], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  try {
    // It says that it is attached once for the process; the threads come with it.
    await once(strace.stderr, 'data')
    await quiet()
    const before = await metric('stowage_database_statements_total')
    const flushesBefore = flushesIn(trace)
    await operation()
    const statements = (await metric('stowage_database_statements_total')) - before
    return { statements, flushes: flushesIn(trace) - flushesBefore }
  } finally {
    strace.kill('SIGINT')
    await once(strace, 'exit')
  }
}

function flushesIn(trace: string): number {
  return readFileSync(trace, 'utf8').split('\n').filter((line) => /f(data)?sync\(\d+/.test(line)).length
}

describe('costs', () => {
  it('a manifest costs two statements and no flush', async () => {
    const { digest } = await pushLikeDocker([500], 'get')

    // One says that the key is still good, since something was written: the push, the time of a pull. One finds the manifest.
    expect(await costOf(() => client.request('GET', `${base}/manifests/get`))).toEqual({ statements: 2, flushes: 0 })
    expect(await costOf(() => client.request('GET', `${base}/manifests/${digest}`))).toEqual({ statements: 2, flushes: 0 })
    expect(await costOf(() => client.request('HEAD', `${base}/manifests/get`))).toEqual({ statements: 2, flushes: 0 })
  })

  it('further ones cost one statement each while nothing is written', async () => {
    await pushLikeDocker([500], 'further')

    const cost = await costOf(async () => {
      for (let n = 0; n < 10; n += 1) await client.request('HEAD', `${base}/manifests/further`)
    })

    expect(cost).toEqual({ statements: 11, flushes: 0 })
  })

  it('asking for a blob costs two statements, its download one more, once, and none of it a flush', async () => {
    const { layers } = await pushLikeDocker([500], 'head')
    const path = `${base}/blobs/${layers[0]?.digest ?? ''}`

    expect(await costOf(() => client.request('HEAD', path))).toEqual({ statements: 2, flushes: 0 })
    // That the key is still good has been seen since anything was written. The first download of a minute compares the
    // bytes, and asks for their checksums.
    expect(await costOf(() => client.request('GET', path))).toEqual({ statements: 2, flushes: 0 })
    expect(await costOf(() => client.request('GET', path))).toEqual({ statements: 1, flushes: 0 })
  })

  it('a push of two layers flushes each blob, its folder and four commits', async () => {
    const cost = await costOf(() => pushLikeDocker([70_000, 300_000], 'two-layers'))

    // Three blobs: data, folder, commit. One manifest: commit. Upload sessions are flushed by none of it.
    expect(cost.flushes).toBe(3 * 3 + 1)
    // One of them asks for quotas that were set: a push that none bounds pays no more for them.
    expect(cost.statements).toBe(81)
  })

  it('a second push of the same content flushes commits only', async () => {
    const { layers } = await pushLikeDocker([40_000], 'again')
    const blob = layers[0]?.bytes ?? Buffer.alloc(0)

    const { flushes } = await costOf(async () => {
      const begun = await client.request('POST', `${base}/blobs/uploads/`)
      const put = await client.request('PUT', withDigest(begun.headers.location ?? '', digestOf(blob)), { body: blob })
      expect(put.status).toBe(201)
    })

    expect(flushes).toBe(1)
  })
})

describe('readers that stall', () => {
  const mebibyte = 1024 * 1024
  const sizeBytes = 8 * mebibyte
  let path: string

  beforeAll(async () => {
    const bytes = randomContent(sizeBytes, 'stalled')
    const begun = await client.request('POST', `${base}/blobs/uploads/`)
    await client.request('PUT', withDigest(begun.headers.location ?? '', digestOf(bytes)), { body: bytes })
    path = `${base}/blobs/${digestOf(bytes)}`
  })

  async function stall(count: number): Promise<{ bytes: number; residentBytes: number; release(): void }> {
    const request = `GET ${path} HTTP/1.1\r\nHost: ${stowage.registryHost}\r\nAuthorization: ${basicAuth(stowage.credentials)}\r\n\r\n`
    const sockets: Socket[] = []
    for (let n = 0; n < count; n += 1) {
      const socket = connect({ port: stowage.port, host: '127.0.0.1' })
      socket.on('error', () => undefined)
      socket.pause()
      await once(socket, 'connect')
      socket.write(request)
      sockets.push(socket)
    }
    let bytes = -1
    for (let calm = 0; calm < 3; ) {
      await new Promise((resolve) => setTimeout(resolve, 300))
      const now = await metric('stowage_transfer_memory_bytes')
      calm = now === bytes ? calm + 1 : 0
      bytes = now
    }
    return {
      bytes,
      residentBytes: residentBytes(),
      release: () => {
        for (const socket of sockets) socket.destroy()
      },
    }
  }

  function residentBytes(): number {
    const status = readFileSync(`/proc/${stowage.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024
  }

  it('hold one chunk each, and a thousand of them a bounded number of bytes', { timeout: 180_000 }, async () => {
    const before = residentBytes()

    const one = await stall(1)
    one.release()
    const many = await stall(1000)
    many.release()

    expect(one.bytes).toBeGreaterThan(0)
    expect(one.bytes).toBeLessThanOrEqual(mebibyte)
    expect(many.bytes).toBeGreaterThan(one.bytes)
    expect(many.bytes).toBeLessThanOrEqual(64 * mebibyte + 1000 * 16 * 1024)
    expect(many.residentBytes - before).toBeLessThan(256 * mebibyte)
    await expect.poll(() => metric('stowage_transfer_memory_bytes'), { timeout: 10_000 }).toBe(0)
  })
})

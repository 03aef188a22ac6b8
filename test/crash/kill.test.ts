import { ECRClient, CreateRepositoryCommand } from '@aws-sdk/client-ecr'
import { afterEach, describe, expect, it } from 'vitest'
import { createDistributionClient } from '../support/distribution-client.ts'
import { digestOf, randomContent } from '../support/images.ts'
import { createDatabase } from '../support/postgres.ts'
import { databases, type DatabaseKind } from '../support/registry.ts'
import { freePort } from '../support/server-process.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

let dir: TempDir
let running: Stowage | undefined

afterEach(async () => {
  await running?.stop()
  dir.remove()
})

async function starter(kind: DatabaseKind): Promise<() => Promise<Stowage>> {
  dir = createTempDir('crash')
  const fixed = {
    port: await freePort(),
    dataDir: dir.path,
    keys: { accessKeyId: 'AKIACRASHCRASHCRASH1', secretAccessKey: 'crash-crash-crash-crash' },
    ...(kind === 'postgres' ? { databaseUrl: (await createDatabase()).url } : {}),
  }
  return async () => (running = await startStowage(fixed))
}

async function createRepository(stowage: Stowage, repositoryName: string): Promise<void> {
  const client = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  await client.send(new CreateRepositoryCommand({ repositoryName }))
  client.destroy()
}

async function kill(stowage: Stowage): Promise<void> {
  running = undefined
  stowage.kill('SIGKILL')
  await stowage.exited
}

describe.each(databases)('kill -9 on %s', (kind) => {
  it('leaves an upload where it was, to be resumed', async () => {
    const start = await starter(kind)
    const repository = 'crash/resume'
    let stowage = await start()
    await createRepository(stowage, repository)
    const bytes = randomContent(3_000_000, `resume ${kind}`)
    const half = 1_500_000
    let client = createDistributionClient(stowage.url, stowage.credentials)
    const begun = await client.request('POST', `/v2/${repository}/blobs/uploads/`)
    const patched = await client.request('PATCH', begun.headers.location ?? '', {
      headers: { 'content-range': `0-${half - 1}` },
      body: bytes.subarray(0, half),
    })
    expect(patched.status).toBe(202)
    client.close()
    await kill(stowage)

    stowage = await start()
    client = createDistributionClient(stowage.url, stowage.credentials)
    const status = await client.request('GET', patched.headers.location ?? '')
    expect([status.status, status.headers.range]).toEqual([204, `0-${half - 1}`])
    const location = status.headers.location ?? ''
    const done = await client.request('PUT', `${location}${location.includes('?') ? '&' : '?'}digest=${digestOf(bytes)}`, {
      headers: { 'content-range': `${half}-${bytes.length - 1}` },
      body: bytes.subarray(half),
    })
    expect(done.status).toBe(201)
    const { body } = await client.request('GET', `/v2/${repository}/blobs/${digestOf(bytes)}`)
    expect(body.equals(bytes)).toBe(true)
    client.close()
  })
})

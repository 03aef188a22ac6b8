import { CreateRepositoryCommand, DescribeRepositoriesCommand, ECRClient } from '@aws-sdk/client-ecr'
import { afterEach, describe, expect, it } from 'vitest'
import type { RequestBody } from '../../src/audit/trail-record.ts'
import { MetricReader } from '../../src/metrics/metric-reader.ts'
import { openObserveStore, observeTarget } from '../../src/storage/metadata/observe/store.ts'
import { readWholeTrail } from '../support/audit-trail.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { createDatabase } from '../support/postgres.ts'
import { databases } from '../support/registry.ts'
import { freePort } from '../support/server-process.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

const repository = 'audit/app'
const rounds = 2
const clients = 4

let dir: TempDir
let running: Stowage | undefined

afterEach(async () => {
  await running?.stop()
  running = undefined
  dir.remove()
})

/** Sends requests of many kinds until the server is gone; the ids of those that were answered whole. */
async function load(stowage: Stowage, round: number, client: number, answered: Set<string>): Promise<void> {
  const known = createDistributionClient(stowage.url, stowage.credentials)
  const unknown = createDistributionClient(stowage.url, { username: 'AKIANOBODY', password: 'nothing-of-the-kind' })
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys, maxAttempts: 1 })
  try {
    for (let n = 0; ; n += 1) {
      const answers = [
        await known.request('GET', `/v2/${repository}/manifests/base`),
        await known.request('GET', `/v2/${repository}/manifests/absent`),
        await unknown.request('GET', `/v2/${repository}/tags/list`),
        await known.request('PUT', `/v2/${repository}/manifests/r${round}-${client}-${n}`, { headers: { 'content-type': base.manifest.mediaType }, body: base.manifest.bytes }),
      ]
      for (const { headers } of answers) answered.add(String(headers['x-request-id']))
      const { $metadata } = await ecr.send(new DescribeRepositoriesCommand({}))
      answered.add($metadata.requestId!)
    }
  } catch {
    // The server is gone.
  } finally {
    known.close()
    unknown.close()
    ecr.destroy()
  }
}

const base = buildImage({ seed: 'audit base' })

describe.each(databases)('the audit trail on %s', (kind) => {
  it('has every request that was answered before a kill, each of them once, with what it changed', async () => {
    dir = createTempDir('audit')
    const databaseUrl = kind === 'postgres' ? (await createDatabase()).url : undefined
    const fixed = {
      port: await freePort(),
      dataDir: dir.path,
      keys: { accessKeyId: 'AKIAAUDITAUDITAUDIT1', secretAccessKey: 'audit-audit-audit-audit' },
      ...(databaseUrl === undefined ? {} : { databaseUrl }),
    }
    const answered = new Set<string>()
    running = await startStowage(fixed)
    const ecr = new ECRClient({ endpoint: running.url, region: running.region, credentials: running.keys })
    await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
    ecr.destroy()
    await pushImage({ url: running.url, repository, auth: running.credentials }, base, 'base')
    for (let round = 0; round < rounds; round += 1) {
      const stowage = running
      const loads = Array.from({ length: clients }, (_, client) => load(stowage, round, client, answered))
      const until = answered.size + 150
      while (answered.size < until) await new Promise((resolve) => setTimeout(resolve, 20))
      stowage.kill('SIGKILL')
      await stowage.exited
      await Promise.all(loads)
      running = await startStowage(fixed)
    }
    // An orderly end seals what there is.
    await running.stop()
    running = undefined

    const store = openObserveStore(observeTarget(dir.path, databaseUrl === undefined ? { file: '' } : { url: databaseUrl }), { connections: 1, readOnly: true })
    try {
      const bodies = await readWholeTrail(store.reader)
      const ids = bodies.map(({ id }) => id)
      expect(ids.length).toBe(new Set(ids).size)
      expect([...answered].filter((id) => !ids.includes(id))).toEqual([])
      // Only what was cut by the kills may be more: each client had one request under way, and the images were pushed.
      const known = bodies.filter((body) => !('kind' in body) && answered.has(body.id))
      expect(known.length).toBe(answered.size)
      const changed = known.filter((body) => !('kind' in body) && body.name === 'PutImage')
      expect(changed.length).toBeGreaterThan(rounds * clients)
      for (const body of changed) expect(body).toMatchObject({ status: 201, changes: [{ action: 'PutImage', detail: { repositoryName: repository } }] })
      expect(known.some((body) => !('kind' in body) && body.error === 'UNAUTHORIZED')).toBe(true)
      expect(known.some((body) => !('kind' in body) && body.error === 'MANIFEST_UNKNOWN')).toBe(true)

      // What is counted is what is recorded, whatever was killed between the two.
      const requests = bodies.filter((body): body is RequestBody => !('kind' in body))
      const reader = new MetricReader(store.reader)
      const times = requests.map(({ at }) => at)
      const span = { periodMs: 60 * 60_000, from: Math.min(...times) - (Math.min(...times) % (60 * 60_000)), to: Math.max(...times) + 1 }
      const sum = async (statistic: 'Sum' | 'SampleCount', namespace: string, name: string, dimensions: Record<string, string> = {}): Promise<number> => {
        const values = await reader.readSeries({ ...span, account: '000000000000', region: 'us-east-1', statistic, metric: { namespace, name, dimensions: Object.entries(dimensions) } })
        return values.reduce((total, { value }) => total + value, 0)
      }
      expect(await sum('SampleCount', 'Stowage', 'RequestLatency')).toBe(requests.length)
      expect(await sum('Sum', 'AWS/ECR', 'RepositoryPullCount', { RepositoryName: repository })).toBe(requests.filter(({ pulls }) => pulls === 1).length)
      expect(await sum('Sum', 'Stowage', 'PushCount')).toBe(requests.filter(({ name, status }) => name === 'PutImage' && status < 300).length)
      expect(await sum('Sum', 'Stowage', '4xxErrors')).toBe(requests.filter(({ status }) => status >= 400 && status < 500).length)
    } finally {
      await store.close()
    }
  })
})

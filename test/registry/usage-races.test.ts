import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createUsageSources, type UsageSources } from '../../src/registry/usage/usage-sources.ts'
import { digestOf, digestToBytes, mediaTypes, parseRepositoryName, type Digest } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const name = parseRepositoryName('race/app')
const rounds = 60

describe.each(databases)('a report that meets a deletion on %s', (kind) => {
  let fixture: RegistryFixture
  let sources: UsageSources
  beforeAll(async () => {
    fixture = await startRegistry(kind)
    sources = createUsageSources(fixture)
    const { registry, context } = fixture
    await registry.createRepository(context, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
    const terms = { principalArn: context.actor.arn, kind: 'script', environment: 'e', scope: ['*'], intervalMs: 3_600_000, shrinkPercent: 100 }
    await sources.register(context, 'cluster', terms)
  })
  afterAll(() => fixture.stop())

  async function push(seed: string): Promise<Digest> {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], annotations: { seed } }))
    const digest = digestOf(bytes)
    await fixture.registry.putManifest(fixture.context, name, { bytes, declaredMediaType: mediaTypes.ociIndex, reference: { kind: 'digest', digest }, via: 'oci' })
    return digest
  }

  it('leaves every image that was there when its lease was acknowledged', { timeout: 120_000 }, async () => {
    const { registry, context } = fixture
    const won = { deletion: 0, lease: 0 }
    for (let round = 1; round <= rounds; round += 1) {
      const digest = await push(`round ${round}`)
      const snapshot = { sourceName: 'cluster', number: round, writer: 'w' }
      await sources.begin(context, snapshot)
      // Whether the image was there the moment the lease was acknowledged, and whether it still is when all is over.
      const report = (async () => {
        await sources.put(context, snapshot, [{ digest, workload: 'web', repositoryName: undefined, environment: undefined, until: undefined }])
        const [there] = await registry.describeImagesById(context, name, [{ digest }])
        await sources.complete(context, snapshot, 1)
        return there !== undefined
      })()
      const delayed = (async () => {
        for (let turn = 0; turn < round % 8; turn += 1) await new Promise(setImmediate)
        return registry.deleteImages(context, name, [{ digest }])
      })()
      const [wasThere, [outcome]] = await Promise.all([report, delayed])
      const [isThere] = await registry.describeImagesById(context, name, [{ digest }])
      expect(isThere !== undefined, `round ${round}: ${JSON.stringify(outcome)}`).toBe(outcome?.kind === 'vetoed')
      if (wasThere) expect(outcome, `round ${round}`).toMatchObject({ kind: 'vetoed', reason: expect.stringContaining('is in use by') })
      won[outcome?.kind === 'vetoed' ? 'lease' : 'deletion'] += 1
    }
    expect(won.lease + won.deletion).toBe(rounds)
    expect(won.lease, 'the race was one').toBeGreaterThan(0)
  })

  // SQLite runs one command after the other.
  if (kind === 'sqlite') return
  it('waits for a report that is being written, and sees it', async () => {
    const { registry, context, target } = fixture
    const [leased, free] = [await push('leased'), await push('free')]
    const client = new pg.Client({ connectionString: 'url' in target ? target.url : '' })
    await client.connect()
    try {
      await client.query('begin')
      await client.query(`select id from usage_source where name = 'cluster' for no key update`)
      await client.query(
        `insert into usage_lease (source_id, snapshot, registry_id, repository, digest, workload, environment, first_seen_at)
         select id, 1000, registry_id, '', $1, 'late', 'e', 1 from usage_source`,
        [digestToBytes(leased)],
      )
      let isDone = false
      const deletion = registry.deleteImages(context, name, [{ digest: leased }, { digest: free }]).finally(() => {
        isDone = true
      })
      await expect.poll(async () => (await client.query(`select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`)).rowCount).toBe(1)
      expect(isDone).toBe(false)
      await client.query('commit')
      expect(await deletion).toMatchObject([{ kind: 'vetoed', reason: expect.stringContaining('is in use by') }, { kind: 'deleted' }])
    } finally {
      await client.end()
    }
  })
})

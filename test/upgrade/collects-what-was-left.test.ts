import { randomUUID } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { Collector, Reconciler } from '../../src/gc/index.ts'
import { BytesInFlight } from '../../src/internal/bytes-in-flight.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { openBlobStores } from '../../src/storage/blobs/index.ts'
import type { CommandContext } from '../../src/storage/metadata/command.ts'
import { migrateMetadata, type MetadataTarget } from '../../src/storage/metadata/migrate.ts'
import { openMetadata } from '../../src/storage/metadata/open.ts'
import { digestOf, digestToBytes } from '../../src/values/index.ts'
import { databases, ManualClock, tamper } from '../support/registry.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { loadFixture, upgradeFixtures } from '../support/upgrade-fixture.ts'

const dayMs = 24 * 60 * 60 * 1000

let dir: TempDir | undefined

afterEach(() => {
  dir?.remove()
})

/** As of a version that noted nothing: its row, its place and its file, and no more. */
async function leaveBlob(target: MetadataTarget, dataDir: string, text: string): Promise<string> {
  const digest = digestOf(Buffer.from(text))
  const hex = digest.slice('sha256:'.length)
  const generation = randomUUID().replaceAll('-', '')
  const key = `default/sha256/${hex.slice(0, 2)}/${hex}.${generation}`
  mkdirSync(join(dataDir, 'blobs', dirname(key)), { recursive: true })
  writeFileSync(join(dataDir, 'blobs', key), text)
  await tamper(target, 'insert into blob (domain_id, digest, size_bytes, created_at) select min(id), ?, ?, 0 from blob_domain', digestToBytes(digest), text.length)
  await tamper(
    target,
    `insert into blob_location (blob_id, store, key, generation, state, created_at) select id, 'filesystem', ?, ?, 'active', 0 from blob where digest = ?`,
    key,
    generation,
    digestToBytes(digest),
  )
  return key
}

describe.each(upgradeFixtures)('garbage that version %s left', (fixture) => {
  it.each(databases)('is found and collected after the upgrade, and nothing else is, on %s', async (kind) => {
    dir = createTempDir('upgrade-garbage')
    const dataDir = dir.path
    const { databaseUrl } = await loadFixture(fixture, kind, dataDir)
    const target: MetadataTarget = databaseUrl === undefined ? { file: join(dataDir, 'stowage.db') } : { url: databaseUrl }
    const garbage = await leaveBlob(target, dataDir, 'seen by nobody, named by nothing')
    await migrateMetadata(target, { check: false })

    const fail = (error: unknown) => {
      throw error
    }
    const database = await openMetadata(target, { catalogueUrl: new URL('../../src/commands.ts', import.meta.url).href, ids: systemIds, onFatal: fail, onConnectionLost: fail })
    const blobStore = await openBlobStores({ dataDir, archiveDir: join(dataDir, 'archive') }, new BytesInFlight())
    try {
      const [home] = await database.reader.query(database.reader.builder.selectFrom('registry').selectAll().orderBy('id').limit(1))
      const clock = new ManualClock(Date.now())
      const systemContext = (): CommandContext => ({
        nowMs: clock.now(),
        actorArn: 'test',
        registryId: home!.id,
        accountId: home!.account_id,
        region: home!.region,
        requestId: 'test',
        sourceIp: '',
        userAgent: 'test',
        protocol: 'system',
      })
      const problems: unknown[] = []
      const logger = { info: () => undefined, warn: (problem: unknown) => problems.push(problem), error: (problem: unknown) => problems.push(problem) }
      const deps = { database, blobStore, clock, systemContext, logger, owner: 'test' }
      const keys = async (): Promise<string[]> => {
        const found: string[] = []
        for await (const { key } of blobStore.list()) found.push(key)
        return found
      }
      const needed = await neededKeys()
      const before = await keys()
      expect(before).toContain(garbage)
      expect(needed.length).toBeGreaterThan(0)

      const reconciler = new Reconciler(deps, { intervalMs: 7 * dayMs, itemsPerSecond: 1_000_000 })
      await reconciler.runIfWanted()
      await reconciler.stop()
      expect((await reconciler.status()).last).toMatchObject({ counts: { forgotten: expect.any(Number) } })
      const collector = new Collector(deps)
      for (let day = 0; day < 4; day += 1) {
        clock.advance(dayMs)
        await collector.collect()
      }

      const after = await keys()
      expect(after).not.toContain(garbage)
      expect(after).toEqual(expect.arrayContaining(needed))
      expect(after.toSorted()).toEqual(needed.toSorted())
      expect(problems).toEqual([])

      /** What an image names, in the trash or not. */
      async function neededKeys(): Promise<string[]> {
        const { reader } = database
        const rows = await reader.query(
          reader.builder
            .selectFrom('manifest_reference')
            .innerJoin('blob', 'blob.digest', 'manifest_reference.digest')
            .innerJoin('blob_location', 'blob_location.blob_id', 'blob.id')
            .select('blob_location.key')
            .distinct()
            .where('manifest_reference.kind', '=', 'blob'),
        )
        return rows.map(({ key }) => key)
      }
    } finally {
      await blobStore.close()
      await database.close()
    }
  })
})

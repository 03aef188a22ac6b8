import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { forgetSealedChanges } from '../../src/audit/commands/sealed-changes.ts'
import { pullEventType, toldEventTypes, TrailFeed, type JournalRecord } from '../../src/audit/index.ts'
import { encodeLine } from '../../src/audit/journal-record.ts'
import { Sealer } from '../../src/audit/sealer.ts'
import { RuleBook } from '../../src/events/delivery/rule-book.ts'
import { TrailFanOut, type TrailSource } from '../../src/events/delivery/trail-fan-out.ts'
import { EventRules } from '../../src/events/event-rules.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { commandContext } from '../../src/registry/index.ts'
import type { MetadataDatabase } from '../../src/storage/metadata/database.ts'
import { openObserveStore, observeTarget, prepareObserveStore } from '../../src/storage/metadata/observe/store.ts'
import { openMetadata } from '../../src/storage/metadata/open.ts'
import { parseRepositoryName } from '../../src/values/index.ts'
import { databases, startRegistry } from '../support/registry.ts'

const name = parseRepositoryName('told/app')

describe.each(databases)('pulls in the trail on %s', (kind) => {
  it('are put on their way once and in their order by two servers that have read the same of them', async () => {
    const fixture = await startRegistry(kind)
    const folder = mkdtempSync(join(tmpdir(), 'stowage-told-'))
    const target = observeTarget(fixture.dataDir, fixture.target)
    await prepareObserveStore(target)
    const store = openObserveStore(target, { connections: 1, readOnly: false })
    // A folder's SQLite is one server's: there the two are parts of one.
    const catalogueUrl = new URL('../../src/commands.ts', import.meta.url).href
    const onFatal = (error: Error): never => {
      throw error
    }
    const other = kind === 'postgres' ? await openMetadata(fixture.target, { catalogueUrl, onFatal, onConnectionLost: () => undefined }) : fixture.database
    try {
      const { context, clock, database } = fixture
      await fixture.registry.createRepository({ ...context, requestId: systemIds.uuid() }, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
      const rules = new EventRules(database, () => undefined)
      await rules.put(context, { name: 'pulls', pattern: JSON.stringify({ 'detail-type': [pullEventType] }), state: 'ENABLED', description: null, roleArn: null })
      const arn = 'arn:aws:logs:us-east-1:000000000000:log-group:/told'
      const unset = { roleArn: undefined, maxAgeMs: undefined, maxRetries: undefined, input: undefined, inputPath: undefined, inputTransformer: undefined }
      expect(await rules.putTargets(context, 'pulls', [{ id: 'told', arn, ...unset }])).toEqual([])

      let pulls = 0
      /** Seals some pulls more, each of a tag of its own. */
      const pull = async (count: number): Promise<void> => {
        const records = Array.from({ length: count }, (_, n): JournalRecord => ({
          ...{ id: systemIds.uuid(), at: clock.now() + n, account: '000000000000', region: 'us-east-1', protocol: 'oci', source: 'ecr.amazonaws.com', name: 'BatchGetImage', reads: true },
          ...{ ip: '127.0.0.1', status: 200, ms: 1, repository: name, pulls: 1, parameters: { imageTag: `v${(pulls += 1)}` } },
        }))
        writeFileSync(join(folder, `${pulls}.lines`), records.map(encodeLine).join(''))
        const sealer = new Sealer({ store, metadata: database.reader, folder, serverId: 'this', leftBehind: new Set(), now: () => clock.now(), forget: (ids) => database.execute(forgetSealedChanges, { ids }, commandContext(context)), onDamage: () => undefined })
        await sealer.sealSegments()
      }
      const waiting = async (): Promise<unknown[]> => {
        const rows = await database.reader.query(database.reader.builder.selectFrom('event_delivery').select('event').orderBy('id'))
        return rows.map(({ event }) => (JSON.parse(event) as { detail: Record<string, unknown> }).detail['image-tag'])
      }

      const { signal } = new AbortController()
      /** A server's part in it, which does something else after it has read and before it tells what that was. */
      const server = async (own: MetadataDatabase, afterReading: () => Promise<void> = () => Promise.resolve()): Promise<TrailFanOut> => {
        const feed = new TrailFeed(store.reader)
        const trail: TrailSource = {
          types: toldEventTypes,
          end: () => feed.end(),
          before: (...where) => feed.before(...where),
          async after(...from) {
            const read = await feed.after(...from)
            await afterReading()
            return read
          },
        }
        const book = new RuleBook({ database: own, onUnreadable: ({ rule }) => expect.unreachable(rule) })
        const fanOut = new TrailFanOut({ database: own, systemContext: () => commandContext(context), clock, trail }, book)
        await fanOut.lookForInterest()
        return fanOut
      }
      let between = (): Promise<unknown> => Promise.resolve()
      const faster = await server(other)
      const slower = await server(database, async () => {
        const now = between
        between = () => Promise.resolve()
        await now()
      })
      // Both begin where nothing was told, and later where the other has been.
      await pull(3)
      between = () => faster.run(signal)
      await slower.run(signal)
      expect(await waiting()).toEqual(['v1', 'v2', 'v3'])
      await pull(2)
      between = async () => {
        await faster.run(signal)
        // What is told anew has what came meanwhile.
        await pull(1)
      }
      for (let run = 0; run < 3; run += 1) await slower.run(signal)
      await faster.run(signal)
      expect(await waiting()).toEqual(['v1', 'v2', 'v3', 'v4', 'v5', 'v6'])
    } finally {
      if (other !== fixture.database) await other.close()
      await store.close()
      await fixture.stop()
      rmSync(folder, { recursive: true })
    }
  })
})

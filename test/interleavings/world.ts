import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { ecrQuotas } from '../../src/config/index.ts'
import { BytesInFlight } from '../../src/internal/bytes-in-flight.ts'
import { FairShare } from '../../src/internal/fair-share.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { createRegistry, commandContext, type Registry, type RequestContext } from '../../src/registry/index.ts'
import { releaseWriters } from '../../src/registry/commands/uploads.ts'
import { DamageWatch } from '../../src/registry/damage.ts'
import { PullClock } from '../../src/registry/pull-clock.ts'
import { UploadTurns } from '../../src/registry/upload-turns.ts'
import { Erasures } from '../../src/gc/erasures.ts'
import { Collector } from '../../src/gc/index.ts'
import { RetentionPolicies } from '../../src/lifecycle/retention-policies.ts'
import { assemble, compareOn, evaluateParts, previewOn, type Evaluator } from '../../src/lifecycle/evaluator.ts'
import { LifecyclePolicies, LifecycleRunner } from '../../src/lifecycle/index.ts'
import { RetirementSteps } from '../../src/lifecycle/retirement-steps.ts'
import { createProtections, type Protections } from '../../src/registry/protection/protections.ts'
import { createUsageSources, type UsageSources } from '../../src/registry/usage/usage-sources.ts'
import { Archivist } from '../../src/archive/index.ts'
import { openBlobStores, TieredBlobStore } from '../../src/storage/blobs/index.ts'
import type { MetadataDatabase } from '../../src/storage/metadata/database.ts'
import { isKeyLocated } from '../../src/storage/metadata/stores/blob-index.ts'
import { isOpenUpload } from '../../src/storage/metadata/stores/upload-store.ts'
import { startRegistry, type DatabaseKind, type RegistryFixture } from '../support/registry.ts'
import { byTurns, type Turns } from './turns.ts'

/** Calls of the database that read or write: each has its turn. Statements within a command are one with it. */
const databaseCalls = new Set(['execute', 'snapshot'])
const readerCalls = new Set(['all', 'first', 'query'])
const storeCalls = new Set(['createUpload', 'append', 'hashUpload', 'publish', 'discardUpload', 'abandonUpload', 'blobSize', 'open', 'hashBlob', 'delete', 'withdraw', 'putBack'])

/** What a server is made of, as far as images are concerned, on a database and a folder that outlive it. */
export interface Process {
  readonly registry: Registry
  readonly database: MetadataDatabase
  readonly blobStore: TieredBlobStore
  readonly collector: Collector
  /** That of another server with the same database. */
  readonly otherCollector: Collector
  readonly archivist: Archivist
  readonly erasures: Erasures
  readonly retirementSteps: RetirementSteps
  readonly policies: LifecyclePolicies
  readonly retentionPolicies: RetentionPolicies
  readonly runner: LifecycleRunner
  readonly protections: Protections
  readonly sources: UsageSources
}

/** A run comes as soon as the clock moves at all. */
const lifecycleIntervalMs = 1
const trashRetentionMs = 7 * 24 * 60 * 60 * 1000

/**
 * A database and a folder, and processes on them one after another. What a process does goes by turns; a process that was
 * killed leaves what it had done.
 */
export class World {
  readonly fixture: RegistryFixture
  /** What failed in the background. */
  readonly problems: unknown[] = []
  #turns: Turns | undefined
  #process: Process
  #blobStore: TieredBlobStore

  private constructor(fixture: RegistryFixture) {
    this.fixture = fixture
    this.#blobStore = fixture.blobStore
    this.#process = this.#newProcess()
  }

  static async open(kind: DatabaseKind): Promise<World> {
    return new World(await startRegistry(kind, { imagesPerRepository: ecrQuotas.imagesPerRepository }))
  }

  get process(): Process {
    return this.#process
  }

  get context(): RequestContext {
    return this.fixture.context
  }

  /** From now on everything goes by these turns. */
  goBy(turns: Turns): void {
    this.#turns = turns
    this.#process = this.#newProcess()
  }

  /** What a start does after a kill: see `buildPlatform`. */
  async restart(): Promise<void> {
    await this.#blobStore.close()
    this.#blobStore = await openBlobStores({ dataDir: this.fixture.dataDir, archiveDir: join(this.fixture.dataDir, 'archive') }, new BytesInFlight())
    const { database, clock } = this.fixture
    await database.execute(releaseWriters, {}, commandContext(this.context))
    await this.#blobStore.recover({
      isLocated: (key) => isKeyLocated(database.reader, this.#blobStore.storeOf(key), key),
      isOpenSession: (uploadId) => isOpenUpload(database.reader, uploadId, clock.now()),
    })
    this.#process = this.#newProcess()
  }

  async close(): Promise<void> {
    if (this.#blobStore !== this.fixture.blobStore) await this.#blobStore.close()
    await this.fixture.stop()
  }

  #newProcess(): Process {
    const { fixture } = this
    const turns = this.#turns
    const gate = <Target extends object>(target: Target, kind: string, names: ReadonlySet<string>): Target =>
      turns ? byTurns(() => turns, target, kind, names) : target
    const reader = gate(fixture.database.reader, 'read', readerCalls)
    const database = gate(withReader(fixture.database, reader), 'db', databaseCalls)
    const { active, archive } = this.#blobStore
    const blobStore = new TieredBlobStore(gate(active, 'store', storeCalls), gate(archive, 'archive', storeCalls))
    const system = () => ({ ...commandContext(fixture.context), protocol: 'system' })
    const damageWatch = new DamageWatch({ database, blobStore, systemContext: system, onDamage: (notice) => {
      throw new Error(`damaged: ${JSON.stringify(notice)}`)
    } })
    const registry = createRegistry({
      database,
      blobStore,
      ids: systemIds,
      // Pull times are written in the background: outside of the turns, and of what is checked.
      pullClock: new PullClock(fixture.database, system, { isUse: () => true }, () => undefined),
      damageWatch,
      archive: { restoreOnPull: true, onWork: () => undefined },
      bootId: 'this-boot',
      uploadLifetimeMs: 60 * 60 * 1000,
      trashRetentionMs,
      restoreOnPull: true,
      quotas: ecrQuotas,
      publishTurns: new FairShare({ limit: 4, perTurn: 4 }),
      uploadTurns: new UploadTurns(randomUUID()),
    })
    const logger = { info: () => undefined, error: (problem: unknown) => this.problems.push(problem) }
    const newCollector = () => new Collector({ database, blobStore, systemContext: system, clock: fixture.clock, logger, owner: randomUUID() })
    const [collector, otherCollector] = [newCollector(), newCollector()]
    const archivist = new Archivist({ database, blobStore, damageWatch, ids: systemIds, clock: fixture.clock, logger, systemContext: system, owner: randomUUID() })
    const onError = (error: unknown): void => {
      this.problems.push(error)
    }
    const erasures = new Erasures({ database, blobStore, ids: systemIds, systemContext: system, onError })
    const retirementSteps = new RetirementSteps({ database, ids: systemIds, trashRetentionMs, systemContext: system, onStep: () => undefined, onError })
    const policies = new LifecyclePolicies(database, { strict: false, intervalMs: lifecycleIntervalMs })
    const retentionPolicies = new RetentionPolicies(database, { intervalMs: lifecycleIntervalMs })
    // By turns as everything else, and so not in a thread of its own.
    const evaluator: Evaluator = {
      evaluate: async (request, signal) => assemble(request, await evaluateParts(reader, request, { signal })),
      preview: (request, onPages, signal) => previewOn(reader, request, onPages, { signal }),
      compare: (request, signal) => compareOn(reader, request, { signal }),
    }
    const runner = new LifecycleRunner(
      { database, evaluator, ids: systemIds, clock: fixture.clock, logger, owner: randomUUID(), contextOf: system },
      { intervalMs: lifecycleIntervalMs, trashRetentionMs, caution: { isOn: false, maxSharePercent: 100, alwaysAllowed: 0 } },
    )
    const protections = createProtections({ database })
    const sources = createUsageSources({ database })
    return { registry, database, blobStore, collector, otherCollector, archivist, erasures, retirementSteps, policies, retentionPolicies, runner, protections, sources }
  }
}

function withReader(database: MetadataDatabase, reader: MetadataDatabase['reader']): MetadataDatabase {
  return new Proxy(database, {
    get(from, name) {
      if (name === 'reader') return reader
      const member: unknown = Reflect.get(from, name, from)
      return typeof member === 'function' ? (member as (...args: unknown[]) => unknown).bind(from) : member
    },
  })
}

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createHash } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { ecrQuotas, type Quotas } from '../../src/config/index.ts'
import { rootPrincipal } from '../../src/iam/index.ts'
import { BytesInFlight } from '../../src/internal/bytes-in-flight.ts'
import type { Clock } from '../../src/internal/clock.ts'
import { FairShare } from '../../src/internal/fair-share.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { createRegistry, type Registry, type RequestContext } from '../../src/registry/index.ts'
import { ensureRegistry } from '../../src/registry/commands/registries.ts'
import { DamageWatch, type DamageNotice } from '../../src/registry/damage.ts'
import { ClientKinds } from '../../src/registry/client-kinds.ts'
import { PullClock } from '../../src/registry/pull-clock.ts'
import { UploadTurns } from '../../src/registry/upload-turns.ts'
import { openBlobStores, type TieredBlobStore } from '../../src/storage/blobs/index.ts'
import type { CommandContext } from '../../src/storage/metadata/command.ts'
import type { MetadataDatabase } from '../../src/storage/metadata/database.ts'
import { migrateMetadata, type MetadataTarget } from '../../src/storage/metadata/migrate.ts'
import { openMetadata } from '../../src/storage/metadata/open.ts'
import { findRegistryId } from '../../src/storage/metadata/stores/repository-store.ts'
import { parseAccountId, parseDigest, parseRegion, parseRepositoryName, type Digest } from '../../src/values/index.ts'
import { createDatabase } from './postgres.ts'

export const databases = ['sqlite', 'postgres'] as const
export type DatabaseKind = (typeof databases)[number]

/** A clock that stands still until it is moved. */
export class ManualClock implements Clock {
  #now: number
  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now
  }
  now(): number {
    return this.#now
  }
  advance(ms: number): void {
    this.#now += ms
  }
}

export interface RegistryFixture {
  readonly registry: Registry
  readonly database: MetadataDatabase
  readonly blobStore: TieredBlobStore
  readonly pullClock: PullClock
  /** What was set aside so far. */
  readonly damage: readonly DamageNotice[]
  readonly clock: ManualClock
  readonly context: RequestContext
  readonly dataDir: string
  readonly target: MetadataTarget
  readonly uploadDependencies: { bootId: string; uploadLifetimeMs: number; trashRetentionMs: number; restoreOnPull: boolean; uploadTurns: UploadTurns; quotas: Quotas; publishTurns: FairShare }
  upload(repository: string, bytes: Buffer): Promise<Digest>
  /**
   * Runs a statement on the database behind the program's back, as rot and mistaken hands would: nothing is checked, foreign
   * keys neither. Values stand for `?`, on both databases.
   */
  tamper(sql: string, ...values: (string | number | Uint8Array)[]): Promise<void>
  /** What events of a repository say, all or those of one type, the oldest first. */
  events(repository: string, type?: string): Promise<Record<string, unknown>[]>
  stop(): Promise<void>
}

const uploadLifetimeMs = 60 * 60 * 1000
const trashRetentionMs = 7 * 24 * 60 * 60 * 1000

/** The registry over a real database and real files, without an edge. */
export async function startRegistry(kind: DatabaseKind, quotas: Partial<Quotas> = {}): Promise<RegistryFixture> {
  const dataDir = await mkdtemp(join(tmpdir(), 'stowage-registry-'))
  const target: MetadataTarget =
    kind === 'sqlite' ? { file: join(dataDir, 'stowage.db') } : { url: (await createDatabase()).url }
  await migrateMetadata(target, { check: false })
  const database = await openMetadata(target, {
    catalogueUrl: new URL('../../src/commands.ts', import.meta.url).href,
    onFatal: (error) => {
      throw error
    },
    onConnectionLost: () => undefined,
  })
  const clock = new ManualClock()
  const accountId = parseAccountId('000000000000')
  const region = parseRegion('us-east-1')
  const commandContext = (): CommandContext => ({
    nowMs: clock.now(),
    actorArn: 'arn:aws:iam::000000000000:root',
    registryId: 0,
    accountId,
    region,
    requestId: 'test',
    sourceIp: '127.0.0.1',
    userAgent: 'test',
    protocol: 'system',
  })
  await database.execute(ensureRegistry, { accountId, region }, commandContext())
  const id = await findRegistryId(database.reader, accountId, region)
  if (id === undefined) throw new Error('the registry was just made')

  const blobStore = await openBlobStores({ dataDir, archiveDir: join(dataDir, 'archive') }, new BytesInFlight())
  const pullClock = new PullClock(database, commandContext, new ClientKinds([], new Set(['workload', 'ci', 'person'])), (error) => {
    throw error
  })
  const uploadDependencies = { bootId: 'this-boot', uploadLifetimeMs, trashRetentionMs, restoreOnPull: true, uploadTurns: new UploadTurns('this-process'), quotas: { ...ecrQuotas, ...quotas }, publishTurns: new FairShare({ limit: 4, perTurn: 4 }) }
  const damage: DamageNotice[] = []
  const damageWatch = new DamageWatch({ database, blobStore, systemContext: () => ({ ...commandContext(), registryId: id }), onDamage: (notice) => damage.push(notice) })
  const registry = createRegistry({ database, blobStore, ids: systemIds, pullClock, damageWatch, ...uploadDependencies })
  const context: RequestContext = {
    actor: rootPrincipal(accountId, 'AKIATESTTESTTESTTEST'),
    registry: { id, accountId, region },
    requestId: 'test',
    sourceIp: '127.0.0.1',
    userAgent: 'test',
    protocol: 'oci',
    clock,
  }
  return {
    registry,
    database,
    blobStore,
    pullClock,
    damage,
    clock,
    context,
    dataDir,
    target,
    uploadDependencies,
    async upload(repository, bytes) {
      const name = parseRepositoryName(repository)
      const digest = parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`)
      const { id: uploadId } = await registry.beginUpload(context, name)
      await registry.completeUpload(context, name, uploadId, { digest, last: { body: bytesOf(bytes) } })
      return digest
    },
    tamper: (sql, ...values) => tamper(target, sql, ...values),
    async events(repository, type) {
      const { reader } = database
      const ofRepository = reader.builder
        .selectFrom('outbox')
        .innerJoin('repository', 'repository.id', 'outbox.repository_id')
        .select('outbox.payload')
        .where('repository.name', '=', repository)
        .orderBy('outbox.id')
      const rows = await reader.query(type === undefined ? ofRepository : ofRepository.where('outbox.type', '=', type))
      return rows.map(({ payload }) => JSON.parse(payload) as Record<string, unknown>)
    },
    async stop() {
      await pullClock.flush()
      await blobStore.close()
      await database.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** Changes rows behind the back of every rule. */
export async function tamper(target: MetadataTarget, sql: string, ...values: (string | number | Uint8Array)[]): Promise<void> {
  if ('file' in target) {
    const file = new DatabaseSync(target.file, { timeout: 10_000 })
    try {
      file.exec('pragma foreign_keys = off')
      file.prepare(sql).run(...values)
    } finally {
      file.close()
    }
    return
  }
  const client = new pg.Client({ connectionString: target.url })
  await client.connect()
  try {
    await client.query('set session_replication_role = replica')
    let count = 0
    await client.query(sql.replaceAll('?', () => `$${(count += 1)}`), values.map((value) => (value instanceof Uint8Array ? Buffer.from(value) : value)))
  } finally {
    await client.end()
  }
}

/** A body of these chunks. */
export async function* bytesOf(...chunks: Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks
}

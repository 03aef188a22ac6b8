import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { commandContext } from '../../src/registry/index.ts'
import { completeUpload, endUpload, releaseWriter, saveProgress, takeUploadSession } from '../../src/registry/commands/uploads.ts'
import { defineCommand } from '../../src/storage/metadata/command.ts'
import { lockKnownBlobs } from '../../src/storage/metadata/stores/blob-index.ts'
import { takeUpload } from '../../src/storage/metadata/stores/upload-store.ts'
import { digestOf, digestToBytes, parseRepositoryName, type Digest } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

/*
 * Guards that no ordinary request runs into: a writer that lost its session without noticing, a review about to come due,
 * a collector at work on the same blobs. Each is played here in the one order in which it matters.
 */

const name = parseRepositoryName('guards/app')
const other = parseRepositoryName('guards/other')
const hourMs = 60 * 60 * 1000

async function* bodyOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}

describe.each(databases)('guards on %s', (kind) => {
  let fixture: RegistryFixture

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const
    for (const repository of [name, other]) await fixture.registry.createRepository(fixture.context, { name: repository, ...settings })
  })
  afterAll(() => fixture.stop())

  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(() => 'done', (error: unknown) => (error as { code?: string }).code ?? String(error))

  /** The earliest time at which a review looks at the blob, as the repository sees it or as a whole. */
  async function nextReview(digest: Digest, repository: string): Promise<number> {
    const query = fixture.database.reader.builder
      .selectFrom('review')
      .innerJoin('blob', 'blob.id', 'review.subject_id')
      .leftJoin('repository', 'repository.id', 'review.repository_id')
      .select((eb) => eb.fn.min<number | string>('review.due_at').as('dueAt'))
      .where((eb) => eb.or([eb('review.kind', '=', 'blob'), eb('repository.name', '=', repository)]))
      .where('review.kind', 'in', ['blob', 'repository-blob'])
      .where('blob.digest', '=', digestToBytes(digest))
    const [row] = await fixture.database.reader.query(query)
    return Number(row!.dueAt)
  }

  describe('the promise of a positive answer', () => {
    const answers: readonly { what: string; seenIn?: string; ask: (digest: Digest, bytes: Buffer) => Promise<unknown> }[] = [
      { what: 'to a question', ask: (digest) => fixture.registry.statBlob(fixture.context, name, digest) },
      { what: 'to a mount', seenIn: other, ask: (digest) => fixture.registry.mountBlob(fixture.context, other, digest, { from: name }) },
      { what: 'to an upload of what is there', ask: (_digest, bytes) => fixture.upload(name, bytes) },
    ]

    it.each(answers)('$what holds a review back for an hour', async ({ ask, seenIn = name }) => {
      const bytes = randomBytes(1000)
      const digest = await fixture.upload(name, bytes)
      // As raised by a deletion a day ago: the reviews are due in a minute.
      const soon = fixture.clock.now() + 60_000
      await fixture.tamper(
        `insert into review (kind, repository_id, subject_id, due_at, reason, attempt_count)
         select 'blob', 0, id, 0, 'deleted', 0 from blob where digest = ?`,
        digestToBytes(digest),
      )
      await fixture.tamper('update review set due_at = ?', soon)
      expect(await nextReview(digest, name)).toBe(soon)

      expect(await ask(digest, bytes)).toBeTruthy()

      expect(await nextReview(digest, seenIn)).toBeGreaterThanOrEqual(fixture.clock.now() + hourMs)
    })
  })

  describe('the epoch of an upload session', () => {
    /** A writer that was overtaken while it could not notice: its epoch is one behind. */
    async function overtaken() {
      const { registry, context, database, blobStore, uploadDependencies } = fixture
      const bytes = randomBytes(2000)
      const { id: uploadId } = await registry.beginUpload(context, name)
      await registry.appendUpload(context, name, uploadId, { body: bodyOf(bytes) })
      const lifetimeMs = uploadDependencies.uploadLifetimeMs
      const run = commandContext(context)
      const input = { name, uploadId, writer: 'a', expectedOffset: undefined, lifetimeMs }
      const { writer_epoch: epoch } = await database.execute(takeUploadSession, input, run)
      await database.execute(releaseWriter, { uploadId, epoch }, run)
      const current = await database.execute(takeUploadSession, { ...input, writer: 'b' }, run)
      return { database, blobStore, run, uploadId, epoch, current, bytes, lifetimeMs }
    }

    it('grows with each writer', async () => {
      const { epoch, current } = await overtaken()

      expect(current.writer_epoch).toBe(epoch + 1)
    })

    it('keeps an overtaken writer from saving what it wrote', async () => {
      const { database, run, uploadId, epoch, lifetimeMs } = await overtaken()
      const late = { uploadId, epoch, sizeBytes: 9, sha256: null, checksums: null, shortParts: 0, partCount: 0, bootId: 'x', lifetimeMs }

      expect(await database.execute(saveProgress, late, run)).toBe(false)

      expect((await fixture.registry.getUpload(fixture.context, name, uploadId)).sizeBytes).toBe(2000)
    })

    it('keeps it from ending or finishing the session', async () => {
      const { database, blobStore, run, uploadId, epoch, bytes } = await overtaken()
      const digest = digestOf(bytes)
      const published = { ...(await blobStore.publish(uploadId, 'default', digest, bytes.length)), checksums: Buffer.alloc(4) }
      const finish = { name, uploadId, epoch, digest, sizeBytes: bytes.length, store: blobStore.name, published, deadKey: undefined }

      expect(await database.execute(endUpload, { uploadId, epoch }, run)).toBe(false)
      expect(await codeOf(database.execute(completeUpload, finish, run))).toBe('upload-unknown')

      expect(await fixture.registry.statBlob(fixture.context, name, digest)).toBeUndefined()
      expect((await fixture.registry.getUpload(fixture.context, name, uploadId)).sizeBytes).toBe(2000)
    })

    it('lets one of many writers of other processes have the session', async () => {
      const { registry, context, database, uploadDependencies } = fixture
      const { id: uploadId } = await registry.beginUpload(context, name)
      const writers = Array.from({ length: 20 }, (_, n) => `process-${n}`)

      const outcomes = await Promise.all(
        writers.map((writer) =>
          codeOf(
            database.execute(
              takeUploadSession,
              { name, uploadId, writer, expectedOffset: undefined, lifetimeMs: uploadDependencies.uploadLifetimeMs },
              commandContext(context),
            ),
          ),
        ),
      )

      expect(outcomes.filter((outcome) => outcome === 'done')).toHaveLength(1)
      // Who looked before the one had it is told where the upload goes on, who looked later that there is none for it.
      for (const outcome of outcomes) expect(['done', 'upload-range-invalid', 'upload-unknown']).toContain(outcome)
    })
  })
})

describe('what commands at the same time depend on, on postgres', () => {
  let fixture: RegistryFixture
  let digests: Digest[]
  let collector: pg.Client

  beforeAll(async () => {
    fixture = await startRegistry('postgres')
    const settings = { tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} } as const
    await fixture.registry.createRepository(fixture.context, { name, ...settings })
    const contents = Array.from({ length: 3 }, () => randomBytes(100)).sort((a, b) => digestToBytes(digestOf(b)).compare(digestToBytes(digestOf(a))))
    // Rows come to lie in the opposite order of their digests.
    for (const bytes of contents) await fixture.upload(name, bytes)
    digests = contents.map((bytes) => digestOf(bytes)).toReversed()
    if ('file' in fixture.target) throw new Error('this test is about postgres')
    collector = new pg.Client({ connectionString: fixture.target.url })
    await collector.connect()
    // No index may put rows in order by accident: the connections that there are end, and new ones read rows as they lie.
    const { rows } = await collector.query<{ name: string }>('select current_database() as name')
    for (const plan of ['indexscan', 'bitmapscan', 'indexonlyscan']) await collector.query(`alter database ${rows[0]!.name} set enable_${plan} = off`)
    await collector.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()')
    const { registry, context } = fixture
    const usePools = () =>
      Promise.all(Array.from({ length: 20 }, () => [registry.beginUpload(context, name), registry.getRepository(context, name)]).flat())
    await vi.waitFor(usePools, { timeout: 10_000 })
  })
  afterAll(async () => {
    await collector.end()
    await fixture.stop()
  })

  const locked = async (digest: Digest): Promise<boolean> => {
    const { rows } = await collector.query('select id from blob where digest = $1 for update skip locked', [digestToBytes(digest)])
    return rows.length === 0
  }

  /** Runs as the part of a push that locks what it names, and stops there until it is let go. */
  async function lockingPush(work: (locking: Promise<unknown>) => Promise<void>): Promise<void> {
    const { database } = fixture
    const letGo = Promise.withResolvers<undefined>()
    const held = Promise.withResolvers<undefined>()
    const lock = defineCommand({
      name: 'lock-and-wait',
      durability: 'durable',
      async run(tx, input: { digests: Digest[] }) {
        await lockKnownBlobs(tx, 1, 1, input.digests)
        held.resolve(undefined)
        await letGo.promise
      },
    })
    const running = database.execute(lock, { digests: digests.toReversed() }, commandContext(fixture.context))
    try {
      await work(held.promise)
    } finally {
      letGo.resolve(undefined)
      await running
    }
  }

  it('lets nobody take a session by an epoch that has passed', async () => {
    const { registry, context, database } = fixture
    const { id } = await registry.beginUpload(context, name)
    const take = defineCommand({
      name: 'take-by-epoch',
      durability: 'process',
      run: (tx, epoch: number) => takeUpload(tx, { id, epoch, writer: 'x', expiresAt: Number.MAX_SAFE_INTEGER }),
    })
    const takeAt = (epoch: number) => database.execute(take, epoch, commandContext(context))

    expect(await takeAt(0)).toMatchObject({ writer_epoch: 1 })
    expect(await takeAt(0)).toBeUndefined()
    expect(await takeAt(1)).toMatchObject({ writer_epoch: 2 })
  })

  it('keeps blobs from being marked as deleted until a push that names them has ended', async () => {
    await lockingPush(async (holding) => {
      await holding
      await collector.query(`set lock_timeout = '300ms'`)
      const mark = collector.query(`update blob_location set state = 'deleting' where state = 'active'`)

      await expect(mark).rejects.toMatchObject({ code: '55P03' })
    })
    await collector.query('set lock_timeout = 0')
  })

  it('locks blobs in the order of their digests, whatever the order in the manifest and on the disk', async () => {
    const [first, second, third] = digests as [Digest, Digest, Digest]
    const holder = new pg.Client({ connectionString: (fixture.target as { url: string }).url })
    await holder.connect()
    await holder.query('begin')
    await holder.query('select id from blob where digest = $1 for update', [digestToBytes(second)])

    await lockingPush(async () => {
      await expect.poll(() => locked(first), { timeout: 10_000 }).toBe(true)
      // It waits for the second, and has not touched the third.
      expect(await locked(third)).toBe(false)
      await holder.query('rollback')
      await expect.poll(() => locked(third), { timeout: 10_000 }).toBe(true)
    })
    await holder.end()
  })

  it('sees after a wait what a repository sees then, not what it saw before', async () => {
    const { database, context } = fixture
    const [first] = digests as [Digest]
    const holder = new pg.Client({ connectionString: (fixture.target as { url: string }).url })
    await holder.connect()
    await holder.query('begin')
    await holder.query('select id from blob where digest = $1 for update', [digestToBytes(first)])
    const see = defineCommand({
      name: 'see-known',
      durability: 'durable',
      run: async (tx) => (await lockKnownBlobs(tx, 1, 1, [first])).map(({ visibleSince }) => visibleSince),
    })

    const seen = database.execute(see, {}, commandContext(context))
    const isWaiting = async () => (await collector.query(`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)).rowCount
    await expect.poll(isWaiting, { timeout: 10_000 }).toBe(1)
    const sight = await holder.query('delete from repository_blob where blob_id = (select id from blob where digest = $1) returning *', [digestToBytes(first)])
    await holder.query('commit')
    await holder.end()

    expect(sight.rowCount).toBe(1)
    expect(await seen).toEqual([null])
  })

  it('knows blobs only while they have bytes that nobody deletes', async () => {
    await collector.query(`update blob_location set state = 'deleting' where blob_id = (select id from blob where digest = $1)`, [digestToBytes(digests[0]!)])
    const { database, context } = fixture
    const list = defineCommand({
      name: 'list-known',
      durability: 'durable',
      run: async (tx) => (await lockKnownBlobs(tx, 1, 1, digests)).map(({ digest }) => digest),
    })

    expect(await database.execute(list, {}, commandContext(context))).toEqual(digests.slice(1))
    expect(await fixture.registry.statBlob(context, name, digests[0]!)).toBeUndefined()
  })
})

import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { switchPlace } from '../../src/archive/commands/placements.ts'
import { eraseImages } from '../../src/gc/commands/erase-images.ts'
import { claimReviewBatch, reviewBlobs, reviewSights } from '../../src/gc/commands/reviews.ts'
import { promiseBlob } from '../../src/registry/commands/blobs.ts'
import { commandContext } from '../../src/registry/index.ts'
import { createQuotaOperations } from '../../src/registry/quota-operations.ts'
import { archiveStoreName } from '../../src/storage/blobs/index.ts'
import { defineCommand, type Command } from '../../src/storage/metadata/command.ts'
import { findPlacedBlob } from '../../src/storage/metadata/stores/archive-store.ts'
import { collectSuspicions, type ReviewKind } from '../../src/storage/metadata/stores/review-queue.ts'
import { digestOf, digestToBytes, type RepositoryName } from '../../src/values/index.ts'
import { startRegistry, type RegistryFixture } from '../support/registry.ts'
import { ArchiveWorld, imageOf, textLayer } from './archive-world.ts'

/*
 * Everybody locks the repository's row, then blobs in the order of their digests, then reviews in the order of what they are
 * about: so nobody waits crosswise. Each test holds one row, and looks which others a command has locked when it comes to it;
 * and what it then makes of a row that was changed meanwhile. SQLite has one writer at a time, and no locks.
 */

describe('the order of locks, on postgres', () => {
  let fixture: RegistryFixture
  let world: ArchiveWorld
  let name: RepositoryName
  let repositoryId: number
  /** In the order of their digests, which is the opposite of that in which they came, and lie. */
  let blobIds: [number, number, number]
  let watcher: pg.Client

  const connect = async (): Promise<pg.Client> => {
    if ('file' in fixture.target) throw new Error('this test is about postgres')
    const client = new pg.Client({ connectionString: fixture.target.url })
    await client.connect()
    return client
  }

  beforeAll(async () => {
    fixture = await startRegistry('postgres')
    world = new ArchiveWorld(fixture)
    watcher = await connect()
  })
  afterAll(async () => {
    await watcher.end()
    await fixture.stop()
    expect(world.problems).toEqual([])
  })
  beforeEach(async () => {
    name = await world.repository('locks')
    repositoryId = Number((await watcher.query<{ id: string }>('select id from repository where name = $1', [name])).rows[0]!.id)
    const contents = Array.from({ length: 3 }, () => randomBytes(100)).sort((one, other) => digestToBytes(digestOf(other)).compare(digestToBytes(digestOf(one))))
    for (const bytes of contents) await fixture.upload(name, bytes)
    await watcher.query('delete from review')
    const { rows } = await watcher.query<{ id: string }>('select blob_id as id from repository_blob join blob on blob.id = blob_id where repository_id = $1 order by digest', [repositoryId])
    blobIds = rows.map(({ id }) => Number(id)) as typeof blobIds
  })

  const execute = <Input, Result>(command: Command<Input, Result>, input: Input): Promise<Result> => fixture.database.execute(command, input, commandContext(fixture.context))

  const isFree = async (table: string, column: string, value: number): Promise<boolean> =>
    (await watcher.query(`select from ${table} where ${column} = $1 for update skip locked`, [value])).rowCount === 1

  /** Holds a row; lets the command come to it; looks at what it has locked by then; changes something if asked to, and lets go. */
  async function whileHeld<Result>(row: string, values: readonly number[], begin: () => Promise<Result>, look: (holder: pg.Client) => Promise<void>): Promise<Result> {
    const holder = await connect()
    await holder.query('begin')
    expect((await holder.query(`${row} for update`, [...values])).rowCount).toBe(1)
    const running = begin()
    try {
      const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      await expect.poll(async () => (await watcher.query(waiting)).rowCount, { timeout: 10_000 }).toBe(1)
      await look(holder)
      await holder.query('commit')
    } finally {
      await holder.end()
      await running.catch(() => undefined)
    }
    return running
  }

  /** Reviews of the blobs, written in the order of their digests, and taken by a worker. */
  async function claimed(kind: ReviewKind, subjects: readonly number[] = blobIds) {
    const owner = kind === 'blob' ? 0 : repositoryId
    for (const id of subjects) {
      await watcher.query(`insert into review (kind, repository_id, subject_id, due_at, reason, attempt_count) values ($1, $2, $3, 0, 'a test', 0)`, [kind, owner, id])
    }
    return execute(claimReviewBatch, { kind, owner: 'a', until: fixture.clock.now() + 60_000, limit: 100 })
  }

  it('takes blobs in the order of their digests when it reviews them, and reviews after them', async () => {
    const reviews = await claimed('blob')
    const [first, second, third] = blobIds

    await whileHeld('select id from blob where id = $1', [second], () => execute(reviewBlobs, { owner: 'a', reviews }), async () => {
      expect(await isFree('blob', 'id', first)).toBe(false)
      expect(await isFree('blob', 'id', third)).toBe(true)
      for (const { id } of reviews) expect(await isFree('review', 'id', id)).toBe(true)
    })
  })

  it('takes the repository before blobs, and blobs before reviews, when it reviews what a repository sees', async () => {
    const reviews = await claimed('repository-blob')
    const review = () => execute(reviewSights, { repositoryId, owner: 'a', reviews })

    const hidden = await whileHeld('select id from repository where id = $1', [repositoryId], review, async () => {
      for (const id of blobIds) expect(await isFree('blob', 'id', id)).toBe(true)
      for (const { id } of reviews) expect(await isFree('review', 'id', id)).toBe(true)
    })

    expect(hidden).toBe(3)
  })

  it('takes reviews in the order of what they are about', async () => {
    const [low, middle, high] = blobIds.toSorted((one, other) => one - other) as typeof blobIds
    const reviews = await claimed('blob', [high, middle, low])

    await whileHeld('select id from review where subject_id = $1', [middle], () => execute(reviewBlobs, { owner: 'a', reviews }), async () => {
      expect(await isFree('review', 'subject_id', low)).toBe(false)
      expect(await isFree('review', 'subject_id', high)).toBe(true)
    })
  })

  it('raises suspicions in the order of what they are about', async () => {
    const [low, middle, high] = blobIds.toSorted((one, other) => one - other) as typeof blobIds
    await claimed('blob')
    const raise = defineCommand({
      name: 'raise-suspicions',
      durability: 'durable',
      async run(tx, input: { subjects: readonly number[] }, { nowMs: now }) {
        const suspicions = collectSuspicions()
        for (const subjectId of input.subjects) suspicions.add({ kind: 'blob', repositoryId: 0, subjectId, reason: 'a test', now })
        await suspicions.write(tx)
      },
    })

    await whileHeld('select id from review where subject_id = $1', [middle], () => execute(raise, { subjects: [high, middle, low] }), async () => {
      expect(await isFree('review', 'subject_id', low)).toBe(false)
      expect(await isFree('review', 'subject_id', high)).toBe(true)
    })
  })

  it('takes several repositories in the order of their numbers', async () => {
    const names = [name, await world.repository('locks'), await world.repository('locks')]
    const image = imageOf([textLayer()])
    for (const each of names.toReversed()) await world.push(each, image, 'v1')
    const { rows } = await watcher.query<{ id: string }>('select id from repository where name = any($1) order by id', [names])
    const [first, second, third] = rows.map(({ id }) => Number(id)) as [number, number, number]
    const input = { id: 'an-erasure', name, images: [image.digest], layers: [], everywhere: true, reason: 'a test', overrideProtection: false, dryRun: false }

    await whileHeld('select id from repository where id = $1', [second], () => execute(eraseImages, input), async () => {
      expect(await isFree('repository', 'id', first)).toBe(false)
      expect(await isFree('repository', 'id', third)).toBe(true)
    })
  })

  it('takes quotas after the repository, the narrower first, and before blobs', async () => {
    const { accountId, id: registryId, region } = fixture.context.registry
    const quotas = createQuotaOperations(fixture)
    const set = (subject: Parameters<typeof quotas.put>[1]['subject']) => quotas.put(fixture.context, { subject, resource: 'arn', maxima: { images: 1000, repositories: 1000 } })
    for (const subject of [{ scope: 'account', accountId }, { scope: 'registry', accountId, region }] as const) await set(subject)
    const isQuotaFree = async (of: string): Promise<boolean> => (await watcher.query('select from quota where region = $1 for update skip locked', [of])).rowCount === 1
    const image = imageOf([textLayer()])
    const layer = await fixture.upload(name, image.blobs[1]!)
    const blobId = Number((await watcher.query<{ id: string }>('select id from blob where digest = $1', [digestToBytes(layer)])).rows[0]!.id)

    await whileHeld(`select * from quota where region = '' and 0 < $1`, [1], () => world.push(name, image, 'v1'), async () => {
      expect(await isFree('repository', 'id', repositoryId)).toBe(false)
      expect(await isQuotaFree(region)).toBe(false)
      expect(await isFree('blob', 'id', blobId)).toBe(true)
    })
    await whileHeld(`select * from quota where region = '' and 0 < $1`, [1], () => world.repository('locks'), async () => {
      expect((await watcher.query('select from registry where id = $1 for no key update skip locked', [registryId])).rowCount).toBe(0)
    })
    await world.registry.deleteRepository(fixture.context, name, { force: true })
    const [gone] = (await world.registry.listTrash(fixture.context, name, { limit: 1 })).items
    await whileHeld(`select * from quota where region = '' and 0 < $1`, [1], () => world.registry.restoreTrash(fixture.context, gone?.batch ?? ''), async () => {
      expect((await watcher.query('select from registry where id = $1 for no key update skip locked', [registryId])).rowCount).toBe(0)
    })
    for (const subject of [{ scope: 'account', accountId }, { scope: 'registry', accountId, region }] as const) {
      await quotas.delete(fixture.context, { subject, resource: 'arn', types: undefined })
    }
  })

  it('claims nothing that another worker is claiming', async () => {
    const [blobId] = blobIds
    await claimed('blob', [blobId])
    await watcher.query('update review set leased_by = null, leased_until = null')
    const other = await connect()
    await other.query('begin')
    await other.query(`update review set leased_by = 'b', leased_until = $1`, [fixture.clock.now() + 60_000])
    let isOver = false
    const claiming = execute(claimReviewBatch, { kind: 'blob' as const, owner: 'a', until: fixture.clock.now() + 60_000, limit: 100 }).finally(() => {
      isOver = true
    })
    const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    await expect.poll(async () => isOver || (await watcher.query(waiting)).rowCount === 1, { timeout: 10_000 }).toBe(true)
    const hadToWait = !isOver
    await other.query('commit')
    await other.end()

    expect(await claiming).toEqual([])
    expect(hadToWait).toBe(false)
  })

  it('promises nothing that a review hides while it waits for that', async () => {
    const [blobId] = blobIds
    await claimed('repository-blob', [blobId])

    const promised = await whileHeld('select id from review where subject_id = $1', [blobId], () => execute(promiseBlob, { blobId, repositoryId }), async (holder) => {
      await holder.query('delete from repository_blob where repository_id = $1 and blob_id = $2', [repositoryId, blobId])
      await holder.query('delete from review where subject_id = $1', [blobId])
    })

    expect(promised).toBe(false)
  })

  it('moves no blob whose bytes are set aside while it waits for that', async () => {
    const layer = textLayer()
    const image = imageOf([layer])
    await world.push(name, image, 'v1')
    await world.change(name, image, 'ARCHIVE')
    const digest = digestToBytes(digestOf(layer))
    const blobId = Number((await watcher.query<{ id: string }>('select id from blob where digest = $1', [digest])).rows[0]!.id)
    const { locationId, store, key } = (await findPlacedBlob(fixture.database.reader, blobId))!
    const to = { store: archiveStoreName, key: 'archive/copy', generation: 'x', encoding: 'identity', storedSizeBytes: 1 }
    const move = () => execute(switchPlace, { blobId, uploadId: 'a copy', from: { locationId, store, key }, to, archiveStore: archiveStoreName })

    const isMoved = await whileHeld('select id from blob_location where id = $1', [locationId], move, async (holder) => {
      await holder.query(`update blob_location set state = 'quarantined' where id = $1`, [locationId])
    })

    expect(isMoved).toBe(false)
    const { rows } = await watcher.query('select store, key, state from blob_location where blob_id = $1', [blobId])
    expect(rows).toEqual([{ store, key, state: 'quarantined' }])
  })
})

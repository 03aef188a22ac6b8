import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { claimArchiveWork, endArchiveWork, settlePlacement, switchPlace, type WantedMove } from '../../src/archive/commands/placements.ts'
import { claimReviewBatch, postponeReview, reviewBlobs, reviewSights } from '../../src/gc/commands/reviews.ts'
import { promiseBlob } from '../../src/registry/commands/blobs.ts'
import { commandContext } from '../../src/registry/index.ts'
import { createProtections, type Protections } from '../../src/registry/protection/protections.ts'
import { archiveStoreName } from '../../src/storage/blobs/index.ts'
import type { Command } from '../../src/storage/metadata/command.ts'
import type { ClaimedReview } from '../../src/storage/metadata/stores/review-claims.ts'
import type { ReviewKind } from '../../src/storage/metadata/stores/review-queue.ts'
import { digestToBytes, type Digest, type RepositoryName } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'
import { ArchiveWorld, blobDigest, imageOf, textLayer } from './archive-world.ts'

/*
 * What holds between two steps of collection: each test stops a worker at the one point where somebody else changes what it
 * decided upon. Taking a guard out makes one of them fail: docs/internals/guards.md.
 */

const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs
const leaseMs = 10 * 60_000

describe.each(databases)('between two steps of collection on %s', (kind) => {
  let fixture: RegistryFixture
  let world: ArchiveWorld
  let name: RepositoryName
  let repositoryId: number
  let protections: Protections

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    protections = createProtections({ database: fixture.database })
    world = new ArchiveWorld(fixture)
  })
  afterAll(async () => {
    await fixture.stop()
    expect(world.problems).toEqual([])
  })
  beforeEach(async () => {
    // What a test has left is nobody's concern in the next.
    await fixture.tamper('delete from review')
    name = await world.repository('guards')
    const { reader } = fixture.database
    const [row] = await reader.query(reader.builder.selectFrom('repository').select('id').where('name', '=', name))
    repositoryId = row!.id
  })

  const execute = <Input, Result>(command: Command<Input, Result>, input: Input): Promise<Result> => fixture.database.execute(command, input, commandContext(fixture.context))
  const claim = (which: ReviewKind, owner: string): Promise<ClaimedReview[]> =>
    execute(claimReviewBatch, { kind: which, owner, until: fixture.clock.now() + leaseMs, limit: 200 })
  const hide = (owner: string, reviews: readonly ClaimedReview[]): Promise<number> => execute(reviewSights, { repositoryId, owner, reviews })
  const isSeen = async (digest: Digest): Promise<boolean> => (await world.registry.statBlob(fixture.context, name, digest)) !== undefined

  async function idOf(digest: Digest): Promise<number> {
    const { reader } = fixture.database
    const [row] = await reader.query(reader.builder.selectFrom('blob').select('id').where('digest', '=', digestToBytes(digest)))
    return row!.id
  }

  async function placesOf(digest: Digest): Promise<{ key: string; store: string; state: string }[]> {
    const { reader } = fixture.database
    const of = reader.builder.selectFrom('blob_location').innerJoin('blob', 'blob.id', 'blob_location.blob_id').where('blob.digest', '=', digestToBytes(digest))
    return reader.query(of.select(['blob_location.key', 'blob_location.store', 'blob_location.state']).orderBy('blob_location.id'))
  }

  async function reviews(): Promise<{ kind: string; dueAt: number; owner: string | null }[]> {
    const { reader } = fixture.database
    return reader.query(reader.builder.selectFrom('review').select(['kind', 'due_at as dueAt', 'leased_by as owner']).orderBy('id'))
  }

  /** A blob that nothing has come to use for a day, so that its review is due. */
  async function unusedBlob(): Promise<{ bytes: Buffer; digest: Digest }> {
    const bytes = randomBytes(500)
    const digest = await fixture.upload(name, bytes)
    fixture.clock.advance(dayMs + hourMs)
    return { bytes, digest }
  }

  /** A blob that nobody sees any more, and whose own review is due. */
  async function unseenBlob(): Promise<{ bytes: Buffer; digest: Digest }> {
    const blob = await unusedBlob()
    expect(await hide('x', await claim('repository-blob', 'x'))).toBe(1)
    fixture.clock.advance(hourMs)
    return blob
  }

  describe('a promise', () => {
    it('that was given after a worker took the review holds', async () => {
      const { digest } = await unusedBlob()
      const taken = await claim('repository-blob', 'a')
      expect(taken).toHaveLength(1)
      expect(await isSeen(digest)).toBe(true)

      expect(await hide('a', taken)).toBe(0)

      expect(await isSeen(digest)).toBe(true)
      expect(await reviews()).toMatchObject([{ kind: 'repository-blob', dueAt: fixture.clock.now() + hourMs }])
    })

    it('is not given for what was hidden a moment before', async () => {
      const { digest } = await unusedBlob()
      // As of a request that has read that the repository sees it.
      const input = { blobId: await idOf(digest), repositoryId }
      await hide('a', await claim('repository-blob', 'a'))

      expect(await execute(promiseBlob, input)).toBe(false)
    })

    it('holds when the image that had the blob is deleted right after it', async () => {
      const [layer, next] = [textLayer(), textLayer()]
      const image = imageOf([layer])
      await world.push(name, image, 'v1')
      expect(await isSeen(blobDigest(layer))).toBe(true)
      await world.registry.deleteImages(fixture.context, name, [{ digest: image.digest }])

      const another = imageOf([layer, next])
      for (const blob of [another.blobs[0]!, next]) await fixture.upload(name, blob)
      await world.put(name, another, 'v2')

      for (let day = 0; day < 10; day += 1) {
        fixture.clock.advance(dayMs)
        await world.work()
      }
      expect((await world.read(name, layer)).equals(layer)).toBe(true)
    })
  })

  describe('a review', () => {
    it('of a blob that came under suspicion again while a worker had it keeps the time of that', async () => {
      const { bytes, digest } = await unseenBlob()
      const taken = await claim('blob', 'a')
      expect(taken).toHaveLength(1)
      await fixture.upload(name, bytes)
      await world.registry.deleteBlob(fixture.context, name, digest)

      await execute(reviewBlobs, { owner: 'a', reviews: taken })

      expect(await placesOf(digest)).toMatchObject([{ state: 'active' }])
      expect((await reviews()).filter(({ kind: of }) => of === 'blob')).toMatchObject([{ dueAt: fixture.clock.now() + dayMs }])
    })

    it('of a blob takes nothing that a repository sees, though nothing names it yet', async () => {
      const { bytes, digest } = await unseenBlob()
      await fixture.upload(name, bytes)
      fixture.clock.advance(2 * hourMs)
      const taken = await claim('blob', 'a')
      expect(taken).toHaveLength(1)

      await execute(reviewBlobs, { owner: 'a', reviews: taken })

      expect(await placesOf(digest)).toMatchObject([{ state: 'active' }])
    })

    it('of what a repository sees hides nothing that an image of it names', async () => {
      const layer = textLayer()
      await world.push(name, imageOf([layer]), 'v1')
      fixture.clock.advance(dayMs + hourMs)
      const taken = await claim('repository-blob', 'a')
      expect(taken).toHaveLength(2)

      expect(await hide('a', taken)).toBe(0)

      expect(await isSeen(blobDigest(layer))).toBe(true)
    })

    it('of what a repository sees waits while its registry is on hold', async () => {
      const { digest } = await unusedBlob()
      const hold = await protections.placeHold(fixture.context, 'not now')
      try {
        expect(await hide('a', await claim('repository-blob', 'a'))).toBe(0)
        expect(await isSeen(digest)).toBe(true)
      } finally {
        await protections.releaseHold(fixture.context, hold, 'now')
      }
    })

    it('of a blob waits while the installation is on hold', async () => {
      const { digest } = await unseenBlob()
      const hold = await protections.placeHold(fixture.context, 'not now')
      try {
        await world.collect()
        expect(await placesOf(digest)).toMatchObject([{ state: 'active' }])
      } finally {
        await protections.releaseHold(fixture.context, hold, 'now')
      }
    })

    it('belongs to one worker until its lease is over', async () => {
      await unusedBlob()
      const taken = await claim('repository-blob', 'a')
      expect(await claim('repository-blob', 'b')).toEqual([])

      fixture.clock.advance(leaseMs + 1)

      expect(await claim('repository-blob', 'b')).toEqual(taken)
    })

    it('is done by nobody whose lease is over, and put off by nobody', async () => {
      await unusedBlob()
      const late = await claim('repository-blob', 'a')
      fixture.clock.advance(leaseMs + 1)
      const taken = await claim('repository-blob', 'b')
      const before = await reviews()

      expect(await hide('a', late)).toBe(0)
      await execute(postponeReview, { id: late[0]!.id, owner: 'a', dueAt: fixture.clock.now() + dayMs, attempts: 1 })

      expect(await reviews()).toEqual(before)
      expect(await hide('b', taken)).toBe(1)
    })

    it('of the archive is ended by nobody whose lease is over, nor when it was asked for again', async () => {
      await fixture.tamper(`insert into review (kind, repository_id, subject_id, due_at, reason, attempt_count) values ('activation', 0, 1, 0, 'restored', 0)`)
      const work = (owner: string) => execute(claimArchiveWork, { kind: 'activation', owner, until: fixture.clock.now() + leaseMs, limit: 10 })
      const [late] = await work('a')
      fixture.clock.advance(leaseMs + 1)
      const [taken] = await work('b')
      await execute(endArchiveWork, { id: late!.id, owner: 'a' })
      expect(await reviews()).toHaveLength(1)

      await fixture.tamper('update review set due_at = ?', fixture.clock.now() + 1)
      await execute(endArchiveWork, { id: taken!.id, owner: 'b' })
      expect(await reviews()).toHaveLength(1)

      fixture.clock.advance(1)
      await execute(endArchiveWork, { id: taken!.id, owner: 'b' })
      expect(await reviews()).toEqual([])
    })
  })

  describe('bytes that are going', () => {
    it('are given to nobody: whoever pushes the blob brings them again, under another name', async () => {
      const { bytes, digest } = await unseenBlob()
      await execute(reviewBlobs, { owner: 'a', reviews: await claim('blob', 'a') })
      const [going] = await placesOf(digest)
      expect(going).toMatchObject({ state: 'deleting' })

      await fixture.upload(name, bytes)

      expect(await placesOf(digest)).toMatchObject([going, { state: 'active' }])
      await world.collect()
      const [place, ...others] = await placesOf(digest)
      expect(others).toEqual([])
      expect(place!.key).not.toBe(going!.key)
      expect((await world.read(name, bytes)).equals(bytes)).toBe(true)
    })

    it('are not read by who asks for the blob that was pushed again', async () => {
      const { bytes, digest } = await unseenBlob()
      await execute(reviewBlobs, { owner: 'a', reviews: await claim('blob', 'a') })
      const [going] = await placesOf(digest)
      await fixture.upload(name, bytes)
      // They go at this moment.
      await fixture.blobStore.delete([going!.key], fixture.clock.now())

      expect(await isSeen(digest)).toBe(true)
      expect((await world.read(name, bytes)).equals(bytes)).toBe(true)
      expect(fixture.damage).toEqual([])
    })

    it('are alone what a review of places takes, whatever it names', async () => {
      const layer = textLayer()
      const image = imageOf([layer])
      await world.push(name, image, 'v1')
      const [place] = await placesOf(blobDigest(layer))
      await fixture.tamper(
        `insert into review (kind, repository_id, subject_id, due_at, reason, attempt_count) select 'location', 0, id, 0, 'moved', 0 from blob_location where key = ?`,
        place!.key,
      )

      await world.collect()

      expect(await placesOf(blobDigest(layer))).toEqual([place])
      expect((await world.read(name, layer)).equals(layer)).toBe(true)
    })
  })

  describe('a blob that is being moved', () => {
    /** An archived image's layer, which a worker is about to move. */
    async function moving() {
      const layer = textLayer()
      const image = imageOf([layer])
      await world.push(name, image, 'v1')
      await world.change(name, image, 'ARCHIVE')
      const id = await idOf(blobDigest(layer))
      const works = await execute(claimArchiveWork, { kind: 'placement', owner: 'a', until: fixture.clock.now() + leaseMs, limit: 10 })
      const review = works.find(({ subjectId }) => subjectId === id)!
      const wanted = (await execute(settlePlacement, { owner: 'a', review, archiveStore: archiveStoreName }))!
      expect(wanted.to).toBe('archive')
      return { layer, image, wanted, blobId: id }
    }

    const put = (blobId: number, { from: { locationId, store, key } }: WantedMove): Promise<boolean> => {
      const to = { store: archiveStoreName, key: 'archive/copy', generation: 'x', encoding: 'identity', storedSizeBytes: 1 }
      return execute(switchPlace, { blobId, uploadId: 'a copy', from: { locationId, store, key }, to, archiveStore: archiveStoreName })
    }

    it('stays where it is when somebody has come to use it meanwhile', async () => {
      const { layer, wanted, blobId } = await moving()
      await fixture.upload(name, layer)

      expect(await put(blobId, wanted)).toBe(false)

      expect(await placesOf(blobDigest(layer))).toMatchObject([{ store: 'filesystem', state: 'active', key: wanted.from.key }])
    })

    it('stays where it is when others have moved it meanwhile, and back, and mean to again', async () => {
      const { layer, image, wanted, blobId } = await moving()
      fixture.clock.advance(leaseMs + 1)
      await world.work()
      await world.change(name, image, 'STANDARD')
      await world.work()
      await world.change(name, image, 'ARCHIVE')
      const before = await placesOf(blobDigest(layer))
      expect(before).toMatchObject([{ store: 'filesystem' }])

      expect(await put(blobId, wanted)).toBe(false)

      expect(await placesOf(blobDigest(layer))).toEqual(before)
      expect((await readFile(join(fixture.dataDir, 'blobs', before[0]!.key))).equals(layer)).toBe(true)
    })
  })
})

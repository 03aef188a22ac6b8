import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { forgetSealedChanges } from '../../src/audit/commands/sealed-changes.ts'
import { TagHistory } from '../../src/audit/index.ts'
import { removeOldEvents } from '../../src/audit/retention.ts'
import { Sealer } from '../../src/audit/sealer.ts'
import { cloudTrailRecord, isChangeBody, type TrailBody } from '../../src/audit/trail-record.ts'
import { verifyTrail } from '../../src/audit/verify-trail.ts'
import { eraseImages } from '../../src/gc/commands/erase-images.ts'
import { commandContext } from '../../src/registry/index.ts'
import { readChain } from '../../src/storage/metadata/observe/audit-store.ts'
import { findTagMoves } from '../../src/storage/metadata/observe/tag-move-store.ts'
import { observeTarget, openObserveStore, prepareObserveStore, type ObserveStore } from '../../src/storage/metadata/observe/store.ts'
import { digestFromBytes, parseTag, type RepositoryName } from '../../src/values/index.ts'
import type { KnownImage } from '../interleavings/images.ts'
import { dayMs, startLifecycle, taggedOlderThan, type LifecycleWorld } from '../lifecycle/lifecycle-world.ts'
import { databases } from '../support/registry.ts'

describe.each(databases)('what the trail tells of tags and of runs, on %s', (kind) => {
  let world: LifecycleWorld
  let store: ObserveStore
  let folder: string
  let history: TagHistory

  beforeAll(async () => {
    world = await startLifecycle(kind)
    const target = observeTarget(world.fixture.dataDir, world.fixture.target)
    await prepareObserveStore(target)
    store = openObserveStore(target, { connections: 1, readOnly: false })
    folder = mkdtempSync(join(tmpdir(), 'stowage-audit-'))
    history = new TagHistory(store.reader)
  })
  afterAll(async () => {
    await store.close()
    await world.stop()
    rmSync(folder, { recursive: true })
  })

  /** Everything that was written down until now. */
  async function seal(): Promise<void> {
    const { clock, database, context } = world.fixture
    clock.advance(61_000)
    const sealer = new Sealer({
      store,
      metadata: database.reader,
      folder,
      serverId: 'this',
      leftBehind: new Set(),
      now: () => clock.now(),
      forget: (ids) => database.execute(forgetSealedChanges, { ids }, commandContext(context)),
      onDamage: () => undefined,
    })
    await sealer.sealLoneChanges()
  }

  async function eventsOf(name: RepositoryName, action: string): Promise<Record<string, unknown>[]> {
    const bodies = (await readChain(store.reader, 0, 1000)).map(({ body }) => JSON.parse(body) as TrailBody)
    return bodies.filter((body) => isChangeBody(body) && body.change.action === action && body.change.detail['repositoryName'] === name).map(cloudTrailRecord)
  }

  const of = (repository: string, tag: string) => ({ account: '000000000000', region: 'us-east-1', repository, tag })
  const stateAt = async (name: string, tag: string, at: number) => {
    const { source, digest } = await history.stateAt(of(name, tag), at)
    return [source, digest]
  }

  it('every change of a tag, whatever made it', async () => {
    const { fixture } = world
    const { registry, context, clock, database } = fixture
    const { name, images } = await world.newRepository()
    const { one, two, three } = images as Record<string, KnownImage> & { one: KnownImage; two: KnownImage; three: KnownImage }
    const times: number[] = []
    const step = async (work: () => Promise<unknown>): Promise<void> => {
      clock.advance(1000)
      await work()
      times.push(clock.now())
    }
    const batches = async () => (await registry.listTrash(context, name, { limit: 100, after: undefined })).items
    const newestChange = async () => (await registry.listTagChanges(context, name, undefined, { limit: 1, after: undefined })).items[0]!

    await step(() => world.push(name, one, 'v1'))
    await step(() => world.push(name, two, 'v1'))
    await step(() => world.push(name, one, 'old'))
    await step(async () => registry.undoTagChange(context, name, (await newestChange()).id))
    await world.push(name, three, 'beside')
    await step(() => world.push(name, three, 'three'))
    await step(() => registry.deleteTag(context, name, parseTag('v1')))
    await step(() => registry.deleteImages(context, name, [{ digest: three.digest }]))
    await step(async () => registry.restoreTrash(context, (await batches())[0]!.batch))
    await step(() => world.push(name, two, 'v1'))
    await step(() => registry.deleteRepository(context, name, { force: true }))
    await step(async () => registry.restoreTrash(context, (await batches()).find(({ kind: what }) => what === 'repository')!.batch))
    await world.put(name, taggedOlderThan('three', 30))
    clock.advance(31 * dayMs)
    await step(() => world.push(name, one, 'young'))
    await step(() => world.sweep())
    const erasure = { id: randomUUID(), name, images: [two.digest, three.digest], layers: [], everywhere: false, reason: 'a secret', overrideProtection: false, dryRun: false }
    await step(() => database.execute(eraseImages, erasure, commandContext({ ...context, clock })))
    await seal()

    const { reader } = database
    const kept = await reader.query(
      reader.builder.selectFrom('tag_history').innerJoin('repository', 'repository.id', 'tag_history.repository_id').select(['tag_history.name', 'digest', 'previous_digest as previous']).where('repository.name', '=', name).orderBy('tag_history.id'),
    )
    const text = (digest: Uint8Array | null) => (digest === null ? null : digestFromBytes(digest))
    const told = (await Promise.all(['v1', 'old', 'three', 'beside', 'young'].map((tag) => findTagMoves(store.reader, { trail: '000000000000/us-east-1', repository: name, tag, until: clock.now(), limit: 100 })))).flat()
    const line = (...parts: (string | null)[]) => parts.join(' ')
    expect(kept.length).toBeGreaterThan(9)
    expect(told.map(({ tag, digest, previous }) => line(tag, digest, previous)).toSorted()).toEqual(kept.map((row) => line(row.name, text(row.digest), text(row.previous))).toSorted())

    const [first, second, , , , , , , ninth, tenth, eleventh] = times as number[] & { [n: number]: number }
    expect(await stateAt(name, 'v1', first! - 1)).toEqual(['deduced', undefined])
    expect(await stateAt(name, 'v1', first!)).toEqual(['recorded', one.digest])
    expect(await stateAt(name, 'v1', second! + 500)).toEqual(['recorded', two.digest])
    expect(await stateAt(name, 'v1', ninth!)).toEqual(['recorded', two.digest])
    expect(await stateAt(name, 'v1', tenth!)).toEqual(['recorded', undefined])
    expect(await stateAt(name, 'v1', eleventh!)).toEqual(['recorded', two.digest])
    expect(await stateAt(name, 'v1', clock.now())).toEqual(['recorded', undefined])
    expect(await stateAt(name, 'never', clock.now())).toEqual(['unknown', undefined])
    const page = await history.list(of(name, 'v1'), { until: clock.now(), limit: 3, after: undefined })
    expect(page.entries.map(({ action }) => action)).toEqual(['EraseImages', 'RestoreTrash', 'DeleteRepository'])
    const rest = await history.list(of(name, 'v1'), { until: clock.now(), limit: 10, after: page.next })
    expect(rest.entries.map(({ action, digest, previous }) => [action, digest, previous])).toEqual([
      ['PutImage', two.digest, undefined],
      ['BatchDeleteImage', undefined, two.digest],
      ['PutImage', two.digest, one.digest],
      ['PutImage', one.digest, undefined],
    ])
    expect((await history.list(of(name, 'three'), { until: clock.now(), limit: 2, after: undefined })).entries.map(({ action }) => action)).toEqual(['PolicyExecutionEvent', 'RestoreTrash'])
    expect(await verifyTrail(store.reader)).toMatchObject({ findings: [] })
  })

  it('what a run did, and what a preview would, in events of ten images', async () => {
    const { clock } = world.fixture
    const { name, images } = await world.newRepository()
    const tags = Array.from({ length: 101 }, (_, n) => `t${String(n).padStart(3, '0')}`)
    const each = Object.values(images).filter(({ name: own }) => own !== 'index').slice(0, 3)
    for (const tag of tags) await world.push(name, each[0]!, tag)
    await world.push(name, each[1]!, 'b')
    await world.put(name, taggedOlderThan('*', 30))
    clock.advance(31 * dayMs)
    expect((await world.preview(name)).results).toHaveLength(2)
    await world.sweep()
    await seal()

    const [run, ...others] = await eventsOf(name, 'PolicyExecutionEvent')
    expect(others).toEqual([])
    expect(run).toMatchObject({
      eventType: 'AwsServiceEvent',
      eventSource: 'ecr.amazonaws.com',
      userIdentity: { invokedBy: 'stowage' },
      serviceEventDetails: {
        repositoryName: name,
        lifecycleEventPolicy: {
          lifecycleEventRules: [{ rulePriority: 1, lifecycleEventSelection: { tagStatus: 'Tagged', tagPatternList: ['*'], countType: 'Since image pushed', countNumber: 30 }, action: 'expire' }],
          policyVersion: 1,
        },
        lifecycleEventImageActions: [
          { lifecycleEventImage: { digest: each[0]!.digest, tagStatus: 'Tagged', tagList: tags.slice(0, 100) }, rulePriority: 1 },
          { lifecycleEventImage: { digest: each[1]!.digest, tagStatus: 'Tagged', tagList: ['b'] }, rulePriority: 1 },
        ],
        lifecycleEventFailureDetails: [],
      },
    })
    expect(await eventsOf(name, 'DryRunEvent')).toMatchObject([{ serviceEventDetails: { lifecycleEventImageActions: [{ rulePriority: 1 }, { lifecycleEventImage: { tagList: ['b'] } }] } }])
    expect(await eventsOf(name, 'LifecycleRun')).toMatchObject([{ serviceEventDetails: { status: 'done', expired: 2 } }])

    // Many images: an event has ten of them at most.
    const many = await world.newRepository('many')
    const pushed: string[] = []
    for (let n = 0; n < 4; n += 1) {
      const more = await world.newRepository('many')
      for (const image of Object.values(more.images).slice(0, 3)) {
        await world.push(many.name, image, `n${n}-${image.name}`)
        pushed.push(image.digest)
      }
    }
    await world.put(many.name, taggedOlderThan('*', 30))
    clock.advance(31 * dayMs)
    await world.sweep()
    await seal()
    const sizes = (await eventsOf(many.name, 'PolicyExecutionEvent')).map((event) => (event['serviceEventDetails'] as { lifecycleEventImageActions: unknown[] }).lifecycleEventImageActions.length)
    expect([sizes.length > 1, Math.max(...sizes), sizes.reduce((sum, size) => sum + size, 0)]).toEqual([true, 10, pushed.length])
  })

  it('says how far it goes back, and what follows from the first change that it still has', async () => {
    const { clock } = world.fixture
    const { name, images } = await world.newRepository()
    await world.push(name, images['one']!, 'v1')
    await seal()
    const long = clock.now()
    clock.advance(40 * dayMs)
    await world.push(name, images['two']!, 'v1')
    await seal()
    await removeOldEvents(store, 30 * dayMs, clock.now())
    const reach = await history.reach()
    expect(reach.isCut).toBe(true)
    expect(reach.beginsAt).toBeGreaterThan(long)
    expect(await stateAt(name, 'v1', long)).toEqual(['deduced', images['one']!.digest])
    expect(await stateAt(name, 'v1', clock.now())).toEqual(['recorded', images['two']!.digest])
    expect(await verifyTrail(store.reader)).toMatchObject({ findings: [] })
    await store.transaction((tx) => tx.query({ compile: () => ({ sql: `delete from ${kind === 'postgres' ? 'stowage_observe.' : ''}audit_tag_move where tag = 'v1'`, parameters: [] }), execute: () => Promise.resolve([]) }))
    expect(await verifyTrail(store.reader)).toMatchObject({ findings: [{ kind: 'index', text: 'its history of tags is not what look-ups find it by' }] })
  })
})

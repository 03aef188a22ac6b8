import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createDistributionClient } from '../support/distribution-client.ts'
import { callStowage } from '../support/identities.ts'
import type { Image } from '../support/images.ts'
import { databases, type DatabaseKind } from '../support/registry.ts'
import type { Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { createRepository, expectWhole, filesBelow, followTags, Place, push } from './place.ts'

const repository = 'backup/app'
let dir: TempDir
let folder: string
let places: Place[]
let running: Stowage | undefined

beforeEach(() => {
  dir = createTempDir('backup')
  folder = join(dir.path, 'backups')
  places = []
})

afterEach(async () => {
  await running?.stop()
  running = undefined
  dir.remove()
  for (const place of places) await place.remove()
})

async function newPlace(kind: DatabaseKind): Promise<Place> {
  const place = await Place.create(kind)
  places.push(place)
  return place
}

async function startAt(place: Place): Promise<Stowage> {
  await running?.stop()
  return (running = await place.start())
}

/** Clients that push, move tags and delete until they are told to stop. */
function load(stowage: Stowage): { acknowledged: Image[]; stop(): Promise<void> } {
  const acknowledged: Image[] = []
  let isOver = false
  const working = Array.from({ length: 3 }, async (_, worker) => {
    const client = createDistributionClient(stowage.url, stowage.credentials)
    for (let n = 0; !isOver; n += 1) {
      const image = await push(stowage, repository, `w${worker}-${n % 5}`, `load ${worker} ${n}`, 200_000)
      acknowledged.push(image)
      if (n % 3 === 2) await client.request('DELETE', `/v2/${repository}/manifests/w${worker}-${(n - 1) % 5}`)
      if (n % 4 === 3) await client.request('DELETE', `/v2/${repository}/manifests/${acknowledged.at(-2)!.manifest.digest}`)
    }
    client.close()
  })
  return {
    acknowledged,
    async stop() {
      isOver = true
      await Promise.all(working)
    },
  }
}

describe.each(databases)('a backup of a running server on %s', (kind) => {
  const otherKind = databases.find((other) => other !== kind)!

  it('has the audit trail where it is asked to, as it was, and notes its end otherwise', async () => {
    const source = await newPlace(kind)
    const stowage = await startAt(source)
    await createRepository(stowage, repository)
    await push(stowage, repository, 'v1', 'trail')
    await startAt(source)
    expect(await source.backup(folder)).toMatchObject({ audit: { recordsIncluded: false } })
    const made = await source.stowage('audit', 'checkpoint')
    const checkpoint = join(dir.path, 'checkpoint.json')
    writeFileSync(checkpoint, made.stdout)
    const { record } = JSON.parse(made.stdout) as { record: number }
    const point = await source.backup(folder, '--with-audit')
    expect(record).toBeGreaterThan(3)
    expect(point.audit?.record).toBeGreaterThanOrEqual(record)

    // Into the other kind of database, where the chain is the same.
    const target = await newPlace(otherKind)
    expect(await target.restore(source, folder)).toMatchObject({ trail: { kind: 'put-back', records: point.audit!.record } })
    expect((await target.stowage('audit', 'verify', '--checkpoint', checkpoint)).stdout).toContain('the chain is whole, and goes on from the checkpoint')
    const restored = await startAt(target)
    await expect.poll(async () => (await callStowage(restored.url, restored.keys, 'ListTagHistory', { repositoryName: repository, imageTag: 'v1' })).body, { timeout: 10_000 }).toMatchObject({ tagHistory: [{ action: 'PutImage' }] })
    await running?.stop()
    expect((await target.stowage('audit', 'verify', '--checkpoint', checkpoint)).exitCode).toBe(0)
    // What is there goes on, and is not set back.
    expect(await target.restore(source, folder, '--replace')).toMatchObject({ trail: { kind: 'kept', goesOn: true } })
    const bare = await newPlace(otherKind)
    expect(await bare.restore(source, folder, '--point', (await source.backup(folder)).point)).toMatchObject({ trail: { kind: 'anew' } })
  })

  it('has all that was acknowledged before it, whole, wherever it is restored', async () => {
    const source = await newPlace(kind)
    const stowage = await startAt(source)
    await createRepository(stowage, repository)
    const before: Image[] = []
    for (let n = 0; n < 10; n += 1) before.push(await push(stowage, repository, `kept-${n}`, `kept ${n}`))
    const clients = load(stowage)
    await expect.poll(() => clients.acknowledged.length, { timeout: 30_000 }).toBeGreaterThan(5)

    const first = await source.backup(folder)
    const during = clients.acknowledged.length
    await expect.poll(() => clients.acknowledged.length, { timeout: 30_000 }).toBeGreaterThan(during + 5)
    const second = await source.backup(folder)
    await clients.stop()

    expect(first.copiedBlobs).toBe(first.blobs)
    expect(second.copiedBlobs).toBeGreaterThan(0)
    expect(second.copiedBlobs).toBeLessThan(second.blobs)
    expect(filesBelow(join(source.dataDir, 'holds'))).toEqual([])
    expect(filesBelow(join(folder, 'incoming'))).toEqual([])

    for (const [place, point] of [[await newPlace(kind), first.point], [await newPlace(otherKind), second.point]] as const) {
      const restored = await place.restore(source, folder, '--point', point)
      expect(restored).toMatchObject({ findingCount: 0, missing: [], unnamedBlobs: { count: 0 } })
      expect(restored.copiedBlobs).toBe(restored.blobs)
      const again = await startAt(place)
      const { body } = await callStowage(again.url, again.keys, 'ListHolds', {})
      expect((body['holds'] as { cause: string }[]).map(({ cause }) => cause)).toEqual(['restore'])
      for (const image of before) await expectWhole(again, repository, image)
      const tags = await followTags(again, repository)
      for (const [n, image] of before.entries()) expect(tags.get(`kept-${n}`)).toBe(image.manifest.digest)
      // And it goes on being a registry.
      await expectWhole(again, repository, await push(again, repository, 'after', `after ${point}`))
    }
  })

  it('copies what is new, goes back to any point, and says what is newer', async () => {
    const source = await newPlace(kind)
    const stowage = await startAt(source)
    await createRepository(stowage, repository)
    const old = await push(stowage, repository, 'latest', 'old')
    const first = await source.backup(folder)
    const recent = await push(stowage, repository, 'latest', 'new')
    const second = await source.backup(folder)
    const third = await source.backup(folder)

    expect([first, second, third].map(({ copiedBlobs }) => copiedBlobs)).toEqual([2, 2, 0])
    await stowage.stop()
    running = undefined

    const refused = await source.stowage('restore', folder)
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--replace') })
    const restored = await source.restore(source, folder, '--point', first.point, '--replace')

    expect(restored).toMatchObject({ copiedBlobs: 0, presentBlobs: 2, findingCount: 0 })
    const digest = recent.manifest.digest
    expect(restored.newerImages).toMatchObject([{ repository, digest }, { repository, digest, tag: 'latest' }])
    expect(restored.newerImages?.[0]).not.toHaveProperty('tag')
    expect(restored.unnamedBlobs.keys.map((key) => `sha256:${key.split('/').at(-1)?.split('.')[0]}`).sort()).toEqual(
      recent.blobs.map((blob) => blob.digest).sort(),
    )
    const again = await startAt(source)
    expect(await followTags(again, repository)).toEqual(new Map([['latest', old.manifest.digest]]))
    await again.stop()
    running = undefined

    // Back to the latest: the blobs are all there, and what the tag showed in between is told.
    expect(await source.restore(source, folder, '--replace')).toMatchObject({
      ...{ point: third.point, copiedBlobs: 0, presentBlobs: 4 },
      newerImages: [{ tag: 'latest', digest: old.manifest.digest }],
    })
    expect(await followTags(await startAt(source), repository)).toEqual(new Map([['latest', digest]]))
  })
})

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backUp } from '../../src/backup/index.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { createRepository, pushImage } from '../integrity/installation.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

let dir: TempDir
let fixture: RegistryFixture

beforeEach(() => {
  dir = createTempDir('hold')
})

afterEach(async () => {
  await fixture.stop()
  dir.remove()
})

const noStop = new AbortController().signal

describe.each(databases)('beside a collector on %s, a backup', (kind) => {
  it('holds before it looks, and gets every blob that it saw, though its row is going', async () => {
    fixture = await startRegistry(kind)
    const { blobStore, target, dataDir } = fixture
    await createRepository(fixture, 'team/app')
    for (let n = 0; n < 6; n += 1) await pushImage(fixture, 'team/app', `v${n}`, `held ${n}`, Buffer.alloc(100_000, n))
    const keys: string[] = []
    for await (const { key } of blobStore.list()) keys.push(key)

    const holdsAt = new Map<number, number>()
    let now = Date.UTC(2026, 0, 1)
    const clock = {
      now: () => {
        now += 1
        holdsAt.set(now, readdirSync(join(dataDir, 'holds')).length)
        return now
      },
    }
    const collected: Promise<unknown>[] = []
    const collect = async (): Promise<void> => {
      for (const key of keys) {
        await fixture.tamper(`update blob_location set state = 'deleting' where key = ?`, key)
        collected.push(Promise.resolve((await blobStore.delete([key], now)).get(key)))
      }
    }
    let collecting: Promise<void> | undefined

    const { point, copied } = await backUp(
      { target, dataDir, blobStore, clock, ids: systemIds, version: 'test', trail: () => Promise.resolve(undefined) },
      // Slow enough that the collector comes by while most is still to be copied.
      { folder: join(dir.path, 'backups'), signal: noStop, bytesPerSecond: 150_000, onProgress: () => void (collecting ??= collect()) },
    )
    await collecting

    expect(holdsAt.get(Date.parse(point.takenAt))).toBe(1)
    expect(copied.copiedBlobs).toBe(keys.length)
    expect(point.missing).toEqual([])
    expect(await Promise.all(collected)).toContain('held')
    expect(readdirSync(join(dataDir, 'holds'))).toEqual([])
    expect(await blobStore.delete(keys, now)).toEqual(new Map(keys.map((key) => [key, 'deleted'])))
    // What was going before the backup looked is not named by it.
    const next = await backUp(
      { target, dataDir, blobStore, clock, ids: systemIds, version: 'test', trail: () => Promise.resolve(undefined) },
      { folder: join(dir.path, 'backups'), signal: noStop },
    )
    expect(next.point.blobs.rows).toBe(0)
    expect(next.point.missing).toEqual([])
  })

  it('does not complete a point when it stood still for longer than its hold lasts', async () => {
    fixture = await startRegistry(kind)
    const { blobStore, target, dataDir } = fixture
    await createRepository(fixture, 'team/app')
    await pushImage(fixture, 'team/app', 'v1', 'late')
    let now = Date.UTC(2026, 0, 1)
    const folder = join(dir.path, 'backups')

    const late = backUp(
      { target, dataDir, blobStore, clock: { now: () => now }, ids: systemIds, version: 'test', trail: () => Promise.resolve(undefined) },
      { folder, signal: noStop, onProgress: () => (now += 60 * 60 * 1000) },
    )

    await expect(late).rejects.toMatchObject({ code: 'backup-hold-lost' })
    expect(readdirSync(join(folder, 'points')).flatMap((id) => readdirSync(join(folder, 'points', id)))).not.toContain('point.json')
    expect(readdirSync(join(dataDir, 'holds'))).toEqual([])
  })
})

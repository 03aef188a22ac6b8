import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { databases } from '../support/registry.ts'
import { baseEnv } from '../support/run.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { projectDir, programScript } from '../support/tools.ts'
import type { Image } from '../support/images.ts'
import { createRepository, expectWhole, filesBelow, Place, push } from './place.ts'

const repository = 'backup/app'
const kills = 5
let dir: TempDir
let folder: string
let places: Place[]

beforeEach(() => {
  dir = createTempDir('backup')
  folder = join(dir.path, 'backups')
  places = []
})

afterEach(async () => {
  dir.remove()
  for (const place of places) await place.remove()
})

async function filledPlace(kind: (typeof databases)[number]): Promise<{ source: Place; images: Image[] }> {
  const source = await Place.create(kind)
  places.push(source)
  const stowage = await source.start()
  await createRepository(stowage, repository)
  const images: Image[] = []
  for (let n = 0; n < 8; n += 1) images.push(await push(stowage, repository, `v${n}`, `cut ${n}`, 500_000))
  await stowage.stop()
  return { source, images }
}

/** Starts the command, and kills it once `isFarEnough`; false when it ended before. */
async function killOnce(place: Place, words: readonly string[], isFarEnough: () => boolean): Promise<boolean> {
  const child = spawn(process.execPath, [programScript(), ...words], { cwd: projectDir, env: { ...baseEnv(), ...place.env }, stdio: 'ignore' })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  let hasEnded = false
  void exited.then(() => (hasEnded = true))
  while (!hasEnded && !isFarEnough()) await sleep(2)
  child.kill('SIGKILL')
  await exited
  return child.signalCode === 'SIGKILL'
}

describe.each(databases)('on %s', (kind) => {
  it('a backup killed anywhere leaves no point, and the next one goes on', async () => {
    const { source } = await filledPlace(kind)
    const first = await source.backup(folder)
    const stowage = await source.start()
    const images: Image[] = []
    for (let n = 0; n < 8; n += 1) images.push(await push(stowage, repository, `w${n}`, `second ${n}`, 500_000))
    const copies = (): number => filesBelow(join(folder, 'blobs')).length
    const before = copies()

    let killed = 0
    for (let round = 0; round < kills; round += 1) {
      // At a rate that makes it last: while metadata are written, then after some copies.
      const enough = (): boolean => (round === 0 ? readdirSync(join(folder, 'points')).length > 1 : copies() > before + 2 * round)
      if (await killOnce(source, ['backup', folder, '--rate', '2MB/s'], enough)) killed += 1
      const listed = await source.stowage('backup', folder, '--list', '--json')
      expect((JSON.parse(listed.stdout) as { id: string }[]).map(({ id }) => id)).toEqual([first.point])
    }
    expect(killed).toBe(kills)
    // Whoever held the blobs is dead, and its hold ends by itself: the server is not asked.
    expect(filesBelow(join(source.dataDir, 'holds')).length).toBeGreaterThan(0)

    const last = await source.backup(folder, '--keep', '1')
    expect(last.copiedBlobs).toBeLessThan(16)
    expect(last.removed.points).toEqual([first.point])
    expect(readdirSync(join(folder, 'points'))).toEqual([last.point])
    expect(filesBelow(join(folder, 'incoming'))).toEqual([])
    await stowage.stop()

    const target = await Place.create(kind)
    places.push(target)
    expect(await target.restore(source, folder)).toMatchObject({ findingCount: 0, missing: [] })
    const again = await target.start()
    for (const image of images) await expectWhole(again, repository, image)
    await again.stop()
  })

  it('a restore killed anywhere is not served, and goes on when it is run again', async () => {
    const { source, images } = await filledPlace(kind)
    await source.backup(folder)
    const target = await Place.create(kind)
    places.push(target)
    target.takeKeyring(source)
    const files = (): number => filesBelow(join(target.dataDir, 'blobs')).length
    const mark = join(target.dataDir, 'restoring.json')
    const steps = [() => existsSync(mark), () => files() > 3, () => files() > 8, () => files() === 16]

    for (const isFarEnough of steps) {
      expect(await killOnce(target, ['restore', folder, '--rate', '2MB/s'], isFarEnough)).toBe(true)
      expect(await target.stowage('serve', '--quiet')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('Run it again: stowage restore') })
      expect((await target.stowage('migrate')).exitCode).toBe(2)
    }
    expect(await target.restore(source, folder)).toMatchObject({ blobs: 16, presentBlobs: 16, findingCount: 0 })

    expect(existsSync(mark)).toBe(false)
    const again = await target.start()
    for (const image of images) await expectWhole(again, repository, image)
    await again.stop()
  })
})

import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { systemIds } from '../internal/ids.ts'
import { claimArchiveFolder } from './folder-owner.ts'

it('gives the folders of several servers of one installation that start at once one id, and leaves nothing else', async () => {
  const home = await mkdtemp(join(tmpdir(), 'stowage-owner-'))
  onTestFinished(() => rm(home, { recursive: true }))
  const [data, archive] = [join(home, 'data'), join(home, 'archive')]
  for (const folder of [data, archive]) await mkdir(folder)

  await Promise.all(Array.from({ length: 20 }, () => claimArchiveFolder(data, archive, systemIds)))

  for (const folder of [data, archive]) expect(await readdir(folder)).toEqual(['installation'])
  expect(await readFile(join(archive, 'installation'), 'utf8')).toBe(await readFile(join(data, 'installation'), 'utf8'))
})

it('writes nothing where the archive is in the data folder', async () => {
  const home = await mkdtemp(join(tmpdir(), 'stowage-owner-'))
  onTestFinished(() => rm(home, { recursive: true }))
  await claimArchiveFolder(home, join(home, 'archive'), systemIds)
  expect(await readdir(home)).toEqual([])
})

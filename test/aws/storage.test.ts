import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildRandomImage, pushImage } from '../support/images.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

let dir: TempDir
let stowage: Stowage
let path: string

beforeAll(async () => {
  dir = createTempDir('storage')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'))
  stowage = await startStowage()
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  for (const repositoryName of ['team/large', 'team/small']) {
    await ecr.send(new CreateRepositoryCommand({ repositoryName }))
  }
  ecr.destroy()
  await pushImage({ url: stowage.url, repository: 'team/small', auth: stowage.credentials }, buildRandomImage([50_000], 'small'), 'v1')
  await pushImage({ url: stowage.url, repository: 'team/large', auth: stowage.credentials }, buildRandomImage([300_000], 'large'), 'v1')
})
afterAll(async () => {
  await stowage?.stop()
  dir?.remove()
})

const storage = (...words: string[]): Promise<RunResult> => run('stowage', ['storage', ...words], { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path }, mayFail: true })

it('shows the largest repository first, and what would be given back', async () => {
  const all = await storage()
  expect(all.exitCode, all.output).toBe(0)
  expect(all.stdout.indexOf('team/large')).toBeLessThan(all.stdout.indexOf('team/small'))
  expect(all.stdout).toContain('All images together')

  const { repositories, logicalSizeInBytes } = JSON.parse((await storage('--json')).stdout) as { repositories: { repositoryName: string; logicalSizeInBytes: number }[]; logicalSizeInBytes: number }
  expect(repositories.map(({ repositoryName }) => repositoryName)).toEqual(['team/large', 'team/small'])
  expect(repositories.reduce((sum, each) => sum + each.logicalSizeInBytes, 0)).toBe(logicalSizeInBytes)

  expect((await storage('team/large')).stdout).toMatch(/given back when the repository goes +300\.\d kB/)
  expect((await storage('team/large:v1')).stdout).toMatch(/given back when it goes +300\.\d kB/)
  expect(JSON.parse((await storage('team/large:v1', '--json')).stdout)).toMatchObject({ repositoryName: 'team/large', manifestCount: 1, blobCount: 2, sharedSizeInBytes: 0 })
})

it('adds up what the account has, with each layer once', async () => {
  expect((await storage('--account')).stdout).toMatch(/^images, each with all its layers +2 +35\d\.\d kB\nlayers and configs, each once +4 +35\d\.\d kB\n +that several repositories have +0 B\n/mu)
  expect(JSON.parse((await storage('--account', '--json')).stdout)).toMatchObject({ repositoryCount: 2, imageCount: 2, blobCount: 4, sharedSizeInBytes: 0 })
})

it('says what is not there, and how a subject is written', async () => {
  expect((await storage('team/absent')).output).toContain("The repository with name 'team/absent' does not exist")
  expect((await storage('team/large:absent')).output).toContain("does not exist within the repository")
  expect((await storage('a:b:c')).output).toContain('write <repository>')
})

it('tells how full the disk is, and when it will be', async () => {
  expect((await storage('--disks')).stdout).toMatch(/^disk of +used +free +more each day +full\nblobs .* unknown yet +unknown yet\n$/)
  const hourMs = 60 * 60 * 1000
  const now = Date.now()
  const samples = Array.from({ length: 100 }, (_, n) => ({ at: now - (100 - n) * hourMs, usedBytes: 1_000_000 * n, freeBytes: 240_000_000 }))
  const database = new DatabaseSync(join(stowage.dataDir, 'stowage.db'), { timeout: 10_000 })
  database.prepare(`update setting set value = ? where name = 'disk-samples-blobs'`).run(JSON.stringify(samples))
  database.close()

  const [disk] = JSON.parse((await storage('--disks', '--json')).stdout) as { disk: string; growthInBytesPerDay: number; fullAt: string }[]

  expect(disk).toMatchObject({ disk: 'blobs', growthInBytesPerDay: 24_000_000 })
  expect(Math.abs(Date.parse(disk?.fullAt ?? '') - (now + 239 * hourMs))).toBeLessThan(2000)
  const metrics = await (await fetch(`${stowage.url}/metrics`)).text()
  expect(metrics).toMatch(/^stowage_disk_free_bytes\{disk="blobs"\} [1-9]\d+$/m)
})

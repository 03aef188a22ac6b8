import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
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
  dir = createTempDir('retention-command')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'))
  stowage = await startStowage()
})

afterAll(async () => {
  await stowage?.stop()
  dir?.remove()
})

function retention(...words: string[]): Promise<RunResult> {
  return run('stowage', ['retention', ...words], { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path }, mayFail: true })
}

async function json<Answer>(...words: string[]): Promise<Answer> {
  const result = await retention(...words, '--json')
  expect(result.exitCode, result.output).toBe(0)
  return JSON.parse(result.stdout) as Answer
}

function file(name: string, content: unknown): string {
  const at = join(dir.path, name)
  writeFileSync(at, typeof content === 'string' ? content : JSON.stringify(content))
  return at
}

const keepTen = { rules: [{ name: 'some', action: 'keep', newest: 10 }] }
const deleteOld = { rules: [{ name: 'old', action: 'delete', olderThan: '30d' }] }

it('sets the policies of places, lists them, and shows what they were', async () => {
  expect(await json('put', '--prefix', 'team/', file('keep.json', keepTen))).toMatchObject({ scope: 'PREFIX', prefix: 'team', version: 1, policy: keepTen })
  expect((await retention('put', '--whole-registry', file('old.json', deleteOld))).stdout).toBe('The policy of the whole registry is version 1.\n')
  expect(await json('put', '--prefix', 'team', file('old.json', deleteOld))).toMatchObject({ version: 2 })

  expect(await json('list')).toMatchObject([{ prefix: 'team', version: 2, policy: deleteOld }, { scope: 'REGISTRY', version: 1 }])
  expect((await retention('list')).stdout).toMatch(/^policy of +version +changed +by\nteam\/\* +2 .*\nthe whole registry +1 .*\n$/u)
  expect(await json('get', '--prefix', 'team')).toMatchObject({ policy: deleteOld, updatedBy: expect.stringContaining(':root') as string })
  expect(JSON.parse((await retention('get', '--prefix', 'team')).stdout)).toEqual(deleteOld)

  expect((await retention('delete', '--prefix', 'team')).exitCode).toBe(0)
  expect(await json('versions', '--prefix', 'team')).toMatchObject([
    { version: 3, policy: null },
    { version: 2, policy: deleteOld },
    { version: 1, policy: keepTen },
  ])
  expect((await retention('versions', '--prefix', 'team')).stdout).toContain('(taken away)')
})

it('reads a policy from standard input, as it is', async () => {
  const put = (input: string) => run('stowage', ['retention', 'put', '--prefix', 'piped', '-'], { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path }, mayFail: true, input })

  expect((await put(`\n${JSON.stringify(keepTen)}\n`)).stdout).toBe('The policy of piped/* is version 1.\n')
  expect(await json('get', '--prefix', 'piped')).toMatchObject({ policy: keepTen })
  expect(await put(`\uFEFF${JSON.stringify(deleteOld)}`)).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('is not JSON') })
  expect((await retention('delete', '--prefix', 'piped')).exitCode).toBe(0)
})

it('says what is wrong', async () => {
  const wrong = file('wrong.json', { rules: [{ name: 'all', action: 'delete' }] })
  const refused = await retention('put', '--whole-registry', wrong)
  expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining('Rule 1 ("all") says neither "olderThan" nor "exceptNewest"')])
  const absent = await retention('get', '--repository', 'nobody/nothing')
  expect([absent.exitCode, absent.stderr]).toEqual([1, expect.stringContaining("The repository with name 'nobody/nothing' does not exist")])
  const nowhere = await retention('put', wrong)
  expect([nowhere.exitCode, nowhere.stderr]).toEqual([2, expect.stringContaining('--whole-registry')])
  expect((await retention('get', '--whole-registry', '--prefix', 'team')).exitCode).toBe(2)
})

it('shows what a policy would change in each repository, and between two policies', async () => {
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  for (const repository of ['preview/web', 'preview/api', 'other/web']) {
    await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
    for (const tag of ['dev-1', 'dev-2', 'v1']) {
      await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, buildRandomImage([100], `${repository} ${tag}`), tag)
    }
  }
  ecr.destroy()
  const newest = file('newest.json', { rules: [{ name: 'newest', action: 'delete', exceptNewest: 1 }] })
  const kept = file('kept.json', { rules: [{ name: 'newest', action: 'delete', exceptNewest: 1 }, { name: 'dev', action: 'keep', tags: ['dev-1'] }] })
  const preview = (...words: string[]) => run('stowage', ['lifecycle', 'preview', ...words], { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path }, mayFail: true })

  const shown = await preview(newest, '--prefix', 'preview')
  expect(shown.exitCode, shown.output).toBe(0)
  expect(shown.stdout).toMatch(/^repository +images +go now +would go +more +fewer +size of more +gives back now +would give back\npreview\/api +3 +0 +2 +2 +0 .*\npreview\/web +3 +0 +2 +2 +0 /u)
  expect(shown.stdout).toMatch(/- goes +preview\/web@sha256:[0-9a-f]{12} +dev-1 +\d{4}-\d\d-\d\d +newest of the policy that is tried\n/u)

  const compared = await preview(kept, '--against', newest, '--repository', 'preview/web', '--json')
  expect(JSON.parse(compared.stdout)).toMatchObject([{ repositoryName: 'preview/web', after: { imageCount: 1 }, spared: { imageCount: 1 }, changes: [{ imageTags: ['dev-1'], change: 'SPARED' }] }])
  expect((await preview(newest)).exitCode).toBe(2)

  const cold = file('cold.json', { rules: [{ name: 'cold', action: 'archive', exceptNewest: 1 }] })
  const protect = await run('stowage', ['protect', 'add', 'preview/web', '--tag', 'dev-1', '--reason', 'a customer has it'], { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path } })
  expect(protect.exitCode).toBe(0)
  const archived = await preview(cold, '--repository', 'preview/web')
  expect(archived.stdout).toMatch(/archived now +would be archived\npreview\/web .* 0 +2\n/u)
  expect(archived.stdout).toMatch(/- is archived +preview\/web@sha256:[0-9a-f]{12} +dev-2 +\d{4}-\d\d-\d\d +cold of the policy that is tried\n/u)
  expect(archived.stdout).toMatch(/! held +preview\/web@sha256:[0-9a-f]{12} +dev-1 .*; .*a customer has it/u)
  expect(archived.stdout).toContain('What is protected or in use stays as long as it is')
  expect((await preview(cold, '--against', newest, '--repository', 'preview/web')).stdout).toMatch(/\+ stays +preview\/web@.* dev-1 /u)
})

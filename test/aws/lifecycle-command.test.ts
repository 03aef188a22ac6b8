import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CreateRepositoryCommand, ECRClient, PutLifecyclePolicyCommand } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildImage, pushImage } from '../support/images.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

let dir: TempDir
let stowage: Stowage
let ecr: ECRClient
let path: string

beforeAll(async () => {
  dir = createTempDir('lifecycle-command')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'))
  stowage = await startStowage()
  ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
})

afterAll(async () => {
  ecr?.destroy()
  await stowage?.stop()
  dir?.remove()
})

function command(words: readonly string[], input?: string): Promise<RunResult> {
  return run('stowage', words, { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path }, mayFail: true, ...(input !== undefined && { input }) })
}

async function said(...words: string[]): Promise<string> {
  const result = await command(words)
  expect(result.exitCode, result.output).toBe(0)
  return result.stdout
}

const lifecycle = (...words: string[]): Promise<RunResult> => command(['lifecycle', ...words])

function file(name: string, content: unknown): string {
  const at = join(dir.path, name)
  writeFileSync(at, typeof content === 'string' ? content : JSON.stringify(content))
  return at
}

async function newRepository(repositoryName: string, ...tags: string[]): Promise<void> {
  await ecr.send(new CreateRepositoryCommand({ repositoryName }))
  for (const tag of tags) await pushImage({ url: stowage.url, repository: repositoryName, auth: stowage.credentials }, buildImage({ seed: `${repositoryName} ${tag}` }), tag)
}

const newestOnly = { rules: [{ name: 'newest', action: 'delete', exceptNewest: 1 }] }
const wrong = { rules: [{ name: 'all', action: 'delete' }] }

describe('stowage lifecycle preview', () => {
  it.each([
    ['a policy', () => [file('wrong.json', wrong)], 'wrong.json: Rule 1 ("all") says neither "olderThan" nor "exceptNewest"'],
    ['one that it is compared with', () => [file('right.json', newestOnly), '--against', file('wrong.json', wrong)], 'wrong.json: Rule 1 ("all") says neither'],
    ['a policy behind a byte order mark', () => [file('mark.json', `\uFEFF${JSON.stringify(newestOnly)}`)], 'begins with a byte order mark'],
  ])('refuses %s that could not be put, where there is no repository for it too', async (_name, words, says) => {
    const { exitCode, stdout, stderr } = await lifecycle('preview', ...words(), '--prefix', 'not-yet')

    expect([exitCode, stdout, stderr]).toEqual([1, '', expect.stringContaining(says)])
    const put = await command(['retention', 'put', '--prefix', 'not-yet', words().at(-1)!])
    expect(put.exitCode).toBe(1)
  })

  it.each(['', 'Bad!', 'ROOT', '/', 'team//app'])("refuses the prefix '%s', as retention put does", async (prefix) => {
    const policy = file('right.json', newestOnly)
    const shown = await lifecycle('preview', policy, '--prefix', prefix)

    expect([shown.exitCode, shown.stdout, shown.stderr]).toEqual([1, '', expect.stringContaining('is no prefix of names')])
    expect((await command(['retention', 'put', policy, '--prefix', prefix])).exitCode).toBe(1)
  })

  it('says where no repository is under a prefix', async () => {
    const policy = file('right.json', newestOnly)

    expect(await lifecycle('preview', policy, '--prefix', 'not-yet/')).toMatchObject({ exitCode: 0, stdout: '', stderr: 'note: no repository is under the prefix not-yet/, so that nothing would change now.\n' })
    expect(await lifecycle('preview', policy, '--prefix', 'not-yet', '--json')).toMatchObject({ exitCode: 0, stdout: '[]\n' })
  })

  it('reads standard input, once', async () => {
    await newRepository('piped/app', 'v1', 'v2')
    const words = ['lifecycle', 'preview', '-', '--repository', 'piped/app']

    const shown = await command(words, JSON.stringify(newestOnly))
    expect(shown.exitCode, shown.output).toBe(0)
    expect(shown.stdout).toMatch(/^piped\/app +2 +0 +1 +1 +0 /mu)
    expect(await command([...words, '--against', '-'], JSON.stringify(newestOnly))).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('only one of the two policies') })
  })

  it('says which file cannot be read', async () => {
    const absent = join(dir.path, 'absent.json')
    const expected = { exitCode: 2, stderr: `stowage: ${absent} cannot be read: there is no such file\n` }

    expect(await lifecycle('preview', absent, '--whole-registry')).toMatchObject(expected)
    expect(await command(['retention', 'put', absent, '--whole-registry'])).toMatchObject(expected)
    expect(await command(['usage', 'report', 'cluster', '--from', absent])).toMatchObject(expected)
  })
})

describe('stowage lifecycle run and history', () => {
  const history = (name: string): Promise<string> => said('lifecycle', 'history', name)

  it('promise no run where there is nothing to do', async () => {
    await newRepository('idle/app', 'v1')

    expect(await said('lifecycle', 'run', 'idle/app')).toContain('If they have anything to delete or archive, a run shows it: stowage lifecycle history idle/app\n')
    expect(await history('idle/app')).toBe('No run is recorded yet: one is when the policies of idle/app have something to delete or archive.\n')
  })

  it('tell what was archived from what was deleted, and what stayed', async () => {
    await newRepository('busy/app', 'v1', 'v2')
    await newRepository('busy/both', 'dev-1', 'dev-2', 'v1', 'v2')
    const archive = { name: 'releases', action: 'archive', tags: ['v*'], exceptNewest: 1 }
    const remove = { name: 'builds', action: 'delete', tags: ['dev-*'], exceptNewest: 1 }
    const carriedOut = async (name: string, rules: readonly object[], expected: RegExp): Promise<void> => {
      await said('retention', 'put', '--repository', name, file('rules.json', { rules }))
      await said('lifecycle', 'run', name)
      await expect.poll(() => history(name), { timeout: 10_000 }).toMatch(expected)
    }

    await said('protect', 'add', 'busy/app', '--tag', 'v1', '--reason', 'is asked for')
    await carriedOut('busy/app', [archive], /^run +began +state +images +trash batch *\n\S+ +\S+ +done +0 of 1 +1 stayed as they were: see --json\n$/u)
    await said('protect', 'remove', 'busy/app', '--tag', 'v1')
    await carriedOut('busy/app', [archive], /^\S+ +\S+ +done +1 of 1 archived\n/mu)
    await carriedOut('busy/both', [archive, remove], /^\S+ +\S+ +done +1 deleted, 1 archived of 2 +[0-9a-f-]{36}\n/mu)
  })
})

it("explains by the names of rules, of which ECR's are numbers", async () => {
  await newRepository('named/app', 'v1')
  const lifecyclePolicyText = JSON.stringify({ rules: [{ rulePriority: 7, selection: { tagStatus: 'any', countType: 'imageCountMoreThan', countNumber: 100 }, action: { type: 'expire' } }] })
  await ecr.send(new PutLifecyclePolicyCommand({ repositoryName: 'named/app', lifecyclePolicyText }))
  await said('retention', 'put', '--repository', 'named/app', file('newest.json', newestOnly))

  const text = await said('lifecycle', 'explain', 'named/app:v1')
  expect(text).toMatch(/^ {2}rule 7 of /mu)
  expect(text).toMatch(/^ {2}rule newest of /mu)
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { baseEnv, run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

let dir: TempDir
let stowage: Stowage
let env: Readonly<Record<string, string>>

beforeAll(async () => {
  dir = createTempDir('top-command')
  mkdirSync(join(dir.path, 'bin'))
  stowage = await startStowage({ env: { STOWAGE_METRICS_TOKEN: 'a-token-that-top-does-not-need' } })
  env = { ...stowage.awsEnv, PATH: installPrograms(join(dir.path, 'bin')), HOME: dir.path }
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  await ecr.send(new CreateRepositoryCommand({ repositoryName: 'top/app' }))
  ecr.destroy()
  await pushImage({ url: stowage.url, repository: 'top/app', auth: stowage.credentials }, buildImage(), 'v1')
})
afterAll(async () => {
  await stowage?.stop()
  dir?.remove()
})

/** Runs it while somebody pulls. */
async function topBesidePulls(...words: string[]): Promise<RunResult> {
  const client = createDistributionClient(stowage.url, stowage.credentials)
  const result = run('stowage', ['top', ...words], { env, mayFail: true })
  let isOver = false
  const pulling = (async () => {
    while (!isOver) expect((await client.request('GET', '/v2/top/app/manifests/v1')).status).toBe(200)
  })()
  await result.finally(() => {
    isOver = true
  })
  await pulling
  client.close()
  return result
}

it('shows what a server does', async () => {
  const { exitCode, stdout, output } = await topBesidePulls('--once', '--interval', '1')
  expect(exitCode, output).toBe(0)
  expect(stdout).toMatch(/^server +Stowage \d+\.\d+\.\d+ on sqlite, since \d{4}-/mu)
  expect(stdout).toMatch(/^images +[1-9]\d*\.\d\/s pulled, 0\.0\/s pushed/mu)
  expect(stdout).toMatch(/^collection +0 reviews due/mu)
  expect(stdout).toMatch(/^disk +blobs: .+ used, .+ free/mu)
  expect(stdout).toMatch(/^oci +getManifest +[1-9]\d*\.\d +0\.0 +[\d.]+ ms +[\d.]+ (?:m?s)$/mu)
})

it('tells the same as JSON', async () => {
  const { exitCode, stdout, output } = await topBesidePulls('--once', '--interval', '1', '--json')
  expect(exitCode, output).toBe(0)
  const activity = JSON.parse(stdout) as { images: Record<string, number>; operations: { operation: string; perSecond: number }[] }
  expect(activity).toMatchObject({ database: 'sqlite', collection: { paused: false }, disks: [{ disk: 'blobs' }], images: { images: 1, repositories: 1 } })
  expect(activity.images['pullsPerSecond']).toBeGreaterThan(1)
  expect(activity.operations[0]?.operation).toBe('getManifest')
})

it('goes on until a signal ends it', async () => {
  const child = spawn('stowage', ['top', '--interval', '1', '--json'], { env: { ...baseEnv(), ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  const lines: string[] = []
  let rest = ''
  const enough = Promise.withResolvers<undefined>()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
    if (lines.length >= 2) enough.resolve(undefined)
  })
  await enough.promise
  child.kill('SIGINT')
  const [exitCode] = (await once(child, 'close')) as [number | null]
  expect(exitCode).toBe(130)
  for (const line of lines) expect(JSON.parse(line)).toMatchObject({ database: 'sqlite' })
})

it('refuses an interval that is none', async () => {
  const { exitCode, stderr } = await run('stowage', ['top', '--interval', '0'], { env, mayFail: true })
  expect(exitCode).not.toBe(0)
  expect(stderr).toContain('from 1 to 60')
})

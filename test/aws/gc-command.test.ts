import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { BatchDeleteImageCommand, CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { buildImage, pushImage } from '../support/images.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

let dir: TempDir
let stowage: Stowage
let path: string

beforeAll(async () => {
  dir = createTempDir('gc-command')
  mkdirSync(join(dir.path, 'bin'))
  mkdirSync(join(dir.path, 'data'))
  path = installPrograms(join(dir.path, 'bin'))
  stowage = await startStowage({ dataDir: join(dir.path, 'data') })
})
afterAll(async () => {
  await stowage?.stop()
  dir?.remove()
})

function gc(...words: string[]): Promise<RunResult> {
  return run('stowage', ['gc', ...words], { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path }, mayFail: true })
}

async function json(...words: string[]): Promise<Record<string, unknown>> {
  const result = await gc(...words, '--json')
  expect(result.exitCode, result.output).toBe(0)
  return JSON.parse(result.stdout) as Record<string, unknown>
}

function blobFiles(): string[] {
  return readdirSync(join(dir.path, 'data/blobs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
}

async function metric(name: string): Promise<string[]> {
  const text = await (await fetch(`${stowage.url}/metrics`)).text()
  return text.split('\n').filter((line) => line.startsWith(name))
}

it('shows the queue, and does what is due', async () => {
  const status = await gc('status')
  expect(status.stdout).toContain('Collection is done with what was due.')
  expect(status.stdout).toMatch(/^blobs +0 +0 +0 +0$/mu)
  expect(await json('run')).toMatchObject({ status: 'IDLE', failures: 0, holds: [], reclaimed: { sinceStart: { manifests: 0, blobs: 0, bytes: 0 } } })
  expect(await metric('stowage_gc_paused ')).toEqual(['stowage_gc_paused 0'])
  expect(await metric('stowage_gc_queue{kind="blob"')).toEqual(['stowage_gc_queue{kind="blob",state="waiting"} 0', 'stowage_gc_queue{kind="blob",state="due"} 0'])
})

it('is paused and resumed, also by a server that was started anew', async () => {
  const paused = await gc('pause', '--reason', 'the disk is moved', '--until', '2999-01-01')
  expect(paused.stdout).toBe('Collection is paused, until 2999-01-01T00:00:00.000Z. What waits is done then.\n')
  expect((await gc('run')).exitCode).toBe(1)
  expect((await gc('run')).stderr).toContain('the disk is moved')
  await stowage.stop()
  stowage = await startStowage({ dataDir: join(dir.path, 'data'), keys: stowage.keys })

  const status = await gc('status')
  expect(status.stdout).toContain('Collection is paused: nothing is collected.')
  expect(status.stdout).toContain('arn:aws:iam::000000000000:root paused collection')
  expect(await metric('stowage_gc_paused ')).toEqual(['stowage_gc_paused 1'])

  expect((await gc('resume')).stdout).toContain('had paused it: the disk is moved')
  expect((await gc('resume')).stdout).toBe('Collection was not paused.\n')
  expect(await json('status')).toMatchObject({ status: 'IDLE' })
})

it('goes as fast as it is told to, until it may find that itself again', async () => {
  expect((await gc('rate', '50')).stdout).toBe('Each server does 50 reviews a second from now on, whether or not it serves clients.\n')
  expect(await json('status')).toMatchObject({ rate: { reviewsPerSecond: 50, setBy: 'arn:aws:iam::000000000000:root' } })
  expect((await gc('status')).stdout).toContain('Each server does 50 reviews a second: arn:aws:iam::000000000000:root has set that at ')
  expect((await gc('rate', '0')).exitCode).toBe(2)
  expect((await gc('rate', 'fast')).exitCode).toBe(2)

  expect((await gc('rate', 'auto')).stdout).toBe('Each server collects as fast as its clients do not notice.\n')
  expect(await json('status')).not.toHaveProperty('rate')
})

it('refuses a pause that would be over already', async () => {
  expect((await gc('pause', '--reason', 'late', '--until', '2020-01-01')).stderr).toContain('endsAt')
  expect((await gc('pause', '--reason', 'late', '--until', 'tomorrow')).exitCode).toBe(2)
})

it('compares store and database when asked to, and tells of a file that is gone', async () => {
  expect((await gc('reconcile', '--last')).stdout).toContain('have not been compared yet')
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  await ecr.send(new CreateRepositoryCommand({ repositoryName: 'gc/app' }))
  ecr.destroy()
  const target = { url: stowage.url, repository: 'gc/app', auth: stowage.credentials }
  const [gone, kept] = [buildImage({ seed: 'gone' }), buildImage({ seed: 'kept' })]
  await pushImage(target, gone, 'v1')
  await pushImage(target, kept, 'v2')
  expect(await json('reconcile')).toMatchObject({ repair: false, findings: [], counts: { files: 4, knownFiles: 4, locations: 4, forgotten: 0 } })
  const layer = gone.blobs.at(-1)!
  const file = blobFiles().find((each) => each.includes(layer.digest.slice('sha256:'.length)))!
  rmSync(file)

  const report = await gc('reconcile')
  expect(report.exitCode).toBe(8)
  expect(report.stdout).toContain('files that are not there: 1;')
  expect(report.stdout).toContain('gc reconcile --repair')
  const mended = await gc('reconcile', '--repair', '--json')
  expect(JSON.parse(mended.stdout)).toMatchObject({ repair: true, findings: [{ kind: 'file-missing', digest: layer.digest, repaired: 'set-aside' }] })
  expect(await metric('stowage_reconcile_findings{kind="file-missing"')).toEqual(['stowage_reconcile_findings{kind="file-missing"} 1'])

  expect((await gc('reconcile')).exitCode).toBe(0)
  expect((await gc('reconcile', '--last')).stdout).toContain('files that are not there: 0;')
  await pushImage(target, gone, 'v1')
  expect(blobFiles()).toHaveLength(4)
})

it('explains a blob, and simulates what would be given back', async () => {
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  await ecr.send(new CreateRepositoryCommand({ repositoryName: 'gc/explained' }))
  const image = buildImage({ seed: 'explained' })
  await pushImage({ url: stowage.url, repository: 'gc/explained', auth: stowage.credentials }, image, 'v1')
  const { digest } = image.blobs.at(-1)!

  const kept = await gc('explain', digest)
  expect(kept.exitCode, kept.output).toBe(0)
  expect(kept.stdout).toContain('is kept.')
  expect(kept.stdout).toContain(`gc/explained@${image.manifest.digest} of account 000000000000 names it`)
  expect(await json('explain', digest)).toMatchObject([{ verdict: 'KEPT', createdAt: expect.stringMatching(/^\d{4}-/u), namedBy: [{ imageStatus: 'ACTIVE' }] }])
  expect((await gc('explain', `sha256:${'0'.repeat(64)}`)).exitCode).toBe(1)
  expect((await gc('explain', 'latest')).stderr).toContain('digest')

  await ecr.send(new BatchDeleteImageCommand({ repositoryName: 'gc/explained', imageIds: [{ imageTag: 'v1' }] }))
  ecr.destroy()
  const waiting = await gc('explain', digest)
  expect(waiting.stdout).toContain('is kept for now.')
  expect(waiting.stdout).toMatch(/^Its bytes go after \d{4}-/mu)
  const [now, later] = (await json('simulate', '--days', '8')) as unknown as Record<string, unknown>[]
  expect(now).toMatchObject({ images: 0, bytes: 0, isComplete: true })
  expect(later).toMatchObject({ images: 1, blobs: 2, heldBackImages: 0 })
  expect((await gc('simulate')).stdout.split('\n')).toHaveLength(4)
})

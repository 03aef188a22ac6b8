import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Finding } from '../../src/integrity/index.ts'
import { buildRandomImage, pushImage, type Image } from '../support/images.ts'
import { createDatabase } from '../support/postgres.ts'
import { databases } from '../support/registry.ts'
import { baseEnv, run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { projectDir, programScript } from '../support/tools.ts'
import { damages } from './installation.ts'

const repository = 'verify/app'
const layerSizes = Array.from({ length: 20 }, (_, n) => 100_000 + n)
/** The layers and the config. */
const blobCount = layerSizes.length + 1

interface Summary {
  readonly isComplete: boolean
  readonly findingCount: number
  readonly blobs: number
  readonly hashedBlobs: number
  readonly quarantined: number
  readonly isLeftToServer: boolean
}

describe.each(databases)('stowage verify on %s', (kind) => {
  let dir: TempDir
  let databaseUrl: string | undefined
  let stowage: Stowage
  let image: Image

  beforeEach(async () => {
    dir = createTempDir('verify')
    databaseUrl = kind === 'postgres' ? (await createDatabase()).url : undefined
    stowage = await start()
    const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
    await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
    ecr.destroy()
    image = buildRandomImage(layerSizes, `verify ${kind}`)
    await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, 'v1')
  })
  afterEach(async () => {
    await stowage.stop()
    dir.remove()
  })

  function start(): Promise<Stowage> {
    return startStowage({ dataDir: dir.path, ...(databaseUrl === undefined ? {} : { databaseUrl }) })
  }

  function environment(): Record<string, string> {
    return { ...baseEnv(), STOWAGE_DATA_DIR: dir.path, ...(databaseUrl === undefined ? {} : { STOWAGE_DATABASE_URL: databaseUrl }) }
  }

  function verify(...words: string[]): Promise<RunResult> {
    return run(process.execPath, [programScript(), 'verify', ...words], { cwd: projectDir, env: environment(), mayFail: true })
  }

  async function verifyJson(...words: string[]): Promise<{ exitCode: number; findings: Finding[]; summary: Summary }> {
    const { exitCode, stdout, stderr } = await verify('--json', ...words)
    expect(stderr).toBe('')
    const lines = stdout.trim().split('\n').map((line) => JSON.parse(line) as { type: string })
    expect(lines.map(({ type }) => type)).toEqual([...lines.slice(1).map(() => 'finding'), 'summary'])
    return { exitCode, findings: lines.slice(0, -1) as unknown as Finding[], summary: lines.at(-1) as unknown as Summary }
  }

  function fileOfLayer(): { file: string; digest: string } {
    const { digest } = image.blobs[3]!
    const hex = digest.slice('sha256:'.length)
    const shard = join(dir.path, 'blobs/default/sha256', hex.slice(0, 2))
    const name = readdirSync(shard).find((each) => each.startsWith(hex))
    return { file: join(shard, name ?? ''), digest }
  }

  it('beside a running server reports what is wrong, and changes something only where that is safe', async () => {
    expect(await verifyJson()).toMatchObject({ exitCode: 0, findings: [], summary: { isComplete: true, blobs: blobCount } })
    const { file, digest } = fileOfLayer()
    damages.flip(file)

    // Read a moment ago, and not again.
    expect(await verifyJson()).toMatchObject({ exitCode: 0, summary: { blobs: blobCount, hashedBlobs: 0 } })
    const beside = await verifyJson('--full')

    expect(beside).toMatchObject({
      exitCode: 8,
      findings: [{ kind: 'blob-corrupt', digest, usedBy: [`${repository}@${image.manifest.digest}`], quarantined: kind === 'postgres' }],
      summary: { findingCount: 1, hashedBlobs: blobCount, isLeftToServer: kind === 'sqlite' },
    })
    // Also to a run that need not read again what was read a moment ago.
    expect((await verify()).exitCode).toBe(8)
    const answer = await fetch(`${stowage.url}/readyz`)
    expect(answer.status).toBe(200)

    await stowage.stop()
    const alone = await verify('--full')

    expect(alone.exitCode).toBe(8)
    expect(alone.stdout).toContain(kind === 'postgres' ? `blob-quarantined  ${digest}` : `blob-corrupt  ${digest}`)
    if (kind === 'sqlite') expect(alone.stdout).toContain('1 blob quarantined')
    expect(existsSync(file)).toBe(true)

    stowage = await start()
    await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, 'v1')
    expect(await verifyJson('--full')).toMatchObject({ exitCode: 0, findings: [] })
  })

  it.each(['SIGKILL', 'SIGTERM'] as const)('goes on where it was after %s', async (signal) => {
    await stowage.stop()
    // Two megabytes in all: it is in the middle of them for some seconds.
    const child = spawn(process.execPath, [programScript(), 'verify', '--rate', '400KB/s'], {
      cwd: projectDir,
      env: environment(),
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const exited = once(child, 'exit')
    const hashedSoFar = (): number => {
      try {
        const kept = JSON.parse(readFileSync(join(dir.path, 'verify.json'), 'utf8')) as {
          state: { round: { progress: { counts: { hashedBlobs: number } } } }
        }
        return kept.state.round.progress.counts.hashedBlobs
      } catch {
        return 0
      }
    }
    await expect.poll(hashedSoFar, { timeout: 60_000, interval: 20 }).toBeGreaterThan(2)
    child.kill(signal)
    expect(await exited).toEqual(signal === 'SIGKILL' ? [null, 'SIGKILL'] : [143, null])
    const before = hashedSoFar()
    expect(before).toBeLessThan(blobCount)
    // What it has read already is not read again: damage to it goes unnoticed until the next time.
    damages.flip(fileOfFirstBlob())

    const { stdout, exitCode } = await verify()

    expect(stdout).toContain('Going on with the check that began')
    expect(stdout).toContain(`${blobCount} blobs, ${blobCount} of them read`)
    expect(exitCode).toBe(0)
    expect((await verify('--full')).exitCode).toBe(8)
  })

  function fileOfFirstBlob(): string {
    // Pushed first, so read first.
    const hex = image.blobs[0]!.digest.slice('sha256:'.length)
    const shard = join(dir.path, 'blobs/default/sha256', hex.slice(0, 2))
    return join(shard, readdirSync(shard).find((each) => each.startsWith(hex)) ?? '')
  }
})

describe('stowage verify', () => {
  let dir: TempDir

  beforeEach(() => {
    dir = createTempDir('verify')
  })
  afterEach(() => {
    dir.remove()
  })

  it.each([
    { words: ['--rate', 'fast'], text: 'Write a rate such as 50MB/s' },
    { words: ['--max-age', '-1'], text: 'Write a whole number of days' },
  ])('refuses $words', async ({ words, text }) => {
    const { exitCode, stderr } = await run(process.execPath, [programScript(), 'verify', ...words], { cwd: projectDir, mayFail: true })

    expect(exitCode).toBe(2)
    expect(stderr).toContain(text)
  })

  it('says so where there is no database, and makes none', async () => {
    const { exitCode, stderr } = await run(process.execPath, [programScript(), 'verify'], {
      cwd: projectDir,
      env: { STOWAGE_DATA_DIR: dir.path },
      mayFail: true,
    })

    expect(exitCode).toBe(1)
    expect(stderr).toContain('there is no database')
    expect(readdirSync(dir.path)).toEqual([])
  })
})

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'
import { jumpingClock, type FakeTime } from './fake-time.ts'

/*
 * A lifecycle policy whose time comes: server and clients live by one clock, which is moved on by a month while the server
 * runs. What a real month would do happens by the same code; what no real month does, a clock that is set, is noticed.
 */

const repository = 'my-app'

/** As people know it from Amazon ECR's user guide. */
const policy = {
  rules: [
    {
      rulePriority: 1,
      description: 'Expire untagged images older than 30 days',
      selection: { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 30 },
      action: { type: 'expire' },
    },
  ],
}

let dir: TempDir
let clock: FakeTime
let stowage: Stowage
let env: Readonly<Record<string, string>>

beforeAll(async () => {
  dir = createTempDir('month-later')
  mkdirSync(join(dir.path, 'bin'))
  mkdirSync(join(dir.path, 'data'))
  clock = jumpingClock(dir.path)
  const path = installPrograms(join(dir.path, 'bin'), dirname(ensureTool('aws')))
  stowage = await startStowage({ dataDir: join(dir.path, 'data'), env: { ...clock.env, STOWAGE_LIFECYCLE_INTERVAL_MS: '1000' } })
  env = { ...stowage.awsEnv, ...clock.env, PATH: `${path}:/usr/bin:/bin`, HOME: dir.path }
  writeFileSync(join(dir.path, 'lifecycle-policy.json'), JSON.stringify(policy, null, 2))
})
afterAll(async () => {
  await stowage?.stop()
  dir?.remove()
})

async function sh(program: 'aws' | 'stowage', words: string): Promise<string> {
  const result: RunResult = await run(program, words.split(' '), { env, cwd: dir.path, mayFail: true })
  expect(result.exitCode, result.output).toBe(0)
  return result.stdout
}

async function json<Answer>(program: 'aws' | 'stowage', words: string): Promise<Answer> {
  return JSON.parse(await sh(program, `${words}${program === 'aws' ? ' --output json' : ' --json'}`)) as Answer
}

async function eventually<Answer>(ask: () => Promise<Answer>, isThere: (answer: Answer) => boolean): Promise<Answer> {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await ask()
    if (isThere(answer)) return answer
    if (attempt === 40) throw new Error(`not within time: ${JSON.stringify(answer)}`)
    await sleep(500)
  }
}

interface Images {
  readonly imageDetails: readonly { readonly imageDigest: string; readonly imageTags?: readonly string[] }[]
}
const images = async (): Promise<string[]> =>
  (await json<Images>('aws', `ecr describe-images --repository-name ${repository}`)).imageDetails.map(({ imageDigest }) => imageDigest)

const login = async () => ({ username: 'AWS', password: (await sh('aws', 'ecr get-login-password')).trim() })

async function pingStatus(auth: { username: string; password: string }): Promise<number> {
  const client = createDistributionClient(stowage.url, auth)
  try {
    return (await client.request('GET', '/v2/')).status
  } finally {
    client.close()
  }
}

it('expires an image a month later, after somebody has looked at the clock, with credentials that still fit', async () => {
  await sh('aws', `ecr create-repository --repository-name ${repository}`)
  const token = await login()
  const old = buildImage({ seed: 'a month ago' })
  const current = buildImage({ seed: 'of today' })
  for (const image of [old, current]) await pushImage({ url: stowage.url, repository, auth: token }, image, 'latest')
  await sh('aws', `ecr put-lifecycle-policy --repository-name ${repository} --lifecycle-policy-text file://lifecycle-policy.json`)
  expect(await images()).toHaveLength(2)

  clock.set('+31d')

  // A signature is by the clock of both; the token of a month ago has ended, and a new one is good.
  expect(await sh('aws', 'sts get-caller-identity --query Arn --output text')).toBe('arn:aws:iam::000000000000:root\n')
  expect(await pingStatus(token)).toBe(403)
  expect(await pingStatus(await login())).toBe(200)

  // A clock that was set: nothing is removed by it until somebody says that it is right.
  const [hold] = await eventually(() => json<{ holdId: number; cause: string; reason: string }[]>('stowage', 'hold list'), (holds) => holds.length > 0)
  expect(hold).toMatchObject({ cause: 'clock', reason: expect.stringContaining('set ahead') })
  expect(await images()).toHaveLength(2)
  await sh('stowage', `hold release ${hold!.holdId} --reason tried`)

  expect(await eventually(images, (digests) => digests.length === 1)).toEqual([current.manifest.digest])
  const { trash } = await json<{ trash: { trashBatch: string; trashedAt: string; purgeAfter: string } }>('stowage', `image describe ${repository}@${old.manifest.digest}`)
  expect(Date.parse(trash.trashedAt)).toBeGreaterThan(Date.now() + 30 * 24 * 60 * 60 * 1000)
  expect(Date.parse(trash.purgeAfter) - Date.parse(trash.trashedAt)).toBe(7 * 24 * 60 * 60 * 1000)
})

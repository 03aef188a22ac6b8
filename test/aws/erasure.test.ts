import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { callStowage, iamClient, newUser } from '../support/identities.ts'
import { buildImage, pushImage, type Image } from '../support/images.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

let dir: TempDir
let stowage: Stowage
let path: string

beforeAll(async () => {
  dir = createTempDir('erasure')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'))
  stowage = await startStowage()
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  for (const repositoryName of ['leak/one', 'leak/two', 'leak/three']) await ecr.send(new CreateRepositoryCommand({ repositoryName }))
  ecr.destroy()
})
afterAll(async () => {
  await stowage?.stop()
  dir?.remove()
})

function erase(...words: string[]): Promise<RunResult> {
  return run('stowage', ['erase', ...words], { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path }, mayFail: true })
}

const push = (repository: string, image: Image, tag: string) => pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, tag)

/** The files of the data folder, the database's own aside, that hold a text. */
function filesWith(bytes: Buffer): string[] {
  const files = readdirSync(stowage.dataDir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile() && !entry.name.startsWith('stowage.db'))
  return files.map(({ parentPath, name }) => join(parentPath, name)).filter((file) => readFileSync(file).includes(bytes))
}

it('shows what would go, erases it everywhere with its bytes, and keeps a record', async () => {
  const image = buildImage({ seed: 'a leaked key' })
  const [, layer] = image.blobs
  await push('leak/one', image, 'v1')
  await push('leak/two', image, 'copy')
  expect(filesWith(layer!.bytes)).toHaveLength(1)
  const words = ['images', 'leak/one', '--layer', layer!.digest, '--everywhere', '--reason', 'leaked key 4711']

  const plan = await erase(...words)

  expect(plan.exitCode, plan.output).toBe(0)
  expect(plan.stdout).toContain(`leak/one@${image.manifest.digest}  v1`)
  expect(plan.stdout).toContain(`leak/two@${image.manifest.digest}  copy`)
  expect(plan.stdout).toContain('Nothing was changed.')
  expect(filesWith(layer!.bytes)).toHaveLength(1)
  expect((await erase('list')).stdout).toBe('Nothing was erased.\n')

  const done = JSON.parse((await erase(...words, '--apply', '--json')).stdout) as { erasureId: string }
  expect(done).toMatchObject({ status: 'DONE', everywhere: true, images: [{ repositoryName: 'leak/one', imageTags: ['v1'] }, { repositoryName: 'leak/two' }] })
  expect(filesWith(layer!.bytes)).toEqual([])
  expect(JSON.parse((await erase('list', '--json')).stdout)).toEqual([done])

  const again = await erase(...words, '--apply')
  expect(again.stderr).toContain('ImageNotFoundException')
  await push('leak/one', image, 'v2')
})

it('asks for a right of its own, on the whole registry where it erases everywhere, and for another to override a protection', async () => {
  const image = buildImage({ seed: 'another leaked key' })
  await push('leak/three', image, 'v1')
  const iam = iamClient(stowage.url, stowage.keys)
  const deleter = await newUser(iam, { Action: ['ecr:*'], Resource: '*' })
  const eraser = await newUser(iam, { Action: ['stowage:EraseImages'], Resource: `arn:aws:ecr:us-east-1:000000000000:repository/leak/three` })
  iam.destroy()
  const input = { repositoryName: 'leak/three', imageDigests: [image.manifest.digest], reason: 'leak' }
  const answerTo = async (user: typeof deleter, extra: object) => {
    const { status, body } = await callStowage(stowage.url, user, 'EraseImages', { ...input, ...extra })
    return status === 200 ? 'done' : `${String(body['__type'])} ${String(body['message'])}`
  }

  expect(await answerTo(deleter, {})).toContain('stowage:EraseImages')
  expect(await answerTo(eraser, { everywhere: true })).toContain('AccessDenied')
  expect(await answerTo(eraser, { overrideProtection: true })).toContain('stowage:OverrideProtection')
  expect(await answerTo(eraser, { imageDigests: ['sha256:none'] })).toContain('InvalidParameterException')
  expect(await answerTo(eraser, { dryRun: true })).toBe('done')
  expect(await answerTo(eraser, {})).toBe('done')
})

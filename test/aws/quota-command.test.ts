import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { CreateRepositoryCommand, ECRClient, PutImageCommand } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildRandomImage, pushImage } from '../support/images.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

let dir: TempDir
let stowage: Stowage
let path: string
let ecr: ECRClient

beforeAll(async () => {
  dir = createTempDir('quota-command')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'))
  stowage = await startStowage()
  ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys, maxAttempts: 1 })
  await ecr.send(new CreateRepositoryCommand({ repositoryName: 'team/app' }))
  await pushImage({ url: stowage.url, repository: 'team/app', auth: stowage.credentials }, buildRandomImage([20_000], 'first'), 'v1')
})
afterAll(async () => {
  ecr?.destroy()
  await stowage?.stop()
  dir?.remove()
})

const quota = (...words: string[]): Promise<RunResult> => run('stowage', ['quota', ...words], { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path }, mayFail: true })

it('sets, shows and removes the quotas of a repository, and says what is there beyond them', async () => {
  expect((await quota('set', 'team/app', '--bytes', '1GiB', '--images', '5')).stdout).toMatch(/^of +quota +has +at most\nteam\/app +bytes +2\d\.\d kB +1\.1 GB\nteam\/app +images +1 +5\n$/)
  const lowered = await quota('set', 'team/app', '--bytes', '10 kB')
  expect(lowered.stdout).toMatch(/^team\/app +bytes +2\d\.\d kB +10\.0 kB +exceeded$/mu)
  expect(lowered.stdout).toMatch(/^team\/app +images +1 +5$/mu)
  expect(lowered.stdout).toContain('Nothing is deleted')

  const listed = JSON.parse((await quota('list', '--json')).stdout) as object[]
  expect(listed).toEqual([expect.objectContaining({ scope: 'REPOSITORY', repositoryName: 'team/app', maxSizeInBytes: 10_000, maxImageCount: 5, exceeded: ['SIZE'], imageCount: 1 })])
  expect((await quota('remove', 'team/app', '--bytes')).stdout).toBe('No longer bounded: bytes of team/app (was 10.0 kB).\n')
  expect((await quota('remove', 'team/app')).stdout).toBe('No longer bounded: images of team/app (was 5).\n')
  expect((await quota('remove', 'team/app')).output).toContain('No such quota is set there.')
})

it('refuses pushes beyond an account’s quota as ECR and docker expect it, until there is more room', async () => {
  expect((await quota('set', '--whole-account', '--images', '1', '--repositories', '1')).stdout).toMatch(/^\d{12} in all regions +images +1 +1$/mu)
  const imageManifest = JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [] })

  await expect(ecr.send(new PutImageCommand({ repositoryName: 'team/app', imageManifest, imageTag: 'v2' }))).rejects.toMatchObject({
    name: 'LimitExceededException',
    message: expect.stringMatching(/^The account with id '\d{12}' already has the maximum allowed number of images which is '1'$/),
  })
  await expect(ecr.send(new CreateRepositoryCommand({ repositoryName: 'team/second' }))).rejects.toMatchObject({ name: 'LimitExceededException' })
  const { username, password } = stowage.credentials
  const answer = await fetch(`${stowage.url}/v2/team/app/manifests/v2`, {
    method: 'PUT',
    headers: { 'content-type': 'application/vnd.oci.image.index.v1+json', authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` },
    body: imageManifest,
  })
  expect([answer.status, await answer.json()]).toEqual([403, { errors: [expect.objectContaining({ code: 'DENIED' })] }])

  expect((await quota('list', '--every-account')).stdout).toMatch(/^\d{12} in all regions +repositories +1 +1$/mu)
  expect((await quota('set', '--whole-registry', '--images', '3')).stdout).toMatch(/^\d{12} in us-east-1 +images +1 +3$/mu)
  await quota('remove', '--whole-account')
  await ecr.send(new PutImageCommand({ repositoryName: 'team/app', imageManifest, imageTag: 'v2' }))
})

it('says what is to be written', async () => {
  expect((await quota('set', 'team/app')).stderr).toContain('say what to bound')
  expect((await quota('set', '--bytes', '1GB')).stderr).toContain('name a repository, or --whole-registry')
  expect((await quota('set', 'team/app', '--bytes', 'much')).stderr).toContain('Write a size such as')
  expect((await quota('set', 'team/app', '--repositories', '1')).output).toContain('maxRepositoryCount')
})

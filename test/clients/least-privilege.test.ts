import { join } from 'node:path'
import { ECR } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAwsClient } from '../support/aws.ts'
import { iamClient, newUser, type TestUser } from '../support/identities.ts'
import { buildRandomImage, pushImage } from '../support/images.ts'
import { CommandError, run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

/*
 * skopeo, logged in with a token from `aws ecr get-login-password`, as users who have what ECR's documentation says that
 * pulling and pushing take, and nothing more.
 */

const account = '000000000000'
const repository = 'team/app'
const arn = `arn:aws:ecr:us-east-1:${account}:repository/${repository}`
const login = { Action: 'ecr:GetAuthorizationToken', Resource: '*' }
/** With what most sample policies add, so that a push gets as far as an answer with words: those to HEAD have none. */
const pull = { Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer', 'ecr:BatchCheckLayerAvailability'], Resource: arn }
const push = {
  Action: ['ecr:InitiateLayerUpload', 'ecr:UploadLayerPart', 'ecr:CompleteLayerUpload', 'ecr:BatchCheckLayerAvailability', 'ecr:PutImage', 'ecr:BatchGetImage'],
  Resource: arn,
}

let stowage: Stowage
let dir: TempDir
let ecr: ECR

beforeAll(async () => {
  stowage = await startStowage()
  dir = createTempDir('least-privilege')
  ecr = new ECR({ endpoint: stowage.url, region: 'us-east-1', credentials: stowage.keys, maxAttempts: 1 })
  for (const repositoryName of [repository, 'team/source']) await ecr.createRepository({ repositoryName })
  await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, buildRandomImage([100_000, 2000], 'least privilege'), 'v1')
})

afterAll(async () => {
  ecr?.destroy()
  dir?.remove()
  await stowage?.stop()
})

async function userWith(...statements: Parameters<typeof newUser>[1][]): Promise<TestUser> {
  const iam = iamClient(stowage.url, stowage.keys)
  const user = await newUser(iam, ...statements)
  iam.destroy()
  return user
}

/** A program of the user's that is logged in. */
async function skopeoOf(user: TestUser): Promise<(...args: string[]) => Promise<RunResult>> {
  const env = { REGISTRY_AUTH_FILE: join(dir.path, `${user.accessKeyId}.json`) }
  const skopeo = (args: readonly string[], input = ''): Promise<RunResult> => run(ensureTool('skopeo'), args, { env, input })
  const aws = createAwsClient({ ...stowage, awsEnv: { ...stowage.awsEnv, AWS_ACCESS_KEY_ID: user.accessKeyId, AWS_SECRET_ACCESS_KEY: user.secretAccessKey } })
  await skopeo(['login', '--username', 'AWS', '--password-stdin', '--tls-verify=false', stowage.registryHost], await aws.text('ecr', 'get-login-password'))
  return (...args) => skopeo(args)
}

async function refusalOf(command: Promise<RunResult>): Promise<string> {
  try {
    await command
  } catch (error) {
    if (error instanceof CommandError) return String(error)
    throw error
  }
  throw new Error('the command succeeded')
}

const image = (tag: string, name = repository): string => `docker://${stowage.registryHost}/${name}:${tag}`
const plain = ['--src-tls-verify=false', '--dest-tls-verify=false']

test('who may pull, pulls; a push is refused in AWS’s words', async () => {
  const user = await userWith(login, pull)
  const skopeo = await skopeoOf(user)

  await skopeo('copy', ...plain, image('v1'), `dir:${dir.path}/pulled`)

  const other = buildRandomImage([50_000], 'never pushed')
  await pushImage({ url: stowage.url, repository: 'team/source', auth: stowage.credentials }, other, 'v1')
  const root = await skopeoOf({ ...user, ...stowage.keys })
  await root('copy', ...plain, image('v1', 'team/source'), `dir:${dir.path}/other`)
  expect(await refusalOf(skopeo('copy', ...plain, `dir:${dir.path}/other`, image('v2')))).toMatch(/denied: User: arn:aws:iam::000000000000:user\/user-\d+ is not authorized to perform: ecr:\w+ on resource: arn:aws:ecr:us-east-1:000000000000:repository\/team\/app because no identity-based policy allows/)
  expect(await refusalOf(skopeo('list-tags', '--tls-verify=false', `docker://${stowage.registryHost}/${repository}`))).toContain('403 (Forbidden)')
})

test('who may push dev-* pushes that, and neither another tag nor another repository', async () => {
  await ecr.createRepository({ repositoryName: 'team/other' })
  const user = await userWith(login, { ...push, Condition: { StringLikeIfExists: { 'stowage:ImageTag': 'dev-*' } } })
  const skopeo = await skopeoOf(user)
  const puller = await skopeoOf(await userWith(login, pull))
  await puller('copy', ...plain, image('v1'), `dir:${dir.path}/source`)

  await skopeo('copy', ...plain, `dir:${dir.path}/source`, image('dev-1'))

  expect(await refusalOf(skopeo('copy', ...plain, `dir:${dir.path}/source`, image('prod-1')))).toContain('not authorized to perform: ecr:PutImage')
  expect(await refusalOf(skopeo('copy', ...plain, `dir:${dir.path}/source`, image('dev-1', 'team/other')))).toMatch(/denied|403 \(Forbidden\)/)
  expect(await refusalOf(skopeo('delete', '--tls-verify=false', image('dev-1')))).toContain('not authorized to perform: ecr:BatchDeleteImage')
  const { imageIds = [] } = await ecr.listImages({ repositoryName: repository })
  expect(imageIds.map(({ imageTag }) => imageTag).toSorted()).toEqual(['dev-1', 'v1'])
})

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { createDockerClient, useDockerEngine, type DockerClient } from '../support/docker-engine.ts'
import { helloProgram } from '../support/hello-program.ts'
import { CommandError, run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

let stowage: Stowage
let client: DockerClient
let aws: AwsClient
let dir: TempDir

beforeAll(async () => {
  const engine = await useDockerEngine()
  stowage = await startStowage({
    env: {
      STOWAGE_QUOTA_REPOSITORIES: '2',
      STOWAGE_QUOTA_IMAGES_PER_REPOSITORY: '1',
      STOWAGE_REQUEST_RATES: 'BatchGetImage=1',
    },
  })
  client = createDockerClient(engine)
  aws = createAwsClient(stowage)
  dir = createTempDir('limits')
})

afterAll(async () => {
  client?.remove()
  dir?.remove()
  await stowage?.stop()
})

async function failing(args: readonly string[]): Promise<string> {
  const failure: unknown = await client.docker(args).catch((error: unknown) => error)
  if (failure instanceof CommandError) return failure.result.output
  throw new Error(`docker ${args.join(' ')} should have failed`)
}

async function build(tag: string): Promise<string> {
  const image = `${stowage.registryHost}/limits/app:${tag}`
  writeFileSync(join(dir.path, 'hello'), helloProgram(tag), { mode: 0o755 })
  writeFileSync(join(dir.path, 'Dockerfile'), 'FROM scratch\nCOPY hello /hello\nENTRYPOINT ["/hello"]\n')
  await client.docker(['build', '--tag', image, dir.path])
  return image
}

test('docker says which quota a push meets, and that a pull comes too soon', async () => {
  await aws.json('ecr', 'create-repository', '--repository-name', 'limits/app')
  const { username, password } = stowage.credentials
  await client.docker(['login', '--username', username, '--password-stdin', stowage.registryHost], { input: password })
  const first = await build('first')
  await client.docker(['push', first])
  const second = await build('second')

  expect(await failing(['push', second])).toContain(
    "denied: The repository with name 'limits/app' in registry with id '000000000000' already has the maximum allowed number of images which is '1'",
  )
  // A pull asks for the manifest by its tag and by its digest: two calls where one a second is allowed. It goes through
  // where this machine is so busy that they come a second apart.
  let output = ''
  for (let n = 0; n < 5 && !output.includes('toomanyrequests'); n += 1) {
    await client.docker(['rmi', first])
    output = (await client.docker(['pull', first], { mayFail: true })).output
  }
  expect(output).toContain('toomanyrequests: Rate exceeded')
})

test('the aws command says which quota a call meets', async () => {
  const { repositories } = await aws.json('ecr', 'describe-repositories')
  for (let n = repositories.length; n < 2; n += 1) await aws.json('ecr', 'create-repository', '--repository-name', `limits/more-${n}`)

  expect(await aws.failure('ecr', 'create-repository', '--repository-name', 'limits/one-more')).toMatch(
    // The second version says how often it has tried.
    /^An error occurred \(LimitExceededException\) when calling the CreateRepository operation(?: \(.*\))?: The registry with id '000000000000' already has the maximum allowed number of repositories which is '2'$/,
  )
  await aws.json('ecr', 'delete-repository', '--repository-name', 'limits/more-1', '--force')
})

test('boto3 has an exception for quotas, and waits where it comes too soon', async () => {
  const result = await run(ensureTool('python'), [join(import.meta.dirname, 'boto3_limits.py')], { env: stowage.awsEnv })

  expect(result.stdout).toBe('ok\n')
})

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

let stowage: Stowage
let aws: AwsClient
let dir: TempDir

beforeAll(async () => {
  stowage = await startStowage()
  aws = createAwsClient(stowage)
  dir = createTempDir('aws-iam')
})

afterAll(async () => {
  dir?.remove()
  await stowage?.stop()
})

function document(name: string, statement: object): string {
  const path = join(dir.path, name)
  writeFileSync(path, JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', ...statement }] }, undefined, 2))
  return `file://${path}`
}

test('a provisioning script written with boto3 does all its work', async () => {
  const own = await startStowage()
  try {
    const result = await run(ensureTool('python'), [join(import.meta.dirname, 'boto3_iam.py')], { env: own.awsEnv })

    expect(result.stdout).toBe('ok\n')
  } finally {
    await own.stop()
  }
})

test('the aws command manages a user, its keys and its policies, whatever region it is set to', async () => {
  const pull = document('pull.json', { Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'], Resource: '*' })

  await aws.text('iam', 'create-user', '--user-name', 'robot', '--path', '/ci/', '--tags', 'Key=team,Value=a b+c')
  expect(await aws.failure('iam', 'create-user', '--user-name', 'ROBOT')).toContain(
    '(EntityAlreadyExists) when calling the CreateUser operation: User with name ROBOT already exists.',
  )
  const policyArn = await aws.text('iam', 'create-policy', '--policy-name', 'pull', '--policy-document', pull, '--query', 'Policy.Arn')
  expect(policyArn).toMatch(/^arn:aws:iam::\d{12}:policy\/pull$/)
  await aws.text('iam', 'attach-user-policy', '--user-name', 'robot', '--policy-arn', policyArn)
  await aws.text('iam', 'put-user-policy', '--user-name', 'robot', '--policy-name', 'inline', '--policy-document', pull)
  const inline = await aws.json('iam', 'get-user-policy', '--user-name', 'robot', '--policy-name', 'inline')
  expect(inline).toMatchObject({ PolicyDocument: { Statement: [{ Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'] }] } })
  const key = await aws.text('iam', 'create-access-key', '--user-name', 'robot', '--query', 'AccessKey.[AccessKeyId,SecretAccessKey]')
  const [accessKeyId = '', secretAccessKey = ''] = key.split('\t')
  const robot = createAwsClient(stowage, { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey })
  expect(await robot.text('sts', 'get-caller-identity', '--query', 'Arn')).toMatch(/:user\/ci\/robot$/)
  const elsewhere = createAwsClient(stowage, { AWS_REGION: 'eu-central-1', AWS_DEFAULT_REGION: 'eu-central-1' })
  expect(await elsewhere.text('iam', 'list-users', '--query', 'Users[].UserName')).toBe('robot')
  expect(await aws.failure('iam', 'delete-user', '--user-name', 'robot')).toContain('(DeleteConflict)')
  expect(await aws.failure('iam', 'get-user', '--user-name', 'nobody')).toContain(
    '(NoSuchEntity) when calling the GetUser operation: The user with name nobody cannot be found.',
  )
  await aws.text('iam', 'update-access-key', '--user-name', 'robot', '--access-key-id', accessKeyId, '--status', 'Inactive')
  expect(await robot.failure('sts', 'get-caller-identity')).toContain('(InvalidClientTokenId)')
  await aws.text('iam', 'delete-access-key', '--user-name', 'robot', '--access-key-id', accessKeyId)
  await aws.text('iam', 'delete-user-policy', '--user-name', 'robot', '--policy-name', 'inline')
  await aws.text('iam', 'detach-user-policy', '--user-name', 'robot', '--policy-arn', policyArn)
  await aws.text('iam', 'delete-user', '--user-name', 'robot')
  await aws.text('iam', 'delete-policy', '--policy-arn', policyArn)
  expect(await aws.json('iam', 'list-users')).toEqual({ Users: [] })
})

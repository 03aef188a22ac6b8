import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

const account = '000000000000'
const role = `arn:aws:iam::${account}:role/deploy/deployer`

let stowage: Stowage
let dir: TempDir
let aws: AwsClient
/** A user's keys, as `aws configure` keeps them, and a profile of a role that is assumed with them. */
let config: Record<string, string>

beforeAll(async () => {
  stowage = await startStowage()
  dir = createTempDir('aws-cli-sts')
  aws = createAwsClient(stowage)
  const trust = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: account }, Action: 'sts:AssumeRole', Condition: { StringEquals: { 'sts:ExternalId': 'ticket-7' } } }] }
  const allow = (Action: string, Resource: string): string => JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action, Resource }] })
  await aws.json('iam', 'create-user', '--user-name', 'alice')
  await aws.json('iam', 'put-user-policy', '--user-name', 'alice', '--policy-name', 'assume', '--policy-document', allow('sts:AssumeRole', role))
  await aws.json('iam', 'create-role', '--role-name', 'deployer', '--path', '/deploy/', '--assume-role-policy-document', JSON.stringify(trust))
  await aws.json('iam', 'put-role-policy', '--role-name', 'deployer', '--policy-name', 'ecr', '--policy-document', allow('ecr:*', '*'))
  await aws.json('iam', 'create-policy', '--policy-name', 'look', '--policy-document', allow('ecr:Describe*', '*'))
  const [id, secret] = (await aws.text('iam', 'create-access-key', '--user-name', 'alice', '--query', 'AccessKey.[AccessKeyId,SecretAccessKey]')).split('\t')
  const file = join(dir.path, 'config')
  const profiles = [
    `[profile alice]\naws_access_key_id = ${id ?? ''}\naws_secret_access_key = ${secret ?? ''}`,
    `[profile deployer]\nrole_arn = ${role}\nsource_profile = alice\nexternal_id = ticket-7\nrole_session_name = from-a-profile\nduration_seconds = 900`,
    `[profile stranger]\nrole_arn = ${role}\nsource_profile = alice\nrole_session_name = from-a-profile`,
  ]
  writeFileSync(file, profiles.join('\n'), { mode: 0o600 })
  const { AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _secret, ...env } = stowage.awsEnv
  config = { ...env, AWS_CONFIG_FILE: file }
})
afterAll(async () => {
  await stowage?.stop()
  dir?.remove()
})

async function as(profile: string, ...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await run(ensureTool('aws'), [...args, '--profile', profile, '--output', 'text'], { env: config, mayFail: true })
  return exitCode === 0 ? stdout.trim() : stderr.trim()
}

test('a profile assumes its role with a user’s keys, and works with what it gets', async () => {
  expect(await as('alice', 'sts', 'get-caller-identity', '--query', 'Arn')).toBe(`arn:aws:iam::${account}:user/alice`)
  expect(await as('deployer', 'sts', 'get-caller-identity', '--query', 'Arn')).toBe(`arn:aws:sts::${account}:assumed-role/deployer/from-a-profile`)
  expect(await as('deployer', 'ecr', 'create-repository', '--repository-name', 'team/app', '--query', 'repository.repositoryName')).toBe('team/app')
  expect(await as('alice', 'ecr', 'describe-repositories')).toContain('because no identity-based policy allows the ecr:DescribeRepositories action')
  expect(await as('stranger', 'sts', 'get-caller-identity')).toContain(
    `An error occurred (AccessDenied) when calling the AssumeRole operation: User: arn:aws:iam::${account}:user/alice is not authorized to perform: sts:AssumeRole on resource: ${role}`,
  )
})

test('the commands of sts give and bind credentials, and say what is wrong', async () => {
  const given = await as('alice', 'sts', 'assume-role', '--role-arn', role, '--role-session-name', 'bound', '--external-id', 'ticket-7', '--policy-arns', `arn=arn:aws:iam::${account}:policy/look`, '--query', '[Credentials.[AccessKeyId,SecretAccessKey,SessionToken],PackedPolicySize]')
  const [keys = '', packed] = given.split('\n').map((line) => line.trim()).sort((a, b) => b.length - a.length)
  const [AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '', AWS_SESSION_TOKEN = ''] = keys.split('\t')
  const bound = createAwsClient(stowage, { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN })

  expect(Number(packed)).toBeGreaterThanOrEqual(1)
  expect(await bound.text('ecr', 'describe-repositories', '--query', 'repositories[].repositoryName')).toBe('team/app')
  expect(await bound.failure('ecr', 'create-repository', '--repository-name', 'team/other')).toContain('because no session policy allows the ecr:CreateRepository action')
  expect(await as('alice', 'sts', 'get-session-token', '--duration-seconds', '900', '--query', 'Credentials.AccessKeyId')).toMatch(/^ASIA[A-Z2-7]{16}$/)
  expect(await aws.text('sts', 'get-access-key-info', '--access-key-id', AWS_ACCESS_KEY_ID, '--query', 'Account')).toBe(account)
  expect(await as('alice', 'sts', 'get-access-key-info', '--access-key-id', AWS_ACCESS_KEY_ID)).toContain('(AccessDenied)')
  const refusal = (...args: string[]): Promise<string> => as('alice', 'sts', 'assume-role', '--role-arn', role, '--role-session-name', 'bound', '--external-id', 'ticket-7', ...args)
  expect(await refusal('--duration-seconds', '3601')).toContain('(ValidationError) when calling the AssumeRole operation: The requested DurationSeconds exceeds the MaxSessionDuration set for this role.')
  expect(await refusal('--policy', '{"Version":"2012-10-17"')).toContain('(MalformedPolicyDocument)')
  expect(await refusal('--policy-arns', `arn=arn:aws:iam::${account}:policy/none`)).toContain('(ValidationError)')
  expect(await as('alice', 'sts', 'assume-role-with-web-identity', '--role-arn', role, '--role-session-name', 'bound', '--web-identity-token', 'none')).toContain('(InvalidIdentityToken)')
})

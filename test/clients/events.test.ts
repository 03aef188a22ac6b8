import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAwsClient } from '../support/aws.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

let stowage: Stowage
let dir: TempDir
let path: string

beforeAll(async () => {
  dir = createTempDir('events')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'))
  stowage = await startStowage()
})
afterAll(async () => {
  await stowage?.stop()
  dir?.remove()
})

function events(...words: string[]): Promise<RunResult> {
  return run('stowage', ['events', ...words], { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path }, mayFail: true })
}

test('destinations, rules and targets are made with stowage, boto3 and the aws command', async () => {
  const made = await events('destination', 'create', '--url', 'https://hooks.example.com/registry', '--description', 'all of it', 'hook')
  expect(made.stdout, made.output).toMatch(/^arn {5}arn:aws:events:us-east-1:000000000000:api-destination\/hook\nurl {5}https:\/\/hooks.example.com\/registry\nsecret {2}whsec_[A-Za-z0-9+/]{43}=\n/u)

  const env = { ...stowage.awsEnv, STOWAGE_URL: stowage.url, PYTHONDONTWRITEBYTECODE: '1' }
  const script = await run(ensureTool('python'), [join(import.meta.dirname, 'boto3_events.py')], { env })
  expect(script.stdout).toBe('ok\n')

  const aws = createAwsClient(stowage)
  const arn = 'arn:aws:events:us-east-1:000000000000:api-destination/hook'
  expect(await aws.text('events', 'put-rule', '--name', 'all', '--event-pattern', '{"source":["aws.ecr"]}', '--query', 'RuleArn')).toContain('rule/all')
  expect(await aws.text('events', 'put-targets', '--rule', 'all', '--targets', `Id=hook,Arn=${arn}`, '--query', 'FailedEntryCount')).toBe('0')

  const refused = await events('destination', 'delete', 'hook')
  expect(refused.stderr).toContain("The target 'hook' of the rule 'all' sends to the event destination 'hook': remove it first.")
  expect(await aws.text('events', 'remove-targets', '--rule', 'all', '--ids', 'hook', '--query', 'FailedEntryCount')).toBe('0')
})

test('the secret of a destination can be given and changed, and is not shown again', async () => {
  const secret = join(dir.path, 'secret')
  writeFileSync(secret, `whsec_${Buffer.alloc(32, 7).toString('base64')}\n`)
  expect((await events('destination', 'create', '--url', 'https://a.example', '--secret-from', secret, 'given')).stdout).not.toContain('secret')
  expect((await events('destination', 'create', '--url', 'https://a.example', 'given')).stderr).toContain("There already is an event destination with name 'given'.")
  expect((await events('destination', 'update', '--new-secret', 'given')).stdout).toContain('secret  whsec_')
  expect((await events('destination', 'update', '--url', 'http://a.example', 'given')).stderr).toContain('is an https URL')
  const listed = await events('destination', 'list', '--json')
  expect(JSON.parse(listed.stdout)).toMatchObject([{ destinationName: 'given', url: 'https://a.example/' }, { destinationName: 'hook' }])
  expect(listed.stdout).not.toContain('whsec_')
  expect((await events('destination', 'delete', 'given')).stdout).toBe('The destination given is gone.\n')
})

test('what could not be delivered is shown with the reason, and sent again', async () => {
  const aws = createAwsClient(stowage)
  await events('destination', 'create', '--url', 'https://127.0.0.1:1/inside', 'inside')
  await aws.text('events', 'put-rule', '--name', 'inside', '--event-pattern', '{"source":["aws.ecr"]}')
  await aws.text('events', 'put-targets', '--rule', 'inside', '--targets', 'Id=1,Arn=arn:aws:events:us-east-1:000000000000:api-destination/inside,RetryPolicy={MaximumRetryAttempts=0}')
  await aws.json('ecr', 'create-repository', '--repository-name', 'team/app')
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [] })
  await aws.json('ecr', 'put-image', '--repository-name', 'team/app', '--image-tag', 'v1', '--image-manifest', manifest)
  const list = async () => JSON.parse((await events('dead-letters', 'list', '--json')).stdout) as { deadLetterId: number; reason: string; event: object }[]
  let letters = await list()
  while (letters.length === 0) letters = await list()

  expect(letters).toMatchObject([{ reason: 'the host has no public address, and STOWAGE_EVENTS_PRIVATE_HOSTS does not open it to this account', attempts: 1, event: { detail: { 'image-tag': 'v1' } } }])
  expect((await events('dead-letters', 'replay')).stderr).toContain('Say which')
  expect((await events('dead-letters', 'replay', '--rule', 'none')).stdout).toBe('0 sent again.\n')
  expect((await events('dead-letters', 'replay', String(letters[0]!.deadLetterId))).stdout).toBe('1 sent again.\n')
  await aws.text('events', 'remove-targets', '--rule', 'inside', '--ids', '1')
  const after = await events('dead-letters', 'replay', '--all')
  expect(after.stdout, after.output).toMatch(/^0 sent again\.( 1 stay: their targets are gone\.)?\n$/u)
})

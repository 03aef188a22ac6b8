import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { baseEnv, run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { ensureTool } from '../support/tools.ts'

let stowage: Stowage

beforeAll(async () => {
  stowage = await startStowage()
})
afterAll(async () => {
  await stowage?.stop()
})

async function logs(...words: string[]): Promise<unknown> {
  const { stdout } = await run(ensureTool('aws'), ['logs', ...words, '--output', 'json'], { env: stowage.awsEnv })
  return stdout.trim() === '' ? undefined : JSON.parse(stdout)
}

async function refusal(...words: string[]): Promise<string> {
  const { exitCode, stderr } = await run(ensureTool('aws'), ['logs', ...words], { env: stowage.awsEnv, mayFail: true })
  expect(exitCode).not.toBe(0)
  return stderr.trim()
}

const eventsOf = (answer: unknown): string[] => (answer as { events: { message: string }[] }).events.map(({ message }) => message)

test('the aws command makes groups and streams, puts lines and finds them', async () => {
  const group = '/app/web'
  const arn = `arn:aws:logs:us-east-1:000000000000:log-group:${group}`
  await logs('create-log-group', '--log-group-name', group, '--tags', 'team=a')
  await logs('create-log-stream', '--log-group-name', group, '--log-stream-name', 'web/1')
  const now = Date.now()
  const lines = ['{"level":"error","ms":31}', '{"level":"info","ms":7}', 'GET /v2/ 200'].map((message, n) => ({ timestamp: now - 10 + n, message }))
  expect(await logs('put-log-events', '--log-group-name', group, '--log-stream-name', 'web/1', '--log-events', JSON.stringify(lines))).toEqual({ nextSequenceToken: expect.stringMatching(/^\d{56}$/u) as string })

  expect(eventsOf(await logs('get-log-events', '--log-group-name', group, '--log-stream-name', 'web/1', '--start-from-head'))).toEqual(lines.map(({ message }) => message))
  expect(eventsOf(await logs('filter-log-events', '--log-group-name', group, '--filter-pattern', '{ $.level = "error" || $.ms < 10 }', '--page-size', '1'))).toEqual(lines.slice(0, 2).map(({ message }) => message))
  expect(eventsOf(await logs('filter-log-events', '--log-group-name', group, '--log-stream-name-prefix', 'web', '--filter-pattern', 'GET -error'))).toEqual(['GET /v2/ 200'])
  expect(await logs('describe-log-streams', '--log-group-name', group, '--order-by', 'LastEventTime')).toMatchObject({ logStreams: [{ logStreamName: 'web/1', lastEventTimestamp: now - 8 }] })

  await logs('put-retention-policy', '--log-group-name', group, '--retention-in-days', '7')
  expect(await logs('describe-log-groups', '--log-group-name-prefix', group)).toMatchObject({ logGroups: expect.arrayContaining([expect.objectContaining({ logGroupName: group, retentionInDays: 7, arn: `${arn}:*` })]) as unknown })
  await logs('delete-retention-policy', '--log-group-name', group)
  await logs('tag-resource', '--resource-arn', arn, '--tags', 'stage=test')
  await logs('untag-resource', '--resource-arn', arn, '--tag-keys', 'team')
  expect(await logs('list-tags-for-resource', '--resource-arn', arn)).toEqual({ tags: { stage: 'test' } })
  await logs('delete-log-stream', '--log-group-name', group, '--log-stream-name', 'web/1')
  expect(await logs('filter-log-events', '--log-group-name', group)).toMatchObject({ events: [] })
  await logs('delete-log-group', '--log-group-name', group)
  expect(await logs('describe-log-groups', '--log-group-name-prefix', group)).toMatchObject({ logGroups: [] })
})

test('what is wrong is told in the words of CloudWatch', async () => {
  expect(await refusal('delete-log-group', '--log-group-name', 'none')).toContain('(ResourceNotFoundException) when calling the DeleteLogGroup operation: The specified log group does not exist.')
  expect(await refusal('create-log-group', '--log-group-name', 'key', '--kms-key-id', 'arn:aws:kms:us-east-1:000000000000:key/x')).toContain('kmsKeyId is not served')
})

test('aws logs tail --follow shows lines as they come, each once', async () => {
  // Version 2 alone has the command; Debian's does not read where the server is from the environment yet.
  const tail = ['--endpoint-url', stowage.url, 'logs', 'tail', 'followed', '--follow', '--since', '1h', '--format', 'short', '--filter-pattern', 'line']
  await logs('create-log-group', '--log-group-name', 'followed')
  await logs('create-log-stream', '--log-group-name', 'followed', '--log-stream-name', 's')
  const put = (...messages: string[]) => logs('put-log-events', '--log-group-name', 'followed', '--log-stream-name', 's', '--log-events', JSON.stringify(messages.map((message) => ({ timestamp: Date.now(), message }))))
  await put('line 1', 'another', 'line 2')
  const child = spawn(ensureTool('aws-2'), tail, { env: { ...baseEnv(), ...stowage.awsEnv, PYTHONUNBUFFERED: '1' }, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const has = async (text: string): Promise<void> => {
    const endsAt = Date.now() + 30_000
    while (!output.includes(text)) {
      if (Date.now() > endsAt || child.exitCode !== null) throw new Error(`the command showed no ${text}:\n${output}`)
      await sleep(20)
    }
  }
  try {
    await has('line 2')
    await put('line 3')
    await has('line 3')
  } finally {
    child.kill('SIGKILL')
  }
  expect(output.trim().split('\n').map((line) => line.replace(/^\S+ /u, ''))).toEqual(['line 1', 'line 2', 'line 3'])
})

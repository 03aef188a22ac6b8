import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAwsClient } from '../support/aws.ts'
import { createDockerClient, useDockerEngine, type DockerClient, type DockerEngine } from '../support/docker-engine.ts'
import { helloProgram } from '../support/hello-program.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { run } from '../support/run.ts'
import { ensureTool } from '../support/tools.ts'

let stowage: Stowage
let engine: DockerEngine
let client: DockerClient
let dir: TempDir

beforeAll(async () => {
  engine = await useDockerEngine()
  stowage = await startStowage({ keys: engine.awsKeys })
  client = createDockerClient(engine)
  dir = createTempDir('awslogs')
  mkdirSync(join(dir.path, 'context'))
})
afterAll(async () => {
  client?.remove()
  dir?.remove()
  await stowage?.stop()
})

async function events(group: string): Promise<readonly { readonly logStreamName: string; readonly message: string; readonly timestamp: number }[]> {
  const { stdout } = await run(ensureTool('aws'), ['logs', 'filter-log-events', '--log-group-name', group, '--output', 'json'], { env: stowage.awsEnv })
  return (JSON.parse(stdout) as { events: { logStreamName: string; message: string; timestamp: number }[] }).events
}

test("docker's own driver writes what containers print into a log group that it makes", async () => {
  const image = `${stowage.registryHost}/printing:v1`
  const lines = ['first line', 'second: {"level":"error"}', 'höchste Zeit']
  writeFileSync(join(dir.path, 'context/print'), helloProgram(lines.join('\n')), { mode: 0o755 })
  writeFileSync(join(dir.path, 'context/Dockerfile'), 'FROM scratch\nCOPY print /print\nCMD ["/print"]\n')
  await client.docker(['build', '--tag', image, join(dir.path, 'context')])
  const driver = ['--log-driver=awslogs', '--log-opt', `awslogs-endpoint=${stowage.url}`, '--log-opt', 'awslogs-region=us-east-1', '--log-opt', 'awslogs-group=/docker/test', '--log-opt', 'awslogs-create-group=true']
  await client.docker(['run', '--rm', '--network', 'none', ...driver, '--log-opt', 'awslogs-stream=named', image])
  await client.docker(['run', '--name', 'kept', '--network', 'none', ...driver, image])

  const { stdout: id } = await client.docker(['inspect', '--format', '{{.Id}}', 'kept'])
  await client.docker(['rm', 'kept'])
  // The driver sends the last lines when the container has ended.
  let found = await events('/docker/test')
  for (const endsAt = Date.now() + 20_000; found.length < 2 * lines.length && Date.now() < endsAt; ) found = await events('/docker/test')
  for (const stream of ['named', id.trim()]) expect(found.filter(({ logStreamName }) => logStreamName === stream).map(({ message }) => message)).toEqual(lines)
  expect(Math.abs(found[0]!.timestamp - Date.now())).toBeLessThan(60_000)

  // Where the group is not to be made, the container does not start.
  const refused = await client.docker(['run', '--rm', '--network', 'none', ...driver.slice(0, -4), '--log-opt', 'awslogs-group=/docker/absent', image], { mayFail: true })
  expect(refused.output).toContain('The specified log group does not exist.')
  expect(await createAwsClient(stowage).text('logs', 'describe-log-groups', '--query', 'logGroups[].logGroupName')).toBe('/docker/test')
})

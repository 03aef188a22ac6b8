import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readProjectFile } from '../repo/tree.ts'
import { createDockerClient, useDockerEngine, type DockerClient } from '../support/docker-engine.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

/* The guide to lifecycle policies, as a new user goes through it: in order, in one shell, with the real docker and aws. */

let stowage: Stowage
let client: DockerClient
let dir: TempDir

beforeAll(async () => {
  client = createDockerClient(await useDockerEngine())
  stowage = await startStowage()
  dir = createTempDir('lifecycle-guide')
  mkdirSync(join(dir.path, 'bin'))
})
afterAll(async () => {
  client?.remove()
  dir?.remove()
  await stowage?.stop()
})

test('every command of the guide works as it is written', async () => {
  const blocks = [...readProjectFile('docs/operations/lifecycle.md').matchAll(/^```sh\n(.*?)^```$/gmsu)].map((match) => match[1] ?? '')
  expect(blocks).toHaveLength(6)
  const path = installPrograms(join(dir.path, 'bin'), dirname(ensureTool('aws')))
  const env = { ...stowage.awsEnv, ...client.env, REGISTRY: stowage.registryHost, PATH: path, HOME: dir.path }

  const script = blocks.map((block, index) => `echo "--- block ${index + 1}"\n${block}`).join('\n')
  const result = await run('bash', ['-euo', 'pipefail', '-c', script], { env, cwd: dir.path, mayFail: true })

  expect(result.exitCode, result.output).toBe(0)
  const [, , , preview = '', explained = '', done = '', undone = ''] = result.stdout.split(/^--- block \d+\n/mu)
  expect(preview).toMatch(/"expiringImageTotalCount": 1\b/u)
  expect(explained).toContain('my-app@sha256:')
  expect(done).toMatch(/ done {2,}1 of 1 /u)
  expect(done.trim().split('\n').at(-1)).toBe('2')
  expect(undone).toMatch(/^my-app@sha256:[0-9a-f]{64} is back$/mu)
  expect(undone.trim().split('\n').at(-1)).toBe('3')
})

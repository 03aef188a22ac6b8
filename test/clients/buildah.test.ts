import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { helloProgram } from '../support/hello-program.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

let stowage: Stowage
let aws: AwsClient
let dir: TempDir

beforeAll(async () => {
  stowage = await startStowage()
  aws = createAwsClient(stowage)
  dir = createTempDir('buildah')
  const password = await aws.text('ecr', 'get-login-password')
  await buildah(['login', '--username', 'AWS', '--password-stdin', '--tls-verify=false', stowage.registryHost], password)
})

afterAll(async () => {
  dir?.remove()
  await stowage?.stop()
})

/** With folders of its own, and a storage and an isolation that need nothing of the machine's kernel. */
async function buildah(args: readonly string[], input = ''): Promise<RunResult> {
  const storage = ['--root', join(dir.path, 'storage'), '--runroot', join(dir.path, 'run'), '--storage-driver', 'vfs']
  const env = { REGISTRY_AUTH_FILE: join(dir.path, 'auth.json'), BUILDAH_ISOLATION: 'chroot', HOME: dir.path }
  return run(ensureTool('buildah'), [...storage, ...args], { env, input })
}

/** Makes a container of an image that is only in the registry, and runs its program. */
async function pullAndRun(image: string, program: string): Promise<string> {
  const container = (await buildah(['from', '--tls-verify=false', '--pull-always', image])).stdout.trim()
  return (await buildah(['run', '--isolation', 'chroot', container, '--', program])).stdout
}

test.each(['oci', 'docker'] as const)('an image made from scratch is pushed in %s format, pulled and run', async (format) => {
  const repository = `buildah/${format}`
  const image = `${stowage.registryHost}/${repository}:v1`
  writeFileSync(join(dir.path, 'hello'), helloProgram(`made by buildah, ${format}`), { mode: 0o755 })
  await aws.json('ecr', 'create-repository', '--repository-name', repository)

  const container = (await buildah(['from', 'scratch'])).stdout.trim()
  await buildah(['copy', container, join(dir.path, 'hello'), '/hello'])
  await buildah(['config', '--cmd', '/hello', '--label', 'team=platform', container])
  await buildah(['commit', '--format', format, container, image])
  await buildah(['push', '--format', format, '--tls-verify=false', image])
  await buildah(['rm', '--all'])
  await buildah(['rmi', '--all', '--force'])

  expect(await pullAndRun(image, '/hello')).toBe(`made by buildah, ${format}\n`)
  const { imageDetails } = await aws.json('ecr', 'describe-images', '--repository-name', repository)
  expect(imageDetails).toMatchObject([
    { imageTags: ['v1'], imageManifestMediaType: expect.stringContaining(format === 'oci' ? 'oci.image' : 'docker.distribution') },
  ])
})

test('a Dockerfile is built, pushed, and pulled by digest', async () => {
  const image = `${stowage.registryHost}/buildah/dockerfile:v1`
  writeFileSync(join(dir.path, 'hello'), helloProgram('built from a Dockerfile'), { mode: 0o755 })
  writeFileSync(join(dir.path, 'Dockerfile'), 'FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n')
  await aws.json('ecr', 'create-repository', '--repository-name', 'buildah/dockerfile')

  await buildah(['bud', '--tag', image, dir.path])
  await buildah(['push', '--tls-verify=false', image])

  const { imageIds } = await aws.json('ecr', 'list-images', '--repository-name', 'buildah/dockerfile')
  await buildah(['rm', '--all'])
  await buildah(['rmi', '--all', '--force'])
  const byDigest = `${stowage.registryHost}/buildah/dockerfile@${imageIds[0].imageDigest}`
  expect(await pullAndRun(byDigest, '/hello')).toBe('built from a Dockerfile\n')
})

test('a manifest list made locally is pushed with its images', async () => {
  const list = `${stowage.registryHost}/buildah/list:v1`
  await aws.json('ecr', 'create-repository', '--repository-name', 'buildah/list')
  await buildah(['manifest', 'create', 'list'])
  for (const architecture of ['amd64', 'arm64']) {
    writeFileSync(join(dir.path, 'hello'), helloProgram(`for ${architecture}`), { mode: 0o755 })
    const container = (await buildah(['from', 'scratch'])).stdout.trim()
    await buildah(['copy', container, join(dir.path, 'hello'), '/hello'])
    await buildah(['config', '--arch', architecture, '--cmd', '/hello', container])
    await buildah(['commit', '--manifest', 'list', container])
  }

  await buildah(['manifest', 'push', '--all', '--tls-verify=false', 'list', `docker://${list}`])

  const { imageDetails } = await aws.json('ecr', 'describe-images', '--repository-name', 'buildah/list')
  expect(imageDetails).toHaveLength(3)
})

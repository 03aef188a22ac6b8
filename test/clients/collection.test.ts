import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { createDockerClient, useDockerEngine, type DockerClient } from '../support/docker-engine.ts'
import { helloProgram } from '../support/hello-program.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

/*
 * Real clients push images at the very moment in which what these are made of is collected, each round at another point of the
 * collection, and pull others meanwhile.
 */

const rounds = 8
const pushers = ['docker', 'skopeo', 'buildah'] as const

let stowage: Stowage
let docker: DockerClient
let aws: AwsClient
let dir: TempDir

beforeAll(async () => {
  stowage = await startStowage({ env: { STOWAGE_GC_INTERVAL_MS: '20', STOWAGE_TRASH_RETENTION_DAYS: '0', STOWAGE_SCRUB_INTERVAL_DAYS: '0' } })
  docker = createDockerClient(await useDockerEngine())
  aws = createAwsClient(stowage)
  dir = createTempDir('collection')
  const password = await aws.text('ecr', 'get-login-password')
  const logIn = ['login', '--username', 'AWS', '--password-stdin']
  await docker.docker([...logIn, stowage.registryHost], { input: password })
  await run(ensureTool('skopeo'), [...logIn, '--tls-verify=false', stowage.registryHost], { env: auth(), input: password })
  for (const name of ['kept', ...pushers]) await aws.json('ecr', 'create-repository', '--repository-name', `gc/${name}`)
})

afterAll(async () => {
  docker?.remove()
  dir?.remove()
  await stowage?.stop()
})

const auth = (): Record<string, string> => ({ REGISTRY_AUTH_FILE: join(dir.path, 'auth.json'), BUILDAH_ISOLATION: 'chroot', HOME: dir.path })
const reference = (name: string): string => `${stowage.registryHost}/gc/${name}:v1`

function copy(from: string, to: string): Promise<RunResult> {
  return run(ensureTool('skopeo'), ['copy', '--src-tls-verify=false', '--dest-tls-verify=false', '--preserve-digests', from, to], { env: auth() })
}

function buildah(args: readonly string[]): Promise<RunResult> {
  const storage = ['--root', join(dir.path, 'storage'), '--runroot', join(dir.path, 'run'), '--storage-driver', 'vfs']
  return run(ensureTool('buildah'), [...storage, ...args], { env: auth() })
}

const push: Record<(typeof pushers)[number], () => Promise<unknown>> = {
  docker: () => docker.docker(['push', reference('docker')]),
  skopeo: () => copy(`dir:${join(dir.path, 'image')}`, `docker://${reference('skopeo')}`),
  buildah: () => buildah(['push', '--tls-verify=false', reference('buildah')]),
}

/** What waited for its time has waited long enough. Only while nobody pushes: who pushes is promised an hour. */
function timePasses(): void {
  const database = new DatabaseSync(join(stowage.dataDir, 'stowage.db'), { timeout: 10_000 })
  database.exec('update manifest set trashed_at = 1 where trashed_at is not null')
  database.exec('update review set due_at = 1')
  database.close()
}

async function collectedBlobs(): Promise<number> {
  const text = await (await fetch(`${stowage.url}/metrics`)).text()
  return Number(/^stowage_gc_blobs_total (\d+)$/m.exec(text)?.[1] ?? 0)
}

test('layers that are being collected are pushed all the same, and no pull meets the collection', async () => {
  writeFileSync(join(dir.path, 'hello'), helloProgram('still there'), { mode: 0o755 })
  writeFileSync(join(dir.path, 'Dockerfile'), 'FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n')
  for (const name of ['kept', 'docker']) await docker.docker(['build', '--label', `name=${name}`, '--tag', reference(name), dir.path])
  await docker.docker(['push', reference('kept')])
  await push.docker()
  await copy(`docker://${reference('docker')}`, `dir:${join(dir.path, 'image')}`)
  await push.skopeo()
  await buildah(['pull', '--tls-verify=false', reference('skopeo')])
  await buildah(['tag', reference('skopeo'), reference('buildah')])
  await push.buildah()

  for (let round = 0; round < rounds; round += 1) {
    const before = await collectedBlobs()
    // The layer that all share goes too, every other time.
    const names: readonly string[] = round % 2 === 0 ? ['kept', ...pushers] : pushers
    for (const name of names) await aws.json('ecr', 'batch-delete-image', '--repository-name', `gc/${name}`, '--image-ids', 'imageTag=v1')
    // From image to layer to file it takes some looks: the pushes come between others each time.
    for (let look = 0; look <= round % 4; look += 1) {
      timePasses()
      await delay(round * 4)
    }
    // How far it comes within some looks is up to the machine: every fourth time files are gone before anybody pushes.
    if (round % 4 === 3) {
      await vi.waitFor(async () => {
        timePasses()
        expect(await collectedBlobs()).toBeGreaterThan(before)
      }, { timeout: 30_000, interval: 50 })
    }

    let isPushed = false
    const pullAgain = async (): Promise<void> => {
      for (let n = 0; !isPushed; n += 1) await copy(`docker://${reference('kept')}`, `dir:${join(dir.path, `pulled-${round}-${n}`)}`)
    }
    if (names.includes('kept')) await docker.docker(['push', reference('kept')])
    const pulls = pullAgain()
    try {
      await Promise.all(pushers.map((name) => push[name]()))
    } finally {
      isPushed = true
    }
    await pulls

    for (const name of pushers) await copy(`docker://${reference(name)}`, `dir:${join(dir.path, `${name}-${round}`)}`)
    for (const name of pushers) await docker.docker(['pull', reference(name)])
  }

  expect(await collectedBlobs()).toBeGreaterThan(1)
  expect((await docker.docker(['run', '--rm', '--network', 'host', reference('docker')])).stdout).toBe('still there\n')
  expect(stowage.logs()).not.toMatch(/could not be collected|"statusCode":5/)
})

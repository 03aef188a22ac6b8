import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createDockerClient, useDockerEngine, type DockerClient } from '../support/docker-engine.ts'
import { helloProgram } from '../support/hello-program.ts'
import { run } from '../support/run.ts'
import { freePort } from '../support/server-process.ts'
import { createTempDir } from '../support/temp-dir.ts'
import { ensureTool, projectDir } from '../support/tools.ts'

const image = 'stowage:image-test'
const container = 'stowage-image-test'
const volume = 'stowage-image-test-data'

/** As compose.yaml runs it: nothing to write but the volume and /tmp, no capability. */
const hardened = ['--read-only', '--tmpfs', '/tmp', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges:true']

describe('the container image', () => {
  let client: DockerClient
  let registry: string
  let awsEnv: Record<string, string>

  beforeAll(async () => {
    const engine = await useDockerEngine()
    client = createDockerClient(engine)
    // The build is a developer's command: it installs packages with the settings of this machine.
    const machine = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined)
    const env = { ...Object.fromEntries(machine), ...client.env }
    await run(join(projectDir, 'scripts/build-image.sh'), [image], { env, timeoutMs: 170_000 })
  })

  afterAll(async () => {
    await client.docker(['rm', '--force', '--volumes', container], { mayFail: true })
    await client.docker(['volume', 'rm', '--force', volume], { mayFail: true })
    await client.docker(['image', 'rm', '--force', image], { mayFail: true })
    client.remove()
  })

  const becomesHealthy = async (): Promise<void> => {
    for (;;) {
      const { stdout } = await client.docker(['inspect', '--format', '{{.State.Health.Status}} {{.State.Running}}', container])
      if (stdout.startsWith('healthy')) return
      if (stdout.includes('false')) {
        throw new Error(`the container ended:\n${(await client.docker(['logs', container])).output}`)
      }
      await sleep(500)
    }
  }

  it('refuses to serve everybody in the clear unless told so', async () => {
    const listen = `STOWAGE_LISTEN=0.0.0.0:${await freePort()}`

    const refused = await client.docker(['run', '--rm', '--network', 'host', '--env', listen, image], { mayFail: true })

    expect(refused.exitCode).toBe(2)
    expect(refused.output).toContain('STOWAGE_INSECURE_LISTEN')
  })

  it('starts without rights and becomes healthy', async () => {
    const port = await freePort()
    registry = `localhost:${port}`
    const options = ['--network', 'host', '--env', `STOWAGE_LISTEN=127.0.0.1:${port}`, '--volume', `${volume}:/data`]

    await client.docker(['run', '--detach', '--name', container, ...hardened, ...options, image])
    await becomesHealthy()

    const user = await client.docker(['exec', container, 'node', '-p', 'process.getuid()'])
    expect(user.stdout.trim()).toBe('65532')
  })

  it('takes the quick start of the README', async () => {
    const aws = ensureTool('aws')
    const shown = await client.docker(['exec', container, 'stowage', 'credentials', '--json'])
    const keys = JSON.parse(shown.stdout) as { accessKeyId: string; secretAccessKey: string }
    awsEnv = {
      AWS_ENDPOINT_URL: `http://${registry}`,
      AWS_REGION: 'us-east-1',
      AWS_DEFAULT_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: keys.accessKeyId,
      AWS_SECRET_ACCESS_KEY: keys.secretAccessKey,
      AWS_EC2_METADATA_DISABLED: 'true',
    }
    const source = createTempDir('hello-image')
    writeFileSync(join(source.path, 'hello'), helloProgram('hello from the quick start'), { mode: 0o755 })
    writeFileSync(join(source.path, 'Dockerfile'), 'FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n')
    const name = `${registry}/my-app:latest`

    await run(aws, ['ecr', 'create-repository', '--repository-name', 'my-app'], { env: awsEnv })
    const password = await run(aws, ['ecr', 'get-login-password'], { env: awsEnv })
    await client.docker(['login', '--username', 'AWS', '--password-stdin', registry], { input: password.stdout })
    await client.docker(['build', '--tag', name, source.path])
    await client.docker(['push', name])
    await client.docker(['image', 'rm', name])
    const ran = await client.docker(['run', '--rm', '--network', 'none', name])
    source.remove()

    expect(ran.stdout).toBe('hello from the quick start\n')
  })

  it('gives docker and kubelets passwords with the programs on its path', async () => {
    const forwarded = Object.entries(awsEnv).flatMap(([name, value]) => ['--env', `${name}=${value}`])
    const ask = (program: readonly string[], input: string) =>
      client.docker(['run', '--rm', '--interactive', '--network', 'host', ...hardened, ...forwarded, '--entrypoint', program[0]!, image, ...program.slice(1)], { input })
    const request = { apiVersion: 'credentialprovider.kubelet.k8s.io/v1', kind: 'CredentialProviderRequest', image: `${registry}/my-app:latest` }

    const forDocker = JSON.parse((await ask(['docker-credential-stowage', 'get'], registry)).stdout) as { Username: string; Secret: string }
    const forKubelet = JSON.parse((await ask(['stowage-kubelet-credential-provider'], JSON.stringify(request))).stdout) as { auth: Record<string, unknown> }
    const help = await client.docker(['exec', container, 'stowage', '--help'])

    expect(forDocker.Username).toBe('AWS')
    const authorization = `Basic ${Buffer.from(`AWS:${forDocker.Secret}`).toString('base64')}`
    expect((await fetch(`http://${registry}/v2/my-app/tags/list`, { headers: { authorization } })).status).toBe(200)
    expect(Object.values(forKubelet.auth)).toEqual([{ username: 'AWS', password: expect.any(String) as string }])
    expect(help.stdout).toContain('Usage: stowage')
  })

  it('keeps images and log-ins in its volume when the container is replaced', async () => {
    const name = `${registry}/my-app:latest`
    const options = ['--network', 'host', '--env', `STOWAGE_LISTEN=${registry.replace('localhost', '127.0.0.1')}`, '--volume', `${volume}:/data`]

    await client.docker(['stop', container])
    const exit = await client.docker(['inspect', '--format', '{{.State.ExitCode}}', container])
    await client.docker(['rm', container])
    await client.docker(['run', '--detach', '--name', container, ...hardened, ...options, image])
    await becomesHealthy()
    await client.docker(['image', 'rm', '--force', name])
    await client.docker(['pull', name])

    expect(exit.stdout.trim()).toBe('0')
  })
})

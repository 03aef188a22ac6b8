import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAwsClient } from '../support/aws.ts'
import { createCertificate } from '../support/certificates.ts'
import { createDockerClient, useDockerEngine, type DockerClient, type DockerEngine } from '../support/docker-engine.ts'
import { buildHelloImage, pushImage } from '../support/images.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool, projectDir, programScript } from '../support/tools.ts'

/*
 * Nobody logs in here: docker and skopeo ask a credential helper, ours at any name and Amazon's at ECR's names.
 */

let engine: DockerEngine
let dir: TempDir
let path: string

beforeAll(async () => {
  engine = await useDockerEngine()
  dir = createTempDir('credential-programs')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'))
})

afterAll(() => {
  dir?.remove()
})

/** Tells docker and skopeo which helper a registry's passwords come from. */
function configure(client: DockerClient, registry: string, helper: string): string {
  const file = join(client.env['DOCKER_CONFIG']!, 'config.json')
  writeFileSync(file, JSON.stringify({ credHelpers: { [registry]: helper } }))
  return file
}

describe('docker-credential-stowage', () => {
  let stowage: Stowage
  let client: DockerClient
  let configFile: string

  beforeAll(async () => {
    stowage = await startStowage()
    client = createDockerClient(engine)
    configFile = configure(client, stowage.registryHost, 'stowage')
    await createAwsClient(stowage).json('ecr', 'create-repository', '--repository-name', 'helped/app')
    await pushImage({ url: stowage.url, repository: 'helped/app', auth: stowage.credentials }, buildHelloImage('no log-in'), 'v1')
  })

  afterAll(async () => {
    client?.remove()
    await stowage?.stop()
  })

  const env = (): Record<string, string> => ({ ...stowage.awsEnv, PATH: path, XDG_CACHE_HOME: join(dir.path, 'cache') })

  test('docker pulls, runs and pushes without a log-in', async () => {
    const image = `${stowage.registryHost}/helped/app`

    await client.docker(['pull', `${image}:v1`], { env: env() })
    const { stdout } = await client.docker(['run', '--rm', '--network', 'host', `${image}:v1`])
    await client.docker(['tag', `${image}:v1`, `${image}:v2`])
    await client.docker(['push', `${image}:v2`], { env: env() })

    expect(stdout).toBe('no log-in\n')
    // Docker keeps no password of its own.
    expect(JSON.parse(readFileSync(configFile, 'utf8'))).toEqual({ credHelpers: { [stowage.registryHost]: 'stowage' } })
  })

  test('docker shows why there is no password, and what to do', async () => {
    const refused = await client.docker(['push', `${stowage.registryHost}/helped/app:v1`], {
      env: { ...env(), AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' },
      mayFail: true,
    })

    expect(refused.exitCode).not.toBe(0)
    expect(refused.output).toContain('Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE')
  })

  test('docker logout forgets the password', async () => {
    const list = async (): Promise<unknown> => JSON.parse((await run('docker-credential-stowage', ['list'], { env: env() })).stdout)
    await client.docker(['pull', `${stowage.registryHost}/helped/app:v1`], { env: env() })
    expect(await list()).toEqual({ [stowage.registryHost]: 'AWS' })

    await client.docker(['logout', stowage.registryHost], { env: env() })

    expect(await list()).toEqual({})
  })

  test('skopeo copies without a log-in', async () => {
    const skopeo = ensureTool('skopeo')
    const source = `docker://${stowage.registryHost}/helped/app:v1`
    const copied = await run(skopeo, ['copy', '--src-tls-verify=false', source, `dir:${join(dir.path, 'copied')}`], {
      env: { ...env(), REGISTRY_AUTH_FILE: configFile },
      mayFail: true,
    })

    expect(copied.exitCode, copied.output).toBe(0)
  })
})

describe("at ECR's own names", () => {
  const region = 'us-east-1'
  const domain = 'amazonaws.com'
  const registry = `000000000000.dkr.ecr.${region}.${domain}`
  const serverName = 'registry.test'
  const names = [registry, `api.ecr.${region}.${domain}`, `sts.${region}.${domain}`]
  let stowage: Stowage
  let client: DockerClient
  let hosts: string

  beforeAll(async () => {
    const tls = await createCertificate(join(dir.path, 'tls'), [...names, serverName])
    hosts = join(dir.path, 'hosts')
    writeFileSync(hosts, `${readFileSync('/etc/hosts', 'utf8')}\n::1 ${names.join(' ')}\n`)
    stowage = await startStowage({ address: '::1', port: 443, tls, env: { STOWAGE_REGISTRY_DOMAIN: domain } })
    client = createDockerClient(engine)
    configure(client, registry, 'ecr-login')
    await run(process.execPath, [programScript(), 'trust', '--install', '--ca', tls.certFile, '--certs-dir', engine.certsDir, '--host', registry], { cwd: projectDir })
    await createAwsClient(stowage).json('ecr', 'create-repository', '--repository-name', 'named')
    const ca = readFileSync(tls.certFile, 'utf8')
    await pushImage({ url: stowage.url, repository: 'named', auth: stowage.credentials, ca }, buildHelloImage('as at ECR'), 'v1')
  })

  afterAll(async () => {
    client?.remove()
    await stowage?.stop()
  })

  /** Runs a command on a machine whose DNS leads ECR's names to the server; no setting says where it is. */
  function onAliasedMachine(command: readonly string[], env: Readonly<Record<string, string>> = {}, hostsFile = hosts): Promise<RunResult> {
    const { AWS_ENDPOINT_URL: _, ...awsEnv } = stowage.awsEnv
    return run('unshare', ['--mount', '--', 'sh', '-euc', 'mount --bind "$1" /etc/hosts; shift; exec "$@"', 'sh', hostsFile, ...command], {
      env: { ...awsEnv, ...client.env, HOME: dir.path, ...env },
      mayFail: true,
    })
  }

  test('the aws command needs no endpoint', async () => {
    const described = await onAliasedMachine([ensureTool('aws'), 'ecr', 'describe-repositories', '--query', 'repositories[].repositoryUri', '--output', 'text'])
    const identity = await onAliasedMachine([ensureTool('aws'), 'sts', 'get-caller-identity', '--query', 'Account', '--output', 'text'], { AWS_STS_REGIONAL_ENDPOINTS: 'regional' })

    expect(described.output).toBe(`${registry}/named\n`)
    expect(identity.output).toBe('000000000000\n')
  })

  test.each(ecrLoginHelpers())("docker pulls with Amazon's docker-credential-ecr-login, $source", async ({ find }) => {
    const helper = find()
    // What built it has printed why it could not.
    if (helper === undefined) return
    const PATH = [dirname(helper), '/usr/sbin:/usr/bin:/sbin:/bin'].join(':')
    // Both keep passwords in ~/.ecr: one's must not be found by the other.
    const HOME = join(dir.path, `home-of-${dirname(helper).replaceAll('/', '-')}`)
    await client.docker(['image', 'rm', '--force', `${registry}/named:v1`])

    const pulled = await onAliasedMachine([ensureTool('docker'), 'pull', `${registry}/named:v1`], { PATH, HOME })

    expect(pulled.exitCode, pulled.output).toBe(0)
    const { stdout } = await client.docker(['run', '--rm', '--network', 'host', `${registry}/named:v1`])
    expect(stdout).toBe('as at ECR\n')
  })

  test("Amazon's newest helper finds the API without its name, by AWS_ENDPOINT_URL_ECR", async () => {
    const helper = builtEcrLogin()
    if (helper === undefined) return
    const ownName = join(dir.path, 'hosts-without-names-of-ecr')
    writeFileSync(ownName, `::1 ${serverName}\n`)

    const { stdout } = await onAliasedMachine(['sh', '-c', `echo ${registry} | ${helper} get`], {
      AWS_ENDPOINT_URL_ECR: `https://${serverName}`,
      HOME: join(dir.path, 'home-without-names-of-ecr'),
    }, ownName)

    expect(JSON.parse(stdout)).toMatchObject({ Username: 'AWS' })
  })
})

/** Debian's is old and uses the first SDK for Go; the newest is built where there is Go, else the output says why not. */
function ecrLoginHelpers(): readonly { source: string; find: () => string | undefined }[] {
  return [
    { source: 'of Debian', find: () => ensureTool('docker-credential-ecr-login') },
    { source: 'built with Go', find: builtEcrLogin },
  ]
}

function builtEcrLogin(): string | undefined {
  const environment = { ...process.env, HOME: process.env['HOME'] ?? '/' }
  const { stdout } = spawnSync(join(projectDir, 'scripts/setup-ecr-login.sh'), { env: environment, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' })
  return stdout.trim() === '' ? undefined : stdout.trim()
}

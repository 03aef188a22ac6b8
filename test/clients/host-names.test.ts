import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { dirname, join } from 'node:path'
import { CreateRepositoryCommand, DescribeRepositoriesCommand, ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createCertificate } from '../support/certificates.ts'
import { createDistributionClient, type ClientResponse, type Credentials, type DistributionClient } from '../support/distribution-client.ts'
import { createDockerClient, useDockerEngine, type DockerClient } from '../support/docker-engine.ts'
import { helloProgram } from '../support/hello-program.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool, projectDir, programScript } from '../support/tools.ts'

const domain = 'amazonaws.com'
const account = '000000000000'
const home = `${account}.dkr.ecr.us-east-1.${domain}`
const abroad = `${account}.dkr.ecr.eu-west-1.${domain}`
const stranger = `999999999999.dkr.ecr.us-east-1.${domain}`

let stowage: Stowage
let docker: DockerClient
let direct: DistributionClient
let dir: TempDir
let repository: string
let repositories = 0

beforeAll(async () => {
  dir = createTempDir('host-names')
  const engine = await useDockerEngine()
  docker = createDockerClient(engine)
  const names = [home, abroad, stranger]
  const regions = ['us-east-1', 'eu-west-1', 'ap-south-1']
  const tls = await createCertificate(join(dir.path, 'tls'), [
    ...regions.flatMap((region) => [`dkr.ecr.${region}.${domain}`, `*.dkr.ecr.${region}.${domain}`]),
    '*.dkr.ecr.eu-west-1.example.com',
  ])
  // The port that ECR's names stand for without one.
  stowage = await startStowage({ address: '::1', port: 443, tls, env: { STOWAGE_REGISTRY_DOMAIN: domain } })
  direct = createDistributionClient(stowage.url, stowage.credentials, { ca: readFileSync(tls.certFile, 'utf8') })
  await run(process.execPath, [programScript(), 'trust', '--install', '--ca', tls.certFile, '--certs-dir', engine.certsDir, '--host', ...names], {
    cwd: projectDir,
  })
})

afterAll(async () => {
  docker?.remove()
  direct?.close()
  await stowage?.stop()
  dir?.remove()
})

beforeEach(() => {
  repositories += 1
  repository = `named/app-${repositories}`
})

/** Runs lines as a user types them; commands may fail. */
async function shell(script: string, cwd = dir.path): Promise<RunResult> {
  const path = [dirname(ensureTool('aws')), '/usr/sbin:/usr/bin:/sbin:/bin'].join(':')
  return run('sh', ['-euc', script], { env: { ...stowage.awsEnv, ...docker.env, PATH: path }, cwd, mayFail: true })
}

function buildContext(line: string): string {
  const path = join(dir.path, 'context')
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'hello'), helloProgram(line), { mode: 0o755 })
  writeFileSync(join(path, 'Dockerfile'), 'FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n')
  return path
}

function sdk(region: string): ECRClient {
  const httpsAgent = new Agent({ ca: readFileSync(stowage.caFile!) })
  return new ECRClient({ endpoint: stowage.url, region, credentials: stowage.keys, maxAttempts: 1, requestHandler: { httpsAgent } })
}

/** What docker logs in with, from a token of a region. */
async function tokenOf(region: string): Promise<Credentials> {
  const client = sdk(region)
  const { authorizationData } = await client.send(new GetAuthorizationTokenCommand({}))
  client.destroy()
  const [username = '', password = ''] = Buffer.from(authorizationData?.[0]?.authorizationToken ?? '', 'base64').toString().split(':')
  return { username, password }
}

async function get(host: string, path: string, auth: Credentials = stowage.credentials): Promise<ClientResponse> {
  return direct.request('GET', path, { headers: { host }, auth })
}

const firstError = (answer: ClientResponse): unknown => (answer.json() as { errors: readonly unknown[] }).errors[0]

describe('docker at ECR names', () => {
  test('the walkthrough works with nothing changed in it: log-in, push, pull', async () => {
    const context = buildContext('by its ECR name')
    const walked = await shell(
      `docker build -t my-app:latest .
       aws ecr create-repository --repository-name my-app --region us-east-1
       aws ecr get-login-password --region us-east-1 | docker login --username AWS --password-stdin ${home}
       docker tag my-app:latest ${home}/my-app:latest
       docker push ${home}/my-app:latest
       docker rmi --force my-app:latest ${home}/my-app:latest
       docker pull ${home}/my-app:latest`,
      context,
    )
    const { stdout } = await docker.docker(['run', '--rm', '--network', 'host', `${home}/my-app:latest`])

    expect(walked.exitCode, walked.output).toBe(0)
    expect(walked.output).toContain(`"repositoryUri": "${home}/my-app"`)
    expect(walked.output).toContain('Login Succeeded')
    expect(walked.output).toContain('Downloaded newer image')
    expect(stdout).toBe('by its ECR name\n')
  })

  test("at another account's name one is known, as at ECR, and refused in words whatever one does there", async () => {
    const login = await shell(`aws ecr get-login-password | docker login --username AWS --password-stdin ${stranger}`)
    const pull = await shell(`docker pull ${stranger}/my-app:latest`)
    const push = await shell(`docker build -q -t ${stranger}/my-app:latest . && docker push ${stranger}/my-app:latest`, buildContext('pushed'))
    const forged = await shell(`echo wrong | docker login --username AWS --password-stdin ${stranger}`)

    expect(login.output).toContain('Login Succeeded')
    expect(forged.output).not.toContain('Login Succeeded')
    const resource = 'arn:aws:ecr:us-east-1:999999999999:repository/my-app'
    expect(pull.exitCode).not.toBe(0)
    expect(pull.output).toMatch(new RegExp(`denied: User: arn:aws:iam::${account}:root is not authorized to perform: ecr:\\w+ on resource: ${resource}`))
    expect(push.exitCode).not.toBe(0)
    expect(push.output).toMatch(new RegExp(`denied: User: arn:aws:iam::${account}:root is not authorized to perform: ecr:\\w+ on resource: ${resource}`))
    const answer = await get(stranger, '/v2/my-app/manifests/latest')
    expect(answer.status).toBe(403)
    expect(firstError(answer)).toMatchObject({ code: 'DENIED', message: expect.stringContaining(resource) })
  })

  test('a token of one region does not log in to another, and the answer says why', async () => {
    const login = await shell(`aws ecr get-login-password --region us-east-1 | docker login --username AWS --password-stdin ${abroad}`)
    const right = await shell(`aws ecr get-login-password --region eu-west-1 | docker login --username AWS --password-stdin ${abroad}`)

    expect(login.exitCode).not.toBe(0)
    expect(login.output).toContain('403 Forbidden')
    expect(right.output).toContain('Login Succeeded')
    const answer = await get(abroad, '/v2/', await tokenOf('us-east-1'))
    expect(answer.status).toBe(403)
    expect(firstError(answer)).toMatchObject({
      code: 'DENIED',
      message: 'The authorization token is for region us-east-1 and cannot be used in eu-west-1.',
    })
  })
})

describe('the region in the name', () => {
  test('selects another registry: what is in one is not in the other', async () => {
    const europe = sdk('eu-west-1')
    const america = sdk('us-east-1')

    const { repository: created } = await europe.send(new CreateRepositoryCommand({ repositoryName: repository }))
    await pushTo(abroad, 'v1', 'european')

    expect(created).toMatchObject({
      repositoryArn: `arn:aws:ecr:eu-west-1:${account}:repository/${repository}`,
      repositoryUri: `${abroad}/${repository}`,
    })
    await expect(america.send(new DescribeRepositoriesCommand({ repositoryNames: [repository] }))).rejects.toMatchObject({
      name: 'RepositoryNotFoundException',
    })
    const tags = `/v2/${repository}/tags/list`
    expect((await get(abroad, tags)).json()).toEqual({ name: repository, tags: ['v1'] })
    const missing = await get(home, tags)
    expect(missing.status).toBe(404)
    expect(firstError(missing)).toMatchObject({ code: 'NAME_UNKNOWN' })

    await america.send(new CreateRepositoryCommand({ repositoryName: repository }))
    await pushTo(home, 'v2', 'american')
    expect((await get(home, tags)).json()).toEqual({ name: repository, tags: ['v2'] })
    expect((await get(abroad, tags)).json()).toEqual({ name: repository, tags: ['v1'] })
    europe.destroy()
    america.destroy()
  })

  test('is that of the token where the name has none', async () => {
    const europe = sdk('eu-west-1')
    await europe.send(new CreateRepositoryCommand({ repositoryName: repository }))
    europe.destroy()
    const tags = `/v2/${repository}/tags/list`

    expect((await get('[::1]:443', tags, await tokenOf('eu-west-1'))).status).toBe(200)
    expect((await get('[::1]:443', tags, await tokenOf('us-east-1'))).status).toBe(404)
    // The default region of the installation is that of keys.
    expect((await get('[::1]:443', tags)).status).toBe(404)
  })

  test('where nothing was ever created, every repository is unknown', async () => {
    const answer = await get(`${account}.dkr.ecr.ap-south-1.${domain}`, `/v2/${repository}/manifests/latest`)

    expect(answer.status).toBe(404)
    expect(firstError(answer)).toMatchObject({ code: 'NAME_UNKNOWN' })
  })

  test('counts below the configured domain only, with or without a port and in any case', async () => {
    const europe = sdk('eu-west-1')
    await europe.send(new CreateRepositoryCommand({ repositoryName: repository }))
    europe.destroy()
    const status = async (host: string): Promise<number> => (await get(host, `/v2/${repository}/tags/list`)).status

    expect(await status(abroad)).toBe(200)
    expect(await status(`${abroad}:443`)).toBe(200)
    expect(await status(abroad.toUpperCase())).toBe(200)
    // Names of nothing here: the caller's own registry, in the default region.
    expect(await status(`${account}.dkr.ecr.eu-west-1.example.com`)).toBe(404)
    expect(await status(`dkr.ecr.eu-west-1.${domain}`)).toBe(404)
  })

  /** As `pushImage`, at a host name that this machine cannot look up. */
  async function pushTo(host: string, tag: string, seed: string): Promise<void> {
    const ca = readFileSync(stowage.caFile!, 'utf8')
    await pushImage({ url: stowage.url, repository, auth: stowage.credentials, ca, host }, buildImage({ seed }), tag)
  }
})

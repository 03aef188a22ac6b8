import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BatchGetImageCommand, CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { createDistributionClient, type DistributionClient } from '../support/distribution-client.ts'
import { iamClient, newUser } from '../support/identities.ts'
import { buildImage, pushImage } from '../support/images.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

const repository = 'retired/app'

interface Puller {
  readonly credentials: { readonly username: string; readonly password: string }
  readonly oci: DistributionClient
  readonly ecr: ECRClient
}

let dir: TempDir
let stowage: Stowage
let client: DistributionClient
let ecr: ECRClient
let path: string
let tag: string
let digest: string
let count = 0
const pullers: Puller[] = []

beforeAll(async () => {
  dir = createTempDir('retirement')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'))
  stowage = await startStowage()
  client = createDistributionClient(stowage.url, stowage.credentials)
  ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }))
})
afterAll(async () => {
  for (const { oci, ecr: api } of pullers) {
    oci.close()
    api.destroy()
  }
  client?.close()
  ecr?.destroy()
  await stowage?.stop()
  dir?.remove()
})
beforeEach(async () => {
  count += 1
  tag = `v${count}`
  const image = buildImage({ seed: `retirement ${count}` })
  digest = image.manifest.digest
  await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, tag)
})

async function image(...words: string[]): Promise<RunResult> {
  return run('stowage', ['image', ...words], { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path }, mayFail: true })
}

async function done(...words: string[]): Promise<string> {
  const result = await image(...words)
  expect(result.exitCode, result.output).toBe(0)
  return result.stdout
}

const manifest = (method: 'GET' | 'HEAD', reference: string, headers: Record<string, string> = {}) =>
  client.request(method, `/v2/${repository}/manifests/${reference}`, { headers })

it('warns whoever pulls a deprecated image, as OCI has it, and nobody else', async () => {
  expect((await manifest('GET', tag)).headers.warning).toBeUndefined()

  await done('retire', `${repository}:${tag}`, '--reason', 'says "no" to café', '--replaced-by', `${repository}:v99`)

  const warning = `299 - "this image is deprecated: says \\"no\\" to caf?; use ${repository}:v99 instead"`
  const got = await manifest('GET', tag)
  expect([got.status, got.headers.warning]).toEqual([200, warning])
  expect((await manifest('HEAD', digest)).headers.warning).toBe(warning)
  const unchanged = await manifest('GET', digest, { 'if-none-match': `"${digest}"` })
  expect([unchanged.status, unchanged.headers.warning]).toEqual([304, warning])

  await done('unretire', `${repository}:${tag}`)
  expect((await manifest('GET', tag)).headers.warning).toBeUndefined()
})

it('blocks an image for new deployments, and says so in the words of each protocol', async () => {
  const user = await puller('ecr:*')
  const trusted = await puller('ecr:*', 'stowage:PullBlockedImage')
  await done('retire', `${repository}:${tag}`, '--state', 'blocked', '--reason', 'leaks memory')

  const refused = await user.oci.request('GET', `/v2/${repository}/manifests/${tag}`)
  expect(refused.status).toBe(403)
  expect(refused.json()).toMatchObject({
    errors: [{ code: 'DENIED', message: 'this image is blocked for new deployments: leaks memory. Nothing is known to run it, and to pull it all the same needs stowage:PullBlockedImage.' }],
  })
  expect((await user.oci.request('HEAD', `/v2/${repository}/manifests/${digest}`)).status).toBe(403)
  const { images, failures } = await user.ecr.send(new BatchGetImageCommand({ repositoryName: repository, imageIds: [{ imageTag: tag }] }))
  expect(images).toEqual([])
  expect(failures).toMatchObject([{ failureCode: 'ImageInaccessible', failureReason: expect.stringContaining('leaks memory') }])

  const shown = await skopeoInspect(user.credentials)
  expect([shown.exitCode === 0, shown.output]).toEqual([false, expect.stringContaining('leaks memory')])

  const got = await trusted.oci.request('GET', `/v2/${repository}/manifests/${tag}`)
  expect([got.status, got.headers.warning]).toEqual([200, expect.stringContaining('leaks memory')])
  expect((await trusted.ecr.send(new BatchGetImageCommand({ repositoryName: repository, imageIds: [{ imageTag: tag }] }))).images).toHaveLength(1)
})

it('shows the state of an image, living or deleted', async () => {
  await done('retire', `${repository}:${tag}`, '--reason', 'too old', '--block-at', '2099-01-31', '--delete-at', '2099-02-28')

  expect(JSON.parse(await done('describe', `${repository}:${tag}`, '--json'))).toMatchObject({
    repositoryName: repository,
    imageDigest: digest,
    imageTags: [tag],
    imageStatus: 'ACTIVE',
    retirement: { state: 'DEPRECATED', steps: [{ state: 'BLOCKED', at: '2099-01-31T00:00:00.000Z' }, { state: 'TRASHED', at: '2099-02-28T00:00:00.000Z' }] },
    unit: [digest],
    listedBy: [],
    heldBy: [],
  })
  expect((await client.request('DELETE', `/v2/${repository}/manifests/${digest}`)).status).toBe(202)
  const text = await done('describe', `${repository}@${digest}`)
  expect(text).toMatch(/^state {7}in the trash$/mu)
  expect(text).toMatch(new RegExp(`^had tags {4}${tag}$`, 'mu'))
  expect(text).toMatch(/^undo {8}stowage trash restore [a-z0-9/-]+@sha256:[0-9a-f]{64}, until \d{4}-/mu)
})

it('refuses steps that are past or in no order, and what is not there, and changes nothing', async () => {
  const past = await image('retire', `${repository}:${tag}`, '--reason', 'r', '--delete-at', '2020-01-01')
  expect(past.exitCode).not.toBe(0)
  expect(past.stderr).toContain('InvalidParameterException')
  const disordered = await image('retire', `${repository}:${tag}`, '--reason', 'r', '--block-at', '2099-02-01', '--delete-at', '2099-01-01')
  expect(disordered.stderr).toContain('InvalidParameterException')
  const afterTheEnd = await image('retire', `${repository}:${tag}`, '--reason', 'r', '--archive-at', '2099-02-01', '--delete-at', '2099-01-01')
  expect(afterTheEnd.stderr).toContain('DEPRECATED, BLOCKED, ARCHIVED, TRASHED')
  const absent = await image('retire', `${repository}:nothing`, '--reason', 'r')
  expect(absent.stderr).toContain('ImageNotFoundException')
  expect(JSON.parse(await done('describe', `${repository}:${tag}`, '--json'))).not.toHaveProperty('retirement')
})

async function puller(...actions: string[]): Promise<Puller> {
  const iam = iamClient(stowage.url, stowage.keys)
  const user = await newUser(iam, { Action: actions, Resource: '*' })
  iam.destroy()
  const own = { credentials: user.credentials, oci: createDistributionClient(stowage.url, user.credentials), ecr: new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: user }) }
  pullers.push(own)
  return own
}

/** What a person sees who asks for the image. */
function skopeoInspect({ username, password }: Puller['credentials']): Promise<RunResult> {
  const policy = join(dir.path, 'policy.json')
  writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}')
  const source = `docker://${stowage.registryHost}/${repository}:${tag}`
  return run(ensureTool('skopeo'), ['--policy', policy, 'inspect', '--tls-verify=false', '--creds', `${username}:${password}`, source], { env: { HOME: dir.path }, mayFail: true })
}

it('lists the images of a repository, those of one state alone, and what is to come of them', async () => {
  expect((await image('retire', `${repository}:${tag}`, '--reason', 'old', '--delete-at', '2099-02-28')).exitCode).toBe(0)

  const { stdout } = await image('list', repository, '--state', 'deprecated')
  expect(stdout.split('\n').find((line) => line.startsWith(digest.slice(0, 19)))).toMatch(new RegExp(`${tag} +deprecated .* trashed 2099-02-28$`))
  const states = JSON.parse((await image('list', repository, '--json')).stdout) as { imageDigest: string; state: string }[]
  expect(states.find(({ imageDigest }) => imageDigest === digest)).toMatchObject({ state: 'DEPRECATED', imageTags: [tag], retirement: { reason: 'old' }, heldBy: [] })
  expect((await image('list', repository, '--state', 'archived')).stdout).toBe('There is no such image.\n')
})

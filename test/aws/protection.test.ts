import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createDistributionClient } from '../support/distribution-client.ts'
import { iamClient, newUser, type TestUser } from '../support/identities.ts'
import { buildImage, buildIndex, pushImage, type Image } from '../support/images.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

let dir: TempDir
let stowage: Stowage
let path: string
const repository = 'guarded/app'

beforeAll(async () => {
  dir = createTempDir('protection')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'), dirname(ensureTool('aws')))
  stowage = await startStowage()
  await aws('create-repository', '--repository-name', repository)
})

afterAll(async () => {
  await stowage?.stop()
  dir?.remove()
})

const command = (program: string, words: readonly string[], keys: Partial<TestUser> = {}): Promise<RunResult> =>
  run(program, words, {
    env: {
      ...stowage.awsEnv,
      PATH: path,
      HOME: dir.path,
      ...(keys.accessKeyId !== undefined && { AWS_ACCESS_KEY_ID: keys.accessKeyId, AWS_SECRET_ACCESS_KEY: keys.secretAccessKey ?? '' }),
    },
    mayFail: true,
  })
const aws = (...words: string[]): Promise<RunResult> => command('aws', ['ecr', ...words, '--output', 'json'])
async function say(...words: string[]): Promise<RunResult> {
  const result = await command('stowage', words)
  expect(result.exitCode, result.output).toBe(0)
  return result
}
async function push(image: Image, tag: string): Promise<string> {
  await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, tag)
  return image.manifest.digest
}
async function failureOf(...ids: string[]): Promise<unknown[]> {
  const { stdout, output } = await aws('batch-delete-image', '--repository-name', repository, '--image-ids', ...ids)
  return (JSON.parse(stdout === '' ? output : stdout) as { failures: unknown[] }).failures
}
async function deleteOverOci(reference: string): Promise<{ status: number; body: string }> {
  const client = createDistributionClient(stowage.url, stowage.credentials)
  try {
    const { status, body } = await client.request('DELETE', `/v2/${repository}/manifests/${reference}`)
    return { status, body: body.toString() }
  } finally {
    client.close()
  }
}

it('refuses what is protected in the words of each protocol, and lets it go when it no longer is', async () => {
  const digest = await push(buildImage({ seed: 'protected' }), 'prod')
  await say('protect', 'add', repository, '--tag', 'prod', '--reason', 'serves customers', '--owner', 'sre@example.com')
  const reason = "the tag 'prod' is protected by sre@example.com: serves customers"

  for (const id of ['imageTag=prod', `imageDigest=${digest}`]) {
    expect(await failureOf(id)).toMatchObject([{ failureCode: 'ImageInaccessible', failureReason: `Requested image must not be deleted: ${reason}` }])
  }
  for (const reference of ['prod', digest]) {
    const { status, body } = await deleteOverOci(reference)
    expect([status, JSON.parse(body)]).toEqual([405, { errors: [expect.objectContaining({ code: 'UNSUPPORTED', message: expect.stringContaining(reason) })] }])
  }
  // As terraform destroy does with force_delete.
  const refused = await aws('delete-repository', '--repository-name', repository, '--force')
  expect([refused.exitCode > 0, refused.stderr]).toEqual([true, expect.stringMatching(/\(RepositoryNotEmptyException\) when calling the DeleteRepository operation: .*serves customers/u)])
  expect((await say('protect', 'list', repository)).stdout).toMatch(/^protects {2}ends {3}owner +reason\ntag prod {2}never {2}sre@example\.com {2}serves customers\n$/u)

  await say('protect', 'remove', repository, '--tag', 'prod')
  expect(await failureOf(`imageDigest=${digest}`)).toEqual([])
})

it('keeps what a job beside a cluster reports, with the index around it, and reports with one right alone', async () => {
  const [amd64, arm64] = [buildImage({ seed: 'amd64' }), buildImage({ seed: 'arm64', platform: { os: 'linux', architecture: 'arm64' } })]
  const index = await push(buildIndex([amd64, arm64]), 'multi')
  const idle = await push(buildImage({ seed: 'idle' }), 'idle')
  const iam = iamClient(stowage.url, stowage.keys)
  const right = (name: string) => ({ Action: 'stowage:PutUsageLeases', Resource: `arn:aws:stowage:${stowage.region}:000000000000:usage-source/${name}` })
  const [reporter, stranger] = [await newUser(iam, right('prod-cluster')), await newUser(iam, right('prod-cluster'))]
  iam.destroy()
  await say('usage', 'register', 'prod-cluster', '--principal', reporter.arn, '--environment', 'production', '--scope', 'guarded/*', '--interval', '10m')

  const pods = join(dir.path, 'pods.json')
  const pod = (name: string, imageID: string) => ({ metadata: { name, namespace: 'shop' }, status: { phase: 'Running', containerStatuses: [{ imageID }] } })
  writeFileSync(pods, JSON.stringify({ kind: 'List', items: [pod('web', `${stowage.registryHost}/${repository}@${arm64.manifest.digest}`)] }))
  const report = (keys: TestUser) => command('stowage', ['usage', 'report', 'prod-cluster', '--from', pods], keys)
  const denied = await report(stranger)
  expect([denied.exitCode, denied.stderr]).toEqual([1, expect.stringContaining(`Only ${reporter.arn} reports for the usage source`)])
  expect(await report(reporter)).toMatchObject({ exitCode: 0, stdout: 'prod-cluster reported 1 lease.\n' })
  // It can do that and nothing else.
  expect((await command('stowage', ['usage', 'list'], reporter)).stderr).toContain('stowage:DescribeUsageSources')
  expect((await command('stowage', ['hold', 'list'], reporter)).stderr).toContain('stowage:ListHolds')

  const reason = `${arm64.manifest.digest} is in use by shop/Pod/web (usage source 'prod-cluster', production)`
  expect(await failureOf('imageTag=multi', 'imageTag=idle')).toMatchObject([{ imageId: { imageTag: 'multi' }, failureCode: 'ImageInaccessible', failureReason: expect.stringContaining(reason) }])
  expect(await deleteOverOci(index)).toMatchObject({ status: 405, body: expect.stringContaining(arm64.manifest.digest) })
  expect((await aws('delete-repository', '--repository-name', repository, '--force')).stderr).toContain('RepositoryNotEmptyException')
  expect((await aws('describe-images', '--repository-name', repository, '--image-ids', `imageDigest=${idle}`)).exitCode).not.toBe(0)

  // Nothing at all, and an answer that is none, are not sent; half of it is doubted.
  for (const text of ['', 'error: You must be logged in to the server']) {
    writeFileSync(pods, text)
    expect(await report(reporter)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('nothing was reported') })
  }
  const empty = await command('stowage', ['usage', 'report', 'prod-cluster', '--from', pods, '--nothing-runs', '--number', '9000000000'], reporter)
  expect(empty.exitCode).toBe(2)
  writeFileSync(pods, '')
  const nothing = await command('stowage', ['usage', 'report', 'prod-cluster', '--from', pods, '--nothing-runs', '--number', '9000000001'], reporter)
  expect([nothing.exitCode, nothing.stderr]).toEqual([1, expect.stringContaining('stowage usage accept prod-cluster 9000000001')])
  expect((await say('usage', 'list')).stdout).toMatch(/prod-cluster {2}shrunken/u)
  expect((await say('hold', 'list')).stdout).toMatch(/source .* on hold {2}guarded\/\* .* suddenly reports much less than before/u)
  await say('usage', 'accept', 'prod-cluster', '9000000001')
  expect((await say('hold', 'list')).stdout).not.toContain('source')
  expect(await failureOf('imageTag=multi')).toEqual([])
  await say('usage', 'decommission', 'prod-cluster', '--reason', 'the test is over')
})

it('counts holds, stays ready, and tells of them at the next start', async () => {
  expect((await say('hold', 'list')).stdout).toBe('Nothing is on hold.\n')
  await say('hold', 'place', 'an incident')
  const [, id] = /^(\d+) +operator/mu.exec((await say('hold', 'list')).stdout) ?? []
  expect((await fetch(`${stowage.url}/readyz`)).status).toBe(200)
  await say('hold', 'release', id ?? '', '--reason', 'over')
  expect((await say('hold', 'list', '--all')).stdout).toMatch(/operator .* released /u)
  expect((await command('stowage', ['hold', 'release', id ?? '', '--reason', 'over'])).stderr).toContain(`no hold ${id} that is not released`)
})

import { DescribeImagesCommand, DescribeRepositoriesCommand, ECRClient, ListTagsForResourceCommand, PutImageCommand } from '@aws-sdk/client-ecr'
import { afterEach, describe, expect, it } from 'vitest'
import { createDistributionClient, type DistributionClient } from '../support/distribution-client.ts'
import { buildImage, digestOf, pushImage } from '../support/images.ts'
import { databases, type DatabaseKind } from '../support/registry.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { projectDir, programScript } from '../support/tools.ts'
import { loadFixture, upgradeFixtures, type EcrView, type InstallationContents, type LoadedFixture } from '../support/upgrade-fixture.ts'

let dir: TempDir
let running: Stowage | undefined
let client: DistributionClient | undefined

afterEach(async () => {
  client?.close()
  await running?.stop()
  running = undefined
  dir.remove()
})

describe.each(upgradeFixtures)('an installation of version %s', (fixture) => {
  it.each(databases)('opens on %s: everything is there, and everything works', async (kind) => {
    dir = createTempDir('upgrade')
    const { contents, databaseUrl } = await loadFixture(fixture, kind, dir.path)
    await expectPlan(kind, databaseUrl)

    const stowage = await serve(databaseUrl)
    client = createDistributionClient(stowage.url, stowage.credentials)
    const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys, maxAttempts: 1 })

    for (const view of contents.ecr) expect(await ecrView(ecr, stowage, view), view.operation).toMatchObject(view.output as object)
    await expectHttpViews(client, contents)

    await finishUpload(client, contents)
    await restoreFromTrash(client, contents)
    await expectImmutable(ecr, contents)
    await pushAndDelete(stowage, client)
    ecr.destroy()

    const check = await cli(['migrate', '--check'], databaseUrl)
    expect([check.exitCode, check.stdout]).toEqual([0, 'The database is up to date.\n'])
  })
})

/** Between them are all the migrations. */
const ends = [upgradeFixtures[0]!, upgradeFixtures.at(-1)!]

describe.each(ends)('an installation of version %s', (fixture) => {
  it.each(databases)('opens on %s again after the newer version was killed', async (kind) => {
    dir = createTempDir('upgrade')
    const { contents, databaseUrl } = await loadFixture(fixture, kind, dir.path)
    const first = await serve(databaseUrl)
    running = undefined
    first.kill('SIGKILL')
    await first.exited

    const stowage = await serve(databaseUrl)
    client = createDistributionClient(stowage.url, stowage.credentials)
    await expectHttpViews(client, contents)
    await finishUpload(client, contents)
  })
})

/** With the root key that the earlier version had made and kept. */
async function serve(databaseUrl: string | undefined) {
  const stowage = await startStowage({ dataDir: dir.path, keys: 'kept', ...(databaseUrl === undefined ? {} : { databaseUrl }) })
  running = stowage
  return stowage
}

function cli(words: readonly string[], databaseUrl: LoadedFixture['databaseUrl']) {
  const env = { STOWAGE_DATA_DIR: dir.path, ...(databaseUrl === undefined ? {} : { STOWAGE_DATABASE_URL: databaseUrl }) }
  return run(process.execPath, [programScript(), ...words], { cwd: projectDir, env, mayFail: true })
}

/** `migrate --check` names what the start below will run, each with a description. */
async function expectPlan(kind: DatabaseKind, databaseUrl: string | undefined): Promise<void> {
  const { exitCode, stdout } = await cli(['migrate', '--check', '--json'], databaseUrl)
  const plan = JSON.parse(stdout) as { database: string; applied: string[]; pending: { name: string; changes: string; duration: string }[] }
  expect(plan.database).toBe(kind)
  expect(plan.applied.length).toBeGreaterThan(0)
  expect(exitCode).toBe(plan.pending.length === 0 ? 0 : 6)
  for (const { name, changes, duration } of plan.pending) {
    expect(changes, name).toMatch(/^\S.{20,}/u)
    expect(duration, name).toBe('a moment')
  }
}

async function expectHttpViews(from: DistributionClient, contents: InstallationContents): Promise<void> {
  expect(contents.http.length).toBeGreaterThan(30)
  for (const view of contents.http) {
    const { status, headers, body } = await from.request('GET', view.path)
    expect({ path: view.path, status, contentType: headers['content-type'], body: body.toString('utf8') }).toEqual(view)
    const digest = /(sha256|sha512):[0-9a-f]+$/u.exec(view.path)
    if (digest && view.path.includes('/blobs/')) expect(digestOf(body, digest[1] as 'sha256')).toBe(digest[0])
  }
}

async function ecrView(ecr: ECRClient, stowage: Stowage, { operation, input }: EcrView): Promise<unknown> {
  const answer = async (): Promise<unknown> => {
    switch (operation) {
      case 'DescribeRepositories':
        return (await ecr.send(new DescribeRepositoriesCommand(input))).repositories
      case 'DescribeImages':
        return (await ecr.send(new DescribeImagesCommand(input as { repositoryName: string }))).imageDetails
      case 'ListTagsForResource':
        return (await ecr.send(new ListTagsForResourceCommand(input as { resourceArn: string }))).tags
    }
  }
  return JSON.parse(JSON.stringify(await answer()).replaceAll(stowage.registryHost, '<host>'))
}

async function finishUpload(from: DistributionClient, { upload }: InstallationContents): Promise<void> {
  const status = await from.request('GET', upload.location)
  expect([status.status, status.headers.range]).toEqual([204, `0-${upload.offset - 1}`])
  const done = await from.request('PUT', `${upload.location}?digest=${upload.digest}`, { body: upload.rest })
  expect(done.status).toBe(201)
  const { body } = await from.request('GET', done.headers.location ?? '')
  expect(digestOf(body)).toBe(upload.digest)
}

/** A push of the same image brings it back, and its layers with it. */
async function restoreFromTrash(from: DistributionClient, { trashed }: InstallationContents): Promise<void> {
  const digest = digestOf(Buffer.from(trashed.manifest))
  const path = `/v2/${trashed.repository}/manifests/`
  expect((await from.request('GET', `${path}${digest}`)).status).toBe(404)
  const put = await from.request('PUT', `${path}${trashed.tags[0]}`, { headers: { 'content-type': trashed.mediaType }, body: trashed.manifest })
  expect(put.status).toBe(201)
  const { layers } = (await from.request('GET', `${path}${digest}`)).json() as { layers: { digest: string }[] }
  for (const layer of layers) {
    expect(digestOf((await from.request('GET', `/v2/${trashed.repository}/blobs/${layer.digest}`)).body)).toBe(layer.digest)
  }
}

async function expectImmutable(ecr: ECRClient, { immutable, http }: InstallationContents): Promise<void> {
  const present = http.find(({ path }) => path === `/v2/${immutable.repository}/manifests/${immutable.tag}`)
  const other = new PutImageCommand({ repositoryName: immutable.repository, imageTag: immutable.tag, imageManifest: `${present?.body} ` })
  await expect(ecr.send(other)).rejects.toMatchObject({ name: 'ImageTagAlreadyExistsException' })
}

async function pushAndDelete(stowage: Stowage, from: DistributionClient): Promise<void> {
  const image = buildImage({ seed: 'pushed by the newer version' })
  await pushImage({ url: stowage.url, repository: 'team/app', auth: stowage.credentials }, image, 'v3')
  expect(digestOf((await from.request('GET', '/v2/team/app/manifests/v3')).body)).toBe(image.manifest.digest)
  const byTag = '/v2/team/app/manifests/'
  for (const reference of ['v2', image.manifest.digest]) {
    expect((await from.request('DELETE', `${byTag}${reference}`)).status, reference).toBe(202)
    expect((await from.request('GET', `${byTag}${reference}`)).status, reference).toBe(404)
  }
}

import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import {
  BatchDeleteImageCommand,
  CreateRepositoryCommand,
  DeleteRepositoryCommand,
  DescribeImagesCommand,
  DescribeRepositoriesCommand,
  ECRClient,
  ListTagsForResourceCommand,
  PutImageTagMutabilityCommand,
} from '@aws-sdk/client-ecr'
import { createDistributionClient, type DistributionClient } from '../test/support/distribution-client.ts'
import { content, digestOf, type Content } from '../test/support/images.ts'
import { createDatabase, startPostgres } from '../test/support/postgres.ts'
import { run } from '../test/support/run.ts'
import { startStowage, type Stowage } from '../test/support/start-stowage.ts'
import { createTempDir } from '../test/support/temp-dir.ts'
import { ensureTool, projectDir } from '../test/support/tools.ts'
import { dumpSqlite } from '../test/support/sqlite-dump.ts'
import type { EcrView, HttpView, InstallationContents, OpenUpload } from '../test/support/upgrade-fixture.ts'

/*
 * Makes an installation with the code of a released version and keeps it as text: each later version has to open it
 * (test/upgrade). Its layers are short texts and everything secret in it was made up for it.
 *
 *   node scripts/make-upgrade-fixture.ts <name> [--project <checkout of the version>]
 */

const { positionals, values } = parseArgs({ allowPositionals: true, options: { project: { type: 'string' } } })
const [name] = positionals
if (name === undefined) throw new Error('which name? It is that of the last migration of that version, e.g. 0001-foundation')
const versionDir = resolve(values.project ?? projectDir)
const fixtureDir = join(projectDir, 'test/upgrade/fixtures', name)

const mediaTypes = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
}

await makeEmbedded()
await makePostgres()
console.log(`written to ${fixtureDir}`)

async function makeEmbedded(): Promise<void> {
  const data = createTempDir('fixture')
  const stowage = await startStowage({ dataDir: data.path, projectDir: versionDir, keys: 'kept' })
  const contents = await fill(stowage)
  await stowage.stop()
  keep('embedded', data.path, contents, dumpSqlite(join(data.path, 'stowage.db')))
  data.remove()
}

async function makePostgres(): Promise<void> {
  const cluster = await startPostgres()
  try {
    const { url } = await createDatabase(cluster.url)
    const data = createTempDir('fixture')
    const stowage = await startStowage({ dataDir: data.path, databaseUrl: url, projectDir: versionDir, keys: 'kept' })
    const contents = await fill(stowage)
    await stowage.stop()
    const { stdout } = await run(ensureTool('pg_dump'), ['--inserts', '--no-owner', '--no-privileges', url])
    // Without psql's own commands, the comments, and the settings that only some versions of the server know.
    const lines = stdout.split('\n').filter((line) => !/^(\\|--|SET |$)/u.test(line) || /^SET default_/u.test(line))
    keep('postgres', data.path, contents, `${lines.join('\n')}\n`)
    data.remove()
  } finally {
    await cluster.stop()
  }
}

function keep(kind: string, dataDir: string, contents: InstallationContents, sql: string): void {
  const target = join(fixtureDir, kind)
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true })
  cpSync(dataDir, join(target, 'data'), { recursive: true, filter: (path) => !/\/(stowage\.db.*|serve\.lock)$/u.test(path) })
  writeFileSync(join(target, 'metadata.sql'), sql)
  writeFileSync(join(target, 'contents.json'), `${JSON.stringify(contents, undefined, 2)}\n`)
}

/** A little of everything that this version can hold. Answers what its clients see at the end. */
async function fill(stowage: Stowage): Promise<InstallationContents> {
  const ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys })
  const client = createDistributionClient(stowage.url, stowage.credentials)

  await ecr.send(new CreateRepositoryCommand({ repositoryName: 'team/app', tags: [{ Key: 'team', Value: 'payments' }, { Key: 'tier', Value: '1' }] }))
  await ecr.send(new CreateRepositoryCommand({ repositoryName: 'team/multi' }))
  await ecr.send(new CreateRepositoryCommand({ repositoryName: 'library/base' }))
  await ecr.send(new CreateRepositoryCommand({ repositoryName: 'old/gone', tags: [{ Key: 'gone', Value: 'yes' }] }))

  // A tag that moves twice, and one image that nothing but its digest names any more.
  const shared = text('a layer that several images share\n')
  const first = await pushImage(client, 'team/app', 'v1', [shared, text('app, first build\n')])
  const second = await pushImage(client, 'team/app', 'v2', [shared, text('app, second build\n')])
  await tag(client, 'team/app', 'latest', first)
  await tag(client, 'team/app', 'latest', second)
  await pushImage(client, 'team/app', 'edge', [shared, text('app, a build that lost its tag\n')])
  await tag(client, 'team/app', 'edge', second)
  const sha512Layer = text('a layer with a SHA-512 digest\n', 'sha512')
  await pushImage(client, 'team/app', 'sha512', [sha512Layer])

  // Something about the first image, found by its subject.
  const empty = content('application/vnd.oci.empty.v1+json', '{}')
  const note = content('text/plain', 'signed-off-by: nobody\n')
  const referrer = jsonContent(mediaTypes.manifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType: 'application/vnd.example.signature.v1',
    config: descriptor(empty),
    layers: [descriptor(note)],
    subject: descriptor(first),
    annotations: { 'org.example.note': 'made for a test' },
  })
  await pushBlobs(client, 'team/app', [empty, note])
  await putManifest(client, 'team/app', referrer.digest, referrer)

  // An index over two images, one of whose layers was mounted from another repository.
  await expectStatus(client, 'POST', `/v2/team/multi/blobs/uploads/?mount=${shared.digest}&from=team/app`, 201)
  const amd64 = await pushImage(client, 'team/multi', undefined, [shared, text('multi for amd64\n')], 'amd64')
  const arm64 = await pushImage(client, 'team/multi', undefined, [shared, text('multi for arm64\n')], 'arm64')
  const index = jsonContent(mediaTypes.index, {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [amd64, arm64].map((child, n) => ({ ...descriptor(child), platform: { os: 'linux', architecture: ['amd64', 'arm64'][n] } })),
  })
  await putManifest(client, 'team/multi', '1.0', index)

  // Tags that may not move.
  await pushImage(client, 'library/base', 'stable', [text('base\n')])
  await ecr.send(new PutImageTagMutabilityCommand({ repositoryName: 'library/base', imageTagMutability: 'IMMUTABLE' }))

  // The trash: one image with two tags, and one whole repository.
  const trashed = await pushImage(client, 'team/app', 'doomed', [shared, text('app, an image that was deleted\n')])
  await tag(client, 'team/app', 'doomed-too', trashed)
  await ecr.send(new BatchDeleteImageCommand({ repositoryName: 'team/app', imageIds: [{ imageDigest: trashed.digest }] }))
  await pushImage(client, 'old/gone', 'v1', [text('gone with its repository\n')])
  await ecr.send(new DeleteRepositoryCommand({ repositoryName: 'old/gone', force: true }))

  const upload = await leaveUploadOpen(client, 'team/app')
  const repositories = ['team/app', 'team/multi', 'library/base']
  const views = await httpViews(client, repositories)
  return {
    repositories,
    // Asked after the pulls above, which the tests repeat later.
    ecr: await ecrViews(ecr, stowage, repositories),
    http: views,
    trashed: { repository: 'team/app', manifest: trashed.bytes.toString('utf8'), mediaType: trashed.mediaType, tags: ['doomed', 'doomed-too'] },
    immutable: { repository: 'library/base', tag: 'stable' },
    upload,
  }
}

async function leaveUploadOpen(client: DistributionClient, repository: string): Promise<OpenUpload> {
  const whole = 'the first half of a blob, and its second half\n'
  const half = 25
  const begun = await expectStatus(client, 'POST', `/v2/${repository}/blobs/uploads/`, 202)
  const location = new URL(begun.headers.location ?? '', 'http://unused').pathname
  await expectStatus(client, 'PATCH', begun.headers.location ?? '', 202, { body: whole.slice(0, half), headers: { 'content-range': `0-${half - 1}` } })
  return { location, offset: half, rest: whole.slice(half), digest: digestOf(Buffer.from(whole)) }
}

async function httpViews(client: DistributionClient, repositories: readonly string[]): Promise<HttpView[]> {
  const paths = ['/v2/_catalog']
  const follow = async (repository: string, reference: string): Promise<void> => {
    const path = `/v2/${repository}/manifests/${reference}`
    if (paths.includes(path)) return
    paths.push(path)
    const manifest = (await expectStatus(client, 'GET', path, 200)).json() as Partial<Record<'config' | 'subject', Descriptor>> &
      Partial<Record<'layers' | 'manifests', Descriptor[]>>
    for (const child of manifest.manifests ?? []) await follow(repository, child.digest)
    for (const blob of [manifest.config, ...(manifest.layers ?? [])]) {
      if (blob && !paths.includes(`/v2/${repository}/blobs/${blob.digest}`)) paths.push(`/v2/${repository}/blobs/${blob.digest}`)
    }
  }
  for (const repository of repositories) {
    // Pages too: a sort order that changed would show there.
    paths.push(`/v2/${repository}/tags/list`, `/v2/${repository}/tags/list?n=1`)
    const { tags } = (await expectStatus(client, 'GET', `/v2/${repository}/tags/list`, 200)).json() as { tags: string[] }
    for (const each of tags) await follow(repository, each)
  }
  const v1 = digestOf((await expectStatus(client, 'GET', '/v2/team/app/manifests/v1', 200)).body)
  paths.push(`/v2/team/app/referrers/${v1}`, '/v2/old/gone/tags/list', '/v2/team/app/manifests/doomed')
  const views: HttpView[] = []
  for (const path of paths) {
    const { status, headers, body } = await client.request('GET', path)
    views.push({ path, status, contentType: headers['content-type'] ?? '', body: body.toString('utf8') })
  }
  return views
}

async function ecrViews(ecr: ECRClient, stowage: Stowage, repositories: readonly string[]): Promise<EcrView[]> {
  const views: EcrView[] = []
  const all = await ecr.send(new DescribeRepositoriesCommand({}))
  views.push({ operation: 'DescribeRepositories', input: {}, output: all.repositories })
  for (const repository of all.repositories ?? []) {
    const input = { resourceArn: repository.repositoryArn }
    views.push({ operation: 'ListTagsForResource', input, output: (await ecr.send(new ListTagsForResourceCommand(input))).tags })
  }
  for (const repositoryName of repositories) {
    const { imageDetails = [] } = await ecr.send(new DescribeImagesCommand({ repositoryName }))
    views.push({ operation: 'DescribeImages', input: { repositoryName }, output: imageDetails })
  }
  // As plain data, and without the address of a server that is gone.
  return JSON.parse(JSON.stringify(views).replaceAll(stowage.registryHost, '<host>').replaceAll(`127.0.0.1:${stowage.port}`, '<host>')) as EcrView[]
}

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

function descriptor({ mediaType, digest, bytes }: Content): Descriptor {
  return { mediaType, digest, size: bytes.length }
}

function text(words: string, algorithm: 'sha256' | 'sha512' = 'sha256'): Content {
  const bytes = Buffer.from(words)
  return { mediaType: mediaTypes.layer, digest: digestOf(bytes, algorithm), bytes }
}

function jsonContent(mediaType: string, value: unknown): Content {
  return content(mediaType, JSON.stringify(value, undefined, 2))
}

async function pushImage(
  client: DistributionClient,
  repository: string,
  tagName: string | undefined,
  layers: readonly Content[],
  architecture = 'amd64',
): Promise<Content> {
  const config = jsonContent(mediaTypes.config, { os: 'linux', architecture, rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) } })
  await pushBlobs(client, repository, [config, ...layers])
  const manifest = jsonContent(mediaTypes.manifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: descriptor(config),
    layers: layers.map((layer) => descriptor(layer)),
  })
  await putManifest(client, repository, tagName ?? manifest.digest, manifest)
  return manifest
}

async function pushBlobs(client: DistributionClient, repository: string, blobs: readonly Content[]): Promise<void> {
  for (const blob of blobs) {
    const { headers } = await expectStatus(client, 'POST', `/v2/${repository}/blobs/uploads/`, 202)
    const location = headers.location ?? ''
    await expectStatus(client, 'PUT', `${location}${location.includes('?') ? '&' : '?'}digest=${blob.digest}`, 201, { body: blob.bytes })
  }
}

function tag(client: DistributionClient, repository: string, tagName: string, manifest: Content) {
  return putManifest(client, repository, tagName, manifest)
}

async function putManifest(client: DistributionClient, repository: string, reference: string, manifest: Content): Promise<void> {
  await expectStatus(client, 'PUT', `/v2/${repository}/manifests/${reference}`, 201, {
    headers: { 'content-type': manifest.mediaType },
    body: manifest.bytes,
  })
}

async function expectStatus(
  client: DistributionClient,
  method: string,
  path: string,
  status: number,
  request: Parameters<DistributionClient['request']>[2] = {},
) {
  const answer = await client.request(method, path, request)
  if (answer.status !== status) throw new Error(`${method} ${path}: ${answer.status}, not ${status}: ${answer.body.toString('utf8')}`)
  return answer
}

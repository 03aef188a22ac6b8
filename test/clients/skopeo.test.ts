import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { buildImage, buildIndex, buildRandomImage, pushImage, type Image } from '../support/images.ts'
import { CommandError, run, type RunResult } from '../support/run.ts'
import { startDockerRegistry, type DockerRegistry } from '../support/start-docker-registry.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

let stowage: Stowage
let peer: DockerRegistry
let aws: AwsClient
let dir: TempDir
let repository: string
let repositories = 0

beforeAll(async () => {
  peer = await startDockerRegistry()
  stowage = await startStowage()
  aws = createAwsClient(stowage)
  dir = createTempDir('skopeo')
  const password = await aws.text('ecr', 'get-login-password')
  await skopeo(['login', '--username', 'AWS', '--password-stdin', '--tls-verify=false', stowage.registryHost], password)
})

afterAll(async () => {
  dir?.remove()
  await stowage?.stop()
  await peer?.stop()
})

beforeEach(async () => {
  repositories += 1
  repository = `skopeo/app-${repositories}`
  await aws.json('ecr', 'create-repository', '--repository-name', repository)
})

async function skopeo(args: readonly string[], input = ''): Promise<RunResult> {
  const env = { REGISTRY_AUTH_FILE: join(dir.path, 'auth.json') }
  return run(ensureTool('skopeo'), args, { env, input })
}

async function copy(from: string, to: string, ...options: string[]): Promise<void> {
  await skopeo(['copy', '--src-tls-verify=false', '--dest-tls-verify=false', ...options, from, to])
}

interface RawManifest {
  readonly bytes: string
  readonly json: {
    readonly mediaType: string
    readonly config: { readonly mediaType: string }
    readonly layers: readonly { readonly digest: string }[]
  }
}

async function rawManifest(image: string): Promise<RawManifest> {
  const { stdout } = await skopeo(['inspect', '--raw', '--tls-verify=false', image])
  return { bytes: stdout, json: JSON.parse(stdout) }
}

const inStowage = (tag: string): string => `docker://${stowage.registryHost}/${repository}:${tag}`
const inPeer = (tag: string): string => `docker://${peer.registryHost}/${repository}:${tag}`

async function seedPeer(image: Image, tag: string): Promise<void> {
  await pushImage({ url: peer.url, repository, auth: null }, image, tag)
}

test.each(['oci', 'docker'] as const)('an image of format %s goes in and comes out with the same bytes', async (format) => {
  const image = buildRandomImage([300_000, 0, 1], `skopeo/${format}`, format)
  await seedPeer(image, 'v1')

  await copy(inPeer('v1'), inStowage('v1'), '--preserve-digests')
  await copy(inStowage('v1'), `dir:${dir.path}/out-${format}`, '--preserve-digests')

  expect((await rawManifest(inStowage('v1'))).bytes).toBe(image.manifest.bytes.toString())
  expect(readFileSync(`${dir.path}/out-${format}/manifest.json`)).toEqual(image.manifest.bytes)
  for (const blob of image.blobs) {
    expect(readFileSync(`${dir.path}/out-${format}/${blob.digest.slice('sha256:'.length)}`)).toEqual(blob.bytes)
  }
})

test('a copy within the server turns Docker format into OCI and back', async () => {
  await seedPeer(buildRandomImage([50_000], 'convert', 'docker'), 'docker')
  await copy(inPeer('docker'), inStowage('docker'))

  await copy(inStowage('docker'), inStowage('oci'), '--format', 'oci')
  await copy(inStowage('oci'), inStowage('docker-again'), '--format', 'v2s2')

  const oci = (await rawManifest(inStowage('oci'))).json
  const docker = (await rawManifest(inStowage('docker-again'))).json
  expect(oci.config.mediaType).toBe('application/vnd.oci.image.config.v1+json')
  expect(docker.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json')
  expect(docker.layers.map((layer) => layer.digest)).toEqual(
    oci.layers.map((layer) => layer.digest),
  )
})

test('an OCI layout on disk is pushed, and pulled into another one', async () => {
  const image = buildRandomImage([20_000], 'layout')
  await seedPeer(image, 'v1')
  await copy(inPeer('v1'), `oci:${dir.path}/layout:v1`)

  await copy(`oci:${dir.path}/layout:v1`, inStowage('v1'))
  await copy(inStowage('v1'), `oci:${dir.path}/layout-again:v1`)

  const index = JSON.parse(readFileSync(join(dir.path, 'layout-again/index.json'), 'utf8'))
  expect(index.manifests[0].digest).toBe(image.manifest.digest)
})

test.each(['oci', 'docker'] as const)('copy --all takes an index of format %s with every platform', async (format) => {
  const children = ['amd64', 'arm64'].map((architecture) =>
    buildImage({ format, seed: architecture, platform: { os: 'linux', architecture } }),
  )
  const index = buildIndex(children, format)
  await seedPeer(index, 'multi')

  await copy(inPeer('multi'), inStowage('multi'), '--all')
  await copy(inStowage('multi'), `dir:${dir.path}/multi-${format}`, '--all')

  expect((await rawManifest(inStowage('multi'))).bytes).toBe(index.manifest.bytes.toString())
  expect(readFileSync(`${dir.path}/multi-${format}/manifest.json`)).toEqual(index.manifest.bytes)
  const { imageDetails } = await aws.json('ecr', 'describe-images', '--repository-name', repository)
  expect(imageDetails.map((image) => image.imageDigest).toSorted()).toEqual(
    [index, ...children].map((image) => image.manifest.digest).toSorted(),
  )
})

test('without --all the child for the asked platform is taken', async () => {
  const children = ['amd64', 'arm64'].map((architecture) =>
    buildImage({ seed: architecture, platform: { os: 'linux', architecture } }),
  )
  await seedPeer(buildIndex(children), 'multi')
  await copy(inPeer('multi'), inStowage('multi'), '--all')

  const { stdout } = await skopeo(['--override-arch', 'arm64', 'inspect', '--tls-verify=false', inStowage('multi')])

  expect(JSON.parse(stdout)).toMatchObject({ Architecture: 'arm64', Labels: { seed: 'arm64' } })
})

test('inspect and list-tags tell what is there', async () => {
  const image = buildRandomImage([1000, 2000], 'inspected')
  await seedPeer(image, 'v1')
  for (const tag of ['v1', 'v10', 'v2', 'latest']) await copy(inPeer('v1'), inStowage(tag))

  const inspected = JSON.parse((await skopeo(['inspect', '--tls-verify=false', inStowage('v1')])).stdout)
  const listed = JSON.parse(
    (await skopeo(['list-tags', '--tls-verify=false', `docker://${stowage.registryHost}/${repository}`])).stdout,
  )

  expect(inspected).toMatchObject({
    Name: `${stowage.registryHost}/${repository}`,
    Digest: image.manifest.digest,
    RepoTags: ['latest', 'v1', 'v10', 'v2'],
    Layers: image.blobs.slice(1).map((blob) => blob.digest),
  })
  expect(listed.Tags).toEqual(['latest', 'v1', 'v10', 'v2'])
})

test('delete removes the image, and nothing of another one that shares its layers', async () => {
  await seedPeer(buildRandomImage([1000], 'deleted', 'docker'), 'v1')
  await copy(inPeer('v1'), inStowage('v1'))
  await copy(inPeer('v1'), inStowage('kept'), '--format', 'oci')

  await skopeo(['delete', '--tls-verify=false', inStowage('v1')])

  const failure = await rawManifest(inStowage('v1')).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(CommandError)
  expect(String(failure)).toContain('manifest unknown')
  await copy(inStowage('kept'), `dir:${dir.path}/kept`)
})

test('a wrong password is refused', async () => {
  const args = ['inspect', '--tls-verify=false', '--creds', 'AWS:not-the-password', inStowage('v1')]

  const failure = await skopeo(args).catch((error: unknown) => error)

  expect(String(failure)).toMatch(/unauthorized|authentication required|denied|invalid username\/password/i)
})

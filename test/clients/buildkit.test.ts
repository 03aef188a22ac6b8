import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { createAwsClient, type AwsClient } from '../support/aws.ts'
import { createDistributionClient } from '../support/distribution-client.ts'
import { createDockerClient, useDockerEngine, type DockerClient } from '../support/docker-engine.ts'
import { helloProgram } from '../support/hello-program.ts'
import { buildAttestation, buildBuildkitCache, buildImage, buildIndex, descriptor, digestOf, pushImage, type Image } from '../support/images.ts'
import { run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

let stowage: Stowage
let aws: AwsClient
let dir: TempDir
let repository: string
let repositories = 0

beforeAll(async () => {
  stowage = await startStowage()
  aws = createAwsClient(stowage)
  dir = createTempDir('buildkit')
  const password = await aws.text('ecr', 'get-login-password')
  await skopeo(['login', '--username', 'AWS', '--password-stdin', '--tls-verify=false', stowage.registryHost], password)
})

afterAll(async () => {
  dir?.remove()
  await stowage?.stop()
})

beforeEach(async () => {
  repositories += 1
  repository = `buildkit/app-${repositories}`
  await aws.json('ecr', 'create-repository', '--repository-name', repository)
})

async function skopeo(args: readonly string[], input = ''): Promise<RunResult> {
  return run(ensureTool('skopeo'), args, { env: { REGISTRY_AUTH_FILE: join(dir.path, 'auth.json') }, input })
}

const inStowage = (tag: string, name = repository): string => `docker://${stowage.registryHost}/${name}:${tag}`

/** Pulls everything below a tag with skopeo, and answers the digests of the files that it wrote. */
async function pullAll(tag: string, name = repository): Promise<string[]> {
  const path = join(dir.path, `pulled-${name.replaceAll('/', '-')}-${tag}`)
  await skopeo(['copy', '--all', '--preserve-digests', '--src-tls-verify=false', inStowage(tag, name), `dir:${path}`])
  return readdirSync(path)
    .filter((name) => name !== 'version')
    .map((name) => digestOf(readFileSync(join(path, name))))
    .toSorted()
}

/** All there is of an image, by digest. */
function digestsOf(image: Image): string[] {
  const contents = [image.manifest, ...image.blobs].map((content) => content.digest)
  return [...new Set([...contents, ...image.children.flatMap(digestsOf)])].toSorted()
}

const platforms = [
  { os: 'linux', architecture: 'amd64' },
  { os: 'linux', architecture: 'arm64', variant: 'v8' },
]

async function push(image: Image, tag: string): Promise<void> {
  await pushImage({ url: stowage.url, repository, auth: stowage.credentials }, image, tag)
}

async function ecr(command: string, ...options: string[]): ReturnType<AwsClient['json']> {
  return aws.json('ecr', command, '--repository-name', repository, ...options)
}

describe.each(['image', 'artifact'] as const)('an image for two platforms with attestations in the form of an %s', (form) => {
  let images: readonly Image[]
  let attestations: readonly Image[]
  let index: Image

  beforeEach(async () => {
    images = platforms.map((platform) => buildImage({ platform, seed: `${form} ${platform.architecture}` }))
    attestations = images.map((image) => buildAttestation(image, form))
    index = buildIndex([...images, ...attestations])
    await push(index, 'v1')
  })

  test('is pulled whole by skopeo, from the repository and from one it was copied to', async () => {
    const copy = `${repository}-copy`
    await aws.json('ecr', 'create-repository', '--repository-name', copy)
    const options = ['--all', '--preserve-digests', '--src-tls-verify=false', '--dest-tls-verify=false']
    await skopeo(['copy', ...options, inStowage('v1'), inStowage('v1', copy)])

    expect(await pullAll('v1')).toEqual(digestsOf(index))
    expect(await pullAll('v1', copy)).toEqual(digestsOf(index))
  })

  test('is its platform’s image to those who ask for one', async () => {
    const { stdout } = await skopeo(['--override-arch', 'arm64', '--override-variant', 'v8', 'inspect', '--tls-verify=false', inStowage('v1')])

    expect(JSON.parse(stdout)).toMatchObject({ Architecture: 'arm64', Labels: { seed: `${form} arm64` } })
  })

  test('is answered by BatchGetImage as it was pushed, and each part by its digest', async () => {
    const parts = [index, ...images, ...attestations]
    const ids = [...parts.slice(1).map(({ manifest }) => `imageDigest=${manifest.digest}`), 'imageTag=v1']

    const { images: found, failures } = await ecr('batch-get-image', '--image-ids', ...ids)

    expect(failures).toEqual([])
    const texts = (found as readonly { imageManifest: string }[]).map(({ imageManifest }) => digestOf(Buffer.from(imageManifest)))
    expect(texts.toSorted()).toEqual(parts.map(({ manifest }) => manifest.digest).toSorted())
    const tagged = await ecr('batch-get-image', '--image-ids', 'imageTag=v1', '--accepted-media-types', index.manifest.mediaType)
    expect(tagged.images).toMatchObject([{ imageManifest: index.manifest.bytes.toString(), imageManifestMediaType: index.manifest.mediaType }])
  })

  test('is described as an index with a tag and four images without', async () => {
    const { imageDetails } = await ecr('describe-images')

    const mediaTypes = new Map(imageDetails.map((detail) => [detail.imageDigest, detail.imageManifestMediaType]))
    const expected = [index, ...images, ...attestations].map(({ manifest }) => [manifest.digest, manifest.mediaType] as const)
    expect(mediaTypes).toEqual(new Map(expected))
    const tagged = imageDetails.filter(({ imageTags }) => imageTags !== undefined)
    const sizes = images.map((image) => image.blobs.reduce((sum, blob) => sum + blob.bytes.length, 0))
    const attested = attestations.map((image) => image.blobs.reduce((sum, blob) => sum + blob.bytes.length, 0))
    expect(tagged).toMatchObject([
      { imageDigest: index.manifest.digest, imageTags: ['v1'], imageSizeInBytes: Math.max(...sizes, ...attested) },
    ])
  })

  test(`is ${form === 'artifact' ? '' : 'not '}found by asking what refers to an image`, async () => {
    const client = createDistributionClient(stowage.url, stowage.credentials)

    const answer = await client.request('GET', `/v2/${repository}/referrers/${images[0]!.manifest.digest}`)

    client.close()
    const { manifests } = answer.json() as { manifests: readonly unknown[] }
    if (form === 'image') expect(manifests).toEqual([])
    else {
      expect(manifests).toMatchObject([
        { digest: attestations[0]!.manifest.digest, artifactType: 'application/vnd.docker.attestation.manifest.v1+json' },
      ])
    }
  })

  test('keeps its attestations as long as the index stands', async () => {
    const attestation = `imageDigest=${attestations[0]!.manifest.digest}`

    const refused = await ecr('batch-delete-image', '--image-ids', attestation)
    await ecr('batch-delete-image', '--image-ids', `imageDigest=${index.manifest.digest}`)
    const deleted = await ecr('batch-delete-image', '--image-ids', attestation)

    expect(refused.failures).toMatchObject([{ failureCode: 'ImageReferencedByManifestList' }])
    // They were the index's alone, and went with it.
    expect(deleted).toMatchObject({ imageIds: [], failures: [{ failureCode: 'ImageNotFound' }] })
  })
})

describe('the cache that BuildKit exports', () => {
  test.each(['index', 'image'] as const)('goes in and comes out in the form of an %s', async (form) => {
    const cache = buildBuildkitCache(`cache ${repository}`, form)
    const client = createDistributionClient(stowage.url, stowage.credentials)

    await push(cache, 'buildcache')

    const base = `/v2/${repository}`
    const manifest = await client.request('GET', `${base}/manifests/buildcache`, { headers: { accept: cache.manifest.mediaType } })
    expect(manifest.headers).toMatchObject({ 'content-type': cache.manifest.mediaType, 'docker-content-digest': cache.manifest.digest })
    expect(manifest.body).toEqual(cache.manifest.bytes)
    for (const blob of cache.blobs) {
      expect((await client.request('GET', `${base}/blobs/${blob.digest}`)).body).toEqual(blob.bytes)
    }
    client.close()
    const { images } = await ecr('batch-get-image', '--image-ids', 'imageTag=buildcache')
    expect(images).toMatchObject([{ imageManifest: cache.manifest.bytes.toString(), imageManifestMediaType: cache.manifest.mediaType }])
    const { imageDetails } = await ecr('describe-images')
    expect(imageDetails).toMatchObject([
      { imageDigest: cache.manifest.digest, imageTags: ['buildcache'], imageManifestMediaType: cache.manifest.mediaType },
    ])
  })

  test('of the next build replaces the last one, which stays until it is deleted', async () => {
    const [first, second] = ['first', 'second'].map((seed) => buildBuildkitCache(seed)) as [Image, Image]

    await push(first, 'buildcache')
    await push(second, 'buildcache')

    const untagged = await ecr('list-images', '--filter', 'tagStatus=UNTAGGED')
    expect(untagged.imageIds).toEqual([{ imageDigest: first.manifest.digest }])
  })
})

/** The BuildKit in Debian's Docker engine: it reads from registries by itself; pushing is the engine's. */
describe('BuildKit', () => {
  let client: DockerClient

  beforeAll(async () => {
    client = createDockerClient(await useDockerEngine())
    const password = await aws.text('ecr', 'get-login-password')
    await client.docker(['login', '--username', 'AWS', '--password-stdin', stowage.registryHost], { input: password })
  })

  afterAll(() => {
    client?.remove()
  })

  async function build(image: string, dockerfile: string, ...options: string[]): Promise<string> {
    const context = join(dir.path, 'context')
    mkdirSync(context, { recursive: true })
    writeFileSync(join(context, 'hello'), helloProgram(`for ${image}`), { mode: 0o755 })
    writeFileSync(join(context, 'Dockerfile'), dockerfile)
    const args = ['build', '--progress', 'plain', ...options, '--tag', image, context]
    return (await client.docker(args, { env: { DOCKER_BUILDKIT: '1' } })).output
  }

  async function forget(...images: string[]): Promise<void> {
    await client.docker(['rmi', '--force', ...images])
    await client.docker(['builder', 'prune', '--all', '--force'])
  }

  test('takes an image it is to build on from the registry, with the log-in of the command line', async () => {
    const base = `${stowage.registryHost}/${repository}:base`
    const image = `${stowage.registryHost}/${repository}:v1`
    await build(base, 'FROM scratch\nCOPY hello /hello\n')
    await client.docker(['push', base])
    await forget(base)

    const built = await build(image, `FROM ${base}\nCMD ["/hello"]\n`)
    await client.docker(['push', image])
    await forget(image)

    expect(built).toContain(`load metadata for ${base}`)
    expect((await client.docker(['run', '--rm', '--network', 'host', image])).stdout).toBe(`for ${base}\n`)
    await forget(image)
  })

  test('finds the cache that came with a pushed image', async () => {
    const image = `${stowage.registryHost}/${repository}:v1`
    const dockerfile = 'FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n'
    const inline = ['--build-arg', 'BUILDKIT_INLINE_CACHE=1']
    await build(image, dockerfile, ...inline)
    await client.docker(['push', image])
    await forget(image)

    const rebuilt = await build(image, dockerfile, ...inline, '--cache-from', image)

    expect(rebuilt).toMatch(/#(\d+) \[1\/1\] COPY hello \/hello\n(?:.*\n)*?#\1 CACHED/)
    await forget(image)
  })

  test.each(['index', 'image'] as const)('reads a cache in the form of an %s', async (form) => {
    const name = `${stowage.registryHost}/${repository}:buildcache`
    const cache = buildBuildkitCache('of another build', form)
    const cacheConfig = cache.blobs.find((blob) => blob.mediaType.includes('cacheconfig'))!
    await push(cache, 'buildcache')

    const built = await build('cached:v1', 'FROM scratch\nCOPY hello /hello\n', '--cache-from', name)

    expect(built).toMatch(new RegExp(`#(\\d+) importing cache manifest from ${name}\\n(?:.*\\n)*?#\\1 DONE`))
    await vi.waitFor(() => {
      expect(reads(`/manifests/${cache.manifest.digest}`)).toContainEqual(expect.objectContaining({ status: 200 }))
      expect(reads(`/blobs/${cacheConfig.digest}`)).toContainEqual(expect.objectContaining({ status: 200 }))
    })
    await forget('cached:v1')
  })

  /** What the access log says of GET requests below this test's repository. */
  function reads(path: string): readonly unknown[] {
    const lines = stowage.logs().split('\n')
    return lines.filter((line) => line.includes(`"method":"GET","path":"/v2/${repository}${path}"`)).map((line) => JSON.parse(line) as unknown)
  }
})

test('buildah pushes an index with an attestation that it took from a folder, by digest and then by tag', async () => {
  const storage = ['--root', join(dir.path, 'storage'), '--runroot', join(dir.path, 'run'), '--storage-driver', 'vfs']
  const env = { REGISTRY_AUTH_FILE: join(dir.path, 'auth.json'), HOME: dir.path }
  const buildah = (...args: string[]): Promise<RunResult> => run(ensureTool('buildah'), [...storage, ...args], { env })
  const image = buildImage({ seed: 'for buildah', platform: platforms[0]! })
  const attestation = buildAttestation(image)
  writeOciLayout(join(dir.path, 'image'), image)
  writeOciLayout(join(dir.path, 'attestation'), attestation)
  const annotations = Object.entries(attestation.indexAnnotations!).flatMap(([name, value]) => ['--annotation', `${name}=${value}`])
  await buildah('manifest', 'create', 'list')
  await buildah('manifest', 'add', 'list', `oci:${dir.path}/image`)
  await buildah('manifest', 'add', '--os', 'unknown', '--arch', 'unknown', ...annotations, 'list', `oci:${dir.path}/attestation`)

  await buildah('manifest', 'push', '--all', '--format', 'oci', '--tls-verify=false', 'list', inStowage('v1'))

  const { stdout } = await skopeo(['inspect', '--raw', '--tls-verify=false', inStowage('v1')])
  expect(JSON.parse(stdout)).toMatchObject({
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      { digest: image.manifest.digest, platform: platforms[0] },
      {
        digest: attestation.manifest.digest,
        platform: { os: 'unknown', architecture: 'unknown' },
        annotations: attestation.indexAnnotations,
      },
    ],
  })
  expect(await pullAll('v1')).toEqual([digestOf(Buffer.from(stdout)), ...digestsOf(image), ...digestsOf(attestation)].toSorted())
  const { imageDetails } = await ecr('describe-images')
  expect(imageDetails.map(({ imageDigest, imageTags }) => [imageDigest, imageTags])).toEqual(
    expect.arrayContaining([
      [digestOf(Buffer.from(stdout)), ['v1']],
      [image.manifest.digest, undefined],
      [attestation.manifest.digest, undefined],
    ]),
  )
})

/** An image as a folder that skopeo and buildah read with `oci:`. */
function writeOciLayout(path: string, image: Image): void {
  mkdirSync(join(path, 'blobs/sha256'), { recursive: true })
  writeFileSync(join(path, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  writeFileSync(join(path, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [descriptor(image.manifest)] }))
  for (const { digest, bytes } of [image.manifest, ...image.blobs]) {
    writeFileSync(join(path, 'blobs', digest.replace(':', '/')), bytes)
  }
}

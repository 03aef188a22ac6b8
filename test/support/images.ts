import { createCipheriv, createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { createDistributionClient, type ClientResponse, type Credentials } from './distribution-client.ts'
import { helloProgram } from './hello-program.ts'

/** Bytes with their digest: a blob or a manifest. */
export interface Content {
  readonly mediaType: string
  readonly digest: string
  readonly bytes: Buffer
}

export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
}

/** A manifest with everything below it. */
export interface Image {
  readonly manifest: Content
  readonly blobs: readonly Content[]
  /** Manifests that an index lists; empty otherwise. */
  readonly children: readonly Image[]
  readonly platform?: Platform
  /** What an index says about it beside its platform. */
  readonly indexAnnotations?: Readonly<Record<string, string>>
}

export type ImageFormat = 'oci' | 'docker'

const mediaTypes = {
  oci: {
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    index: 'application/vnd.oci.image.index.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const

export const hostArchitecture = process.arch === 'arm64' ? 'arm64' : 'amd64'

export function digestOf(bytes: Uint8Array, algorithm: 'sha256' | 'sha512' = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

export function content(mediaType: string, bytes: Uint8Array | string): Content {
  const buffer = Buffer.from(bytes)
  return { mediaType, digest: digestOf(buffer), bytes: buffer }
}

/** Incompressible bytes that are the same for the same seed, on every machine. */
export function randomContent(sizeBytes: number, seed: string): Buffer {
  const key = createHash('sha256').update(seed).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes))
}

export interface TarFile {
  readonly path: string
  readonly content: Uint8Array | string
  readonly mode?: number
}

/** An uncompressed tar archive (POSIX ustar) whose bytes depend on nothing but its files. */
export function tar(files: readonly TarFile[]): Buffer {
  const blocks = files.flatMap((file) => {
    const bytes = Buffer.from(file.content)
    return [tarHeader(file, bytes.length), bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

function tarHeader(file: TarFile, sizeBytes: number): Buffer {
  const header = Buffer.alloc(512)
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`
  if (Buffer.byteLength(file.path) > 100) throw new Error(`a tar path has at most 100 bytes: ${file.path}`)
  header.write(file.path, 0)
  header.write(octal(file.mode ?? 0o644, 7), 100)
  header.write(octal(0, 7), 108)
  header.write(octal(0, 7), 116)
  header.write(octal(sizeBytes, 11), 124)
  header.write(octal(0, 11), 136)
  header.write('0', 156)
  header.write('ustar\u000000', 257)
  // The checksum counts its own field as spaces.
  header.fill(' ', 148, 156)
  const checksum = header.reduce((sum, byte) => sum + byte, 0)
  header.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}

export interface ImageOptions {
  readonly format?: ImageFormat
  /** Uncompressed tar archives. Default: one layer with a small file that depends on `seed`. */
  readonly layers?: readonly Buffer[]
  /** Tells images apart whose other options are equal. */
  readonly seed?: string
  readonly platform?: Platform
  readonly command?: readonly string[]
  readonly annotations?: Readonly<Record<string, string>>
  readonly subject?: Content
}

export function buildImage(options: ImageOptions = {}): Image {
  const format = options.format ?? 'oci'
  const seed = options.seed ?? 'image'
  const platform = options.platform ?? { os: 'linux', architecture: hostArchitecture }
  const archives = options.layers ?? [tar([{ path: 'seed', content: `${seed}\n` }])]
  const layers = archives.map((archive) => content(mediaTypes[format].layer, gzipSync(archive, { level: 1 })))
  const config = content(
    mediaTypes[format].config,
    JSON.stringify({
      ...platform,
      created: '2025-02-17T00:00:00Z',
      config: { Cmd: options.command ?? ['/hello'], Labels: { seed } },
      rootfs: { type: 'layers', diff_ids: archives.map((archive) => digestOf(archive)) },
      history: archives.map(() => ({ created: '2025-02-17T00:00:00Z', created_by: 'test' })),
    }),
  )
  const manifest = jsonContent(mediaTypes[format].manifest, {
    schemaVersion: 2,
    mediaType: mediaTypes[format].manifest,
    config: descriptor(config),
    layers: layers.map((layer) => descriptor(layer)),
    ...(options.subject === undefined ? {} : { subject: descriptor(options.subject) }),
    ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
  })
  return { manifest, blobs: [config, ...layers], children: [], platform }
}

/** An image with layers of random bytes: the given sizes are those of the layers' single files. */
export function buildRandomImage(layerSizesBytes: readonly number[], seed: string, format: ImageFormat = 'oci'): Image {
  const layers = layerSizesBytes.map((sizeBytes, index) =>
    tar([{ path: `random-${index}`, content: randomContent(sizeBytes, `${seed}/${index}`) }]),
  )
  return buildImage({ format, layers, seed })
}

/** An image FROM scratch that runs on this machine: it prints `line` and exits with 0. */
export function buildHelloImage(line: string, format: ImageFormat = 'oci'): Image {
  const layer = tar([{ path: 'hello', content: helloProgram(line), mode: 0o755 }])
  return buildImage({ format, layers: [layer], seed: line, command: ['/hello'] })
}

/** An index (Docker: a manifest list) over images. */
export function buildIndex(children: readonly Image[], format: ImageFormat = 'oci'): Image {
  const manifest = jsonContent(mediaTypes[format].index, {
    schemaVersion: 2,
    mediaType: mediaTypes[format].index,
    manifests: children.map((child) => ({
      ...descriptor(child.manifest),
      ...(child.indexAnnotations === undefined ? {} : { annotations: child.indexAnnotations }),
      ...(child.platform === undefined ? {} : { platform: child.platform }),
    })),
  })
  return { manifest, blobs: [], children }
}

export interface ArtifactOptions {
  readonly artifactType: string
  readonly subject?: Content
  readonly blobs?: readonly Content[]
  readonly annotations?: Readonly<Record<string, string>>
}

/** An OCI 1.1 artifact with the empty config: what signatures, SBOMs and attestations are pushed as. */
export function buildArtifact(options: ArtifactOptions): Image {
  const config = content('application/vnd.oci.empty.v1+json', '{}')
  const blobs = options.blobs ?? [config]
  const manifest = jsonContent(mediaTypes.oci.manifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.oci.manifest,
    artifactType: options.artifactType,
    config: descriptor(config),
    layers: blobs.map((blob) => descriptor(blob)),
    ...(options.subject === undefined ? {} : { subject: descriptor(options.subject) }),
    ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
  })
  return { manifest, blobs: [...new Set([config, ...blobs])], children: [] }
}

/**
 * What BuildKit lists in an index beside an image: statements about it, under a platform that no client asks for.
 * `image` is the form of its default, with a config; `artifact` that of `oci-artifact=true`, with a subject.
 */
export function buildAttestation(of: Image, form: 'image' | 'artifact' = 'image'): Image {
  const predicateTypes = ['https://spdx.dev/Document', 'https://slsa.dev/provenance/v0.2']
  const statements = predicateTypes.map((predicateType) => {
    const subject = [{ name: '_', digest: { sha256: of.manifest.digest.replace(/^sha256:/, '') } }]
    const statement = { _type: 'https://in-toto.io/Statement/v0.1', predicateType, subject, predicate: {} }
    return { predicateType, blob: content('application/vnd.in-toto+json', JSON.stringify(statement)) }
  })
  const platform = { os: 'unknown', architecture: 'unknown' }
  const diffIds = statements.map(({ blob }) => blob.digest)
  const config =
    form === 'artifact'
      ? content('application/vnd.oci.empty.v1+json', '{}')
      : content(mediaTypes.oci.config, JSON.stringify({ ...platform, config: {}, rootfs: { type: 'layers', diff_ids: diffIds } }))
  const manifest = jsonContent(mediaTypes.oci.manifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.oci.manifest,
    ...(form === 'artifact' ? { artifactType: 'application/vnd.docker.attestation.manifest.v1+json' } : {}),
    config: descriptor(config),
    layers: statements.map(({ predicateType, blob }) => ({
      ...descriptor(blob),
      annotations: { 'in-toto.io/predicate-type': predicateType },
    })),
    ...(form === 'artifact' ? { subject: descriptor(of.manifest) } : {}),
  })
  return {
    manifest,
    blobs: [config, ...statements.map(({ blob }) => blob)],
    children: [],
    platform,
    indexAnnotations: {
      'vnd.docker.reference.digest': of.manifest.digest,
      'vnd.docker.reference.type': 'attestation-manifest',
    },
  }
}

/**
 * What BuildKit's registry cache exporter pushes: an index whose entries are blobs, not manifests; or, with its
 * `image-manifest=true`, a manifest whose config is the cache's.
 */
export function buildBuildkitCache(seed: string, form: 'index' | 'image' = 'index'): Image {
  const layer = content(mediaTypes.oci.layer, gzipSync(tar([{ path: 'cached', content: seed }]), { level: 1 }))
  const cacheConfig = content(
    'application/vnd.buildkit.cacheconfig.v0',
    JSON.stringify({ layers: [{ blob: layer.digest, parent: -1 }], records: [{ digest: digestOf(Buffer.from(seed)) }] }),
  )
  if (form === 'image') {
    const manifest = jsonContent(mediaTypes.oci.manifest, {
      schemaVersion: 2,
      mediaType: mediaTypes.oci.manifest,
      config: descriptor(cacheConfig),
      layers: [descriptor(layer)],
    })
    return { manifest, blobs: [layer, cacheConfig], children: [] }
  }
  const manifest = jsonContent(mediaTypes.oci.index, {
    schemaVersion: 2,
    mediaType: mediaTypes.oci.index,
    manifests: [
      { ...descriptor(layer), annotations: { 'buildkit/createdat': '2025-02-17T00:00:00Z' } },
      descriptor(cacheConfig),
    ],
  })
  return { manifest, blobs: [layer, cacheConfig], children: [] }
}

export interface PushTarget {
  readonly url: string
  readonly repository: string
  readonly auth: Credentials | null
  /** A certificate (PEM) to trust, for a URL with https. */
  readonly ca?: string
  /** The Host header, for a name that this machine cannot look up. Default: the URL's own. */
  readonly host?: string
}

/**
 * Pushes an image with all below it, children by digest first, the way clients do: ask for each blob,
 * send the absent ones in one PUT, then the manifest.
 * @param reference a tag; default: the manifest's digest.
 * @throws when the registry answers anything but success, or another digest.
 */
export async function pushImage(target: PushTarget, image: Image, reference?: string): Promise<void> {
  for (const child of image.children) await pushImage(target, child)
  const client = createDistributionClient(target.url, target.auth, target.ca === undefined ? {} : { ca: target.ca })
  const base = `/v2/${target.repository}`
  const host = target.host === undefined ? {} : { host: target.host }
  try {
    for (const blob of image.blobs) {
      const head = await client.request('HEAD', `${base}/blobs/${blob.digest}`, { headers: host })
      if (head.status === 200) continue
      expectStatus(head, 404, 'HEAD blob')
      const begun = await client.request('POST', `${base}/blobs/uploads/`, { headers: host })
      expectStatus(begun, 202, 'POST upload')
      const location = withDigest(begun.headers.location ?? '', blob.digest)
      const done = await client.request('PUT', location, {
        body: blob.bytes,
        headers: { ...host, 'content-type': 'application/octet-stream' },
      })
      expectStatus(done, 201, 'PUT blob')
    }
    const put = await client.request('PUT', `${base}/manifests/${reference ?? image.manifest.digest}`, {
      body: image.manifest.bytes,
      headers: { ...host, 'content-type': image.manifest.mediaType },
    })
    expectStatus(put, 201, 'PUT manifest')
    const digest = put.headers['docker-content-digest']
    if (digest !== image.manifest.digest) throw new Error(`pushed ${image.manifest.digest}, was answered ${String(digest)}`)
  } finally {
    client.close()
  }
}

/** A Location with `digest` added to whatever query it has; absolute and relative ones stay what they are. */
export function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`
}

/** A descriptor of some content as it stands in a manifest. */
export function descriptor(of: Content): { mediaType: string; digest: string; size: number } {
  return { mediaType: of.mediaType, digest: of.digest, size: of.bytes.length }
}

function jsonContent(mediaType: string, value: unknown): Content {
  // Indented as Docker writes it: a registry that re-serialises shows a different digest.
  return content(mediaType, JSON.stringify(value, undefined, 3))
}

function expectStatus(response: ClientResponse, status: number, what: string): void {
  if (response.status === status) return
  throw new Error(`${what}: expected ${status}, was answered ${response.status} ${response.body.toString('utf8')}`)
}

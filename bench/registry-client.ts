import { CreateRepositoryCommand, ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr'
import { chunked, contentOf, type Content } from './content.ts'
import { HttpConnection, type HttpAnswer, type HttpRequest, type Origin } from './http-connection.ts'
import type { Population } from './seeds/population.ts'

/** A server to be loaded. Plain data: it is sent to the load client's process. */
export interface Target {
  readonly name: string
  readonly host: string
  readonly port: number
  /** The ECR API, for the login and because repositories are created there; null: open, and a push creates them. */
  readonly ecr: { readonly region: string; readonly accessKeyId: string; readonly secretAccessKey: string } | null
  /** What it held when it started; null: nothing. */
  readonly population: Population | null
}

/** An image with one layer. */
export interface Image {
  readonly config: Content
  readonly layer: Content
  readonly manifest: Content
}

export const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const configType = 'application/vnd.oci.image.config.v1+json'
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip'

/** What containerd asks with. */
export const manifestAccept = [
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  manifestType,
  'application/vnd.oci.image.index.v1+json',
  '*/*',
].join(', ')

/** How many repositories are being created at a time; this is never measured. */
const creationConcurrency = 10

export function imageOf(config: Content, layer: Content): Image {
  return { config, layer, manifest: manifestOf(config, [layer]) }
}

export function manifestOf(
  config: Content,
  layers: readonly Content[],
  annotations: Readonly<Record<string, string>> = {},
  subject?: Content,
): Content {
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: configType, digest: config.digest, size: config.sizeBytes },
    layers: layers.map((layer) => ({ mediaType: layerType, digest: layer.digest, size: layer.sizeBytes })),
    ...(subject === undefined
      ? {}
      : { artifactType: 'application/vnd.example.sbom', subject: { mediaType: manifestType, digest: subject.digest, size: subject.sizeBytes } }),
    annotations,
  }
  return contentOf([Buffer.from(JSON.stringify(manifest))])
}

/** Logs in where there is a login, the way docker does: with a registry token from the ECR API. */
export async function openRegistry(target: Target): Promise<RegistryClient> {
  if (target.ecr === null) return new RegistryClient({ ...target, authorization: null }, undefined, target)
  const { region, accessKeyId, secretAccessKey } = target.ecr
  const ecr = new ECRClient({
    endpoint: `http://${target.host}:${target.port}`,
    region,
    credentials: { accessKeyId, secretAccessKey },
  })
  const { authorizationData } = await ecr.send(new GetAuthorizationTokenCommand({}))
  const token = authorizationData?.[0]?.authorizationToken
  if (token === undefined) throw new Error(`${target.name} gave no registry token`)
  return new RegistryClient({ ...target, authorization: `Basic ${token}` }, ecr, target)
}

export class RegistryClient {
  readonly origin: Origin
  readonly target: Target
  readonly #ecr: ECRClient | undefined
  readonly #done = new Map<string, Promise<unknown>>()

  constructor(origin: Origin, ecr: ECRClient | undefined, target: Target) {
    this.origin = origin
    this.target = target
    this.#ecr = ecr
  }

  get population(): Population | undefined {
    return this.target.population ?? undefined
  }

  /** Does something that workloads of a group need on a server once for all of them, and answers what it answered. */
  once<T>(what: string, act: () => Promise<T>): Promise<T> {
    const done = this.#done.get(what) as Promise<T> | undefined
    if (done !== undefined) return done
    const doing = act()
    this.#done.set(what, doing)
    doing.catch(() => this.#done.delete(what))
    return doing
  }

  connect(): HttpConnection {
    return new HttpConnection(this.origin)
  }

  /** Makes new repositories ready to be pushed to. */
  async createRepositories(names: readonly string[]): Promise<void> {
    const ecr = this.#ecr
    if (ecr === undefined) return
    const left = [...names]
    const createSome = async (): Promise<void> => {
      for (let name = left.pop(); name !== undefined; name = left.pop()) {
        await ecr.send(new CreateRepositoryCommand({ repositoryName: name }))
      }
    }
    await Promise.all(Array.from({ length: creationConcurrency }, createSome))
  }

  close(): void {
    this.#ecr?.destroy()
  }
}

/** @throws when the answer has another status than expected, with what the server says about it */
export async function call(connection: HttpConnection, status: number, request: HttpRequest): Promise<HttpAnswer> {
  const answer = await connection.send(request)
  if (answer.status !== status) {
    const { method, path } = request
    throw new Error(`${method} ${path} was answered ${answer.status}, not ${status}: ${answer.body.toString('utf8')}`)
  }
  return answer
}

/** POST, then PUT with the whole blob: containerd, BuildKit, and zb's "monolith". */
export async function pushBlob(connection: HttpConnection, repository: string, blob: Content): Promise<void> {
  const location = await beginUpload(connection, repository)
  await call(connection, 201, {
    method: 'PUT',
    path: withDigest(location, blob.digest),
    headers: { 'content-type': 'application/octet-stream' },
    body: blob.parts,
  })
}

/** POST, one PATCH whose length is not known beforehand, PUT: docker. */
export async function streamBlob(connection: HttpConnection, repository: string, blob: ChunkedBlob): Promise<void> {
  const location = await beginUpload(connection, repository)
  const patched = await call(connection, 202, {
    method: 'PATCH',
    path: location,
    headers: { 'content-type': 'application/octet-stream', 'transfer-encoding': 'chunked' },
    body: blob.framed,
  })
  await call(connection, 201, { method: 'PUT', path: withDigest(locationOf(patched), blob.digest), body: [] })
}

export interface ChunkedBlob {
  readonly digest: string
  readonly framed: readonly Buffer[]
}

export function chunkedBlob(blob: Content): ChunkedBlob {
  return { digest: blob.digest, framed: chunked(blob) }
}

export async function pushManifest(connection: HttpConnection, repository: string, reference: string, manifest: Content): Promise<void> {
  await call(connection, 201, {
    method: 'PUT',
    path: `/v2/${repository}/manifests/${reference}`,
    headers: { 'content-type': manifestType },
    body: manifest.parts,
  })
}

/** An image push of five requests: layer, config, manifest. */
export async function pushImage(connection: HttpConnection, repository: string, tag: string, image: Image): Promise<void> {
  await pushBlob(connection, repository, image.layer)
  await pushBlob(connection, repository, image.config)
  await pushManifest(connection, repository, tag, image.manifest)
}

/**
 * zb's pull of six requests: HEAD and GET of the manifest, the config and the layer. The bytes are counted, not
 * hashed: this measures the server.
 */
export async function pullImage(connection: HttpConnection, repository: string, tag: string, image: Image): Promise<void> {
  const manifestPath = `/v2/${repository}/manifests/${tag}`
  const headers = { accept: manifestAccept }
  await call(connection, 200, { method: 'HEAD', path: manifestPath, headers })
  assertSize(await call(connection, 200, { method: 'GET', path: manifestPath, headers }), image.manifest)
  for (const blob of [image.config, image.layer]) {
    const path = `/v2/${repository}/blobs/${blob.digest}`
    await call(connection, 200, { method: 'HEAD', path })
    assertSize(await call(connection, 200, { method: 'GET', path }), blob)
  }
}

/** @throws when the server hands out other bytes than were pushed */
export async function checkImage(connection: HttpConnection, repository: string, tag: string, image: Image): Promise<void> {
  const paths: readonly (readonly [string, Content])[] = [
    [`/v2/${repository}/manifests/${tag}`, image.manifest],
    [`/v2/${repository}/blobs/${image.config.digest}`, image.config],
    [`/v2/${repository}/blobs/${image.layer.digest}`, image.layer],
  ]
  for (const [path, expected] of paths) {
    const { body } = await call(connection, 200, { method: 'GET', path, headers: { accept: manifestAccept }, keepBody: true })
    if (contentOf([body]).digest !== expected.digest) throw new Error(`GET ${path} handed out other bytes than were pushed`)
  }
}

async function beginUpload(connection: HttpConnection, repository: string): Promise<string> {
  return locationOf(await call(connection, 202, { method: 'POST', path: `/v2/${repository}/blobs/uploads/` }))
}

/** Path and query of the Location, which may also be absolute. */
function locationOf(answer: HttpAnswer): string {
  const location = answer.headers.get('location')
  if (location === undefined) throw new Error('the answer has no Location')
  if (location.startsWith('/')) return location
  const { pathname, search } = new URL(location)
  return pathname + search
}

function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`
}

function assertSize(answer: HttpAnswer, content: Content): void {
  if (answer.bodyBytes !== content.sizeBytes) {
    throw new Error(`an answer has ${answer.bodyBytes} bytes, not ${content.sizeBytes}`)
  }
}

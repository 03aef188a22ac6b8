import { CreateRepositoryCommand, DeleteRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { createDistributionClient, type ClientRequest, type ClientResponse, type DistributionClient } from '../support/distribution-client.ts'
import { content, descriptor, digestOf, randomContent, withDigest, type Content } from '../support/images.ts'
import type { Stowage } from '../support/start-stowage.ts'

/** One request that was answered, and what holds from then on. */
export interface Step {
  readonly name: string
  /** As the answer's head says. */
  readonly requestId: string
  /** What the client's repositories hold once it is answered (see facts.ts). */
  readonly facts: ReadonlySet<string>
  readonly uploads: ReadonlySet<string>
}

/** The story of one client: its requests that were answered, in order. All its repositories begin with its name. */
export interface Story {
  readonly client: string
  readonly steps: readonly Step[]
  readonly narrator: Narrator
}

export function newStory(client: string): Story {
  const narrator = new Narrator(client)
  return { client, steps: narrator.steps, narrator }
}

/**
 * Every write that a client can ask for, one request after the other: repositories made and deleted, blobs in one
 * piece, in several and as a stream, mounted, pushed again and wrongly; images tagged, tagged anew and deleted; an
 * upload that stays unfinished. Throws when the server answers otherwise than it should.
 */
export async function runScenario(stowage: Stowage, story: Story): Promise<void> {
  await tell(stowage, story, tellAll)
}

/** Goes on after `runScenario`, also at a server started anew: finishes what is unfinished, and pushes once more. */
export async function continueScenario(stowage: Stowage, story: Story): Promise<void> {
  await tell(stowage, story, async (narrator) => {
    await narrator.finish()
    await narrator.inOnePiece(`${narrator.client}/app`, bytesOf(narrator.client, 2_000, 'after'))
  })
}

/**
 * The smallest story: one repository with one blob.
 * @param seed clients with the same one push the same blob.
 */
export async function runOnePush(stowage: Stowage, story: Story, seed: string = story.client): Promise<void> {
  await tell(stowage, story, async (narrator) => {
    await narrator.createRepository(`${narrator.client}/app`)
    await narrator.inOnePiece(`${narrator.client}/app`, bytesOf(seed, 2_000, 'only'))
  })
}

async function tell(stowage: Stowage, { narrator }: Story, story: (narrator: Narrator) => Promise<void>): Promise<void> {
  narrator.connect(stowage)
  try {
    await story(narrator)
  } finally {
    narrator.disconnect()
  }
}

function bytesOf(client: string, sizeBytes: number, seed: string): Content {
  return content('application/vnd.oci.image.layer.v1.tar', randomContent(sizeBytes, `${client} ${seed}`))
}

async function tellAll(narrator: Narrator): Promise<void> {
  const name = narrator.client
  const app = `${name}/app`
  const other = `${name}/other`
  const shared = bytesOf(name, 70_000, 'shared layer')
  const second = bytesOf(name, 5_000, 'second layer')
  const config = content('application/vnd.oci.image.config.v1+json', JSON.stringify({ client: name }))
  const image = manifestOf(config, [shared])
  const newer = manifestOf(config, [shared, second])

  await narrator.createRepository(app)
  await narrator.stream(app, shared)
  await narrator.inOnePiece(app, config)
  await narrator.manifest(app, 'v1', image)
  await narrator.inTwoPieces(app, second)
  await narrator.manifest(app, 'v1', newer)
  await narrator.manifest(app, 'v2', image)
  await narrator.manifest(app, 'v3', newer)
  await narrator.createRepository(other)
  await narrator.mount(other, app, shared)
  await narrator.inOnePiece(other, config)
  await narrator.manifest(other, 'v1', image)
  await narrator.withWrongDigest(other, second)
  await narrator.cancelled(other, second)
  await narrator.deleteManifest(app, newer, [second])
  await narrator.deleteTag(app, 'v2')
  await narrator.unfinished(app, bytesOf(name, 30_000, 'unfinished'))
  await narrator.deleteRepository(other)
  await narrator.stream(app, bytesOf(name, 1_000, 'last'))
}

function manifestOf(config: Content, layers: readonly Content[]): Content {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  return content(mediaType, JSON.stringify({ schemaVersion: 2, mediaType, config: descriptor(config), layers: layers.map(descriptor) }))
}

/** One client, and what it has been told. */
class Narrator {
  readonly client: string
  readonly steps: Step[] = []
  #http: DistributionClient | undefined
  #ecr: ECRClient | undefined
  readonly #facts = new Set<string>()
  readonly #uploads = new Map<string, string>()
  #unfinished: { location: string; repository: string; blob: Content } | undefined

  constructor(client: string) {
    this.client = client
  }

  connect(stowage: Stowage): void {
    this.#http = createDistributionClient(stowage.url, stowage.credentials)
    this.#ecr = new ECRClient({ endpoint: stowage.url, region: stowage.region, credentials: stowage.keys, maxAttempts: 1 })
  }

  disconnect(): void {
    this.#http?.close()
    this.#ecr?.destroy()
  }

  async createRepository(repositoryName: string): Promise<void> {
    const { $metadata } = await this.#ecr!.send(new CreateRepositoryCommand({ repositoryName }))
    this.#facts.add(`${repositoryName} exists`)
    this.#tell('create repository', $metadata.requestId)
  }

  async deleteRepository(repositoryName: string): Promise<void> {
    const { $metadata } = await this.#ecr!.send(new DeleteRepositoryCommand({ repositoryName, force: true }))
    for (const fact of this.#facts) if (fact.startsWith(`${repositoryName} `)) this.#facts.delete(fact)
    for (const [id, upload] of this.#uploads) if (upload.startsWith(`${repositoryName} `)) this.#uploads.delete(id)
    this.#tell('delete repository', $metadata.requestId)
  }

  /** As docker does. */
  async stream(repository: string, blob: Content): Promise<void> {
    const location = await this.#begin(repository)
    const next = await this.#patch(location, blob.bytes, { 'transfer-encoding': 'chunked' }, repository, blob.bytes.length)
    await this.#complete(next, repository, blob)
  }

  async inTwoPieces(repository: string, blob: Content): Promise<void> {
    const half = Math.floor(blob.bytes.length / 2)
    const location = await this.#begin(repository)
    const next = await this.#patch(location, blob.bytes.subarray(0, half), { 'content-range': `0-${half - 1}` }, repository, half)
    await this.#complete(next, repository, blob, blob.bytes.subarray(half), { 'content-range': `${half}-${blob.bytes.length - 1}` })
  }

  async inOnePiece(repository: string, blob: Content): Promise<void> {
    await this.#complete(await this.#begin(repository), repository, blob, blob.bytes)
  }

  /** The first half; `finish` sends the rest. */
  async unfinished(repository: string, blob: Content): Promise<void> {
    const half = Math.floor(blob.bytes.length / 2)
    const begun = await this.#begin(repository)
    const location = await this.#patch(begun, blob.bytes.subarray(0, half), {}, repository, half)
    this.#unfinished = { location, repository, blob }
  }

  async finish(): Promise<void> {
    if (this.#unfinished === undefined) throw new Error('there is nothing to finish')
    const { location, repository, blob } = this.#unfinished
    await this.#complete(location, repository, blob, blob.bytes.subarray(Math.floor(blob.bytes.length / 2)))
  }

  async withWrongDigest(repository: string, blob: Content): Promise<void> {
    const location = await this.#begin(repository)
    const path = withDigest(location, digestOf(Buffer.from('something else')))
    const answer = await this.#request(400, 'PUT', path, { body: blob.bytes })
    this.#uploads.delete(uploadIdOf(location))
    this.#tell('complete upload with a wrong digest', answer)
  }

  async cancelled(repository: string, blob: Content): Promise<void> {
    const location = await this.#begin(repository)
    const next = await this.#patch(location, blob.bytes, {}, repository, blob.bytes.length)
    const answer = await this.#request(204, 'DELETE', next)
    this.#uploads.delete(uploadIdOf(location))
    this.#tell('cancel upload', answer)
  }

  async mount(repository: string, from: string, blob: Content): Promise<void> {
    const query = `mount=${encodeURIComponent(blob.digest)}&from=${encodeURIComponent(from)}`
    const answer = await this.#request(201, 'POST', `/v2/${repository}/blobs/uploads/?${query}`)
    this.#facts.add(`${repository} blob ${blob.digest}`)
    this.#tell('mount blob', answer)
  }

  async manifest(repository: string, tag: string, manifest: Content): Promise<void> {
    const answer = await this.#request(201, 'PUT', `/v2/${repository}/manifests/${tag}`, {
      headers: { 'content-type': manifest.mediaType },
      body: manifest.bytes,
    })
    for (const fact of this.#facts) if (fact.startsWith(`${repository} tag ${tag} `)) this.#facts.delete(fact)
    this.#facts.add(`${repository} manifest ${manifest.digest}`)
    this.#facts.add(`${repository} tag ${tag} ${manifest.digest}`)
    this.#tell(`put manifest ${tag}`, answer)
  }

  /** @param onlyThere blobs that no other image of the repository names. */
  async deleteManifest(repository: string, manifest: Content, onlyThere: readonly Content[]): Promise<void> {
    const answer = await this.#request(202, 'DELETE', `/v2/${repository}/manifests/${manifest.digest}`)
    this.#facts.delete(`${repository} manifest ${manifest.digest}`)
    for (const fact of this.#facts) if (fact.startsWith(`${repository} tag `) && fact.endsWith(manifest.digest)) this.#facts.delete(fact)
    for (const blob of onlyThere) this.#facts.delete(`${repository} blob ${blob.digest}`)
    this.#tell('delete manifest', answer)
  }

  async deleteTag(repository: string, tag: string): Promise<void> {
    const answer = await this.#request(202, 'DELETE', `/v2/${repository}/manifests/${tag}`)
    for (const fact of this.#facts) if (fact.startsWith(`${repository} tag ${tag} `)) this.#facts.delete(fact)
    this.#tell('delete tag', answer)
  }

  async #begin(repository: string): Promise<string> {
    const answer = await this.#request(202, 'POST', `/v2/${repository}/blobs/uploads/`)
    const location = answer.headers.location ?? ''
    this.#uploads.set(uploadIdOf(location), `${repository} upload ${uploadIdOf(location)} 0`)
    this.#tell('begin upload', answer)
    return location
  }

  async #patch(location: string, body: Buffer, headers: Record<string, string>, repository: string, sizeBytes: number): Promise<string> {
    const answer = await this.#request(202, 'PATCH', location, { body, headers })
    this.#uploads.set(uploadIdOf(location), `${repository} upload ${uploadIdOf(location)} ${sizeBytes}`)
    this.#tell('append to upload', answer)
    return answer.headers.location ?? ''
  }

  async #complete(location: string, repository: string, blob: Content, body?: Buffer, headers: Record<string, string> = {}): Promise<void> {
    const answer = await this.#request(201, 'PUT', withDigest(location, blob.digest), { headers, ...(body === undefined ? {} : { body }) })
    this.#uploads.delete(uploadIdOf(location))
    this.#facts.add(`${repository} blob ${blob.digest}`)
    this.#tell('complete upload', answer)
  }

  async #request(status: number, method: string, path: string, request?: ClientRequest): Promise<ClientResponse> {
    const answer = await this.#http!.request(method, path, request)
    if (answer.status === status) return answer
    throw new Error(`${method} ${path}: expected ${status}, was answered ${answer.status} ${answer.body.toString('utf8')}`)
  }

  #tell(name: string, answer: ClientResponse | string | undefined): void {
    const requestId = typeof answer === 'object' ? String(answer.headers['x-request-id']) : answer
    if (requestId === undefined) throw new Error(`the answer to ${name} has no request id`)
    this.steps.push({ name, requestId, facts: new Set(this.#facts), uploads: new Set(this.#uploads.values()) })
  }
}

function uploadIdOf(location: string): string {
  return /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(location)?.[0] ?? ''
}

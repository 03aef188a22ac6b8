import { content, digestOf, randomContent, withDigest } from '../../support/images.ts'
import type { ClientResponse } from '../../support/distribution-client.ts'
import type { BlobRecipe, BlobRecord, ImageRecord, Ledger } from './ledger.ts'
import type { Random } from './random.ts'
import { Unanswered, Unexpected, type StormApi } from './storm-api.ts'

export const repositories = ['storm/app', 'storm/base', 'storm/deep/er']
/** Every client writes these, all at once. */
export const sharedTags = ['latest', 'stable', 'edge']

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const configType = 'application/vnd.oci.image.config.v1+json'
const layerType = 'application/vnd.oci.image.layer.v1.tar'

/** Layers that many images have, so that the same bytes arrive from several clients at once. */
const baseLayers = [40_000, 100_000, 250_000].map((sizeBytes, index) => recipe(`base ${index}`, sizeBytes))

const actionWeights = {
  push: 30,
  pushByEcr: 10,
  retag: 15,
  deleteByDigest: 6,
  deleteByEcrDigest: 6,
  deleteByEcrTag: 5,
  deleteTag: 5,
  deleteSharedTag: 2,
  pushAgain: 4,
  mount: 8,
  read: 15,
  pushInChunks: 10,
  deleteBlob: 4,
}

/** An upload in chunks that a kill may interrupt. */
interface ChunkedUpload {
  readonly record: BlobRecord
  readonly location: string
  /** How far the server has said it is. */
  acknowledgedBytes: number
  /** Where it would be if the request in flight took effect. */
  attemptedBytes: number
  closing: boolean
}

/** One client of the storm: does one thing after the other, and knows what became of each. */
export class StormClient {
  readonly #index: number
  readonly #random: Random
  readonly #ledger: Ledger
  #api!: StormApi
  #made = 0
  #chunked: ChunkedUpload | undefined

  constructor(index: number, random: Random, ledger: Ledger) {
    this.#index = index
    this.#random = random
    this.#ledger = ledger
  }

  /** Works until the server is gone. */
  async run(api: StormApi): Promise<void> {
    this.#api = api
    try {
      if (this.#chunked !== undefined) await this.#resume(this.#chunked)
      for (;;) await this.#act()
    } catch (error) {
      if (!(error instanceof Unanswered) && !(error instanceof Unexpected)) throw error
    }
  }

  async #act(): Promise<void> {
    const action = this.#random.weighted(actionWeights)
    const mine = this.#ledger.images.filter(({ owner, presence }) => owner === this.#index && presence === 'present')
    const image = mine.length > 0 ? this.#random.pick(mine) : undefined
    switch (action) {
      case 'push':
        return this.#push(this.#newImage(this.#random.pick(repositories)), false)
      case 'pushByEcr':
        return this.#push(this.#newImage(this.#random.pick(repositories)), true)
      case 'pushInChunks':
        return this.#pushInChunks()
      case 'deleteBlob':
        return this.#deleteBlob()
      case 'deleteSharedTag':
        return this.#deleteTag(this.#random.pick(repositories), this.#random.pick(sharedTags))
      case 'pushAgain': {
        const gone = this.#ledger.images.filter(({ owner, presence }) => owner === this.#index && presence === 'absent')
        return gone.length > 0 ? this.#push(this.#random.pick(gone), this.#random.fraction() < 0.5) : undefined
      }
      case 'read':
        return image && this.#read(image)
      case 'retag':
        return image && this.#retag(image)
      case 'mount':
        return image && this.#mount(image)
      case 'deleteTag':
        return image && this.#deleteTag(image.repository, image.ownTag)
      case 'deleteByDigest':
        return image && this.#deleteImage(image, false)
      case 'deleteByEcrDigest':
        return image && this.#deleteImage(image, true)
      case 'deleteByEcrTag':
        return image && this.#deleteByTag(image)
    }
  }

  #name(): string {
    this.#made += 1
    return `${this.#index} ${this.#made}`
  }

  #sizeBytes(): number {
    return this.#random.fraction() < 0.1 ? this.#random.between(300_000, 900_000) : this.#random.between(2, 40_000)
  }

  #newImage(repository: string): ImageRecord {
    const name = this.#name()
    const layers = [recipe(`layer ${name}`, this.#sizeBytes())]
    if (this.#random.fraction() < 0.4) layers.unshift(this.#random.pick(baseLayers))
    return this.#image(repository, [recipe(`config ${name}`, this.#random.between(100, 2000)), ...layers])
  }

  #image(repository: string, blobs: readonly BlobRecipe[]): ImageRecord {
    const [config, ...layers] = blobs.map(({ digest, sizeBytes }, position) => ({
      mediaType: position === 0 ? configType : layerType,
      digest,
      size: sizeBytes,
    }))
    const manifest = content(manifestType, JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config, layers }))
    const image: ImageRecord = {
      repository,
      digest: manifest.digest,
      mediaType: manifestType,
      manifestBytes: manifest.bytes,
      blobs,
      owner: this.#index,
      ownTag: `c${this.#index}-${this.#name().replace(' ', '-')}`,
      isShared: false,
      presence: 'absent',
      arrivesWithTag: false,
      changedInRound: this.#ledger.round,
    }
    this.#ledger.images.push(image)
    return image
  }

  async #push(image: ImageRecord, byEcr: boolean): Promise<void> {
    for (const blob of image.blobs) {
      const { status } = await this.#api.send('HEAD', `/v2/${image.repository}/blobs/${blob.digest}`, [200, 404])
      if (status === 404) await this.#pushBlob(image.repository, blob)
    }
    await this.#putManifest(image, image.ownTag, byEcr)
    await this.#expectOwnTag(image)
  }

  async #putManifest(image: ImageRecord, tag: string, byEcr: boolean): Promise<void> {
    const write = this.#ledger.beginSet(image.repository, tag, image.digest)
    image.arrivesWithTag = image.presence === 'absent' && tag === image.ownTag
    if (image.presence === 'absent') image.presence = 'unknown'
    image.changedInRound = this.#ledger.round
    if (byEcr) {
      await this.#api.putImage(image.repository, { bytes: image.manifestBytes, mediaType: image.mediaType }, tag)
    } else {
      const { headers } = await this.#api.change('PUT', `/v2/${image.repository}/manifests/${tag}`, [201], {
        body: image.manifestBytes,
        headers: { 'content-type': image.mediaType },
      })
      if (headers['docker-content-digest'] !== image.digest) this.#ledger.violation(`a manifest got another digest than ${image.digest}`)
    }
    this.#ledger.end(write)
    image.presence = 'present'
    image.arrivesWithTag = false
  }

  /** Nobody else writes this tag: it points where it was just put. */
  async #expectOwnTag(image: ImageRecord): Promise<void> {
    const { headers } = await this.#api.send('HEAD', `/v2/${image.repository}/manifests/${image.ownTag}`, [200])
    if (headers['docker-content-digest'] !== image.digest) {
      this.#ledger.violation(`${image.repository}:${image.ownTag} points at ${String(headers['docker-content-digest'])} right after it was put on ${image.digest}`)
    }
  }

  async #pushBlob(repository: string, blob: BlobRecipe): Promise<void> {
    const uploads = `/v2/${repository}/blobs/uploads/`
    const body = bytesOf(blob)
    switch (this.#random.pick(['post', 'put', 'stream', 'ecr'] as const)) {
      case 'post':
        await this.#api.change('POST', withDigest(uploads, blob.digest), [201], { body })
        return
      case 'put': {
        const location = locationOf(await this.#api.send('POST', uploads, [202]))
        await this.#api.change('PUT', withDigest(location, blob.digest), [201], { body })
        return
      }
      case 'stream': {
        const location = locationOf(await this.#api.send('POST', uploads, [202]))
        const patched = await this.#api.send('PATCH', location, [202], { body: inPieces(body) })
        await this.#api.change('PUT', withDigest(locationOf(patched), blob.digest), [201])
        return
      }
      case 'ecr': {
        const uploadId = await this.#api.initiateLayerUpload(repository)
        await this.#api.uploadLayerPart(repository, uploadId, body)
        await this.#api.completeLayerUpload(repository, uploadId, blob.digest)
      }
    }
  }

  async #retag(image: ImageRecord): Promise<void> {
    image.isShared = true
    await this.#putManifest(image, this.#random.pick(sharedTags), this.#random.fraction() < 0.3)
  }

  /** All of an image into another repository, without its bytes. */
  async #mount(image: ImageRecord): Promise<void> {
    const target = this.#random.pick(repositories.filter((name) => name !== image.repository))
    const copied = this.#ledger.images.find(({ repository, digest }) => repository === target && digest === image.digest)
    if (copied !== undefined) return
    for (const { digest } of image.blobs) {
      await this.#api.change('POST', `/v2/${target}/blobs/uploads/?mount=${digest}&from=${image.repository}`, [201])
    }
    const mounted = this.#image(target, image.blobs)
    await this.#putManifest(mounted, mounted.ownTag, false)
  }

  async #read(image: ImageRecord): Promise<void> {
    this.#ledger.counts.reads += 1
    const base = `/v2/${image.repository}`
    const manifest = await this.#api.send('GET', `${base}/manifests/${image.digest}`, [200])
    this.#expectBytes(manifest.body, image.digest)
    const { digest } = this.#random.pick(image.blobs)
    this.#expectBytes((await this.#api.send('GET', `${base}/blobs/${digest}`, [200])).body, digest)
    const tag = await this.#api.send('GET', `${base}/manifests/${this.#random.pick(sharedTags)}`, [200, 404])
    if (tag.status === 200) this.#expectBytes(tag.body, String(tag.headers['docker-content-digest']))
  }

  #expectBytes(bytes: Buffer, digest: string): void {
    if (digestOf(bytes) !== digest) this.#ledger.violation(`the bytes served as ${digest} have the digest ${digestOf(bytes)}`)
  }

  async #deleteImage(image: ImageRecord, byEcr: boolean): Promise<void> {
    const writes = this.#ledger.beginImageRemoval(image, sharedTags)
    image.presence = 'unknown'
    image.changedInRound = this.#ledger.round
    if (byEcr) {
      const wasThere = await this.#api.batchDeleteImage(image.repository, { imageDigest: image.digest })
      if (!wasThere) this.#api.unexpected(`${image.digest} was acknowledged in ${image.repository} and is not there to be deleted`)
    } else {
      await this.#api.change('DELETE', `/v2/${image.repository}/manifests/${image.digest}`, [202])
    }
    this.#ledger.end(...writes)
    image.presence = 'absent'
  }

  /** ECR: the last tag takes its image with it. */
  async #deleteByTag(image: ImageRecord): Promise<void> {
    const write = this.#ledger.beginRemove(image.repository, image.ownTag)
    image.presence = 'unknown'
    image.changedInRound = this.#ledger.round
    const wasThere = await this.#api.batchDeleteImage(image.repository, { imageTag: image.ownTag })
    this.#ledger.end(write)
    if (!wasThere) image.presence = 'present'
    // With a tag that others move, nobody knows which was the last one.
    else if (!image.isShared) image.presence = 'absent'
    else await this.#findOut(image)
  }

  async #findOut(image: ImageRecord): Promise<void> {
    const { status } = await this.#api.send('HEAD', `/v2/${image.repository}/manifests/${image.digest}`, [200, 404])
    image.presence = status === 200 ? 'present' : 'absent'
  }

  /** OCI: the tag alone goes. */
  async #deleteTag(repository: string, tag: string): Promise<void> {
    const write = this.#ledger.beginRemove(repository, tag)
    const { status } = await this.#api.change('DELETE', `/v2/${repository}/manifests/${tag}`, [202, 404])
    if (status === 202) this.#ledger.end(write)
    else this.#ledger.tag(repository, tag).withdraw(write)
  }

  async #deleteBlob(): Promise<void> {
    const mine = this.#ledger.blobs.filter(({ owner, presence }) => owner === this.#index && presence === 'present')
    if (mine.length === 0) return
    const record = this.#random.pick(mine)
    record.presence = 'unknown'
    record.changedInRound = this.#ledger.round
    await this.#api.change('DELETE', `/v2/${record.repository}/blobs/${record.blob.digest}`, [202])
    record.presence = 'absent'
  }

  async #pushInChunks(): Promise<void> {
    const repository = this.#random.pick(repositories)
    const location = locationOf(await this.#api.send('POST', `/v2/${repository}/blobs/uploads/`, [202]))
    const record: BlobRecord = {
      repository,
      blob: recipe(`chunked ${this.#name()}`, this.#random.between(20_000, 400_000)),
      owner: this.#index,
      presence: 'absent',
      changedInRound: this.#ledger.round,
    }
    this.#ledger.blobs.push(record)
    this.#chunked = { record, location, acknowledgedBytes: 0, attemptedBytes: 0, closing: false }
    await this.#finish(this.#chunked)
  }

  async #finish(upload: ChunkedUpload): Promise<void> {
    const { record, location } = upload
    const body = bytesOf(record.blob)
    while (upload.acknowledgedBytes < body.length) {
      const start = upload.acknowledgedBytes
      const end = Math.min(body.length, start + this.#random.between(10_000, 150_000))
      upload.attemptedBytes = end
      const { headers } = await this.#api.send('PATCH', location, [202], {
        headers: { 'content-range': `${start}-${end - 1}` },
        body: body.subarray(start, end),
      })
      if (headers.range !== `0-${end - 1}`) this.#ledger.violation(`a chunk that ends at ${end} was answered with the range ${String(headers.range)}`)
      upload.acknowledgedBytes = end
    }
    upload.closing = true
    record.presence = 'unknown'
    record.changedInRound = this.#ledger.round
    await this.#api.change('PUT', withDigest(location, record.blob.digest), [201])
    record.presence = 'present'
    this.#chunked = undefined
  }

  /** After a kill the session is where it was last said to be, or where the request that had no answer took it. */
  async #resume(upload: ChunkedUpload): Promise<void> {
    const { record, location } = upload
    const { status, headers } = await this.#api.send('GET', location, [204, 404])
    if (status === 404) {
      if (!upload.closing) this.#api.unexpected(`the upload ${location} was lost at byte ${upload.acknowledgedBytes}`)
      const { body } = await this.#api.send('GET', `/v2/${record.repository}/blobs/${record.blob.digest}`, [200])
      this.#expectBytes(body, record.blob.digest)
      record.presence = 'present'
      this.#chunked = undefined
      return
    }
    const last = Number(/^0-(\d+)$/.exec(String(headers.range))?.[1])
    const stands = last === 0 ? 0 : last + 1
    if (stands !== upload.acknowledgedBytes && stands !== upload.attemptedBytes) {
      this.#api.unexpected(`the upload ${location} is at ${stands}, and was at ${upload.acknowledgedBytes} or ${upload.attemptedBytes}`)
    }
    this.#ledger.counts.resumed += 1
    upload.acknowledgedBytes = stands
    await this.#finish(upload)
  }
}

function recipe(seed: string, sizeBytes: number): BlobRecipe {
  return { seed, sizeBytes, digest: digestOf(randomContent(sizeBytes, seed)) }
}

export function bytesOf({ seed, sizeBytes }: BlobRecipe): Buffer {
  return randomContent(sizeBytes, seed)
}

/** Of unknown length, as docker sends it. */
async function* inPieces(bytes: Buffer): AsyncGenerator<Buffer> {
  const pieceBytes = Math.max(1000, Math.ceil(bytes.length / 5))
  for (let start = 0; start < bytes.length; start += pieceBytes) {
    yield bytes.subarray(start, start + pieceBytes)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function locationOf(response: ClientResponse): string {
  const { location } = response.headers
  if (location === undefined) throw new Error('an answer without Location')
  return location
}

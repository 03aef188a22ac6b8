import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { Archivist } from '../../src/archive/index.ts'
import { Collector } from '../../src/gc/index.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { DamageWatch } from '../../src/registry/damage.ts'
import { commandContext, createRegistry, type ImageStatus, type Registry } from '../../src/registry/index.ts'
import type { TieredBlobStore } from '../../src/storage/blobs/index.ts'
import { digestOf, parseRepositoryName, parseTag, type Digest, type RepositoryName } from '../../src/values/index.ts'
import type { RegistryFixture } from '../support/registry.ts'

const types = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
}

export interface TestImage {
  readonly digest: Digest
  readonly bytes: Buffer
  readonly mediaType: string
  readonly blobs: readonly Buffer[]
  readonly parts: readonly TestImage[]
}

/** A layer that shrinks by half, and no other is alike. */
export function textLayer(sizeBytes = 100_000): Buffer {
  return Buffer.from(randomBytes(sizeBytes / 2).toString('hex'))
}

/** A layer as of a compressed tarball: it does not shrink. */
export function packedLayer(sizeBytes = 50_000): Buffer {
  return randomBytes(sizeBytes)
}

export function imageOf(layers: readonly Buffer[], subject?: TestImage): TestImage {
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', created: randomUUID() }))
  return manifest({ blobs: [config, ...layers], parts: [] }, types.manifest, {
    ...(subject === undefined ? {} : { artifactType: 'application/vnd.example.signature', subject: descriptor(subject.mediaType, subject.bytes) }),
    config: descriptor(types.config, config),
    layers: layers.map((layer) => descriptor(types.layer, layer)),
  })
}

export function indexOf(...parts: TestImage[]): TestImage {
  return manifest({ blobs: [], parts }, types.index, {
    manifests: parts.map((part) => descriptor(part.mediaType, part.bytes)),
    annotations: { id: randomUUID() },
  })
}

function manifest(made: Pick<TestImage, 'blobs' | 'parts'>, mediaType: string, document: object): TestImage {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...document }))
  return { ...made, mediaType, bytes, digest: digestOf(bytes) }
}

function descriptor(mediaType: string, bytes: Buffer) {
  return { mediaType, digest: blobDigest(bytes), size: bytes.length }
}

export function blobDigest(bytes: Buffer): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest
}

/** What moves blobs, and what takes them away, over a registry whose clock is moved by hand. */
export class ArchiveWorld {
  readonly fixture: RegistryFixture
  readonly problems: unknown[] = []
  readonly registry: Registry
  #archivist: Archivist
  readonly #collector: Collector

  constructor(fixture: RegistryFixture, { restoreOnPull = false } = {}) {
    this.fixture = fixture
    const { database, blobStore, pullClock, clock } = fixture
    const systemContext = () => ({ ...commandContext(fixture.context), protocol: 'system' })
    const logger = { info: () => undefined, error: (problem: unknown) => this.problems.push(problem) }
    this.#archivist = this.newArchivist()
    this.#collector = new Collector({ database, blobStore, systemContext, clock, logger, owner: randomUUID() })
    const damageWatch = new DamageWatch({ database, blobStore, systemContext })
    this.registry = createRegistry({
      database,
      blobStore,
      ids: systemIds,
      pullClock,
      damageWatch,
      archive: { restoreOnPull, onWork: () => undefined },
      ...fixture.uploadDependencies,
    })
  }

  /** As that of another process with the same database and folders. */
  newArchivist(blobStore: TieredBlobStore = this.fixture.blobStore): Archivist {
    const { database, clock, context } = this.fixture
    const systemContext = () => ({ ...commandContext(context), protocol: 'system' })
    const logger = { info: () => undefined, error: (problem: unknown) => this.problems.push(problem) }
    const damageWatch = new DamageWatch({ database, blobStore, systemContext })
    return new Archivist({ database, blobStore, damageWatch, ids: systemIds, clock, logger, systemContext, owner: randomUUID() })
  }

  get counters() {
    return this.#archivist.counters
  }

  contents() {
    return this.#archivist.contents()
  }

  /** Everything that waits in the background, and ten minutes later what was left behind. */
  async work(): Promise<void> {
    await this.#archivist.work()
    this.fixture.clock.advance(11 * 60_000)
    await this.#collector.collect()
    await this.#archivist.work()
  }

  /** Only what moves blobs. */
  move(): Promise<void> {
    return this.#archivist.work()
  }

  collect(): Promise<void> {
    return this.#collector.collect()
  }

  async repository(prefix: string): Promise<RepositoryName> {
    const name = parseRepositoryName(`${prefix}/${randomUUID()}`)
    await this.registry.createRepository(this.fixture.context, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
    return name
  }

  async push(name: RepositoryName, image: TestImage, ...tags: string[]): Promise<void> {
    for (const part of image.parts) await this.push(name, part)
    for (const blob of image.blobs) await this.fixture.upload(name, blob)
    await this.put(name, image, ...tags)
  }

  /** The manifest alone, as of a client that was told that all else is there. */
  async put(name: RepositoryName, image: TestImage, ...tags: string[]): Promise<void> {
    const { bytes, mediaType: declaredMediaType } = image
    await this.registry.putManifest(this.fixture.context, name, { bytes, declaredMediaType, tags: tags.map(parseTag), via: 'oci' })
  }

  async change(name: RepositoryName, image: TestImage, target: 'ARCHIVE' | 'STANDARD'): Promise<ImageStatus> {
    return (await this.registry.updateStorageClass(this.fixture.context, name, { digest: image.digest }, target)).status
  }

  async status(name: RepositoryName, { digest }: TestImage): Promise<ImageStatus | undefined> {
    return (await this.registry.describeImagesById(this.fixture.context, name, [{ digest }]))[0]?.status
  }

  pull(name: RepositoryName, { digest }: Pick<TestImage, 'digest'>) {
    return this.registry.getManifest(this.fixture.context, name, { kind: 'digest', digest })
  }

  async read(name: RepositoryName, blob: Buffer): Promise<Buffer> {
    const { content } = await this.registry.openBlob(this.fixture.context, name, blobDigest(blob))
    const parts: Buffer[] = []
    try {
      for await (const part of content.read()) parts.push(part)
    } finally {
      await content.close()
    }
    return Buffer.concat(parts)
  }

  /** In which stores a blob has a file, and in which form. */
  async files(blob: Buffer): Promise<string[]> {
    const hex = blobDigest(blob).slice('sha256:'.length)
    const found: string[] = []
    for await (const { key } of this.fixture.blobStore.list()) {
      if (key.includes(hex)) found.push(`${this.fixture.blobStore.storeOf(key)}${key.endsWith('.zst') ? ' zstd' : ''}`)
    }
    return found
  }

  events(name: RepositoryName): Promise<Record<string, unknown>[]> {
    return this.fixture.events(name)
  }
}

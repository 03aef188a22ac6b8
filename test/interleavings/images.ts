import { digestOf, parseRepositoryName, type Digest, type RepositoryName } from '../../src/values/index.ts'
import { randomContent } from '../support/images.ts'

/** An image of a history: what it is made of, and under which names it is pushed. */
export interface KnownImage {
  readonly name: string
  readonly digest: Digest
  readonly bytes: Buffer
  readonly mediaType: string
  readonly blobs: readonly { readonly digest: Digest; readonly bytes: Buffer }[]
  readonly children: readonly KnownImage[]
  readonly subject: KnownImage | undefined
}

/** What a history is about: few things, so that everybody meets everybody. */
export interface Catalogue {
  readonly repositories: readonly RepositoryName[]
  readonly images: readonly KnownImage[]
  readonly tags: readonly string[]
}

const types = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
}

/** Three images that share layers, an index of two of them, and signatures of an image and of the index. */
export function catalogueOf(seed: string): Catalogue {
  const layers = [0, 1, 2].map((number) => blob(`${seed} layer ${number}`))
  const image = (name: string, used: readonly number[], subject?: KnownImage): KnownImage => {
    const config = blob(`${seed} config ${name}`)
    const blobs = [config, ...used.map((number) => layers[number]!)]
    const document = {
      schemaVersion: 2,
      mediaType: types.manifest,
      ...(subject ? { artifactType: 'application/vnd.example.signature' } : {}),
      config: descriptor(types.config, config),
      layers: used.map((number) => descriptor(types.layer, layers[number]!)),
      ...(subject ? { subject: descriptor(subject.mediaType, subject) } : {}),
    }
    return manifest(name, types.manifest, document, { blobs, children: [], subject })
  }
  const one = image('one', [0, 1])
  const two = image('two', [1, 2])
  const three = image('three', [0])
  const children = [one, two]
  const index = manifest(
    'index',
    types.index,
    { schemaVersion: 2, mediaType: types.index, manifests: children.map((child) => descriptor(child.mediaType, child)), annotations: { seed } },
    { blobs: [], children, subject: undefined },
  )
  const images = [one, two, three, index, image('signature-of-three', [2], three), image('signature-of-index', [0], index)]
  return { repositories: ['a', 'b'].map((name) => parseRepositoryName(`${seed}/${name}`)), images, tags: ['latest', 'v1', 'v2'] }
}

function blob(seed: string) {
  const bytes = randomContent(200, seed)
  return { digest: digestOf(bytes), bytes }
}

function descriptor(mediaType: string, { digest, bytes }: { digest: string; bytes: Buffer }) {
  return { mediaType, digest, size: bytes.length }
}

function manifest(name: string, mediaType: string, document: object, parts: Pick<KnownImage, 'blobs' | 'children' | 'subject'>): KnownImage {
  const bytes = Buffer.from(JSON.stringify(document))
  return { name, digest: digestOf(bytes), bytes, mediaType, ...parts }
}

/** The image, what it lists, and what those list. */
export function withChildren(image: KnownImage): KnownImage[] {
  return [image, ...image.children.flatMap(withChildren)]
}

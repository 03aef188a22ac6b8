import { ContentSource, mebibyte } from '../content.ts'
import {
  checkImage,
  chunkedBlob,
  imageOf,
  pullImage,
  pushImage,
  pushManifest,
  streamBlob,
  type Image,
  type RegistryClient,
} from '../registry-client.ts'
import { withConnection, type Operation } from './workload.ts'

/** `streamed` is docker's POST, PATCH, PUT of each blob; `monolithic` is POST, PUT. */
export type PushStyle = 'monolithic' | 'streamed'

export const configBytes = 1024

/** Makes images of one layer that all differ. Sources are shared: a large one costs its bytes once. */
export class ImageSource {
  readonly #configs = new ContentSource(configBytes)
  readonly #layers = new Map<number, ContentSource>()

  next(layerBytes: number): Image {
    let layers = this.#layers.get(layerBytes)
    if (layers === undefined) this.#layers.set(layerBytes, (layers = new ContentSource(layerBytes)))
    return imageOf(this.#configs.next(), layers.next())
  }
}

export function contentBytesOf({ config, layer }: Image): number {
  return config.sizeBytes + layer.sizeBytes
}

export function push(style: PushStyle, repository: string, tag: string, image: Image): Operation {
  const bytes = contentBytesOf(image)
  if (style === 'monolithic') {
    return async (connection) => {
      await pushImage(connection, repository, tag, image)
      return bytes
    }
  }
  const blobs = [image.layer, image.config].map((blob) => chunkedBlob(blob))
  return async (connection) => {
    for (const blob of blobs) await streamBlob(connection, repository, blob)
    await pushManifest(connection, repository, tag, image.manifest)
    return bytes
  }
}

export function pull(repository: string, tag: string, image: Image): Operation {
  const bytes = contentBytesOf(image)
  return async (connection) => {
    await pullImage(connection, repository, tag, image)
    return bytes
  }
}

export const pulledRepository = 'bench/pulled'

/** An image with a layer of this size that is there to be pulled, as `pulledRepository:<layerBytes>`. */
export function pushedImage(registry: RegistryClient, layerBytes: number): Promise<Image> {
  return registry.once(`image of ${layerBytes}`, async () => {
    await registry.once('repository to pull from', () => registry.createRepositories([pulledRepository]))
    const image = new ImageSource().next(layerBytes)
    await withConnection(registry, async (connection) => {
      await pushImage(connection, pulledRepository, String(layerBytes), image)
      await checkImage(connection, pulledRepository, String(layerBytes), image)
    })
    return image
  })
}

/** The layers of zb's mixed workloads: 20 % of 1 MiB, 70 % of 10 MiB, 10 % of 100 MiB, spread over the round. */
export function mixedLayerBytes(count: number): number[] {
  const shares = [1, 10, 10, 10, 10, 100, 10, 10, 10, 1]
  return Array.from({ length: count }, (_, index) => shares[index % shares.length]! * mebibyte)
}

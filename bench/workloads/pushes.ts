import { ContentSource, mebibyte, type Content } from '../content.ts'
import { chunkedBlob, imageOf, pushImage, pushManifest, streamBlob, type Image } from '../registry-client.ts'
import type { HttpConnection } from '../http-connection.ts'
import type { Operation, Workload } from './workload.ts'

interface PushOptions {
  readonly name: string
  readonly title: string
  readonly layerBytes: number
  readonly concurrency: number
  readonly operationsPerRound: number
  /** Every image its own content, or one content again and again, always into new repositories. */
  readonly content: 'unique' | 'identical'
  /** `streamed` is docker's POST, PATCH, PUT; `monolithic` is POST, PUT. */
  readonly style: 'monolithic' | 'streamed'
  readonly repositories: 'one-per-push' | 'one'
}

const configBytes = 1024

function push(options: PushOptions): Workload {
  const { name, title, layerBytes, concurrency, operationsPerRound, content, style } = options
  return {
    name,
    title,
    operation: style === 'monolithic' ? 'image push of 5 requests' : 'image push of 7 requests',
    concurrency,
    ...(layerBytes >= mebibyte ? { operationBytes: layerBytes + configBytes } : {}),
    async open(registry, scale) {
      const layers = new ContentSource(layerBytes)
      const configs = new ContentSource(configBytes)
      const nextImage = (): Image => imageOf(configs.next(), layers.next())
      const sameImage = nextImage()
      const count = Math.max(concurrency, Math.round(operationsPerRound * scale.share))
      const sharedRepository = 'bench/shared'
      if (options.repositories === 'one') await registry.createRepositories([sharedRepository])
      return {
        async prepareRound(round) {
          const operations: Operation[] = []
          const repositories: string[] = []
          const disposable: string[] = []
          for (let index = 0; index < count; index += 1) {
            const image = content === 'unique' ? nextImage() : sameImage
            const repository = options.repositories === 'one' ? sharedRepository : `bench/push-${round}-${index}`
            operations.push(style === 'monolithic' ? monolithic(repository, `${round}-${index}`, image) : streamed(repository, image))
            if (options.repositories === 'one-per-push') repositories.push(repository)
            if (content === 'unique' && layerBytes >= mebibyte) disposable.push(image.layer.digest)
          }
          await registry.createRepositories(repositories)
          return { kind: 'once', operations, disposable }
        },
      }
    },
  }
}

function monolithic(repository: string, tag: string, image: Image): Operation {
  return (connection) => pushImage(connection, repository, tag, image)
}

function streamed(repository: string, { config, layer, manifest }: Image): Operation {
  const blobs = [layer, config].map((blob: Content) => chunkedBlob(blob))
  return async (connection: HttpConnection) => {
    for (const blob of blobs) await streamBlob(connection, repository, blob)
    await pushManifest(connection, repository, 'latest', manifest)
  }
}

const smallLayer = { layerBytes: mebibyte, concurrency: 10, operationsPerRound: 200, repositories: 'one-per-push' } as const
const largeLayer = {
  layerBytes: 100 * mebibyte,
  content: 'unique',
  style: 'monolithic',
  repositories: 'one-per-push',
} as const

export const pushWorkloads: readonly Workload[] = [
  push({ ...smallLayer, name: 'push-1mb-unique', title: '1 MiB push, unique content', content: 'unique', style: 'monolithic' }),
  push({ ...smallLayer, name: 'push-1mb-identical', title: '1 MiB push, content that is there', content: 'identical', style: 'monolithic' }),
  push({ ...smallLayer, name: 'push-1mb-streamed', title: '1 MiB push as docker does, unique content', content: 'unique', style: 'streamed' }),
  push({ ...largeLayer, name: 'push-100mb-c1', title: '100 MiB push, unique content', concurrency: 1, operationsPerRound: 4 }),
  push({ ...largeLayer, name: 'push-100mb-c4', title: '100 MiB push, unique content', concurrency: 4, operationsPerRound: 8 }),
  push({
    name: 'push-1kb-one-repository',
    title: '1 KiB push into one repository (PutImage rate)',
    layerBytes: 1024,
    concurrency: 10,
    operationsPerRound: 400,
    content: 'unique',
    style: 'monolithic',
    repositories: 'one',
  }),
]

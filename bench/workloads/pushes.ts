import { mebibyte } from '../content.ts'
import type { Image } from '../registry-client.ts'
import { ImageSource, mixedLayerBytes, push, type PushStyle } from './images.ts'
import type { BlobName, Operation, Workload } from './workload.ts'

interface PushOptions {
  readonly name: string
  readonly title: string
  /** Of each push of a round. */
  layerBytes(count: number): readonly number[]
  readonly unit: Workload['unit']
  readonly concurrency: number
  readonly operationsPerRound: number
  /** Every image its own content, or one content again and again. */
  readonly content: 'unique' | 'identical'
  readonly style: PushStyle
  /** zb pushes every image into a new repository; this many are made beforehand and pushed to in turns. */
  readonly repositories: 'one-per-push' | number
}

function pushWorkload(options: PushOptions): Workload {
  const { name, title, unit, concurrency, operationsPerRound, content, style, repositories } = options
  return {
    name,
    title,
    operation: style === 'monolithic' ? 'image push of 5 requests' : 'image push of 7 requests',
    concurrency,
    unit,
    roundMs: 0,
    async open(registry, scale) {
      const source = new ImageSource()
      const same = new Map<number, Image>()
      const imageOfSize = (layerBytes: number): Image => {
        if (content === 'unique') return source.next(layerBytes)
        const image = same.get(layerBytes) ?? source.next(layerBytes)
        same.set(layerBytes, image)
        return image
      }
      const count = Math.max(concurrency, Math.round(operationsPerRound * scale.share))
      const shared = repositories === 'one-per-push' ? [] : Array.from({ length: repositories }, (_, index) => `bench/${name}-${index}`)
      await registry.createRepositories(shared)
      return {
        async prepareRound(round) {
          const operations: Operation[] = []
          const created: string[] = []
          const disposable: BlobName[] = []
          for (const [index, layerBytes] of options.layerBytes(count).entries()) {
            const image = imageOfSize(layerBytes)
            const repository = shared.length > 0 ? shared[index % shared.length]! : `bench/${name}-${round}-${index}`
            operations.push(push(style, repository, `${round}-${index}`, image))
            if (shared.length === 0) created.push(repository)
            if (content === 'unique' && layerBytes >= mebibyte) disposable.push({ repository, digest: image.layer.digest })
          }
          await registry.createRepositories(created)
          return { kind: 'once', operations, disposable }
        },
      }
    },
  }
}

type SizeOptions = Pick<PushOptions, 'layerBytes' | 'concurrency' | 'operationsPerRound' | 'unit' | 'repositories'> & { label: string }

/** Sizes and concurrencies as in zb; enough pushes that a round lasts about a second on the faster server. */
function ofSize(mebibytes: number, concurrency: number, operationsPerRound: number): SizeOptions {
  return {
    label: `${mebibytes}mb`,
    layerBytes: (count) => Array.from({ length: count }, () => mebibytes * mebibyte),
    unit: 'bytes',
    concurrency,
    operationsPerRound,
    repositories: 'one-per-push',
  }
}

const sizes = { small: ofSize(1, 10, 100), medium: ofSize(10, 10, 20), large: ofSize(100, 4, 4), single: ofSize(100, 1, 2) }

function zbPush(size: SizeOptions, content: PushOptions['content'], style: PushStyle): Workload {
  const { label, ...rest } = size
  const suffix = size === sizes.single ? '-c1' : ''
  const contentText = content === 'unique' ? 'unique content' : 'content that is there'
  const styleText = style === 'streamed' ? ' as docker does' : ''
  return pushWorkload({
    ...rest,
    name: `push-${label}-${content}${style === 'streamed' ? '-streamed' : ''}${suffix}`,
    title: `${label.replace('mb', ' MiB')} push${styleText}, ${contentText}`,
    content,
    style,
  })
}

export const pushWorkloads: readonly Workload[] = [
  zbPush(sizes.small, 'unique', 'monolithic'),
  zbPush(sizes.medium, 'unique', 'monolithic'),
  zbPush(sizes.large, 'unique', 'monolithic'),
  zbPush(sizes.single, 'unique', 'monolithic'),
  zbPush(sizes.small, 'identical', 'monolithic'),
  zbPush(sizes.medium, 'identical', 'monolithic'),
  zbPush(sizes.large, 'identical', 'monolithic'),
  zbPush(sizes.small, 'unique', 'streamed'),
  zbPush(sizes.medium, 'unique', 'streamed'),
  zbPush(sizes.large, 'unique', 'streamed'),
  zbPush(sizes.small, 'identical', 'streamed'),
  pushWorkload({
    name: 'push-mixed',
    title: 'Push of 1, 10 and 100 MiB mixed, unique content',
    layerBytes: mixedLayerBytes,
    unit: 'bytes',
    concurrency: 10,
    operationsPerRound: 20,
    content: 'unique',
    style: 'monolithic',
    repositories: 'one-per-push',
  }),
]

/** What bounds them is metadata and locks, not bytes. */
const tiny = {
  layerBytes: (count: number) => Array.from({ length: count }, () => 1024),
  unit: 'operations',
  concurrency: 100,
  operationsPerRound: 200,
  content: 'unique',
  style: 'monolithic',
} as const

export const tinyPushWorkloads: readonly Workload[] = [
  pushWorkload({ ...tiny, name: 'push-1kb-one-repository', title: '1 KiB push into one repository (PutImage rate)', repositories: 1 }),
  pushWorkload({ ...tiny, name: 'push-1kb-many-repositories', title: '1 KiB push into 100 repositories', repositories: 100 }),
]

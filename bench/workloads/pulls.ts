import { mebibyte } from '../content.ts'
import { ImageSource, mixedLayerBytes, pull, pulledRepository, push, pushedImage } from './images.ts'
import type { BlobName, Operation, Workload } from './workload.ts'

const operation = 'image pull of 6 requests'
const roundMs = 2000

function pullOf(mebibytes: number, concurrency: number): Workload {
  return {
    name: `pull-${mebibytes}mb-c${concurrency}`,
    title: `${mebibytes} MiB pull`,
    operation,
    concurrency,
    unit: 'bytes',
    roundMs,
    async open(registry) {
      const layerBytes = mebibytes * mebibyte
      const image = await pushedImage(registry, layerBytes)
      return { prepareRound: async () => ({ kind: 'repeat', operation: pull(pulledRepository, String(layerBytes), image) }) }
    },
  }
}

/** How many images a round pulls, and every fourth of them it may push instead. */
const mixedOperations = 40

const mixedPull: Workload = {
  name: 'pull-mixed',
  title: 'Pull of 1, 10 and 100 MiB mixed',
  operation,
  concurrency: 10,
  unit: 'bytes',
  roundMs,
  async open(registry, scale) {
    const pulls: Operation[] = []
    for (const layerBytes of mixedLayerBytes(Math.round(mixedOperations * scale.share))) {
      pulls.push(pull(pulledRepository, String(layerBytes), await pushedImage(registry, layerBytes)))
    }
    return { prepareRound: async () => ({ kind: 'once', operations: pulls, disposable: [] }) }
  },
}

const pullsAndPushes: Workload = {
  name: 'pull-75-push-25-mixed',
  title: '75 % pull and 25 % push of 1, 10 and 100 MiB mixed, unique content',
  operation: 'image pull of 6 or push of 5 requests',
  concurrency: 10,
  unit: 'bytes',
  roundMs,
  async open(registry, scale) {
    const count = Math.round(mixedOperations * scale.share)
    const pushCount = Math.round(count / 4)
    const pulls: Operation[] = []
    for (const layerBytes of mixedLayerBytes(count - pushCount)) {
      pulls.push(pull(pulledRepository, String(layerBytes), await pushedImage(registry, layerBytes)))
    }
    const source = new ImageSource()
    return {
      async prepareRound(round) {
        const repositories: string[] = []
        const disposable: BlobName[] = []
        const operations = [...pulls]
        for (const [index, layerBytes] of mixedLayerBytes(pushCount).entries()) {
          const image = source.next(layerBytes)
          const repository = `bench/mixed-${round}-${index}`
          repositories.push(repository)
          disposable.push({ repository, digest: image.layer.digest })
          operations.splice(index * 4, 0, push('monolithic', repository, 'latest', image))
        }
        await registry.createRepositories(repositories)
        return { kind: 'once', operations, disposable }
      },
    }
  },
}

export const pullWorkloads: readonly Workload[] = [pullOf(1, 10), pullOf(10, 10), pullOf(100, 4), pullOf(100, 1), mixedPull, pullsAndPushes]

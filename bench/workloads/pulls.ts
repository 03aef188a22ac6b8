import { ContentSource, mebibyte } from '../content.ts'
import { checkImage, imageOf, pullImage, pushImage } from '../registry-client.ts'
import { withConnection, type Workload } from './workload.ts'

const repository = 'bench/app'
const tag = '1.0'
const configBytes = 1024

function pull(options: { name: string; title: string; layerBytes: number; concurrency: number }): Workload {
  const { name, title, layerBytes, concurrency } = options
  return {
    name,
    title,
    operation: 'image pull of 6 requests',
    concurrency,
    operationBytes: layerBytes + configBytes,
    async open(registry) {
      const image = imageOf(new ContentSource(configBytes).next(), new ContentSource(layerBytes).next())
      await registry.createRepositories([repository])
      await withConnection(registry, async (connection) => {
        await pushImage(connection, repository, tag, image)
        await checkImage(connection, repository, tag, image)
      })
      return {
        prepareRound: async () => ({
          kind: 'repeat',
          operation: (connection) => pullImage(connection, repository, tag, image),
        }),
      }
    },
  }
}

export const pullWorkloads: readonly Workload[] = [
  pull({ name: 'pull-1mb', title: '1 MiB pull', layerBytes: mebibyte, concurrency: 10 }),
  pull({ name: 'pull-100mb-c1', title: '100 MiB pull', layerBytes: 100 * mebibyte, concurrency: 1 }),
  pull({ name: 'pull-100mb-c4', title: '100 MiB pull', layerBytes: 100 * mebibyte, concurrency: 4 }),
]

import { ContentSource } from '../content.ts'
import { call, manifestAccept, manifestOf, pushBlob, pushManifest, type RegistryClient } from '../registry-client.ts'
import { withConnection, type Workload } from './workload.ts'

const repository = 'bench/app'
const tag = '1.0'
const path = `/v2/${repository}/manifests/${tag}`
const headers = { accept: manifestAccept }

/** As many as a usual application image has: a manifest of about 1 KiB. */
const layerCount = 6

async function pushTaggedImage(registry: RegistryClient): Promise<void> {
  const source = new ContentSource(1024)
  const blobs = Array.from({ length: layerCount + 1 }, () => source.next())
  const [config, ...layers] = blobs
  await registry.createRepositories([repository])
  await withConnection(registry, async (connection) => {
    for (const blob of blobs) await pushBlob(connection, repository, blob)
    await pushManifest(connection, repository, tag, manifestOf(config!, layers))
  })
}

function manifestGet(concurrency: number): Workload {
  return {
    name: `manifest-get-c${concurrency}`,
    title: 'Manifest GET by tag (wrk)',
    operation: 'GET',
    concurrency,
    async open(registry) {
      await pushTaggedImage(registry)
      return { prepareRound: async () => ({ kind: 'wrk', path, headers }) }
    },
  }
}

const manifestHead: Workload = {
  name: 'manifest-head',
  title: 'Manifest HEAD by tag',
  operation: 'HEAD',
  concurrency: 10,
  async open(registry) {
    await pushTaggedImage(registry)
    return {
      prepareRound: async () => ({
        kind: 'repeat',
        async operation(connection) {
          await call(connection, 200, { method: 'HEAD', path, headers })
        },
      }),
    }
  },
}

export const manifestWorkloads: readonly Workload[] = [manifestGet(10), manifestGet(32), manifestHead]

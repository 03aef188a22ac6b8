import { ContentSource } from '../content.ts'
import { call, manifestAccept, manifestOf, pushBlob, pushManifest, type RegistryClient } from '../registry-client.ts'
import { withConnection, type Workload } from './workload.ts'

export const repository = 'bench/app'
export const tag = '1.0'
const headers = { accept: manifestAccept }

/** As many as a usual application image has: a manifest of about 1 KiB. */
const layerCount = 6

/** Short: a round is thousands of requests even on the slowest server. */
const roundMs = 1000

/** Answers the digest of the manifest. */
export function pushTaggedImage(registry: RegistryClient): Promise<string> {
  return registry.once('tagged image', async () => {
    const source = new ContentSource(1024)
    const blobs = Array.from({ length: layerCount + 1 }, () => source.next())
    const [config, ...layers] = blobs
    const manifest = manifestOf(config!, layers)
    await registry.createRepositories([repository])
    await withConnection(registry, async (connection) => {
      for (const blob of blobs) await pushBlob(connection, repository, blob)
      await pushManifest(connection, repository, tag, manifest)
    })
    return manifest.digest
  })
}

function manifestWorkload(method: 'GET' | 'HEAD', by: 'tag' | 'digest', concurrency: number): Workload {
  return {
    name: `manifest-${method.toLowerCase()}-${by}-c${concurrency}`,
    title: `Manifest ${method} by ${by}${method === 'GET' ? ' (wrk)' : ''}`,
    operation: method,
    concurrency,
    unit: 'operations',
    roundMs,
    async open(registry) {
      const digest = await pushTaggedImage(registry)
      const path = `/v2/${repository}/manifests/${by === 'tag' ? tag : digest}`
      // wrk waits for the body that an answer to HEAD announces and does not have.
      if (method === 'GET') return { prepareRound: async () => ({ kind: 'wrk', path, headers }) }
      return {
        prepareRound: async () => ({
          kind: 'repeat',
          operation: async (connection) => (await call(connection, 200, { method, path, headers })).bodyBytes,
        }),
      }
    },
  }
}

export const manifestWorkloads: readonly Workload[] = (['GET', 'HEAD'] as const).flatMap((method) =>
  (['tag', 'digest'] as const).flatMap((by) => [10, 32, 128].map((concurrency) => manifestWorkload(method, by, concurrency))),
)

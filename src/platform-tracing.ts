import type { Logger } from 'pino'
import type { Config } from './config/index.ts'
import type { IdSource } from './internal/ids.ts'
import type { BlobStore } from './storage/blobs/index.ts'
import type { MetadataDatabase } from './storage/metadata/database.ts'

/** Undefined where no traces are wanted: what they need is half of what a server loads otherwise, and is not loaded then. */
export async function startTracing(
  { otlpEndpoint: endpoint, otlpHeaders: headers = {}, traceRatio: ratio }: Config,
  { version, logger, ids }: { readonly version: string; readonly logger: Logger; readonly ids: IdSource },
) {
  if (endpoint === undefined) return undefined
  const { openTracing, tracedBlobStore, tracedDatabase } = await import('./tracing/index.ts')
  const tracing = openTracing({
    endpoint,
    headers,
    ratio,
    version,
    instanceId: ids.uuid(),
    onError(error) {
      logger.warn({ err: error }, 'traces could not be sent')
    },
  })
  return {
    ...tracing,
    tracedDatabase: (database: MetadataDatabase) => tracedDatabase(database, tracing),
    tracedBlobStore: (store: BlobStore) => tracedBlobStore(store, tracing),
  }
}

import { join } from 'node:path'
import type { FatalHandler, MetadataDatabase } from './database.ts'
import type { MetadataTarget } from './migrate.ts'
import { openPostgresDatabase } from './postgres/database.ts'
import { openSqliteDatabase } from './sqlite/database.ts'

/** The file of an embedded installation's metadata. */
export function metadataFile(dataDir: string): string {
  return join(dataDir, 'stowage.db')
}

export interface OpenMetadataOptions {
  /** Module that exports `commands`: every write command of the program. */
  readonly catalogueUrl: string
  readonly onFatal: FatalHandler
  /** A connection was lost while idle; it will be made again. */
  readonly onConnectionLost: (error: Error) => void
}

/** Connections to PostgreSQL of one process: more than it has cores for, few enough for a dozen processes. */
const postgresConnections = 20

/** Opens the metadata of a migrated database. Throws `storage-unavailable`. */
export async function openMetadata(target: MetadataTarget, options: OpenMetadataOptions): Promise<MetadataDatabase> {
  if ('file' in target) {
    const { catalogueUrl, onFatal } = options
    return openSqliteDatabase({ file: target.file, catalogueUrl, onFatal })
  }
  const { onConnectionLost } = options
  return openPostgresDatabase({ url: target.url, maxConnections: postgresConnections, onConnectionLost })
}

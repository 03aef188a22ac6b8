import { join } from 'node:path'
import { systemIds, type IdSource } from '../../internal/ids.ts'
import type { FatalHandler, MetadataDatabase } from './database.ts'
import type { MetadataTarget } from './migrate.ts'
import { openPostgresDatabase } from './postgres/database.ts'
import type { MetadataReader } from './reader.ts'
import { openSqliteDatabase } from './sqlite/database.ts'
import { openSqliteReader } from './sqlite/reader.ts'

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
  /** Randomness of the pauses between attempts; default: the system's. */
  readonly ids?: IdSource
}

/** A read lends a connection for one statement: these answer more requests at once than a process has cores for. */
const postgresReadConnections = 12
/**
 * A command holds a connection from BEGIN to COMMIT, mostly waiting for the server's disk, which flushes once for
 * commits that come together: more would only queue for the same rows. With the reads it makes 20 a process, of the
 * 100 that a PostgreSQL server allows by default.
 */
const postgresWriteConnections = 8

/** Opens the metadata of a migrated database. Throws `storage-unavailable`. */
export async function openMetadata(target: MetadataTarget, options: OpenMetadataOptions): Promise<MetadataDatabase> {
  if ('file' in target) {
    const { catalogueUrl, onFatal } = options
    return openSqliteDatabase({ file: target.file, catalogueUrl, onFatal })
  }
  const { onConnectionLost, ids = systemIds } = options
  return openPostgresDatabase({
    url: target.url,
    maxReadConnections: postgresReadConnections,
    maxWriteConnections: postgresWriteConnections,
    ids,
    onConnectionLost,
  })
}

/** Opens the metadata of a migrated database to be read only, whether or not a server runs. Throws `storage-unavailable`. */
export async function openMetadataReader(
  target: MetadataTarget,
  options: Pick<OpenMetadataOptions, 'onConnectionLost' | 'ids'>,
): Promise<MetadataReader> {
  if ('file' in target) return openSqliteReader(target.file)
  const { onConnectionLost, ids = systemIds } = options
  const database = await openPostgresDatabase({
    url: target.url,
    maxReadConnections: 2,
    maxWriteConnections: 1,
    ids,
    onConnectionLost,
  })
  return { ...database, checkFile: () => Promise.resolve([]) }
}

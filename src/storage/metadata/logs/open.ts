import { existsSync } from 'node:fs'
import { sql } from 'kysely'
import type { IdSource } from '../../../internal/ids.ts'
import type { FatalHandler, MetadataDatabase } from '../database.ts'
import { openPostgresDatabase } from '../postgres/database.ts'
import type { Session } from '../session.ts'
import { prepareStore, storeTarget, type StoreTarget } from '../separate-store.ts'
import { openSqliteDatabase } from '../sqlite/database.ts'
import type { MetadataTarget } from '../target.ts'
import { logsStore } from './schema.ts'

/** The store of logs: its own file or schema, with a writer and connections of its own. */
export type LogsDatabase = Pick<MetadataDatabase, 'reader' | 'execute' | 'close'>

export interface OpenLogsOptions {
  /** Module that exports `commands`: every write command of the store. */
  readonly catalogueUrl: string
  readonly ids: IdSource
  /** Told when nothing can be written any more; every command is refused from then on. */
  readonly onFatal: FatalHandler
  readonly onConnectionLost: (error: Error) => void
}

/** Beside those of the metadata. Lines of several calls are written by one command, so that two are enough. */
const readConnections = 3
const writeConnections = 2

export function logsTarget(dataDir: string, metadata: MetadataTarget): StoreTarget {
  return storeTarget(logsStore, dataDir, metadata)
}

/** Whether anything was ever put there. @param metadata a session on the same database, where it is one */
export async function isLogsStoreThere(target: StoreTarget, metadata: Session): Promise<boolean> {
  if ('file' in target) return existsSync(target.file)
  const [row] = await metadata.query(metadata.builder.selectNoFrom(sql<boolean>`to_regnamespace(${logsStore.schemaName}) is not null`.as('isThere')))
  return row?.isThere === true
}

/** Makes the store where there is none, and opens it. Throws as `prepareStore` does. */
export async function openLogs(target: StoreTarget, { catalogueUrl, ids, onFatal, onConnectionLost }: OpenLogsOptions): Promise<LogsDatabase> {
  await prepareStore(logsStore, target)
  if ('file' in target) return openSqliteDatabase({ file: target.file, catalogueUrl, onFatal })
  return openPostgresDatabase({ url: target.url, maxReadConnections: readConnections, maxWriteConnections: writeConnections, ids, onConnectionLost })
}

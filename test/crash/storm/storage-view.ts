import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import pg from 'pg'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'

/** The rows and files of a data folder, read past the server that runs on it. */
export interface StorageView {
  /** Ids of the requests of audit rows that were not looked at before. */
  newAuditedRequests(): Promise<Set<string>>
  openUploads(): Promise<Set<string>>
  /** Keys of blobs that the metadata says are there, with their sizes. */
  activeLocations(): Promise<Map<string, number>>
  /** Files below `uploads/`. */
  uploadFiles(): string[]
  /** Files below `blobs/` by their keys, with their sizes. */
  blobFiles(): Map<string, number>
  /** Names of files whose content is not what they say; each file is read once only. */
  misnamedBlobs(): string[]
  close(): Promise<void>
}

type Select = (sql: string) => Promise<Record<string, unknown>[]>

export async function openStorageView(dataDir: string, databaseUrl: string | undefined): Promise<StorageView> {
  const { select, selectObserved, close } = databaseUrl === undefined ? openFiles(dataDir) : await openPostgres(databaseUrl)
  const blobsDir = join(dataDir, 'blobs')
  const read = new Set<string>()
  let lastAuditId = 0
  let lastSealed = 0

  const blobFiles = (): Map<string, number> => {
    const files = new Map<string, number>()
    for (const path of readdirSync(blobsDir, { recursive: true, encoding: 'utf8' })) {
      const facts = statSync(join(blobsDir, path))
      if (facts.isFile()) files.set(path, facts.size)
    }
    return files
  }

  return {
    async newAuditedRequests() {
      const rows = await select(`select id, request_id from audit_record where id > ${lastAuditId} order by id`)
      lastAuditId = Number(rows.at(-1)?.['id'] ?? lastAuditId)
      // In this order: what is not there any more is in the trail.
      const sealed = await selectObserved(`select seq, body from audit_event where seq > ${lastSealed} order by seq`)
      lastSealed = Number(sealed.at(-1)?.['seq'] ?? lastSealed)
      const bodies = sealed.map((row) => JSON.parse(String(row['body'])) as { id: string; requestId?: string; changes?: unknown })
      const changed = bodies.flatMap(({ id, requestId, changes }) => (requestId !== undefined ? [requestId] : changes === undefined ? [] : [id]))
      return new Set([...rows.map((row) => String(row['request_id'])), ...changed])
    },
    async openUploads() {
      return new Set((await select('select id from upload_session')).map(({ id }) => String(id)))
    },
    async activeLocations() {
      const rows = await select(
        `select blob_location.key, blob.size_bytes from blob_location
         join blob on blob.id = blob_location.blob_id where blob_location.state = 'active'`,
      )
      return new Map(rows.map((row) => [String(row['key']), Number(row['size_bytes'])]))
    },
    uploadFiles: () => readdirSync(join(dataDir, 'uploads')),
    blobFiles,
    misnamedBlobs() {
      return [...blobFiles().keys()].filter((key) => {
        if (read.has(key)) return false
        read.add(key)
        const hash = createHash('sha256').update(readFileSync(join(blobsDir, key))).digest('hex')
        return hash !== basename(key).split('.')[0]
      })
    },
    close,
  }
}

interface Opened {
  readonly select: Select
  /** From the store of what was observed. */
  readonly selectObserved: Select
  close(): Promise<void>
}

function openFiles(dataDir: string): Opened {
  const database = new DatabaseSync(join(dataDir, 'stowage.db'), { readOnly: true })
  const observed = new DatabaseSync(join(dataDir, 'observe.db'), { readOnly: true })
  return {
    select: async (sql) => database.prepare(sql).all(),
    selectObserved: async (sql) => observed.prepare(sql).all(),
    async close() {
      database.close()
      observed.close()
    },
  }
}

async function openPostgres(url: string): Promise<Opened> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const select: Select = async (sql) => (await client.query<Record<string, unknown>>(sql)).rows
  return {
    select,
    selectObserved: (sql) => select(sql.replace(' audit_event ', ' stowage_observe.audit_event ')),
    close: () => client.end(),
  }
}

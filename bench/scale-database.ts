import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import type { MetadataTarget } from '../src/storage/metadata/migrate.ts'
import { startPostgres } from '../test/support/postgres.ts'

/** The database of a server that is measured, filled and asked behind its back. */
export interface ScaleDatabase {
  readonly target: MetadataTarget
  /** What the server is to be started with; undefined: the file in its data folder. */
  readonly databaseUrl: string | undefined
  /** An expression for 32 bytes that nothing else has, after the byte 1: the digest of some image. */
  readonly anyDigest: string
  /** Runs statements that write very much at once, while no server runs. */
  fill(statements: string): Promise<void>
  /** The first row of what is selected. Whole numbers may come as text. */
  first(select: string): Promise<Readonly<Record<string, unknown>> | undefined>
  close(): Promise<void>
}

export function sqliteDatabase(file: string): ScaleDatabase {
  let reading: DatabaseSync | undefined
  return {
    target: { file },
    databaseUrl: undefined,
    anyDigest: "unhex('01' || hex(randomblob(32)))",
    fill(statements) {
      const database = new DatabaseSync(file)
      database.exec(`pragma synchronous = off; pragma foreign_keys = off; pragma cache_size = -262144; begin; ${statements}; commit; analyze;`)
      database.close()
      return Promise.resolve()
    },
    first(select) {
      reading ??= new DatabaseSync(file, { readOnly: true })
      return Promise.resolve(reading.prepare(select).get())
    },
    close() {
      reading?.close()
      return Promise.resolve()
    },
  }
}

/** In a cluster of its own, with the settings that PostgreSQL comes with: it ends with the database. */
export async function postgresDatabase(): Promise<ScaleDatabase> {
  const cluster = await startPostgres()
  const client = new pg.Client({ connectionString: cluster.url })
  await client.connect()
  return {
    target: { url: cluster.url },
    databaseUrl: cluster.url,
    anyDigest: "decode('01' || md5(random()::text) || md5(random()::text), 'hex')",
    async fill(statements) {
      await client.query(`begin; ${statements}; commit`)
      // As the database does by itself, some minutes after so much was written.
      await client.query('vacuum analyze')
    },
    first: async (select) => (await client.query<Record<string, unknown>>(select)).rows[0],
    async close() {
      await client.end()
      await cluster.stop()
    },
  }
}

import { join } from 'node:path'
import { PlatformError } from '../../internal/platform-error.ts'
import { inDialect } from './migrations/dialect-words.ts'
import { inTransaction, PostgresConnection, type QueryRunner } from './postgres/connection.ts'
import { newPool, translate } from './postgres/database.ts'
import { Session } from './session.ts'
import { openSqlite, SqliteConnection } from './sqlite/connection.ts'
import type { DialectName } from './statement.ts'
import type { MetadataTarget } from './target.ts'

/*
 * Stores apart from the metadata, which have another life: they grow with requests, are not set back by a restore, and their
 * commits hold up no push. On SQLite each is a file of its own, on PostgreSQL a schema of its own in the same database.
 */

/** What a store is made of. */
export interface SeparateStore {
  readonly fileName: string
  readonly schemaName: string
  /** The table whose one row says of which form the others are. */
  readonly formTable: string
  /** Of the tables. A store of a newer form is left alone. */
  readonly form: number
  /** What the store is called where one of a newer form is refused. */
  readonly title: string
  /** Statements that make what is not there yet, in the words of `inDialect`, with `{s}` before names and `{key}` for a key that is a number. */
  readonly tables: readonly string[]
  /** What a new file is set to before anything is in it. */
  readonly newFile?: string
}

/** Where a store is: a file beside the metadata, or a schema in the same database. */
export type StoreTarget = { readonly file: string } | { readonly url: string }

export interface OpenStore {
  readonly reader: Session
  /** Durable when it answers. */
  transaction<Result>(work: (tx: Session) => Promise<Result>): Promise<Result>
  close(): Promise<void>
}

export function storeTarget({ fileName }: SeparateStore, dataDir: string, metadata: MetadataTarget): StoreTarget {
  return 'file' in metadata ? { file: join(dataDir, fileName) } : { url: metadata.url }
}

/**
 * Makes what is not there yet. Safe to run from several processes at once. Throws `database-newer` where a newer version has
 * made it, `storage-unavailable`, `storage-full`.
 */
export async function prepareStore({ schemaName, formTable, form, title, tables, newFile }: SeparateStore, target: StoreTarget): Promise<void> {
  const store = openStore(target, { connections: 1, readOnly: false, newFile })
  const { dialect } = store.reader
  try {
    await store.transaction(async (tx) => {
      const run = (text: string) => tx.query<unknown>({ compile: () => ({ sql: text, parameters: [] }), execute: () => Promise.resolve([]) })
      if (dialect === 'postgres') {
        // Two that make the same schema at once would fail.
        await run(`select pg_advisory_xact_lock(hashtext('${schemaName}'))`)
        await run(`create schema if not exists ${schemaName}`)
      }
      for (const table of tables) await run(storeStatementText(dialect, schemaName, table))
      const place = dialect === 'postgres' ? `${schemaName}.` : ''
      const [found] = (await run(`select form from ${place}${formTable}`)) as { form: number }[]
      if (found !== undefined && found.form > form) {
        throw new PlatformError('database-newer', `${title} is of a newer Stowage (form ${found.form}; this one knows ${form}): run that version`)
      }
      if (found === undefined) await run(`insert into ${place}${formTable} values (${form})`)
    })
  } finally {
    await store.close()
  }
}

/** A statement that makes a table, in a database's words. */
function storeStatementText(dialect: DialectName, schemaName: string, text: string): string {
  const words = text
    .replaceAll('{s}', dialect === 'postgres' ? `${schemaName}.` : '')
    .replaceAll('{key}', dialect === 'postgres' ? 'bigint primary key' : 'integer primary key')
  return inDialect(dialect, words)
}

/** Opens a store that was prepared. One writer at a time is expected. */
export function openStore(target: StoreTarget, options: { readonly connections: number; readonly readOnly: boolean; readonly newFile?: string | undefined }): OpenStore {
  return 'file' in target ? openFile(target.file, options.readOnly, options.newFile) : openSchema(target.url, options.connections)
}

function openFile(file: string, readOnly: boolean, newFile: string | undefined): OpenStore {
  const connection = new SqliteConnection(openSqlite(file, { readOnly }), () => undefined)
  if (newFile !== undefined) connection.exec(newFile)
  if (!readOnly) connection.exec('pragma journal_mode = wal; pragma synchronous = full')
  const session = new Session(connection)
  return {
    reader: session,
    async transaction(work) {
      connection.exec('begin immediate')
      try {
        const result = await work(session)
        connection.exec('commit')
        return result
      } catch (error) {
        if (connection.isTransaction) connection.exec('rollback')
        throw error
      }
    },
    async close() {
      connection.close()
    },
  }
}

function openSchema(url: string, connections: number): OpenStore {
  const pool = newPool({ url, maxConnections: connections, onConnectionLost: () => undefined })
  const names = new Map<string, string>()
  const sessionOn = (runner: QueryRunner): Session => new Session(new PostgresConnection(runner, names, () => undefined))
  const translated = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    try {
      return await work()
    } catch (error) {
      throw translate(error)
    }
  }
  return {
    reader: sessionOn({ query: (query) => translated(() => pool.query(query)) }),
    transaction: (work) => translated(() => inTransaction(pool, 'begin isolation level read committed', (client) => work(sessionOn(client)))),
    close: () => pool.end(),
  }
}

import { join } from 'node:path'
import { PlatformError } from '../../../internal/platform-error.ts'
import { inTransaction, PostgresConnection, type QueryRunner } from '../postgres/connection.ts'
import { newPool, translate } from '../postgres/database.ts'
import { Session } from '../session.ts'
import { openSqlite, SqliteConnection } from '../sqlite/connection.ts'
import type { MetadataTarget } from '../target.ts'
import { observeForm, observeSchemaName, observeStatementText, observeTables } from './schema.ts'

/** Where the store is: a file beside the metadata, or a schema in the same database. */
export type ObserveTarget = { readonly file: string } | { readonly url: string }

export interface ObserveStore {
  readonly reader: Session
  /** Durable when it answers. One writer at a time is expected to hold the head's row. */
  transaction<Result>(work: (tx: Session) => Promise<Result>): Promise<Result>
  close(): Promise<void>
}

export function observeFile(dataDir: string): string {
  return join(dataDir, 'observe.db')
}

export function observeTarget(dataDir: string, metadata: MetadataTarget): ObserveTarget {
  return 'file' in metadata ? { file: observeFile(dataDir) } : { url: metadata.url }
}

/**
 * Makes what is not there yet. Safe to run from several processes at once. Throws `database-newer` where a newer version has
 * made it, `storage-unavailable`, `storage-full`.
 */
export async function prepareObserveStore(target: ObserveTarget): Promise<void> {
  const store = openObserveStore(target, { connections: 1, readOnly: false })
  const { dialect } = store.reader
  try {
    await store.transaction(async (tx) => {
      const run = (text: string) => tx.query<unknown>({ compile: () => ({ sql: text, parameters: [] }), execute: () => Promise.resolve([]) })
      if (dialect === 'postgres') {
        // Two that make the same schema at once would fail.
        await run(`select pg_advisory_xact_lock(hashtext('${observeSchemaName}'))`)
        await run(`create schema if not exists ${observeSchemaName}`)
      }
      for (const table of observeTables) await run(observeStatementText(dialect, table))
      const place = dialect === 'postgres' ? `${observeSchemaName}.` : ''
      const [found] = (await run(`select form from ${place}observe_form`)) as { form: number }[]
      if (found !== undefined && found.form > observeForm) {
        throw new PlatformError('database-newer', `the store of what was observed is of a newer Stowage (form ${found.form}; this one knows ${observeForm}): run that version`)
      }
      if (found === undefined) await run(`insert into ${place}observe_form values (${observeForm})`)
    })
  } finally {
    await store.close()
  }
}

/** Does work in a transaction of which `undo` takes back what it wrote, while the rest of the transaction stays. */
export async function inSavepoint<Result>(tx: Session, work: (undo: () => Promise<void>) => Promise<Result>): Promise<Result> {
  const run = (text: string) => tx.query<unknown>({ compile: () => ({ sql: text, parameters: [] }), execute: () => Promise.resolve([]) })
  await run('savepoint part')
  const result = await work(async () => {
    await run('rollback to savepoint part')
  })
  await run('release savepoint part')
  return result
}

/** Opens a store that was prepared. */
export function openObserveStore(target: ObserveTarget, options: { readonly connections: number; readonly readOnly: boolean }): ObserveStore {
  return 'file' in target ? openFile(target.file, options.readOnly) : openSchema(target.url, options.connections)
}

function openFile(file: string, readOnly: boolean): ObserveStore {
  const connection = new SqliteConnection(openSqlite(file, { readOnly }), () => undefined)
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

function openSchema(url: string, connections: number): ObserveStore {
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

import { existsSync } from 'node:fs'
import { openStore, prepareStore, storeTarget, type OpenStore, type StoreTarget } from '../separate-store.ts'
import type { Session } from '../session.ts'
import type { MetadataTarget } from '../target.ts'
import { observeStore } from './schema.ts'

/** Where the store is: a file beside the metadata, or a schema in the same database. */
export type ObserveTarget = StoreTarget

export type ObserveStore = OpenStore

export function observeTarget(dataDir: string, metadata: MetadataTarget): ObserveTarget {
  return storeTarget(observeStore, dataDir, metadata)
}

/** As `prepareStore`. */
export function prepareObserveStore(target: ObserveTarget): Promise<void> {
  return prepareStore(observeStore, target)
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

/** Whether a server has made it. */
export async function isObserveStoreThere(target: ObserveTarget): Promise<boolean> {
  if ('file' in target) return existsSync(target.file)
  const store = openObserveStore(target, { connections: 1, readOnly: true })
  try {
    const sql = `select to_regclass('${observeStore.schemaName}.audit_head') is not null as found`
    const [row] = await store.reader.query<{ found: boolean }>({ compile: () => ({ sql, parameters: [] }), execute: () => Promise.resolve([]) })
    return row?.found === true
  } finally {
    await store.close()
  }
}

/** Opens a store that was prepared. */
export function openObserveStore(target: ObserveTarget, options: { readonly connections: number; readonly readOnly: boolean }): ObserveStore {
  return openStore(target, options)
}

import { Worker } from 'node:worker_threads'
import { PlatformError } from '../../../internal/platform-error.ts'
import { storageError } from '../../errors.ts'
import type { Command, CommandContext } from '../command.ts'
import { newDatabaseCounters, type FatalHandler, type MetadataDatabase } from '../database.ts'
import { Session } from '../session.ts'
import { openSqlite, SqliteConnection } from './connection.ts'
import { Snapshots } from './snapshots.ts'
import type { SentError, WriterAnswer, WriterData, WriterMessage, WriterRequest } from './writer.ts'

/** Beyond this the writer is not keeping up, and waiting would only be hiding it. */
const maxWaitingCommands = 10_000

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

export interface SqliteOptions {
  readonly file: string
  readonly catalogueUrl: string
  readonly onFatal: FatalHandler
}

/** Opens a migrated database: reading connections here, the writing one in a thread of its own. */
export async function openSqliteDatabase(options: SqliteOptions): Promise<MetadataDatabase> {
  const counters = newDatabaseCounters()
  const countStatement = (): void => {
    counters.statements += 1
  }
  const openReader = (): SqliteConnection =>
    new SqliteConnection(openSqlite(options.file, { readOnly: true }), countStatement)

  const waiting = new Map<number, Waiting>()
  let nextId = 1
  let broken: Error | undefined

  const workerData: WriterData = { file: options.file, catalogueUrl: options.catalogueUrl }
  const worker = new Worker(new URL('./writer.ts', import.meta.url), { workerData, execArgv: [] })

  let closing: Promise<void> | undefined

  const refuseAll = (error: Error): void => {
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }
  const ready = Promise.withResolvers<undefined>()
  const closed = Promise.withResolvers<undefined>()
  const breakDown = (error: Error): void => {
    if (broken) return
    broken = error
    refuseAll(error)
    // Who waits for the database to open or close waits no longer.
    ready.reject(error)
    closed.resolve(undefined)
    options.onFatal(error)
  }

  worker.on('message', (message: WriterMessage) => {
    switch (message.kind) {
      case 'ready':
        ready.resolve(undefined)
        break
      case 'answers':
        counters.statements += message.statements
        if (message.commit) counters.commits += 1
        if (message.commit === 'durable') counters.durableCommits += 1
        for (const answer of message.answers) settle(waiting, answer)
        break
      case 'checkpointed':
        counters.checkpoints += 1
        break
      case 'fatal':
        breakDown(revive(message.error))
        break
      case 'closed':
        closed.resolve(undefined)
        break
    }
  })
  worker.on('error', (error) => {
    const message = error instanceof Error ? error.message : String(error)
    breakDown(storageError('storage-unavailable', `the metadata writer failed: ${message}`, { cause: error }))
  })
  worker.on('exit', () => {
    closed.resolve(undefined)
    if (!closing) breakDown(storageError('storage-unavailable', 'the metadata writer has stopped'))
  })
  await ready.promise

  let readConnection: SqliteConnection
  try {
    readConnection = openReader()
    // Having read, it counts as a user of the file. While there is one SQLite does not copy the log when the writer's
    // connection goes, which after a failed flush would take for good what may not be on the disk.
    await readConnection.run('select count(*) from sqlite_schema', [], false)
  } catch (error) {
    closing = worker.terminate().then(() => undefined)
    await closing
    throw error
  }
  const snapshots = new Snapshots(openReader)

  const shutDown = async (): Promise<void> => {
    // A broken writer runs nothing more, so it would not answer either.
    if (!broken) {
      worker.postMessage('close')
      await closed.promise
    }
    await worker.terminate()
    refuseAll(broken ?? closedError())
    await snapshots.close()
    readConnection.close()
  }

  return {
    dialect: 'sqlite',
    counters,
    // The folder's lock keeps other processes out. A commit is counted here before anybody is answered.
    commitsOfAll: () => (broken ? undefined : counters.commits),
    pools: () => [],
    reader: new Session(readConnection),
    snapshot: (read) => snapshots.run(read),

    execute<Input, Result>(command: Command<Input, Result>, input: Input, context: CommandContext): Promise<Result> {
      if (broken) return Promise.reject(broken)
      if (closing) return Promise.reject(closedError())
      if (waiting.size >= maxWaitingCommands) {
        return Promise.reject(storageError('storage-unavailable', 'too many changes are waiting to be written'))
      }
      const id = nextId++
      return new Promise<Result>((resolve, reject) => {
        waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
        const request: WriterRequest = { id, command: command.name, input, context }
        worker.postMessage(request)
      })
    },

    async ping() {
      if (broken) throw broken
      if (closing) throw closedError()
      await readConnection.run('select 1', [], true)
    },

    close: () => (closing ??= shutDown()),
  }
}

function settle(waiting: Map<number, Waiting>, answer: WriterAnswer): void {
  const waiter = waiting.get(answer.id)
  waiting.delete(answer.id)
  if ('error' in answer) waiter?.reject(revive(answer.error))
  else waiter?.resolve(answer.value)
}

function closedError(): Error {
  return storageError('storage-unavailable', 'the metadata database is closed')
}

function revive(sent: SentError): Error {
  if (sent.code !== undefined) return new PlatformError(sent.code, sent.message, { detail: sent.detail })
  const error = new Error(sent.message)
  if (sent.stack !== undefined) error.stack = sent.stack
  return error
}

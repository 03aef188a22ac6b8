import { Worker } from 'node:worker_threads'
import { PlatformError } from '../../../internal/platform-error.ts'
import { storageError } from '../../errors.ts'
import type { Command, CommandContext } from '../command.ts'
import { newDatabaseCounters, type FatalHandler, type MetadataDatabase } from '../database.ts'
import { Session } from '../session.ts'
import { openSqlite, SqliteConnection } from './connection.ts'
import type { SentError, WriterAnswer, WriterData, WriterMessage, WriterRequest } from './writer.ts'

/** Snapshots at the same moment; each is a connection, and each ends within milliseconds. */
const snapshotConnections = 2
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

  const breakDown = (error: Error): void => {
    if (broken) return
    broken = error
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
    options.onFatal(error)
  }

  const ready = Promise.withResolvers<undefined>()
  const closed = Promise.withResolvers<undefined>()
  worker.on('message', (message: WriterMessage) => {
    switch (message.kind) {
      case 'ready':
        ready.resolve(undefined)
        break
      case 'answers':
        counters.statements += message.statements
        counters.commits += 1
        if (message.durable) counters.durableCommits += 1
        for (const answer of message.answers) settle(waiting, answer)
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
    ready.reject(error)
    breakDown(error instanceof Error ? error : new Error(String(error)))
  })
  worker.on('exit', () => {
    closed.resolve(undefined)
    const error = storageError('storage-unavailable', 'the metadata writer has stopped')
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
    broken ??= error
  })
  await ready.promise

  const readConnection = openReader()
  const idle: SqliteConnection[] = Array.from({ length: snapshotConnections }, openReader)
  const wanting: ((connection: SqliteConnection) => void)[] = []

  return {
    dialect: 'sqlite',
    counters,
    reader: new Session(readConnection),

    async snapshot(read) {
      const connection = idle.pop() ?? (await new Promise<SqliteConnection>((resolve) => wanting.push(resolve)))
      try {
        connection.exec('begin')
        return await read(new Session(connection))
      } finally {
        connection.exec('commit')
        const next = wanting.shift()
        if (next) next(connection)
        else idle.push(connection)
      }
    },

    execute<Input, Result>(command: Command<Input, Result>, input: Input, context: CommandContext): Promise<Result> {
      if (broken) return Promise.reject(broken)
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
      await readConnection.run('select 1', [], true)
    },

    async close() {
      if (!broken) {
        worker.postMessage('close')
      }
      await closed.promise
      await worker.terminate()
      broken ??= storageError('storage-unavailable', 'the metadata database is closed')
      for (const connection of [readConnection, ...idle]) connection.close()
    },
  }
}

function settle(waiting: Map<number, Waiting>, answer: WriterAnswer): void {
  const waiter = waiting.get(answer.id)
  waiting.delete(answer.id)
  if ('error' in answer) waiter?.reject(revive(answer.error))
  else waiter?.resolve(answer.value)
}

function revive(sent: SentError): Error {
  if (sent.code !== undefined) return new PlatformError(sent.code, sent.message, { detail: sent.detail })
  const error = new Error(sent.message)
  if (sent.stack !== undefined) error.stack = sent.stack
  return error
}

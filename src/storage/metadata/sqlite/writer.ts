import { statSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { PlatformError } from '../../../internal/platform-error.ts'
import type { AnyCommand, CommandContext } from '../command.ts'
import { Session } from '../session.ts'
import { openSqlite, SqliteConnection } from './connection.ts'

/*
 * The one writing connection and the one checkpointer of an embedded installation, in a thread of its own: a commit
 * waits for the disk, and while it does the server goes on serving. Commands that arrive meanwhile share the next
 * commit, each in a savepoint, so one that fails undoes only itself.
 */

export interface WriterData {
  readonly file: string
  /** Module that exports `commands`, all of the program's: named here, since storage may not import them. */
  readonly catalogueUrl: string
}

export interface WriterRequest {
  readonly id: number
  readonly command: string
  readonly input: unknown
  readonly context: CommandContext
}

export interface SentError {
  readonly message: string
  /** Present for an expected failure. */
  readonly code?: string
  readonly detail?: Readonly<Record<string, unknown>>
  readonly stack?: string | undefined
}

export type WriterAnswer = { readonly id: number } & ({ readonly value: unknown } | { readonly error: SentError })

export type WriterMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'answers'; readonly answers: WriterAnswer[]; readonly statements: number; readonly durable: boolean }
  | { readonly kind: 'fatal'; readonly error: SentError }
  | { readonly kind: 'closed' }

/** Bounds how long the first command of a group waits for the last. */
const maxGroupSize = 64
/** About 1,000 pages: SQLite's own threshold, but acted on after the answers have gone out. */
const checkpointWalBytes = 4 * 1024 * 1024

const port = parentPort
if (!port) throw new Error('writer.ts runs as a worker thread')
const data = workerData as WriterData

const { commands } = (await import(data.catalogueUrl)) as { commands: readonly AnyCommand[] }
const byName = new Map(commands.map((command) => [command.name, command]))
if (byName.size !== commands.length) throw new Error('two write commands share a name')

let statements = 0
const database = openSqlite(data.file, { readOnly: false })
const connection = new SqliteConnection(database, () => {
  statements += 1
})
connection.exec('pragma journal_mode = wal; pragma wal_autocheckpoint = 0; pragma synchronous = full')
const session = new Session(connection)

const waiting: WriterRequest[] = []
let scheduled = false
let closing = false
let synchronous: 'full' | 'normal' = 'full'

port.on('message', (message: WriterRequest | 'close') => {
  if (message === 'close') closing = true
  else waiting.push(message)
  if (scheduled) return
  scheduled = true
  // After the messages that are already here, so that they share a commit.
  setImmediate(() => void drain())
})
post({ kind: 'ready' })

async function drain(): Promise<void> {
  while (waiting.length > 0) {
    await runGroup(waiting.splice(0, maxGroupSize))
    checkpointWhenDue()
    // Lets messages that came in during the commit be received.
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  scheduled = false
  if (closing) {
    connection.exec('pragma wal_checkpoint(truncate)')
    connection.close()
    post({ kind: 'closed' })
    port?.close()
  }
}

async function runGroup(group: WriterRequest[]): Promise<void> {
  const durable = group.some(({ command }) => byName.get(command)?.durability !== 'process')
  const answers: WriterAnswer[] = []
  statements = 0
  try {
    setSynchronous(durable ? 'full' : 'normal')
    connection.exec('begin immediate')
    for (const request of group) answers.push(await runOne(request))
    connection.exec('commit')
  } catch (error) {
    rollBack()
    const sent = sendable(error)
    // An error of COMMIT may be a failed fsync, after which the kernel's view and ours may differ: nothing
    // may be written on top. A full disk is known not to have committed, and may recover.
    if (sent.code !== 'storage-full') {
      post({ kind: 'fatal', error: sent })
    }
    post({ kind: 'answers', answers: group.map(({ id }) => ({ id, error: sent })), statements, durable })
    return
  }
  post({ kind: 'answers', answers, statements, durable })
}

async function runOne(request: WriterRequest): Promise<WriterAnswer> {
  const { id } = request
  connection.exec('savepoint command')
  try {
    const command = byName.get(request.command)
    if (!command) throw new Error(`no write command is named ${request.command}`)
    const value: unknown = await command.run(session, request.input, request.context)
    connection.exec('release command')
    return { id, value }
  } catch (error) {
    const sent = sendable(error)
    // A full disk or a broken file has rolled back, or will roll back, the whole group.
    if (sent.code === 'storage-full' || sent.code === 'storage-unavailable') throw error
    connection.exec('rollback to command; release command')
    return { id, error: sent }
  }
}

function setSynchronous(level: 'full' | 'normal'): void {
  if (level === synchronous) return
  connection.exec(`pragma synchronous = ${level}`)
  synchronous = level
}

function rollBack(): void {
  try {
    if (database.isTransaction) connection.exec('rollback')
  } catch {
    // SQLite rolls back by itself on errors of this kind; then there is nothing left to do.
  }
}

function checkpointWhenDue(): void {
  try {
    if (statSync(`${data.file}-wal`).size < checkpointWalBytes) return
    setSynchronous('full')
    connection.exec('pragma wal_checkpoint(passive)')
    // Readers seldom hold the whole log: once it has all been copied the next writer starts it from the top.
  } catch {
    // A checkpoint that fails loses nothing: the log stays and the next one tries again.
  }
}

function sendable(error: unknown): SentError {
  if (error instanceof PlatformError) {
    const { code, message, detail } = error as PlatformError
    return { code, message, detail }
  }
  if (error instanceof Error) return { message: error.message, stack: error.stack }
  return { message: String(error) }
}

function post(message: WriterMessage): void {
  port?.postMessage(message)
}

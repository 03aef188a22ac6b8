import { parentPort, workerData } from 'node:worker_threads'
import { isPlatformError, PlatformError } from '../../../internal/platform-error.ts'
import { storageError } from '../../errors.ts'
import type { AnyCommand, CommandContext } from '../command.ts'
import { Session } from '../session.ts'
import { openSqlite, SqliteConnection, sqliteFault } from './connection.ts'

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
  | {
      readonly kind: 'answers'
      readonly answers: WriterAnswer[]
      readonly statements: number
      /** Undefined when there was no commit, and every answer is an error. */
      readonly commit: 'durable' | 'process' | undefined
    }
  | { readonly kind: 'checkpointed' }
  | { readonly kind: 'fatal'; readonly error: SentError }
  | { readonly kind: 'closed' }

/** Bounds how long the first command of a group waits for the last. */
const maxGroupSize = 64
/** 4 MiB, SQLite's own threshold, but acted on after the answers have gone out. */
const checkpointPages = 1_000

const port = parentPort
if (!port) throw new Error('writer.ts runs as a worker thread')
const data = workerData as WriterData

const { commands } = (await import(data.catalogueUrl)) as { commands: readonly AnyCommand[] }
const byName = new Map(commands.map((command) => [command.name, command]))
if (byName.size !== commands.length) throw new Error('two write commands share a name')

let statements = 0
const connection = new SqliteConnection(openSqlite(data.file, { readOnly: false }), () => {
  statements += 1
})
connection.exec('pragma journal_mode = wal; pragma wal_autocheckpoint = 0; pragma synchronous = full')
const session = new Session(connection)

const waiting: WriterRequest[] = []
let scheduled = false
let closing = false
let synchronous: 'full' | 'normal' = 'full'
/** Why nothing is run any more: see `fail`. */
let failure: SentError | undefined

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
    const group = waiting.splice(0, maxGroupSize)
    if (failure) {
      refuse(group, failure)
    } else {
      await runGroup(group)
      if (!failure) checkpointWhenDue()
    }
    // Lets messages that came in during the commit be received.
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  scheduled = false
  if (closing) close()
}

async function runGroup(group: WriterRequest[]): Promise<void> {
  const commit = group.some(({ command }) => byName.get(command)?.durability !== 'process') ? 'durable' : 'process'
  const answers: WriterAnswer[] = []
  let isCommitting = false
  try {
    setSynchronous(commit === 'durable' ? 'full' : 'normal')
    connection.exec('begin immediate')
    for (const request of group) answers.push(await runOne(request))
    isCommitting = true
    connection.exec('commit')
  } catch (error) {
    rollBack()
    if (isFatal(error, isCommitting)) fail(error)
    refuse(group, sendable(storageErrorOf(error)))
    return
  }
  answer(answers, commit)
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
    // A full disk or a broken file has rolled back, or will roll back, the whole group; so have some other errors.
    if (sent.code === 'storage-full' || sent.code === 'storage-unavailable' || !connection.isTransaction) throw error
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
    if (connection.isTransaction) connection.exec('rollback')
  } catch {
    // `isFatal` sees whether the transaction is still there.
  }
}

/**
 * An error of COMMIT or of the disk may be a failed flush, after which the kernel's view and ours may differ: nothing
 * may be written on top. A full disk is known not to have committed, and may recover; so may BEGIN when another program
 * holds the lock.
 */
function isFatal(error: unknown, isCommitting: boolean): boolean {
  if (connection.isTransaction) return true
  if (isPlatformError(error, 'storage-full')) return false
  if (isCommitting) return true
  return isPlatformError(error, 'storage-unavailable') && sqliteFault(error) !== 'busy'
}

/** From here on nothing is run: a flush that failed once may say next time that all is well. */
function fail(error: unknown): void {
  failure = sendable(storageErrorOf(error))
  post({ kind: 'fatal', error: failure })
}

function refuse(group: WriterRequest[], error: SentError): void {
  const answers = group.map(({ id }) => ({ id, error }))
  answer(answers, undefined)
}

function answer(answers: WriterAnswer[], commit: 'durable' | 'process' | undefined): void {
  post({ kind: 'answers', answers, statements, commit })
  statements = 0
}

/** Asking costs a few microseconds. The size of the log's file would not do: it never shrinks. */
function checkpointWhenDue(): void {
  attemptCheckpoint(() => {
    const { logPages, copiedPages } = connection.checkpoint('noop')
    if (logPages - copiedPages < checkpointPages) return
    setSynchronous('full')
    // Readers seldom hold the whole log: once it has all been copied the next writer starts it from the top.
    connection.checkpoint('passive')
    post({ kind: 'checkpointed' })
  })
}

function attemptCheckpoint(work: () => void): void {
  try {
    work()
  } catch (error) {
    const fault = sqliteFault(error)
    // Nothing is lost: the log stays, and the next checkpoint tries again.
    if (fault === 'busy' || fault === 'full') return
    // The log may have failed to reach the disk, and with it what was answered as durable.
    fail(error)
  }
}

function close(): void {
  if (!failure) {
    attemptCheckpoint(() => {
      connection.checkpoint('truncate')
    })
  }
  connection.close()
  post({ kind: 'closed' })
  port?.close()
}

/** What everybody in the group is told, whoever's statement it was. */
function storageErrorOf(error: unknown): unknown {
  if (isPlatformError(error)) return error
  const message = error instanceof Error ? error.message : String(error)
  return storageError('storage-unavailable', `the changes could not be written: ${message}`, { cause: error })
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

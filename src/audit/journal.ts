import { close, fdatasync, openSync, readdirSync, rename, writeSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { flushFolder } from '../internal/durable-files.ts'
import { makeDurableFolder } from '../internal/durable-folder.ts'
import { encodeLine, type JournalRecord } from './journal-record.ts'

/**
 * A segment is closed this long after its first line, flushed, and given to the sealer: what a power cut can take is no older
 * than this and a flush.
 */
const segmentMs = 1_000
const maxSegmentBytes = 8 * 1024 * 1024

/** Lines that wait for a disk that takes none. Some 10,000 requests. */
const maxKeptBytes = 8 * 1024 * 1024
const retryMs = 1_000

/** Lines of one turn: a few dozen requests usually. */
const maxNotedChars = 256 * 1024

/** Names of segments that are written to, and of those that are whole. */
export const openSuffix = '.open'
export const closedSuffix = '.lines'

/** The folder of the journal in a data folder. */
export function journalFolder(dataDir: string): string {
  return join(dataDir, 'audit', 'journal')
}

/** The segments that are there while no server uses the folder: what was left. */
export function segmentsLeftBehind(dataDir: string): string[] {
  try {
    return readdirSync(journalFolder(dataDir)).filter((name) => name.endsWith(openSuffix))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

export interface JournalOptions {
  readonly folder: string
  /** Of this process: its segments are named after it. */
  readonly serverId: string
  /** Whether requests are refused while nothing can be written. */
  readonly isRequired: boolean
  /** A segment can be read. */
  readonly onSegment: () => void
  readonly onFailure: (error: unknown) => void
  /** After a failure; `lost`: requests that were answered and are not in the journal. */
  readonly onRecovery: (lost: number) => void
}

interface Segment {
  readonly path: string
  readonly fd: number
  sizeBytes: number
}

/** Lines that are written at once. */
interface Chunk {
  readonly bytes: Buffer
  readonly lines: number
}

/**
 * The journal of requests: files that one process appends to. The lines of a turn of the event loop are written together, at its end
 * or with `write`. What is written is with the kernel, so that the end of the process takes none of it; a power cut may take what is of the
 * last second.
 */
export class Journal {
  readonly #options: JournalOptions
  #segment: Segment | undefined
  #segments = 0
  #timer: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  /** What was noted and not written yet. */
  #noted = ''
  #notedLines = 0
  #waiting: (() => void)[] = []
  #writing: NodeJS.Immediate | undefined
  readonly #kept: Chunk[] = []
  #keptBytes = 0
  #lost = 0
  readonly #closing = new Set<Promise<void>>()

  /** Throws the system's errors where the folder cannot be made. */
  constructor(options: JournalOptions) {
    this.#options = options
    makeDurableFolder(options.folder, 0o700)
  }

  /** True while lines cannot be written, and every request is to be in the journal. */
  get mustRefuse(): boolean {
    return this.#retry !== undefined && this.#options.isRequired
  }

  /** Adds a line to those of this turn. */
  note(record: JournalRecord): void {
    this.#noted += encodeLine(record)
    this.#notedLines += 1
    if (this.#noted.length > maxNotedChars) this.write()
    else this.#writing ??= setImmediate(() => this.write())
  }

  /** Calls back when everything is written that was noted before: at the end of this turn. */
  whenWritten(done: () => void): void {
    if (this.#notedLines === 0) done()
    else this.#waiting.push(done)
  }

  /** Writes what was noted. Never throws: what cannot be written is kept, and written later. */
  write(): void {
    clearImmediate(this.#writing)
    this.#writing = undefined
    if (this.#notedLines > 0) {
      const chunk = { bytes: Buffer.from(this.#noted), lines: this.#notedLines }
      this.#noted = ''
      this.#notedLines = 0
      if (this.#retry !== undefined) this.#keep(chunk)
      else if (!this.#append(chunk)) this.#fail(chunk)
    }
    const waiting = this.#waiting
    this.#waiting = []
    for (const done of waiting) done()
  }

  /** Closes the segment that is written to, and waits until all are flushed. */
  async flush(): Promise<void> {
    this.write()
    this.#rotate()
    await Promise.all(this.#closing)
  }

  async stop(): Promise<void> {
    this.write()
    if (this.#retry !== undefined) this.#tryAgain()
    clearInterval(this.#retry)
    await this.flush()
  }

  #append({ bytes }: Chunk): boolean {
    try {
      const segment = (this.#segment ??= this.#open())
      for (let written = 0; written < bytes.length; ) written += writeSync(segment.fd, bytes, written)
      segment.sizeBytes += bytes.length
      if (segment.sizeBytes > maxSegmentBytes) this.#rotate()
      return true
    } catch (error) {
      if (this.#retry === undefined) this.#options.onFailure(error)
      // It may end with half a line, which whoever reads it recognises: all of the chunk goes into another, and no line counts twice.
      this.#rotate()
      return false
    }
  }

  #open(): Segment {
    const path = join(this.#options.folder, `${this.#options.serverId}.${++this.#segments}${openSuffix}`)
    const segment = { path, fd: openSync(path, 'a', 0o600), sizeBytes: 0 }
    this.#timer = setTimeout(() => this.#rotate(), segmentMs)
    this.#timer.unref()
    return segment
  }

  #rotate(): void {
    clearTimeout(this.#timer)
    const segment = this.#segment
    this.#segment = undefined
    if (segment === undefined) return
    const closing = this.#close(segment).finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
  }

  /** Its name says that it is whole only when it is on the disk. */
  async #close({ path, fd }: Segment): Promise<void> {
    try {
      try {
        await promisify(fdatasync)(fd)
      } finally {
        await promisify(close)(fd)
      }
      await promisify(rename)(path, path.slice(0, -openSuffix.length) + closedSuffix)
      await flushFolder(this.#options.folder)
      this.#options.onSegment()
    } catch (error) {
      // The file is still there: whoever looks for what was left behind reads it.
      this.#options.onFailure(error)
    }
  }

  #fail(chunk: Chunk): void {
    this.#retry = setInterval(() => this.#tryAgain(), retryMs)
    this.#retry.unref()
    this.#keep(chunk)
  }

  #keep(chunk: Chunk): void {
    if (this.#keptBytes + chunk.bytes.length > maxKeptBytes) {
      this.#lost += chunk.lines
      return
    }
    this.#kept.push(chunk)
    this.#keptBytes += chunk.bytes.length
  }

  #tryAgain(): void {
    while (this.#kept[0] !== undefined) {
      if (!this.#append(this.#kept[0])) return
      this.#keptBytes -= this.#kept.shift()!.bytes.length
    }
    clearInterval(this.#retry)
    this.#retry = undefined
    this.#options.onRecovery(this.#lost)
  }
}

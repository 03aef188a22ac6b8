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

/**
 * The journal of requests: files that one process appends to. A line is with the kernel when `note` returns, so that the end of
 * the process takes none; a power cut may take those of the last second.
 */
export class Journal {
  readonly #options: JournalOptions
  #segment: Segment | undefined
  #segments = 0
  #timer: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #kept: Buffer[] = []
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

  /** Writes a line. Never throws: where it cannot be written it is kept, and written later. */
  note(record: JournalRecord): void {
    const line = encodeLine(record)
    if (this.#retry !== undefined) this.#keep(line)
    else if (!this.#append(line)) this.#fail(line)
  }

  /** Closes the segment that is written to, and waits until all are flushed. */
  async flush(): Promise<void> {
    this.#rotate()
    await Promise.all(this.#closing)
  }

  async stop(): Promise<void> {
    if (this.#retry !== undefined) this.#tryAgain()
    clearInterval(this.#retry)
    await this.flush()
  }

  #append(line: Buffer): boolean {
    try {
      const segment = (this.#segment ??= this.#open())
      for (let written = 0; written < line.length; ) written += writeSync(segment.fd, line, written)
      segment.sizeBytes += line.length
      if (segment.sizeBytes > maxSegmentBytes) this.#rotate()
      return true
    } catch (error) {
      if (this.#retry === undefined) this.#options.onFailure(error)
      // It may end with half a line, which whoever reads it recognises: all of the line goes into another.
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

  #fail(line: Buffer): void {
    this.#retry = setInterval(() => this.#tryAgain(), retryMs)
    this.#retry.unref()
    this.#keep(line)
  }

  #keep(line: Buffer): void {
    if (this.#keptBytes + line.length > maxKeptBytes) {
      this.#lost += 1
      return
    }
    this.#kept.push(line)
    this.#keptBytes += line.length
  }

  #tryAgain(): void {
    while (this.#kept[0] !== undefined) {
      if (!this.#append(this.#kept[0])) return
      this.#keptBytes -= this.#kept.shift()!.length
    }
    clearInterval(this.#retry)
    this.#retry = undefined
    this.#options.onRecovery(this.#lost)
  }
}

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../internal/clock.ts'
import { PlatformError } from '../internal/platform-error.ts'
import type { RequestContext } from '../registry/context.ts'
import type { Command, CommandContext } from '../storage/metadata/command.ts'
import { findLogGroup, listLogGroups, tagsOfLogGroup, type LogGroupRow, type LogPlace } from '../storage/metadata/logs/group-store.ts'
import type { LinePosition, LogLine } from '../storage/metadata/logs/line-store.ts'
import type { LogsDatabase } from '../storage/metadata/logs/open.ts'
import { findLogStream, findLogStreams, listLogStreams, listRecentStreams, namesOfStreams, type LogStreamRow } from '../storage/metadata/logs/stream-store.ts'
import { emptyRegistryId } from '../registry/commands/registries.ts'
import { AppendQueue } from './append-queue.ts'
import { appendLines, type AppendResult, type LineBatch } from './commands/append.ts'
import { createLogGroup, deleteLogGroup, setProtection, setRetention, tagLogGroup, untagLogGroup } from './commands/groups.ts'
import { createLogStream, deleteLogStream } from './commands/streams.ts'
import { groupUnknown, logsError, streamUnknown } from './errors.ts'
import { parseFilterPattern } from './filter-pattern/index.ts'
import { readPage, readPiece, type SearchedLines, type TimeRange } from './line-reader.ts'
import { checkLines, type GivenLine, type RejectedLines } from './new-lines.ts'

export type { LogPlace } from '../storage/metadata/logs/group-store.ts'
export type { LinePosition } from '../storage/metadata/logs/line-store.ts'
export type { GivenLine, RejectedLines } from './new-lines.ts'

export interface LogQuotas {
  /** Of an account in a region. */
  readonly groups: number
  readonly streamsPerGroup: number
  /** Of the lines of an account in a region. */
  readonly bytes: number
}

export interface LogsDependencies {
  /** Opens the store where it is not open. */
  readonly open: () => Promise<LogsDatabase>
  readonly clock: Clock
  readonly context: () => CommandContext
  readonly quotas: LogQuotas
  /** Lets the account begin to use its region, where it does not yet. */
  readonly beginRegistry: (context: RequestContext) => Promise<void>
  /** Hears of what is to be removed in the background. */
  readonly onRemoved: () => void
}

export interface Page<Item> {
  readonly items: readonly Item[]
  /** Where the next page begins; undefined for the last one. */
  readonly next: string | undefined
}

export interface LogEvent {
  readonly stream: string
  readonly at: number
  readonly number: number
  readonly putAt: number
  readonly message: string
}

/** What CloudWatch Logs puts on a page at most. */
export const mostLinesOfPage = 10_000
const mostBytesOfPage = 1024 * 1024
const dayMs = 24 * 60 * 60 * 1000
/** A search that finds little ends its page after this long, and goes on with the next one. */
const longestSearchMs = 1_000
/** A pattern may take long for lines that were made for it: other requests have their turns. */
const longestTurnMs = 10

const forever = Number.MAX_SAFE_INTEGER

/** Log groups of an account in a region, their streams and lines: see docs/operations/logs.md. */
export class Logs {
  readonly #deps: LogsDependencies
  readonly #queue: AppendQueue

  constructor(deps: LogsDependencies) {
    this.#deps = deps
    this.#queue = new AppendQueue((batches) => this.#execute(appendLines, { batches, mostBytes: deps.quotas.bytes }))
  }

  /** Throws `log-group-exists`, `log-limit-exceeded`, and as `registryForChange` in a region that is new to the account. */
  async createGroup(context: RequestContext, group: string, settings: { readonly tags: Readonly<Record<string, string>>; readonly isProtected: boolean }): Promise<void> {
    const { registry: place } = context
    if (place.id === emptyRegistryId) await this.#deps.beginRegistry(context)
    await this.#execute(createLogGroup, { place: { accountId: place.accountId, region: place.region }, group, ...settings, mostGroups: this.#deps.quotas.groups })
  }

  /** Answers at once; what was in it goes in the background. Throws `log-group-unknown`, `log-group-protected`. */
  async deleteGroup(place: LogPlace, group: string): Promise<void> {
    await this.#execute(deleteLogGroup, { place, group })
    this.#deps.onRemoved()
  }

  /** Null: lines stay. Throws `log-group-unknown`. */
  async setRetention(place: LogPlace, group: string, days: number | null): Promise<void> {
    await this.#execute(setRetention, { place, group, days })
    if (days !== null) this.#deps.onRemoved()
  }

  /** Throws `log-group-unknown`. */
  async setProtection(place: LogPlace, group: string, isProtected: boolean): Promise<void> {
    await this.#execute(setProtection, { place, group, isProtected })
  }

  /** By name. */
  async listGroups(place: LogPlace, query: { readonly prefix: string; readonly containing: string | undefined; readonly after: string | undefined; readonly limit: number }): Promise<Page<LogGroupRow>> {
    const { reader } = await this.#deps.open()
    const rows = await listLogGroups(reader, { ...place, ...query, after: query.after ?? '', limit: query.limit + 1 })
    return pageOf(rows, query.limit, ({ name }) => name)
  }

  /** Throws `log-group-unknown`. */
  async getGroup(place: LogPlace, group: string): Promise<LogGroupRow> {
    const { reader } = await this.#deps.open()
    const row = await findLogGroup(reader, place, group)
    if (row === undefined) throw groupUnknown()
    return row
  }

  /** Throws `log-group-unknown`. */
  async tagsOf(place: LogPlace, group: string): Promise<Readonly<Record<string, string>>> {
    const { id } = await this.getGroup(place, group)
    const { reader } = await this.#deps.open()
    return Object.fromEntries((await tagsOfLogGroup(reader, id)).map(({ key, value }) => [key, value]))
  }

  /** Throws `log-group-unknown`, `log-tags-too-many`. */
  async tag(place: LogPlace, group: string, tags: Readonly<Record<string, string>>): Promise<void> {
    await this.#execute(tagLogGroup, { place, group, tags })
  }

  /** Throws `log-group-unknown`. */
  async untag(place: LogPlace, group: string, keys: readonly string[]): Promise<void> {
    await this.#execute(untagLogGroup, { place, group, keys })
  }

  /** Throws `log-group-unknown`, `log-stream-exists`, `log-limit-exceeded`. */
  async createStream(place: LogPlace, group: string, stream: string): Promise<void> {
    await this.#execute(createLogStream, { place, group, stream, mostStreams: this.#deps.quotas.streamsPerGroup })
  }

  /** Throws `log-group-unknown`, `log-stream-unknown`. */
  async deleteStream(place: LogPlace, group: string, stream: string): Promise<void> {
    await this.#execute(deleteLogStream, { place, group, stream })
    this.#deps.onRemoved()
  }

  /** By name, or by the time of the last line. Throws `log-group-unknown`. */
  async listStreams(
    place: LogPlace,
    group: string,
    query: { readonly by: 'name' | 'last-line'; readonly prefix: string; readonly descending: boolean; readonly after: string | undefined; readonly limit: number },
  ): Promise<Page<LogStreamRow>> {
    const { id: groupId } = await this.getGroup(place, group)
    const { reader } = await this.#deps.open()
    const { descending, after } = query
    const limit = query.limit + 1
    if (query.by === 'name') return pageOf(await listLogStreams(reader, { groupId, prefix: query.prefix, descending, after, limit }), query.limit, ({ name }) => name)
    const [, at = '', name = ''] = /^(\d+) (.*)$/su.exec(after ?? '') ?? []
    const rows = await listRecentStreams(reader, { groupId, descending, after: after === undefined ? undefined : { lastLineAt: Number(at), name }, limit })
    return pageOf(rows, query.limit, (row) => `${row.lastLineAt} ${row.name}`)
  }

  /**
   * Adds lines to a stream, durable when it answers; tells which were not taken for their age.
   * @returns the number of the last line of the group, and what was rejected
   * @throws `log-input-invalid`, `log-group-unknown`, `log-stream-unknown`, `log-limit-exceeded`
   */
  async put(place: LogPlace, group: string, stream: string, given: readonly GivenLine[]): Promise<{ readonly lastNumber: number; readonly rejected: RejectedLines | undefined }> {
    const checked = checkLines(given, this.#deps.clock.now())
    if (checked.lines === undefined) {
      // Nothing is left of it, and yet it has to be for a stream that is there.
      await this.#streamOf(place, group, stream)
      return { lastNumber: 0, rejected: checked.rejected }
    }
    const { expiredCount, lastNumber } = await this.#append({ place, group, stream, ...checked.lines })
    const rejected = expiredCount === 0 ? checked.rejected : { ...checked.rejected, expiredEnd: (checked.rejected?.tooOldEnd ?? 0) + expiredCount }
    return { lastNumber, rejected }
  }

  /** Adds a line that the server itself writes, to a stream that it makes. Throws `log-group-unknown`, `log-limit-exceeded`. */
  async putOwn(place: LogPlace, group: string, stream: string, { at, message }: GivenLine): Promise<void> {
    const bytes = Buffer.byteLength(message) + 26
    await this.#append({ place, group, stream, lines: JSON.stringify([[at, message]]), count: 1, firstAt: at, lastAt: at, bytes, isOwn: true })
  }

  /**
   * A page of a stream, in the order of time: behind a position or before one, from the beginning or the end where there is none.
   * @throws `log-group-unknown`, `log-stream-unknown`
   */
  async read(
    place: LogPlace,
    group: string,
    stream: string,
    query: TimeRange & { readonly direction: 'forward' | 'backward'; readonly position: LinePosition | undefined; readonly limit: number },
  ): Promise<readonly LogLine[]> {
    const { groupRow, streamRow } = await this.#streamOf(place, group, stream)
    const { reader } = await this.#deps.open()
    const { lines } = await readPage(reader, {
      of: { streamId: streamRow.id },
      from: this.#oldestShown(groupRow, query.from),
      until: query.until,
      after: query.position,
      descending: query.direction === 'backward',
      mostLines: query.limit,
      mostBytes: mostBytesOfPage,
    })
    return lines
  }

  /**
   * Lines of a group that a pattern takes, in the order of time. A page may have none and yet not be the last.
   * @param query `streams` are names, or a beginning that names have
   * @throws `log-input-invalid`, `log-group-unknown`, `log-stream-unknown`
   */
  async search(
    place: LogPlace,
    group: string,
    query: TimeRange & { readonly pattern: string; readonly streams: { readonly names: readonly string[] } | { readonly prefix: string } | undefined; readonly after: string | undefined; readonly limit: number; readonly signal: AbortSignal },
  ): Promise<Page<LogEvent>> {
    const takes = parseFilterPattern(query.pattern)
    const row = await this.getGroup(place, group)
    const { reader } = await this.#deps.open()
    const { streams, limit, signal } = query
    const names = new Map<number, string>()
    let searched: SearchedLines = { groupId: row.id }
    if (streams !== undefined && 'names' in streams) {
      const found = await findLogStreams(reader, row.id, [...new Set(streams.names)])
      if (found.length < new Set(streams.names).size) throw streamUnknown()
      searched = { groupId: row.id, streamIds: found.map(({ id }) => id) }
    }
    const prefix = streams !== undefined && 'prefix' in streams ? streams.prefix : ''
    const range = { from: this.#oldestShown(row, query.from), until: query.until }
    const items: LogEvent[] = []
    let bytes = 0
    let position = parsePosition(query.after)
    const endsAt = performance.now() + longestSearchMs
    let turnEndsAt = performance.now() + longestTurnMs
    for (;;) {
      const { lines, lookedTo } = await readPiece(reader, { searched, ...range, after: position })
      const unknown = [...new Set(lines.map(({ streamId }) => streamId))].filter((id) => !names.has(id))
      for (const [id, name] of await namesOfStreams(reader, unknown)) names.set(id, name)
      for (const line of lines) {
        if (performance.now() > turnEndsAt) {
          await nextTurn()
          turnEndsAt = performance.now() + longestTurnMs
        }
        const stream = names.get(line.streamId)
        // One that was deleted, and whose lines are on their way out.
        if (stream === undefined || !stream.startsWith(prefix) || takes?.(line.message) === false) continue
        const size = Buffer.byteLength(line.message)
        if (items.length === limit || (items.length > 0 && bytes + size > mostBytesOfPage)) {
          return { items, next: positionText(items.at(-1)!) }
        }
        bytes += size
        items.push({ stream, at: line.at, number: line.number, putAt: line.putAt, message: line.message })
      }
      if (lookedTo === undefined) return { items, next: undefined }
      position = lookedTo
      if (performance.now() > endsAt) return { items, next: positionText(position) }
      signal.throwIfAborted()
      await nextTurn()
    }
  }

  /** Resolves when what was put is written. */
  async stop(): Promise<void> {
    await this.#queue.idle()
  }

  async #streamOf(place: LogPlace, group: string, stream: string): Promise<{ groupRow: LogGroupRow; streamRow: LogStreamRow }> {
    const groupRow = await this.getGroup(place, group)
    const { reader } = await this.#deps.open()
    const streamRow = await findLogStream(reader, groupRow.id, stream)
    if (streamRow === undefined) throw streamUnknown()
    return { groupRow, streamRow }
  }

  async #append(batch: LineBatch): Promise<AppendResult & { kind: 'taken' }> {
    const result = await this.#queue.add(batch)
    if (result.kind === 'taken') return result
    switch (result.code) {
      case 'log-group-unknown':
        throw groupUnknown()
      case 'log-stream-unknown':
        throw streamUnknown()
      case 'log-limit-exceeded':
        throw logsError('log-limit-exceeded', `Resource limit exceeded: the log groups of an account in a region may have ${this.#deps.quotas.bytes} bytes.`)
    }
  }

  /** Lines that go for their age are not shown any more, whether or not they are gone. */
  #oldestShown({ retentionDays }: LogGroupRow, from: number): number {
    return retentionDays === null ? from : Math.max(from, this.#deps.clock.now() - retentionDays * dayMs)
  }

  async #execute<Input, Result>(command: Command<Input, Result>, input: Input): Promise<Result> {
    const database = await this.#deps.open()
    return database.execute(command, input, this.#deps.context())
  }
}

/** The end of a range that has none. */
export const noEnd = forever

function positionText({ at, number }: LinePosition): string {
  return `${at}.${number}`
}

function parsePosition(text: string | undefined): LinePosition | undefined {
  if (text === undefined) return undefined
  const [, at, number] = /^(\d{1,15})\.(\d{1,15})$/u.exec(text) ?? []
  if (at === undefined || number === undefined) throw new PlatformError('log-input-invalid', 'The specified nextToken is invalid.')
  return { at: Number(at), number: Number(number) }
}

function pageOf<Row>(rows: readonly Row[], limit: number, position: (row: Row) => string): Page<Row> {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return { items, next: rows.length > limit && last !== undefined ? position(last) : undefined }
}

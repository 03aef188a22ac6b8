import { lineBytes, type LineBatch } from './commands/append.ts'
import { logsError } from './errors.ts'

/** A line as it is given, with the time when it happened. */
export interface GivenLine {
  readonly at: number
  readonly message: string
}

/** Which lines were not taken, by their places in what was given. */
export interface RejectedLines {
  /** This one and all behind it are of too late a time. */
  readonly tooNewStart?: number
  /** All before this one are too old. */
  readonly tooOldEnd?: number
  /** All before this one are older than the group keeps. */
  readonly expiredEnd?: number
}

export interface CheckedLines {
  /** Undefined: none is left. */
  readonly lines: Pick<LineBatch, 'lines' | 'count' | 'firstAt' | 'lastAt' | 'bytes'> | undefined
  readonly rejected: RejectedLines | undefined
}

/* https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html, as it was in 2026 */
export const mostBatchBytes = 1_048_576
export const mostBatchLines = 10_000
const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs
const latestAheadMs = 2 * hourMs
const oldestMs = 14 * dayMs
const longestSpanMs = dayMs

/** Checks lines that are given in one call. @throws `log-input-invalid` */
export function checkLines(given: readonly GivenLine[], now: number): CheckedLines {
  let bytes = 0
  let previous = 0
  for (const { at, message } of given) {
    if (at < previous) throw logsError('log-input-invalid', 'Log events in a single PutLogEvents request must be in chronological order.')
    previous = at
    bytes += lineBytes(message)
  }
  if (bytes > mostBatchBytes) throw logsError('log-input-invalid', `Upload too large: ${bytes} bytes exceeds limit of ${mostBatchBytes}`)
  // They are in order: what is rejected is a beginning and an end.
  const start = given.findIndex(({ at }) => at >= now - oldestMs)
  const tooOldEnd = start === -1 ? given.length : start
  const found = given.findIndex(({ at }) => at > now + latestAheadMs)
  const tooNewStart = found === -1 ? given.length : found
  const rejected = tooOldEnd === 0 && tooNewStart === given.length ? undefined : { ...(tooNewStart < given.length && { tooNewStart }), ...(tooOldEnd > 0 && { tooOldEnd }) }
  const taken = given.slice(tooOldEnd, tooNewStart)
  const [first, last] = [taken[0], taken.at(-1)]
  if (first === undefined || last === undefined) return { lines: undefined, rejected }
  if (last.at - first.at > longestSpanMs) {
    throw logsError('log-input-invalid', 'The batch of log events in a single PutLogEvents request cannot span more than 24 hours.')
  }
  const lines = JSON.stringify(taken.map(({ at, message }) => [at, storable(message)]))
  const takenBytes = taken.length === given.length ? bytes : taken.reduce((sum, { message }) => sum + lineBytes(message), 0)
  return { lines: { lines, count: taken.length, firstAt: first.at, lastAt: last.at, bytes: takenBytes }, rejected }
}

/** What is no text in a database becomes what stands for an unreadable character. */
function storable(message: string): string {
  return (message.isWellFormed() ? message : message.toWellFormed()).replaceAll('\0', '\ufffd')
}

import type { Socket } from 'node:net'
import type { EdgeRequest, EdgeResponse } from './request-meta.ts'

/** One request and its answer on their connection. */
export interface Exchange {
  readonly request: EdgeRequest
  readonly response: EdgeResponse
  readonly socket: Socket
  /** What the body had brought when it last counted as moving. */
  markedBodyBytes: number
  markedAt: number
  readonly startedAt: number
  /** When the answer ended; a body may still be coming then. */
  answeredAt: number | undefined
}

export interface StallLimits {
  /** A body that brings less than {@link minBytesPerWindow} in this time is ended. */
  readonly bodyIdleTimeoutMs: number
  /** When to give up a body that nobody reads, after the answer is out. */
  readonly lingerMs: number
}

/**
 * Slower than any line in use: 512 bytes a minute is a client that keeps a connection busy on purpose. Without
 * a floor, one byte now and then would hold a connection for ever.
 */
const minBytesPerWindow = 512

/** What to do with an exchange now. */
export type StallVerdict = 'fine' | 'body-stalled' | 'lingered'

/**
 * Judges an exchange at monotonic time `nowMs`, and marks its progress.
 *
 * Only the client's slowness counts: while the handler has not begun to read, while bytes that arrived wait to be
 * read (the disk is behind, not the client), and while the client waits for "100 Continue", the time stands still.
 */
export function judgeExchange(exchange: Exchange, limits: StallLimits, nowMs: number): StallVerdict {
  const { request, response } = exchange
  if (request.complete) return 'fine'
  if (exchange.answeredAt !== undefined) {
    return nowMs - exchange.answeredAt > limits.lingerMs ? 'lingered' : 'fine'
  }
  const reading = request.readableFlowing !== null
  const waitsForClient = reading && request.readableLength === 0 && !response.awaitsContinue
  const moved = request.bodyBytesReceived - exchange.markedBodyBytes >= minBytesPerWindow
  if (!waitsForClient || moved) {
    exchange.markedAt = nowMs
    exchange.markedBodyBytes = request.bodyBytesReceived
    return 'fine'
  }
  return nowMs - exchange.markedAt > limits.bodyIdleTimeoutMs ? 'body-stalled' : 'fine'
}

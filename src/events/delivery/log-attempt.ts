import { isPlatformError } from '../../internal/platform-error.ts'
import type { AttemptResult } from './attempt.ts'

/** Writes a line, for good when it answers; makes the stream where there is none. Throws where there is no such group. */
export type PutLogLine = (
  place: { readonly accountId: string; readonly region: string },
  group: string,
  stream: string,
  line: { readonly at: number; readonly message: string },
) => Promise<void>

interface LogAttempt {
  readonly place: { readonly accountId: string; readonly region: string }
  readonly group: string
  readonly stream: string
  /** JSON. */
  readonly event: string
  /** What is sent instead of it, or the same. */
  readonly body: string
  readonly isTransformed: boolean
}

/** Writes an event into a log group once. Whatever is in the way may be over another time: a group may still be made. */
export async function attemptToLog(put: PutLogLine, { place, group, stream, event, body, isTransformed }: LogAttempt): Promise<AttemptResult> {
  const at = Date.parse((JSON.parse(event) as { readonly time: string }).time)
  try {
    await put(place, group, stream, { at, message: body, ...(isTransformed && transformed(body)) })
    return { kind: 'accepted' }
  } catch (error) {
    return { kind: 'again', reason: isPlatformError(error) ? error.message : 'the line could not be written', afterMs: undefined }
  }
}

/**
 * A template for a log group says `{"timestamp": …, "message": …}`.
 * https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html
 */
function transformed(body: string): { readonly at?: number; readonly message?: string } {
  const parsed: unknown = JSON.parse(body)
  if (typeof parsed !== 'object' || parsed === null) return {}
  const { timestamp, message } = parsed as { readonly timestamp?: unknown; readonly message?: unknown }
  if (message === undefined || message === '') return {}
  const isTime = typeof timestamp === 'number' && Number.isSafeInteger(timestamp) && timestamp >= 0
  return { message: typeof message === 'string' ? message : JSON.stringify(message), ...(isTime && { at: timestamp }) }
}

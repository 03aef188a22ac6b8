import type { IncomingMessage } from 'node:http'
import { UnusableAddress, type GuardedHttps } from '../../internal/outbound/guarded-https.ts'

/** What became of an attempt. */
export type AttemptResult =
  | { readonly kind: 'accepted' }
  /** It may be accepted another time; the receiver may have said when. */
  | { readonly kind: 'again'; readonly reason: string; readonly afterMs: number | undefined }
  | { readonly kind: 'refused'; readonly reason: string }

/** Name, connection, TLS, and the head of the answer. EventBridge waits as long. */
const timeoutMs = 5_000

/** Statuses that may be over soon. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html, "Retry" */
const passing: ReadonlySet<number> = new Set([401, 407, 408, 409, 425, 429])

const longestRetryAfterMs = 10 * 60 * 1000

export interface Attempt {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly accountId: string
  readonly stop: AbortSignal
}

/** Sends a body once. Rejects only when it is told to stop. */
export async function attempt(https: GuardedHttps, { url, headers, body, accountId, stop }: Attempt): Promise<AttemptResult> {
  const late = AbortSignal.timeout(timeoutMs)
  const signal = AbortSignal.any([late, stop])
  try {
    const response = await orAbort(https(url, { method: 'POST', headers, body, askedBy: accountId, signal }), signal)
    const result = judge(response)
    response.destroy()
    return result
  } catch (error) {
    stop.throwIfAborted()
    if (late.aborted) return again(`no answer within ${timeoutMs} ms`)
    if (error instanceof UnusableAddress) return again(error.message)
    const { code, message } = error as NodeJS.ErrnoException
    return again(code ?? message)
  }
}

function judge({ statusCode = 0, headers }: IncomingMessage): AttemptResult {
  if (statusCode >= 200 && statusCode < 300) return { kind: 'accepted' }
  const reason = `status ${statusCode}`
  if (statusCode >= 500 || passing.has(statusCode)) return { kind: 'again', reason, afterMs: retryAfterOf(headers['retry-after']) }
  // Nobody chose where it leads.
  if (statusCode >= 300 && statusCode < 400) return { kind: 'refused', reason: `${reason}: redirects are not followed` }
  return { kind: 'refused', reason }
}

function again(reason: string): AttemptResult {
  return { kind: 'again', reason, afterMs: undefined }
}

function retryAfterOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/u.test(text) ? Math.min(Number(text) * 1000, longestRetryAfterMs) : undefined
}

/** A look-up of a name cannot be ended; nobody waits for it any longer. */
async function orAbort<Result extends IncomingMessage>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort)
  ended.catch(() => undefined)
  try {
    return await Promise.race([work, ended])
  } finally {
    signal.removeEventListener('abort', onAbort)
    work.then((response) => signal.aborted && response.destroy(), () => undefined)
  }
}

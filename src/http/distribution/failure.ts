import type { OutgoingHttpHeaders } from 'node:http'
import type { Logger } from 'pino'
import { isPlatformError, type PlatformError } from '../../internal/platform-error.ts'
import type { RequestMeta } from '../request-meta.ts'
import { answer, answerJson, type HttpExchange } from './answer.ts'
import { unexpectedError, wireErrorOf, type WireError } from './errors.ts'

/** What the answer to a failed request says about it beside the error. */
export interface FailureContext {
  readonly meta: RequestMeta
  /**
   * The registry's own URL with a trailing slash: the realm of its challenge. Absent where a login would change nothing,
   * as for a link that is its own permission; the answer is a refusal then.
   */
  readonly realm: string | undefined
}

/** Suggested wait where an error does not come with its own. Long enough to matter, short enough for a push to go on. */
const defaultRetryAfterMs = 1_000

const refusal: WireError = { code: 'DENIED', status: 403 }

/** The one place where errors become answers of the distribution API. Never throws. */
export async function answerFailure(
  exchange: HttpExchange,
  error: unknown,
  context: FailureContext,
  logger: Logger,
): Promise<void> {
  const { response } = exchange
  const wire = wireErrorOf(error)
  const isClientGone = isPlatformError(error, 'body-aborted')
  if (wire.status >= 500 && !isClientGone) {
    logger.error({ requestId: context.meta.requestId, err: error }, 'request failed')
  }
  if (response.headersSent) {
    // Part of a body is out, and its length was promised: only a cut connection tells the client that it is not whole.
    response.destroy()
    return
  }
  if (wire.status === 401 && context.realm !== undefined) {
    context.meta.errorCode = wire.code
    await answerChallenge(exchange, context.realm)
    return
  }
  const { status, code } = wire.status === 401 ? refusal : wire
  context.meta.errorCode = code
  if (isPlatformError(error) && status < 500) context.meta.errorMessage = error.message
  const headers = isPlatformError(error) ? failureHeaders(error, status) : {}
  await answerJson(exchange, status, { errors: [errorDocument(error, code, context.meta.requestId)] }, headers)
}

/** ECR's answer to a request without valid credentials, to the letter; docker clients then send a login, if they have one. */
async function answerChallenge(exchange: HttpExchange, realm: string): Promise<void> {
  const body = 'Not Authorized\n'
  await answer(
    exchange,
    401,
    {
      'WWW-Authenticate': `Basic realm="${realm}",service="ecr.amazonaws.com"`,
      'Content-Type': 'text/plain; charset=utf-8',
      'Content-Length': body.length,
    },
    body,
  )
}

function errorDocument(error: unknown, code: string, requestId: string): Record<string, unknown> {
  const wire = wireErrorOf(error)
  // What failed inside is the operator's to know; the request id leads them to it.
  if (!isPlatformError(error) || wire === unexpectedError) {
    return { code, message: 'The request failed.', detail: { requestId } }
  }
  const { message, detail } = error
  if (wire.status >= 500) return { code, message, detail: { requestId } }
  return Object.keys(detail).length === 0 ? { code, message } : { code, message, detail }
}

function failureHeaders(error: PlatformError, status: number): OutgoingHttpHeaders {
  const { allow, retryAfterMs, sizeBytes } = error.detail
  if (status === 405 && Array.isArray(allow)) return { Allow: allow.join(', ') }
  if (error.code === 'image-archived' && typeof retryAfterMs !== 'number') return {}
  if (status === 429 || status === 503 || error.code === 'image-archived') {
    const waitMs = typeof retryAfterMs === 'number' ? retryAfterMs : defaultRetryAfterMs
    return { 'Retry-After': Math.max(1, Math.ceil(waitMs / 1000)) }
  }
  if (error.code === 'range-unsatisfiable') return { 'Content-Range': `bytes */${Number(sizeBytes)}` }
  return {}
}

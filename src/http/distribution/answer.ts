import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { EdgeResponse } from '../request-meta.ts'

export interface HttpExchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/** Docker clients up to 1.x look for it, and it is how a registry is told from any other server. */
export const apiVersion = { 'Docker-Distribution-Api-Version': 'registry/2.0' }

/**
 * An unread body up to this length is received and thrown away, which costs less than a new connection and its
 * handshakes; of a longer one nobody knows whether the client would stop.
 */
const maxDiscardedBodyBytes = 256 * 1024

/**
 * How much, and how long, of a longer unread body is still taken after the answer was sent. Closing at once would
 * reset the connection under a client that is sending, which then never sees why it was refused.
 */
const lingerBytes = 8 * 1024 * 1024
const lingerMs = 2_000

/** Length of a request's body; undefined for one of unknown length. */
export function contentLength(request: IncomingMessage): number | undefined {
  if (request.headers['transfer-encoding'] !== undefined) return undefined
  const header = request.headers['content-length']
  return header === undefined ? 0 : Number(header)
}

/**
 * Writes a whole answer. What is left of the request's body is dealt with, so that the connection can carry the next
 * request or is closed in order: an answer given before the body was read must not be taken for that of a later request.
 */
export async function answer(
  { request, response }: HttpExchange,
  status: number,
  headers: OutgoingHttpHeaders,
  body?: Buffer | string,
): Promise<void> {
  if (response.headersSent || response.destroyed) return
  const unreadBytes = unreadBody(request)
  if (unreadBytes === 0) {
    response.writeHead(status, { ...apiVersion, ...headers })
    response.end(body)
    return
  }
  if (response instanceof EdgeResponse && response.awaitsContinue) {
    // The client was never told to send its body; it may do so all the same, so the connection ends here.
    response.writeHead(status, { ...apiVersion, ...headers, Connection: 'close' })
    response.end(body)
    return
  }
  if (unreadBytes <= maxDiscardedBodyBytes) {
    response.writeHead(status, { ...apiVersion, ...headers })
    response.end(body)
    request.resume()
    return
  }
  response.writeHead(status, { ...apiVersion, ...headers, Connection: 'close' })
  if (body === undefined || request.method === 'HEAD') response.flushHeaders()
  else response.write(body)
  await discardRest(request)
  response.end()
}

/** How much of the body nobody has read, at most; `Infinity` where its length is unknown. */
function unreadBody(request: IncomingMessage): number {
  if (request.readableEnded) return 0
  return contentLength(request) ?? Number.POSITIVE_INFINITY
}

async function discardRest(request: IncomingMessage): Promise<void> {
  if (request.destroyed) return
  await new Promise<void>((resolve) => {
    let discardedBytes = 0
    const finish = (): void => {
      clearTimeout(timer)
      request.off('data', count).off('end', finish).off('close', finish).off('error', finish)
      resolve()
    }
    const count = (chunk: Buffer): void => {
      discardedBytes += chunk.length
      if (discardedBytes > lingerBytes) finish()
    }
    const timer = setTimeout(finish, lingerMs)
    request.on('data', count).on('end', finish).on('close', finish).on('error', finish).resume()
  })
}

/** Answers with a JSON document. */
export async function answerJson(
  exchange: HttpExchange,
  status: number,
  document: unknown,
  headers: OutgoingHttpHeaders = {},
  contentType = 'application/json',
): Promise<void> {
  const body = Buffer.from(JSON.stringify(document))
  await answer(exchange, status, { 'Content-Type': contentType, 'Content-Length': body.length, ...headers }, body)
}

import http, { type IncomingHttpHeaders } from 'node:http'
import https from 'node:https'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { searchErrorBody } from './secrets.ts'

export interface Credentials {
  readonly username: string
  readonly password: string
}

export interface ClientRequest {
  /** A list is sent as several header lines. */
  readonly headers?: Readonly<Record<string, string | string[]>>
  /** Bytes are sent with Content-Length; a stream is sent chunked unless `headers` names a length. */
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array>
  /** Other credentials than the client's; null sends none. */
  readonly auth?: Credentials | null
  /** Takes the answer's body piece by piece; `body` of the response is empty then. */
  readonly onBody?: (chunk: Buffer) => void
  readonly signal?: AbortSignal
}

export interface ClientResponse {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** @throws SyntaxError when the body is not JSON. */
  json(): unknown
}

export interface DistributionClient {
  /** Sends exactly this request: follows no redirect, repeats nothing, negotiates nothing. */
  request(method: string, path: string, request?: ClientRequest): Promise<ClientResponse>
  /** Closes the connections it kept. */
  close(): void
}

export interface DistributionClientOptions {
  /** A certificate (PEM) to trust, for a URL with https. */
  readonly ca?: string
  /** The address to connect from, such as another one of 127.0.0.0/8 to be another client. */
  readonly localAddress?: string
}

/**
 * An HTTP client for tests that need to see every status and header.
 * @param url where the registry is; a `path` may also be an absolute URL (as a Location may be).
 */
export function createDistributionClient(
  url: string,
  auth: Credentials | null = null,
  options: DistributionClientOptions = {},
): DistributionClient {
  const base = new URL(url)
  const secure = base.protocol === 'https:'
  const agent = secure ? new https.Agent({ keepAlive: true, ca: options.ca }) : new http.Agent({ keepAlive: true })

  return {
    async request(method, path, request = {}) {
      const target = path.startsWith('/') ? base : new URL(path)
      const credentials = request.auth === undefined ? auth : request.auth
      const headers: Record<string, string | string[]> = {
        ...(credentials === null ? {} : { authorization: basicAuth(credentials) }),
        ...request.headers,
      }
      const body = typeof request.body === 'string' ? Buffer.from(request.body) : request.body
      const names = Object.keys(headers).map((name) => name.toLowerCase())
      if (!names.includes('content-length') && !names.includes('transfer-encoding')) {
        if (body instanceof Uint8Array) headers['content-length'] = String(body.length)
        else if (body === undefined && ['POST', 'PUT', 'PATCH'].includes(method)) headers['content-length'] = '0'
      }

      const outgoing = (secure ? https : http).request({
        // Brackets belong to an IPv6 address in a URL only.
        hostname: target.hostname.replace(/^\[|\]$/g, ''),
        port: target.port,
        // Verbatim: a URL object would resolve dot segments and re-encode what a test means to send.
        path: path.startsWith('/') ? path : target.pathname + target.search,
        method,
        headers,
        agent,
        ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      })
      const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
        outgoing.once('response', resolve)
        outgoing.once('error', reject)
      })
      const sending = body === undefined || body instanceof Uint8Array ? undefined : Readable.from(body)
      if (sending === undefined) outgoing.end(body)
      // A server may answer and close before it has read everything; the answer is what counts then.
      else pipeline(sending, outgoing).catch(() => undefined)

      const incoming = await answered
      const chunks: Buffer[] = []
      for await (const chunk of incoming as AsyncIterable<Buffer>) {
        if (request.onBody === undefined) chunks.push(chunk)
        else request.onBody(chunk)
      }
      const bytes = Buffer.concat(chunks)
      if ((incoming.statusCode ?? 0) >= 400) searchErrorBody(`the answer to ${method} ${path.slice(0, 100)}`, bytes)
      return {
        status: incoming.statusCode ?? 0,
        headers: incoming.headers,
        body: bytes,
        json: () => JSON.parse(bytes.toString('utf8')) as unknown,
      }
    },
    close() {
      agent.destroy()
    },
  }
}

export function basicAuth(credentials: Credentials): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`
}

import { IncomingMessage, ServerResponse } from 'node:http'
import type { Principal } from '../iam/principal.ts'

/** What every edge is told about a request beside the request itself. */
export interface RequestMeta {
  /** Sent as `X-Request-Id`, and the same in the access log, audit records and errors. */
  readonly requestId: string
  /** The client's IP address as far as trusted proxies vouch for it; IPv4 never in IPv6 spelling. */
  readonly sourceIp: string
  /** The host and port that the client asked for, in lower case; from `X-Forwarded-Host` only behind a trusted proxy. */
  readonly host: string
  /** True if the client's own connection is encrypted, by this server or by a trusted proxy. */
  readonly secure: boolean
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number
  /** The rest is for the access log and metrics: a handler fills in what it learns. */
  actorArn?: string | undefined
  protocol?: string | undefined
  /** The operation's name at its edge, such as `PutImage` or `blob-upload-complete`. */
  operation?: string | undefined
  /** The repository that the request names, once it is known to be a name. */
  repository?: string | undefined
  /** Names the request's trace, where it is traced. */
  traceId?: string | undefined
  /** The code that the answer gives where it refuses or fails, such as `MANIFEST_UNKNOWN`. */
  errorCode?: string | undefined
  /** What the answer says about it. */
  errorMessage?: string | undefined
  /** Who asks, once that is proved. */
  principal?: Principal | undefined
  /** The access key that the caller claims to have, while nothing is proved. */
  claimedKeyId?: string | undefined
  /** The account and region that the request is about, as far as that is known. */
  registry?: { readonly accountId: string; readonly region: string | undefined } | undefined
  /** What was asked for, for the audit trail: small, and never a secret. */
  parameters?: Readonly<Record<string, unknown>> | undefined
  /** How many images the answer of a call gives. */
  pulls?: number | undefined
  /** What the answer names, likewise. */
  answered?: Readonly<Record<string, unknown>> | undefined
}

/**
 * Answers one request. It writes the whole answer, errors included, before the promise is fulfilled; a rejection
 * is a bug, which is logged and answered with status 500.
 */
export type EdgeHandler = (request: IncomingMessage, response: ServerResponse, meta: RequestMeta) => Promise<void>

/** Longer ones than any client sends are cut: the text goes into audit records, and policies compare it with patterns. */
const longestUserAgent = 1024

export function userAgentOf(request: IncomingMessage): string {
  return (request.headers['user-agent'] ?? '').slice(0, longestUserAgent)
}

/** An incoming request that knows how much of its body has arrived. */
export class EdgeRequest extends IncomingMessage {
  bodyBytesReceived = 0

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk instanceof Uint8Array) this.bodyBytesReceived += chunk.byteLength
    return super.push(chunk, encoding)
  }
}

/** What is written down of an answer before its client has all of it. */
export interface NotedBeforeLastByte {
  note(): void
  /** Writes what was noted. */
  write(): void
  /** Calls back when it is written, at the end of this turn of the event loop at the latest. */
  whenWritten(done: () => void): void
}

/**
 * A response whose client may be waiting for "100 Continue". Where the body is never accepted, Node closes the
 * connection after the answer: the client may then send the body or leave it out, and nobody can tell which.
 */
export class EdgeResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  #awaitsContinue = false
  #beforeLastByte: NotedBeforeLastByte | undefined
  /** Ends the answer: it was declared, and waits for what is to be written before. */
  #heldEnd: (() => void) | undefined
  /** What is still to come of a body of known length. */
  #restBytes: number | undefined

  /**
   * `note` is called once, before the last byte of the answer is handed to the connection, which then waits until that is written;
   * never where the answer is cut off.
   */
  beforeLastByte(noted: NotedBeforeLastByte): void {
    this.#beforeLastByte = noted
  }

  /** True from the moment on where the end was declared, also while it waits. */
  get isEnded(): boolean {
    return this.writableEnded || this.#heldEnd !== undefined
  }

  /** Hands over what waits, with what it waits for. */
  sendHeld(): void {
    const end = this.#heldEnd
    this.#heldEnd = undefined
    end?.()
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- of the forms that Node's own method takes
  override write(...sent: any[]): boolean {
    if (this.#beforeLastByte !== undefined) this.#count(sent[0], sent[1])
    return super.write(...(sent as Parameters<ServerResponse['write']>))
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- likewise
  override end(...sent: any[]): this {
    if (this.#heldEnd !== undefined) return this
    const noted = this.#beforeLastByte
    this.#beforeLastByte = undefined
    const end = (): unknown => super.end(...(sent as Parameters<ServerResponse['end']>))
    if (noted === undefined) {
      end()
      return this
    }
    noted.note()
    this.#heldEnd = () => {
      noted.write()
      end()
    }
    noted.whenWritten(() => {
      if (this.#heldEnd === undefined) return
      this.#heldEnd = undefined
      end()
    })
    return this
  }

  /** An answer that was declared whole is handed over before, as it would have been if it had not waited. */
  override destroy(error?: Error): this {
    this.sendHeld()
    return super.destroy(error)
  }

  /** Sends all of an answer without a body. */
  override flushHeaders(): void {
    if (this.req.method === 'HEAD' || this.getHeader('content-length') === 0) this.#tell()
    super.flushHeaders()
  }

  /** An answer is whole for its client with the last byte of its body, which may come long before the end is declared. */
  #count(chunk: unknown, encoding: unknown): void {
    this.#restBytes ??= Number(this.getHeader('content-length') ?? Number.POSITIVE_INFINITY)
    this.#restBytes -= typeof chunk === 'string' ? Buffer.byteLength(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8') : (chunk as Uint8Array).byteLength
    if (this.#restBytes <= 0) this.#tell()
  }

  #tell(): void {
    const noted = this.#beforeLastByte
    this.#beforeLastByte = undefined
    noted?.note()
    noted?.write()
  }

  /** True while the client holds its body back until it is asked for. */
  get awaitsContinue(): boolean {
    return this.#awaitsContinue
  }

  holdContinue(): void {
    this.#awaitsContinue = true
  }

  acceptBody(): void {
    if (!this.#awaitsContinue || this.headersSent || this.destroyed) return
    this.#awaitsContinue = false
    this.writeContinue()
  }
}

/**
 * Tells a client that waits for it ("Expect: 100-continue") to send its body. Every handler calls this right
 * before it first reads a body, and not before it knows that it wants the body: a refused client is then spared
 * the upload. Harmless for other clients and when repeated.
 */
export function acceptBody(response: ServerResponse): void {
  if (response instanceof EdgeResponse) response.acceptBody()
}

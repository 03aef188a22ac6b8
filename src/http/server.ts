import { createServer as createPlainServer, type Server, type ServerOptions } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { Server as NetServer, type AddressInfo, type Socket } from 'node:net'
import { Server as TlsServer, TLSSocket, type SecureVersion } from 'node:tls'
import type { Logger } from 'pino'
import { hostAndPort, type Config } from '../config/index.ts'
import type { Clock } from '../internal/clock.ts'
import { timeOrderedUuid, type IdSource } from '../internal/ids.ts'
import type { RequestTracer } from '../internal/tracing.ts'
import { PlatformError } from '../internal/platform-error.ts'
import { logExchange, traceAttributes, type ExchangeRecord } from './ops/access-log.ts'
import type { AnsweredRequest } from './ops/audit-record.ts'
import { operationsPaths, type Operations } from './ops/operations.ts'
import { EdgeRequest, EdgeResponse, type EdgeHandler, type RequestMeta } from './request-meta.ts'
import { createSourceReader } from './source.ts'
import { judgeExchange, type Exchange } from './stall-watch.ts'

export type ListenErrorCode = 'listen-failed'

/** A certificate chain and its private key, in PEM. */
export interface TlsPair {
  readonly cert: string
  readonly key: string
}

export interface HttpServerOptions {
  readonly config: Pick<
    Config,
    'trustedProxies' | 'headersTimeoutMs' | 'uploadIdleTimeoutMs' | 'downloadIdleTimeoutMs' | 'maxConnections' | 'requestLog'
  >
  /** `/v2` and below. */
  readonly distribution: EdgeHandler
  /** `GET` and `HEAD` of `/_stowage/layers/…`: links that carry their own permission. */
  readonly layerDownload: EdgeHandler
  /** Everything else: the AWS protocols are told apart by headers and body, not by path. */
  readonly aws: EdgeHandler
  readonly operations: Operations
  /** Certificate and key; without them the server speaks plain HTTP. */
  readonly tls?: TlsPair | undefined
  readonly logger: Logger
  readonly ids: IdSource
  readonly clock: Clock
  /** Where requests are traced; probes never are. */
  readonly tracer?: RequestTracer | undefined
  /** Told of every exchange that has ended. */
  onExchange?(record: ExchangeRecord): void
  /** Where every request but probes is written down before the last byte of its answer is sent. */
  readonly audit?: RequestAudit | undefined
}

/** Writes requests down for the audit trail. */
export interface RequestAudit {
  /** True while nothing may be served, since nothing can be written down. */
  readonly mustRefuse: boolean
  note(answered: AnsweredRequest): void
  /** Writes what was noted. */
  write(): void
  /** Calls back when everything is written that was noted before. */
  whenWritten(done: () => void): void
}

export interface HttpServer {
  /** @throws `listen-failed`, with the system's code in `detail.code`, such as `EADDRINUSE` or `EACCES`. */
  listen(address: { readonly host: string; readonly port: number }): Promise<AddressInfo>
  /** Takes a new certificate for the connections to come; those that are open keep theirs. */
  setSecureContext(pair: TlsPair): void
  readonly inFlight: number
  /**
   * Stops accepting, lets the requests in flight end, and cuts off those that take longer than `timeoutMs`.
   * Answers how many it cut off. May be repeated: later calls wait for the first.
   */
  drain(timeoutMs: number): Promise<{ readonly cutOff: number }>
}

/**
 * Longer than the idle time of the usual balancers (60 s): the side that pools connections must be the one that
 * closes them, or a request meets a connection that is just being closed.
 */
const keepAliveTimeoutMs = 75_000

/**
 * Podman asks for up to 1,024 ranges in one header of some 18 KiB, and for fewer only after an answer of 400; session
 * tokens and presigned queries take less. The parser answers 431 beyond this.
 */
const maxHeaderBytes = 32 * 1024

/** The least often that slow headers are looked for. */
const maxHeadersCheckIntervalMs = 5_000

/** How long a client may go on sending a body that its answer did not wait for, before it must have noticed. */
const lingerMs = 5_000

/** The most often that bodies in flight are looked at. */
const maxSweepIntervalMs = 5_000

/** How long a client may take over its TLS handshake. */
const handshakeTimeoutMs = 30_000

/** The oldest version that is neither broken nor retired (RFC 8996). */
const minTlsVersion: SecureVersion = 'TLSv1.2'

const dropLogIntervalMs = 60_000

const layerLinkPrefix = '/_stowage/layers/'

interface Connection {
  readonly open: Set<Exchange>
  /** Bytes written that ended answers account for. */
  sentBytes: number
  /** Nothing that comes is a request any more. */
  endsAfterAnswers: boolean
  /** Bytes read when the last exchange ended, or the connection began: with more, a request is on its way. */
  readBytes: number
}

/** The listener: tells the protocols apart, and does for all of them what none should do twice. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { config, logger, ids, clock, operations } = options
  const readSource = createSourceReader(config.trustedProxies)
  const exchanges = new Set<Exchange>()
  const connections = new Map<Socket, Connection>()
  /** Under TLS also those whose handshake has not ended. */
  const accepted = new Set<Socket>()
  let allClosed: (() => void) | undefined
  let draining: Promise<{ readonly cutOff: number }> | undefined

  const serverOptions = {
    IncomingMessage: EdgeRequest,
    ServerResponse: EdgeResponse,
    headersTimeout: config.headersTimeoutMs,
    // A layer may take hours; what stands still is ended by the sweep below.
    requestTimeout: 0,
    keepAliveTimeout: keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.min(maxHeadersCheckIntervalMs, Math.ceil(config.headersTimeoutMs / 4)),
    maxHeaderSize: maxHeaderBytes,
    requireHostHeader: true,
    noDelay: true,
  } satisfies ServerOptions<typeof EdgeRequest, typeof EdgeResponse>
  const server: Server<typeof EdgeRequest, typeof EdgeResponse> =
    options.tls === undefined
      ? createPlainServer(serverOptions)
      : createTlsServer({
          ...serverOptions,
          ...options.tls,
          minVersion: minTlsVersion,
          handshakeTimeout: handshakeTimeoutMs,
          ALPNProtocols: ['http/1.1'],
        })
  server.maxConnections = config.maxConnections
  server.setTimeout(config.downloadIdleTimeoutMs)

  const connectionOf = (socket: Socket): Connection => {
    let connection = connections.get(socket)
    if (connection === undefined) {
      connection = { open: new Set(), sentBytes: socket.bytesWritten, endsAfterAnswers: false, readBytes: socket.bytesRead }
      connections.set(socket, connection)
      const { open } = connection
      // Before Node's own listener, which ends the other side when the client has ended its own.
      socket.prependListener('end', () => {
        for (const { response } of open) response.sendHeld()
      })
      socket.once('close', () => {
        connections.delete(socket)
        if (connections.size === 0) allClosed?.()
      })
    }
    return connection
  }

  const routeOf = (request: EdgeRequest): EdgeHandler => {
    const path = (request.url ?? '').split('?', 1)[0]!
    if (path === '/v2' || path.startsWith('/v2/')) return options.distribution
    if (isProbe(path)) return (...exchange) => operations.handle(...exchange)
    const reading = request.method === 'GET' || request.method === 'HEAD'
    return reading && path.startsWith(layerLinkPrefix) ? options.layerDownload : options.aws
  }

  const serve = (request: EdgeRequest, response: EdgeResponse, expects: 'nothing' | 'continue' | 'unknown'): void => {
    const { socket } = request
    const startedAtMs = performance.now()
    const source = readSource({
      peer: socket.remoteAddress,
      encrypted: socket instanceof TLSSocket,
      headers: request.headers,
    })
    const startedAt = clock.now()
    const meta: RequestMeta = {
      // Audit records have it, and are many.
      requestId: timeOrderedUuid(ids, startedAt),
      sourceIp: source.sourceIp,
      host: source.host ?? '',
      secure: source.secure,
      startedAt,
    }
    const target = request.url ?? ''
    const trace = options.tracer === undefined || isProbe(target.split('?', 1)[0]!) ? undefined : options.tracer.begin(request.headers)
    meta.traceId = trace?.traceId
    const exchange: Exchange = {
      request,
      response,
      socket,
      markedBodyBytes: 0,
      markedAt: startedAtMs,
      startedAt: startedAtMs,
      answeredAt: undefined,
    }
    const connection = connectionOf(socket)
    exchanges.add(exchange)
    connection.open.add(exchange)
    response.setHeader('X-Request-Id', meta.requestId)
    if (draining !== undefined) response.shouldKeepAlive = false
    if (expects === 'continue') response.holdContinue()

    const audit = isProbe(target.split('?', 1)[0]!) ? undefined : options.audit
    let isNoted = audit === undefined
    const note = (): void => {
      if (isNoted) return
      isNoted = true
      const durationMs = Math.round((performance.now() - startedAtMs) * 10) / 10
      audit?.note({ meta, request, response, durationMs, bytesIn: request.bodyBytesReceived, bytesOut: bodyBytes(response, socket.bytesWritten - socket.writableLength - connection.sentBytes) })
    }
    if (audit !== undefined) response.beforeLastByte({ note, write: () => audit.write(), whenWritten: (done) => audit.whenWritten(done) })

    response.once('close', () => {
      // One that was cut off.
      note()
      exchange.answeredAt = performance.now()
      const sentBytes = socket.bytesWritten - socket.writableLength
      const record: ExchangeRecord = {
        meta,
        method: request.method ?? '',
        target,
        status: response.statusCode,
        bytesIn: request.bodyBytesReceived,
        bytesOut: sentBytes - connection.sentBytes,
        durationMs: Math.round((exchange.answeredAt - startedAtMs) * 10) / 10,
        userAgent: request.headers['user-agent'],
        aborted: !response.writableFinished,
      }
      connection.sentBytes = sentBytes
      logExchange(logger, config.requestLog, record)
      trace?.end({ name: meta.operation ?? record.method, attributes: traceAttributes(record), hasFailed: record.status >= 500 })
      options.onExchange?.(record)
      if (request.complete || request.destroyed) settle(exchange, connection)
      else request.once('close', () => settle(exchange, connection))
    })
    // Both carry what the connection's end is reported with; the response's "close" says the same.
    request.on('error', ignore)
    response.on('error', ignore)

    const unframed = unusableFraming(request)
    const unusable = unframed ?? unusableTarget(request, source.host)
    if (unusable !== undefined) {
      if (unframed !== undefined) response.shouldKeepAlive = false
      refuse(response, 400, unusable)
      return
    }
    if (audit?.mustRefuse === true) {
      meta.errorCode = 'ServiceUnavailable'
      response.setHeader('Retry-After', 5)
      response.shouldKeepAlive = false
      refuse(response, 503, 'the audit journal cannot be written: nothing is served until it can be')
      return
    }
    if (expects === 'unknown') {
      // The body may come or not, and nobody can tell which.
      response.shouldKeepAlive = false
      refuse(response, 417, 'only "Expect: 100-continue" is understood')
      return
    }
    const handle = (): Promise<void> => routeOf(request)(request, response, meta)
    const handled = trace === undefined ? handle() : trace.run(handle)
    handled.then(
      () => {
        if (!response.isEnded && !response.destroyed) answerBug(response, meta, new Error('the handler ended without an answer'))
      },
      (error: unknown) => answerBug(response, meta, error),
    )
  }

  const answerBug = (response: EdgeResponse, meta: RequestMeta, error: unknown): void => {
    // After the client has gone, or was told to, a handler's failure to talk to it is no news.
    if (response.isEnded || response.destroyed) return
    logger.error({ err: error, requestId: meta.requestId, protocol: meta.protocol, operation: meta.operation }, 'a request failed unexpectedly')
    if (response.headersSent) response.destroy()
    else refuse(response, 500, `internal error; the log has it under request ${meta.requestId}`)
  }

  const settle = (exchange: Exchange, connection: Connection): void => {
    exchanges.delete(exchange)
    connection.open.delete(exchange)
    connection.readBytes = exchange.socket.bytesRead
    // A connection that was busy when the drain began is idle only now.
    if (draining !== undefined) closeIfIdle(exchange.socket, connection)
  }

  // Node's closeIdleConnections counts a connection as idle as soon as its answer has been handed over, and so
  // cuts off answers that a slow client is still taking.
  const closeIfIdle = (socket: Socket, connection: Connection): void => {
    if (connection.open.size === 0 && socket.bytesRead === connection.readBytes) socket.destroySoon()
  }

  const endStalled = (exchange: Exchange): void => {
    const { request, response } = exchange
    logger.info({ bytesIn: request.bodyBytesReceived }, 'a request body stood still and was ended')
    if (response.headersSent) {
      response.sendHeld()
      request.destroy()
      return
    }
    response.shouldKeepAlive = false
    response.writeHead(408, { 'Content-Length': 0 })
    response.end(() => request.destroy())
    response.sendHeld()
  }

  /** Nobody can tell where a request with a broken body ends, so that it is the connection's last. */
  const endBroken = ({ request, response, socket }: Exchange): void => {
    if (response.headersSent) {
      response.sendHeld()
      // What was written may be all of an answer that only waits for the body's rest.
      socket.destroySoon()
      return
    }
    response.shouldKeepAlive = false
    response.writeHead(400, { 'Content-Length': 0 })
    response.end(() => {
      request.destroy()
      socket.destroySoon()
    })
    // The client may have ended its side too, after which Node ends the other.
    response.sendHeld()
  }

  const limits = { bodyIdleTimeoutMs: config.uploadIdleTimeoutMs, lingerMs }
  const sweepIntervalMs = Math.min(maxSweepIntervalMs, Math.ceil(config.uploadIdleTimeoutMs / 4))
  const sweep = setInterval(() => {
    const nowMs = performance.now()
    for (const exchange of exchanges) {
      const verdict = judgeExchange(exchange, limits, nowMs)
      if (verdict === 'body-stalled') endStalled(exchange)
      else if (verdict === 'lingered') exchange.socket.destroy()
    }
  }, sweepIntervalMs)
  sweep.unref()

  server.on('request', (request, response) => serve(request, response, 'nothing'))
  server.on('checkContinue', (request, response) => serve(request, response, 'continue'))
  server.on('checkExpectation', (request, response) => serve(request, response, 'unknown'))
  server.on('timeout', (socket: Socket) => {
    const busy = (connections.get(socket)?.open.size ?? 0) > 0
    // Node reports a write that made no progress. Without one, an open exchange waits for a slow body, which the
    // sweep judges, or for this server's own work.
    if (busy && socket.writableLength === 0) socket.setTimeout(config.downloadIdleTimeoutMs)
    else socket.destroy()
  })
  server.on('connection', (socket: Socket) => {
    accepted.add(socket)
    socket.once('close', () => accepted.delete(socket))
  })
  server.on(options.tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => connectionOf(socket))
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const requestId = ids.uuid()
    logger.debug({ requestId, code: error.code }, 'a request could not be parsed')
    const connection = connections.get(socket)
    const open = [...(connection?.open ?? [])]
    const last = open.at(-1)
    const broken = open.find(({ request }) => !request.complete)
    if (!socket.writable) socket.destroy()
    else if (broken !== undefined) endBroken(broken)
    else if (last === undefined) socket.end(unparsedAnswer(error, requestId))
    else if (connection?.endsAfterAnswers === false) {
      // What is no request came behind one that is, which still gets its answer.
      connection.endsAfterAnswers = true
      last.response.shouldKeepAlive = false
      last.response.once('close', () => socket.destroySoon())
    }
  })
  server.on('tlsClientError', (error: NodeJS.ErrnoException) => {
    logger.debug({ code: error.code }, 'a TLS handshake failed')
  })
  let lastDropLoggedAt = Number.NEGATIVE_INFINITY
  server.on('drop', () => {
    if (performance.now() - lastDropLoggedAt < dropLogIntervalMs) return
    lastDropLoggedAt = performance.now()
    logger.warn({ maxConnections: config.maxConnections }, 'connections are being refused: STOWAGE_MAX_CONNECTIONS is reached')
  })

  const startDrain = async (timeoutMs: number): Promise<{ readonly cutOff: number }> => {
    operations.startDraining()
    // Not http.Server's own close, which closes idle connections in its own way; see closeIfIdle.
    NetServer.prototype.close.call(server)
    const closed = new Promise<void>((resolve) => {
      allClosed = resolve
    })
    for (const { response } of exchanges) if (!response.headersSent) response.shouldKeepAlive = false
    for (const [socket, connection] of connections) closeIfIdle(socket, connection)
    let cutOff = 0
    const timer = setTimeout(() => {
      cutOff = exchanges.size
      for (const socket of connections.keys()) socket.destroy()
    }, timeoutMs)
    if (connections.size > 0) await closed
    for (const socket of accepted) socket.destroy()
    clearTimeout(timer)
    clearInterval(sweep)
    return { cutOff }
  }

  return {
    listen: ({ host, port }) => listen(server, host, port),
    setSecureContext(pair) {
      if (server instanceof TlsServer) server.setSecureContext({ ...pair, minVersion: minTlsVersion })
    },
    get inFlight() {
      return exchanges.size
    },
    drain(timeoutMs) {
      draining ??= startDrain(timeoutMs)
      return draining
    },
  }
}

function listen(server: Server<typeof EdgeRequest, typeof EdgeResponse>, host: string, port: number): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      reject(
        new PlatformError<ListenErrorCode>('listen-failed', `cannot listen on ${hostAndPort(host, port)} (${error.code ?? error.message})`, {
          detail: { code: error.code, host, port },
          cause: error,
        }),
      )
    }
    server.once('error', fail)
    server.listen({ host, port }, () => {
      server.off('error', fail)
      const address = server.address()
      if (address === null || typeof address === 'string') reject(new Error(`${hostAndPort(host, port)} is no TCP address`))
      else resolve(address)
    })
  })
}

/**
 * Node's parser refuses other codings too, but after it has handed the request over: what it asks for would be done, and
 * a proxy that reads the header otherwise would see another request in its body.
 */
function unusableFraming(request: EdgeRequest): string | undefined {
  const coding = request.headers['transfer-encoding']
  return coding === undefined || coding.toLowerCase() === 'chunked' ? undefined : 'the only Transfer-Encoding understood is chunked'
}

const probes: ReadonlySet<string> = new Set(Object.values(operationsPaths))

/** The bytes of an answer's body: as it was declared, or what the connection took of an answer that was cut off. */
function bodyBytes(response: EdgeResponse, sentBytes: number): number {
  if (response.destroyed && !response.writableEnded) return Math.max(0, sentBytes)
  return response.req.method === 'HEAD' ? 0 : Number(response.getHeader('content-length') ?? 0)
}

/** Asked of every request. */
function isProbe(path: string): boolean {
  return probes.has(path)
}

/** Brings the target into its usual form (a path), and says what is wrong where that cannot be. */
function unusableTarget(request: EdgeRequest, host: string | undefined): string | undefined {
  if (host === undefined) return 'the Host header is missing or malformed'
  const target = request.url ?? ''
  if (target.startsWith('/')) return undefined
  const absolute = /^https?:\/\/[^/?#]+(\/[^#]*)?$/i.exec(target)
  if (absolute === null) return 'the request target must be a path'
  request.url = absolute[1] ?? '/'
  return undefined
}

/** Answers in no protocol in particular; the protocols write their own errors. */
function refuse(response: EdgeResponse, status: number, text: string): void {
  const body = `${text}\n`
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(body) })
  response.end(body)
}

const parserStatus: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

/** The answer to what is no HTTP request, or to one whose header block never ended. */
function unparsedAnswer(error: NodeJS.ErrnoException, requestId: string): string {
  const status = parserStatus[error.code ?? ''] ?? '400 Bad Request'
  return `HTTP/1.1 ${status}\r\nX-Request-Id: ${requestId}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`
}

function ignore(): void {
  // Said elsewhere; without a listener the process would end.
}

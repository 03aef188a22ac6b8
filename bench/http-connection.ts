import { connect, type Socket } from 'node:net'

/** Where requests go. */
export interface Origin {
  readonly host: string
  readonly port: number
  /** Sent with every request; null sends none. */
  readonly authorization: string | null
}

export interface HttpRequest {
  readonly method: string
  /** As it goes on the wire. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** The bytes of the body in order. With `transfer-encoding` among the headers, they carry their framing already. */
  readonly body?: readonly Buffer[]
  /** The answer's body is counted, and kept only where this is true. */
  readonly keepBody?: boolean
}

export interface HttpAnswer {
  readonly status: number
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly bodyBytes: number
  /** Empty unless it was asked for, or the status is an error. */
  readonly body: Buffer
}

/** Large enough that a layer costs few reads; every connection reads into one such buffer for its whole life. */
const readBufferBytes = 256 * 1024

const headEnd = Buffer.from('\r\n\r\n')

interface Pending {
  readonly request: HttpRequest
  resolve(answer: HttpAnswer): void
  reject(error: Error): void
  readonly head: Buffer[]
  phase: 'head' | 'body' | 'chunk-size' | 'chunk-data' | 'chunk-end' | 'trailer'
  status: number
  headers: ReadonlyMap<string, string>
  /** Of the body, or of the chunk being read. */
  remainingBytes: number
  line: string
  bodyBytes: number
  readonly kept: Buffer[]
}

/**
 * One kept-alive HTTP/1.1 connection that does as little as a client can: a load client on the server's own machine
 * takes its time from the server, and Node's http client takes several times as much of it.
 */
export class HttpConnection {
  readonly #origin: Origin
  #socket: Socket | undefined
  #pending: Pending | undefined

  constructor(origin: Origin) {
    this.#origin = origin
  }

  /** Sends one request; the one before must have been answered. Rejects when the connection fails. */
  send(request: HttpRequest): Promise<HttpAnswer> {
    if (this.#pending !== undefined) throw new Error('a connection carries one request at a time')
    const socket = (this.#socket ??= this.#open())
    return new Promise((resolve, reject) => {
      this.#pending = {
        request,
        resolve,
        reject,
        head: [],
        phase: 'head',
        status: 0,
        headers: new Map(),
        remainingBytes: 0,
        line: '',
        bodyBytes: 0,
        kept: [],
      }
      socket.cork()
      socket.write(this.#requestHead(request), 'latin1')
      for (const part of request.body ?? []) socket.write(part)
      socket.uncork()
    })
  }

  close(): void {
    this.#socket?.destroy()
    this.#socket = undefined
  }

  #requestHead({ method, path, headers = {}, body }: HttpRequest): string {
    const { host, port, authorization } = this.#origin
    let head = `${method} ${path} HTTP/1.1\r\nhost: ${host}:${port}\r\n`
    if (authorization !== null) head += `authorization: ${authorization}\r\n`
    for (const [name, value] of Object.entries(headers)) head += `${name}: ${value}\r\n`
    if (headers['transfer-encoding'] === undefined && (body !== undefined || method === 'POST' || method === 'PUT')) {
      head += `content-length: ${(body ?? []).reduce((sum, part) => sum + part.length, 0)}\r\n`
    }
    return `${head}\r\n`
  }

  #open(): Socket {
    const socket = connect({
      host: this.#origin.host,
      port: this.#origin.port,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(readBufferBytes),
        callback: (size, buffer) => {
          try {
            this.#read(Buffer.from(buffer.buffer, buffer.byteOffset, size))
          } catch (error) {
            this.#fail(error as Error)
          }
          return true
        },
      },
    })
    const ended = (): void => {
      if (this.#socket === socket) this.#fail(new Error('the server closed the connection'))
    }
    socket.once('error', (error) => {
      if (this.#socket === socket) this.#fail(error)
    })
    socket.once('end', ended)
    socket.once('close', ended)
    return socket
  }

  #fail(error: Error): void {
    const pending = this.#pending
    this.#pending = undefined
    this.close()
    if (pending === undefined) return
    const { method, path } = pending.request
    pending.reject(new Error(`${method} ${path}: ${error.message}`, { cause: error }))
  }

  /** @param bytes valid during the call only */
  #read(bytes: Buffer): void {
    let rest = bytes
    while (rest.length > 0) {
      const pending = this.#pending
      if (pending === undefined) throw new Error(`${rest.length} bytes came that nobody asked for`)
      switch (pending.phase) {
        case 'head':
          rest = this.#readHead(pending, rest)
          break
        case 'body':
        case 'chunk-data':
          rest = this.#readContent(pending, rest)
          break
        case 'chunk-size':
        case 'chunk-end':
        case 'trailer':
          rest = this.#readLine(pending, rest)
          break
      }
    }
  }

  #readHead(pending: Pending, bytes: Buffer): Buffer {
    const earlier = pending.head.reduce((sum, part) => sum + part.length, 0)
    pending.head.push(Buffer.from(bytes))
    const all = pending.head.length === 1 ? pending.head[0]! : Buffer.concat(pending.head)
    const end = all.indexOf(headEnd)
    if (end === -1) return bytes.subarray(bytes.length)
    const rest = bytes.subarray(end + headEnd.length - earlier)

    const [statusLine = '', ...lines] = all.toString('latin1', 0, end).split('\r\n')
    pending.status = Number(statusLine.split(' ')[1])
    pending.headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
      }),
    )
    pending.head.length = 0
    if (pending.status < 200) return rest

    const isBodiless = pending.request.method === 'HEAD' || pending.status === 204 || pending.status === 304
    if (!isBodiless && pending.headers.get('transfer-encoding') === 'chunked') {
      pending.phase = 'chunk-size'
      return rest
    }
    const length = pending.headers.get('content-length')
    if (!isBodiless && length === undefined) throw new Error('an answer says nothing about its length')
    pending.remainingBytes = isBodiless ? 0 : Number(length)
    pending.phase = 'body'
    if (pending.remainingBytes === 0) this.#finish(pending)
    return rest
  }

  #readContent(pending: Pending, bytes: Buffer): Buffer {
    const part = bytes.subarray(0, pending.remainingBytes)
    pending.remainingBytes -= part.length
    pending.bodyBytes += part.length
    if (pending.request.keepBody === true || pending.status >= 400) pending.kept.push(Buffer.from(part))
    if (pending.remainingBytes === 0) {
      if (pending.phase === 'body') this.#finish(pending)
      else pending.phase = 'chunk-end'
    }
    return bytes.subarray(part.length)
  }

  #readLine(pending: Pending, bytes: Buffer): Buffer {
    const end = bytes.indexOf(0x0a)
    if (end === -1) {
      pending.line += bytes.toString('latin1')
      return bytes.subarray(bytes.length)
    }
    const line = (pending.line + bytes.toString('latin1', 0, end)).trimEnd()
    pending.line = ''
    if (pending.phase === 'chunk-end') {
      pending.phase = 'chunk-size'
    } else if (pending.phase === 'trailer') {
      if (line === '') this.#finish(pending)
    } else {
      pending.remainingBytes = Number.parseInt(line, 16)
      if (Number.isNaN(pending.remainingBytes)) throw new Error(`a chunk has the size ${line}`)
      pending.phase = pending.remainingBytes === 0 ? 'trailer' : 'chunk-data'
    }
    return bytes.subarray(end + 1)
  }

  #finish(pending: Pending): void {
    this.#pending = undefined
    const { status, headers, bodyBytes } = pending
    if (headers.get('connection')?.toLowerCase() === 'close') this.close()
    pending.resolve({ status, headers, bodyBytes, body: Buffer.concat(pending.kept) })
  }
}

import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  /** By lower-case name; of a repeated one the values with a comma. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

export interface RawOutcome {
  /** Final answers in their order; more than one where the server took the bytes for several requests. */
  readonly answers: readonly RawAnswer[]
  /** `hung`: neither an answer nor an end in time. `malformed`: what came is no HTTP. */
  readonly end: 'answered' | 'closed' | 'hung' | 'malformed'
}

export interface RawExchangeOptions {
  readonly port: number
  /** Another address of the loopback network is another client. */
  readonly localAddress: string
  readonly method: string
  /** The request promises more than it sends: its end is all that can be expected. */
  readonly isIncomplete: boolean
}

/** How long the end of an incomplete request is kept open: long enough that the server has begun with it. */
const incompleteMs = 20

/** What any request may take on a machine that is busy with nine others; what comes later never comes. */
const answerTimeoutMs = 60_000

/** Sends bytes on a connection of their own, and reads what the server makes of them. */
export async function exchangeRaw(bytes: Buffer, options: RawExchangeOptions): Promise<RawOutcome> {
  const socket = connect({ host: '127.0.0.1', port: options.port, localAddress: options.localAddress, noDelay: true })
  const received: Buffer[] = []
  const answers: RawAnswer[] = []
  const { promise: over, resolve: finish } = Promise.withResolvers<RawOutcome['end']>()
  const hangs = setTimeout(() => finish('hung'), answerTimeoutMs)
  let quiet: NodeJS.Timeout | undefined

  socket.on('connect', () => {
    socket.write(bytes)
    if (options.isIncomplete) quiet = setTimeout(() => socket.end(), incompleteMs)
  })
  socket.on('data', (chunk: Buffer) => {
    received.push(chunk)
    const parsed = parseAnswers(Buffer.concat(received), options.method)
    if (parsed === 'malformed') {
      finish('malformed')
      return
    }
    answers.splice(0, answers.length, ...parsed)
    // What the server takes for a second request it answers at once, or waits for its rest: neither is worth a wait.
    if (answers.length > 0) setImmediate(() => finish('answered'))
  })
  // A reset after an answer ends a connection as well as a FIN does.
  socket.on('error', () => finish('closed'))
  socket.on('close', () => finish('closed'))

  const end = await over
  clearTimeout(hangs)
  clearTimeout(quiet)
  destroy(socket)
  return { answers, end: end === 'closed' && answers.length > 0 ? 'answered' : end }
}

function destroy(socket: Socket): void {
  socket.removeAllListeners('data').removeAllListeners('close')
  // A reset leaves no port in TIME-WAIT: there are more requests than ports.
  socket.resetAndDestroy()
}

/** The whole answers in what came so far, interim ones (100) left out. */
function parseAnswers(bytes: Buffer, method: string): RawAnswer[] | 'malformed' {
  const answers: RawAnswer[] = []
  let at = 0
  while (at < bytes.length) {
    const headEnd = bytes.indexOf('\r\n\r\n', at)
    if (headEnd === -1) return bytes.subarray(at, at + 5).equals(Buffer.from('HTTP/').subarray(0, bytes.length - at)) ? answers : 'malformed'
    const [statusLine = '', ...lines] = bytes.subarray(at, headEnd).toString('latin1').split('\r\n')
    const status = Number(/^HTTP\/1\.1 ([1-5]\d\d) [\x20-\x7e]*$/.exec(statusLine)?.[1])
    const headers = new Map<string, string>()
    for (const line of lines) {
      const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t\x20-\x7e\x80-\xff]*)$/.exec(line)
      if (match === null) return 'malformed'
      const [, name = '', value = ''] = match
      const others = headers.get(name.toLowerCase())
      headers.set(name.toLowerCase(), others === undefined ? value : `${others}, ${value}`)
    }
    if (Number.isNaN(status)) return 'malformed'
    const bodyStart = headEnd + 4
    if (status < 200) {
      at = bodyStart
      continue
    }
    // What was smuggled behind it is no HEAD.
    const hasBody = !(method === 'HEAD' && answers.length === 0) && status !== 204 && status !== 304
    const body = hasBody ? bodyOf(bytes, bodyStart, headers) : { body: Buffer.alloc(0), end: bodyStart }
    if (body === 'malformed') return 'malformed'
    if (body === undefined) return answers
    answers.push({ status, headers, body: body.body })
    at = body.end
  }
  return answers
}

function bodyOf(bytes: Buffer, start: number, headers: ReadonlyMap<string, string>): { body: Buffer; end: number } | 'malformed' | undefined {
  if (headers.get('transfer-encoding') === 'chunked') return chunkedBody(bytes, start)
  const length = headers.get('content-length')
  if (length === undefined || !/^\d{1,15}$/.test(length)) return 'malformed'
  const end = start + Number(length)
  return bytes.length < end ? undefined : { body: bytes.subarray(start, end), end }
}

function chunkedBody(bytes: Buffer, start: number): { body: Buffer; end: number } | 'malformed' | undefined {
  const chunks: Buffer[] = []
  let at = start
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd === -1) return undefined
    const text = bytes.subarray(at, lineEnd).toString('latin1')
    if (!/^[0-9a-f]{1,8}$/i.test(text)) return 'malformed'
    const size = Number.parseInt(text, 16)
    const end = lineEnd + 2 + size
    if (bytes.length < end + 2) return undefined
    if (size === 0) return { body: Buffer.concat(chunks), end: end + 2 }
    chunks.push(bytes.subarray(lineEnd + 2, end))
    at = end + 2
  }
}

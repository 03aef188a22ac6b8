import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A connection on which a test writes what no HTTP library would, and reads the answers in their order. */
export interface RawConnection {
  /** Lines of a request's head, without the empty one; `Host` and credentials are added. */
  sendHead(requestLine: string, headers?: Readonly<Record<string, string | number>>): void
  send(bytes: string | Uint8Array): void
  /** @throws when the connection ends before the next answer is whole. Interim answers (100) count as answers. */
  nextAnswer(options?: { readonly toHead?: boolean }): Promise<RawAnswer>
  /** Resolves once the server has ended the connection. */
  closed(): Promise<void>
  /** Cuts the connection, as a client does that crashed. */
  cut(): void
}

/** @param authorization sent with every request; null sends none. */
export async function openConnection(url: string, authorization: string | null): Promise<RawConnection> {
  const { hostname, port, host } = new URL(url)
  const socket: Socket = connect({ host: hostname, port: Number(port) })
  await once(socket, 'connect')
  let received = Buffer.alloc(0)
  let wake = (): void => undefined
  let isEnded = false
  const end = (): void => {
    isEnded = true
    wake()
  }
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    wake()
  })
  // A reset after the last answer ends a connection as well as a FIN does.
  socket.on('error', end).on('end', end).on('close', end)

  const moreArrived = (): Promise<void> =>
    new Promise<void>((resolve) => {
      wake = resolve
      if (isEnded) resolve()
    })

  async function receivedUpTo(isWhole: () => boolean): Promise<void> {
    while (!isWhole()) {
      if (isEnded) throw new Error(`the connection ended after ${JSON.stringify(received.toString('latin1'))}`)
      await moreArrived()
    }
  }

  return {
    sendHead(requestLine, headers = {}) {
      const lines = [requestLine, `Host: ${host}`]
      if (authorization !== null) lines.push(`Authorization: ${authorization}`)
      for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`)
      socket.write(`${lines.join('\r\n')}\r\n\r\n`)
    },
    send(bytes) {
      if (!socket.destroyed) socket.write(bytes)
    },
    async nextAnswer({ toHead = false } = {}) {
      await receivedUpTo(() => received.includes('\r\n\r\n'))
      const headEnd = received.indexOf('\r\n\r\n')
      const [statusLine = '', ...lines] = received.subarray(0, headEnd).toString('latin1').split('\r\n')
      const headers = Object.fromEntries(
        lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
      )
      const length = toHead ? 0 : Number(headers['content-length'] ?? 0)
      const bodyStart = headEnd + 4
      await receivedUpTo(() => received.length >= bodyStart + length)
      const body = received.subarray(bodyStart, bodyStart + length).toString('latin1')
      received = received.subarray(bodyStart + length)
      return { status: Number(statusLine.split(' ')[1]), headers, body }
    },
    async closed() {
      while (!isEnded) await moreArrived()
    },
    cut() {
      socket.resetAndDestroy()
    },
  }
}

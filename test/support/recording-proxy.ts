import { once } from 'node:events'
import { createServer, request as send, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request that came through. */
export interface Recorded {
  readonly method: string
  readonly path: string
  readonly agent: string
  /** What AWS's protocols name the operation by. */
  readonly target: string | undefined
  /** Of an answer that the server gave whole; undefined where there is none, whatever the server did. */
  status: number | undefined
  requestId: string | undefined
}

/** An HTTP proxy on the loopback address that writes down what one kind of client asks, and is answered. */
export interface RecordingProxy {
  /** `localhost:<port>`, as it stands in front of a repository name. */
  readonly host: string
  readonly url: string
  readonly recorded: readonly Recorded[]
  /** Requests go to these ports in turn from now on; with none, they are cut. */
  pointTo(ports: readonly number[]): void
  /** Called with each request when it is on its way to that port. */
  onRequest: ((request: Recorded, port: number) => void) | undefined
  stop(): Promise<void>
}

export async function startRecordingProxy(): Promise<RecordingProxy> {
  let targets: readonly number[] = []
  const recorded: Recorded[] = []
  const take = (request: IncomingMessage, response: ServerResponse): void => {
    const { method = '', url: path = '', rawHeaders, headers } = request
    const target = headers['x-amz-target']
    const record: Recorded = { method, path, agent: headers['user-agent'] ?? '', target: typeof target === 'string' ? target : undefined, status: undefined, requestId: undefined }
    recorded.push(record)
    const port = targets[recorded.length % Math.max(1, targets.length)]
    if (port === undefined) {
      request.socket.destroy()
      return
    }
    // Each by a connection of its own: one that a server closes while it is idle would cut a request that nobody has seen.
    const upstream = send({ port, host: '127.0.0.1', method, path, headers: rawHeaders, agent: false })
    const cut = (): void => {
      upstream.destroy()
      request.socket.destroy()
    }
    upstream.on('error', cut)
    response.on('close', () => {
      if (!response.writableFinished) cut()
    })
    upstream.on('response', (answer) => {
      const { statusCode = 0 } = answer
      response.writeHead(statusCode, answer.rawHeaders)
      answer.on('error', cut)
      answer.on('end', () => {
        if (!answer.complete) return
        const id = answer.headers['x-request-id'] ?? answer.headers['x-amzn-requestid']
        Object.assign(record, { status: statusCode, requestId: String(id) })
      })
      answer.pipe(response)
    })
    request.on('error', cut)
    request.pipe(upstream)
    proxy.onRequest?.(record, port)
  }
  const server = createServer(take)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const proxy: RecordingProxy = {
    host: `localhost:${port}`,
    url: `http://localhost:${port}`,
    recorded,
    pointTo(ports) {
      targets = ports
    },
    onRequest: undefined,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return proxy
}

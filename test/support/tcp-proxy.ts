import { connect, createServer, type Socket } from 'node:net'

/** A TCP proxy on the loopback address whose other side can change, as a virtual address does in a failover. */
export interface TcpProxy {
  readonly port: number
  /** From now on connections go to this port; those that are open are cut. */
  pointTo(port: number): void
  /**
   * Cuts the next connection on whose way to the server a piece passes that `matches`: before it is sent on, or when it
   * is answered and the answer is on its way back. Resolves when that has happened.
   */
  cutAt(moment: 'request' | 'answer', matches: (earlier: string, piece: string) => boolean): Promise<void>
  close(): Promise<void>
}

/** Of what a client has sent: enough to know in which transaction it is. */
const keptChars = 64 * 1024

export async function startTcpProxy(firstPort: number): Promise<TcpProxy> {
  let target = firstPort
  const sockets = new Set<Socket>()
  let trap: { moment: 'request' | 'answer'; matches: (earlier: string, piece: string) => boolean; sprung: () => void } | undefined
  const keep = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // Either side may go away at any moment: that is what it is for.
    socket.on('error', () => socket.destroy())
  }
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1')
    keep(client)
    keep(upstream)
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
    let earlier = ''
    client.on('data', (piece) => {
      const text = piece.toString('latin1')
      const caught = trap?.matches(earlier, text) === true ? trap : undefined
      earlier = `${earlier}${text}`.slice(-keptChars)
      if (!caught) {
        upstream.write(piece)
        return
      }
      trap = undefined
      const cutClient = (): void => {
        client.destroy()
        caught.sprung()
      }
      if (caught.moment === 'request') {
        cutClient()
        return
      }
      upstream.removeAllListeners('data')
      upstream.once('data', cutClient)
      upstream.write(piece)
    })
    upstream.on('data', (piece) => client.write(piece))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the loopback address has no ports')
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: address.port,
    pointTo(port) {
      target = port
      cut()
    },
    cutAt(moment, matches) {
      return new Promise((resolve) => {
        trap = { moment, matches, sprung: resolve }
      })
    },
    async close() {
      cut()
      await new Promise<void>((resolve) => server.close(() => { resolve() }))
    },
  }
}

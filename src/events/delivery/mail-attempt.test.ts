import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { expect, it } from 'vitest'
import { TrustedAuthorities } from '../../internal/outbound/trusted-authorities.ts'
import { attemptMail } from './mail-attempt.ts'

/** Greets, and then answers without an end. */
function talk(socket: Socket): void {
  socket.on('error', () => undefined)
  socket.write('220 here\r\n')
  socket.once('data', () => {
    const timer = setInterval(() => socket.write('250-and more\r\n'), 10)
    socket.once('close', () => clearInterval(timer))
  })
}

it('leaves no connection behind to a server that does not stop talking', async () => {
  const server = createServer(talk).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = new AbortController()
  const connected = once(server, 'connection') as Promise<[Socket]>
  const sent = attemptMail(
    {
      // Nobody listens at the first.
      guard: () => Promise.resolve([{ address: '127.0.0.2', family: 4 }, { address: '127.0.0.1', family: 4 }]),
      trusted: new TrustedAuthorities(undefined, ['default']),
    },
    {
      address: { host: 'mail.example.com', port: (server.address() as AddressInfo).port, encryption: 'if-offered', user: undefined, from: 'a@example.com', to: ['b@example.com'] },
      password: undefined,
      event: '{"detail-type":"A","account":"111122223333","region":"us-east-1","detail":{}}',
      body: '{}',
      eventId: 'id',
      accountId: '111122223333',
      stop: stop.signal,
    },
  )
  const [socket] = await connected
  const closed = once(socket, 'close').then(() => true)
  await once(socket, 'data')
  stop.abort(new Error('enough'))
  await expect(sent).rejects.toThrow('enough')
  const isClosed = await Promise.race([closed, new Promise((resolve) => setTimeout(() => resolve(false), 1_000))])
  socket.destroy()
  server.close()
  expect(isClosed).toBe(true)
})

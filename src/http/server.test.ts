import { once } from 'node:events'
import { Agent, request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadConfig, type Environment } from '../config/index.ts'
import { systemClock } from '../internal/clock.ts'
import { systemIds } from '../internal/ids.ts'
import { createOperations, type Operations } from './ops/operations.ts'
import { acceptBody, type EdgeHandler } from './request-meta.ts'
import { createHttpServer, type HttpServer, type RequestAudit } from './server.ts'

interface Running {
  readonly server: HttpServer
  readonly operations: Operations
  readonly port: number
  readonly lines: Record<string, unknown>[]
}

const running: Running[] = []

afterEach(async () => {
  for (const { server } of running.splice(0)) await server.drain(0)
})

interface Handlers {
  readonly distribution?: EdgeHandler
  readonly layerDownload?: EdgeHandler
  readonly aws?: EdgeHandler
  readonly ready?: () => Promise<{ ok: boolean; reason?: string }>
}

function named(name: string): EdgeHandler {
  return async (request, response) => {
    acceptBody(response)
    for await (const _chunk of request);
    response.end(name)
  }
}

async function start(handlers: Handlers = {}, environment: Environment = {}, audit?: RequestAudit): Promise<Running> {
  const lines: Record<string, unknown>[] = []
  const logger = pino({ level: 'debug' }, { write: (line: string) => lines.push(JSON.parse(line)) })
  const config = loadConfig(environment)
  const operations = createOperations({
    ready: handlers.ready ?? (async () => ({ ok: true })),
    metricsText: async () => 'up 1\n',
    metricsToken: config.metricsToken,
  })
  const server = createHttpServer({
    config,
    distribution: handlers.distribution ?? named('distribution'),
    layerDownload: handlers.layerDownload ?? named('layer'),
    aws: handlers.aws ?? named('aws'),
    operations,
    logger,
    ids: systemIds,
    clock: systemClock,
    audit,
  })
  const address: AddressInfo = await server.listen({ host: '127.0.0.1', port: 0 })
  const started = { server, operations, port: address.port, lines }
  running.push(started)
  return started
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

function send(port: number, options: RequestOptions & { body?: string } = {}): Promise<Answer> {
  const { body, ...rest } = options
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, agent: false, ...rest }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
      response.once('error', reject)
    })
    request.once('error', reject)
    request.end(body)
  })
}

/** Everything a raw connection receives until its end. */
async function received(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  if (!socket.destroyed) await once(socket, 'close')
  return text
}

async function raw(port: number, text: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(text)
  return socket
}

async function waitFor(condition: () => boolean, timeoutMs = 5_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('it did not happen in time')
    await sleep(5)
  }
}

function requestLines(started: Running): Record<string, unknown>[] {
  return started.lines.filter((line) => line['msg'] === 'request')
}

describe('dispatch', () => {
  it.each<[method: string, path: string, handler: string]>([
    ['GET', '/v2', 'distribution'],
    ['GET', '/v2/', 'distribution'],
    ['PUT', '/v2/a/b/manifests/latest?x=/healthz', 'distribution'],
    ['GET', '/v2?n=1', 'distribution'],
    ['GET', '/v20/', 'aws'],
    ['POST', '/', 'aws'],
    ['GET', '/', 'aws'],
    ['GET', '/V2/', 'aws'],
    ['GET', '/_stowage/layers/x', 'layer'],
    ['POST', '/_stowage/layers/x', 'aws'],
    ['GET', '/healthz', 'ok\n'],
    ['GET', '/healthz/', 'aws'],
    ['GET', '/readyz', '{"ready":true}\n'],
    ['GET', '/metrics', 'up 1\n'],
    ['GET', 'http://registry/v2/', 'distribution'],
  ])('%s %s goes to %s', async (method, path, handler) => {
    const { port } = await start()

    const answer = await send(port, { method, path })

    expect(answer.text).toBe(handler)
    expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/u)
  })

  it.each([
    ['an unusable target', 'GET nonsense HTTP/1.1\r\nHost: a\r\n\r\n', '400'],
    ['an unusable host', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', '400'],
    ['no host', 'GET / HTTP/1.1\r\n\r\n', '400'],
    ['no HTTP', 'hello\r\n\r\n', '400'],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', '400'],
    ['endless headers', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, '431'],
    ['an unknown expectation', 'POST / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\nConnection: close\r\n\r\n', '417'],
  ])('answers %s and goes on serving', async (_name, text, status) => {
    const { port } = await start()
    const socket = await raw(port, text)
    socket.setTimeout(1_000, () => socket.end())

    expect(await received(socket)).toMatch(new RegExp(`^HTTP/1.1 ${status} `, 'u'))
    expect((await send(port, { path: '/v2/' })).status).toBe(200)
  })

  it("answers a handler's bug with status 500 and none of its text", async () => {
    const started = await start({
      aws: async () => {
        throw new Error('hunter2')
      },
    })

    const answer = await send(started.port)

    expect(answer.status).toBe(500)
    expect(answer.text).not.toContain('hunter2')
    expect(answer.text).toContain(answer.headers['x-request-id'])
    expect(started.lines.find((line) => line['level'] === 50)).toMatchObject({ requestId: answer.headers['x-request-id'] })
  })

  it('answers for a handler that ended without an answer', async () => {
    const { port } = await start({ aws: async () => undefined })

    expect((await send(port)).status).toBe(500)
  })
})

describe('the access log', () => {
  it('has one line per request, with what the handler learned and nothing secret', async () => {
    const started = await start({
      aws: async (request, response, meta) => {
        for await (const _chunk of request);
        meta.actorArn = 'arn:aws:iam::000000000000:root'
        meta.protocol = 'ecr'
        meta.operation = 'PutImage'
        response.writeHead(201)
        response.end('made')
      },
    })

    const answer = await send(started.port, {
      method: 'POST',
      path: '/?X-Amz-Signature=hunter2',
      headers: { authorization: 'Basic hunter2', 'user-agent': 'aws-cli/2', 'x-forwarded-for': '1.1.1.1' },
      body: 'x'.repeat(100_000),
    })
    await waitFor(() => requestLines(started).length > 0)

    expect(requestLines(started)).toEqual([
      expect.objectContaining({
        requestId: answer.headers['x-request-id'],
        method: 'POST',
        path: '/?X-Amz-Signature=REDACTED',
        status: 201,
        bytesIn: 100_000,
        sourceIp: '127.0.0.1',
        userAgent: 'aws-cli/2',
        actorArn: 'arn:aws:iam::000000000000:root',
        protocol: 'ecr',
        operation: 'PutImage',
        level: 30,
      }),
    ])
    expect(JSON.stringify(started.lines)).not.toContain('hunter2')
    expect(requestLines(started)[0]?.['bytesOut']).toBeGreaterThan('made'.length)
    expect(requestLines(started)[0]?.['durationMs']).toBeGreaterThan(0)
  })

  it('counts the bytes of each answer of a kept connection for itself', async () => {
    const started = await start({ aws: async (_request, response) => void response.end('x'.repeat(50_000)) })
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })

    for (let round = 0; round < 3; round += 1) await send(started.port, { agent })
    await waitFor(() => requestLines(started).length === 3)
    agent.destroy()

    for (const line of requestLines(started)) {
      expect(line['bytesOut']).toBeGreaterThan(50_000)
      expect(line['bytesOut']).toBeLessThan(51_000)
    }
  })

  it('tells an answer that the client did not wait for', async () => {
    const started = await start({ aws: async (_request, response) => void response.write('begun') })
    const socket = await raw(started.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await once(socket, 'data')

    socket.destroy()
    await waitFor(() => requestLines(started).length === 1)

    expect(requestLines(started)[0]).toMatchObject({ aborted: true })
  })

  it('logs only what was refused, failed or was cut off where it is told to, or nothing', async () => {
    const aws: EdgeHandler = async (request, response) => {
      response.writeHead(request.url === '/wrong' ? 400 : 200)
      response.end()
    }
    const errors = await start({ aws }, { STOWAGE_REQUEST_LOG: 'errors' })
    const off = await start({ aws }, { STOWAGE_REQUEST_LOG: 'off' })

    for (const { port } of [errors, off]) for (const path of ['/right', '/wrong', '/right']) await send(port, { path })
    await waitFor(() => requestLines(errors).length > 0)

    expect(requestLines(errors).map((line) => line['path'])).toEqual(['/wrong'])
    expect(requestLines(off)).toEqual([])
  })

  it('keeps successful probes at debug', async () => {
    const started = await start({ ready: async () => ({ ok: false, reason: 'no database' }) })

    await send(started.port, { path: '/healthz' })
    await send(started.port, { path: '/readyz' })
    await waitFor(() => requestLines(started).length === 2)

    expect(requestLines(started).map((line) => line['level'])).toEqual([20, 30])
  })
})

describe('what is noted of requests', () => {
  const told: string[] = []
  const waiting: (() => void)[] = []
  const audit: RequestAudit = {
    mustRefuse: false,
    note: ({ response }) => told.push(`noted ${response.statusCode}`),
    write: () => told.push('written'),
    whenWritten: (done) => waiting.push(done),
  }

  beforeEach(() => {
    told.length = 0
    waiting.length = 0
  })

  it('is written before an answer is sent, which waits for it and counts as given', async () => {
    const { port, lines } = await start({}, {}, audit)
    const socket = await raw(port, 'GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    await waitFor(() => waiting.length === 1)
    await sleep(50)
    expect([text, told]).toEqual(['', ['noted 200']])
    waiting[0]!()
    await once(socket, 'close')
    expect(text).toMatch(/^HTTP\/1\.1 200 .*distribution/su)
    expect(lines.filter(({ msg }) => msg !== 'request')).toEqual([])
  })

  it('is written at once where the last byte of a body is handed over before the end is declared', async () => {
    const handler: EdgeHandler = async (_request, response) => {
      response.writeHead(200, { 'Content-Length': 4 })
      response.write('ab')
      told.push('half')
      response.write('cd')
      told.push('whole')
      response.end()
    }
    const { port } = await start({ distribution: handler }, {}, audit)
    expect((await send(port, { path: '/v2/' })).text).toBe('abcd')
    expect(told).toEqual(['half', 'noted 200', 'written', 'whole'])
    expect(waiting).toEqual([])
  })

  it.each([
    ['a request', 'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n', 200],
    ['something unreadable', 'POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n', 400],
  ])('holds back no answer of a client that has ended its side behind %s', async (_what, text, status) => {
    const { port } = await start({ distribution: async (_request, response) => void response.end('ok') }, {}, audit)
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.end(text)
    expect(await received(socket)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `, 'u'))
  })

  it('holds back no answer of a handler that fails behind it', async () => {
    const handler: EdgeHandler = async (_request, response) => {
      response.writeHead(200, { 'Content-Length': 2 }).end('ok')
      response.destroy()
    }
    const { port } = await start({ distribution: handler }, {}, audit)
    expect(await received(await raw(port, 'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n'))).toMatch(/^HTTP\/1\.1 200 .*ok$/su)
    expect(told).toEqual(['noted 200', 'written'])
  })

  it('holds back no answer of a connection that ends with something unreadable', async () => {
    const { port } = await start({ distribution: async (_request, response) => void response.writeHead(200, { 'Content-Length': 2 }).end('ok') }, {}, audit)
    const socket = await raw(port, 'POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
    await waitFor(() => waiting.length === 1)
    const text = received(socket)
    socket.write('no chunk\r\n')
    expect(await text).toMatch(/^HTTP\/1\.1 200 .*ok$/su)
    expect(told).toEqual(['noted 200', 'written'])
  })
})

describe('operations', () => {
  it('answers 503 with the reason when the platform is not ready, also when the check fails', async () => {
    const states = [Promise.resolve({ ok: false, reason: 'no database' }), Promise.reject(new Error('hunter2'))]
    states[1]?.catch(() => undefined)
    const { port } = await start({ ready: () => states.shift()! })

    expect(await send(port, { path: '/readyz' })).toMatchObject({ status: 503, text: '{"ready":false,"reason":"no database"}\n' })
    expect(await send(port, { path: '/readyz' })).toMatchObject({ status: 503, text: '{"ready":false,"reason":"the readiness check failed"}\n' })
  })

  it('shows metrics to this machine, and not to what a proxy on it passes on', async () => {
    const { port } = await start()

    expect((await send(port, { path: '/metrics' })).status).toBe(200)
    expect((await send(port, { path: '/metrics', headers: { 'x-forwarded-for': '203.0.113.9' } })).status).toBe(403)
  })

  it('asks everybody for the metrics token where there is one', async () => {
    const token = 'sixteen-characters'
    const { port } = await start({}, { STOWAGE_METRICS_TOKEN: token })
    const ask = (headers: Record<string, string>): Promise<Answer> => send(port, { path: '/metrics', headers })

    expect((await ask({})).status).toBe(401)
    expect((await ask({ authorization: 'Bearer wrong' })).status).toBe(401)
    expect((await ask({ authorization: `Bearer ${token}` })).status).toBe(200)
  })
})

describe('Expect: 100-continue', () => {
  const head = 'PUT /v2/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n'

  it('is answered when the handler takes the body, and the connection stays', async () => {
    const { port } = await start()
    const socket = await raw(port, head)
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()))

    await waitFor(() => text.includes('100 Continue'))
    socket.write('hello')
    await waitFor(() => text.includes('distribution'))

    expect(text).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK/u)
    expect(text).toContain('keep-alive')
    socket.destroy()
  })

  it('is not answered when the handler refuses, and the connection is closed', async () => {
    const { port } = await start({
      distribution: async (_request, response) => {
        response.writeHead(401, { 'Content-Length': 0 })
        response.end()
        acceptBody(response)
      },
    })
    const socket = await raw(port, head)

    const text = await received(socket)

    expect(text).toMatch(/^HTTP\/1.1 401 /u)
    expect(text).toMatch(/connection: close/iu)
    expect(text).not.toContain('100 Continue')
  })
})

describe('slow clients', () => {
  const idle = { STOWAGE_UPLOAD_IDLE_TIMEOUT_MS: '200', STOWAGE_DOWNLOAD_IDLE_TIMEOUT_MS: '300' }

  it('ends a body that stands still, with status 408', async () => {
    const started = await start({}, idle)
    const socket = await raw(started.port, 'PUT /v2/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nhello')

    expect(await received(socket)).toMatch(/^HTTP\/1.1 408 /u)
    await waitFor(() => requestLines(started).length === 1)
    expect(requestLines(started)[0]).toMatchObject({ status: 408, bytesIn: 5 })
  })

  it('ends a body that drips to hold the connection', async () => {
    const { port } = await start({}, idle)
    const socket = await raw(port, 'PUT /v2/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n')
    const drip = setInterval(() => socket.write('x'), 50)

    expect(await received(socket)).toMatch(/^HTTP\/1.1 408 /u)
    clearInterval(drip)
  })

  it('lets a body that flows take far longer than the idle time', async () => {
    // Many times the pause between two parts: a busy machine must not make this client look like one that stalls.
    const { port } = await start({}, { ...idle, STOWAGE_UPLOAD_IDLE_TIMEOUT_MS: '1500' })
    const socket = await raw(port, 'PUT /v2/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 40000\r\n\r\n')
    const answered = received(socket)
    for (let part = 0; part < 40; part += 1) {
      socket.write('x'.repeat(1000))
      await sleep(100)
    }

    expect(await answered).toMatch(/^HTTP\/1.1 200 /u)
  })

  it("does not blame the client for the server's own slowness", async () => {
    const { port } = await start(
      {
        distribution: async (request, response) => {
          await sleep(800)
          for await (const _chunk of request) await sleep(400)
          await sleep(800)
          response.end('done')
        },
      },
      idle,
    )

    expect((await send(port, { method: 'PUT', path: '/v2/a', body: 'hello' })).text).toBe('done')
  })

  it('disconnects a client that takes nothing of its answer', async () => {
    const started = await start({ aws: async (_request, response) => void response.end(Buffer.alloc(64 * 1024 * 1024)) }, idle)
    const socket = await raw(started.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    socket.pause()

    await waitFor(() => requestLines(started).length === 1)

    expect(requestLines(started)[0]).toMatchObject({ aborted: true })
    socket.destroy()
  })

  it('closes connections that never say anything', async () => {
    const { port } = await start({}, idle)

    expect(await received(await raw(port, ''))).toBe('')
  })

  it('drops connections beyond the limit', async () => {
    const started = await start({}, { STOWAGE_MAX_CONNECTIONS: '1' })
    const first = await raw(started.port, '')

    expect(await received(connect(started.port, '127.0.0.1'))).toBe('')
    expect(started.lines.some((line) => String(line['msg']).includes('STOWAGE_MAX_CONNECTIONS'))).toBe(true)
    first.destroy()
  })
})

describe('drain', () => {
  it('lets requests in flight end, refuses new ones, and says so in /readyz', async () => {
    const release = Promise.withResolvers<undefined>()
    const started = await start({
      aws: async (_request, response) => {
        await release.promise
        response.end('finished')
      },
    })
    const idle = await raw(started.port, '')
    const agent = new Agent({ keepAlive: true })
    const busy = send(started.port, { agent })
    await waitFor(() => started.server.inFlight === 1)

    const drained = started.server.drain(5_000)
    await received(idle)
    await expect(send(started.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    release.resolve(undefined)

    const answer = await busy
    expect(answer.text).toBe('finished')
    expect(answer.headers.connection).toBe('close')
    expect(await drained).toEqual({ cutOff: 0 })
    agent.destroy()
  })

  it('is announced by /readyz while connections are still open', async () => {
    const { port, operations } = await start()

    operations.startDraining()

    expect(await send(port, { path: '/readyz' })).toMatchObject({ status: 503, text: '{"ready":false,"reason":"stopping"}\n' })
    expect((await send(port, { path: '/healthz' })).status).toBe(200)
  })

  it('delivers the whole of an answer that a slow client is still taking', async () => {
    const sizeBytes = 48 * 1024 * 1024
    const started = await start({ aws: async (_request, response) => void response.end(Buffer.alloc(sizeBytes)) })
    const socket = await raw(started.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    socket.pause()
    await waitFor(() => started.server.inFlight === 1)
    await sleep(100)

    const drained = started.server.drain(10_000)
    await sleep(100)
    let length = 0
    socket.on('data', (chunk: Buffer) => (length += chunk.length))
    socket.resume()
    await once(socket, 'close')

    expect(length).toBeGreaterThan(sizeBytes)
    expect(await drained).toEqual({ cutOff: 0 })
  })

  it('cuts off what takes too long', async () => {
    const started = await start({ aws: () => new Promise(() => undefined) })
    const busy = send(started.port)
    await waitFor(() => started.server.inFlight === 1)

    const [drained] = await Promise.all([started.server.drain(100), expect(busy).rejects.toThrow()])

    expect(drained).toEqual({ cutOff: 1 })
  })
})

it('says which address it could not listen on', async () => {
  const first = await start()
  const second = createHttpServer({
    config: loadConfig({}),
    distribution: named(''),
    layerDownload: named(''),
    aws: named(''),
    operations: createOperations({ ready: async () => ({ ok: true }), metricsText: async () => '', metricsToken: undefined }),
    logger: pino({ level: 'silent' }),
    ids: systemIds,
    clock: systemClock,
  })

  await expect(second.listen({ host: '127.0.0.1', port: first.port })).rejects.toMatchObject({
    code: 'listen-failed',
    detail: { code: 'EADDRINUSE', host: '127.0.0.1', port: first.port },
  })
})

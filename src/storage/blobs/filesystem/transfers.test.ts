import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect, type AddressInfo, type NetConnectOpts, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BytesInFlight, minimumChunkBytes } from '../../../internal/bytes-in-flight.ts'
import { isPlatformError } from '../../../internal/platform-error.ts'
import { digestOf } from '../../../values/digest.ts'
import type { AppendResult, BlobStore } from '../blob-store.ts'
import { inChunks, sampleBytes } from '../contract.ts'
import { TestDisk } from './disk.test-support.ts'
import { openFilesystemBlobStore } from './filesystem-blob-store.ts'

const uploadId = '0b8a5e0e-6a1c-4c3e-9a0f-3f0f4b1f7c55'
const mebibyte = 1024 * 1024
/** More than the kernel buffers for a connection that nobody reads. */
const blobBytes = 16 * mebibyte

describe('transfers over real connections', () => {
  let dataDir: string
  let bytesInFlight: BytesInFlight
  let testDisk: TestDisk
  let store: BlobStore
  let server: Server
  let port: number
  let sockets: Socket[]
  let handle: (incoming: IncomingMessage, response: ServerResponse) => Promise<void>

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'stowage-transfers-'))
    bytesInFlight = new BytesInFlight()
    testDisk = new TestDisk()
    store = await openFilesystemBlobStore({ dataDir, bytesInFlight, disk: testDisk.disk })
    await store.createUpload(uploadId)
    sockets = []
    server = createServer((incoming, response) => void handle(incoming, response))
    server.listen({ port: 0, host: '127.0.0.1', backlog: 2_000 })
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  })

  afterEach(async () => {
    for (const socket of sockets) socket.destroy()
    server.closeAllConnections()
    server.close()
    await expect.poll(() => bytesInFlight.inUseBytes).toBe(0)
    await expect.poll(() => testDisk.openDescriptors).toBe(0)
    await store.close()
    await rm(dataDir, { recursive: true })
  })

  /** A connection that sends what it is told and reads nothing until asked. */
  async function connection(to: NetConnectOpts = { port, host: '127.0.0.1' }): Promise<Socket> {
    const socket = connect(to)
    socket.pause()
    socket.on('error', () => undefined)
    sockets.push(socket)
    await once(socket, 'connect')
    return socket
  }

  async function publishedKey(bytes: Buffer): Promise<string> {
    await store.append(uploadId, 0, inChunks(bytes, mebibyte))
    return (await store.publish(uploadId, 'default', digestOf(bytes), bytes.length)).key
  }

  describe('uploads', () => {
    let result: PromiseWithResolvers<AppendResult>

    beforeEach(() => {
      result = Promise.withResolvers()
      handle = async (incoming, response) => {
        try {
          result.resolve(await store.append(uploadId, 0, incoming, { limitBytes: 10 * mebibyte }))
          response.writeHead(202).end()
        } catch (error) {
          response.writeHead(isPlatformError(error, 'body-too-large') ? 413 : 500).end()
        }
      }
    })

    it('stores a body whole', async () => {
      const bytes = sampleBytes(10 * mebibyte)
      const upload = request({ port, method: 'PUT' }).end(bytes)

      const [response] = (await once(upload, 'response')) as [IncomingMessage]
      response.resume()

      expect(response.statusCode).toBe(202)
      expect(await store.hashUpload(uploadId, bytes.length, 'sha256')).toMatchObject({ digest: digestOf(bytes) })
    })

    it('counts what arrived before the sender vanished', async () => {
      const bytes = sampleBytes(3_000_000)
      const socket = await connection()

      socket.write('PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n')
      socket.write(bytes, () => socket.resetAndDestroy())

      const { writtenBytes, aborted } = await result.promise
      expect(aborted).toBe(true)
      expect(await store.uploadSize(uploadId)).toBe(writtenBytes)
      expect(await store.hashUpload(uploadId, writtenBytes, 'sha256')).toMatchObject({ digest: digestOf(bytes.subarray(0, writtenBytes)) })
    })

    it('can still answer on the connection of a body that is too large', async () => {
      const socket = await connection()
      socket.write('PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
      const piece = Buffer.concat([Buffer.from('100000\r\n'), sampleBytes(mebibyte), Buffer.from('\r\n')])
      for (let count = 0; count < 11; count += 1) socket.write(piece)

      const [answer] = (await once(socket.resume(), 'data')) as [Buffer]

      expect(answer.toString()).toMatch(/^HTTP\/1\.1 413 /)
    })

    it('holds nothing for a sender that is slow', async () => {
      const socket = await connection()
      socket.write('PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n')

      for (const sentBytes of [1, 2, 3]) {
        socket.write('x')

        await expect.poll(() => store.uploadSize(uploadId)).toBe(sentBytes)
        expect(bytesInFlight.inUseBytes).toBe(0)
      }
    })
  })

  describe('downloads', () => {
    beforeEach(async () => {
      const key = await publishedKey(sampleBytes(blobBytes))
      handle = async (_incoming, response) => {
        const blob = await store.open(key)
        response.writeHead(200, { 'content-length': blob.sizeBytes })
        try {
          await blob.pump(response, { start: 0, endExclusive: blob.sizeBytes }, new AbortController().signal)
          response.end()
        } catch {
          response.destroy()
        } finally {
          await blob.close()
        }
      }
    })

    it('serves a blob whole', async () => {
      const [response] = (await once(request({ port }).end(), 'response')) as [IncomingMessage]
      const parts: Buffer[] = []
      for await (const part of response) parts.push(part as Buffer)

      expect(digestOf(Buffer.concat(parts))).toBe(digestOf(sampleBytes(blobBytes)))
    })

    it('notices at once that a stalled reader went away', async () => {
      const socket = await connection()
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
      await expect.poll(() => bytesInFlight.inUseBytes).toBe(mebibyte)

      socket.resetAndDestroy()

      await expect.poll(() => bytesInFlight.inUseBytes, { interval: 5, timeout: 500 }).toBe(0)
      await expect.poll(() => testDisk.openDescriptors, { interval: 5, timeout: 500 }).toBe(0)
    })

    it('holds little memory for a thousand readers that stall', async () => {
      const readers = 1_000
      const limitBytes = bytesInFlight.limitBytes + readers * minimumChunkBytes
      // Unlike TCP's, the kernel's buffers for these are small: the test need not fill gigabytes first.
      const path = join(dataDir, 'socket')
      const local = createServer((incoming, response) => void handle(incoming, response)).listen(path)
      await once(local, 'listening')
      const rssBefore = process.memoryUsage().rss

      for (let count = 0; count < readers; count += 1) {
        const socket = await connection({ path })
        socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
      }
      await expect.poll(() => testDisk.openDescriptors).toBe(readers)
      await settled(() => bytesInFlight.inUseBytes)

      expect(testDisk.openDescriptors).toBe(readers)
      expect(bytesInFlight.inUseBytes).toBeGreaterThanOrEqual(readers * minimumChunkBytes)
      expect(bytesInFlight.peakBytes).toBeLessThanOrEqual(limitBytes)
      // The thousand connections themselves, at both ends, and the heap that V8 has not collected yet.
      const overheadBytes = 120 * mebibyte
      expect(process.memoryUsage().rss - rssBefore).toBeLessThanOrEqual(limitBytes + overheadBytes)
      local.closeAllConnections()
      local.close()
    }, 60_000)
  })
})

/** Waits until a number has stayed the same for half a second. */
async function settled(read: () => number): Promise<void> {
  let last = read()
  let sameSince = performance.now()
  await expect
    .poll(
      () => {
        const now = read()
        if (now !== last) sameSince = performance.now()
        last = now
        return performance.now() - sameSince
      },
      { interval: 50, timeout: 30_000 },
    )
    .toBeGreaterThan(500)
}

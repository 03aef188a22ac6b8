import { createHash } from 'node:crypto'
import { Readable, Writable } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { digestOf, type Digest } from '../../values/digest.ts'
import { BlockChecksums, checksumBlockBytes } from './block-checksums.ts'
import type { BlobRange, BlobStore, ListedBlob, ListedUpload, OpenBlob, RecoveryQuestions } from './blob-store.ts'

/** A store under test, empty at first, and what the suite must know beyond its interface. */
export interface BlobStoreHarness {
  readonly store: BlobStore
  /** Another store over the same bytes, as a process opens it that starts after the first one died. */
  reopen(): Promise<BlobStore>
  /** The names of everything stored. */
  leftovers(): Promise<string[]>
  /** Bytes in flight, and whatever is open: 0 when nothing is under way. */
  heldResources(): number
  /** Changes the stored bytes of a blob behind the store's back, as a dying disk does. */
  damage(key: string, change: (bytes: Buffer) => Buffer | undefined): Promise<void>
  close(): Promise<void>
}

const mebibyte = 1024 * 1024
const noSignal = new AbortController().signal

/** Bytes without a period that matches a chunk, so that misplaced ones are noticed. */
export function sampleBytes(sizeBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(sizeBytes)
  for (let index = 0, value = 1; index < sizeBytes; index += 1) {
    value = (value * 1103515245 + 12345) & 0x7fffffff
    bytes[index] = value >>> 16
  }
  return bytes
}

/** The bytes as a source that delivers `chunkBytes` at a time. */
export async function* inChunks(bytes: Buffer, chunkBytes: number): AsyncGenerator<Buffer, void, undefined> {
  for (let start = 0; start < bytes.length; start += chunkBytes) yield bytes.subarray(start, start + chunkBytes)
}

/** Delivers the bytes and then waits, like a sender whose connection went dead. */
async function* thenSilence(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  yield bytes
  await new Promise(() => undefined)
}

async function* thenFailure(bytes: Buffer, error: Error): AsyncGenerator<Buffer, void, undefined> {
  yield bytes
  throw error
}

/** The checksums of the bytes, taken in pieces that match no block. */
export function checksumsOf(bytes: Buffer): Uint8Array {
  const checksums = new BlockChecksums()
  for (let start = 0; start < bytes.length; start += 10_007) checksums.update(bytes.subarray(start, start + 10_007))
  return checksums.finish()
}

/** Takes everything, slowly enough that the writer has to wait for it. */
export function collector(): { sink: Writable; bytes(): Buffer } {
  const parts: Buffer[] = []
  const sink = new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _encoding, done) {
      parts.push(Buffer.from(chunk))
      setImmediate(done)
    },
  })
  return { sink, bytes: () => Buffer.concat(parts) }
}

/** Takes the first chunk and never says that it is done with it. */
function staller(): { sink: Writable; stalled: Promise<void> } {
  const stalled: PromiseWithResolvers<void> = Promise.withResolvers()
  return { sink: new Writable({ write: () => stalled.resolve() }), stalled: stalled.promise }
}

async function readAll(blob: OpenBlob, range?: BlobRange): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of blob.read(range)) parts.push(part)
  return Buffer.concat(parts)
}

/** What every blob store keeps to. Leaves nothing behind, and fails when the store does. */
export function blobStoreContract(name: string, makeStore: () => Promise<BlobStoreHarness>): void {
  describe(`${name} keeps the blob store contract`, () => {
    let harness: BlobStoreHarness
    let store: BlobStore
    let uploadCount: number
    let uploadIds: string[]
    let keys: string[]

    beforeEach(async () => {
      harness = await makeStore()
      store = harness.store
      uploadCount = 0
      uploadIds = []
      keys = []
    })

    afterEach(async () => {
      for (const uploadId of uploadIds) await store.discardUpload(uploadId)
      for (const key of keys) await store.withdraw(key)
      const leftovers = await harness.leftovers()
      const heldResources = harness.heldResources()
      await harness.close()
      expect(leftovers).toEqual([])
      expect(heldResources).toBe(0)
    })

    async function startUpload(): Promise<string> {
      uploadCount += 1
      const uploadId = `0b8a5e0e-6a1c-4c3e-9a0f-${String(uploadCount).padStart(12, '0')}`
      uploadIds.push(uploadId)
      await store.createUpload(uploadId)
      return uploadId
    }

    async function uploadOf(bytes: Buffer, chunkBytes = 64 * 1024): Promise<string> {
      const uploadId = await startUpload()
      await store.append(uploadId, 0, inChunks(bytes, chunkBytes))
      return uploadId
    }

    async function publish(uploadId: string, digest: Digest, sizeBytes: number, domain = 'default') {
      const published = await store.publish(uploadId, domain, digest, sizeBytes)
      keys.push(published.key)
      return published
    }

    async function blobOf(bytes: Buffer, domain = 'default'): Promise<string> {
      const uploadId = await uploadOf(bytes)
      const { key } = await publish(uploadId, digestOf(bytes), bytes.length, domain)
      await store.discardUpload(uploadId)
      return key
    }

    async function contentOf(key: string, from = store): Promise<Buffer> {
      const blob = await from.open(key)
      try {
        return await readAll(blob)
      } finally {
        await blob.close()
      }
    }

    async function contentOfUpload(uploadId: string): Promise<Digest> {
      const { digest } = await store.hashUpload(uploadId, (await store.uploadSize(uploadId)) ?? -1, 'sha256')
      return digest
    }

    describe('uploads', () => {
      it.each([
        { sizeBytes: 0, chunkBytes: 1 },
        { sizeBytes: 1, chunkBytes: 1 },
        { sizeBytes: 5_000, chunkBytes: 1 },
        { sizeBytes: 300_000, chunkBytes: 997 },
        { sizeBytes: 4 * mebibyte + 3, chunkBytes: 64 * 1024 },
        { sizeBytes: 4 * mebibyte + 3, chunkBytes: 5 * mebibyte },
      ])('stores $sizeBytes bytes that come $chunkBytes at a time', async ({ sizeBytes, chunkBytes }) => {
        const bytes = sampleBytes(sizeBytes)
        const hash = createHash('sha256')
        const uploadId = await startUpload()

        const result = await store.append(uploadId, 0, inChunks(bytes, chunkBytes), { hash })

        expect(result).toEqual({ writtenBytes: sizeBytes, aborted: false })
        expect(`sha256:${hash.digest('hex')}`).toBe(digestOf(bytes))
        expect(await store.uploadSize(uploadId)).toBe(sizeBytes)
        const { key } = await publish(uploadId, digestOf(bytes), sizeBytes)
        expect((await contentOf(key)).equals(bytes)).toBe(true)
      })

      it('takes a stream as well, also one that was paused', async () => {
        const bytes = sampleBytes(200_000)
        const stream = Readable.from(inChunks(bytes, 10_000)).pause()
        const uploadId = await startUpload()

        await store.append(uploadId, 0, stream)

        expect(await contentOfUpload(uploadId)).toBe(digestOf(bytes))
      })

      it('continues at an offset and discards what lay past it', async () => {
        const bytes = sampleBytes(100_000)
        const uploadId = await uploadOf(sampleBytes(300_000))

        await store.append(uploadId, 60_000, inChunks(bytes, 4_096))

        const expected = Buffer.concat([sampleBytes(300_000).subarray(0, 60_000), bytes])
        expect(await store.uploadSize(uploadId)).toBe(160_000)
        expect(await contentOfUpload(uploadId)).toBe(digestOf(expected))
      })

      it('refuses an offset past its end', async () => {
        const uploadId = await uploadOf(sampleBytes(10))

        const appending = store.append(uploadId, 11, inChunks(sampleBytes(1), 1))

        await expect(appending).rejects.toMatchObject({ code: 'upload-missing' })
        expect(await store.uploadSize(uploadId)).toBe(10)
      })

      it('accepts exactly the limit', async () => {
        const uploadId = await startUpload()

        const result = await store.append(uploadId, 0, inChunks(sampleBytes(1_000), 100), { limitBytes: 1_000 })

        expect(result).toEqual({ writtenBytes: 1_000, aborted: false })
      })

      it('keeps nothing beyond the limit', async () => {
        const uploadId = await uploadOf(sampleBytes(50))

        const appending = store.append(uploadId, 50, inChunks(sampleBytes(1_001), 100), { limitBytes: 1_000 })

        await expect(appending).rejects.toMatchObject({ code: 'body-too-large' })
        expect(await store.uploadSize(uploadId)).toBeLessThanOrEqual(1_050)
      })

      it('leaves a stream that exceeds the limit open', async () => {
        const stream = Readable.from(inChunks(sampleBytes(1_000), 100))
        const uploadId = await startUpload()

        const appending = store.append(uploadId, 0, stream, { limitBytes: 10 })

        await expect(appending).rejects.toMatchObject({ code: 'body-too-large' })
        expect(stream.destroyed).toBe(false)
        stream.destroy(new Error('later'))
        await setTimeout(1)
      })

      it('counts what came before the source failed', async () => {
        const bytes = sampleBytes(70_000)
        const error = new Error('connection reset')
        const hash = createHash('sha256')
        const uploadId = await startUpload()

        const result = await store.append(uploadId, 0, thenFailure(bytes, error), { hash })

        expect(result).toEqual({ writtenBytes: 70_000, aborted: true, reason: error })
        expect(`sha256:${hash.digest('hex')}`).toBe(digestOf(bytes))
        expect(await contentOfUpload(uploadId)).toBe(digestOf(bytes))
      })

      it('counts what came before a stream was destroyed', async () => {
        const stream = new Readable({ read: () => undefined })
        const uploadId = await startUpload()
        stream.push(sampleBytes(10))

        const appending = store.append(uploadId, 0, stream)
        await setTimeout(20)
        stream.destroy()

        expect(await appending).toMatchObject({ writtenBytes: 10, aborted: true })
        expect(await store.append(uploadId, 10, stream)).toMatchObject({ writtenBytes: 0, aborted: true })
      })

      it('stops at once when called off, even while the source is silent', async () => {
        const bytes = sampleBytes(30_000)
        const caller = new AbortController()
        const uploadId = await startUpload()

        const appending = store.append(uploadId, 0, thenSilence(bytes), { signal: caller.signal })
        await expect.poll(() => store.uploadSize(uploadId)).toBe(bytes.length)
        caller.abort('shutting down')

        expect(await appending).toEqual({ writtenBytes: 30_000, aborted: true, reason: 'shutting down' })
        expect(await contentOfUpload(uploadId)).toBe(digestOf(bytes))
      })

      it('reads nothing when called off beforehand', async () => {
        const uploadId = await startUpload()
        const signal = AbortSignal.abort('too late')

        const result = await store.append(uploadId, 0, inChunks(sampleBytes(10), 10), { signal })

        expect(result).toEqual({ writtenBytes: 0, aborted: true, reason: 'too late' })
      })

      it('holds no memory for a sender that pauses', async () => {
        const caller = new AbortController()
        const uploadId = await startUpload()

        const appending = store.append(uploadId, 0, thenSilence(sampleBytes(1_000)), { signal: caller.signal })

        await expect.poll(() => store.uploadSize(uploadId)).toBe(1_000)
        caller.abort()
        await appending
      })

      it('lets a later append take over from a dead one', async () => {
        const bytes = sampleBytes(2_000)
        const uploadId = await startUpload()

        const dead = store.append(uploadId, 0, thenSilence(sampleBytes(5_000)))
        await setTimeout(20)
        const alive = store.append(uploadId, 0, inChunks(bytes, 100))

        expect(await dead).toMatchObject({ writtenBytes: 5_000, aborted: true })
        expect(await alive).toEqual({ writtenBytes: 2_000, aborted: false })
        expect(await contentOfUpload(uploadId)).toBe(digestOf(bytes))
      })

      it('ends a running append when the upload is discarded', async () => {
        const uploadId = await startUpload()

        const appending = store.append(uploadId, 0, thenSilence(sampleBytes(10)))
        await setTimeout(20)
        await store.discardUpload(uploadId)

        expect(await appending).toMatchObject({ aborted: true })
        expect(await store.uploadSize(uploadId)).toBeUndefined()
      })

      it('can be discarded twice', async () => {
        const uploadId = await uploadOf(sampleBytes(10))

        await store.discardUpload(uploadId)
        await store.discardUpload(uploadId)

        expect(await store.uploadSize(uploadId)).toBeUndefined()
      })

      it.each(['', '.', '..', '../blobs', 'a/b', '0B8A5E0E-6A1C-4C3E-9A0F-000000000001', '0'.repeat(36)])(
        'takes %j for no upload',
        async (uploadId) => {
          const missing = { code: 'upload-missing' }
          await expect(store.createUpload(uploadId)).rejects.toMatchObject(missing)
          await expect(store.append(uploadId, 0, inChunks(sampleBytes(1), 1))).rejects.toMatchObject(missing)
          await expect(store.hashUpload(uploadId, 0, 'sha256')).rejects.toMatchObject(missing)
          const digest = digestOf(Buffer.alloc(0))
          await expect(store.publish(uploadId, 'default', digest, 0)).rejects.toMatchObject(missing)
          expect(await store.uploadSize(uploadId)).toBeUndefined()
          await store.discardUpload(uploadId)
        },
      )
    })

    describe('hashing', () => {
      it.each(['sha256', 'sha512'] as const)('hashes the first bytes of an upload with %s', async (algorithm) => {
        const bytes = sampleBytes(3 * mebibyte)
        const uploadId = await uploadOf(bytes)

        const hashes = [0, 1, 2 * mebibyte + 1, bytes.length].map((sizeBytes) =>
          store.hashUpload(uploadId, sizeBytes, algorithm),
        )

        expect(await Promise.all(hashes)).toEqual(
          [0, 1, 2 * mebibyte + 1, bytes.length].map((sizeBytes) => ({
            digest: digestOf(bytes.subarray(0, sizeBytes), algorithm),
            checksums: checksumsOf(bytes.subarray(0, sizeBytes)),
          })),
        )
      })

      it('refuses more bytes than there are', async () => {
        const uploadId = await uploadOf(sampleBytes(10))

        await expect(store.hashUpload(uploadId, 11, 'sha256')).rejects.toMatchObject({ code: 'upload-missing' })
      })
    })

    describe('damage', () => {
      const sizeBytes = 5 * checksumBlockBytes + 1_000
      const inBlock = (block: number) => (bytes: Buffer) => {
        bytes[block * checksumBlockBytes + 77]! ^= 0x10
        return bytes
      }

      async function damagedBlob(change: (bytes: Buffer) => Buffer | undefined) {
        const bytes = sampleBytes(sizeBytes)
        const key = await blobOf(bytes)
        await harness.damage(key, change)
        return { bytes, key, expected: { sizeBytes, loadChecksums: () => Promise.resolve(checksumsOf(bytes)) } }
      }

      it.each([0, 2, 5])('in block %i fails the read before the block is delivered', async (block) => {
        const { bytes, key, expected } = await damagedBlob(inBlock(block))
        const blob = await store.open(key, expected)
        const { sink, bytes: pumped } = collector()

        const pumping = blob.pump(sink, { start: 0, endExclusive: sizeBytes }, noSignal)

        await expect(pumping).rejects.toMatchObject({ code: 'blob-corrupt', detail: { block } })
        expect(pumped().length).toBeLessThan(sizeBytes)
        expect(pumped().equals(bytes.subarray(0, pumped().length))).toBe(true)
        expect(pumped().length).toBeLessThanOrEqual(block * checksumBlockBytes)
        await blob.close()
      })

      it.each([
        { name: 'the byte before a range', start: checksumBlockBytes + 78, length: 10 },
        { name: 'the byte behind a range', start: checksumBlockBytes + 60, length: 17 },
        { name: 'the last of several blocks', start: 5, length: checksumBlockBytes + 3 },
      ])('of $name in its block fails the range', async ({ start, length }) => {
        const { key, expected } = await damagedBlob(inBlock(1))
        const blob = await store.open(key, expected)

        await expect(readAll(blob, { start, endExclusive: start + length })).rejects.toMatchObject({ code: 'blob-corrupt' })
        await blob.close()
      })

      it('elsewhere leaves a range alone', async () => {
        const { bytes, key, expected } = await damagedBlob(inBlock(3))
        const blob = await store.open(key, expected)

        const start = checksumBlockBytes - 10
        const endExclusive = 3 * checksumBlockBytes

        expect((await readAll(blob, { start, endExclusive })).equals(bytes.subarray(start, endExclusive))).toBe(true)
        await blob.close()
      })

      it('is told by the size alone when it is opened', async () => {
        const { key, expected } = await damagedBlob((bytes) => bytes.subarray(0, sizeBytes - 1))

        await expect(store.open(key, expected)).rejects.toMatchObject({ code: 'blob-corrupt' })
      })

      it('is found by hashing, which also tells the checksums of what is there', async () => {
        const { bytes, key } = await damagedBlob(inBlock(4))
        const damaged = inBlock(4)(Buffer.from(bytes))

        const found = await store.hashBlob(key, sizeBytes, 'sha256')

        expect(found).toEqual({ digest: digestOf(damaged), checksums: checksumsOf(damaged) })
        await expect(store.hashBlob(key, sizeBytes + 1, 'sha256')).rejects.toMatchObject({ code: 'blob-missing' })
      })

      it('of nothing at all changes no read, whatever the range and the memory there is', async () => {
        const bytes = sampleBytes(sizeBytes)
        const key = await blobOf(bytes)
        const blob = await store.open(key, { sizeBytes, loadChecksums: () => Promise.resolve(checksumsOf(bytes)) })
        await fc.assert(
          fc.asyncProperty(fc.nat(sizeBytes), fc.oneof(fc.nat(sizeBytes), fc.constant(undefined)), async (a, b = a) => {
            const range = { start: Math.min(a, b), endExclusive: Math.max(a, b) }
            expect((await readAll(blob, range)).equals(bytes.subarray(range.start, range.endExclusive))).toBe(true)
          }),
          { numRuns: 50 },
        )
        await blob.close()
      })

      it('is not what an absent blob is called when it is gone whole', async () => {
        const { key } = await damagedBlob(() => undefined)

        await expect(store.open(key)).rejects.toMatchObject({ code: 'blob-missing' })
        expect(await store.blobSize(key)).toBeUndefined()
      })
    })

    describe('publication', () => {
      it('gives the same answer when repeated, also after the upload is gone', async () => {
        const bytes = sampleBytes(100)
        const uploadId = await uploadOf(bytes)

        const first = await publish(uploadId, digestOf(bytes), 100)
        const second = await store.publish(uploadId, 'default', digestOf(bytes), 100)
        await store.discardUpload(uploadId)
        const third = await store.publish(uploadId, 'default', digestOf(bytes), 100)

        expect([second, third]).toEqual([first, first])
        expect(await contentOf(first.key)).toEqual(bytes)
      })

      it('leaves out what lies past the size', async () => {
        const bytes = sampleBytes(100)
        const uploadId = await uploadOf(bytes)

        const { key } = await publish(uploadId, digestOf(bytes.subarray(0, 60)), 60)

        expect(await contentOf(key)).toEqual(bytes.subarray(0, 60))
      })

      it('refuses an upload with fewer bytes than stated, and one that does not exist', async () => {
        const uploadId = await uploadOf(sampleBytes(10))
        const digest = digestOf(sampleBytes(11))

        await expect(store.publish(uploadId, 'default', digest, 11)).rejects.toMatchObject({ code: 'upload-missing' })
        await store.discardUpload(uploadId)
        await expect(store.publish(uploadId, 'default', digest, 10)).rejects.toMatchObject({ code: 'upload-missing' })
      })

      it('keeps a published blob from ever changing', async () => {
        const bytes = sampleBytes(100)
        const uploadId = await uploadOf(bytes)
        const { key } = await publish(uploadId, digestOf(bytes), 100)

        const appending = store.append(uploadId, 50, inChunks(sampleBytes(500), 100))
        const shorter = store.publish(uploadId, 'default', digestOf(bytes.subarray(0, 50)), 50)

        await expect(appending).rejects.toMatchObject({ code: 'upload-missing' })
        await expect(shorter).rejects.toMatchObject({ code: 'upload-missing' })
        expect(await contentOf(key)).toEqual(bytes)
      })

      it('keeps publications of one digest apart by generation and by domain', async () => {
        const bytes = sampleBytes(1_000)
        const published = [await blobOf(bytes), await blobOf(bytes), await blobOf(bytes, 'other')]

        await store.withdraw(published[0]!)

        expect(new Set(published).size).toBe(3)
        await expect(store.open(published[0]!)).rejects.toMatchObject({ code: 'blob-missing' })
        expect(await contentOf(published[1]!)).toEqual(bytes)
        expect(await contentOf(published[2]!)).toEqual(bytes)
      })

      it('stores a blob under a sha512 digest', async () => {
        const bytes = sampleBytes(1_000)
        const uploadId = await uploadOf(bytes)

        const { key } = await publish(uploadId, digestOf(bytes, 'sha512'), bytes.length)

        expect(await contentOf(key)).toEqual(bytes)
      })

      it('publishes many uploads at once', async () => {
        const contents = Array.from({ length: 20 }, (_unused, index) => sampleBytes(index * 50 + 1))

        const published = await Promise.all(contents.map((bytes) => blobOf(bytes)))

        for (const [index, key] of published.entries()) expect(await contentOf(key)).toEqual(contents[index])
      })

      it('survives a restart', async () => {
        const bytes = sampleBytes(100)
        const key = await blobOf(bytes)

        const next = await harness.reopen()

        expect(await contentOf(key, next)).toEqual(bytes)
        await next.close()
      })
    })

    describe('reading', () => {
      const sizeBytes = 2 * mebibyte + 77
      const bytes = sampleBytes(sizeBytes)
      const ranges = [
        { start: 0, endExclusive: 0 },
        { start: 0, endExclusive: 1 },
        { start: sizeBytes - 1, endExclusive: sizeBytes },
        { start: 100, endExclusive: 16 * 1024 + 101 },
        { start: mebibyte - 1, endExclusive: 2 * mebibyte + 1 },
        { start: 0, endExclusive: sizeBytes },
      ]

      it.each(ranges)('reads and pumps from $start to $endExclusive', async (range) => {
        const blob = await store.open(await blobOf(bytes))
        const { sink, bytes: pumped } = collector()

        await blob.pump(sink, range, noSignal)

        const expected = bytes.subarray(range.start, range.endExclusive)
        expect(blob.sizeBytes).toBe(sizeBytes)
        expect((await readAll(blob, range)).equals(expected)).toBe(true)
        expect(pumped().equals(expected)).toBe(true)
        expect(sink.writableEnded).toBe(false)
        await blob.close()
      })

      it('reads and sends each chunk in its turn', async () => {
        const blob = await store.open(await blobOf(bytes))
        const { sink, bytes: pumped } = collector()
        const sent: number[] = []
        const turn = async <Result>(work: () => Promise<Result>): Promise<Result> => {
          const before = pumped().length
          await Promise.resolve()
          expect(pumped().length).toBe(before)
          const result = await work()
          sent.push(pumped().length - before)
          return result
        }

        await blob.pump(sink, { start: 0, endExclusive: sizeBytes }, noSignal, { accountId: '000000000000', turn })

        expect(pumped().equals(bytes)).toBe(true)
        expect(sent.reduce((sum, one) => sum + one, 0)).toBe(sizeBytes)
        expect(Math.max(...sent)).toBeLessThanOrEqual(mebibyte)
        await blob.close()
      })

      it('reads an empty blob', async () => {
        expect(await contentOf(await blobOf(Buffer.alloc(0)))).toEqual(Buffer.alloc(0))
      })

      it('serves several readers of one open blob', async () => {
        const blob = await store.open(await blobOf(bytes))

        const contents = await Promise.all([readAll(blob), readAll(blob), readAll(blob)])

        expect(contents.every((content) => content.equals(bytes))).toBe(true)
        await blob.close()
      })

      it('goes on reading a blob that was deleted meanwhile', async () => {
        const key = await blobOf(bytes)
        const blob = await store.open(key)

        await store.withdraw(key)

        expect((await readAll(blob)).equals(bytes)).toBe(true)
        await blob.close()
      })

      it('gives its memory back when a reader leaves early', async () => {
        const blob = await store.open(await blobOf(bytes))

        for await (const part of blob.read()) {
          expect(part.length).toBeGreaterThan(0)
          break
        }

        await blob.close()
      })

      it('closes twice without complaint', async () => {
        const blob = await store.open(await blobOf(bytes))

        await blob.close()
        await blob.close()

        await expect(readAll(blob)).rejects.toThrow()
      })

      it('stops pumping as soon as it is called off', async () => {
        const blob = await store.open(await blobOf(bytes))
        const { sink, stalled } = staller()
        const caller = new AbortController()

        const pumping = blob.pump(sink, { start: 0, endExclusive: sizeBytes }, caller.signal)
        await stalled
        caller.abort()

        await expect(pumping).rejects.toMatchObject({ code: 'body-aborted' })
        expect(harness.heldResources()).toBe(0)
      })

      it.each([
        { how: 'is destroyed', error: undefined },
        { how: 'fails', error: new Error('broken pipe') },
      ])('stops pumping as soon as the sink $how', async ({ error }) => {
        const blob = await store.open(await blobOf(bytes))
        const { sink, stalled } = staller()

        const pumping = blob.pump(sink, { start: 0, endExclusive: sizeBytes }, noSignal)
        await stalled
        sink.destroy(error)

        await expect(pumping).rejects.toMatchObject({ code: 'body-aborted' })
        expect(harness.heldResources()).toBe(0)
      })

      it('does not start for a sink that is gone', async () => {
        const range = { start: 0, endExclusive: sizeBytes }
        const destroyed = new Writable()
        destroyed.destroy()
        const ended = new Writable({ write: (_chunk, _encoding, done) => done() })
        ended.end()

        for (const sink of [destroyed, ended]) {
          const blob = await store.open(await blobOf(bytes))
          await expect(blob.pump(sink, range, noSignal)).rejects.toMatchObject({ code: 'body-aborted' })
        }
        const blob = await store.open(await blobOf(bytes))
        const pumping = blob.pump(collector().sink, range, AbortSignal.abort())
        await expect(pumping).rejects.toMatchObject({ code: 'body-aborted' })
      })

      it.each(['', '/', '..', '../uploads/x', 'default/sha256/ab', 'default/sha256/../../../etc/passwd'])(
        'finds nothing under the key %j',
        async (key) => {
          await expect(store.open(key)).rejects.toMatchObject({ code: 'blob-missing' })
          await store.withdraw(key)
        },
      )
    })

    describe('holding', () => {
      const now = Date.UTC(2026, 0, 1)
      const holder = { id: '5f4e3d2c-0000-4000-8000-000000000001', owner: 'a backup' }
      const another = { id: '5f4e3d2c-0000-4000-8000-000000000002', owner: 'another' }

      afterEach(async () => {
        for (const { id } of [holder, another]) await store.releaseHold(id)
      })

      it('deletes nothing while anybody holds, here or in another process', async () => {
        const key = await blobOf(sampleBytes(1_000))
        const other = await harness.reopen()
        await other.hold({ ...holder, untilMs: now + 2_000 })
        await other.hold({ ...another, untilMs: now + 1_000 })

        expect(await store.delete([key], now)).toEqual(new Map([[key, 'held']]))
        await other.releaseHold(holder.id)
        expect(await store.delete([key], now)).toEqual(new Map([[key, 'held']]))
        expect(await store.blobSize(key)).toBe(1_000)
        await other.releaseHold(another.id)
        expect(await store.delete([key], now)).toEqual(new Map([[key, 'deleted']]))
        expect(await store.blobSize(key)).toBeUndefined()
        expect(await store.delete([key], now)).toEqual(new Map([[key, 'deleted']]))
        await other.close()
      })

      it('lets a hold that nobody renews end by itself, and one that is renewed last', async () => {
        const key = await blobOf(sampleBytes(1_000))
        await store.hold({ ...holder, untilMs: now + 1_000 })
        await store.hold({ ...holder, untilMs: now + 1_000 })
        await store.hold({ ...holder, untilMs: now + 5_000 })

        expect(await store.delete([key], now + 4_999)).toEqual(new Map([[key, 'held']]))
        expect(await store.delete([key], now + 5_000)).toEqual(new Map([[key, 'deleted']]))
      })

      it('withdraws what nobody can know of in spite of holds', async () => {
        const key = await blobOf(sampleBytes(1_000))
        await store.hold({ ...holder, untilMs: now + 1_000 })

        await store.withdraw(key)

        expect(await store.blobSize(key)).toBeUndefined()
      })

      it('forgets holds whose owner died long ago, and no others', async () => {
        await store.hold({ ...another, untilMs: now })
        await store.hold({ ...holder, untilMs: now + 60_000 })
        expect((await harness.leftovers()).filter((name) => name.includes(another.id))).toHaveLength(1)

        await store.hold({ ...holder, untilMs: now + 25 * 60 * 60 * 1000 })

        expect((await harness.leftovers()).filter((name) => name.includes(another.id))).toHaveLength(0)
        expect((await harness.leftovers()).filter((name) => name.includes(holder.id))).toHaveLength(1)
      })
    })

    describe('listing', () => {
      it('names every blob once, in the order of the keys, and no upload', async () => {
        const sizes = [1, 2, 3, 5, 8, 13, 21, 34]
        for (const sizeBytes of sizes) await blobOf(sampleBytes(sizeBytes))
        await blobOf(sampleBytes(1), 'another')
        await uploadOf(sampleBytes(100))

        const listed = []
        for await (const blob of store.list()) listed.push(blob)

        expect(listed.map(({ key }) => key)).toEqual([...keys].sort())
        expect(listed.map(({ sizeBytes }) => sizeBytes).sort((a, b) => a - b)).toEqual([1, ...sizes])
      })

      it('goes on after any key, one that is gone since too', async () => {
        for (let n = 1; n <= 12; n += 1) await blobOf(sampleBytes(n), n % 2 === 0 ? 'another' : undefined)
        const inOrder = [...keys].sort()

        for (const [index, key] of inOrder.entries()) {
          if (index % 3 === 0) await store.withdraw(key)
          const rest: string[] = []
          for await (const listed of store.list(key)) rest.push(listed.key)
          expect(rest).toEqual(inOrder.slice(index + 1))
        }
      })

      it('tells when a blob was published and by which upload, and which uploads there are', async () => {
        const startedAt = Date.now()
        const key = await blobOf(sampleBytes(10))
        const waiting = await uploadOf(sampleBytes(100))

        const blobs: ListedBlob[] = []
        for await (const each of store.list()) blobs.push(each)
        const uploads: ListedUpload[] = []
        for await (const each of store.listUploads()) uploads.push(each)
        const [blob] = blobs
        expect(blob).toMatchObject({ key, uploadId: expect.stringMatching(/^[0-9a-f-]{36}$/u) })
        expect(Math.abs(blob!.changedAtMs - startedAt)).toBeLessThan(60_000)
        expect(uploads.filter(({ uploadId }) => uploadId === waiting)).toMatchObject([{ sizeBytes: 100 }])
      })
    })

    describe('putting back', () => {
      it('gives a key its bytes again, whether they are gone, damaged or there', async () => {
        const bytes = sampleBytes(300_000)
        const key = await blobOf(bytes)
        await store.putBack(key, bytes.length, inChunks(bytes, 7_000))
        expect((await contentOf(key)).equals(bytes)).toBe(true)

        await store.withdraw(key)
        await store.putBack(key, bytes.length, inChunks(bytes, 100_000))

        expect((await contentOf(key)).equals(bytes)).toBe(true)
        expect(await harness.leftovers()).toHaveLength(1)
      })

      it('refuses bytes that are not the blob, and changes nothing', async () => {
        const bytes = sampleBytes(300_000)
        const key = await blobOf(bytes)
        const wrong = Buffer.from(bytes)
        wrong[299_999]! ^= 1

        for (const source of [wrong, bytes.subarray(1), Buffer.concat([bytes, bytes])]) {
          await expect(store.putBack(key, bytes.length, inChunks(source, 7_000))).rejects.toMatchObject({ code: 'blob-corrupt' })
        }
        await expect(store.putBack(key, bytes.length, thenFailure(bytes, new Error('the tape broke')))).rejects.toThrow('the tape broke')
        await expect(store.putBack('../../etc/passwd', 1, inChunks(bytes, 1))).rejects.toMatchObject({ code: 'blob-missing' })
        expect((await contentOf(key)).equals(bytes)).toBe(true)
      })
    })

    describe('reopening', () => {
      it('lets an upload go on whose publication was not committed, with other bytes too', async () => {
        const uploadId = await uploadOf(sampleBytes(1_000))
        const { key } = await publish(uploadId, digestOf(sampleBytes(1_000)), 1_000)
        const asked: string[] = []

        await store.reopenUpload(uploadId, async (located) => asked.push(located) === 0)

        expect(asked).toEqual([key])
        expect(await store.blobSize(key)).toBeUndefined()
        const other = sampleBytes(2_000).subarray(1_000)
        await store.append(uploadId, 0, inChunks(other, 300))
        expect(await contentOf((await publish(uploadId, digestOf(other), other.length)).key)).toEqual(other)
      })

      it('changes nothing of one that was not published, and refuses one that is not there', async () => {
        const uploadId = await uploadOf(sampleBytes(1_000))
        await store.reopenUpload(uploadId, async () => false)
        expect(await store.uploadSize(uploadId)).toBe(1_000)
        await store.discardUpload(uploadId)
        await expect(store.reopenUpload(uploadId, async () => false)).rejects.toMatchObject({ code: 'upload-missing' })
      })

      it('keeps what was committed, and forgets the upload', async () => {
        const bytes = sampleBytes(1_000)
        const uploadId = await uploadOf(bytes)
        const { key } = await publish(uploadId, digestOf(bytes), bytes.length)
        await store.reopenUpload(uploadId, async () => true)
        expect(await contentOf(key)).toEqual(bytes)
        await expect(store.append(uploadId, 0, inChunks(bytes, 300))).rejects.toMatchObject({ code: 'upload-missing' })
      })
    })

    describe('abandoning', () => {
      it('frees an upload that was never published, and may be repeated', async () => {
        const uploadId = await uploadOf(sampleBytes(1_000))

        await store.abandonUpload(uploadId, async () => false)
        await store.abandonUpload(uploadId, async () => false)

        expect(await store.uploadSize(uploadId)).toBeUndefined()
      })

      it.each([true, false])('keeps what it published if that was committed: %s', async (isCommitted) => {
        const bytes = sampleBytes(1_000)
        const uploadId = await uploadOf(bytes)
        const { key } = await publish(uploadId, digestOf(bytes), bytes.length)
        const asked: string[] = []

        await store.abandonUpload(uploadId, async (located) => asked.push(located) > 0 && isCommitted)

        expect(asked).toEqual([key])
        expect(await store.uploadSize(uploadId)).toBeUndefined()
        expect(await store.blobSize(key)).toBe(isCommitted ? bytes.length : undefined)
      })
    })

    describe('hashing blobs', () => {
      it.each(['sha256', 'sha512'] as const)('finds the %s of what is under a key', async (algorithm) => {
        const bytes = sampleBytes(3 * mebibyte + 5)
        const key = await blobOf(bytes)

        const { digest } = await store.hashBlob(key, bytes.length, algorithm)

        expect(digest).toBe(digestOf(bytes, algorithm))
      })

      it('refuses a blob that is not there, or shorter', async () => {
        const bytes = sampleBytes(1_000)
        const key = await blobOf(bytes)
        const gone = await blobOf(sampleBytes(10))
        await store.withdraw(gone)

        await expect(store.hashBlob(key, 1_001, 'sha256')).rejects.toMatchObject({ code: 'blob-missing' })
        await expect(store.hashBlob(gone, 10, 'sha256')).rejects.toMatchObject({ code: 'blob-missing' })
        await expect(store.hashBlob('no key', 10, 'sha256')).rejects.toMatchObject({ code: 'blob-missing' })
      })

      it('reads no faster than it is told', async () => {
        const bytes = sampleBytes(2 * mebibyte)
        const key = await blobOf(bytes)
        const startedAtMs = performance.now()

        const { digest } = await store.hashBlob(key, bytes.length, 'sha256', { bytesPerSecond: 2 * mebibyte })

        // The one bound that a slow machine cannot break.
        expect(performance.now() - startedAtMs).toBeGreaterThan(950)
        expect(digest).toBe(digestOf(bytes))
      })

      it('ends when it is called off, in its turn or before it', async () => {
        const bytes = sampleBytes(2 * mebibyte)
        const key = await blobOf(bytes)
        const stop = new AbortController()
        const slowly = { bytesPerSecond: 1024, signal: stop.signal }
        // More than are hashed side by side, so that some wait.
        const hashing = Array.from({ length: 10 }, () => store.hashBlob(key, bytes.length, 'sha256', slowly))
        const settled = Promise.allSettled(hashing)
        await setTimeout(100)

        stop.abort(new Error('called off'))

        for (const result of await settled) expect(result).toMatchObject({ status: 'rejected', reason: stop.signal.reason })
        await expect(store.hashBlob(key, bytes.length, 'sha256', slowly)).rejects.toBe(stop.signal.reason)
        expect((await store.hashBlob(key, bytes.length, 'sha256')).digest).toBe(digestOf(bytes))
      })
    })

    describe('owned buffers', () => {
      it('are written whole', async () => {
        const bytes = sampleBytes(3 * mebibyte + 5)
        const uploadId = await startUpload()
        // Copies that own their memory, as those of a network connection do.
        const chunks = [0, 1, 2, 3].map((n) => new Uint8Array(bytes.subarray(n * mebibyte, (n + 1) * mebibyte)))

        const result = await store.append(uploadId, 0, Readable.from(chunks), { ownsBuffers: true })

        expect(result.writtenBytes).toBe(bytes.length)
        expect(await contentOfUpload(uploadId)).toBe(digestOf(bytes))
      })
    })

    describe('recovery', () => {
      const nobody: RecoveryQuestions = { isLocated: async () => false, isOpenSession: async () => false }
      const nothing = {
        discardedUploads: 0,
        keptUploads: 0,
        committedUploads: 0,
        withdrawnBlobs: 0,
        unmatchedUploads: 0,
      }

      async function recover(ask: Partial<RecoveryQuestions>) {
        const next = await harness.reopen()
        try {
          return await next.recover({ ...nobody, ...ask })
        } finally {
          await next.close()
        }
      }

      it('finds nothing to do in a store that was left in order', async () => {
        const key = await blobOf(sampleBytes(10))

        expect(await recover({ isLocated: async () => true })).toEqual(nothing)
        expect(await contentOf(key)).toEqual(sampleBytes(10))
      })

      it('removes a half-written upload that no session owns', async () => {
        const uploadId = await uploadOf(sampleBytes(1_000))

        expect(await recover({})).toEqual({ ...nothing, discardedUploads: 1 })
        expect(await store.uploadSize(uploadId)).toBeUndefined()
      })

      it('keeps a half-written upload whose session is open', async () => {
        const bytes = sampleBytes(1_000)
        const uploadId = await uploadOf(bytes)

        expect(await recover({ isOpenSession: async (id) => id === uploadId })).toEqual({ ...nothing, keptUploads: 1 })
        expect(await contentOfUpload(uploadId)).toBe(digestOf(bytes))
      })

      it.each([0, 1, mebibyte + 1])('keeps a committed blob of %d bytes', async (sizeBytes) => {
        const bytes = sampleBytes(sizeBytes)
        const uploadId = await uploadOf(bytes)
        const { key } = await publish(uploadId, digestOf(bytes), sizeBytes)

        const report = await recover({ isLocated: async (asked) => asked === key, isOpenSession: async () => true })

        expect(report).toEqual({ ...nothing, committedUploads: 1 })
        expect(await store.uploadSize(uploadId)).toBeUndefined()
        expect((await contentOf(key)).equals(bytes)).toBe(true)
      })

      it.each(['sha256', 'sha512'] as const)('withdraws a %s blob that was never committed', async (algorithm) => {
        const bytes = sampleBytes(1_000)
        const uploadId = await uploadOf(bytes)
        const { key } = await publish(uploadId, digestOf(bytes, algorithm), 1_000, 'other')

        expect(await recover({})).toEqual({ ...nothing, withdrawnBlobs: 1, discardedUploads: 1 })
        await expect(store.open(key)).rejects.toMatchObject({ code: 'blob-missing' })
        expect(await store.uploadSize(uploadId)).toBeUndefined()
      })

      it('lets an open session go on after its blob was withdrawn', async () => {
        const bytes = sampleBytes(1_000)
        const uploadId = await uploadOf(bytes)
        const { key } = await publish(uploadId, digestOf(bytes), 1_000)

        const report = await recover({ isOpenSession: async () => true })

        expect(report).toEqual({ ...nothing, withdrawnBlobs: 1, keptUploads: 1 })
        await expect(store.open(key)).rejects.toMatchObject({ code: 'blob-missing' })
        expect(await store.publish(uploadId, 'default', digestOf(bytes), 1_000)).toMatchObject({ key })
        expect(await contentOf(key)).toEqual(bytes)
      })

      it('settles many uploads in different states at once, and finds nothing the second time', async () => {
        const bytes = sampleBytes(100)
        await uploadOf(bytes)
        const open = await uploadOf(bytes)
        const committed = await publish(await uploadOf(bytes), digestOf(bytes), 100)
        await publish(await uploadOf(bytes), digestOf(bytes), 100)
        const ask = {
          isLocated: async (key: string) => key === committed.key,
          isOpenSession: async (uploadId: string) => uploadId === open,
        }

        const reports = [await recover(ask), await recover(ask)]

        expect(reports).toEqual([
          { discardedUploads: 2, keptUploads: 1, committedUploads: 1, withdrawnBlobs: 1, unmatchedUploads: 0 },
          { ...nothing, keptUploads: 1 },
        ])
        expect(await contentOf(committed.key)).toEqual(bytes)
      })
    })
  })
}

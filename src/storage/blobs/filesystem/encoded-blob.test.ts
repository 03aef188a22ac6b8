import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BytesInFlight } from '../../../internal/bytes-in-flight.ts'
import { parseDigest, type Digest } from '../../../values/digest.ts'
import type { BlobStore } from '../blob-store.ts'
import { openBlobStores } from '../open-blob-stores.ts'
import type { TieredBlobStore } from '../tiered-blob-store.ts'
import { contentSizeOf, encoded } from '../zstd-frame.ts'

function digestOf(bytes: Uint8Array): Digest {
  return parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`)
}

/** Compresses by half, and no two blocks of it are alike. */
function text(sizeBytes: number): Buffer {
  return Buffer.from(randomBytes(sizeBytes / 2).toString('hex'))
}

async function* parts(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 40_000) yield bytes.subarray(at, at + 40_000)
  await Promise.resolve()
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const part of source) all.push(part)
  return Buffer.concat(all)
}

describe('blobs that are kept as zstd frames', () => {
  const bytesInFlight = new BytesInFlight()
  let dir: string
  let stores: TieredBlobStore
  let archive: BlobStore

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'stowage-encoded-'))
    stores = await openBlobStores({ dataDir: dir, archiveDir: join(dir, 'archive') }, bytesInFlight)
    archive = stores.archive
  })
  afterEach(async () => {
    expect(bytesInFlight.inUseBytes).toBe(0)
    await stores.close()
    await rm(dir, { recursive: true })
  })

  async function published(bytes: Buffer, uploadId = randomUUID()): Promise<{ key: string; file: string; uploadId: string; checksums: Uint8Array }> {
    await archive.createUpload(uploadId)
    const { writtenBytes } = await archive.append(uploadId, 0, encoded(parts(bytes), bytes.length))
    const { key } = await archive.publish(uploadId, 'default', digestOf(bytes), writtenBytes, 'zstd')
    const { checksums } = await archive.hashBlob(key, bytes.length, 'sha256')
    return { key, file: join(dir, 'archive', 'blobs', key), uploadId, checksums }
  }

  it.each([0, 1, 255, 256, 65_536, 70_000, 3_000_000])('gives back the bytes of a blob of %i bytes, and any part of them', async (sizeBytes) => {
    const bytes = text(sizeBytes * 2).subarray(0, sizeBytes)
    const { key, checksums } = await published(bytes)

    expect(await archive.blobSize(key)).toBe(sizeBytes)
    expect((await archive.hashBlob(key, sizeBytes, 'sha256')).digest).toBe(digestOf(bytes))
    const blob = await archive.open(key, { sizeBytes, loadChecksums: () => Promise.resolve(checksums) })
    expect((await collect(blob.read())).equals(bytes)).toBe(true)
    for (const [start, endExclusive] of [[0, 1], [65_535, 65_537], [66_000, 70_000], [2_900_000, 3_000_000]] as const) {
      if (endExclusive > sizeBytes) continue
      expect((await collect(blob.read({ start, endExclusive }))).equals(bytes.subarray(start, endExclusive))).toBe(true)
    }
    const taken: Buffer[] = []
    const sink = new Writable({
      write(part: Buffer, _, done) {
        taken.push(Buffer.from(part))
        done()
      },
    })
    await blob.pump(sink, { start: 0, endExclusive: sizeBytes }, new AbortController().signal)
    expect(Buffer.concat(taken).equals(bytes)).toBe(true)
    await blob.close()
  })

  it('keeps a frame that any zstd program reads', async () => {
    const bytes = text(100_000)
    const { file } = await published(bytes)

    const frame = await readFile(file)

    expect(frame.length).toBeLessThan(bytes.length * 0.6)
    expect(zstdDecompressSync(frame).equals(bytes)).toBe(true)
  })

  it('delivers nothing of a block that is damaged, wherever the damage is', async () => {
    const bytes = text(400_000)
    const { key, file, checksums } = await published(bytes)
    const good = await readFile(file)
    for (const at of [30, Math.floor(good.length / 2), good.length - 6]) {
      const bad = Buffer.from(good)
      bad[at]! ^= 0x55
      await writeFile(file, bad)
      const blob = await archive.open(key, { sizeBytes: bytes.length, loadChecksums: () => Promise.resolve(checksums) })
      const got: Buffer[] = []
      const reading = (async () => {
        for await (const part of blob.read()) got.push(part)
      })()
      await expect(reading).rejects.toMatchObject({ code: 'blob-corrupt' })
      const delivered = Buffer.concat(got)
      expect(delivered.equals(bytes.subarray(0, delivered.length))).toBe(true)
      expect(delivered.length).toBeLessThan(bytes.length)
      await blob.close()
    }
  })

  it('tells of a frame that was cut short', async () => {
    const bytes = text(300_000)
    const { key, file } = await published(bytes)
    await truncate(file, (await stat(file)).size - 5000)

    const blob = await archive.open(key)
    await expect(collect(blob.read())).rejects.toMatchObject({ code: 'blob-corrupt' })
    await blob.close()
    await expect(archive.hashBlob(key, bytes.length, 'sha256')).rejects.toMatchObject({ code: 'blob-corrupt' })
    await truncate(file, 3)
    expect(await archive.blobSize(key)).not.toBe(bytes.length)
    await expect(archive.open(key, { sizeBytes: bytes.length })).rejects.toMatchObject({ code: 'blob-corrupt' })
  })

  it('withdraws a copy that was published and never committed, and keeps one that was', async () => {
    const [lost, kept] = [await published(text(200_000)), await published(text(200_000))]
    const plain = randomUUID()
    await archive.createUpload(plain)

    const report = await archive.recover({ isLocated: (key) => Promise.resolve(key === kept.key), isOpenSession: () => Promise.resolve(false) })

    expect(report).toMatchObject({ withdrawnBlobs: 1, committedUploads: 1, discardedUploads: 2, unmatchedUploads: 0 })
    expect(await archive.blobSize(lost.key)).toBeUndefined()
    expect(await archive.blobSize(kept.key)).toBe(200_000)
  })

  it('puts a blob back under its key as a frame, and refuses other bytes', async () => {
    const bytes = text(500_000)
    const { key, file, uploadId } = await published(bytes)
    await archive.discardUpload(uploadId)
    await writeFile(file, 'damaged')
    await expect(archive.putBack(key, bytes.length, parts(text(500_000)))).rejects.toMatchObject({ code: 'blob-corrupt' })
    await expect(archive.putBack(key, bytes.length, parts(bytes.subarray(1)))).rejects.toMatchObject({ code: 'blob-corrupt' })
    await expect(archive.putBack(key, bytes.length, parts(Buffer.concat([bytes, bytes])))).rejects.toMatchObject({ code: 'blob-corrupt' })

    await stores.putBack(stores.archiveKey(key), bytes.length, parts(bytes))

    expect(zstdDecompressSync(await readFile(file)).equals(bytes)).toBe(true)
    expect((await stores.hashBlob(stores.archiveKey(key), bytes.length, 'sha256')).digest).toBe(digestOf(bytes))
  })

  it('reads the size that a frame says, of every form of its header', () => {
    for (const sizeBytes of [0, 1, 255, 256, 65_535, 65_536, 66_000, 3_000_000]) {
      expect(contentSizeOf(zstdCompressSync(Buffer.alloc(sizeBytes), { pledgedSrcSize: sizeBytes }))).toBe(sizeBytes)
    }
    const huge = Buffer.from('28b52ffdc058000000000100000000', 'hex')
    expect(contentSizeOf(huge)).toBe(2 ** 32)
    expect(contentSizeOf(Buffer.from('no frame at all'))).toBeUndefined()
    expect(contentSizeOf(Buffer.alloc(0))).toBeUndefined()
  })

  it('finds every blob by its key, in whichever store it is', async () => {
    const [active, archived] = [text(1000), text(2000)]
    const { key } = await published(archived)
    const uploadId = randomUUID()
    await stores.createUpload(uploadId)
    await stores.append(uploadId, 0, parts(active))
    const { key: activeKey } = await stores.publish(uploadId, 'default', digestOf(active), active.length)
    const archiveKey = stores.archiveKey(key)

    expect([stores.storeOf(activeKey), stores.storeOf(archiveKey)]).toEqual(['filesystem', 'archive'])
    const listed: string[] = []
    for await (const blob of stores.list()) listed.push(blob.key)
    expect(listed).toEqual([archiveKey, activeKey])
    for (const [held, bytes] of [[activeKey, active], [archiveKey, archived]] as const) {
      const blob = await stores.open(held)
      expect((await collect(blob.read())).equals(bytes)).toBe(true)
      await blob.close()
    }
    await stores.hold({ id: randomUUID(), owner: 'a backup', untilMs: 1000 })
    const keys = [archiveKey, activeKey]
    expect(await stores.delete(keys, 500)).toEqual(new Map(keys.map((key) => [key, 'held'])))
    expect(await stores.delete(keys, 2000)).toEqual(new Map(keys.map((key) => [key, 'deleted'])))
    expect([await stores.blobSize(activeKey), await stores.blobSize(archiveKey)]).toEqual([undefined, undefined])
  })
})

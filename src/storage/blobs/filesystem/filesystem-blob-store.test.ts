import { link, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { Writable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BytesInFlight } from '../../../internal/bytes-in-flight.ts'
import { isPlatformError } from '../../../internal/platform-error.ts'
import { digestOf } from '../../../values/digest.ts'
import type { BlobStore } from '../blob-store.ts'
import { checksumBlockBytes } from '../block-checksums.ts'
import { blobStoreContract, checksumsOf, collector, inChunks, sampleBytes } from '../contract.ts'
import { TestDisk } from './disk.test-support.ts'
import { openFilesystemBlobStore } from './filesystem-blob-store.ts'

const uploadId = '0b8a5e0e-6a1c-4c3e-9a0f-3f0f4b1f7c55'
const generation = '0b8a5e0e6a1c4c3e9a0f3f0f4b1f7c55'
const mebibyte = 1024 * 1024

async function filesBelow(dataDir: string): Promise<string[]> {
  const entries = await readdir(dataDir, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => relative(dataDir, join(entry.parentPath, entry.name)))
}

blobStoreContract('the filesystem store', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'stowage-blobs-'))
  const bytesInFlight = new BytesInFlight()
  const testDisk = new TestDisk()
  const open = () => openFilesystemBlobStore({ dataDir, bytesInFlight, disk: testDisk.disk })
  const store = await open()
  return {
    store,
    reopen: open,
    leftovers: () => filesBelow(dataDir),
    damage: async (key, change) => {
      const path = join(dataDir, 'blobs', key)
      const changed = change(await readFile(path))
      if (changed === undefined) await rm(path)
      else await writeFile(path, changed)
    },
    heldResources: () => bytesInFlight.inUseBytes + testDisk.openDescriptors,
    close: async () => {
      await store.close()
      await rm(dataDir, { recursive: true })
    },
  }
})

describe('the filesystem store', () => {
  let dataDir: string
  let bytesInFlight: BytesInFlight
  let testDisk: TestDisk
  let store: BlobStore

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'stowage-blobs-'))
    bytesInFlight = new BytesInFlight()
    testDisk = new TestDisk()
    store = await openFilesystemBlobStore({ dataDir, bytesInFlight, disk: testDisk.disk })
  })

  afterEach(async () => {
    await store.close()
    await rm(dataDir, { recursive: true })
    expect(testDisk.openDescriptors).toBe(0)
    expect(bytesInFlight.inUseBytes).toBe(0)
  })

  async function push(bytes: Buffer, id = uploadId): Promise<string> {
    await store.createUpload(id)
    await store.append(id, 0, inChunks(bytes, 64 * 1024))
    return (await store.publish(id, 'default', digestOf(bytes), bytes.length)).key
  }

  function changes(): string[] {
    return testDisk.changes().map((change) => change.replaceAll(dataDir, ''))
  }

  it('names a blob by domain, digest and generation', async () => {
    const bytes = sampleBytes(10)
    const hex = digestOf(bytes).slice('sha256:'.length)

    const key = await push(bytes)

    expect(key).toBe(`default/sha256/${hex.slice(0, 2)}/${hex}.${generation}`)
    expect((await filesBelow(dataDir)).toSorted()).toEqual([`blobs/${key}`, `uploads/${uploadId}`])
  })

  it('flushes the data, then links, then flushes the directory, and makes new directories durable first', async () => {
    const bytes = sampleBytes(10)
    testDisk.calls.length = 0

    const key = await push(bytes)

    const path = `/blobs/${key}`
    expect(changes()).toEqual([
      `write /uploads/${uploadId}`,
      `fsync /uploads/${uploadId}`,
      'mkdir /blobs/default',
      'fsync /blobs',
      'mkdir /blobs/default/sha256',
      'fsync /blobs/default',
      `mkdir ${dirname(path)}`,
      'fsync /blobs/default/sha256',
      `link ${path}`,
      `fsync ${dirname(path)}`,
    ])
  })

  it('calls no blob missing when its whole folder was taken away, and serves again when it is back', async () => {
    const bytes = sampleBytes(10)
    const key = await push(bytes)
    const blobsDir = join(dataDir, 'blobs')
    await rename(blobsDir, join(dataDir, 'elsewhere'))

    await expect(store.open(key)).rejects.toMatchObject({ code: 'storage-unavailable' })
    await mkdir(blobsDir)
    await expect(store.open(key)).rejects.toMatchObject({ code: 'storage-unavailable' })
    await expect(store.blobSize(key)).rejects.toMatchObject({ code: 'storage-unavailable' })
    await expect(store.hashBlob(key, 10, 'sha256')).rejects.toMatchObject({ code: 'storage-unavailable' })

    await rm(blobsDir, { recursive: true })
    await rename(join(dataDir, 'elsewhere'), blobsDir)
    expect(await store.blobSize(key)).toBe(10)
  })

  it('checks blocks with the least memory there can be for a read', async () => {
    const bytes = sampleBytes(3 * checksumBlockBytes + 5)
    const key = await push(bytes)
    const lease = bytesInFlight
    lease.hold(lease.limitBytes)
    const checksums = checksumsOf(bytes)
    const blob = await store.open(key, { sizeBytes: bytes.length, loadChecksums: () => Promise.resolve(checksums) })
    for (const [start, endExclusive] of [[0, bytes.length], [70_000, 70_001], [1, checksumBlockBytes], [131_000, 196_600]] as const) {
      const parts: Buffer[] = []
      for await (const part of blob.read({ start, endExclusive })) parts.push(part)
      expect(Buffer.concat(parts).equals(bytes.subarray(start, endExclusive))).toBe(true)
    }
    await blob.close()

    // Behind the range, in its last block, and beyond the one chunk that holds the range.
    bytes[2 * checksumBlockBytes - 1]! ^= 1
    await writeFile(join(dataDir, 'blobs', key), bytes)
    const damaged = await store.open(key, { sizeBytes: bytes.length, loadChecksums: () => Promise.resolve(checksums) })
    const reading = damaged.read({ start: checksumBlockBytes, endExclusive: checksumBlockBytes + 10 })[Symbol.asyncIterator]().next()
    await expect(reading).rejects.toMatchObject({ code: 'blob-corrupt' })
    await damaged.close()
    lease.release(lease.limitBytes)
  })

  it('flushes twice per blob once its directory is known', async () => {
    const bytes = sampleBytes(10)
    await push(bytes)
    testDisk.calls.length = 0

    await push(bytes, '0b8a5e0e-6a1c-4c3e-9a0f-000000000002')

    expect(changes().filter((change) => change.startsWith('fsync'))).toHaveLength(2)
    expect(changes().filter((change) => change.startsWith('mkdir'))).toHaveLength(0)
  })

  it('writes small chunks in large calls', async () => {
    testDisk.calls.length = 0

    await push(sampleBytes(8 * mebibyte))

    const writes = testDisk.calls.filter(({ operation }) => operation === 'write')
    expect(writes.length).toBeLessThanOrEqual(9)
    expect(bytesInFlight.peakBytes).toBeLessThanOrEqual(2 * mebibyte + 128 * 1024)
  })

  it('moves the bytes of one account in large chunks while the slow clients of another hold all memory', async () => {
    const bytes = sampleBytes(8 * mebibyte)
    const key = await push(bytes)
    const slow = bytesInFlight.shareOf('111111111111')
    slow.hold(bytesInFlight.limitBytes)
    const callsOf = async (accountId: string, uploadId: string): Promise<{ reads: number; writes: number }> => {
      testDisk.calls.length = 0
      const blob = await store.open(key)
      const sink = new Writable({ write: (_chunk, _encoding, done) => setImmediate(done) })
      const share = { accountId, turn: <Result>(work: () => Promise<Result>) => work() }
      await blob.pump(sink, { start: 0, endExclusive: bytes.length }, new AbortController().signal, share)
      await blob.close()
      await store.createUpload(uploadId)
      await store.append(uploadId, 0, inChunks(bytes, 64 * 1024), { accountId })
      const count = (operation: string): number => testDisk.calls.filter((call) => call.operation === operation).length
      return { reads: count('read'), writes: count('write') }
    }

    const other = await callsOf('222222222222', '0b8a5e0e-6a1c-4c3e-9a0f-000000000022')
    const own = await callsOf('111111111111', '0b8a5e0e-6a1c-4c3e-9a0f-000000000011')
    slow.release(bytesInFlight.limitBytes)

    expect(other.reads).toBeLessThanOrEqual(8)
    expect(other.writes).toBeLessThanOrEqual(9)
    expect(own.reads).toBe(bytes.length / (16 * 1024))
    expect(own.writes).toBeGreaterThan(2 * other.writes)
  })

  it('finishes writes that the system cuts short', async () => {
    const bytes = sampleBytes(1_500_000)
    testDisk.writeLimitBytes = 100_001

    const key = await push(bytes)

    const blob = await store.open(key)
    const { sink, bytes: pumped } = collector()
    await blob.pump(sink, { start: 0, endExclusive: blob.sizeBytes }, new AbortController().signal)
    await blob.close()
    expect(pumped().equals(bytes)).toBe(true)
  })

  it('never writes into a buffer that a broken receiver may still send', async () => {
    const key = await push(sampleBytes(mebibyte))
    const other = await push(Buffer.alloc(mebibyte), '0b8a5e0e-6a1c-4c3e-9a0f-000000000002')
    const range = { start: 0, endExclusive: mebibyte }
    const broken = Promise.withResolvers<Buffer>()
    const caller = new AbortController()
    const pumping = (await store.open(key)).pump(new Writable({ write: broken.resolve }), range, caller.signal)
    const held = await broken.promise
    caller.abort()
    await expect(pumping).rejects.toMatchObject({ code: 'body-aborted' })

    const blob = await store.open(other)
    await blob.pump(collector().sink, range, new AbortController().signal)
    await blob.close()

    expect(held.equals(sampleBytes(mebibyte))).toBe(true)
  })

  it.each(['', '.', '..', '../x', 'a/b', 'A', '.hidden'])('refuses the domain %j', async (domain) => {
    await store.createUpload(uploadId)

    await expect(store.publish(uploadId, domain, digestOf(Buffer.alloc(0)), 0)).rejects.toThrow('domain')
  })

  describe('on a failing disk', () => {
    it.each(['ENOSPC', 'EDQUOT'])('answers storage-full to %s and keeps what was there', async (code) => {
      await store.createUpload(uploadId)
      await store.append(uploadId, 0, inChunks(sampleBytes(100), 100))
      let writes = 0
      testDisk.fate = ({ operation }) => (operation === 'write' && ++writes === 3 ? code : undefined)

      const appending = store.append(uploadId, 100, inChunks(sampleBytes(6 * mebibyte), 64 * 1024))

      await expect(appending).rejects.toMatchObject({ code: 'storage-full' })
      expect(await store.uploadSize(uploadId)).toBe(100)
    })

    it('lets the same upload go on when there is space again', async () => {
      const bytes = sampleBytes(3 * mebibyte)
      await store.createUpload(uploadId)
      testDisk.fate = ({ operation }) => (operation === 'write' ? 'ENOSPC' : undefined)
      await expect(store.append(uploadId, 0, inChunks(bytes, 65_536))).rejects.toMatchObject({ code: 'storage-full' })
      testDisk.fate = () => undefined

      await store.append(uploadId, 0, inChunks(bytes, 65_536))

      expect(await store.hashUpload(uploadId, bytes.length, 'sha256')).toMatchObject({ digest: digestOf(bytes) })
    })

    it('answers storage-full when no file can be created', async () => {
      testDisk.fate = ({ operation }) => (operation === 'open' ? 'ENOSPC' : undefined)

      await expect(store.createUpload(uploadId)).rejects.toMatchObject({ code: 'storage-full' })
    })

    it('drops an upload whose data could not be flushed, and never flushes it again', async () => {
      const bytes = sampleBytes(100)
      testDisk.fate = ({ operation, path }) => (operation === 'fsync' && path.endsWith(uploadId) ? 'EIO' : undefined)

      await expect(push(bytes)).rejects.toMatchObject({ code: 'storage-unavailable' })
      testDisk.fate = () => undefined

      const again = store.publish(uploadId, 'default', digestOf(bytes), 100)
      await expect(again).rejects.toMatchObject({ code: 'upload-missing' })
      expect(await filesBelow(dataDir)).toEqual([])
    })

    it('withdraws a blob whose directory could not be flushed', async () => {
      const bytes = sampleBytes(100)
      const shard = digestOf(bytes).slice('sha256:'.length, 'sha256:'.length + 2)
      testDisk.fate = ({ operation, path }) => (operation === 'fsync' && path.endsWith(`/${shard}`) ? 'EIO' : undefined)

      await expect(push(bytes)).rejects.toMatchObject({ code: 'storage-unavailable' })

      expect(await filesBelow(dataDir)).toEqual([])
    })

    it('keeps an earlier publication when repeating it fails', async () => {
      const bytes = sampleBytes(100)
      const key = await push(bytes)
      testDisk.fate = ({ operation, path }) => (operation === 'fsync' && !path.endsWith(uploadId) ? 'EIO' : undefined)

      const again = store.publish(uploadId, 'default', digestOf(bytes), 100)

      await expect(again).rejects.toMatchObject({ code: 'storage-unavailable' })
      expect(await filesBelow(dataDir)).toEqual([`blobs/${key}`])
    })

    it('trusts no directory whose parent could not be flushed', async () => {
      const bytes = sampleBytes(100)
      testDisk.fate = ({ operation, path }) => (operation === 'fsync' && path.endsWith('/blobs') ? 'EIO' : undefined)
      await expect(push(bytes)).rejects.toMatchObject({ code: 'storage-unavailable' })
      testDisk.fate = () => undefined

      const next = push(bytes, '0b8a5e0e-6a1c-4c3e-9a0f-000000000002')

      await expect(next).rejects.toMatchObject({ code: 'storage-unavailable' })
    })

    it('flushes a directory when it can be opened again, after it could not for want of descriptors', async () => {
      const bytes = sampleBytes(100)
      testDisk.fate = ({ operation, path }) => (operation === 'open' && path.endsWith('/blobs') ? 'EMFILE' : undefined)
      await expect(push(bytes)).rejects.toMatchObject({ code: 'storage-unavailable' })
      testDisk.fate = () => undefined
      testDisk.calls.length = 0

      await push(bytes, '0b8a5e0e-6a1c-4c3e-9a0f-000000000002')

      expect(testDisk.changes()).toContain(`fsync ${join(dataDir, 'blobs')}`)
    })

    it('says that a blob is corrupt when its bytes end early', async () => {
      const key = await push(sampleBytes(100_000))
      const blob = await store.open(key)
      await truncate(join(dataDir, 'blobs', key), 50_000)

      const pumping = blob.pump(collector().sink, { start: 0, endExclusive: 100_000 }, new AbortController().signal)

      await expect(pumping).rejects.toMatchObject({ code: 'blob-corrupt' })
    })

    it.each([
      { operation: 'open', code: 'EMFILE' },
      { operation: 'read', code: 'EIO' },
    ])('answers storage-unavailable when $operation fails with $code', async ({ operation, code }) => {
      const key = await push(sampleBytes(10))
      testDisk.fate = (call) => (call.operation === operation ? code : undefined)

      const reading = store.open(key).then(async (blob) => {
        await blob.pump(collector().sink, { start: 0, endExclusive: 10 }, new AbortController().signal)
      })

      await expect(reading).rejects.toMatchObject({ code: 'storage-unavailable' })
    })

    it('reports an upload that cannot be read for hashing', async () => {
      await store.createUpload(uploadId)
      await rm(join(dataDir, 'uploads', uploadId))

      await expect(store.hashUpload(uploadId, 0, 'sha256')).rejects.toMatchObject({ code: 'upload-missing' })
    })

    it.each(['EIO', 'ENOSPC', 'EMFILE'])('leaves nothing wrong behind, whichever call fails with %s', async (code) => {
      const bytes = sampleBytes(200_000)
      await push(bytes, '0b8a5e0e-6a1c-4c3e-9a0f-00000000ffff')
      const callsBefore = testDisk.calls.length
      await push(bytes, '0b8a5e0e-6a1c-4c3e-9a0f-00000000fffe')
      const callsOfOnePush = testDisk.calls.length - callsBefore
      await store.recover({ isLocated: async () => true, isOpenSession: async () => false })
      const earlier = (await filesBelow(dataDir)).length

      for (let nth = 0; nth < callsOfOnePush; nth += 1) {
        const id = `0b8a5e0e-6a1c-4c3e-9a0f-${String(nth).padStart(12, '0')}`
        const failing = testDisk.calls.length + nth
        testDisk.fate = (_call, index) => (index === failing ? code : undefined)
        const failure = await push(bytes, id).then(
          () => undefined,
          (error: unknown) => error,
        )
        testDisk.fate = () => undefined

        expect(isPlatformError(failure), `call ${nth} of ${callsOfOnePush}`).toBe(true)
        expect(testDisk.openDescriptors).toBe(0)
        await store.recover({ isLocated: async (key) => !key.endsWith(id.replaceAll('-', '')), isOpenSession: async () => false })
        expect(await filesBelow(dataDir)).toHaveLength(earlier)
      }
    })
  })

  describe('recovery', () => {
    const nobody = { isLocated: async () => false, isOpenSession: async () => false }

    it('looks at uploads only', async () => {
      const key = await push(sampleBytes(10))
      await store.discardUpload(uploadId)
      testDisk.calls.length = 0

      await store.recover(nobody)

      expect(testDisk.calls.map(({ operation, path }) => `${operation} ${relative(dataDir, path)}`)).toEqual([
        'readdir uploads',
      ])
      expect(await filesBelow(dataDir)).toEqual([`blobs/${key}`])
    })

    it('makes the withdrawal durable before the upload loses its name', async () => {
      const key = await push(sampleBytes(10))
      testDisk.calls.length = 0

      await store.recover(nobody)

      expect(changes()).toEqual([`unlink /blobs/${key}`, `fsync /blobs/${dirname(key)}`, `unlink /uploads/${uploadId}`])
    })

    it('treats an upload linked from elsewhere as never published', async () => {
      await store.createUpload(uploadId)
      await store.append(uploadId, 0, inChunks(sampleBytes(10), 10))
      await link(join(dataDir, 'uploads', uploadId), join(dataDir, 'backup'))

      const report = await store.recover(nobody)

      expect(report).toMatchObject({ unmatchedUploads: 1, discardedUploads: 1, withdrawnBlobs: 0 })
      expect(await filesBelow(dataDir)).toEqual(['backup'])
    })

    it('withdraws a link whose directory was never flushed, also when the blob has a third name', async () => {
      const key = await push(sampleBytes(10))
      await link(join(dataDir, 'blobs', key), join(dataDir, 'backup'))

      const report = await store.recover(nobody)

      expect(report).toMatchObject({ withdrawnBlobs: 1, discardedUploads: 1, unmatchedUploads: 0 })
      expect((await stat(join(dataDir, 'backup'))).nlink).toBe(1)
    })

    it('leaves alone what is no upload and no domain', async () => {
      await push(sampleBytes(10))
      for (const directory of ['uploads', 'blobs']) await writeFile(join(dataDir, directory, 'lost+found'), '')

      await store.recover(nobody)

      expect((await filesBelow(dataDir)).toSorted()).toEqual(['blobs/lost+found', 'uploads/lost+found'])
    })
  })
})

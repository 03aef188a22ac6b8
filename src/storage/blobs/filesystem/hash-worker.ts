import { createHash, type Hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort } from 'node:worker_threads'
import type { DigestAlgorithm } from '../../../values/digest.ts'
import { isPlatformError } from '../../../internal/platform-error.ts'
import type { BlobEncoding } from '../blob-store.ts'
import { BlockChecksums } from '../block-checksums.ts'
import { decoded } from '../zstd-frame.ts'
import { nodeDisk } from './disk.ts'
import { systemCode } from './disk-error.ts'

/** Large enough that reading costs little beside hashing, small enough that several files advance together. */
const readBytes = 1024 * 1024

/** Of a compressed file: several of these decoded are in memory at a time. */
const decodedReadBytes = 128 * 1024

export interface HashJob {
  readonly id: number
  readonly path: string
  readonly sizeBytes: number
  readonly algorithm: DigestAlgorithm
  readonly bytesPerSecond: number | undefined
  readonly encoding: BlobEncoding
}

export type HashMessage = HashJob | { readonly cancelledId: number }

/** `found` when all went well; `systemError` when the disk failed; `isCorrupt` when a file decodes to nothing of that size; none when it is shorter than asked. */
export interface HashAnswer {
  readonly id: number
  readonly found?: { readonly hex: string; readonly checksums: Uint8Array } | undefined
  readonly isCorrupt?: true | undefined
  readonly systemError?: string | undefined
}

/** A timer is exact to a millisecond or two, so a shorter wait would not keep to the rate. */
const leastWaitMs = 20

/** Jobs that are being worked on, and may still be called off. */
const running = new Map<number, AbortController>()

async function answer(job: HashJob): Promise<HashAnswer> {
  const cancelled = new AbortController()
  running.set(job.id, cancelled)
  try {
    return { id: job.id, found: await hashFile(job, cancelled.signal) }
  } catch (error) {
    if (isPlatformError(error, 'blob-corrupt')) return { id: job.id, isCorrupt: true }
    return { id: job.id, systemError: systemCode(error) ?? 'UNKNOWN' }
  } finally {
    running.delete(job.id)
  }
}

async function hashFile(job: HashJob, cancelled: AbortSignal): Promise<HashAnswer['found']> {
  const descriptor = await nodeDisk.open(job.path, 'r')
  try {
    const hash = createHash(job.algorithm)
    const checksums = new BlockChecksums()
    const isWhole = job.encoding === 'zstd' ? await updateDecoded([hash, checksums], descriptor, job, cancelled) : await update([hash, checksums], descriptor, job, cancelled)
    if (!isWhole) return undefined
    return { hex: hash.digest('hex'), checksums: checksums.finish() }
  } finally {
    await nodeDisk.close(descriptor)
  }
}

/** False when the file ends before `sizeBytes`. Throws when it is called off. */
async function update(
  sums: readonly (Hash | BlockChecksums)[],
  descriptor: number,
  { sizeBytes, bytesPerSecond = Number.POSITIVE_INFINITY }: HashJob,
  cancelled: AbortSignal,
): Promise<boolean> {
  const startedAtMs = performance.now()
  const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(readBytes, sizeBytes)))
  let position = 0
  while (position < sizeBytes) {
    const wanted = buffer.subarray(0, Math.min(buffer.length, sizeBytes - position))
    const gotBytes = await nodeDisk.read(descriptor, wanted, position)
    if (gotBytes === 0) return false
    for (const sum of sums) sum.update(wanted.subarray(0, gotBytes))
    position += gotBytes
    cancelled.throwIfAborted()
    const aheadMs = startedAtMs + (position / bytesPerSecond) * 1000 - performance.now()
    if (aheadMs >= leastWaitMs) await sleep(aheadMs, undefined, { signal: cancelled })
  }
  return true
}

/** The same for what the file decodes to. Throws `blob-corrupt` where it is no frame of `sizeBytes`. The rate is that of the decoded bytes. */
async function updateDecoded(
  sums: readonly (Hash | BlockChecksums)[],
  descriptor: number,
  { sizeBytes, bytesPerSecond = Number.POSITIVE_INFINITY }: HashJob,
  cancelled: AbortSignal,
): Promise<true> {
  const startedAtMs = performance.now()
  let position = 0
  for await (const bytes of decoded(fileBytes(descriptor), sizeBytes)) {
    for (const sum of sums) sum.update(bytes)
    position += bytes.length
    cancelled.throwIfAborted()
    const aheadMs = startedAtMs + (position / bytesPerSecond) * 1000 - performance.now()
    if (aheadMs >= leastWaitMs) await sleep(aheadMs, undefined, { signal: cancelled })
  }
  return true
}

async function* fileBytes(descriptor: number): AsyncGenerator<Buffer, void, undefined> {
  for (let position = 0; ; ) {
    const buffer = Buffer.allocUnsafe(decodedReadBytes)
    const gotBytes = await nodeDisk.read(descriptor, buffer, position)
    if (gotBytes === 0) return
    position += gotBytes
    yield buffer.subarray(0, gotBytes)
  }
}

parentPort?.on('message', (message: HashMessage) => {
  if ('cancelledId' in message) {
    running.get(message.cancelledId)?.abort()
    return
  }
  void answer(message).then((result) => parentPort?.postMessage(result))
})

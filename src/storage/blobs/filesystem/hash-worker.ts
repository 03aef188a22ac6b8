import { createHash, type Hash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import type { DigestAlgorithm } from '../../../values/digest.ts'
import { nodeDisk } from './disk.ts'
import { systemCode } from './disk-error.ts'

/** Large enough that reading costs little beside hashing, small enough that several files advance together. */
const readBytes = 1024 * 1024

export interface HashJob {
  readonly id: number
  readonly path: string
  readonly sizeBytes: number
  readonly algorithm: DigestAlgorithm
}

/** `hex` when all went well; `systemError` when the disk failed; neither when the file is shorter than asked. */
export interface HashAnswer {
  readonly id: number
  readonly hex?: string | undefined
  readonly systemError?: string | undefined
}

async function answer(job: HashJob): Promise<HashAnswer> {
  try {
    return { id: job.id, hex: await hashFile(job) }
  } catch (error) {
    return { id: job.id, systemError: systemCode(error) ?? 'UNKNOWN' }
  }
}

async function hashFile(job: HashJob): Promise<string | undefined> {
  const descriptor = await nodeDisk.open(job.path, 'r')
  try {
    const hash = createHash(job.algorithm)
    return (await update(hash, descriptor, job.sizeBytes)) ? hash.digest('hex') : undefined
  } finally {
    await nodeDisk.close(descriptor)
  }
}

/** False when the file ends before `sizeBytes`. */
async function update(hash: Hash, descriptor: number, sizeBytes: number): Promise<boolean> {
  const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(readBytes, sizeBytes)))
  let position = 0
  while (position < sizeBytes) {
    const wanted = buffer.subarray(0, Math.min(buffer.length, sizeBytes - position))
    const gotBytes = await nodeDisk.read(descriptor, wanted, position)
    if (gotBytes === 0) return false
    hash.update(wanted.subarray(0, gotBytes))
    position += gotBytes
  }
  return true
}

parentPort?.on('message', (job: HashJob) => {
  void answer(job).then((result) => parentPort?.postMessage(result))
})

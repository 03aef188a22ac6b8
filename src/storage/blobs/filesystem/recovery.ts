import { dirname, join } from 'node:path'
import type { Digest, DigestAlgorithm } from '../../../values/digest.ts'
import type { HashedBytes, RecoveryQuestions, RecoveryReport } from '../blob-store.ts'
import type { Disk, FileFacts } from './disk.ts'
import { systemCode } from './disk-error.ts'
import { fsyncDirectory } from './durable-directories.ts'
import { generationOf, isDomain, isUploadId, type BlobPlace, type Layout } from './layout.ts'

export interface RecoveryOptions {
  readonly disk: Disk
  readonly layout: Layout
  readonly hashFile: (path: string, sizeBytes: number, algorithm: DigestAlgorithm) => Promise<HashedBytes>
  /** Of what a file decodes to; undefined for one that is not encoded. */
  readonly hashEncoded: (path: string, algorithm: DigestAlgorithm) => Promise<Digest | undefined>
  readonly ask: RecoveryQuestions
}

/**
 * A crash leaves an upload in one of these states, told apart by the number of names its file has:
 *
 * - one: never published. Belongs to an open session, or to nobody.
 * - two, and the metadata has the key: published and committed; only the upload's own name was left to remove.
 * - two, and the metadata has not: the crash came between publication and commit, and the publication is withdrawn.
 *
 * A file with two names is hashed, since its other name contains its digest. Names that are no upload id are left alone.
 */
export async function recoverUploads(options: RecoveryOptions): Promise<RecoveryReport> {
  const { disk, layout } = options
  const counts = { discardedUploads: 0, keptUploads: 0, committedUploads: 0, withdrawnBlobs: 0, unmatchedUploads: 0 }
  for (const uploadId of await disk.readdir(layout.uploadsDir)) {
    if (!isUploadId(uploadId)) continue
    for (const outcome of await recoverUpload(options, uploadId)) counts[outcome] += 1
  }
  return counts
}

/** Settles one upload that nobody is writing to. Throws the system's ENOENT when there is none. */
export async function recoverUpload(options: RecoveryOptions, uploadId: string): Promise<(keyof RecoveryReport)[]> {
  const { disk, layout, ask } = options
  const path = join(layout.uploadsDir, uploadId)
  const facts = await disk.stat(path)
  const outcomes: (keyof RecoveryReport)[] = []
  if (facts.linkCount > 1) {
    const place = await findPublication(options, path, facts, uploadId)
    if (place !== undefined && (await ask.isLocated(place.key))) {
      await disk.unlink(path)
      return ['committedUploads']
    }
    if (place === undefined) {
      outcomes.push('unmatchedUploads')
    } else {
      await disk.unlink(place.path)
      // Before the upload's own name goes: a publication that came back without it would never be found again.
      await fsyncDirectory(disk, dirname(place.path))
      outcomes.push('withdrawnBlobs')
    }
  }
  if (await ask.isOpenSession(uploadId)) return [...outcomes, 'keptUploads']
  await disk.unlink(path)
  return [...outcomes, 'discardedUploads']
}

async function findPublication(
  { disk, layout, hashFile, hashEncoded }: RecoveryOptions,
  path: string,
  facts: FileFacts,
  uploadId: string,
): Promise<BlobPlace | undefined> {
  // Where the directory is a volume of its own, it also has entries that are no domain.
  const domains = (await disk.readdir(layout.blobsDir)).filter(isDomain)
  for (const algorithm of ['sha256', 'sha512'] as const) {
    const { digest } = await hashFile(path, facts.sizeBytes, algorithm)
    // A copy for the archive is named by what it decodes to. A blob that is a frame itself may be either.
    const decodedDigest = await hashEncoded(path, algorithm)
    const generation = generationOf(uploadId)
    for (const domain of domains) {
      const places = [layout.blobPlace(domain, digest, generation)]
      if (decodedDigest !== undefined) places.push(layout.blobPlace(domain, decodedDigest, generation, 'zstd'))
      for (const place of places) if (await exists(disk, place.path)) return place
    }
  }
  return undefined
}

async function exists(disk: Disk, path: string): Promise<boolean> {
  try {
    await disk.stat(path)
    return true
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    throw error
  }
}

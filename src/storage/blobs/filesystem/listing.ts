import { join } from 'node:path'
import type { ListedBlob, ListedUpload } from '../blob-store.ts'
import type { Disk, FileFacts } from './disk.ts'
import { fromDisk, systemCode } from './disk-error.ts'
import { isDomain, isUploadId, uploadOf, type Layout } from './layout.ts'

/**
 * The published files in the order of their keys, after `afterKey` where one is given; folders before it are not looked into. Holds
 * the names of one directory of each level at a time.
 */
export async function* listBlobs(disk: Disk, layout: Layout, afterKey = ''): AsyncGenerator<ListedBlob, void, undefined> {
  const [afterDomain = '', afterAlgorithm = '', afterShard = '', afterName = ''] = afterKey.split('/')
  try {
    for (const domain of (await sorted(disk, layout.blobsDir, afterDomain)).filter(isDomain)) {
      const isAtDomain = domain === afterDomain
      for (const algorithm of await sorted(disk, join(layout.blobsDir, domain), isAtDomain ? afterAlgorithm : '')) {
        const isAtAlgorithm = isAtDomain && algorithm === afterAlgorithm
        for (const shard of await sorted(disk, join(layout.blobsDir, domain, algorithm), isAtAlgorithm ? afterShard : '')) {
          const isAtShard = isAtAlgorithm && shard === afterShard
          for (const name of await sorted(disk, join(layout.blobsDir, domain, algorithm, shard), isAtShard ? afterName : '')) {
            if (isAtShard && name === afterName) continue
            const key = `${domain}/${algorithm}/${shard}/${name}`
            const place = layout.placeOfKey(key)
            if (place === undefined) continue
            const facts = await factsOf(disk, place.path)
            if (facts !== undefined) yield { key, sizeBytes: facts.sizeBytes, changedAtMs: facts.changedAtMs, uploadId: uploadOf(place.generation) }
          }
        }
      }
    }
  } catch (error) {
    throw fromDisk(error, 'list')
  }
}

/** The growing files, and those of uploads that were published and not yet tidied up. */
export async function* listUploads(disk: Disk, layout: Layout): AsyncGenerator<ListedUpload, void, undefined> {
  try {
    for (const uploadId of (await sorted(disk, layout.uploadsDir)).filter(isUploadId)) {
      const facts = await factsOf(disk, join(layout.uploadsDir, uploadId))
      if (facts !== undefined) yield { uploadId, sizeBytes: facts.sizeBytes, changedAtMs: facts.changedAtMs }
    }
  } catch (error) {
    throw fromDisk(error, 'list uploads')
  }
}

/** The names from `first` on. Empty for what is no directory, or is none any more. */
async function sorted(disk: Disk, path: string, first = ''): Promise<string[]> {
  try {
    return (await disk.readdir(path)).filter((name) => name >= first).sort()
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}

async function factsOf(disk: Disk, path: string): Promise<FileFacts | undefined> {
  try {
    return await disk.stat(path)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

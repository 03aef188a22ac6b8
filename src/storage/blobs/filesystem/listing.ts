import { join } from 'node:path'
import type { ListedBlob } from '../blob-store.ts'
import type { Disk } from './disk.ts'
import { fromDisk, systemCode } from './disk-error.ts'
import { isDomain, type Layout } from './layout.ts'

/** The published files in the order of their keys. Holds the names of one directory of each level at a time. */
export async function* listBlobs(disk: Disk, layout: Layout): AsyncGenerator<ListedBlob, void, undefined> {
  try {
    for (const domain of (await sorted(disk, layout.blobsDir)).filter(isDomain)) {
      for (const algorithm of await sorted(disk, join(layout.blobsDir, domain))) {
        for (const shard of await sorted(disk, join(layout.blobsDir, domain, algorithm))) {
          for (const name of await sorted(disk, join(layout.blobsDir, domain, algorithm, shard))) {
            const key = `${domain}/${algorithm}/${shard}/${name}`
            const place = layout.placeOfKey(key)
            if (place === undefined) continue
            const sizeBytes = await sizeOf(disk, place.path)
            if (sizeBytes !== undefined) yield { key, sizeBytes }
          }
        }
      }
    }
  } catch (error) {
    throw fromDisk(error, 'list')
  }
}

/** Empty for what is no directory, or is none any more. */
async function sorted(disk: Disk, path: string): Promise<string[]> {
  try {
    return (await disk.readdir(path)).sort()
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}

async function sizeOf(disk: Disk, path: string): Promise<number | undefined> {
  try {
    return (await disk.stat(path)).sizeBytes
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

import { open, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileMode, flushFolder } from '../../internal/durable-files.ts'
import { makeDurableFolder } from '../../internal/durable-folder.ts'
import type { Outlet } from './outlet.ts'
import { trailFiles, type TrailFile } from './trail-files.ts'

/** Of a file; its text has some kilobytes for each. */
export const maxExportedRecords = 5_000
const maxExportedBytes = 16 * 1024 * 1024

export type PutFile = (file: TrailFile, signal: AbortSignal) => Promise<void>

/** Files in CloudTrail's layout, each written once: after a crash the same again. */
export function exportOutlet(put: PutFile, gatherMs: number): Outlet {
  return {
    name: 'export',
    begins: 'oldest',
    maxRecords: maxExportedRecords,
    maxBytes: maxExportedBytes,
    gatherMs,
    isFixed: true,
    async send(rows, signal) {
      for (const file of trailFiles(rows)) await put(file, signal)
    },
  }
}

/** Writes files below a folder: there is a whole one, or none. */
export function putInFolder(folder: string): PutFile {
  return async ({ path, bytes }, signal) => {
    signal.throwIfAborted()
    const target = join(folder, path)
    makeDurableFolder(dirname(target), 0o700)
    const draft = `${target}.new`
    const file = await open(draft, 'w', fileMode)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, target)
    await flushFolder(dirname(target))
  }
}

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TempDir {
  readonly path: string
  /** Removes it with everything in it; may be repeated. */
  remove(): void
}

/**
 * A new folder, by default below the system's temporary one. Servers that give up root (PostgreSQL, nginx) can
 * pass through it to a folder of their own, and list nothing.
 */
export function createTempDir(purpose: string, parent: string = tmpdir()): TempDir {
  const path = mkdtempSync(join(parent, `stowage-${purpose}-`))
  chmodSync(path, 0o711)
  return {
    path,
    remove() {
      rmSync(path, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

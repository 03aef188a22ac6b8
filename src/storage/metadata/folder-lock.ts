import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { PlatformError } from '../../internal/platform-error.ts'

export interface FolderLock {
  release(): void
}

/**
 * Takes a data folder for this process. Node has no flock, and a file with a process number outlives its process;
 * SQLite's own lock on a small file is a kernel lock that dies with the process that holds it, kill -9 included.
 *
 * Throws `data-dir-in-use`.
 */
export function lockDataFolder(dataDir: string): FolderLock {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const lock = new DatabaseSync(join(dataDir, 'serve.lock'), { timeout: 0 })
  try {
    // Nothing is ever written: the lock is the point, and a rollback journal takes it on the file itself.
    lock.exec('pragma journal_mode = delete; pragma locking_mode = exclusive; begin exclusive')
  } catch (error) {
    lock.close()
    throw new PlatformError('data-dir-in-use', `another Stowage process is serving ${dataDir}`, { cause: error })
  }
  return {
    release: () => {
      lock.close()
    },
  }
}

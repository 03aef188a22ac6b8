import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { makeDurableFolder } from '../../internal/durable-folder.ts'
import { PlatformError } from '../../internal/platform-error.ts'
import { sqliteFault, translateSqliteError } from './sqlite/connection.ts'

/*
 * Who uses a data folder. Node has no flock, and a file with a process number outlives its process; SQLite's own
 * locks on a small file are kernel locks that die with the process that holds them, kill -9 included.
 */

export interface FolderLock {
  release(): void
}

export interface SharedFolder extends FolderLock {
  /** True when no other process uses the folder: what it left behind may be settled now, before `share`. */
  readonly isAlone: boolean
  /** Lets other processes in, and keeps them from believing that they are alone. */
  share(): void
}

/** The longest another process may be busy settling the folder; it looks at unfinished uploads only. */
const shareTimeoutMs = 60_000

/**
 * Takes a data folder for this process alone.
 *
 * Throws `data-dir-in-use`; `storage-full` or `storage-unavailable` where the file of the lock cannot be made.
 */
export function lockDataFolder(dataDir: string): FolderLock {
  const lock = openLock(dataDir)
  if (!tryExclusive(lock)) {
    lock.close()
    throw new PlatformError('data-dir-in-use', `another Stowage process is serving ${dataDir}`)
  }
  return {
    release: () => {
      lock.close()
    },
  }
}

/** Takes any other folder for this process alone, by a file of that name in it; undefined when another one has it. */
export function tryLockFolder(folder: string, fileName: string): FolderLock | undefined {
  const lock = new DatabaseSync(join(folder, fileName), { timeout: 0 })
  if (tryExclusive(lock)) return { release: () => lock.close() }
  lock.close()
  return undefined
}

/** Uses a data folder beside other processes, which then have their metadata elsewhere. */
export function shareDataFolder(dataDir: string): SharedFolder {
  const lock = openLock(dataDir)
  const isAlone = tryExclusive(lock)
  const share = (): void => {
    if (lock.isTransaction) lock.exec('rollback')
    // A transaction that has read something holds a shared lock until it ends.
    lock.exec(`pragma busy_timeout = ${shareTimeoutMs}; begin; select count(*) from sqlite_schema`)
  }
  if (!isAlone) share()
  return {
    isAlone,
    share,
    release: () => {
      lock.close()
    },
  }
}

function openLock(dataDir: string): DatabaseSync {
  makeDurableFolder(dataDir, 0o700)
  // Nothing is ever written: the locks are the point, and without a write-ahead log they are on the file itself. The
  // journal that a transaction begins with would need space, and a server must start on a full disk, too.
  const lock = new DatabaseSync(join(dataDir, 'serve.lock'), { timeout: 0 })
  try {
    lock.exec('pragma journal_mode = memory')
  } catch (error) {
    // It looks at the file, which somebody has for himself: the one who asks for the lock is told so.
    if (sqliteFault(error) !== 'busy') throw translateSqliteError(error)
  }
  return lock
}

function tryExclusive(lock: DatabaseSync): boolean {
  try {
    lock.exec('begin exclusive')
    return true
  } catch (error) {
    if (sqliteFault(error) === 'busy') return false
    throw translateSqliteError(error)
  }
}

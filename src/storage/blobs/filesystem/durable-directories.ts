import { dirname } from 'node:path'
import type { Disk } from './disk.ts'
import { systemCode } from './disk-error.ts'

/** Makes the entries of a directory survive power loss. Never repeated after a failure. */
export async function fsyncDirectory(disk: Disk, path: string): Promise<void> {
  const descriptor = await disk.open(path, 'r')
  try {
    await disk.fsync(descriptor)
  } finally {
    await disk.close(descriptor)
  }
}

/**
 * Directories that are known to survive power loss. One that exists is not enough: whoever made it may have died, or
 * be about to die, before its parent was flushed. So the parent is flushed when a directory is first used, and
 * everyone who uses it waits for that. Remembers one entry per directory: 512 for each domain, and its parents.
 */
export class DurableDirectories {
  readonly #disk: Disk
  readonly #known = new Map<string, Promise<void>>()

  constructor(disk: Disk) {
    this.#disk = disk
  }

  /** Makes each directory if it is absent, the outermost first, whose parent must exist. */
  async ensure(paths: readonly string[]): Promise<void> {
    for (const path of paths) {
      let known = this.#known.get(path)
      if (known === undefined) {
        known = this.#make(path)
        this.#known.set(path, known)
      }
      await known
    }
  }

  async #make(path: string): Promise<void> {
    try {
      await this.#disk.mkdir(path)
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') {
        this.#known.delete(path)
        throw error
      }
    }
    let parent: number
    try {
      parent = await this.#disk.open(dirname(path), 'r')
    } catch (error) {
      // Nothing was flushed, so nothing is in doubt: whoever comes when there are descriptors again flushes it.
      this.#known.delete(path)
      throw error
    }
    try {
      // A failure here is remembered: a second flush would succeed without the entry being on disk.
      await this.#disk.fsync(parent)
    } finally {
      await this.#disk.close(parent)
    }
  }
}

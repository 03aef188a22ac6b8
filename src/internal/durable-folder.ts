import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** One may not open a folder that one may not read, and some file systems flush no folders: nothing can be done then. */
const unflushable = new Set(['EACCES', 'EPERM', 'EINVAL'])

/**
 * Makes a folder, with its parents where they are absent, so that power loss does not take it. One that is there
 * already is not taken on trust: who made it may have died before flushing. For the start of a program; it waits.
 *
 * Throws the system's errors.
 */
export function makeDurableFolder(path: string, mode: number): void {
  const folder = resolve(path)
  const firstMade = mkdirSync(folder, { recursive: true, mode }) ?? folder
  for (let made = folder; ; made = dirname(made)) {
    flushFolder(dirname(made))
    if (made === firstMade || made === dirname(made)) return
  }
}

/** Makes the names in a folder survive power loss, where the system lets us. Throws its other errors. */
export function flushFolder(path: string): void {
  try {
    const descriptor = openSync(path, 'r')
    try {
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    if (!unflushable.has((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

import { constants } from 'node:fs'
import { link, mkdir, open, rename, unlink, type FileHandle } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { IdSource } from '../internal/ids.ts'
import { iamSetupError } from './errors.ts'

const onlyOwner = 0o600
const anybodyElse = 0o077
// Far above any keyring; keeps a wrong path from being read into memory whole.
const maxFileBytes = 1024 * 1024

export function defaultKeyringPath(dataDir: string): string {
  return join(dataDir, 'keys', 'keyring.json')
}

/**
 * A keyring file's text, or undefined where there is no such file.
 * Throws `keyring-insecure` where anybody but the owner has a right to it, and `keyring-unreadable`.
 */
export async function readKeyringFile(path: string): Promise<string | undefined> {
  let file: FileHandle
  try {
    // Non-blocking, so that a pipe by that name is refused below and not waited for.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw unreadable(path, errorCode(error))
  }
  try {
    // Asked of the open file: nobody can exchange it between the look and the reading.
    const stats = await file.stat()
    if (!stats.isFile()) throw unreadable(path, 'it is not a file')
    if ((stats.mode & anybodyElse) !== 0) {
      const mode = (stats.mode & 0o777).toString(8).padStart(4, '0')
      throw iamSetupError(
        'keyring-insecure',
        `The keyring ${path} has mode ${mode}: others than its owner can get at the keys. Close it with: chmod 600 ${shellWord(path)}`,
        { path, mode },
      )
    }
    if (stats.size > maxFileBytes) throw unreadable(path, `it is larger than ${maxFileBytes} bytes`)
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

/**
 * Puts a new keyring file in place, whole and durable or not at all. Where another process was faster, its text
 * is the answer: nobody's keys are ever overwritten.
 */
export async function createKeyringFile(path: string, text: string, ids: IdSource): Promise<string> {
  const directory = resolve(dirname(path))
  const draft = `${path}.${ids.uuid()}`
  try {
    const firstMade = await mkdir(directory, { recursive: true, mode: 0o700 })
    if (firstMade !== undefined) await syncDirectories(directory, dirname(resolve(firstMade)))
    await writeDurably(draft, () => Promise.resolve(text))
    try {
      // A link and not a rename: it fails where a file has appeared meanwhile.
      await link(draft, path)
    } finally {
      await unlink(draft)
    }
    await syncDirectory(directory)
    return text
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw asUnwritable(path, error)
  }
  const winner = await readKeyringFile(path)
  if (winner === undefined) throw unwritable(path, 'it appeared and vanished')
  return winner
}

/**
 * Replaces a keyring file by what `change` makes of its present text, durably. The draft `<path>.next` doubles as
 * the lock: two rotations at once would lose the keys of one. Throws `keyring-unwritable`.
 */
export async function replaceKeyringFile(path: string, change: (current: string) => string): Promise<string> {
  const draft = `${path}.next`
  let written = ''
  try {
    await writeDurably(draft, async () => {
      const current = await readKeyringFile(path)
      if (current === undefined) throw unwritable(path, 'it does not exist any more')
      written = change(current)
      return written
    })
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw asUnwritable(path, error)
    throw unwritable(path, `another rotation is under way, or one was cut short and left ${draft}; if so, remove that file`)
  }
  try {
    await rename(draft, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    await removeIfThere(draft)
    throw asUnwritable(path, error)
  }
  return written
}

/** Creates a file that must not exist, for its owner only, with what `produce` answers once it is created. */
async function writeDurably(path: string, produce: () => Promise<string>): Promise<void> {
  const file = await open(path, 'wx', onlyOwner)
  try {
    try {
      await file.writeFile(await produce())
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    await removeIfThere(path)
    throw error
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** Makes new directories durable: from `deepest` up to `top`, which was there before. */
async function syncDirectories(deepest: string, top: string): Promise<void> {
  for (let path = deepest; path !== top && path !== dirname(path); path = dirname(path)) await syncDirectory(path)
  await syncDirectory(top)
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
}

function unreadable(path: string, problem: string): Error {
  return iamSetupError('keyring-unreadable', `The keyring ${path} cannot be read: ${problem}.`, { path })
}

function unwritable(path: string, problem: string): Error {
  return iamSetupError('keyring-unwritable', `The keyring ${path} cannot be written: ${problem}.`, { path })
}

/** Wraps what the file system says; an error that already has words for the operator stays as it is. */
function asUnwritable(path: string, error: unknown): unknown {
  return error instanceof Error && 'syscall' in error ? unwritable(path, errorCode(error)) : error
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
}

function shellWord(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

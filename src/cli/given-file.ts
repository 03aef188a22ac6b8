import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { PlatformError } from '../internal/platform-error.ts'

const causes: Readonly<Record<string, string>> = { ENOENT: 'there is no such file', EACCES: 'this user may not read it', EISDIR: 'it is a folder' }

/** The text of a file that a command's user has named. Throws `file-unreadable`, which says which and why. */
export async function readGivenFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    throw new PlatformError('file-unreadable', `${path} cannot be read: ${causes[code] ?? message}`, { cause: error })
  }
}

/** The same, where `-` stands for standard input. */
export async function readGivenFileOrInput(path: string): Promise<string> {
  // A decoder of streams would take a byte order mark away, which is in the text of a file.
  return path === '-' ? (await buffer(process.stdin)).toString('utf8') : readGivenFile(path)
}

/** What `readGivenFileOrInput` reads, in a sentence. */
export function shownPath(path: string): string {
  return path === '-' ? 'standard input' : path
}

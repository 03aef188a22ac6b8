import { readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { flushFolder, writeDurably } from '../internal/durable-files.ts'
import { backupError } from './errors.ts'

const mark = z.object({
  /** Of the restore and all attempts to repeat it. */
  id: z.string().regex(/^[a-z0-9]{1,32}$/u),
  folder: z.string(),
  point: z.string(),
  beganAt: z.string(),
})

/** Lies in a data folder from before anything is changed until everything has been checked. */
export type RestoreMark = z.infer<typeof mark>

function markPath(dataDir: string): string {
  return join(dataDir, 'restoring.json')
}

/** A file that cannot be understood counts too: something was begun here. */
export async function readRestoreMark(dataDir: string): Promise<RestoreMark | undefined> {
  let text: string
  try {
    text = await readFile(markPath(dataDir), 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
  try {
    return mark.parse(JSON.parse(text))
  } catch (error) {
    throw backupError('restore-unfinished', `${markPath(dataDir)} is there and cannot be understood: a restore was begun here, and nobody knows how far it came`, { cause: error })
  }
}

export async function writeRestoreMark(dataDir: string, content: RestoreMark): Promise<void> {
  await writeDurably(markPath(dataDir), `${JSON.stringify(content, undefined, 2)}\n`)
}

export async function removeRestoreMark(dataDir: string): Promise<void> {
  await unlink(markPath(dataDir))
  await flushFolder(dataDir)
}

/** Throws `restore-unfinished` for a data folder that is only half restored. */
export async function assertNotHalfRestored(dataDir: string): Promise<void> {
  const found = await readRestoreMark(dataDir)
  if (found === undefined) return
  throw backupError(
    'restore-unfinished',
    `A restore of the point ${found.point} into ${dataDir} was begun at ${found.beganAt} and has not ended. Run it again: stowage restore ${found.folder} --point ${found.point}\n  (To give it up instead, see "Giving up a restore" in docs/operations/backup.md.)`,
    { detail: { point: found.point } },
  )
}

import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { IdSource } from '../internal/ids.ts'
import { writeDurably } from '../internal/durable-files.ts'
import { storageError } from '../storage/errors.ts'

/** In the data folder, which installation it is of; in the archive's folder, of which installation it is. */
const idFile = 'installation'

/**
 * Sees to it that an archive's folder outside of the data folder is of this installation alone: another one would take copies for
 * its own leftovers, and delete them. A folder that is nobody's is this installation's from now on.
 *
 * Throws `storage-unavailable` where it is another's.
 */
export async function claimArchiveFolder(dataDir: string, archiveDir: string, ids: IdSource): Promise<void> {
  if (!relative(dataDir, archiveDir).startsWith('..')) return
  const own = (await idIn(dataDir)) ?? (await giveId(dataDir, ids.uuid()))
  const owner = (await idIn(archiveDir)) ?? (await giveId(archiveDir, own))
  if (owner === own) return
  throw storageError(
    'storage-unavailable',
    `the folder ${archiveDir} is the archive of another installation: set STOWAGE_ARCHIVE_DIR to a folder of its own. If it is this one's, whose data folder was copied without its file "${idFile}", write ${owner} into ${join(dataDir, idFile)} and start again.`,
  )
}

async function idIn(folder: string): Promise<string | undefined> {
  try {
    return (await readFile(join(folder, idFile), 'utf8')).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw storageError('storage-unavailable', `the file ${join(folder, idFile)} cannot be read`, { cause: error })
  }
}

async function giveId(folder: string, id: string): Promise<string> {
  await writeDurably(join(folder, idFile), `${id}\n`)
  return id
}

import { link, readFile, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { IdSource } from '../internal/ids.ts'
import { flushFolder, writeDurably } from '../internal/durable-files.ts'
import { storageError } from '../storage/errors.ts'

/** In the data folder, which installation it is of; in the archive's folder, of which installation it is. */
const idFile = 'installation'

/**
 * Sees to it that an archive's folder outside of the data folder is of this installation alone: another one would take copies for
 * its own leftovers, and delete them. A folder that is nobody's is this installation's from now on. Several servers of one
 * installation may do so at once.
 *
 * Throws `storage-unavailable` where it is another's.
 */
export async function claimArchiveFolder(dataDir: string, archiveDir: string, ids: IdSource): Promise<void> {
  if (!relative(dataDir, archiveDir).startsWith('..')) return
  const own = (await idIn(dataDir)) ?? (await giveId(dataDir, ids.uuid(), ids))
  const owner = (await idIn(archiveDir)) ?? (await giveId(archiveDir, own, ids))
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

/** Answers the id that the folder has then: where two give it one at once, that of the first. */
async function giveId(folder: string, id: string, ids: IdSource): Promise<string> {
  const file = join(folder, idFile)
  const draft = `${file}.${ids.uuid()}`
  try {
    await writeDurably(draft, `${id}\n`)
    // Unlike a rename it replaces nothing.
    await link(draft, file)
    await flushFolder(folder)
    return id
  } catch (error) {
    const first = (error as NodeJS.ErrnoException).code === 'EEXIST' ? await idIn(folder) : undefined
    if (first !== undefined) return first
    throw storageError('storage-unavailable', `the file ${file} cannot be written`, { cause: error })
  } finally {
    await rm(draft, { force: true })
  }
}

import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { findManifestRow } from '../storage/metadata/stores/manifest-store.ts'
import { findTag } from '../storage/metadata/stores/tag-store.ts'
import type { Digest, Reference } from '../values/index.ts'
import { readRepository } from './change.ts'
import { activateForPull, updateStorageClass } from './commands/storage-class.ts'
import { commandContext, type RequestContext } from './context.ts'
import { registryError } from './errors.ts'
import { registryOf } from './repositories.ts'
import type { Registry } from './types.ts'

export interface ArchivedImagesDependencies {
  readonly database: MetadataDatabase
  readonly archive?: ArchiveSettings | undefined
}

export interface ArchiveSettings {
  /** Whether a pull of an archived image begins to restore it. */
  readonly restoreOnPull: boolean
  /** Told when an image waits for its blobs, or blobs for another place. */
  readonly onWork: () => void
}

/** What a client is told to wait: small images are back by then. */
const retryAfterMs = 10_000

export function archivedImageOperations({ database, archive }: ArchivedImagesDependencies): Pick<Registry, 'updateStorageClass'> {
  return {
    async updateStorageClass(context, name, image, target) {
      const changed = await database.execute(updateStorageClass, { name, image, target }, commandContext(context))
      archive?.onWork()
      return changed
    },
  }
}

/**
 * Says of an image that a pull did not find that it is in the archive, where it is, and begins to restore it if pulls do that. Only
 * what is not there gets here, so that no pull that succeeds pays for it. Throws `image-archived`, `repository-unknown`.
 */
export async function refuseArchived(
  { database, archive }: ArchivedImagesDependencies,
  context: RequestContext,
  name: string,
  reference: Reference,
  onlyDigest?: Digest,
): Promise<void> {
  const { id } = await readRepository(database.reader, registryOf(context), name)
  const digest = reference.kind === 'digest' ? reference.digest : (await findTag(database.reader, id, reference.tag))?.digest
  const row = digest === undefined ? undefined : await findManifestRow(database.reader, id, digest)
  if (onlyDigest !== undefined && digest !== onlyDigest) return
  if (digest === undefined || row?.trashed_at !== null || row.storage_class === 'active') return
  if (row.storage_class === 'activating') throw beingRestored(digest)
  if (archive?.restoreOnPull === true && (await database.execute(activateForPull, { name, digest }, commandContext(context)))) {
    archive.onWork()
    throw beingRestored(digest)
  }
  throw registryError(
    'image-archived',
    'Requested image not found: it is in the archive. Restore it first (update-image-storage-class with STANDARD), or push it again.',
    { digest },
  )
}

function beingRestored(digest: Digest) {
  return registryError('image-archived', 'Requested image not found: it is being restored from the archive. Try again later.', { digest, retryAfterMs })
}

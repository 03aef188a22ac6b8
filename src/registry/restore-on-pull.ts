import type { Quotas } from '../config/quotas.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { findManifestRow } from '../storage/metadata/stores/manifest-store.ts'
import { findTrashedByTag } from '../storage/metadata/stores/trash-listing.ts'
import { digestFromBytes, type Digest, type Reference } from '../values/index.ts'
import { readRepository } from './change.ts'
import { restoreForPull } from './commands/restore-trash.ts'
import { commandContext, type RequestContext } from './context.ts'
import { imageLimitsOf } from './quotas.ts'
import { registryOf } from './repositories.ts'

export interface RestoreOnPullDependencies {
  readonly database: MetadataDatabase
  readonly quotas: Quotas
  /** Whether a pull brings back what a lifecycle policy deleted. */
  readonly restoreOnPull: boolean
}

/**
 * Brings an image back that somebody wants to pull and a lifecycle policy has deleted: what is pulled is in use, whatever the
 * policy took it for. Only what is not there gets here, so that no pull that succeeds pays for it. True: it is worth another
 * look. Throws `repository-unknown`.
 *
 * @param onlyDigest of a pull by tag: what the image must be
 */
export async function restoredForPull(
  { database, quotas, restoreOnPull }: RestoreOnPullDependencies,
  context: RequestContext,
  name: string,
  reference: Reference,
  onlyDigest?: Digest,
): Promise<boolean> {
  const { id } = await readRepository(database.reader, registryOf(context), name)
  if (!restoreOnPull) return false
  const trashed =
    reference.kind === 'tag'
      ? await findTrashedByTag(database.reader, id, reference.tag)
      : await findManifestRow(database.reader, id, reference.digest).then((row) => row && { digest: row.digest, batch: row.trash_batch })
  // It may have come back since it was looked for: another pull was quicker.
  if (!trashed || trashed.batch === null) return true
  if (onlyDigest !== undefined && digestFromBytes(trashed.digest) !== onlyDigest) return false
  const input = { batch: trashed.batch, digest: digestFromBytes(trashed.digest), ...imageLimitsOf(quotas) }
  try {
    return await database.execute(restoreForPull, input, commandContext(context))
  } catch (error) {
    // Somebody was quicker.
    if (isPlatformError(error, 'trash-unknown')) return true
    // There is no room for it, or its repository went meanwhile: to whoever pulls it is not there.
    if (isPlatformError(error, 'limit-exceeded') || isPlatformError(error, 'repository-trashed')) return false
    throw error
  }
}

import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { isHeldByArchive } from '../storage/metadata/stores/archive-store.ts'
import {
  findLocatedBlob,
  findReadableBlob,
  findVisibleBlob,
  isQuarantined,
  referencingManifests,
  repositoriesSeeing,
  type VisibleBlob,
} from '../storage/metadata/stores/blob-index.ts'
import { findRepositoryRowById } from '../storage/metadata/stores/repository-store.ts'
import { blobPromiseMs } from '../storage/metadata/stores/review-queue.ts'
import type { Digest, RepositoryName } from '../values/index.ts'
import { readAccountSetting } from './account-settings.ts'
import { readRepository } from './change.ts'
import { deleteBlob, mountBlob, promiseBlob } from './commands/blobs.ts'
import { commandContext, type RequestContext } from './context.ts'
import type { DamageWatch } from './damage.ts'
import { registryError } from './errors.ts'
import { registryOf } from './repositories.ts'
import type { Registry } from './types.ts'

export type BlobOperations = Pick<Registry, 'statBlob' | 'openBlob' | 'openLinkedBlob' | 'openNamedBlob' | 'isBlobArchived' | 'isBlobReferenced' | 'mountBlob' | 'deleteBlob'>

/** Repositories considered as the source of a mount that names none. */
const maxMountSources = 100

function blobUnknown(digest: Digest): Error {
  return registryError('blob-unknown', `The repository has no blob ${digest}.`, { digest })
}

export function blobOperations(deps: { database: MetadataDatabase; damageWatch: DamageWatch }): BlobOperations {
  const { database, damageWatch } = deps

  const find = async (context: RequestContext, name: string, digest: Digest): Promise<VisibleBlob | undefined> => {
    const horizon = context.clock.now() + blobPromiseMs
    const blob = await findVisibleBlob(database.reader, context.registry.id, name, digest, horizon)
    // A repository that is not there is its own answer; only a refusal pays for asking.
    if (!blob) await readRepository(database.reader, registryOf(context), name)
    return blob
  }

  const explainAbsence = async (registryId: number, name: string, digest: Digest): Promise<Error> => {
    if (!(await isQuarantined(database.reader, registryId, name, digest))) return blobUnknown(digest)
    return registryError(
      'blob-unknown',
      `The bytes of ${digest} were damaged and have been set aside. Push the image again to bring them back.`,
      { digest },
    )
  }

  const firstReadable = async (
    registryId: number,
    domainId: number,
    digest: Digest,
    isReadable: (name: RepositoryName) => Promise<boolean>,
  ): Promise<RepositoryName | undefined> => {
    const names = await repositoriesSeeing(database.reader, registryId, domainId, digest, maxMountSources)
    for (const name of names as RepositoryName[]) {
      if (await isReadable(name)) return name
    }
    return undefined
  }

  return {
    async statBlob(context, name, digest) {
      const blob = await find(context, name, digest)
      // A client that is told that the blob is there will not send it: it had better be.
      if (!blob || !(await damageWatch.isPresent(digest, blob))) return undefined
      if (blob.reviewIsNear) {
        const { blobId, repositoryId } = blob
        if (!(await database.execute(promiseBlob, { blobId, repositoryId }, commandContext(context)))) return undefined
      }
      return { digest, sizeBytes: blob.sizeBytes }
    },

    async openBlob(context, name, digest) {
      const blob = await findReadableBlob(database.reader, context.registry.id, name, digest)
      if (!blob) {
        await readRepository(database.reader, registryOf(context), name)
        throw await explainAbsence(context.registry.id, name, digest)
      }
      return { digest, sizeBytes: blob.sizeBytes, content: await damageWatch.open(digest, blob) }
    },

    async openLinkedBlob({ registryId, repositoryId, digest }) {
      const repository = await findRepositoryRowById(database.reader, repositoryId)
      if (repository?.registry_id !== registryId) throw blobUnknown(digest)
      const blob = await findReadableBlob(database.reader, registryId, repository.name, digest)
      if (!blob) throw await explainAbsence(registryId, repository.name, digest)
      return { digest, sizeBytes: blob.sizeBytes, content: await damageWatch.open(digest, blob) }
    },

    async openNamedBlob({ registryId, repositoryId, digest }) {
      const repository = await findRepositoryRowById(database.reader, repositoryId)
      if (repository?.registry_id !== registryId) throw blobUnknown(digest)
      const isNamed = (await referencingManifests(database.reader, repositoryId, digest)).length > 0
      const blob = isNamed ? await findLocatedBlob(database.reader, repository.domain_id, digest) : undefined
      if (!blob) throw await explainAbsence(registryId, repository.name, digest)
      return { digest, sizeBytes: blob.sizeBytes, content: await damageWatch.open(digest, blob) }
    },

    async isBlobArchived(context, name, digest) {
      const { id } = await readRepository(database.reader, registryOf(context), name)
      return isHeldByArchive(database.reader, id, digest)
    },

    async isBlobReferenced(context, name, digest) {
      const { id } = await readRepository(database.reader, registryOf(context), name)
      return (await referencingManifests(database.reader, id, digest)).length > 0
    },

    async mountBlob(context, name, digest, source) {
      const repository = await readRepository(database.reader, registryOf(context), name)
      if ((await readAccountSetting(database.reader, context.registry.id, 'BLOB_MOUNTING')) !== 'ENABLED') return false
      const from =
        'from' in source ? source.from : await firstReadable(context.registry.id, repository.domain_id, digest, source.anyReadable)
      if (from === undefined) return false
      const blob = await findReadableBlob(database.reader, context.registry.id, from, digest)
      if (!blob || !(await damageWatch.isPresent(digest, blob))) return false
      try {
        return await database.execute(mountBlob, { name, from, digest }, commandContext(context))
      } catch (error) {
        // A source that is not there, or went away meanwhile, is a mount that did not happen.
        if ((error as { code?: string }).code === 'repository-unknown' && from !== name) {
          await readRepository(database.reader, registryOf(context), name)
          return false
        }
        throw error
      }
    },

    async deleteBlob(context, name, digest) {
      await database.execute(deleteBlob, { name, digest }, commandContext(context))
    },
  }
}

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { findManifestRow } from '../storage/metadata/stores/manifest-store.ts'
import { listRepositoriesOfAccount, listRepositoryUse, sharesFirstIn, sharesOfManifests, sharesOfRepository, useOfAccount, useOfRegistry, usesByState, type BlobShares } from '../storage/metadata/stores/storage-use-store.ts'
import { sumManifests } from '../storage/metadata/stores/repository-store.ts'
import { findTag } from '../storage/metadata/stores/tag-store.ts'
import { readRepository } from './change.ts'
import { registryError } from './errors.ts'
import { collectUnit } from './image-unit.ts'
import { toPage } from './paging.ts'
import { registryOf } from './repositories.ts'
import type { Registry } from './types.ts'
import type { RepositoryName } from '../values/index.ts'

export type StorageUseOperations = Pick<Registry, 'listStorage' | 'describeStorage' | 'describeAccountStorage'>

/** Looked up together. */
const repositoriesPerPage = 1000

/** What tells who uses how much. */
export function storageUseOperations({ database }: { readonly database: MetadataDatabase }): StorageUseOperations {
  return {
    listStorage(context, page) {
      return database.snapshot(async (session) => {
        const registryId = context.registry.id
        const rows = await listRepositoryUse(session, { registryId, after: page.after ?? '', limit: page.limit + 1 })
        const repositories = toPage(rows, page.limit, (row) => ({ ...row, name: row.name as RepositoryName }), ({ name }) => name)
        return { logicalBytes: (await useOfRegistry(session, registryId)).bytes, repositories }
      })
    },

    async describeAccountStorage(context, signal) {
      const { reader } = database
      const { accountId } = context.registry
      let blobs: BlobShares = { blobs: 0, bytes: 0, sharedBytes: 0 }
      for (let after: number | undefined = 0; after !== undefined; ) {
        const page = await listRepositoriesOfAccount(reader, { accountId, after, limit: repositoriesPerPage })
        for (const { id: repositoryId, domainId } of page) {
          signal?.throwIfAborted()
          const first = await sharesFirstIn(reader, { accountId, repositoryId, domainId })
          blobs = { blobs: blobs.blobs + first.blobs, bytes: blobs.bytes + first.bytes, sharedBytes: blobs.sharedBytes + first.sharedBytes }
          // Others have their turn: SQLite is read in this thread.
          await nextTurn()
        }
        after = page.length < repositoriesPerPage ? undefined : page.at(-1)?.id
      }
      return { use: await useOfAccount(reader, accountId), blobs }
    },

    async describeStorage(context, name, images) {
      return database.snapshot(async (session) => {
        const repository = await readRepository(session, registryOf(context), name)
        const { image_count: imageCount, logical_bytes: logicalBytes } = repository
        const sums = imageCount === null || logicalBytes === null ? await sumManifests(session, repository.id) : { images: imageCount, bytes: logicalBytes }
        const all = { images: sums.images, logicalBytes: sums.bytes, ...(await usesByState(session, repository.id)) }
        if (images === undefined) return { repository: all, freed: await sharesOfRepository(session, repository), manifests: undefined }
        const units = new Set<number>()
        for (const { digest, tag } of images) {
          const wanted = digest ?? (tag === undefined ? undefined : (await findTag(session, repository.id, tag))?.digest)
          const row = wanted === undefined ? undefined : await findManifestRow(session, repository.id, wanted)
          if (row?.trashed_at !== null || wanted === undefined) throw registryError('manifest-unknown', 'Requested image not found', { digest, tag })
          for (const { id } of await collectUnit(session, row)) units.add(id)
        }
        return { repository: all, freed: await sharesOfManifests(session, repository, [...units]), manifests: units.size }
      })
    },
  }
}

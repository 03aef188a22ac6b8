import type { MetadataDatabase } from '../storage/metadata/database.ts'
import {
  describeImagePage,
  describeImageRows,
  listImageRows,
  type ImageRow,
  type ListingFilter,
} from '../storage/metadata/stores/image-listing.ts'
import { findManifestRow } from '../storage/metadata/stores/manifest-store.ts'
import { findRepositoryRow } from '../storage/metadata/stores/repository-store.ts'
import { findTag, tagsOfManifest } from '../storage/metadata/stores/tag-store.ts'
import type { Session } from '../storage/metadata/session.ts'
import type { Tag } from '../values/index.ts'
import { readRepository } from './change.ts'
import { registryError } from './errors.ts'
import { statusOf, storageClassOf } from './image-status.ts'
import { parseIdPosition, toPage } from './paging.ts'
import { registryOf } from './repositories.ts'
import type { ImageDetail, ImageFilter, ImageIdentifier, Registry } from './types.ts'

export type ImageOperations = Pick<Registry, 'listImages' | 'describeImages' | 'describeImagesById' | 'tagsOfImages'>

/** ECR's view of manifests: images with their tags. */
export function imageOperations({ database }: { database: MetadataDatabase }): ImageOperations {
  return {
    async listImages(context, name, { filter, page }) {
      const { id } = await readRepository(database.reader, registryOf(context), name)
      const after = parsePosition(page.after)
      const { rows, lookedAtId } = await listImageRows(database.reader, id, toListingFilter(filter), after, page.limit + 1)
      return toPage(
        rows,
        page.limit,
        (row) => ({ digest: row.digest, tag: (row.tag ?? undefined) as Tag | undefined }),
        (row) => `${row.manifestId}:${row.tag ?? ''}`,
        lookedAtId === undefined ? undefined : `${lookedAtId}:${afterEveryTag}`,
      )
    },

    async describeImages(context, name, { filter, page }) {
      const { id } = await readRepository(database.reader, registryOf(context), name)
      const { rows, lookedAtId } = await describeImagePage(database.reader, id, {
        filter: toListingFilter(filter),
        afterId: parseIdPosition(page.after),
        limit: page.limit + 1,
      })
      const position = (row: ImageRow): string => String(row.manifestId)
      return toPage(rows, page.limit, toDetail, position, lookedAtId === undefined ? undefined : String(lookedAtId))
    },

    async tagsOfImages(context, name, digests) {
      const repository = await findRepositoryRow(database.reader, context.registry.id, name)
      if (repository === undefined) return digests.map(() => [])
      return Promise.all(
        digests.map(async (digest) => {
          const row = await findManifestRow(database.reader, repository.id, digest)
          return row?.trashed_at === null ? ((await tagsOfManifest(database.reader, row.id)) as Tag[]) : []
        }),
      )
    },

    async describeImagesById(context, name, identifiers) {
      return database.snapshot(async (session) => {
        const { id } = await readRepository(session, registryOf(context), name)
        const manifestIds: (number | undefined)[] = []
        // One after another: a snapshot is one connection, which does one thing at a time.
        for (const identifier of identifiers) manifestIds.push(await resolve(session, id, identifier))
        const wanted = [...new Set(manifestIds.filter((manifestId) => manifestId !== undefined))]
        const rows = await describeImageRows(session, id, wanted)
        const byId = new Map(rows.map((row) => [row.manifestId, toDetail(row)]))
        return manifestIds.map((manifestId) => (manifestId === undefined ? undefined : byId.get(manifestId)))
      })
    },
  }
}

async function resolve(session: Session, repositoryId: number, identifier: ImageIdentifier): Promise<number | undefined> {
  const { digest, tag } = identifier
  if (tag !== undefined) {
    const target = await findTag(session, repositoryId, tag)
    return digest === undefined || target?.digest === digest ? target?.manifestId : undefined
  }
  if (digest === undefined) return undefined
  const row = await findManifestRow(session, repositoryId, digest)
  return row?.trashed_at === null ? row.id : undefined
}

function toListingFilter(filter: ImageFilter): ListingFilter {
  return {
    storageClass: storageClassOf(filter.imageStatus),
    tagged: filter.tagStatus === 'ANY' ? undefined : filter.tagStatus === 'TAGGED',
  }
}

/** Sorts after every tag, on both databases. */
const afterEveryTag = '~'

/** `<manifest id>:<tag>`; a tag has no colon. Throws `page-invalid`. */
function parsePosition(after: string | undefined): { manifestId: number; tag: string } {
  if (after === undefined) return { manifestId: 0, tag: '' }
  const colon = after.indexOf(':')
  if (colon < 0) throw registryError('page-invalid', 'The page token is not one that was given out.')
  return { manifestId: parseIdPosition(after.slice(0, colon)), tag: after.slice(colon + 1) }
}

export function toDetail(row: ImageRow): ImageDetail {
  return {
    digest: row.digest,
    tags: row.tags as Tag[],
    mediaType: row.mediaType,
    artifactType: row.artifactType ?? undefined,
    imageSizeBytes: row.imageSizeBytes,
    pushedAt: row.pushedAt,
    lastPulledAt: row.lastPulledAt ?? undefined,
    subject: row.subject,
    status: statusOf(row.storageClass),
    lastArchivedAt: row.lastArchivedAt ?? undefined,
    lastActivatedAt: row.lastActivatedAt ?? undefined,
  }
}

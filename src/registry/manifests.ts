import type { Quotas } from '../config/quotas.ts'
import type { IdSource } from '../internal/ids.ts'
import { storageError } from '../storage/errors.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import {
  findPayloadByDigest,
  findPayloadByTag,
  findPullableByDigest,
  findPullableByTag,
  listReferrerRows,
} from '../storage/metadata/stores/manifest-store.ts'
import { listTagNames } from '../storage/metadata/stores/tag-store.ts'
import {
  digestAlgorithm,
  digestFromBytes,
  digestOf,
  isForeignLayerMediaType,
  parseManifest,
  type Digest,
  type ParsedManifest,
  type Reference,
  type Tag,
} from '../values/index.ts'
import { readRepository } from './change.ts'
import { deleteImages, deleteTag } from './commands/delete-images.ts'
import { putManifest, type NamedContent } from './commands/put-manifest.ts'
import { commandContext, type RequestContext } from './context.ts'
import { registryError } from './errors.ts'
import { statusOf, storageClassOf } from './image-status.ts'
import { parseIdPosition, toPage } from './paging.ts'
import { imageLimitsOf } from './quotas.ts'
import { refuseArchived, type ArchiveSettings } from './archived-images.ts'
import type { PullClock } from './pull-clock.ts'
import { registryOf } from './repositories.ts'
import { restoredForPull } from './restore-on-pull.ts'
import { noticeOfRetirement } from './retirement.ts'
import type { BlockedPulls, NewManifest, Registry } from './types.ts'

export type ManifestOperations = Pick<
  Registry,
  | 'getManifest'
  | 'headManifest'
  | 'putManifest'
  | 'deleteTag'
  | 'deleteManifest'
  | 'deleteImages'
  | 'listTags'
  | 'listReferrers'
>

/** The most a manifest may have: what clients are ready to read (OCI distribution-spec, "Pushing Manifests"). */
export const maxManifestBytes = 4 * 1024 * 1024

export function manifestOperations(deps: {
  database: MetadataDatabase
  ids: IdSource
  pullClock: PullClock
  quotas: Quotas
  trashRetentionMs: number
  restoreOnPull: boolean
  archive?: ArchiveSettings | undefined
}): ManifestOperations {
  const { database, ids, pullClock, quotas, trashRetentionMs: retentionMs } = deps

  /** Looks for an image, and once more where it came back from the trash for that. Throws which of repository and image is missing. */
  const findForPull = async <Found>(
    context: RequestContext,
    name: string,
    reference: Reference,
    { onlyDigest }: BlockedPulls,
    find: () => Promise<Found | undefined>,
  ): Promise<Found> => {
    const found = (await find()) ?? ((await restoredForPull(deps, context, name, reference, onlyDigest)) ? await find() : undefined)
    if (found === undefined) await refuseArchived(deps, context, name, reference, onlyDigest)
    if (found === undefined) throw registryError('manifest-unknown', 'Requested image not found')
    return found
  }

  return {
    async getManifest(context, name, reference, options = {}) {
      const found = await findForPull(context, name, reference, options, () =>
        reference.kind === 'tag'
          ? findPayloadByTag(database.reader, context.registry.id, name, reference.tag)
          : findPayloadByDigest(database.reader, context.registry.id, name, reference.digest),
      )
      // A page of the database may decay like any file: a microsecond for each KiB tells.
      if (digestOf(found.bytes, digestAlgorithm(found.digest)) !== found.digest) {
        throw storageError('manifest-corrupt', `The stored bytes of the manifest ${found.digest} are damaged. Push it again.`)
      }
      if (found.retirement === 0) {
        pullClock.record(context, found.id)
        return found
      }
      const notice = await noticeOfRetirement(database, context, name, found, options)
      pullClock.record(context, found.id)
      return { ...found, notice }
    },

    async headManifest(context, name, reference, options = {}) {
      const found = await findForPull(context, name, reference, options, () =>
        reference.kind === 'tag'
          ? findPullableByTag(database.reader, context.registry.id, name, reference.tag)
          : findPullableByDigest(database.reader, context.registry.id, name, reference.digest),
      )
      if (found.retirement === 0) return found
      return { ...found, notice: await noticeOfRetirement(database, context, name, found, options) }
    },

    async putManifest(context, name, input) {
      if (input.bytes.length > maxManifestBytes) {
        throw registryError('manifest-too-large', `A manifest has at most ${maxManifestBytes} bytes.`)
      }
      const parsed = parseManifest(input.bytes, input.declaredMediaType)
      const digest = checkedDigest(input)
      const tags = tagsOf(input)
      const held = await database.execute(
        putManifest,
        {
          name,
          digest,
          bytes: input.bytes,
          mediaType: parsed.mediaType,
          kind: parsed.kind,
          artifactType: parsed.artifactType,
          contentSizeBytes: parsed.contentSizeBytes,
          subject: parsed.subject?.digest,
          annotations: parsed.annotations,
          content: namedContent(parsed),
          tags,
          refuseRepeat: input.via === 'ecr',
          limits: imageLimitsOf(quotas),
          maxTagsPerImage: quotas.tagsPerImage,
        },
        commandContext(context),
      )
      return { digest, mediaType: held.mediaType, subject: parsed.subject?.digest, tags }
    },

    async deleteTag(context, name, tag) {
      await database.execute(deleteTag, { name, tag }, commandContext(context))
    },

    async deleteManifest(context, name, { digest, knownTags }) {
      const [outcome] = await database.execute(
        deleteImages,
        { name, identifiers: [{ digest, knownTags }], trashBatch: ids.uuid(), retentionMs },
        commandContext(context),
      )
      if (outcome?.kind === 'referenced') {
        throw registryError(
          'manifest-referenced',
          `Requested image referenced by manifest list: [${outcome.by.join(', ')}]`,
          { by: outcome.by },
        )
      }
      if (outcome?.kind === 'vetoed') throw registryError('image-protected', outcome.reason)
      if (outcome?.kind !== 'deleted') throw registryError('manifest-unknown', 'Requested image not found')
    },

    async deleteImages(context, name, images) {
      return database.execute(
        deleteImages,
        { name, identifiers: [...images], trashBatch: ids.uuid(), retentionMs },
        commandContext(context),
      )
    },

    async listTags(context, name, page) {
      const repository = await readRepository(database.reader, registryOf(context), name)
      const names = await listTagNames(database.reader, repository.id, page.after ?? '', page.limit + 1)
      return toPage(names, page.limit, (tag) => tag as Tag, (tag) => tag)
    },

    async listReferrers(context, name, subject, { artifactTypes, status, page }) {
      const repository = await readRepository(database.reader, registryOf(context), name)
      const rows = await listReferrerRows(database.reader, {
        repositoryId: repository.id,
        subject,
        artifactTypes,
        storageClass: storageClassOf(status),
        after: parseIdPosition(page.after),
        limit: page.limit + 1,
      })
      return toPage(
        rows,
        page.limit,
        (row) => ({
          mediaType: row.media_type,
          digest: digestFromBytes(row.digest),
          sizeBytes: row.size_bytes,
          artifactType: row.artifact_type ?? undefined,
          annotations: JSON.parse(row.annotations ?? '{}') as Record<string, string>,
          status: statusOf(row.storage_class),
        }),
        (row) => String(row.id),
      )
    },
  }
}

/** The digest of the bytes, by the algorithm the client uses. Throws `digest-mismatch` when it names another. */
function checkedDigest(input: NewManifest): Digest {
  const { reference, expectedDigest, bytes } = input
  const named = reference?.kind === 'digest' ? reference.digest : expectedDigest
  const digest = digestOf(bytes, named === undefined ? 'sha256' : digestAlgorithm(named))
  for (const expected of [named, expectedDigest]) {
    if (expected !== undefined && expected !== digest) {
      throw registryError('digest-mismatch', `The manifest's digest is ${digest}, not ${expected}.`, { digest, expected })
    }
  }
  return digest
}

function tagsOf(input: NewManifest): Tag[] {
  const tags = new Set<Tag>(input.tags)
  if (input.reference?.kind === 'tag') tags.add(input.reference.tag)
  return [...tags]
}

function namedContent(parsed: ParsedManifest): NamedContent[] {
  const content: NamedContent[] = []
  const add = (role: NamedContent['role'], descriptor: ParsedManifest['layers'][number]): void => {
    const { digest, mediaType, sizeBytes } = descriptor
    content.push({ role, digest, mediaType, sizeBytes, mayBeForeign: isForeignLayerMediaType(mediaType) })
  }
  if (parsed.config) add('config', parsed.config)
  for (const layer of parsed.layers) add('layer', layer)
  for (const child of parsed.children) add('child', child)
  return content
}

import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { referencingManifests } from '../storage/metadata/stores/blob-index.ts'
import { describeImageRows, listLives, type LifeRow } from '../storage/metadata/stores/image-listing.ts'
import { findManifestRow, type ManifestRow } from '../storage/metadata/stores/manifest-store.ts'
import { findLivingOrTrashedByTag } from '../storage/metadata/stores/trash-listing.ts'
import { findTrashBatch, tagsHeldInTrash } from '../storage/metadata/stores/trash-store.ts'
import { digestFromBytes, type Tag } from '../values/index.ts'
import { readRepository, readRepositoryOrTrash } from './change.ts'
import { registryError } from './errors.ts'
import { toDetail } from './images.ts'
import { statusOf } from './image-status.ts'
import { collectUnit } from './image-unit.ts'
import { parseIdPosition } from './paging.ts'
import { findVetoes } from './protection/index.ts'
import { registryOf } from './repositories.ts'
import { retirementOf } from './retirement-parts.ts'
import { retirementState, toRetirement } from './retirement-states.ts'
import type { ImageDetail, ImageLifeState, Registry } from './types.ts'

/** Images looked at for a page: of one state there may be few among many. Some milliseconds' work. */
const maxLookedAt = 2000

export function imageStateOperations({ database }: { database: MetadataDatabase }): Pick<Registry, 'describeImageState' | 'listImageStates'> {
  return {
    async listImageStates(context, name, state, page) {
      const { repository, images, next } = await database.snapshot(async (session) => {
        const repository = await readRepository(session, registryOf(context), name)
        const looked = await listLives(session, { repositoryId: repository.id, after: parseIdPosition(page.after), limit: maxLookedAt + 1 })
        const window = looked.slice(0, maxLookedAt)
        const fitting = window.filter((row) => state === undefined || lifeStateOf(row) === state)
        const taken = new Map(fitting.slice(0, page.limit).map((row) => [row.id, row]))
        const last = fitting.length > taken.size ? [...taken.keys()].at(-1) : looked.length > window.length ? window.at(-1)?.id : undefined
        const images = []
        for (const described of taken.size === 0 ? [] : await describeImageRows(session, repository.id, [...taken.keys()])) {
          const life = taken.get(described.manifestId)!
          const retired = life.retirement === 0 ? undefined : await retirementOf(session, life.id)
          const retirement = retired && toRetirement(life.retirement, retired)
          // A part of a retired image that another needs by now is retired no more.
          const own = lifeStateOf(retired === undefined ? { ...life, retirement: 0 } : life)
          if (state === undefined || own === state) images.push({ id: life.id, image: toDetail(described), state: own, retirement })
        }
        return { repository, images, next: last === undefined ? undefined : String(last) }
      })
      // Beside the snapshot, as below.
      const vetoes = await findVetoes(database.reader, repository, images.map(({ id }) => id), context.clock.now(), { mode: 'automatic', onlyAsks: true })
      return { items: images.map(({ id, ...image }) => ({ ...image, vetoes: vetoes.get(id) ?? [] })), next }
    },

    async describeImageState(context, name, { digest, tag }) {
      const { repository, row, facts } = await database.snapshot(async (session) => {
        const repository = await readRepositoryOrTrash(session, registryOf(context), name)
        const wanted = tag === undefined ? digest : await findLivingOrTrashedByTag(session, repository.id, tag)
        const row = wanted === undefined || (digest !== undefined && digest !== wanted) ? undefined : await findManifestRow(session, repository.id, wanted)
        if (row === undefined) throw registryError('manifest-unknown', 'Requested image not found', { digest, tag })
        const isTrashed = row.trashed_at !== null
        const [described] = isTrashed ? [] : await describeImageRows(session, repository.id, [row.id])
        const retired = row.retirement === 0 ? undefined : await retirementOf(session, row.id)
        const batch = row.trash_batch === null ? undefined : await findTrashBatch(session, context.registry.id, row.trash_batch)
        const held = isTrashed ? await tagsHeldInTrash(session, row.id) : []
        const facts = {
          image: described === undefined ? ofTrashed(row) : toDetail(described),
          retirement: retired && toRetirement(row.retirement, retired),
          unit: isTrashed ? [] : (await collectUnit(session, row)).map((member) => digestFromBytes(member.digest)),
          listedBy: isTrashed ? [] : await referencingManifests(session, repository.id, digestFromBytes(row.digest)),
          trash:
            row.trashed_at === null
              ? undefined
              : {
                  batch: row.trash_batch ?? '',
                  trashedAt: row.trashed_at,
                  trashedBy: row.trashed_by ?? '',
                  purgeAfter: row.purge_after ?? row.trashed_at,
                  cause: JSON.parse(batch?.cause ?? '{}') as Record<string, unknown>,
                  rule: row.trash_rule ?? undefined,
                  tags: held.map((tagRow) => tagRow.name as Tag),
                },
        }
        return { repository, row, facts }
      })
      // Beside the snapshot: on PostgreSQL it shares rows with whoever changes them, which nothing that only reads may.
      const vetoes = await findVetoes(database.reader, repository, [row.id], context.clock.now(), { mode: 'automatic', onlyAsks: true })
      return { ...facts, vetoes: vetoes.get(row.id) ?? [] }
    },
  }
}

function lifeStateOf({ storageClass, retirement }: LifeRow): ImageLifeState {
  if (storageClass !== 'active') return storageClass as ImageLifeState
  return retirement === 0 ? 'active' : retirementState(retirement)
}

/** Of an image in the trash: it has no tags, and nobody pulls it. */
function ofTrashed(row: ManifestRow): ImageDetail {
  return {
    digest: digestFromBytes(row.digest),
    tags: [],
    mediaType: row.media_type,
    artifactType: row.artifact_type ?? undefined,
    imageSizeBytes: row.image_size_bytes,
    pushedAt: row.pushed_at,
    lastPulledAt: undefined,
    subject: row.subject_digest === null ? undefined : digestFromBytes(row.subject_digest),
    status: statusOf(row.storage_class),
    lastArchivedAt: row.last_archived_at ?? undefined,
    lastActivatedAt: row.last_activated_at ?? undefined,
  }
}

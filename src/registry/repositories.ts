import type { Quotas } from '../config/quotas.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import type { Session } from '../storage/metadata/session.ts'
import {
  findRepositoryRow,
  listRepositoryRows,
  listRepositoryRowsWithin,
  resourceTagsOf,
  type RepositoryRow,
} from '../storage/metadata/stores/repository-store.ts'
import type { IdSource } from '../internal/ids.ts'
import type { RepositoryName } from '../values/index.ts'
import { readRepository } from './change.ts'
import * as commands from './commands/repositories.ts'
import { commandContext, type RequestContext } from './context.ts'
import { toPage } from './paging.ts'
import type { Page, PageRequest, Registry, Repository, RepositoryVisibility, TagMutability } from './types.ts'

export type RepositoryOperations = Pick<
  Registry,
  | 'createRepository'
  | 'findRepository'
  | 'getRepository'
  | 'listRepositories'
  | 'deleteRepository'
  | 'putTagMutability'
  | 'putScanOnPush'
  | 'tagResource'
  | 'untagResource'
  | 'listResourceTags'
>

export function repositoryOperations(deps: {
  database: MetadataDatabase
  ids: IdSource
  quotas: Quotas
  trashRetentionMs: number
}): RepositoryOperations {
  const { database, ids, quotas, trashRetentionMs } = deps
  return {
    async createRepository(context, repository) {
      const input = { ...repository, maxRepositories: quotas.repositoriesPerRegistry }
      return toRepository(await database.execute(commands.createRepository, input, commandContext(context)))
    },

    async findRepository(context, name) {
      const row = await findRepositoryRow(database.reader, context.registry.id, name)
      return row && toRepository(row)
    },

    async getRepository(context, name) {
      return toRepository(await readRepository(database.reader, registryOf(context), name))
    },

    async listRepositories(context, page, visibility) {
      if (visibility !== undefined) return listVisible(database.reader, context.registry.id, page, visibility)
      const rows = await listRepositoryRows(database.reader, context.registry.id, page.after ?? '', page.limit + 1)
      return toPage(rows, page.limit, toRepository, (row) => row.name)
    },

    async deleteRepository(context, name, { force }) {
      const input = { name, force, trashBatch: ids.uuid(), retentionMs: trashRetentionMs }
      return toRepository(await database.execute(commands.deleteRepository, input, commandContext(context)))
    },

    async putTagMutability(context, name, mode, filters) {
      const input = { name, mode, filters }
      return toRepository(await database.execute(commands.putTagMutability, input, commandContext(context)))
    },

    async putScanOnPush(context, name, scanOnPush) {
      return toRepository(await database.execute(commands.putScanOnPush, { name, scanOnPush }, commandContext(context)))
    },

    async tagResource(context, name, tags) {
      await database.execute(commands.tagResource, { name, tags }, commandContext(context))
    },

    async untagResource(context, name, keys) {
      await database.execute(commands.untagResource, { name, keys }, commandContext(context))
    },

    async listResourceTags(context, name) {
      const row = await readRepository(database.reader, registryOf(context), name)
      return resourceTagsOf(database.reader, row.id)
    },
  }
}

/** Names looked at for one page beside those that it shows: as many as the largest page has. */
const maxHidden = 1000
/** Looked at together once the page's own length has not been enough. */
const minBatch = 100

async function listVisible(
  session: Session,
  registryId: number,
  { limit, after = '' }: PageRequest,
  { ranges, filter }: RepositoryVisibility,
): Promise<Page<Repository>> {
  const items: Repository[] = []
  let left = limit + maxHidden
  let batch = limit + 1
  let position = after
  for (const range of ranges) {
    if (range.to !== undefined && position >= range.to) continue
    for (let isRangeLeft = true; isRangeLeft; ) {
      // One more than is shown says whether there is more.
      const wanted = Math.min(batch, left)
      if (wanted === 0) return { items, next: position }
      const rows = await listRepositoryRowsWithin(session, registryId, { after: position, ...range }, wanted)
      const shown = filter === undefined ? undefined : await filter(rows.map(({ name }) => name as RepositoryName))
      for (const [index, row] of rows.entries()) {
        const isShown = shown === undefined || shown[index] === true
        if (isShown && items.length === limit) return { items, next: position }
        if (isShown) items.push(toRepository(row))
        position = row.name
      }
      left -= rows.length
      batch = Math.max(minBatch, limit + 1 - items.length)
      isRangeLeft = rows.length === wanted
    }
  }
  return { items, next: undefined }
}

export function registryOf(context: RequestContext): { registryId: number; accountId: string } {
  return { registryId: context.registry.id, accountId: context.registry.accountId }
}

function toRepository(row: RepositoryRow): Repository {
  return {
    id: row.id,
    registryId: row.registry_id,
    name: row.name as RepositoryName,
    createdAt: row.created_at,
    tagMutability: row.tag_mutability as TagMutability,
    mutabilityFilters: JSON.parse(row.mutability_filters) as string[],
    scanOnPush: row.scan_on_push === 1,
    encryptionType: row.encryption_type as 'AES256',
  }
}

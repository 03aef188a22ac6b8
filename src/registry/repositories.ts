import type { Quotas } from '../config/quotas.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import {
  findRepositoryRow,
  listRepositoryRows,
  resourceTagsOf,
  type RepositoryRow,
} from '../storage/metadata/stores/repository-store.ts'
import type { IdSource } from '../internal/ids.ts'
import type { RepositoryName } from '../values/index.ts'
import { readRepository } from './change.ts'
import * as commands from './commands/repositories.ts'
import { commandContext, type RequestContext } from './context.ts'
import { toPage } from './paging.ts'
import type { Registry, Repository, TagMutability } from './types.ts'

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
}): RepositoryOperations {
  const { database, ids, quotas } = deps
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

    async listRepositories(context, page) {
      const rows = await listRepositoryRows(database.reader, context.registry.id, page.after ?? '', page.limit + 1)
      return toPage(rows, page.limit, toRepository, (row) => row.name)
    },

    async deleteRepository(context, name, { force }) {
      const input = { name, force, trashBatch: ids.uuid() }
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

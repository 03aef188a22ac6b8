import type { MetadataDatabase } from '../../storage/metadata/database.ts'
import { listHoldRows } from '../../storage/metadata/stores/hold-store.ts'
import { listProtectionRows, type ProtectionRow } from '../../storage/metadata/stores/protection-store.ts'
import { findTag } from '../../storage/metadata/stores/tag-store.ts'
import type { Digest, RepositoryName } from '../../values/index.ts'
import { readRepository } from '../change.ts'
import * as holdCommands from '../commands/holds.ts'
import * as commands from '../commands/protections.ts'
import type { ProtectionTarget } from '../commands/protections.ts'
import { commandContext, type RequestContext } from '../context.ts'
import { parseIdPosition, toPage } from '../paging.ts'
import { registryOf } from '../repositories.ts'
import type { Page, PageRequest } from '../types.ts'
import { toHold, type RegistryHold } from './holds.ts'

/** What nobody may delete, by rule or by hand. */
export interface Protection {
  readonly repositoryName: RepositoryName
  readonly target: ProtectionTarget
  readonly reason: string
  readonly owner: string
  readonly createdAt: number
  readonly createdBy: string
  /** Undefined: until somebody deletes it. */
  readonly endsAt: number | undefined
  /** Of a tag: the image that it points to now; undefined where there is no such tag yet. */
  readonly digest: Digest | undefined
}

export interface NewProtection {
  readonly target: ProtectionTarget
  readonly reason: string
  readonly owner: string
  readonly endsAt: number | undefined
  /** Whether the caller may take protections away, and so let one end earlier. */
  readonly mayLoosen: boolean
}

/** Protections of repositories, and holds of registries. Throw what their commands throw. */
export interface Protections {
  put(context: RequestContext, name: RepositoryName, protection: NewProtection): Promise<Protection>
  /** Answers what it was. */
  delete(context: RequestContext, name: RepositoryName, target: ProtectionTarget): Promise<Protection>
  /** Of a repository, in the order in which they were made; also those that have ended of late. */
  list(context: RequestContext, name: RepositoryName, page: PageRequest): Promise<Page<Protection>>
  /** Returns the hold's number. */
  placeHold(context: RequestContext, reason: string): Promise<number>
  releaseHold(context: RequestContext, id: number, reason: string): Promise<void>
  /** Those that are not released, or with `released` all of them; the newest first. */
  listHolds(context: RequestContext, options: { released: boolean; page: PageRequest }): Promise<Page<RegistryHold>>
}

/** Before every hold. */
const newest = Number.MAX_SAFE_INTEGER

export function createProtections({ database }: { database: MetadataDatabase }): Protections {
  const describe = async (name: RepositoryName, row: ProtectionRow): Promise<Protection> => {
    const target = row.kind === 'tag' ? await findTag(database.reader, row.repository_id, row.target) : undefined
    return {
      repositoryName: name,
      target: { kind: row.kind as ProtectionTarget['kind'], value: row.target },
      reason: row.reason,
      owner: row.owner,
      createdAt: row.created_at,
      createdBy: row.created_by,
      endsAt: row.ends_at ?? undefined,
      digest: target?.digest,
    }
  }

  return {
    async put(context, name, { endsAt, ...protection }) {
      const row = await database.execute(commands.putProtection, { name, endsAt: endsAt ?? null, ...protection }, commandContext(context))
      return describe(name, row)
    },

    async delete(context, name, target) {
      return describe(name, await database.execute(commands.deleteProtection, { name, target }, commandContext(context)))
    },

    async list(context, name, page) {
      const { id } = await readRepository(database.reader, registryOf(context), name)
      const rows = await listProtectionRows(database.reader, id, parseIdPosition(page.after), page.limit + 1)
      const described = await Promise.all(rows.map(async (row) => ({ id: row.id, protection: await describe(name, row) })))
      return toPage(described, page.limit, ({ protection }) => protection, (row) => String(row.id))
    },

    placeHold: (context, reason) => database.execute(holdCommands.placeHold, { reason }, commandContext(context)),

    async releaseHold(context, id, reason) {
      await database.execute(holdCommands.releaseHold, { id, reason }, commandContext(context))
    },

    async listHolds(context, { released, page }) {
      const before = page.after === undefined ? newest : parseIdPosition(page.after)
      const rows = await listHoldRows(database.reader, context.registry.id, { before, limit: page.limit + 1, released })
      return toPage(rows, page.limit, toHold, (row) => String(row.id))
    },
  }
}

import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'
import { lockAccount } from '../../storage/metadata/stores/iam-entity-store.ts'
import { deleteQuotaRow, findQuota, outlastRepositoryChanges, putQuotaRow, type QuotaPlace, type QuotaRow } from '../../storage/metadata/stores/quota-store.ts'
import { lockRegistryRow } from '../../storage/metadata/stores/repository-store.ts'
import { lockRepository } from '../change.ts'
import { parameterInvalid, registryError } from '../errors.ts'

/** What a quota bounds. */
export type QuotaSubject =
  | { readonly scope: 'repository'; readonly name: string }
  /** An account in a region. */
  | { readonly scope: 'registry'; readonly accountId: string; readonly region: string }
  /** An account in all its regions together. */
  | { readonly scope: 'account'; readonly accountId: string }

/** How much of each there may be together in what is bounded; undefined: not bounded. */
export interface QuotaMaxima {
  readonly bytes: number | undefined
  readonly images: number | undefined
  readonly repositories: number | undefined
}

export type QuotaType = keyof QuotaMaxima

const noMaxima: QuotaMaxima = { bytes: undefined, images: undefined, repositories: undefined }

/** Repositories that are locked together: some milliseconds of work. */
const repositoriesPerCommand = 500

/**
 * Bounds what a repository, a registry or an account has, beside what was bounded there before. Removes nothing. Throws
 * `repository-unknown`, and `parameter-invalid` where there is no such account.
 */
export const putQuota = defineCommand({
  name: 'put-quota',
  durability: 'durable',
  async run(tx, input: { subject: QuotaSubject; resource: string; maxima: Partial<QuotaMaxima> }, context): Promise<QuotaRow> {
    const place = await lockPlace(tx, input.subject, context)
    const before = maximaOf(await findQuota(tx, place))
    const row = rowOf(place, { ...before, ...input.maxima }, context)
    await putQuotaRow(tx, row)
    await recordAudit(tx, context, { action: 'PutQuota', resource: input.resource, detail: { before, after: maximaOf(row) } })
    return row
  },
})

/** Takes bounds away, all or those named. Answers what they were. Throws `quota-unknown`, and what `put-quota` throws. */
export const deleteQuota = defineCommand({
  name: 'delete-quota',
  durability: 'durable',
  async run(tx, input: { subject: QuotaSubject; resource: string; types: readonly QuotaType[] | undefined }, context): Promise<QuotaRow> {
    const place = await lockPlace(tx, input.subject, context)
    const row = await findQuota(tx, place)
    const before = maximaOf(row)
    const wanted = input.types ?? (Object.keys(noMaxima) as QuotaType[])
    if (row === undefined || wanted.every((type) => before[type] === undefined)) throw registryError('quota-unknown', 'No such quota is set there.')
    const after = { ...before }
    for (const type of wanted) after[type] = undefined
    if (Object.values(after).every((max) => max === undefined)) await deleteQuotaRow(tx, place)
    else await putQuotaRow(tx, rowOf(place, after, context))
    await recordAudit(tx, context, { action: 'DeleteQuota', resource: input.resource, detail: { before, after } })
    return row
  },
})

/**
 * Waits for changes on PostgreSQL that began before a quota was committed, and so may not know of it: of what makes registries in an
 * account, of what counts repositories in a registry, or of its next repositories, whose last one's number it answers. Changes nothing.
 */
export const outlastChanges = defineCommand({
  name: 'outlast-changes',
  durability: 'process',
  async run(tx, of: { accountId: string } | { registryId: number; after?: number }): Promise<number | undefined> {
    if ('accountId' in of) await lockAccount(tx, of.accountId)
    else if (of.after === undefined) await lockRegistryRow(tx, of.registryId)
    else return outlastRepositoryChanges(tx, { registryId: of.registryId, after: of.after, limit: repositoriesPerCommand })
    return undefined
  },
})

/** Where a subject's quota is, locked against whoever sets another there. */
async function lockPlace(tx: Session, subject: QuotaSubject, context: CommandContext): Promise<QuotaPlace> {
  if (subject.scope === 'repository') {
    const { id: repositoryId } = await lockRepository(tx, context, subject.name)
    return { accountId: context.accountId, region: context.region, repositoryId }
  }
  const { accountId } = subject
  if ((await lockAccount(tx, accountId)) === undefined) throw parameterInvalid('accountId', 'Member must be an account of this installation')
  return { accountId, region: subject.scope === 'registry' ? subject.region : '', repositoryId: 0 }
}

export function maximaOf(row: Pick<QuotaRow, 'max_bytes' | 'max_images' | 'max_repositories'> | undefined): Record<QuotaType, number | undefined> {
  return { bytes: row?.max_bytes ?? undefined, images: row?.max_images ?? undefined, repositories: row?.max_repositories ?? undefined }
}

function rowOf({ accountId, region, repositoryId }: QuotaPlace, { bytes, images, repositories }: QuotaMaxima, { nowMs, actorArn }: CommandContext): QuotaRow {
  return {
    account_id: accountId,
    region,
    repository_id: repositoryId,
    max_bytes: bytes ?? null,
    max_images: images ?? null,
    max_repositories: repositories ?? null,
    changed_at: nowMs,
    changed_by: actorArn,
  }
}

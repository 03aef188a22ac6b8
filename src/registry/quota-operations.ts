import type { MetadataDatabase } from '../storage/metadata/database.ts'
import type { Session } from '../storage/metadata/session.ts'
import { listQuotaRows, type QuotaPlace, type QuotaRow } from '../storage/metadata/stores/quota-store.ts'
import { findRegistryId, findRepositoryRowById, listRegistryIds, sumManifests } from '../storage/metadata/stores/repository-store.ts'
import { useOfAccount, useOfRegistry } from '../storage/metadata/stores/storage-use-store.ts'
import * as commands from './commands/quotas.ts'
import { maximaOf, type QuotaMaxima, type QuotaSubject, type QuotaType } from './commands/quotas.ts'
import { commandContext, type RequestContext } from './context.ts'
import { registryError } from './errors.ts'
import { toPage } from './paging.ts'
import type { Page, PageRequest } from './types.ts'

/** A quota that was set while servers ran, beside what there is of what it bounds. */
export interface SetQuota {
  readonly subject: QuotaSubject
  readonly accountId: string
  readonly maxima: QuotaMaxima
  readonly use: Readonly<Record<'bytes' | 'images', number>> & { readonly repositories: number | undefined }
  /** Of which there is more than there may be. Nothing is deleted for it, but nothing that adds to it is taken. */
  readonly exceeded: readonly QuotaType[]
  readonly changedAt: number
  readonly changedBy: string
}

/** Quotas of repositories, registries and accounts that hold beside the server's settings. Throw what their commands throw. */
export interface QuotaOperations {
  /**
   * Bounds what is given, and leaves other bounds as they are. Once it has answered nothing passes them any more, whatever was under
   * way; and the answer says what is there already beyond them.
   */
  put(context: RequestContext, change: { readonly subject: QuotaSubject; readonly resource: string; readonly maxima: Partial<QuotaMaxima> }): Promise<SetQuota>
  /** Takes bounds away, all of the subject's or those of some types. Answers what they were. */
  delete(context: RequestContext, change: { readonly subject: QuotaSubject; readonly resource: string; readonly types: readonly QuotaType[] | undefined }): Promise<SetQuota>
  /** Those that hold in the context's registry: its account's, its own, and its repositories'; or of all accounts and registries. */
  list(context: RequestContext, of: 'registry' | 'installation', page: PageRequest): Promise<Page<SetQuota>>
}

/** More than any account has regions. */
const mostRegistries = 1_000_000

export function createQuotaOperations({ database }: { readonly database: MetadataDatabase }): QuotaOperations {
  /** SQLite runs one command after another: none is under way. */
  const outlast = async (context: RequestContext, { scope }: QuotaSubject, { account_id: accountId, region }: QuotaRow): Promise<void> => {
    if (database.dialect === 'sqlite' || scope === 'repository') return
    const wait = (of: Parameters<typeof commands.outlastChanges.run>[1]) => database.execute(commands.outlastChanges, of, commandContext(context))
    await wait({ accountId })
    const own = scope === 'registry' ? await findRegistryId(database.reader, accountId, region) : undefined
    const registries = scope === 'account' ? await listRegistryIds(database.reader, accountId, mostRegistries) : own === undefined ? [] : [own]
    for (const registryId of registries) {
      await wait({ registryId })
      for (let after: number | undefined = 0; after !== undefined; ) after = await wait({ registryId, after })
    }
  }
  return {
    async put(context, { subject, resource, maxima }) {
      const row = await database.execute(commands.putQuota, { subject, resource, maxima }, commandContext(context))
      await outlast(context, subject, row)
      return database.snapshot((session) => describe(session, subject, row))
    },

    async delete(context, { subject, resource, types }) {
      const row = await database.execute(commands.deleteQuota, { subject, resource, types }, commandContext(context))
      return database.snapshot((session) => describe(session, subject, row))
    },

    list(context, of, page) {
      return database.snapshot(async (session) => {
        const { accountId, region } = context.registry
        const place = of === 'registry' ? { accountId, region } : undefined
        const rows = await listQuotaRows(session, place, { after: placeAt(page.after), limit: page.limit + 1 })
        const { items, next } = toPage(rows, page.limit, (row) => row, positionOf)
        const quotas: SetQuota[] = []
        for (const { name, ...row } of items) quotas.push(await describe(session, subjectOf(row, name), row))
        return { items: quotas, next }
      })
    },
  }
}

async function describe(session: Session, subject: QuotaSubject, row: QuotaRow): Promise<SetQuota> {
  const maxima = maximaOf(row)
  const use = await useOf(session, subject, row)
  const exceeded = (Object.keys(maxima) as QuotaType[]).filter((type) => (use[type] ?? 0) > (maxima[type] ?? Number.POSITIVE_INFINITY))
  return { subject, accountId: row.account_id, maxima, use, exceeded, changedAt: row.changed_at, changedBy: row.changed_by }
}

async function useOf(session: Session, { scope }: QuotaSubject, { account_id: accountId, region, repository_id: repositoryId }: QuotaRow): Promise<SetQuota['use']> {
  if (scope === 'account') return useOfAccount(session, accountId)
  if (scope === 'registry') return useOfRegistry(session, (await findRegistryId(session, accountId, region)) ?? 0)
  const { image_count: images = 0, logical_bytes: bytes = 0 } = (await findRepositoryRowById(session, repositoryId)) ?? {}
  return { repositories: undefined, ...(images === null || bytes === null ? await sumManifests(session, repositoryId) : { images, bytes }) }
}

function subjectOf({ account_id: accountId, region }: QuotaRow, name: string | null): QuotaSubject {
  if (name !== null) return { scope: 'repository', name }
  return region === '' ? { scope: 'account', accountId } : { scope: 'registry', accountId, region }
}

function positionOf({ account_id: accountId, region, repository_id: repositoryId }: QuotaRow): string {
  return `${accountId}/${region}/${repositoryId}`
}

/** Throws `page-invalid`. */
function placeAt(after: string | undefined): QuotaPlace | undefined {
  if (after === undefined) return undefined
  const [accountId, region, id] = after.split('/')
  if (accountId === undefined || region === undefined || id === undefined || !/^\d{1,15}$/u.test(id)) throw registryError('page-invalid', 'The page token is not one that was given out.')
  return { accountId, region, repositoryId: Number(id) }
}

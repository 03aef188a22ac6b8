import type { ExpressionBuilder, Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement, type QueryBuilder } from '../statement.ts'

export type RepositoryRow = Selectable<Schema['repository']>

const ofRegistry = statement<{ accountId: string; region: string }>()((db, p) =>
  db.selectFrom('registry').select('id').where('account_id', '=', p.accountId).where('region', '=', p.region),
)

const accountOf = statement<{ accountId: string }>()((db, p) =>
  db.selectFrom('account').select('account_id').where('account_id', '=', p.accountId),
)

const addAccount = statement<{ accountId: string; createdAt: number }>()((db, p) =>
  db
    .insertInto('account')
    .values({ account_id: p.accountId, created_at: p.createdAt })
    .onConflict((conflict) => conflict.doNothing()),
)

const addRegistry = statement<{ accountId: string; region: string; createdAt: number }>()((db, p) =>
  db
    .insertInto('registry')
    .values({ account_id: p.accountId, region: p.region, created_at: p.createdAt })
    .onConflict((conflict) => conflict.doNothing()),
)

/** The id of an account's registry in a region, if it ever made anything there. */
export async function findRegistryId(session: Session, accountId: string, region: string): Promise<number | undefined> {
  return (await session.first(ofRegistry, { accountId, region }))?.id
}

const registryById = statement<{ id: number }>()((db, p) =>
  db.selectFrom('registry').select(['id', 'account_id as accountId', 'region']).where('id', '=', p.id),
)

/** A registry by its number: whose it is, and where. */
export function findRegistryOf(session: Session, id: number): Promise<{ id: number; accountId: string; region: string } | undefined> {
  return session.first(registryById, { id })
}

export async function accountExists(session: Session, accountId: string): Promise<boolean> {
  return (await session.first(accountOf, { accountId })) !== undefined
}

export async function insertAccount(tx: Session, accountId: string, createdAt: number): Promise<void> {
  await tx.change(addAccount, { accountId, createdAt })
}

/** Idempotent. The account must exist. */
export async function insertRegistry(tx: Session, accountId: string, region: string, createdAt: number): Promise<void> {
  await tx.change(addRegistry, { accountId, region, createdAt })
}

const registriesOf = statement<{ accountId: string; limit: number }>()((db, p) =>
  db.selectFrom('registry').select('id').where('account_id', '=', p.accountId).orderBy('id').limit(p.limit),
)

/** The ids of an account's registries, the oldest first, `limit` at most. */
export async function listRegistryIds(session: Session, accountId: string, limit: number): Promise<readonly number[]> {
  return (await session.all(registriesOf, { accountId, limit })).map(({ id }) => id)
}

const livingNamed = (db: QueryBuilder, p: { registryId: number; name: string }) =>
  db
    .selectFrom('repository')
    .selectAll()
    .where('registry_id', '=', p.registryId)
    .where('name', '=', p.name)
    .where('trashed_at', 'is', null)

const living = statement<{ registryId: number; name: string }>()((db, p) => livingNamed(db, p))

const livingLocked = statement<{ registryId: number; name: string }>()((db, p, dialect) =>
  livingNamed(db, p).$if(dialect === 'postgres', (query) => query.forNoKeyUpdate()),
)

const livingById = statement<{ id: number }>()((db, p) =>
  db.selectFrom('repository').selectAll().where('id', '=', p.id).where('trashed_at', 'is', null),
)

const page = statement<{ registryId: number; after: string; limit: number }>()((db, p) =>
  db
    .selectFrom('repository')
    .selectAll()
    .where('registry_id', '=', p.registryId)
    .where('trashed_at', 'is', null)
    .where('name', '>', p.after)
    .orderBy('name')
    .limit(p.limit),
)

const pageWithin = statement<{ registryId: number; after: string; from: string; to: string; limit: number }>()((db, p) =>
  db
    .selectFrom('repository')
    .selectAll()
    .where('registry_id', '=', p.registryId)
    .where('trashed_at', 'is', null)
    .where('name', '>', p.after)
    .where('name', '>=', p.from)
    .where('name', '<', p.to)
    .orderBy('name')
    .limit(p.limit),
)

/** Behind every name there can be: names are lower-case letters, digits and a few signs before them. */
const behindAllNames = '~'

const insert = statement<NewRepositoryRow>()((db, p) =>
  db
    .insertInto('repository')
    .values({
      registry_id: p.registry_id,
      domain_id: p.domain_id,
      name: p.name,
      created_at: p.created_at,
      created_by: p.created_by,
      tag_mutability: p.tag_mutability,
      mutability_filters: p.mutability_filters,
      scan_on_push: p.scan_on_push,
      encryption_type: p.encryption_type,
      kms_key: null,
      event_seq: 0,
      // Known from the start: whoever adds up a registry counts nothing for it.
      image_count: 0,
      logical_bytes: 0,
      trashed_at: null,
    })
    .onConflict((conflict) => conflict.columns(['registry_id', 'name']).where('trashed_at', 'is', null).doNothing())
    .returningAll(),
)

export type NewRepositoryRow = Pick<
  RepositoryRow,
  | 'registry_id'
  | 'domain_id'
  | 'name'
  | 'created_at'
  | 'created_by'
  | 'tag_mutability'
  | 'mutability_filters'
  | 'scan_on_push'
  | 'encryption_type'
>

const setMutability = statement<{ id: number; mode: string; filters: string }>()((db, p) =>
  db
    .updateTable('repository')
    .set({ tag_mutability: p.mode, mutability_filters: p.filters })
    .where('id', '=', p.id)
    .returningAll(),
)

const setScanOnPush = statement<{ id: number; scanOnPush: number }>()((db, p) =>
  db.updateTable('repository').set({ scan_on_push: p.scanOnPush }).where('id', '=', p.id).returningAll(),
)

const trash = statement<{ id: number; now: number; purgeAfter: number; by: string; batch: string }>()((db, p) =>
  db
    .updateTable('repository')
    .set({ trashed_at: p.now, purge_after: p.purgeAfter, trashed_by: p.by, trash_batch: p.batch })
    .where('id', '=', p.id),
)

const anyManifest = statement<{ repositoryId: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .select('id')
    .where('repository_id', '=', p.repositoryId)
    .where('trashed_at', 'is', null)
    .limit(1),
)

export function findRepositoryRow(session: Session, registryId: number, name: string): Promise<RepositoryRow | undefined> {
  return session.first(living, { registryId, name })
}

export function findRepositoryRowById(session: Session, id: number): Promise<RepositoryRow | undefined> {
  return session.first(livingById, { id })
}

/** The first lock of every change of a repository: on PostgreSQL its changes run one after another. */
export function lockRepositoryRow(tx: Session, registryId: number, name: string): Promise<RepositoryRow | undefined> {
  return tx.first(livingLocked, { registryId, name })
}

/** In the order of their names, after `after`. */
export function listRepositoryRows(
  session: Session,
  registryId: number,
  after: string,
  limit: number,
): Promise<RepositoryRow[]> {
  return session.all(page, { registryId, after, limit })
}

/** As `listRepositoryRows`, of the names from `from` on and before `to`. */
export function listRepositoryRowsWithin(
  session: Session,
  registryId: number,
  range: { readonly after: string; readonly from: string; readonly to: string | undefined },
  limit: number,
): Promise<RepositoryRow[]> {
  const { after, from, to = behindAllNames } = range
  return session.all(pageWithin, { registryId, after, from, to, limit })
}

/** Undefined when a living repository has the name. */
export function insertRepositoryRow(tx: Session, row: NewRepositoryRow): Promise<RepositoryRow | undefined> {
  return tx.first(insert, row)
}

export async function updateMutability(tx: Session, id: number, mode: string, filters: string): Promise<RepositoryRow> {
  const row = await tx.first(setMutability, { id, mode, filters })
  if (!row) throw new Error('the repository was locked and is gone')
  return row
}

export async function updateScanOnPush(tx: Session, id: number, scanOnPush: boolean): Promise<RepositoryRow> {
  const row = await tx.first(setScanOnPush, { id, scanOnPush: scanOnPush ? 1 : 0 })
  if (!row) throw new Error('the repository was locked and is gone')
  return row
}

export async function trashRepositoryRow(
  tx: Session,
  id: number,
  trashing: { now: number; purgeAfter: number; by: string; batch: string },
): Promise<void> {
  await tx.change(trash, { id, ...trashing })
}

export async function holdsManifests(session: Session, repositoryId: number): Promise<boolean> {
  return (await session.first(anyManifest, { repositoryId })) !== undefined
}

const anyRepository = statement()((db) => db.selectFrom('repository').select('id').where('id', '>', 0).limit(1))

/** True when somebody has ever made a repository, in whichever registry. */
export async function holdsRepositories(session: Session): Promise<boolean> {
  return (await session.first(anyRepository, {})) !== undefined
}

/**
 * What a manifest adds to its repository: its own bytes, and those of the config and layers that it names. What an index lists counts
 * as the images that it lists.
 */
export function contentBytes(manifest: Pick<Selectable<Schema['manifest']>, 'kind' | 'size_bytes' | 'image_size_bytes'>): number {
  return manifest.size_bytes + (manifest.kind === 'index' ? 0 : manifest.image_size_bytes)
}

/** The sum of `contentBytes`; null where there is none to add. */
export function contentBytesOf(eb: ExpressionBuilder<Schema, 'manifest'>) {
  const ofImage = eb.case().when('manifest.kind', '=', 'index').then(eb.lit(0)).else(eb.ref('manifest.image_size_bytes')).end()
  // PostgreSQL sums to a type of its own.
  return eb.cast<number | null>(eb.fn.sum(eb('manifest.size_bytes', '+', ofImage)), 'bigint')
}

const manifestSums = statement<{ repositoryId: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .select((eb) => [eb.fn.countAll<number>().as('images'), contentBytesOf(eb).as('bytes')])
    .where('repository_id', '=', p.repositoryId)
    .where('trashed_at', 'is', null),
)

export interface RepositorySums {
  readonly images: number
  /** As `contentBytes` has them. */
  readonly bytes: number
}

/** Counts a repository's living manifests and their bytes. Its cost grows with them. */
export async function sumManifests(session: Session, repositoryId: number): Promise<RepositorySums> {
  const sums = await session.first(manifestSums, { repositoryId })
  return { images: sums?.images ?? 0, bytes: sums?.bytes ?? 0 }
}

const wrongSums = statement<{ after: number; through: number; limit: number }>()((db, p) =>
  db
    .selectFrom((from) =>
      from
        .selectFrom('repository')
        .leftJoin('manifest', (join) => join.onRef('manifest.repository_id', '=', 'repository.id').on('manifest.trashed_at', 'is', null))
        .select((eb) => [
          'repository.id as id',
          'repository.name as name',
          'repository.image_count as notedImages',
          'repository.logical_bytes as notedBytes',
          eb.fn.count<number>('manifest.id').as('images'),
          eb.fn.coalesce(contentBytesOf(eb as unknown as ExpressionBuilder<Schema, 'manifest'>), eb.lit(0)).as('bytes'),
        ])
        .where('repository.id', '>', p.after)
        .where('repository.id', '<=', p.through)
        // One that is on its way out loses its images uncounted.
        .where('repository.trashed_at', 'is', null)
        .groupBy(['repository.id', 'repository.name', 'repository.image_count', 'repository.logical_bytes'])
        .as('counted'),
    )
    .selectAll()
    .where((eb) => eb.or([eb('notedImages', '!=', eb.ref('images')), eb('notedBytes', '!=', eb.ref('bytes'))]))
    .orderBy('id')
    .limit(p.limit),
)

/**
 * Repositories with ids after one and through another of which other sums are noted than there is, to tell of. Its cost grows
 * with the manifests of all of them.
 */
export function findWrongSums(session: Session, wanted: { after: number; through?: number; limit: number }) {
  return session.all(wrongSums, { through: Number.MAX_SAFE_INTEGER, ...wanted })
}

const setSums = statement<{ id: number } & RepositorySums>()((db, p) =>
  db.updateTable('repository').set({ image_count: p.images, logical_bytes: p.bytes }).where('id', '=', p.id),
)

/** Notes how many living manifests a repository has, and their bytes; the caller holds its lock. */
export async function setRepositorySums(tx: Session, id: number, sums: RepositorySums): Promise<void> {
  await tx.change(setSums, { id, ...sums })
}

const lessImages = statement<{ id: number; bytes: number }>()((db, p) =>
  db
    .updateTable('repository')
    .set((eb) => ({ image_count: eb('image_count', '-', 1), logical_bytes: eb('logical_bytes', '-', p.bytes), lost_count: eb('lost_count', '+', 1) }))
    .where('id', '=', p.id),
)

/** One living manifest less: every way by which one goes says so. The caller holds the repository's lock. */
export async function lowerRepositorySums(tx: Session, id: number, manifest: Parameters<typeof contentBytes>[0]): Promise<void> {
  await tx.change(lessImages, { id, bytes: contentBytes(manifest) })
}

const lessPullable = statement<{ id: number; count: number }>()((db, p) =>
  db.updateTable('repository').set((eb) => ({ lost_count: eb('lost_count', '+', p.count) })).where('id', '=', p.id),
)

/** Living manifests that can be pulled no more: to rules that count images they are as gone. The caller holds the repository's lock. */
export async function noteLessPullable(tx: Session, id: number, count: number): Promise<void> {
  await tx.change(lessPullable, { id, count })
}

const registryLocked = statement<{ id: number }>()((db, p, dialect) =>
  db
    .selectFrom('registry')
    .select('repository_count as count')
    .where('id', '=', p.id)
    .$if(dialect === 'postgres', (query) => query.forNoKeyUpdate()),
)

/** How many repositories a registry was last known to have; null where nobody counted. Locks the count. */
export async function lockRepositoryCount(tx: Session, registryId: number): Promise<number | null> {
  const row = await tx.first(registryLocked, { id: registryId })
  if (!row) throw new Error('the registry of a repository is not there')
  return row.count
}

/** Makes changes of a registry's own settings wait for each other, on PostgreSQL; before anything of them is locked. */
export async function lockRegistryRow(tx: Session, registryId: number): Promise<void> {
  await lockRepositoryCount(tx, registryId)
}

const repositoryCount = statement<{ registryId: number }>()((db, p) =>
  db
    .selectFrom('repository')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('registry_id', '=', p.registryId)
    .where('trashed_at', 'is', null),
)

/** Counts a registry's living repositories. Its cost grows with them. */
export async function countRepositories(session: Session, registryId: number): Promise<number> {
  return (await session.first(repositoryCount, { registryId }))?.count ?? 0
}

const setRepositories = statement<{ id: number; count: number }>()((db, p) =>
  db.updateTable('registry').set({ repository_count: p.count }).where('id', '=', p.id),
)

/** Notes how many living repositories a registry has; the caller holds the count's lock. */
export async function setRepositoryCount(tx: Session, registryId: number, count: number): Promise<void> {
  await tx.change(setRepositories, { id: registryId, count })
}

const lessRepositories = statement<{ id: number }>()((db, p) =>
  db
    .updateTable('registry')
    .set((eb) => ({ repository_count: eb('repository_count', '-', 1) }))
    .where('id', '=', p.id),
)

/** One living repository less, where they are counted. */
export async function lowerRepositoryCount(tx: Session, registryId: number): Promise<void> {
  await tx.change(lessRepositories, { id: registryId })
}

const resourceTags = statement<{ repositoryId: number }>()((db, p) =>
  db.selectFrom('resource_tag').select(['key', 'value']).where('repository_id', '=', p.repositoryId).orderBy('key'),
)

const putResourceTag = statement<{ repositoryId: number; key: string; value: string }>()((db, p) =>
  db
    .insertInto('resource_tag')
    .values({ repository_id: p.repositoryId, key: p.key, value: p.value })
    .onConflict((conflict) => conflict.columns(['repository_id', 'key']).doUpdateSet({ value: p.value })),
)

const dropResourceTag = statement<{ repositoryId: number; key: string }>()((db, p) =>
  db.deleteFrom('resource_tag').where('repository_id', '=', p.repositoryId).where('key', '=', p.key),
)

export async function resourceTagsOf(session: Session, repositoryId: number): Promise<Record<string, string>> {
  const rows = await session.all(resourceTags, { repositoryId })
  // Keys are the user's: an object without a prototype takes any of them.
  const tags = Object.create(null) as Record<string, string>
  for (const { key, value } of rows) tags[key] = value
  return tags
}

export async function upsertResourceTag(tx: Session, repositoryId: number, key: string, value: string): Promise<void> {
  await tx.change(putResourceTag, { repositoryId, key, value })
}

export async function deleteResourceTag(tx: Session, repositoryId: number, key: string): Promise<void> {
  await tx.change(dropResourceTag, { repositoryId, key })
}

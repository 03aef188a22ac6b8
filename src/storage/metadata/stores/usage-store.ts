import type { Selectable } from 'kysely'
import { digestFromBytes, digestToBytes, type Digest } from '../../../values/digest.ts'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement, type QueryBuilder } from '../statement.ts'

/*
 * Who says what runs. On PostgreSQL the row of a source is the lock of what it says: whoever takes leases in or away locks it
 * for itself, and whoever removes images shares the rows of all of a registry's sources, so that one of the two comes first.
 */

export type UsageSourceRow = Selectable<Schema['usage_source']>
export type UsageSnapshotRow = Selectable<Schema['usage_snapshot']>
export type UsageLeaseRow = Selectable<Schema['usage_lease']>

const activeSources = (db: QueryBuilder, p: { registryId: number }) =>
  db.selectFrom('usage_source').selectAll().where('registry_id', '=', p.registryId).where('status', '=', 'active').orderBy('name')

const active = statement<{ registryId: number }>()((db, p) => activeSources(db, p))

const activeShared = statement<{ registryId: number }>()((db, p, dialect) =>
  activeSources(db, p).$if(dialect === 'postgres', (query) => query.forShare()),
)

/** As many as the limit of sources lets a registry have. */
export function listActiveSources(session: Session, registryId: number): Promise<UsageSourceRow[]> {
  return session.all(active, { registryId })
}

/** As `listActiveSources`; until the command ends none of them takes leases in or away. */
export function shareActiveSources(tx: Session, registryId: number): Promise<UsageSourceRow[]> {
  return tx.all(activeShared, { registryId })
}

const every = statement<{ registryId: number; after: string; limit: number }>()((db, p) =>
  db
    .selectFrom('usage_source')
    .selectAll()
    .where('registry_id', '=', p.registryId)
    .where('name', '>', p.after)
    .orderBy('name')
    .limit(p.limit),
)

/** Decommissioned ones too. */
export function listSourceRows(session: Session, registryId: number, after: string, limit: number): Promise<UsageSourceRow[]> {
  return session.all(every, { registryId, after, limit })
}

const sourceNamed = (db: QueryBuilder, p: { registryId: number; name: string }) =>
  db.selectFrom('usage_source').selectAll().where('registry_id', '=', p.registryId).where('name', '=', p.name)

const named = statement<{ registryId: number; name: string }>()((db, p) => sourceNamed(db, p))

const namedLocked = statement<{ registryId: number; name: string }>()((db, p, dialect) =>
  sourceNamed(db, p).$if(dialect === 'postgres', (query) => query.forNoKeyUpdate()),
)

export function findSourceRow(session: Session, registryId: number, name: string): Promise<UsageSourceRow | undefined> {
  return session.first(named, { registryId, name })
}

export function lockSourceRow(tx: Session, registryId: number, name: string): Promise<UsageSourceRow | undefined> {
  return tx.first(namedLocked, { registryId, name })
}

const byId = statement<{ id: number }>()((db, p) => db.selectFrom('usage_source').selectAll().where('id', '=', p.id))

export function findSourceRowById(session: Session, id: number): Promise<UsageSourceRow | undefined> {
  return session.first(byId, { id })
}

const insertSource = statement<Pick<UsageSourceRow, 'registry_id' | 'name' | 'principal_arn' | 'kind' | 'environment' | 'scope' | 'interval_ms' | 'shrink_percent' | 'created_at' | 'created_by'>>()(
  (db, p) =>
    db
      .insertInto('usage_source')
      .values({
        registry_id: p.registry_id,
        name: p.name,
        principal_arn: p.principal_arn,
        kind: p.kind,
        environment: p.environment,
        scope: p.scope,
        interval_ms: p.interval_ms,
        shrink_percent: p.shrink_percent,
        status: 'active',
        agreed_count: 0,
        last_number: 0,
        created_at: p.created_at,
        created_by: p.created_by,
      })
      .returningAll(),
)

export async function insertSourceRow(tx: Session, row: Parameters<typeof insertSource.bind>[1]): Promise<UsageSourceRow> {
  const inserted = await tx.first(insertSource, row)
  if (!inserted) throw new Error('inserting a usage source returned no row')
  return inserted
}

/** Sets columns of a source that the caller has locked. */
export async function updateSourceRow(tx: Session, id: number, changes: Partial<Omit<UsageSourceRow, 'id' | 'registry_id' | 'name'>>): Promise<UsageSourceRow> {
  const [row] = await tx.query(tx.builder.updateTable('usage_source').set(changes).where('id', '=', id).returningAll())
  if (!row) throw new Error('the usage source was locked and is gone')
  return row
}

const snapshot = statement<{ sourceId: number; number: number }>()((db, p) =>
  db.selectFrom('usage_snapshot').selectAll().where('source_id', '=', p.sourceId).where('number', '=', p.number),
)

export function findSnapshotRow(session: Session, sourceId: number, number: number): Promise<UsageSnapshotRow | undefined> {
  return session.first(snapshot, { sourceId, number })
}

const insertSnapshot = statement<{ sourceId: number; number: number; writer: string; now: number }>()((db, p) =>
  db
    .insertInto('usage_snapshot')
    .values({ source_id: p.sourceId, number: p.number, writer: p.writer, status: 'open', received_count: 0, began_at: p.now }),
)

export async function insertSnapshotRow(tx: Session, sourceId: number, number: number, writer: string, now: number): Promise<void> {
  await tx.change(insertSnapshot, { sourceId, number, writer, now })
}

export async function updateSnapshotRow(
  tx: Session,
  { source_id: sourceId, number }: Pick<UsageSnapshotRow, 'source_id' | 'number'>,
  changes: Partial<Omit<UsageSnapshotRow, 'source_id' | 'number'>>,
): Promise<void> {
  await tx.query(tx.builder.updateTable('usage_snapshot').set(changes).where('source_id', '=', sourceId).where('number', '=', number))
}

const abandon = statement<{ sourceId: number; before: number; now: number; problem: string }>()((db, p) =>
  db
    .updateTable('usage_snapshot')
    .set({ status: 'abandoned', ended_at: p.now, problem: p.problem })
    .where('source_id', '=', p.sourceId)
    .where('number', '<', p.before)
    .where('status', '=', 'open'),
)

/** Ends snapshots that were begun and not completed, of numbers below `before`. */
export async function abandonSnapshots(tx: Session, sourceId: number, before: number, now: number, problem: string): Promise<void> {
  await tx.change(abandon, { sourceId, before, now, problem })
}

const pruneSnapshots = statement<{ sourceId: number; keep: number }>()((db, p) =>
  db
    .deleteFrom('usage_snapshot')
    .where('source_id', '=', p.sourceId)
    .where('number', '<', (eb) =>
      eb
        .selectFrom('usage_snapshot')
        .select('number')
        .where('source_id', '=', p.sourceId)
        .orderBy('number', 'desc')
        .limit(1)
        .offset(p.keep),
    ),
)

/** Forgets all but the newest `keep` snapshots of a source, or thereabouts. */
export async function deleteOldSnapshots(tx: Session, sourceId: number, keep: number): Promise<void> {
  await tx.change(pruneSnapshots, { sourceId, keep })
}

const dropSnapshots = statement<{ sourceId: number }>()((db, p) => db.deleteFrom('usage_snapshot').where('source_id', '=', p.sourceId))

export async function deleteAllSnapshots(tx: Session, sourceId: number): Promise<void> {
  await tx.change(dropSnapshots, { sourceId })
}

export interface NewLease {
  /** Empty: whichever repository has it. */
  readonly repository: string
  readonly digest: Digest
  readonly workload: string
  readonly environment: string
  readonly until: number | null
}

/** Takes leases into a snapshot, those that an earlier one had and new ones. At most a thousand, no two of them the same. */
export async function upsertLeases(
  tx: Session,
  source: Pick<UsageSourceRow, 'id' | 'registry_id'>,
  snapshotNumber: number,
  leases: readonly NewLease[],
  now: number,
): Promise<void> {
  if (leases.length === 0) return
  await tx.query(
    tx.builder
      .insertInto('usage_lease')
      .values(
        leases.map((lease) => ({
          source_id: source.id,
          snapshot: snapshotNumber,
          registry_id: source.registry_id,
          repository: lease.repository,
          digest: digestToBytes(lease.digest),
          workload: lease.workload,
          environment: lease.environment,
          first_seen_at: now,
          until: lease.until,
        })),
      )
      .onConflict((conflict) =>
        conflict.columns(['source_id', 'digest', 'repository', 'workload']).doUpdateSet((eb) => ({
          snapshot: eb.ref('excluded.snapshot'),
          environment: eb.ref('excluded.environment'),
          until: eb.ref('excluded.until'),
        })),
      ),
  )
}

const leaseCount = statement<{ sourceId: number; snapshot: number }>()((db, p) =>
  db
    .selectFrom('usage_lease')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('source_id', '=', p.sourceId)
    .where('snapshot', '=', p.snapshot),
)

/** How many leases a snapshot has taken in, each once. */
export async function countLeases(session: Session, sourceId: number, snapshotNumber: number): Promise<number> {
  return (await session.first(leaseCount, { sourceId, snapshot: snapshotNumber }))?.count ?? 0
}

const dropLeases = statement<{ sourceId: number; before: number }>()((db, p) =>
  db.deleteFrom('usage_lease').where('source_id', '=', p.sourceId).where('snapshot', '<', p.before),
)

/** Removes the leases that no snapshot from `before` on has taken over. Returns how many. */
export function deleteLeasesBefore(tx: Session, sourceId: number, before: number): Promise<number> {
  return tx.change(dropLeases, { sourceId, before })
}

const remember = statement<{ sourceId: number; snapshot: number; now: number }>()((db, p) =>
  db
    .insertInto('digest_use')
    .columns(['registry_id', 'repository', 'digest', 'last_used_at'])
    .expression((eb) =>
      eb
        .selectFrom('usage_lease')
        .select(['registry_id', 'repository', 'digest', eb.cast<number>(eb.val(p.now), 'bigint').as('last_used_at')])
        .distinct()
        .where('source_id', '=', p.sourceId)
        .where('snapshot', '=', p.snapshot),
    )
    .onConflict((conflict) => conflict.columns(['registry_id', 'digest', 'repository']).doUpdateSet({ last_used_at: p.now })),
)

const rememberByConfig = statement<{ sourceId: number; snapshot: number; now: number }>()((db, p) =>
  db
    .insertInto('digest_use')
    .columns(['registry_id', 'repository', 'digest', 'last_used_at'])
    .expression((eb) =>
      eb
        .selectFrom('usage_lease')
        .innerJoin('manifest_reference', 'manifest_reference.digest', 'usage_lease.digest')
        .innerJoin('manifest', 'manifest.id', 'manifest_reference.manifest_id')
        .innerJoin('repository', (join) =>
          join.onRef('repository.id', '=', 'manifest.repository_id').onRef('repository.registry_id', '=', 'usage_lease.registry_id'),
        )
        .select(['usage_lease.registry_id', 'repository.name', 'manifest.digest', eb.cast<number>(eb.val(p.now), 'bigint').as('last_used_at')])
        .distinct()
        .where('usage_lease.source_id', '=', p.sourceId)
        .where('usage_lease.snapshot', '=', p.snapshot)
        .where('manifest_reference.role', '=', 'config')
        .where((own) => own.or([own('usage_lease.repository', '=', ''), own('usage_lease.repository', '=', own.ref('repository.name'))])),
    )
    .onConflict((conflict) => conflict.columns(['registry_id', 'digest', 'repository']).doUpdateSet({ last_used_at: p.now })),
)

/** Notes that what a snapshot has is in use now, images that it names by their configs too: what outlives the leases. */
export async function recordUses(tx: Session, sourceId: number, snapshotNumber: number, now: number): Promise<void> {
  await tx.change(remember, { sourceId, snapshot: snapshotNumber, now })
  await tx.change(rememberByConfig, { sourceId, snapshot: snapshotNumber, now })
}

/** What a source says of a digest: of all its workloads that have it together. */
export interface HeldDigest {
  readonly sourceId: number
  /** Empty: whichever repository of the source's scope has it. */
  readonly repository: string
  readonly digest: Digest
  /** One of them, and how many there are. */
  readonly workload: string
  readonly workloadCount: number
  /** When the last of them ends; undefined: one has no end. */
  readonly until: number | undefined
}

/** Later than every time there is. */
const noEnd = Number.MAX_SAFE_INTEGER

interface HeldRow {
  sourceId: number
  repository: string
  digest: Uint8Array
  workload: string
  workloadCount: number
  until: number
}

function heldDigest(row: HeldRow): HeldDigest {
  const { until } = row
  return { ...row, digest: digestFromBytes(row.digest), until: until === noEnd ? undefined : until }
}

/** Leases on any of the digests, whichever repository they name, ended ones too: whether an end counts depends on the source. */
export async function leasesOn(session: Session, registryId: number, digests: readonly Digest[]): Promise<HeldDigest[]> {
  const held: HeldDigest[] = []
  const chunkSize = 1000
  for (let start = 0; start < digests.length; start += chunkSize) {
    const rows = await session.query(
      session.builder
        .selectFrom('usage_lease')
        .select((eb) => [
          'source_id as sourceId',
          'repository',
          'digest',
          eb.fn.min('workload').as('workload'),
          eb.fn.countAll<number>().as('workloadCount'),
          eb.fn.max(eb.fn.coalesce('until', eb.val(noEnd).$castTo<number>())).as('until'),
        ])
        .where('registry_id', '=', registryId)
        .where('digest', 'in', digests.slice(start, start + chunkSize).map(digestToBytes))
        .groupBy(['source_id', 'repository', 'digest']),
    )
    held.push(...rows.map(heldDigest))
  }
  return held
}

interface WithinRepository {
  readonly sourceId: number
  readonly repositoryId: number
  readonly name: string
  /** Leases that ended before are left out. */
  readonly endedBefore: number
  readonly limit: number
}

const ofSource = (db: QueryBuilder, p: WithinRepository) =>
  db
    .selectFrom('usage_lease')
    .where('usage_lease.source_id', '=', p.sourceId)
    .where('usage_lease.repository', 'in', ['', p.name])
    .where((eb) => eb.or([eb('usage_lease.until', 'is', null), eb('usage_lease.until', '>', p.endedBefore)]))

const onManifests = statement<WithinRepository>()((db, p) =>
  ofSource(db, p)
    .innerJoin('manifest', 'manifest.digest', 'usage_lease.digest')
    .select(['usage_lease.digest', 'usage_lease.workload'])
    .where('manifest.repository_id', '=', p.repositoryId)
    .limit(p.limit),
)

const onConfigs = statement<WithinRepository>()((db, p) =>
  ofSource(db, p)
    .innerJoin('manifest_reference', 'manifest_reference.digest', 'usage_lease.digest')
    .select(['usage_lease.digest', 'usage_lease.workload'])
    .where('manifest_reference.repository_id', '=', p.repositoryId)
    .where('manifest_reference.role', '=', 'config')
    .limit(p.limit),
)

/** Some of a source's leases on anything of a repository: each lease is looked up in it, not the other way round. */
export async function leasesWithin(session: Session, within: WithinRepository): Promise<{ digest: Digest; workload: string }[]> {
  const rows = await session.all(onManifests, within)
  if (rows.length === 0) rows.push(...(await session.all(onConfigs, within)))
  return rows.map(({ digest, workload }) => ({ digest: digestFromBytes(digest), workload }))
}

const page = statement<{ sourceId: number; after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('usage_lease')
    .selectAll()
    .where('source_id', '=', p.sourceId)
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit),
)

export function listLeaseRows(session: Session, sourceId: number, after: number, limit: number): Promise<UsageLeaseRow[]> {
  return session.all(page, { sourceId, after, limit })
}

const everywhere = statement<{ after: number; limit: number }>()((db, p) =>
  db
    .selectFrom('usage_source')
    .innerJoin('registry', 'registry.id', 'usage_source.registry_id')
    .selectAll('usage_source')
    .select(['registry.account_id', 'registry.region'])
    .where('usage_source.status', '=', 'active')
    .where('usage_source.id', '>', p.after)
    .orderBy('usage_source.id')
    .limit(p.limit),
)

/** The active sources of all registries, by their numbers. */
export function listEverySource(session: Session, after: number, limit: number): Promise<(UsageSourceRow & { account_id: string; region: string })[]> {
  return session.all(everywhere, { after, limit })
}

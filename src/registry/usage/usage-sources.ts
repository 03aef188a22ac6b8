import type { MetadataDatabase } from '../../storage/metadata/database.ts'
import {
  findSourceRow,
  listLeaseRows,
  listSourceRows,
  type NewLease,
  type UsageSourceRow,
} from '../../storage/metadata/stores/usage-store.ts'
import { digestFromBytes, type Digest } from '../../values/index.ts'
import * as snapshots from '../commands/usage-snapshots.ts'
import type { SnapshotName, SnapshotOutcome } from '../commands/usage-snapshots.ts'
import * as commands from '../commands/usage-sources.ts'
import { usageSourceUnknown, type UsageSourceTerms } from '../commands/usage-sources.ts'
import { commandContext, type RequestContext } from '../context.ts'
import { registryError } from '../errors.ts'
import { parseIdPosition, toPage } from '../paging.ts'
import type { Page, PageRequest } from '../types.ts'
import { doubtOf, scopeOf, type SourceDoubt } from './source-health.ts'

/** Somebody who reports what runs, and how it stands with that. */
export interface UsageSource extends UsageSourceTerms {
  readonly name: string
  readonly status: 'healthy' | 'doubted' | 'decommissioned'
  readonly doubt: SourceDoubt | undefined
  /** Somebody has let automatic removal go on in spite of the doubt. */
  readonly waived: { readonly at: number; readonly by: string } | undefined
  /** The highest number used so far. */
  readonly lastNumber: number
  readonly believed: { readonly number: number; readonly at: number; readonly leases: number } | undefined
  readonly createdAt: number
  readonly createdBy: string
}

/** A workload that has a digest, as its source says. */
export interface UsageLease {
  /** Undefined: whichever repository of the source's scope has it. */
  readonly repositoryName: string | undefined
  readonly digest: Digest
  readonly workload: string
  readonly environment: string
  readonly firstSeenAt: number
  readonly until: number | undefined
}

export interface LeaseReport {
  readonly repositoryName: string | undefined
  readonly digest: Digest
  readonly workload: string
  /** Undefined: the source's own. */
  readonly environment: string | undefined
  readonly until: number | undefined
}

/** Who reports what runs, and what they report. Throw what their commands throw. */
export interface UsageSources {
  register(context: RequestContext, name: string, terms: UsageSourceTerms): Promise<UsageSource>
  /** What is not named stays as it is. */
  update(context: RequestContext, name: string, changes: Partial<UsageSourceTerms>): Promise<UsageSource>
  /** Throws `usage-source-unknown`. */
  get(context: RequestContext, name: string): Promise<UsageSource>
  /** In the order of their names. */
  list(context: RequestContext, page: PageRequest): Promise<Page<UsageSource>>
  decommission(context: RequestContext, name: string, reason: string): Promise<void>
  begin(context: RequestContext, snapshot: SnapshotName): Promise<void>
  put(context: RequestContext, snapshot: SnapshotName, leases: readonly LeaseReport[]): Promise<void>
  /** Throws `usage-snapshot-incomplete` as well. */
  complete(context: RequestContext, snapshot: SnapshotName, expectedCount: number): Promise<SnapshotOutcome>
  accept(context: RequestContext, name: string, number: number): Promise<SnapshotOutcome>
  leases(context: RequestContext, name: string, page: PageRequest): Promise<Page<UsageLease>>
}

export function createUsageSources({ database }: { database: MetadataDatabase }): UsageSources {
  const find = async (context: RequestContext, name: string): Promise<UsageSourceRow> => {
    const row = await findSourceRow(database.reader, context.registry.id, name)
    if (row === undefined) throw usageSourceUnknown(context.registry.accountId, name)
    return row
  }

  return {
    async register(context, name, terms) {
      const row = await database.execute(commands.registerUsageSource, { name, terms }, commandContext(context))
      return describe(row, context.clock.now())
    },

    async update(context, name, changes) {
      const now = context.clock.now()
      const terms = { ...describe(await find(context, name), now), ...changes }
      const { principalArn, kind, environment, scope, intervalMs, shrinkPercent } = terms
      const wanted = { principalArn, kind, environment, scope, intervalMs, shrinkPercent }
      return describe(await database.execute(commands.updateUsageSource, { name, terms: wanted }, commandContext(context)), now)
    },

    async get(context, name) {
      return describe(await find(context, name), context.clock.now())
    },

    async list(context, page) {
      const rows = await listSourceRows(database.reader, context.registry.id, page.after ?? '', page.limit + 1)
      return toPage(rows, page.limit, (row) => describe(row, context.clock.now()), ({ name }) => name)
    },

    async decommission(context, name, reason) {
      await database.execute(commands.decommissionUsageSource, { name, reason }, commandContext(context))
    },

    async begin(context, snapshot) {
      await database.execute(snapshots.beginUsageSnapshot, { snapshot }, commandContext(context))
    },

    async put(context, snapshot, reports) {
      const { environment: usual } = await find(context, snapshot.sourceName)
      const leases = reports.map(
        ({ repositoryName = '', digest, workload, environment = usual, until = null }): NewLease => ({ repository: repositoryName, digest, workload, environment, until }),
      )
      await database.execute(snapshots.putUsageLeases, { snapshot, leases }, commandContext(context))
    },

    async complete(context, snapshot, expectedCount) {
      const outcome = await database.execute(snapshots.completeUsageSnapshot, { snapshot, expectedCount }, commandContext(context))
      if (outcome.status === 'incomplete') {
        throw registryError('usage-snapshot-incomplete', `The snapshot ${snapshot.number} of '${snapshot.sourceName}' is not complete: ${outcome.problem ?? ''}`, {
          received: outcome.leases,
        })
      }
      return outcome
    },

    accept: (context, sourceName, number) => database.execute(snapshots.acceptUsageSnapshot, { sourceName, number }, commandContext(context)),

    async leases(context, name, page) {
      const { id } = await find(context, name)
      const rows = await listLeaseRows(database.reader, id, parseIdPosition(page.after), page.limit + 1)
      return toPage(
        rows,
        page.limit,
        (row): UsageLease => ({
          repositoryName: row.repository === '' ? undefined : row.repository,
          digest: digestFromBytes(row.digest),
          workload: row.workload,
          environment: row.environment,
          firstSeenAt: row.first_seen_at,
          until: row.until ?? undefined,
        }),
        (row) => String(row.id),
      )
    },
  }
}

function describe(row: UsageSourceRow, nowMs: number): UsageSource {
  const doubt = row.status === 'active' ? doubtOf(row, nowMs) : undefined
  return {
    name: row.name,
    principalArn: row.principal_arn,
    kind: row.kind,
    environment: row.environment,
    scope: scopeOf(row),
    intervalMs: row.interval_ms,
    shrinkPercent: row.shrink_percent,
    status: row.status === 'decommissioned' ? 'decommissioned' : doubt === undefined ? 'healthy' : 'doubted',
    doubt,
    waived: row.waived_at === null ? undefined : { at: row.waived_at, by: row.waived_by ?? '' },
    lastNumber: row.last_number,
    believed:
      row.believed_number === null ? undefined : { number: row.believed_number, at: row.believed_at ?? 0, leases: row.believed_count ?? 0 },
    createdAt: row.created_at,
    createdBy: row.created_by,
  }
}

import { iamError } from '../../iam/errors.ts'
import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { lockRegistryRow } from '../../storage/metadata/stores/repository-store.ts'
import {
  abandonSnapshots,
  countLeases,
  deleteLeasesBefore,
  deleteOldSnapshots,
  findSnapshotRow,
  insertSnapshotRow,
  recordUses,
  updateSnapshotRow,
  updateSourceRow,
  upsertLeases,
  type NewLease,
  type UsageSnapshotRow,
  type UsageSourceRow,
} from '../../storage/metadata/stores/usage-store.ts'
import { auditRegistry } from '../change.ts'
import { parameterInvalid, registryError } from '../errors.ts'
import { endHoldsOfSource, endHoldsThatHadNews, raiseHold } from '../protection/hold-changes.ts'
import { pullingPrincipal } from '../pulling-principal.ts'
import { doubtText, isInScope, scopeOf } from '../usage/source-health.ts'
import { lockActiveSource, withoutDoubt } from './usage-sources.ts'

/*
 * A source says what runs in full, again and again: in numbered snapshots, each begun, filled in batches, and completed with
 * the number of its leases. Until it is completed it only adds to what holds images back; completed and believed it takes the
 * place of the one before. Whoever went wrong (a number out of order, two writers, a part lost) is told so and believed nothing.
 *
 * Order of locks: the registry's row, then the source's, before anything that may raise or end a hold.
 */

/** Which snapshot, and who writes it: a text of the writer's own that tells it from others that use the same credentials. */
export interface SnapshotName {
  readonly sourceName: string
  readonly number: number
  readonly writer: string
}

/** Leases of one snapshot, repeated ones too: what a registry keeps of one source. */
export const maxLeasesPerSnapshot = 200_000
/** Snapshots whose numbers are remembered, for whoever asks what became of one. */
const keptSnapshots = 100
/** Complete snapshots after a shrunken one that have to agree with it before it is believed by itself. */
export const agreeingSnapshots = 2

/**
 * Begins a snapshot; one with a lower number that was not completed is given up. The same writer may repeat it. Throws
 * `usage-source-unknown`, `access-denied`, `usage-snapshot-conflict`.
 */
export const beginUsageSnapshot = defineCommand({
  name: 'begin-usage-snapshot',
  durability: 'durable',
  async run(tx, input: { snapshot: SnapshotName }, context): Promise<void> {
    const { sourceName, number, writer } = input.snapshot
    const source = await lockReportedSource(tx, context, sourceName)
    const present = await findSnapshotRow(tx, source.id, number)
    if (present?.status === 'open' && present.writer === writer) return
    if (number <= source.last_number) throw conflict(`The number of the next snapshot of '${sourceName}' is ${source.last_number + 1} or higher: ${number} was used before`, source)
    await abandonSnapshots(tx, source.id, number, context.nowMs, `given up for ${number}`)
    await insertSnapshotRow(tx, source.id, number, writer, context.nowMs)
    await updateSourceRow(tx, source.id, { last_number: number })
    await deleteOldSnapshots(tx, source.id, keptSnapshots)
  },
})

/**
 * Adds leases to an open snapshot. They hold from now on, whatever becomes of the snapshot. Repeating a batch changes nothing.
 * Throws `usage-source-unknown`, `access-denied`, `usage-snapshot-conflict`, `parameter-invalid`, `limit-exceeded`.
 */
export const putUsageLeases = defineCommand({
  name: 'put-usage-leases',
  durability: 'durable',
  async run(tx, input: { snapshot: SnapshotName; leases: readonly NewLease[] }, context): Promise<void> {
    const { snapshot, leases } = input
    const source = await lockReportedSource(tx, context, snapshot.sourceName)
    const row = await openSnapshot(tx, source, snapshot)
    const scope = scopeOf(source)
    const stranger = leases.findIndex(({ repository }) => repository !== '' && !isInScope(scope, repository))
    if (stranger >= 0) throw parameterInvalid(`leases.${stranger + 1}.member.repositoryName`, `Member must be in the scope of the usage source '${source.name}'`)
    const received = row.received_count + leases.length
    if (received > maxLeasesPerSnapshot) {
      throw registryError('limit-exceeded', `A snapshot has at most ${maxLeasesPerSnapshot} leases, repeated ones counted`)
    }
    const distinct = new Map(leases.map((lease) => [`${lease.digest} ${lease.repository} ${lease.workload}`, lease]))
    await upsertLeases(tx, source, row.number, [...distinct.values()], context.nowMs)
    await updateSnapshotRow(tx, row, { received_count: received })
  },
})

export interface SnapshotOutcome {
  /** `believed`: it has taken the place of the one before. `incomplete`: leases are missing, and can still be sent. */
  readonly status: 'believed' | 'doubted' | 'incomplete'
  /** Different leases that arrived. */
  readonly leases: number
  /** Those of the last believed snapshot before; undefined: there was none. */
  readonly previousLeases: number | undefined
  /** Why it is doubted. */
  readonly problem: string | undefined
}

/**
 * Completes a snapshot. `expectedCount` proves that all of it arrived: the number of leases that differ in their digest,
 * repository or workload. The same writer may repeat it, and gets the same answer. Throws `usage-source-unknown`,
 * `access-denied`, `usage-snapshot-conflict`.
 */
export const completeUsageSnapshot = defineCommand({
  name: 'complete-usage-snapshot',
  durability: 'durable',
  async run(tx, input: { snapshot: SnapshotName; expectedCount: number }, context): Promise<SnapshotOutcome> {
    const { snapshot, expectedCount } = input
    await lockRegistryRow(tx, context.registryId)
    const source = await lockReportedSource(tx, context, snapshot.sourceName)
    const done = await findSnapshotRow(tx, source.id, snapshot.number)
    if (done?.writer === snapshot.writer && (done.status === 'believed' || done.status === 'doubted') && done.expected_count === expectedCount) {
      return { status: done.status, leases: expectedCount, previousLeases: source.believed_count ?? undefined, problem: done.problem ?? undefined }
    }
    const row = await openSnapshot(tx, source, snapshot)
    const leases = await countLeases(tx, source.id, row.number)
    const previousLeases = source.believed_count ?? undefined
    if (leases !== expectedCount) {
      const problem = `${leases} of ${expectedCount} leases have arrived`
      await updateSnapshotRow(tx, row, { expected_count: expectedCount, problem })
      await doubt(tx, context, source, 'incomplete', {})
      return { status: 'incomplete', leases, previousLeases, problem }
    }
    const problem = shrinkageOf(source, leases)
    const agreed = problem === undefined ? 0 : agreementOf(source, leases, context.nowMs)
    if (problem !== undefined && (leases === 0 || agreed < agreeingSnapshots)) {
      await updateSnapshotRow(tx, row, { status: 'doubted', expected_count: expectedCount, ended_at: context.nowMs, problem })
      await doubt(tx, context, source, 'shrunken', {
        doubted_count: leases,
        agreed_count: agreed,
        // What came too soon after the last leaves its time as it was.
        agreed_at: agreed === source.agreed_count && source.doubt === 'shrunken' && source.agreed_at !== null ? source.agreed_at : context.nowMs,
      })
      return { status: 'doubted', leases, previousLeases, problem }
    }
    await believe(tx, context, source, row, leases)
    return { status: 'believed', leases, previousLeases, problem: undefined }
  },
})

/**
 * Somebody vouches for a shrunken snapshot: it takes the place of the one before. Throws `usage-source-unknown`,
 * `usage-snapshot-conflict`.
 */
export const acceptUsageSnapshot = defineCommand({
  name: 'accept-usage-snapshot',
  durability: 'durable',
  async run(tx, input: { sourceName: string; number: number }, context): Promise<SnapshotOutcome> {
    await lockRegistryRow(tx, context.registryId)
    const source = await lockActiveSource(tx, context, input.sourceName)
    const row = await findSnapshotRow(tx, source.id, input.number)
    if (row?.status !== 'doubted' || row.number < (source.believed_number ?? 0)) {
      throw conflict(`'${input.sourceName}' has no snapshot ${input.number} that waits for being accepted`, source)
    }
    const leases = row.expected_count ?? 0
    await believe(tx, context, source, row, leases)
    await auditRegistry(tx, context, 'AcceptUsageSnapshot', { sourceName: source.name, snapshotNumber: row.number, leases, previousLeases: source.believed_count })
    return { status: 'believed', leases, previousLeases: source.believed_count ?? undefined, problem: undefined }
  },
})

async function lockReportedSource(tx: Session, context: CommandContext, name: string): Promise<UsageSourceRow> {
  const source = await lockActiveSource(tx, context, name)
  if (!isSamePrincipal(source.principal_arn, context.actorArn)) {
    throw iamError('access-denied', `Only ${source.principal_arn} reports for the usage source '${name}'.`)
  }
  return source
}

/** A role reports by whichever of its sessions. */
function isSamePrincipal(registered: string, actor: string): boolean {
  return registered === actor || (pullingPrincipal(registered) !== undefined && pullingPrincipal(registered) === pullingPrincipal(actor))
}

async function openSnapshot(tx: Session, source: UsageSourceRow, { number, writer }: SnapshotName): Promise<UsageSnapshotRow> {
  const row = await findSnapshotRow(tx, source.id, number)
  if (row === undefined) throw conflict(`The snapshot ${number} of '${source.name}' was not begun`, source)
  if (row.writer !== writer) throw conflict(`The snapshot ${number} of '${source.name}' is another writer's`, source)
  if (row.status !== 'open') throw conflict(`The snapshot ${number} of '${source.name}' has ended: ${row.problem ?? row.status}`, source)
  return row
}

function conflict(message: string, { last_number: lastSnapshotNumber }: UsageSourceRow) {
  return registryError('usage-snapshot-conflict', message, { lastSnapshotNumber })
}

/** What is suspicious about a snapshot of so many leases after the last that was believed. */
function shrinkageOf({ believed_count: before, shrink_percent: percent }: UsageSourceRow, leases: number): string | undefined {
  if (before === null || before === 0) return undefined
  // That nothing runs any more is what a reporter without rights, or without a cluster, says.
  if (leases > 0 && leases >= before * (1 - percent / 100)) return undefined
  return `${leases} leases after ${before}: fewer by more than ${percent} %`
}

/**
 * How many complete snapshots in a row have now agreed with a shrunken one: those that are not smaller again, at least half an
 * interval apart, so that a program that repeats itself at once proves nothing.
 */
function agreementOf(source: UsageSourceRow, leases: number, nowMs: number): number {
  const { doubt: current, doubted_count: doubted, shrink_percent: percent, agreed_count: agreed, agreed_at: agreedAt, interval_ms: interval } = source
  if (current !== 'shrunken' || doubted === null || leases < doubted * (1 - percent / 100)) return 0
  return agreedAt !== null && nowMs - agreedAt < interval / 2 ? agreed : agreed + 1
}

async function doubt(
  tx: Session,
  context: CommandContext,
  source: UsageSourceRow,
  kind: 'shrunken' | 'incomplete',
  columns: Partial<UsageSourceRow>,
): Promise<void> {
  // That a snapshot is incomplete says nothing of the shrunken one before it, which goes on waiting.
  const doubted = source.doubt === 'shrunken' ? 'shrunken' : kind
  const since = source.doubt === null ? { doubt_since: context.nowMs } : {}
  await updateSourceRow(tx, source.id, { ...columns, doubt: doubted, ...since })
  if (source.waived_at === null) await raiseHold(tx, context, { cause: 'source', source, reason: doubtText(source.name, doubted) })
}

async function believe(tx: Session, context: CommandContext, source: UsageSourceRow, row: UsageSnapshotRow, leases: number): Promise<void> {
  await updateSnapshotRow(tx, row, { status: 'believed', expected_count: leases, ended_at: context.nowMs, problem: null })
  await recordUses(tx, source.id, row.number, context.nowMs)
  await deleteLeasesBefore(tx, source.id, row.number)
  await updateSourceRow(tx, source.id, {
    ...withoutDoubt,
    believed_number: row.number,
    believed_began_at: row.began_at,
    // One that is accepted later tells nothing of the time in between.
    believed_at: row.ended_at ?? context.nowMs,
    believed_count: leases,
  })
  await endHoldsOfSource(tx, context, source.id, `the usage source '${source.name}' is believed again`)
  await endHoldsThatHadNews(tx, context)
}

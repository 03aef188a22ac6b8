import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { lockRegistryRow } from '../../storage/metadata/stores/repository-store.ts'
import {
  deleteAllSnapshots,
  deleteLeasesBefore,
  findSourceRow,
  insertSourceRow,
  listActiveSources,
  lockSourceRow,
  updateSourceRow,
  type UsageSourceRow,
} from '../../storage/metadata/stores/usage-store.ts'
import { auditRegistry } from '../change.ts'
import { registryError } from '../errors.ts'
import { endHoldsOfSource, endHoldsThatHadNews } from '../protection/hold-changes.ts'
import { registryForChange } from './registries.ts'

/** What somebody who reports what runs promises. */
export interface UsageSourceTerms {
  /** Who may report: a user, a role, or an account's root. */
  readonly principalArn: string
  /** What it is, in the words of whoever registers it. */
  readonly kind: string
  /** Where what it reports runs, unless a lease says otherwise. */
  readonly environment: string
  /** Patterns of the repositories that it speaks for. */
  readonly scope: readonly string[]
  readonly intervalMs: number
  readonly shrinkPercent: number
}

/** Every deletion in a registry reads all of its sources. */
export const maxUsageSources = 50

/**
 * From now on the repositories of its scope lose nothing automatically until its first snapshot is believed. One that was
 * decommissioned starts anew. Throws `usage-source-exists`, `limit-exceeded`.
 */
export const registerUsageSource = defineCommand({
  name: 'register-usage-source',
  durability: 'durable',
  async run(tx, input: { name: string; terms: UsageSourceTerms }, context): Promise<UsageSourceRow> {
    const { name, terms } = input
    const registryId = await registryForChange(tx, context)
    await lockRegistryRow(tx, registryId)
    const present = await findSourceRow(tx, registryId, name)
    if (present?.status === 'active') {
      throw registryError('usage-source-exists', `The usage source '${name}' already exists in the registry with id '${context.accountId}'`)
    }
    if ((await listActiveSources(tx, registryId)).length >= maxUsageSources) {
      throw registryError('limit-exceeded', `The registry with id '${context.accountId}' already has the maximum number of usage sources which is '${maxUsageSources}'`)
    }
    const columns = { ...columnsOf(terms), created_at: context.nowMs, created_by: context.actorArn }
    const row = present === undefined ? await insertSourceRow(tx, { registry_id: registryId, name, ...columns }) : await startAnew(tx, present, columns)
    await auditRegistry(tx, { ...context, registryId }, 'RegisterUsageSource', { sourceName: name, ...detailOf(terms) })
    return row
  },
})

function startAnew(tx: Session, { id }: UsageSourceRow, columns: Partial<UsageSourceRow>): Promise<UsageSourceRow> {
  return updateSourceRow(tx, id, {
    ...columns,
    status: 'active',
    last_number: 0,
    believed_number: null,
    believed_began_at: null,
    believed_at: null,
    believed_count: null,
    decommissioned_at: null,
    decommissioned_by: null,
    ...withoutDoubt,
  })
}

/** The columns of a source of which there is nothing bad to say. */
export const withoutDoubt = {
  doubt: null,
  doubt_since: null,
  doubted_count: null,
  agreed_count: 0,
  agreed_at: null,
  waived_at: null,
  waived_by: null,
} as const

/** Changes what a source promises. What it has reported stays. Throws `usage-source-unknown`. */
export const updateUsageSource = defineCommand({
  name: 'update-usage-source',
  durability: 'durable',
  async run(tx, input: { name: string; terms: UsageSourceTerms }, context): Promise<UsageSourceRow> {
    const source = await lockActiveSource(tx, context, input.name)
    const row = await updateSourceRow(tx, source.id, columnsOf(input.terms))
    await auditRegistry(tx, context, 'UpdateUsageSource', { sourceName: input.name, ...detailOf(input.terms), previousScope: JSON.parse(source.scope) as unknown })
    return row
  },
})

/**
 * A source is no more: what it last reported protects nothing any longer, and its silence holds nothing. Throws
 * `usage-source-unknown`.
 */
export const decommissionUsageSource = defineCommand({
  name: 'decommission-usage-source',
  durability: 'durable',
  async run(tx, input: { name: string; reason: string }, context): Promise<void> {
    await lockRegistryRow(tx, context.registryId)
    const source = await lockActiveSource(tx, context, input.name)
    const leases = await deleteLeasesBefore(tx, source.id, Number.MAX_SAFE_INTEGER)
    await deleteAllSnapshots(tx, source.id)
    await updateSourceRow(tx, source.id, { status: 'decommissioned', decommissioned_at: context.nowMs, decommissioned_by: context.actorArn, ...withoutDoubt })
    await auditRegistry(tx, context, 'DecommissionUsageSource', { sourceName: input.name, reason: input.reason, leases })
    await endHoldsOfSource(tx, context, source.id, `the usage source '${input.name}' was decommissioned`)
    await endHoldsThatHadNews(tx, context)
  },
})

/** Throws `usage-source-unknown`, also for one that was decommissioned. */
export async function lockActiveSource(tx: Session, context: CommandContext, name: string): Promise<UsageSourceRow> {
  const source = await lockSourceRow(tx, context.registryId, name)
  if (source?.status !== 'active') throw usageSourceUnknown(context.accountId, name)
  return source
}

export function usageSourceUnknown(accountId: string, name: string) {
  return registryError('usage-source-unknown', `The usage source '${name}' does not exist in the registry with id '${accountId}'`)
}

function columnsOf({ principalArn, kind, environment, scope, intervalMs, shrinkPercent }: UsageSourceTerms) {
  return {
    principal_arn: principalArn,
    kind,
    environment,
    scope: JSON.stringify(scope),
    interval_ms: intervalMs,
    shrink_percent: shrinkPercent,
  }
}

function detailOf({ principalArn, environment, scope, intervalMs, shrinkPercent }: UsageSourceTerms) {
  return { principalArn, environment, scope, intervalSeconds: intervalMs / 1000, shrinkPercent }
}

import type { CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { insertHold, listRegistryRows, openHolds, releaseHoldRow, type HoldRow, type OpenHoldRow } from '../../storage/metadata/stores/hold-store.ts'
import { lockRegistryRow } from '../../storage/metadata/stores/repository-store.ts'
import { listActiveSources, type UsageSourceRow } from '../../storage/metadata/stores/usage-store.ts'
import { auditRegistry } from '../change.ts'
import { systemActorArn } from '../context.ts'
import { doubtOf } from '../usage/source-health.ts'
import type { HoldCause } from './hold-words.ts'

/** Registries looked at with one statement. */
const registriesPerPage = 500

/**
 * Puts the registry of the context on hold. Where it is on hold for the same cause, and the same source, nothing happens; only
 * operators may have several reasons at once. Returns the new hold's number.
 *
 * Order of locks: the registry's row, then rows of sources. It excludes whatever removes something automatically.
 */
export async function raiseHold(
  tx: Session,
  context: CommandContext,
  { cause, source, reason }: { cause: HoldCause; source?: Pick<UsageSourceRow, 'id' | 'name'>; reason: string },
): Promise<number | undefined> {
  await lockRegistryRow(tx, context.registryId)
  const sourceId = source?.id ?? null
  const present = await openHolds(tx, context.registryId)
  if (cause !== 'operator' && present.some((hold) => hold.cause === cause && hold.source_id === sourceId)) return undefined
  const id = await insertHold(tx, { registryId: context.registryId, cause, sourceId, reason, now: context.nowMs, by: context.actorArn })
  await auditRegistry(tx, context, 'PlaceHold', { holdId: id, cause, ...(source && { sourceName: source.name }), reason })
  return id
}

/** As `raiseHold`, in every registry there is. Returns how many were not on hold for that cause before. */
export async function raiseHoldEverywhere(
  tx: Session,
  context: CommandContext,
  hold: { cause: HoldCause; reason: string },
): Promise<number> {
  let raised = 0
  for (let after = 0; ; ) {
    const registries = await listRegistryRows(tx, after, registriesPerPage)
    for (const { id, account_id: accountId, region } of registries) {
      const own = { ...context, registryId: id, accountId, region }
      if ((await raiseHold(tx, own, hold)) !== undefined) raised += 1
    }
    after = registries.at(-1)?.id ?? after
    if (registries.length < registriesPerPage) return raised
  }
}

/** Ends an open hold. The caller has locked the registry's row. */
export async function endHold(tx: Session, context: CommandContext, hold: Pick<HoldRow, 'id' | 'cause'>, reason: string): Promise<void> {
  if (!(await releaseHoldRow(tx, hold.id, context.nowMs, context.actorArn, reason))) return
  await auditRegistry(tx, context, 'ReleaseHold', { holdId: hold.id, cause: hold.cause, reason })
}

/** Ends what holds the registry because of this source: it is believed again, or gone. */
export async function endHoldsOfSource(tx: Session, context: CommandContext, sourceId: number, reason: string): Promise<void> {
  for (const hold of await openHolds(tx, context.registryId)) {
    if (hold.source_id === sourceId) await endHold(tx, byTheServer(context), hold, reason)
  }
}

/** What was to be waited for with these: that somebody says anew what runs. */
const endedByFreshSnapshots = new Set<string>(['restore', 'migration', 'clock'])

/**
 * Ends the holds that wait for news, once every source of the registry has told them: each is healthy, and its last believed
 * snapshot was begun after the hold was raised. A registry without sources waits for somebody.
 */
export async function endHoldsThatHadNews(tx: Session, context: CommandContext): Promise<void> {
  const waiting = (await openHolds(tx, context.registryId)).filter(({ cause }) => endedByFreshSnapshots.has(cause))
  if (waiting.length === 0) return
  const sources = await listActiveSources(tx, context.registryId)
  if (sources.length === 0) return
  const hasNews = (hold: OpenHoldRow): boolean =>
    sources.every((source) => doubtOf(source, context.nowMs) === undefined && (source.believed_began_at ?? 0) > hold.raised_at)
  for (const hold of waiting) {
    if (hasNews(hold)) await endHold(tx, byTheServer(context), hold, 'every usage source has told anew what runs')
  }
}

function byTheServer(context: CommandContext): CommandContext {
  return { ...context, actorArn: systemActorArn }
}

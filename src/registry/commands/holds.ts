import { defineCommand } from '../../storage/metadata/command.ts'
import { findHold } from '../../storage/metadata/stores/hold-store.ts'
import { holdsRepositories, lockRegistryRow } from '../../storage/metadata/stores/repository-store.ts'
import { deleteServerMark, findServerMark, putServerMark } from '../../storage/metadata/stores/server-mark-store.ts'
import { findSourceRowById, lockSourceRow, updateSourceRow } from '../../storage/metadata/stores/usage-store.ts'
import { registryError } from '../errors.ts'
import { endHold, raiseHold, raiseHoldEverywhere } from '../protection/hold-changes.ts'
import { clockJumpMs, clockText, type ClockMark } from '../protection/clock-mark.ts'
import { doubtOf, doubtText } from '../usage/source-health.ts'
import { registryForChange } from './registries.ts'

/** By hand. Returns the hold's number. */
export const placeHold = defineCommand({
  name: 'place-hold',
  durability: 'durable',
  async run(tx, input: { reason: string }, context): Promise<number> {
    const registryId = await registryForChange(tx, context)
    const id = await raiseHold(tx, { ...context, registryId }, { cause: 'operator', reason: input.reason })
    if (id === undefined) throw new Error('an operator’s hold is never left out')
    return id
  },
})

/**
 * By hand. Where a source was doubted, automatic removal goes on in its repositories without what it last said being given up:
 * its leases hold on, whatever their ends. Throws `hold-unknown`, also for one that is released already.
 */
export const releaseHold = defineCommand({
  name: 'release-hold',
  durability: 'durable',
  async run(tx, input: { id: number; reason: string }, context): Promise<void> {
    await lockRegistryRow(tx, context.registryId)
    const hold = await findHold(tx, context.registryId, input.id)
    if (hold === undefined || hold.released_at !== null) throw registryError('hold-unknown', `The registry with id '${context.accountId}' has no hold ${input.id} that is not released`)
    const source = hold.source_id === null ? undefined : await findSourceRowById(tx, hold.source_id)
    if (source !== undefined) {
      await lockSourceRow(tx, context.registryId, source.name)
      await updateSourceRow(tx, source.id, { waived_at: context.nowMs, waived_by: context.actorArn })
    }
    await endHold(tx, context, hold, input.reason)
  },
})

/** What the last start of a server left. */
const schemaMark = 'server-schema'
const clockMark = 'server-clock'
/** What a restore left, in the database that it brought back. */
export const restoredMark = 'restored'

/**
 * Compares this start with what the last one left, and puts every registry on hold where something happened in between after
 * which nothing should be removed unseen: the database was restored, a server of another version had it, or the clock was
 * set. Returns in how many registries for each cause. Running it again raises nothing new.
 */
export const compareWithLastStart = defineCommand({
  name: 'compare-with-last-start',
  durability: 'durable',
  async run(tx, input: { schema: string; clock: ClockMark }, context): Promise<{ restore: number; migration: number; clock: number }> {
    const raised = { restore: 0, migration: 0, clock: 0 }
    const restored = await findServerMark(tx, restoredMark)
    if (restored !== undefined) {
      raised.restore = await raiseHoldEverywhere(tx, context, { cause: 'restore', reason: `the database was restored from ${restored}` })
      await deleteServerMark(tx, restoredMark)
    }
    const schema = await findServerMark(tx, schemaMark)
    // Before there was a mark there were versions: a database that has repositories and no mark is of one of those.
    if (schema === undefined ? await holdsRepositories(tx) : schema !== input.schema) {
      const reason = `the database was brought from ${schema ?? 'an earlier version'} to ${input.schema}`
      raised.migration = await raiseHoldEverywhere(tx, context, { cause: 'migration', reason })
    }
    if (schema !== input.schema) await putServerMark(tx, schemaMark, input.schema)
    const last = await findServerMark(tx, clockMark)
    // What a restored database says of clocks is of the time of its backup, maybe of another machine.
    const jumpMs = last === undefined || restored !== undefined ? 0 : clockJumpMs(JSON.parse(last) as ClockMark, input.clock)
    if (jumpMs !== 0) raised.clock = await raiseHoldEverywhere(tx, context, { cause: 'clock', reason: `since the server last ran ${clockText(jumpMs)}` })
    await putServerMark(tx, clockMark, JSON.stringify(input.clock))
    return raised
  },
})

/** Puts every registry on hold: a running server saw its clock being set. Returns how many were not yet. */
export const raiseClockHold = defineCommand({
  name: 'raise-clock-hold',
  durability: 'durable',
  async run(tx, input: { jumpMs: number }, context): Promise<number> {
    return raiseHoldEverywhere(tx, context, { cause: 'clock', reason: `while the server ran ${clockText(input.jumpMs)}` })
  },
})

/** Remembers the time for the next start. Lost with the power it is a minute older. */
export const recordClock = defineCommand({
  name: 'record-clock',
  durability: 'process',
  async run(tx, input: { clock: ClockMark }): Promise<void> {
    await putServerMark(tx, clockMark, JSON.stringify(input.clock))
  },
})

/** A source and the registry that it is of. */
export interface PlacedSource {
  readonly name: string
  readonly registryId: number
  readonly accountId: string
  readonly region: string
}

/**
 * Says of sources that are doubted, and of which nobody has said it yet, that they are. The doubt is in force without it; this
 * is how people learn of it. Returns those of which it was said now.
 */
export const noteDoubtedSources = defineCommand({
  name: 'note-doubted-sources',
  durability: 'durable',
  async run(tx, input: { sources: readonly PlacedSource[] }, context): Promise<PlacedSource[]> {
    const noted: PlacedSource[] = []
    for (const placed of input.sources) {
      const { name, registryId, accountId, region } = placed
      await lockRegistryRow(tx, registryId)
      const source = await lockSourceRow(tx, registryId, name)
      const doubt = source?.status === 'active' && source.waived_at === null ? doubtOf(source, context.nowMs) : undefined
      if (source === undefined || doubt === undefined) continue
      const own = { ...context, registryId, accountId, region }
      if ((await raiseHold(tx, own, { cause: 'source', source, reason: doubtText(name, doubt) })) !== undefined) noted.push(placed)
    }
    return noted
  },
})

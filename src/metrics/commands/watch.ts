import { putOnTheirWay } from '../../events/commands/delivery.ts'
import { defineCommand } from '../../storage/metadata/command.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'
import { moveServerMark } from '../../storage/metadata/stores/server-mark-store.ts'

/** What the server knows of a registry that it watches, by the registry's name: see watch-memory.ts. */
export function watchMark(registry: string): string {
  return `watch ${registry}`
}

const lookMark = 'watch-look'

export { lookMark as watchLookMark }

interface ToldUse {
  readonly eventId: string
  /** As it is sent. */
  readonly event: string
  readonly detail: Readonly<Record<string, unknown>>
  readonly targetIds: readonly number[]
}

interface NoteInput {
  readonly registry: string
  /** As it was read; undefined: there was none. */
  readonly before: string | undefined
  readonly memory: string
  readonly told: readonly ToldUse[]
}

/**
 * Notes what was seen of a registry, and in the same transaction writes what is unusual into the audit trail and puts it on its way.
 * False: another server has looked meanwhile, and nothing was done.
 */
export const noteUse = defineCommand({
  name: 'note-use',
  durability: 'durable',
  async run(tx, { registry, before, memory, told }: NoteInput, context): Promise<boolean> {
    if (!(await moveServerMark(tx, watchMark(registry), before, memory))) return false
    const resource = `arn:aws:ecr:${context.region}:${context.accountId}:*`
    for (const { detail } of told) await recordAudit(tx, context, { action: 'UnusualUse', resource, detail })
    await putOnTheirWay(tx, told.map(({ eventId, event, targetIds }) => ({ repositoryId: 0, eventId, event, targetIds })), context.nowMs)
    return true
  },
})

/** Answers whether this server is the one that looks in a span of time. */
export const claimLook = defineCommand({
  name: 'claim-watch-look',
  durability: 'process',
  run: (tx, { before, slot }: { before: string | undefined; slot: number }): Promise<boolean> => moveServerMark(tx, lookMark, before, String(slot)),
})

import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'
import { deleteServerMark, putServerMark } from '../../storage/metadata/stores/server-mark-store.ts'
import { findPause, pauseMark, type CollectionPause } from '../pause.ts'

/** Stops collection until it is resumed, or until `endsAt`. A pause in force is replaced. */
export const pauseCollection = defineCommand({
  name: 'pause-collection',
  durability: 'durable',
  async run(tx, input: { reason: string; endsAt: number | undefined }, context): Promise<CollectionPause> {
    const pause: CollectionPause = { reason: input.reason, pausedAt: context.nowMs, pausedBy: context.actorArn, endsAt: input.endsAt }
    await putServerMark(tx, pauseMark, JSON.stringify(pause))
    await note(tx, context, 'PauseGarbageCollection', { reason: input.reason, ...(input.endsAt !== undefined && { endsAt: input.endsAt }) })
    return pause
  },
})

/** Lets collection go on. Answers the pause that it ends; undefined where there was none. */
export const resumeCollection = defineCommand({
  name: 'resume-collection',
  durability: 'durable',
  async run(tx, _input: object, context): Promise<CollectionPause | undefined> {
    const pause = await findPause(tx, context.nowMs)
    await deleteServerMark(tx, pauseMark)
    if (pause !== undefined) await note(tx, context, 'ResumeGarbageCollection', { reason: pause.reason, pausedBy: pause.pausedBy })
    return pause
  },
})

function note(tx: Session, context: CommandContext, action: string, detail: Readonly<Record<string, unknown>>): Promise<void> {
  return recordAudit(tx, context, { action, resource: `arn:aws:stowage::${context.accountId}:garbage-collection`, detail })
}
